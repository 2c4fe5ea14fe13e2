"""The numbers a gate reads: the Metrics protocol, the packs that say how to count, exact counts.

Rates and quantiles are never asked for: ``rate()`` and ``increase()`` extrapolate, and a quantile of
buckets is a guess. A gate fetches the raw samples of counters and takes differences, resets included, so
that what it judges are whole requests. What cannot be counted soundly is a :class:`Gap` with its own
reason, never a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gates.contract import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series of an answer: its labels and its raw samples, oldest first."""

    labels: Mapping[str, str]
    samples: tuple[tuple[float, float], ...]
    """(seconds since the epoch, value)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a metrics server answered, with the question."""

    query: str
    at: float
    server: str
    series: tuple[Series, ...]
    warnings: tuple[str, ...]
    """Anything the server added: a partial answer is not a whole one."""


class Metrics(Protocol):
    """The two questions gates ask of a metrics server.

    Both raise an error of the caller's choice when there is no usable answer; gates let it pass, and
    whoever runs the gate records UNKNOWN.
    """

    def samples(self, selector: str, *, at: float, window_seconds: float) -> Answer:
        """Raw samples of ``selector[window]`` ending at ``at``: what exact counts are made of."""
        ...

    def value(self, query: str, *, at: float) -> Answer:
        """An instant query evaluated at ``at``; each series has one sample."""
        ...


# ------------------------------------------------------------------------ packs


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """How one kind of telemetry counts the requests of one arm."""

    requests: str
    """Counter of answered requests, one series per class or code of the answer."""
    code_label: str
    """Its label that tells the class or code; a value that begins with 5 is an error."""
    bucket: str
    """Latency histogram's buckets."""
    edges_per_ms: float
    """What one millisecond is in the unit of ``le``."""
    labels: Callable[[str, str], Mapping[str, str]]
    """(namespace, revision) -> the labels that select one arm."""


PACKS: Mapping[str, Pack] = {
    "envoy": Pack(
        requests="envoy_cluster_upstream_rq_xx",
        code_label="envoy_response_code_class",
        bucket="envoy_cluster_upstream_rq_time_bucket",
        edges_per_ms=1.0,
        labels=lambda namespace, revision: {"envoy_cluster_name": f"{namespace}/{revision}"},
    ),
    "istio": Pack(
        requests="istio_requests_total",
        code_label="response_code",
        bucket="istio_request_duration_milliseconds_bucket",
        edges_per_ms=1.0,
        labels=lambda namespace, revision: {
            "reporter": "destination",
            "destination_service_name": revision,
            "destination_workload_namespace": namespace,
        },
    ),
}


def selector(metric: str, labels: Mapping[str, str]) -> str:
    """A PromQL selector; label values are escaped, so that no value can end its quotes."""
    matchers = ",".join(f"{name}={_quoted(value)}" for name, value in labels.items())
    return f"{metric}{{{matchers}}}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


# ----------------------------------------------------------------- exact counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Whole requests of one arm in one window."""

    requests: int
    errors: int
    slow: int
    """Took longer than the threshold; 0 where no threshold was asked for."""
    timed: int
    """Requests the latency histogram saw; shares of slow ones are of these."""
    first_at: float
    last_at: float
    """First and last sample used, seconds since the epoch."""
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Why an arm could not be counted."""

    reason: str
    """no_data, stale_data, partial_data, implausible_data, edge_missing or unknown_pack"""
    sentence: str
    queries: tuple[Query, ...] = ()


STALE_SCRAPES = 4.0
"""A last sample this many scrape intervals old is stale: one scrape may fail, four in a row are an outage."""
IMPLAUSIBLE_FROM = 50
"""This many requests all below the lowest edge of the histogram are not a fast model but a broken meter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Whose requests are counted, and when."""

    pack: str
    namespace: str
    revision: str
    since: float
    now: float
    """Seconds since the epoch; nothing sampled before ``since`` is used."""
    scrape_seconds: float


def count(metrics: Metrics, window: Window, *, threshold_ms: float | None) -> Counts | Gap:
    """Count one arm's requests, errors and slow requests between the first and the last sample of a window.

    Args:
        threshold_ms: must be an edge of the histogram; None: latency is not asked for.

    Raises:
        Exception: whatever the metrics source raises when it has no answer.
    """
    pack = PACKS.get(window.pack)
    if pack is None:
        return Gap(reason="unknown_pack", sentence=f"there is no metrics pack {window.pack!r}")
    labels = pack.labels(window.namespace, window.revision)
    answers = [_fetch(metrics, selector(pack.requests, labels), window)]
    if threshold_ms is not None:
        answers.append(_fetch(metrics, selector(pack.bucket, labels), window))
    queries = tuple(_query(answer, window) for answer in answers)
    for answer in answers:
        if gap := _unusable(answer, window, queries):
            return gap
    by_code = _differences(answers[0].series, pack.code_label)
    requests = sum(by_code.values())
    errors = sum(value for code, value in by_code.items() if code.startswith("5"))
    slow = timed = 0
    if threshold_ms is not None:
        buckets = _differences(answers[1].series, "le")
        latency = _latency(buckets, threshold_ms * pack.edges_per_ms, requests)
        if isinstance(latency, tuple):
            slow, timed = latency
        else:
            return Gap(
                reason=latency.reason, sentence=f"{window.revision}: {latency.sentence}", queries=queries
            )
    times = [at for series in answers[0].series for at, _ in series.samples]
    return Counts(
        requests=requests,
        errors=errors,
        slow=slow,
        timed=timed,
        first_at=min(times),
        last_at=max(times),
        queries=queries,
    )


def _fetch(metrics: Metrics, query: str, window: Window) -> Answer:
    answer = metrics.samples(query, at=window.now, window_seconds=window.now - window.since)
    inside = (
        Series(labels=one.labels, samples=tuple(s for s in one.samples if window.since <= s[0] <= window.now))
        for one in answer.series
    )
    return Answer(
        query=answer.query,
        at=answer.at,
        server=answer.server,
        series=tuple(one for one in inside if one.samples),
        warnings=answer.warnings,
    )


def _query(answer: Answer, window: Window) -> Query:
    return Query(
        text=answer.query,
        at=answer.at,
        window_seconds=window.now - window.since,
        server=answer.server,
        series=len(answer.series),
        samples=sum(len(series.samples) for series in answer.series),
        warnings=answer.warnings,
    )


def _unusable(answer: Answer, window: Window, queries: tuple[Query, ...]) -> Gap | None:
    """Why an answer cannot be counted from; None when it can."""
    reason = sentence = ""
    samples = [sample for series in answer.series for sample in series.samples]
    newest = max((at for at, _ in samples), default=0.0)
    if answer.warnings:
        reason, sentence = "partial_data", f"the server warned: {'; '.join(answer.warnings)}"
    elif not samples:
        reason, sentence = "no_data", f"nothing was sampled in {window.now - window.since:.0f} s"
    elif any(not math.isfinite(value) or value < 0 for _, value in samples):
        reason, sentence = "implausible_data", "a counter holds NaN, infinity or a negative number"
    elif window.now - newest > STALE_SCRAPES * window.scrape_seconds:
        reason, sentence = "stale_data", f"the newest sample is {window.now - newest:.0f} s old"
    if not reason:
        return None
    return Gap(reason=reason, sentence=f"{window.revision}: {sentence} ({answer.query})", queries=queries)


def _differences(series: Iterable[Series], label: str) -> dict[str, int]:
    """By how much counters grew, added up by one label.

    A series that appears after a sibling of the same source (same labels but that one) was sampled began at
    0 when it appeared: the first error ever must not be lost. One without such a sibling starts from its
    first sample, since it may have counted long before it was scraped.
    """
    series = tuple(series)
    began: dict[tuple[tuple[str, str], ...], float] = {}
    for one in series:
        source = _source(one, label)
        began[source] = min(began.get(source, math.inf), one.samples[0][0])
    grown: dict[str, int] = {}
    for one in series:
        appeared_later = one.samples[0][0] > began[_source(one, label)]
        key = one.labels.get(label, "")
        grown[key] = grown.get(key, 0) + _growth(one, from_zero=appeared_later)
    return grown


def _source(series: Series, label: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in series.labels.items() if name != label))


def _growth(series: Series, *, from_zero: bool) -> int:
    before = 0.0 if from_zero else series.samples[0][1]
    total = 0.0
    for _, value in series.samples:
        total += value - before if value >= before else value  # a drop is a restart: all of it is new
        before = value
    return round(total)


@dataclass(frozen=True, slots=True)
class _Implausible:
    reason: str
    sentence: str


def _latency(buckets: Mapping[str, int], edge: float, requests: int) -> tuple[int, int] | _Implausible:
    """(slow, timed) from cumulative buckets."""
    edges = {float(le): grown for le, grown in buckets.items()}
    timed = edges.get(math.inf, 0)
    finite = sorted(one for one in edges if math.isfinite(one))
    within = [one for one in finite if math.isclose(one, edge, rel_tol=1e-9)]
    if math.inf not in edges or not within:
        known = ", ".join(f"{one:g}" for one in finite)
        return _Implausible(
            "edge_missing", f"the histogram has no edge at {edge:g}; it has {known or 'none'}"
        )
    if timed >= IMPLAUSIBLE_FROM and edges[finite[0]] == timed:
        return _Implausible(
            "implausible_data", f"all {timed} requests took less than {finite[0]:g}: a broken meter"
        )
    if requests >= IMPLAUSIBLE_FROM and timed == 0:
        return _Implausible("implausible_data", f"{requests} requests were counted and none of them timed")
    slow = timed - edges[within[0]]
    if slow < 0:
        return _Implausible("implausible_data", "the histogram's buckets are not cumulative")
    return slow, timed
