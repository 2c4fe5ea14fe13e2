"""Numbers with what is known about them: laws give bounds at any confidence, and p-values follow from bounds.

A law is what remains of the rows once they are counted. Everything said about a number, its interval, its
p-value against a limit, its place in Holm's order, comes from the one law, so that they never disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import exp, inf, log, sqrt
from typing import Protocol

from gates.binomial import clopper_pearson

_HALVINGS = 40
"""How often an alpha between 0 and 1 is halved: p-values down to 1e-12, below which ``1 - alpha`` is 1."""
_WIDEST_RATIO = 1e12
"""A ratio of shares is looked for between this and its inverse; of 50 million rows none lies beyond."""


class Law(Protocol):
    """What is known about one number."""

    @property
    def value(self) -> float | None:
        """The measured value; None where the rows do not define it."""
        ...

    def bounds(self, alpha: float) -> tuple[float, float]:
        """The two-sided interval at the confidence ``1 - alpha``; it grows as alpha falls."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One measure, or one difference of it, with the bounds of its interval."""

    value: float | None
    """None where the rows do not define it: the precision of nothing flagged."""
    low: float
    high: float
    samples: int
    """Rows it rests on."""
    law: Law = field(compare=False, repr=False)


def estimate(law: Law, samples: int, alpha: float) -> Estimate:
    """A law's value with its interval at the confidence ``1 - alpha``."""
    low, high = law.bounds(alpha)
    return Estimate(value=law.value, low=low, high=high, samples=samples, law=law)


def p_value(law: Law, supposed: float) -> float:
    """Two-sided p-value of a supposed value: the largest alpha whose interval still holds it."""
    held, refused = 0.0, 1.0
    for _ in range(_HALVINGS):
        alpha = (held + refused) / 2 if held else refused / 2
        low, high = law.bounds(alpha)
        if low <= supposed <= high:
            held = alpha
        else:
            refused = alpha
        if refused - held < 1e-6 * refused:
            break
    return refused


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, in the order given: below alpha together means shown together.

    (Holm, Scandinavian Journal of Statistics 6, 1979, 65-70.)
    """
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = worst
    return adjusted


def mcnemar(one_way: int, other_way: int) -> float:
    """McNemar's exact two-sided p-value of discordant pairs (a fair coin's binomial test); 1 without any."""
    from scipy.stats import binomtest

    pairs = one_way + other_way
    return float(binomtest(one_way, pairs, 0.5).pvalue) if pairs else 1.0


# ---------------------------------------------------------------------- laws of shares


@dataclass(frozen=True, slots=True)
class Counted:
    """A share that was counted; exact bounds (Clopper and Pearson)."""

    hits: int
    trials: int

    @property
    def value(self) -> float | None:
        """None of nothing tried."""
        return self.hits / self.trials if self.trials else None

    def bounds(self, alpha: float) -> tuple[float, float]:
        """As :func:`gates.binomial.clopper_pearson`."""
        return clopper_pearson(self.hits, self.trials, 1.0 - alpha)


@dataclass(frozen=True, slots=True)
class Paired:
    """The difference of two shares counted on the same rows.

    Those differences for which the score test does not object are inside, so that no discordant pair at
    all still leaves room for some. (Tango, Statistics in Medicine 17, 1998, 891-908.)
    """

    gained: int
    """Rows that count for the first and not for the second."""
    lost: int
    """Rows that count for the second and not for the first."""
    pairs: int
    """All rows."""

    @property
    def value(self) -> float | None:
        """None without any row."""
        return (self.gained - self.lost) / self.pairs if self.pairs else None

    def bounds(self, alpha: float) -> tuple[float, float]:
        """By searching where the score test stops objecting; (-1, 1) without any row."""
        if not self.pairs:
            return -1.0, 1.0
        seen, z = (self.gained - self.lost) / self.pairs, normal(alpha)
        low = -1.0 if seen == -1 else _root(lambda d: self._objection(d) - z, -1.0, seen)
        high = 1.0 if seen == 1 else _root(lambda d: self._objection(d) + z, seen, 1.0)
        return low, high

    def _objection(self, difference: float) -> float:
        """The score statistic for a supposed difference; falls as the difference grows."""
        gained, lost, pairs = self.gained, self.lost, self.pairs
        excess = gained - lost - pairs * difference
        if excess == 0:
            return 0.0
        linear = (2 * pairs - gained + lost) * difference - gained - lost
        constant = -lost * difference * (1 - difference)
        likely_lost = (sqrt(max(linear**2 - 8 * pairs * constant, 0.0)) - linear) / (4 * pairs)
        variance = pairs * (2 * likely_lost + difference * (1 - difference))
        return float(excess / sqrt(max(variance, 1e-300)))


@dataclass(frozen=True, slots=True)
class Difference:
    """One share minus another, counted on different rows.

    (Newcombe, Statistics in Medicine 17, 1998, 873-890, method 10: from Wilson's bounds of both.)
    """

    one: Counted
    other: Counted

    @property
    def value(self) -> float | None:
        """None where either has no row."""
        if self.one.value is None or self.other.value is None:
            return None
        return self.one.value - self.other.value

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Within -1 and 1."""
        if self.one.value is None or self.other.value is None:
            return -1.0, 1.0
        seen = self.one.value - self.other.value
        (one_low, one_high), (other_low, other_high) = _wilson(self.one, alpha), _wilson(self.other, alpha)
        down = sqrt((self.one.value - one_low) ** 2 + (other_high - self.other.value) ** 2)
        up = sqrt((one_high - self.one.value) ** 2 + (self.other.value - other_low) ** 2)
        return max(seen - down, -1.0), min(seen + up, 1.0)


def _wilson(share: Counted, alpha: float) -> tuple[float, float]:
    """Wilson's bounds of a share (Journal of the American Statistical Association 22, 1927)."""
    z, hits, trials = normal(alpha), share.hits, share.trials
    middle = (hits + z * z / 2) / (trials + z * z)
    reach = z * sqrt(hits * (trials - hits) / trials + z * z / 4) / (trials + z * z)
    return middle - reach, middle + reach


@dataclass(frozen=True, slots=True)
class Ratio:
    """One share divided by another, counted on different rows.

    Those ratios for which the score test does not object are inside. (Koopman, Biometrics 40, 1984, 513-517.)
    """

    one: Counted
    other: Counted

    @property
    def value(self) -> float | None:
        """None where the other share is 0 or either has no row."""
        if self.one.value is None or not self.other.value:
            return None
        return self.one.value / self.other.value

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Between 0 and infinity, which they are where nothing is known."""
        z = normal(alpha)
        edges = (-log(_WIDEST_RATIO), log(_WIDEST_RATIO))
        if not self.one.trials or not self.other.trials:
            return 0.0, inf
        low = 0.0 if not self.one.hits else exp(_root(lambda r: self._objection(exp(r)) - z, *edges))
        high = inf if not self.other.hits else exp(_root(lambda r: self._objection(exp(r)) + z, *edges))
        return low, high

    def _objection(self, ratio: float) -> float:
        """The score statistic for a supposed ratio; falls as the ratio grows."""
        x, m, y, n = self.one.hits, self.one.trials, self.other.hits, self.other.trials
        whole, linear = (m + n) * ratio, m * ratio + x + n + y * ratio
        likely = 2 * (x + y) / (linear + sqrt(max(linear**2 - 4 * whole * (x + y), 0.0)))
        product = ratio * likely
        variance = product * (1 - product) / m + ratio**2 * likely * (1 - likely) / n
        return (x / m - ratio * y / n) / sqrt(max(variance, 1e-300))


# ------------------------------------------------------------------------ other laws


@dataclass(frozen=True, slots=True)
class Normal:
    """A value with a standard error, by the central limit theorem."""

    value: float
    error: float

    def bounds(self, alpha: float) -> tuple[float, float]:
        """The value and as many errors on either side as alpha asks for."""
        reach = normal(alpha) * self.error
        return self.value - reach, self.value + reach


@dataclass(frozen=True, slots=True)
class Within:
    """A law whose bounds are cut at what the number can be."""

    law: Law
    lowest: float
    highest: float

    @property
    def value(self) -> float | None:
        """That of the law."""
        return self.law.value

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Those of the law, cut."""
        low, high = self.law.bounds(alpha)
        return max(low, self.lowest), min(high, self.highest)


@dataclass(frozen=True, slots=True)
class Weighed:
    """A sum of independent numbers, each times a weight of at least 0.

    The distances to the bounds add up in squares (Zou and Donner, Statistics in Medicine 27, 2008,
    1693-1702).
    """

    parts: tuple[tuple[float, Law], ...]

    @property
    def value(self) -> float | None:
        """None where a part has none."""
        values = [(weight, law.value) for weight, law in self.parts]
        if any(value is None for _, value in values):
            return None
        return sum(weight * value for weight, value in values if value is not None)

    def bounds(self, alpha: float) -> tuple[float, float]:
        """From the bounds of the parts."""
        down = up = 0.0
        for weight, law in self.parts:
            low, high = law.bounds(alpha)
            middle = law.value if law.value is not None else (low + high) / 2
            down += (weight * (middle - low)) ** 2
            up += (weight * (high - middle)) ** 2
        seen = self.value or 0.0
        return seen - sqrt(down), seen + sqrt(up)


def normal(alpha: float) -> float:
    """How many standard errors leave ``alpha`` outside, both sides together."""
    from scipy.special import ndtri

    return float(-ndtri(alpha / 2))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses zero."""
    from scipy.optimize import brentq

    return float(brentq(function, low, high))
