"""One promotion's journal, read and added to through the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from pipelines import ports
from pipelines.errors import JournalMoved
from pipelines.journal.events import Event
from pipelines.journal.lines import Line, decode, encode
from pipelines.journal.state import State, fold

DRIVER = "engine:"
"""Prefix of ``by`` for lines that a driver wrote."""


class Recorder:
    """Reads and appends; an append succeeds only on top of what was read last."""

    def __init__(
        self,
        journals: ports.JournalStore,
        clock: ports.Clock,
        promotion: str,
        by: str,
        *,
        mask: Callable[[str], str] = str,
    ) -> None:
        """``mask`` is applied to every text written: what a system says of an error may repeat a secret."""
        self._mask = mask
        self._journals = journals
        self._clock = clock
        self.promotion = promotion
        self.by = by
        self._text: str | None = None
        self.lines: tuple[Line, ...] = ()

    def read(self) -> State | None:
        """The state as stored now; None when there is no such promotion.

        Raises:
            JournalMoved: since this recorder last looked, another driver wrote to the promotion.
            JournalBroken: the journal was changed after it was written.
        """
        text = self._journals.read(self.promotion)
        if text != self._text:
            lines = decode(self.promotion, text)
            known = len(self.lines) if self._text is not None else len(lines)
            if any(self._another_driver(line) for line in lines[known:]):
                raise JournalMoved(self.promotion)
            self._text, self.lines = text, lines
        return fold(self.lines)

    @property
    def known(self) -> State | None:
        """The state as last read or added to, without asking the store."""
        return fold(self.lines)

    def _masked(self, event: Event) -> Event:
        return type(event)(**_texts(asdict(event), self._mask))

    def _another_driver(self, line: Line) -> bool:
        return self.by.startswith(DRIVER) and line.by.startswith(DRIVER) and line.by != self.by

    def add(self, *events: Event) -> State:
        """Append events, in order and together, and return the state they make.

        A person's line that came in between is read and the events follow it; another driver's is not.

        Raises:
            JournalMoved: another driver wrote first; nothing was added.
        """
        for _ in range(5):
            if self._text is None:
                self.read()
            before = self._text or ""
            lines = encode(
                self.promotion,
                self.lines,
                [self._masked(event) for event in events],
                at=self._clock.now(),
                by=self.by,
            )
            try:
                self._journals.append(self.promotion, lines, expected=before)
            except JournalMoved:
                self.read()
                continue
            self._text = before + lines
            self.lines = decode(self.promotion, self._text)
            state = fold(self.lines)
            assert state is not None  # noqa: S101 - a journal just written has at least one line
            return state
        raise JournalMoved(self.promotion)


def _texts(value: Any, mask: Callable[[str], str]) -> Any:
    """The same value with every text in it masked."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {key: _texts(item, mask) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_texts(item, mask) for item in value)
    return value
