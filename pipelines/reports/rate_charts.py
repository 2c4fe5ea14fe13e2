"""Pictures of bad requests: one panel for each watched share, both arms with intervals, and the objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.reports.charts import Picture, Scale, nice_ceiling, path, thinned, value_ticks
from pipelines.reports.series import ARMS, Look, Rate
from pipelines.reports.words import clock, count

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 320.0, 200.0, 46.0, 12.0, 12.0, 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One arm: the line, the band of its intervals, the places of its looks."""

    arm: str
    line: str
    band: str
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel(Picture):
    """One watched share."""

    title: str
    from_label: str
    to_label: str
    objective: float | None
    """Where the objective's line is; None without one."""
    objective_label: str
    objective_label_y: float
    curves: tuple[Curve, ...]
    caption: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateChart:
    """All panels of one kind of bad request; they share their scale."""

    title: str
    explanation: str
    cut: bool
    """Some interval reaches beyond the picture's edge."""
    panels: tuple[Panel, ...]

    @property
    def single(self) -> bool:
        """One share was watched: the picture fits beside another."""
        return len(self.panels) == 1


def rate_chart(found: Sequence[Rate], *, key: str, title: str, explanation: str) -> RateChart:
    """Lay out one panel for each watched share."""
    top = _top(found)
    highs = [look.high or 0.0 for rate in found for looks in rate.arms.values() for look in looks]
    panels = tuple(_panel(rate, top, f"{key}-{n}", title) for n, rate in enumerate(found))
    return RateChart(title=title, explanation=explanation, cut=max(highs, default=0.0) > top, panels=panels)


def _top(found: Sequence[Rate]) -> float:
    """Percent at the upper edge: room for every value and objective; wide early intervals may be cut."""
    looks = [look for rate in found for looks in rate.arms.values() for look in looks]
    values = max((look.value for look in looks), default=0.0)
    objectives = max((rate.threshold or 0.0 for rate in found), default=0.0)
    highs = max((look.high or 0.0 for look in looks), default=0.0)
    needed = max(1.2 * values, 1.5 * objectives, min(highs, 2.0 * max(values, objectives)))
    return min(100.0, nice_ceiling(max(needed, 0.01)))


def _panel(rate: Rate, top: float, key: str, title: str) -> Panel:
    looks = [look for arm in ARMS for look in rate.arms.get(arm, ())]
    first, last = min(look.at for look in looks), max(look.at for look in looks)
    x = Scale(low=first.timestamp(), high=last.timestamp(), start=LEFT + 4.0, end=WIDTH - RIGHT)
    y = Scale(low=0.0, high=top, start=HEIGHT - BOTTOM, end=TOP)
    objective = None if rate.threshold is None else y(rate.threshold)
    caption = _caption(rate)
    return Panel(
        key=key,
        title=f"{title} at {rate.share_percent} %",
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        top=TOP,
        bottom=HEIGHT - BOTTOM,
        y_ticks=value_ticks(y),
        from_label=_edge(first, first, last),
        to_label=_edge(last, first, last) if last > first else "",
        objective=objective,
        objective_label="" if rate.threshold is None else f"objective {rate.threshold:g} %",
        objective_label_y=max((objective or 0.0) - 5.0, TOP + 9.0),
        curves=tuple(_curve(arm, rate.arms[arm], x, y) for arm in ARMS if rate.arms.get(arm)),
        caption=caption,
        description=f"{clock(first)} to {clock(last)}; at the last look: {'; '.join(caption)}",
    )


def _edge(at: datetime, first: datetime, last: datetime) -> str:
    """The time at an edge, with its day where the panel spans more than one."""
    return clock(at) if first.date() == last.date() else f"{at.astimezone(UTC):%d %b %H:%M} UTC"


def _curve(arm: str, every: Sequence[Look], x: Scale, y: Scale) -> Curve:
    looks = [every[n] for n in thinned([x.at(look.at) for look in every], 1.5)]  # a week stays a small page
    places = [x.at(look.at) for look in looks]
    bounded = [look for look in looks if look.low is not None and look.high is not None]
    upper = [(x.at(look.at), y(look.high)) for look in bounded if look.high is not None]
    lower = [(x.at(look.at), y(look.low)) for look in bounded if look.low is not None]
    if len(bounded) == 1:  # a band needs some width to be seen
        upper = [(upper[0][0] - 12.0, upper[0][1]), (upper[0][0] + 12.0, upper[0][1])]
        lower = [(lower[0][0] - 12.0, lower[0][1]), (lower[0][0] + 12.0, lower[0][1])]
    return Curve(
        arm=arm,
        line=path(zip(places, (y(look.value) for look in looks), strict=True)),
        band=path([*upper, *reversed(lower)]),
        dots=tuple((places[n], y(looks[n].value)) for n in thinned(places, 18.0)),
    )


def _caption(rate: Rate) -> tuple[str, ...]:
    said = []
    for arm in reversed(ARMS):
        if looks := rate.arms.get(arm):
            last = looks[-1]
            bounds = "" if last.low is None or last.high is None else f" ({last.low:.2f} to {last.high:.2f})"
            of = "" if last.samples is None else f" of {count(last.samples, 'request')}"
            said.append(f"{arm} {last.value:.2f} %{bounds}{of}")
    return tuple(said)
