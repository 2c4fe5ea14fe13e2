"""What to do next: plan, state, freezes and the time in; one move with its reason out.

Pure and total. The order of the rules is the policy: what is over stays over, a rollback under way goes
on, a FAIL beats everything that waits, and nothing rises while anything before it is unproven. The share
never exceeds what verdicts and approvals allow, because a stage that raises it is reached only past
:func:`_unproven`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from gates.contract import Status
from pipelines.journal.state import State, status_of, unknown_gap_seconds, verdicts_of
from pipelines.spec.types import Freeze
from pipelines.strategy import PREVIEW_VERDICT_VALID_SECONDS, Stage

FRESH_LOOKS = 3.0
"""A bake's verdict counts for this many of its look intervals; older, it is as if absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The next thing to do for one promotion."""

    kind: Literal["advance", "hold", "roll_back", "stop"]
    stage: str
    """advance: whose step to run. hold: the stage that waits. Else the stage it happened at, or ""."""
    reason: str
    sentence: str
    until: datetime | None = None
    """hold: when to decide again at the latest; None: only something from outside changes it."""


def decide(state: State, freezes: Sequence[Freeze], now: datetime) -> Move:
    """The next move of one promotion.

    Args:
        state: the fold of its journal; it carries its plan.
        freezes: what platform.yaml on main says now.
        now: this instant, UTC.
    """
    if state.ended is not None:
        return Move(kind="stop", stage="", reason=state.ended.outcome, sentence=state.ended.sentence)
    if state.rollback is not None:
        return _roll_back(state.rollback.code, state.rollback.sentence)
    stage = current(state)
    return (
        _aborted(state)
        or _failed(state, stage)
        or _budget_spent(state, now)
        or _deadline_passed(state, stage, now)
        or _watch(state, stage, now)
        or _stopped(state, stage, freezes, now)
        or _unproven(state, stage, now)
        or _again_later(state, stage, now)
        or Move(kind="advance", stage=stage.name, reason="next", sentence=f"{stage.name} is next")
    )


def current(state: State) -> Stage:
    """The first stage that is not done; the last one when all are."""
    stages = state.plan.stages
    return next((stage for stage in stages if stage.name not in state.done), stages[-1])


def _roll_back(code: str, sentence: str, stage: str = "") -> Move:
    return Move(kind="roll_back", stage=stage, reason=code, sentence=sentence)


def _aborted(state: State) -> Move | None:
    if state.abort is None:
        return None
    return _roll_back(state.abort.outcome, f"{state.abort.person} ended it: {state.abort.reason}")


def _judged_now(state: State, stage: Stage) -> Iterator[Stage]:
    """The stages whose verdicts speak of what is live or about to be: the present one, and the live bake."""
    for planned in state.plan.stages:
        done = planned.name in state.done
        live_bake = planned.step == "bake" and planned.share_percent == state.share_percent
        before_merge = planned.step == "judge" and state.merged is None
        waiting_for_people = planned.step == "approve" and "shift-100" not in state.done
        if planned.gates and (
            planned.name == stage.name or live_bake or (done and (before_merge or waiting_for_people))
        ):
            yield planned


def _failed(state: State, stage: Stage) -> Move | None:
    if state.refused is not None:
        return _roll_back(state.refused.code, state.refused.sentence, state.refused.stage)
    for planned in _judged_now(state, stage):
        verdict = planned.deciding_verdict(verdicts_of(state, planned.name))
        if verdict is not None and verdict.status is Status.FAIL:
            return _roll_back(verdict.reason, f"{verdict.gate} failed: {verdict.sentence}", planned.name)
    return None


def unknown_seconds(state: State, now: datetime) -> float:
    """Seconds this promotion has held on UNKNOWN so far, in all."""
    return state.unknown_spent_seconds + sum(unknown_gap_seconds(wait, now) for wait in state.waits.values())


def _budget_spent(state: State, now: datetime) -> Move | None:
    spent = unknown_seconds(state, now)
    budget = state.plan.hold_budget_seconds
    unknown = [name for name, wait in state.waits.items() if wait.unknown]
    if not unknown or spent < budget:
        return None
    wait = state.waits[unknown[-1]]
    sentence = (
        f"could not tell for {spent:.0f} s, more than the budget of {budget:.0f} s; last: {wait.sentence}"
    )
    if state.plan.on_budget_spent == "roll_back":
        return _roll_back("hold_budget_spent", sentence, unknown[-1])
    if current(state).raises:
        return Move(kind="hold", stage=unknown[-1], reason="hold_budget_spent", sentence=sentence)
    return None


def _deadline_passed(state: State, stage: Stage, now: datetime) -> Move | None:
    began = state.began.get(stage.name)
    wait = state.waits.get(stage.name)
    if began is None or wait is None or wait.unknown or state.held is not None:
        return None
    waited = (now - began).total_seconds()
    if waited <= stage.maximum_seconds:
        return None
    sentence = (
        f"{stage.name} waited {waited:.0f} s, longer than its {stage.maximum_seconds:.0f} s; {wait.sentence}"
    )
    return _roll_back("deadline_passed", sentence, stage.name)


def _watch(state: State, stage: Stage, now: datetime) -> Move | None:
    """While something else waits, the live share is still judged at its own pace."""
    bake = state.plan.bake_of(state.share_percent)
    if not state.share_percent or bake is None or bake.name == stage.name or bake.name not in state.done:
        return None
    if not bake.gates:
        return None
    latest = max((v.at for v in verdicts_of(state, bake.name).values()), default=state.done[bake.name])
    wait = state.waits.get(bake.name)
    latest = max(latest, wait.at) if wait else latest
    if now < latest + timedelta(seconds=bake.every_seconds):
        return None
    return Move(
        kind="advance", stage=bake.name, reason="watch", sentence=f"{state.share_percent} % is still watched"
    )


def _stopped(state: State, stage: Stage, freezes: Sequence[Freeze], now: datetime) -> Move | None:
    if not rises(state, stage):
        return None
    until = now + timedelta(seconds=stage.every_seconds)
    if state.held is not None:
        sentence = f"held by {state.held.person}: {state.held.reason}; `lockgate resume` lets it rise"
        return Move(kind="hold", stage=stage.name, reason="held", sentence=sentence, until=until)
    for freeze in freezes:
        if frozen(freeze, state.started.environment, now):
            end = f"until {freeze.until:%Y-%m-%d %H:%M} UTC" if freeze.until else "until it is lifted"
            sentence = f"frozen {end}: {freeze.reason}"
            return Move(kind="hold", stage=stage.name, reason="frozen", sentence=sentence, until=until)
    if stage.manual and stage.name not in state.released:
        sentence = f"{stage.name} waits for a person's word: `lockgate resume`"
        return Move(kind="hold", stage=stage.name, reason="manual", sentence=sentence, until=until)
    return None


def rises(state: State, stage: Stage) -> bool:
    """Whether running this stage merges, or writes a higher share: only then do freezes matter."""
    return stage.raises and not (stage.step == "shift" and stage.share_percent in state.commits)


def frozen(freeze: Freeze, environment: str, now: datetime) -> bool:
    """Whether a freeze covers this environment at this instant."""
    named = not freeze.environments or environment in freeze.environments
    return named and freeze.since <= now and (freeze.until is None or now < freeze.until)


def _unproven(state: State, stage: Stage, now: datetime) -> Move | None:
    """Something before a rising stage is not (or no longer) shown to hold: judge it again first."""
    if not stage.raises:
        return None
    for earlier in state.plan.before(stage.name):
        if not earlier.deciding or (earlier.step == "judge" and state.merged is not None):
            continue
        if status_of(state, earlier.name) is Status.PASS and _fresh(state, earlier, now):
            continue
        if wait := _again_later(state, earlier, now):
            return wait
        sentence = (
            f"{earlier.name} has no fresh PASS for what is live, so it is judged again before {stage.name}"
        )
        return Move(kind="advance", stage=earlier.name, reason="unproven", sentence=sentence)
    return None


def _fresh(state: State, stage: Stage, now: datetime) -> bool:
    if stage.step == "bake":
        if stage.share_percent != state.share_percent:
            return True
        valid = FRESH_LOOKS * stage.every_seconds
    else:
        valid = PREVIEW_VERDICT_VALID_SECONDS
    verdicts = verdicts_of(state, stage.name)
    oldest = min(verdicts[gate].at for gate in stage.deciding if gate in verdicts)
    return now - oldest <= timedelta(seconds=valid)


def _again_later(state: State, stage: Stage, now: datetime) -> Move | None:
    wait = state.waits.get(stage.name)
    if wait is None or now >= wait.again_at:
        return None
    return Move(
        kind="hold", stage=stage.name, reason=wait.reason, sentence=wait.sentence, until=wait.again_at
    )
