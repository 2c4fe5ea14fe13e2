"""The bootstrap: rows drawn again with replacement, both models' answers to a row always together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gates.evaluation.estimates import Law, Normal, normal

Floats = NDArray[np.float64]

DRAWS = 2000
"""Resamples: bounds at 95 % are then off by about 2 % of the interval's width."""
DRAWN_ROWS = 20_000
"""With more rows than this the bootstrap is taken in its linear limit, which is what it comes to by then."""
_DRAWS_OUTSIDE = 5
"""Fewer draws than this outside either bound do not place it."""
_LEAST = 0.1
"""Below this the acceleration's formula has no sense left."""
_SEED = 20260314
"""Of the draws, always the same: the same rows give the same bounds."""


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """A statistic with its resamples: bias-corrected and accelerated percentiles.

    (Efron, Journal of the American Statistical Association 82, 1987, 171-185.)
    """

    value: float
    draws: Floats
    """Of the statistic in each resample, sorted."""
    error: float
    """In the bootstrap's linear limit."""
    acceleration: float

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Tails of so few draws that they say nothing are those of the linear limit."""
        from scipy.special import ndtr, ndtri

        draws = self.draws
        if alpha / 2 * len(draws) < _DRAWS_OUTSIDE:
            return Normal(self.value, self.error).bounds(alpha)
        below = (np.mean(draws < self.value) + np.mean(draws <= self.value)) / 2
        bias = ndtri(np.clip(below, 1 / (len(draws) + 1), 1 - 1 / (len(draws) + 1)))
        tails = bias + np.array([-1.0, 1.0]) * normal(alpha)
        shrunk = np.maximum(1 - self.acceleration * tails, _LEAST)
        low, high = np.quantile(draws, ndtr(bias + tails / shrunk))
        return float(low), float(high)


def is_drawn(rows: int) -> bool:
    """Whether so few rows are really drawn again."""
    return rows <= DRAWN_ROWS


def linear(value: float, influence: Floats) -> Normal:
    """What resampling comes to in its linear limit; arguments as of :func:`resampled`."""
    return Normal(value, float(np.sqrt(np.sum(np.square(influence)))))


def resampled(value: float, influence: Floats, statistic: Callable[[Floats], float]) -> Law:
    """What resampling says about a statistic of the rows.

    Args:
        value: the statistic of all rows.
        influence: how it grows with each row's weight, of sum 0; see :class:`Resampled` for the acceleration
            that follows from it (Efron 1987, section 7).
        statistic: the statistic for given weights of the rows, whole numbers that sum to their number.
    """
    limit, rows = linear(value, influence), len(influence)
    error = limit.error
    if error == 0.0 or not is_drawn(rows):
        return limit
    dice = np.random.default_rng(_SEED)
    draws = np.empty(DRAWS)
    for number in range(DRAWS):
        weights = np.bincount(dice.integers(0, rows, rows), minlength=rows).astype(np.float64)
        draws[number] = statistic(weights)
    skew = float(np.sum(influence**3))
    return Resampled(value, np.sort(draws), error, skew / (6 * error**3))


def resampled_mean(values: Floats) -> Law:
    """What resampling says about a mean; the same for the same values in any order."""
    ordered = np.sort(values)
    middle = float(np.mean(ordered))
    return resampled(middle, (ordered - middle) / len(ordered), lambda weights: _mean(ordered, weights))


def _mean(values: Floats, weights: Floats) -> float:
    return float(np.sum(values * weights) / len(values))
