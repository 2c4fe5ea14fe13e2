"""The canary gate: counts both arms, adds the looks of before, has all of them judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gates.canary import counting, signals
from gates.canary.looks import Counted, Look, from_data
from gates.canary.settings import ERRORS, SLOW, CanarySettings
from gates.contract import ArmName, Evidence, Measurement, Objectives, Phase, Query, Question, Status, Verdict
from gates.counts import Gap, Trace, trace
from gates.golden import Artifacts
from gates.metrics import Metrics

if TYPE_CHECKING:
    from gates.canary.judging import Finding, Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What was counted now."""

    looks: tuple[Look, ...] = ()
    gaps: tuple[Gap, ...] = ()
    queries: tuple[Query, ...] = ()


class Canary:
    """Every answer; the worst counts, and of equals the one named first.

    =========  ====================  ===================================================================
    verdict    reason                when
    =========  ====================  ===================================================================
    FAIL       worse_than_stable     evidence that a metric is worse than tolerated reached 1/alpha
    FAIL       worse_than_before     the same at 100 %, against what the stable had during the split
    UNKNOWN    both_arms_bad         both arms are over a budget of late: the candidate is not blamed
    UNKNOWN    share_not_observed    the counted split is not the intended one: nothing is compared
    UNKNOWN    same_revision         both arms are one revision
    UNKNOWN    looks_unreadable      the journal's earlier looks are none
    UNKNOWN    labels_missing        requests of one arm are labelled, none of the other
    UNKNOWN    labels_unreadable     the table of labels is not there, is none, or holds fewer than before
    UNKNOWN    a reason of Gap       an arm cannot be counted soundly
    WAIT       too_early             the window is too young for a scrape
    WAIT       no_live_share         the share is 0: nothing to judge
    WAIT       insufficient_samples  an arm has fewer requests at this share than the minimum
    WAIT       labels_pending        an arm has fewer labels than the minimum
    WAIT       in_doubt              evidence of harm is above ``doubt``: more requests will tell
    WAIT       harm_not_excluded     so large a harm is to be ruled out and is not yet
    PASS       no_harm_shown         enough requests, and no evidence of harm to speak of
    =========  ====================  ===================================================================

    What was counted stands in the evidence look by look, with the settings it was judged by. The looks of a
    promotion's earlier shares are given back with the question, so that a ladder has one alpha, and a journal
    alone is enough to judge again.
    """

    name: ClassVar[str] = "canary"
    phase: ClassVar[Phase] = "bake"
    needs: ClassVar[frozenset[str]] = frozenset({"artifacts", "metrics"})
    Settings: ClassVar[type] = CanarySettings

    def __init__(
        self, settings: CanarySettings, *, metrics: Metrics, artifacts: Artifacts | None = None
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._artifacts = artifacts

    def judge(self, question: Question) -> Verdict:
        """Count what came since the last look, and judge everything there is."""
        candidate, stable = question.candidate, question.stable if question.share_percent < 100 else None
        if question.share_percent == 0:
            return _refuse(question, Status.WAIT, "no_live_share", "no live request reaches the candidate")
        if stable and stable.revision and stable.revision == candidate.revision:
            same = f"both arms are {stable.revision}: they cannot be told apart"
            return _refuse(question, Status.UNKNOWN, "same_revision", same)
        try:
            earlier = [from_data(look) for look in question.earlier_looks]
        except ValueError as error:
            return _refuse(
                question, Status.UNKNOWN, "looks_unreadable", f"an earlier look cannot be read: {error}"
            )
        counted = self._count(question, earlier)
        looks, share, allowed = (
            [*earlier, *counted.looks],
            question.share_percent,
            budgets(question.objectives),
        )
        spoken = speak(looks, self._settings, budgets=allowed, share_percent=share, gaps=counted.gaps)
        return Verdict(
            gate=self.name,
            subject=question.subject,
            status=spoken.status,
            reason=spoken.reason,
            sentence=spoken.sentence,
            at=question.now,
            evidence=Evidence(
                measurements=spoken.measurements,
                queries=counted.queries,
                facts=_facts(self._settings, allowed, share, counted),
            ),
        )

    def _count(self, question: Question, earlier: Sequence[Look]) -> Gathered:
        stretches = counting.pieces(question, earlier)
        begin = stretches[0][0] if stretches else max(look.ended for look in earlier) if earlier else 0.0
        threshold_ms = question.objectives.latency_threshold_ms
        arms = [
            question.candidate,
            *([question.stable] if question.share_percent < 100 and question.stable else []),
        ]
        traces = [
            trace(self._metrics, counting.window(question, arm.revision, begin), threshold_ms=threshold_ms)
            for arm in arms
        ]
        queries = tuple(query for one in traces for query in one.queries)
        counted = [one for one in traces if isinstance(one, Trace)]
        if len(counted) < len(arms):
            return Gathered(gaps=tuple(one for one in traces if isinstance(one, Gap)), queries=queries)
        if not stretches:
            return Gathered(gaps=_untimed(counted), queries=queries)
        looks = counting.looks(
            stretches,
            counted[0],
            counted[1] if len(counted) > 1 else None,
            share_percent=question.share_percent,
            threshold_ms=threshold_ms,
            edges_ms=next((look.edges_ms for look in reversed(earlier) if look.edges_ms), {}),
        )
        return self._with_business(question, earlier, looks, _untimed(counted), queries)

    def _with_business(
        self,
        question: Question,
        earlier: Sequence[Look],
        looks: Sequence[Look],
        gaps: tuple[Gap, ...],
        queries: tuple[Query, ...],
    ) -> Gathered:
        settings = self._settings
        looks, missing = signals.add_signals(self._metrics, question, settings.signals, looks)
        if settings.labels:
            looks, unlabelled = signals.add_labels(self._artifacts, question, settings.labels, earlier, looks)
            missing = [*missing, *unlabelled]
        return Gathered(looks=tuple(looks), gaps=(*gaps, *missing), queries=queries)


def _untimed(traces: Iterable[Trace]) -> tuple[Gap, ...]:
    return tuple(one.untimed for one in traces if one.untimed)


def budgets(objectives: Objectives) -> dict[str, float]:
    """Shares (0..1) of bad requests that are allowed."""
    return {
        ERRORS.name: objectives.error_budget_percent / 100,
        SLOW.name: objectives.latency_budget_percent / 100,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What a verdict says, and by which numbers."""

    status: Status
    reason: str
    sentence: str
    measurements: tuple[Measurement, ...]


def speak(
    looks: Sequence[Look],
    settings: CanarySettings,
    *,
    budgets: Mapping[str, float],
    share_percent: int,
    gaps: Sequence[Gap],
) -> Spoken:
    """What all looks say, and what could not be counted: one finding of many."""
    from gates.canary.judging import judge

    judgement = judge(looks, settings.harms, settings, budgets=budgets, share_percent=share_percent)
    findings = [*_gap_findings(gaps), *judgement.findings]
    worst = max(findings, key=lambda finding: finding.status)
    return Spoken(
        status=worst.status,
        reason=worst.reason,
        sentence=worst.sentence,
        measurements=tuple(measurements(judgement, settings)),
    )


def _gap_findings(gaps: Iterable[Gap]) -> Iterator[Finding]:
    from gates.canary.judging import Finding

    for gap in gaps:
        yield Finding(Status.WAIT if gap.waiting else Status.UNKNOWN, gap.reason, gap.sentence)


def _facts(
    settings: CanarySettings, allowed: Mapping[str, float], share: int, now: Gathered
) -> dict[str, Any]:
    """Everything that is needed to judge again, but for the looks of earlier verdicts."""
    return {
        "looks": [look.to_data() for look in now.looks],
        "judged_by": {"settings": asdict(settings), "budgets": dict(allowed), "share_percent": share},
        "gaps": [
            {"reason": one.reason, "sentence": one.sentence, "waiting": one.waiting} for one in now.gaps
        ],
    }


def measurements(judgement: Judgement, settings: CanarySettings) -> Iterator[Measurement]:
    """The evidence, and of each metric both shares and the ratios that are not ruled out."""
    yield Measurement(name="evidence_of_harm", value=judgement.evidence, threshold=1.0 / settings.alpha)
    told: set[str] = set()
    for one in judgement.metrics:
        if one.harm.reads not in told:
            told.add(one.harm.reads)
            yield _share(one.harm.reads, "candidate", one.candidate)
            yield _share(one.harm.reads, "stable", one.stable)
        low, high, tolerated = one.ruled.low, one.ruled.high, one.tolerated
        if one.harm.fewer:
            low, high, tolerated = high and 1 / high, low and 1 / low, 1 / tolerated
        yield Measurement(
            name=f"{one.harm.name}_ratio",
            value=one.candidate.share / one.stable.share if one.stable.bad else None,
            samples=one.candidate.bad + one.stable.bad,
            low=low,
            high=high,
            threshold=tolerated,
        )


def _share(name: str, arm: ArmName, counted: Counted) -> Measurement:
    share = 100 * counted.share if counted.of else None
    return Measurement(name=f"{name}_share", value=share, unit="percent", arm=arm, samples=counted.of)


def _refuse(question: Question, status: Status, reason: str, sentence: str) -> Verdict:
    return Verdict(
        gate=Canary.name,
        subject=question.subject,
        status=status,
        reason=reason,
        sentence=sentence,
        at=question.now,
    )
