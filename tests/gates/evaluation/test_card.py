"""An evaluation in tables: for the pull request's comment and the report, from the verdict alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from gates.contract import Evidence, Verdict
from gates.evaluation.card import Table, tables
from pipelines.journal.lines import verdict_from_data, verdict_to_data
from pipelines.render import verdict_table
from pipelines.render.texts import TABLES_CHARACTERS
from tests.gates.evaluation.tables import Columns, columns, desk

EVIL = "<img src=x onerror=1> @team closes #12 | x | **b** `` ` ``"


def judged(folder: Path, golden: Columns | None = None, **changes: Any) -> Verdict:
    """A verdict with everything in it, as a journal gives it back."""
    verdict = (
        desk(folder, golden)
        .set(
            slices=("region", "age"),
            slice_edges={"age": (25.0, 65.0)},
            slice_margins={"auc": 0.05},
            slice_floors={"recall": 0.3},
            protected=("sex",),
        )
        .put("reference", columns(seed=12)[0])
        .set(**changes)
        .judge()
    )
    return verdict_from_data(json.loads(json.dumps(verdict_to_data(verdict))))


def by_title(verdict: Verdict) -> dict[str, Table]:
    """The tables by the first word of their titles."""
    return {table.title.split()[0]: table for table in tables(verdict)}


def test_everything_that_was_measured_has_its_table(tmp_path: Path) -> None:
    """Each row as wide as its head."""
    found = by_title(judged(tmp_path))
    assert list(found) == ["Candidate", "Tests", "Slices", "Groups", "Drift", "Decisions"]
    for table in found.values():
        assert {len(row) for row in table.rows} == {len(table.head)}
    (auc,) = [row for row in found["Candidate"].rows if row[0] == "auc"]
    assert re.fullmatch(r"0\.8\d+ \(0\.8\d+ to 0\.8\d+\)", auc[1])
    assert auc[4] == "limit 0.75, margin 0.02"
    assert auc[5] == "3,000"
    slices = {row[0]: row for row in found["Slices"].rows}
    assert slices["region=east"][2] == "insufficient"
    assert "auc margin 0.05: shown" in slices["region=north"][4]
    assert "recall at least 0.3: shown" in slices["region=north"][4]
    assert {row[2] for row in found["Groups"].rows} == {"sufficient", "reference"}
    assert [row[0] for row in found["Drift"].rows] == ["x", "age"]
    assert [row[0] for row in found["Decisions"].rows][:2] == ["newly flagged", "no longer flagged"]


def test_a_first_version_has_no_table_of_differences(tmp_path: Path) -> None:
    """Nor of decisions that changed."""
    from tests.questions import question

    verdict = desk(tmp_path).judge(question(stable=None))
    assert list(by_title(verdict)) == ["Candidate"]


def test_another_gates_verdict_has_no_tables(tmp_path: Path) -> None:
    """Whatever its facts are called."""
    assert tables(replace(judged(tmp_path), gate="load")) == ()


@pytest.mark.parametrize("planted", [None, 7, "words", [1, None], {"a": 1}, [{"slice": ["x"], "needs": 3}]])
def test_facts_of_another_form_are_left_out(tmp_path: Path, planted: object) -> None:
    """An older journal can still be told."""
    facts = dict.fromkeys(("tests", "slices", "fairness", "input_drift", "flips", "calibration"), planted)
    bare = replace(
        judged(tmp_path, slices=(), slice_edges={}, slice_margins={}, slice_floors={}),
        evidence=Evidence(facts=MappingProxyType(facts)),
    )
    for table in tables(bare):
        assert {len(row) for row in table.rows} == {len(table.head)}
    assert verdict_table([bare])


# ---------------------------------------------------------------------- the comment


def test_the_comment_holds_the_tables_folded(tmp_path: Path) -> None:
    """Below the verdicts; GitHub reads a table only after an empty line."""
    text = verdict_table([judged(tmp_path)])
    assert text.count("<details><summary><code>evaluation</code>: ") == text.count("</details>") == 6
    head = "| slice | rows | state | required | asked | measured |"
    assert f"</summary>\n\n{head}\n|{'---|' * 6}\n| `" in text
    for line in text.splitlines():
        if line.startswith("| `region="):
            assert line.rstrip().count(" | ") == 5


def test_what_data_are_called_stays_inside_code(tmp_path: Path) -> None:
    """A region is called something evil: no tag, mention or cell of its own comes of it."""
    golden, _ = columns()
    golden["region"] = [EVIL if one == "south" else one for one in golden["region"]]
    plain, evil = verdict_table([judged(tmp_path)]), verdict_table([judged(tmp_path, golden)])
    outside = [re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", line) for line in evil.splitlines()]
    harmless = [re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", line) for line in plain.splitlines()]
    assert sorted(outside) == sorted(harmless)
    assert "onerror" in evil


def test_a_comment_of_many_slices_fits(tmp_path: Path) -> None:
    """GitHub refuses more than 65,536 characters; what is left out is counted."""
    verdict = judged(tmp_path)
    slices: Any = verdict.evidence.facts["slices"]
    many = [{**slices[1], "slice": f"branch={n:04d} {'x' * 90}"} for n in range(2000)]
    facts = MappingProxyType({**verdict.evidence.facts, "slices": many})
    text = verdict_table([replace(verdict, evidence=replace(verdict.evidence, facts=facts))])
    assert len(text) < TABLES_CHARACTERS + 5_000
    left_out = int(re.findall(r"(\d+) more rows stand in the report", text)[0])
    assert text.count("`branch=") == 2000 - left_out


def test_telling_a_verdict_loads_no_heavy_library() -> None:
    """The report of a journal needs no numpy."""
    code = "import sys, gates.evaluation.card; print({'numpy', 'scipy', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "set()"
