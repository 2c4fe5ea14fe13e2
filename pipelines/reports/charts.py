"""From numbers to the coordinates that the report's templates draw. Widths and heights are SVG user units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Seconds between ticks of a time axis, where one of these gives few enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A straight line from values to coordinates; a range of no length maps to its middle."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The coordinate of a value, to a tenth of a unit."""
        if self.high == self.low:
            return round((self.start + self.end) / 2, 1)
        part = (value - self.low) / (self.high - self.low)
        return round(self.start + part * (self.end - self.start), 1)

    def at(self, instant: datetime) -> float:
        """The coordinate of an instant, for a scale over seconds since the epoch."""
        return self(instant.timestamp())


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A place on an axis and what stands there."""

    place: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What every picture has: its size, where the plot is in it, its axes, and its content in words."""

    key: str
    """Makes its element ids unique in the page."""
    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...] = ()
    y_ticks: tuple[Tick, ...] = ()
    description: str


def time_scale(start: datetime, end: datetime, left: float, right: float) -> Scale:
    """A scale over instants; at least a second long."""
    first = start.timestamp()
    return Scale(low=first, high=max(end.timestamp(), first + 1.0), start=left, end=right)


def time_ticks(scale: Scale, at_most: int) -> tuple[Tick, ...]:
    """Ticks at round times of day (UTC), at most that many."""
    seconds = scale.high - scale.low
    step = next((step for step in _TIME_STEPS if seconds / step <= at_most), 0)
    if not step:
        step = 86400 * math.ceil(seconds / 86400 / at_most)
    form = "%H:%M:%S" if step < 60 else "%H:%M"
    if seconds > 86400:
        form = "%d %b %H:%M" if step < 86400 else "%d %b"
    first = math.ceil(scale.low / step)
    ticks = []
    for n in range(first, math.floor(scale.high / step) + 1):
        label = f"{datetime.fromtimestamp(n * step, UTC):{form}}"
        ticks.append(Tick(place=scale(n * step), label=label))
    return tuple(ticks)


def nice_ceiling(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten that is not below a positive value."""
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(round(n * power, 12) for n in (1, 2, 2.5, 5, 10) if n * power >= value * (1 - 1e-9))


def value_ticks(scale: Scale) -> tuple[Tick, ...]:
    """Four to six ticks from 0 to the top of a scale in percent."""
    step = nice_ceiling(scale.high / 5)
    whole = range(math.floor(scale.high / step * (1 + 1e-9)) + 1)
    return tuple(Tick(place=scale(n * step), label=f"{n * step:g} %") for n in whole)


def path(points: Iterable[tuple[float, float]]) -> str:
    """An SVG path through these points."""
    return " ".join(f"{'L' if n else 'M'}{x:g} {y:g}" for n, (x, y) in enumerate(points))


def thinned(places: Sequence[float], apart: float) -> tuple[int, ...]:
    """Indices of places to draw so that neighbours stand apart; the last always stays."""
    kept: list[int] = []
    for n in range(len(places) - 1, -1, -1):
        if not kept or places[kept[-1]] - places[n] >= apart:
            kept.append(n)
    return tuple(reversed(kept))


def rows(places: Sequence[float], apart: float) -> tuple[int, ...]:
    """A row for each place, the first free one, so that in one row neighbours stand apart."""
    ends: list[float] = []
    given = []
    for place in places:
        row = next((n for n, end in enumerate(ends) if place - end >= apart), len(ends))
        ends[row : row + 1] = [place]
        given.append(row)
    return tuple(given)
