"""The local driver: ask what is next, do it, write it down, again. It may die anywhere and be started again.

The Argo driver runs the same :func:`perform` once per task through ``lockgate step``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

import structlog

from gates.contract import Status
from pipelines import errors
from pipelines.decide import Move, current, decide, frozen, rises
from pipelines.journal.events import (
    Event,
    FreezeBegan,
    FreezeEnded,
    RollbackBegan,
    StageDone,
    StepRefused,
    Waited,
)
from pipelines.journal.state import State, status_of, verdicts_of
from pipelines.spec.types import Freeze, Platform, Release
from pipelines.steps import (
    approve,
    bake,
    finish,
    judge,
    judging,
    merge,
    preview,
    propose,
    roll_back,
    shift,
    taken_back,
)
from pipelines.steps.contract import Context, Done, NotYet, Outcome, Refused, World
from pipelines.steps.recorder import Recorder
from pipelines.strategy import Stage

log = structlog.get_logger()
_Answer = TypeVar("_Answer")

STEPS: dict[str, Callable[[Context], Outcome]] = {
    "propose": propose.run,
    "preview": preview.run,
    "judge": judge.run,
    "merge": merge.run,
    "shift": shift.run,
    "bake": bake.run,
    "approve": approve.run,
    "finish": finish.run,
    "roll_back": roll_back.run,
}

ROLL_BACK = Stage(
    name="roll_back", step="finish", share_percent=0, maximum_seconds=float("inf"), every_seconds=1.0
)
"""The stage a rollback runs under; it is in no plan and has no deadline."""

LOOKS = ("watch", "unproven")
"""Reasons of moves that look again at what was looked at before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One promotion with all it needs to be moved."""

    world: World
    platform: Platform
    release: Release
    recorder: Recorder
    freezes: Callable[[], tuple[Freeze, ...]]
    """What main says now; may raise CouldNotTell or InvalidInput, and then nothing rises."""


def next_move(assignment: Assignment, state: State) -> Move:
    """Decide. The freezes are read where something is about to rise, and nowhere else."""
    return decide(state, _freezes(assignment, state), assignment.world.clock.now())


def as_asked(state: State, asked: Mapping[str, datetime]) -> State:
    """The state, for whoever remembers when each stage was asked last.

    A poll that said the same again is not in the journal, and would be due again at once.
    """
    waits = {
        stage: wait if wait.unknown else replace(wait, at=max(wait.at, asked.get(stage, wait.at)))
        for stage, wait in state.waits.items()
    }
    return replace(state, waits=waits)


def drive(assignment: Assignment, state: State, now: datetime | None = None) -> Move:
    """Decide, as :func:`next_move`, for whoever moves the promotion.

    When a freeze begins to hold it, and when none does any more, is written down once, not at every look.
    ``now`` is the present unless given: whoever makes several looks decides after each as of their beginning,
    so that what was just looked at is not due again because the other looks took long.

    Raises:
        JournalMoved: another driver moves this promotion.
    """
    now = now or assignment.world.clock.now()
    freezes = _freezes(assignment, state)
    move = decide(state, freezes, now)
    known = assignment.recorder.known or state
    if move.reason == "frozen" and known.freeze is None:
        assignment.recorder.add(FreezeBegan(stage=move.stage, sentence=move.sentence))
    over = not any(frozen(freeze, state.started.environment, now) for freeze in freezes)
    if known.freeze is not None and over and move.kind in ("advance", "hold"):
        assignment.recorder.add(FreezeEnded(stage=known.freeze.stage))
    return move


def _freezes(assignment: Assignment, state: State) -> tuple[Freeze, ...]:
    """What main says now, if something is to rise; where it cannot be read, everything is as if frozen."""
    if not rises(state, current(state)):
        return ()
    try:
        return assignment.freezes()
    except (errors.CouldNotTell, errors.InvalidInput) as error:
        reason = f"platform.yaml on main cannot be read, so nothing rises: {error}"
        # Not validated: what went wrong may be told in more than the one short line that people may write.
        return (Freeze.model_construct(reason=reason, since=state.started_at, until=None, environments=()),)


def perform(assignment: Assignment, state: State, stage: Stage) -> Outcome:
    """Run one stage's step once and write down what came of it.

    Raises:
        JournalMoved: another driver moves this promotion.
    """
    return _performed(assignment, state, stage)[0]


def _performed(assignment: Assignment, state: State, stage: Stage) -> tuple[Outcome, bool]:
    """What came of it, and whether a line of the journal was the last thing that was done."""
    context = _context(assignment, state, stage)
    outcome = _asked(context, STEPS[stage.name if stage is ROLL_BACK else stage.step])
    return outcome, _write(context, outcome)


def look(assignment: Assignment, state: State, stage: Stage) -> NotYet | None:
    """What a merge still waits for, without making it; written down as its step would.

    None: there is nothing to wait for, and the step can say yes or no by itself.

    Raises:
        JournalMoved: another driver moves this promotion.
    """
    context = _context(assignment, state, stage)
    waiting = _asked(context, merge.look)
    if not isinstance(waiting, NotYet):
        return None
    _write(context, waiting)
    return waiting


def _asked(context: Context, run: Callable[[Context], _Answer]) -> _Answer | NotYet | Refused:
    """What a step answers, or what its error stands for."""
    try:
        return run(context)
    except errors.JournalMoved:
        raise
    except errors.NotYet as error:
        return NotYet(
            reason=error.reason, sentence=error.sentence, retry_after_seconds=error.retry_after_seconds
        )
    except errors.Refused as error:
        return Refused(reason=error.reason, sentence=error.sentence)
    except errors.InvalidInput as error:  # what was written does not change by asking again
        return Refused(reason="invalid_input", sentence=str(error))
    except Exception as error:  # whatever it is, it is no answer
        return _could_not_tell(context.stage, error)


def _context(assignment: Assignment, state: State, stage: Stage) -> Context:
    def record(*events: Event) -> None:
        context.state = assignment.recorder.add(*events)

    context = Context(
        world=assignment.world,
        platform=assignment.platform,
        release=assignment.release,
        state=state,
        stage=stage,
        record=record,
    )
    return context


def _could_not_tell(stage: Stage, error: Exception) -> NotYet:
    if not isinstance(error, errors.LockgateError):
        log.exception("step raised", stage=stage.name)
    reason = "source_unreachable" if isinstance(error, errors.CouldNotTell) else "step_error"
    text = str(error) if isinstance(error, errors.LockgateError) else f"{type(error).__name__}: {error}"
    return NotYet(reason=reason, sentence=text, retry_after_seconds=stage.every_seconds, unknown=True)


def _write(context: Context, outcome: Outcome) -> bool:
    """Write an outcome down where it says something new; whether it did."""
    state, stage = context.state, context.stage
    if state.ended is not None:
        return False
    if isinstance(outcome, Refused) and stage is ROLL_BACK:  # a rollback takes no for an answer from nobody
        outcome = NotYet(
            reason=outcome.reason,
            sentence=outcome.sentence,
            retry_after_seconds=stage.every_seconds,
            unknown=True,
        )
    before = state.waits.get(stage.name)
    events = [*context.looked]
    match outcome:
        case Done():
            if stage.name not in state.done or before is not None:
                events.append(StageDone(stage=stage.name, sentence=outcome.sentence))
        case Refused():
            events.append(StepRefused(stage=stage.name, reason=outcome.reason, sentence=outcome.sentence))
        case NotYet():
            said = before is not None and (before.reason, before.sentence) == (
                outcome.reason,
                outcome.sentence,
            )
            if outcome.unknown or not said:  # a poll that says the same again is not written down again
                events.append(_waited(stage, outcome))
    if events:
        context.record(*events)
    return bool(events)


def _waited(stage: Stage, outcome: NotYet) -> Waited:
    return Waited(
        stage=stage.name,
        reason=outcome.reason,
        sentence=outcome.sentence,
        unknown=outcome.unknown,
        retry_after_seconds=outcome.retry_after_seconds,
    )


def step(assignment: Assignment, name: str) -> Outcome:
    """Run one named stage if it is its turn: what ``lockgate step NAME`` does.

    Done when it is done already or the plan has no such stage, NotYet when it is too early or waits, Refused
    when the promotion goes back. What has to be looked at before the stage may run is looked at first: where
    each stage is a task of its own, nobody else would.
    """
    state = assignment.recorder.read()
    if state is None:
        return _no_such_promotion(assignment)
    if name == ROLL_BACK.name:
        return _roll_back(assignment, state, next_move(assignment, state))
    state, move = _look_first(assignment, state, name)
    if move.kind == "advance" and move.stage == name:
        return perform(assignment, state, state.plan.stage(name))
    if name == "judge" and _is_to_be_told(state):
        perform(assignment, state, state.plan.stage(name))
    return _not_its_turn(state, move, name)


def ask_for_change(assignment: Assignment) -> Outcome:
    """Run the stage ``approve``, and be done as soon as the change is asked for.

    What ``lockgate step approve --asked`` does: its answer, which may take days, is somebody else's to read.
    """
    outcome = step(assignment, "approve")
    state = assignment.recorder.known
    if isinstance(outcome, NotYet) and state is not None and state.change is not None:
        return Done(sentence=f"{state.change.number} is asked for; {outcome.sentence}")
    return outcome


def ask_gate(assignment: Assignment, gate: str) -> Outcome:
    """Ask one gate of the preview: what ``lockgate step judge --gate NAME`` does, side by side with others.

    Done when it passes, Refused when it fails; asked again when its verdict is too old. ``step judge`` then
    collects what all of them said, and is what writes down that the stage is done, or refused.
    """
    state = assignment.recorder.read()
    if state is None:
        return _no_such_promotion(assignment)
    move = next_move(assignment, state)
    stage = next((one for one in state.plan.stages if one.name == move.stage), current(state))
    if stage.step != "judge" or move.kind in ("roll_back", "stop"):
        return _not_its_turn(state, move, "judge")
    if gate not in stage.gates:
        return Done(sentence=f"{gate} is not in this promotion's plan")
    context = _context(assignment, state, stage)
    outcome = _asked(context, partial(judge.run_gate, gate=gate))
    if isinstance(outcome, NotYet):  # what the stage waits for is the worst that any of them said
        worst = judging.outcome(stage, verdicts_of(context.state, stage.name).values())
        _write(context, worst if isinstance(worst, NotYet) else outcome)
    return outcome


def tell_the_desk(assignment: Assignment) -> State:
    """Tell the desk of a way back from 100 % that it could not be told of at the time; the state then.

    Raises:
        CouldNotTell: it does not answer now either.
        JournalMoved: another driver moves this promotion.
        Refused: there is no such promotion.
    """
    state = assignment.recorder.read()
    if state is None:
        missing = _no_such_promotion(assignment)
        raise errors.Refused(missing.reason, missing.sentence)
    context = _context(assignment, state, ROLL_BACK)
    taken_back.tell(context)
    return context.state


def _no_such_promotion(assignment: Assignment) -> Refused:
    sentence = f"there is no promotion {assignment.recorder.promotion}"
    return Refused(reason="no_such_promotion", sentence=sentence)


def _look_first(assignment: Assignment, state: State, name: str) -> tuple[State, Move]:
    """Perform the looks that come before a stage, and only these; the move that is left then."""
    began = assignment.world.clock.now()
    move = drive(assignment, state, began)
    for _ in range(len(state.plan.stages)):
        if move.stage == name or not _only_looks(state, move):
            break
        perform(assignment, state, state.plan.stage(move.stage))
        state = assignment.recorder.known or state
        move = drive(assignment, state, began)
    return state, move


def _only_looks(state: State, move: Move) -> bool:
    """Whether a move changes nothing but what is known."""
    if move.kind != "advance":
        return False
    step = state.plan.stage(move.stage).step
    return move.reason in LOOKS or step == "bake" or (step == "approve" and state.change is not None)


def _not_its_turn(state: State, move: Move, name: str) -> Outcome:
    if name in state.done and (move.kind, move.stage) != ("hold", name):
        return Done(sentence=f"{name} is done already")
    if move.kind in ("roll_back", "stop"):
        return Refused(reason=move.reason, sentence=move.sentence)
    planned = next((stage for stage in state.plan.stages if stage.name == name), None)
    if planned is None:
        return Done(sentence=f"{name} is not in this promotion's plan")
    return NotYet(reason=move.reason, sentence=move.sentence, retry_after_seconds=planned.every_seconds)


def _is_to_be_told(state: State) -> bool:
    """A gate failed when it was asked alone: what all of them said is not shown yet where people look."""
    over = state.refused or state.rollback or state.ended or "judge" in state.done
    return not over and status_of(state, "judge") is Status.FAIL


def _roll_back(assignment: Assignment, state: State, move: Move) -> Outcome:
    if state.ended is not None:
        return Done(sentence=state.ended.sentence)
    if move.kind != "roll_back":
        return Refused(reason="nothing_to_roll_back", sentence=f"nothing to roll back: {move.sentence}")
    if state.rollback is None:
        state = assignment.recorder.add(RollbackBegan(code=move.reason, sentence=move.sentence))
    return perform(assignment, state, ROLL_BACK)


class Engine:
    """Drives one promotion to its end."""

    def __init__(
        self,
        assignment: Assignment,
        *,
        told: Callable[[State, Move], None] | None = None,
        wake_seconds: float = 2.0,
    ) -> None:
        """``told`` hears every move; a hold is looked at again every ``wake_seconds`` for a person's word."""
        self._assignment = assignment
        self._told = told or (lambda state, move: None)
        self._wake_seconds = wake_seconds
        self._asked: dict[str, datetime] = {}
        self._written: State | None = None
        """The state after a line just written: that nobody wrote before it was part of writing it."""

    def run(self) -> State:
        """Move the promotion until it has ended.

        Raises:
            JournalMoved: another driver moves it.
            JournalBroken: its journal was changed after it was written.
        """
        while True:
            try:
                state = self._once()
            except (errors.JournalBroken, errors.JournalMoved):
                raise
            except errors.CouldNotTell as error:  # Git itself is away: nothing can be done, nothing is lost
                log.warning("the journal cannot be reached", error=str(error))
                self._assignment.world.clock.sleep(self._wake_seconds)
                continue
            if state.ended is not None:
                return state

    def _once(self) -> State:
        clock = self._assignment.world.clock
        state, self._written = self._written or self._assignment.recorder.read(), None
        if state is None:
            raise errors.Refused(
                "no_such_promotion", f"there is no promotion {self._assignment.recorder.promotion}"
            )
        move = drive(self._assignment, as_asked(state, self._asked))
        self._told(state, move)
        match move.kind:
            case "stop":
                return state
            case "hold":
                remaining = (move.until - clock.now()).total_seconds() if move.until else self._wake_seconds
                clock.sleep(max(0.05, min(remaining, self._wake_seconds)))
            case "advance":
                _, written = _performed(self._assignment, state, state.plan.stage(move.stage))
                self._asked[move.stage] = clock.now()
                self._written = self._assignment.recorder.known if written else None
            case "roll_back":
                outcome = _roll_back(self._assignment, state, move)
                if isinstance(outcome, NotYet):
                    clock.sleep(min(outcome.retry_after_seconds, self._wake_seconds))
        return self._assignment.recorder.known or state
