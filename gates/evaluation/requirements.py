"""Floors, ceilings and margins: the whole interval must lie on the good side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gates.evaluation.estimates import Estimate
from gates.evaluation.measures import SMALLER_IS_BETTER
from gates.evaluation.objections import Objection, fail
from gates.evaluation.words import said

Limits = Iterable[tuple[str, float]]
"""Measures and what they are held against."""


def floors(found: Mapping[str, Estimate], limits: Limits) -> Iterator[Objection]:
    """What is not shown to be at least its limit."""
    for name, floor in limits:
        one = found[name]
        if one.value is None or one.low < floor:
            below = one.value is not None and one.value < floor
            reason = "below_floor" if below else "not_shown_above_floor"
            yield fail(reason, f"{said(name, one)}; at least {floor:g} must be shown.")


def ceilings(found: Mapping[str, Estimate], limits: Limits) -> Iterator[Objection]:
    """What is not shown to be at most its limit."""
    for name, ceiling in limits:
        one = found[name]
        if one.high > ceiling:
            above = one.value is not None and one.value > ceiling
            reason = "above_ceiling" if above else "not_shown_below_ceiling"
            yield fail(reason, f"{said(name, one)}; at most {ceiling:g} must be shown.")


def margins(differences: Mapping[str, Estimate], limits: Limits) -> Iterator[Objection]:
    """Non-inferiority: what does not rule out a loss beyond its margin; without a champion, nothing."""
    for name, margin in limits:
        if name not in differences:
            continue
        one = differences[name]
        best, worst = (-one.low, -one.high) if name in SMALLER_IS_BETTER else (one.high, one.low)
        if worst < -margin:
            reason = "worse_than_champion" if best < -margin else "not_shown_as_good_as_champion"
            yield fail(
                reason,
                f"{said(name, one)} against the champion on the same rows; "
                f"a loss of more than {margin:g} must be ruled out.",
            )
