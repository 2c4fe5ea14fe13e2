"""The journals as commands need them: found by promotion or model, folded, with the next move decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import click

from pipelines.cli.session import Session, mistake
from pipelines.decide import Move, decide
from pipelines.errors import CouldNotTell, InvalidInput, JournalBroken, Unreachable
from pipelines.journal.lines import Line, decode
from pipelines.journal.state import State, fold
from pipelines.spec.scalars import near
from pipelines.spec.types import Freeze, Platform
from pipelines.steps.recorder import Recorder

if TYPE_CHECKING:
    from pipelines.clients.git import GitJournals, GitRepository


@dataclass(frozen=True, slots=True)
class Entry:
    """One promotion, read."""

    lines: tuple[Line, ...]
    state: State


@dataclass(slots=True)
class Book:
    """All journals of the repository."""

    session: Session
    repository: GitRepository = field(init=False)
    journals: GitJournals = field(init=False)
    broken: list[JournalBroken] = field(default_factory=list)
    """Journals that do not hold, met on the way; whoever lists the others says so."""

    def __post_init__(self) -> None:
        self.repository = self.session.desktop.repository()
        self.journals = self.session.desktop.journals(self.repository)

    @property
    def now(self) -> datetime:
        """This instant, UTC."""
        return self.session.desktop.clock.now()

    def platform(self) -> Platform:
        """platform.yaml on main."""
        from pipelines.spec.read import read_platform

        return read_platform(self.repository.read("platform.yaml", "main") or "", "platform.yaml")

    def entries(self, wanted: Callable[[State], bool] = lambda state: True) -> list[Entry]:
        """Promotions whose state is wanted, oldest first; broken journals are set aside."""
        found = []
        self.broken.clear()
        for promotion in self.journals.promotions():
            try:
                entry = self.read(promotion)
            except JournalBroken as error:
                self.broken.append(error)
                continue
            if entry is not None and wanted(entry.state):
                found.append(entry)
        return found

    def read(self, promotion: str) -> Entry | None:
        """One promotion; None when there is none of that id.

        Raises:
            JournalBroken: its journal was changed after it was written.
        """
        lines = decode(promotion, self.journals.read(promotion))
        state = fold(lines)
        return Entry(lines, state) if state is not None else None

    def again(self, promotion: str) -> Entry | None:
        """One promotion; None when Git cannot be reached just now, which is said and no reason to stop.

        Raises:
            JournalBroken: its journal was changed after it was written.
        """
        try:
            return self.read(promotion)
        except Unreachable as error:
            click.echo(self.session.safe(str(error)), err=True)
            return None

    def find(self, word: str, *, environment: str = "") -> Entry:
        """The promotion of this id, or a model's: the open one, else the newest.

        Raises:
            InvalidInput: there is none, or the model has several open ones.
        """
        if word in self.journals.promotions() and (entry := self.read(word)):
            return entry
        every = self.entries()
        mine = [
            entry
            for entry in every
            if entry.state.started.model == word and environment in ("", entry.state.started.environment)
        ]
        opened = [entry for entry in mine if entry.state.ended is None]
        if len(opened) > 1:
            ids = ", ".join(entry.state.promotion for entry in opened)
            raise mistake(word, "has several promotions under way", f"name one: {ids}")
        if opened or mine:
            return (opened or mine)[-1]
        names = {entry.state.started.model for entry in every} | {entry.state.promotion for entry in every}
        where = f" in {environment}" if environment else ""
        advice = near(word, names) or "`lockgate history` lists them"
        raise mistake(word, f"there is no promotion and no model with promotions of this name{where}", advice)

    def said_by(self, person: str, promotion: str) -> Recorder:
        """What a person says is written through this."""
        return Recorder(self.journals, self.session.desktop.clock, promotion, f"person:{person}")

    def freezes(self, state: State) -> tuple[Freeze, ...]:
        """The freezes of main's platform.yaml; where it cannot be read, everything is as if frozen."""
        from pipelines import wiring

        try:
            return wiring.freezes(self.repository)
        except (CouldNotTell, InvalidInput) as error:
            reason = f"platform.yaml on main cannot be read, so nothing rises: {error}"
            return (
                Freeze.model_construct(reason=reason, since=state.started_at, until=None, environments=()),
            )

    def move(self, state: State) -> Move:
        """What is next for a promotion, as any driver would decide it now."""
        return decide(state, self.freezes(state), self.now)
