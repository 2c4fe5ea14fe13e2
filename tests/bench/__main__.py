"""What lockgate costs here, beside the plainest thing one would do instead: `python -m tests.bench`.

Ours and the other run by turns, each in a process of its own, so that both meet the same noise. Seconds are
medians of wall time; "times" is the median of the ratios of the pairs; memory is the peak of the process.
The whole takes well under two minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "gitops-repo"
PYTHON = sys.executable
LOCKGATE = (PYTHON, "-c", "from pipelines.cli import main; main()")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one command."""

    seconds: float
    peak_mib: float
    said: str
    cpu_seconds: float
    """Of user and system, whatever else the machine was doing."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What is measured, and the two commands."""

    what: str
    ours: tuple[str, ...]
    instead: str
    other: tuple[str, ...]
    runs: int


def run(command: Sequence[str]) -> Run:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed, which is no measurement.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if child.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}: {text[-2000:]}")
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return Run(seconds, usage.ru_maxrss / scale, text.strip(), usage.ru_utime + usage.ru_stime)


def measure(pair: Pair) -> tuple[list[Run], list[Run]]:
    """Both by turns, after one pair that only warms the caches."""
    ours, other = [], []
    for turn in range(pair.runs + 1):
        one, two = run(pair.ours), run(pair.other)
        if turn:
            ours.append(one)
            other.append(two)
    return ours, other


def line(pair: Pair, ours: list[Run], other: list[Run]) -> str:
    """One row of the table."""
    times = statistics.median(one.seconds / two.seconds for one, two in zip(ours, other, strict=True))
    return (
        f"{pair.what:<44} {_median(ours):8.2f} s {_peak(ours):7.0f} MiB   "
        f"{pair.instead:<34} {_median(other):8.2f} s {_peak(other):7.0f} MiB {times:7.1f} times"
    )


def _median(runs: list[Run]) -> float:
    return statistics.median(one.seconds for one in runs)


def _peak(runs: list[Run]) -> float:
    return max(one.peak_mib for one in runs)


def models(folder: Path, count: int) -> None:
    """A repository of so many models, each like the sample's."""
    (folder / "platform.yaml").write_text((SAMPLE / "platform.yaml").read_text())
    text = (SAMPLE / "models" / "fraud-scorer" / "release.yaml").read_text()
    for number in range(count):
        name = f"model-{number:04d}"
        place = folder / "models" / name
        place.mkdir(parents=True)
        (place / "release.yaml").write_text(text.replace("fraud-scorer", name))


def pairs(folder: Path, count: int, lines: int, runs: int) -> list[Pair]:
    """Everything that is measured; lays out what it needs."""
    repository, journal = folder / "repository", folder / "journal.jsonl"
    repository.mkdir()
    models(repository, count)
    reader = (PYTHON, "-m", "tests.bench.journal")
    run([*reader, "write", str(journal), str(lines)])
    return [
        Pair(
            f"lint: {count:,} models read, rendered, checked",
            (*LOCKGATE, "lint", str(repository)),
            "PyYAML (C) and jinja2, no checks",
            (PYTHON, "-m", "tests.bench.plain", str(repository)),
            runs,
        ),
        Pair(
            f"journal: {lines:,} lines, hashes, state",
            (*reader, "fold", str(journal)),
            "json.loads on every line",
            (*reader, "plain", str(journal)),
            runs,
        ),
        Pair("lockgate --help", (*LOCKGATE, "--help"), "python -c pass", (PYTHON, "-c", "pass"), 3 * runs),
    ]


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="What lockgate costs here")
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args(arguments)
    print(f"{'median seconds and peak memory':<67}{'of what one would do instead':<58}cost")
    with tempfile.TemporaryDirectory(prefix="lockgate-bench-") as folder:
        for pair in pairs(Path(folder), asked.models, asked.lines, asked.runs):
            print(line(pair, *measure(pair)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
