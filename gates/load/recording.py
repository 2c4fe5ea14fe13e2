"""What goes to the load generator and what comes back: plain values that travel as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One stretch of load at a steady rate."""

    url: str
    """Every request is a POST to exactly this address."""
    rate_rps: float
    seconds: float
    warm_up_seconds: float
    """Sent before, and not counted."""
    seed: int
    timeout_seconds: float
    maximum_in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What one run saw; the lists have one entry per request that was sent after the warm-up."""

    latencies_us: list[int]
    """From the instant the schedule wanted it sent, in whole microseconds."""
    lags_us: list[int]
    """How much later than that it was really sent."""
    kinds: list[str]
    """``ok``, ``http_<status>``, ``no_outputs``, ``unfinished``, or the name of an exception."""
    scheduled: int
    """Arrivals after the warm-up, dropped ones too."""
    dropped: int
    """Arrivals not sent, since too many requests were unanswered."""
    cpu_seconds: float
    """The generator's own, after the warm-up."""
    window_seconds: float
    """How long the arrivals after the warm-up really took."""
    pacing: str
    """``timerfd``, or ``sleep`` where there is none: coarser by a millisecond."""
    schedule_sha256: str
    """Of all arrival times and rows: two runs with the same one sent the same."""
    versions: dict[str, str] = field(default_factory=dict)


def encode_job(runs: Sequence[Run], bodies: Sequence[str]) -> str:
    """The generator's whole configuration."""
    return json.dumps({"runs": [asdict(run) for run in runs], "bodies": list(bodies)})


def decode_job(text: str) -> tuple[list[Run], list[bytes]]:
    """What :func:`encode_job` wrote."""
    job = json.loads(text)
    return [Run(**run) for run in job["runs"]], [body.encode() for body in job["bodies"]]


def encode_recordings(recordings: Sequence[Recording]) -> str:
    """The generator's whole answer."""
    return json.dumps([asdict(recording) for recording in recordings])


def decode_recordings(text: str) -> list[Recording]:
    """What :func:`encode_recordings` wrote.

    Raises:
        ValueError: it is something else.
    """
    try:
        found: list[dict[str, Any]] = json.loads(text)
        return [Recording(**one) for one in found]
    except TypeError as error:
        raise ValueError(f"no recording: {error}") from None
