"""What scores on a golden set say against a candidate: pure, from numbers to objections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from gates.contract import Question
from gates.evaluation import drift, fairness, requirements, slices
from gates.evaluation.calibration import Calibration, calibrate
from gates.evaluation.estimates import Estimate
from gates.evaluation.measures import (
    Areas,
    Flips,
    PairedTest,
    Rule,
    compare,
    flips,
    measure,
    paired_tests,
)
from gates.evaluation.objections import Objection, fail
from gates.evaluation.sample import Bools, Floats, Identities, Sample
from gates.evaluation.scoring import Scores
from gates.evaluation.settings import EvaluationSettings
from gates.evaluation.words import said


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was measured on the golden set."""

    candidate: Mapping[str, Estimate]
    champion: Mapping[str, Estimate] | None
    """None: there is no champion."""
    differences: Mapping[str, Estimate]
    """Candidate minus champion; empty without a champion."""
    tests: tuple[PairedTest, ...]
    flips: Flips | None
    slices: tuple[slices.Slice, ...]
    groups: tuple[fairness.Group, ...]
    calibration: Calibration | None
    """None: the scores are no probabilities."""
    champion_calibration: Calibration | None
    score_drift: Mapping[str, Estimate]
    input_drift: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    """By feature; empty without a reference."""
    repeated: int
    """Rows that the candidate scored a second time, alike."""


def rule(settings: EvaluationSettings) -> Rule:
    """How the settings make decisions of scores."""
    return Rule(
        threshold=settings.threshold,
        alpha=settings.alpha,
        false_positive_cost=settings.false_positive_cost,
        false_negative_cost=settings.false_negative_cost,
    )


def find(
    sample: Sample,
    scores: Scores,
    settings: EvaluationSettings,
    input_drift: Mapping[str, Mapping[str, Estimate]],
) -> Findings:
    """Measure both arms; the scores must have met no objection."""
    how, labels, new, old = rule(settings), sample.labels, scores.candidate, scores.stable
    calibration, before = _calibrated(labels, new, settings), _calibrated(labels, old, settings)
    asked: Areas = "drawn" if "pr_auc" in (*settings.floors, *settings.implausible) else "limit"
    paired: Areas = "drawn" if "pr_auc" in settings.margins else "limit"
    differences = {} if old is None else compare(labels, new, old, how, pr_auc=paired)
    return Findings(
        candidate={
            **measure(labels, new, how, pr_auc=asked),
            **(calibration.estimates if calibration else {}),
        },
        champion=None
        if old is None
        else {**measure(labels, old, how), **(before.estimates if before else {})},
        differences=differences,
        tests=paired_tests(differences, settings.alpha),
        flips=None if old is None else flips(labels, new, old, settings.threshold),
        slices=slices.look(sample, scores, how, settings),
        groups=fairness.look(sample, scores, settings),
        calibration=calibration,
        champion_calibration=before,
        score_drift={} if old is None else drift.drift("score", old, new, settings.alpha, paired=True),
        input_drift=input_drift,
        repeated=scores.repeated,
    )


def _calibrated(labels: Bools, scores: Floats | None, settings: EvaluationSettings) -> Calibration | None:
    if scores is None or scores.min() < 0.0 or scores.max() > 1.0:
        return None
    return calibrate(labels, scores, settings.alpha)


# --------------------------------------------------------------------- the golden set


def golden_objections(
    sample: Sample, question: Question, settings: EvaluationSettings
) -> Iterator[Objection]:
    """Whether the golden set is the one that is meant, and can carry a judgement at all."""
    rows, positives, name = sample.rows, sample.positives, settings.golden_set
    if settings.columns and sample.columns != settings.columns:
        yield fail(
            "golden_set_schema_differs",
            f"{name} has the columns {', '.join(sample.columns)}, "
            f"but {', '.join(settings.columns)} are pinned.",
        )
    if settings.rows and rows != settings.rows:
        yield fail("golden_set_schema_differs", f"{name} has {rows} rows, but {settings.rows} are pinned.")
    yield from _age(question, settings)
    fewest = min(positives, rows - positives)
    if rows < settings.minimum_rows or fewest < settings.minimum_per_label:
        yield fail(
            "golden_set_too_small",
            f"{name} has {rows} rows, {positives} of them labelled 1; at least "
            f"{settings.minimum_rows} are needed and {settings.minimum_per_label} of either label.",
        )
    allowed = 0.0 if settings.row_id else settings.maximum_doubled
    if sample.doubled > allowed * rows:
        what = f"their {settings.row_id}" if settings.row_id else "all that is in them"
        yield fail(
            "golden_set_doubled",
            f"{sample.doubled} of {rows} rows of {name} repeat an earlier one in {what}; "
            f"at most {allowed:.2%} may: repeated rows make intervals narrower than they are.",
        )


def _age(question: Question, settings: EvaluationSettings) -> Iterator[Objection]:
    if not settings.labelled_on:
        return
    days = (question.now.date() - date.fromisoformat(settings.labelled_on)).days
    if days < 0:
        yield fail(
            "labels_not_known",
            f"The labels of {settings.golden_set} are known by {settings.labelled_on}, in {-days} days.",
        )
    elif settings.maximum_label_age_days and days > settings.maximum_label_age_days:
        yield fail(
            "labels_outdated",
            f"The labels of {settings.golden_set} are {days} days old, of {settings.labelled_on}; "
            f"{settings.maximum_label_age_days} days are allowed.",
        )


def leak_objections(
    sample: Sample, trained_on: Identities, settings: EvaluationSettings
) -> Iterator[Objection]:
    """Whether the candidate has seen rows of the golden set before."""
    seen = np.isin(sample.identities, trained_on)
    if not seen.any():
        return
    shares = {
        name: (int(seen[rows].sum()), int(rows.sum()))
        for grouping in sample.groupings.values()
        for name in grouping.names
        for rows in (grouping.rows(name),)
        if rows.any()
    }
    worst = max(shares, key=lambda name: shares[name][0] / shares[name][1], default="")
    where = f", {shares[worst][0]} of the {shares[worst][1]} in {worst}" if worst else ""
    yield fail(
        "golden_set_leaked",
        f"The candidate was trained on {int(seen.sum())} of the {sample.rows} rows of {settings.golden_set}, "
        f"first row {int(np.argmax(seen)) + 1}{where}: what it says of them shows nothing.",
    )


# ------------------------------------------------------------------------ requirements


def objections(findings: Findings, settings: EvaluationSettings) -> Iterator[Objection]:
    """Everything that is asked for and not shown."""
    for name, limit in settings.implausible.items():
        if findings.candidate[name].low > limit:
            yield slices.implausible(name, findings.candidate[name], limit, "of all rows")
    yield from requirements.floors(findings.candidate, settings.floors.items())
    yield from requirements.ceilings(findings.candidate, settings.ceilings.items())
    yield from requirements.margins(findings.differences, settings.margins.items())
    yield from slices.leaks(findings.slices, settings.implausible)
    yield from slices.objections(findings.slices, settings)
    yield from fairness.objections(findings.groups, settings)
    yield from _slope(findings, settings)
    yield from _drifts(findings, settings)


def _slope(findings: Findings, settings: EvaluationSettings) -> Iterator[Objection]:
    if not settings.calibration_slope:
        return
    least, most = settings.calibration_slope
    one = findings.candidate["calibration_slope"]
    if one.low < least or one.high > most:
        off = one.value is not None and (one.high < least or one.low > most)
        yield fail(
            "miscalibrated" if off else "not_shown_calibrated",
            f"{said('calibration slope', one)}; within {least:g} and {most:g} must be shown.",
        )


def _drifts(findings: Findings, settings: EvaluationSettings) -> Iterator[Objection]:
    for kind, ceiling in settings.drift_ceilings.items():
        if kind.startswith("score"):
            if one := findings.score_drift.get(kind):
                yield from _drift(kind, one, ceiling, "scores", "the candidate's scores from the champion's")
            continue
        for feature, found in findings.input_drift.items():
            what = f"{feature} in the golden set from the reference"
            yield from _drift(kind, found[kind], ceiling, "inputs", what)


def _drift(kind: str, one: Estimate, ceiling: float, which: str, what: str) -> Iterator[Objection]:
    if one.high > ceiling:
        reason = f"{which}_drifted" if one.low > ceiling else f"{which}_may_have_drifted"
        yield fail(reason, f"{said(kind, one)}: {what}; at most {ceiling:g} must be shown.")


def praise(findings: Findings, rows: int, settings: EvaluationSettings) -> str:
    """What was shown, in one sentence: every requirement with its value, interval and limit."""
    shown = [said(name, findings.candidate[name], f"at least {x:g}") for name, x in settings.floors.items()]
    shown += [said(kind, findings.candidate[kind], f"at most {x:g}") for kind, x in settings.ceilings.items()]
    if findings.differences:
        shown += [
            said(f"{name} difference", findings.differences[name], f"margin {margin:g}")
            for name, margin in settings.margins.items()
        ]
    told = "; ".join([", ".join(shown) or "nothing without a champion", *_asides(findings)])
    return f"On {rows} golden rows everything required is shown: {told}."


def _asides(findings: Findings) -> Iterator[str]:
    if findings.flips is None:
        yield "no champion to compare with"
    else:
        changed = findings.flips.newly_flagged + findings.flips.no_longer_flagged
        yield f"{changed} decisions differ from the champion's"
    if few := [one for one in findings.slices if one.state == "insufficient"]:
        yield f"{len(few)} of {len(findings.slices)} slices are insufficient"
    if unsaid := [one for one in findings.groups if not one.sufficient]:
        yield f"{len(unsaid)} of {len(findings.groups)} groups are insufficient"
