"""What is kept with an evaluation's verdict: numbers as measurements, tables as JSON values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Literal

from gates.contract import ArmName, Evidence, Measurement
from gates.evaluation import calibration
from gates.evaluation.estimates import Estimate
from gates.evaluation.fairness import Group
from gates.evaluation.judging import Findings
from gates.evaluation.measures import SMALLER_IS_BETTER, Flips, PairedTest
from gates.evaluation.sample import Sample
from gates.evaluation.settings import EvaluationSettings
from gates.evaluation.slices import Slice


def evidence(findings: Findings, sample: Sample, settings: EvaluationSettings) -> Evidence:
    """The table of both arms, the differences, and what lies behind them."""
    limits: dict[str, float] = {str(name): limit for name, limit in settings.floors.items()}
    limits |= {str(name): limit for name, limit in settings.ceilings.items()}
    losses: dict[str, float] = {
        str(name): margin if name in SMALLER_IS_BETTER else -margin
        for name, margin in settings.margins.items()
    }
    rows = [*_measurements(findings.candidate, "candidate", limits)]
    rows += _measurements(findings.champion or {}, "stable", {})
    rows += [
        measurement(f"{name}_difference", one, "", losses.get(name))
        for name, one in findings.differences.items()
    ]
    ceilings: dict[str, float] = {str(name): limit for name, limit in settings.drift_ceilings.items()}
    rows += [measurement(name, one, "", ceilings.get(name)) for name, one in findings.score_drift.items()]
    facts = {**golden_facts(sample, settings), **_facts(findings, settings)}
    return Evidence(measurements=tuple(rows), facts=MappingProxyType(facts))


def golden_facts(sample: Sample, settings: EvaluationSettings) -> dict[str, object]:
    """What was judged on."""
    return {
        "golden_set": settings.golden_set,
        "golden_set_sha256": sample.sha256,
        "rows": sample.rows,
        "labels": {"0": sample.rows - sample.positives, "1": sample.positives},
        "labelled_on": settings.labelled_on or None,
        "columns": list(sample.columns),
        "doubled_rows": sample.doubled,
        "threshold": settings.threshold,
        "scores": settings.scores or "asked",
        "scores_sha256": settings.scores_sha256 or None,
    }


def _facts(findings: Findings, settings: EvaluationSettings) -> dict[str, object]:
    facts: dict[str, object] = {
        "confidence": 1.0 - settings.alpha,
        "champion": findings.champion is not None,
        "repeated_rows": findings.repeated,
    }
    if findings.flips is not None:
        facts["flips"] = _flips(findings.flips)
        facts["tests"] = [_test(one) for one in findings.tests]
    if findings.slices:
        measures = {"auc", "flagged", *settings.slice_floors, *settings.slice_margins}
        facts["slices"] = [slice_facts(one, measures) for one in findings.slices]
    if findings.groups:
        facts["fairness"] = [_group(one) for one in findings.groups]
        facts["favourable"] = settings.favourable
    if findings.calibration is not None:
        facts["calibration"] = {
            arm: _curve(one, settings.alpha)
            for arm, one in (("candidate", findings.calibration), ("stable", findings.champion_calibration))
            if one is not None
        }
    if findings.input_drift:
        facts["input_drift"] = [
            {"feature": feature, **{kind: _number(one) for kind, one in found.items()}}
            for feature, found in findings.input_drift.items()
        ]
    return facts


def _flips(found: Flips) -> dict[str, object]:
    return {
        "newly_flagged": found.newly_flagged,
        "newly_flagged_rows": list(found.newly_flagged_rows),
        "no_longer_flagged": found.no_longer_flagged,
        "no_longer_flagged_rows": list(found.no_longer_flagged_rows),
        "newly_right": found.newly_right,
        "newly_wrong": found.newly_wrong,
        "mcnemar_p": found.mcnemar_p,
    }


def _test(one: PairedTest) -> dict[str, object]:
    return {
        "measure": one.measure,
        "method": one.method,
        "p": one.p,
        "holm_p": one.holm_p,
        "shown": one.shown,
    }


def slice_facts(one: Slice, measures: Collection[str]) -> dict[str, object]:
    """One slice, with its state, what is asked of it, and these of its measures."""
    return {
        "slice": one.name,
        "rows": one.rows,
        "positives": one.positives,
        "required": one.required,
        "state": one.state,
        "candidate": {name: _number(found) for name, found in one.candidate.items() if name in measures},
        "differences": {name: _number(found) for name, found in one.differences.items() if name in measures},
        "needs": [
            {"measure": need.measure, "kind": need.kind, "limit": need.limit, "state": need.state}
            for need in one.needs
        ],
    }


def _group(one: Group) -> dict[str, object]:
    favourable, opportunity = one.treatment.favourable, one.treatment.opportunity
    return {
        "group": one.name,
        "reference": one.reference,
        "rows": favourable.trials,
        "state": "sufficient" if one.sufficient else "insufficient",
        "required": one.required,
        "favourable": favourable.value,
        "opportunity": opportunity.value,
        "impact_ratio": _number(one.impact_ratio),
        "opportunity_gap": _number(one.opportunity_gap),
        "champion_impact_ratio": one.champion_ratio,
    }


def _curve(found: calibration.Calibration, alpha: float) -> list[dict[str, object]]:
    return [
        {
            "score": one.score,
            "labelled": one.hits / one.rows,
            "low": calibration.bounds_of(one, alpha)[0],
            "high": calibration.bounds_of(one, alpha)[1],
            "rows": one.rows,
        }
        for one in found.bins
    ]


def _number(one: Estimate | None) -> dict[str, object] | None:
    if one is None:
        return None
    return {"value": one.value, "low": one.low, "high": one.high, "rows": one.samples}


def _measurements(
    found: Mapping[str, Estimate], arm: ArmName, limits: Mapping[str, float]
) -> Iterator[Measurement]:
    for name, one in found.items():
        yield measurement(name, one, arm, limits.get(name))


def measurement(name: str, one: Estimate, arm: ArmName | Literal[""], threshold: float | None) -> Measurement:
    """One number with its interval and what it was held against."""
    return Measurement(
        name=name,
        value=one.value,
        arm=arm,
        samples=one.samples,
        low=one.low,
        high=one.high,
        threshold=threshold,
    )
