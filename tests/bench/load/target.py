"""The server of known latency: ``target.c``, compiled by whatever ``cc`` there is."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("target.c")
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Truth:
    """What the server itself saw, in microseconds, in the order of its answers."""

    latencies_us: list[int]
    drawn_us: list[int]
    """The service times alone, without stalls and without a late answer."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server that runs."""

    url: str

    def truth(self) -> Truth:
        """Everything since the start or the last reset."""
        return Truth(**self._get("/stats"))

    def reset(self) -> None:
        """Forget what was seen."""
        self._get("/reset")

    def _get(self, path: str) -> dict[str, list[int]]:
        with NO_PROXY.open(self.url + path, timeout=30) as answer:
            found: dict[str, list[int]] = json.loads(answer.read())
        return found


def compiled(folder: Path) -> Path | None:
    """The server's program; None where there is no C compiler.

    Raises:
        RuntimeError: the compiler refused it.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    program = folder / "target"
    command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(program), str(SOURCE), "-lm", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{SOURCE.name} does not compile: {done.stderr[-2000:]}")
    return program


@contextmanager
def started(
    program: Path,
    *,
    p50_ms: float = 3.2,
    p99_ms: float = 6.5,
    stall_ms: float = 0.0,
    every_ms: float = 10_000.0,
    seed: int = 1,
    core: int | None = None,
) -> Iterator[Target]:
    """A server with lognormal service times, on a core of its own where one is named; gone afterwards."""
    words = [str(program), "0", *(str(one) for one in (p50_ms, p99_ms, stall_ms, every_ms, seed))]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            if core is not None:
                os.sched_setaffinity(server.pid, {core})
            yield Target(f"http://127.0.0.1:{int(server.stdout.readline())}")
        finally:
            server.kill()


def percentile_ms(latencies_us: Sequence[int], percent: float) -> float:
    """The smallest value that ``percent`` of all do not exceed, in milliseconds."""
    ranked = sorted(latencies_us)
    return ranked[math.ceil(len(ranked) * percent / 100) - 1] / 1000
