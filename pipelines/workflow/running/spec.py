"""A workflow as written, read into what the engine needs; and what of it cannot be run here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.workflow import depends
from pipelines.workflow.evaluating import unsupported as unsupported_parts
from pipelines.workflow.expressions import BadExpression, parse
from pipelines.workflow.placeholders import placeholders

Tree = Mapping[str, Any]
"""A map of a manifest, as YAML or JSON has it."""

KINDS = ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow")


class BadWorkflow(ValueError):
    """A workflow that cannot be run, with everything that speaks against it."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(reasons))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """An argument, an input or an output by name."""

    name: str
    value: str | None = None
    default: str | None = None
    """``default``, or ``valueFrom.default``."""
    enum: tuple[str, ...] = ()
    path: str = ""
    """The file an output is read from."""
    supplied: bool = False
    """Whether somebody sets this output of a suspended node."""
    parameter: str = ""
    """The variable an output of a DAG or of steps is taken from."""
    expression: str = ""
    global_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One template, and where names of other templates in it are looked up."""

    name: str
    body: Tree
    """Everything of it as written, its placeholders included."""
    home: str = ""
    """The WorkflowTemplate it belongs to; "" for the workflow's own."""

    @property
    def kind(self) -> str:
        """``container``, ``dag``, ``steps`` or ``suspend``; another word for what cannot be run here."""
        known = ("container", "dag", "steps", "suspend", "script", "resource", "http", "data", "plugin")
        found = [kind for kind in (*known, "containerSet") if self.body.get(kind) is not None]
        return found[0] if found else ("steps" if "steps" in self.body else "nothing")

    @property
    def inputs(self) -> tuple[Parameter, ...]:
        """Its input parameters."""
        return parameters(self.body.get("inputs"))

    @property
    def outputs(self) -> tuple[Parameter, ...]:
        """Its output parameters."""
        return parameters(self.body.get("outputs"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """What is to be run, with every template it may need."""

    name: str
    namespace: str
    metadata: Tree
    spec: Tree
    """The spec, merged with that of the template it refers to."""
    templates: Mapping[tuple[str, str], Template] = field(repr=False)
    """(WorkflowTemplate or "", template) -> the template."""
    home: str = ""
    """The WorkflowTemplate whose templates are its own; "" when it has some itself."""

    @property
    def arguments(self) -> tuple[Parameter, ...]:
        """The parameters it takes."""
        return parameters(self.spec.get("arguments"))

    def beginning_with(self, entrypoint: str) -> Workflow:
        """The same workflow, begun with another template."""
        return dataclasses.replace(self, spec={**self.spec, "entrypoint": entrypoint})

    def find(self, holder: Tree, home: str) -> Template:
        """The template that a task, a step or the workflow names.

        Raises:
            BadWorkflow: there is none.
        """
        ref = holder.get("templateRef")
        place = (str(ref["name"]), str(ref["template"])) if ref else (home, str(holder.get("template", "")))
        if place not in self.templates:
            raise BadWorkflow([f"there is no template {'/'.join(filter(None, place))}"])
        return self.templates[place]


def text(value: object) -> str | None:
    """A value as Argo keeps it: text as it is, anything else as JSON; None for none."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"))


def parameters(section: Tree | None) -> tuple[Parameter, ...]:
    """The parameters of an ``arguments``, ``inputs`` or ``outputs`` section."""
    return tuple(_parameter(one) for one in (section or {}).get("parameters") or ())


def _parameter(written: Tree) -> Parameter:
    source = written.get("valueFrom") or {}
    return Parameter(
        name=str(written["name"]),
        value=text(written.get("value")),
        default=text(source.get("default")) if source else text(written.get("default")),
        enum=tuple(str(text(one)) for one in written.get("enum") or ()),
        path=str(source.get("path", "")),
        supplied=source.get("supplied") is not None,
        parameter=str(source.get("parameter", "")),
        expression=str(source.get("expression", "")),
        global_name=str(written.get("globalName", "")),
    )


def read_workflow(manifest: Tree, library: Sequence[Tree] = ()) -> Workflow:
    """A manifest as a workflow to run.

    Args:
        manifest: a Workflow, a WorkflowTemplate or ClusterWorkflowTemplate (run as if it were submitted), or
            a CronWorkflow (run as if it were due).
        library: WorkflowTemplates that it may refer to.

    Raises:
        BadWorkflow: it is of another kind, or refers to what is not there.
    """
    kind, metadata = str(manifest.get("kind")), manifest.get("metadata") or {}
    if kind not in KINDS:
        raise BadWorkflow([f"a {kind} cannot be run; {', '.join(KINDS)} can"])
    name = str(metadata.get("name") or metadata.get("generateName") or "")
    whole = manifest.get("spec") or {}
    spec: Tree = whole["workflowSpec"] if kind == "CronWorkflow" else whole
    shelf = {str(one["metadata"]["name"]): one for one in library}
    if kind.endswith("WorkflowTemplate"):
        shelf[name] = manifest
    ref = (spec.get("workflowTemplateRef") or {}).get("name", "")
    if ref:
        if ref not in shelf:
            raise BadWorkflow([f"there is no WorkflowTemplate {ref} beside it"])
        spec = _merged(spec, shelf[ref]["spec"])
    templates = {} if ref else _templates("", spec)
    for other, one in shelf.items():
        templates |= _templates(other, one["spec"])
    return Workflow(
        name=name,
        namespace=str(metadata.get("namespace", "default")),
        metadata=metadata,
        spec=spec,
        templates=templates,
        home=str(ref),
    )


def _templates(home: str, spec: Tree) -> dict[tuple[str, str], Template]:
    defaults = spec.get("templateDefaults") or {}
    return {
        (home, str(one["name"])): Template(name=str(one["name"]), body={**defaults, **one}, home=home)
        for one in spec.get("templates") or ()
    }


def _merged(own: Tree, base: Tree) -> Tree:
    """A workflow's own spec over that of the template it refers to; its arguments win one by one."""
    given = {one["name"]: one for one in (own.get("arguments") or {}).get("parameters") or ()}
    known = [
        {**one, **given.pop(one["name"], {})} for one in (base.get("arguments") or {}).get("parameters") or ()
    ]
    return {**base, **own, "arguments": {"parameters": [*known, *given.values()]}}


def tasks_of(template: Template) -> list[Tree]:
    """The tasks of a DAG, or the steps of all groups."""
    if template.kind == "dag":
        return list(template.body["dag"].get("tasks") or ())
    return [step for group in template.body.get("steps") or () for step in group_of(group)]


def group_of(group: object) -> list[Tree]:
    """The steps of a group, which may also be written as one step."""
    return list(group) if isinstance(group, list | tuple) else [group]  # type: ignore[list-item]


def needed(task: Tree) -> depends.Depends | None:
    """What a task of a DAG waits for; None for nothing.

    Raises:
        BadDepends: its ``depends`` cannot be read.
    """
    if task.get("depends"):
        return depends.parse(str(task["depends"]))
    names = [str(name) for name in task.get("dependencies") or ()]
    return depends.of_dependencies(names) if names else None


# ------------------------------------------------------------------------ what cannot be run


_OF_TEMPLATES: Mapping[str, str] = {
    "daemon": "daemon", "sidecars": "sidecars", "initContainers": "initContainers", "memoize": "memoize",
    "parallelism": "parallelism of a template", "failFast": "failFast of a template", "inline": "inline",
}  # fmt: skip
_OF_TASKS = ("hooks", "onExit", "inline", "withSequence")
_OF_WORKFLOWS = ("hooks", "volumeClaimTemplates", "artifactGC")
_VOLUMES = {"emptyDir", "secret", "configMap", "projected", "hostPath", "downwardAPI"}


def unsupported(workflow: Workflow) -> list[str]:
    """Everything a workflow asks for that is not run here, in words; empty when all of it is."""
    found = [f"spec.{key}" for key in _OF_WORKFLOWS if workflow.spec.get(key)]
    if (workflow.spec.get("arguments") or {}).get("artifacts"):
        found.append("spec.arguments.artifacts")
    for volume in workflow.spec.get("volumes") or ():
        found += _volume(volume, "spec")
    for template in reached(workflow):
        found += [f"template {template.name}: {what}" for what in _template(template)]
    return sorted(set(found))


def reached(workflow: Workflow) -> list[Template]:
    """The templates that the entrypoint and the exit handler lead to.

    Raises:
        BadWorkflow: one of them is not there.
    """
    starts = [workflow.spec.get("entrypoint"), workflow.spec.get("onExit")]
    ahead = [workflow.find({"template": name}, workflow.home) for name in starts if name]
    found: dict[tuple[str, str], Template] = {}
    while ahead:
        template = ahead.pop()
        if (template.home, template.name) in found:
            continue
        found[template.home, template.name] = template
        if template.kind in ("dag", "steps"):
            ahead += [
                workflow.find(task, template.home) for task in tasks_of(template) if not task.get("inline")
            ]
    return list(found.values())


def _template(template: Template) -> Iterator[str]:
    body = template.body
    if template.kind not in ("container", "dag", "steps", "suspend"):
        yield template.kind
    yield from (words for key, words in _OF_TEMPLATES.items() if body.get(key))
    for section in ("inputs", "outputs"):
        if (body.get(section) or {}).get("artifacts"):
            yield f"{section}.artifacts"
    if (body.get("synchronization") or {}).get("semaphores"):
        yield "semaphores"
    if template.kind == "container" and not body["container"].get("command"):
        yield "a container without command: the image's own is not known here"
    for volume in body.get("volumes") or ():
        yield from _volume(volume, "its")
    if template.kind in ("dag", "steps"):
        for task in tasks_of(template):
            yield from (f"{key} of {task.get('name')}" for key in _OF_TASKS if task.get(key))
            if (task.get("arguments") or {}).get("artifacts"):
                yield f"artifacts for {task.get('name')}"
    yield from _expressions(body)
    expression = (body.get("retryStrategy") or {}).get("expression")
    if expression:
        yield from _expression(str(expression))


def _volume(volume: Tree, whose: str) -> Iterator[str]:
    kinds = set(volume) - {"name"}
    if kinds - _VOLUMES:
        yield f"{whose} volume {volume.get('name')}: {', '.join(sorted(kinds - _VOLUMES))}"


def _expressions(tree: object) -> Iterator[str]:
    """Parts of ``{{=…}}`` anywhere below that are not evaluated here."""
    if isinstance(tree, str):
        for one in placeholders(tree):
            if one.is_expression:
                yield from _expression(one.inside)
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _expressions(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _expressions(value)


def _expression(written: str) -> Iterator[str]:
    try:
        yield from (f"{what}, in {written!r}" for what in unsupported_parts(parse(written)))
    except BadExpression as error:
        yield f"{written!r} {error}"
