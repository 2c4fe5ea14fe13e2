"""Commands that drive promotions: promote, retry, rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.session import Session, command, mistake, one_line

if TYPE_CHECKING:
    from pipelines.cli.book import Book
    from pipelines.journal.state import State

REFUSED = 4


_DRIVER = click.option(
    "--driver", type=click.Choice(["local", "argo"]), help="What moves it: this process, or an Argo workflow."
)
_WAIT = click.option("--wait", is_flag=True, help="With --driver argo: follow it until it has ended.")


@command()
@click.argument("model", required=False)
@click.argument("version", required=False)
@click.option("--uri", help="Immutable address of a version that release.yaml does not name.")
@click.option("--digest", help="Its digest, as `lockgate digest` prints it.")
@click.option("--to", "to", metavar="ENV", help="The environment; by default the last one.")
@click.option("--reason", default="", help="Why, in a sentence; approvers read it.")
@click.option("--requested-by", metavar="NAME", help="Your login.  [env: LOCKGATE_PERSON]")
@click.option("--detach", is_flag=True, help="Begin it and return; another driver moves it.")
@click.option("--wanted", is_flag=True, help="Begin all that main wants and that is not under way.")
@_DRIVER
@_WAIT
def promote(session: Session, wanted: bool, driver: str | None, **asked: Any) -> int:
    """Move a version into an environment, through every gate.

    VERSION is the label that release.yaml on main names (the default), a label with --uri and --digest, or
    a registry alias such as models:/fraud-scorer@candidate. A promotion of the same version that is under
    way is driven on. With --driver argo a workflow moves it, and the command ends when that is started.

    With --wanted and no MODEL: for every model, the version that release.yaml on main names is begun in the
    next environment where it does not serve. One that was told no is not tried again by itself. Each is
    begun for whoever wrote release.yaml last.

    Exit code 0 when the version serves 100 %, 4 when it was refused or went back, 75 when another driver
    moves it.
    """
    from pipelines.cli import promoting

    wish = promoting.Asked(**asked)
    if wanted:
        return promoting.all_wanted(session, wish, driver or "local")
    return promoting.one(session, wish, driver or "local")


@command()
@click.argument("promotion")
@click.option("--requested-by", metavar="NAME", help="Your login.  [env: LOCKGATE_PERSON]")
@click.option("--detach", is_flag=True, help="Begin a new one and return; another driver moves it.")
@_DRIVER
@_WAIT
def retry(
    session: Session,
    promotion: str,
    requested_by: str | None,
    detach: bool,
    driver: str | None,
    wait: bool,
) -> int:
    """Drive a promotion on, or start one that failed again.

    PROMOTION is an id, or a model whose newest promotion is meant. One that is under way is driven from
    where it is, by the driver it has unless another is named. Where one was taken back from 100 % and the
    change desk could not be told, it is told now. For one that was refused, rolled back or aborted, a new
    promotion of the same version begins.
    """
    from pipelines.cli import promoting
    from pipelines.cli.book import Book

    book = Book(session)
    state = book.find(promotion).state
    if state.ended is not None and state.ended.outcome == "promoted":
        session.say(f"{state.promotion} has nothing left to do: {state.ended.sentence}")
        return 0
    if state.ended is not None and state.desk_owed:
        return promoting.tell_the_desk(session, state)
    chosen = driver or (state.driven.driver if state.driven else "local")
    if state.ended is None:
        return promoting.drive_on(session, book, state, chosen, wait=wait)
    person = session.person(requested_by, "--requested-by")
    return promoting.begin_again(session, book, state, person, chosen, detach=detach, wait=wait)


@command()
@click.argument("model")
@click.option("--to", "--environment", "environment", metavar="ENV", help="Where; by default the last one.")
@click.option("--reason", required=True, help="Why, in a sentence; it is kept.")
@click.option("--person", metavar="NAME", help="Your login.  [env: LOCKGATE_PERSON]")
def rollback(session: Session, model: str, environment: str | None, reason: str, person: str | None) -> int:
    """Bring the version before the present one back.

    A promotion under way is ended: its candidate goes to 0 %. Else the last version that was promoted goes
    to 0 %, the one before it gets all requests, and release.yaml names it again unless people changed it;
    an emergency change tells the desk afterwards. Depends on Git and Argo CD alone.
    """
    from pipelines.cli import choosing, promoting
    from pipelines.cli.book import Book
    from pipelines.journal.events import AbortAsked, Driven, RollbackBegan

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
    if state.driven is not None and state.driven.driver == "argo":  # nothing but Git and Argo CD is needed
        book.said_by(name, state.promotion).add(Driven(driver="local"))
    code = promoting.drive(session, state.promotion)
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
