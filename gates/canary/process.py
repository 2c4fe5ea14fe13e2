"""Evidence that the candidate is worse, which may be looked at as often as one likes.

Of the bad requests of both arms in one look, those of the candidate are a binomial share that depends on the
ratio of the two rates alone: whatever disturbs both arms alike cancels, and any split is allowed (Lindon and
Malek, NeurIPS 2022, arXiv 2011.03567). Against the null hypothesis that the ratio is at most the tolerated
one stands a mixture over larger ratios and over the look at which the harm began. The mixture's likelihood
ratio is a non-negative supermartingale under the null, so that it ever reaches 1/alpha has a chance of at
most alpha (Ville's inequality), at all looks together and however long they go on. Evidence of several
metrics is averaged, which keeps that under any dependence between them.

Rates also wander by themselves. The logarithm of their ratio is taken as a stationary Ornstein-Uhlenbeck
process, and each look's likelihood ratio is raised to the power 1/dispersion, dispersion being the variance
of the look's count over what a binomial one has. Without wandering this only errs on the side of caution;
with it the bound is a figure that ``make bench-judge`` measures.

Every array may have leading axes for runs that are judged side by side; then come metrics, then alternatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FIRST_LOOK = 0.7
"""Prior weight of a harm that is there from the first look on."""
HALF_LATER_MINUTES = 10.0
"""Half of the later starts lie within so many judged minutes; the other half has no end."""
ALTERNATIVES = 16
_LARGEST, _LARGEST_GAIN = 1e100, 400.0
"""Evidence beyond is cut off, so that no infinity meets a zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is looked for: arrays with one row per metric."""

    tolerated: Floats
    """Ratio of the candidate's rate to the stable's up to which nothing is wrong; (metrics,)."""
    multiples: Floats
    """Of the tolerated ratio: the alternatives; (metrics, alternatives), all above 1."""
    spread: Floats
    """Standard deviation of the logarithm of the ratio in the long run; (metrics,)."""
    memory_minutes: Floats
    """Time in which that wandering forgets where it was, to 1/e; (metrics,), above 0."""
    weights: Floats
    """Of the metrics' evidence in the average; (metrics,), adding up to at most 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the looks so far say. All of shape (…, metrics), ``started`` with the alternatives behind."""

    started: Floats
    """Prior weight times likelihood ratio of every alternative that has begun."""
    waiting: Floats
    """Prior weight of the starts still to come."""
    minutes: Floats
    """Judged so far."""

    @property
    def of_metrics(self) -> Floats:
        """The e-value of each metric: at least x with a chance of at most 1/x where nothing is wrong."""
        return np.asarray(self.started.sum(axis=-1) + self.waiting)


def multiples(lowest: float, highest: float) -> Floats:
    """Alternatives evenly spread by logarithm, both ends included."""
    return np.exp(np.linspace(np.log(lowest), np.log(highest), ALTERNATIVES))


def nothing_seen(plan: Plan, shape: tuple[int, ...] = ()) -> Evidence:
    """Before the first look; ``shape`` is that of the runs judged side by side."""
    metrics, alternatives = plan.multiples.shape
    return Evidence(
        started=np.zeros((*shape, metrics, alternatives)),
        waiting=np.ones((*shape, metrics)),
        minutes=np.zeros((*shape, metrics)),
    )


def compare(
    plan: Plan, before: Evidence, bad: tuple[Floats, Floats], of: tuple[Floats, Floats], minutes: Floats
) -> Evidence:
    """One more look at both arms.

    Args:
        bad: counted at (candidate, stable), each (…, metrics).
        of: out of how many, likewise. A metric of which an arm has none is left as it was.
        minutes: how long the look is, (…, metrics); 0 leaves a metric as it was.
    """
    seen = (of[0] > 0) & (of[1] > 0) & (minutes > 0)
    odds = np.where(seen, of[0], 1.0) / np.where(seen, of[1], 1.0)
    total = np.where(seen, bad[0] + bad[1], 0.0)
    dispersion = 1.0 + information(total, odds) * wandering(
        before.minutes, minutes, plan.spread, plan.memory_minutes
    )
    null = odds * plan.tolerated
    gain = np.where(seen, bad[0], 0.0)[..., None] * np.log(plan.multiples) - total[..., None] * np.log1p(
        null[..., None] * (plan.multiples - 1.0) / (1.0 + null[..., None])
    )
    return _advance(before, gain / dispersion[..., None], np.where(seen, minutes, 0.0))


def hold_against(
    plan: Plan, before: Evidence, ceiling: Floats, bad: Floats, of: Floats, minutes: Floats
) -> Evidence:
    """One more look at an arm that has no other beside it, against the share that it may have.

    Args:
        ceiling: share of bad requests up to which nothing is wrong, (…, metrics), above 0.
        bad: counted, (…, metrics).
        of: out of how many, likewise.
        minutes: how long the look is, likewise; 0 leaves a metric as it was.
    """
    seen = (of > 0) & (minutes > 0)
    allowed = np.clip(ceiling, 1e-12, 0.98)
    dispersion = 1.0 + np.where(seen, of * allowed, 0.0) * wandering(
        before.minutes, minutes, plan.spread, plan.memory_minutes
    )
    share = np.minimum(allowed[..., None] * plan.multiples, 0.99)
    allowed = allowed[..., None]
    hits, misses = np.where(seen, bad, 0.0)[..., None], np.where(seen, of - bad, 0.0)[..., None]
    gain = hits * np.log(share / allowed) + misses * np.log((1.0 - share) / (1.0 - allowed))
    return _advance(before, gain / dispersion[..., None], np.where(seen, minutes, 0.0))


def information(total: Floats, odds: Floats) -> Floats:
    """Variance of the candidate's part of so many bad requests, at these odds of a request being its own."""
    return np.asarray(total * odds / (1.0 + odds) ** 2)


def wandering(since: Floats, minutes: Floats, spread: Floats | float, memory: Floats | float) -> Floats:
    """By how much the dispersion of a look of so many minutes grows with its information.

    In the long run the integral of the process over T minutes has the variance 2 spread² memory T (Gardiner,
    Handbook of Stochastic Methods, 4.4.4); early on it has hardly moved. With the factor 3 the wandering of
    the weighted sum never exceeds what the dispersions of its looks allow, however large it is and whenever
    one stops (tests/gates/canary/test_process.py computes it).
    """
    moved = -np.expm1(-3.0 * (since + minutes) / memory)
    return np.asarray(2.0 * spread**2 * memory * moved / np.maximum(minutes, 1e-9))


def _advance(before: Evidence, gain: Floats, minutes: Floats) -> Evidence:
    after = before.minutes + minutes
    waiting = np.where(minutes > 0, _unstarted(before.minutes), before.waiting)
    begun = (before.waiting - waiting)[..., None] / gain.shape[-1]
    started = np.minimum((before.started + begun) * np.exp(np.minimum(gain, _LARGEST_GAIN)), _LARGEST)
    return Evidence(started=started, waiting=waiting, minutes=after)


def _unstarted(since: Floats) -> Floats:
    """Prior weight of the harms that begin after a look before which so many minutes were judged."""
    return np.asarray((1.0 - FIRST_LOOK) * HALF_LATER_MINUTES / (HALF_LATER_MINUTES + since))
