"""Commands that drive promotions: promote, retry, rollback, step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.session import Session, command, mistake, one_line

if TYPE_CHECKING:
    from pipelines.cli.book import Book
    from pipelines.journal.state import State
    from pipelines.spec.types import Version
    from pipelines.steps.contract import Outcome

REFUSED, COULD_NOT_TELL, NOT_YET, INTERRUPTED = 4, 5, 75, 130


@command()
@click.argument("model")
@click.argument("version", required=False)
@click.option("--uri", help="Immutable address of a version that release.yaml does not name.")
@click.option("--digest", help="Its digest, as `lockgate digest` prints it.")
@click.option("--to", "to", metavar="ENV", help="The environment; by default the last one.")
@click.option("--reason", required=True, help="Why, in a sentence; approvers read it.")
@click.option("--requested-by", metavar="NAME", help="Your login.  [env: LOCKGATE_PERSON]")
@click.option("--detach", is_flag=True, help="Begin it and return; another driver moves it.")
def promote(
    session: Session,
    model: str,
    version: str | None,
    uri: str | None,
    digest: str | None,
    to: str | None,
    reason: str,
    requested_by: str | None,
    detach: bool,
) -> int:
    """Move a version into an environment, through every gate.

    VERSION is the label that release.yaml on main names (the default), a label with --uri and --digest, or
    a registry alias such as models:/fraud-scorer@candidate. A promotion of the same version that is under
    way is driven on. Exit code 0 when the version serves 100 %, 4 when it was refused or went back, 75 when
    another driver moves it.
    """
    from pipelines.cli import choosing
    from pipelines.cli.book import Book
    from pipelines.cli.planning import wanted
    from pipelines.cli.tree import MainTree

    person = session.person(requested_by, "--requested-by")
    if not one_line(reason):
        raise mistake("--reason", "says nothing", "write why, in a sentence")
    book = Book(session)
    platform, release = wanted(MainTree(book.repository), model)
    environment = choosing.environment(platform, to)
    asked = choosing.Asked(version, uri, digest)
    chosen = choosing.version(asked, release, lambda: _registry(session, platform), session)
    return _begin(session, book, model, environment, chosen, person, reason, detach=detach)


def _registry(session: Session, platform: Any) -> Any:
    from pipelines import wiring

    return wiring.registry(session.desktop, platform)


def _begin(
    session: Session,
    book: Book,
    model: str,
    environment: str,
    version: Version,
    person: str,
    reason: str,
    *,
    detach: bool,
) -> int:
    from pipelines.steps.start import AlreadyServes, Wish, start

    wish = Wish(
        model=model,
        environment=environment,
        version=version,
        requested_by=person,
        reason=one_line(reason)[:500],
    )
    begun = start(wish, book.repository, book.journals, session.desktop.clock)
    if isinstance(begun, AlreadyServes):
        if session.as_json:
            session.data(
                _command(), {"promotion": None, "outcome": "already_serves", "sentence": begun.sentence}
            )
        session.say(begun.sentence)
        return 0
    if not detach:
        return drive(session, begun)
    if session.as_json:
        session.data(_command(), {"promotion": begun, "outcome": None, "sentence": "begun"})
    session.out(begun)
    session.say(f"begun; `lockgate retry {begun}` drives it, `lockgate status {begun} -w` shows it")
    return 0


def drive(session: Session, promotion: str) -> int:
    """Drive a promotion to its end, telling what happens; the exit code.

    Raises:
        JournalMoved: another driver moves it.
    """
    from pipelines import wiring
    from pipelines.cli.narrator import Narrator
    from pipelines.engine import Engine

    assignment = wiring.assignment(session.desktop, promotion)
    recorder = assignment.recorder
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
    return _ended(session, state)


def _ended(session: Session, state: State) -> int:
    from pipelines.reports.tree import summary

    if session.as_json:
        session.data(_command(), {**summary(state), "schema": f"lockgate.{_command()}/1"})
    session.say(f"`lockgate evidence {state.promotion}` writes everything it rests on into one file")
    return 0 if state.ended is not None and state.ended.outcome == "promoted" else REFUSED


def _command() -> str:
    return click.get_current_context().info_name or "promote"


@command()
@click.argument("promotion")
@click.option("--requested-by", metavar="NAME", help="Your login.  [env: LOCKGATE_PERSON]")
@click.option("--detach", is_flag=True, help="Begin a new one and return; another driver moves it.")
def retry(session: Session, promotion: str, requested_by: str | None, detach: bool) -> int:
    """Drive a promotion on, or start one that failed again.

    PROMOTION is an id, or a model whose newest promotion is meant. One that is under way is driven from
    where it is; for one that was refused, rolled back or aborted, a new promotion of the same version begins.
    """
    from pipelines.cli.book import Book
    from pipelines.spec.types import Version

    book = Book(session)
    state = book.find(promotion).state
    if state.ended is None:
        return drive(session, state.promotion)
    if state.ended.outcome == "promoted":
        session.say(f"{state.promotion} has nothing left to do: {state.ended.sentence}")
        return 0
    started = state.started
    person = session.person(requested_by, "--requested-by")
    reason = f"{started.reason} (again, after {state.promotion})"
    version = Version(**started.candidate)
    return _begin(session, book, started.model, started.environment, version, person, reason, detach=detach)


@command()
@click.argument("model")
@click.option("--to", "--environment", "environment", metavar="ENV", help="Where; by default the last one.")
@click.option("--reason", required=True, help="Why, in a sentence; it is kept.")
@click.option("--person", metavar="NAME", help="Your login.  [env: LOCKGATE_PERSON]")
def rollback(session: Session, model: str, environment: str | None, reason: str, person: str | None) -> int:
    """Bring the version before the present one back.

    A promotion under way is ended: its candidate goes to 0 %. Else the last version that was promoted goes
    to 0 %, and the one before it gets all requests. Depends on Git and Argo CD alone.
    """
    from pipelines.cli import choosing
    from pipelines.cli.book import Book
    from pipelines.journal.events import AbortAsked, RollbackBegan

    name = session.person(person, "--person")
    book = Book(session)
    where = environment or choosing.environment(book.platform(), None)
    mine = [
        entry.state
        for entry in book.entries()
        if (entry.state.started.model, entry.state.started.environment) == (model, where)
    ]
    opened = [state for state in mine if state.ended is None]
    if opened:
        state = opened[0]
        if state.abort is None and state.rollback is None:
            book.said_by(name, state.promotion).add(AbortAsked(person=name, reason=one_line(reason)))
    else:
        state = _last_promoted(book, model, where, mine)
        sentence = f"{name} brought the version before it back: {one_line(reason)}"
        book.said_by(name, state.promotion).add(RollbackBegan(code="by_hand", sentence=sentence))
    code = drive(session, state.promotion)
    return 0 if code == REFUSED else code


def _last_promoted(book: Book, model: str, environment: str, mine: list[State]) -> State:
    """The promotion that brought what serves now.

    Raises:
        InvalidInput: no promotion of this model ended there.
        Refused: what serves was brought by something else, or there is no version before it.
    """
    from pipelines.errors import Refused
    from pipelines.render import serves_of

    promoted = [state for state in mine if state.ended is not None and state.ended.outcome == "promoted"]
    if not promoted:
        advice = "`lockgate history` lists what there is"
        raise mistake(model, f"no version of it was promoted in {environment}, so none can go back", advice)
    state = promoted[-1]
    folder = f"clusters/{environment}/{state.started.tenant}/{model}"
    held = serves_of(book.repository.files(folder, "main"))
    label = state.started.candidate["label"]
    if held is None or held.stable is None or held.stable.digest != state.started.candidate["digest"]:
        now = held.stable.label if held and held.stable else "nothing"
        sentence = f"main says {now} serves, but the last promotion, {state.promotion}, brought {label}"
        raise Refused("main_changed", f"{sentence}; promote the version you want instead")
    if state.started.stable is None:
        sentence = f"{label} is the first version of {model} in {environment}: there is none to go back to"
        raise Refused("no_version_before", sentence)
    return state


@command()
@click.argument("name")
@click.option("--promotion", required=True, metavar="ID", help="The promotion's id.")
def step(session: Session, name: str, promotion: str) -> int:
    """Run one stage of a promotion, if it is its turn: what each task of a workflow calls.

    NAME is a stage of its plan, such as shift-10, or roll_back. Exit code 0 when it is done, 75 when it has
    to be asked again, 4 when it was refused, 5 when something could not be told.
    """
    from pipelines import wiring
    from pipelines.engine import ROLL_BACK
    from pipelines.engine import step as run_step
    from pipelines.spec.scalars import near

    assignment = wiring.assignment(session.desktop, promotion)
    state = assignment.recorder.read()
    stages = [stage.name for stage in state.plan.stages] if state else []
    if name not in (*stages, ROLL_BACK.name):
        raise mistake(name, "is no stage of this promotion's plan", near(name, [*stages, ROLL_BACK.name]))
    return _outcome(session, name, promotion, run_step(assignment, name))


def _outcome(session: Session, name: str, promotion: str, outcome: Outcome) -> int:
    from pipelines.steps.contract import Done, NotYet

    kind = "done" if isinstance(outcome, Done) else "not_yet" if isinstance(outcome, NotYet) else "refused"
    unknown = isinstance(outcome, NotYet) and outcome.unknown
    if session.as_json:
        body = {
            "promotion": promotion,
            "stage": name,
            "outcome": kind,
            "reason": getattr(outcome, "reason", ""),
            "sentence": session.safe(outcome.sentence),
            "unknown": unknown,
            "retry_after_seconds": getattr(outcome, "retry_after_seconds", None),
        }
        session.data("step", body)
    session.say(f"{name}: {kind.replace('_', ' ')}: {outcome.sentence}")
    codes = {"done": 0, "refused": REFUSED, "not_yet": COULD_NOT_TELL if unknown else NOT_YET}
    return codes[kind]
