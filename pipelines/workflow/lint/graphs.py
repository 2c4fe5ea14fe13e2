"""Order among tasks: dependencies that are there, results that exist, no circles, and who may be skipped."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pipelines.spec.scalars import Path, near, show
from pipelines.workflow import depends
from pipelines.workflow.lint.holders import Holder, Template
from pipelines.workflow.lint.sheet import Sheet, Tree

_MOST_CASES = 20_000
"""Combinations of results looked through for one task; beyond, nothing is claimed."""
ITEMS = ("withItems", "withParam", "withSequence")
_BY_ITEMS = ("AnySucceeded", "AllFailed")


@dataclass(slots=True)
class Dag:
    """The tasks of a DAG, and what each waits for."""

    tasks: dict[str, Tree] = field(default_factory=dict)
    waits: dict[str, depends.Depends] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    """Tasks of which it cannot be told what they wait for."""
    _ancestors: dict[str, set[str]] = field(default_factory=dict)
    """As far as they were asked for, once all tasks are known."""

    def before(self, task: str) -> list[str]:
        """The tasks a task waits for."""
        waits = self.waits.get(task)
        named = [ref.task for ref in depends.refs(waits)] if waits is not None else []
        return [name for name in dict.fromkeys(named) if name in self.tasks]

    def ancestors(self, task: str) -> set[str]:
        """All tasks that have ended before a task starts."""
        if task in self._ancestors:
            return self._ancestors[task]
        found: set[str] = set()
        ahead = self.before(task)
        while ahead:
            name = ahead.pop()
            if name not in found:
                found.add(name)
                ahead += self.before(name)
        return self._ancestors.setdefault(task, found)

    def may_run_without(self, task: str, other: str) -> bool:
        """Whether a task may run although an ancestor of it was skipped or omitted."""
        results = {name: self._results(name) for name in self.tasks}
        absent = {"Skipped", "Omitted"} & results[other]
        if not absent:
            return False
        possible: dict[str, set[str]] = {other: absent}
        between = {name for name in (task, *self.ancestors(task)) if other in self.ancestors(name)}
        for name in sorted(between, key=lambda one: len(self.ancestors(one))):
            possible[name] = results[name] & self._under(name, {**results, **possible})
        return bool({"Succeeded", "Failed"} & possible[task])

    def _results(self, task: str) -> set[str]:
        written = self.tasks[task]
        found = {"Succeeded", "Failed", "Errored"}
        if written.get("when") and not any(written.get(key) for key in ITEMS):
            found.add("Skipped")  # with items, each of them may be, and not the task
        if task in self.waits:
            found.add("Omitted")
        return found

    def _under(self, task: str, results: Mapping[str, set[str]]) -> set[str]:
        """The results a task may have, given those of the tasks before it."""
        runs: set[bool] = set()
        for holds in self._cases(task, results):
            runs.add(holds)
            if len(runs) == 2:
                break
        ran = {"Succeeded", "Failed", "Errored", "Skipped"}
        return (ran if True in runs else set()) | ({"Omitted"} if False in runs else set())

    def _cases(self, task: str, results: Mapping[str, set[str]]) -> Iterator[bool]:
        before = self.before(task)
        if math.prod(len(results[name]) for name in before) > _MOST_CASES:
            yield False
            return
        unknown = {ref.task: frozenset({"Succeeded"}) for ref in depends.refs(self.waits[task])}
        enough = unknown | {name: self._enough(name) for name in before}
        for case in itertools.product(*(sorted(results[name]) for name in before)):
            held = {name: frozenset({one}) for name, one in zip(before, case, strict=True)}
            yield depends.holds(self.waits[task], unknown | held, enough)

    def _enough(self, task: str) -> frozenset[str]:
        on = self.tasks[task].get("continueOn") or {}
        more = [result for key, result in (("failed", "Failed"), ("error", "Errored")) if on.get(key)]
        return frozenset({"Succeeded", "Skipped", "Daemoned", *more})


def check(holder: Holder) -> dict[Path, Dag]:
    """Note what is wrong with the order of tasks; the DAGs of a spec by the path of their template."""
    found: dict[Path, Dag] = {}
    for template in holder.every():
        if template.tree.get("dag"):
            found[template.path] = _dag(holder.sheet, template)
    return found


def _dag(sheet: Sheet, template: Template) -> Dag:
    tasks = list(template.tasks())
    path = (*template.path, "dag")
    if not tasks and not sheet.has_spoiled(path):
        sheet.breaks("template_kind", path, "has no tasks", "write at least one task")
    dag = Dag({str(task.get("name")): task for _, task in tasks if task.get("name")})
    uses_depends = any(task.get("depends") for _, task in tasks)
    for place, task in tasks:
        _waits(sheet, place, task, dag, uses_depends=uses_depends)
    _circles(sheet, tasks, dag)
    for name in str(template.tree["dag"].get("target") or "").split():
        if name not in dag.tasks and "{{" not in name:
            message = f"there is no task {show(name)}"
            sheet.breaks("unknown_task", (*path, "target"), message, near(name, dag.tasks))
    return dag


def _waits(sheet: Sheet, path: Path, task: Tree, dag: Dag, *, uses_depends: bool) -> None:
    name = str(task.get("name"))
    for field_ in ("dependencies", "continueOn"):
        if uses_depends and task.get(field_):
            message = "stands in a DAG that uses depends"
            sheet.breaks("depends_mixed", (*path, field_), message)
    if (uses_depends or task.get("dependencies")) and name[:1].isdigit():
        message = f"{show(name)} begins with a digit, which depends cannot name"
        sheet.breaks("name", (*path, "name"), message)
    waits: depends.Depends | None = None
    if task.get("depends"):
        try:
            waits = depends.parse(str(task["depends"]))
        except depends.BadDepends as error:
            sheet.breaks("depends", (*path, "depends"), str(error))
            dag.unread.add(name)
    elif task.get("dependencies"):
        waits = depends.of_dependencies([str(one) for one in task["dependencies"]])
    if waits is None:
        return
    if name in dag.tasks:
        dag.waits[name] = waits
    place: Path = (*path, "depends" if task.get("depends") else "dependencies")
    for ref in depends.refs(waits):
        _ref(sheet, place, ref, dag)


def _ref(sheet: Sheet, path: Path, ref: depends.Ref, dag: Dag) -> None:
    other = dag.tasks.get(ref.task)
    if other is None:
        message = f"there is no task {show(ref.task)}"
        sheet.breaks("unknown_task", path, message, near(ref.task, dag.tasks))
    elif ref.result and ref.result not in depends.RESULTS:
        message = f"{ref.task}.{ref.result} is no result"
        sheet.breaks("task_result", path, message, near(ref.result, depends.RESULTS))
    elif ref.result in _BY_ITEMS and not any(other.get(key) for key in ITEMS):
        message = f"{ref.task}.{ref.result} is about items, and {ref.task} has none"
        sheet.breaks("task_result", path, message, "ask for .Succeeded or .Failed")


def _circles(sheet: Sheet, tasks: list[tuple[Path, Tree]], dag: Dag) -> None:
    """One finding for each circle, at the first of its tasks."""
    told: set[str] = set()
    for path, task in tasks:
        name = str(task.get("name"))
        if name in told or name not in dag.ancestors(name):
            continue
        circle = _circle(name, dag)
        told |= {
            other for other in dag.tasks if name in dag.ancestors(other) and other in dag.ancestors(name)
        }
        message = f"waits for itself: {' after '.join([*circle, circle[0]])}"
        sheet.breaks("cycle", (*path, "depends" if task.get("depends") else "dependencies"), message)


def _circle(name: str, dag: Dag) -> list[str]:
    """A shortest way from a task back to itself."""
    ways, seen = [[name]], {name}
    for way in ways:
        for other in dag.before(way[-1]):
            if other == name:
                return way
            if other not in seen:
                seen.add(other)
                ways.append([*way, other])
    return [name]
