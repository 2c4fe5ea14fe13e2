"""How far two samples of one number lie apart: the population stability index, and the largest gap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from gates.evaluation.estimates import Estimate, estimate, normal
from gates.golden import Table

Floats = NDArray[np.float64]

BINS = 10
"""Bins of the index, of as many rows of the reference each as its ties allow."""
_PIECE_VALUES = 16_000_000
"""Values of a table that are kept at once, 128 MiB of them."""
_LARGE = 1e4
"""Above this a noncentral chi-square is as good as normal in its root."""


@dataclass(frozen=True, slots=True)
class Psi:
    """The population stability index of counts in bins.

    Half a row is added to every count, so that no bin is empty. Times ``n m / (n + m)`` the index of two
    samples of ``n`` and ``m`` rows is about a noncentral chi-square with one degree of freedom less than
    bins: chance alone lifts it. Its interval is that of the noncentrality, so 0 is inside where chance
    explains all of it. (Yurdakul and Naranjo, Journal of Risk Model Validation 14, 2020.)
    """

    reference: tuple[int, ...]
    seen: tuple[int, ...]
    paired: bool = False
    """Both samples are of the same rows: chance lifts the index by less, nobody knows by how much, so the
    upper bound allows for none of it."""

    @property
    def value(self) -> float:
        """At least 0; by convention little below 0.1, much above 0.25."""
        one, other = self._shares(self.reference), self._shares(self.seen)
        return float(np.sum((other - one) * np.log(other / one)))

    def bounds(self, alpha: float) -> tuple[float, float]:
        """The index that the samples' populations may have."""
        freedom = len(self.seen) - 1
        if freedom < 1:
            return 0.0, 0.0
        rows = sum(self.reference) * sum(self.seen) / (sum(self.reference) + sum(self.seen))
        statistic = self.value * rows
        low, high = _noncentrality(statistic, freedom, alpha)
        if self.paired or high == 0.0:  # even for chance alone too small: no independent samples
            high = (sqrt(statistic) + normal(alpha)) ** 2
        return low / rows, high / rows

    @staticmethod
    def _shares(counts: tuple[int, ...]) -> Floats:
        lifted = np.asarray(counts) + 0.5
        return np.asarray(lifted / lifted.sum())


def _noncentrality(statistic: float, freedom: int, alpha: float) -> tuple[float, float]:
    from scipy.special import chndtr, chndtrinc

    if statistic > _LARGE:
        middle, z = sqrt(statistic - freedom), normal(alpha)
        return (middle - z) ** 2, (middle + z) ** 2
    low, high = (
        float(chndtrinc(statistic, freedom, tail)) if chndtr(statistic, freedom, 0.0) > tail else 0.0
        for tail in (1 - alpha / 2, alpha / 2)
    )
    return low, high


@dataclass(frozen=True, slots=True)
class Gap:
    """The largest gap between two distribution functions (Kolmogorov and Smirnov).

    Its bounds hold for any two samples, of the same rows or not. (Dvoretzky, Kiefer and Wolfowitz with the
    constant of Massart, Annals of Probability 18, 1990; half of alpha for either sample.)
    """

    value: float
    reference_rows: int
    seen_rows: int

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Within 0 and 1."""
        reach = sum(sqrt(log(4 / alpha) / (2 * rows)) for rows in (self.reference_rows, self.seen_rows))
        return max(self.value - reach, 0.0), min(self.value + reach, 1.0)


def psi(reference: Floats, seen: Floats, *, paired: bool = False) -> Psi:
    """Both samples in bins between quantiles of the reference."""
    inner = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1), method="inverted_cdf")[1:-1])
    counts = [
        np.bincount(np.searchsorted(inner, one, side="right"), minlength=len(inner) + 1)
        for one in (reference, seen)
    ]
    used = np.flatnonzero(counts[0] + counts[1])
    one, other = (tuple(int(count) for count in each[used]) for each in counts)
    return Psi(one, other, paired)


def gap(reference: Floats, seen: Floats) -> Gap:
    """The largest distance between the shares of rows up to any value."""
    one, other = np.sort(reference), np.sort(seen)
    largest = 0.0
    for values in (one, other):
        shares = np.searchsorted(one, values, side="right") / len(one)
        shares -= np.searchsorted(other, values, side="right") / len(other)
        largest = max(largest, float(np.abs(shares).max()))
    return Gap(largest, len(one), len(other))


def drift(
    name: str, reference: Floats, seen: Floats, alpha: float, *, paired: bool = False
) -> dict[str, Estimate]:
    """``<name>_psi`` and ``<name>_ks``; ``paired`` for two numbers of the same rows."""
    return {
        f"{name}_psi": estimate(psi(reference, seen, paired=paired), len(seen), alpha),
        f"{name}_ks": estimate(gap(reference, seen), len(seen), alpha),
    }


def features(
    reference: Table, golden: Table, names: Sequence[str], rows: int, alpha: float
) -> dict[str, dict[str, Estimate]]:
    """Feature -> ``input_psi`` and ``input_ks`` of the golden set, of so many rows, from the reference.

    Only as many columns are kept at once as memory is meant for; both tables are read again for the next.

    Raises:
        GoldenRefused: the reference lacks a feature, or holds something else than finite numbers.
    """
    found: dict[str, dict[str, Estimate]] = {}
    at_once = max(1, _PIECE_VALUES // rows)
    for start in range(0, len(names), at_once):
        some = names[start : start + at_once]
        for name, one, other in zip(some, _columns(reference, some), _columns(golden, some), strict=True):
            found[name] = drift("input", one, other, alpha)
    return found


def _columns(table: Table, names: Sequence[str]) -> Iterator[Floats]:
    parts = [batch.numbers for batch in table.batches(numbers=names)]
    for place in range(len(names)):
        yield np.concatenate([part[:, place] for part in parts])
