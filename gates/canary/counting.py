"""From the samples of a metrics server to looks: both arms in the same stretches of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor, inf, isclose, log

from gates.canary.looks import Counted, Look
from gates.canary.settings import BODY, ERRORS, SLOW, TAIL
from gates.contract import Question
from gates.counts import STALE_SCRAPES, Trace, Window

LOOK_SCRAPES = 4.0
"""A look is so many scrape intervals long, a minute at the usual 15 seconds: one scrape that comes late or
fails moves few requests from one look to the next."""
REFERENCES: Mapping[str, float] = {TAIL.name: 0.01, BODY.name: 0.10}
"""Share of the stable arm's answers that should be above the edge at which a metric counts."""
ENOUGH_TO_CHOOSE = 100
"""Timed answers of the stable arm before its edges are chosen."""


def pieces(question: Question, earlier: Sequence[Look]) -> list[tuple[float, float]]:
    """The stretches of time to be looked at now: whole ones, after the last look, scraped by now for sure."""
    length = LOOK_SCRAPES * question.scrape_seconds
    start, end = question.since.timestamp(), question.now.timestamp() - question.scrape_seconds
    last = max([start, *(look.ended for look in earlier)])
    # A grid from the start of the share, so that a gate that was asked late finds the same stretches.
    first, whole = ceil((last - start) / length - 1e-6), floor((end - start) / length + 1e-6)
    return [(start + n * length, start + (n + 1) * length) for n in range(first, whole)]


def window(question: Question, revision: str, begin: float) -> Window:
    """What is asked for so that the first requests after ``begin`` have a sample before them."""
    patience = STALE_SCRAPES * question.scrape_seconds
    return Window(
        pack=question.metrics_pack,
        namespace=question.namespace,
        revision=revision,
        since=max(question.since.timestamp(), begin - patience),
        now=question.now.timestamp(),
        scrape_seconds=question.scrape_seconds,
    )


def looks(
    stretches: Sequence[tuple[float, float]],
    candidate: Trace,
    stable: Trace | None,
    *,
    share_percent: int,
    threshold_ms: float,
    edges_ms: Mapping[str, float],
) -> list[Look]:
    """One look per stretch; a metric that an arm cannot tell is absent at that arm.

    Args:
        edges_ms: latencies above which tail and body are counted, chosen before. Where none are, they are
            chosen from the stable arm's own counts here and stand in the last look, to be used by the next:
            what is judged never had a say in how.
    """
    chosen = edges_ms or (choose_edges(stable, stretches, threshold_ms) if stable else {})
    counted_at = {SLOW.name: threshold_ms, **edges_ms}
    return [
        Look(
            began=began,
            ended=ended,
            share_percent=share_percent,
            candidate=_counted(candidate, began, ended, counted_at),
            stable=_counted(stable, began, ended, counted_at) if stable else {},
            edges_ms=chosen if ended == stretches[-1][1] else edges_ms,
        )
        for began, ended in stretches
    ]


def _counted(arm: Trace, began: float, ended: float, edges_ms: Mapping[str, float]) -> dict[str, Counted]:
    """Of one arm in one stretch; what a sample shows belongs to the stretch it was taken in."""
    requests = [counts for at, counts in arm.requests.items() if began < at <= ended]
    counts = {ERRORS.name: Counted(sum(errors for _, errors in requests), sum(all_ for all_, _ in requests))}
    if arm.untimed:
        return counts
    within = _sum(edges for at, edges in arm.within.items() if began < at <= ended)
    timed = within.get(inf, 0)
    for name, edge in edges_ms.items():
        at_edge = next((known for known in within if isclose(known, edge, rel_tol=1e-9)), None)
        if timed == 0:
            counts[name] = Counted(0, 0)
        elif at_edge is not None:
            counts[name] = Counted(timed - within[at_edge], timed)
    return counts


def _sum(several: Iterable[Mapping[float, int]]) -> dict[float, int]:
    total: dict[float, int] = {}
    for edges in several:
        for edge, count in edges.items():
            total[edge] = total.get(edge, 0) + count
    return total


def choose_edges(
    stable: Trace, stretches: Sequence[tuple[float, float]], threshold_ms: float
) -> dict[str, float]:
    """The edges above which about 1 % and 10 % of the stable arm's answers lie.

    An edge serves one metric alone, and the threshold's is taken; a metric for which none is within a factor
    of three stays without. Nothing is chosen from too few answers.
    """
    if stable.untimed or not stretches:
        return {}
    first, last = stretches[0][0], stretches[-1][1]
    within = _sum(edges for at, edges in stable.within.items() if first < at <= last)
    timed, taken, chosen = within.get(inf, 0), [threshold_ms], dict[str, float]()
    if timed < ENOUGH_TO_CHOOSE:
        return {}
    for name, share in REFERENCES.items():
        distance = {
            edge: abs(log((timed - count) / timed / share))
            for edge, count in within.items()
            if count < timed and not any(isclose(edge, one, rel_tol=1e-9) for one in taken)
        }
        nearest = min(distance, key=lambda edge: distance[edge], default=None)
        if nearest is not None and distance[nearest] <= log(3.0):
            chosen[name] = nearest
            taken.append(nearest)
    return chosen
