"""The picture of a load test: how its latencies are spread, with the objective marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gates.contract import Verdict
from pipelines.reports.charts import Picture, Scale, Tick
from pipelines.reports.words import count

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640.0, 254.0, 64.0, 16.0, 54.0, 220.0
OBJECTIVE_Y, P99_Y, P50_Y = 14.0, 30.0, 46.0
"""A row for each label above the plot, so that none hides another, or a bar."""
_TICKS = (1, 2, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The requests between two edges."""

    x: float
    y: float
    width: float
    height: float
    over: bool
    """Above the objective."""
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A percentile, or the objective."""

    x: float
    y: float
    """Of its label."""
    label: str
    anchor: str
    """On which side of its line the label stands: ``start`` or ``end``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyChart(Picture):
    """Everything the template draws of it."""

    bars: tuple[Bar, ...]
    objective: Mark | None
    percentiles: tuple[Mark, ...]


def latency_chart(verdict: Verdict, key: str) -> LatencyChart | None:
    """Of the load gate's ``latencies_ms``; None without any. ``key`` names the picture in its page."""
    rows = _rows(verdict.evidence.facts.get("latencies_ms"))
    if len(rows) < 2 or not any(requests for _, requests in rows):
        return None
    objective = next((one.threshold for one in verdict.evidence.measurements if one.name == "p99_ms"), None)
    least, most = rows[0][0], rows[-1][0]
    if objective and objective > 0:
        least, most = min(least, objective / 1.2), max(most, objective * 1.2)
    x = Scale(low=math.log10(least), high=math.log10(most), start=LEFT, end=WIDTH - RIGHT)
    decades = max(1, math.ceil(math.log10(max(requests for _, requests in rows))))
    y = Scale(low=-0.3, high=float(decades), start=BOTTOM, end=TOP)
    total = sum(requests for _, requests in rows)
    over = sum(requests for edge, requests in rows if objective and edge > objective)
    return LatencyChart(
        key=key,
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        top=TOP,
        bottom=BOTTOM,
        x_ticks=_time_ticks(x),
        y_ticks=tuple(Tick(place=y(power), label=f"{10**power:,}") for power in range(decades + 1)),
        bars=tuple(
            _bar(below, edge, requests, objective, x, y)
            for (below, _), (edge, requests) in pairwise(rows)
            if requests
        ),
        objective=_mark(x, objective, OBJECTIVE_Y, f"objective {objective:g} ms") if objective else None,
        percentiles=tuple(_percentiles(verdict, x)),
        description=f"{count(total, 'request')} from {rows[0][0]:.3g} to {rows[-1][0]:.3g} ms"
        + (f"; {over:,} took longer than {objective:g} ms" if objective else ""),
    )


def _rows(kept: object) -> list[tuple[float, int]]:
    """What the gate wrote; empty where it is anything else."""
    rows: list[tuple[float, int]] = []
    for row in kept if isinstance(kept, Sequence) and not isinstance(kept, str) else ():
        match row:
            case [int() | float() as edge, int() as requests] if math.isfinite(edge) and edge > 0 <= requests:
                rows.append((float(edge), requests))
            case _:
                return []
    return rows if all(a < b for (a, _), (b, _) in pairwise(rows)) else []


def _bar(below: float, edge: float, requests: int, objective: float | None, x: Scale, y: Scale) -> Bar:
    left, right, top = x(math.log10(below)), x(math.log10(edge)), y(math.log10(requests))
    return Bar(
        x=left,
        y=top,
        width=round(max(right - left - 0.8, 0.6), 1),
        height=round(BOTTOM - top, 1),
        over=objective is not None and edge > objective,
        title=f"{count(requests, 'request')} above {below:.3g} and at most {edge:.3g} ms",
    )


def _mark(x: Scale, value: float, y: float, label: str) -> Mark:
    place = x(math.log10(value))
    return Mark(x=place, y=y, label=label, anchor="start" if place < (LEFT + WIDTH - RIGHT) / 2 else "end")


def _percentiles(verdict: Verdict, x: Scale) -> list[Mark]:
    found = {one.name: one.value for one in verdict.evidence.measurements}
    named = ((name, y, found.get(f"{name}_ms")) for name, y in (("p50", P50_Y), ("p99", P99_Y)))
    return [
        _mark(x, value, y, f"{name} {value:.3g} ms")
        for name, y, value in named
        if isinstance(value, int | float) and value > 0
    ]


def _time_ticks(x: Scale) -> tuple[Tick, ...]:
    """1, 2, 5 times powers of ten within the picture; powers alone where those would crowd."""
    whole = range(math.floor(x.low), math.ceil(x.high) + 1)
    factors = _TICKS if x.high - x.low <= 3 else (1,)
    values = [factor * 10.0**power for power in whole for factor in factors]
    inside = [value for value in values if x.low <= math.log10(value) <= x.high]
    return tuple(Tick(place=x(math.log10(value)), label=f"{value:g} ms") for value in inside)
