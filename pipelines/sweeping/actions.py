"""What to do about the workflows of one promotion: its state, its next move and their nodes in, actions out.

Pure. Nothing here makes a promotion rise: to let a workflow go on means that its next step may ask
``decide`` for itself. Every action can be taken twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pipelines.decide import Move
from pipelines.journal.state import State
from pipelines.ports import Workflow, WorkflowNode, inert
from pipelines.strategy import Stage
from pipelines.workflow.graph import template_of

_LONGEST_NAME = 63
"""Of a workflow: its name is a label of its pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a workflow that ended too early is followed by another one."""

    apart_seconds: float = 120.0
    """Not earlier than this after one took the promotion on."""
    attempts: int = 5
    """Not more than this many took it on within the time below."""
    within_seconds: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Give a waiting node its answer, and let it go on."""

    workflow: str
    node: WorkflowNode
    answer: Literal["go", "stop"]
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Show at a waiting node what it waits for."""

    workflow: str
    node: WorkflowNode
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """End a workflow that moves nothing any more."""

    workflow: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Remove a workflow that would never end."""

    workflow: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Start another workflow for the same promotion; its steps find what is done."""

    template: str
    attempt: int
    """How many took it on before."""
    parameters: Mapping[str, str]
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBack:
    """Take the candidate back to 0 here and now, since no pod of a workflow does."""

    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """No further workflow: the promotion cannot be moved, which burns its hold budget."""

    sentence: str


Action = Answer | Tell | End | Delete | Submit | RollBack | GiveUp


def of(state: State, workflows: Iterable[Workflow]) -> tuple[Workflow, ...]:
    """The workflows of one promotion among others.

    One that has just taken it on is in its journal before the workflow itself says so.
    """
    driver = state.driven.workflow if state.driven is not None else ""
    return tuple(one for one in workflows if one.promotion == state.promotion or one.name == driver != "")


def needs_pod(state: State, stage: Stage) -> bool:
    """Whether its own task runs a stage: it changes the world, or loads a model. Else it only looks."""
    if stage.step == "approve":
        return state.change is None
    return stage.step != "bake"


def is_idle(workflows: Sequence[Workflow]) -> bool:
    """Whether no pod works on the promotion now: no workflow is there, or one waits for an answer."""
    return not workflows or any(node.waits for workflow in workflows for node in workflow.nodes)


def actions(
    state: State, move: Move, workflows: Sequence[Workflow], now: datetime, pace: Pace | None = None
) -> tuple[Action, ...]:
    """What follows for one promotion that Argo drives.

    Args:
        state: the fold of its journal.
        move: what is next, after every look that was due.
        workflows: those of this promotion that have not ended.
        now: this instant, UTC.
        pace: how often a workflow may be followed by another.
    """
    pace = pace or Pace()
    surplus = tuple(_surplus(state, workflows))
    if state.driven is None or state.driven.driver != "argo":
        return surplus
    ended = {end.workflow for end in surplus}
    stuck = [one for one in workflows if one.name not in ended and any(node.stuck for node in one.nodes)]
    moving = [one for one in workflows if one.name not in ended and one not in stuck]
    deleted = tuple(_unstick(one) for one in stuck)
    if moving:
        told = tuple(action for one in moving for action in _nodes(state, move, one))
        return (*surplus, *deleted, *told, *_back_meanwhile(move, moving))
    what = "was stuck" if stuck else "has ended"
    return (*surplus, *deleted, *_again(state, move, now, pace, what))


def _surplus(state: State, workflows: Sequence[Workflow]) -> Iterator[End]:
    """Workflows that took the promotion on before another driver did. One that is about to is left alone."""
    driver = state.driven.workflow if state.driven is not None else ""
    if driver and driver not in {one.name for one in workflows}:
        return
    for one in workflows:
        if one.name != driver and any(
            node.task == "start" and node.phase == "Succeeded" for node in one.nodes
        ):
            yield End(
                workflow=one.name, sentence=f"{driver or 'the local engine'} moves {state.promotion} now"
            )


def _back_meanwhile(move: Move, workflows: Sequence[Workflow]) -> Iterator[RollBack]:
    """A task is asked again after minutes; a candidate that has to go back does not wait for that.

    Safe beside a pod that starts at this instant: it reads the same journal, and goes back as well.
    """
    if move.kind == "roll_back" and all(one.rests for one in workflows):
        yield RollBack(sentence=move.sentence)


def _unstick(workflow: Workflow) -> Delete:
    at = next(node.task for node in workflow.nodes if node.stuck)
    sentence = f"{at} was resumed by hand without an answer, so that what stands behind it never starts"
    return Delete(workflow=workflow.name, sentence=sentence)


# ----------------------------------------------------------------------- a waiting node


def _nodes(state: State, move: Move, workflow: Workflow) -> Iterator[Action]:
    for node in workflow.nodes:
        if not node.waits:
            continue
        answer, sentence = verdict(state, move, node.stage)
        if answer != "wait":
            yield Answer(workflow=workflow.name, node=node, answer=answer, sentence=sentence)
        elif node.message != sentence:
            yield Tell(workflow=workflow.name, node=node, sentence=sentence)


def verdict(state: State, move: Move, stage: str) -> tuple[Literal["go", "stop", "wait"], str]:
    """What a node that waits in a stage is told, and the sentence that people read there.

    It goes on when the next move needs a pod, or when what stands behind it is done already and only this
    workflow has not been there. It stops when the promotion goes back or is over, and when what stands before
    it has to be judged anew: another workflow asks the gates, each in a pod that has room for it.
    """
    if move.kind in ("roll_back", "stop"):
        return "stop", move.sentence
    behind = _behind(state, stage)
    if behind is not None and (behind.name in state.done or _is_asked(state, behind)):
        return "go", f"{behind.name} is done already" if behind.name in state.done else move.sentence
    if move.kind != "advance":
        return "wait", move.sentence
    following = state.plan.stage(move.stage)
    if following.step == "judge":
        return "stop", f"{move.sentence}: another workflow asks the gates"
    if needs_pod(state, following):
        return "go", move.sentence
    return "wait", move.sentence


def _behind(state: State, stage: str) -> Stage | None:
    """The stage that a node stands before: the one it waits to begin, or the one after that it waits for.

    Before a share that this plan has not, a node stands before the next one that it has; None where the plan
    does not know its stage otherwise.
    """
    stages = state.plan.stages
    at = next((n for n, planned in enumerate(stages) if planned.name == stage), None)
    if at is None:
        step, _, share = stage.partition("-")
        rungs = (one for one in stages if one.step == "shift" and step == "bake" and share.isdecimal())
        return next((one for one in rungs if one.share_percent > int(share)), None)
    looks = stages[at].step in ("judge", "bake", "approve")
    return stages[min(at + 1, len(stages) - 1)] if looks else stages[at]


def _is_asked(state: State, stage: Stage) -> bool:
    """The people are asked: the workflow waits for them at the node behind."""
    return stage.step == "approve" and state.change is not None


# ------------------------------------------------------------------- no workflow any more


def _again(state: State, move: Move, now: datetime, pace: Pace, what: str) -> Iterator[Action]:
    if state.ended is not None:
        return
    lately = [at for at in state.driven_at if now - at < timedelta(seconds=pace.within_seconds)]
    spent = len(lately) >= pace.attempts
    early = bool(lately) and now - lately[-1] < timedelta(seconds=pace.apart_seconds)
    if not spent and not early:
        yield another(state, f"its workflow {what}")
    elif move.kind == "roll_back":
        yield RollBack(sentence=move.sentence)
    elif spent:
        minutes = pace.within_seconds / 60
        yield GiveUp(
            sentence=f"{len(lately)} workflows within {minutes:.0f} minutes ended before it was over; "
            f"`lockgate retry {state.promotion}` starts another"
        )


def another(state: State, sentence: str) -> Submit:
    """Another workflow for a promotion that is under way."""
    started, template = state.started, state.driven.template if state.driven else ""
    return Submit(
        template=template or template_of(state.plan.tier),
        attempt=len(state.driven_at),
        parameters=form(
            promotion=state.promotion,
            model=started.model,
            version=started.candidate["label"],
            environment=started.environment,
            requested_by=started.requested_by,
            reason=started.reason,
        ),
        sentence=sentence,
    )


def form(
    *, model: str, version: str, environment: str, requested_by: str, reason: str, promotion: str = ""
) -> dict[str, str]:
    """The parameters of a tier's template; ``promotion`` is the id of one under way, "" for a new one.

    Argo fills in placeholders and evaluates expressions wherever they stand, in values too: here none begins.
    """
    values = {
        "model": model,
        "version": version,
        "environment": environment,
        "requested-by": requested_by,
        "reason": reason,
        "promotion": promotion,
    }
    return {name: inert(value) for name, value in values.items()}


def workflow_name(promotion: str, attempt: int) -> str:
    """The name of a promotion's workflow after so many before: whoever submits at the same time meets it."""
    suffix = f"-{attempt + 1}"
    name = re.sub("[^a-z0-9-]", "-", promotion.lower())
    return name[-(_LONGEST_NAME - len(suffix)) :].lstrip("-") + suffix
