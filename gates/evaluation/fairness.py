"""Whether groups of people are decided about alike: adverse impact, and equal opportunity.

The impact ratio is a group's share of favourable decisions divided by the reference group's; below four
fifths it is taken for adverse impact (29 CFR 1607.4 D). Opportunity is the share of favourable decisions
among those who were labelled as deserving one; its gap is the group's minus the reference group's (Hardt,
Price and Srebro, NeurIPS 2016). A group with too few rows is insufficient: neither treated alike nor not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gates.evaluation.estimates import Counted, Difference, Estimate, Ratio, estimate
from gates.evaluation.objections import Objection, fail, unknown
from gates.evaluation.sample import Grouping, Sample
from gates.evaluation.scoring import Scores
from gates.evaluation.settings import EvaluationSettings
from gates.evaluation.words import said

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """How one group was decided about by one arm."""

    favourable: Counted
    """Favourable decisions among all rows."""
    opportunity: Counted
    """Favourable decisions among rows labelled as deserving one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group beside its reference group."""

    name: str
    column: str
    reference: str
    """"" where no group of the column is sufficient."""
    required: bool
    sufficient: bool
    treatment: Treatment
    impact_ratio: Estimate | None
    """None of the reference group itself, and of an insufficient group."""
    opportunity_gap: Estimate | None
    champion_ratio: float | None
    """The champion's impact ratio, for comparison."""


def look(sample: Sample, scores: Scores, settings: EvaluationSettings) -> tuple[Group, ...]:
    """Every group of every protected column."""
    return tuple(
        group
        for column in settings.protected
        for group in _column(sample.groupings[column], sample.labels, scores, settings)
    )


def _column(
    grouping: Grouping, labels: Bools, scores: Scores, settings: EvaluationSettings
) -> Iterator[Group]:
    treated = _treatments(grouping, labels, scores.candidate, settings)
    before = {} if scores.stable is None else _treatments(grouping, labels, scores.stable, settings)
    enough = {name for name, one in treated.items() if _sufficient(one, settings)}
    reference = _reference(grouping, treated, enough, settings)
    for name, one in treated.items():
        compared = name in enough and reference in enough and name != reference
        base = treated[reference] if compared else one
        yield Group(
            name=name,
            column=grouping.column,
            reference=reference,
            required=name in settings.required_slices,
            sufficient=name in enough,
            treatment=one,
            impact_ratio=_estimate(Ratio(one.favourable, base.favourable), settings) if compared else None,
            opportunity_gap=_estimate(Difference(one.opportunity, base.opportunity), settings)
            if compared
            else None,
            champion_ratio=Ratio(before[name].favourable, before[reference].favourable).value
            if compared and before
            else None,
        )


def _treatments(
    grouping: Grouping, labels: Bools, scores: Floats, settings: EvaluationSettings
) -> dict[str, Treatment]:
    flagged = scores >= settings.threshold
    good = flagged if settings.favourable == "flagged" else ~flagged
    deserving = labels if settings.favourable == "flagged" else ~labels
    groups = len(grouping.names)
    rows = np.bincount(grouping.codes, minlength=groups)
    hits = np.bincount(grouping.codes[good], minlength=groups)
    deserved = np.bincount(grouping.codes[deserving], minlength=groups)
    granted = np.bincount(grouping.codes[good & deserving], minlength=groups)
    return {
        name: Treatment(
            favourable=Counted(int(hits[n]), int(rows[n])),
            opportunity=Counted(int(granted[n]), int(deserved[n])),
        )
        for n, name in enumerate(grouping.names)
    }


def _sufficient(one: Treatment, settings: EvaluationSettings) -> bool:
    return (
        one.favourable.trials >= settings.slice_minimum_rows
        and one.opportunity.trials >= settings.slice_minimum_per_label
    )


def _reference(
    grouping: Grouping, treated: dict[str, Treatment], enough: set[str], settings: EvaluationSettings
) -> str:
    """The group that is named, else the sufficient one that is decided about most favourably."""
    named = settings.reference_groups.get(grouping.column)
    if named is not None:
        return named if "=" in named or "<" in named else f"{grouping.column}={named}"
    shares = {name: treated[name].favourable.value or 0.0 for name in sorted(enough)}
    return max(shares, key=shares.__getitem__, default="")


def _estimate(law: Ratio | Difference, settings: EvaluationSettings) -> Estimate:
    return estimate(law, law.one.trials + law.other.trials, settings.alpha)


def objections(groups: tuple[Group, ...], settings: EvaluationSettings) -> Iterator[Objection]:
    """What the groups have against the candidate."""
    for column in settings.protected:
        mine = [group for group in groups if group.column == column]
        if not any(group.impact_ratio for group in mine):
            rows = ", ".join(f"{group.name} {group.treatment.favourable.trials}" for group in mine)
            yield unknown(
                "fairness_insufficient",
                f"No two groups of {column} can be compared; rows: {rows}; at least "
                f"{settings.slice_minimum_rows} are needed in either.",
            )
    for group in groups:
        if group.required and not group.sufficient:
            yield unknown(
                "slice_insufficient",
                f"{group.name} has {group.treatment.favourable.trials} rows, "
                f"{group.treatment.opportunity.trials} of them labelled as deserving a favourable decision; "
                f"{settings.slice_minimum_rows} and {settings.slice_minimum_per_label} are needed.",
            )
        yield from _impact(group, settings)
        yield from _opportunity(group, settings)


def _impact(group: Group, settings: EvaluationSettings) -> Iterator[Objection]:
    one, least = group.impact_ratio, settings.minimum_impact_ratio
    if one is None or one.low >= least:
        return
    reason = "adverse_impact" if one.high < least else "adverse_impact_not_excluded"
    yield fail(
        reason,
        f"{said('impact ratio', one)} of {group.name} to {group.reference}; "
        f"at least {least:g} must be shown.",
    )


def _opportunity(group: Group, settings: EvaluationSettings) -> Iterator[Objection]:
    one, most = group.opportunity_gap, settings.maximum_opportunity_gap
    if one is None or (one.low >= -most and one.high <= most):
        return
    beyond = one.low > most or one.high < -most
    reason = "unequal_opportunity" if beyond else "unequal_opportunity_not_excluded"
    yield fail(
        reason,
        f"{said('opportunity gap', one)} of {group.name} to {group.reference}; "
        f"within {most:g} either way must be shown.",
    )
