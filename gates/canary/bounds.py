"""Ratios of the two arms' rates that what was counted does not rule out."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import NamedTuple

import numpy as np

from gates.canary.looks import Counted
from gates.canary.process import information, wandering

_GRID = np.linspace(-log(64.0), log(64.0), 385)
"""Logarithms of the ratios tried; what lies beyond either end is never ruled out."""
_PRIOR = np.exp(-(_GRID**2) / 2.0)
_PRIOR /= _PRIOR.sum()


class Ruled(NamedTuple):
    """The ratios between are not ruled out; None where that side has no end."""

    low: float | None
    high: float | None


def rule_out(
    candidate: Sequence[Counted],
    stable: Sequence[Counted],
    minutes: Sequence[float],
    *,
    spread: float,
    memory_minutes: float,
    alpha: float,
) -> Ruled:
    """Bounds of the ratio, one entry per look that has requests of both arms; they hold at every look.

    The true ratio is ever outside with a chance of at most ``alpha``. A ratio is ruled out when a mixture
    over all ratios explains the counts 1/alpha times as well.
    (Waudby-Smith and Ramdas, Confidence sequences for sampling without replacement, NeurIPS 2020: the
    prior-posterior ratio is a martingale.)
    """
    if not candidate:
        return Ruled(None, None)
    bad, of = np.array(candidate, dtype=float).T
    bad_stable, of_stable = np.array(stable, dtype=float).T
    length = np.array(minutes)
    odds, total = of / of_stable, bad + bad_stable
    wander = wandering(np.cumsum(length) - length, length, spread, memory_minutes)
    dispersion = 1.0 + information(total, odds) * wander
    null = odds[:, None] * np.exp(_GRID)
    likelihood = ((bad / dispersion)[:, None] * _GRID).sum(axis=0)
    likelihood -= ((total / dispersion)[:, None] * np.log1p(null)).sum(axis=0)
    likelihood -= likelihood.max()
    kept = np.flatnonzero(likelihood >= log((_PRIOR * np.exp(likelihood)).sum()) + log(alpha))
    first, last = int(kept[0]), int(kept[-1])
    return Ruled(
        low=float(np.exp(_GRID[first - 1])) if first > 0 else None,
        high=float(np.exp(_GRID[last + 1])) if last + 1 < len(_GRID) else None,
    )
