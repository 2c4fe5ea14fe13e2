"""The picture of a whole promotion: its share over time, what was observed, holds, moments, verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gates.contract import Status
from pipelines.reports.charts import Picture, Scale, Tick, path, rows, thinned, time_scale, time_ticks
from pipelines.reports.series import Look, Moment, Period
from pipelines.reports.story import symbol
from pipelines.reports.words import clean, clock, count, span

LEFT, RIGHT, PLOT, ROW, LANE, AXIS = 84.0, 32.0, 190.0, 18.0, 24.0, 24.0
_CELL = 13.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A stretch of time, with its coordinates and its words."""

    x: float
    width: float
    title: str
    text: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A numbered moment."""

    x: float
    y: float
    number: int
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """An observed share with its interval."""

    x: float
    y: float
    low: float
    high: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One gate's verdicts over time."""

    y: float
    gate: str
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareChart(Picture):
    """Everything the template draws of it."""

    line: str
    area: str
    dots: tuple[Dot, ...]
    holds: tuple[Box, ...]
    flags: tuple[Flag, ...]
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareData:
    """What a share chart is drawn of."""

    steps: Sequence[tuple[datetime, int]]
    end: datetime
    planned: Sequence[int]
    """Shares of the plan: where the axis has its ticks."""
    looks: Sequence[Look]
    holds: Sequence[Period]
    moments: Sequence[Moment]
    statuses: Mapping[str, Sequence[tuple[datetime, Status]]]


def share_chart(data: ShareData, *, key: str, width: float) -> ShareChart:
    """Lay the picture out for a width; ``key`` makes its element ids unique in the page."""
    x = time_scale(data.steps[0][0], data.end, LEFT, width - RIGHT)
    places = [x.at(moment.at) for moment in data.moments]
    row_of = rows(places, 20.0)
    top = 10.0 + ROW * (max(row_of, default=-1) + 1)
    bottom = top + PLOT
    y = Scale(low=0.0, high=100.0, start=bottom, end=top)
    line = _line(data, x, y)
    return ShareChart(
        key=key,
        width=width,
        height=bottom + AXIS + LANE * len(data.statuses) + 8.0,
        left=LEFT,
        right=width - RIGHT,
        top=top,
        bottom=bottom,
        x_ticks=time_ticks(x, at_most=max(2, int((width - LEFT - RIGHT) / 90))),
        y_ticks=_share_ticks(data.planned, y),
        line=path(line),
        area=path([(line[0][0], bottom), *line, (line[-1][0], bottom)]),
        dots=_dots(data.looks, x, y),
        holds=tuple(_period(period, x) for period in data.holds),
        flags=tuple(
            Flag(
                x=place,
                y=4.0 + ROW * row + ROW / 2,
                number=n,
                title=f"{n}: {moment.label}, {clock(moment.at)}",
            )
            for n, (moment, place, row) in enumerate(zip(data.moments, places, row_of, strict=True), start=1)
        ),
        lanes=tuple(
            Lane(y=bottom + AXIS + LANE * n, gate=clean(gate, 12), boxes=_cells(seen, x))
            for n, (gate, seen) in enumerate(data.statuses.items())
        ),
        description=_described(data),
    )


def _line(data: ShareData, x: Scale, y: Scale) -> list[tuple[float, float]]:
    """The steps, each held until the next."""
    points = [(x.at(data.steps[0][0]), y(0))]
    for at, share in data.steps:
        points += [(x.at(at), points[-1][1]), (x.at(at), y(share))]
    return [*points, (x.at(data.end), points[-1][1])]


def _share_ticks(planned: Sequence[int], y: Scale) -> tuple[Tick, ...]:
    """Ticks at the shares of the plan, those left out that would touch their neighbour."""
    kept: list[int] = [100]
    for share in sorted({0, *planned} - {100}, reverse=True):
        if kept[-1] - share >= 8:
            kept.append(share)
    return tuple(Tick(place=y(share), label=f"{share} %") for share in reversed(kept))


def _dots(looks: Sequence[Look], x: Scale, y: Scale) -> tuple[Dot, ...]:
    places = [x.at(look.at) for look in looks]
    dots = []
    for n in thinned(places, 16.0):
        look = looks[n]
        low = look.value if look.low is None else look.low
        high = look.value if look.high is None else look.high
        title = f"{look.value:.2f} % observed at {clock(look.at)} ({low:.2f} to {high:.2f})"
        dots.append(Dot(x=places[n], y=y(look.value), low=y(low), high=y(min(high, 100.0)), title=title))
    return tuple(dots)


def _period(period: Period, x: Scale) -> Box:
    left = x.at(period.since)
    title = f"{period.label}, for {span((period.until - period.since).total_seconds())}"
    return Box(x=left, width=round(max(x.at(period.until) - left, 2.0), 1), title=title)


def _cells(seen: Sequence[tuple[datetime, Status]], x: Scale) -> tuple[Box, ...]:
    """Verdicts in cells of one width, the worst of each cell; neighbours of one status become one box."""
    cells: dict[int, list[tuple[datetime, Status]]] = {}
    for at, status in seen:
        cells.setdefault(int((x.at(at) - x.start) / _CELL), []).append((at, status))
    runs: list[tuple[int, int, list[tuple[datetime, Status]]]] = []
    for cell, looks in sorted(cells.items()):
        last = runs[-1] if runs else None
        if last and cell - last[1] <= 3 and _worst(last[2]) is _worst(looks):
            runs[-1] = (last[0], cell, [*last[2], *looks])
        else:
            runs.append((cell, cell, looks))
    return tuple(_run(first, last, looks, x) for first, last, looks in runs)


def _worst(looks: Sequence[tuple[datetime, Status]]) -> Status:
    return Status.worst(status for _, status in looks)


def _run(first: int, last: int, looks: Sequence[tuple[datetime, Status]], x: Scale) -> Box:
    status = _worst(looks)
    left = x.start + first * _CELL
    width = min((last - first + 1) * _CELL - 1.0, x.end - left + _CELL)
    title = f"{status.name}: {count(len(looks), 'look')}, {clock(looks[0][0])} to {clock(looks[-1][0])}"
    return Box(
        x=round(left, 1), width=round(width, 1), title=title, text=symbol(status), status=status.name.lower()
    )


def _described(data: ShareData) -> str:
    steps = ", ".join(f"{share} % from {clock(at)}" for at, share in data.steps)
    held = "".join(f"; {period.label}" for period in data.holds)
    return f"The candidate's share of live requests: {steps}, until {clock(data.end)}{held}"
