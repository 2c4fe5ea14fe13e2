"""How far each stage of a promotion is, in one word that needs no colour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gates.contract import Status, Verdict
from pipelines.decide import Move, current
from pipelines.journal.state import State, verdicts_of
from pipelines.strategy import Stage

Mark = Literal["done", "now", "waiting", "unknown", "failed", "to come", "cut short", "not reached"]

SYMBOLS: dict[Mark, str] = {
    "done": "✔",
    "now": "▶",
    "waiting": "…",
    "unknown": "?",
    "failed": "✘",
    "to come": "·",
    "cut short": "⊘",
    "not reached": "–",
}
"""A sign for each mark; the word always stands beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateView:
    """One planned gate of a stage, or one that was asked there."""

    name: str
    verdict: Verdict | None
    """Its latest verdict; None before it was asked."""
    counts: bool
    """False: the verdict is about another digest or commit, so it is as if absent."""


def mark_of(state: State, stage: Stage, move: Move | None = None) -> Mark:
    """The mark of one stage; without a move, what the journal alone says."""
    if stage.name in _faults(state, stage, move):
        return "failed"
    wait = state.waits.get(stage.name)
    if wait is not None and wait.unknown:
        return "unknown"
    promoted = state.ended is not None and state.ended.outcome == "promoted"
    if stage.name in state.done or promoted:  # the last stage ends the promotion and says no more
        return "done"
    if state.ended is not None or state.rollback is not None:
        asked = any(at == stage.name for at, _ in state.verdicts)
        return "cut short" if asked or stage.name in state.began else "not reached"
    if wait is not None or (move is not None and move.kind == "hold" and move.stage == stage.name):
        return "waiting"
    return "now" if stage.name == current(state).name else "to come"


def _faults(state: State, stage: Stage, move: Move | None) -> set[str]:
    """The stages that a rollback is about."""
    faults = {state.refused.stage} if state.refused else set()
    verdict = stage.deciding_verdict(verdicts_of(state, stage.name))
    if verdict is not None and verdict.status is Status.FAIL:
        faults.add(stage.name)
    if move is not None and move.kind == "roll_back" and move.reason == "deadline_passed":
        faults.add(move.stage or current(state).name)
    elif state.rollback is not None and state.rollback.code == "deadline_passed":
        faults.add(current(state).name)
    return faults


def turn_came(state: State, stage: Stage) -> datetime:
    """When everything before a stage was done, or the promotion started."""
    before = [state.done[one.name] for one in state.plan.before(stage.name) if one.name in state.done]
    return max(before, default=state.started_at)


def elapsed_seconds(state: State, stage: Stage, mark: Mark, now: datetime) -> float | None:
    """How long a stage took or takes so far, from when its turn came; None when it has not come."""
    if mark in ("to come", "not reached"):
        return None
    over = state.rollback.at if state.rollback else state.ended.at if state.ended else now
    end = state.done.get(stage.name, over)
    return max(0.0, (end - turn_came(state, stage)).total_seconds())


def gates_of(state: State, stage: Stage) -> tuple[GateView, ...]:
    """The gates of a stage in the plan's order, then any others that were asked there."""
    latest = {gate: verdict for (at, gate), verdict in state.verdicts.items() if at == stage.name}
    sound = verdicts_of(state, stage.name)
    names = dict.fromkeys((*stage.gates, *latest))
    return tuple(GateView(name=name, verdict=latest.get(name), counts=name in sound) for name in names)
