"""Bounds of a share that was counted."""

from __future__ import annotations


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
