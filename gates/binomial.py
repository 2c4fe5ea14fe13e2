"""Bounds of a share that was counted."""

from __future__ import annotations

from collections.abc import Callable
from math import lgamma, log, log1p, pi


def clopper_pearson(hits: int, trials: int, confidence: float) -> tuple[float, float]:
    """The exact two-sided interval of a share, of which ``hits`` of ``trials`` were seen.

    Covers the true share with at least ``confidence`` (between 0 and 1, exclusive), whatever it is; each
    side errs with at most half of the rest. Nothing tried says nothing: (0, 1).
    (Clopper and Pearson, Biometrika 26, 1934; by the beta distribution's quantiles.)

    Raises:
        ValueError: hits below 0 or above trials, or a confidence out of range.
    """
    if not 0 <= hits <= trials or not 0.0 < confidence < 1.0:
        raise ValueError(f"no interval of {hits} of {trials} at confidence {confidence}")
    if trials == 0:
        return 0.0, 1.0
    from scipy.special import betaincinv

    tail = (1.0 - confidence) / 2
    low = 0.0 if hits == 0 else float(betaincinv(hits, trials - hits + 1, tail))
    high = 1.0 if hits == trials else float(betaincinv(hits + 1, trials - hits, 1.0 - tail))
    return low, high


def quantile_bounds(samples: int, quantile: float, confidence: float) -> tuple[int, int] | None:
    """Ranks (0-based) of the order statistics that bound a quantile of independent samples.

    Each side errs with at most half of ``1 - confidence``. None where so few samples have no such bounds.
    (The number of samples below the quantile is binomial; David and Nagaraja, Order Statistics, 7.1.)
    """
    from scipy.stats import binom

    tail = (1.0 - confidence) / 2
    low = int(binom.ppf(tail, samples, quantile)) - 1
    high = int(binom.ppf(1.0 - tail, samples, quantile))
    return (low, high) if low >= 0 and high < samples else None


def anytime_bounds(hits: int, trials: int, alpha: float) -> tuple[float, float]:
    """An interval of a share that holds however often one looks while the trials grow.

    The chance that the true share is ever outside, at any look, is at most ``alpha`` (between 0 and 1,
    exclusive). Nothing tried says nothing: (0, 1).
    (A share p is excluded when the beta-binomial mixture with parameters ½ is 1/alpha times as likely as p;
    Robbins, Annals of Mathematical Statistics 41, 1970; the bound is Ville's inequality.)

    Raises:
        ValueError: hits below 0 or above trials, or alpha out of range.
    """
    if not 0 <= hits <= trials or not 0.0 < alpha < 1.0:
        raise ValueError(f"no interval of {hits} of {trials} at alpha {alpha}")
    misses = trials - hits
    mixture = lgamma(hits + 0.5) + lgamma(misses + 0.5) - lgamma(trials + 1) - log(pi)

    def excluded(share: float) -> bool:
        return mixture - hits * log(share) - misses * log1p(-share) >= -log(alpha)

    best = hits / trials if trials else 0.5
    low = 0.0 if hits == 0 else _edge(excluded, 0.0, best)
    high = 1.0 if misses == 0 else _edge(excluded, 1.0, best)
    return low, high


def _edge(excluded: Callable[[float], bool], outside: float, inside: float) -> float:
    """Where exclusion ends between a share that is excluded and one that is not; the excluded side."""
    for _ in range(60):
        middle = (outside + inside) / 2
        if middle in (outside, inside):
            break
        if excluded(middle):
            outside = middle
        else:
            inside = middle
    return outside
