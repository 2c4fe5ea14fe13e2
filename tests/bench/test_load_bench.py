"""The server of known latency is what it says, and `make bench-load` runs to its end.

Everything is held in one direction or exactly: how long a busy machine takes is no part of it. Left out: the
figures, which are for people.
"""

from __future__ import annotations

import http.client
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.bench.load.target import Target, compiled, percentile_ms, started

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled server."""
    found = compiled(tmp_path_factory.mktemp("target"))
    if found is None:
        pytest.skip("there is no C compiler (cc)")
    return found


def ask(target: Target, times: int) -> Iterator[int]:
    """So many requests on one connection, each with its latency here, in microseconds."""
    connection = http.client.HTTPConnection(urlsplit(target.url).netloc, timeout=10)
    for _ in range(times):
        began = time.perf_counter_ns()
        connection.request("POST", "/v2/models/known/infer", body=b"{}" * 300)
        answer = connection.getresponse()
        text = answer.read()
        yield (time.perf_counter_ns() - began) // 1000
        assert (answer.status, b'"outputs":[{' in text) == (200, True)
    connection.close()


def test_what_it_draws_is_the_distribution_it_was_asked_for(program: Path) -> None:
    """The same seed draws the same; median and 99th percentile are those of 2,000 such draws."""
    drawn = []
    for _ in range(2):
        with started(program, p50_ms=0.2, p99_ms=0.5, seed=5) as target:
            list(ask(target, 2000))
            drawn.append(target.truth().drawn_us)

    assert drawn[0] == drawn[1]
    assert percentile_ms(drawn[0], 50) == pytest.approx(0.2, rel=0.04)
    assert percentile_ms(drawn[0], 99) == pytest.approx(0.5, rel=0.1)


def test_nobody_is_answered_before_his_time_and_no_client_sees_less_than_the_server(program: Path) -> None:
    """Drawn time <= the server's account <= the client's clock, for every request."""
    with started(program, p50_ms=1.0, p99_ms=2.0) as target:
        seen = list(ask(target, 200))
        truth = target.truth()

    assert len(truth.latencies_us) == len(truth.drawn_us) == len(seen)
    assert all(drawn <= served for drawn, served in zip(truth.drawn_us, truth.latencies_us, strict=True))
    # A microsecond either way is lost to whole numbers, and two clocks keep no better time than that.
    assert all(served <= here + 2 for served, here in zip(truth.latencies_us, seen, strict=True))


def test_a_stall_keeps_everybody_until_its_end(program: Path) -> None:
    """Stalls of 40 ms every 100 ms: who comes in one waits for its end, and nobody for two."""
    with started(program, p50_ms=0.5, p99_ms=0.6, stall_ms=40, every_ms=100) as target:
        time.sleep(0.1)
        list(ask(target, 100))
        truth = target.truth()
    waited = [served - drawn for served, drawn in zip(truth.latencies_us, truth.drawn_us, strict=True)]

    assert max(waited) >= 30_000
    assert sum(wait >= 30_000 for wait in waited) < 100


def test_a_reset_forgets(program: Path) -> None:
    """And what comes after is kept."""
    with started(program, p50_ms=0.1, p99_ms=0.2) as target:
        list(ask(target, 5))
        target.reset()
        list(ask(target, 3))

        assert len(target.truth().latencies_us) == 3


def test_it_ends_with_whoever_started_it(program: Path) -> None:
    """Its input closes, however that came about."""
    words = [str(program), "0", "1", "2", "0", "0", "1"]
    server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    server.communicate(timeout=10)

    assert server.returncode == 0


def test_percentiles_are_values_that_were_seen() -> None:
    """The 99th of a hundred is the second largest."""
    assert percentile_ms(range(1000, 101_000, 1000), 99) == 99.0
    assert math.isclose(percentile_ms([7_500], 50), 7.5)


def bench(*words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run it as `make bench-load` does."""
    command = [sys.executable, "-m", "tests.bench.load", *words]
    environment = {**os.environ, **({"PATH": path} if path is not None else {})}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)


def test_a_small_bench_prints_a_row_for_each_generator(program: Path) -> None:
    """What was sent, the truth, what was said, and by how much it was wrong."""
    small = ["--rates", "60", "--stalled", "--seconds", "2", "--repeats", "1"]
    done = bench(*small, "--generators", "ours", "locust")
    rows = done.stdout.splitlines()[2:]

    assert done.returncode == 0, done.stderr
    assert [row.split()[:2] for row in rows] == [["60", "ours"], ["60", "locust"]]
    assert all(re.search(r"\d+ +\d+\.\d\d +\d+\.\d\d +[+-]\d+\.\d\d +\d+\.\d ", row) for row in rows)
    assert "lag p99" in rows[0]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """Neither wrk nor a compiler on PATH: it says so and measures nothing."""
    done = bench("--repeats", "1", path=str(tmp_path))

    assert done.returncode == 0
    assert "wrk is not on PATH" in done.stdout
    assert "no C compiler" in done.stdout
