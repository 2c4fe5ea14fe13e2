"""Calibration: scikit-learn's curve, statsmodels' regression, and an error that chance does not make."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from gates.contract import Status
from gates.evaluation.calibration import Bin, Ece, bounds_of, calibrate, curve, slope_and_intercept
from pipelines.journal.lines import verdict_to_data
from tests.gates.evaluation.tables import columns, desk, said

ALPHA = 0.05


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), min_size=20, max_size=200))
def test_the_curve_is_that_of_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    """calibration_curve(strategy="quantile", n_bins=10), to 1e-12, ties included."""
    labels, scores = np.array([one for one, _ in rows]), np.array([tick / 40 for _, tick in rows])
    found = curve(labels, scores)
    shares, means = calibration_curve(labels, scores, n_bins=10, strategy="quantile", pos_label=True)
    assert [one.score for one in found] == pytest.approx(means.tolist(), abs=1e-12)
    assert [one.hits / one.rows for one in found] == pytest.approx(shares.tolist(), abs=1e-12)
    assert sum(one.rows for one in found) == len(rows)
    error = sum(one.rows * abs(one.score - one.hits / one.rows) for one in found) / len(rows)
    law = Ece(found)
    assert law.value == pytest.approx(error)
    low, high = law.bounds(ALPHA)
    assert 0 <= low <= law.value <= high <= 1


def test_the_regression_is_that_of_statsmodels() -> None:
    """Logit(...).fit(cov_type="HC0") of release 0.15.0, to six digits."""
    dice = np.random.default_rng(3)
    scores = dice.beta(2, 5, 500)
    labels = dice.random(500) < 1 / (1 + np.exp(-(0.3 + 0.8 * np.log(scores / (1 - scores)))))
    slope, intercept = slope_and_intercept(labels, scores)
    for law, value, error in ((slope, 0.68754753, 0.11910087), (intercept, 0.34267231, 0.15298435)):
        assert law.value == pytest.approx(value, abs=1e-6)
        low, high = law.bounds(ALPHA)
        assert (high - low) / 2 == pytest.approx(1.959964 * error, abs=1e-6)


@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ([False] * 50 + [True] * 50, np.linspace(0.01, 0.99, 100)),
        ([False, True] * 50, np.full(100, 0.5)),
    ],
    ids=["parted", "constant"],
)
def test_a_slope_that_cannot_be_told_is_none(labels: list[bool], scores: np.ndarray) -> None:
    """Scores that part the labels without a miss, and scores that are all one."""
    slope, intercept = slope_and_intercept(np.array(labels), scores)
    assert (slope.value, intercept.value) == (None, None)
    assert slope.bounds(ALPHA) == (-math.inf, math.inf)


def test_scores_of_the_wrong_way_round_have_a_negative_slope() -> None:
    """However far from 1 it starts, the regression arrives."""
    dice = np.random.default_rng(4)
    odds = 3 * dice.normal(size=2000)
    labels = dice.random(2000) < 1 / (1 + np.exp(-odds))
    slope, _ = slope_and_intercept(labels, 1 / (1 + np.exp(odds)))
    assert slope.value == pytest.approx(-1.0, abs=0.15)


def test_certain_scores_keep_finite_odds() -> None:
    """0 and 1 are scores too."""
    dice = np.random.default_rng(5)
    scores = np.round(dice.random(1000))
    labels = dice.random(1000) < 0.8 * scores + 0.1
    slope, _ = slope_and_intercept(labels, scores)
    assert slope.value is not None
    assert 0 < slope.value < 1


def test_a_bin_has_an_exact_interval() -> None:
    """No hit of 36 may still be 9.7 %."""
    assert bounds_of(Bin(score=0.1, hits=0, rows=36), ALPHA) == pytest.approx((0.0, 0.0974), abs=1e-4)


def test_perfect_calibration_is_not_excluded_and_a_lift_is_found() -> None:
    """Chance alone lifts the measured error; the interval knows."""
    dice = np.random.default_rng(6)
    scores = dice.beta(1, 4, 5000)
    honest = calibrate(dice.random(5000) < scores, scores, ALPHA).estimates
    lifted = calibrate(dice.random(5000) < np.clip(scores + 0.1, 0, 1), scores, ALPHA).estimates
    assert honest["ece"].low == 0.0
    assert honest["calibration_slope"].low < 1 < honest["calibration_slope"].high
    assert honest["calibration_intercept"].low < 0 < honest["calibration_intercept"].high
    assert 0.05 < lifted["ece"].low < 0.1 < lifted["ece"].high


# ----------------------------------------------------------------------------- the gate


def test_a_calibrated_candidate_shows_it(tmp_path: Path) -> None:
    """The curve of both arms is kept for the picture."""
    made = desk(tmp_path).set(ceilings={"ece": 0.08, "brier": 0.25}, calibration_slope=(0.8, 1.25))
    verdict = made.judge()
    assert said(verdict) == (Status.PASS, "shown_on_golden_set")
    kept = verdict.evidence.facts["calibration"]
    assert isinstance(kept, dict)
    assert {arm: len(curve) for arm, curve in kept.items()} == {"candidate": 10, "stable": 10}
    names = {(one.name, one.arm) for one in verdict.evidence.measurements}
    assert {("ece", "candidate"), ("calibration_slope", "stable")} <= names


def test_a_candidate_that_overstates_is_refused(tmp_path: Path) -> None:
    """Its order is as good as before, its odds are twice as long."""
    golden, scores = columns()
    odds = 2 * np.log(np.asarray(scores["candidate"]) / (1 - np.asarray(scores["candidate"])))
    bold = {**scores, "candidate": (1 / (1 + np.exp(-odds))).tolist()}
    made = desk(tmp_path, golden, bold)
    assert made.judge().status is Status.PASS
    assert said(made.set(calibration_slope=(0.8, 1.25)).judge()) == (Status.FAIL, "miscalibrated")
    assert said(made.set(ceilings={"ece": 0.05}).judge()) == (Status.FAIL, "above_ceiling")
    narrow = desk(tmp_path).set(calibration_slope=(0.97, 1.03)).judge()
    assert said(narrow) == (Status.FAIL, "not_shown_calibrated")
    assert "within 0.97 and 1.03 must be shown" in narrow.sentence


def test_a_slope_that_cannot_be_told_is_not_shown(tmp_path: Path) -> None:
    """A candidate that parts the labels without a miss; the evidence still is JSON."""
    golden, scores = columns()
    parted = [0.9 * y + 0.1 * x for y, x in zip(golden["fraud"], scores["candidate"], strict=True)]
    made = desk(tmp_path, golden, {**scores, "candidate": parted})
    verdict = made.set(calibration_slope=(0.5, 2.0)).judge()
    assert said(verdict) == (Status.FAIL, "not_shown_calibrated")
    assert "calibration slope undefined" in verdict.sentence
    assert json.dumps(verdict_to_data(verdict), allow_nan=False)


def test_scores_that_are_no_probabilities_have_no_calibration(tmp_path: Path) -> None:
    """Nothing is said about it."""
    golden, scores = columns()
    points = {**scores, "candidate": [600 * one for one in scores["candidate"]]}
    points["stable"] = [600 * one for one in scores["stable"]]
    made = desk(tmp_path, golden, points).set(threshold=300.0, highest_score=600.0)
    verdict = made.judge()
    assert verdict.status is Status.PASS
    assert "calibration" not in verdict.evidence.facts
    assert "ece" not in {one.name for one in verdict.evidence.measurements}
