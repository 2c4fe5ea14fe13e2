"""What scores of answers say against a candidate: pure, from numbers to objections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gates.evaluation import requirements, slices
from gates.evaluation.answers.reading import Asked
from gates.evaluation.answers.settings import AnswersSettings
from gates.evaluation.estimates import (
    Counted,
    Estimate,
    Law,
    Paired,
    Weighed,
    Within,
    estimate,
    holm,
)
from gates.evaluation.measures import p_of_nothing
from gates.evaluation.objections import Objection
from gates.evaluation.resampling import resampled_mean
from gates.evaluation.words import said

Floats = NDArray[np.float64]
Scored = Mapping[str, Floats]
"""Scorer -> one score for each question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was measured on the questions."""

    candidate: Mapping[str, Estimate]
    champion: Mapping[str, Estimate]
    """Empty without a champion."""
    differences: Mapping[str, Estimate]
    holm_p: Mapping[str, float]
    """Scorer -> p-value of no difference, adjusted for their number."""
    slices: tuple[slices.Slice, ...]


def find(
    asked: Sequence[Asked], candidate: Scored, champion: Scored | None, settings: AnswersSettings
) -> Findings:
    """Measure both arms on the same questions."""
    old: Scored = champion or {}
    differences = {name: _compared(candidate[name], old[name], settings) for name in old}
    adjusted = holm([p_of_nothing(one) for one in differences.values()])
    found = [
        _slice(f"{key}={value}", rows, candidate, old, settings)
        for key in settings.slices
        for value, rows in _parted([one.words.get(key, "") for one in asked])
    ]
    return Findings(
        candidate={name: measured(values, settings) for name, values in candidate.items()},
        champion={name: measured(values, settings) for name, values in old.items()},
        differences=differences,
        holm_p=dict(zip(differences, adjusted, strict=True)),
        slices=slices.judged(found, [one.name for one in found], settings),
    )


def measured(values: Floats, settings: AnswersSettings) -> Estimate:
    """The mean score; scores that are 0 or 1 are counted, others are resampled."""
    law: Law
    if np.isin(values, (0.0, 1.0)).all():
        law = Counted(int(values.sum()), len(values))
    elif values.min() == values.max():
        law = _alike(float(values[0]), len(values), settings)
    else:
        law = Within(resampled_mean(values), settings.lowest_score, settings.highest_score)
    return estimate(law, len(values), settings.alpha)


def _compared(new: Floats, old: Floats, settings: AnswersSettings) -> Estimate:
    """The mean difference on the same questions; pairs of 0 and 1 are counted, others are resampled."""
    law: Law
    if np.isin(new, (0.0, 1.0)).all() and np.isin(old, (0.0, 1.0)).all():
        law = Paired(int(np.sum(new > old)), int(np.sum(new < old)), len(new))
    elif np.all(new - old == new[0] - old[0]):
        law = _alike(float(new[0] - old[0]), len(new), settings)
    else:
        law = resampled_mean(new - old)
    return estimate(law, len(new), settings.alpha)


@dataclass(frozen=True, slots=True)
class _Moved:
    """A law about a number that is another by a fixed amount."""

    law: Law
    by: float

    @property
    def value(self) -> float | None:
        return None if self.law.value is None else self.law.value + self.by

    def bounds(self, alpha: float) -> tuple[float, float]:
        low, high = self.law.bounds(alpha)
        return low + self.by, high + self.by


def _alike(value: float, rows: int, settings: AnswersSettings) -> Law:
    """Rows that all show one number leave room for one that does not, as pairs that all agree do."""
    width = settings.highest_score - settings.lowest_score
    return _Moved(Weighed(((width, Paired(0, 0, rows)),)), value)


def _parted(words: Sequence[str]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    column = np.array(words, dtype=object)
    for word in sorted(set(words)):
        yield word, np.asarray(column == word, dtype=np.bool_)


def _slice(
    name: str, rows: NDArray[np.bool_], candidate: Scored, champion: Scored, settings: AnswersSettings
) -> slices.Slice:
    count, required = int(rows.sum()), name in settings.required_slices
    if count < settings.slice_minimum_rows:
        return slices.Slice(name=name, rows=count, positives=None, required=required)
    return slices.Slice(
        name=name,
        rows=count,
        positives=None,
        required=required,
        candidate={scorer: measured(values[rows], settings) for scorer, values in candidate.items()},
        champion={scorer: measured(values[rows], settings) for scorer, values in champion.items()},
        differences={
            scorer: _compared(candidate[scorer][rows], values[rows], settings)
            for scorer, values in champion.items()
        },
    )


def objections(findings: Findings, settings: AnswersSettings) -> Iterator[Objection]:
    """Everything that is asked for and not shown."""
    yield from requirements.floors(findings.candidate, settings.floors.items())
    yield from requirements.margins(findings.differences, settings.margins.items())
    yield from slices.objections(findings.slices, settings)


def praise(findings: Findings, rows: int, settings: AnswersSettings) -> str:
    """What was shown, in one sentence."""
    shown = [said(name, findings.candidate[name], f"at least {x:g}") for name, x in settings.floors.items()]
    shown += [
        said(f"{name} difference", findings.differences[name], f"margin {margin:g}")
        for name, margin in settings.margins.items()
        if name in findings.differences
    ]
    against = "" if findings.differences else "; no champion to compare with"
    few = sum(one.state == "insufficient" for one in findings.slices)
    thin = f"; {few} of {len(findings.slices)} slices are insufficient" if few else ""
    told = ", ".join(shown) or "nothing without a champion"
    return f"On {rows} questions everything required is shown: {told}{against}{thin}."
