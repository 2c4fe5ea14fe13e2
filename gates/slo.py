"""Does the candidate hold its objectives under live traffic, and is it no worse than the stable version?

Judged on exact counts since the share was seen, over one window that grows: every look uses all requests.
The bounds hold at all looks together, so that looking often neither blames nor clears anybody by chance.
PASS means that enough requests were seen and nothing speaks against the candidate; the harm that could not
be excluded stands in the evidence as the upper bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

from annotated_types import Ge, Gt, Lt

from gates.binomial import anytime_bounds
from gates.contract import (
    Arm,
    ArmName,
    Evidence,
    Measurement,
    Objectives,
    Phase,
    Query,
    Question,
    Status,
    Verdict,
)
from gates.counts import Counts, Gap, Timings, Window, count, time_requests
from gates.metrics import Metrics

Kind = Literal["errors", "slow"]

_TESTS = 4
"""Each of errors and slow requests is held against the budget and against the stable arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SloSettings:
    """How the objectives are tested."""

    alpha: Annotated[float, Gt(0), Lt(1)] = 0.01
    """Chance that a good candidate ever fails by chance at one share, over all looks and objectives."""
    minimum_requests: Annotated[int, Ge(1)] = 100
    """Of each arm, before anything can pass."""
    worse_than_stable: Annotated[float, Ge(1)] = 2.0
    """A candidate whose share of bad requests is shown to be more than this many times the stable's fails,
    within its budget or not."""
    compare: bool = True
    """Whether the two arms are compared at all."""


class Finding(NamedTuple):
    """What one rule says."""

    status: Status
    reason: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """Bad requests of one kind at one arm, with their budget as a share (0..1)."""

    kind: Kind
    arm: ArmName
    bad: int
    total: int
    budget: float
    alpha: float
    """Chance that the true share is ever outside the bounds."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Of the true share; they hold at every look."""
        return anytime_bounds(self.bad, self.total, self.alpha)

    @property
    def share(self) -> float:
        """As counted; 0 of nothing is 0."""
        return self.bad / self.total if self.total else 0.0

    @property
    def over(self) -> bool:
        """Shown to be over its budget."""
        return self.bounds[0] > self.budget

    def worse_than(self, stable: Bad, times: float) -> bool:
        """Shown to be more than so many times as frequent as at the stable arm.

        Given how many bad requests both arms had, those of the candidate are a share that grows with the
        ratio of the two rates (conditional test of two Poisson rates; Przyborowski and Wilenski, 1940).
        """
        if not self.total or not stable.total:
            return False
        weight = self.total * times
        low, _ = anytime_bounds(self.bad, self.bad + stable.bad, self.alpha)
        return low > weight / (weight + stable.total)

    def measurement(self) -> Measurement:
        """As evidence, in percent."""
        low, high = self.bounds
        return Measurement(
            name=f"{self.kind}_share",
            value=100 * self.share if self.total else None,
            unit="percent",
            arm=self.arm,
            samples=self.total,
            low=100 * low,
            high=100 * high,
            threshold=100 * self.budget,
        )

    def __str__(self) -> str:
        low, high = self.bounds
        what = "failed" if self.kind == "errors" else "were slow"
        return (
            f"{self.bad} of {self.total} {self.arm} requests {what}: {100 * self.share:.2f} % "
            f"({100 * low:.2f} to {100 * high:.2f}), {100 * self.budget:g} % is the budget"
        )


def judge_share(candidate: Bad, stable: Bad | None, settings: SloSettings) -> Finding:
    """What the bad requests of one kind say; ``stable`` is None where there is no other arm."""
    if candidate.over and not (stable and stable.over):
        return Finding(Status.FAIL, "objective_missed", str(candidate))
    if stable and settings.compare and candidate.worse_than(stable, settings.worse_than_stable):
        times = f"more than {settings.worse_than_stable:g} times the stable's share"
        return Finding(Status.FAIL, "worse_than_stable", f"{times}: {candidate}; {stable}")
    if stable and candidate.over:
        both = "both arms miss it, so it is not the candidate's"
        return Finding(Status.UNKNOWN, "both_arms_bad", f"{both}: {candidate}; {stable}")
    if candidate.share > candidate.budget:
        return Finding(Status.WAIT, "not_shown", f"over budget so far, but not shown to be: {candidate}")
    return Finding(Status.PASS, "within_objectives", str(candidate))


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was counted of one arm."""

    arm: ArmName
    counts: Counts
    timings: Timings | Gap

    @property
    def queries(self) -> tuple[Query, ...]:
        """All that were asked."""
        return self.counts.queries + self.timings.queries


def conclude(looks: list[Look], bad: list[Bad], settings: SloSettings) -> list[Finding]:
    """Everything there is to say; the worst is the verdict.

    What cannot be told of latency does not excuse errors, so a gap in the timings is one finding of many.
    """
    by_kind: dict[Kind, dict[ArmName, Bad]] = {}
    for one in bad:
        by_kind.setdefault(one.kind, {})[one.arm] = one
    findings = [
        judge_share(arms["candidate"], arms.get("stable"), settings)
        for arms in by_kind.values()
        if len(arms) == len(looks)
    ]
    findings += [_gap(look.timings) for look in looks if isinstance(look.timings, Gap)]
    return findings + [few for look in looks if (few := _too_few(look, settings.minimum_requests))]


def _too_few(look: Look, needed: int) -> Finding | None:
    """A request that failed need not have been timed; all others must."""
    timed = look.timings.timed if isinstance(look.timings, Timings) else 0
    there = min(look.counts.requests, timed + look.counts.errors)
    if there >= needed:
        return None
    seconds = look.counts.last_at - look.counts.first_at
    about = f", about {(needed - there) * seconds / there:.0f} s more at this rate" if there else ""
    sentence = f"{there} of {needed} {look.arm} requests counted that are needed{about}"
    return Finding(Status.WAIT, "insufficient_samples", sentence)


class Slo:
    """Every answer; the worst counts, and of equals the one named first.

    =========  ====================  ================================================================
    verdict    reason                when
    =========  ====================  ================================================================
    FAIL       objective_missed      the candidate is shown to be over budget, the stable is not
    FAIL       worse_than_stable     its share of bad requests is shown to be a multiple of the stable's
    UNKNOWN    both_arms_bad         candidate and stable are both shown to be over budget
    UNKNOWN    same_revision         both arms are one revision
    UNKNOWN    a reason of Gap       an arm cannot be counted soundly
    WAIT       too_early             the window is too young for a scrape
    WAIT       no_live_share         the share is 0: nothing to judge
    WAIT       insufficient_samples  an arm has fewer requests than the minimum
    WAIT       not_shown             the candidate is over budget so far, but that may be chance
    PASS       within_objectives     enough requests, each share of bad ones within its budget
    =========  ====================  ================================================================

    At 100 % there is no other arm, and the candidate is held against its objectives alone.
    """

    name: ClassVar[str] = "slo"
    phase: ClassVar[Phase] = "bake"
    needs: ClassVar[frozenset[str]] = frozenset({"metrics"})
    Settings: ClassVar[type] = SloSettings

    def __init__(self, settings: SloSettings, *, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics

    def judge(self, question: Question) -> Verdict:
        """Count both arms since the share was seen, and judge."""
        candidate, stable = question.candidate, question.stable if question.share_percent < 100 else None
        if question.share_percent == 0:
            nothing = Finding(Status.WAIT, "no_live_share", "no live request reaches the candidate")
            return _verdict(question, [nothing])
        if stable and stable.revision and stable.revision == candidate.revision:
            same = f"both arms are {stable.revision}: they cannot be told apart"
            return _verdict(question, [Finding(Status.UNKNOWN, "same_revision", same)])
        looked = [self._look(question, arm) for arm in (candidate, stable) if arm]
        queries = tuple(query for one in looked for query in one.queries)
        looks = [one for one in looked if isinstance(one, Look)]
        if len(looks) < len(looked):
            return _verdict(question, [_gap(one) for one in looked if isinstance(one, Gap)], queries=queries)
        bad = [one for look in looks for one in _bad(look, question.objectives, self._settings.alpha)]
        return _verdict(question, conclude(looks, bad, self._settings), bad=bad, queries=queries)

    def _look(self, question: Question, arm: Arm) -> Look | Gap:
        window = Window(
            pack=question.metrics_pack,
            namespace=question.namespace,
            revision=arm.revision,
            since=question.since.timestamp(),
            now=question.now.timestamp(),
            scrape_seconds=question.scrape_seconds,
        )
        counts = count(self._metrics, window)
        if isinstance(counts, Gap):
            return counts
        threshold_ms = question.objectives.latency_threshold_ms
        answered = counts.requests - counts.errors
        timings = time_requests(self._metrics, window, threshold_ms=threshold_ms, answered=answered)
        return Look(arm=arm.name, counts=counts, timings=timings)


def _bad(look: Look, objectives: Objectives, alpha: float) -> Iterator[Bad]:
    def bad(kind: Kind, bad: int, total: int, budget_percent: float) -> Bad:
        budget = budget_percent / 100
        return Bad(kind=kind, arm=look.arm, bad=bad, total=total, budget=budget, alpha=alpha / _TESTS)

    yield bad("errors", look.counts.errors, look.counts.requests, objectives.error_budget_percent)
    if isinstance(look.timings, Timings):
        yield bad("slow", look.timings.slow, look.timings.timed, objectives.latency_budget_percent)


def _gap(gap: Gap) -> Finding:
    return Finding(Status.WAIT if gap.waiting else Status.UNKNOWN, gap.reason, gap.sentence)


def _verdict(
    question: Question, findings: list[Finding], *, bad: Iterable[Bad] = (), queries: tuple[Query, ...] = ()
) -> Verdict:
    worst = max(findings, key=lambda finding: finding.status)
    passed = worst.status is Status.PASS
    return Verdict(
        gate=Slo.name,
        subject=question.subject,
        status=worst.status,
        reason=worst.reason,
        sentence="; ".join(finding.sentence for finding in findings) if passed else worst.sentence,
        at=question.now,
        evidence=Evidence(measurements=tuple(one.measurement() for one in bad), queries=queries),
    )
