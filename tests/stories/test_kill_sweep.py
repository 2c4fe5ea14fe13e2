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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.journal.state import State
from pipelines.rehearsal.server import LoopbackServer
from pipelines.rehearsal.training import Faults
from tests.stories.telling import Story, Told
from tests.stories.town import Town

SECONDS = 420.0
WRITES = ("POST", "PUT", "PATCH", "DELETE")


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

    def __init__(self, told: Told, folder: Path) -> None:
        settings = {**told.town.environment, "folder": str(folder), "promotion": told.promotion}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.stories.forked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
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
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@contextmanager
def people_approve(town: Town) -> Iterator[None]:
    """Rita and Carol approve whatever change asks them."""
    stop = threading.Event()

    def approve() -> None:
        while not stop.wait(0.2):
            for change, login in itertools.product(town.desk.changes(), ("rita", "carol")):
                try:
                    town.desk.decide(change["number"], login, "approved")
                except Exception:  # not asked yet, or asked no more
                    continue

    thread = threading.Thread(target=approve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def milestones(told: Told) -> int:
    """Lines of the journal that a repeated look does not add to."""
    return sum(line.event.kind not in ("judged", "waited") for line in told.lines)


def sweep(told: Told, folder: Path) -> tuple[State, int, Counter[str]]:
    """Kill at every boundary until the promotion has ended: its state, its lives, where it was killed."""
    town = told.town
    boundary = Boundary((town.forge, town.desk, town.argocd))
    lives = Lives(told, folder)
    deadline = time.monotonic() + SECONDS
    reached, n, before, count = milestones(told), 1, True, 0
    try:
        while True:
            assert time.monotonic() < deadline, f"still not ended after {count} lives"
            boundary.arm(n, before=before, kill=lives.kill)
            code = lives.live()
            count += 1
            if told.state.ended is not None:
                return told.state, count, boundary.points
            assert code == -signal.SIGKILL, f"the engine ended by itself with {code}"
            if milestones(told) > reached:  # what was done is written down: the next boundaries are new ones
                reached, n, before = milestones(told), 1, True
            elif before:
                before = False
            else:
                n, before = n + 1, True
    finally:
        boundary.arm(0, before=False, kill=lambda: None)
        lives.close()


def report(capsys: pytest.CaptureFixture[str], lives: int, points: Counter[str]) -> None:
    """Print what was swept."""
    with capsys.disabled():
        print(f"\n{lives} lives, killed {sum(points.values())} times at {len(points)} different boundaries")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(SECONDS + 60)
def test_killed_at_every_boundary_a_good_version_is_promoted_once(
    story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With preview and approval: one pull request, one change, every share once, promoted."""
    story.town.write_rules(
        preview=True, approval={}, preview_at_most="30m", sync_at_most="30m", hold_budget="30m"
    )
    told = story.promote(story.town.trained("v2"), seconds=SECONDS)

    with people_approve(story.town):
        state, lives, points = sweep(told, tmp_path / "engine")

    assert state.ended is not None
    assert "promoted" == state.ended.outcome
    assert 1 == len(story.town.desk.changes())
    story.holds()
    report(capsys, lives, points)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(SECONDS + 60)
def test_killed_at_every_boundary_a_bad_version_goes_back_once(
    story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A third of its answers are errors: whatever is killed, it ends at 0."""
    story.town.write_rules(preview_at_most="30m", sync_at_most="30m", hold_budget="30m")
    told = story.promote(story.town.version(Faults(error_percent=33.0)), seconds=SECONDS)

    state, lives, points = sweep(told, tmp_path / "engine")

    assert state.ended is not None
    assert "rolled_back" == state.ended.outcome
    story.holds(erring=True)
    report(capsys, lives, points)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(SECONDS + 60)
def test_killed_at_random_instants_a_version_is_promoted_once(story: Story, tmp_path: Path) -> None:
    """Twenty lives of random length, then one to the end."""
    story.town.write_rules(preview=True, approval={}, preview_at_most="30m", sync_at_most="30m")
    told = story.promote(story.town.version(), seconds=SECONDS)
    lives = Lives(told, tmp_path / "engine")
    dice = random.Random(20261121)

    with people_approve(story.town):
        try:
            for _ in range(20):
                if lives.live(at_most_seconds=dice.uniform(0.05, 1.5)) == 0:
                    break
            lives.live(at_most_seconds=SECONDS)
        finally:
            lives.close()

    ended = told.state.ended
    assert ended is not None
    assert "promoted" == ended.outcome
    story.holds()
