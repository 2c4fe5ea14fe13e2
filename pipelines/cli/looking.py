"""Commands that answer: status, history, why. They read Git alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli import argo
from pipelines.cli.session import Session, command, mistake

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipelines.cli.book import Book, Entry
    from pipelines.decide import Move
    from pipelines.journal.state import State

WATCH_SECONDS = 2.0
COULD_NOT_TELL = 5


# ------------------------------------------------------------------------- status


@command()
@click.argument("promotion", required=False)
@click.option("-w", "--watch", is_flag=True, help="Look again every two seconds until it has ended.")
def status(session: Session, promotion: str | None, watch: bool) -> int:
    """Show where promotions are and why they wait.

    Without PROMOTION: all that are under way. With one (an id, or a model whose open or newest promotion is
    meant): the whole tree of stages, gates and samples. Where Git cannot be reached, in a checkout: what
    Argo's workflows say.
    """
    from pipelines.errors import LockgateError, Unreachable

    try:
        return _status(session, promotion, watch=watch)
    except Unreachable as error:
        try:
            argo.without_git(session, promotion)
        except LockgateError:
            raise error from None
        raise


def _status(session: Session, promotion: str | None, *, watch: bool) -> int:
    from pipelines.cli.book import Book

    book = Book(session)
    if watch:
        return _watch(session, book, promotion or _only_open(book))
    if promotion is None:
        return _all(session, book)
    state = book.find(promotion).state
    move = book.move(state)
    workflow, sentence = argo.seen(session, book, state)
    if session.as_json:
        session.data("status", {"promotions": [_data(state, move) | workflow], "broken": []})
    else:
        session.show(_tree(state, move, book.now))
        if sentence:
            session.say(sentence)
    return 0


def _only_open(book: Book) -> str:
    """The one promotion under way.

    Raises:
        InvalidInput: there is none, or several.
    """
    opened = [entry.state.promotion for entry in book.entries(lambda state: state.ended is None)]
    if len(opened) != 1:
        advice = f"name one: {', '.join(opened)}" if opened else "`lockgate history` shows what was"
        raise mistake("PROMOTION", f"{len(opened) or 'no'} promotions are under way", advice)
    return opened[0]


def _all(session: Session, book: Book) -> int:
    entries = book.entries(lambda state: state.ended is None)
    moves = [(entry.state, book.move(entry.state)) for entry in entries]
    if session.as_json:
        broken = [session.safe(str(error)) for error in book.broken]
        session.data("status", {"promotions": [_data(*one) for one in moves], "broken": broken})
    elif moves:
        session.table(
            ("promotion", "version", "share", "stage", "", "why"),
            [_row(state, move) for state, move in moves],
        )
    if not moves:
        session.say("nothing is under way; `lockgate history` shows what was")
    return _broken(session, book)


def _row(state: State, move: Move) -> tuple[object, ...]:
    from pipelines.decide import current

    label, share = state.started.candidate["label"], f"{state.share_percent} %"
    stage = move.stage or current(state).name
    return state.promotion, label, share, stage, move.kind.replace("_", " "), move.sentence


def _broken(session: Session, book: Book) -> int:
    """Name the journals that do not hold: the others are still good answers, but not all of them."""
    for error in book.broken:
        click.echo(f"error: {session.safe(str(error))}", err=True)
    return COULD_NOT_TELL if book.broken else 0


def _data(state: State, move: Move) -> dict[str, Any]:
    from pipelines.reports.tree import summary

    body = {key: value for key, value in summary(state).items() if key != "schema"}
    until = move.until.isoformat() if move.until else None
    return {
        **body,
        "frozen_since": state.freeze.at.isoformat() if state.freeze else None,
        "move": {
            "kind": move.kind,
            "stage": move.stage,
            "reason": move.reason,
            "sentence": move.sentence,
            "until": until,
        },
    }


def _tree(state: State, move: Move, now: datetime) -> RenderableType:
    from pipelines.reports import tree

    return tree.render(state, move, now)


def _watch(session: Session, book: Book, promotion: str) -> int:
    """Draw it again and again until it has ended; with --json one document per change."""
    from rich.console import Console, Group
    from rich.live import Live

    found = book.find(promotion).state.promotion
    if session.as_json or not Console().is_terminal:
        return _watch_changes(session, book, found)
    with Live(auto_refresh=False, screen=False, vertical_overflow="visible") as live:
        while True:
            if (entry := book.again(found)) is not None:
                sentence = session.safe(argo.seen(session, book, entry.state)[1])
                tree = _tree(entry.state, book.move(entry.state), book.now)
                live.update(Group(tree, sentence) if sentence else tree, refresh=True)
                if entry.state.ended is not None:
                    return 0
            session.desktop.clock.sleep(WATCH_SECONDS)


def _watch_changes(session: Session, book: Book, promotion: str) -> int:
    from pipelines.cli.narrator import Narrator

    narrator, events, moved_by = Narrator(session), 0, ""
    while True:
        entry = book.again(promotion)
        if entry is not None and entry.state.events != events:
            state, events = entry.state, entry.state.events
            workflow, sentence = argo.seen(session, book, state)
            if session.as_json:
                data = _data(state, book.move(state)) | workflow
                session.data("status", {"promotions": [data], "broken": []})
            else:
                narrator.tell(entry.lines, state, book.move(state))
            if sentence != moved_by:
                moved_by = sentence
                session.say(sentence)
        if entry is not None and entry.state.ended is not None:
            return 0
        session.desktop.clock.sleep(WATCH_SECONDS)


# ------------------------------------------------------------------------ history


@command()
@click.argument("model", required=False)
@click.option("--environment", metavar="ENV", help="Only promotions into this environment.")
@click.option("--since", metavar="TIME", help="Only promotions begun since, such as 2026-03-01 or 30d.")
def history(session: Session, model: str | None, environment: str | None, since: str | None) -> int:
    """List promotions, newest first."""
    from pipelines.cli.book import Book

    book = Book(session)
    after = _since(since, book.now) if since else None

    def wanted(state: State) -> bool:
        started = state.started
        return (
            model in (None, started.model)
            and environment in (None, started.environment)
            and (after is None or state.started_at >= after)
        )

    entries = book.entries(wanted)[::-1]
    if not entries and model is not None:
        book.find(model)  # says which name is near, where no promotion has this one
    rows = [_history(entry, book.now) for entry in entries]
    if session.as_json:
        broken = [session.safe(str(error)) for error in book.broken]
        session.data("history", {"promotions": rows, "broken": broken})
    elif rows:
        headers = ("promotion", "version", "outcome", "requested by", "approved by", "took", "reason")
        session.table(headers, [_history_row(row) for row in rows])
    if not rows:
        session.say("there are no such promotions")
    return _broken(session, book)


def _history(entry: Entry, now: datetime) -> dict[str, Any]:
    from pipelines.why import approvers

    state, started = entry.state, entry.state.started
    end = state.ended.at if state.ended else now
    return {
        "promotion": state.promotion,
        "model": started.model,
        "environment": started.environment,
        "version": started.candidate["label"],
        "digest": started.candidate["digest"],
        "outcome": state.ended.outcome if state.ended else None,
        "sentence": state.ended.sentence if state.ended else "",
        "requested_by": started.requested_by,
        "approved_by": [approval.approver for approval in approvers(state)],
        "started_at": state.started_at.isoformat(),
        "ended_at": state.ended.at.isoformat() if state.ended else None,
        "duration_seconds": (end - state.started_at).total_seconds(),
        "reason": started.reason,
    }


def _history_row(row: dict[str, Any]) -> tuple[object, ...]:
    from pipelines.reports.words import span

    return (
        row["promotion"],
        row["version"],
        (row["outcome"] or "under way").replace("_", " "),
        row["requested_by"],
        ", ".join(row["approved_by"]) or "-",
        span(row["duration_seconds"]),
        row["reason"],
    )


def _since(written: str, now: datetime) -> datetime:
    """An instant, a day (UTC), or a duration before now.

    Raises:
        InvalidInput: it is none of these.
    """
    from pipelines.spec.shapes import seconds

    try:
        return now - timedelta(seconds=float(str(seconds(written))))
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        raise mistake("--since", f"{written!r} is no time", "write 2026-03-01 or 30d") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


# ---------------------------------------------------------------------------- why


@command()
@click.argument("model")
@click.option("--at", "at", required=True, metavar="TIME", help="ISO 8601 with its zone.")
@click.option("--environment", metavar="ENV", help="Where; by default the last one.")
def why(session: Session, model: str, at: str, environment: str | None) -> int:
    """Say which version could have answered a request, and who approved it.

    TIME is an instant such as 2026-03-14T09:12:00+01:00. Answered from the journals and from main's
    history: every version that could have answered then, at which share, asked for and approved by whom,
    with which verdicts.
    """
    from pipelines.cli import choosing
    from pipelines.cli.book import Book
    from pipelines.why import answer, sentences, to_data

    instant = _instant(at)
    book = Book(session)
    if instant > book.now:
        raise mistake("--at", f"{at} has not come yet", "name an instant of the past")
    where = environment or choosing.environment(book.platform(), None, "--environment")
    entries = book.entries(lambda state: (state.started.model, state.started.environment) == (model, where))
    if not entries:
        book.find(model, environment=where)
    tenants = {entry.state.started.tenant for entry in entries}
    log = [
        commit
        for tenant in sorted(tenants)
        for commit in book.repository.log("main", f"clusters/{where}/{tenant}/{model}")
    ]
    found = answer([entry.lines for entry in entries], log, instant, model=model, environment=where)
    if session.as_json:
        broken = [session.safe(str(error)) for error in book.broken]
        session.data("why", {**to_data(found), "broken": broken})
    for line in sentences(found):
        session.out(line)
    return _broken(session, book)


def _instant(written: str) -> datetime:
    """An instant with its zone.

    Raises:
        InvalidInput: it is no time, or names no zone.
    """
    advice = "write it as 2026-03-14T09:12:00+01:00, or with Z for UTC"
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        raise mistake("--at", f"{written!r} is no instant", advice) from None
    if at.tzinfo is None:
        raise mistake("--at", f"{written} names no zone, so it may be any of 26 hours", advice)
    return at
