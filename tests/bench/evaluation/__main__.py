"""Prints three tables: cost of ten million rows, coverage of the intervals, decisions.

``--other PYTHON`` names an interpreter that has fairlearn, scikit-learn and pyarrow, for the comparison.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.__main__ import PYTHON, Run, run
from tests.bench.evaluation import coverage

PLAIN = Path(__file__).with_name("plain.py")


def cost(folder: Path, rows: int, forms: Sequence[str], other: str) -> Iterator[str]:
    """Seconds and peak memory of the gate, and of what one would do instead, on the same files."""
    ours = (PYTHON, "-m", "tests.bench.evaluation.large")
    for form in forms:
        run([*ours, "write", str(folder), str(rows), form])
        judged = run([*ours, "judge", str(folder), form])
        yield _line(f"the gate, {rows:,} rows, {form}", judged)
        if form == "parquet":
            yield f"  {judged.said[:200]}…"
    for library in ("sklearn", "fairlearn"):
        if "parquet" not in forms or not _has(other, library):
            yield f"{library}: not installed for {Path(other).name}, left out"
            continue
        there = run([other, str(PLAIN), str(folder), library])
        yield _line(
            f"{library}, values alone"
            if library == "sklearn"
            else "fairlearn, groups by region, 2 resamples",
            there,
        )


def _line(what: str, found: Run) -> str:
    return f"{what:<44}{found.seconds:9.1f} s{found.cpu_seconds:9.1f} s of CPU{found.peak_mib:9.0f} MiB"


def _has(python: str, library: str) -> bool:
    code = f"import {library}, pyarrow, {'pandas' if library == 'fairlearn' else 'numpy'}"
    return subprocess.run([python, "-c", code], capture_output=True, timeout=120).returncode == 0


def covered(draws: int, truth_rows: int) -> Iterator[str]:
    """Every interval of the gate."""
    yield f"{'interval at 95 %':<34}{'rows':>8}{'draws':>8}{'holds':>9}{'too high':>9}{'too low':>9}"
    wanted = (
        (coverage.measures(truth_rows), 1000, draws // 4),
        (coverage.measures(truth_rows), 25_000, draws // 4),
        (coverage.groups, 800, draws),
        (coverage.drifts(0.0), 2000, draws),
        (coverage.drifts(0.3), 2000, draws),
        (coverage.calibrations(0.0), 2000, draws),
        (coverage.calibrations(0.05), 2000, draws),
        (coverage.answers, 300, draws // 4),
    )
    for draw, rows, count in wanted:
        for row in coverage.coverage(draw, rows, max(count, 1)):
            yield str(row)


def decided(draws: int) -> Iterator[str]:
    """What a margin lets through."""
    yield f"{'truth, margin 0.03':<34}{'rows':>8}{'draws':>8}{'passes':>9}"
    for rows in (1000, 4000, 16_000):
        yield from coverage.decisions(rows, draws)


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.evaluation", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--formats", default="parquet", help="parquet, csv or both, joined by a comma")
    parser.add_argument("--tables", default="cost,coverage,decisions")
    parser.add_argument("--other", default=PYTHON)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="lockgate-bench-") as folder:
        forms = re.findall("parquet|csv", asked.formats)
        made = {
            "cost": cost(Path(folder), asked.rows, forms, asked.other),
            "coverage": covered(asked.draws, asked.rows),
            "decisions": decided(asked.draws),
        }
        for name in asked.tables.split(","):
            for line in made[name]:
                print(line, flush=True)
            print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
