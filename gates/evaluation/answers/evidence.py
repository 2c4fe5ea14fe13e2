"""What is kept with a verdict on answers: means as measurements, slices and the answers that fell as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from gates.contract import Evidence, Measurement
from gates.evaluation.answers.judging import Findings, Scored
from gates.evaluation.answers.settings import AnswersSettings
from gates.evaluation.evidence import measurement, slice_facts
from gates.evaluation.measures import LISTED


def evidence(
    findings: Findings,
    ids: Sequence[str],
    candidate: Scored,
    champion: Scored | None,
    settings: AnswersSettings,
) -> Evidence:
    """The means of both arms, their differences, and what lies behind them."""
    facts: dict[str, object] = {
        "golden_set": settings.golden_set,
        "golden_set_sha256": settings.sha256,
        "rows": len(ids),
        "answers_sha256": settings.answers_sha256,
        "champion_answers_sha256": settings.champion_answers_sha256 or None,
        "champion": champion is not None,
        "confidence": 1.0 - settings.alpha,
        "slices": [slice_facts(one, settings.scorers) for one in findings.slices],
    }
    if champion is not None:
        facts["holm_p"] = dict(findings.holm_p)
        facts["fell"] = {name: _fell(ids, candidate[name], champion[name]) for name in champion}
    return Evidence(measurements=tuple(_means(findings, settings)), facts=MappingProxyType(facts))


def _means(findings: Findings, settings: AnswersSettings) -> Iterator[Measurement]:
    for name, one in findings.candidate.items():
        yield measurement(name, one, "candidate", settings.floors.get(name))
    for name, one in findings.champion.items():
        yield measurement(name, one, "stable", None)
    for name, one in findings.differences.items():
        margin = settings.margins.get(name)
        yield measurement(f"{name}_difference", one, "", None if margin is None else -margin)


def _fell(ids: Sequence[str], new: np.ndarray, old: np.ndarray) -> Mapping[str, object]:
    """How many answers score lower and higher than the champion's, and which fell furthest."""
    change = new - old
    furthest = [int(row) for row in np.argsort(change, kind="stable")[:LISTED] if change[row] < 0]
    return {
        "lower": int(np.sum(change < 0)),
        "higher": int(np.sum(change > 0)),
        "furthest": [ids[row] for row in furthest],
    }
