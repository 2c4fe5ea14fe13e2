"""What people and a driver do in a rehearsal: somebody asks, lockgate drives, approvers sign on the page.

Each person acts as themselves: with their own token in git, with their own password on the desk's page.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from pipelines.config import Secrets
from pipelines.decide import Move
from pipelines.engine import Assignment, Engine
from pipelines.errors import LockgateError
from pipelines.journal.lines import Line
from pipelines.journal.state import State
from pipelines.ports import Commit
from pipelines.rehearsal import settings
from pipelines.rehearsal.desk.records import Row
from pipelines.rehearsal.world import Rehearsal
from pipelines.reports.html import report
from pipelines.steps.start import AlreadyServes, Wish, start
from pipelines.wiring import Desktop, SystemClock, assignment

ROLES: Mapping[str, str] = {
    "dana": "data scientist",
    "rita": "model-risk owner",
    "carol": "change manager",
    "oscar": "on-call engineer",
}
"""Who lives in a rehearsal."""
APPROVERS = ("rita", "carol")
"""In the order in which the desk asks them."""
ENVIRONMENT = "prod"

_TIMEOUT_SECONDS = 20.0
_COMMAND_SECONDS = 60.0
_WAKE_SECONDS = 0.5

Hearing = Callable[[Sequence[Line], State, Move | None], None]
"""Hears the whole journal and the next move before each move; once more at the end, without a move."""


class StoryDiffers(LockgateError):
    """What happened is not what should have happened; every difference is named. Exit code 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One promotion, driven to its end."""

    promotion: str
    state: State
    lines: tuple[Line, ...]


class Cast:
    """The people of a world, and the driver."""

    def __init__(self, world: Rehearsal) -> None:
        self.world = world
        self.model = world.catalogue.model
        self.service = f"{settings.TENANT}-{ENVIRONMENT}/{self.model}"
        environment = world.environment
        self.desktop = Desktop(
            git_url=world.forge.git_url,
            git_token=environment[settings.GIT_TOKEN],
            folder=world.folder / "clones" / "driver",
            secrets=Secrets(environment),
            clock=SystemClock(),
        )
        self.repository = self.desktop.repository()

    # ------------------------------------------------------------------- promotions

    def ask(self, version: str, reason: str, *, login: str = "dana") -> str:
        """Somebody names a version in release.yaml and asks for it in production; the promotion's id.

        Raises:
            StoryDiffers: it serves already.
        """
        self.world.name_version(login, version)
        wish = Wish(
            model=self.model, environment=ENVIRONMENT, version=None, requested_by=login, reason=reason
        )
        begun = start(wish, self.repository, self.desktop.journals(self.repository), self.desktop.clock)
        if isinstance(begun, AlreadyServes):
            raise StoryDiffers(begun.sentence)
        return begun

    def drive(self, promotion: str, hear: Hearing) -> Course:
        """Drive a promotion to its end in this process, as ``lockgate promote`` would."""
        given: Assignment = assignment(self.desktop, promotion)
        recorder = given.recorder
        engine = Engine(
            given, told=lambda state, move: hear(recorder.lines, state, move), wake_seconds=_WAKE_SECONDS
        )
        state = engine.run()
        hear(recorder.lines, state, None)
        return Course(promotion=promotion, state=state, lines=recorder.lines)

    def sign(self, login: str, number: str, answer: str, comments: str) -> None:
        """Somebody signs in on the desk's page, opens a change and answers.

        Args:
            answer: ``approved`` or ``rejected``.

        Raises:
            StoryDiffers: the page does not let them.
        """
        desk = self.world.desk.url
        with requests.Session() as browser:
            browser.trust_env = False
            address = f"{desk}/login?then=/changes/{number}"
            form = {"account": login, "password": self.world.tokens[login]}
            page = browser.get(address, timeout=_TIMEOUT_SECONDS)
            page = browser.post(address, data=form | _token(page.text), timeout=_TIMEOUT_SECONDS)
            form = {"state": answer, "comments": comments}
            page = browser.post(
                f"{desk}/changes/{number}/decision", data=form | _token(page.text), timeout=_TIMEOUT_SECONDS
            )
        if not page.ok:
            raise StoryDiffers(f"the desk does not let {login} answer {number}: HTTP {page.status_code}")

    # ----------------------------------------------------------------------- seeing

    def split(self) -> dict[str, int]:
        """Revision -> percent in production, as Envoy says."""
        return self.world.router.split(self.service)

    def commits(self, promotion: str) -> tuple[Commit, ...]:
        """What a promotion wrote on main for production, oldest first."""
        folder = f"clusters/{ENVIRONMENT}/{settings.TENANT}/{self.model}"
        every = self.repository.log("main", folder)
        return tuple(one for one in every[::-1] if one.trailers.get("Lockgate-Promotion") == promotion)

    def change(self, number: str) -> Row:
        """A change as the desk has it; empty when it has none of that number."""
        return next((row for row in self.world.desk.changes() if row["number"] == number), {})

    def report(self, course: Course) -> Path:
        """Write the HTML report of a promotion; where it is, seen from here."""
        place = self.world.folder / "reports" / f"{course.promotion}.html"
        place.parent.mkdir(exist_ok=True)
        place.write_text(report(course.lines), encoding="utf-8")
        return place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place

    def command(self, *words: str) -> str:
        """What a lockgate command prints, run as in another terminal.

        Raises:
            StoryDiffers: it ended with another exit code than 0.
        """
        place = self.world.folder / "clones" / "terminal"
        start_up = [sys.executable, "-c", "from pipelines.cli import main; main()"]
        done = subprocess.run(
            [*start_up, *words], env=self._variables(place), cwd=_ROOT, capture_output=True, text=True,
            timeout=_COMMAND_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode:
            raise StoryDiffers(
                f"`lockgate {' '.join(words)}` ended with exit code {done.returncode}: {done.stderr.strip()}"
            )
        return done.stdout

    def _variables(self, state: Path) -> dict[str, str]:
        return {**os.environ, **self.world.environment, "LOCKGATE_STATE_DIR": str(state)}


_ROOT = Path(__file__).parents[3]


def _token(page: str) -> dict[str, str]:
    """What a form of the desk's page has to be sent with."""
    found = re.search(r'name="token" value="([0-9a-f]+)"', page)
    return {"token": found[1]} if found else {}
