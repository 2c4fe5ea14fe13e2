"""What goes to the load generator and what comes back: plain values that travel as JSON."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

ProtocolName = Literal["v2", "v2_binary", "v2_grpc", "v1", "completions", "chat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One request, as it goes to the target again and again."""

    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    """Name and value of what the protocol wants beside or instead of the usual ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One stretch of load at a steady rate."""

    url: str
    """Every request is a POST to exactly this address; for gRPC, where the server is."""
    protocol: ProtocolName = "v2"
    """How the target is spoken to."""
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
    """``ok``, ``http_<status>``, ``grpc_<status name>``, ``no_outputs``, ``cut_off``, ``unfinished``, or the
    name of an exception."""
    scheduled: int
    """Arrivals after the warm-up, dropped ones too."""
    dropped: int
    """Arrivals not sent, since too many requests were unanswered."""
    cpu_seconds: float
    """The generator's own, after the warm-up; of several, the busiest one's."""
    window_seconds: float
    """How long the arrivals after the warm-up really took."""
    pacing: str
    """``timerfd``, or ``sleep`` where there is none: coarser by a millisecond."""
    schedule_sha256: str
    """Of all arrival times and payloads: two runs with the same one sent the same."""
    firsts_us: list[int] = field(default_factory=list)
    """Of streamed answers: until the first token, counted like the latencies; in no order of theirs."""
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The generator's whole configuration."""

    runs: tuple[Run, ...]
    payloads: tuple[Payload, ...]
    processes: int = 1
    """Generators that share each run's rate."""
    report: str = ""
    """File that locust's own HTML report goes to; "" for none."""


def encode_job(job: Job) -> str:
    """A job on one line."""
    bodies = [[base64.b64encode(one.body).decode("ascii"), one.headers] for one in job.payloads]
    return json.dumps({**asdict(replace(job, payloads=())), "payloads": bodies})


def decode_job(text: str) -> Job:
    """What :func:`encode_job` wrote."""
    found = json.loads(text)
    payloads = tuple(
        Payload(body=base64.b64decode(body), headers=tuple((name, value) for name, value in headers))
        for body, headers in found["payloads"]
    )
    return Job(**{**found, "runs": tuple(Run(**run) for run in found["runs"]), "payloads": payloads})


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


def share(run: Run, number: int, of: int) -> Run:
    """What one of several generators sends of a run, numbers from 0.

    Independent Poisson processes together are one of the sum of their rates.
    """
    return replace(run, rate_rps=run.rate_rps / of, seed=run.seed * 1000 + number)


def together(parts: Sequence[Recording]) -> Recording:
    """What several generators saw of one run, as if one had."""
    schedules = "".join(one.schedule_sha256 for one in parts)
    return Recording(
        latencies_us=[latency for one in parts for latency in one.latencies_us],
        lags_us=[lag for one in parts for lag in one.lags_us],
        kinds=[kind for one in parts for kind in one.kinds],
        firsts_us=[first for one in parts for first in one.firsts_us],
        scheduled=sum(one.scheduled for one in parts),
        dropped=sum(one.dropped for one in parts),
        cpu_seconds=max(one.cpu_seconds for one in parts),
        window_seconds=max(one.window_seconds for one in parts),
        pacing="sleep" if any(one.pacing == "sleep" for one in parts) else parts[0].pacing,
        schedule_sha256=hashlib.sha256(schedules.encode()).hexdigest(),
        versions=parts[0].versions,
    )
