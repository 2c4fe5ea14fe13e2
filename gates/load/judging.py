"""What recordings say about the target, and whether the generator was fit to say it: pure.

A request is *slow* when it took longer than the threshold from the instant the schedule wanted it sent, or
when it failed: nobody was served in time. A request *failed* when it ended in anything but HTTP 200 with an
``outputs`` array.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from gates.binomial import clopper_pearson, quantile_bounds
from gates.contract import Evidence, Measurement, Objectives, Status
from gates.load.distribution import distribution
from gates.load.recording import Recording, Run
from gates.load.settings import LoadSettings

_REFUSED = re.compile(
    "http_[34][0-9][0-9]|grpc_(invalid_argument|not_found|permission_denied|unauthenticated|unimplemented)"
)
_ANSWERED = re.compile("ok|no_outputs|cut_off|http_.*|grpc_(?!unavailable|deadline_exceeded|cancelled).*")
_QUANTILES = (50, 90, 99)


@dataclass(frozen=True, slots=True)
class Say:
    """What one look, or all looks together, come to."""

    status: Status
    reason: str
    sentence: str
    final: bool = True
    """False: another look may settle it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of the requests were of one kind, and how many may be."""

    name: Literal["slow", "failed", "late"]
    hits: int
    requests: int
    budget: float
    """Between 0 and 1."""
    low: float
    high: float

    @property
    def standing(self) -> Literal["within", "over", "open"]:
        """Where the whole interval lies."""
        if self.low > self.budget:
            return "over"
        return "within" if self.high <= self.budget else "open"

    def __str__(self) -> str:
        return (
            f"{self.hits} of {self.requests} requests {'' if self.name == 'failed' else 'were'} {self.name} "
            f"({100 * self.low:.3g} to {100 * self.high:.3g} %, budget {100 * self.budget:.3g} %)"
        ).replace("  ", " ")


def shares(recordings: Sequence[Recording], objectives: Objectives, confidence: float) -> tuple[Share, Share]:
    """Slow and failed requests of all looks together, with their bounds."""
    edge_us = objectives.latency_threshold_ms * 1000
    requests = [
        (latency, kind)
        for one in recordings
        for latency, kind in zip(one.latencies_us, one.kinds, strict=True)
    ]
    failed = sum(kind != "ok" for _, kind in requests)
    slow = sum(kind != "ok" or latency > edge_us for latency, kind in requests)
    return (
        _share("slow", slow, len(requests), objectives.latency_budget_percent, confidence),
        _share("failed", failed, len(requests), objectives.error_budget_percent, confidence),
    )


def late_share(looks: Sequence[Recording], objectives: Objectives, settings: LoadSettings) -> Share | None:
    """Streamed answers whose first token came late or never; None where no such time is set."""
    if not settings.first_token_threshold_ms:
        return None
    edge_us = settings.first_token_threshold_ms * 1000
    requests = sum(len(one.kinds) for one in looks)
    in_time = sum(first <= edge_us for one in looks for first in one.firsts_us)
    budget, confidence = objectives.latency_budget_percent, settings.bound_confidence
    return _share("late", requests - in_time, requests, budget, confidence)


def _share(
    name: Literal["slow", "failed", "late"],
    hits: int,
    requests: int,
    budget_percent: float,
    confidence: float,
) -> Share:
    low, high = clopper_pearson(hits, requests, confidence)
    return Share(name=name, hits=hits, requests=requests, budget=budget_percent / 100, low=low, high=high)


def say(
    calibrations: Sequence[Recording],
    looks: Sequence[Recording],
    objectives: Objectives,
    settings: LoadSettings,
) -> Say:
    """The verdict on all looks so far, with what was tried at an endpoint that answers at once."""
    if signs := unfit(calibrations, looks, objectives, settings):
        return _unfit("; ".join(dict.fromkeys(signs.values())))
    if nobody := _nobody_served(looks):
        return nobody
    slow, failed = shares(looks, objectives, settings.bound_confidence)
    if failed.standing == "over":
        return Say(Status.FAIL, "error_budget_exceeded", f"At peak {failed}; mostly {_commonest(looks)}.")
    if slow.standing == "over":
        edge = f"slow means over {objectives.latency_threshold_ms:g} ms or failed"
        return Say(Status.FAIL, "latency_budget_exceeded", f"At peak {slow}; {edge}.")
    late = late_share(looks, objectives, settings)
    if late is not None and late.standing == "over":
        edge = f"late means no first token within {settings.first_token_threshold_ms:g} ms"
        return Say(Status.FAIL, "first_token_budget_exceeded", f"At peak {late}; {edge}.")
    if dropped := _dropped(looks, settings):
        return _unfit(dropped)
    asked = [slow, failed, *([late] if late is not None else [])]
    still = next((share for share in asked if share.standing == "open"), None)
    if still is None:
        return Say(Status.PASS, "within_budgets", f"At peak {' and '.join(map(str, asked))}.")
    sentence = f"At peak {still}: neither within nor over; {_needed(still, settings)}."
    return Say(Status.UNKNOWN, "load_inconclusive", sentence, final=False)


def unfit(
    calibrations: Sequence[Recording],
    looks: Sequence[Recording],
    objectives: Objectives,
    settings: LoadSettings,
) -> dict[str, str]:
    """Every sign that what was measured is the generator's own doing: its name and what was seen.

    Arrivals that were dropped at the target are not among them: a target that does not answer causes them.
    """
    edge_ms = objectives.latency_threshold_ms
    found: dict[str, str] = {}
    for one in calibrations:
        found |= _unfit_at_nothing(one, edge_ms, settings)
    for one in looks:
        found |= dict(_unfit_at_target(one, edge_ms, settings))
    return found


def _unfit_at_nothing(one: Recording, edge_ms: float, settings: LoadSettings) -> dict[str, str]:
    where = "an endpoint that answers at once"
    wrong = sum(kind != "ok" for kind in one.kinds)
    if wrong or not one.kinds:
        return {"null_failed": f"{wrong} of {len(one.kinds)} requests to {where} failed"}
    if 100 * one.dropped > one.scheduled * settings.maximum_dropped_percent:
        return {"null_dropped": f"{one.dropped} of {one.scheduled} requests to {where} were not sent"}
    overhead_ms = percentile_ms(one.latencies_us, 99)
    if overhead_ms > edge_ms * settings.maximum_overhead_percent / 100:
        allowed = f"{settings.maximum_overhead_percent:g} % of {edge_ms:g} ms is allowed"
        return {"overhead": f"against {where} its p99 is {overhead_ms:.3g} ms, {allowed}"}
    return {}


def _unfit_at_target(one: Recording, edge_ms: float, settings: LoadSettings) -> Iterator[tuple[str, str]]:
    lag_ms = percentile_ms(one.lags_us, 99) if one.lags_us else 0.0
    if lag_ms > edge_ms * settings.maximum_lag_percent / 100:
        allowed = f"{settings.maximum_lag_percent:g} % of {edge_ms:g} ms is allowed"
        yield "lag", f"it sent {lag_ms:.3g} ms late at its p99, {allowed}"
    if (cpu := _cpu_percent(one)) > settings.maximum_cpu_percent:
        yield "cpu", f"it used {cpu:.0f} % of a core, {settings.maximum_cpu_percent:g} % is allowed"


def _unfit(why: str) -> Say:
    return Say(Status.UNKNOWN, "generator_unfit", f"The load generator is not fit to judge: {why}.")


def _nobody_served(looks: Sequence[Recording]) -> Say | None:
    """All requests met the same wall: that says nothing about how the model bears the load."""
    kinds = Counter(kind for one in looks for kind in one.kinds)
    answered = {kind for kind in kinds if _ANSWERED.fullmatch(kind)}
    if kinds and not answered:
        sentence = f"None of {kinds.total()} requests got an answer, mostly {_commonest(looks)}."
        return Say(Status.UNKNOWN, "target_unreachable", sentence)
    if kinds and all(_REFUSED.fullmatch(kind) for kind in answered):
        sentence = (
            f"The target refused every request, mostly {_commonest(looks)}: look at the payloads' columns, "
            f"the model's name and who may call it."
        )
        return Say(Status.UNKNOWN, "requests_refused", sentence)
    return None


def _dropped(looks: Sequence[Recording], settings: LoadSettings) -> str:
    dropped, scheduled = sum(one.dropped for one in looks), sum(one.scheduled for one in looks)
    if scheduled and 100 * dropped / scheduled > settings.maximum_dropped_percent:
        return (
            f"{dropped} of {scheduled} requests were not sent, since {settings.maximum_in_flight} waited "
            f"for their answers already"
        )
    return ""


def _commonest(looks: Sequence[Recording]) -> str:
    kinds = Counter(kind for one in looks for kind in one.kinds if kind != "ok")
    return ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common(2))


def _needed(share: Share, settings: LoadSettings) -> str:
    """How many requests it takes when none is bad."""
    if not 0.0 < share.budget < 1.0:
        return f"no number of requests can show {100 * share.budget:g} %"
    tail = (1.0 - settings.bound_confidence) / 2
    least = math.ceil(math.log(tail) / math.log1p(-share.budget))
    return f"{least} requests of which none is {share.name} would be enough"


# ------------------------------------------------------------------------- evidence


def evidence(
    calibrations: Sequence[Recording],
    looks: Sequence[Recording],
    objectives: Objectives,
    settings: LoadSettings,
    rate: float,
) -> Evidence:
    """Counts and bounds that decided, percentiles for people, and how fit the generator was."""
    confidence = settings.bound_confidence
    return Evidence(
        measurements=(
            *(_share_measurement(share) for share in shares(looks, objectives, confidence)),
            *(_share_measurement(one) for one in [late_share(looks, objectives, settings)] if one),
            *_percentiles(looks, objectives, confidence),
            *_first_tokens(looks, settings),
            *_throughput(looks, rate),
            *_fitness(calibrations, looks, objectives, settings),
        ),
        facts=MappingProxyType(_facts(calibrations, looks, objectives, settings)),
    )


def _share_measurement(share: Share) -> Measurement:
    return Measurement(
        name=f"{share.name}_percent",
        value=100 * share.hits / share.requests if share.requests else None,
        unit="percent",
        arm="candidate",
        samples=share.requests,
        low=100 * share.low,
        high=100 * share.high,
        threshold=100 * share.budget,
    )


def _percentiles(
    looks: Sequence[Recording], objectives: Objectives, confidence: float
) -> Iterator[Measurement]:
    """Of all requests, failed ones with the time until they failed; bounds are order statistics."""
    latencies = sorted(latency for one in looks for latency in one.latencies_us)
    for percent in _QUANTILES if latencies else ():
        bounds = quantile_bounds(len(latencies), percent / 100, confidence)
        yield Measurement(
            name=f"p{percent}_ms",
            value=percentile_ms(latencies, percent),
            unit="ms",
            arm="candidate",
            samples=len(latencies),
            low=latencies[bounds[0]] / 1000 if bounds else None,
            high=latencies[bounds[1]] / 1000 if bounds else None,
            threshold=objectives.latency_threshold_ms if percent == 99 else None,
        )


def _first_tokens(looks: Sequence[Recording], settings: LoadSettings) -> Iterator[Measurement]:
    """Of the streamed answers that had a first token."""
    firsts = sorted(first for one in looks for first in one.firsts_us)
    for percent in _QUANTILES if firsts else ():
        yield Measurement(
            name=f"first_token_p{percent}_ms",
            value=percentile_ms(firsts, percent),
            unit="ms",
            arm="candidate",
            samples=len(firsts),
            threshold=(settings.first_token_threshold_ms or None) if percent == 99 else None,
        )


def _throughput(looks: Sequence[Recording], rate: float) -> Iterator[Measurement]:
    """What was asked for and what was served well; a target that does not keep up is slow as well."""
    seconds = sum(one.window_seconds for one in looks)
    for name, count in (
        ("offered_rps", sum(one.scheduled for one in looks)),
        ("served_rps", sum(kind == "ok" for one in looks for kind in one.kinds)),
    ):
        yield Measurement(
            name=name,
            value=count / seconds,
            unit="requests per second",
            arm="candidate",
            samples=count,
            threshold=rate,
        )


def _fitness(
    calibrations: Sequence[Recording],
    looks: Sequence[Recording],
    objectives: Objectives,
    settings: LoadSettings,
) -> Iterator[Measurement]:
    """The worst of several, as each is held against its limit."""
    edge_ms = objectives.latency_threshold_ms
    rows = (
        (
            "generator_overhead_p99_ms",
            [one.latencies_us for one in calibrations],
            settings.maximum_overhead_percent,
        ),
        ("generator_lag_p99_ms", [one.lags_us for one in looks], settings.maximum_lag_percent),
    )
    for name, times_us, allowed_percent in rows:
        yield Measurement(
            name=name,
            value=max((percentile_ms(one, 99) for one in times_us if one), default=None),
            unit="ms",
            samples=sum(map(len, times_us)),
            threshold=edge_ms * allowed_percent / 100,
        )
    yield Measurement(
        name="generator_cpu_percent",
        value=max(_cpu_percent(one) for one in looks),
        unit="percent",
        threshold=settings.maximum_cpu_percent,
    )
    yield Measurement(name="dropped", value=sum(one.dropped for one in looks), unit="requests")


def _facts(
    calibrations: Sequence[Recording],
    looks: Sequence[Recording],
    objectives: Objectives,
    settings: LoadSettings,
) -> Mapping[str, object]:
    dropped = ["in_flight_cap"] if _dropped(looks, settings) else []
    return {
        "unfit": [*unfit(calibrations, looks, objectives, settings), *dropped],
        "latencies_ms": distribution(
            [latency for one in looks for latency in one.latencies_us], objectives.latency_threshold_ms
        ),
        "looks": len(looks),
        "confidence": settings.confidence,
        "bound_confidence": settings.bound_confidence,
        "seed": settings.seed,
        "schedules_sha256": [one.schedule_sha256 for one in looks],
        "pacing": looks[-1].pacing,
        "answers": dict(Counter(kind for one in looks for kind in one.kinds)),
        "versions": dict(looks[-1].versions),
    }


def swept(run: Run, one: Recording, edge_ms: float) -> dict[str, object]:
    """A row about another rate: what was offered, served well and slow, and the generator's own lateness."""
    slow = sum(
        kind != "ok" or latency > edge_ms * 1000
        for latency, kind in zip(one.latencies_us, one.kinds, strict=True)
    )
    times = {
        f"p{percent}_ms": percentile_ms(one.latencies_us, percent) if one.kinds else None
        for percent in _QUANTILES
    }
    return {
        "rate_rps": run.rate_rps,
        "requests": len(one.kinds),
        "served_rps": sum(kind == "ok" for kind in one.kinds) / one.window_seconds,
        "slow": slow,
        "failed": sum(kind != "ok" for kind in one.kinds),
        "dropped": one.dropped,
        **times,
        "generator_lag_p99_ms": percentile_ms(one.lags_us, 99) if one.kinds else None,
        "generator_cpu_percent": _cpu_percent(one),
    }


def percentile_ms(times_us: Sequence[int], percent: int) -> float:
    """The smallest value that ``percent`` of all do not exceed, in milliseconds."""
    ranked = sorted(times_us)
    return ranked[math.ceil(len(ranked) * percent / 100) - 1] / 1000


def _cpu_percent(recording: Recording) -> float:
    return 100 * recording.cpu_seconds / recording.window_seconds
