"""The judge: looks in, one judgement out. Same looks, same judgement.

``begin`` and ``advance`` take counts look by look and may carry many runs side by side; ``judge`` puts a
promotion's looks through them. The benchmark and the gate run this very code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gates.binomial import anytime_bounds
from gates.canary import process
from gates.canary.bounds import Ruled, rule_out
from gates.canary.looks import Counted, Look
from gates.canary.process import Evidence, Floats, Plan
from gates.canary.settings import ERRORS, SLOW, CanarySettings, Harm
from gates.contract import Status

Booleans = NDArray[np.bool_]

ALONE_WEIGHT = 0.04
"""Of the average, for what is judged at 100 % without another arm."""
ALONE_SPREAD, ALONE_MEMORY_MINUTES = 0.5, 10.0
"""How far a rate wanders by itself where no other arm cancels it."""
RECENT_MINUTES = 5.0
"""Weight of a look in the guard falls to 1/e within."""
BOTH_Z = 2.33
"""Both arms are bad when the lower ends of their recent shares (Wilson, one-sided 99 %) are over budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What is judged, as arrays in the order of the harms."""

    harms: tuple[Harm, ...]
    split: Plan
    alone: Plan
    delayed: Floats
    """1 for a harm that is compared also after the split; (metrics,)."""
    budgets: Floats
    """Shares of bad requests allowed; NaN for a harm without a budget; (metrics,)."""
    together: Booleans
    """Which harms answer to one budget; (metrics, metrics)."""
    alone_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Everything that the looks so far leave behind; leading axes are runs."""

    split: Evidence
    alone: Evidence
    stable_bad: Floats
    stable_of: Floats
    """Of the stable arm during the split; (…, metrics)."""
    recent: Floats
    """Counts that fade: (…, 4, metrics) with bad and of of the candidate, then of the stable."""


class Counts(NamedTuple):
    """Of one look: (…, metrics) each, at the candidate and at the stable arm."""

    candidate_bad: Floats
    candidate_of: Floats
    stable_bad: Floats
    stable_of: Floats


def panel(harms: Sequence[Harm], settings: CanarySettings, budgets: Mapping[str, float]) -> Panel:
    """What these settings ask for; ``budgets`` are shares by name of the harm."""
    given = np.array([harm.weight for harm in harms])
    allowed = np.array([budgets.get(harm.name, np.nan) for harm in harms])
    budgeted = np.isfinite(allowed)
    split = Plan(
        tolerated=np.array([settings.tolerated(harm) for harm in harms]),
        multiples=np.stack([process.multiples(harm.lowest, harm.highest) for harm in harms]),
        spread=np.array([settings.spread(harm) for harm in harms]),
        memory_minutes=np.full(len(harms), settings.memory_minutes),
        weights=given / given.sum() * (1.0 - ALONE_WEIGHT * budgeted.any()),
    )
    alone = replace(
        split,
        spread=np.full(len(harms), ALONE_SPREAD),
        memory_minutes=np.full(len(harms), ALONE_MEMORY_MINUTES),
        weights=ALONE_WEIGHT * budgeted / max(1, budgeted.sum()),
    )
    return Panel(
        harms=tuple(harms),
        split=split,
        alone=alone,
        delayed=np.array([float(harm.delayed) for harm in harms]),
        budgets=allowed,
        together=np.array([[one.budget == other.budget for other in harms] for one in harms]),
        alone_ratio=settings.alone_ratio,
    )


def begin(panel: Panel, shape: tuple[int, ...] = ()) -> Progress:
    """Before the first look, of so many runs side by side."""
    metrics = (*shape, len(panel.harms))
    return Progress(
        split=process.nothing_seen(panel.split, shape),
        alone=process.nothing_seen(panel.alone, shape),
        stable_bad=np.zeros(metrics),
        stable_of=np.zeros(metrics),
        recent=np.zeros((*shape, 4, len(panel.harms))),
    )


def advance(
    panel: Panel, before: Progress, share_percent: Floats, counts: Counts, minutes: Floats
) -> Progress:
    """One more look; ``share_percent`` and ``minutes`` have the shape of the runs."""
    share, minutes = share_percent[..., None], minutes[..., None]
    split = ((share > 0) & (share < 100)).astype(float)
    fading = np.exp(-minutes[..., None] / RECENT_MINUTES)
    return Progress(
        split=process.compare(
            panel.split,
            before.split,
            (counts.candidate_bad, counts.stable_bad),
            (counts.candidate_of, counts.stable_of),
            minutes * np.maximum(split, panel.delayed),
        ),
        alone=process.hold_against(
            panel.alone,
            before.alone,
            _ceilings(panel, before),
            counts.candidate_bad,
            counts.candidate_of,
            minutes * (share == 100) * np.isfinite(panel.budgets),
        ),
        stable_bad=before.stable_bad + split * counts.stable_bad,
        stable_of=before.stable_of + split * counts.stable_of,
        recent=before.recent * fading + np.stack(counts, axis=-2),
    )


def _ceilings(panel: Panel, before: Progress) -> Floats:
    """What a candidate without another arm may have: a multiple of what the stable had, within the budget.

    Three more bad requests than were counted are granted, so that none at all is no claim of perfection.
    """
    usual = (before.stable_bad + 3.0) / np.maximum(before.stable_of, 1.0)
    wide = panel.alone_ratio * usual
    within = np.where(usual < panel.budgets, np.minimum(wide, panel.budgets), wide)
    return np.asarray(np.where(before.stable_of > 0, within, np.nan_to_num(panel.budgets, nan=1.0)))


def level(panel: Panel, progress: Progress, excused: Booleans) -> Floats:
    """Evidence of harm over all metrics: it reaches x with a chance of at most 1/x where nothing is wrong.

    Args:
        excused: metrics for which the candidate is not to blame, (…, metrics) of booleans.
    """
    split, alone = progress.split.of_metrics, progress.alone.of_metrics
    split = np.where(excused, np.minimum(split, 1.0), split)
    alone = np.where(excused, np.minimum(alone, 1.0), alone)
    return np.asarray((split * panel.split.weights + alone * panel.alone.weights).sum(axis=-1))


def both_bad(panel: Panel, progress: Progress) -> Booleans:
    """Where both arms are over their budget lately; (…, metrics) of booleans.

    What has no budget of its own, as the tail of the latencies, goes with the one of its kind.
    """
    bad, of = progress.recent[..., 0::2, :], progress.recent[..., 1::2, :]
    of = np.maximum(of, 1e-9)
    share, z2 = np.minimum(bad / of, 1.0), BOTH_Z**2
    spread = BOTH_Z * np.sqrt(share * (1.0 - share) / of + z2 / (4.0 * of**2))
    lowest = (share + z2 / (2.0 * of) - spread) / (1.0 + z2 / of)
    over = np.asarray((lowest > np.nan_to_num(panel.budgets, nan=2.0)).all(axis=-2))
    return np.asarray((over[..., None, :] & panel.together).any(axis=-1))


# ------------------------------------------------------------------ one promotion


class Finding(NamedTuple):
    """What one rule says."""

    status: Status
    reason: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """One metric of a judgement."""

    harm: Harm
    suspected: Counted
    other: Counted
    """Over all looks that compare the two: the candidate and the stable arm, or the other way round where
    fewer are worse."""
    tolerated: float
    evidence: float
    alone_evidence: float
    ruled: Ruled
    """The ratios that the looks do not rule out."""

    @property
    def candidate(self) -> Counted:
        """Of the candidate, whichever is suspected."""
        return self.other if self.harm.fewer else self.suspected

    @property
    def stable(self) -> Counted:
        """Of the stable arm."""
        return self.suspected if self.harm.fewer else self.other

    def __str__(self) -> str:
        return f"{self.harm.words}: {self.counted}; {self.worst}"

    @property
    def counted(self) -> str:
        """Of both arms, with their shares."""
        one, two = self.candidate, self.stable
        return (
            f"{one.bad} of {one.of} at the candidate ({_percent(one)}), "
            f"{two.bad} of {two.of} at the stable ({_percent(two)})"
        )

    @property
    def least(self) -> str:
        """The smallest harm that the looks allow, in words; of a metric that is shown to be worse."""
        times = max(self.tolerated, self.ruled.low or 0.0)
        if self.harm.fewer:
            return f"at most {1 / times:.3g} times"
        return f"at least {times:.3g} times"

    @property
    def worst(self) -> str:
        """The largest harm that is not excluded, in words."""
        if self.ruled.high is None:
            return "no harm is ruled out yet"
        if self.harm.fewer:
            return f"less than {1 / self.ruled.high:.2g} times the stable's share is ruled out"
        return f"more than {self.ruled.high:.2g} times the stable's share is ruled out"


def _percent(counted: Counted) -> str:
    return f"{100 * counted.share:.2g} %" if counted.of else "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What all looks together say."""

    evidence: float
    """Of harm: 1 at the start, 1/alpha is a FAIL."""
    metrics: tuple[Weighed, ...]
    findings: tuple[Finding, ...]

    @property
    def worst(self) -> Finding:
        """The finding that is the verdict, the first among equals."""
        return max(self.findings, key=lambda finding: finding.status)


def judge(
    looks: Sequence[Look],
    harms: Sequence[Harm],
    settings: CanarySettings,
    *,
    budgets: Mapping[str, float],
    share_percent: int,
) -> Judgement:
    """Judge a promotion by everything that was counted so far.

    Args:
        looks: in the order of time, over all its shares.
        harms: what is looked for.
        budgets: name of a harm -> share of requests (0..1) that may be bad.
        share_percent: the share that is judged now.
    """
    board = panel(harms, settings, budgets)
    progress = begin(board)
    for look in looks:
        progress = advance(
            board, progress, np.array(float(look.share_percent)), _counts(look, harms), np.array(look.minutes)
        )
    metrics = tuple(_weighed(board, progress, looks, settings))
    here = [look for look in looks if look.share_percent == share_percent]
    findings = tuple(_findings(board, progress, metrics, here, settings, share_percent))
    return Judgement(
        evidence=float(level(board, progress, both_bad(board, progress))), metrics=metrics, findings=findings
    )


_NO_COUNTS = Counted(0, 0)


def _counts(look: Look, harms: Sequence[Harm]) -> Counts:
    candidate, stable = zip(*(_arms(look, harm) for harm in harms), strict=True)
    return Counts(
        np.array([float(one.bad) for one in candidate]),
        np.array([float(one.of) for one in candidate]),
        np.array([float(one.bad) for one in stable]),
        np.array([float(one.of) for one in stable]),
    )


def _arms(look: Look, harm: Harm) -> tuple[Counted, Counted]:
    """The arm that is suspected, and the one it is held against."""
    candidate = look.candidate.get(harm.reads, _NO_COUNTS)
    stable = look.stable.get(harm.reads, _NO_COUNTS)
    return (stable, candidate) if harm.fewer else (candidate, stable)


def _weighed(
    board: Panel, progress: Progress, looks: Sequence[Look], settings: CanarySettings
) -> list[Weighed]:
    evidence, alone = progress.split.of_metrics, progress.alone.of_metrics
    found = []
    for place, harm in enumerate(board.harms):
        compared = [
            look
            for look in looks
            if (0 < look.share_percent < 100 or harm.delayed) and all(arm.of for arm in _arms(look, harm))
        ]
        suspected, other = ([_arms(look, harm)[arm] for look in compared] for arm in (0, 1))
        ruled = rule_out(
            suspected,
            other,
            [look.minutes for look in compared],
            spread=settings.spread(harm),
            memory_minutes=settings.memory_minutes,
            alpha=settings.alpha,
        )
        weighed = Weighed(
            harm=harm,
            suspected=_sum(suspected),
            other=_sum(other),
            tolerated=settings.tolerated(harm),
            evidence=float(evidence[place]),
            alone_evidence=float(alone[place]),
            ruled=ruled,
        )
        found.append(weighed)
    return found


def _sum(counts: Iterable[Counted]) -> Counted:
    bad = of = 0
    for one in counts:
        bad, of = bad + one.bad, of + one.of
    return Counted(bad, of)


def _findings(
    board: Panel,
    progress: Progress,
    metrics: Sequence[Weighed],
    here: Sequence[Look],
    settings: CanarySettings,
    share_percent: int,
) -> Iterator[Finding]:
    """Everything there is to say of the looks; ``here`` are those at the present share."""
    if misrouted := _misrouted(here, settings.share_alpha, share_percent):
        yield misrouted
        return
    bad = both_bad(board, progress)
    evidence = float(level(board, progress, bad))
    if evidence >= 1.0 / settings.alpha:
        yield _harm_shown(board, progress, metrics, bad, settings)
    if bad.any():
        names = ", ".join(one.harm.words for one, both in zip(metrics, bad, strict=True) if both)
        both = f"both arms are over budget of late ({names}), so it is not the candidate's"
        yield Finding(Status.UNKNOWN, "both_arms_bad", both)
    yield from _too_few(here, settings.minimum_requests, share_percent)
    if settings.doubt <= evidence < 1.0 / settings.alpha:
        doubt = f"evidence of harm is {evidence:.1f}; {1 / settings.alpha:g} takes it back, below "
        yield Finding(Status.WAIT, "in_doubt", f"{doubt}{settings.doubt:g} it goes on: {_leading(metrics)}")
    if share_percent < 100:
        yield from _not_excluded(metrics, settings.rule_out)
    told = "; ".join(str(one) for one in metrics)
    yield Finding(Status.PASS, "no_harm_shown", f"evidence of harm is {evidence:.2g}; {told}")


def _leading(metrics: Sequence[Weighed]) -> Weighed:
    return max(metrics, key=lambda one: one.harm.weight * max(one.evidence, one.alone_evidence))


def _harm_shown(
    board: Panel, progress: Progress, metrics: Sequence[Weighed], bad: Booleans, settings: CanarySettings
) -> Finding:
    blamed = [one for one, both in zip(metrics, bad, strict=True) if not both]
    worst = _leading(blamed)
    if worst.alone_evidence > worst.evidence:
        ceiling = float(_ceilings(board, progress)[board.harms.index(worst.harm)])
        alone = f"{worst.harm.words} alone at 100 % are shown to be above {100 * ceiling:.2g} %"
        return Finding(Status.FAIL, "worse_than_before", alone)
    sentence = (
        f"{worst.harm.words} are shown to be {worst.least} as frequent as at the stable: {worst.counted}"
    )
    return Finding(Status.FAIL, "worse_than_stable", sentence)


def _misrouted(here: Sequence[Look], alpha: float, share_percent: int) -> Finding | None:
    """A split that is not the intended one: who counts where cannot be trusted then."""
    if not alpha or not 0 < share_percent < 100:
        return None
    candidate, stable = _requests(here)
    low, high = anytime_bounds(candidate, candidate + stable, alpha)
    if low <= share_percent / 100 <= high:
        return None
    sentence = (
        f"{candidate} of {candidate + stable} requests reached the candidate "
        f"({100 * low:.1f} to {100 * high:.1f} %), {share_percent} % is intended: nothing is compared"
    )
    return Finding(Status.UNKNOWN, "share_not_observed", sentence)


def _requests(here: Sequence[Look]) -> tuple[int, int]:
    """At the candidate and at the stable arm."""
    name = ERRORS.name
    return (
        sum(look.candidate.get(name, _NO_COUNTS).of for look in here),
        sum(look.stable.get(name, _NO_COUNTS).of for look in here),
    )


def _too_few(here: Sequence[Look], needed: int, share_percent: int) -> Iterator[Finding]:
    minutes = sum(look.minutes for look in here)
    arms = ("candidate",) if share_percent == 100 else ("candidate", "stable")
    for arm, there in zip(arms, _requests(here), strict=False):
        if there < needed:
            about = f", about {(needed - there) * minutes / there:.0f} min more at this rate" if there else ""
            sentence = f"{there} of {needed} {arm} requests counted that are needed{about}"
            yield Finding(Status.WAIT, "insufficient_samples", sentence)


def _not_excluded(metrics: Sequence[Weighed], wanted: float) -> Iterator[Finding]:
    for one in metrics:
        shown = one.ruled.high is not None and one.ruled.high <= wanted
        if wanted and one.harm in (ERRORS, SLOW) and not shown:
            sentence = f"{wanted:g} times the stable's share is to be ruled out: {one}"
            yield Finding(Status.WAIT, "harm_not_excluded", sentence)
