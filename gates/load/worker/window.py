"""One stretch of load: the schedule, who is on the way, and what was seen."""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import gevent
import locust

from gates.load.recording import Payload, Recording, Run
from gates.load.schedule import schedule
from gates.load.worker.pacing import SleepPacer, TimerfdPacer, no_deep_sleep

_SOON_SECONDS = 20e-6
"""Sleeping for less would cost more than it waits."""
_LEAD_SECONDS = 0.05
_OVERDUE_SECONDS = 0.02
"""How often requests without an answer are looked through."""


@dataclass(slots=True)
class Reply:
    """What one request came to."""

    kind: str
    """``ok`` or why not, as in a recording."""
    ended: float
    """When the last of it was here, by ``time.perf_counter``."""
    first: float | None = None
    """When its first token was here."""
    length: int = 0
    """Of the answer, in bytes."""


class Client(Protocol):
    """Whoever can ask the target."""

    def encode(self, payloads: Sequence[Payload]) -> list[bytes]:
        """Everything that can be done before the first request is sent."""
        ...

    def ask(self, request: bytes) -> Reply:
        """One request to its end; what it raises is an answer that did not come."""
        ...


Report = Callable[[Run, float, Reply], None]
"""Told of each request with its latency in ms, for locust's own statistics."""


class Window:
    """One run while it is going on."""

    def __init__(
        self,
        run: Run,
        payloads: Sequence[Payload],
        client: Client,
        pacer: TimerfdPacer | SleepPacer,
        report: Report,
    ) -> None:
        self._run, self._client, self._pacer, self._report = run, client, pacer, report
        self._requests = client.encode(payloads)
        self._seen: list[tuple[int, int, str]] = []
        self._firsts_us: list[int] = []
        self._on_the_way: dict[int, tuple[float, gevent.Greenlet]] = {}
        """Arrival -> when it was sent, and who waits for its answer; in the order of sending."""

    def drive(self, began: float | None = None) -> Recording:
        """Send the whole schedule, wait for the answers, and say what was seen.

        Args:
            began: by ``time.perf_counter``, when the warm-up is to begin; None is at once.
        """
        run = self._run
        arrivals, digest = schedule(run, len(self._requests))
        counted = [number for number, (at, _) in enumerate(arrivals) if at >= run.warm_up_seconds]
        first = counted[0] if counted else len(arrivals)
        impatient = gevent.spawn(self._end_overdue)
        with _no_collector(), no_deep_sleep():
            began = began or time.perf_counter() + _LEAD_SECONDS
            self._send_all(arrivals[:first], began, counted_from=None)
            self._wait_until(began + run.warm_up_seconds)
            cpu, opened = time.process_time(), time.perf_counter()
            dropped = self._send_all(arrivals[first:], began, counted_from=first)
            self._wait_until(began + run.warm_up_seconds + run.seconds)
            cpu, window = time.process_time() - cpu, time.perf_counter() - opened
            self._drain()
        impatient.kill()
        return Recording(
            latencies_us=[latency for latency, _, _ in self._seen],
            lags_us=[lag for _, lag, _ in self._seen],
            kinds=[kind for _, _, kind in self._seen],
            firsts_us=self._firsts_us,
            scheduled=len(counted),
            dropped=dropped,
            cpu_seconds=cpu,
            window_seconds=window,
            pacing=self._pacer.name,
            schedule_sha256=digest,
            versions={
                "python": platform.python_version(),
                "locust": locust.__version__,
                "gevent": gevent.__version__,
            },
        )

    def _send_all(self, arrivals: list[tuple[float, int]], began: float, counted_from: int | None) -> int:
        dropped = 0
        for number, (at, which) in enumerate(arrivals, start=counted_from or 0):
            self._wait_until(began + at)
            if len(self._on_the_way) >= self._run.maximum_in_flight:
                dropped += 1
                continue
            gevent.spawn(self._send, number, began + at, self._requests[which], counted_from is not None)
        return dropped

    def _wait_until(self, instant: float) -> None:
        remaining = instant - time.perf_counter()
        if remaining > _SOON_SECONDS:
            self._pacer.nap(remaining)
        else:
            gevent.sleep(0)  # behind schedule: those already spawned go first

    def _send(self, number: int, wanted: float, request: bytes, counted: bool) -> None:
        sent = time.perf_counter()
        self._on_the_way[number] = (sent, gevent.getcurrent())
        reply = None
        try:
            reply = self._client.ask(request)
        except Exception as error:  # whatever a client library raises is an answer that did not come
            reply = Reply(type(error).__name__, time.perf_counter())
        finally:
            reply = reply or Reply("unfinished", time.perf_counter())
            del self._on_the_way[number]
            if counted:
                self._count(reply, wanted, sent)

    def _count(self, reply: Reply, wanted: float, sent: float) -> None:
        latency = reply.ended - wanted
        self._seen.append((round(latency * 1e6), round((sent - wanted) * 1e6), reply.kind))
        if reply.first is not None:
            self._firsts_us.append(round((reply.first - wanted) * 1e6))
        self._report(self._run, latency * 1000, reply)

    def _end_overdue(self) -> None:
        """A timer for each request would cost more than looking through the oldest now and then."""
        while True:
            gevent.sleep(_OVERDUE_SECONDS)
            oldest = time.perf_counter() - self._run.timeout_seconds
            for sent, sender in list(self._on_the_way.values()):
                if sent > oldest:
                    break
                sender.kill(TimeoutError("no answer in time"), block=False)

    def _drain(self) -> None:
        """Wait for the last answers, at most as long as one may take; then those are over."""
        senders = [sender for _, sender in self._on_the_way.values()]
        gevent.joinall(senders, timeout=self._run.timeout_seconds)
        gevent.killall(senders, block=True, timeout=1.0)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Without pauses of the garbage collector, which at p99 look like the target's."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
