"""Bounds of shares and quantiles: against scipy's own, and by what they promise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from gates.binomial import clopper_pearson, quantile_bounds

CONFIDENCES = st.sampled_from([0.8, 0.9, 0.95, 0.975, 0.99])


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    """Hits of trials."""
    trials = draw(st.integers(1, 5000))
    return draw(st.integers(0, trials)), trials


@given(counted=counts(), confidence=CONFIDENCES)
def test_is_the_exact_interval_of_scipy(counted: tuple[int, int], confidence: float) -> None:
    """Found there by root finding, here by quantiles of the beta distribution."""
    hits, trials = counted
    reference = binomtest(hits, trials).proportion_ci(confidence, method="exact")
    assert clopper_pearson(hits, trials, confidence) == pytest.approx(
        (reference.low, reference.high), abs=1e-9
    )


@given(counted=counts(), confidence=CONFIDENCES)
def test_each_side_errs_with_half_of_the_rest(counted: tuple[int, int], confidence: float) -> None:
    """At a bound, what was seen or worse has exactly that probability."""
    hits, trials = counted
    low, high = clopper_pearson(hits, trials, confidence)
    tail = (1 - confidence) / 2
    assert low == 0.0 if hits == 0 else binom.sf(hits - 1, trials, low) == pytest.approx(tail, rel=1e-6)
    assert high == 1.0 if hits == trials else binom.cdf(hits, trials, high) == pytest.approx(tail, rel=1e-6)


@given(counted=counts(), confidence=CONFIDENCES)
def test_grows_with_hits_and_mirrors(counted: tuple[int, int], confidence: float) -> None:
    """One more hit moves both bounds up; counting misses turns the interval round."""
    hits, trials = counted
    low, high = clopper_pearson(hits, trials, confidence)
    assert 0.0 <= low <= hits / trials <= high <= 1.0
    if hits < trials:
        above = clopper_pearson(hits + 1, trials, confidence)
        assert above[0] > low
        assert above[1] > high or above[1] == 1.0
    mirrored = clopper_pearson(trials - hits, trials, confidence)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-9)


def test_nothing_tried_says_nothing() -> None:
    """No data is not good data."""
    assert clopper_pearson(0, 0, 0.95) == (0.0, 1.0)


def test_299_good_requests_show_one_percent_one_sided() -> None:
    """The well-known floor: 298 do not."""
    assert clopper_pearson(0, 299, 0.9)[1] <= 0.01 < clopper_pearson(0, 298, 0.9)[1]


@pytest.mark.parametrize(
    ("hits", "trials", "confidence"), [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0), (1, 5, 0.0)]
)
def test_impossible_counts_are_refused(hits: int, trials: int, confidence: float) -> None:
    """Rather than bounded."""
    with pytest.raises(ValueError, match="no interval"):
        clopper_pearson(hits, trials, confidence)


@given(st.integers(1, 20_000), st.sampled_from([0.5, 0.9, 0.99]), CONFIDENCES)
def test_quantile_bounds_keep_their_promise(samples: int, quantile: float, confidence: float) -> None:
    """The chance that the quantile lies outside is at most half of the rest on either side."""
    tail = (1 - confidence) / 2
    bounds = quantile_bounds(samples, quantile, confidence)
    if bounds is None:
        assert min(quantile, 1 - quantile) * samples < 40
        return
    low, high = bounds
    assert 0 <= low <= high < samples
    assert binom.cdf(low, samples, quantile) <= tail + 1e-12
    assert binom.sf(high, samples, quantile) <= tail + 1e-12


def test_a_p99_of_few_samples_has_no_bounds() -> None:
    """Two hundred requests cannot bound it from above."""
    assert quantile_bounds(200, 0.99, 0.95) is None
    assert quantile_bounds(2000, 0.99, 0.95) is not None
