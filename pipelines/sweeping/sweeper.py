"""One pass over all promotions that Argo drives: read the journals, look where a look is due, act.

Asked of Argo per pass: one list, and one request for each workflow acted on. What goes wrong with
one promotion is said and stops no other. While Argo cannot be asked the looks go on, and a candidate that
has to go back goes back all the same: that needs Git and Argo CD alone.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

import structlog

from pipelines import ports
from pipelines.decide import Move, current
from pipelines.engine import ROLL_BACK, Assignment, as_asked, drive, look, next_move, perform, step
from pipelines.errors import JournalMoved, LockgateError
from pipelines.journal.events import Waited
from pipelines.journal.lines import decode
from pipelines.journal.state import State, fold
from pipelines.ports import Workflow, Workflows
from pipelines.steps.contract import NotYet
from pipelines.steps.recorder import DRIVER
from pipelines.strategy import Stage
from pipelines.sweeping.actions import (
    Action,
    Answer,
    Delete,
    End,
    GiveUp,
    Pace,
    RollBack,
    Submit,
    Tell,
    actions,
    is_idle,
    needs_pod,
    of,
    workflow_name,
)

log = structlog.get_logger()

NO_WORKFLOW = "no_workflow"
AGAIN_SECONDS = 60.0
"""How soon a promotion that no workflow moves is looked at again: what each such look burns of its budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What was done about one promotion, and why."""

    promotion: str
    sentence: str
    good: bool = True
    """False: something went wrong, and is tried again at the next pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One pass."""

    seen: int
    """Promotions that Argo drives and that have not ended."""
    deeds: tuple[Deed, ...]
    calls: int
    """Requests sent to Argo."""
    seconds: float

    @property
    def good(self) -> bool:
        """Whether all went well."""
        return all(deed.good for deed in self.deeds)


@dataclass(slots=True, kw_only=True)
class Sweeper:
    """Looks after every promotion that Argo drives. Two at once are harmless."""

    journals: ports.JournalStore
    clock: ports.Clock
    workflows: Callable[[], Workflows]
    """Makes the client; may raise, and then Argo cannot be asked."""
    assign: Callable[[str, str], Assignment]
    """(promotion, by) -> everything needed to move it."""
    pace: Pace = field(default_factory=Pace)
    _client: Workflows | None = None
    _asked: dict[str, dict[str, datetime]] = field(default_factory=lambda: defaultdict(dict))
    """Promotion -> stage -> when it was looked at last."""

    def sweep(self) -> Report:
        """Look after all of them once."""
        began, before = self.clock.now(), self._client.calls if self._client else 0
        deeds: list[Deed] = []
        alive = self._alive(deeds)
        states = {state.promotion: state for state in self._open(deeds)}
        moved = {one.promotion for one in alive or () if one.promotion}
        for promotion in sorted(moved | states.keys(), key=lambda one: (_is_patient(states.get(one)), one)):
            if (deed := self._one(promotion, states.get(promotion), alive)) is not None:
                deeds.append(deed)
        after = self._client.calls if self._client else 0
        seconds = (self.clock.now() - began).total_seconds()
        seen = sum(_by_argo(state) for state in states.values())
        return Report(seen=seen, deeds=tuple(deeds), calls=after - before, seconds=seconds)

    def nudge(self, state: State, move: Move) -> tuple[str, ...]:
        """Let the workflows of one promotion know at once what a person has just said.

        Nothing is looked at here, so a merge is left to the next pass, which looks for reviews first.

        Raises:
            CouldNotTell, Refused, InvalidInput: Argo cannot be asked, or does not do it.
        """
        if move.kind == "advance" and state.plan.stage(move.stage).step == "merge":
            return ()
        client = self._made()
        mine = of(state, client.alive())
        wanted = actions(state, move, mine, self.clock.now(), self.pace)
        on_argo = [one for one in wanted if not isinstance(one, RollBack | GiveUp)]
        return tuple(self._on_argo(client, state, one) for one in on_argo if not isinstance(one, Tell))

    # ------------------------------------------------------------------------------ reading

    def _made(self) -> Workflows:
        if self._client is None:
            self._client = self.workflows()
        return self._client

    def _alive(self, deeds: list[Deed]) -> Sequence[Workflow] | None:
        """Every living workflow; None when Argo cannot be asked."""
        try:
            return self._made().alive()
        except LockgateError as error:
            deeds.append(Deed(promotion="", sentence=f"Argo cannot be asked: {error}", good=False))
            return None

    def _open(self, deeds: list[Deed]) -> Iterator[State]:
        for promotion in self.journals.promotions():
            try:
                text = self.journals.read(promotion)
                state = None if _is_over(text) else fold(decode(promotion, text))
            except Exception as error:  # also a journal that a newer lockgate wrote: the others are read
                deeds.append(_trouble(promotion, error))
                continue
            if state is not None and state.ended is None:
                yield state

    # ------------------------------------------------------------------------ one promotion

    def _one(self, promotion: str, state: State | None, alive: Sequence[Workflow] | None) -> Deed | None:
        try:
            state = state or fold(decode(promotion, self.journals.read(promotion)))
            if state is None:
                return None
            done = list(self._looked_after(state, None if alive is None else of(state, alive)))
        except JournalMoved:
            return None  # somebody moves it this very moment
        except Exception as error:  # whatever it is, the others are looked after
            return _trouble(promotion, error)
        return Deed(promotion=promotion, sentence="; ".join(done)) if done else None

    def _looked_after(self, state: State, mine: Sequence[Workflow] | None) -> Iterator[str]:
        """Do what is due; a sentence for each thing done."""
        if not (mine or _by_argo(state)):
            return
        by = f"{DRIVER}argo:{state.driven.workflow if state.driven else ''}"
        assignment = self.assign(state.promotion, by)
        looked: dict[str, NotYet | None] = {}
        if _by_argo(state) and is_idle(mine or ()):
            state, move = settle(assignment, looked, self._asked[state.promotion])
        else:
            move = next_move(assignment, state)
        yield from (f"looked at {stage}" for stage in looked)
        for action in self._due(state, move, mine):
            said = self._do(assignment, state, action)
            if not isinstance(action, Tell):
                yield said

    def _due(self, state: State, move: Move, mine: Sequence[Workflow] | None) -> tuple[Action, ...]:
        if mine is not None:
            return actions(state, move, mine, self.clock.now(), self.pace)
        return (RollBack(sentence=move.sentence),) if move.kind == "roll_back" else ()

    def _do(self, assignment: Assignment, state: State, action: Action) -> str:
        match action:
            case RollBack():
                outcome = step(assignment, ROLL_BACK.name)
                return f"went back to 0 % without a pod ({action.sentence}): {outcome.sentence}"
            case GiveUp():
                return _give_up(assignment, state, action.sentence)
            case _:
                return self._on_argo(self._made(), state, action)

    def _on_argo(self, client: Workflows, state: State, action: Answer | Tell | End | Delete | Submit) -> str:
        match action:
            case Answer():
                client.answer(action.workflow, action.node.id, action.answer, action.sentence)
                verb = "let it go on past" if action.answer == "go" else "stopped it at"
                return f"{verb} {action.node.task}: {action.sentence}"
            case Tell():
                client.tell(action.workflow, action.node.id, action.sentence)
                return action.sentence
            case End():
                client.terminate(action.workflow)
                return f"ended workflow {action.workflow}: {action.sentence}"
            case Delete():
                client.delete(action.workflow)
                return f"deleted workflow {action.workflow}: {action.sentence}"
            case Submit():
                return submit(client, state, action, self.clock.now(), self.pace)[1]
            case _:
                assert_never(action)


def submit(
    client: Workflows, state: State, action: Submit, now: datetime, pace: Pace
) -> tuple[Workflow | None, str]:
    """Start the next workflow of a promotion; one of its name that is on its way is as good.

    None when one of its name ended a moment ago without beginning anything, or when too many did.
    """
    for attempt in range(action.attempt, action.attempt + pace.attempts):
        name = workflow_name(state.promotion, attempt)
        made = client.submit(action.template, action.parameters, name=name)
        if made is not None:
            return made, f"submitted workflow {name}: {action.sentence}"
        found = client.look(name)
        if found is None:
            return None, f"workflow {name} was there and is gone; another follows"
        if found.alive:
            return found, f"workflow {name} is on its way"
        if (now - found.created_at).total_seconds() < pace.apart_seconds:
            return None, f"workflow {name} ended before it began ({found.message}); another follows"
    return None, f"{pace.attempts} workflows ended before they began; see {action.template} in Argo"


def settle(
    assignment: Assignment, looked: dict[str, NotYet | None], asked: dict[str, datetime]
) -> tuple[State, Move]:
    """Make every look that is due, none twice, until the next move is something else; its state and move.

    ``looked`` gets the stages looked at, each with what it waits for; ``asked`` when those that wait were.

    Raises:
        JournalMoved: another driver moves this promotion.
    """
    state = assignment.recorder.read()
    assert state is not None  # noqa: S101 - it was read before
    began = assignment.world.clock.now()
    while True:
        move = drive(assignment, as_asked(state, asked), began)
        if move.kind != "advance":
            return state, move
        stage = state.plan.stage(move.stage)
        if stage.name in looked:  # a look that found nothing new is no further move: its wait holds
            return state, left_waiting(state, move, looked[stage.name])
        if needs_pod(state, stage) and stage.step != "merge":
            return state, move
        looked[stage.name] = waiting = _look(assignment, state, stage)
        if waiting is not None:
            asked[stage.name] = assignment.world.clock.now()
        state = assignment.recorder.known or state


def _look(assignment: Assignment, state: State, stage: Stage) -> NotYet | None:
    if stage.step == "merge":
        return look(assignment, state, stage)
    outcome = perform(assignment, state, stage)
    return outcome if isinstance(outcome, NotYet) else None


def left_waiting(state: State, move: Move, looked: NotYet | None) -> Move:
    """What is left where a look found nothing new: to wait, for that or for what is next in the plan."""
    stage = current(state).name
    waiting = looked if looked is not None or move.stage == stage else state.waits.get(stage)
    if waiting is None:
        return move
    return Move(kind="hold", stage=stage, reason=waiting.reason, sentence=waiting.sentence)


def _give_up(assignment: Assignment, state: State, sentence: str) -> str:
    """Nobody moves it: that is "could not tell", and burns the hold budget until the tier's rule applies."""
    stage = current(state).name
    said = state.waits.get(stage)
    if said and said.reason == NO_WORKFLOW and assignment.world.clock.now() < said.again_at:
        return sentence  # it burns already; a line a minute is enough
    wait = Waited(
        stage=stage,
        reason=NO_WORKFLOW,
        sentence=sentence,
        unknown=True,
        retry_after_seconds=AGAIN_SECONDS,
    )
    assignment.recorder.add(wait)
    return sentence


def _trouble(promotion: str, error: Exception) -> Deed:
    if isinstance(error, LockgateError):
        return Deed(promotion=promotion, sentence=str(error), good=False)
    log.exception("sweeping failed", promotion=promotion)
    return Deed(promotion=promotion, sentence=f"{type(error).__name__}: {error}", good=False)


def _by_argo(state: State) -> bool:
    return state.ended is None and state.driven is not None and state.driven.driver == "argo"


def _is_patient(state: State | None) -> bool:
    """Whether it waits for people; those that may have to go back are looked after before."""
    if state is None or state.abort or state.refused or state.rollback:
        return False
    return current(state).step in ("merge", "approve")


def _is_over(text: str) -> bool:
    """Whether a journal's last line ends it: then it need not be read whole, at every pass, for years."""
    try:
        return bool(json.loads(text.rstrip("\n").rpartition("\n")[2])["kind"] == "ended")
    except (ValueError, KeyError, TypeError):
        return False
