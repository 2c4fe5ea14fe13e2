"""The engine is killed at every effect boundary and at random instants, and started again.

Every request that writes (pushes, API calls) is a boundary on two sides: killed before the effect, and after
it but before its answer arrives. Whatever happens: one pull request, one change, every share committed
once, the same end. Left out: kills inside git or Envoy themselves (test_git).
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.config import Secrets
from pipelines.journal.state import State
from pipelines.rehearsal.server import LoopbackServer
from pipelines.rehearsal.world import Rehearsal
from pipelines.spec.types import Version
from pipelines.steps.recorder import Recorder
from pipelines.steps.start import Wish, start
from pipelines.wiring import Desktop, SystemClock

SECONDS = 420.0
WRITES = ("POST", "PUT", "PATCH", "DELETE")


class Small(Rehearsal):
    """A world in which a promotion takes seconds: two shares, quick looks, patient objectives."""

    def platform_text(self) -> str:
        """platform.yaml with such a tier."""
        platform = yaml.safe_load(super().platform_text())
        tier = platform["tiers"]["regulated"]
        tier["shares"] = [50, 100]
        tier["bake"] = {"minimum": "2s", "maximum": "5m", "look_every": "1s", "warm_up": "1s"}
        tier["soak"] = "1s"
        tier["hold_budget"] = "5m"
        for gate in ("evaluation", "load"):
            tier["gates"].pop(gate)
        return str(yaml.safe_dump(platform))

    def release_text(self, version: str) -> str:
        """release.yaml with objectives that a busy machine keeps."""
        release = yaml.safe_load(super().release_text(version))
        release["gates"] = {}
        release["slo"]["latency"]["threshold_ms"] = 500.0
        return str(yaml.safe_dump(release))


class Boundary:
    """Stands in front of every server and kills the engine at the n-th write of its life."""

    def __init__(self, servers: Iterable[LoopbackServer]) -> None:
        self.points: Counter[str] = Counter()
        self._kill: Callable[[], None] = lambda: None
        self._left = 0
        self._before = False
        self._lock = threading.Lock()
        for server in servers:
            self._wrap(server)

    def arm(self, n: int, *, before: bool, kill: Callable[[], None]) -> None:
        """Kill at the n-th write from now on; 0 for never."""
        with self._lock:
            self._left, self._before, self._kill = n, before, kill

    def _wrap(self, server: LoopbackServer) -> None:
        inner = server.app.wsgi_app

        def around(environ: dict[str, Any], respond: Any) -> Any:
            name = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
            if not self._strikes(environ):
                return inner(environ, respond)
            if self._before:
                self.points[f"before {name}"] += 1
                self._kill()
                respond("503 Service Unavailable", [("Content-Length", "0")])
                return [b""]
            answer = list(inner(environ, respond))
            self.points[f"after {name}"] += 1
            self._kill()
            return answer

        server.app.wsgi_app = around  # type: ignore[method-assign]

    def _strikes(self, environ: dict[str, Any]) -> bool:
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] not in WRITES or "git-upload-pack" in path or "_rehearsal" in path:
            return False
        with self._lock:
            self._left -= 1
            return self._left == 0


class Lives:
    """An engine that may be killed and started again as often as one likes."""

    def __init__(self, world: Rehearsal, promotion: str) -> None:
        settings = {
            **world.environment,
            "folder": str(world.folder / "clones" / "engine"),
            "promotion": promotion,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.stories.forked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(world.folder / "engine.log").open("ab"),
            text=True,
        )
        self._say(json.dumps(settings))
        self._pid = 0
        self._started = threading.Event()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL to the present life."""
        assert self._started.wait(10)
        os.kill(self._pid, signal.SIGKILL)

    def live(self, *, at_most_seconds: float | None = None) -> int:
        """One life, to its end or its kill; the exit code."""
        assert self._process.stdout is not None
        self._started.clear()
        self._say("start")
        self._pid = int(self._process.stdout.readline().split()[1])
        self._started.set()
        timer = threading.Timer(at_most_seconds, self.kill) if at_most_seconds is not None else None
        if timer:
            timer.start()
        code = int(self._process.stdout.readline().split()[2])
        if timer:
            timer.cancel()
        return code

    def close(self) -> None:
        """End the process that forks."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """A small world with v1 serving."""
    artifacts = tmp_path_factory.getbasetemp().parent / "artifacts"
    with Small(tmp_path_factory.mktemp("world"), artifacts=artifacts, rps=150.0) as made:
        yield made


@pytest.fixture(scope="module")
def boundary(world: Small) -> Boundary:
    """The boundary around the forge, the desk and Argo CD."""
    return Boundary((world.forge, world.desk, world.argocd))


@pytest.fixture(autouse=True)
def people(world: Small) -> Iterator[None]:
    """Rita and Carol approve whatever change asks them."""
    stop = threading.Event()

    def approve() -> None:
        while not stop.wait(0.2):
            for change, login in itertools.product(world.desk.changes(), ("rita", "carol")):
                try:
                    world.desk.decide(change["number"], login, "approved")
                except Exception:
                    continue

    thread = threading.Thread(target=approve, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join()


def desktop(world: Small) -> Desktop:
    """How this test looks at the repository."""
    return Desktop(
        git_url=world.forge.git_url,
        git_token=world.environment["LOCKGATE_GIT_TOKEN"],
        folder=world.folder / "clones" / "test",
        secrets=Secrets(world.environment),
        clock=SystemClock(),
    )


def begin(world: Small, label: str) -> str:
    """Start a promotion of a version; its id."""
    here = desktop(world)
    repository = here.repository()
    catalogue = world.catalogue
    wish = Wish(
        model=catalogue.model,
        environment="prod",
        version=Version(label=label, uri=catalogue.uri(label), digest=catalogue.digest(label)),
        requested_by="dana",
        reason="kill sweep",
    )
    promotion = start(wish, repository, here.journals(repository), here.clock)
    assert isinstance(promotion, str)
    return promotion


def look(world: Small, promotion: str) -> tuple[State, int]:
    """The promotion as its journal says, and its milestones: a look that is told again is none."""
    here = desktop(world)
    recorder = Recorder(here.journals(here.repository()), here.clock, promotion, "test")
    state = recorder.read()
    assert state is not None
    return state, sum(line.event.kind not in ("judged", "waited") for line in recorder.lines)


def sweep(world: Small, boundary: Boundary, promotion: str) -> tuple[State, int]:
    """Kill at every boundary until the promotion has ended; its state, and how many lives it took."""
    lives = Lives(world, promotion)
    deadline = time.monotonic() + SECONDS
    reached, n, before, count = look(world, promotion)[1], 1, True, 0
    try:
        while True:
            assert time.monotonic() < deadline, f"still not ended after {count} lives"
            boundary.arm(n, before=before, kill=lives.kill)
            code = lives.live()
            count += 1
            state, milestones = look(world, promotion)
            if state.ended is not None:
                return state, count
            assert code == -signal.SIGKILL, f"the engine ended by itself with {code}"
            if milestones > reached:  # what was done is written down: the next boundaries are new ones
                reached, n, before = milestones, 1, True
            elif before:
                before = False
            else:
                n, before = n + 1, True
    finally:
        boundary.arm(0, before=False, kill=lambda: None)
        lives.close()


def machine_commits(world: Small, promotion: str) -> Counter[str]:
    """How often each stage was committed on main."""
    git = ["git", "--git-dir", str(world.forge.world.content.path), "log", "--first-parent", "main"]
    shown = (
        "%(trailers:key=Lockgate-Promotion,valueonly,separator=%x20)|%(trailers:key=Lockgate-Stage,valueonly)"
    )
    log = subprocess.run([*git, f"--format={shown}"], capture_output=True, text=True, check=True).stdout
    pairs = (line.split("|", 1) for line in log.splitlines() if "|" in line)
    return Counter(stage.strip() for of, stage in pairs if of.strip() == promotion)


def pull_requests(world: Small, promotion: str) -> int:
    """How many pull requests the promotion has."""
    pulls = json.loads((Path(world.folder) / "forge" / "forge.json").read_text())["pulls"]
    pulls = pulls.values() if isinstance(pulls, dict) else pulls
    return sum(promotion in json.dumps(pull) for pull in pulls)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 60)
def test_killed_at_every_boundary_a_good_version_is_promoted_once(
    world: Small, boundary: Boundary, capsys: pytest.CaptureFixture[str]
) -> None:
    """One pull request, one change, every share once, promoted."""
    promotion = begin(world, "v2")

    state, lives = sweep(world, boundary, promotion)

    assert state.ended is not None
    assert "promoted" == state.ended.outcome
    assert 1 == pull_requests(world, promotion)
    assert 1 == len(world.desk.changes())
    commits = machine_commits(world, promotion)
    assert {
        "preview": 1,
        "merge": 1,
        "shift-50": 1,
        "shift-100": 1,
        "finish": 1,
        "preview-removed": 1,
    } == commits
    with capsys.disabled():
        print(f"\n{lives} lives, killed at {len(boundary.points)} different boundaries")


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 60)
def test_killed_at_every_boundary_a_bad_version_goes_back_once(
    world: Small, boundary: Boundary, capsys: pytest.CaptureFixture[str]
) -> None:
    """v5 fails 5 % of its requests: whatever is killed, it ends at 0."""
    promotion = begin(world, "v5")
    changes = len(world.desk.changes())

    state, lives = sweep(world, boundary, promotion)

    assert state.ended is not None
    assert "rolled_back" == state.ended.outcome
    assert 1 == pull_requests(world, promotion)
    assert changes == len(world.desk.changes())
    commits = machine_commits(world, promotion)
    assert {"preview": 1, "merge": 1, "shift-50": 1, "roll_back": 1, "preview-removed": 1} == commits
    with capsys.disabled():
        print(f"\n{lives} lives, killed at {len(boundary.points)} different boundaries in all")


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 60)
def test_killed_at_random_instants_a_version_is_promoted_once(world: Small) -> None:
    """Twenty lives of random length, then one to the end."""
    promotion = begin(world, "v3")
    lives = Lives(world, promotion)
    dice = random.Random(20261121)
    for _ in range(20):
        if lives.live(at_most_seconds=dice.uniform(0.05, 1.5)) == 0:
            break
    try:
        lives.live(at_most_seconds=SECONDS)
    finally:
        lives.close()

    state, _ = look(world, promotion)
    assert state.ended is not None
    assert "promoted" == state.ended.outcome
    assert 1 == pull_requests(world, promotion)
    assert {1} == set(machine_commits(world, promotion).values())
