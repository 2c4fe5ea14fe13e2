"""What a plan foresees: by definition monotone, and in line with what the judge then does."""

from __future__ import annotations

import pytest

from gates.canary.planning import Sight, Watch, foresee, theatre
from gates.canary.settings import BODY, ERRORS, SLOW, TAIL, CanarySettings

HARMS = (ERRORS, SLOW, TAIL, BODY)


def sights(
    rps: float, minutes: float, *, times: tuple[float, ...] = (3.0, 10.0), usual: float = 0.001
) -> list[Sight]:
    """Of errors at 10, 25 and 50 %."""
    watches = [Watch(stage=f"bake-{share}", share_percent=share, minutes=minutes) for share in (10, 25, 50)]
    return foresee(
        watches, rps=rps, usual={"errors": usual}, times=times, harms=HARMS, settings=CanarySettings()
    )


def test_much_traffic_sees_a_tenfold_error_rate_in_minutes() -> None:
    """Seventy requests a second, a stage of a quarter of an hour: about the figures of the benchmark."""
    first, _, _ = sights(70, 14, times=(10.0,))
    assert first.seen_by_end == 1.0
    assert first.minutes_needed is not None
    assert 2 <= first.minutes_needed <= 6


def test_little_traffic_is_told_to_be_theatre() -> None:
    """Two requests a second: a quarter of an hour shows nothing, an hour and a half would."""
    found = sights(2, 14)
    assert [sight.seen_by_end < 0.5 for sight in found if sight.times == 10] == [True, True, False]
    warnings = theatre(found)
    assert len(warnings) == 2
    assert warnings[0].startswith(
        "bake-10 is theatre for errors: even 10 times the usual share would be seen"
    )
    assert "min at 10 % would do in four of five" in warnings[0]
    assert theatre(sights(70, 14)) == []


@pytest.mark.parametrize("rps", [2.0, 20.0])
def test_more_harm_more_traffic_and_more_stages_are_seen_sooner(rps: float) -> None:
    """Never later."""
    less, more = sights(rps, 30), sights(10 * rps, 30)
    for one, other in zip(less, more, strict=True):
        assert other.seen_by_end >= one.seen_by_end
        assert (other.minutes_needed or 0) <= (one.minutes_needed or float("inf"))
    by_stage = [sight.seen_by_end for sight in less if sight.times == 3]
    assert by_stage == sorted(by_stage)
    for stage in ("bake-10", "bake-25", "bake-50"):
        small, large = (sight for sight in less if sight.stage == stage)
        assert large.seen_by_end >= small.seen_by_end
        assert (large.minutes_needed or 0) <= (small.minutes_needed or float("inf"))


def test_what_no_month_would_show_is_said_to_be_so() -> None:
    """A hundredth of a request a second."""
    found = sights(0.01, 14, times=(3.0,))
    assert found[0].minutes_needed is None
    assert theatre(found)[0].endswith("thirty days at 10 % would not do")


def test_a_harm_without_a_usual_share_is_left_out() -> None:
    """Nothing can be foreseen of it."""
    assert sights(70, 14, usual=0.0) == []


def test_the_same_is_foreseen_every_time() -> None:
    """A plan is not a dice."""
    assert sights(5, 14) == sights(5, 14)
