"""The largest harm that is not ruled out: what the bounds promise, by simulation and by their definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from gates.canary.bounds import Ruled, rule_out
from gates.canary.looks import Counted


def ruled(*looks: tuple[Counted, Counted], alpha: float = 0.05, spread: float = 0.0) -> Ruled:
    """After looks of a minute each at (candidate, stable)."""
    candidate, stable = [one for one, _ in looks], [two for _, two in looks]
    minutes = [1.0] * len(looks)
    return rule_out(candidate, stable, minutes, spread=spread, memory_minutes=5.0, alpha=alpha)


@st.composite
def counted(draw: st.DrawFn) -> tuple[Counted, Counted]:
    """One look with requests of both arms."""
    one, two = draw(st.integers(1, 500)), draw(st.integers(1, 500))
    return Counted(draw(st.integers(0, one)), one), Counted(draw(st.integers(0, two)), two)


def test_nothing_counted_rules_nothing_out() -> None:
    """No data is not good data."""
    assert ruled() == Ruled(None, None)
    assert ruled((Counted(0, 1000), Counted(0, 9000))) == Ruled(None, None)


def test_a_candidate_without_errors_beside_a_stable_with_some_has_an_upper_bound_alone() -> None:
    """It may be as good as anything."""
    low, high = ruled((Counted(0, 1000), Counted(50, 1000)))
    assert low is None
    assert high is not None
    assert high < 0.5


@given(looks=st.lists(counted(), min_size=1, max_size=4))
def test_the_counted_ratio_is_never_ruled_out(looks: list[tuple[Counted, Counted]]) -> None:
    """Where there is one: the bounds hold what was seen of a single look."""
    one, two = looks[0]
    low, high = ruled((one, two))
    if one.bad and two.bad:
        ratio = one.share / two.share
        assert low is None or low <= ratio * 1.05
        assert high is None or ratio <= high * 1.05


@given(look=counted(), spread=st.floats(0, 1), alpha=st.sampled_from([0.2, 0.05, 0.01]))
def test_allowing_for_noise_and_smaller_alphas_only_widen(
    look: tuple[Counted, Counted], spread: float, alpha: float
) -> None:
    """What is claimed with more caution is less."""
    low, high = ruled(look, alpha=alpha)
    for wider in (ruled(look, alpha=alpha / 5), ruled(look, alpha=alpha, spread=spread)):
        assert wider.low is None or (low is not None and wider.low <= low)
        assert wider.high is None or (high is not None and high <= wider.high)


@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_the_true_ratio_is_rarely_ever_outside(ratio: float) -> None:
    """Looked at after every one of thirty minutes, it is outside in at most alpha of all runs."""
    generator, runs, outside = np.random.default_rng([20261122, int(ratio)]), 300, 0
    for _ in range(runs):
        one = generator.poisson(0.02 * ratio * 100, 30).clip(max=100)
        two = generator.poisson(0.02 * 900, 30).clip(max=900)
        looks = [(Counted(int(a), 100), Counted(int(b), 900)) for a, b in zip(one, two, strict=True)]
        for end in range(1, 31, 3):
            low, high = ruled(*looks[:end])
            if (low and low > ratio) or (high and high < ratio):
                outside += 1
                break
    assert outside <= binom.ppf(0.999, runs, 0.05)


def test_more_requests_rule_more_out() -> None:
    """A harm of three times the errors: not excluded by an hour at five requests a second, but by a day."""
    hour = ruled((Counted(2, 1800), Counted(16, 16200)))
    day = ruled(*[(Counted(2, 1800), Counted(16, 16200))] * 24)
    assert hour.high is not None
    assert day.high is not None
    assert day.high < 3 < hour.high
