"""lockgate judge: a journal or recorded metrics judged again, noise measured; and what plan tells."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gates.canary import Canary, CanarySettings
from gates.canary.replay import over
from pipelines.journal import events as e
from pipelines.journal.lines import verdict_to_data
from tests import plans
from tests.commands import Shell
from tests.counters import CANDIDATE, NOW, SINCE, STABLE, Held, Traffic, bake, both, prometheus
from tests.promotions import Book

FINE = Traffic(good=100)


@pytest.fixture
def lockgate(tmp_path: Path) -> Shell:
    """A command line with a home of its own."""
    return Shell({"HOME": str(tmp_path), "LOCKGATE_STATE_DIR": str(tmp_path / "state")})


def journal(folder: Path, candidate: Traffic, stable: Traffic = FINE, *, name: str = "journal.jsonl") -> Path:
    """Of a promotion that was looked at every minute at 50 %."""
    book = Book(plans.started(plans.canary()))
    gate = Canary(CanarySettings(), metrics=Held(both("risk", candidate, stable)))
    for verdict in over(gate, bake("risk"), until=NOW, every_seconds=60):
        book.after(60).tell(e.Judged(stage="bake-50", verdict=verdict_to_data(verdict)))
    file = folder / name
    file.write_text(book.text, "utf-8")
    return file


def test_a_journal_is_judged_again_and_comes_out_the_same(lockgate: Shell, tmp_path: Path) -> None:
    """Every verdict in a line, and the sum below."""
    ran = lockgate("judge", "replay", journal(tmp_path, Traffic(good=90, errors=10)))
    assert ran.code == 0, ran.err
    assert "5 verdicts judged again, none of them otherwise" in ran.out
    assert ran.out.count("the same") == 5
    assert "FAIL worse_than_stable" in " ".join(ran.out.split())
    told = lockgate("judge", "replay", journal(tmp_path, FINE), "--json").json
    assert [one["again"] for one in told["verdicts"]] == ["the same"] * 5


def test_a_verdict_that_comes_out_otherwise_is_refused(lockgate: Shell, tmp_path: Path) -> None:
    """A journal whose hashes hold, written by somebody who judged otherwise."""
    book = Book(plans.started(plans.canary()))
    gate = Canary(CanarySettings(), metrics=Held(both("risk", Traffic(good=90, errors=10), FINE)))
    verdict: dict[str, Any] = verdict_to_data(gate.judge(bake("risk")))
    book.tell(e.Judged(stage="bake-50", verdict={**verdict, "status": "PASS", "reason": "no_harm_shown"}))
    file = tmp_path / "forged.jsonl"
    file.write_text(book.text, "utf-8")
    ran = lockgate("judge", "replay", file)
    assert ran.code == 4
    assert "now FAIL worse_than_stable" in ran.out


def test_a_journal_that_was_changed_is_refused_before_anything_is_judged(
    lockgate: Shell, tmp_path: Path
) -> None:
    """Its hash chain does not hold; and what is no journal is said to be none."""
    file = journal(tmp_path, FINE)
    file.write_text(file.read_text("utf-8").replace('"share_percent":50', '"share_percent":51', 1), "utf-8")
    assert "journal was changed" in lockgate("judge", "replay", file).err
    file.write_text("{}\n", "utf-8")
    ran = lockgate("judge", "replay", file)
    assert (ran.code, "is no journal" in ran.err) == (3, True)


def test_recorded_metrics_are_judged_as_a_bake_would_have_been(lockgate: Shell, tmp_path: Path) -> None:
    """A real Prometheus, from its counters to the verdict."""
    words = ("--namespace", "risk", "--stable", STABLE, "--candidate", CANDIDATE, "--share", "50")
    times = ("--from", f"{SINCE:%Y-%m-%dT%H:%M:%SZ}", "--to", f"{NOW:%Y-%m-%dT%H:%M:%SZ}")
    with prometheus(tmp_path, both("risk", Traffic(good=90, errors=10), FINE)) as url:
        ran = lockgate("judge", "replay", "--prometheus", url, *times, *words, "--threshold-ms", "50")
    assert ran.code == 0, ran.err
    assert "5 looks judged" in ran.out
    assert "worse_than_stable" in ran.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "either a journal or --prometheus"),
        (("--prometheus", "http://localhost:1"), "needs --candidate and --share"),
        (
            ("--prometheus", "http://localhost:1", "--candidate", "a", "--share", "10"),
            "without --from, --to, --namespace, --stable, --threshold-ms",
        ),
    ],
)
def test_what_is_missing_is_named(lockgate: Shell, words: tuple[str, ...], said: str) -> None:
    """All of it at once."""
    ran = lockgate("judge", "replay", *words)
    assert (ran.code, said in ran.err) == (3, True), ran.err


def test_noise_is_measured_on_clean_journals(lockgate: Shell, tmp_path: Path) -> None:
    """And printed as the settings want it; fewer than five tell too little."""
    arms = [(Traffic(errors=1 + n % 2), Traffic(errors=2 - n % 2)) for n in range(6)]
    files = [journal(tmp_path, *pair, name=f"{n}.jsonl") for n, pair in enumerate(arms)]
    ran = lockgate("judge", "calibrate", *files)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("# the noise of 6 rollouts")
    assert 'noise: {"errors"' in ran.out
    told = lockgate("judge", "calibrate", *files, "--json").json
    assert set(told["noise"]) == {"errors"}
    few = lockgate("judge", "calibrate", *files[:4])
    assert (few.code, "4 rollouts tell too little" in few.err) == (3, True)


def test_noise_is_measured_on_an_arm_against_itself(lockgate: Shell, tmp_path: Path) -> None:
    """Hours of a metrics server; five minutes are not five rollouts."""
    begin, end = NOW - timedelta(minutes=5), NOW
    times = ("--from", f"{begin:%Y-%m-%dT%H:%M:%SZ}", "--to", f"{end:%Y-%m-%dT%H:%M:%SZ}")
    with prometheus(tmp_path, both("risk", FINE, FINE)) as url:
        words = (
            "--prometheus",
            url,
            *times,
            "--namespace",
            "risk",
            "--stable",
            STABLE,
            "--threshold-ms",
            "50",
        )
        ran = lockgate("judge", "calibrate", *words)
    assert ran.code == 3
    assert "the arm cannot be split" in ran.err


def test_a_plan_tells_what_would_be_seen(lockgate: Shell, tmp_path: Path) -> None:
    """At the model's traffic, with a warning where a stage is theatre; without the gate nothing is told."""
    assert lockgate("init", tmp_path / "models").code == 0
    told = lockgate("--repo", tmp_path / "models", "plan", "fraud-scorer", "--to", "prod")
    assert told.code == 0, told.err
    assert "What the canary gate would see, at" in told.out
    assert "bake-10: 2 times the errors" in told.out
    release = tmp_path / "models" / "models" / "fraud-scorer" / "release.yaml"
    text = release.read_text("utf-8")
    rate = next(line for line in text.splitlines() if line.strip().startswith("peak_rps:"))
    release.write_text(text.replace(rate, f"{rate.split(':')[0]}: 0.5"), "utf-8")
    warned = lockgate("--repo", tmp_path / "models", "plan", "fraud-scorer", "--to", "prod")
    assert "Warning: bake-10 is theatre for errors" in warned.out
    platform = tmp_path / "models" / "platform.yaml"
    without = re.sub(r" {6}canary:\n( {8}.*\n)+", "", platform.read_text("utf-8"))
    platform.write_text(without, "utf-8")
    quiet = lockgate("--repo", tmp_path / "models", "plan", "fraud-scorer", "--to", "prod")
    assert (quiet.code, "What the canary gate would see" in quiet.out) == (0, False)
