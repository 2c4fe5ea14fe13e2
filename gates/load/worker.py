"""The load generator: ``python -m gates.load.worker``, a job as JSON on stdin, recordings as JSON on stdout.

Open loop: arrivals follow a seeded Poisson schedule whatever the target does, and latency counts from the
instant the schedule wanted, so a target that stalls is charged for everybody who waited. Nothing else of
lockgate imports locust or gevent: importing locust patches sockets for the whole process.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import os
import platform
import random
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import gevent.pool
import locust
from locust.env import Environment

from gates.load.recording import Recording, Run, decode_job, encode_recordings

_CLOCK_MONOTONIC, _TFD_NONBLOCK = 1, 0o4000
_SOON_SECONDS = 20e-6
"""Sleeping for less would cost more than it waits."""
_LEAD_SECONDS = 0.05
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}


class TimerfdPacer:
    """Sleeps on a timer of the kernel: about 0.06 ms late, where gevent's own sleep is up to 1 ms late."""

    name = "timerfd"

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK)
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._hub = gevent.get_hub()
        self._watcher = self._hub.loop.io(self._timer, 1)

    def nap(self, seconds: float) -> None:
        """Let the other greenlets run for so long."""
        whole, rest = divmod(seconds, 1)
        once = struct.pack("qqqq", 0, 0, int(whole), int(rest * 1e9) or 1)
        self._libc.timerfd_settime(self._timer, 0, once, None)
        self._hub.wait(self._watcher)
        os.read(self._timer, 8)


class SleepPacer:
    """gevent's own sleep, where the kernel has no timerfd."""

    name = "sleep"

    def nap(self, seconds: float) -> None:
        """Let the other greenlets run for so long."""
        gevent.sleep(seconds)


def make_pacer() -> TimerfdPacer | SleepPacer:
    """The best this machine has."""
    try:
        return TimerfdPacer()
    except (OSError, AttributeError):
        return SleepPacer()


def schedule(run: Run, bodies: int) -> tuple[list[tuple[float, int]], str]:
    """Arrivals as (seconds from the start, number of the body), and their sha256."""
    dice = random.Random(run.seed)  # noqa: S311 - repeatable on purpose
    arrivals, at = [], dice.expovariate(run.rate_rps)
    while at < run.warm_up_seconds + run.seconds:
        arrivals.append((at, dice.randrange(bodies)))
        at += dice.expovariate(run.rate_rps)
    digest = hashlib.sha256(b"".join(struct.pack("<dq", *arrival) for arrival in arrivals))
    return arrivals, digest.hexdigest()


class Window:
    """One run while it is going on."""

    def __init__(self, run: Run, bodies: list[bytes], client: Any, pacer: TimerfdPacer | SleepPacer) -> None:
        self._run, self._bodies, self._client, self._pacer = run, bodies, client, pacer
        self._seen: list[tuple[int, int, str]] = []
        self._open: dict[int, tuple[float, float]] = {}
        """Counted requests on their way: arrival -> (wanted, sent)."""
        self._senders = gevent.pool.Pool()

    def drive(self) -> Recording:
        """Send the whole schedule, wait for the answers, and say what was seen."""
        run = self._run
        arrivals, digest = schedule(run, len(self._bodies))
        began = time.perf_counter() + _LEAD_SECONDS
        counted = [number for number, (at, _) in enumerate(arrivals) if at >= run.warm_up_seconds]
        first = counted[0] if counted else len(arrivals)
        self._send_all(arrivals[:first], began, counted_from=None)
        self._wait_until(began + run.warm_up_seconds)
        cpu, opened = time.process_time(), time.perf_counter()
        dropped = self._send_all(arrivals[first:], began, counted_from=first)
        self._wait_until(began + run.warm_up_seconds + run.seconds)
        cpu, window = time.process_time() - cpu, time.perf_counter() - opened
        self._drain()
        return Recording(
            latencies_us=[latency for latency, _, _ in self._seen],
            lags_us=[lag for _, lag, _ in self._seen],
            kinds=[kind for _, _, kind in self._seen],
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
        for number, (at, body) in enumerate(arrivals, start=counted_from or 0):
            self._wait_until(began + at)
            if len(self._senders) >= self._run.maximum_in_flight:
                dropped += 1
                continue
            self._senders.spawn(self._send, number, began + at, self._bodies[body], counted_from is not None)
        return dropped

    def _wait_until(self, instant: float) -> None:
        remaining = instant - time.perf_counter()
        if remaining > _SOON_SECONDS:
            self._pacer.nap(remaining)
        else:
            gevent.sleep(0)  # behind schedule: those already spawned go first

    def _send(self, number: int, wanted: float, body: bytes, counted: bool) -> None:
        sent = time.perf_counter()
        if counted:
            self._open[number] = (wanted, sent)
        kind = "unfinished"
        try:
            kind = self._ask(body, wanted)
        except Exception as error:  # whatever a client library raises is an answer that did not come
            kind = type(error).__name__
        finally:
            self._close(number, kind)

    def _ask(self, body: bytes, wanted: float) -> str:
        with self._client.post(
            self._run.url, data=body, headers=_HEADERS, name="infer", catch_response=True
        ) as response:
            # Locust's own figures then count from the schedule too.
            response.request_meta["response_time"] = (time.perf_counter() - wanted) * 1000
            kind = _kind(response)
            response.success() if kind == "ok" else response.failure(kind)
        return kind

    def _close(self, number: int, kind: str) -> None:
        if (times := self._open.pop(number, None)) is not None:
            wanted, sent = times
            now = time.perf_counter()
            self._seen.append((round((now - wanted) * 1e6), round((sent - wanted) * 1e6), kind))

    def _drain(self) -> None:
        """Wait for the last answers, at most as long as one may take; then those are over."""
        self._senders.join(timeout=self._run.timeout_seconds)
        self._senders.kill(block=True, timeout=1.0)


def _kind(response: Any) -> str:
    if response.status_code == 0:
        return type(response.error).__name__
    if response.status_code != 200:
        return f"http_{response.status_code}"
    try:
        answer = json.loads(response.content)
    except ValueError:
        return "no_outputs"
    good = isinstance(answer, dict) and isinstance(answer.get("outputs"), list) and answer["outputs"]
    return "ok" if good else "no_outputs"


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


def drive(runs: list[Run], bodies: list[bytes]) -> list[Recording]:
    """All runs, one after the other, by a single locust user that owns the schedule."""
    recordings: list[Recording] = []
    failures: list[Exception] = []

    def all_runs(user: Any) -> None:
        pacer = make_pacer()
        try:
            for run in runs:
                with _no_collector():
                    recordings.append(Window(run, bodies, user.client, pacer).drive())
        except Exception as error:  # locust would log it and start the task again
            failures.append(error)
        gevent.spawn(user.environment.runner.quit)
        gevent.sleep(60)

    environment = Environment(user_classes=[_scheduler(all_runs, runs)])
    runner = environment.create_local_runner()
    runner.start(1, spawn_rate=1)
    runner.greenlet.join()
    if failures:
        raise failures[0]
    return recordings


def _scheduler(task: Callable[[Any], None], runs: list[Run]) -> type[Any]:
    longest = max(run.timeout_seconds for run in runs)
    settings: dict[str, Any] = {
        "host": runs[0].url,
        "tasks": [task],
        "concurrency": max(run.maximum_in_flight for run in runs),
        "network_timeout": longest,
        "connection_timeout": longest,
        "insecure": False,
        "max_redirects": 0,
        "max_retries": 0,
        "abstract": False,
    }
    return type("Scheduler", (locust.FastHttpUser,), settings)


def main() -> None:
    """Do the job on stdin; anything that goes wrong is a traceback on stderr and exit code 1."""
    answer = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no recording
    runs, bodies = decode_job(sys.stdin.read())
    text = encode_recordings(drive(runs, bodies))
    with os.fdopen(answer, "w", encoding="utf-8") as stdout:
        stdout.write(text)


if __name__ == "__main__":
    main()
