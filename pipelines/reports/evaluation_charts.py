"""Pictures of an evaluation: how far from its margin each difference lies, and what scores mean.

Both are drawn from the verdict's evidence alone. What is not as expected there is left out of the picture,
never guessed; the tables beside it have it still.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gates.contract import Measurement, Verdict
from gates.evaluation.card import GATES, maps, number
from pipelines.reports.charts import Picture, Scale, Tick, nice_ceiling, path
from pipelines.reports.words import clean, count

WIDTH, LEFT, RIGHT, ROW, HEAD = 640.0, 210.0, 20.0, 24.0, 30.0
EDGE = 3.0
"""A difference of more margins than this is drawn at the picture's edge."""
SIDE, INSET = 320.0, 40.0
MOST_ROWS = 60
"""More slices than this stand in the table alone."""
_STATES = frozenset({"shown", "not_shown", "missed"})
_SMALLER_IS_BETTER = frozenset({"log_loss", "brier", "cost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Whisker:
    """One difference: its place, its bounds, in words what it is."""

    y: float
    label: str
    x: float | None
    """None where there are too few rows for one."""
    low: float
    high: float
    cut: bool
    """A bound lies beyond the picture's edge."""
    state: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest(Picture):
    """Candidate against champion, measure by measure and slice by slice, in units of what is borne."""

    zero: float
    margin: float
    rows: tuple[Whisker, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One bin of the calibration curve."""

    x: float
    y: float
    low: float
    high: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability(Picture):
    """Of rows scored alike, how many are labelled 1; perfect scores lie on the diagonal."""

    curves: tuple[tuple[str, str, tuple[Dot, ...]], ...]
    """(arm, line, dots)"""


# ------------------------------------------------------------------------ differences


def forest(verdict: Verdict, key: str) -> Forest | None:
    """All differences that have a margin; None where there is none. ``key`` names the picture in its page."""
    if verdict.gate not in GATES:
        return None
    found = [*_measures(verdict.evidence.measurements), *_slices(verdict.evidence.facts)][:MOST_ROWS]
    if not found:
        return None
    height = HEAD + ROW * len(found) + 24.0
    x = Scale(low=-EDGE, high=EDGE, start=LEFT, end=WIDTH - RIGHT)
    rows = tuple(_whisker(one, HEAD + ROW * (n + 0.5), x) for n, one in enumerate(found))
    return Forest(
        key=key,
        width=WIDTH,
        height=height,
        left=LEFT,
        right=WIDTH - RIGHT,
        top=HEAD,
        bottom=HEAD + ROW * len(found),
        zero=x(0.0),
        margin=x(-1.0),
        rows=rows,
        description="; ".join(row.title for row in rows),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    state: str
    said: str
    margins: tuple[float, float, float] | None
    """Value and bounds, better to the right, one being the margin."""


def _measures(found: Sequence[Measurement]) -> Iterator[_Row]:
    for one in found:
        name = one.name.removesuffix("_difference")
        if name == one.name or one.threshold is None:
            continue
        value = {"value": one.value, "low": one.low, "high": one.high}
        margins = _in_margins(name, value, abs(one.threshold))
        if margins:
            shown = "shown" if margins[1] >= -1.0 else "missed" if margins[2] < -1.0 else "not_shown"
            yield _Row(clean(name.replace("_", " "), 40), shown, _said(value, one.threshold), margins)


def _slices(facts: Mapping[str, object]) -> Iterator[_Row]:
    for one in maps(facts, "slices"):
        label, differences = clean(one.get("slice"), 40), one.get("differences")
        if one.get("state") == "insufficient":
            rows = number(one.get("rows"))
            yield _Row(label, "insufficient", f"insufficient: {count(int(rows or 0), 'row')}", None)
            continue
        for need in maps(one, "needs"):
            name, limit = str(need.get("measure")), number(need.get("limit"))
            value = differences.get(name) if isinstance(differences, Mapping) else None
            if need.get("kind") != "margin" or limit is None or not isinstance(value, Mapping):
                continue
            if margins := _in_margins(name, value, limit):
                said = _said(value, limit)
                state = str(need.get("state"))
                yield _Row(f"{label}, {clean(name, 20)}", state if state in _STATES else "", said, margins)


def _in_margins(name: str, value: Mapping[str, object], margin: float) -> tuple[float, float, float] | None:
    """Value and bounds as multiples of the margin; None where one of them is missing or the margin is 0."""
    seen, low, high = (number(value.get(key)) for key in ("value", "low", "high"))
    if seen is None or low is None or high is None or margin <= 0:
        return None
    if name in _SMALLER_IS_BETTER:
        seen, low, high = -seen, -high, -low
    return seen / margin, low / margin, high / margin


def _said(value: Mapping[str, object], margin: float) -> str:
    seen, low, high = (number(value.get(key)) for key in ("value", "low", "high"))
    return f"{seen or 0.0:+.4g} ({low or 0.0:+.4g} to {high or 0.0:+.4g}), margin {abs(margin):g}"


def _whisker(one: _Row, y: float, x: Scale) -> Whisker:
    value, low, high = one.margins or (0.0, 0.0, 0.0)
    return Whisker(
        y=y,
        label=one.label,
        x=x(_within(value)) if one.margins else None,
        low=x(_within(low)),
        high=x(_within(high)),
        cut=low < -EDGE or high > EDGE,
        state=one.state,
        title=f"{one.label}: {one.said}",
    )


def _within(value: float) -> float:
    return min(max(value, -EDGE), EDGE)


# ------------------------------------------------------------------------ calibration


def reliability(verdict: Verdict, key: str) -> Reliability | None:
    """The picture of both arms' calibration curves; None where the scores are no probabilities."""
    kept = verdict.evidence.facts.get("calibration")
    if verdict.gate not in GATES or not isinstance(kept, Mapping):
        return None
    bins = {arm: tuple(_bins(kept, arm)) for arm in ("stable", "candidate")}
    everything = [value for found in bins.values() for one in found for value in (one[0], one[1])]
    if not bins["candidate"]:
        return None
    top = min(1.0, nice_ceiling(max(*everything, 0.01)))
    x = Scale(low=0.0, high=top, start=INSET, end=SIDE - 12.0)
    y = Scale(low=0.0, high=top, start=SIDE - INSET, end=12.0)
    labels = [(n * top / 4, f"{n * top / 4:.4g}") for n in range(5)]
    return Reliability(
        key=key,
        width=SIDE,
        height=SIDE,
        left=INSET,
        right=SIDE - 12.0,
        top=12.0,
        bottom=SIDE - INSET,
        x_ticks=tuple(Tick(place=x(value), label=label) for value, label in labels),
        y_ticks=tuple(Tick(place=y(value), label=label) for value, label in labels),
        curves=tuple((arm, *_curve(found, arm, x, y, top)) for arm, found in bins.items() if found),
        description="; ".join(_told(arm, found) for arm, found in bins.items() if found),
    )


_Bin = tuple[float, float, float, float, int]
"""Score, share labelled 1, its bounds, rows."""


def _bins(kept: Mapping[str, object], arm: str) -> Iterator[_Bin]:
    for one in maps(kept, arm):
        found = [number(one.get(key)) for key in ("score", "labelled", "low", "high", "rows")]
        score, labelled, low, high, rows = found
        if score is None or labelled is None or low is None or high is None or rows is None:
            continue
        yield score, labelled, low, high, int(rows)


def _curve(found: Sequence[_Bin], arm: str, x: Scale, y: Scale, top: float) -> tuple[str, tuple[Dot, ...]]:
    dots = tuple(
        Dot(
            x=x(score),
            y=y(labelled),
            low=y(low),
            high=y(min(high, top)),
            title=f"{arm}: scored {score:.3g}, {labelled:.3g} labelled 1 "
            f"({low:.3g} to {high:.3g}), {count(rows, 'row')}",
        )
        for score, labelled, low, high, rows in found
    )
    return path((dot.x, dot.y) for dot in dots), dots


def _told(arm: str, found: Sequence[_Bin]) -> str:
    return f"{arm}: " + ", ".join(f"{score:.3g} is {labelled:.3g}" for score, labelled, *_ in found)
