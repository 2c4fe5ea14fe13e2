"""Commands by which a person says something about a promotion: hold, resume, abort."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pipelines.cli import argo
from pipelines.cli.session import Session, command, one_line

if TYPE_CHECKING:
    from pipelines.journal.events import Event
    from pipelines.journal.state import State

Word = Callable[["State", str], "tuple[list[Event], str]"]
"""Given the state and who speaks: what to write down (nothing where it is so), and what comes next."""

_PERSON = click.option("--person", metavar="NAME", help="Your login.  [env: LOCKGATE_PERSON]")
_REASON = click.option("--reason", default="", help="Why, in a sentence; it is kept.")


@command()
@click.argument("promotion")
@_REASON
@_PERSON
def hold(session: Session, promotion: str, reason: str, person: str | None) -> None:
    """Stop a promotion from rising until it is resumed.

    PROMOTION is an id, or a model whose open promotion is meant. The live share is watched as before, and
    still goes back when a gate fails.
    """
    from pipelines.journal.events import Held

    def word(state: State, name: str) -> tuple[list[Event], str]:
        if state.held is not None:
            return [], f"{state.promotion} is held by {state.held.person} already: {state.held.reason}"
        sentence = (
            f"{state.promotion} is held at {state.share_percent} %: nothing rises until "
            f"`lockgate resume {state.promotion}`; it is still watched, and goes back when a gate fails"
        )
        return [Held(person=name, reason=one_line(reason) or "no reason given")], sentence

    _say(session, "hold", promotion, person, word)


@command()
@click.argument("promotion")
@_PERSON
def resume(session: Session, promotion: str, person: str | None) -> None:
    """Let a held promotion, or a manual stage that waits, go on.

    PROMOTION is an id, or a model whose open promotion is meant.
    """
    from pipelines.decide import current
    from pipelines.journal.events import Resumed

    def word(state: State, name: str) -> tuple[list[Event], str]:
        events: list[Event] = [Resumed(person=name, stage="")] if state.held is not None else []
        stage = current(state)
        if stage.manual and stage.name not in state.released:
            events.append(Resumed(person=name, stage=stage.name))
        if not events:
            return [], f"{state.promotion} is not held, and waits for nobody's word at {stage.name}"
        return events, f"{state.promotion} goes on with {stage.name} at its driver's next look"

    _say(session, "resume", promotion, person, word)


@command()
@click.argument("promotion")
@_REASON
@_PERSON
def abort(session: Session, promotion: str, reason: str, person: str | None) -> None:
    """End a promotion: the candidate goes back to 0 %.

    PROMOTION is an id, or a model whose open promotion is meant.
    """
    from pipelines.journal.events import AbortAsked

    def word(state: State, name: str) -> tuple[list[Event], str]:
        if state.abort is not None:
            return [], f"{state.promotion} was ended by {state.abort.person} already: {state.abort.reason}"
        if state.rollback is not None:
            return [], f"{state.promotion} is going back to 0 % already: {state.rollback.sentence}"
        sentence = (
            f"{state.promotion} is ended: its driver takes the candidate from {state.share_percent} % to 0 % "
            f"at its next look; if none runs, `lockgate retry {state.promotion}` does"
        )
        return [AbortAsked(person=name, reason=one_line(reason) or "no reason given")], sentence

    _say(session, "abort", promotion, person, word)


def _say(session: Session, name: str, promotion: str, person: str | None, word: Word) -> None:
    """Write a person's word into the promotion's journal.

    Raises:
        Refused: the promotion is over.
    """
    from pipelines.cli.book import Book
    from pipelines.errors import Refused

    speaker = session.person(person, "--person")
    book = Book(session)
    found = book.find(promotion).state
    recorder = book.said_by(speaker, found.promotion)
    state = recorder.read() or found
    if state.ended is not None:
        raise Refused("ended", f"{state.promotion} is over: {state.ended.sentence}")
    events, sentence = word(state, speaker)
    if events:
        state = recorder.add(*events)
    if session.as_json:
        body = {"promotion": state.promotion, "person": speaker, "written": [one.kind for one in events]}
        session.data(name, {**body, "sentence": session.safe(sentence)})
    session.say(sentence)
    if state.driven is not None and state.driven.driver == "argo":
        argo.nudge(session, state, book.move(state))
