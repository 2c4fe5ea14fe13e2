"""Does the candidate get the share it should?

An exact binomial test on counted requests of both arms, not a tolerance picked by eye. A split that is not
the intended one is nobody's fault that could be judged, so it is UNKNOWN: nothing advances, and the hold
budget decides how long that is borne.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Lt

from gates.binomial import clopper_pearson
from gates.contract import Evidence, Measurement, Phase, Query, Question, Status, Verdict
from gates.metrics import Counts, Gap, Metrics, Window, count

STRAGGLERS = 0.005
"""At 0 and 100 %, this share may still arrive at the other arm: connections that were open before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareSettings:
    """How the split is tested."""

    alpha: Annotated[float, Gt(0), Lt(1)] = 0.001
    """A split as intended is taken for another one in this share of looks."""
    minimum_requests: Annotated[int, Ge(1)] = 60
    """Of both arms together. Below, even no request at all would not contradict 10 %."""
    scrape_seconds: Annotated[float, Gt(0)] = 15.0
    """How often the metrics server scrapes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the metrics show of a split."""

    agrees: bool | None
    """None: could not tell, or too few requests yet."""
    unknown: bool
    """True where something is wrong or cannot be told; False where more requests will tell."""
    reason: str
    sentence: str
    observed_percent: float | None
    low_percent: float | None
    high_percent: float | None
    candidate_requests: int
    stable_requests: int
    queries: tuple[Query, ...]


def observed_share(
    metrics: Metrics,
    *,
    pack: str,
    namespace: str,
    candidate_revision: str,
    stable_revision: str,
    intended_percent: int,
    since: datetime,
    now: datetime,
    settings: ShareSettings | None = None,
) -> Observed:
    """Count both arms' requests since an instant and test them against the intended share (0..100).

    Raises:
        Exception: whatever the metrics source raises when it has no answer.
    """
    settings = settings or ShareSettings()
    counted: list[Counts | Gap] = []
    for revision, percent in (
        (candidate_revision, intended_percent),
        (stable_revision, 100 - intended_percent),
    ):
        window = Window(
            pack=pack,
            namespace=namespace,
            revision=revision,
            since=since.timestamp(),
            now=now.timestamp(),
            scrape_seconds=settings.scrape_seconds,
        )
        counted.append(_count(metrics, window, expected=percent > 0))
    for one in counted:
        if isinstance(one, Gap):
            return _could_not_tell(one)
    candidate, stable = (one for one in counted if isinstance(one, Counts))
    return _test(candidate, stable, intended_percent, settings)


def _count(metrics: Metrics, window: Window, *, expected: bool) -> Counts | Gap:
    """An arm that should get nothing may well have no series."""
    nothing = Counts(requests=0, errors=0, slow=0, timed=0, first_at=0.0, last_at=0.0, queries=())
    if not window.revision:
        return nothing
    found = count(metrics, window, threshold_ms=None)
    if isinstance(found, Gap) and found.reason in ("no_data", "stale_data") and not expected:
        return nothing
    return found


def _could_not_tell(gap: Gap) -> Observed:
    return Observed(
        agrees=None,
        unknown=True,
        reason=gap.reason,
        sentence=gap.sentence,
        observed_percent=None,
        low_percent=None,
        high_percent=None,
        candidate_requests=0,
        stable_requests=0,
        queries=gap.queries,
    )


def _test(candidate: Counts, stable: Counts, intended_percent: int, settings: ShareSettings) -> Observed:
    from scipy.stats import binomtest

    total = candidate.requests + stable.requests
    low, high = clopper_pearson(candidate.requests, total, 1 - settings.alpha)
    agrees: bool | None
    if total < settings.minimum_requests:
        agrees, reason = None, "insufficient_samples"
        sentence = (
            f"{total} of {settings.minimum_requests} requests counted that are needed to tell the share"
        )
    else:
        if intended_percent in (0, 100):
            strays = stable.requests if intended_percent == 100 else candidate.requests
            p_value = binomtest(strays, total, STRAGGLERS, alternative="greater").pvalue
        else:
            p_value = binomtest(candidate.requests, total, intended_percent / 100).pvalue
        agrees = bool(p_value >= settings.alpha)
        reason = "share_observed" if agrees else "share_not_observed"
        percent = 100 * candidate.requests / total
        sentence = (
            f"{candidate.requests} of {total} requests reached the candidate: {percent:.1f} % "
            f"({100 * low:.1f} to {100 * high:.1f}), {intended_percent} % is intended"
        )
    return Observed(
        agrees=agrees,
        unknown=agrees is False,
        reason=reason,
        sentence=sentence,
        observed_percent=100 * candidate.requests / total if total else None,
        low_percent=100 * low,
        high_percent=100 * high,
        candidate_requests=candidate.requests,
        stable_requests=stable.requests,
        queries=(*candidate.queries, *stable.queries),
    )


class Share:
    """PASS share_observed; WAIT insufficient_samples; UNKNOWN share_not_observed or any reason of a Gap."""

    name: ClassVar[str] = "share"
    phase: ClassVar[Phase] = "bake"
    needs: ClassVar[frozenset[str]] = frozenset({"metrics"})
    Settings: ClassVar[type] = ShareSettings

    def __init__(self, settings: ShareSettings, *, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics

    def judge(self, question: Question) -> Verdict:
        """Test the split since the share was seen."""
        seen = observed_share(
            self._metrics,
            pack=question.metrics_pack,
            namespace=question.namespace,
            candidate_revision=question.candidate.revision,
            stable_revision=question.stable.revision if question.stable else "",
            intended_percent=question.share_percent,
            since=question.since,
            now=question.now,
            settings=self._settings,
        )
        status = Status.PASS if seen.agrees else Status.UNKNOWN if seen.unknown else Status.WAIT
        return Verdict(
            gate=self.name,
            subject=question.subject,
            status=status,
            reason=seen.reason,
            sentence=seen.sentence,
            at=question.now,
            evidence=Evidence(measurements=_measurements(seen, question.share_percent), queries=seen.queries),
        )


def _measurements(seen: Observed, intended_percent: int) -> tuple[Measurement, ...]:
    total = seen.candidate_requests + seen.stable_requests
    return (
        Measurement(
            name="observed_share",
            value=seen.observed_percent,
            unit="percent",
            arm="candidate",
            samples=total,
            low=seen.low_percent,
            high=seen.high_percent,
            threshold=float(intended_percent),
        ),
        Measurement(name="requests", value=seen.candidate_requests, unit="requests", arm="candidate"),
        Measurement(name="requests", value=seen.stable_requests, unit="requests", arm="stable"),
    )
