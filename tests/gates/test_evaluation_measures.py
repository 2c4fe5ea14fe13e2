"""Measures agree with scikit-learn and with their definitions worked out the slow way.

Covered: values to 1e-12, DeLong's variance, Tango's interval, McNemar, what is undefined. The coverage of
the intervals is taken from the literature and sampled once for Tango's.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, norm
from sklearn.metrics import accuracy_score, log_loss, precision_score, recall_score, roc_auc_score

from gates.evaluation.measures import compare, flips, mcnemar, measure, paired_difference

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
ALPHA = 0.05
Z = norm.ppf(1 - ALPHA / 2)


@st.composite
def scored(draw: st.DrawFn, arms: int = 1) -> tuple[Bools, list[Floats]]:
    """Labels, two of either kind at least, and scores with many ties."""
    labels = np.array([False, False, True, True, *draw(st.lists(st.booleans(), max_size=40))])
    score = st.integers(0, 12).map(lambda tick: tick / 12)
    columns = [draw(st.lists(score, min_size=len(labels), max_size=len(labels))) for _ in range(arms)]
    return labels, [np.array(column) for column in columns]


def slow_placements(labels: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """DeLong's components from every pair of rows."""
    kernel = [[1.0 if p > n else 0.5 if p == n else 0.0 for n in scores[~labels]] for p in scores[labels]]
    table = np.array(kernel)
    return table.mean(axis=1), table.mean(axis=0)


@given(scored())
def test_values_are_those_of_scikit_learn(drawn: tuple[Bools, list[Floats]]) -> None:
    """To 1e-12, ties and extreme scores included."""
    labels, (scores,) = drawn
    flagged = scores >= 0.5
    found = measure(labels, scores, 0.5, ALPHA)
    assert found["auc"].value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert found["accuracy"].value == pytest.approx(accuracy_score(labels, flagged), abs=1e-12)
    assert found["recall"].value == pytest.approx(recall_score(labels, flagged), abs=1e-12)
    assert found["flagged"].value == pytest.approx(flagged.mean(), abs=1e-12)
    assert found["log_loss"].value == pytest.approx(log_loss(labels, scores), abs=1e-12)
    if flagged.any():
        assert found["precision"].value == pytest.approx(precision_score(labels, flagged), abs=1e-12)
    assert all(one.value is None or one.low <= one.value + 1e-12 for one in found.values())
    assert all(one.value is None or one.high >= one.value - 1e-12 for one in found.values())


@given(scored(arms=2))
def test_delong_is_its_definition(drawn: tuple[Bools, list[Floats]]) -> None:
    """Found by ranks here, from all pairs of rows there: one arm's variance and the paired difference's."""
    labels, (candidate, champion) = drawn
    new, old = slow_placements(labels, candidate), slow_placements(labels, champion)
    paired = compare(labels, candidate, champion, 0.5, ALPHA)["auc"]
    covariances = [np.cov(np.vstack(part)) / part[0].size for part in zip(new, old, strict=True)]
    error = math.sqrt(max(0.0, sum(c[0, 0] + c[1, 1] - 2 * c[0, 1] for c in covariances)))
    assert paired.value == pytest.approx(
        roc_auc_score(labels, candidate) - roc_auc_score(labels, champion), abs=1e-12
    )
    assert (paired.high - paired.low) / 2 == pytest.approx(Z * error, abs=1e-7)
    alone = measure(labels, candidate, 0.5, ALPHA)["auc"]
    variance = sum(np.var(part, ddof=1) / len(part) for part in new)
    if variance > 0 and alone.value is not None:
        assert alone.low == pytest.approx(max(0.0, alone.value - Z * math.sqrt(variance)), abs=1e-12)
        assert alone.high == pytest.approx(min(1.0, alone.value + Z * math.sqrt(variance)), abs=1e-12)


@given(scored())
def test_auc_is_blind_to_the_scale_and_turns_with_the_order(drawn: tuple[Bools, list[Floats]]) -> None:
    """Only the order of the scores counts."""
    labels, (scores,) = drawn
    auc = measure(labels, scores, 0.5, ALPHA)["auc"]
    assert measure(labels, scores**3 * 7 - 2, 0.5, ALPHA)["auc"] == auc
    turned = measure(labels, -scores, 0.5, ALPHA)["auc"]
    assert turned.value == pytest.approx(1 - (auc.value or 0.0), abs=1e-12)


def test_a_perfect_order_of_few_rows_is_no_certainty() -> None:
    """Its variance is zero, its interval is not: as wide as for five hits of five."""
    labels = np.array([False] * 20 + [True] * 5)
    perfect = measure(labels, np.linspace(0, 1, 25), 0.5, ALPHA)["auc"]
    assert perfect.value == 1.0
    assert (perfect.low, perfect.high) == pytest.approx((0.025 ** (1 / 5), 1.0))
    worst = measure(labels, np.linspace(1, 0, 25), 0.5, ALPHA)["auc"]
    assert (worst.value, worst.low) == (0.0, 0.0)
    assert worst.high == pytest.approx(1 - 0.025 ** (1 / 5))


def test_precision_of_nothing_flagged_is_undefined() -> None:
    """No value, and bounds that say nothing."""
    labels = np.array([False, False, True, True])
    found = measure(labels, np.array([0.1, 0.2, 0.1, 0.3]), 0.5, ALPHA)["precision"]
    assert (found.value, found.low, found.high, found.samples) == (None, 0.0, 1.0, 0)


def test_log_loss_needs_probabilities() -> None:
    """Scores on another scale have none, alone and compared."""
    labels = np.array([False, False, True, True])
    odds, shares = np.array([-3.0, 0.1, 2.0, 5.0]), np.array([0.1, 0.2, 0.7, 0.9])
    assert "log_loss" not in measure(labels, odds, 0.0, ALPHA)
    assert "log_loss" not in compare(labels, odds, shares, 0.0, ALPHA)
    assert "log_loss" in compare(labels, shares, shares, 0.0, ALPHA)


def test_certain_and_wrong_keeps_a_finite_loss() -> None:
    """As scikit-learn does, so that evidence stays a number."""
    labels = np.array([False, False, True, True])
    scores = np.array([1.0, 0.0, 0.0, 1.0])
    assert measure(labels, scores, 0.5, ALPHA)["log_loss"].value == pytest.approx(
        log_loss(labels, scores), abs=1e-12
    )


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_a_fair_coin_and_knows_no_side(one: int, other: int) -> None:
    """Exact, symmetric, a probability, 1 when both sides are even."""
    p = mcnemar(one, other)
    assert p == mcnemar(other, one)
    assert 0.0 < p <= 1.0
    if one == other:
        assert p == 1.0
    else:
        assert p == pytest.approx(binomtest(one, one + other).pvalue, abs=1e-12)


def test_mcnemar_of_a_textbook_table() -> None:
    """10 against 2: twice the 79 of 4096 ways to see at most two heads in twelve."""
    assert mcnemar(10, 2) == pytest.approx(2 * 79 / 4096, abs=1e-12)


@st.composite
def discordant(draw: st.DrawFn) -> tuple[int, int, int]:
    """(gained, lost, pairs)."""
    gained, lost = draw(st.integers(0, 60)), draw(st.integers(0, 60))
    return gained, lost, gained + lost + draw(st.integers(0, 400))


@given(discordant())
def test_tango_contains_what_was_seen_and_mirrors(table: tuple[int, int, int]) -> None:
    """Exchanging the arms turns the interval round; without a flip it is not a point."""
    gained, lost, pairs = table
    assume(pairs > 0)
    low, high = paired_difference(gained, lost, pairs, ALPHA)
    assert -1.0 <= low <= (gained - lost) / pairs <= high <= 1.0
    assert high > low
    turned = paired_difference(lost, gained, pairs, ALPHA)
    assert (-turned[1], -turned[0]) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize(("gained", "lost", "pairs"), [(5, 12, 100), (1, 0, 44), (30, 3, 40), (0, 7, 400)])
def test_tango_bounds_are_where_the_score_test_stops_objecting(gained: int, lost: int, pairs: int) -> None:
    """The restricted likelihood is maximised by search here, in closed form there."""

    def score(difference: float) -> float:
        def minus_likelihood(loses: float) -> float:
            wins, same = loses + difference, 1 - 2 * loses - difference
            cells = ((gained, wins), (lost, loses), (pairs - gained - lost, same))
            return -sum(n * math.log(max(p, 1e-300)) for n, p in cells if n)

        lowest, highest = max(0.0, -difference), (1 - difference) / 2
        loses = minimize_scalar(minus_likelihood, (lowest, highest), bounds=(lowest, highest),
                                method="bounded", options={"xatol": 1e-13}).x  # fmt: skip
        variance = pairs * (2 * loses + difference - difference**2)
        return (gained - lost - pairs * difference) / math.sqrt(variance)

    low, high = paired_difference(gained, lost, pairs, ALPHA)
    assert score(low) == pytest.approx(Z, abs=1e-3)
    assert score(high) == pytest.approx(-Z, abs=1e-3)


def test_tango_without_a_flip_has_a_closed_form() -> None:
    """No discordant pair among n: plus and minus z² / (n + z²)."""
    edge = Z**2 / (150 + Z**2)
    assert paired_difference(0, 0, 150, ALPHA) == pytest.approx((-edge, edge), abs=1e-9)


def test_tango_at_the_ends() -> None:
    """All pairs discordant the same way."""
    assert paired_difference(8, 0, 8, ALPHA)[1] == 1.0
    assert paired_difference(0, 8, 8, ALPHA)[0] == -1.0


def test_tango_covers_as_it_says() -> None:
    """The exact coverage over all outcomes of 60 pairs, at three truths, is near 95 %."""
    for wins, loses in ((0.1, 0.1), (0.05, 0.15), (0.02, 0.02)):
        covered = 0.0
        for gained, lost in product(range(61), range(61)):
            same = 60 - gained - lost
            if same < 0:
                continue
            ways = math.lgamma(61) - math.lgamma(gained + 1) - math.lgamma(lost + 1) - math.lgamma(same + 1)
            chance = math.exp(
                ways + gained * math.log(wins) + lost * math.log(loses) + same * math.log(1 - wins - loses)
            )
            if chance < 1e-6:
                continue
            low, high = paired_difference(gained, lost, 60, ALPHA)
            covered += chance * (low <= wins - loses <= high)
        assert 0.93 <= covered <= 0.99


def test_flips_are_counted_both_ways_and_named_by_row() -> None:
    """Rows count from 1; right and wrong are told apart."""
    labels = np.array([True, True, False, False, True])
    champion = np.array([0.9, 0.1, 0.1, 0.9, 0.9])
    candidate = np.array([0.1, 0.9, 0.9, 0.1, 0.9])
    found = flips(labels, candidate, champion, 0.5)
    assert (found.newly_flagged, found.no_longer_flagged) == ((2, 3), (1, 4))
    assert (found.newly_right, found.newly_wrong, found.mcnemar_p) == (2, 2, 1.0)


def test_differences_are_candidate_minus_champion() -> None:
    """Better is above zero for shares, below for a loss."""
    labels = np.array([False, False, True, True] * 10)
    good, poor = np.array([0.1, 0.2, 0.8, 0.9] * 10), np.array([0.4, 0.6, 0.4, 0.6] * 10)
    found = compare(labels, good, poor, 0.5, ALPHA)
    assert found["auc"].value == 0.5
    assert found["accuracy"].value == 0.5
    assert found["recall"].value == 0.5
    loss = found["log_loss"]
    assert loss.value == pytest.approx(log_loss(labels, good) - log_loss(labels, poor), abs=1e-12)
    assert loss.high < 0
