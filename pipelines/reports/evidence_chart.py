"""The picture of a sequential judgement: evidence of harm over time, on the way to where it acts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from gates.evaluation.card import number
from pipelines.journal.state import State
from pipelines.reports.charts import Picture, Scale, Tick, path, thinned, time_scale, time_ticks
from pipelines.reports.series import Seen
from pipelines.reports.words import clock

MEASUREMENT = "evidence_of_harm"
"""An e-value; its threshold is where it acts, one over alpha."""
HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 220.0, 52.0, 16.0, 24.0, 200.0
LEAST, MOST = 0.01, 1e6
"""Evidence beyond is drawn at the picture's edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """The evidence as one look had it, with everything before."""

    at: datetime
    share_percent: int
    value: float
    acts_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A stretch of time at one share."""

    x: float
    width: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceChart(Picture):
    """Everything the template draws of it."""

    rungs: tuple[Rung, ...]
    acts: float
    acts_label: str
    line: str
    dots: tuple[tuple[float, float, str], ...]


def strengths(seen: Seen, state: State) -> tuple[Strength, ...]:
    """The evidence at every look of a bake that measured it, in order of time."""
    shares = {stage.name: stage.share_percent for stage in state.plan.stages if stage.step == "bake"}
    return tuple(
        Strength(at=verdict.at, share_percent=shares[stage], value=value, acts_at=acts_at)
        for stage, verdict in seen
        if stage in shares
        for one in verdict.evidence.measurements
        if one.name == MEASUREMENT
        for value, acts_at in [(_positive(one.value), _positive(one.threshold))]
        if value is not None and acts_at
    )


def _positive(value: object) -> float | None:
    found = number(value)
    return found if found is not None and found >= 0 else None


def evidence_chart(found: Sequence[Strength], *, key: str, width: float) -> EvidenceChart:
    """Lay the picture out for a width; ``key`` makes its element ids unique in the page."""
    x = time_scale(found[0].at, found[-1].at, LEFT, width - RIGHT)
    acts_at = found[-1].acts_at
    top = math.ceil(math.log10(min(max(10 * acts_at, *(one.value for one in found)), MOST)))
    y = Scale(low=math.log10(LEAST), high=float(top), start=BOTTOM, end=TOP)
    points = [(x.at(one.at), y(_log(one.value, top))) for one in found]
    return EvidenceChart(
        key=key,
        width=width,
        height=HEIGHT,
        left=LEFT,
        right=width - RIGHT,
        top=TOP,
        bottom=BOTTOM,
        x_ticks=time_ticks(x, at_most=max(2, int((width - LEFT - RIGHT) / 90))),
        y_ticks=tuple(
            Tick(place=y(power), label=f"{10.0**power:,g}" if power < 0 else f"{10**power:,}")
            for power in range(-2, top + 1)
        ),
        rungs=tuple(_rungs(found, x)),
        acts=y(_log(acts_at, top)),
        acts_label=f"acts at {acts_at:g}",
        line=path(points[n] for n in _drawn(found, points)),
        dots=tuple((*points[n], _told(found[n])) for n in thinned([place for place, _ in points], 14.0)),
        description=_described(found),
    )


def _drawn(found: Sequence[Strength], points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the line's points: so far apart that a day of looks stays small, and the highest."""
    highest = max(range(len(found)), key=lambda n: found[n].value)
    return sorted({highest, *thinned([place for place, _ in points], 4.0)})


def _log(value: float, top: int) -> float:
    return min(math.log10(max(value, LEAST)), float(top))


def _rungs(found: Sequence[Strength], x: Scale) -> Iterable[Rung]:
    """From the first look at a share to the first at the next."""
    firsts = [one for n, one in enumerate(found) if n == 0 or one.share_percent != found[n - 1].share_percent]
    ends = [*(x.at(one.at) for one in firsts[1:]), x.end]
    for one, end in zip(firsts, ends, strict=True):
        left = x.at(one.at)
        yield Rung(x=left, width=round(max(end - left, 1.0), 1), label=f"{one.share_percent} %")


def _told(one: Strength) -> str:
    value = f"{one.value:,.0f}" if one.value >= 100 else f"{one.value:.3g}"
    return f"{value} at {clock(one.at)}, {one.share_percent} %"


def _described(found: Sequence[Strength]) -> str:
    highest = max(found, key=lambda one: one.value)
    return f"Highest {_told(highest)}; at the last look {_told(found[-1])}. It acts at {found[-1].acts_at:g}."
