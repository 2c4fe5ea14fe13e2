"""A look at a world while it runs: who gets how much, what callers saw, and the promotions under way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipelines.decide import Move, decide
from pipelines.errors import LockgateError
from pipelines.journal.state import State
from pipelines.rehearsal.demo.acts import ENVIRONMENT, Cast
from pipelines.rehearsal.demo.narrator import Voice
from pipelines.reports import tree
from pipelines.steps.start import open_promotions
from pipelines.wiring import freezes

_LOOK_SECONDS = 1.0


def watch(cast: Cast, console: Console, voice: Voice) -> NoReturn:
    """Look every second, until interrupted: a screen in a terminal, elsewhere a line for each change."""
    if not console.is_terminal:
        _watch_lines(cast, voice)
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            live.update(_screen(cast), refresh=True)
            cast.desktop.clock.sleep(_LOOK_SECONDS)


def _watch_lines(cast: Cast, voice: Voice) -> NoReturn:
    said: set[str] = set()
    while True:
        now = set(_lines(cast))
        for line in sorted(now - said):
            voice.say(line)
        said = now
        cast.desktop.clock.sleep(_LOOK_SECONDS)


def _lines(cast: Cast) -> Iterator[str]:
    try:
        split = ", ".join(f"{name} {percent} %" for name, percent in cast.split().items())
        yield f"Envoy splits: {split}"
        for state, move in _under_way(cast):
            label, kind = state.started.candidate["label"], move.kind.replace("_", " ")
            yield f"{label} at {state.share_percent} %: {kind} {move.stage} {move.reason}"
    except LockgateError as error:
        yield str(error)


def _under_way(cast: Cast) -> Iterator[tuple[State, Move]]:
    journals, clock = cast.desktop.journals(cast.repository), cast.desktop.clock
    states = open_promotions(journals, clock, cast.model, ENVIRONMENT)
    frozen = freezes(cast.repository) if states else ()
    for state in states:
        yield state, decide(state, frozen, clock.now())


def _screen(cast: Cast) -> RenderableType:
    parts: list[RenderableType] = []
    try:
        parts += [_shares(cast), Text(""), _callers(cast), Text("")]
        shown = [tree.render(state, move, cast.desktop.clock.now()) for state, move in _under_way(cast)]
        parts += shown or [Text("no promotion is under way", style="dim")]
    except LockgateError as error:
        parts.append(Text(str(error), style="red"))
    return Group(*parts)


def _shares(cast: Cast) -> RenderableType:
    table = Table("Envoy sends to", "percent", box=None, header_style="bold", pad_edge=False)
    for revision, percent in cast.split().items():
        table.add_row(revision, f"{percent:>7}")
    return table


def _callers(cast: Cast) -> RenderableType:
    counts = cast.world.traffic.counts() if cast.world.traffic else None
    table = Table("callers got", "answers", "errors", "late", box=None, header_style="bold", pad_edge=False)
    for version, served in (counts.versions if counts else {}).items():
        table.add_row(version, f"{served.requests:>7}", f"{served.errors:>6}", f"{served.slow:>4}")
    if counts and counts.unserved:
        table.add_row("no answer", f"{counts.unserved:>7}", "", "", style="bold red")
    return table
