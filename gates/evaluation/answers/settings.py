"""What the gate of answers in words can be told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Interval, MinLen

from gates.contract import ArmName
from gates.golden.places import check_pin

Format = Literal["answers", "lm_eval", "mlflow"]

_DIGEST = re.compile("sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersSettings:
    """The questions, both models' answers, who scores them, and what the candidate must show."""

    golden_set: Annotated[str, MinLen(1)]
    """Path in the repository, or ``s3://``, ``gs://``, ``file://``, of the questions in JSON Lines: ``id``,
    and as far as they are wanted ``question``, ``reference`` and words to slice by."""
    sha256: str
    """Of its bytes, 64 hexadecimal digits."""
    answers: Annotated[str, MinLen(1)]
    """Where the candidate's answers lie, one for each question, in the same order."""
    answers_sha256: str
    """Of their bytes."""
    answers_digests: Mapping[ArmName, str]
    """Arm -> digest of the artifact that gave its answers, ``sha256:`` and 64 hexadecimal digits."""
    champion_answers: str = ""
    """Where the champion's answers lie; "" where there is no champion."""
    champion_answers_sha256: str = ""
    """Of their bytes."""
    format: Format = "answers"
    """``answers``: JSON Lines with ``id`` and ``answer``; ``lm_eval``: what lm-eval's ``--log_samples``
    writes; ``mlflow``: the table ``eval_results_table.json`` of an MLflow evaluation."""
    lm_eval_filter: str = ""
    """Which of lm-eval's filters counts, where a task has several."""
    mlflow_id: str = "id"
    """The column of MLflow's table that names the question."""
    mlflow_answer: str = "outputs"
    """The column of MLflow's table with the answer."""
    scorers: Annotated[tuple[str, ...], MinLen(1)]
    """Who scores: ``exact_match``, ``token_f1``, a scorer of an installed package, or ``recorded:NAME`` for a
    score that stands with the answer."""
    floors: Mapping[str, float] = field(default_factory=dict)
    """Scorer -> the least that the mean score may be."""
    margins: Mapping[str, Annotated[float, Ge(0)]] = field(default_factory=dict)
    """Scorer -> how much worse than the champion is still as good."""
    lowest_score: float = 0.0
    """A score below is no score."""
    highest_score: float = 1.0
    """A score above is no score."""
    alpha: Annotated[float, Interval(gt=0, lt=0.5)] = 0.05
    """What an interval's two sides together may err with: 0.05 gives 95 % intervals."""
    minimum_rows: Annotated[int, Ge(2)] = 100
    """Fewer questions show nothing."""
    maximum_rows: Annotated[int, Interval(ge=2, le=1_000_000)] = 100_000
    """More questions are refused."""
    repeat_rows: Annotated[int, Ge(0)] = 50
    """Answers scored a second time, to see whether the same answer gets the same score; 0: none."""
    repeat_tolerance: Annotated[float, Ge(0)] = 1e-9
    """How far two scores of one answer may lie apart."""
    slices: tuple[str, ...] = ()
    """Keys of the questions by whose words they are looked at apart."""
    slice_minimum_rows: Annotated[int, Ge(2)] = 50
    """A slice with fewer questions is insufficient: neither good nor bad."""
    slice_floors: Mapping[str, float] = field(default_factory=dict)
    """Scorer -> the least that the mean score may be in a slice."""
    slice_margins: Mapping[str, Annotated[float, Ge(0)]] = field(default_factory=dict)
    """Scorer -> how much worse than the champion is still as good in a slice."""
    required_slices: tuple[str, ...] = ()
    """Slices that must show what is asked of them, such as ``topic=loans``; others must not be shown to miss
    it."""

    def __post_init__(self) -> None:
        """Refuse what no answers could satisfy, and what any would.

        Raises:
            ValueError: naming the key.
        """
        for problem in (*_pins(self), *_wants(self)):
            raise ValueError(problem)


def _pins(settings: AnswersSettings) -> Iterator[str]:
    for key, place, sha256 in (
        ("golden_set", settings.golden_set, settings.sha256),
        ("answers", settings.answers, settings.answers_sha256),
        ("champion_answers", settings.champion_answers, settings.champion_answers_sha256),
    ):
        if place or sha256:
            check_pin(key, place, sha256)
    if "candidate" not in settings.answers_digests:
        yield "answers_digests must name the candidate: whose answers are these?"
    for arm, digest in settings.answers_digests.items():
        if not _DIGEST.fullmatch(digest):
            yield f"answers_digests.{arm} must be sha256: and 64 lower-case hexadecimal digits"


def _wants(settings: AnswersSettings) -> Iterator[str]:
    if not settings.lowest_score < settings.highest_score:
        yield "lowest_score must be below highest_score"
    if not (settings.floors or settings.margins):
        yield "set floors or margins: asked for nothing, any candidate passes"
    if len(set(settings.scorers)) != len(settings.scorers):
        yield "scorers names one of them twice"
    for key in ("floors", "margins", "slice_floors", "slice_margins"):
        if unknown := getattr(settings, key).keys() - set(settings.scorers):
            yield f"{key} names {', '.join(sorted(unknown))}, which scorers does not"
    if (settings.slice_floors or settings.slice_margins or settings.required_slices) and not settings.slices:
        yield "slice_floors, slice_margins and required_slices need slices"
    if settings.minimum_rows > settings.maximum_rows:
        yield "minimum_rows must not be above maximum_rows"
