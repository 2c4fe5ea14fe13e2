"""What load generators say about a server whose latency is known: ``python -m tests.bench.load``.

The server draws lognormal service times and keeps its own account of every request, from the kernel's time
stamp to the answer. Ours, locust as it comes and wrk meet it by turns, generator and server on different
cores. *Bias* is the p99 that the generator reports less the one the server saw in the same requests.

With stalls the server's account cannot be the truth for a generator that stops asking: of requests that come
whenever they like, a stall of s ms every e ms keeps (s - x) / e waiting for longer than x, so that the p99 is
s - e / 100 (in few stalls by chance some more or less, as the server saw).

Figures are medians of the repeats; the machine's load average stands beside each.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gates.load.generator import generate
from gates.load.recording import Payload, Run
from tests.bench.load.target import Target, compiled, percentile_ms, started

BODY = json.dumps(
    {
        "inputs": [
            {"name": "input-0", "datatype": "FP64", "shape": [1, 50], "data": [n / 7 for n in range(50)]}
        ]
    }
)
SERVICE_MEAN_SECONDS = 0.0034
STALL_MS, EVERY_MS = 300.0, 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One generator, one run."""

    p99_ms: float
    """As the generator reports it."""
    truth_p99_ms: float
    """As the server saw the same requests."""
    rps: float
    """What it really sent."""
    lag_p99_ms: float | None = None
    cpu_percent: float | None = None


Generator = Callable[[Target, float, int], Seen]


def ours(target: Target, rate: float, seconds: int) -> Seen:
    """The load gate's generator."""
    run = Run(
        url=f"{target.url}/v2/models/known/infer",
        rate_rps=rate,
        seconds=seconds,
        warm_up_seconds=2.0,
        seed=round(rate),
        timeout_seconds=5.0,
        maximum_in_flight=4096,
    )
    (one,) = generate([run], [Payload(body=BODY.encode())])
    if set(one.kinds) != {"ok"}:
        raise RuntimeError(f"not every request was answered: {sorted(set(one.kinds))}")
    return Seen(
        p99_ms=percentile_ms(one.latencies_us, 99),
        truth_p99_ms=percentile_ms(target.truth().latencies_us[-len(one.kinds) :], 99),
        rps=one.scheduled / one.window_seconds,
        lag_p99_ms=percentile_ms(one.lags_us, 99),
        cpu_percent=100 * one.cpu_seconds / one.window_seconds,
    )


def stock(target: Target, rate: float, seconds: int) -> Seen:
    """FastHttpUser with a constant throughput of 10 each, and locust's own p99."""
    users = max(1, round(rate / 10))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("stock.py"))]
        command += ["--headless", "--host", target.url, "--users", str(users), "--spawn-rate", str(users)]
        command += ["--run-time", f"{seconds}s", "--csv", f"{folder}/found", "--loglevel", "ERROR"]
        done = subprocess.run(
            [*command, "--only-summary"],
            env={**os.environ, "LOAD_BODY": BODY},
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"locust ended with {done.returncode}: {done.stderr[-1000:]}")
        with Path(f"{folder}/found_stats.csv").open(newline="") as file:
            total = next(row for row in csv.DictReader(file) if row["Name"] == "Aggregated")
    return _beside(target, float(total["99%"]), float(total["Requests/s"]))


def wrk(target: Target, rate: float, seconds: int) -> Seen:
    """So many connections as keep about the rate; wrk itself has no rate."""
    connections = max(1, round(rate * SERVICE_MEAN_SECONDS))
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f"wrk.method = 'POST'\nwrk.body = [[{BODY}]]\n")
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name]
        said = subprocess.run(
            [*command, f"{target.url}/v2/models/known/infer"], capture_output=True, text=True, check=True
        ).stdout
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    rps = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if p99 is None or rps is None:
        raise RuntimeError(f"wrk said something else: {said}")
    return _beside(target, float(p99[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[p99[2]], float(rps[1]))


def _beside(target: Target, p99_ms: float, rps: float) -> Seen:
    return Seen(p99_ms=p99_ms, truth_p99_ms=percentile_ms(target.truth().latencies_us, 99), rps=rps)


GENERATORS: dict[str, Generator] = {"ours": ours, "locust": stock, "wrk": wrk}


def cores() -> tuple[int | None, int | None]:
    """One for the generator and another one for the server, where there are two."""
    if not hasattr(os, "sched_setaffinity"):
        return None, None
    found = sorted(os.sched_getaffinity(0))
    return (found[0], found[-1]) if len(found) > 1 else (None, None)


def undisturbed() -> bool:
    """Real-time priority for us and all we start, where we may: others on the machine are then no noise."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except (AttributeError, OSError):
        return False
    return True


def row(name: str, rate: float, stall_ms: float, seen: Sequence[Seen]) -> str:
    """One line of the table."""
    p99 = statistics.median(one.p99_ms for one in seen)
    truth = stall_ms - EVERY_MS / 100 if stall_ms else statistics.median(one.truth_p99_ms for one in seen)
    bias = p99 - truth if stall_ms else statistics.median(one.p99_ms - one.truth_p99_ms for one in seen)
    spread = "/".join(f"{one.p99_ms - (truth if stall_ms else one.truth_p99_ms):+.2f}" for one in seen)
    own = ""
    if seen[0].lag_p99_ms is not None:
        lag = statistics.median(one.lag_p99_ms or 0.0 for one in seen)
        own = f"  lag p99 {lag:.2f} ms, {statistics.median(one.cpu_percent or 0.0 for one in seen):.0f} % CPU"
    if stall_ms:
        own += f"  the server saw {statistics.median(one.truth_p99_ms for one in seen):.1f}"
    rps = statistics.median(one.rps for one in seen)
    shape = f"{rate:g}" + (" stalled" if stall_ms else "")
    load = f"{os.getloadavg()[0]:.1f}"
    return f"{shape:<13}{name:<8}{rps:8.0f}{truth:10.2f}{p99:10.2f}{bias:+9.2f}  {load:>5}  {spread}{own}"


def measure(program: Path, asked: argparse.Namespace) -> None:
    """Every rate, every generator by turns, so often as asked; prints as it goes."""
    mine, its = cores()
    if mine is not None:
        os.sched_setaffinity(0, {mine})
    print("at real-time priority" if undisturbed() else "at the priority of everybody else")
    print(f"{'rate':<13}{'':<8}{'sent rps':>8}{'truth p99':>10}{'said p99':>10}{'bias':>9}", end="")
    print("   load  each bias, ms")
    shapes = [(rate, 0.0) for rate in asked.rates] + [(rate, STALL_MS) for rate in asked.stalled]
    for rate, stall_ms in shapes:
        seen: dict[str, list[Seen]] = {name: [] for name in asked.generators}
        for turn in range(asked.repeats):
            for name in asked.generators:
                with started(program, stall_ms=stall_ms, every_ms=EVERY_MS, seed=turn, core=its) as target:
                    seen[name].append(
                        GENERATORS[name](target, rate, 3 * asked.seconds if stall_ms else asked.seconds)
                    )
        for name in asked.generators:
            print(row(name, rate, stall_ms, seen[name]), flush=True)


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=__doc__.split("\n")[0])
    parser.add_argument("--rates", type=float, nargs="*", default=[70.0, 350.0, 1000.0, 2500.0, 5000.0])
    parser.add_argument("--stalled", type=float, nargs="*", default=[70.0, 350.0])
    parser.add_argument("--seconds", type=int, default=20, help="of each run; three times that with stalls")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--generators", nargs="*", choices=[*GENERATORS], default=[*GENERATORS])
    asked = parser.parse_args(arguments)
    if "wrk" in asked.generators and shutil.which("wrk") is None:
        print("wrk is not on PATH: left out")
        asked.generators.remove("wrk")
    with tempfile.TemporaryDirectory(prefix="lockgate-bench-") as folder:
        program = compiled(Path(folder))
        if program is None:
            print("there is no C compiler (cc) for the server of known latency: nothing measured")
            return 0
        measure(program, asked)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
