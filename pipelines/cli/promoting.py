"""What promote and retry do: begin a promotion with either driver, drive it here, or follow a workflow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import click

from pipelines import ports
from pipelines.cli import argo, choosing
from pipelines.cli.book import Book
from pipelines.cli.session import Session, mistake, one_line
from pipelines.cli.tree import PLATFORM, MainTree
from pipelines.errors import LockgateError, NotYet
from pipelines.journal.events import Driven
from pipelines.journal.state import State
from pipelines.spec.read import read_platform, read_release
from pipelines.spec.types import Platform, Release, Version
from pipelines.steps.due import Due, Left, due
from pipelines.steps.start import AlreadyServes, Wish, stable_of, start
from pipelines.strategy import plan

REFUSED, INTERRUPTED = 4, 130
LONGEST_REASON = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What `lockgate promote` was asked."""

    model: str | None
    version: str | None
    uri: str | None
    digest: str | None
    to: str | None
    reason: str
    requested_by: str | None
    detach: bool
    wait: bool


def one(session: Session, asked: Asked, driver: str) -> int:
    """Promote one version; the exit code.

    Raises:
        InvalidInput: what was asked, or what main says, cannot be used.
        Refused: the Argo server does not take it.
    """
    if asked.model is None:
        raise mistake("MODEL", "is missing", "name a model, or use --wanted for all that main wants")
    person = session.person(asked.requested_by, "--requested-by")
    reason = one_line(asked.reason)[:LONGEST_REASON]
    if not reason:
        raise mistake("--reason", "says nothing", "write why, in a sentence")
    book = Book(session)
    platform, release = _wanted(book, asked.model)
    environment = choosing.environment(platform, asked.to)
    named = choosing.Asked(asked.version, asked.uri, asked.digest)
    version = choosing.version(named, release, lambda: _registry(session, platform), session)
    wish = Wish(
        model=asked.model, environment=environment, version=version, requested_by=person, reason=reason
    )
    if driver == "argo":
        return _on_argo(session, book, platform, release, wish, wait=asked.wait)
    return begin(session, book, wish, detach=asked.detach)


def _wanted(book: Book, model: str) -> tuple[Platform, Release]:
    from pipelines.cli.planning import wanted

    return wanted(MainTree(book.repository), model)


def _registry(session: Session, platform: Platform) -> ports.Registry | None:
    from pipelines import wiring

    return wiring.registry(session.desktop, platform)


# -------------------------------------------------------------------------- the local driver


def begin(session: Session, book: Book, wish: Wish, *, detach: bool) -> int:
    """Begin a promotion, or adopt the one under way, and drive it unless it is to be left; the exit code."""
    begun = start(wish, book.repository, book.journals, session.desktop.clock)
    if isinstance(begun, AlreadyServes):
        return _serves(session, begun.sentence)
    if not detach:
        return drive(session, begun)
    if session.as_json:
        session.data(command(), {"promotion": begun, "outcome": None, "sentence": "begun"})
    session.out(begun)
    session.say(f"begun; `lockgate retry {begun}` drives it, `lockgate status {begun} -w` shows it")
    return 0


def _serves(session: Session, sentence: str) -> int:
    if session.as_json:
        session.data(command(), {"promotion": None, "outcome": "already_serves", "sentence": sentence})
    session.say(sentence)
    return 0


def drive(session: Session, promotion: str) -> int:
    """Drive a promotion to its end, telling what happens; the exit code.

    Raises:
        NotYet: a workflow moves it.
        JournalMoved: another driver moves it.
    """
    from pipelines import wiring
    from pipelines.cli.narrator import Narrator
    from pipelines.engine import Engine

    assignment = wiring.assignment(session.desktop, promotion)
    recorder = assignment.recorder
    known = recorder.known
    if known is not None and known.driven is not None and known.driven.driver == "argo":
        sentence = (
            f"workflow {known.driven.workflow} moves {promotion}; follow it with `lockgate status "
            f"{promotion} -w`, or take it over with `lockgate retry {promotion} --driver local`"
        )
        raise NotYet("another_driver", sentence, 5.0)
    begun = len(recorder.lines)
    narrator = Narrator(session, after=0 if begun == 1 else begun)
    if begun > 1:
        session.say(f"{promotion} goes on from where it is")
    engine = Engine(assignment, told=lambda state, move: narrator.tell(recorder.lines, state, move))
    try:
        state = engine.run()
    except KeyboardInterrupt:
        session.say(f"stopped; nothing is lost. `lockgate retry {promotion}` goes on from here")
        raise click.exceptions.Exit(INTERRUPTED) from None
    narrator.tell(recorder.lines, state)
    return ended(session, state)


def ended(session: Session, state: State) -> int:
    """Say that a promotion is over; the exit code: 0 when it serves, else 4."""
    from pipelines.reports.tree import summary

    if session.as_json:
        session.data(command(), {**summary(state), "schema": f"lockgate.{command()}/1"})
    session.say(f"`lockgate evidence {state.promotion}` writes everything it rests on into one file")
    return 0 if state.ended is not None and state.ended.outcome == "promoted" else REFUSED


def command() -> str:
    """The command that was typed."""
    return click.get_current_context().info_name or "promote"


# ------------------------------------------------------------------------------------- Argo


def _on_argo(
    session: Session, book: Book, platform: Platform, release: Release, wish: Wish, *, wait: bool
) -> int:
    if wish.version is None or wish.version.digest != release.version.digest:
        message = f"a workflow promotes what release.yaml on main names, which is {release.version.label}"
        raise mistake("VERSION", message, "write the version into release.yaml, or use --driver local")
    workflow = _started(session, book, platform, release, wish)
    if isinstance(workflow, AlreadyServes):
        return _serves(session, workflow.sentence)
    return followed(session, book, platform, workflow, wait=wait)


def _started(
    session: Session, book: Book, platform: Platform, release: Release, wish: Wish
) -> ports.Workflow | AlreadyServes:
    """The workflow of a wish: the one of its promotion that is under way, else a new one."""
    from pipelines.sweeping.actions import form

    server = argo.server(session, platform)
    for entry in book.entries(lambda state: state.ended is None):
        begun = entry.state.started
        same = (begun.model, begun.environment) == (wish.model, wish.environment)
        if same and begun.candidate["digest"] == release.version.digest:
            return argo.take_up(session, server, entry.state)
    main = book.repository.head("main") or "main"
    stable = stable_of(book.repository, release, wish.environment, main)
    if stable is not None and stable.digest == release.version.digest:
        sentence = f"{stable.label} serves {wish.model} in {wish.environment} already"
        return AlreadyServes(sentence=sentence)
    tier, environment = platform.tiers[release.tier], platform.environments[wish.environment]
    plan(release, tier, environment, first=stable is None)  # raises where there can be none
    parameters = form(
        model=wish.model,
        version=release.version.label,
        environment=wish.environment,
        requested_by=wish.requested_by,
        reason=wish.reason,
    )
    return argo.begin(server, release.tier, parameters)


def followed(
    session: Session, book: Book, platform: Platform, workflow: ports.Workflow, *, wait: bool
) -> int:
    """Say which workflow moves a promotion and, where that is asked, follow it to its end; the exit code."""
    session.say(f"workflow {workflow.name} moves it: {workflow.url}")
    if wait:
        state = argo.follow(session, book, argo.server(session, platform), workflow)
        return ended(session, state)
    if session.as_json:
        body = {"promotion": workflow.promotion or None, "outcome": None, "sentence": "begun"}
        session.data(command(), {**body, "workflow": workflow.name, "url": workflow.url})
    session.out(workflow.name)
    return 0


# ------------------------------------------------------------------------------- once more


def drive_on(session: Session, book: Book, state: State, driver: str, *, wait: bool) -> int:
    """Drive a promotion that is under way from where it is, by this driver from now on; the exit code."""
    if driver == "argo":
        platform = book.platform()
        workflow = argo.take_up(session, argo.server(session, platform), state)
        return followed(session, book, platform, workflow, wait=wait)
    if state.driven is not None and state.driven.driver == "argo":
        taken = book.said_by(session.person(None, "LOCKGATE_PERSON"), state.promotion)
        state = taken.add(Driven(driver="local"))
        argo.nudge(session, state, book.move(state))
    return drive(session, state.promotion)


def tell_the_desk(session: Session, state: State) -> int:
    """Tell the desk of a way back from 100 % that it does not know of; the exit code.

    Raises:
        CouldNotTell: the desk does not answer.
    """
    from pipelines import wiring
    from pipelines.engine import tell_the_desk as tell

    told = tell(wiring.assignment(session.desktop, state.promotion))
    number = told.emergency.number if told.emergency else "no change"
    if told.desk_owed:
        session.say(f"{state.promotion} was taken back, and there is no change desk to tell")
        return REFUSED
    session.say(f"{state.promotion} was taken back; the change desk is told of it by {number}")
    return 0


def begin_again(
    session: Session, book: Book, state: State, person: str, driver: str, *, detach: bool, wait: bool
) -> int:
    """Begin a new promotion of the version of one that ended otherwise than at 100 %; the exit code."""
    wish = Wish(
        model=state.started.model,
        environment=state.started.environment,
        version=Version(**state.started.candidate),
        requested_by=person,
        reason=f"{state.started.reason} (again, after {state.promotion})"[:LONGEST_REASON],
    )
    if driver == "argo":
        platform, release = _wanted(book, wish.model)
        return _on_argo(session, book, platform, release, wish, wait=wait)
    return begin(session, book, wish, detach=detach)


# ----------------------------------------------------------------------------- all at once


def all_wanted(session: Session, asked: Asked, driver: str) -> int:
    """Begin all that main wants; nobody is waited for. The exit code: that of the first that went wrong."""
    if asked.model is not None:
        raise mistake("--wanted", "is for all models, and one is named", "leave MODEL or --wanted out")
    book = Book(session)
    tree = MainTree(book.repository)
    platform = read_platform(tree.read(PLATFORM) or "", PLATFORM)
    states = [entry.state for entry in book.entries()]
    begun, code = 0, 0
    for model in tree.models():
        try:
            for wish, release in _wishes(session, book, tree, platform, model, states, asked):
                begun += 1
                _begin_wanted(session, book, platform, release, wish, driver)
        except LockgateError as error:  # one model's mistake stops no other
            session.say(f"{model}: {error}")
            code = code or error.exit_code
    for broken in book.broken:
        session.say(str(broken))
        code = code or broken.exit_code
    if not begun and not code:
        session.say("main wants nothing that is not there or under way")
    return code


def _wishes(
    session: Session,
    book: Book,
    tree: MainTree,
    platform: Platform,
    model: str,
    states: list[State],
    asked: Asked,
) -> Iterator[tuple[Wish, Release]]:
    path = f"models/{model}/release.yaml"
    release = read_release(tree.read(path) or "", path, platform)
    main = book.repository.head("main") or "main"
    stable = {name: stable_of(book.repository, release, name, main) for name in platform.environments}
    serving = {name: version.digest if version else "" for name, version in stable.items()}
    for found in due(platform, release, serving, states):
        match found:
            case Left():
                session.say(f"{model} in {found.environment}: {found.sentence}")
            case Due():
                written = book.repository.log("main", path)[0]
                person = session.person(asked.requested_by or login(written.author), "--requested-by")
                reason = one_line(asked.reason) or f"main wants it: {one_line(written.subject)}"
                yield (
                    Wish(
                        model=model,
                        environment=found.environment,
                        version=release.version,
                        requested_by=person,
                        reason=reason[:LONGEST_REASON],
                    ),
                    release,
                )


def login(author: str) -> str:
    """The name of a commit's author, ``Name <address>``, made one word."""
    name = author.partition(" <")[0].strip().lower()
    return re.sub("[^A-Za-z0-9._@+-]+", ".", name).strip(".")[:100]


def _begin_wanted(
    session: Session, book: Book, platform: Platform, release: Release, wish: Wish, driver: str
) -> None:
    if driver == "local":
        begin(session, book, wish, detach=True)
        return
    workflow = _started(session, book, platform, release, wish)
    if not isinstance(workflow, AlreadyServes):
        followed(session, book, platform, workflow, wait=False)
