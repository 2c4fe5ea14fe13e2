"""Does the candidate get the share it should?

An exact test on counted requests of both arms, not a tolerance picked by eye. A split that is not the
intended one is nobody's fault that could be judged, so it is UNKNOWN: nothing advances, and the hold budget
decides how long that is borne.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Lt

from gates.binomial import anytime_bounds
from gates.contract import Evidence, Measurement, Phase, Query, Question, Status, Verdict
from gates.counts import Counts, Gap, Window, count
from gates.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareSettings:
    """How the split is tested."""

    alpha: Annotated[float, Gt(0), Lt(1)] = 0.001
    """Chance that a split as intended is ever taken for another one, over all looks at one share."""
    minimum_requests: Annotated[int, Ge(1)] = 60
    """Of both arms together. Below, even no request at all would not contradict 10 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the metrics show of a split."""

    agrees: bool | None
    """None: could not tell, or too few requests yet."""
    unknown: bool
    """True where something is wrong or cannot be told; False where more requests will tell."""
    reason: str
    sentence: str
    intended_percent: int
    candidate_requests: int = 0
    stable_requests: int = 0
    low_percent: float | None = None
    high_percent: float | None = None
    """Bounds of the candidate's true share that hold at every look."""
    queries: tuple[Query, ...] = ()

    @property
    def requests(self) -> int:
        """Of both arms."""
        return self.candidate_requests + self.stable_requests

    @property
    def observed_percent(self) -> float | None:
        """Of the counted requests that reached the candidate; None where none was counted."""
        return 100 * self.candidate_requests / self.requests if self.requests else None


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
    scrape_seconds: float,
    settings: ShareSettings | None = None,
) -> Observed:
    """Count both arms' requests since an instant and test them against the intended share (0..100).

    Between 0 and 100 the split agrees unless the intended share lies outside the bounds. At 0 and 100 one arm
    must be silent: it agrees when that arm answered nothing in the later half of the window, so that
    requests which were under way when the share changed are borne, and a trickle is not.

    Args:
        stable_revision: "" where there is none, as for a first version or when one revision has everything.

    Raises:
        Exception: whatever the metrics source raises when it has no answer.
    """
    window = Window(
        pack=pack,
        namespace=namespace,
        revision=candidate_revision,
        since=since.timestamp(),
        now=now.timestamp(),
        scrape_seconds=scrape_seconds,
    )
    candidate = _count(metrics, window, expected=intended_percent > 0)
    if isinstance(candidate, Gap):
        return _could_not_tell(candidate, intended_percent)
    if stable_revision and stable_revision == candidate_revision:
        same = Gap(
            reason="same_revision", sentence=f"both arms are {stable_revision}: they cannot be told apart"
        )
        return _could_not_tell(same, intended_percent)
    stable = _count(metrics, replace(window, revision=stable_revision), expected=intended_percent < 100)
    if isinstance(stable, Gap):
        return _could_not_tell(stable, intended_percent)
    return _test(candidate, stable, intended_percent, window, settings or ShareSettings())


def _count(metrics: Metrics, window: Window, *, expected: bool) -> Counts | Gap:
    """An arm that should get nothing may well have no series, or none any more."""
    found = count(metrics, window)
    if isinstance(found, Counts) or expected:
        return found
    if found.reason in ("revision_unknown", "too_early", "no_data", "stale_data"):
        return Counts(
            requests=0, errors=0, first_at=0.0, last_at=0.0, moved_at=0.0, resets=0, queries=found.queries
        )
    return found


def _could_not_tell(gap: Gap, intended_percent: int) -> Observed:
    return Observed(
        agrees=None,
        unknown=not gap.waiting,
        reason=gap.reason,
        sentence=gap.sentence,
        intended_percent=intended_percent,
        queries=gap.queries,
    )


def _test(
    candidate: Counts, stable: Counts, intended_percent: int, window: Window, settings: ShareSettings
) -> Observed:
    total = candidate.requests + stable.requests
    low, high = anytime_bounds(candidate.requests, total, settings.alpha)
    counted = (
        f"{candidate.requests} of {total} requests reached the candidate "
        f"({100 * low:.1f} to {100 * high:.1f} %), {intended_percent} % is intended"
    )
    agrees: bool | None
    if intended_percent in (0, 100):
        silent = candidate if intended_percent == 0 else stable
        agrees = silent.moved_at <= (window.since + window.now) / 2
    else:
        agrees = low <= intended_percent / 100 <= high
    reason = "share_observed" if agrees else "share_not_observed"
    if agrees and total < settings.minimum_requests:
        agrees, reason = None, "insufficient_samples"
        counted += f"; {settings.minimum_requests} requests are needed to tell"
    return Observed(
        agrees=agrees,
        unknown=agrees is False,
        reason=reason,
        sentence=counted,
        intended_percent=intended_percent,
        candidate_requests=candidate.requests,
        stable_requests=stable.requests,
        low_percent=100 * low,
        high_percent=100 * high,
        queries=(*candidate.queries, *stable.queries),
    )


class Share:
    """Whether both arms together got what the split promises.

    ==========================================  =======  ==============================
    what is counted                             verdict  reason
    ==========================================  =======  ==============================
    the intended share is within the bounds     PASS     share_observed
    too few requests, nothing against it        WAIT     insufficient_samples
    the window is too young for a scrape        WAIT     too_early
    the intended share is outside the bounds    UNKNOWN  share_not_observed
    both arms are one revision                  UNKNOWN  same_revision
    an arm cannot be counted                    UNKNOWN  a reason of gates.counts.Gap
    ==========================================  =======  ==============================
    """

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
            scrape_seconds=question.scrape_seconds,
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
            evidence=Evidence(measurements=_measurements(seen), queries=seen.queries),
        )


def _measurements(seen: Observed) -> tuple[Measurement, ...]:
    if seen.low_percent is None:
        return ()
    return (
        Measurement(
            name="observed_share",
            value=seen.observed_percent,
            unit="percent",
            arm="candidate",
            samples=seen.requests,
            low=seen.low_percent,
            high=seen.high_percent,
            threshold=float(seen.intended_percent),
        ),
        Measurement(name="requests", value=seen.candidate_requests, unit="requests", arm="candidate"),
        Measurement(name="requests", value=seen.stable_requests, unit="requests", arm="stable"),
    )
