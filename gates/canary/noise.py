"""How far the ratio of two equal arms wanders by itself: measured on rollouts in which nothing was wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np

from gates.canary.looks import Look
from gates.canary.process import Floats, information
from gates.canary.settings import CanarySettings, Harm

MEMORIES_MINUTES = (1.0, 2.0, 3.0, 4.5, 7.0, 10.0, 15.0, 22.0, 33.0)
"""Tried one after the other; between them nothing could be told apart."""
BLOCK_LOOKS = (1, 2, 4, 8, 16, 32)
"""Excess variance is compared over so many looks in a row: how it grows tells the memory."""
FEWEST_ROLLOUTS = 5
CAUTION = 1.645
"""Standard errors on either side of what was measured that are held possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """What goes into the settings ``noise`` and ``memory_minutes``."""

    noise: dict[str, float]
    memory_minutes: float
    rollouts: int


class _Excess(NamedTuple):
    """One metric of one rollout: squared scores beyond the binomial variance, by length of the block."""

    found: Floats
    """(block lengths,)"""
    unit: Floats
    """What a spread of 1 would have brought; (memories, block lengths)."""


def calibrate(rollouts: Sequence[Sequence[Look]], harms: Sequence[Harm]) -> Calibrated | None:
    """Measure the noise of each metric; None with fewer than :data:`FEWEST_ROLLOUTS` rollouts.

    The score of a look (the candidate's bad requests less what equal rates promise) has a variance that is
    the binomial one and, by the noise, an excess that grows with the square of the information. A constant
    difference between the arms counts as noise, which errs on the side of caution. Of the memories that
    explain, over all metrics, how the excess grows from single looks to blocks of many, and of the spreads
    that the excess leaves possible, those nearest to the cautious values stand: what little traffic cannot
    tell stays as it was.

    Args:
        rollouts: of each, its looks at shares between 0 and 100 in the order of time.
        harms: metrics to measure; one that was hardly counted is left out.
    """
    counted: dict[Harm, list[_Excess]] = {}
    for harm in harms:
        found = [excess for looks in rollouts if (excess := _excess(looks, harm.reads))]
        if len(found) >= FEWEST_ROLLOUTS:
            counted[harm] = found
    if not counted:
        return None
    misfits = np.sum([_misfits(found) for found in counted.values()], axis=0)
    possible = np.flatnonzero(misfits <= misfits.min() + CAUTION**2)
    distance = np.abs(np.log(np.array(MEMORIES_MINUTES)[possible] / CanarySettings().memory_minutes))
    place = int(possible[distance.argmin()])
    return Calibrated(
        noise={harm.reads: round(_spread(found, place, harm.spread), 4) for harm, found in counted.items()},
        memory_minutes=MEMORIES_MINUTES[place],
        rollouts=len(rollouts),
    )


def _excess(looks: Sequence[Look], name: str) -> _Excess | None:
    rows = [
        (*look.candidate[name], *look.stable[name], look.minutes)
        for look in looks
        if look.candidate.get(name, (0, 0))[1] and look.stable.get(name, (0, 0))[1]
    ]
    if not rows:
        return None
    bad, of, stable_bad, stable_of, minutes = np.array(rows, dtype=float).T
    odds, total = of / stable_of, bad + stable_bad
    score = bad - total * odds / (1.0 + odds)
    variance = information(total, odds)
    cuts = [
        _Cut(*(_blocks(column, length) for column in (score, variance, minutes))) for length in BLOCK_LOOKS
    ]
    found = np.array([(cut.score.sum(axis=1) ** 2).sum() - cut.variance.sum() for cut in cuts])
    unit = np.array([[_unit(cut, memory) for cut in cuts] for memory in MEMORIES_MINUTES])
    return _Excess(found, unit) if variance.any() else None


class _Cut(NamedTuple):
    """A rollout in blocks: (blocks, looks of each)."""

    score: Floats
    variance: Floats
    minutes: Floats


def _blocks(column: Floats, length: int) -> Floats:
    """Whole blocks of so many looks in a row; what is left over is left out."""
    return column[: len(column) // length * length].reshape(-1, length)


def _unit(cut: _Cut, memory: float) -> float:
    """Excess variance of the blocks' scores when the spread is 1."""
    middle = cut.minutes.cumsum(axis=1) - cut.minutes / 2.0
    together = np.exp(-np.abs(middle[:, :, None] - middle[:, None, :]) / memory)
    return float(np.einsum("bi,bij,bj->", cut.variance, together, cut.variance))


def _misfits(several: Sequence[_Excess]) -> Floats:
    """How badly each memory explains the blocks of all lengths by one spread, in units of their error."""
    found = np.array([one.found for one in several])
    total, error = found.sum(axis=0), found.std(axis=0, ddof=1) * sqrt(len(found))
    unit = np.sum([one.unit for one in several], axis=0)
    used = (error > 0) & (unit > 0).all(axis=0)
    if not used.any():
        return np.zeros(len(MEMORIES_MINUTES))
    total, unit, weight = total[used], unit[:, used], 1.0 / error[used] ** 2
    squared = np.maximum((unit * total * weight).sum(axis=1) / (unit**2 * weight).sum(axis=1), 0.0)
    return np.asarray(((total - squared[:, None] * unit) ** 2 * weight).sum(axis=1))


def _spread(several: Sequence[_Excess], place: int, cautious: float) -> float:
    """Of the spreads that are possible under one memory, the one nearest to the cautious.

    The error is found by leaving out one rollout at a time.
    """
    found = np.array([one.found for one in several])
    unit = np.array([one.unit[place] for one in several])
    weight = 1.0 / np.maximum(found.var(axis=0, ddof=1), 1e-12)

    def squared(found: Floats, unit: Floats) -> Floats:
        return np.asarray((unit * found * weight).sum(axis=-1) / (unit**2 * weight).sum(axis=-1))

    others = squared(found.sum(axis=0) - found, unit.sum(axis=0) - unit)
    error = CAUTION * float(others.std()) * sqrt(len(found) - 1)
    middle = max(0.0, float(squared(found.sum(axis=0), unit.sum(axis=0))))
    return sqrt(min(max(cautious**2, middle - error), middle + error))
