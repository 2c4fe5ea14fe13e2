"""What the evaluation gate can be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Annotated, Literal

from annotated_types import Ge, Interval, MinLen

AtLeast = Literal["auc", "accuracy", "recall", "precision"]
AtMost = Literal["log_loss", "flagged"]
Paired = Literal["auc", "accuracy", "recall", "log_loss"]

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """The golden set, and what the candidate must show on it. Measures are shares between 0 and 1."""

    golden_set: Annotated[str, MinLen(1)]
    """Path in the repository of a CSV: a header, numeric features, one label column of 0 and 1."""
    sha256: str
    """Of the golden set's bytes, 64 hexadecimal digits."""
    label: Annotated[str, MinLen(1)]
    """Name of the label column; the other columns are the features, in the file's order."""
    threshold: float
    """A row is flagged when its score is at least this."""
    floors: Mapping[AtLeast, Annotated[float, Interval(ge=0, le=1)]] = field(default_factory=dict)
    """Measure -> the least it may be."""
    ceilings: Mapping[AtMost, Annotated[float, Ge(0)]] = field(default_factory=dict)
    """Measure -> the most it may be: ``log_loss`` in nats, ``flagged`` as a share of rows."""
    margins: Mapping[Paired, Annotated[float, Interval(ge=0, le=1)]] = field(default_factory=dict)
    """Measure -> how much worse than the champion is still as good."""
    alpha: Annotated[float, Interval(gt=0, lt=0.5)] = 0.05
    """What an interval's two sides together may err with: 0.05 gives 95 % intervals."""
    minimum_rows: Annotated[int, Ge(2)] = 200
    """A golden set with fewer rows shows nothing."""
    minimum_per_label: Annotated[int, Ge(2)] = 20
    """Rows that either label needs."""
    maximum_rows: Annotated[int, Interval(ge=2, le=1_000_000)] = 100_000
    """A larger golden set is refused before a row is sent."""
    lowest_score: float = 0.0
    """A score below is no score."""
    highest_score: float = 1.0
    """A score above is no score."""
    repeat_rows: Annotated[int, Ge(0)] = 50
    """Rows sent a second time, to see whether the same row gets the same score; 0: none."""
    repeat_tolerance: Annotated[float, Ge(0)] = 1e-9
    """How far two scores of one row may lie apart."""

    def __post_init__(self) -> None:
        """Refuse what no golden set could satisfy, and what any would.

        Raises:
            ValueError: naming the key.
        """
        path = PurePosixPath(self.golden_set)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError("golden_set must be a path inside the repository")
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError("sha256 must be 64 lower-case hexadecimal digits; `sha256sum FILE` prints them")
        if not self.lowest_score <= self.threshold <= self.highest_score:
            raise ValueError("threshold must lie between lowest_score and highest_score")
        if (
            "log_loss" in (*self.ceilings, *self.margins)
            and not 0 <= self.lowest_score < self.highest_score <= 1
        ):
            raise ValueError("log_loss needs probabilities: lowest_score and highest_score within 0 and 1")
        if self.minimum_rows > self.maximum_rows:
            raise ValueError("minimum_rows must not be above maximum_rows")
        if not (self.floors or self.ceilings or self.margins):
            raise ValueError("set floors, ceilings or margins: asked for nothing, any candidate passes")
