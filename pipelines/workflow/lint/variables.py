"""Variables: does something give what each ``{{…}}`` names, and has it been given by then?"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from pipelines.spec.scalars import Path, near, show
from pipelines.workflow.conditions import BadCondition
from pipelines.workflow.conditions import parse as parse_condition
from pipelines.workflow.expressions import BadExpression, parse, paths
from pipelines.workflow.lint.graphs import ITEMS, Dag
from pipelines.workflow.lint.holders import PODS, Holder, Template
from pipelines.workflow.lint.sheet import Sheet, Tree
from pipelines.workflow.placeholders import placeholders

_ROOTS = ("inputs", "outputs", "workflow", "tasks", "steps", "item", "pod", "node", "retries", "lastRetry")
_GLOBALS = frozenset(
    "workflow." + name
    for name in (
        "name", "namespace", "uid", "mainEntrypoint", "serviceAccountName", "status", "duration", "priority",
        "parameters", "parameters.json", "labels", "labels.json", "annotations",
        "annotations.json", "creationTimestamp", "scheduledTime",
    )
)  # fmt: skip
_OPEN_GLOBALS = ("workflow.creationTimestamp.",)
_OF_NODES = ("id", "startedAt", "finishedAt", "hostNodeName", "status")
_OF_PODS = ("exitCode", "outputs.result")
_OF_RETRIES = ("retries", "lastRetry.exitCode", "lastRetry.status", "lastRetry.duration", "lastRetry.message")
_OF_METRICS = ("status", "duration", "exitCode", "resourcesDuration.cpu", "resourcesDuration.memory")


@dataclass(frozen=True, slots=True)
class Scope:
    """What may be named in one place."""

    names: frozenset[str] = frozenset()
    open: tuple[str, ...] = ()
    """Beginnings of names behind which anything may stand."""
    later: frozenset[str] = frozenset()
    """Names that exist, but may not be there yet."""
    unsure: Mapping[str, str] = field(default_factory=dict)
    """Names that may never be there -> why."""

    def knows(self, name: str) -> bool:
        """Whether something gives it."""
        return name in self.names or name.startswith(self.open)

    def leads_to(self, name: str) -> bool:
        """Whether it is the beginning of a name, as maps in expressions are."""
        return any(one.startswith(f"{name}.") for one in (*self.names, *self.open))

    def plus(self, *names: str, anything: tuple[str, ...] = ()) -> Scope:
        """The same with more names."""
        return replace(self, names=self.names | frozenset(names), open=self.open + anything)

    def with_all(self, others: Iterable[Scope]) -> Scope:
        """The same with what others give."""
        for other in others:
            self = self.plus(*other.names, anything=other.open)
        return self


def check(holder: Holder, dags: Mapping[Path, Dag]) -> None:
    """Note what is wrong with the variables of a spec."""
    scope = _of_workflow(holder)
    for key, value in holder.spec.items():
        if key not in ("templates", "templateDefaults", "hooks"):
            _texts(holder.sheet, (*holder.path, key), value, scope.plus(*_OF_METRICS))
    for name, hook in (holder.spec.get("hooks") or {}).items():
        _hook(holder.sheet, (*holder.path, "hooks", name), hook or {}, scope)
    after = _of_exit(holder)
    for template in holder.every():
        known = scope.plus("workflow.failures") if template.name in after else scope
        _template(template, known, dags.get(template.path))


# -------------------------------------------------------------------------------- scopes


def _of_workflow(holder: Holder) -> Scope:
    metadata = holder.sheet.tree.get("metadata") or {}
    more = holder.spec.get("workflowMetadata") or {}
    names = set(_GLOBALS)
    for section in ("labels", "annotations"):
        keys = {*(metadata.get(section) or {}), *(more.get(section) or {}), *(more.get("labelsFrom") or {})}
        names |= {f"workflow.{section}.{key}" for key in keys}
    names |= {f"workflow.parameters.{one.get('name')}" for one in holder.arguments}
    anything = list(_OPEN_GLOBALS)
    if holder.base is None or holder.is_template:  # whoever submits or uses it may bring more
        anything += ["workflow.parameters.", "workflow.labels.", "workflow.annotations."]
    for kind, given in _global_outputs(holder):
        if given is None or "{{" in given:
            anything.append(f"workflow.outputs.{kind}.")
        else:
            names.add(f"workflow.outputs.{kind}.{given}")
    return Scope(frozenset(names), tuple(anything))


def _global_outputs(holder: Holder) -> Iterator[tuple[str, str | None]]:
    """Outputs with a ``globalName``; None where a template that may have some is not in this run."""
    for template in holder.every():
        for kind in ("parameters", "artifacts"):
            for one in template.section("outputs", kind):
                if one.get("globalName"):
                    yield kind, str(one["globalName"])
        for _, task in template.tasks():
            if task.get("templateRef"):
                yield "parameters", None
                yield "artifacts", None
    if holder.base is None or holder.is_template:
        yield "parameters", None


def _of_exit(holder: Holder) -> set[str]:
    """The templates that run after the workflow; all of a template in which nothing says so."""
    hooks = [hook or {} for hook in (holder.spec.get("hooks") or {}).values()]
    names = [holder.spec.get("onExit"), *(hook.get("template") for hook in hooks)]
    if holder.is_template and not any(names):
        return {one.name for one in holder.every()}
    found: set[str] = set()
    ahead = [template for name in names if name and (template := holder.named(name)) is not None]
    while ahead:
        one = ahead.pop()
        if one.name not in found:
            found.add(one.name)
            used = (holder.used(task) for _, task in one.tasks() if not task.get("templateRef"))
            ahead += [template for template in used if template is not None]
    return found


def _of_inputs(template: Template) -> Iterator[str]:
    for kind in ("parameters", "artifacts"):
        for one in template.section("inputs", kind):
            yield f"inputs.{kind}.{one.get('name')}"
            if kind == "artifacts":
                yield f"inputs.artifacts.{one.get('name')}.path"
    if template.section("inputs", "parameters"):
        yield "inputs.parameters"


def _of_task(word: str, task: Tree, used: Template | None) -> Scope:
    """What others may ask of a task or step; anything of its outputs where its template is not known."""
    prefix = f"{word}.{task.get('name')}"
    found = Scope(frozenset(f"{prefix}.{one}" for one in _OF_NODES))
    pods = [f"{prefix}.{one}" for one in _OF_PODS]
    if used is None:
        return found.plus(*pods, f"{prefix}.ip", anything=(f"{prefix}.outputs.",))
    if used.kind in (*PODS, "http", "plugin"):
        found = found.plus(*pods)
    if used.tree.get("daemon"):
        found = found.plus(f"{prefix}.ip")
    if any(task.get(key) for key in ITEMS):
        found = found.plus(f"{prefix}.outputs.parameters", f"{prefix}.outputs.result")
    for kind in ("parameters", "artifacts"):
        found = found.plus(
            *(f"{prefix}.outputs.{kind}.{one.get('name')}" for one in used.section("outputs", kind))
        )
    return found


def _of_items(task: Tree) -> Scope:
    if task.get("withParam"):
        return Scope(frozenset({"item"}), ("item.",))
    items = task.get("withItems") or ()
    keys = {f"item.{key}" for item in items if isinstance(item, dict) for key in item}
    return Scope(frozenset({"item", *keys}) if items or task.get("withSequence") else frozenset())


# ----------------------------------------------------------------------------- templates


def _template(template: Template, scope: Scope, dag: Dag | None) -> None:
    sheet = template.holder.sheet
    own = scope.plus(*_of_inputs(template), "node.name", "tasks.name", "steps.name")
    if template.kind in PODS:
        own = own.plus("pod.name")
    if template.tree.get("retryStrategy") or template.holder.spec.get("retryStrategy"):
        own = own.plus(*_OF_RETRIES)
    for kind in ("parameters", "artifacts"):
        own = own.plus(
            *(f"outputs.{kind}.{one.get('name')}.path" for one in template.section("outputs", kind))
        )
    measured = own.plus(*_OF_METRICS, anything=("outputs.", "resourcesDuration."))
    is_graph = template.kind in ("dag", "steps")
    skipped = {"metrics", *({"dag", "steps", "outputs", "name"} if is_graph else ())}
    for key, value in template.tree.items():
        if key not in skipped:
            _texts(sheet, (*template.path, key), value, own)
    _texts(sheet, (*template.path, "metrics"), template.tree.get("metrics"), measured)
    if is_graph:
        _tasks(template, own, dag)


def _tasks(template: Template, own: Scope, dag: Dag | None) -> None:
    sheet, word = template.holder.sheet, "tasks" if template.kind == "dag" else "steps"
    if dag is not None:
        _texts(sheet, (*template.path, "dag", "target"), template.tree["dag"].get("target"), own)
    given = {path: _of_task(word, task, template.holder.used(task)) for path, task in template.tasks()}
    every = own.with_all(given.values())
    for path, task in template.tasks():
        before = _before(template, path, task, dag)
        mine = own.with_all([_of_items(task), *(one for place, one in given.items() if place in before)])
        unsure = _unsure(template, task, dag, given) if dag is not None else {}
        mine = replace(mine, later=every.names, unsure=unsure)
        for key, value in task.items():
            if key not in ("name", "inline", "hooks", "depends", "dependencies"):
                _texts(sheet, (*path, key), value, mine)
        for name, hook in (task.get("hooks") or {}).items():
            _hook(sheet, (*path, "hooks", name), hook or {}, mine.with_all([given[path]]))
    _texts(sheet, (*template.path, "outputs"), template.tree.get("outputs"), every)


def _before(template: Template, path: Path, task: Tree, dag: Dag | None) -> set[Path]:
    """The places of the tasks or steps that have ended before one starts."""
    if dag is not None:
        name = str(task.get("name"))
        ancestors = set(dag.tasks) if name in dag.unread else dag.ancestors(name)
        return {place for place, other in template.tasks() if other.get("name") in ancestors}
    at = len(template.path) + 1
    return {place for place, _ in template.tasks() if int(place[at]) < int(path[at])}


def _unsure(template: Template, task: Tree, dag: Dag, given: Mapping[Path, Scope]) -> dict[str, str]:
    """Outputs of ancestors that may have been skipped although this task runs."""
    found: dict[str, str] = {}
    name = str(task.get("name"))
    ancestors = dag.ancestors(name)
    if name in ancestors:
        return {}
    for place, other in template.tasks():
        before = str(other.get("name"))
        if before in ancestors and dag.may_run_without(name, before):
            outputs = {one for one in given[place].names if ".outputs." in one or one.endswith(".exitCode")}
            found |= dict.fromkeys(outputs, f"{before} may be skipped, and {name} runs all the same")
    return found


def _hook(sheet: Sheet, path: Path, hook: Tree, scope: Scope) -> None:
    _texts(sheet, (*path, "arguments"), hook.get("arguments"), scope)
    if hook.get("expression"):
        _expression(sheet, (*path, "expression"), str(hook["expression"]), scope, strict=False)


# --------------------------------------------------------------------------------- texts


def _texts(sheet: Sheet, path: Path, value: object, scope: Scope) -> None:
    """Every text at a place and below."""
    if isinstance(value, str):
        _text(sheet, path, value, scope)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _texts(sheet, (*path, key), inner, scope)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            _texts(sheet, (*path, at), inner, scope)


def _text(sheet: Sheet, path: Path, text: str, scope: Scope) -> None:
    if path[-1] in ("expression", "fromExpression"):
        if "retryStrategy" not in path:  # which knows names of its own, see templates
            _expression(sheet, path, text, scope, strict=True)
        return
    if path[-1] == "when":
        _condition(sheet, path, text)
    for one in placeholders(text):
        if one.is_expression:
            _expression(sheet, path, one.inside, scope, strict=True)
        else:
            _name(sheet, path, one.inside, scope)
    if path[-1] == "parameter" and "{{" not in text:
        _name(sheet, path, text.strip(), scope)
    if "{{" in text and text.count("{{") > len(list(placeholders(text))):
        sheet.breaks("placeholder", path, f"{show(text)} has a {{{{ without }}}}")


def _condition(sheet: Sheet, path: Path, text: str) -> None:
    """The grammar of a ``when``, every placeholder a word."""
    filled = re.sub(r"\{\{.*?\}\}", "x", text, flags=re.DOTALL)
    try:
        parse_condition(filled)
    except BadCondition as error:
        sheet.breaks("condition", path, str(error))


def _expression(sheet: Sheet, path: Path, text: str, scope: Scope, *, strict: bool) -> None:
    try:
        named = paths(parse(text))
    except BadExpression as error:
        sheet.breaks("expression", path, f"{show(text)} {error}")
        return
    for name in sorted(named) if strict else ():
        if not scope.leads_to(name):
            _name(sheet, path, name, scope)


def _is_meant_as_ours(name: str) -> bool:
    """Whether a name that begins like none of Argo's is likely misspelt, and not another language's."""
    root = name.partition(".")[0]
    alone = root == name
    return bool(difflib.get_close_matches(root, ("item", "retries") if alone else _ROOTS, 1, 0.75))


def _misspelt(name: str, scope: Scope) -> str:
    """The parameter a name almost has, where anything may stand; "" for none."""
    known = [one for one in scope.names if one.startswith("workflow.parameters.")]
    close = difflib.get_close_matches(name, known, 1, 0.95)
    return close[0] if close and name.startswith("workflow.parameters.") else ""


def _name(sheet: Sheet, path: Path, name: str, scope: Scope) -> None:
    if scope.knows(name):
        if name in scope.unsure:
            sheet.breaks("output_may_be_missing", path, f"{name}: {scope.unsure[name]}")
        if name in scope.names or not (meant := _misspelt(name, scope)):
            return
        sheet.breaks("unknown_variable", path, f"nothing gives {show(name)}", f"did you mean `{meant}`?")
        return
    root = name.partition(".")[0]
    if name in scope.later:
        sheet.breaks("not_an_ancestor", path, f"{name} may not be there yet")
    elif root in _ROOTS or _is_meant_as_ours(name):
        known = {one for one in scope.names if one.partition(".")[0] == root} or set(scope.names)
        hint = near(name, known)
        sheet.breaks("unknown_variable", path, f"nothing gives {show(name)}", hint if "did" in hint else "")
