"""How a story is told: a promotion driven to its end, people who act at given moments, and what always holds.

The engine tells each move before it makes it, and whoever acts at that moment acts before the move: the
order of things is the story's, not the machine's.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.config import Secrets
from pipelines.decide import Move
from pipelines.engine import Assignment, Engine
from pipelines.errors import LockgateError
from pipelines.journal.events import Event, ShareCommitted
from pipelines.journal.lines import Line, decode
from pipelines.journal.state import State, fold
from pipelines.rehearsal.processes import wait_until
from pipelines.rehearsal.traffic import Counts
from pipelines.spec.types import Version
from pipelines.steps.recorder import Recorder
from pipelines.steps.start import Wish, identity, start
from pipelines.wiring import Desktop, SystemClock, assignment
from tests.stories.town import MANIFESTS, MODEL, Town

Moment = Callable[[State, Move], bool]
Act = Callable[[State], object]


# ------------------------------------------------------------------------- moments


def before(stage: str) -> Moment:
    """The engine is about to run this stage."""
    return lambda state, move: move.kind == "advance" and move.stage == stage


def waits(reason: str, stage: str = "") -> Moment:
    """The promotion holds for this reason."""
    return lambda state, move: move.kind == "hold" and move.reason == reason and stage in ("", move.stage)


def goes_back(state: State, move: Move) -> bool:
    """A rollback is about to begin, or to go on."""
    return move.kind == "roll_back"


def at_zero(state: State, move: Move) -> bool:
    """The rollback has brought the candidate to 0; what is left is tidying up."""
    return state.zero_served is not None and state.ended is None


def seen_at_zero(state: State, move: Move) -> bool:
    """The same, and the metrics show it."""
    return state.zero_seen is not None and state.ended is None


# ---------------------------------------------------------------------------- telling


class Clock(SystemClock):
    """The real clock, which can be put ahead; it ends a story that does not end."""

    def __init__(self, seconds: float) -> None:
        self.ahead = timedelta(0)
        self._deadline = time.monotonic() + seconds

    def now(self) -> datetime:
        """The present instant, as far ahead as the story put it."""
        return super().now() + self.ahead

    def sleep(self, seconds: float) -> None:
        """Wait."""
        assert not self.over(by_seconds=5.0), "the story does not end, and no move is told"
        super().sleep(seconds)

    def over(self, *, by_seconds: float = 0.0) -> bool:
        """Whether the story's time is up."""
        return time.monotonic() > self._deadline + by_seconds


@dataclass(slots=True)
class Told:
    """One promotion of a story."""

    town: Town
    promotion: str
    candidate: Version
    desktop: Desktop
    moves: list[Move] = field(default_factory=list)
    acts: list[tuple[Moment, Act]] = field(default_factory=list)
    _whole: tuple[Line, ...] = ()

    @property
    def clock(self) -> Clock:
        """The clock of the machine that drives it."""
        clock = self.desktop.clock
        assert isinstance(clock, Clock)
        return clock

    def when(self, moment: Moment, act: Act) -> Told:
        """Let somebody act once, when the moment comes; the move is made after the act."""
        self.acts.append((moment, act))
        return self

    def assignment(self, by: str = "engine:one") -> Assignment:
        """Everything a driver of this name needs."""
        return assignment(self.desktop, self.promotion, by=by)

    def drive(self, by: str = "engine:one") -> State:
        """Drive it to its end and see that everybody had their turn."""
        self._whole = ()
        state = Engine(self.assignment(by), told=self._hear, wake_seconds=0.25).run()
        self._whole = self.lines
        assert not self.acts, f"{len(self.acts)} moments never came: {self.story()}"
        return state

    def _hear(self, state: State, move: Move) -> None:
        self.moves.append(move)
        assert not self.clock.over(), f"the story does not end:\n{self.story()}\n{state.waits}"
        for one in [one for one in self.acts if one[0](state, move)]:
            self.acts.remove(one)
            try:
                one[1](state)
            except LockgateError as error:  # the engine would take it for an outage of its own
                raise AssertionError(f"what people do went wrong: {error}") from error

    def says(self, person: str, *events: Event) -> State:
        """A person's own words, written into the journal."""
        self._whole = ()
        return self.recorder(f"person:{person}").add(*events)

    def recorder(self, by: str = "reader") -> Recorder:
        """The journal, read afresh."""
        recorder = Recorder(self.desktop.journals(self.desktop.repository()), self.clock, self.promotion, by)
        recorder.read()
        return recorder

    @property
    def lines(self) -> tuple[Line, ...]:
        """The journal, its chain checked; read once more when the promotion was driven to its end."""
        if self._whole:
            return self._whole
        stored = self.desktop.journals(self.desktop.repository()).read(self.promotion)
        return decode(self.promotion, stored)

    @property
    def state(self) -> State:
        """Their fold."""
        state = fold(self.lines)
        assert state is not None
        return state

    def story(self) -> str:
        """The moves in order, for people who wonder why a story failed."""
        told = [f"{move.kind} {move.stage} {move.reason}: {move.sentence}" for move in self.moves]
        return "\n".join(line for number, line in enumerate(told) if not number or told[number - 1] != line)

    def held(self, reason: str) -> list[Move]:
        """Every hold for this reason."""
        return [move for move in self.moves if move.kind == "hold" and move.reason == reason]

    def events(self, kind: type[Event]) -> list[Any]:
        """Events of a kind, in order."""
        return [line.event for line in self.lines if isinstance(line.event, kind)]


class Story:
    """What one test tells in a town."""

    def __init__(self, town: Town, folder: Path) -> None:
        self.town = town
        self.folder = folder
        self.told: list[Told] = []
        self._clones = 0
        self._before = _traffic(town)

    def promote(
        self, candidate: Version, *, by: str = "dana", reason: str = "the fraud team asks for it",
        seconds: float = 110.0,
    ) -> Told:  # fmt: skip
        """Somebody asks for a version in production; nobody drives it yet."""
        desktop = self.desktop(Clock(seconds))
        repository = desktop.repository()
        wish = Wish(model=MODEL, environment="prod", version=candidate, requested_by=by, reason=reason)
        promotion = start(wish, repository, desktop.journals(repository), desktop.clock)
        assert isinstance(promotion, str), promotion
        told = Told(self.town, promotion, candidate, desktop)
        self.told.append(told)
        return told

    def twin(self, told: Told, seconds: float = 110.0) -> Told:
        """A second promotion of the same version, as it is left when two people ask in the same instant."""
        desktop = self.desktop(Clock(seconds))
        promotion = identity(MODEL, "prod", desktop.clock.now() + timedelta(seconds=1))
        started = replace(told.state.started, promotion=promotion)
        by = f"person:{started.requested_by}"
        Recorder(desktop.journals(desktop.repository()), desktop.clock, promotion, by).add(started)
        twin = Told(self.town, promotion, told.candidate, desktop)
        self.told.append(twin)
        return twin

    def desktop(self, clock: Clock) -> Desktop:
        """A machine of its own, on which an engine can run."""
        self._clones += 1
        return Desktop(
            git_url=self.town.forge.git_url,
            git_token=self.town.environment["LOCKGATE_GIT_TOKEN"],
            folder=self.folder / f"clones-{self._clones}",
            secrets=Secrets(self.town.environment),
            clock=clock,
        )

    def elsewhere(self, told: Told, seconds: float = 110.0) -> Told:
        """The same promotion as another machine sees it."""
        return Told(self.town, told.promotion, told.candidate, self.desktop(Clock(seconds)))

    # ---------------------------------------------------------------- what always holds

    def holds(self, *, erring: bool = False) -> None:
        """See that what must hold of every promotion holds of these; all of them have ended.

        Args:
            erring: a version of this story answers badly on purpose.
        """
        for told in self.told:
            self._holds(told)
        ids = Counter(change["correlation_id"] for change in self.town.desk.changes())
        assert set(ids.values()) <= {1}, f"a change was opened twice: {ids}"
        if not erring:
            errors, unserved = (
                now - then for now, then in zip(_traffic(self.town), self._before, strict=True)
            )
            assert (errors, unserved) == (0, 0), f"{errors} errors and {unserved} requests without an answer"
        self._serves_as_written()

    def _holds(self, told: Told) -> None:
        state = told.state
        assert state.ended is not None, told.story()
        assert len(self.town.pulls_of(told.promotion)) == (1 if state.proposed else 0)
        committed = Counter((event.stage, event.share_percent) for event in told.events(ShareCommitted))
        assert set(committed.values()) <= {1}, f"a share was written down twice: {committed}"
        mine = [
            commit
            for commit in self.town.git("oscar").log("main", MANIFESTS)
            if commit.trailers.get("Lockgate-Promotion") == told.promotion
        ]
        stages = Counter(commit.trailers["Lockgate-Stage"] for commit in mine)
        assert set(stages.values()) <= {1}, f"a share was committed twice: {stages}"
        for commit in mine:
            assert commit.trailers["Lockgate-Digest"] == told.candidate.digest
            assert commit.trailers["Lockgate-Share"].isdecimal()
        if state.ended.outcome != "promoted":
            assert state.share_percent == 0
        if not state.ended.left_undone:
            assert self.town.git("oscar").head(f"lockgate/{told.promotion}") is None, "a branch is left"

    def _serves_as_written(self) -> None:
        """Main, Envoy and the callers agree on who serves."""
        written = self.town.on_main()
        if written is None:
            assert self.town.split() == {}
            return
        lone = written.candidate if written.share_percent == 100 and written.candidate else written.stable
        assert written.share_percent in (0, 100)
        assert lone is not None
        wait_until(
            "Envoy gives everything to one", lambda: list(self.town.split().values()) == [100], seconds=10
        )
        assert self.town.answering().keys() == {lone.label}


def _traffic(town: Town) -> tuple[int, int]:
    """(errors of any version, requests nobody answered) so far."""
    counts = town.traffic.counts() if town.traffic else Counts()
    return sum(served.errors for served in counts.versions.values()), counts.unserved
