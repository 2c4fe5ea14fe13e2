"""The rows looked at apart: what holds of all of them may hide a region, an age, a product where it does not.

A slice with too few rows is *insufficient*, neither good nor bad. A required slice must show what is asked of
it; any other must not be shown to miss it, at ``alpha`` over all slices and measures together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gates.evaluation.estimates import Estimate, holm, p_value
from gates.evaluation.measures import SMALLER_IS_BETTER, Areas, Rule, compare, measure
from gates.evaluation.objections import Objection, fail, unknown
from gates.evaluation.sample import Sample
from gates.evaluation.scoring import Scores
from gates.evaluation.settings import EvaluationSettings
from gates.evaluation.words import said

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
State = Literal["insufficient", "shown", "not_shown", "missed"]


class Wanted(Protocol):
    """What settings say about slices, whatever is measured in them; hence no one type of measures' names."""

    @property
    def alpha(self) -> float:
        """What an interval's two sides together may err with."""
        ...

    @property
    def slice_minimum_rows(self) -> int:
        """Fewer are insufficient."""
        ...

    @property
    def slice_floors(self) -> Mapping[Any, float]:
        """Measure -> the least it may be."""
        ...

    @property
    def slice_margins(self) -> Mapping[Any, float]:
        """Measure -> the loss that is borne."""
        ...

    @property
    def required_slices(self) -> tuple[str, ...]:
        """Names."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing asked of one slice, and what the rows say to it."""

    measure: str
    kind: Literal["floor", "margin"]
    limit: float
    one: Estimate
    missed_p: float
    """P-value of the limit where the measured value lies beyond it, adjusted for all needs; else 1."""
    alpha: float

    @property
    def state(self) -> State:
        """Whether the whole interval lies on the good side, or chance cannot explain the bad one."""
        if self._worst >= 0:
            return "shown"
        return "missed" if self.missed_p < self.alpha else "not_shown"

    @property
    def _worst(self) -> float:
        """How far the worse bound lies on the good side of the limit."""
        if self.kind == "floor":
            return self.one.low - self.limit
        return self.limit - self.one.high if self.measure in SMALLER_IS_BETTER else self.one.low + self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows that share something."""

    name: str
    rows: int
    positives: int | None
    """Rows labelled 1; None where there are no labels."""
    required: bool
    candidate: Mapping[str, Estimate] = field(default_factory=dict)
    """Empty where the slice is insufficient."""
    champion: Mapping[str, Estimate] = field(default_factory=dict)
    differences: Mapping[str, Estimate] = field(default_factory=dict)
    needs: tuple[Need, ...] = ()

    @property
    def state(self) -> State:
        """That of the need that fares worst."""
        if not self.candidate:
            return "insufficient"
        order: tuple[State, ...] = ("shown", "not_shown", "missed")
        return max((need.state for need in self.needs), key=order.index, default="shown")


def look(sample: Sample, scores: Scores, rule: Rule, settings: EvaluationSettings) -> tuple[Slice, ...]:
    """Every slice of every column that is asked for, and the required ones that have no row at all."""
    found = [
        _slice(name, grouping.rows(name), sample.labels, scores, rule, settings)
        for column in settings.slices
        for grouping in (sample.groupings[column],)
        for name in grouping.names
    ]
    known = [name for grouping in sample.groupings.values() for name in grouping.names]
    return judged(found, known, settings)


def judged(found: Sequence[Slice], known: Collection[str], settings: Wanted) -> tuple[Slice, ...]:
    """The slices with what is asked of them, and the required ones that are not even known by name."""
    absent = [
        Slice(name=name, rows=0, positives=None, required=True)
        for name in settings.required_slices
        if name not in known
    ]
    return tuple(_judged([*found, *absent], settings))


def _is_sufficient(rows: int, positives: int, settings: EvaluationSettings) -> bool:
    fewest = min(positives, rows - positives)
    return rows >= settings.slice_minimum_rows and fewest >= settings.slice_minimum_per_label


def _slice(
    name: str, rows: Bools, labels: Bools, scores: Scores, rule: Rule, settings: EvaluationSettings
) -> Slice:
    known = labels[rows]
    required = name in settings.required_slices
    count, positives = len(known), int(known.sum())
    if not _is_sufficient(count, positives, settings):
        return Slice(name=name, rows=count, positives=positives, required=required)
    asked = (*settings.slice_floors, *settings.slice_margins, *settings.implausible)
    area: Areas = "drawn" if "pr_auc" in asked else "left_out"
    new = scores.candidate[rows]
    old = None if scores.stable is None else scores.stable[rows]
    return Slice(
        name=name,
        rows=count,
        positives=positives,
        required=required,
        candidate=measure(known, new, rule, pr_auc=area),
        champion={} if old is None else measure(known, old, rule, pr_auc=area),
        differences={} if old is None else compare(known, new, old, rule, pr_auc=area),
    )


def _judged(found: list[Slice], settings: Wanted) -> Iterator[Slice]:
    """The slices with their needs, whose p-values know of one another."""
    asked = [(one, *wanted) for one in found for wanted in _wanted(one, settings)]
    adjusted = holm([_p_of_missing(kind, name, limit, one) for _, kind, name, limit, one in asked])
    needs: dict[str, list[Need]] = {one.name: [] for one in found}
    for (slice_, kind, name, limit, one), p in zip(asked, adjusted, strict=True):
        need = Need(measure=name, kind=kind, limit=limit, one=one, missed_p=p, alpha=settings.alpha)
        needs[slice_.name].append(need)
    for bare in found:
        yield replace(bare, needs=tuple(needs[bare.name]))


def _wanted(
    one: Slice, settings: Wanted
) -> Iterator[tuple[Literal["floor", "margin"], str, float, Estimate]]:
    for name, floor in settings.slice_floors.items():
        if name in one.candidate:
            yield "floor", name, floor, one.candidate[name]
    for kind, margin in settings.slice_margins.items():
        if kind in one.differences:
            yield "margin", kind, margin, one.differences[kind]


def _p_of_missing(kind: str, name: str, limit: float, one: Estimate) -> float:
    edge = limit if kind == "floor" else (limit if name in SMALLER_IS_BETTER else -limit)
    if one.value is None:
        return 1.0
    beyond = one.value > edge if name in SMALLER_IS_BETTER else one.value < edge
    return p_value(one.law, edge) if beyond else 1.0


def objections(slices: tuple[Slice, ...], settings: Wanted) -> Iterator[Objection]:
    """What the slices have against the candidate."""
    for one in slices:
        if one.state == "insufficient" and one.required:
            labelled = "" if one.positives is None else f", {one.positives} of them labelled 1"
            yield unknown(
                "slice_insufficient",
                f"{one.name} has {one.rows} rows{labelled}; a required slice needs "
                f"{settings.slice_minimum_rows} at least, and enough of either label.",
            )
        for need in one.needs:
            if need.state == "missed" or (one.required and need.state == "not_shown"):
                yield _missed(one, need)


def leaks(slices: tuple[Slice, ...], limits: Mapping[Any, float]) -> Iterator[Objection]:
    """Slices in which the candidate is better than anybody can be."""
    for one in slices:
        for name, limit in limits.items():
            if name in one.candidate and one.candidate[name].low > limit:
                yield implausible(name, one.candidate[name], limit, f"in {one.name}")


def implausible(name: str, one: Estimate, limit: float, where: str) -> Objection:
    """The candidate is better than anybody can be."""
    return fail(
        "implausibly_good",
        f"{said(name, one)} {where}: above {limit:g} nobody gets honestly; look for the label among the "
        "features, and for these rows in the training set.",
    )


def _missed(one: Slice, need: Need) -> Objection:
    shown = need.state == "missed"
    how = f"; by chance {need.missed_p:.2g} over all slices" if shown and not one.required else ""
    if need.kind == "floor":
        reason = "slice_below_floor" if shown else "slice_not_shown_above_floor"
        return fail(
            reason, f"{said(need.measure, need.one)} in {one.name}; at least {need.limit:g} must be{how}."
        )
    reason = "slice_worse_than_champion" if shown else "slice_not_shown_as_good_as_champion"
    return fail(
        reason,
        f"{said(need.measure, need.one)} against the champion in {one.name}; "
        f"a loss of more than {need.limit:g} is not borne{how}.",
    )
