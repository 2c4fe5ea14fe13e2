"""An interval that is looked at again and again: what it promises, by simulation and by its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, binom

from gates.binomial import anytime_bounds, clopper_pearson

ALPHAS = st.sampled_from([0.2, 0.05, 0.0025, 0.0001])


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    """Hits of trials."""
    trials = draw(st.integers(1, 3000))
    return draw(st.integers(0, trials)), trials


@given(counted=counts(), alpha=ALPHAS)
def test_holds_what_was_counted_and_shrinks_with_alpha(counted: tuple[int, int], alpha: float) -> None:
    """And it mirrors when misses are counted instead."""
    hits, trials = counted
    low, high = anytime_bounds(hits, trials, alpha)
    assert 0.0 <= low <= hits / trials <= high <= 1.0
    wider = anytime_bounds(hits, trials, alpha / 10)
    assert wider[0] <= low
    assert high <= wider[1]
    mirrored = anytime_bounds(trials - hits, trials, alpha)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-9)


@given(counted=counts(), alpha=ALPHAS)
def test_one_more_hit_moves_both_bounds_up(counted: tuple[int, int], alpha: float) -> None:
    """So that more errors can never look better."""
    hits, trials = counted
    assume(hits < trials)
    below, above = anytime_bounds(hits, trials, alpha), anytime_bounds(hits + 1, trials, alpha)
    assert below[0] <= above[0]
    assert below[1] <= above[1]


@given(counted=counts(), alpha=ALPHAS)
def test_is_wider_than_an_interval_for_one_look_only(counted: tuple[int, int], alpha: float) -> None:
    """Looking often has its price."""
    low, high = anytime_bounds(*counted, alpha)
    once = clopper_pearson(*counted, 1 - 2 * alpha)
    assert low <= once[0] + 1e-12
    assert once[1] - 1e-12 <= high


@pytest.mark.parametrize(("hits", "trials"), [(3, 40), (1, 7), (20, 21)])
def test_a_bound_is_where_the_mixture_is_so_many_times_as_likely(hits: int, trials: int) -> None:
    """The definition, by numeric integration."""
    mixture, _ = quad(lambda p: binom.pmf(hits, trials, p) * beta.pdf(p, 0.5, 0.5), 0, 1, epsabs=1e-12)
    for bound in anytime_bounds(hits, trials, 0.01):
        assert mixture / binom.pmf(hits, trials, bound) == pytest.approx(100.0, rel=1e-5)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_truth_is_rarely_ever_outside(share: float) -> None:
    """Looked at after every one of 2000 requests, it is outside in at most alpha of all runs."""
    generator, alpha, runs = np.random.default_rng([20261121, int(share * 100)]), 0.05, 400
    hits = (generator.random((runs, 2000)) < share).cumsum(axis=1)
    looks = range(49, 2000, 50)
    outside = 0
    for run in hits:
        bounds = (anytime_bounds(int(run[look]), look + 1, alpha) for look in looks)
        outside += any(not low <= share <= high for low, high in bounds)
    assert outside <= binom.ppf(0.999, runs, alpha)


def test_nothing_tried_says_nothing() -> None:
    """No data is not good data."""
    assert anytime_bounds(0, 0, 0.05) == (0.0, 1.0)


@pytest.mark.parametrize(("hits", "trials", "alpha"), [(-1, 5, 0.1), (6, 5, 0.1), (1, 5, 0.0), (1, 5, 1.0)])
def test_nonsense_is_refused(hits: int, trials: int, alpha: float) -> None:
    """By name of what was asked."""
    with pytest.raises(ValueError, match=f"no interval of {hits} of {trials} at alpha"):
        anytime_bounds(hits, trials, alpha)
