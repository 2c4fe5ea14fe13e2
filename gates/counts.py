"""Exact counts of one arm's requests.

Rates and quantiles are never asked for: ``rate()`` and ``increase()`` extrapolate, and a quantile of
buckets is a guess. The raw samples of counters are fetched and their differences taken, resets included,
so that what is judged are whole requests. What cannot be counted soundly is a :class:`Gap` with its own
reason, never a number. A hole between two samples costs nothing, since counters go on counting.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise

from gates.contract import Query
from gates.metrics import PACKS, REPLICA_LABELS, Answer, Metrics, Pack, Series

TOO_EARLY = "too_early"
"""The one reason of a Gap that only means to wait."""
STALE_SCRAPES = 4.0
"""A last sample this many scrape intervals old is stale: one scrape may fail, four in a row are an outage."""
IMPLAUSIBLE_FROM = 50
FAST_MS = 1.0
"""So many requests all below a lowest edge above this are no fast model but a broken meter: some releases of
Knative wrote every latency under a second as 0, into a first bucket of 5 ms."""


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

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.now - self.since

    @property
    def patience_seconds(self) -> float:
        """Age from which a last sample is stale."""
        return STALE_SCRAPES * self.scrape_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Whole requests of one arm, between the first and the last sample of a window."""

    requests: int
    errors: int
    first_at: float
    last_at: float
    """First and last sample used, seconds since the epoch."""
    moved_at: float
    """The sample at which requests were last found to have been answered; 0 where none were."""
    resets: int
    """How often a counter began again, as after a restart; what it showed then was added."""
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How many requests of one arm were timed, and how many of them took longer than the threshold."""

    timed: int
    slow: int
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What one arm counted, by the time of the sample that showed it."""

    requests: Mapping[float, tuple[int, int]]
    """Time -> (requests, errors) since the sample before."""
    within: Mapping[float, Mapping[float, int]]
    """Time -> edge in ms -> requests timed at most that long; the infinite edge has all that were timed."""
    untimed: Gap | None
    """Why nothing can be told of latencies; None where it can."""
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Why an arm could not be counted.

    ====================  ============================================================================
    reason                when
    ====================  ============================================================================
    unknown_pack          there is no pack of this name
    revision_unknown      the serving layer has not named the arm's revision
    known_wrong           this release of what counts is known to count wrongly
    revision_unlabelled   there are series, but none says of which revision it is
    partial_data          the server warned: the answer may not be whole
    no_data               nothing was sampled although there was time for it
    too_early             nothing was sampled, but the window is shorter than a stale sample is old
    stale_data            the newest sample is old
    not_a_number          a counter holds NaN or infinity
    implausible_data      a negative or fractional counter, buckets that do not add up, requests that are
                          not timed, all latency below a lowest edge above 1 ms
    several_series        requests of one process are counted twice
    edge_missing          the histogram cannot tell who was slower than the threshold
    no_histogram          this kind of telemetry has no latency histogram
    ====================  ============================================================================
    """

    reason: str
    sentence: str
    waiting: bool = False
    """True where nothing is wrong yet and time will tell."""
    queries: tuple[Query, ...] = ()


def count(metrics: Metrics, window: Window) -> Counts | Gap:
    """Count one arm's requests and errors.

    Raises:
        Exception: whatever the metrics source raises when it has no answer.
    """
    found = _counters(metrics, window)
    if isinstance(found, Gap):
        return found
    pack, answer = found
    by_code = _growth(answer.series, pack.code_label)
    resets = _reset_times(answer.series, pack.code_label)
    times = [at for series in answer.series for at, _ in series.samples]
    return Counts(
        requests=sum(by_code.values()),
        errors=sum(grown for code, grown in by_code.items() if pack.failed(code)),
        first_at=min(times),
        last_at=max(times),
        moved_at=_moved_at(answer.series, pack.code_label),
        resets=len(resets),
        queries=(_query(answer, window.seconds),),
    )


def _counters(metrics: Metrics, window: Window) -> tuple[Pack, Answer] | Gap:
    """The counters of one arm's requests, if they can be counted from."""
    pack = _pack(window)
    if isinstance(pack, Gap):
        return pack
    if gap := _known_wrong(metrics, pack, window):
        return gap
    answer = _fetch(metrics, pack.counters(window.namespace, window.revision), window)
    if gap := _unusable(answer, window, pack, pack.code_label):
        queries = (_query(answer, window.seconds),)
        return _explained(metrics, pack, window, replace(gap, queries=queries))
    return pack, answer


def time_requests(metrics: Metrics, window: Window, *, threshold_ms: float, answered: int) -> Timings | Gap:
    """Count how many of one arm's requests were slow; the threshold must be an edge of the histogram.

    Args:
        answered: requests that were answered well; those must have been timed. A request that failed need
            not be: Envoy times none that it gave up.

    Raises:
        Exception: whatever the metrics source raises when it has no answer.
    """
    pack = _pack(window)
    if isinstance(pack, Gap):
        return pack
    if not pack.bucket:
        return _no_histogram(window)
    arm = window.namespace, window.revision
    listed = metrics.value(f"count by (le) ({pack.buckets(*arm)})", at=window.now)
    queries: tuple[Query, ...] = (_query(listed, 0.0),)
    if listed.warnings:
        return _gap("partial_data", _warned(listed), listed, window, queries)
    if not listed.series and answered < IMPLAUSIBLE_FROM:
        return Timings(timed=0, slow=0, queries=queries)
    edges = _edges(listed, threshold_ms * pack.edges_per_ms)
    if isinstance(edges, str):
        return _gap("edge_missing", edges, listed, window, queries)
    answer = _fetch(metrics, pack.buckets(*arm, edges=edges), window)
    queries += (_query(answer, window.seconds),)
    if gap := _unusable(answer, window, pack, "le"):
        return replace(gap, queries=queries)
    within, first, timed = _latency(answer.series, threshold_ms * pack.edges_per_ms)
    lowest_ms = min(map(float, edges)) / pack.edges_per_ms
    if problem := _implausible(within, first, timed, answered, lowest_ms):
        return _gap("implausible_data", problem, answer, window, queries)
    return Timings(timed=timed, slow=timed - within, queries=queries)


def trace(metrics: Metrics, window: Window, *, threshold_ms: float) -> Trace | Gap:
    """Count one arm sample by sample: requests, errors, and answers above every edge of the histogram.

    Raises:
        Exception: whatever the metrics source raises when it has no answer.
    """
    found = _counters(metrics, window)
    if isinstance(found, Gap):
        return found
    pack, answer = found
    queries = (_query(answer, window.seconds),)
    requests: dict[float, tuple[int, int]] = {}
    for code, at, new in _steps(answer.series, pack.code_label):
        before = requests.get(at, (0, 0))
        requests[at] = before[0] + int(new), before[1] + (int(new) if pack.failed(code) else 0)
    if not pack.bucket:
        return Trace(requests=requests, within={}, untimed=_no_histogram(window), queries=queries)
    answered = sum(all_of_them - errors for all_of_them, errors in requests.values())
    buckets = _fetch(metrics, pack.buckets(window.namespace, window.revision), window)
    untimed = _untimed(buckets, window, pack, threshold_ms, answered)
    return Trace(
        requests=requests,
        within={} if untimed else _within(buckets.series, pack.edges_per_ms),
        untimed=untimed,
        queries=(*queries, _query(buckets, window.seconds)),
    )


def _no_histogram(window: Window) -> Gap:
    sentence = f"{window.revision}: {window.pack} has no latency histogram, and means are not judged"
    return Gap(reason="no_histogram", sentence=f"{sentence}; choose a pack of what is before it")


def _untimed(answer: Answer, window: Window, pack: Pack, threshold_ms: float, answered: int) -> Gap | None:
    """Why a histogram cannot be counted from; None when it can."""
    if not answer.series and not answer.warnings and answered < IMPLAUSIBLE_FROM:
        return None
    edge = threshold_ms * pack.edges_per_ms
    if not answer.warnings and isinstance(edges := _edges(answer, edge), str):
        return _gap("edge_missing", edges, answer, window)
    if gap := _unusable(answer, window, pack, "le"):
        return gap
    within, first, timed = _latency(answer.series, edge)
    lowest_ms = min(map(float, edges)) / pack.edges_per_ms
    if problem := _implausible(within, first, timed, answered, lowest_ms):
        return _gap("implausible_data", problem, answer, window)
    return None


def _within(series: tuple[Series, ...], edges_per_ms: float) -> dict[float, dict[float, int]]:
    within: dict[float, dict[float, int]] = {}
    for text, at, new in _steps(series, "le"):
        edge_ms, here = float(text) / edges_per_ms, within.setdefault(at, {})
        here[edge_ms] = here.get(edge_ms, 0) + int(new)
    return within


def _pack(window: Window) -> Pack | Gap:
    if window.pack not in PACKS:
        known = ", ".join(PACKS)
        sentence = f"there is no metrics pack {window.pack!r}; there are {known}"
        return Gap(reason="unknown_pack", sentence=sentence)
    if not window.revision:  # an empty matcher would select every series that lacks the label
        sentence = f"the revision of one arm in {window.namespace} is not known yet"
        return Gap(reason="revision_unknown", sentence=sentence)
    return PACKS[window.pack]


def _known_wrong(metrics: Metrics, pack: Pack, window: Window) -> Gap | None:
    for telltale, sentence in pack.lying(window.namespace, window.revision):
        answer = metrics.value(f"count({telltale})", at=window.now)
        queries = (_query(answer, 0.0),)
        if answer.warnings:
            return _gap("partial_data", _warned(answer), answer, window, queries)
        if answer.series:
            return _gap("known_wrong", sentence, answer, window, queries)
    return None


def _explained(metrics: Metrics, pack: Pack, window: Window, gap: Gap) -> Gap:
    """Where nothing is there, what would have to be."""
    if gap.reason != "no_data":
        return gap
    if query := pack.unlabelled(window.namespace):
        answer = metrics.value(query, at=window.now)
        gap = replace(gap, queries=(*gap.queries, _query(answer, 0.0)))
        if answer.series:
            sentence = f"no series of {window.namespace} has a label {pack.relabelled}"
            gap = replace(gap, reason="revision_unlabelled", sentence=f"{window.revision}: {sentence}")
    return replace(gap, sentence=f"{gap.sentence}; {window.pack} needs: {pack.needs}")


def _warned(answer: Answer) -> str:
    return f"the server warned: {'; '.join(answer.warnings)}"


def _fetch(metrics: Metrics, query: str, window: Window) -> Answer:
    answer = metrics.samples(query, at=window.now, window_seconds=window.seconds)
    inside = (
        replace(one, samples=tuple(s for s in one.samples if window.since <= s[0] <= window.now))
        for one in answer.series
    )
    return replace(answer, series=tuple(one for one in inside if one.samples))


def _query(answer: Answer, window_seconds: float) -> Query:
    return Query(
        text=answer.query,
        at=answer.at,
        window_seconds=window_seconds,
        server=answer.server,
        series=len(answer.series),
        samples=sum(len(series.samples) for series in answer.series),
        warnings=answer.warnings,
    )


def _gap(reason: str, sentence: str, answer: Answer, window: Window, queries: tuple[Query, ...] = ()) -> Gap:
    whole = f"{window.revision}: {sentence} ({answer.query})"
    waiting = reason == TOO_EARLY
    return Gap(reason=reason, sentence=whole, waiting=waiting, queries=queries)


def _unusable(answer: Answer, window: Window, pack: Pack, label: str) -> Gap | None:
    """Why an answer cannot be counted from; None when it can."""
    values = [value for series in answer.series for _, value in series.samples]
    newest = max((at for series in answer.series for at, _ in series.samples), default=window.now)
    if answer.warnings:
        return _gap("partial_data", _warned(answer), answer, window)
    if not values:
        early = window.seconds < window.patience_seconds
        reason = TOO_EARLY if early else "no_data"
        return _gap(reason, f"nothing was sampled in {window.seconds:.1f} s", answer, window)
    if not all(map(math.isfinite, values)):
        return _gap("not_a_number", "a counter holds NaN or infinity", answer, window)
    if any(value < 0 or value != math.floor(value) for value in values):
        return _gap("implausible_data", "a counter holds a negative or broken number", answer, window)
    if window.now - newest > window.patience_seconds:
        age = f"the newest sample is {window.now - newest:.0f} s old"
        return _gap("stale_data", f"{age}, of {window.patience_seconds:.0f} s allowed", answer, window)
    if twice := _twice(answer.series, pack, label):
        return _gap("several_series", f"requests are counted twice: {twice}", answer, window)
    return None


def _twice(series: tuple[Series, ...], pack: Pack, label: str) -> str:
    """What distinguishes two series that count the same requests; "" when none do."""
    values = sorted({one.labels.get(pack.one_value, "") for one in series}) if pack.one_value else []
    if len(values) > 1:
        return f"{pack.one_value} is one of {', '.join(values)}"
    seen: dict[object, Mapping[str, str]] = {}
    for one in series:
        same = _without(one, REPLICA_LABELS)
        if pack.one_per_target:
            same = tuple((name, one.labels.get(name, "")) for name in ("job", "instance", label))
        other = seen.setdefault(same, one.labels)
        if other is not one.labels:
            names = sorted({name for name, _ in set(other.items()) ^ set(one.labels.items())})
            return f"two series differ in {', '.join(names)} alone"
    return ""


def _without(series: Series, names: Collection[str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in series.labels.items() if name not in names))


# --------------------------------------------------------------- differencing


def _growth(series: tuple[Series, ...], label: str) -> dict[str, int]:
    """By how much counters grew, added up by one label.

    A series that appears after its process was scraped without it began at 0: the first error ever must not
    be lost. One that is there when its process is first seen starts from that sample, since it may have
    counted long before anybody looked. One that ends keeps its last.
    """
    grown: dict[str, int] = {}
    for key, _, new in _steps(series, label):
        grown[key] = grown.get(key, 0) + int(new)
    return grown


def _moved_at(series: tuple[Series, ...], label: str) -> float:
    return max((at for _, at, new in _steps(series, label) if new), default=0.0)


def _steps(series: tuple[Series, ...], label: str) -> Iterator[tuple[str, float, float]]:
    """Sample by sample: (value of the label, time, what was counted since the sample before)."""
    began: dict[object, float] = {}
    for one in series:
        process = _process(one, label)
        began[process] = min(began.get(process, math.inf), one.samples[0][0])
    resets = _reset_times(series, label)
    for one in series:
        before = 0.0 if one.samples[0][0] > began[_process(one, label)] else one.samples[0][1]
        for at, value in one.samples:
            again = (_without(one, {label}), at) in resets
            yield one.labels.get(label, ""), at, value if again else value - before
            before = value


def _process(series: Series, label: str) -> object:
    """The process a series was scraped from; as far as the labels tell."""
    if "instance" in series.labels:
        return series.labels.get("job", ""), series.labels["instance"]
    return _without(series, {label})


def _reset_times(series: tuple[Series, ...], label: str) -> set[tuple[object, float]]:
    """When counters began again at 0.

    Series that differ in one label alone (codes of an arm, edges of a histogram) begin again together, also
    those that have already counted past their old value: one drop speaks for all.
    """
    return {
        (_without(one, {label}), at)
        for one in series
        for (_, before), (at, value) in pairwise(one.samples)
        if value < before
    }


# -------------------------------------------------------------------- latency


def _edges(listed: Answer, edge: float) -> tuple[str, ...] | str:
    """The values of ``le`` to fetch: the lowest edge, the threshold's and +Inf; or what is missing."""
    by_value: dict[float, list[str]] = {}
    for series in listed.series:
        text = series.labels.get("le", "")
        with suppress(ValueError):
            by_value.setdefault(float(text), []).append(text)
    finite = sorted(filter(math.isfinite, by_value))
    within = [one for one in finite if _is(one, edge)]
    if math.inf not in by_value or not within:
        known = ", ".join(f"{one:g}" for one in finite) or "none"
        return f"the histogram has no edge at {edge:g}, it has {known}; set the threshold to one of them"
    wanted = {finite[0], *within, math.inf}
    return tuple(text for value, texts in sorted(by_value.items()) if value in wanted for text in texts)


def _is(one: float, edge: float) -> bool:
    return math.isclose(one, edge, rel_tol=1e-9)


def _latency(series: tuple[Series, ...], edge: float) -> tuple[int, int, int]:
    """Requests (within the edge, within the lowest edge, in all)."""
    edges: dict[float, int] = {}
    for text, grown in _growth(
        series, "le"
    ).items():  # "8" and "8.0" are one edge, before and after an upgrade
        edges[float(text)] = edges.get(float(text), 0) + grown
    within = sum(grown for one, grown in edges.items() if _is(one, edge))
    return within, edges[min(edges)], edges.get(math.inf, 0)


def _implausible(within: int, first: int, timed: int, answered: int, lowest_ms: float) -> str:
    """Why the latencies cannot be believed; "" when they can."""
    if problem := _not_cumulative(within, first, timed, answered):
        return problem
    if timed >= IMPLAUSIBLE_FROM and first == timed and lowest_ms > FAST_MS:
        return f"all {timed} requests took less than the lowest edge, {lowest_ms:g} ms: the meter is broken"
    return ""


def _not_cumulative(within: int, first: int, timed: int, answered: int) -> str:
    """What cannot be true of a histogram; "" when all can."""
    if timed == 0 and answered >= IMPLAUSIBLE_FROM:
        return f"{answered} requests were answered and none of them was timed"
    if not 0 <= first <= within <= timed:
        return f"buckets of {first}, {within} and {timed} requests are not cumulative"
    return ""
