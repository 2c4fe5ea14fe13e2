"""Does the candidate hold its objectives under live traffic, and is it no worse than the stable version?

Judged on exact counts since the share was seen, over one window that grows: every look uses all requests.
Because there are many looks, each uses a small alpha of its own; over a hundred looks the chance of
blaming a candidate that holds its objectives stays below a hundred times alpha (the union bound), which
with the default is 5 %. A sequential test that needs no such allowance may replace it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Lt

from gates.binomial import clopper_pearson
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
from gates.metrics import Counts, Gap, Metrics, Window, count

Kind = Literal["errors", "slow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SloSettings:
    """How the objectives are tested."""

    alpha: Annotated[float, Gt(0), Lt(1)] = 0.0005
    """Of one look, one side, one objective."""
    minimum_requests: Annotated[int, Ge(1)] = 100
    """Of each arm, before anything can pass."""
    worse_than_stable: Annotated[float, Ge(1)] = 2.0
    """A candidate whose share of bad requests is shown to be more than this many times the stable's fails,
    within its budget or not."""
    compare: bool = True
    """Whether the two arms are compared at all."""
    scrape_seconds: Annotated[float, Gt(0)] = 15.0
    """How often the metrics server scrapes."""


@dataclass(frozen=True, slots=True)
class _Share:
    """Bad requests of one kind at one arm."""

    kind: Kind
    arm: ArmName
    bad: int
    total: int
    budget: float
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.bad / self.total if self.total else 0.0

    @property
    def exceeds(self) -> bool:
        """Shown to be over its budget."""
        return self.low > self.budget

    def measurement(self) -> Measurement:
        """As evidence, in percent."""
        return Measurement(
            name=f"{self.kind}_share",
            value=100 * self.share if self.total else None,
            unit="percent",
            arm=self.arm,
            samples=self.total,
            low=100 * self.low,
            high=100 * self.high,
            threshold=100 * self.budget,
        )

    def __str__(self) -> str:
        what = "failed" if self.kind == "errors" else "were slow"
        return (
            f"{self.bad} of {self.total} {self.arm} requests {what}: {100 * self.share:.2f} % "
            f"({100 * self.low:.2f} to {100 * self.high:.2f}), {100 * self.budget:g} % is the budget"
        )


class Slo:
    """Every answer, in the order the rules are asked.

    =========  ======================  ==============================================================
    status     reason                  when
    =========  ======================  ==============================================================
    WAIT       no_live_share           the share is 0: nothing to judge
    UNKNOWN    a Gap's reason          an arm could not be counted soundly
    UNKNOWN    both_arms_bad           candidate and stable are both shown to be over budget
    FAIL       objective_missed        the candidate is shown to be over budget, and the stable is not
    FAIL       worse_than_stable       its share of bad requests is shown to be a multiple of the stable's
    WAIT       insufficient_samples    an arm has fewer requests than the minimum
    WAIT       not_shown               the candidate's share is over budget, but not shown to be
    PASS       within_objectives       enough requests, each share within its budget
    =========  ======================  ==============================================================
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
        if question.share_percent == 0:
            return self._say(question, Status.WAIT, "no_live_share", "no live request reaches the candidate")
        arms = [question.candidate]
        if question.stable is not None and question.share_percent < 100:
            arms.append(question.stable)
        counted = [(arm, self._count(question, arm)) for arm in arms]
        queries = tuple(query for _, found in counted for query in found.queries)
        for _, found in counted:
            if isinstance(found, Gap):
                return self._say(question, Status.UNKNOWN, found.reason, found.sentence, queries=queries)
        counts = {arm.name: found for arm, found in counted if isinstance(found, Counts)}
        shares = [
            share
            for name, found in counts.items()
            for share in self._shares(name, found, question.objectives)
        ]
        status, reason, sentence = self._judge(counts, shares)
        return self._say(question, status, reason, sentence, shares=shares, queries=queries)

    def _count(self, question: Question, arm: Arm) -> Counts | Gap:
        window = Window(
            pack=question.metrics_pack,
            namespace=question.namespace,
            revision=arm.revision,
            since=question.since.timestamp(),
            now=question.now.timestamp(),
            scrape_seconds=self._settings.scrape_seconds,
        )
        return count(self._metrics, window, threshold_ms=question.objectives.latency_threshold_ms)

    def _shares(self, arm: ArmName, counts: Counts, objectives: Objectives) -> tuple[_Share, _Share]:
        confidence = 1 - 2 * self._settings.alpha

        def share(kind: Kind, bad: int, total: int, budget_percent: float) -> _Share:
            total = max(bad, total)
            low, high = clopper_pearson(bad, total, confidence)
            return _Share(kind, arm, bad, total, budget_percent / 100, low, high)

        return (
            share("errors", counts.errors, counts.requests, objectives.error_budget_percent),
            share("slow", counts.slow, counts.timed, objectives.latency_budget_percent),
        )

    def _judge(self, counts: dict[ArmName, Counts], shares: list[_Share]) -> tuple[Status, str, str]:
        stable = {share.kind: share for share in shares if share.arm == "stable"}
        candidate = [share for share in shares if share.arm == "candidate"]
        for share in candidate:
            beside = stable.get(share.kind)
            if share.exceeds and beside is not None and beside.exceeds:
                return (
                    Status.UNKNOWN,
                    "both_arms_bad",
                    f"both arms miss it, so it is not the candidate's: {share}; {beside}",
                )
            if share.exceeds:
                return Status.FAIL, "objective_missed", str(share)
        for share in candidate:
            beside = stable.get(share.kind)
            if self._settings.compare and beside is not None and self._worse(share, beside):
                times = self._settings.worse_than_stable
                return (
                    Status.FAIL,
                    "worse_than_stable",
                    f"more than {times:g} times the stable's share: {share}; {beside}",
                )
        for name, found in counts.items():
            if found.requests < self._settings.minimum_requests:
                return Status.WAIT, "insufficient_samples", self._too_few(name, found)
        for share in candidate:
            if share.share > share.budget:
                return Status.WAIT, "not_shown", f"over budget so far, but not shown to be: {share}"
        return Status.PASS, "within_objectives", "; ".join(str(share) for share in candidate)

    def _worse(self, candidate: _Share, stable: _Share) -> bool:
        """Conditional exact test of two Poisson rates against a ratio (Przyborowski and Wilenski, 1940)."""
        from scipy.stats import binom

        bad = candidate.bad + stable.bad
        if not candidate.bad or not stable.total:
            return False
        weight = candidate.total * self._settings.worse_than_stable
        chance = weight / (weight + stable.total)
        return bool(binom.sf(candidate.bad - 1, bad, chance) < self._settings.alpha)

    def _too_few(self, arm: str, counts: Counts) -> str:
        needed = self._settings.minimum_requests
        seconds = counts.last_at - counts.first_at
        rate = counts.requests / seconds if seconds > 0 else 0.0
        about = f", about {(needed - counts.requests) / rate:.0f} s more at this rate" if rate else ""
        return f"{counts.requests} of {needed} {arm} requests counted that are needed{about}"

    def _say(
        self,
        question: Question,
        status: Status,
        reason: str,
        sentence: str,
        *,
        shares: list[_Share] | None = None,
        queries: tuple[Query, ...] = (),
    ) -> Verdict:
        return Verdict(
            gate=self.name,
            subject=question.subject,
            status=status,
            reason=reason,
            sentence=sentence,
            at=question.now,
            evidence=Evidence(
                measurements=tuple(share.measurement() for share in shares or ()), queries=queries
            ),
        )
