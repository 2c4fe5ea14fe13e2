"""Before the start: which harm would be seen by when, at a model's traffic.

The judge itself is run on made-up traffic, many runs side by side, under a fixed seed: every share and
harm gets its chance to be seen by the end of each stage, and the time that would see it in four of five runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gates.canary import judging, process
from gates.canary.judging import ALONE_WEIGHT
from gates.canary.process import Floats, Plan
from gates.canary.settings import CanarySettings, Harm

RUNS = 200
SEED = 20261120
POWER = 0.8
"""Chance of being seen at which a harm counts as seen in time."""
THEATRE = 0.5
"""A stage that sees a large harm with less than this chance watches for show."""
STEPS = 48
"""Looks per stage in the simulation, of equal length and at least a minute."""
LONGEST_MINUTES = 30 * 24 * 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A share that is watched beside the stable arm."""

    stage: str
    share_percent: int
    minutes: float
    """Judged: without what is left out as warm-up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One harm at one stage."""

    stage: str
    share_percent: int
    harm: Harm
    times: float
    """The candidate's rate over the stable's."""
    seen_by_end: float
    """Chance (0..1) that it fails the candidate by the end of the stage, those before it included."""
    minutes_needed: float | None
    """At this share alone, to see it with a chance of :data:`POWER`; None: more than thirty days."""


def foresee(
    watches: Sequence[Watch],
    *,
    rps: float,
    usual: Mapping[str, float],
    times: Sequence[float],
    harms: Sequence[Harm],
    settings: CanarySettings,
) -> list[Sight]:
    """What each stage would see.

    Args:
        watches: the stages in their order, shares between 0 and 100.
        rps: requests a second, of both arms together.
        usual: name of a harm -> share (0..1) of the stable's requests that are bad as a rule; others are left
            out.
        times: how many times as frequent at the candidate; each is one harm to see.
        harms: everything the judge looks for, since it has one alpha for all.
    """
    wanted = [(harm, ratio) for harm in harms if usual.get(harm.name, 0.0) > 0 for ratio in times]
    if not wanted:
        return []
    looked = _Looked.of(wanted, harms, settings, rps, usual)
    along = [(watch.share_percent, _even(watch.minutes)) for watch in watches]
    seen = looked.first_seen(along)
    ends = np.cumsum([watch.minutes for watch in watches])
    sights = []
    for watch, end in zip(watches, ends, strict=True):
        alone = looked.first_seen([(watch.share_percent, _growing())])
        for place, (harm, ratio) in enumerate(wanted):
            needed = float(np.quantile(alone[:, place], POWER, method="higher"))
            sight = Sight(
                stage=watch.stage,
                share_percent=watch.share_percent,
                harm=harm,
                times=ratio,
                seen_by_end=float((seen[:, place] <= end + 1e-6).mean()),
                minutes_needed=needed if np.isfinite(needed) else None,
            )
            sights.append(sight)
    return sights


def _even(minutes: float) -> Floats:
    """Lengths of looks that fill a stage."""
    looks = max(1, min(STEPS, int(minutes)))
    return np.full(looks, minutes / looks)


def _growing() -> Floats:
    """Lengths of looks that grow by an eighth, from a minute up to a month in all."""
    ends = np.concatenate([np.arange(1.0, 21.0), np.geomspace(22.0, LONGEST_MINUTES, 80)])
    return np.diff(ends, prepend=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """Every harm to see as a metric of its own, and the weight that the judge would give it."""

    plan: Plan
    bad_share: Floats
    ratio: Floats
    rps: float
    needed: Floats
    """Evidence of the metric at which the average of all reaches 1/alpha, were the others to show nothing."""

    @classmethod
    def of(
        cls,
        wanted: Sequence[tuple[Harm, float]],
        harms: Sequence[Harm],
        settings: CanarySettings,
        rps: float,
        usual: Mapping[str, float],
    ) -> _Looked:
        weight = sum(harm.weight for harm in harms)
        weights = np.array([harm.weight / weight * (1.0 - ALONE_WEIGHT) for harm, _ in wanted])
        board = judging.panel([harm for harm, _ in wanted], settings, {})
        return cls(
            plan=board.split,
            bad_share=np.array([usual[harm.name] for harm, _ in wanted]),
            ratio=np.array([ratio for _, ratio in wanted]),
            rps=rps,
            needed=1.0 / settings.alpha / weights,
        )

    def first_seen(self, stages: Sequence[tuple[int, Floats]]) -> Floats:
        """Minutes until each run sees each harm, infinite where it never does; (runs, harms)."""
        draw, shape = np.random.default_rng(SEED), (RUNS, len(self.ratio))
        now, at = process.nothing_seen(self.plan, (RUNS,)), 0.0
        seen = np.full(shape, np.inf)
        for share_percent, lengths in stages:
            for minutes in lengths:
                at += float(minutes)
                requests = np.maximum(1.0, 60.0 * self.rps * minutes)
                of = [np.full(shape, max(1.0, round(requests * part))) for part in _parts(share_percent)]
                bad_shares = (np.minimum(self.bad_share * self.ratio, 1.0), self.bad_share)
                bad = [
                    np.minimum(draw.poisson(total * share), total)
                    for total, share in zip(of, bad_shares, strict=True)
                ]
                now = process.compare(
                    self.plan, now, (bad[0], bad[1]), (of[0], of[1]), np.full(shape, float(minutes))
                )
                seen = np.where((now.of_metrics >= self.needed) & np.isinf(seen), at, seen)
                if np.isfinite(seen).all():
                    return seen
        return seen


def _parts(share_percent: int) -> tuple[float, float]:
    return share_percent / 100, 1 - share_percent / 100


def theatre(sights: Sequence[Sight]) -> list[str]:
    """A warning per stage and harm: not even the largest asked for would be seen by the stage's end."""
    largest = max((sight.times for sight in sights), default=0.0)
    return [
        f"{sight.stage} is theatre for {sight.harm.words}: even {sight.times:g} times the usual share would "
        f"be seen by its end with a chance of {100 * sight.seen_by_end:.0f} %; {_wait(sight)}"
        for sight in sights
        if sight.times == largest and sight.seen_by_end < THEATRE
    ]


def _wait(sight: Sight) -> str:
    if sight.minutes_needed is None:
        return f"thirty days at {sight.share_percent} % would not do"
    return f"{sight.minutes_needed:.0f} min at {sight.share_percent} % would do in four of five"
