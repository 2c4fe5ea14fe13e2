"""What the pictures show, taken from a journal: shares in force, looks of the gates, holds, moments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gates.contract import Measurement, Status, Verdict
from pipelines.journal import events as e
from pipelines.journal.lines import Line, verdict_from_data
from pipelines.journal.state import State
from pipelines.reports.words import clean

ARMS = ("stable", "candidate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One value at one instant, in percent, with the bounds of its interval where it has any."""

    at: datetime
    value: float
    low: float | None
    high: float | None
    samples: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How one share of requests went at both arms while one share of traffic was watched."""

    stage: str
    share_percent: int
    threshold: float | None
    """The objective's budget, percent."""
    arms: Mapping[str, tuple[Look, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A time in which nothing rises."""

    since: datetime
    until: datetime
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that happened once."""

    at: datetime
    label: str


Seen = Sequence[tuple[str, Verdict]]
"""(stage, verdict), in order of time."""


def verdicts(lines: Iterable[Line], state: State) -> Seen:
    """Every verdict about this promotion's candidate."""
    judged = ((line.event.stage, line.event.verdict) for line in lines if isinstance(line.event, e.Judged))
    parsed = ((stage, verdict_from_data(verdict)) for stage, verdict in judged)
    digest = state.started.candidate["digest"]
    return tuple((stage, verdict) for stage, verdict in parsed if verdict.subject.digest == digest)


def _look(at: datetime, one: Measurement) -> Look | None:
    if isinstance(one.value, bool) or not isinstance(one.value, int | float):
        return None
    return Look(at=at, value=float(one.value), low=one.low, high=one.high, samples=one.samples)


def rates(seen: Seen, state: State, name: str) -> tuple[Rate, ...]:
    """A measurement of that name at every bake stage; of several gates that have it, one with intervals."""
    bakes = {stage.name: stage for stage in state.plan.stages if stage.step == "bake"}
    found: dict[str, dict[str, _Gathered]] = {stage: {} for stage in bakes}
    for stage, verdict in seen:
        for one in verdict.evidence.measurements:
            look = _look(verdict.at, one)
            if stage in bakes and one.name == name and one.arm and look is not None:
                found[stage].setdefault(verdict.gate, _Gathered()).add(one, look)
    chosen = {
        stage: max(gates.values(), key=lambda one: one.bounded) for stage, gates in found.items() if gates
    }
    return tuple(
        Rate(
            stage=name,
            share_percent=bakes[name].share_percent,
            threshold=one.threshold,
            arms={arm: tuple(looks) for arm, looks in one.arms.items()},
        )
        for name, one in chosen.items()
    )


@dataclass(slots=True)
class _Gathered:
    """A rate while the looks of one gate are gathered."""

    arms: dict[str, list[Look]] = field(default_factory=lambda: {arm: [] for arm in ARMS})
    threshold: float | None = None
    bounded: int = 0
    """Looks with an interval."""

    def add(self, one: Measurement, look: Look) -> None:
        """One more look at one arm."""
        self.arms[one.arm].append(look)
        self.bounded += look.low is not None
        self.threshold = one.threshold if one.threshold is not None else self.threshold


def observed(seen: Seen) -> tuple[Look, ...]:
    """The share as the metrics showed it, at every look."""
    looks = (
        _look(verdict.at, one)
        for _, verdict in seen
        for one in verdict.evidence.measurements
        if one.name == "observed_share"
    )
    return tuple(look for look in looks if look is not None)


def statuses(seen: Seen) -> dict[str, tuple[tuple[datetime, Status], ...]]:
    """Gate -> its statuses in order of time."""
    found: dict[str, list[tuple[datetime, Status]]] = {}
    for _, verdict in seen:
        found.setdefault(verdict.gate, []).append((verdict.at, verdict.status))
    return {gate: tuple(looks) for gate, looks in found.items()}


def candidate_requests(seen: Seen) -> int | None:
    """Live requests to the candidate that the share gate counted at all stages; None if it never did."""
    most: dict[str, int] = {}
    for stage, verdict in seen:
        for one in verdict.evidence.measurements:
            if one.name == "requests" and one.arm == "candidate" and isinstance(one.value, int):
                most[stage] = max(most.get(stage, 0), one.value)
    return sum(most.values()) if most else None


def shares(lines: Sequence[Line]) -> tuple[tuple[datetime, int], ...]:
    """(instant, percent) whenever another share came into force; at first it is 0."""
    steps = [(lines[0].at, 0)]
    for line in lines:
        if isinstance(line.event, e.ShareServed) and line.event.share_percent != steps[-1][1]:
            steps.append((line.at, line.event.share_percent))
    return tuple(steps)


def holds(lines: Sequence[Line]) -> tuple[Period, ...]:
    """When a person, or a freeze, kept the promotion from rising."""
    periods: list[Period] = []
    begun: dict[str, tuple[datetime, str]] = {}
    for line in lines:
        match line.event:
            case e.Held(person=person, reason=reason):
                begun.setdefault("person", (line.at, f"held by {clean(person)}: {clean(reason)}"))
            case e.FreezeBegan(sentence=sentence):
                begun.setdefault("freeze", (line.at, clean(sentence)))
        for kind in [kind for kind in begun if _ends(kind, line.event)]:
            since, label = begun.pop(kind)
            periods.append(Period(since=since, until=line.at, label=label))
    end = lines[-1].at
    periods += [Period(since=since, until=end, label=label) for since, label in begun.values()]
    return tuple(sorted(periods, key=lambda period: period.since))


def _ends(kind: str, event: e.Event) -> bool:
    if kind == "person":
        return isinstance(event, e.Resumed) and not event.stage
    return isinstance(event, e.FreezeEnded | e.RollbackBegan | e.Ended)


def moments(lines: Sequence[Line], seen: Seen, state: State) -> tuple[Moment, ...]:
    """What a reader looks for on the time axis."""
    found = [Moment(at=line.at, label=label) for line in lines if (label := _moment(line.event))]
    gates = {gate for stage in state.plan.stages if stage.step == "approve" for gate in stage.gates}
    approved = (v for _, v in seen if v.gate in gates and v.status is Status.PASS)
    if (first := next(approved, None)) is not None:
        found.append(Moment(at=first.at, label="found approved"))
    return tuple(sorted(found, key=lambda moment: moment.at))


def _moment(event: e.Event) -> str:
    match event:
        case e.Merged():
            return "merged"
        case e.ChangeOpened():
            return f"change {clean(event.number, 40)} opened"
        case e.RollbackBegan():
            return "decided to go back to 0 %"
        case e.ShareServed(stage="roll_back"):
            return "0 % in force"
        case e.AbortAsked():
            return f"ended by {clean(event.person, 40)}"
        case e.Ended():
            return event.outcome.replace("_", " ")
    return ""
