"""How latencies are spread, small enough for a journal: counts between edges of equal ratio."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

EDGES_PER_DECADE = 20
"""Neighbouring edges differ by an eighth: fine enough to show a second mode or a cliff."""


def distribution(latencies_us: Sequence[int], objective_ms: float) -> list[list[float]]:
    """``[upper edge in ms, requests above the edge before and at most at this one]``, rising; JSON values.

    Edges lie at ``10**(k/20)`` ms and at the latency objective: what is over it stands apart. The first
    row has no request: it is the lower edge of the second.
    """
    if not latencies_us:
        return []
    times_ms = [max(latency_us, 1) / 1000 for latency_us in latencies_us]
    first = math.floor(EDGES_PER_DECADE * math.log10(min(times_ms))) - 1
    last = math.ceil(EDGES_PER_DECADE * math.log10(max(times_ms))) + 1
    edges = sorted({objective_ms, *(_edge_ms(place) for place in range(first, last + 1))})
    counts = Counter(bisect_left(edges, time_ms) for time_ms in times_ms)
    return [[edges[n], counts[n]] for n in range(min(counts) - 1, max(counts) + 1)]


def _edge_ms(place: int) -> float:
    return float(f"{10 ** (place / EDGES_PER_DECADE):.4g}")
