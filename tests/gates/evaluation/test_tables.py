"""Golden sets and score tables that are not what they should be: each planted, each refused by its name."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gates.contract import Status
from pipelines.journal.lines import verdict_from_data, verdict_to_data
from tests.gates.evaluation.tables import (
    CHAMPION_DIGEST,
    ROWS,
    Columns,
    Desk,
    as_csv,
    champion,
    columns,
    desk,
    said,
)
from tests.questions import DIGEST, question

GOLDEN, SCORES = columns()


def picked(table: Columns, rows: list[int]) -> Columns:
    """Some rows of a table."""
    return {name: [values[row] for row in rows] for name, values in table.items()}


def with_value(table: Columns, column: str, row: int, value: Any) -> Columns:
    """The table with another value in one place."""
    values = list(table[column])
    values[row] = value
    return {**table, column: values}


def parquet(table: Columns) -> bytes:
    """The table in Parquet."""
    arrow, writing = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    sink = arrow.BufferOutputStream()
    writing.write_table(arrow.table(table), sink)
    return bytes(sink.getvalue())


def test_a_sound_table_of_scores_passes(tmp_path: Path) -> None:
    """No model is asked; the evidence says whose scores they are and that nothing was run twice."""
    verdict = desk(tmp_path).judge()
    assert said(verdict) == (Status.PASS, "shown_on_golden_set"), verdict.sentence
    facts = verdict.evidence.facts
    assert (facts["scores"], facts["rows"], facts["repeated_rows"]) == ("scores.csv", ROWS, 0)
    assert "margin 0.02" in verdict.sentence
    assert "at least 0.75" in verdict.sentence
    data = verdict_to_data(verdict)
    assert verdict_to_data(verdict_from_data(json.loads(json.dumps(data, allow_nan=False)))) == data


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    """Value for value."""
    made = desk(tmp_path).set(slices=("region",), protected=("sex",))
    one = made.judge()
    other = made.put("golden_set", parquet(GOLDEN)).put("scores", parquet(SCORES)).judge()
    assert other.evidence.measurements == one.evidence.measurements
    assert other.evidence.facts["slices"] == one.evidence.facts["slices"]
    assert other.evidence.facts["fairness"] == one.evidence.facts["fairness"]


def test_the_rows_order_changes_no_word_of_the_evidence(tmp_path: Path) -> None:
    """But for the rows it names by number."""
    order = list(range(ROWS))
    random.Random(3).shuffle(order)
    wants: dict[str, Any] = {
        "slices": ("region", "age"),
        "slice_edges": {"age": (25.0, 65.0)},
        "protected": ("sex",),
    }
    there = tmp_path / "shuffled"
    there.mkdir()
    one = desk(tmp_path).set(**wants).judge()
    other = desk(there, picked(GOLDEN, order), picked(SCORES, order)).set(**wants).judge()
    for before, after in zip(one.evidence.measurements, other.evidence.measurements, strict=True):
        assert (after.name, after.arm, after.samples) == (before.name, before.arm, before.samples)
        assert (after.value, after.low, after.high) == pytest.approx((before.value, before.low, before.high))
    for fact in ("tests", "slices", "fairness", "labels"):
        assert flat(other.evidence.facts[fact]) == flat(one.evidence.facts[fact])


def flat(value: object) -> str:
    """JSON with numbers to nine digits."""
    return json.dumps(json.loads(json.dumps(value), parse_float=lambda text: f"{float(text):.9g}"))


# ----------------------------------------------------------------------- the golden set


@pytest.mark.parametrize(
    ("changes", "reason", "says"),
    [
        ({"columns": ("id", "x", "fraud")}, "golden_set_schema_differs", "but id, x, fraud are pinned"),
        ({"rows": ROWS + 1}, "golden_set_schema_differs", f"{ROWS} rows, but {ROWS + 1} are pinned"),
        ({"label": "chargeback"}, "golden_set_invalid", "no column is called 'chargeback'"),
        ({"slices": ("branch",)}, "golden_set_invalid", "no column is called 'branch'"),
        ({"slices": ("x",)}, "golden_set_invalid", "more than 100 values"),
        ({"minimum_rows": ROWS + 1}, "golden_set_too_small", "rows"),
        ({"sha256": "0" * 64}, "golden_set_differs", "is pinned"),
        ({"golden_set": "gone.csv"}, "golden_set_missing", "no gone.csv"),
        ({"labelled_on": "2026-03-15"}, "labels_not_known", "in 1 days"),
        (
            {"labelled_on": "2025-12-01", "maximum_label_age_days": 90},
            "labels_outdated",
            "103 days old, of 2025-12-01; 90 days are allowed",
        ),
    ],
)
def test_a_golden_set_that_is_not_meant(
    tmp_path: Path, changes: dict[str, Any], reason: str, says: str
) -> None:
    """Refused before a score is read."""
    verdict = desk(tmp_path).set(scores="nowhere.csv", **changes).judge()
    assert said(verdict) == (Status.FAIL, reason)
    assert says in verdict.sentence


def test_pinned_columns_rows_and_labels_of_the_day_pass(tmp_path: Path) -> None:
    """Everything that can be pinned is, and said in the evidence."""
    made = desk(tmp_path).set(
        columns=tuple(GOLDEN), rows=ROWS, labelled_on="2026-03-14", maximum_label_age_days=1
    )
    verdict = made.judge(question(stable=champion(), now=datetime(2026, 3, 15, 23, tzinfo=UTC)))
    assert said(verdict) == (Status.PASS, "shown_on_golden_set")
    assert verdict.evidence.facts["labelled_on"] == "2026-03-14"
    assert verdict.evidence.facts["columns"] == list(GOLDEN)


def test_an_id_that_stands_twice(tmp_path: Path) -> None:
    """One is too many where rows have names."""
    verdict = desk(tmp_path, with_value(GOLDEN, "id", 7, "r00003")).judge()
    assert said(verdict) == (Status.FAIL, "golden_set_doubled")
    assert "1 of 3000 rows of golden_set.csv repeat an earlier one in their id" in verdict.sentence


def test_doubled_rows_without_names(tmp_path: Path) -> None:
    """All that is in them is compared; a few that happen to agree are borne."""
    bare = {name: values for name, values in GOLDEN.items() if name != "id"}
    for copies, reason in ((ROWS // 10, "golden_set_doubled"), (ROWS // 25, "no_candidate_address")):
        rows = [*range(ROWS), *range(copies)]
        made = desk(tmp_path).set(scores="", scores_sha256="", scores_digests={}, row_id="")
        verdict = made.put("golden_set", picked(bare, rows)).judge()
        assert verdict.reason == reason
    assert "all that is in them" in made.put("golden_set", picked(bare, [*range(ROWS)] * 2)).judge().sentence


def test_rows_the_candidate_was_trained_on(tmp_path: Path) -> None:
    """With how many, and the slice they are most of."""
    south = [n for n, region in enumerate(GOLDEN["region"]) if region == "south"]
    known = {"id": [*(GOLDEN["id"][n] for n in south[:40]), "other"]}
    made = desk(tmp_path).set(slices=("region",)).put("trained_on", known)
    verdict = made.judge()
    assert said(verdict) == (Status.FAIL, "golden_set_leaked")
    assert (
        f"on 40 of the 3000 rows of golden_set.csv, first row {south[0] + 1}, 40 of the" in verdict.sentence
    )
    assert "in region=south" in verdict.sentence
    assert made.put("trained_on", {"id": ["other"]}).judge().status is Status.PASS


@pytest.mark.parametrize("key", ["scores", "trained_on", "reference"])
def test_further_tables_are_pinned_as_well(tmp_path: Path, key: str) -> None:
    """Missing, changed, or without the column that is wanted; each under a name of its own."""
    what = "scores_table" if key == "scores" else key
    made = desk(tmp_path).put(key, SCORES if key == "scores" else GOLDEN)
    gone = made.set(**{key: "gone.csv"}).judge()
    assert said(gone) == (Status.FAIL, f"{what}_missing")
    changed = made.set(**{f"{key}_sha256": "0" * 64}).judge()
    assert said(changed) == (Status.FAIL, f"{what}_differs")
    empty = made.put(key, {"other": [1.0, 2.0]}).judge()
    assert said(empty) == (Status.FAIL, f"{what}_invalid")


# ----------------------------------------------------------------------- the scores

FORWARD = list(range(ROWS))
Plant = Callable[[Columns], Columns]


@pytest.mark.parametrize(
    ("plant", "reason", "says"),
    [
        (
            lambda t: picked(t, FORWARD[:-3]),
            "scores_missing",
            "3 of 3000 rows of the golden set have no",
        ),
        (lambda t: picked(t, FORWARD[::-1]), "scores_reordered", "in another order, from row 1 on"),
        (lambda t: picked(t, [0, 2, 1, *FORWARD[3:]]), "scores_reordered", "from row 2 on"),
        (lambda t: picked(t, [*FORWARD, 5, 6]), "scores_doubled", "2 of 3002 rows more than once"),
        (lambda t: with_value(t, "id", 9, "r00008"), "scores_doubled", "1 of 3000 rows more than once"),
        (lambda t: with_value(t, "id", 9, "zz"), "scores_missing", "first row 10"),
        (
            lambda t: {name: [*values, "r99999" if name == "id" else 0.5] for name, values in t.items()},
            "scores_of_other_rows",
            "1 of 3001 scores are of rows that the golden set does not have",
        ),
        (lambda t: with_value(t, "candidate", 4, 1.25), "scores_out_of_range", "first row 5: 1.25"),
        (lambda t: with_value(t, "candidate", 4, "nan"), "scores_table_invalid", "row 5 has 'nan'"),
        (lambda t: with_value(t, "stable", 4, ""), "scores_table_invalid", "row 5 has ''"),
        (lambda t: {**t, "candidate": [0.5] * ROWS}, "scores_constant", "the same score 0.5"),
        (lambda t: {"id": t["id"], "stable": t["stable"]}, "scores_table_invalid", "called 'candidate'"),
        (lambda t: {"id": t["id"], "candidate": t["candidate"]}, "scores_table_invalid", "called 'stable'"),
        (
            lambda t: {**t, "candidate_again": [value * 0.999 for value in t["candidate"]]},
            "not_deterministic",
            "repeated rows differently",
        ),
    ],
)
def test_scores_that_do_not_belong_to_the_rows(tmp_path: Path, plant: Plant, reason: str, says: str) -> None:
    """Told by the rows' ids, with the first row where it happened."""
    verdict = desk(tmp_path, scores=plant(SCORES)).judge()
    assert said(verdict) == (Status.FAIL, reason)
    assert says in verdict.sentence


def test_nan_in_parquet_is_no_score(tmp_path: Path) -> None:
    """Nor is a missing value."""
    for value in (float("nan"), None):
        made = desk(tmp_path).put("scores", parquet(with_value(SCORES, "candidate", 4, value)))
        verdict = made.judge()
        assert said(verdict) == (Status.FAIL, "scores_table_invalid")
        assert "row 5 has" in verdict.sentence


def test_a_second_run_that_says_the_same_is_told(tmp_path: Path) -> None:
    """All rows were scored twice."""
    verdict = desk(tmp_path, scores={**SCORES, "candidate_again": SCORES["candidate"]}).judge()
    assert verdict.status is Status.PASS
    assert verdict.evidence.facts["repeated_rows"] == ROWS


def test_scores_of_another_artifact(tmp_path: Path) -> None:
    """A good model's scores cannot be handed in for a bad one."""
    verdict = desk(tmp_path).judge(question(digest="sha256:" + "e" * 64, stable=champion()))
    assert said(verdict) == (Status.FAIL, "scores_of_another_model")


def test_scores_of_a_champion_that_serves_no_more(tmp_path: Path) -> None:
    """Nobody can tell how the candidate compares with the one that does; unless nobody asked."""
    moved = question(stable=replace(champion(), digest="sha256:" + "e" * 64))
    made = desk(tmp_path)
    assert said(made.judge(moved)) == (Status.UNKNOWN, "champion_scores_of_another_model")
    alone = made.set(margins={}).judge(moved)
    assert alone.status is Status.PASS
    assert alone.evidence.facts["champion"] is False
    unnamed = made.set(scores_digests={"candidate": DIGEST})
    assert said(unnamed.judge()) == (Status.UNKNOWN, "champion_scores_of_another_model")
    assert CHAMPION_DIGEST in unnamed.judge().sentence


def test_a_champion_whose_scores_cannot_be_measured(tmp_path: Path) -> None:
    """The candidate is not to blame."""
    verdict = desk(tmp_path, scores={**SCORES, "stable": [0.5] * ROWS}).judge()
    assert said(verdict) == (Status.UNKNOWN, "champion_scores_constant")


def test_the_first_version_needs_no_champions_scores(tmp_path: Path) -> None:
    """Not even a column of them."""
    scores = {"id": SCORES["id"], "candidate": SCORES["candidate"]}
    verdict = desk(tmp_path, scores=scores).judge(question(stable=None))
    assert verdict.status is Status.PASS
    assert "no champion to compare with" in verdict.sentence


# --------------------------------------------------------------------- from elsewhere


class Store:
    """An object store on a disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetch(self, uri: str) -> Path:
        """As the client of production: a folder with what was downloaded."""
        return self._folder / uri.removeprefix("s3://")


def test_large_tables_come_from_an_object_store(tmp_path: Path) -> None:
    """Pinned like those of the repository; a folder holds exactly one file."""
    made = desk(tmp_path)
    for name, content in (("golden", as_csv(GOLDEN)), ("scores", as_csv(SCORES))):
        (tmp_path / "bucket" / name).mkdir(parents=True)
        (tmp_path / "bucket" / name / "part").write_bytes(content)
    far = made.set(golden_set="s3://bucket/golden", scores="s3://bucket/scores/part")
    assert far.judge(artifacts=Store(tmp_path)).status is Status.PASS
    (tmp_path / "bucket" / "golden" / "more").write_bytes(b"")
    assert said(far.judge(artifacts=Store(tmp_path))) == (Status.FAIL, "golden_set_missing")
    (tmp_path / "bucket" / "golden" / "more").unlink()
    (tmp_path / "bucket" / "golden" / "part").write_bytes(as_csv(picked(GOLDEN, FORWARD[::-1])))
    assert said(far.judge(artifacts=Store(tmp_path))) == (Status.FAIL, "golden_set_differs")


def test_settings_pin_what_they_name() -> None:
    """Each key that would leave something open is named."""
    for changes, says in (
        ({"scores": "scores.csv", "scores_sha256": "a" * 64}, "scores need row_id"),
        ({"scores": "../scores.csv", "scores_sha256": "a" * 64}, "scores must be a path inside"),
        ({"scores": "s.csv", "row_id": "id"}, "scores_sha256 must be 64"),
        ({"scores": "s.csv", "scores_sha256": "a" * 64, "row_id": "id"}, "scores_digests must name"),
        ({"scores_digests": {"stable": "v1"}}, "scores_digests.stable must be sha256:"),
        ({"trained_on": "t.csv", "trained_on_sha256": "a" * 64}, "trained_on needs row_id"),
        ({"golden_set": "https://x/y"}, "golden_set must be a path inside"),
        ({"labelled_on": "14.3.2026"}, "labelled_on must be a day"),
        ({"maximum_label_age_days": 3}, "needs labelled_on"),
        ({"attributes": ("fraud",)}, "must be different columns"),
        ({"slices": ("fraud",)}, "fraud cannot be a slice"),
        ({"slice_edges": {"age": (25.0,)}}, "slice_edges names age"),
        ({"slices": ("age",), "slice_edges": {"age": (65.0, 25.0)}}, "slice_edges.age must be rising"),
        ({"slice_margins": {"auc": 0.1}}, "need slices"),
        ({"required_slices": ("a=b",)}, "required_slices need"),
        ({"reference_groups": {"sex": "m"}}, "reference_groups names sex"),
        ({"margins": {"auc": 1.5}}, "margins.auc must be at most 1"),
        ({"ceilings": {"cost": 1.5}}, "cost needs false_positive_cost"),
        ({"ceilings": {"ece": 0.1}, "highest_score": 9.0}, "ece needs probabilities"),
        ({"calibration_slope": (0.8, 1.2), "highest_score": 9.0}, "calibration_slope needs probabilities"),
        ({"calibration_slope": (1.2, 0.8)}, "calibration_slope must be two rising"),
        ({"drift_ceilings": {"input_psi": 0.2}}, "need a reference"),
        ({"rows": 200_000}, "nor rows"),
    ):
        least: dict[str, Any] = {
            "golden_set": "g.csv",
            "sha256": "a" * 64,
            "label": "fraud",
            "threshold": 0.5,
            "floors": {"auc": 0.9},
        }
        with pytest.raises(ValueError, match=says):
            Desk(Path(), {**least, **changes}).read()
