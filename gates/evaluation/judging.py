"""What scores on a golden set say against a candidate: pure, from numbers to objections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from gates.contract import ArmName, Evidence, Measurement, Question, Status
from gates.evaluation.measures import Estimate, Flips, Floats, compare, flips, measure
from gates.evaluation.settings import EvaluationSettings
from gates.golden import Golden

LISTED = 20
"""How many rows with another decision are named in the evidence."""
_SMALLER_IS_BETTER = frozenset({"log_loss"})


@dataclass(frozen=True, slots=True)
class Objection:
    """One thing that stands against the candidate, or against being able to tell."""

    status: Status
    reason: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was measured on the golden set."""

    candidate: Mapping[str, Estimate]
    champion: Mapping[str, Estimate] | None
    """None: there is no champion."""
    differences: Mapping[str, Estimate]
    """Candidate minus champion; empty without a champion."""
    flips: Flips | None


def golden_objections(golden: Golden, settings: EvaluationSettings) -> Iterator[Objection]:
    """Whether the golden set can carry a judgement at all."""
    rows, positives = len(golden.rows), sum(golden.labels)
    fewest = min(positives, rows - positives)
    if rows < settings.minimum_rows or fewest < settings.minimum_per_label:
        yield _fail(
            "golden_set_too_small",
            f"{settings.golden_set} has {rows} rows, {positives} of them labelled 1; at least "
            f"{settings.minimum_rows} are needed and {settings.minimum_per_label} of either label.",
        )


def address_objections(question: Question, settings: EvaluationSettings) -> Iterator[Objection]:
    """Whether there is somebody to ask."""
    if not question.candidate.url:
        yield Objection(
            Status.UNKNOWN,
            "no_candidate_address",
            f"Nobody knows where {question.candidate.version} can be asked; is its preview up?",
        )
    if question.stable is not None and not question.stable.url and settings.margins:
        yield Objection(
            Status.UNKNOWN,
            "no_champion_address",
            f"{question.candidate.version} must be compared with {question.stable.version}, "
            "but nobody knows where that one can be asked.",
        )


def score_objections(
    scores: Sequence[float], rows: int, settings: EvaluationSettings, arm: ArmName
) -> Iterator[Objection]:
    """Whether what came back are scores that can be measured.

    The candidate is blamed for its own; a champion that gives none leaves nothing to compare with.
    """
    blame, who, prefix = (
        (Status.FAIL, "The candidate", "")
        if arm == "candidate"
        else (Status.UNKNOWN, "The champion", "champion_")
    )
    if len(scores) != rows:
        sentence = f"{who} answered {rows} rows with {len(scores)} scores."
        yield Objection(blame, f"{prefix}scores_missing", sentence)
        return
    values = np.asarray(scores, dtype=np.float64)
    outside = ~((values >= settings.lowest_score) & (values <= settings.highest_score))
    for reason, bad, what in (
        ("scores_not_finite", ~np.isfinite(values), "no finite number"),
        ("scores_out_of_range", outside, f"outside {settings.lowest_score:g} to {settings.highest_score:g}"),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            sentence = (
                f"{who} scores {int(bad.sum())} of {rows} rows {what}, first row {row + 1}: {scores[row]}."
            )
            yield Objection(blame, f"{prefix}{reason}", sentence)
            return
    if values.min() == values.max():
        sentence = f"{who} gives all {rows} rows the same score {scores[0]:g}: it does not look at them."
        yield Objection(blame, f"{prefix}scores_constant", sentence)


def repeat_rows(rows: int, settings: EvaluationSettings) -> list[int]:
    """Rows to send a second time, spread evenly, counted from 0."""
    few = min(settings.repeat_rows, rows)
    return [number * rows // few for number in range(few)]


def repeat_objections(
    first: Sequence[float], second: Sequence[float], settings: EvaluationSettings
) -> Iterator[Objection]:
    """Whether the same rows got the same scores again."""
    if len(first) != len(second):
        yield _fail(
            "scores_missing", f"The candidate answered {len(first)} repeated rows with {len(second)} scores."
        )
        return
    apart = [not abs(a - b) <= settings.repeat_tolerance for a, b in zip(first, second, strict=True)]
    if any(apart):
        where = apart.index(True)
        yield _fail(
            "not_deterministic",
            f"The candidate scored {sum(apart)} of {len(apart)} repeated rows differently, such as "
            f"{first[where]!r} and then {second[where]!r}; {settings.repeat_tolerance:g} apart is allowed.",
        )


def find(
    golden: Golden, candidate: Sequence[float], champion: Sequence[float] | None, settings: EvaluationSettings
) -> Findings:
    """Measure both arms; the scores must have met no objection."""
    labels = np.asarray(golden.labels, dtype=np.bool_)
    threshold, alpha = settings.threshold, settings.alpha
    new: Floats = np.asarray(candidate, dtype=np.float64)
    if champion is None:
        return Findings(
            candidate=measure(labels, new, threshold, alpha), champion=None, differences={}, flips=None
        )
    old: Floats = np.asarray(champion, dtype=np.float64)
    return Findings(
        candidate=measure(labels, new, threshold, alpha),
        champion=measure(labels, old, threshold, alpha),
        differences=compare(labels, new, old, threshold, alpha),
        flips=flips(labels, new, old, threshold),
    )


def bound_objections(findings: Findings, settings: EvaluationSettings) -> Iterator[Objection]:
    """Floors and ceilings: the whole interval must lie on the good side."""
    for name, floor in settings.floors.items():
        one = findings.candidate[name]
        if one.value is None or one.low < floor:
            below = one.value is not None and one.value < floor
            reason = "below_floor" if below else "not_shown_above_floor"
            yield _fail(reason, f"{_said(name, one)}; at least {floor:g} must be shown.")
    for kind, ceiling in settings.ceilings.items():
        one = findings.candidate[kind]
        if one.high > ceiling:
            above = one.value is not None and one.value > ceiling
            reason = "above_ceiling" if above else "not_shown_below_ceiling"
            yield _fail(reason, f"{_said(kind, one)}; at most {ceiling:g} must be shown.")


def champion_objections(findings: Findings, settings: EvaluationSettings) -> Iterator[Objection]:
    """Non-inferiority: the interval of the difference must exclude a loss beyond the margin."""
    if findings.champion is None:
        return
    for name, margin in settings.margins.items():
        one = findings.differences[name]
        best, worst = (-one.low, -one.high) if name in _SMALLER_IS_BETTER else (one.high, one.low)
        if worst < -margin:
            reason = "worse_than_champion" if best < -margin else "not_shown_as_good_as_champion"
            yield _fail(
                reason,
                f"{_said(name, one)} against the champion on the same rows; "
                f"a loss of more than {margin:g} must be ruled out.",
            )


def evidence(findings: Findings, golden: Golden, settings: EvaluationSettings) -> Evidence:
    """The table of both arms, the differences, and the decisions that changed."""
    limits: dict[str, float] = {str(name): limit for name, limit in settings.floors.items()}
    limits |= {str(name): limit for name, limit in settings.ceilings.items()}
    losses: dict[str, float] = {
        str(name): margin if name in _SMALLER_IS_BETTER else -margin
        for name, margin in settings.margins.items()
    }
    rows = [*_measurements(findings.candidate, "candidate", limits)]
    rows += _measurements(findings.champion or {}, "stable", {})
    rows += [
        _measurement(f"{name}_difference", one, "", losses.get(name))
        for name, one in findings.differences.items()
    ]
    facts = {
        **golden_facts(golden, settings),
        "confidence": 1.0 - settings.alpha,
        "champion": findings.champion is not None,
    }
    if findings.flips is not None:
        facts["flips"] = _flip_facts(findings.flips)
    return Evidence(measurements=tuple(rows), facts=MappingProxyType(facts))


def praise(findings: Findings, rows: int) -> str:
    """What was shown, in one sentence."""
    shown = [_said(name, one) for name, one in findings.candidate.items()]
    against = "no champion to compare with"
    if findings.flips is not None:
        changed = len(findings.flips.newly_flagged) + len(findings.flips.no_longer_flagged)
        against = f"{changed} decisions differ from the champion's"
    return f"On {rows} golden rows everything required is shown: {', '.join(shown)}; {against}."


def golden_facts(golden: Golden, settings: EvaluationSettings) -> dict[str, object]:
    """What was judged on."""
    positives = sum(golden.labels)
    return {
        "golden_set": settings.golden_set,
        "golden_set_sha256": golden.sha256,
        "rows": len(golden.rows),
        "labels": {"0": len(golden.rows) - positives, "1": positives},
        "threshold": settings.threshold,
    }


def _flip_facts(found: Flips) -> dict[str, object]:
    return {
        "newly_flagged": len(found.newly_flagged),
        "newly_flagged_rows": list(found.newly_flagged[:LISTED]),
        "no_longer_flagged": len(found.no_longer_flagged),
        "no_longer_flagged_rows": list(found.no_longer_flagged[:LISTED]),
        "newly_right": found.newly_right,
        "newly_wrong": found.newly_wrong,
        "mcnemar_p": found.mcnemar_p,
    }


def _measurements(
    found: Mapping[str, Estimate], arm: ArmName, limits: Mapping[str, float]
) -> Iterator[Measurement]:
    for name, one in found.items():
        yield _measurement(name, one, arm, limits.get(name))


def _measurement(
    name: str, one: Estimate, arm: ArmName | Literal[""], threshold: float | None
) -> Measurement:
    return Measurement(
        name=name,
        value=one.value,
        arm=arm,
        samples=one.samples,
        low=one.low,
        high=one.high,
        threshold=threshold,
    )


def _said(name: str, one: Estimate) -> str:
    value = "undefined" if one.value is None else f"{one.value:.4g}"
    return f"{name} {value} ({one.low:.4g} to {one.high:.4g}, {one.samples} rows)"


def _fail(reason: str, sentence: str) -> Objection:
    return Objection(Status.FAIL, reason, sentence)
