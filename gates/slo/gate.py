"""Does the candidate hold its objectives under live traffic?

Judged on exact counts since the share was seen, over one window that grows: every look uses all requests.
The bounds hold at all looks together, so that looking often neither blames nor clears anybody by chance.
PASS means that enough requests were seen and nothing speaks against the candidate; the harm that could not
be excluded stands in the evidence as the upper bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

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
from gates.slo.burn import Burn, Remembered, judge_burn, rules_for
from gates.slo.queries import Reply, ask
from gates.slo.settings import SloSettings
from gates.slo.shares import Bad, Finding, Kind, judge_share

_TESTS = 2
"""Errors and slow requests are each held against their budget."""


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
        judge_share(arms["candidate"], arms.get("stable"))
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
    FAIL       burning               it spends its budget too fast, over both windows of a rule
    FAIL       query_missed          the value of a query of your own is out of bounds
    UNKNOWN    both_arms_bad         candidate and stable are both shown to be over budget, or burn it
    UNKNOWN    same_revision         both arms are one revision
    UNKNOWN    a reason of Gap       an arm cannot be counted soundly
    UNKNOWN    partial_data          the server warned when a query was asked
    UNKNOWN    no_data               a query, or what it rests on, has no answer
    UNKNOWN    stale_data            what a query rests on is old
    UNKNOWN    several_series        a query has several answers
    UNKNOWN    not_a_number          a query's answer is NaN or infinite
    UNKNOWN    implausible_data      a query's answer is out of the range of its meaning
    WAIT       too_early             the window is too young for a scrape
    WAIT       no_live_share         the share is 0: nothing to judge
    WAIT       insufficient_samples  an arm has fewer requests than the minimum
    WAIT       not_shown             the candidate is over budget so far, but that may be chance
    PASS       within_objectives     enough requests, each share of bad ones within its budget, queries too
    =========  ====================  ================================================================

    At 100 % there is no other arm, and the candidate is held against its objectives alone. Burn rates count
    once a share is older than a rule's long window: what breaks late in a long soak is not diluted by the
    hours before.
    """

    name: ClassVar[str] = "slo"
    phase: ClassVar[Phase] = "bake"
    needs: ClassVar[frozenset[str]] = frozenset({"metrics"})
    Settings: ClassVar[type] = SloSettings

    def __init__(self, settings: SloSettings, *, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics

    def judge(self, question: Question) -> Verdict:
        """Count both arms since the share was seen, ask the queries, and judge."""
        candidate, stable = question.candidate, question.stable if question.share_percent < 100 else None
        if question.share_percent == 0:
            nothing = Finding(Status.WAIT, "no_live_share", "no live request reaches the candidate")
            return _verdict(question, [nothing])
        if stable and stable.revision and stable.revision == candidate.revision:
            same = f"both arms are {stable.revision}: they cannot be told apart"
            return _verdict(question, [Finding(Status.UNKNOWN, "same_revision", same)])
        metrics = Remembered(self._metrics)
        arms = [arm for arm in (candidate, stable) if arm]
        looked = [_look(metrics, question, arm, question.since.timestamp()) for arm in arms]
        findings, measurements = self._counted(metrics, question, arms, looked)
        queries = tuple(query for one in looked for query in one.queries)
        for reply in self._asked(metrics, question, looked[0]):
            findings.append(Finding(reply.status, reply.reason, reply.sentence))
            measurements += [reply.measurement] if reply.measurement else []
            queries += reply.queries
        return _verdict(question, findings, measurements, queries)

    def _asked(self, metrics: Metrics, question: Question, candidate: Look | Gap) -> Iterator[Reply]:
        """A point says nothing of few requests, so no query is asked before there are enough."""
        if isinstance(candidate, Look) and candidate.counts.requests >= self._settings.minimum_requests:
            yield from (ask(metrics, query, question) for query in self._settings.queries)

    def _counted(
        self, metrics: Metrics, question: Question, arms: list[Arm], looked: list[Look | Gap]
    ) -> tuple[list[Finding], list[Measurement]]:
        """What exact counts say; nothing but gaps where an arm cannot be counted."""
        looks = [one for one in looked if isinstance(one, Look)]
        if len(looks) < len(looked):
            return [_gap(one) for one in looked if isinstance(one, Gap)], []
        alpha = self._settings.alpha / _TESTS
        bad = [one for look in looks for one in _bad(look, question.objectives, alpha)]
        findings, measurements = conclude(looks, bad, self._settings), [one.measurement() for one in bad]
        for burns in _burns(metrics, question, arms, alpha):
            findings += [found] if (found := judge_burn(burns["candidate"], burns.get("stable"))) else []
            measurements += [burn.measurement() for burn in burns.values()]
        return findings, measurements


def _look(metrics: Metrics, question: Question, arm: Arm, since: float) -> Look | Gap:
    window = Window(
        pack=question.metrics_pack,
        namespace=question.namespace,
        revision=arm.revision,
        since=since,
        now=question.now.timestamp(),
        scrape_seconds=question.scrape_seconds,
    )
    counts = count(metrics, window)
    if isinstance(counts, Gap):
        return counts
    threshold_ms = question.objectives.latency_threshold_ms
    answered = counts.requests - counts.errors
    timings = time_requests(metrics, window, threshold_ms=threshold_ms, answered=answered)
    return Look(arm=arm.name, counts=counts, timings=timings)


def _burns(
    metrics: Metrics, question: Question, arms: list[Arm], alpha: float
) -> Iterator[dict[ArmName, Burn]]:
    """By rule and kind of bad request, what both arms show; only what all arms show."""
    now = question.now.timestamp()
    for rule in rules_for((question.now - question.since).total_seconds()):
        by_kind: dict[Kind, dict[ArmName, Burn]] = {}
        for arm in arms:
            long = _bad_since(metrics, question, arm, now - rule.long_seconds, alpha)
            short = _bad_since(metrics, question, arm, now - rule.short_seconds, alpha)
            for kind in sorted(long.keys() & short.keys()):
                by_kind.setdefault(kind, {})[arm.name] = Burn(rule=rule, long=long[kind], short=short[kind])
        yield from (by_arm for by_arm in by_kind.values() if len(by_arm) == len(arms))


def _bad_since(metrics: Metrics, question: Question, arm: Arm, since: float, alpha: float) -> dict[Kind, Bad]:
    look = _look(metrics, question, arm, since)
    return {one.kind: one for one in _bad(look, question.objectives, alpha)} if isinstance(look, Look) else {}


def _bad(look: Look, objectives: Objectives, alpha: float) -> Iterator[Bad]:
    def bad(kind: Kind, bad: int, total: int, budget_percent: float) -> Bad:
        budget = budget_percent / 100
        return Bad(kind=kind, arm=look.arm, bad=bad, total=total, budget=budget, alpha=alpha)

    yield bad("errors", look.counts.errors, look.counts.requests, objectives.error_budget_percent)
    if isinstance(look.timings, Timings):
        yield bad("slow", look.timings.slow, look.timings.timed, objectives.latency_budget_percent)


def _gap(gap: Gap) -> Finding:
    return Finding(Status.WAIT if gap.waiting else Status.UNKNOWN, gap.reason, gap.sentence)


def _verdict(
    question: Question,
    findings: list[Finding],
    measurements: Iterable[Measurement] = (),
    queries: tuple[Query, ...] = (),
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
        evidence=Evidence(measurements=tuple(measurements), queries=queries),
    )
