"""Measures agree with scikit-learn and with their definitions worked out the slow way.

Covered: values to 1e-12, DeLong's variance, what is undefined, what the rows' order and the arms' exchange
change. Which of many draws an interval covers is measured by ``make bench-evaluation``.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest, norm
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from gates.evaluation.measures import SMALLER_IS_BETTER, Rule, compare, flips, measure, paired_tests
from gates.evaluation.ranking import PrecisionRecall

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
ALPHA = 0.05
Z = norm.ppf(1 - ALPHA / 2)
RULE = Rule(threshold=0.5, alpha=ALPHA)
PRICED = replace(RULE, false_positive_cost=1.0, false_negative_cost=20.0)


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
    found = measure(labels, scores, RULE, pr_auc="left_out")
    assert found["auc"].value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert found["accuracy"].value == pytest.approx(accuracy_score(labels, flagged), abs=1e-12)
    assert found["recall"].value == pytest.approx(recall_score(labels, flagged), abs=1e-12)
    assert found["flagged"].value == pytest.approx(flagged.mean(), abs=1e-12)
    assert found["log_loss"].value == pytest.approx(log_loss(labels, scores), abs=1e-12)
    assert found["brier"].value == pytest.approx(brier_score_loss(labels, scores), abs=1e-12)
    if flagged.any():
        assert found["precision"].value == pytest.approx(precision_score(labels, flagged), abs=1e-12)
    assert all(one.value is None or one.low <= one.value + 1e-12 for one in found.values())
    assert all(one.value is None or one.high >= one.value - 1e-12 for one in found.values())


@given(scored(arms=2))
def test_delong_is_its_definition(drawn: tuple[Bools, list[Floats]]) -> None:
    """Found by ranks here, from all pairs of rows there: one arm's variance and the paired difference's."""
    labels, (candidate, champion) = drawn
    new, old = slow_placements(labels, candidate), slow_placements(labels, champion)
    paired = compare(labels, candidate, champion, RULE, pr_auc="left_out")["auc"]
    covariances = [np.cov(np.vstack(part)) / part[0].size for part in zip(new, old, strict=True)]
    error = math.sqrt(max(0.0, sum(c[0, 0] + c[1, 1] - 2 * c[0, 1] for c in covariances)))
    assert paired.value == pytest.approx(
        roc_auc_score(labels, candidate) - roc_auc_score(labels, champion), abs=1e-12
    )
    assert (paired.high - paired.low) / 2 == pytest.approx(Z * error, abs=1e-7)
    alone = measure(labels, candidate, RULE, pr_auc="left_out")["auc"]
    variance = sum(np.var(part, ddof=1) / len(part) for part in new)
    if variance > 0 and alone.value is not None:
        assert alone.low == pytest.approx(max(0.0, alone.value - Z * math.sqrt(variance)), abs=1e-12)
        assert alone.high == pytest.approx(min(1.0, alone.value + Z * math.sqrt(variance)), abs=1e-12)


@given(scored())
def test_auc_is_blind_to_the_scale_and_turns_with_the_order(drawn: tuple[Bools, list[Floats]]) -> None:
    """Only the order of the scores counts."""
    labels, (scores,) = drawn
    auc = measure(labels, scores, RULE, pr_auc="left_out")["auc"]
    assert measure(labels, scores**3 * 7 - 2, RULE, pr_auc="left_out")["auc"] == auc
    turned = measure(labels, -scores, RULE, pr_auc="left_out")["auc"]
    assert turned.value == pytest.approx(1 - (auc.value or 0.0), abs=1e-12)


def test_a_perfect_order_of_few_rows_is_no_certainty() -> None:
    """Its variance is zero, its interval is not: as wide as for five hits of five."""
    labels = np.array([False] * 20 + [True] * 5)
    perfect = measure(labels, np.linspace(0, 1, 25), RULE)["auc"]
    assert perfect.value == 1.0
    assert (perfect.low, perfect.high) == pytest.approx((0.025 ** (1 / 5), 1.0))
    worst = measure(labels, np.linspace(1, 0, 25), RULE)["auc"]
    assert (worst.value, worst.low) == (0.0, 0.0)
    assert worst.high == pytest.approx(1 - 0.025 ** (1 / 5))


def test_precision_of_nothing_flagged_is_undefined() -> None:
    """No value, and bounds that say nothing."""
    labels = np.array([False, False, True, True])
    found = measure(labels, np.array([0.1, 0.2, 0.1, 0.3]), RULE)["precision"]
    assert (found.value, found.low, found.high, found.samples) == (None, 0.0, 1.0, 0)


def test_log_loss_needs_probabilities() -> None:
    """Scores on another scale have none, alone and compared."""
    labels = np.array([False, False, True, True])
    odds, shares = np.array([-3.0, 0.1, 2.0, 5.0]), np.array([0.1, 0.2, 0.7, 0.9])
    assert "log_loss" not in measure(labels, odds, replace(RULE, threshold=0.0))
    assert "log_loss" not in compare(labels, odds, shares, replace(RULE, threshold=0.0))
    assert "log_loss" in compare(labels, shares, shares, replace(RULE, threshold=0.0))


def test_certain_and_wrong_keeps_a_finite_loss() -> None:
    """As scikit-learn does, so that evidence stays a number."""
    labels = np.array([False, False, True, True])
    scores = np.array([1.0, 0.0, 0.0, 1.0])
    assert measure(labels, scores, RULE, pr_auc="left_out")["log_loss"].value == pytest.approx(
        log_loss(labels, scores), abs=1e-12
    )


def test_flips_are_counted_both_ways_and_named_by_row() -> None:
    """Rows count from 1; right and wrong are told apart."""
    labels = np.array([True, True, False, False, True])
    champion = np.array([0.9, 0.1, 0.1, 0.9, 0.9])
    candidate = np.array([0.1, 0.9, 0.9, 0.1, 0.9])
    found = flips(labels, candidate, champion, 0.5)
    assert (found.newly_flagged, found.no_longer_flagged) == (2, 2)
    assert (found.newly_flagged_rows, found.no_longer_flagged_rows) == ((2, 3), (1, 4))
    assert (found.newly_right, found.newly_wrong, found.mcnemar_p) == (2, 2, 1.0)


def test_differences_are_candidate_minus_champion() -> None:
    """Better is above zero for shares, below for a loss."""
    labels = np.array([False, False, True, True] * 10)
    good, poor = np.array([0.1, 0.2, 0.8, 0.9] * 10), np.array([0.4, 0.6, 0.4, 0.6] * 10)
    found = compare(labels, good, poor, RULE)
    assert found["auc"].value == 0.5
    assert found["accuracy"].value == 0.5
    assert found["recall"].value == 0.5
    loss = found["log_loss"]
    assert loss.value == pytest.approx(log_loss(labels, good) - log_loss(labels, poor), abs=1e-12)
    assert loss.high < 0


# ---------------------------------------------------------------- order and exchange

SMALL = settings(max_examples=6, deadline=None)
"""Each example resamples 2000 times."""


@SMALL
@given(scored(arms=2), st.randoms())
def test_the_rows_order_changes_nothing(drawn: tuple[Bools, list[Floats]], dice: random.Random) -> None:
    """Not one bit of a value or a bound, resampled ones included."""
    labels, (candidate, champion) = drawn
    order = list(range(len(labels)))
    dice.shuffle(order)
    for one, other in (
        (
            measure(labels, candidate, PRICED, pr_auc="drawn"),
            measure(labels[order], candidate[order], PRICED, pr_auc="drawn"),
        ),
        (
            compare(labels, candidate, champion, PRICED, pr_auc="drawn"),
            compare(labels[order], candidate[order], champion[order], PRICED, pr_auc="drawn"),
        ),
    ):
        for name in one:
            bounds = [(each.value, each.low, each.high) for each in (one[name], other[name])]
            assert bounds[0] == pytest.approx(bounds[1], abs=1e-12), name


@SMALL
@given(scored(arms=2))
def test_exchanged_arms_turn_every_difference_round(drawn: tuple[Bools, list[Floats]]) -> None:
    """The resampled one within what drawing costs, all others exactly; so do the tests."""
    labels, (candidate, champion) = drawn
    there = compare(labels, candidate, champion, PRICED, pr_auc="drawn")
    back = compare(labels, champion, candidate, PRICED, pr_auc="drawn")
    for name, one in there.items():
        turned = (-(back[name].value or 0.0), -back[name].high, -back[name].low)
        off = 0.2 * (one.high - one.low) if name == "pr_auc" else 1e-9
        assert (one.value, one.low, one.high) == pytest.approx(turned, abs=off + 1e-9), name
    opposite = {"better": "worse", "worse": "better", "neither": "neither"}
    for one, other in zip(paired_tests(there, ALPHA), paired_tests(back, ALPHA), strict=True):
        if one.measure != "pr_auc":
            assert one.p == pytest.approx(other.p, rel=1e-4)
        if abs(one.holm_p - ALPHA) > 0.02:
            assert one.shown == opposite[other.shown]


def test_equal_arms_differ_in_nothing() -> None:
    """And no test says they do."""
    labels, scores = np.array([False, True] * 50), np.linspace(0, 1, 100)
    found = compare(labels, scores, scores, PRICED)
    assert {one.value for one in found.values()} == {0.0}
    assert {one.p for one in paired_tests(found, ALPHA)} == {1.0}


# ------------------------------------------------------------------ precision and recall


@given(scored())
def test_the_influence_of_a_row_is_how_the_area_grows_with_its_weight(
    drawn: tuple[Bools, list[Floats]],
) -> None:
    """Against a small step of each weight; together they leave the area where it is."""
    labels, (scores,) = drawn
    ranked = PrecisionRecall.of(labels, scores)
    area, influence = ranked.influence()
    assert area == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert influence.sum() == pytest.approx(0.0, abs=1e-9)
    for row in range(len(labels)):
        up, down = np.ones(len(labels)), np.ones(len(labels))
        up[row], down[row] = 1 + 1e-5, 1 - 1e-5
        slope = (ranked.area(up) - ranked.area(down)) / 2e-5
        assert influence[row] == pytest.approx(slope, abs=1e-6)


@given(scored(), st.data())
def test_a_weighed_area_is_that_of_rows_repeated(
    drawn: tuple[Bools, list[Floats]], data: st.DataObject
) -> None:
    """As scikit-learn has it of the longer list."""
    labels, (scores,) = drawn
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(labels), max_size=len(labels))))
    weights[np.flatnonzero(labels)[0]] = 1
    longer = np.repeat(np.arange(len(labels)), weights)
    area = PrecisionRecall.of(labels, scores).area(weights.astype(float))
    assert area == pytest.approx(average_precision_score(labels[longer], scores[longer]), abs=1e-12)


def test_a_perfect_order_of_few_rows_is_no_certain_area() -> None:
    """As with the area under the ROC curve."""
    labels = np.array([False] * 20 + [True] * 5)
    perfect = measure(labels, np.linspace(0, 1, 25), RULE)["pr_auc"]
    assert (perfect.value, perfect.low, perfect.high) == pytest.approx((1.0, 0.025 ** (1 / 5), 1.0))


# -------------------------------------------------------------------------- cost, tests


def test_cost_is_what_both_mistakes_come_to() -> None:
    """Per row, and its difference from the champion's."""
    labels = np.array([False] * 60 + [True] * 40)
    candidate, champion = np.where(labels, 0.9, 0.1), np.where(labels, 0.9, 0.1)
    candidate[:6], champion[60:64] = 0.9, 0.1
    assert measure(labels, candidate, PRICED)["cost"].value == pytest.approx(6 * 1.0 / 100)
    assert measure(labels, champion, PRICED)["cost"].value == pytest.approx(4 * 20.0 / 100)
    found = compare(labels, candidate, champion, PRICED)["cost"]
    assert found.value == pytest.approx((6 * 1 - 4 * 20) / 100)
    assert found.low < found.value < found.high
    assert "cost" not in measure(labels, candidate, RULE)
    assert "cost" not in compare(labels, candidate, champion, RULE)


def test_no_other_decision_still_leaves_room_for_another_cost() -> None:
    """A hundred rows decided alike do not show that no row ever is not."""
    labels = np.array([False, True] * 50)
    same = np.where(labels, 0.9, 0.1)
    found = compare(labels, same, same * 0.99, PRICED)["cost"]
    assert found.value == 0.0
    assert found.high > 20 * Z**2 / (100 + Z**2) * 0.99


def test_each_test_says_which_arm_is_better_after_holm() -> None:
    """A smaller loss is better; what chance explains is neither."""
    dice = np.random.default_rng(5)
    truth = dice.normal(size=2000)
    labels = dice.random(2000) < 1 / (1 + np.exp(-2 * truth))
    good, poor = 1 / (1 + np.exp(-2 * truth)), 1 / (1 + np.exp(-2 * (truth + dice.normal(size=2000))))
    found = {one.measure: one for one in paired_tests(compare(labels, good, poor, PRICED), ALPHA)}
    assert set(found) == {"auc", "pr_auc", "accuracy", "recall", "log_loss", "brier", "cost"}
    assert {one.shown for one in found.values()} == {"better"}
    assert found["accuracy"].method == "mcnemar"
    assert found["accuracy"].p == pytest.approx(
        binomtest(*_discordant((good >= 0.5) == labels, (poor >= 0.5) == labels)).pvalue
    )
    assert all(one.holm_p >= one.p for one in found.values())
    back = paired_tests(compare(labels, poor, good, PRICED), ALPHA)
    assert {one.shown for one in back} == {"worse"}
    assert {"log_loss", "brier", "cost"} == SMALLER_IS_BETTER
    nudged = np.clip(good + 1e-4 * dice.normal(size=2000), 0, 1)
    assert "worse" not in {one.shown for one in paired_tests(compare(labels, nudged, good, RULE), ALPHA)}


def _discordant(one: Bools, other: Bools) -> tuple[int, int]:
    gained, lost = int(np.sum(one & ~other)), int(np.sum(other & ~one))
    return gained, gained + lost
