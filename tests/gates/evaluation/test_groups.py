"""Slices and protected groups: shown, not shown, missed, and insufficient as a state of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gates.contract import Status, Verdict
from gates.evaluation import EvaluationSettings
from gates.evaluation.estimates import Normal, estimate
from gates.evaluation.slices import Slice, judged
from tests.gates.evaluation.tables import Columns, columns, desk, said
from tests.questions import question

GOLDEN, SCORES = columns()
SLICED: dict[str, Any] = {
    "slices": ("region", "age"),
    "slice_edges": {"age": (25.0, 65.0)},
    "slice_margins": {"auc": 0.05},
}


def where(column: str, value: object) -> np.ndarray[Any, Any]:
    """Rows with a value in a column."""
    return np.asarray([one == value for one in GOLDEN[column]])


def scored(rows: np.ndarray[Any, Any], scores: Sequence[float] | np.ndarray[Any, Any]) -> Columns:
    """The candidate's scores with others in some rows."""
    return {**SCORES, "candidate": np.where(rows, scores, SCORES["candidate"]).tolist()}


def coin(seed: int = 1) -> np.ndarray[Any, Any]:
    """Scores that look at nothing."""
    return np.random.default_rng(seed).random(len(GOLDEN["id"]))


def slice_of(verdict: Verdict, name: str) -> dict[str, Any]:
    """What the evidence says of one slice."""
    found: Any = verdict.evidence.facts["slices"]
    return next(one for one in found if one["slice"] == name)


# -------------------------------------------------------------------------- slices


def test_slices_are_told_apart_by_words_and_by_edges(tmp_path: Path) -> None:
    """Each with its rows, what is asked of it and its state; an edge belongs to the slice above."""
    verdict = desk(tmp_path).set(**SLICED).judge()
    assert verdict.status is Status.PASS
    found: Any = verdict.evidence.facts["slices"]
    names = ["region=east", "region=north", "region=south", "age<25", "25<=age<65", "age>=65"]
    assert [one["slice"] for one in found] == names
    ages = np.asarray(GOLDEN["age"])
    assert slice_of(verdict, "25<=age<65")["rows"] == int(((ages >= 25) & (ages < 65)).sum())
    assert slice_of(verdict, "region=north")["state"] == "shown"
    assert slice_of(verdict, "region=north")["needs"][0]["limit"] == 0.05
    east = slice_of(verdict, "region=east")
    assert (east["state"], east["candidate"], east["needs"]) == ("insufficient", {}, [])
    assert "1 of 6 slices are insufficient" in verdict.sentence


def test_a_worse_candidate_in_one_slice_is_caught_where_the_whole_looks_well(tmp_path: Path) -> None:
    """Shown beyond chance over all slices, so no slice need be required."""
    young = np.asarray(GOLDEN["age"]) < 25
    made = desk(tmp_path, scores=scored(young, coin())).set(margins={"auc": 0.1}, floors={"auc": 0.7})
    assert made.judge().status is Status.PASS
    verdict = made.set(**SLICED).judge()
    assert said(verdict) == (Status.FAIL, "slice_worse_than_champion")
    assert "in age<25; a loss of more than 0.05 is not borne; by chance" in verdict.sentence
    assert slice_of(verdict, "age<25")["state"] == "missed"
    floored = made.set(slices=("age",), slice_edges={"age": (25.0,)}, slice_floors={"auc": 0.7}).judge()
    assert said(floored) == (Status.FAIL, "slice_below_floor")
    assert "at least 0.7 must be" in floored.sentence


def test_a_required_slice_must_show_it(tmp_path: Path) -> None:
    """Others need only not be shown to miss it."""
    made = desk(tmp_path).set(**{**SLICED, "slice_margins": {"recall": 0.02}, "slice_floors": {}})
    verdict = made.judge()
    assert verdict.status is Status.PASS
    assert slice_of(verdict, "age<25")["state"] == "not_shown"
    required = made.set(required_slices=("age<25",)).judge()
    assert said(required) == (Status.FAIL, "slice_not_shown_as_good_as_champion")
    value = next(
        one.value for one in verdict.evidence.measurements if (one.name, one.arm) == ("auc", "candidate")
    )
    floor = made.set(
        slice_floors={"auc": value}, slice_margins={}, required_slices=("region=north", "region=south")
    ).judge()
    assert said(floor) == (Status.FAIL, "slice_not_shown_above_floor")


@pytest.mark.parametrize(("name", "rows"), [("region=east", 55), ("region=west", 0), ("regoin=north", 0)])
def test_a_required_slice_without_enough_rows_could_not_tell(tmp_path: Path, name: str, rows: int) -> None:
    """Too few, none, or misspelt: neither good nor bad."""
    verdict = desk(tmp_path).set(**SLICED, required_slices=(name,)).judge()
    assert said(verdict) == (Status.UNKNOWN, "slice_insufficient")
    assert f"{name} has {rows} rows" in verdict.sentence
    assert slice_of(verdict, name)["state"] == "insufficient"


def test_a_leaking_slice_is_too_good_to_be_true(tmp_path: Path) -> None:
    """A feature there gives the label away, and the candidate has found it."""
    labels = np.asarray(GOLDEN["fraud"])
    south = where("region", "south")
    leaking = scored(south, np.where(labels == 1, 0.9, 0.1) + 0.05 * coin())
    made = desk(tmp_path, scores=leaking).set(slices=("region",), implausible={"auc": 0.97})
    verdict = made.judge()
    assert said(verdict) == (Status.FAIL, "implausibly_good")
    assert "in region=south: above 0.97 nobody gets honestly" in verdict.sentence
    everywhere = desk(tmp_path, scores=scored(labels >= 0, np.where(labels == 1, 0.9, 0.1) + 0.05 * coin()))
    assert "of all rows" in everywhere.set(implausible={"auc": 0.97}).judge().sentence


@pytest.mark.parametrize(
    ("count", "state"), [(1, "missed"), (4, "missed"), (6, "not_shown"), (40, "not_shown")]
)
def test_what_chance_explains_among_many_slices_blames_nobody(count: int, state: str) -> None:
    """A p-value of one in a hundred is shown among four slices, and expected among forty."""
    unlucky, plain = Normal(-0.02576, 0.01), Normal(0.01, 0.01)
    found = [
        Slice(
            name=f"branch={n}",
            rows=500,
            positives=50,
            required=False,
            candidate={"auc": estimate(Normal(0.9, 0.01), 500, 0.05)},
            differences={"auc": estimate(plain if n else unlucky, 500, 0.05)},
        )
        for n in range(count)
    ]
    settings = EvaluationSettings(
        golden_set="g.csv",
        sha256="a" * 64,
        label="fraud",
        threshold=0.5,
        floors={"auc": 0.5},
        slices=("branch",),
        slice_margins={"auc": 0.0},
    )
    first, *others = judged(found, [one.name for one in found], settings)
    assert first.state == state
    assert "missed" not in {one.state for one in others}


def test_precision_and_recall_area_in_slices_is_measured_when_asked_for(tmp_path: Path) -> None:
    """It costs more than all others, so not otherwise."""
    made = desk(tmp_path).set(slices=("sex",), slice_floors={"pr_auc": 0.3})
    assert "pr_auc" in slice_of(made.judge(), "sex=f")["candidate"]
    assert "pr_auc" not in slice_of(desk(tmp_path).set(slices=("sex",)).judge(), "sex=f")["candidate"]


def test_a_slice_in_which_nothing_is_flagged_has_no_precision(tmp_path: Path) -> None:
    """What is undefined is not shown, and not missed either."""
    old = np.asarray(GOLDEN["age"]) >= 65
    made = desk(tmp_path, scores=scored(old, 0.4 * np.asarray(SCORES["candidate"]))).set(
        slices=("age",), slice_edges={"age": (65.0,)}, slice_floors={"precision": 0.3}, margins={}
    )
    assert slice_of(made.judge(), "age>=65")["state"] == "not_shown"
    assert made.judge().status is Status.PASS
    assert said(made.set(required_slices=("age>=65",)).judge()) == (
        Status.FAIL,
        "slice_not_shown_above_floor",
    )


def test_a_first_version_is_sliced_without_a_champion(tmp_path: Path) -> None:
    """Margins ask for nothing there."""
    verdict = desk(tmp_path).set(**SLICED, slice_floors={"auc": 0.6}).judge(question(stable=None))
    assert verdict.status is Status.PASS
    assert slice_of(verdict, "region=north")["differences"] == {}


# ------------------------------------------------------------------------- fairness


def biased(rows: np.ndarray[Any, Any], lift: float) -> Columns:
    """The candidate scores some rows higher, so that it flags more of them."""
    return scored(rows, np.clip(np.asarray(SCORES["candidate"]) + lift, 0, 1))


def group_of(verdict: Verdict, name: str) -> dict[str, Any]:
    """What the evidence says of one group."""
    found: Any = verdict.evidence.facts["fairness"]
    return next(one for one in found if one["group"] == name)


FAIR: dict[str, Any] = {"protected": ("sex",), "floors": {"auc": 0.6}, "margins": {}}


def test_groups_treated_alike_pass(tmp_path: Path) -> None:
    """The one decided about most favourably is the reference; both ratios are kept, the champion's too."""
    verdict = desk(tmp_path).set(**FAIR, favourable="not_flagged").judge()
    assert verdict.status is Status.PASS
    rows: Any = verdict.evidence.facts["fairness"]
    reference = rows[0]["reference"]
    (other,) = [one for one in rows if one["group"] != reference]
    assert group_of(verdict, reference)["impact_ratio"] is None
    assert other["impact_ratio"]["value"] <= 1.0
    assert other["impact_ratio"]["low"] >= 0.8
    assert other["champion_impact_ratio"] == pytest.approx(1.0, abs=0.1)
    assert other["rows"] == int(where("sex", other["group"][-1]).sum())


@pytest.mark.parametrize(
    ("lift", "changes", "reason"),
    [
        (0.35, {"maximum_opportunity_gap": 1.0}, "adverse_impact"),
        (0.02, {"maximum_opportunity_gap": 1.0, "minimum_impact_ratio": 0.95}, "adverse_impact_not_excluded"),
        (0.35, {"minimum_impact_ratio": 0.0}, "unequal_opportunity"),
        (0.1, {"minimum_impact_ratio": 0.0, "maximum_opportunity_gap": 0.04}, "unequal_opportunity"),
        (0.0, {"maximum_opportunity_gap": 0.02}, "unequal_opportunity_not_excluded"),
    ],
)
def test_a_biased_candidate(tmp_path: Path, lift: float, changes: dict[str, Any], reason: str) -> None:
    """Women are flagged more often: shown, or merely not ruled out."""
    made = desk(tmp_path, scores=biased(where("sex", "f"), lift)).set(**FAIR, **changes)
    verdict = made.judge()
    assert said(verdict) == (Status.FAIL, reason)
    assert "of sex=f to sex=m" in verdict.sentence


def test_the_gap_counts_in_either_direction(tmp_path: Path) -> None:
    """A group that is preferred among the deserving is treated otherwise too."""
    made = desk(tmp_path, scores=biased(where("sex", "f"), 0.35))
    verdict = made.set(**FAIR, reference_groups={"sex": "f"}).judge()
    assert said(verdict) == (Status.FAIL, "unequal_opportunity")
    assert "of sex=m to sex=f" in verdict.sentence


def test_being_flagged_may_be_what_is_good(tmp_path: Path) -> None:
    """Then the group that is flagged more often is the reference, and opportunity is recall."""
    made = desk(tmp_path, scores=biased(where("sex", "f"), 0.35))
    verdict = made.set(**FAIR, favourable="flagged").judge()
    assert "of sex=m to sex=f" in verdict.sentence
    men = where("sex", "m") & (np.asarray(GOLDEN["fraud"]) == 1)
    recall = (np.asarray(SCORES["candidate"])[men] >= 0.5).mean()
    assert group_of(verdict, "sex=m")["opportunity"] == pytest.approx(recall)


def test_groups_without_enough_rows_could_not_be_compared(tmp_path: Path) -> None:
    """No group, one group, or a required one too few: could not tell; another one is only told."""
    few = desk(tmp_path).set(**FAIR, slice_minimum_rows=2000)
    assert said(few.judge()) == (Status.UNKNOWN, "fairness_insufficient")
    assert "sex=f 14" in few.judge().sentence
    regions = desk(tmp_path).set(**{**FAIR, "protected": ("region",)})
    verdict = regions.judge()
    assert verdict.status is Status.PASS
    assert "1 of 3 groups are insufficient" in verdict.sentence
    assert group_of(verdict, "region=east")["state"] == "insufficient"
    required = regions.set(required_slices=("region=east",)).judge()
    assert said(required) == (Status.UNKNOWN, "slice_insufficient")
    named = regions.set(reference_groups={"region": "east"}).judge()
    assert said(named) == (Status.UNKNOWN, "fairness_insufficient")


def test_figures_of_fairness_are_those_of_their_definitions(tmp_path: Path) -> None:
    """Counted the plain way from the tables."""
    verdict = desk(tmp_path, scores=biased(where("sex", "f"), 0.2)).set(**FAIR).judge()
    kept = np.asarray(biased(where("sex", "f"), 0.2)["candidate"]) < 0.5
    honest = np.asarray(GOLDEN["fraud"]) == 0
    women, men = where("sex", "f"), where("sex", "m")
    found = group_of(verdict, "sex=f")
    assert found["impact_ratio"]["value"] == pytest.approx(kept[women].mean() / kept[men].mean())
    gap = kept[women & honest].mean() - kept[men & honest].mean()
    assert found["opportunity_gap"]["value"] == pytest.approx(gap)
