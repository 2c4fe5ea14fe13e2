"""What `lockgate rehearse` promises: the demo goes as told, and nothing is left behind, however it ends.

Aspects: the whole demo as a person runs it, README's transcript of it, a world for another terminal, each
server alone, ends by Ctrl-C, SIGTERM and SIGKILL, and mistakes. Left out: how single steps behave (the other
stories), what each server answers (tests/pipelines/rehearsal).

``LOCKGATE_REGENERATE=1 pytest tests/stories/test_demo.py`` writes the transcript into README.md anew.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
import requests
from rich.console import Console

from pipelines.rehearsal.demo.acts import Cast, StoryDiffers
from pipelines.rehearsal.demo.chapter import Chapter
from pipelines.rehearsal.demo.narrator import Voice
from pipelines.rehearsal.processes import wait_until
from pipelines.rehearsal.scenarios import SCENARIOS, play
from pipelines.rehearsal.world import Rehearsal
from tests import docs

README = docs.ROOT / "README.md"
COMMAND = [sys.executable, "-c", "from pipelines.cli import main; main()"]
DEMO_SECONDS = 400
"""Far longer than the demo takes on a quiet machine; other tests may run beside it."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What one run of the command left."""

    code: int
    out: str
    err: str
    folder: Path


def environment(folder: Path) -> dict[str, str]:
    """A person's environment, without anything of lockgate's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCKGATE")}
    return {**kept, "PYTHONPATH": str(docs.ROOT), "HOME": str(folder), "NO_COLOR": "1"}


def lockgate(folder: Path, *words: str, seconds: float = 60.0, **variables: str) -> Ran:
    """Run a command to its end."""
    done = subprocess.run(
        [*COMMAND, *words], cwd=folder, env=environment(folder) | variables, capture_output=True, text=True,
        timeout=seconds,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout, done.stderr, folder)


def children(folder: Path) -> list[psutil.Process]:
    """The processes that a world in this folder lists as its own, as far as they run."""
    listed = folder / ".lockgate" / "rehearsal" / "processes.json"
    if not listed.exists():
        return []
    entries = json.loads(listed.read_text())["children"].values()
    found = []
    for entry in entries:
        try:
            process = psutil.Process(entry["pid"])
            if process.cmdline() == entry["command"]:
                found.append(process)
        except psutil.Error:
            continue
    return found


# ------------------------------------------------------------------------------ the demo


@pytest.fixture(scope="module")
def demo() -> Iterator[Ran]:
    """The demo, once; in a folder with a short name, since what does not fit on a line is cut."""
    with tempfile.TemporaryDirectory() as folder:
        yield lockgate(Path(folder).resolve(), "rehearse", "--demo", seconds=DEMO_SECONDS)


@pytest.mark.alone
@pytest.mark.timeout(DEMO_SECONDS + 60)
def test_the_demo_goes_as_told(demo: Ran) -> None:
    """Exit code 0: every outcome, share, trailer and change was as told, and no request was lost."""
    assert (demo.code, demo.err) == (0, ""), demo.out
    assert re.search(r"requests lost in all +0 of \d{4,}", demo.out)
    (report,) = re.findall(r"the report of v3: (\S+)", demo.out)
    assert "v3" in (demo.folder / report).read_text()


@pytest.mark.alone
@pytest.mark.timeout(DEMO_SECONDS + 60)
def test_the_transcript_in_the_readme_is_what_the_demo_prints(demo: Ran) -> None:
    """But for times, ids, addresses and measured numbers."""
    wanted = f"```\n$ lockgate rehearse --demo\n{presentable(demo)}```\n"
    kept = docs.between(README.read_text(), "transcript")
    if docs.REGENERATE:
        kept = docs.kept(README, "transcript", wanted)

    assert comparable(kept) == comparable(wanted), "LOCKGATE_REGENERATE=1 writes it anew"
    assert 60 <= kept.count("\n") <= 100


@pytest.mark.alone
@pytest.mark.timeout(DEMO_SECONDS + 60)
def test_the_demo_leaves_no_process_behind(demo: Ran) -> None:
    """Envoy, Prometheus, the model servers and the callers end with it."""
    assert demo.code == 0
    assert children(demo.folder) == []


def presentable(ran: Ran) -> str:
    """What was printed, with a place anybody might have in place of this machine's."""
    return ran.out.replace(str(ran.folder), "/srv/acme/models")


def comparable(transcript: str) -> list[str]:
    """A transcript without what differs from run to run.

    Of a verdict its gate and status stay, since what is measured decides the wording. That something could
    not be told for a moment is the machine's affair; whether v3 seems to hold its objectives is chance.
    """
    lines = [line for line in transcript.split("\n") if not line.startswith(" " * 28)]
    lines = [re.sub(r"^( {9}slo +)WAIT ", r"\1PASS ", line) for line in lines]
    lines = [re.sub(r"^( {9}\w+ +(?:PASS|FAIL)).*", r"\1", line) for line in lines]
    lines = [line for line in lines if "cannot tell, and holds" not in line]
    return [line for line in map(_anonymous, lines) if line]


def _anonymous(line: str) -> str:
    for pattern, name in (
        (
            r"(<?fraud-scorer-prod-\S+ .*(?:\d+ min \d+ s|\d+ min|[0-9.]+ s)) .*…$",
            r"\1",
        ),  # cut by a column's width
        (r"…$", ""),
        (r"sha256:[0-9a-f]+", "<digest>"),
        (r"fraud-scorer-prod-[0-9TZ]+-[0-9a-f]{4}", "<promotion>"),
        (r"sys_id%3D[0-9a-f]*", "<record>"),
        (r"file:///\S+/(?=fraud-scorer)", "<artifacts>/"),
        (r"\b[0-9a-f]{12}\b", "<commit>"),
        (r"\d+ min \d+ s|\d+ min", "<time>"),
        (r"[0-9]+(\.[0-9]+)? s\b", "<time>"),
        (r"(?<![v0-9.])[0-9]+(?:[.,:][0-9]+)*(?![0-9]|[.,:][0-9]| %:)", "#"),  # a version and a share stay
        (r"\s+", " "),
    ):
        line = re.sub(pattern, name, line)
    return line.strip()


@pytest.mark.parametrize(
    ("told", "same"),
    [
        ("  00:23  10 %: commit 6d2a6fcccde4 is synced; Prometheus shows 12.8 % of requests at v2", True),
        ("  00:23  25 %: commit 6d2a6fcccde4 is synced; Prometheus shows 12.8 % of requests at v3", False),
        ("  00:23  10 %: commit 6d2a6fcccde4 is pending", False),
        ("", False),
    ],
)
def test_a_transcript_that_differs_is_found(told: str, same: bool) -> None:
    """Numbers may differ, words and lines may not."""
    kept = "  01:07  10 %: commit 0123456789ab is synced; Prometheus shows 9.1 % of requests at v2\n"

    assert (comparable(kept) == comparable(f"{told}\n")) is same


@pytest.mark.parametrize(
    ("told", "same"),
    [
        ("         slo         PASS   0 of 99 failed (8.1 % at most)\n", True),
        ("         slo         PASS   0 of 99 failed\n                            (8.1 % at most)\n", True),
        ("         slo         FAIL   9 of 99 failed (8.1 % at most)\n", False),
        ("         share       PASS   0 of 99 failed (8.1 % at most)\n", False),
    ],
)
def test_of_a_verdict_gate_and_status_are_compared(told: str, same: bool) -> None:
    """However its sentence runs on."""
    kept = "         slo         PASS   1 of 240 failed (2.9 % at most)\n"

    assert (comparable(kept) == comparable(told)) is same


# ----------------------------------------------------------------------- a world to use


@pytest.fixture
def home(tmp_path: Path, artifacts: Path) -> Path:
    """A folder to work in, where the models were trained before."""
    (tmp_path / ".lockgate").mkdir()
    (tmp_path / ".lockgate" / "artifacts").symlink_to(artifacts)
    return tmp_path


@contextmanager
def running(folder: Path, *words: str, until: str) -> Iterator[subprocess.Popen[str]]:
    """A rehearsal in the background, once it has printed these words; ended at the latest afterwards."""
    log = folder / "rehearse.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*COMMAND, "rehearse", *words], cwd=folder, env=environment(folder), stdout=output, stderr=output,
            stdin=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(until, lambda: until in log.read_text() or process.poll() is not None, seconds=90)
        assert until in log.read_text(), log.read_text()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


@pytest.mark.slow
def test_another_terminal_works_in_the_world(home: Path) -> None:
    """With environment.sh every command finds the world; v2 is what release.yaml wants."""
    with running(home, until="Ctrl-C ends the world") as process:
        sourced = (home / ".lockgate/rehearsal/environment.sh").read_text()
        variables = dict(re.findall(r"export (\w+)='(.*)'", sourced))
        begun = lockgate(
            home, "promote", "fraud-scorer", "--requested-by", "dana", "--reason", "better", "--detach",
            **variables,
        )  # fmt: skip
        shown = lockgate(home, "--json", "status", **variables)
        seen = wait_until(
            "the live view tells of it",
            lambda: "v2 at 0 %" in (home / "rehearse.log").read_text(),
            seconds=20,
        )
        process.send_signal(signal.SIGINT)
        code = process.wait(20)

    assert begun.code == 0, begun.err
    (promotion,) = json.loads(shown.out)["promotions"]
    assert (promotion["candidate"]["label"], promotion["stable"]["label"]) == ("v2", "v1")
    assert seen
    assert code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGKILL, -9)], ids=str
)
def test_however_it_ends_nothing_runs_on(home: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C, SIGTERM, or no chance to do anything: all its children end within seconds."""
    with running(home, until="Ctrl-C ends the world") as process:
        started = children(home)
        process.send_signal(number)
        ended = process.wait(20)

    assert len(started) >= 4
    assert ended == code
    wait_until("its children ended", lambda: not any(one.is_running() for one in started), seconds=10)


@pytest.mark.slow
def test_a_new_world_takes_the_place_of_a_killed_one(home: Path) -> None:
    """The folder of a world that was killed is cleared; that of a living one is not."""
    with running(home, until="Ctrl-C ends the world") as process:
        refused = lockgate(home, "rehearse")
        process.kill()
    assert refused.code == 3
    assert "uses this folder now" in refused.err

    with running(home, until="Ctrl-C ends the world"):
        assert len(children(home)) >= 4


SERVERS = {
    "forge": (r"API +(\S+)", "/user", 401),
    "desk": (r"API and page +(\S+)", "/login", 200),
    "argocd": (r"API +(\S+)", "/api/v1/applications", 401),
    "envoy": (r"admin +(\S+)", "/ready", 200),
    "metrics": (r"API and page +(\S+)", "/-/ready", 200),
    "model": (r"v1 +(\S+)", "", 200),
}


@pytest.mark.parametrize("name", SERVERS)
def test_each_server_is_usable_alone(home: Path, name: str) -> None:
    """Its address is printed, and it answers there; strangers are not let in where a token is needed."""
    pattern, path, status = SERVERS[name]
    with running(home, "--only", name, until="Ctrl-C ends it"):
        (address,) = re.findall(pattern, (home / "rehearse.log").read_text(), flags=re.MULTILINE)[:1]
        answer = requests.get(f"{address}{path}", timeout=10)

    assert answer.status_code == status, answer.text


# ---------------------------------------------------------------------------- scenarios


@pytest.mark.alone
@pytest.mark.long
@pytest.mark.timeout(240)
def test_scenarios_end_as_the_table_says_and_a_wrong_table_is_found(artifacts: Path, tmp_path: Path) -> None:
    """The same run passes under the right expectation and fails under a wrong one, naming the difference."""
    played = SCENARIOS["wrong-decisions"]
    with Rehearsal(tmp_path / "world", artifacts=artifacts) as world, Console(quiet=True) as console:
        cast, voice = Cast(world), Voice(console)
        course = play(played, cast, voice)
        with pytest.raises(StoryDiffers) as told:
            play(replace(SCENARIOS["errors"], outcome="promoted", approved=False), cast, voice)

    assert course.state.ended is not None
    assert course.state.ended.outcome == "refused"
    assert "outcome of v5: promoted was expected, refused was seen" in str(told.value)


def test_every_scenario_says_how_it_ends() -> None:
    """One sentence; and where it goes back, what the rollback is called."""
    for name, one in SCENARIOS.items():
        assert one.sentence.endswith("."), name
        assert bool(one.codes) is (one.outcome != "promoted"), name


def test_differences_are_gathered_and_end_the_story() -> None:
    """All of them are named; without one nothing happens."""
    chapter = Chapter(None, Voice(Console(quiet=True)))  # type: ignore[arg-type]
    chapter.same("shares", [0, 10], [0, 10])
    chapter.settle()
    chapter.same("shares", [0, 10], [0, 25])
    chapter.same("lost", 0, 3)

    with pytest.raises(
        StoryDiffers, match=r"shares: \[0, 10\] was expected, \[0, 25\] was seen; lost: 0 was"
    ):
        chapter.settle()


def test_an_act_without_its_moment_is_a_difference() -> None:
    """A story in which nobody was asked to approve is another story."""
    chapter = Chapter(None, Voice(Console(quiet=True)))  # type: ignore[arg-type]
    chapter.have_it_approved(interactive=False)

    with pytest.raises(StoryDiffers, match="1 acts of people never had their moment"):
        chapter.settle()


# ----------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scenario", "slow"), "did you mean `slow-tail`?"),
        (("--only", "forg"), "did you mean `forge`?"),
        (("--demo", "--scenario", "good"), "choose one"),
        (("--only", "forge", "--interactive"), "choose one"),
        (("--folder", "."), "name a new folder"),
    ],
)
def test_mistakes_are_refused_before_anything_starts(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """Exit code 3, with what to write instead; a folder with somebody's files stays as it is."""
    (tmp_path / "mine.txt").write_text("precious")
    ran = lockgate(tmp_path, "rehearse", *words)

    assert ran.code == 3
    assert said in ran.err
    assert (tmp_path / "mine.txt").read_text() == "precious"
    assert children(tmp_path) == []


def test_scenarios_and_servers_are_listed(tmp_path: Path) -> None:
    """For people and for programs."""
    listed = lockgate(tmp_path, "rehearse", "--list")
    data = json.loads(lockgate(tmp_path, "--json", "rehearse", "--list").out)

    assert (listed.code, set(data["scenarios"])) == (0, set(SCENARIOS))
    for name, one in SCENARIOS.items():
        assert re.search(rf"^  {name} +{re.escape(one.sentence)}$", listed.out, flags=re.MULTILINE)
