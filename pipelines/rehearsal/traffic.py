"""Callers of the service: a steady open-loop load, and an account of what each version did to them.

``python -m pipelines.rehearsal.traffic --url http://…/risk-prod/fraud-scorer --model fraud-scorer
--rows golden.csv --rps 60 --statistics traffic.json``

Requests leave at moments of a seeded Poisson process, whether or not earlier ones are answered. Until the
service answers for the first time nothing counts as bad: it may not be deployed yet.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import json
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.rehearsal.model_server import VERSION_HEADER
from pipelines.rehearsal.processes import Child, Processes, wait_until, write_whole

_WORKERS = 32
"""Requests under way at once, at most; what is due beyond is counted as dropped, never sent late."""
_TIMEOUT_SECONDS = 5.0
_WRITE_SECONDS = 0.2
_BODIES = 500


@dataclass(slots=True, kw_only=True)
class Served:
    """What one version did. Instants are seconds since the epoch; 0 where there was none."""

    requests: int = 0
    errors: int = 0
    """Answers with HTTP 5xx."""
    slow: int = 0
    """Answers that were right but took longer than allowed."""
    first_at: float = 0.0
    first_bad_at: float = 0.0
    """When the first answer came that was an error or slow."""
    last_at: float = 0.0


@dataclass(slots=True, kw_only=True)
class Counts:
    """The account so far."""

    at: float = 0.0
    sent: int = 0
    answered: int = 0
    """By a version, well or badly."""
    unserved: int = 0
    """Got no version's answer since the first one: refused, timed out, or a proxy's own error."""
    waiting: int = 0
    """The same, before any version had answered."""
    dropped: int = 0
    """Not sent, because too many were under way."""
    first_bad_at: float = 0.0
    """Of any kind, any version; 0 for none."""
    versions: dict[str, Served] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Counts:
        """The account as last written; empty before."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        served = {version: Served(**entry) for version, entry in stored.pop("versions").items()}
        return cls(**stored, versions=served)


class Ledger:
    """Counts answers; any thread may."""

    def __init__(self, slow_ms: float) -> None:
        self._slow_seconds = slow_ms / 1000
        self._counts = Counts()
        self._lock = threading.Lock()

    def drop(self) -> None:
        """One request was due and could not be sent."""
        with self._lock:
            self._counts.dropped += 1

    def add(self, version: str, status: int, seconds: float, at: float) -> None:
        """One request ended.

        Args:
            version: who answered, "" for nobody.
            status: HTTP status, 0 for none.
            seconds: how long it took.
            at: when it ended, seconds since the epoch.
        """
        with self._lock:
            counts = self._counts
            counts.sent += 1
            if not version:
                counts.unserved += counts.answered > 0
                counts.waiting += counts.answered == 0
                bad = counts.answered > 0
            else:
                counts.answered += 1
                bad = self._serve(counts.versions.setdefault(version, Served()), status, seconds, at)
            if bad and not counts.first_bad_at:
                counts.first_bad_at = at

    def _serve(self, served: Served, status: int, seconds: float, at: float) -> bool:
        error = status >= 500
        slow = not error and seconds > self._slow_seconds
        served.requests += 1
        served.errors += error
        served.slow += slow
        served.first_at = served.first_at or at
        served.last_at = at
        if (error or slow) and not served.first_bad_at:
            served.first_bad_at = at
        return error or slow

    def text(self, at: float) -> str:
        """The account as JSON."""
        with self._lock:
            self._counts.at = at
            return json.dumps(asdict(self._counts))


class Caller:
    """Sends one request after another on kept connections, one per thread."""

    def __init__(self, url: str, model: str, ledger: Ledger) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._path = f"{parts.path.rstrip('/')}/v2/models/{model}/infer"
        self._ledger = ledger
        self._mine = threading.local()

    def send(self, body: bytes) -> None:
        """One request, counted however it ends."""
        began = time.perf_counter()
        version, status = self._ask(body)
        self._ledger.add(version, status, time.perf_counter() - began, time.time())

    def _ask(self, body: bytes) -> tuple[str, int]:
        connection = getattr(self._mine, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)
            self._mine.connection = connection
        try:
            connection.request("POST", self._path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()  # the next request opens it again
            return "", 0
        return answer.headers.get(VERSION_HEADER, ""), answer.status


def bodies(rows: Path, seed: int) -> Iterator[bytes]:
    """V2 requests of one row each, drawn from a CSV whose last column is the label, again and again."""
    with rows.open(encoding="utf-8", newline="") as file:
        table = list(csv.reader(file))
    drawn = random.Random(seed).choices(table[1:], k=_BODIES)  # noqa: S311
    return cycle([_body([float(value) for value in row[:-1]]) for row in drawn])


def _body(row: list[float]) -> bytes:
    tensor = {"name": "input-0", "datatype": "FP64", "shape": [1, len(row)], "data": row}
    return json.dumps({"inputs": [tensor]}).encode()


def drive(options: argparse.Namespace, stop: threading.Event) -> None:
    """Send until told to stop. While the pause file exists, nothing leaves; later nothing is made up for."""
    ledger = Ledger(options.slow_ms)
    caller = Caller(options.url, options.model, ledger)
    pause = _pause_file(options.statistics)
    clock = random.Random(options.seed)  # noqa: S311
    room = threading.Semaphore(_WORKERS)
    requests = bodies(options.rows, options.seed)
    due = written = time.monotonic()
    with ThreadPoolExecutor(_WORKERS) as pool:
        while not stop.wait(max(0.0, min(due, written + _WRITE_SECONDS) - time.monotonic())):
            now = time.monotonic()
            if now >= written + _WRITE_SECONDS:
                write_whole(options.statistics, ledger.text(time.time()))
                written = now
            if now < due:
                continue
            due += clock.expovariate(options.rps)
            if pause.exists():
                due = max(due, now)
            elif room.acquire(blocking=False):
                pool.submit(caller.send, next(requests)).add_done_callback(lambda _: room.release())
            else:
                ledger.drop()
    write_whole(options.statistics, ledger.text(time.time()))


def _pause_file(statistics: Path) -> Path:
    return statistics.with_suffix(".paused")


class Traffic:
    """The load as a child process.

    Args:
        url: of the service, which need not exist yet.
        slow_ms: an answer that takes longer is bad.
    """

    def __init__(
        self, processes: Processes, *, url: str, model: str, rows: Path, rps: float = 60.0,
        slow_ms: float = 25.0, seed: int = 1,
    ) -> None:  # fmt: skip
        self._statistics = processes.folder / "traffic.json"
        self._statistics.unlink(missing_ok=True)
        self.resume()
        settings: Mapping[str, Any] = {
            "url": url,
            "model": model,
            "rows": rows,
            "rps": rps,
            "slow-ms": slow_ms,
            "seed": seed,
            "statistics": self._statistics,
        }
        words = [f"--{name}={value}" for name, value in settings.items()]
        command = [sys.executable, "-m", "pipelines.rehearsal.traffic", *words]
        self._child: Child = processes.start("traffic", command)
        wait_until("traffic flows", self._statistics.exists, seconds=15)

    @property
    def running(self) -> bool:
        """Whether it still sends."""
        return self._child.running

    def counts(self) -> Counts:
        """The account, a quarter of a second old at most."""
        return Counts.read(self._statistics)

    def pause(self) -> None:
        """Send nothing until resumed."""
        _pause_file(self._statistics).touch()

    def resume(self) -> None:
        """Send again; not paused is fine."""
        _pause_file(self._statistics).unlink(missing_ok=True)

    def stop(self) -> Counts:
        """End it; the whole account."""
        self._child.stop()
        return self.counts()


def main() -> None:
    """Parse, drive until SIGTERM or Ctrl-C, print the account."""
    parser = argparse.ArgumentParser(
        description="A steady open-loop load of single rows over the V2 protocol."
    )
    parser.add_argument("--url", required=True, help="the service, without /v2")
    parser.add_argument("--model", required=True)
    parser.add_argument(
        "--rows", required=True, type=Path, help="CSV with a header; the last column is the label"
    )
    parser.add_argument("--rps", type=float, default=60.0)
    parser.add_argument("--slow-ms", type=float, default=25.0, help="an answer that takes longer is bad")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--statistics", type=Path, default=Path("traffic.json"))
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    drive(options, stop)
    print(options.statistics.read_text(encoding="utf-8"))  # noqa: T201


if __name__ == "__main__":
    main()
