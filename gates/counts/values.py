"""What counting is asked, and what it answers: windows, counts, and the gaps in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gates.contract import Query

TOO_EARLY = "too_early"
"""The one reason of a Gap that only means to wait."""
STALE_SCRAPES = 4.0
"""A last sample this many scrape intervals old is stale: one scrape may fail, four in a row are an outage."""


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
class Followed:
    """What any counters of one arm counted."""

    steps: tuple[tuple[str, float, int], ...]
    """(value of the label, time of the sample, counted since the sample before)"""
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
