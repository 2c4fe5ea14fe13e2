"""The bootstrap: against scipy's, the same for the same rows, and its linear limit beyond many rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from gates.evaluation.estimates import Normal, p_value
from gates.evaluation.measures import Rule, compare
from gates.evaluation.resampling import DRAWN_ROWS, Resampled, resampled, resampled_mean

ALPHA = 0.05


def skewed(rows: int = 300) -> np.ndarray:
    """Values whose mean has a skewed distribution."""
    return np.random.default_rng(8).exponential(size=rows) ** 2


def test_bounds_of_a_mean_are_those_of_scipy() -> None:
    """bootstrap(method="BCa") with 20000 draws, to 2 % of the width, on either side."""
    values = skewed()
    said = bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=1).confidence_interval
    low, high = resampled_mean(values).bounds(ALPHA)
    assert (low, high) == pytest.approx((said.low, said.high), abs=0.04 * (said.high - said.low))


def test_the_same_values_in_any_order_give_the_same_bounds() -> None:
    """Bit for bit."""
    values = skewed()
    assert resampled_mean(values[::-1]).bounds(ALPHA) == resampled_mean(values).bounds(ALPHA)


def test_beyond_many_rows_the_linear_limit_is_taken() -> None:
    """There both say the same, to a few percent of the width."""
    dice = np.random.default_rng(9)
    labels = dice.random(DRAWN_ROWS) < 0.05
    truth = dice.normal(size=DRAWN_ROWS) + 2 * labels
    new, old = (1 / (1 + np.exp(-(truth + noise * dice.normal(size=DRAWN_ROWS)))) for noise in (0.3, 0.5))
    drawn = compare(labels, new, old, Rule(threshold=0.5, alpha=ALPHA), pr_auc="drawn")["pr_auc"]
    assert isinstance(drawn.law, Resampled)
    limit = Normal(drawn.law.value, drawn.law.error).bounds(ALPHA)
    assert (drawn.low, drawn.high) == pytest.approx(limit, abs=0.08 * (drawn.high - drawn.low))
    more = resampled(0.0, np.full(DRAWN_ROWS + 1, 1e-9), lambda weights: 0.0)
    assert isinstance(more, Normal)


def test_values_that_are_all_one_leave_no_doubt() -> None:
    """Nothing that could be drawn differs."""
    assert resampled_mean(np.full(50, 0.25)).bounds(ALPHA) == (0.25, 0.25)


def test_tails_beyond_the_draws_are_those_of_the_limit() -> None:
    """Two thousand draws do not place a bound of one in ten thousand."""
    law = resampled_mean(skewed())
    assert isinstance(law, Resampled)
    assert law.bounds(1e-4) == Normal(law.value, law.error).bounds(1e-4)
    assert p_value(law, law.value + 30 * law.error) < 1e-9
    assert p_value(law, law.value) > 0.8
