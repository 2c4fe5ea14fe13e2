"""Counting one arm: in sum, or sample by sample."""

from __future__ import annotations

from dataclasses import replace

from gates.contract import Query
from gates.counts.answers import (
    explained,
    fetch,
    gap_of,
    known_wrong,
    pack_of,
    query_of,
    unnamed,
    unusable,
    warned,
)
from gates.counts.growth import growth, moved_at, reset_times, steps
from gates.counts.latency import (
    IMPLAUSIBLE_FROM,
    edges_to_fetch,
    implausible,
    latency,
    why_untimed,
    within_edges,
)
from gates.counts.values import Counts, Followed, Gap, Timings, Trace, Window
from gates.metrics import Answer, Metrics, Pack


def count(metrics: Metrics, window: Window) -> Counts | Gap:
    """Count one arm's requests and errors.

    Raises:
        Exception: whatever the metrics source raises when it has no answer.
    """
    found = _counters(metrics, window)
    if isinstance(found, Gap):
        return found
    pack, answer = found
    by_code = growth(answer.series, pack.code_label)
    resets = reset_times(answer.series, pack.code_label)
    times = [at for series in answer.series for at, _ in series.samples]
    return Counts(
        requests=sum(by_code.values()),
        errors=sum(grown for code, grown in by_code.items() if pack.failed(code)),
        first_at=min(times),
        last_at=max(times),
        moved_at=moved_at(answer.series, pack.code_label),
        resets=len(resets),
        queries=(query_of(answer, window.seconds),),
    )


def _counters(metrics: Metrics, window: Window) -> tuple[Pack, Answer] | Gap:
    """The counters of one arm's requests, if they can be counted from."""
    pack = pack_of(window)
    if isinstance(pack, Gap):
        return pack
    if gap := known_wrong(metrics, pack, window):
        return gap
    answer = fetch(metrics, pack.counters(window.namespace, window.revision), window)
    if gap := unusable(answer, window, pack, pack.code_label):
        queries = (query_of(answer, window.seconds),)
        return explained(metrics, pack, window, replace(gap, queries=queries))
    return pack, answer


def time_requests(metrics: Metrics, window: Window, *, threshold_ms: float, answered: int) -> Timings | Gap:
    """Count how many of one arm's requests were slow; the threshold must be an edge of the histogram.

    Args:
        answered: requests that were answered well; those must have been timed. A request that failed need
            not be: Envoy times none that it gave up.

    Raises:
        Exception: whatever the metrics source raises when it has no answer.
    """
    pack = pack_of(window)
    if isinstance(pack, Gap):
        return pack
    if not pack.bucket:
        return _no_histogram(window)
    arm = window.namespace, window.revision
    listed = metrics.value(f"count by (le) ({pack.buckets(*arm)})", at=window.now)
    queries: tuple[Query, ...] = (query_of(listed, 0.0),)
    if listed.warnings:
        return gap_of("partial_data", warned(listed), listed, window, queries)
    if not listed.series and answered < IMPLAUSIBLE_FROM:
        return Timings(timed=0, slow=0, queries=queries)
    edges = edges_to_fetch(listed, threshold_ms * pack.edges_per_ms)
    if isinstance(edges, str):
        return gap_of("edge_missing", edges, listed, window, queries)
    answer = fetch(metrics, pack.buckets(*arm, edges=edges), window)
    queries += (query_of(answer, window.seconds),)
    if gap := unusable(answer, window, pack, "le"):
        return replace(gap, queries=queries)
    within, first, timed = latency(answer.series, threshold_ms * pack.edges_per_ms)
    lowest_ms = min(map(float, edges)) / pack.edges_per_ms
    if problem := implausible(within, first, timed, answered, lowest_ms):
        return gap_of("implausible_data", problem, answer, window, queries)
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
    queries = (query_of(answer, window.seconds),)
    requests: dict[float, tuple[int, int]] = {}
    for code, at, new in steps(answer.series, pack.code_label):
        before = requests.get(at, (0, 0))
        requests[at] = before[0] + int(new), before[1] + (int(new) if pack.failed(code) else 0)
    if not pack.bucket:
        return Trace(requests=requests, within={}, untimed=_no_histogram(window), queries=queries)
    answered = sum(all_of_them - errors for all_of_them, errors in requests.values())
    buckets = fetch(metrics, pack.buckets(window.namespace, window.revision), window)
    untimed = why_untimed(buckets, window, pack, threshold_ms, answered)
    return Trace(
        requests=requests,
        within={} if untimed else within_edges(buckets.series, pack.edges_per_ms),
        untimed=untimed,
        queries=(*queries, query_of(buckets, window.seconds)),
    )


def _no_histogram(window: Window) -> Gap:
    sentence = f"{window.revision}: {window.pack} has no latency histogram, and means are not judged"
    return Gap(reason="no_histogram", sentence=f"{sentence}; choose a pack of what is before it")


def follow(
    metrics: Metrics, window: Window, pack: Pack, query: str, *, edge: float | None = None
) -> Followed | Gap:
    """Count any counters sample by sample, told apart by the code label of the pack.

    Args:
        edge: one that they must have, where they are a histogram's buckets.

    Raises:
        Exception: whatever the metrics source raises when it has no answer.
    """
    if gap := unnamed(window):
        return gap
    answer = fetch(metrics, query, window)
    queries = (query_of(answer, window.seconds),)
    if gap := unusable(answer, window, pack, pack.code_label):
        return replace(gap, queries=queries)
    if edge is not None and isinstance(edges := edges_to_fetch(answer, edge), str):
        return gap_of("edge_missing", edges, answer, window, queries)
    counted = tuple((value, at, int(new)) for value, at, new in steps(answer.series, pack.code_label))
    return Followed(steps=counted, queries=queries)
