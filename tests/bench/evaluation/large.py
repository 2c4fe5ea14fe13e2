"""Many rows through the gate: ``write FOLDER ROWS FORMAT`` makes the tables, ``judge FOLDER FORMAT`` judges.

The gate reads labels, three attributes and both arms' scores, and measures all it knows: each measure of both
arms and their differences, tests, seven slices, two groups, calibration, drift of the scores.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

PIECE = 500_000
COLUMNS = ("id", "fraud", "region", "sex", "age")


def pieces(rows: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The golden set and its scores, piece by piece: 2 % are fraud, the candidate is a little better."""
    for start in range(0, rows, PIECE):
        count = min(PIECE, rows - start)
        dice = np.random.default_rng([7, start])
        labels = dice.random(count) < 0.02
        odds = dice.normal(np.where(labels, 0.5, -4.5), 1.6)
        ids = np.arange(start, start + count)
        candidate, stable = (
            1 / (1 + np.exp(-(odds + noise * dice.normal(size=count)))) for noise in (0.3, 0.5)
        )
        golden = {
            "id": ids,
            "fraud": labels.astype(np.int8),
            "region": dice.choice(["north", "south", "east", "west"], count),
            "sex": dice.choice(["f", "m"], count),
            "age": dice.integers(18, 90, count),
        }
        yield golden, {"id": ids, "candidate": candidate, "stable": stable}


def write(folder: Path, rows: int, form: str) -> None:
    """Both tables."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    writers: list[Any] = []
    for tables in pieces(rows):
        made = [pa.table(columns) for columns in tables]
        if not writers:
            plain = pa.csv.WriteOptions(quoting_style="none")
            writers = [
                pa.csv.CSVWriter(folder / f"{name}.csv", table.schema, write_options=plain)
                if form == "csv"
                else pa.parquet.ParquetWriter(folder / f"{name}.parquet", table.schema)
                for name, table in zip(("golden", "scores"), made, strict=True)
            ]
        for writer, table in zip(writers, made, strict=True):
            writer.write_table(table)
    for writer in writers:
        writer.close()


def judge(folder: Path, form: str) -> str:
    """The gate's sentence, and the candidate's figures."""
    from gates.evaluation import Evaluation, EvaluationSettings
    from tests.questions import DIGEST, Folder, question

    settings = EvaluationSettings(
        golden_set=f"file://{folder}/golden.{form}",
        sha256=_sha256(folder / f"golden.{form}"),
        label="fraud",
        threshold=0.5,
        row_id="id",
        attributes=("region", "sex", "age"),
        maximum_rows=50_000_000,
        minimum_rows=200,
        scores=f"file://{folder}/scores.{form}",
        scores_sha256=_sha256(folder / f"scores.{form}"),
        scores_digests={"candidate": DIGEST, "stable": DIGEST},
        floors={"auc": 0.9, "pr_auc": 0.1},
        margins={"auc": 0.01, "pr_auc": 0.05, "recall": 0.05, "log_loss": 0.01, "brier": 0.01},
        slices=("region", "age"),
        slice_edges={"age": (30.0, 60.0)},
        slice_margins={"auc": 0.02},
        protected=("sex",),
        drift_ceilings={"score_psi": 0.5},
    )
    gate = Evaluation(settings, repository=Folder(folder), inference=Nobody(), artifacts=Disk())
    verdict = gate.judge(question())
    found = [one for one in verdict.evidence.measurements if one.arm == "candidate"]
    figures = " ".join(f"{one.name}={one.value:.12g}" for one in found)
    return f"{verdict.status.name}: {verdict.sentence}\n{figures}"


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


class Disk:
    """Files as they lie."""

    def fetch(self, uri: str) -> Path:
        """The file."""
        return Path(uri.removeprefix("file://"))


class Nobody:
    """No model is asked."""

    def infer(self, *given: object, **named: object) -> list[float]:
        """Never."""
        raise AssertionError


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        print(judge(Path(sys.argv[2]), sys.argv[3]))
