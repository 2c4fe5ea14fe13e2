"""Variables: what ``{{…}}`` may name in a template, a task or a step."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pipelines.workflow.evaluating import evaluate
from pipelines.workflow.expressions import BadExpression
from pipelines.workflow.placeholders import placeholders, replace_text, value_of
from pipelines.workflow.running.nodes import BAD, Node, Output, instant
from pipelines.workflow.running.spec import Parameter, Tree, Workflow, text

Variables = Mapping[str, str]


class Refused(ValueError):
    """A node cannot be made: what it needs is not there or makes no sense."""


def of_workflow(
    workflow: Workflow, name: str, uid: str, arguments: Variables, at: datetime
) -> dict[str, str]:
    """The variables every template of a workflow may name."""
    found = {
        "workflow.name": name,
        "workflow.namespace": workflow.namespace,
        "workflow.uid": uid,
        "workflow.mainEntrypoint": str(workflow.spec.get("entrypoint", "")),
        "workflow.serviceAccountName": str(workflow.spec.get("serviceAccountName", "")),
        "workflow.creationTimestamp": instant(at),
        "workflow.creationTimestamp.s": str(int(at.timestamp())),
        "workflow.creationTimestamp.RFC3339": instant(at),
    }
    for letter in "aAbBcdHIjmMpSUwWxXyYZz":
        found[f"workflow.creationTimestamp.{letter}"] = at.strftime(f"%{letter}")
    if workflow.spec.get("priority") is not None:
        found["workflow.priority"] = str(workflow.spec["priority"])
    for section in ("labels", "annotations"):
        given = workflow.metadata.get(section) or {}
        found |= {f"workflow.{section}.{key}": str(value) for key, value in given.items()}
        found[f"workflow.{section}.json"] = json.dumps(given)
    found |= {f"workflow.parameters.{key}": value for key, value in arguments.items()}
    listed = json.dumps([{"name": key, "value": value} for key, value in arguments.items()])
    return found | {"workflow.parameters": listed, "workflow.parameters.json": listed}


def of_failures(status: str, nodes: Iterable[Node]) -> dict[str, str]:
    """What an exit handler may ask besides."""
    failed = [
        {
            "displayName": node.display_name,
            "message": node.message,
            "templateName": node.template,
            "phase": node.phase,
            "podName": node.id,
            "finishedAt": instant(node.finished_at) if node.finished_at else None,
        }
        for node in nodes
        if node.phase in BAD
    ]
    return {"workflow.status": status, "workflow.failures": json.dumps(failed)}


def inputs_of(inputs: Sequence[Parameter], given: Variables, variables: Variables) -> dict[str, str]:
    """The value of every input: as given, else as written, else its default.

    Raises:
        Refused: one has none.
    """
    found: dict[str, str] = {}
    for one in inputs:
        written = one.value if one.value is not None else one.default
        if one.name in given:
            found[one.name] = given[one.name]
        elif written is not None:
            found[one.name] = replace_text(written, variables)
        else:
            raise Refused(f"inputs.parameters.{one.name} was not supplied")
    return found


def as_inputs(values: Variables) -> dict[str, str]:
    """Inputs as variables."""
    listed = json.dumps([{"name": key, "value": value} for key, value in values.items()])
    return {f"inputs.parameters.{key}": value for key, value in values.items()} | {
        "inputs.parameters": listed
    }


def of_node(prefix: str, node: Node) -> dict[str, str]:
    """What those behind a task or step may ask of it; ``prefix`` is ``tasks.name`` or ``steps.name``."""
    found = {
        f"{prefix}.id": node.id,
        f"{prefix}.status": node.phase,
        f"{prefix}.startedAt": instant(node.started_at),
    }
    if node.finished_at:
        found[f"{prefix}.finishedAt"] = instant(node.finished_at)
    if node.exit_code is not None:
        found[f"{prefix}.exitCode"] = str(node.exit_code)
    for output in node.outputs:
        if output.value is not None:
            found[f"{prefix}.outputs.parameters.{output.name}"] = output.value
    return found


def of_group(prefix: str, nodes: Sequence[Node]) -> dict[str, str]:
    """What those behind a task with several items may ask: lists of the outputs of those that succeeded."""
    good = [node for node in nodes if node.phase == "Succeeded"]
    each = [{one.name: one.value or "" for one in node.outputs} for node in good if node.outputs]
    found = {f"{prefix}.outputs.parameters": json.dumps(each), f"{prefix}.outputs.result": "[]"}
    for name in {name for values in each for name in values}:
        listed = [values[name] for values in each if name in values]
        found[f"{prefix}.outputs.parameters.{name}"] = json.dumps(_structured(listed))
    return found


def _structured(values: list[str]) -> list[object]:
    """Texts that are all JSON maps or lists as what they are; else as texts."""
    found: list[object] = []
    for value in values:
        try:
            read = json.loads(value)
        except ValueError:
            return [*values]
        if not isinstance(read, dict | list):
            return [*values]
        found.append(read)
    return found


def arguments_of(holder: Tree, variables: Variables) -> dict[str, str]:
    """The values a task or step hands to its template.

    Raises:
        Missing, BadExpression: as for every placeholder.
        Refused: one has no value.
    """
    found: dict[str, str] = {}
    for one in (holder.get("arguments") or {}).get("parameters") or ():
        written = text(one.get("value"))
        if written is None:
            raise Refused(f"the argument {one.get('name')} has no value that can be known here")
        found[str(one["name"])] = replace_text(written, variables)
    return found


def outputs_of(parameters: Sequence[Parameter], variables: Variables) -> tuple[Output, ...]:
    """The outputs of a DAG or of steps, from those of its tasks.

    Raises:
        Refused: one has neither a value nor a default.
    """
    return tuple(
        Output(name=one.name, value=_output(one, variables), global_name=one.global_name)
        for one in parameters
    )


def _output(one: Parameter, variables: Variables) -> str:
    try:
        if one.expression:
            return str(text(evaluate(one.expression, variables)))
        tags = list(placeholders(one.parameter))
        value = value_of(tags[0], variables) if tags else variables.get(one.parameter.strip())
    except BadExpression as error:
        value, reason = None, str(error)
    else:
        reason = f"Unable to resolve: {one.parameter!r}"
    if value is None and one.default is None:
        raise Refused(f"the output {one.name} has no value: {reason}")
    return value if value is not None else str(one.default)


def items_of(task: Tree, variables: Variables) -> list[object] | None:
    """What a task is run for, one by one; None when it is run once.

    Raises:
        Missing, BadExpression: as for every placeholder.
        Refused: ``withParam`` is no list.
    """
    if task.get("withItems"):
        return list(task["withItems"])
    if not task.get("withParam"):
        return None
    written = replace_text(str(task["withParam"]), variables)
    try:
        read = json.loads(written)
    except ValueError:
        read = None
    if not isinstance(read, list):
        raise Refused(f"withParam value could not be parsed as a JSON list: {written.strip()}")
    return read


def of_item(item: object) -> dict[str, str]:
    """An item as variables."""
    found = {"item": str(text(item))}
    if isinstance(item, dict):
        found |= {f"item.{key}": str(text(value)) for key, value in item.items()}
    return found


def item_name(name: str, index: int, item: object) -> str:
    """The name of a task for one of its items: ``name(0:value)``."""
    if isinstance(item, dict):
        words = ",".join(sorted(f"{key}:{text(value)}" for key, value in item.items()))
    else:
        words = str(text(item))
    return f"{name}({index}:{words.replace('(', '').replace(')', '')})"
