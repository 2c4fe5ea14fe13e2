"""Pictures of judgements: evidence of harm over time, latencies with their objective, gates by stages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gates.contract import Measurement, Status, Verdict
from pipelines.journal.lines import verdict_from_data
from pipelines.journal.state import fold
from pipelines.reports import series
from pipelines.reports.evidence_chart import EvidenceChart, evidence_chart, strengths
from pipelines.reports.latency_chart import LEFT, RIGHT, WIDTH, latency_chart
from pipelines.reports.matrix import Matrix, matrix
from tests import plans, promotions
from tests.promotions import Book, says


def drawn(book: Book) -> EvidenceChart | None:
    """The evidence of a promotion."""
    state = fold(book.lines)
    assert state is not None
    found = strengths(series.verdicts(book.lines, state), state)
    return evidence_chart(found, key="k", width=900.0) if found else None


def evidence(book: Book, value: Any, stage: str = "bake-10", threshold: float | None = 20.0) -> Book:
    """One more look with this evidence."""
    one = Measurement(name="evidence_of_harm", value=value, threshold=threshold)
    return book.after(10).tell(says(book, "canary", stage, Status.PASS, "r", "s", measurements=(one,)))


def begun() -> Book:
    """A promotion without any look."""
    return Book(plans.started(promotions.plan()))


class TestEvidence:
    """Evidence of harm over time."""

    def test_a_tenfold_is_as_far_everywhere_and_the_line_it_acts_at_is_marked(self) -> None:
        """A logarithmic scale with a tick for each power of ten."""
        book = begun()
        for value in (0.1, 1.0, 10.0, 20.0):
            evidence(book, value)
        chart = drawn(book)
        assert chart is not None
        heights = [y for _, y, _ in chart.dots]
        assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)
        assert chart.acts == heights[3]
        assert [tick.label for tick in chart.y_ticks][:5] == ["0.01", "0.1", "1", "10", "100"]
        assert chart.description.endswith("It acts at 20.")

    def test_evidence_beyond_the_edges_is_drawn_at_them(self) -> None:
        """Nothing, and more than anybody needs."""
        chart = drawn(evidence(evidence(begun(), 0.0), 1e300))
        assert chart is not None
        assert [y for _, y, _ in chart.dots] == [chart.bottom, chart.top]

    def test_each_share_has_its_stretch(self) -> None:
        """From its first look to the first of the next."""
        chart = drawn(promotions.good())
        assert chart is not None
        assert [rung.label for rung in chart.rungs] == ["10 %", "50 %", "100 %"]
        assert chart.rungs[0].x == chart.left
        assert chart.rungs[-1].x + chart.rungs[-1].width == pytest.approx(chart.right)

    def test_the_highest_look_is_drawn_however_many_there_are(self) -> None:
        """A peak of one look among a thousand."""
        book = begun()
        for n in range(1000):
            evidence(book, 19.0 if n == 501 else 0.5)
        chart = drawn(book)
        assert chart is not None
        assert chart.line.count("L") < 300
        lowest = min(float(point.split()[1]) for point in chart.line[1:].split(" L"))
        assert lowest == pytest.approx(chart.acts, abs=2.0)
        assert chart.description.startswith("Highest 19 at ")

    @pytest.mark.parametrize(
        ("value", "threshold"),
        [(None, 20.0), ("0.4", 20.0), (True, 20.0), (float("nan"), 20.0), (-1.0, 20.0), (0.4, None)],
    )
    def test_what_is_no_evidence_is_not_drawn(self, value: Any, threshold: float | None) -> None:
        """No number, less than nothing, or nothing to act at."""
        seen = [("bake-10", verdict(latencies=None, value=value, threshold=threshold))]
        state = fold(begun().lines)
        assert state is not None
        assert strengths(seen, state) == ()

    def test_other_stages_have_none(self) -> None:
        """Only what is watched live has a place on the ladder."""
        assert drawn(evidence(begun(), 0.4, stage="judge")) is None


@pytest.mark.parametrize("order", [("canary", "slo"), ("slo", "canary")])
def test_of_two_gates_that_counted_the_same_the_one_with_intervals_is_drawn(order: tuple[str, str]) -> None:
    """Whichever spoke first: a share without its interval says less."""
    low = {"slo": 0.4, "canary": None}
    book = begun()
    for gate in order:
        counted = tuple(
            Measurement(name="errors", value=1.0, low=low[gate], high=low[gate] and 3.0, arm=arm)
            for arm in ("stable", "candidate")
        )
        book.after(10).tell(says(book, gate, "bake-10", Status.PASS, "r", "s", measurements=counted))
    state = fold(book.lines)
    assert state is not None
    (drawn,) = series.rates(series.verdicts(book.lines, state), state, "errors")
    assert {look.low for looks in drawn.arms.values() for look in looks} == {0.4}


def verdict(
    *, latencies: Any, value: Any = 17.1, threshold: float | None = 50.0, name: str = "evidence_of_harm"
) -> Verdict:
    """A verdict with these latencies and one measurement."""
    whole = verdict_from_data(promotions.load(begun()).verdict)
    one = Measurement(name=name, value=value, threshold=threshold)
    kept = replace(whole.evidence, measurements=(one,), facts={"latencies_ms": latencies})
    return replace(whole, evidence=kept)


class TestLatencies:
    """How a load test's latencies are spread."""

    def test_bars_stand_where_the_requests_are(self) -> None:
        """As many as rows with requests; those above the objective are marked."""
        chart = latency_chart(verdict_from_data(promotions.load(begun()).verdict), "k")
        assert chart is not None
        assert len(chart.bars) == sum(count > 0 for _, count in promotions.LATENCIES)
        assert [bar.title for bar in chart.bars if bar.over] == [
            "2 requests above 50.1 and at most 56.2 ms",
            "1 request above 56.2 and at most 63.1 ms",
        ]
        assert chart.objective is not None
        assert min(bar.x for bar in chart.bars if bar.over) >= chart.objective.x
        assert [mark.label for mark in chart.percentiles] == ["p50 9.4 ms", "p99 17.1 ms"]
        assert chart.description == "6,248 requests from 5.62 to 63.1 ms; 3 took longer than 50 ms"

    def test_the_objective_is_in_the_picture_however_far(self) -> None:
        """A fast model's requests are far below it."""
        chart = latency_chart(verdict(latencies=[[1.0, 0], [1.122, 9]], name="p99_ms"), "k")
        assert chart is not None
        assert chart.objective is not None
        assert LEFT < chart.objective.x < WIDTH - RIGHT
        assert chart.description == "9 requests from 1 to 1.12 ms; 0 took longer than 50 ms"

    def test_labels_stand_in_rows_of_their_own_above_the_bars(self) -> None:
        """Wherever two marks fall together, each can be read."""
        chart = latency_chart(verdict_from_data(promotions.load(begun()).verdict), "k")
        assert chart is not None
        assert chart.objective is not None
        rows = [chart.objective.y, *(mark.y for mark in chart.percentiles)]
        assert len(set(rows)) == 3
        assert max(rows) < chart.top <= min(bar.y for bar in chart.bars)

    def test_without_an_objective_none_is_marked(self) -> None:
        """Nothing is over what is not there."""
        chart = latency_chart(verdict(latencies=[[1.0, 0], [1.122, 9]]), "k")
        assert chart is not None
        assert chart.objective is None
        assert not any(bar.over for bar in chart.bars)

    @pytest.mark.parametrize(
        "latencies",
        [None, "text", 7, [], [[1.0, 5]], [[1.0, 0], [2.0, 0]], [[1.0, 0], [2.0]], [[1.0, 0], ["2", 3]],
         [[2.0, 0], [1.0, 3]], [[0.0, 0], [1.0, 3]], [[1.0, 0], [2.0, -3]], [[1.0, 0], [float("inf"), 3]]],
    )  # fmt: skip
    def test_what_the_gate_never_writes_is_not_drawn(self, latencies: Any) -> None:
        """A journal of another hand cannot break the page."""
        assert latency_chart(verdict(latencies=latencies), "k") is None


def table(book: Book) -> Matrix:
    """The matrix of a promotion."""
    state = fold(book.lines)
    assert state is not None
    return matrix(series.verdicts(book.lines, state), state)


def cell(found: Matrix, gate: str, stage: str) -> tuple[str, str, str]:
    """Status, looks and note of one gate at one stage."""
    row = next(row for row in found.rows if row.gate == gate)
    one = next(one for one in row.cells if one.stage == stage)
    return one.status, one.looks, one.note


class TestMatrix:
    """Every gate at every stage."""

    def test_stages_and_gates_stand_in_the_plans_order(self) -> None:
        """Stages without a gate are left out; a gate that was asked besides stands last."""
        book = evidence(begun(), 0.4)
        book.tell(says(book, "house-rule", "judge", Status.PASS, "r", "s"))
        found = table(book)
        assert found.stages == ("judge", "bake-10", "bake-50", "approve", "bake-100")
        gates = ["policy", "evaluation", "load", "share", "slo", "canary", "approval", "house-rule"]
        assert [row.gate for row in found.rows] == gates

    def test_a_cell_says_its_last_word_and_what_was_worse_before(self) -> None:
        """And what was planned and never asked."""
        found = table(promotions.rolled_back())
        assert cell(found, "slo", "bake-10") == ("FAIL", "9 looks", "")
        assert cell(found, "canary", "bake-50") == ("", "", "not asked")
        assert cell(found, "policy", "bake-10") == ("", "", "")
        good = table(promotions.good())
        assert cell(good, "policy", "judge") == ("PASS", "", "")
        assert cell(good, "approval", "approve") == ("PASS", "2 looks", "WAIT on the way")

    def test_a_gate_that_only_informs_is_marked(self) -> None:
        """It was not what decided."""
        whole = promotions.plan()
        stages = [replace(one, informative=("load",)) if one.name == "judge" else one for one in whole.stages]
        book = Book(plans.started(replace(whole, stages=tuple(stages))))
        found = table(book.tell(promotions.load(book)))
        assert cell(found, "load", "judge") == ("PASS", "", "informative")
