"""Histograms: which edges there are, how many requests lie within them, and whether that can be true."""

from __future__ import annotations

import math
from contextlib import suppress

from gates.counts.answers import gap_of, unusable
from gates.counts.growth import growth, steps
from gates.counts.values import Gap, Window
from gates.metrics import Answer, Pack, Series

IMPLAUSIBLE_FROM = 50
FAST_MS = 1.0
"""So many requests all below a lowest edge above this are no fast model but a broken meter: some releases of
Knative wrote every latency under a second as 0, into a first bucket of 5 ms."""


def edges_to_fetch(listed: Answer, edge: float) -> tuple[str, ...] | str:
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


def latency(series: tuple[Series, ...], edge: float) -> tuple[int, int, int]:
    """Requests (within the edge, within the lowest edge, in all)."""
    edges: dict[float, int] = {}
    for text, grown in growth(
        series, "le"
    ).items():  # "8" and "8.0" are one edge, before and after an upgrade
        edges[float(text)] = edges.get(float(text), 0) + grown
    within = sum(grown for one, grown in edges.items() if _is(one, edge))
    return within, edges[min(edges)], edges.get(math.inf, 0)


def implausible(within: int, first: int, timed: int, answered: int, lowest_ms: float) -> str:
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


def why_untimed(answer: Answer, window: Window, pack: Pack, threshold_ms: float, answered: int) -> Gap | None:
    """Why a histogram cannot be counted from; None when it can."""
    if not answer.series and not answer.warnings and answered < IMPLAUSIBLE_FROM:
        return None
    edge = threshold_ms * pack.edges_per_ms
    if not answer.warnings and isinstance(edges := edges_to_fetch(answer, edge), str):
        return gap_of("edge_missing", edges, answer, window)
    if gap := unusable(answer, window, pack, "le"):
        return gap
    within, first, timed = latency(answer.series, edge)
    lowest_ms = min(map(float, edges)) / pack.edges_per_ms
    if problem := implausible(within, first, timed, answered, lowest_ms):
        return gap_of("implausible_data", problem, answer, window)
    return None


def within_edges(series: tuple[Series, ...], edges_per_ms: float) -> dict[float, dict[float, int]]:
    """Time of the sample -> edge in ms -> requests within it since the sample before."""
    within: dict[float, dict[float, int]] = {}
    for text, at, new in steps(series, "le"):
        edge_ms, here = float(text) / edges_per_ms, within.setdefault(at, {})
        here[edge_ms] = here.get(edge_ms, 0) + int(new)
    return within
