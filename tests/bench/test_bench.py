"""`make bench` runs to its end and compares like with like; its figures are for people, not for asserts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it as `make bench` does."""
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)


def test_a_small_bench_prints_a_row_for_each_pair() -> None:
    """Seconds and memory of both, and the ratio."""
    done = bench("tests.bench", "--models", "3", "--lines", "50", "--runs", "1")
    rows = done.stdout.splitlines()[1:]

    assert done.returncode == 0, done.stderr
    assert [row.split(":")[0].split("  ")[0] for row in rows] == ["lint", "journal", "lockgate --help"]
    assert all(re.search(r"\d s +\d+ MiB .*\d s +\d+ MiB +[\d.]+ times$", row) for row in rows)


def test_both_sides_make_the_same_manifests() -> None:
    """As many from the plain script as lockgate checks."""
    plain = bench("tests.bench.plain", "gitops-repo").stdout
    script = "from pipelines.cli import main; main()"
    command = [sys.executable, "-c", script, "lint", "gitops-repo"]
    ours = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert plain == "12 manifests\n"
    assert "12 manifests" in ours.stdout


def test_both_sides_read_the_same_lines(tmp_path: Path) -> None:
    """And a journal that was changed is refused by ours alone."""
    journal = tmp_path / "journal.jsonl"
    bench("tests.bench.journal", "write", str(journal), "40")
    said = [bench("tests.bench.journal", how, str(journal)).stdout for how in ("fold", "plain")]
    journal.write_text(journal.read_text().replace("0.2", "0.1", 1))
    changed = [bench("tests.bench.journal", how, str(journal)).returncode for how in ("fold", "plain")]

    assert said == ["40 lines\n", "40 lines\n"]
    assert changed == [1, 0]


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    """A repository with a mistake in it stops the bench."""
    (tmp_path / "platform.yaml").write_text("tiers: nothing\n")
    script = f"from tests.bench.__main__ import run, LOCKGATE; run([*LOCKGATE, 'lint', {str(tmp_path)!r}])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 1
    assert "ended with 3" in done.stderr
