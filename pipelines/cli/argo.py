"""What commands ask of the Argo Workflows server: start a workflow, follow it, tell it, show it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from pipelines.cli.session import Session, mistake
from pipelines.errors import LockgateError, Refused

if TYPE_CHECKING:
    from pipelines.cli.book import Book
    from pipelines.decide import Move
    from pipelines.journal.state import State
    from pipelines.ports import Workflow, Workflows
    from pipelines.spec.types import Platform
    from pipelines.sweeping.sweeper import Sweeper

LOOK_SECONDS = 2.0
READING_GOOD_FOR_SECONDS = 5.0
"""Of branches, in a pass over all promotions: each would ask for the same ones again, several times."""
INTERRUPTED = 130


def server(session: Session, platform: Platform) -> Workflows:
    """The server that platform.yaml names.

    Raises:
        InvalidInput: it names none, or the token is not there.
    """
    from pipelines import wiring

    found = wiring.workflows(session.desktop, platform)
    if found is None:
        advice = "add systems.workflows to platform.yaml, or use the local driver"
        raise mistake("platform.yaml", "names no Argo Workflows server", advice)
    return found


def sweeper(session: Session) -> Sweeper:
    """Looks after the promotions of this repository."""
    from pipelines import wiring
    from pipelines.spec.read import read_platform
    from pipelines.sweeping.sweeper import Sweeper

    desktop = session.desktop
    repository = desktop.repository(good_for_seconds=READING_GOOD_FOR_SECONDS)

    def workflows() -> Workflows:
        return server(session, read_platform(repository.read("platform.yaml", "main") or ""))

    return Sweeper(
        journals=desktop.journals(repository),
        clock=desktop.clock,
        workflows=workflows,
        assign=lambda promotion, by: wiring.assignment(desktop, promotion, by=by, repository=repository),
    )


# ------------------------------------------------------------------------------ starting


def begin(workflows: Workflows, tier: str, parameters: Mapping[str, str]) -> Workflow:
    """Start a new promotion's workflow.

    Raises:
        Refused: the server does not take it.
    """
    from pipelines.workflow.graph import template_of

    prefix = f"{parameters['model']}-{parameters['environment']}-"
    made = workflows.submit(template_of(tier), parameters, prefix=prefix)
    if made is None:
        raise Refused("workflow_refused", "the server made up a name that was taken; ask again")
    return made


def take_up(session: Session, workflows: Workflows, state: State) -> Workflow:
    """The living workflow of a promotion that is under way, else a new one.

    Raises:
        Refused: the server does not take it.
    """
    from pipelines.sweeping.actions import Pace, another, of
    from pipelines.sweeping.sweeper import submit

    if alive := of(state, workflows.alive()):
        return alive[-1]
    now, pace = session.desktop.clock.now(), Pace(apart_seconds=0.0)
    made, sentence = submit(workflows, state, another(state, "somebody asked for it"), now, pace)
    if made is None:
        raise Refused("workflow_refused", sentence)
    return made


# ----------------------------------------------------------------------------- following


def follow(session: Session, book: Book, workflows: Workflows, workflow: Workflow) -> State:
    """Tell what happens until the promotion has ended; its state then.

    Raises:
        Refused: the workflow ended before it began a promotion.
    """
    from pipelines.cli.narrator import Narrator

    narrator = Narrator(session)
    try:
        promotion = _promotion(session, workflows, workflow)
        while True:
            entry = book.again(promotion)
            if entry is not None:
                narrator.tell(entry.lines, entry.state, book.move(entry.state))
                if entry.state.ended is not None:
                    return entry.state
            session.desktop.clock.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        session.say(f"no longer followed; workflow {workflow.name} goes on: {workflow.url}")
        raise click.exceptions.Exit(INTERRUPTED) from None


def _promotion(session: Session, workflows: Workflows, workflow: Workflow) -> str:
    """The promotion that a workflow's first step began or found."""
    found: Workflow | None = workflow
    while found is not None and not found.promotion:
        if not found.alive:
            sentence = (
                f"workflow {found.name} ended before it began a promotion: {_said(found)}; see {found.url}"
            )
            raise Refused("workflow_ended", sentence)
        session.desktop.clock.sleep(LOOK_SECONDS)
        found = workflows.look(found.name)
    if found is None:
        raise Refused("workflow_ended", f"workflow {workflow.name} is gone: somebody deleted it")
    return found.promotion


def _said(workflow: Workflow) -> str:
    """The last words of its first step. They stand at its pod: its task says that it is not retried."""
    pods = [
        node for node in workflow.nodes if re.fullmatch(r"start(\(\d+\))?", node.task) and node.kind == "Pod"
    ]
    last = max(pods, key=lambda node: (len(node.task), node.task), default=None)
    return last.message if last is not None else workflow.message


def nudge(session: Session, state: State, move: Move) -> None:
    """Let a promotion's workflow know at once what a person said; the sweeper would at its next pass."""
    try:
        for sentence in sweeper(session).nudge(state, move):
            session.say(sentence)
    except LockgateError as error:
        session.say(f"its workflow learns of it at the sweeper's next pass: {error}")


def seen(session: Session, book: Book, state: State) -> tuple[dict[str, str], str]:
    """The workflow that moves a promotion as data, and a sentence about it; both empty for another driver."""
    driven = state.driven
    if driven is None or driven.driver != "argo":
        return {}, ""
    body = {"driver": "argo", "workflow": driven.workflow, "url": driven.url, "phase": ""}
    if state.ended is not None:  # workflows are kept for some days, journals for ever
        return body, f"workflow {driven.workflow} moved it"
    try:
        found = server(session, book.platform()).look(driven.workflow)
    except LockgateError as error:
        return body, f"moved by workflow {driven.workflow}, which cannot be looked at: {error}"
    if found is None:
        return body, f"workflow {driven.workflow} is gone; the sweeper starts another"
    return body | {"url": found.url, "phase": found.phase}, f"moved by {shown(found)}"


def shown(workflow: Workflow) -> str:
    """A workflow in a line: its phase, where it is, its address."""
    at = ", ".join(node.task for node in workflow.nodes if node.task and node.phase == "Running")
    where = f" at {at}" if at else ""
    return f"workflow {workflow.name}, {workflow.phase or 'Pending'}{where}: {workflow.url}"


def without_git(session: Session, promotion: str | None) -> None:
    """Show what Argo's workflows say, where the journals cannot be reached.

    Raises:
        InvalidInput: no working tree is at hand, or its platform.yaml names no server.
        CouldNotTell: Argo cannot be asked either.
    """
    from pipelines.cli.tree import PLATFORM, WorkingTree
    from pipelines.spec.read import read_platform

    platform = read_platform(WorkingTree(session.folder).read(PLATFORM) or "")
    for one in server(session, platform).alive():
        if one.promotion and promotion in (None, one.promotion):
            messages = [f"{node.task}: {node.message}" for node in one.nodes if node.waits and node.message]
            session.out("; ".join([f"{one.promotion}: {shown(one)}", *messages]))
