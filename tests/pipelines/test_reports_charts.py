"""From numbers to coordinates: nothing leaves the picture, nothing collides, ticks are round."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.contract import Status
from pipelines.reports.charts import (
    Scale,
    nice_ceiling,
    path,
    rows,
    thinned,
    time_scale,
    time_ticks,
    value_ticks,
)
from pipelines.reports.rate_charts import BOTTOM, HEIGHT, TOP, rate_chart
from pipelines.reports.series import Look, Moment, Period, Rate
from pipelines.reports.share_chart import ShareChart, ShareData, share_chart

T0 = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
PERCENT = st.floats(min_value=0, max_value=100)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def look(seconds: float, value: float, low: float | None = None, high: float | None = None) -> Look:
    return Look(at=at(seconds), value=value, low=low, high=high, samples=100)


def test_a_range_without_length_lies_in_the_middle() -> None:
    """One look alone still has a place."""
    assert Scale(low=3, high=3, start=0, end=10)(3) == 5.0


@given(st.floats(min_value=0, max_value=1e9), st.integers(min_value=2, max_value=12))
def test_time_ticks_are_few_and_inside(seconds: float, at_most: int) -> None:
    """From seconds to decades there is a round step that fits."""
    scale = time_scale(T0, at(min(seconds, 1e9)), 80.0, 900.0)
    ticks = time_ticks(scale, at_most)
    assert len(ticks) <= at_most + 1
    assert all(80.0 <= tick.place <= 900.0 for tick in ticks)


@pytest.mark.parametrize(
    ("seconds", "first", "second"),
    [
        (8, "09:00:00", "09:00:01"),
        (3600, "09:00", "09:10"),
        (100_000, "14 Mar 12:00", "14 Mar 18:00"),
        (10 * 86400, "16 Mar", "18 Mar"),
    ],
)
def test_time_ticks_say_what_is_needed_to_tell_them_apart(seconds: float, first: str, second: str) -> None:
    """Seconds for a short promotion, the day for one longer than a day."""
    labels = [tick.label for tick in time_ticks(time_scale(T0, at(seconds), 0.0, 900.0), 8)]
    assert labels[:2] == [first, second]


@given(st.floats(min_value=1e-4, max_value=1e6))
def test_the_next_nice_number_is_near_and_not_below(value: float) -> None:
    """It is at most two and a half times as much."""
    nice = nice_ceiling(value)
    assert value * (1 - 1e-8) <= nice <= value * 2.5 + 1e-9


@given(st.floats(min_value=0.01, max_value=100))
def test_an_axis_in_percent_has_four_to_six_ticks_from_zero(top: float) -> None:
    """For every top that a chart chooses."""
    ticks = value_ticks(Scale(low=0, high=nice_ceiling(top), start=100, end=0))
    assert ticks[0].label == "0 %"
    assert 4 <= len(ticks) <= 6


def test_a_path_moves_once_and_then_draws() -> None:
    """As SVG wants it."""
    assert path([(1.0, 2.0), (3.5, 4.0)]) == "M1 2 L3.5 4"


@given(st.lists(st.floats(min_value=0, max_value=900), min_size=1), st.floats(min_value=1, max_value=50))
def test_thinned_places_stand_apart_and_end_with_the_last(places: list[float], apart: float) -> None:
    """The newest look is the one people look for."""
    places = sorted(places)
    kept = thinned(places, apart)
    assert kept[-1] == len(places) - 1
    assert all(places[b] - places[a] >= apart for a, b in pairwise(kept))


@given(st.lists(st.floats(min_value=0, max_value=900)))
def test_in_one_row_no_two_marks_touch(places: list[float]) -> None:
    """Moments in the same second are stacked, not hidden."""
    places = sorted(places)
    by_row: dict[int, list[float]] = {}
    for place, row in zip(places, rows(places, 20.0), strict=True):
        by_row.setdefault(row, []).append(place)
    assert all(b - a >= 20.0 for row in by_row.values() for a, b in pairwise(row))


# ------------------------------------------------------------------ the share chart


def chart(width: float = 900.0, **changes: object) -> ShareChart:
    facts: dict[str, object] = {
        "steps": [(T0, 0), (at(60), 10), (at(120), 50)],
        "end": at(300),
        "planned": (0, 10, 12, 50, 100),
        "looks": (),
        "holds": (),
        "moments": (),
        "statuses": {},
    }
    return share_chart(ShareData(**{**facts, **changes}), key="k", width=width)  # type: ignore[arg-type]


def test_the_share_is_drawn_as_steps() -> None:
    """A share holds until the next one is in force, and the last until the end."""
    drawn = chart()
    points = [tuple(map(float, point[1:].split())) for point in drawn.line.replace(" L", "|L").split("|")]
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(points))
    assert points[0] == (drawn.left, drawn.bottom)
    assert points[-1][0] == drawn.right


def test_ticks_that_would_touch_are_left_out() -> None:
    """12 % stands too near to 10 %; 100 % and 0 % always stay."""
    assert [tick.label for tick in chart().y_ticks] == ["0 %", "12 %", "50 %", "100 %"]
    assert [tick.label for tick in chart(planned=()).y_ticks] == ["0 %", "100 %"]


def test_a_picture_of_one_instant_is_drawn() -> None:
    """A promotion that has only started."""
    assert chart(steps=[(T0, 0)], end=T0).line.startswith("M84 ")


def test_observed_shares_have_their_interval_where_there_is_one() -> None:
    """Without bounds the whisker has no length."""
    bounded, bare = chart(looks=(look(70, 10, 8, 12), look(200, 50))).dots
    assert bounded.high < bounded.y < bounded.low
    assert bare.low == bare.y == bare.high
    assert bounded.title == "10.00 % observed at 09:01:10 UTC (8.00 to 12.00)"


def test_holds_and_moments_carry_words() -> None:
    """A mark that says nothing to a screen reader is no mark."""
    drawn = chart(
        holds=(Period(since=at(60), until=at(120), label="held by otto: payday"),),
        moments=(Moment(at=at(60), label="merged"), Moment(at=at(60), label="again")),
    )
    assert drawn.holds[0].title == "held by otto: payday, for 1 min"
    assert [flag.title for flag in drawn.flags] == ["1: merged, 09:01:00 UTC", "2: again, 09:01:00 UTC"]
    assert drawn.flags[0].y != drawn.flags[1].y
    assert "10 % from 09:01:00 UTC" in drawn.description
    assert "held by otto" in drawn.description


def test_verdicts_become_runs_and_the_worst_of_a_place_is_seen() -> None:
    """A single FAIL among hundreds of PASS in the same place cannot hide."""
    looks = [(at(n / 10), Status.PASS) for n in range(100)]
    looks += [(at(10), Status.FAIL), (at(150), Status.UNKNOWN), (at(200), Status.WAIT)]
    (lane,) = chart(statuses={"slo": sorted(looks)}).lanes
    assert [box.status for box in lane.boxes] == ["pass", "fail", "unknown", "wait"][-len(lane.boxes) :]
    assert any("FAIL" in box.title for box in lane.boxes)
    assert [box.text for box in lane.boxes][-3:] == ["✘", "?", "…"]


@given(st.lists(st.tuples(st.floats(min_value=0, max_value=300), st.sampled_from(Status)), max_size=300))
def test_however_many_looks_the_lane_stays_bounded(seen: list[tuple[float, Status]]) -> None:
    """A soak of a day with a look every second makes no endless picture."""
    looks = sorted((at(seconds), status) for seconds, status in seen)
    (lane,) = chart(statuses={"slo": looks}).lanes
    assert len(lane.boxes) <= 900 / 13 + 1
    assert all(84 <= box.x and box.x + box.width <= 900 for box in lane.boxes)


# ------------------------------------------------------------------- rates


def rate(*looks: Look, threshold: float | None = 1.0, stable: tuple[Look, ...] = ()) -> Rate:
    return Rate(
        stage="bake-10", share_percent=10, threshold=threshold, arms={"stable": stable, "candidate": looks}
    )


@given(st.lists(st.tuples(PERCENT, PERCENT, PERCENT), min_size=1, max_size=20), PERCENT)
def test_every_value_and_objective_is_inside_the_picture(
    values: list[tuple[float, float, float]], threshold: float
) -> None:
    """Intervals may be cut at the edge, values never."""
    looks = [look(n, sorted(v)[1], sorted(v)[0], sorted(v)[2]) for n, v in enumerate(values)]
    (panel,) = rate_chart([rate(*looks, threshold=threshold)], key="k", title="t", explanation="e").panels
    assert panel.objective is not None
    assert TOP <= panel.objective <= HEIGHT - BOTTOM
    (curve,) = panel.curves
    assert all(TOP <= y <= HEIGHT - BOTTOM for _, y in curve.dots)


def test_panels_share_their_scale() -> None:
    """So that shares can be compared by eye."""
    both = [rate(look(0, 0.1)), rate(look(60, 8.0))]
    drawn = rate_chart(both, key="k", title="Slow", explanation="e")
    assert drawn.panels[0].y_ticks == drawn.panels[1].y_ticks
    assert not drawn.single
    assert drawn.panels[0].key != drawn.panels[1].key


def test_an_interval_beyond_the_edge_is_said_to_be_cut() -> None:
    """A reader must know that the band goes on."""
    assert rate_chart([rate(look(0, 0.1, 0.0, 60.0))], key="k", title="t", explanation="e").cut
    assert not rate_chart([rate(look(0, 0.1, 0.0, 0.3))], key="k", title="t", explanation="e").cut


def test_a_single_look_has_a_band_that_can_be_seen() -> None:
    """A line of no width would vanish."""
    (panel,) = rate_chart([rate(look(0, 1.0, 0.5, 2.0))], key="k", title="t", explanation="e").panels
    assert len({point.split()[0] for point in panel.curves[0].band.replace("L", "M").split("M")[1:]}) == 2
    assert panel.to_label == ""


def test_without_an_objective_or_bounds_there_is_no_line_and_no_band() -> None:
    """Nothing is drawn that was not measured."""
    drawn = rate_chart(
        [rate(look(0, 1.0), look(9, 1.1), threshold=None)], key="k", title="t", explanation="e"
    )
    (panel,) = drawn.panels
    assert panel.objective is None
    assert panel.objective_label == ""
    assert panel.curves[0].band == ""
    assert panel.caption == ("candidate 1.10 % of 100 requests",)


def test_a_panel_over_midnight_names_its_days() -> None:
    """Two times of day alone would mislead."""
    (panel,) = rate_chart([rate(look(0, 1.0), look(90_000, 1.0))], key="k", title="t", explanation="e").panels
    assert (panel.from_label, panel.to_label) == ("14 Mar 09:00 UTC", "15 Mar 10:00 UTC")


def test_both_arms_are_told_in_words_too() -> None:
    """The description carries the last look of each arm, with n."""
    stable = (Look(at=T0, value=0.4, low=None, high=None, samples=None),)
    (panel,) = rate_chart(
        [rate(look(0, 1.0, 0.5, 2.0), stable=stable)], key="k", title="Slow", explanation="e"
    ).panels
    assert panel.description == (
        "09:00:00 UTC to 09:00:00 UTC; at the last look: "
        "candidate 1.00 % (0.50 to 2.00) of 100 requests; stable 0.40 %"
    )
