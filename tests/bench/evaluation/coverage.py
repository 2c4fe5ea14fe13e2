"""How often intervals hold the truth, and how often the gate lets a worse candidate through: seeded draws.

The truth of each number is known in closed form, or taken from many rows of one source. ``coverage`` draws
golden sets and counts on which side their 95 % interval misses; ``decisions`` counts verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from gates.evaluation.answers.judging import _compared, measured
from gates.evaluation.calibration import Ece, calibrate, curve
from gates.evaluation.drift import gap, psi
from gates.evaluation.estimates import Counted, Difference, Estimate, Ratio
from gates.evaluation.measures import Rule, compare, measure

ALPHA = 0.05
RULE = Rule(threshold=0.3, alpha=ALPHA, false_positive_cost=1.0, false_negative_cost=10.0)
Draw = Mapping[str, tuple[float, float, float]]
"""Name -> low, truth, high."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    rows: int
    draws: int
    below: int
    """Intervals that lie above the truth."""
    above: int

    def __str__(self) -> str:
        held = 1 - (self.below + self.above) / self.draws
        return (
            f"{self.name:<34}{self.rows:>8,}{self.draws:>8,}{held:>9.1%}"
            f"{self.below / self.draws:>9.1%}{self.above / self.draws:>9.1%}"
        )


def scored(rows: int, dice: np.random.Generator) -> tuple[Any, Any, Any]:
    """Labels of which a tenth are 1, and two models, of which the candidate knows a little more."""
    odds = dice.normal(-2.6, 1.5, rows)
    labels = dice.random(rows) < 1 / (1 + np.exp(-odds))
    new, old = (1 / (1 + np.exp(-(odds + noise * dice.normal(size=rows)))) for noise in (0.6, 0.8))
    return labels, new, old


@cache
def truth(rows: int) -> dict[str, float]:
    """Of the source above, from so many rows."""
    labels, new, old = scored(rows, np.random.default_rng(1))
    found = {name: one.value or 0.0 for name, one in measure(labels, new, RULE).items()}
    apart = {f"{name} difference": one.value or 0.0 for name, one in compare(labels, new, old, RULE).items()}
    slope = calibrate(labels, new, ALPHA).estimates
    return {**found, **apart, **{name: slope[name].value or 0.0 for name in slope if name != "ece"}}


def measures(truth_rows: int) -> Callable[[int, np.random.Generator], Draw]:
    """Every measure of one arm, and every difference; the truth is that of so many rows."""

    def draw(rows: int, dice: np.random.Generator) -> Draw:
        labels, new, old = scored(rows, dice)
        alone = measure(labels, new, RULE, pr_auc="drawn")
        found: dict[str, Estimate] = {**alone, **calibrate(labels, new, ALPHA).estimates}
        apart = compare(labels, new, old, RULE, pr_auc="drawn")
        found |= {f"{name} difference": one for name, one in apart.items()}
        known = truth(truth_rows)
        return {name: (one.low, known[name], one.high) for name, one in found.items() if name in known}

    return draw


def groups(rows: int, dice: np.random.Generator) -> Draw:
    """Two groups of unequal size that are treated unequally."""
    one = Counted(int(dice.binomial(rows // 4, 0.72)), rows // 4)
    other = Counted(int(dice.binomial(rows - rows // 4, 0.85)), rows - rows // 4)
    (low, high), (down, up) = Ratio(one, other).bounds(ALPHA), Difference(one, other).bounds(ALPHA)
    return {"impact ratio": (low, 0.72 / 0.85, high), "opportunity gap": (down, -0.13, up)}


def drifts(shift: float) -> Callable[[int, np.random.Generator], Draw]:
    """Two normal samples, one of them shifted."""
    from scipy.stats import norm

    edges = norm.ppf(np.linspace(0, 1, 11))
    moved = np.diff(norm.cdf(edges - shift))
    index = float(np.sum((moved - 0.1) * np.log(moved / 0.1)))
    largest = float(2 * norm.cdf(shift / 2) - 1)

    def draw(rows: int, dice: np.random.Generator) -> Draw:
        one, other = dice.normal(size=rows), dice.normal(size=rows) + shift
        # The bins are the sample's, the truth is that of the source's: both are as good as equal.
        (low, high), (down, up) = psi(one, other).bounds(ALPHA), gap(one, other).bounds(ALPHA)
        return {f"psi, shift {shift:g}": (low, index, high), f"ks, shift {shift:g}": (down, largest, up)}

    return draw


def calibrations(lift: float) -> Callable[[int, np.random.Generator], Draw]:
    """Scores that are too low by so much, but for those near 1."""

    def draw(rows: int, dice: np.random.Generator) -> Draw:
        scores = dice.beta(1, 5, rows)
        likely = np.clip(scores + lift, 0, 1)
        bins = curve(dice.random(rows) < likely, scores)
        places = np.searchsorted(np.quantile(scores, np.linspace(0, 1, 11))[1:-1], scores)
        off = np.bincount(places, weights=scores - likely, minlength=10)
        true = float(np.abs(off).sum() / rows)
        low, high = Ece(bins).bounds(ALPHA)
        return {f"ece, lift {lift:g}": (low, true, high)}

    return draw


def answers(rows: int, dice: np.random.Generator) -> Draw:
    """Scores of answers: skewed fractions, the candidate's a little lower on hard questions."""
    from tests.gates.evaluation.answers.test_answers import LOOSE

    hard = dice.random(rows)
    old, new = dice.beta(2 + 6 * (1 - hard), 2), dice.beta(2 + 5 * (1 - hard), 2)
    true_old, true_new = (float(np.mean(_beta_means(slope))) for slope in (6, 5))
    mean, apart = measured(new, LOOSE), _compared(new, old, LOOSE)
    return {
        "answers: mean score": (mean.low, true_new, mean.high),
        "answers: difference": (apart.low, true_new - true_old, apart.high),
    }


@cache
def _beta_means(slope: float) -> Any:
    hard = (np.arange(1_000_000) + 0.5) / 1_000_000
    one = 2 + slope * (1 - hard)
    return one / (one + 2)


def coverage(draw: Callable[[int, np.random.Generator], Draw], rows: int, draws: int) -> Iterator[Row]:
    """One row for each number that is drawn."""
    missed: dict[str, list[int]] = {}
    for number in range(draws):
        for name, (low, true, high) in draw(rows, np.random.default_rng([11, rows, number])).items():
            counts = missed.setdefault(name, [0, 0])
            counts[0] += low > true + 1e-12
            counts[1] += high < true - 1e-12
    for name, (below, above) in missed.items():
        yield Row(name, rows, draws, below, above)


def decisions(rows: int, draws: int) -> Iterator[str]:
    """How often a margin on recall lets a candidate pass, by how much worse it really is."""
    margin = 0.03
    for worse in (0.0, 0.5, 1.0, 2.0):
        passed = 0
        for number in range(draws):
            dice = np.random.default_rng([13, rows, number])
            labels = dice.random(rows) < 0.2
            old = dice.random(rows) < np.where(labels, 0.8, 0.05)
            turned = dice.random(rows) < np.where(old, 0.03 / 0.8 + worse * margin / 0.8, 0.15)
            new = np.where(labels, old ^ turned, old)
            one = compare(labels, new.astype(float), old.astype(float), RULE, pr_auc="left_out")["recall"]
            passed += one.low >= -margin
        yield f"recall worse by {worse:>3g} margins{'':<12}{rows:>8,}{draws:>8,}{passed / draws:>9.1%}"
