"""A golden set with regions, ages and groups, its scores in a table, and the gate that judges them."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gates.contract import Arm, Question, Status, Verdict
from gates.evaluation import Evaluation, EvaluationSettings
from tests.questions import DIGEST, Folder, arm, question

Columns = dict[str, Sequence[Any]]
ROWS = 3000
CHAMPION_DIGEST = "sha256:" + "d" * 64


def champion() -> Arm:
    """The version that serves."""
    return replace(arm("stable", "v1"), digest=CHAMPION_DIGEST)


def columns(seed: int = 11, rows: int = ROWS) -> tuple[Columns, Columns]:
    """A golden set and scores of it: calibrated, both models about as good, all groups treated alike."""
    dice = np.random.default_rng(seed)
    truth = dice.normal(-0.8, 1.6, size=rows)
    labels = dice.random(rows) < 1 / (1 + np.exp(-truth))
    scores = [1 / (1 + np.exp(-(truth + noise * dice.normal(size=rows)))) for noise in (0.1, 0.1)]
    golden: Columns = {
        "id": [f"r{n:05d}" for n in range(rows)],
        "x": truth.tolist(),
        "age": dice.integers(18, 80, rows).tolist(),
        "region": dice.choice(["north", "south", "east"], rows, p=[0.5, 0.48, 0.02]).tolist(),
        "sex": dice.choice(["f", "m"], rows).tolist(),
        "fraud": labels.astype(int).tolist(),
    }
    return golden, {"id": golden["id"], "candidate": scores[0].tolist(), "stable": scores[1].tolist()}


def as_csv(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """The columns as people write them."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


@dataclass(frozen=True, slots=True)
class Desk:
    """A folder as the repository, and settings that pin what lies in it."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def put(self, key: str, columns: Mapping[str, Sequence[Any]] | bytes, **changes: Any) -> Desk:
        """Write a table and pin it under a key of the settings; ``golden_set``'s pin is ``sha256``."""
        content = columns if isinstance(columns, bytes) else as_csv(columns)
        (self.folder / f"{key}.csv").write_bytes(content)
        pin = "sha256" if key == "golden_set" else f"{key}_sha256"
        pins = {key: f"{key}.csv", pin: hashlib.sha256(content).hexdigest()}
        return Desk(self.folder, {**self.settings, **pins, **changes})

    def set(self, **changes: Any) -> Desk:
        """With other settings."""
        return Desk(self.folder, {**self.settings, **changes})

    def read(self) -> EvaluationSettings:
        """The settings."""
        return EvaluationSettings(**self.settings)

    def judge(self, asked: Question | None = None, **sources: Any) -> Verdict:
        """Ask the gate."""
        gate = Evaluation(
            self.read(), **{"repository": Folder(self.folder), "inference": Nobody(), **sources}
        )
        return gate.judge(asked or question(stable=champion()))


class Nobody:
    """Whoever asks a model here made a mistake."""

    def infer(self, *given: object, **named: object) -> list[float]:
        """No model is asked where a table has the scores."""
        raise AssertionError("a model was asked")


def desk(folder: Path, golden: Columns | None = None, scores: Columns | None = None) -> Desk:
    """Everything in place for a PASS; what is to be wrong comes on top."""
    there, told = columns()
    return (
        Desk(folder)
        .put("golden_set", golden or there, label="fraud", threshold=0.5, row_id="id")
        .put("scores", scores or told, scores_digests={"candidate": DIGEST, "stable": CHAMPION_DIGEST})
        .set(attributes=("region", "sex"), floors={"auc": 0.75}, margins={"auc": 0.02})
    )


def said(verdict: Verdict) -> tuple[Status, str]:
    """Status and reason."""
    return verdict.status, verdict.reason
