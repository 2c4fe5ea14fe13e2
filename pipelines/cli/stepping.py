"""The command that each task of a workflow calls: step. One process, one step, one exit code.

Beside the stages of a plan there are three names: ``start`` opens a promotion or takes one up, ``roll_back``
takes it to 0 %, ``outcome`` says how it ended.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.session import Session, command, mistake, one_line

if TYPE_CHECKING:
    from pipelines.cli.book import Book
    from pipelines.cli.form import Creator, Form
    from pipelines.engine import Assignment
    from pipelines.journal.events import Driven
    from pipelines.journal.state import State
    from pipelines.steps.contract import Outcome
    from pipelines.steps.recorder import Recorder
    from pipelines.strategy import Stage

CODES = {"done": 0, "refused": 4, "unknown": 5, "not_yet": 75}
"""What came of a step, and the exit code that says so."""


@command()
@click.argument("name")
@click.option("--promotion", default="", metavar="ID", help="The promotion's id.")
@click.option("--gate", default="", metavar="NAME", help="judge: ask this gate alone.")
@click.option("--asked", is_flag=True, help="approve: done as soon as the change is asked for.")
@click.option("--model", default="", help="start: which model.")
@click.option("--version", default="", metavar="LABEL", help="start: which version; blank: release.yaml's.")
@click.option("--environment", default="", metavar="ENV", help="start: where to.")
@click.option("--requested-by", default="", metavar="NAME", help="start: who asks.")
@click.option("--reason", default="", help="start: why, in a sentence.")
@click.option("--urgency", default="", help="start: normal or emergency.")
@click.option("--workflow", envvar="LOCKGATE_WORKFLOW", default="", metavar="NAME", help="Who drives.")
@click.option("--template", default="", metavar="NAME", help="start: what the workflow was made from.")
@click.option("--labels", default="", metavar="JSON", help="start: the workflow's: who created it.")
@click.option("--outputs", type=click.Path(path_type=Path), help="A folder for what came of it, as files.")
@click.option("--message", type=click.Path(path_type=Path), help="A file that is there, for the sentence.")
def step(
    session: Session,
    name: str,
    promotion: str,
    gate: str,
    asked: bool,
    workflow: str,
    template: str,
    labels: str,
    outputs: Path | None,
    message: Path | None,
    **form: str,
) -> int:
    """Run one stage of a promotion, if it is its turn: what each task of a workflow calls.

    NAME is a stage of its plan, such as shift-10, or start, roll_back, outcome. Exit code 0 when it is done,
    75 when it has to be asked again, 4 when it was refused, 5 when something could not be told.
    """
    from pipelines.cli.form import Form, creator, given
    from pipelines.errors import LockgateError

    told = _Told(session, name, outputs, message)
    try:
        if name == "start":
            filled = Form(promotion=promotion, **form)
            return _start(session, filled, workflow, template, creator(labels), told)
        if not given(promotion):
            raise mistake("--promotion", "is blank", "name the promotion's id")
        return _run(session, name, promotion, gate, asked, workflow, told)
    except LockgateError as error:
        told.write(sentence=session.safe(one_line(str(error))), status=type(error).__name__)
        raise


class _Told:
    """Says what came of a step: in words, as JSON, as files."""

    def __init__(self, session: Session, name: str, folder: Path | None, message: Path | None) -> None:
        """``message``: written only where it is there already, as Kubernetes' file for a pod's message is."""
        self._session, self._name, self._folder, self._message = session, name, folder, message

    def write(self, **texts: str) -> None:
        """Each text into a file of its name, where a folder was given."""
        if "sentence" in texts and self._message is not None and self._message.exists():
            self._message.write_text(texts["sentence"], "utf-8")
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (self._folder / name).write_text(text, "utf-8")

    def __call__(self, promotion: str, outcome: Outcome, /, **texts: str) -> int:
        """Tell an outcome; the exit code."""
        kind, sentence = _kind(outcome), self._session.safe(outcome.sentence)
        if self._session.as_json:
            body = {
                "promotion": promotion,
                "stage": self._name,
                "outcome": "not_yet" if kind == "unknown" else kind,
                "reason": getattr(outcome, "reason", ""),
                "sentence": sentence,
                "unknown": kind == "unknown",
                "retry_after_seconds": getattr(outcome, "retry_after_seconds", None),
            }
            self._session.data("step", body)
        words = "not yet" if kind == "unknown" else kind.replace("_", " ")
        self._session.say(f"{self._name}: {words}: {outcome.sentence}")
        self.write(sentence=sentence, status=kind, **texts)
        return CODES[kind]


def _kind(outcome: Outcome) -> str:
    from pipelines.steps.contract import NotYet, Refused

    if isinstance(outcome, NotYet):
        return "unknown" if outcome.unknown else "not_yet"
    return "refused" if isinstance(outcome, Refused) else "done"


def _by(workflow: str) -> str | None:
    """Who writes the journal's lines: the workflow, of which every pod is a part; None: this process."""
    from pipelines.cli.form import given
    from pipelines.steps.recorder import DRIVER

    return f"{DRIVER}argo:{given(workflow)}" if given(workflow) else None


def _run(
    session: Session, name: str, promotion: str, gate: str, asked: bool, workflow: str, told: _Told
) -> int:
    from pipelines import engine, wiring

    assignment = wiring.assignment(session.desktop, promotion, by=_by(workflow))
    state = assignment.recorder.known
    assert state is not None  # noqa: S101 - an assignment is made of a promotion that is there
    if name == "outcome":
        return _ended(state, told)
    _known(session, assignment, state, name, gate, asked)
    if gate:
        outcome = engine.ask_gate(assignment, gate)
    else:
        outcome = engine.ask_for_change(assignment) if asked else engine.step(assignment, name)
    state = assignment.recorder.known or state
    verdict = state.verdicts.get((name, gate))
    told.write(first=_flag(state.plan.first), verdict=verdict.status.name if verdict else "")
    return told(promotion, outcome)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _known(session: Session, assignment: Assignment, state: State, name: str, gate: str, asked: bool) -> None:
    """A stage of the plan, or one that other promotions of the tier have: their workflow is the same.

    So are those of the tier as main has it now: a workflow that takes a promotion up is made from the
    template of today, and passes over what the plan has not.

    Raises:
        InvalidInput: it is neither.
    """
    from pipelines.engine import ROLL_BACK
    from pipelines.spec.scalars import near
    from pipelines.strategy import stages

    planned = list(state.plan.stages)
    if tier := assignment.platform.tiers.get(state.plan.tier):
        planned += [*stages(tier, first=False), *stages(tier, first=True)]
    if not _has(planned, name, gate):
        planned += _today(session, state.plan.tier)
    names = dict.fromkeys([*(stage.name for stage in planned), ROLL_BACK.name])
    if name not in names:
        raise mistake(name, "is no stage of this promotion's plan", near(name, names))
    gates = dict.fromkeys(one for stage in planned if stage.step == "judge" for one in stage.gates)
    if gate and (name != "judge" or gate not in gates):
        raise mistake("--gate", f"{gate} is no gate that judge asks", near(gate, gates))
    if asked and name != "approve":
        raise mistake("--asked", f"{name} asks nobody", "leave it out")


def _has(planned: list[Stage], name: str, gate: str) -> bool:
    """Whether a stage, or its gate, is among them."""
    return name == "roll_back" or any(one.name == name and (not gate or gate in one.gates) for one in planned)


def _today(session: Session, tier: str) -> list[Stage]:
    """The stages of a tier as platform.yaml on main has it now; none where it has no such tier any more."""
    from pipelines.cli.book import Book
    from pipelines.strategy import stages

    found = Book(session).platform().tiers.get(tier)
    return [*stages(found, first=False), *stages(found, first=True)] if found else []


def _ended(state: State, told: _Told) -> int:
    """How it ended: done for what serves 100 % now, else refused, so that a workflow shows it."""
    from pipelines.steps.contract import Done, Refused

    if state.ended is None:
        sentence = "the workflow ended and the promotion has not; `lockgate sweep` takes it up again"
        return told(state.promotion, Refused(reason="open", sentence=sentence), outcome="open")
    reason, sentence = state.ended.outcome, state.ended.sentence
    outcome: Outcome = Refused(reason=reason, sentence=sentence)
    if reason == "promoted":
        outcome = Done(sentence=sentence)
    return told(state.promotion, outcome, outcome=reason)


def _start(session: Session, form: Form, workflow: str, template: str, creator: Creator, told: _Told) -> int:
    """Open a promotion or take one up; who drives it now is written into its journal."""
    from pipelines.cli.book import Book
    from pipelines.cli.form import checked, given
    from pipelines.cli.tree import MainTree
    from pipelines.journal.events import Driven
    from pipelines.steps.contract import Done
    from pipelines.steps.recorder import Recorder

    book = Book(session)
    platform = book.platform()
    previews = {one.preview for one in platform.environments.values()}
    environments = [name for name in platform.environments if name not in previews]
    form = checked(form, models=MainTree(book.repository).models(), environments=environments)
    if not form.promotion:  # who takes one up asks for nothing new
        creator.confirm(form.requested_by)
    promotion = form.promotion or _opened(session, book, form, given(template))
    by, desktop = _by(workflow), session.desktop
    writer = by or f"person:{form.requested_by}"
    recorder = Recorder(book.journals, desktop.clock, promotion, writer, mask=desktop.secrets.mask)
    state = _taken_up(recorder, form, given(template))
    if by is not None and state.ended is None:
        workflow = by.rpartition(":")[2]
        state = _drive(
            recorder,
            state,
            Driven(driver="argo", workflow=workflow, template=given(template), created_by=creator.text),
        )
    told.write(promotion=promotion, first=_flag(state.plan.first))
    label, environment = state.started.candidate["label"], state.started.environment
    return told(promotion, Done(sentence=f"{promotion} takes {label} to {environment}"))


def _opened(session: Session, book: Book, form: Form, template: str) -> str:
    """The promotion of this version: begun, or found under way; its id.

    Raises:
        Refused: the version serves there already.
        InvalidInput: it cannot be told which version is meant, or it cannot be promoted.
    """
    from pipelines import wiring
    from pipelines.cli import choosing
    from pipelines.cli.planning import wanted
    from pipelines.cli.tree import MainTree
    from pipelines.errors import Refused
    from pipelines.steps.start import AlreadyServes, Wish, start

    platform, release = wanted(MainTree(book.repository), form.model)
    _right_graph(template, release.tier)
    asked = choosing.Asked(form.version or None, None, None)
    version = choosing.version(asked, release, lambda: wiring.registry(session.desktop, platform), session)
    wish = Wish(
        model=form.model,
        environment=form.environment,
        version=version,
        requested_by=form.requested_by,
        reason=form.words(),
    )
    begun = start(wish, book.repository, book.journals, session.desktop.clock)
    if isinstance(begun, AlreadyServes):
        raise Refused("already_serves", begun.sentence)
    return begun


def _right_graph(template: str, tier: str) -> None:
    """Only the tier's own template has the stages of its plan.

    Raises:
        InvalidInput: the workflow was made from another one.
    """
    from pipelines.workflow.graph import template_of

    if template not in ("", template_of(tier)):
        raise mistake("--template", f"{template} is not of the tier {tier}", f"submit {template_of(tier)}")


def _taken_up(recorder: Recorder, form: Form, template: str) -> State:
    """The promotion as it is; refused when there is none, or when it is another model's."""
    from pipelines.errors import Refused

    state = recorder.read()
    if state is None:
        raise Refused("no_such_promotion", f"there is no promotion {recorder.promotion}")
    if (state.started.model, state.started.environment) != (form.model, form.environment):
        where = f"{state.started.model} in {state.started.environment}"
        raise mistake("--promotion", f"{recorder.promotion} is of {where}", "name its model and environment")
    _right_graph(template, state.plan.tier)
    return state


def _drive(recorder: Recorder, state: State, driven: Driven) -> State:
    """Who moves it from now on; written once, however often the task is run."""
    return state if state.driven == driven else recorder.add(driven)
