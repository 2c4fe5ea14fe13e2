"""`make bench-evaluation` runs to its end; its figures are for people, but they agree with one another."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it as `make bench-evaluation` does."""
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)


def test_a_small_bench_prints_its_tables() -> None:
    """Cost, coverage, decisions."""
    pytest.importorskip("pyarrow")
    done = bench("tests.bench.evaluation", "--rows", "3000", "--draws", "8", "--formats", "parquet,csv")

    assert done.returncode == 0, done.stderr
    costs = re.findall(
        r"^the gate, 3,000 rows, (parquet|csv) +[\d.]+ s +[\d.]+ s of CPU +\d+ MiB$", done.stdout, re.M
    )
    assert costs == ["parquet", "csv"]
    assert re.search("^  (PASS|FAIL): ", done.stdout, re.M)
    for name in ("auc difference", "pr_auc", "impact ratio", "psi, shift 0", "ece, lift 0", "answers: mean"):
        assert re.search(rf"^{name}.* [\d.]+%", done.stdout, re.M), name
    assert done.stdout.count("recall worse by") == 12


def test_both_sides_compute_the_same_figures(tmp_path: Path) -> None:
    """scikit-learn's values of the same files, to ten digits."""
    pytest.importorskip("pyarrow")
    bench("tests.bench.evaluation.large", "write", str(tmp_path), "3000", "parquet")
    ours = bench("tests.bench.evaluation.large", "judge", str(tmp_path), "parquet").stdout
    plain = [sys.executable, str(ROOT / "tests/bench/evaluation/plain.py"), str(tmp_path), "sklearn"]
    theirs = subprocess.run(plain, capture_output=True, text=True, timeout=60, check=True).stdout

    sought = dict(re.findall(r"(\w+)=(\S+)", theirs.splitlines()[0]))
    given = dict(re.findall(r"(\w+)=(\S+)", ours.splitlines()[1]))
    assert len(sought) == 7
    for name, value in sought.items():
        assert float(given[name]) == pytest.approx(float(value), abs=1e-10), name
