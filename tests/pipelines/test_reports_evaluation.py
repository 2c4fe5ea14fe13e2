"""Pictures of an evaluation: what lies where, and that nothing is drawn which was not measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from gates.contract import Evidence, Measurement, Verdict
from pipelines.journal.lines import verdict_from_data
from pipelines.reports.evaluation_charts import MOST_ROWS, forest, reliability
from pipelines.reports.html import report
from tests import promotions


def verdict(*, passes: bool = True) -> Verdict:
    """The evaluation of the sample journals."""
    return verdict_from_data(promotions.evaluation(promotions.good(), passes=passes).verdict)


def with_facts(one: Verdict, **facts: Any) -> Verdict:
    """The verdict with other facts."""
    kept: Mapping[str, object] = MappingProxyType({**one.evidence.facts, **facts})
    return replace(one, evidence=replace(one.evidence, facts=kept))


def difference(name: str, value: float | None, low: float, high: float, margin: float) -> Measurement:
    """One difference as the gate keeps it."""
    return Measurement(
        name=f"{name}_difference", value=value, samples=100, low=low, high=high, threshold=margin
    )


def drawn(*found: Measurement) -> Any:
    """The picture of these differences alone."""
    bare = replace(verdict(), evidence=Evidence(measurements=found))
    return forest(bare, "f")


def test_a_difference_is_drawn_in_units_of_its_margin() -> None:
    """Equal is in the middle, the margin a unit to the left of it, better to the right."""
    picture = drawn(difference("auc", 0.01, -0.02, 0.04, -0.02))
    (row,) = picture.rows
    unit = picture.zero - picture.margin
    assert row.x == pytest.approx(picture.zero + 0.5 * unit, abs=0.1)
    assert (row.low, row.high) == pytest.approx((picture.margin, picture.zero + 2 * unit), abs=0.2)
    assert (row.state, row.cut) == ("shown", False)
    assert row.title == "auc: +0.01 (-0.02 to +0.04), margin 0.02"


def test_less_loss_is_better() -> None:
    """Its sign is turned, so that right is better for every row."""
    picture = drawn(difference("log_loss", 0.03, 0.025, 0.035, 0.02))
    (row,) = picture.rows
    assert row.high < picture.margin
    assert row.state == "missed"
    assert row.label == "log loss"


def test_what_lies_far_away_is_cut_at_the_edge() -> None:
    """And drawn as cut."""
    (row,) = drawn(difference("auc", -0.5, -0.9, 0.01, -0.01)).rows
    assert row.cut
    assert row.low == drawn(difference("auc", 0.0, 0.0, 0.0, -0.01)).left


def test_nothing_is_drawn_without_a_margin_or_a_value() -> None:
    """No margin, no value, a margin of nothing, no difference, another gate."""
    assert drawn(difference("auc", None, 0.0, 0.1, -0.1)) is None
    assert drawn(difference("auc", 0.1, 0.0, 0.1, 0.0)) is None
    assert drawn(Measurement(name="auc", value=0.9, low=0.8, high=1.0, threshold=0.5)) is None
    assert drawn(replace(difference("auc", 0.1, 0.0, 0.1, 0.1), threshold=None)) is None
    assert drawn() is None
    assert forest(replace(verdict(), gate="load"), "f") is None
    assert reliability(replace(verdict(), gate="load"), "r") is None


def test_slices_stand_below_with_their_state() -> None:
    """One with too few rows has no mark, and says so."""
    picture = forest(verdict(passes=False), "f")
    assert picture is not None
    assert [(row.label, row.state, row.x is None) for row in picture.rows] == [
        ("auc", "shown", False),
        ("region=north, auc", "missed", False),
        ("region=south, auc", "shown", False),
        ("region=islands", "insufficient", True),
    ]
    assert "region=islands: insufficient: 31 rows" in picture.description


def test_many_slices_are_left_to_the_table() -> None:
    """A picture stays one page."""
    many = [promotions.evaluated_slice(f"branch={n}", True) for n in range(500)]
    picture = forest(with_facts(verdict(), slices=many), "f")
    assert picture is not None
    assert len(picture.rows) == MOST_ROWS


@pytest.mark.parametrize("planted", [None, 3, "x", [3], [{"needs": [{"kind": "margin", "limit": "x"}]}]])
def test_facts_of_another_form_draw_nothing(planted: object) -> None:
    """And break nothing."""
    odd = with_facts(verdict(), slices=planted, calibration=planted)
    picture = forest(odd, "f")
    assert picture is not None
    assert len(picture.rows) == 1
    assert reliability(odd, "r") is None
    assert reliability(with_facts(verdict(), calibration={"candidate": planted}), "r") is None


def test_perfect_scores_lie_on_the_diagonal() -> None:
    """Both arms, the stable below so that the candidate is seen; rare events fill the picture."""
    rare = {"candidate": [promotions.calibrated(score, score) for score in (0.001, 0.004, 0.02)]}
    picture = reliability(with_facts(verdict(), calibration=rare), "r")
    assert picture is not None
    ((arm, line, dots),) = picture.curves
    assert arm == "candidate"
    assert line.startswith("M")
    for dot in dots:
        assert dot.x - picture.left == pytest.approx(picture.bottom - dot.y, abs=0.2)
        assert picture.top <= dot.high <= dot.y <= dot.low <= picture.bottom
    assert dots[-1].x > (picture.left + picture.right) / 2
    assert picture.x_ticks[-1].label == "0.02"
    both = reliability(verdict(), "r")
    assert both is not None
    assert [arm for arm, _, _ in both.curves] == ["stable", "candidate"]


def test_the_report_has_the_pictures_and_the_tables() -> None:
    """With words for who cannot see them."""
    page = report(promotions.refused().lines)
    assert page.count('class="difference missed"') == 1
    assert "What a score means" in page
    assert "<summary>Slices</summary>" in page
    assert "region=north, auc: -0.061 (-0.073 to -0.049), margin 0.03" in page
