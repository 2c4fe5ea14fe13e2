"""Drift: the index and the gap are their definitions, and their intervals know what chance does."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp, ncx2

from gates.contract import Status
from gates.evaluation.drift import Gap, Psi, drift, gap, psi
from tests.gates.evaluation.tables import columns, desk, said
from tests.questions import question

ALPHA = 0.05
values = st.lists(st.integers(0, 30).map(float), min_size=5, max_size=80).map(np.array)


@given(values, values)
def test_the_gap_is_that_of_scipy(one: np.ndarray, other: np.ndarray) -> None:
    """ks_2samp's statistic, ties included; exchanged it stays."""
    found = gap(one, other)
    assert found.value == pytest.approx(ks_2samp(one, other, method="asymp").statistic, abs=1e-12)
    assert gap(other, one).value == pytest.approx(found.value, abs=1e-12)
    low, high = found.bounds(ALPHA)
    assert 0 <= low <= found.value <= high <= 1


def test_the_gaps_bounds_are_massarts() -> None:
    """Half of alpha for either sample."""
    reach = math.sqrt(math.log(2 / 0.025) / 2000) + math.sqrt(math.log(2 / 0.025) / 8000)
    assert Gap(0.3, 1000, 4000).bounds(ALPHA) == pytest.approx((0.3 - reach, 0.3 + reach))


def test_the_index_is_its_definition() -> None:
    """Worked out by hand from the shares, half a row added to every count."""
    found = Psi((10, 20, 30), (30, 20, 10))
    p, q = (np.array(counts) + 0.5 for counts in ((10, 20, 30), (30, 20, 10)))
    p, q = p / p.sum(), q / q.sum()
    index = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert found.value == pytest.approx(float(index))


@given(values, values)
def test_the_index_knows_no_scale_and_no_order(one: np.ndarray, other: np.ndarray) -> None:
    """Only which values are below which counts; an index is never negative."""
    found = psi(one, other)
    assert found == psi(one[::-1] * 3 - 7, other[::-1] * 3 - 7)
    assert found.value >= 0
    assert sum(found.reference) == len(one)
    assert sum(found.seen) == len(other)
    low, high = found.bounds(ALPHA)
    assert 0 <= low <= high


def test_the_indexs_bounds_are_those_of_a_noncentral_chi_square() -> None:
    """So large a statistic has a chance of 2.5 % at the lower one, and so small a one at the upper."""
    found = psi(np.linspace(0, 1, 4000), np.linspace(0.1, 1.1, 3000))
    rows, freedom = 4000 * 3000 / 7000, len(found.seen) - 1
    low, high = found.bounds(ALPHA)
    assert ncx2.sf(found.value * rows, freedom, low * rows) == pytest.approx(0.025, abs=1e-4)
    assert ncx2.cdf(found.value * rows, freedom, high * rows) == pytest.approx(0.025, abs=1e-4)


def test_bounds_of_many_rows_meet_those_of_fewer() -> None:
    """Where the root of the statistic is taken for normal, nothing jumps."""
    few, many = Psi((900, 100), (850, 150)), Psi((9_000_000, 1_000_000), (8_500_000, 1_500_000))
    assert many.value == pytest.approx(few.value, rel=0.05)
    low, high = many.bounds(ALPHA)
    assert low < many.value < high
    assert high - low < 0.03 * many.value
    assert few.bounds(ALPHA)[0] < low < high < few.bounds(ALPHA)[1]


def test_the_same_rows_twice_are_no_two_samples() -> None:
    """Chance lifts their index by less than it would that of two samples: nothing is taken off above."""
    dice = np.random.default_rng(9)
    scores = dice.random(3000)
    nudged = np.clip(scores + 0.002 * dice.normal(size=3000), 0, 1)
    for found in (psi(scores, nudged, paired=True), psi(scores, nudged)):
        low, high = found.bounds(ALPHA)
        assert low == 0.0
        assert high == pytest.approx((math.sqrt(found.value * 1500) + 1.959964) ** 2 / 1500, rel=1e-5)


def test_one_bin_cannot_drift() -> None:
    """All values are the same in both."""
    found = psi(np.ones(50), np.ones(70))
    assert (found.value, found.bounds(ALPHA)) == (0.0, (0.0, 0.0))


def test_two_samples_of_one_source_have_not_drifted() -> None:
    """Zero is inside; a shift of half a deviation is not taken for zero."""
    dice = np.random.default_rng(7)
    one, other = dice.normal(size=2000), dice.normal(size=2000)
    assert drift("input", one, other, ALPHA)["input_psi"].low == 0.0
    moved = drift("input", one, other + 0.5, ALPHA)
    assert moved["input_psi"].low > 0.1
    assert moved["input_ks"].low > 0.1


# ----------------------------------------------------------------------------- the gate


def test_a_golden_set_unlike_what_the_model_meets(tmp_path: Path) -> None:
    """Each feature is held against the reference; the sentence names the one that drifted."""
    golden, _ = columns()
    life, _ = columns(seed=12)
    made = desk(tmp_path).put("reference", {"x": life["x"], "age": life["age"]})
    made = made.set(drift_ceilings={"input_psi": 0.1, "input_ks": 0.15})
    verdict = made.judge()
    assert said(verdict) == (Status.PASS, "shown_on_golden_set")
    kept = verdict.evidence.facts["input_drift"]
    assert isinstance(kept, list)
    assert [one["feature"] for one in kept] == ["x", "age"]
    older = made.put("reference", {"x": life["x"], "age": [one + 15 for one in life["age"]]}).judge()
    assert said(older) == (Status.FAIL, "inputs_drifted")
    assert "age in the golden set from the reference; at most 0.1 must be shown" in older.sentence
    few = {"x": life["x"][:150], "age": life["age"][:150]}
    assert said(made.put("reference", few).judge()) == (Status.FAIL, "inputs_may_have_drifted")
    assert "no column is called 'age'" in made.put("reference", {"x": life["x"]}).judge().sentence
    assert golden["x"] != life["x"]
    bare = made.put("golden_set", {name: golden[name] for name in ("id", "fraud")}, attributes=())
    assert said(bare.judge()) == (Status.FAIL, "golden_set_invalid")


def test_scores_that_are_spread_otherwise_than_the_champions(tmp_path: Path) -> None:
    """The same order, and a threshold that means something else."""
    golden, scores = columns()
    made = desk(tmp_path).set(drift_ceilings={"score_psi": 0.1})
    assert made.judge().status is Status.PASS
    squeezed = {**scores, "candidate": [one**2 for one in scores["candidate"]]}
    assert said(made.put("scores", squeezed).judge()) == (Status.FAIL, "scores_drifted")
    narrow = desk(tmp_path, golden, scores).set(drift_ceilings={"score_ks": 0.01}).judge()
    assert said(narrow) == (Status.FAIL, "scores_may_have_drifted")
    first = made.judge(question(stable=None))
    assert first.status is Status.PASS
