"""Where scores come from: both models asked about every row, or a table that says whose scores it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gates.contract import Arm, ArmName, Question, Status
from gates.evaluation.inference import Inference
from gates.evaluation.objections import Objection, fail, stop_at, unknown
from gates.evaluation.sample import Identities, Sample, identified, picked
from gates.evaluation.settings import EvaluationSettings
from gates.golden import Table

Floats = NDArray[np.float64]

AGAIN = "candidate_again"
"""Column of a score table with the candidate's scores of a second run; it may be left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Both arms' scores of the very same rows."""

    candidate: Floats
    stable: Floats | None
    """None: there is no champion to compare with."""
    repeated: int
    """How many rows the candidate scored a second time, alike."""


def needs_champion(settings: EvaluationSettings) -> bool:
    """Whether anything is asked for that only a champion can answer."""
    drift = any(name.startswith("score") for name in settings.drift_ceilings)
    return bool(settings.margins or settings.slice_margins or drift)


# ------------------------------------------------------------------------- asked


def ask(
    question: Question, table: Table, sample: Sample, inference: Inference, settings: EvaluationSettings
) -> Scores:
    """Ask the candidate, a second time about some rows, and the champion.

    Raises:
        Stopped: what came back cannot be measured; nothing more is asked then.
    """
    stop_at(_addresses(question, settings))
    model, names = question.protocol_model, sample.features
    candidate = _all(question.candidate, "candidate", model, table, names, inference)
    stop_at(score_objections(candidate, settings, "candidate"))
    again = repeat_rows(sample.rows, settings)
    if again:
        rows = picked(table, names, again)
        second = inference.infer(question.candidate.url, model, rows, columns=names)
        stop_at(repeat_objections(candidate[again], second, settings))
    stable = None
    if question.stable is not None and question.stable.url:
        stable = _all(question.stable, "stable", model, table, names, inference)
        stop_at(score_objections(stable, settings, "stable"))
    return Scores(candidate, stable, len(again))


def _addresses(question: Question, settings: EvaluationSettings) -> Iterator[Objection]:
    """Whether there is somebody to ask."""
    if not question.candidate.url:
        yield unknown(
            "no_candidate_address",
            f"Nobody knows where {question.candidate.version} can be asked; is its preview up?",
        )
    if question.stable is not None and not question.stable.url and needs_champion(settings):
        yield unknown(
            "no_champion_address",
            f"{question.candidate.version} must be compared with {question.stable.version}, "
            "but nobody knows where that one can be asked.",
        )


def _all(
    arm: Arm, name: ArmName, model: str, table: Table, columns: Sequence[str], inference: Inference
) -> Floats:
    parts: list[Floats] = []
    for batch in table.batches(numbers=columns):
        found = inference.infer(arm.url, model, batch.numbers.tolist(), columns=columns)
        stop_at(_count_objections(len(batch.numbers), len(found), name))
        parts.append(np.array(found, dtype=np.float64))
    return np.concatenate(parts)


def _blame(arm: ArmName) -> tuple[Status, str, str]:
    """The candidate is blamed for its own; a champion that gives none leaves nothing to compare with."""
    if arm == "candidate":
        return Status.FAIL, "The candidate", ""
    return Status.UNKNOWN, "The champion", "champion_"


def _count_objections(rows: int, scores: int, arm: ArmName) -> Iterator[Objection]:
    status, who, prefix = _blame(arm)
    if scores != rows:
        yield Objection(
            status, f"{prefix}scores_missing", f"{who} answered {rows} rows with {scores} scores."
        )


def score_objections(scores: Floats, settings: EvaluationSettings, arm: ArmName) -> Iterator[Objection]:
    """Whether these are scores that can be measured; the first thing that is wrong with them."""
    status, who, prefix = _blame(arm)
    outside = ~((scores >= settings.lowest_score) & (scores <= settings.highest_score))
    for reason, bad, what in (
        ("scores_not_finite", ~np.isfinite(scores), "no finite number"),
        ("scores_out_of_range", outside, f"outside {settings.lowest_score:g} to {settings.highest_score:g}"),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            sentence = (
                f"{who} scores {int(bad.sum())} of {len(scores)} rows {what}, "
                f"first row {row + 1}: {scores[row]}."
            )
            yield Objection(status, f"{prefix}{reason}", sentence)
            return
    if scores.min() == scores.max():
        sentence = (
            f"{who} gives all {len(scores)} rows the same score {scores[0]:g}: it does not look at them."
        )
        yield Objection(status, f"{prefix}scores_constant", sentence)


def repeat_rows(rows: int, settings: EvaluationSettings) -> list[int]:
    """Rows to send a second time, spread evenly, counted from 0."""
    few = min(settings.repeat_rows, rows)
    return [number * rows // few for number in range(few)]


def repeat_objections(
    first: Floats, second: Sequence[float] | Floats, settings: EvaluationSettings
) -> Iterator[Objection]:
    """Whether the same rows got the same scores again."""
    if len(first) != len(second):
        yield fail(
            "scores_missing", f"The candidate answered {len(first)} repeated rows with {len(second)} scores."
        )
        return
    other = np.asarray(second, dtype=np.float64)
    apart = ~(np.abs(first - other) <= settings.repeat_tolerance)
    if apart.any():
        where = int(np.argmax(apart))
        yield fail(
            "not_deterministic",
            f"The candidate scored {int(apart.sum())} of {len(first)} repeated rows differently, such as "
            f"{float(first[where])!r} and then {float(other[where])!r}; "
            f"{settings.repeat_tolerance:g} apart is allowed.",
        )


# -------------------------------------------------------------------------- read


def read_scores(question: Question, table: Table, sample: Sample, settings: EvaluationSettings) -> Scores:
    """Take the scores from a table, whose rows must be the golden set's, each once, in the same order.

    Raises:
        Stopped: they are another model's, or not of these rows, or cannot be measured.
        GoldenRefused: a column is missing or holds something else than finite numbers.
    """
    stop_at(_origin(question, settings))
    same = question.stable is not None and settings.scores_digests.get("stable") == question.stable.digest
    compared = same and ("stable" in table.columns or needs_champion(settings))
    again = AGAIN in table.columns
    names = ("candidate", *(["stable"] if compared else ()), *([AGAIN] if again else ()))
    columns: list[list[Floats]] = [[] for _ in names]
    ids: list[Identities] = []
    for batch in table.batches(numbers=names, words=(settings.row_id,)):
        ids.append(identified(batch.words[0]))
        for place, column in enumerate(columns):
            column.append(np.ascontiguousarray(batch.numbers[:, place]))
    stop_at(alignment_objections(np.concatenate(ids), sample.identities))
    found = dict(zip(names, map(np.concatenate, columns), strict=True))
    stop_at(score_objections(found["candidate"], settings, "candidate"))
    if again:
        stop_at(repeat_objections(found["candidate"], found[AGAIN], settings))
    if compared:
        stop_at(score_objections(found["stable"], settings, "stable"))
    return Scores(found["candidate"], found.get("stable"), sample.rows if again else 0)


def _origin(question: Question, settings: EvaluationSettings) -> Iterator[Objection]:
    """Whether the scores are those of the artifacts in question."""
    said = settings.scores_digests["candidate"]
    if said != question.subject.digest:
        yield fail(
            "scores_of_another_model",
            f"{settings.scores} holds the scores of {said}, but {question.subject.digest} is to be judged.",
        )
    stable = question.stable
    if stable is not None and needs_champion(settings):
        said = settings.scores_digests.get("stable", "nobody")
        if said != stable.digest:
            yield unknown(
                "champion_scores_of_another_model",
                f"{settings.scores} holds the scores of {said}, but {stable.digest} serves.",
            )


def alignment_objections(found: Identities, wanted: Identities) -> Iterator[Objection]:
    """Whether every row of the golden set has its score, once, in its place."""
    if np.array_equal(found, wanted):
        return
    distinct = np.unique(found)
    missing, unasked = ~np.isin(wanted, distinct), ~np.isin(found, wanted)
    if len(distinct) < len(found):
        yield fail(
            "scores_doubled",
            f"The scores name {len(found) - len(distinct)} of {len(found)} rows more than once.",
        )
    if missing.any():
        yield fail(
            "scores_missing",
            f"{int(missing.sum())} of {len(wanted)} rows of the golden set have no score, "
            f"first row {int(np.argmax(missing)) + 1}.",
        )
    if unasked.any():
        yield fail(
            "scores_of_other_rows",
            f"{int(unasked.sum())} of {len(found)} scores are of rows that the golden set does not have, "
            f"first row {int(np.argmax(unasked)) + 1} of the scores.",
        )
    if len(found) == len(wanted) and len(distinct) == len(found) and not missing.any():
        where = int(np.argmax(found != wanted))
        yield fail(
            "scores_reordered",
            f"The scores are of the golden set's rows in another order, from row {where + 1} on.",
        )
