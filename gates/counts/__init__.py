"""Exact counts of one arm's requests.

Rates and quantiles are never asked for: ``rate()`` and ``increase()`` extrapolate, and a quantile of
buckets is a guess. The raw samples of counters are fetched and their differences taken, resets included,
so that what is judged are whole requests. What cannot be counted soundly is a :class:`Gap` with its own
reason, never a number. A hole between two samples costs nothing, since counters go on counting.

``values`` says what is asked and answered, ``answers`` refuses what cannot be counted from, ``growth`` takes
the differences, ``latency`` reads histograms, ``counting`` puts them together.
"""

from __future__ import annotations

from gates.counts.counting import count, follow, time_requests, trace
from gates.counts.values import STALE_SCRAPES, TOO_EARLY, Counts, Followed, Gap, Timings, Trace, Window

__all__ = [
    "STALE_SCRAPES",
    "TOO_EARLY",
    "Counts",
    "Followed",
    "Gap",
    "Timings",
    "Trace",
    "Window",
    "count",
    "follow",
    "time_requests",
    "trace",
]
