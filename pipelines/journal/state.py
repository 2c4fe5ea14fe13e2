"""State is a fold over the events: nothing is remembered that a journal does not say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from gates.contract import Status, Verdict
from pipelines.journal import events as e
from pipelines.journal.lines import Line, verdict_from_data
from pipelines.strategy import Plan, from_data

DEAD_DRIVER_FACTOR = 3.0
"""A gap after an UNKNOWN look counts against the hold budget up to this many times the look's own interval:
longer gaps mean that nobody looked, not that nothing could be told."""


TELL_THE_DESK = "tell the change desk"
"""How what is left undone begins, where the desk could not be told of a way back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why a stage was not done when its step was last asked."""

    reason: str
    sentence: str
    unknown: bool
    at: datetime
    retry_after_seconds: float

    @property
    def again_at(self) -> datetime:
        """When the step is asked again."""
        return self.at + timedelta(seconds=self.retry_after_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A share as the serving layer had it in force."""

    share_percent: int
    at: datetime
    candidate_revision: str
    stable_revision: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a person said, and when."""

    person: str
    reason: str
    at: datetime
    outcome: Literal["aborted", "superseded"] = "aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why the candidate has to go: a step that was refused, or a rollback under way."""

    stage: str
    code: str
    sentence: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standstill:
    """A freeze that keeps a stage from rising."""

    stage: str
    sentence: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a promotion ended."""

    outcome: e.Outcome
    sentence: str
    at: datetime
    left_undone: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything known of one promotion."""

    started: e.Started
    started_at: datetime
    plan: Plan
    done: Mapping[str, datetime] = field(default_factory=dict)
    """Stage -> when it was done."""
    began: Mapping[str, datetime] = field(default_factory=dict)
    """Stage -> when its step was first heard of."""
    waits: Mapping[str, Wait] = field(default_factory=dict)
    """Stage -> why it is not done; gone when it is."""
    unknown_spent_seconds: float = 0.0
    verdicts: Mapping[tuple[str, str], Verdict] = field(default_factory=dict)
    """(stage, gate) -> the latest verdict."""
    looks: Mapping[str, tuple[Mapping[str, object], ...]] = field(default_factory=dict)
    """Gate -> what it counted, look by look, over all shares: the facts ``looks`` of all its verdicts."""
    driven: e.Driven | None = None
    """Who moves it; None: the local engine, which need not say so."""
    driven_at: tuple[datetime, ...] = ()
    """When a workflow took it on, oldest first."""
    proposed: e.Proposed | None = None
    previewed: e.Previewed | None = None
    merged: e.Merged | None = None
    share_percent: int = 0
    """The share last written on main."""
    commits: Mapping[int, str] = field(default_factory=dict)
    """Share -> the commit on main that brought it."""
    served: Mapping[int, Served] = field(default_factory=dict)
    seen: Mapping[int, datetime] = field(default_factory=dict)
    """Share -> when the metrics first showed it."""
    change_intended: e.ChangeIntended | None = None
    change: e.ChangeOpened | None = None
    change_closed: e.ChangeClosed | None = None
    emergency: e.EmergencyOpened | None = None
    """The change that tells the desk of a way back from 100 %."""
    emergency_closed: bool = False
    held: Word | None = None
    freeze: Standstill | None = None
    """The freeze that keeps it from rising now."""
    released: frozenset[str] = frozenset()
    """Manual stages a person gave their word for."""
    abort: Word | None = None
    refused: Fault | None = None
    rollback: Fault | None = None
    zero_commit: str = ""
    """The commit that took the candidate to 0; "" before a rollback wrote it."""
    zero_served: Served | None = None
    zero_seen: datetime | None = None
    promoted: bool = False
    """It once ended at 100 %; a rollback may have begun since."""
    ended: End | None = None
    last_at: datetime
    events: int = 0

    @property
    def promotion(self) -> str:
        """Id of the promotion."""
        return self.started.promotion

    @property
    def desk_owed(self) -> bool:
        """Whether an approved version was taken back and the desk does not know."""
        back = self.promoted and self.rollback is not None and bool(self.zero_commit)
        return back and self.plan.needs_approval and not self.emergency_closed

    def commit_of(self, stage: str) -> str:
        """The commit whose manifests a verdict of that stage must be about; "" while there is none.

        Before the merge it is the pull request's head; for a bake the commit that brought its share;
        for the approval the commit in force when the people are asked.
        """
        planned = self.plan.stage(stage)
        if planned.step == "bake":
            return self.commits.get(planned.share_percent, "")
        if planned.step == "approve" and self.merged is not None:
            return self.commits.get(planned.share_percent, self.merged.commit)
        return self.proposed.head_sha if self.proposed else ""


def fold(lines: Iterable[Line]) -> State | None:
    """The state after these lines; None when there are none. Same lines, same state."""
    state: State | None = None
    for line in lines:
        state = _start(line) if state is None else _apply(state, line)
    return state


def _start(line: Line) -> State:
    if not isinstance(line.event, e.Started):
        raise TypeError(f"a journal begins with started, not {line.event.kind}")
    plan = from_data(line.event.plan)
    return State(started=line.event, started_at=line.at, plan=plan, last_at=line.at, events=1)


def _apply(state: State, line: Line) -> State:
    state = replace(state, last_at=line.at, events=state.events + 1)
    stage = getattr(line.event, "stage", "")
    if stage and stage not in state.began:
        state = replace(state, began={**state.began, stage: line.at})
    return _APPLY[line.event.kind](state, line.event, line.at)


def _rebased(state: State, event: e.Rebased, at: datetime) -> State:
    started = replace(state.started, stable=event.stable, plan=event.plan)
    return replace(state, started=started, plan=from_data(event.plan))


def _driven(state: State, event: e.Driven, at: datetime) -> State:
    taken = (*state.driven_at, at) if event.driver == "argo" else state.driven_at
    return replace(state, driven=event, driven_at=taken)


def _judged(state: State, event: e.Judged, at: datetime) -> State:
    verdict = verdict_from_data(event.verdict)
    verdicts = {**state.verdicts, (event.stage, verdict.gate): verdict}
    if counted := looks_of(verdict):
        before = state.looks.get(verdict.gate, ())
        state = replace(state, looks={**state.looks, verdict.gate: (*before, *counted)})
    return replace(state, verdicts=verdicts)


def looks_of(verdict: Verdict) -> tuple[Mapping[str, object], ...]:
    """What a verdict says was counted since the one before; nothing for gates that keep no looks."""
    looks = verdict.evidence.facts.get("looks", ())
    return tuple(one for one in looks if isinstance(one, Mapping)) if isinstance(looks, list) else ()


def _waited(state: State, event: e.Waited, at: datetime) -> State:
    wait = Wait(
        reason=event.reason,
        sentence=event.sentence,
        unknown=event.unknown,
        at=at,
        retry_after_seconds=event.retry_after_seconds,
    )
    state = _spend(state, event.stage, at)
    return replace(state, waits={**state.waits, event.stage: wait})


def unknown_gap_seconds(wait: Wait | None, until: datetime) -> float:
    """Seconds that an UNKNOWN look burns of the hold budget until another look, or until now."""
    if wait is None or not wait.unknown:
        return 0.0
    gap = (until - wait.at).total_seconds()
    return max(0.0, min(gap, DEAD_DRIVER_FACTOR * wait.retry_after_seconds))


def _spend(state: State, stage: str, at: datetime) -> State:
    burned = unknown_gap_seconds(state.waits.get(stage), at)
    return replace(state, unknown_spent_seconds=state.unknown_spent_seconds + burned)


def _stage_done(state: State, event: e.StageDone, at: datetime) -> State:
    state = _spend(state, event.stage, at)
    waits = {stage: wait for stage, wait in state.waits.items() if stage != event.stage}
    return replace(state, waits=waits, done={**state.done, event.stage: state.done.get(event.stage, at)})


def _share_committed(state: State, event: e.ShareCommitted, at: datetime) -> State:
    if state.rollback is not None:
        return replace(state, share_percent=0, zero_commit=event.commit)
    commits = {**state.commits, event.share_percent: event.commit}
    return replace(state, share_percent=event.share_percent, commits=commits)


def _share_served(state: State, event: e.ShareServed, at: datetime) -> State:
    served = Served(
        share_percent=event.share_percent,
        at=at,
        candidate_revision=event.candidate_revision,
        stable_revision=event.stable_revision,
        url=event.url,
    )
    if state.rollback is not None:
        return replace(state, zero_served=served)
    return replace(state, served={**state.served, event.share_percent: served})


def _share_seen(state: State, event: e.ShareSeen, at: datetime) -> State:
    if state.rollback is not None:
        return replace(state, zero_seen=at)
    return replace(state, seen={**state.seen, event.share_percent: at})


def _resumed(state: State, event: e.Resumed, at: datetime) -> State:
    if event.stage:
        return replace(state, released=state.released | {event.stage})
    return replace(state, held=None)


def _freeze(state: State, event: e.FreezeBegan, at: datetime) -> State:
    first = Standstill(stage=event.stage, sentence=event.sentence, at=at)
    return replace(state, freeze=state.freeze or first)


def _rollback(state: State, event: e.RollbackBegan, at: datetime) -> State:
    fault = Fault(stage="", code=event.code, sentence=event.sentence, at=at)
    return replace(state, rollback=state.rollback or fault, ended=None, freeze=None)


def _ended(state: State, event: e.Ended, at: datetime) -> State:
    end = End(outcome=event.outcome, sentence=event.sentence, at=at, left_undone=event.left_undone)
    return replace(state, ended=end, freeze=None, promoted=state.promoted or event.outcome == "promoted")


def _emergency_closed(state: State, event: e.EmergencyClosed, at: datetime) -> State:
    """Told late, it is no longer undone."""
    ended = state.ended
    if ended is not None:
        left = tuple(piece for piece in ended.left_undone if not piece.startswith(TELL_THE_DESK))
        ended = replace(ended, left_undone=left)
    return replace(state, ended=ended, emergency_closed=True)


_APPLY: Mapping[str, Callable[[State, Any, datetime], State]] = {
    "started": lambda state, event, at: state,
    "rebased": _rebased,
    "driven": _driven,
    "proposed": lambda state, event, at: replace(state, proposed=event),
    "previewed": lambda state, event, at: replace(state, previewed=event),
    "judged": _judged,
    "waited": _waited,
    "step_refused": lambda state, event, at: replace(
        state, refused=Fault(stage=event.stage, code=event.reason, sentence=event.sentence, at=at)
    ),
    "stage_done": _stage_done,
    "merged": lambda state, event, at: replace(state, merged=event),
    "share_committed": _share_committed,
    "share_served": _share_served,
    "share_seen": _share_seen,
    "change_intended": lambda state, event, at: replace(state, change_intended=event),
    "change_opened": lambda state, event, at: replace(state, change=event),
    "change_closed": lambda state, event, at: replace(state, change_closed=event),
    "emergency_opened": lambda state, event, at: replace(state, emergency=event),
    "emergency_closed": _emergency_closed,
    "held": lambda state, event, at: replace(
        state, held=Word(person=event.person, reason=event.reason, at=at)
    ),
    "resumed": _resumed,
    "freeze_began": _freeze,
    "freeze_ended": lambda state, event, at: replace(state, freeze=None),
    "abort_asked": lambda state, event, at: replace(
        state, abort=Word(person=event.person, reason=event.reason, at=at, outcome=event.outcome)
    ),
    "rollback_began": _rollback,
    "ended": _ended,
}


def verdicts_of(state: State, stage: str) -> dict[str, Verdict]:
    """The latest verdict of each gate at a stage that is about the right subject; others do not count."""
    commit = state.commit_of(stage)
    found = {}
    for (at_stage, gate), verdict in state.verdicts.items():
        subject = verdict.subject
        right = (
            subject.digest == state.started.candidate["digest"]
            and subject.environment == state.started.environment
            and subject.model == state.started.model
            and subject.stage == stage
            and subject.commit == commit != ""
        )
        if at_stage == stage and right:
            found[gate] = verdict
    return found


def status_of(state: State, stage: str) -> Status:
    """What the deciding gates of a stage make of it; a gate without a verdict is WAIT."""
    statuses = {gate: verdict.status for gate, verdict in verdicts_of(state, stage).items()}
    return state.plan.stage(stage).status(statuses)
