"""What `workflow run` does: one workflow of containers, run on this machine as Argo would run it."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.session import Session, mistake
from pipelines.errors import InvalidInput, Problem
from pipelines.spec.scalars import near
from pipelines.spec.yaml import load_all
from pipelines.workflow.lint import lint
from pipelines.workflow.running import BadWorkflow, Run, Workflow, read_workflow, unsupported
from pipelines.workflow.running.processes import Machine, lacking
from pipelines.workflow.running.runner import NoAnswer, Runner
from pipelines.workflow.running.spec import KINDS
from pipelines.workflow.running.view import tree

if TYPE_CHECKING:
    from pipelines.ports import Clock
    from pipelines.workflow.running.nodes import Launch, Node, Output

FAILED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person wrote behind `workflow run`."""

    file: Path
    parameters: Mapping[str, str]
    entrypoint: str
    answers: Mapping[str, str]
    """Name of a suspended node -> what is answered there."""
    takes_defaults: bool
    programs: Mapping[str, str]


def pairs(option: str, written: Sequence[str]) -> dict[str, str]:
    """``name=value`` pairs.

    Raises:
        InvalidInput: one is none, or a name stands twice.
    """
    found: dict[str, str] = {}
    for one in written:
        name, sign, value = one.partition("=")
        if not sign or not name:
            raise mistake(option, f"{one!r} is no name=value")
        if name in found:
            raise mistake(option, f"{name} is given twice")
        found[name] = value
    return found


def run(session: Session, asked: Asked, clock: Clock, *, dry: bool) -> int:
    """Run it, or with ``dry`` say what would be run; the exit code."""
    workflow = _workflow(asked)
    parameters = _parameters(workflow, asked.parameters)
    with tempfile.TemporaryDirectory(prefix="lockgate-run-", ignore_cleanup_errors=True) as folder:
        machine = Machine(folder=Path(folder), environment=dict(os.environ), programs=asked.programs)
        with _explained(asked.file):
            _possible(workflow, None if dry else machine, asked)
            one = Run(workflow, parameters, now=clock.now())
        if dry:
            return _dry(session, one, asked, clock.now())
        return _run(session, one, asked, machine, clock)


# ------------------------------------------------------------------------------ before it starts


def _workflow(asked: Asked) -> Workflow:
    """The one workflow of the file, with the templates of its folder.

    Raises:
        InvalidInput: the file has problems, or holds none or several workflows.
    """
    if not asked.file.is_file():
        raise mistake(str(asked.file), "is no file", "name the file of a workflow")
    texts = {str(one): one.read_text("utf-8", errors="replace") for one in (*_beside(asked.file), asked.file)}
    problems = [one.problem for one in lint(texts).findings if one.problem.file == str(asked.file)]
    if problems:
        raise InvalidInput(problems)
    manifests: dict[str, list[dict[str, Any]]] = {}
    for file, text in texts.items():
        values = [document.value for document in load_all(text, file) if not document.problems]
        manifests[file] = [one for one in values if isinstance(one, dict) and one.get("kind") in KINDS]
    library = [one for some in manifests.values() for one in some if one["kind"].endswith("WorkflowTemplate")]
    with _explained(asked.file):
        workflow = read_workflow(_only(manifests[str(asked.file)], asked.file), library)
    return workflow.beginning_with(asked.entrypoint) if asked.entrypoint else workflow


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """What the engine refuses, as problems of the file."""
    try:
        yield
    except BadWorkflow as error:
        raise InvalidInput([Problem(str(file), 0, "", reason) for reason in error.reasons]) from None


def _beside(file: Path) -> list[Path]:
    """The files of a folder that may hold templates."""
    others = (one for one in file.parent.iterdir() if one.suffix in (".yaml", ".yml") and one != file)
    return sorted(one for one in others if b"WorkflowTemplate" in one.read_bytes())


def _only(manifests: list[dict[str, Any]], file: Path) -> dict[str, Any]:
    own = [one for one in manifests if one["kind"] == "Workflow"] or manifests
    if len(own) != 1:
        raise mistake(str(file), f"holds {len(own) or 'no'} workflows", "name a file that holds one")
    return own[0]


def _parameters(workflow: Workflow, given: Mapping[str, str]) -> dict[str, str]:
    """The parameters given, held against what the workflow declares.

    Raises:
        InvalidInput: one is unknown, missing, or not in its enum; all of these at once.
    """
    problems: list[Problem] = []
    declared = {one.name: one for one in workflow.arguments}
    for name in given:
        if name not in declared:
            hint = near(name, declared)
            problems.append(Problem("-p", 0, name, f"{workflow.name} takes no such parameter", hint))
    for name, one in declared.items():
        value = given.get(name, one.value)
        if value is None:
            problems.append(Problem("-p", 0, name, "has no value", f"-p {name}=VALUE"))
        elif one.enum and value not in one.enum:
            choices = ", ".join(one.enum)
            problems.append(Problem("-p", 0, name, f"{value!r} is none of {choices}", near(value, one.enum)))
    if problems:
        raise InvalidInput(problems)
    return dict(given)


def _possible(workflow: Workflow, machine: Machine | None, asked: Asked) -> None:
    """Refuse before anything starts what cannot be run here.

    Raises:
        InvalidInput: with everything that cannot, or that this machine lacks.
    """
    file = str(asked.file)
    problems = [Problem(file, 0, "", f"cannot be run here: {what}") for what in unsupported(workflow)]
    if machine is not None:
        problems += [Problem(file, 0, "", f"needs {what}") for what in lacking(workflow, machine)]
    if problems:
        raise InvalidInput(problems)


# ------------------------------------------------------------------------------------- running


def _run(session: Session, one: Run, asked: Asked, machine: Machine, clock: Clock) -> int:
    runner = Runner(
        one,
        machine,
        clock,
        lambda node: _answer(node, asked),
        lambda node, lines: _tell(session, node, lines),
    )
    try:
        runner.go()
    except NoAnswer as error:
        advice = f"--answer {error.node.display_name}=VALUE, or --yes for the defaults"
        raise mistake("--answer", str(error), advice) from None
    return _ended(session, one)


def _ended(session: Session, one: Run) -> int:
    if session.as_json:
        session.data("workflow.run", {"workflow": one.name, **one.status()})
    for line in tree(one):
        session.out(line)
    if one.is_stuck:
        session.say(f"{one.name} is stuck: a task waits for an output that is not there, as it would in Argo")
    else:
        session.say(f"{one.name}: {one.phase}{f': {one.message}' if one.message else ''}")
    return 0 if one.phase == "Succeeded" else FAILED


def _tell(session: Session, node: Node, lines: list[str]) -> None:
    """One line for a change, and what a container wrote; on stderr, since the tree is the answer."""
    if node.kind not in ("Pod", "Suspend", "Skipped", "Retry"):
        return
    for text in lines:
        click.echo(session.safe(f"{node.display_name} | {text}"), err=True)
    told = f": {node.message}" if node.message else ""
    click.echo(session.safe(f"{node.display_name}: {node.phase}{told}"), err=True)


def _answer(node: Node, asked: Asked) -> dict[str, str] | None:
    """What is answered at a suspended node: as given beforehand, the default, or what the person types.

    Raises:
        InvalidInput: the answer given beforehand is not in the output's enum.
    """
    wanted = [one for one in node.outputs if one.value is None]
    if node.display_name in asked.answers:
        value = asked.answers[node.display_name]
        for one in wanted:
            if one.enum and value not in one.enum:
                raise mistake("--answer", f"{node.display_name}: {value!r} is none of {', '.join(one.enum)}")
        return {one.name: value for one in wanted}
    if asked.takes_defaults and all(one.default is not None for one in wanted):
        return {}
    if not sys.stdin.isatty():
        return None
    if not wanted:
        click.prompt(f"{node.display_name} is suspended; go on", default="", show_default=False, err=True)
    return {one.name: _typed(node, one) for one in wanted}


def _typed(node: Node, one: Output) -> str:
    """What a person types for an output; asked again until it is in its enum."""
    question = f"{node.display_name}: {one.name}"
    kind = click.Choice(one.enum) if one.enum else click.STRING
    value: object = click.prompt(question, default=one.default, type=kind, err=True)
    return str(value)


# ------------------------------------------------------------------------------------- dry


def _dry(session: Session, one: Run, asked: Asked, now: datetime) -> int:
    """What would be started, as if every container ended well and wrote its outputs' defaults."""
    steps: list[dict[str, Any]] = []
    while one.finished_at is None and not one.is_stuck:
        ready = one.ready(now)
        for launch in ready:
            steps.append({"node": launch.display_name, "image": launch.image, "command": launch.command})
            one.finished(launch.node, now, exit_code=0, outputs=_written(one, launch, asked))
        for node in [node for node in one.nodes.values() if node.is_suspended and not ready]:
            given = asked.answers.get(node.display_name)
            values = {out.name: given or out.default or "" for out in node.outputs if out.value is None}
            steps.append({"node": node.display_name, "answer": values})
            if values:
                one.set_output({"id": node.id}, values, now)
            one.resume({"id": node.id}, now)
        now = max(now, one.wakes_at or now) + timedelta(microseconds=1)
    if session.as_json:
        session.data("workflow.dry_run", {"workflow": one.name, "phase": one.phase, "steps": steps})
    for step in steps:
        answers = [f"{name}={value}" for name, value in step.get("answer", {}).items()]
        said = shlex.join(step["command"]) if "command" in step else f"(suspended) {' '.join(answers)}"
        session.out(f"{step['node']}: {said.rstrip()}")
    return _ended_dry(session, one)


def _ended_dry(session: Session, one: Run) -> int:
    session.say(f"{one.name}: {'stuck' if one.is_stuck else one.phase}; nothing was started")
    return 0 if one.phase == "Succeeded" else FAILED


def _written(one: Run, launch: Launch, asked: Asked) -> dict[str, str]:
    """What a container is taken to have written: as answered, else a word for each output without default."""
    task = launch.display_name.partition("(")[0]
    node = one.node(launch.node)
    template = one.workflow.templates[node.template_home, node.template] if node else None
    found: dict[str, str] = {}
    for output in template.outputs if template else ():
        name = f"{task}.{output.name}"
        if name in asked.answers or output.default is None:
            found[output.name] = asked.answers.get(name, f"<{output.name}>")
    return found
