"""Whether scores mean what they say: how often a row scored 0.3 is labelled 1."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from gates.evaluation.estimates import Counted, Estimate, Law, Normal, estimate, normal

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BINS = 10
"""Bins of the calibration curve, of as many rows each as the scores' ties allow."""
_NEARLY = 1e-6
"""Scores are kept this far from 0 and 1, whose log odds are infinite."""
_STEPS = 50
_SETTLED = 1e-9
_FLAT = 1e12
"""A curvature whose directions differ by more than this is none."""
_PIECE_ROWS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Rows of neighbouring scores."""

    score: float
    """Their mean score."""
    hits: int
    """How many of them are labelled 1."""
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The curve, and what it comes to."""

    bins: tuple[Bin, ...]
    estimates: dict[str, Estimate]
    """``ece``, ``calibration_slope`` and ``calibration_intercept``."""


def calibrate(labels: Bools, scores: Floats, alpha: float) -> Calibration:
    """How the labels follow the scores, which must be probabilities."""
    bins = curve(labels, scores)
    slope, intercept = slope_and_intercept(labels, scores)
    laws: dict[str, Law] = {
        "ece": Ece(bins),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
    }
    return Calibration(
        bins=bins, estimates={name: estimate(law, len(labels), alpha) for name, law in laws.items()}
    )


def curve(labels: Bools, scores: Floats) -> tuple[Bin, ...]:
    """Bins between quantiles of the scores, as scikit-learn's ``calibration_curve(strategy="quantile")``."""
    edges = np.quantile(scores, np.linspace(0, 1, BINS + 1))
    places = np.searchsorted(edges[1:-1], scores)
    rows = np.bincount(places, minlength=BINS)
    hits = np.bincount(places, weights=labels, minlength=BINS)
    sums = np.bincount(places, weights=scores, minlength=BINS)
    return tuple(
        Bin(score=float(sums[n] / rows[n]), hits=int(hits[n]), rows=int(rows[n]))
        for n in range(BINS)
        if rows[n]
    )


@dataclass(frozen=True, slots=True)
class Ece:
    """The expected calibration error over bins: the mean distance between what was said and what was so.

    Chance alone lifts the measured error above the true one, by at most what it would be at a perfect
    calibration; the lower bound allows for that, and the upper bound does without. Both err on the safe side.
    """

    bins: tuple[Bin, ...]

    @property
    def value(self) -> float:
        """Between 0 and 1."""
        rows = sum(one.rows for one in self.bins)
        return sum(one.rows / rows * abs(one.score - one.hits / one.rows) for one in self.bins)

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Each bin's share as a normal, its variance kept off zero by half a hit."""
        rows = sum(one.rows for one in self.bins)
        noise = []
        for one in self.bins:
            likely = (one.hits + 0.5) / (one.rows + 1)
            noise.append(one.rows / rows * sqrt(likely * (1 - likely) / one.rows))
        reach = normal(alpha) * sqrt(sum(each**2 for each in noise))
        lifted = sqrt(2 / pi) * sum(noise)
        return max(self.value - lifted - reach, 0.0), min(self.value + reach, 1.0)


@dataclass(frozen=True, slots=True)
class _Undefined:
    """Nothing is known: the scores part the labels without a miss, so no slope is steep enough."""

    value: None = None

    def bounds(self, alpha: float) -> tuple[float, float]:
        return -inf, inf


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """The logistic regression at some weights (intercept, slope), summed over all rows."""

    weights: Floats
    likelihood: float
    gradient: Floats
    curvature: Floats
    spread: Floats
    """Of the gradient over the rows."""


def slope_and_intercept(labels: Bools, scores: Floats) -> tuple[Law, Law]:
    """The logistic regression of the labels on the scores' log odds; 1 and 0 are perfect.

    (Cox, Biometrika 45, 1958; the errors hold whether or not the regression is true: White, Econometrica
    50, 1982.)
    """
    best = _fit(labels, scores, np.zeros(2))
    step = _step(best)
    for _ in range(_STEPS):
        if step is None or np.abs(step).max() < _SETTLED:
            break
        tried = _fit(labels, scores, best.weights + step)
        if tried.likelihood < best.likelihood - _SETTLED * abs(best.likelihood):
            step = step / 2
            continue
        best, step = tried, _step(tried)
    if step is None or np.abs(step).max() >= _SETTLED:
        return _Undefined(), _Undefined()
    inverse = np.linalg.inv(best.curvature)
    errors = np.sqrt(np.diag(inverse @ best.spread @ inverse))
    intercept, slope = (
        Normal(float(one), float(error)) for one, error in zip(best.weights, errors, strict=True)
    )
    return slope, intercept


def _step(fit: _Fit) -> Floats | None:
    """Newton's; None where the likelihood is flat, as it becomes when no slope is steep enough."""
    if not np.linalg.cond(fit.curvature) < _FLAT:
        return None
    return np.asarray(np.linalg.solve(fit.curvature, fit.gradient))


def _fit(labels: Bools, scores: Floats, weights: Floats) -> _Fit:
    """One pass over the rows, piece by piece."""
    from scipy.special import expit, log_expit

    likelihood, gradient, curvature, spread = 0.0, np.zeros(2), np.zeros(3), np.zeros(3)
    for start in range(0, len(labels), _PIECE_ROWS):
        known = labels[start : start + _PIECE_ROWS]
        said = np.clip(scores[start : start + _PIECE_ROWS], _NEARLY, 1 - _NEARLY)
        odds = np.log(said) - np.log1p(-said)
        sums = weights[0] + weights[1] * odds
        likely = expit(sums)
        miss = known - likely
        likelihood += float(np.sum(log_expit(np.where(known, sums, -sums))))
        gradient += (miss.sum(), miss @ odds)
        curvature += _moments(likely * (1 - likely), odds)
        spread += _moments(np.square(miss), odds)
    return _Fit(weights, likelihood, gradient, _square(curvature), _square(spread))


def _moments(weights: Floats, odds: Floats) -> tuple[float, float, float]:
    weighed = weights * odds
    return float(weights.sum()), float(weighed.sum()), float(weighed @ odds)


def _square(moments: Floats) -> Floats:
    return np.array([[moments[0], moments[1]], [moments[1], moments[2]]])


def bounds_of(one: Bin, alpha: float) -> tuple[float, float]:
    """The exact interval of a bin's share of rows labelled 1."""
    return Counted(one.hits, one.rows).bounds(alpha)
