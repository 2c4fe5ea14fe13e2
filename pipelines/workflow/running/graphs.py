"""DAGs and steps: which task or step is next, and what has become of all of them together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

from pipelines.workflow import depends
from pipelines.workflow.conditions import BadCondition, is_met
from pipelines.workflow.placeholders import Missing, replace
from pipelines.workflow.running import scope
from pipelines.workflow.running.board import Board, Call
from pipelines.workflow.running.nodes import BAD, COMPLETED, Node, Phase
from pipelines.workflow.running.spec import Template, Tree, group_of, needed, tasks_of, text

BROKEN = (ValueError, TypeError, KeyError)
"""What is raised over something a workflow says that makes no sense."""


class Walker(Protocol):
    """Who enters the templates of tasks and steps."""

    board: Board

    def enter(self, call: Call) -> Node:
        """Go as far as possible into a template; its node afterwards."""
        ...


class _Graph:
    """What DAGs and steps share: a node of their own, and uses of templates in it."""

    word: Literal["tasks", "steps"]
    """As variables call them."""
    kind: Literal["DAG", "Steps"]

    def __init__(
        self,
        walker: Walker,
        call: Call,
        template: Template,
        known: Mapping[str, str],
        inputs: Mapping[str, str],
    ) -> None:
        self.walker, self.board = walker, walker.board
        self.call, self.template, self.known = call, template, known
        self.node = self.board.nodes.get(call.name) or self.board.add(
            call, self.kind, "Running", template, inputs=inputs
        )

    def inner(self, name: str, task: Tree) -> Call:
        """The use of a template by a task or step."""
        return dataclasses.replace(
            self.call, name=name, holder=task, home=self.template.home, given={}, boundary=self.node.id,
            variables={f"{self.word}.name": str(task.get("name", ""))}, retried=False, deadline=None,
            depth=self.call.depth + 1,
        )  # fmt: skip

    def uses(self, prefix: str, task: Tree, variables: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
        """Name and variables of every use of a task's template: one, or one for each item.

        Raises:
            Missing: the task names an output that is not there.
        """
        replace({key: value for key, value in task.items() if key != "withItems"}, variables)
        name = str(task["name"])
        items = scope.items_of(task, variables)
        if items is None:
            return [(prefix + name, dict(variables))]
        return [
            (prefix + scope.item_name(name, index, item), {**variables, **scope.of_item(item)})
            for index, item in enumerate(items)
        ]

    def use(self, name: str, task: Tree, variables: Mapping[str, str]) -> Node:
        """Run a task's template for one item, unless its ``when`` says no."""
        call = self.inner(name, task)
        try:
            if name not in self.board.nodes and not is_met(str(text(task.get("when")) or ""), variables):
                message = f"when '{task.get('when')}' evaluated false"
                return self.board.add(call, "Skipped", "Skipped", message=message)
            given = scope.arguments_of(task, variables)
        except BadCondition as error:
            message = f"Invalid 'when' expression '{task.get('when')}': {error}"
            return self.board.add(call, "Skipped", "Error", message=message)
        except BROKEN as error:
            return self.board.add(call, "Skipped", "Error", message=str(error))
        return self.walker.enter(dataclasses.replace(call, given=given))

    def outputs_of(self, task: Tree, name: str) -> dict[str, str]:
        """What others may ask of a task or step."""
        prefix = f"{self.word}.{task['name']}"
        node = self.board.nodes.get(name)
        if node is not None and node.kind != "TaskGroup":
            return scope.of_node(prefix, node)
        return scope.of_group(prefix, list(self.group(name)))

    def group(self, name: str) -> Iterator[Node]:
        """The nodes of a task's or step's items."""
        for node in self.board.nodes.values():
            if node.boundary == self.node.id and node.name.startswith(f"{name}(") and not node.retried:
                yield node

    def ended(self, phase: Phase, variables: Mapping[str, str], message: str = "") -> Node:
        """The node with its end; with its outputs when it succeeded."""
        outputs = scope.outputs_of(self.template.outputs, variables) if phase == "Succeeded" else ()
        return self.board.change(self.node, phase=phase, message=message, outputs=outputs)


def continues(task: Tree, phase: Phase) -> bool:
    """Whether a task that ended badly does not count as that."""
    on = task.get("continueOn") or {}
    return bool((phase == "Failed" and on.get("failed")) or (phase == "Error" and on.get("error")))


class Dag(_Graph):
    """One pass over a DAG."""

    word = "tasks"
    kind = "DAG"

    def run(self) -> Node:
        """Go on with every task that can; the DAG's node afterwards."""
        self.tasks = {str(task["name"]): task for task in tasks_of(self.template)}
        self.waits = {name: needed(task) for name, task in self.tasks.items()}
        self.visited: set[str] = set()
        targets = str(self.template.body["dag"].get("target") or "").split() or self._leaves()
        for name in targets if not self.board.shutdown else ():
            self._task(name)
        phase = self._phase(targets)
        if phase is None:
            return self.board.nodes[self.call.name]
        variables = dict(self.known)
        for name, task in self.tasks.items():
            if self._name(name) in self.board.nodes:
                variables |= self.outputs_of(task, self._name(name))
        return self.ended(phase, variables)

    def _name(self, task: str) -> str:
        return f"{self.call.name}.{task}"

    def _before(self, task: str) -> list[str]:
        """The tasks a task waits for."""
        waits = self.waits[task]
        return [] if waits is None else list(dict.fromkeys(ref.task for ref in depends.refs(waits)))

    def _leaves(self) -> list[str]:
        before = {name for task in self.tasks for name in self._before(task)}
        return sorted(set(self.tasks) - before)

    def _ancestors(self, task: str) -> set[str]:
        found: set[str] = set()
        ahead = self._before(task)
        while ahead:
            name = ahead.pop()
            if name not in found:
                found.add(name)
                ahead += self._before(name)
        return found

    def _task(self, task: str) -> None:
        if task in self.visited:
            return
        self.visited.add(task)
        name, written = self._name(task), self.tasks[task]
        node = self.board.nodes.get(name)
        if node is not None and node.is_fulfilled:
            return
        for other in self._before(task):
            self._task(other)
        if node is None and (waits := self.waits[task]) is not None:
            holds = self._holds(task, waits)
            if not holds:
                if holds is False:
                    message = "omitted: depends condition not met"
                    self.board.add(self.inner(name, written), "Skipped", "Omitted", message=message)
                    self._link(task, name)
                return
        try:
            self._start(task, written, name)
        except Missing:
            return  # no node, now and in every later pass, until the output is there
        except BROKEN as error:
            self.board.add(self.inner(name, written), "Skipped", "Error", message=str(error))
            self._link(task, name)

    def _holds(self, task: str, waits: depends.Depends) -> bool | None:
        """Whether a task runs; None as long as one it waits for has not ended."""
        results: dict[str, frozenset[str]] = {}
        enough: dict[str, frozenset[str]] = {}
        for other in self._before(task):
            node = self.board.nodes.get(self._name(other))
            if node is None or not node.is_fulfilled:
                return None
            results[other] = frozenset(self._results(node))
            on = self.tasks[other].get("continueOn") or {}
            more = {"Errored"} if on.get("error") else set()
            more |= {"Failed"} if on.get("failed") else set()
            enough[other] = frozenset({"Succeeded", "Skipped", "Daemoned"} | more)
        return depends.holds(waits, results, enough)

    def _results(self, node: Node) -> Iterator[str]:
        yield "Errored" if node.phase == "Error" else node.phase
        if node.kind == "TaskGroup":
            phases = {one.phase for one in self.group(node.name)}
            yield from ["AnySucceeded"] if "Succeeded" in phases else []
            yield from ["AllFailed"] if phases == {"Failed"} else []

    def _start(self, task: str, written: Tree, name: str) -> None:
        variables = dict(self.known)
        for other in self._ancestors(task):
            variables |= self.outputs_of(self.tasks[other], self._name(other))
        uses = self.uses(f"{self.call.name}.", written, variables)
        several = bool(written.get("withItems") or written.get("withParam"))
        if several and name not in self.board.nodes:
            call = self.inner(name, written)
            if not uses:
                self.board.add(call, "Skipped", "Skipped", message="Skipped, empty params")
            else:
                self.board.add(call, "TaskGroup", "Running")
            self._link(task, name)
        for each, own in uses:
            self.use(each, written, own)
            if several:
                self.board.link(name, each)
            else:
                self._link(task, name)
        if several and uses:
            self._end_group(name)

    def _end_group(self, name: str) -> None:
        nodes = list(self.group(name))
        if all(node.is_fulfilled for node in nodes):
            phase = next((node.phase for node in reversed(nodes) if node.phase in BAD), "Succeeded")
            self.board.change(self.board.nodes[name], phase=phase)

    def _link(self, task: str, name: str) -> None:
        for parent in [self._name(other) for other in self._before(task)] or [self.call.name]:
            self.board.link(parent, name)

    def _phase(self, targets: Sequence[str]) -> Phase | None:
        """How the DAG has ended; None while it goes on."""
        if self.board.shutdown:
            return "Failed"
        mine = [node for node in self.board.nodes.values() if node.boundary == self.node.id]
        if not all(node.is_fulfilled for node in mine):
            return None
        fails_fast = self.template.body["dag"].get("failFast") is not False
        result: Phase | None = "Succeeded"
        for name in targets:
            phase = self._branch(name)
            if phase is None:
                result = None
                if not fails_fast:
                    break
            elif phase in BAD and not continues(self.tasks[name], phase):
                result = phase
                if fails_fast:
                    break
        return result

    def _branch(self, task: str) -> Phase | None:
        """How a task ended, or, if it did not run, how those before it did; bad before good."""
        node = self.board.nodes.get(self._name(task))
        if node is None:
            return None
        if node.phase in COMPLETED:
            return node.phase
        before = [self._branch(other) for other in self._before(task)]
        return next((phase for phase in before if phase in BAD), "Succeeded")


class Steps(_Graph):
    """One pass over steps: groups one after the other, the steps of a group side by side."""

    word = "steps"
    kind = "Steps"

    def run(self) -> Node:
        """Go on with the first group that has not ended; the steps' node afterwards."""
        variables, before = dict(self.known), [self.call.name]
        for index, written in enumerate(self.template.body.get("steps") or ()):
            name, group = f"{self.call.name}[{index}]", group_of(written)
            if name not in self.board.nodes:
                self.board.add(self.inner(name, {}), "StepGroup", "Running")
                for parent in before:
                    self.board.link(parent, name)
            node = self._group(name, group, variables)
            if not node.is_fulfilled:
                return self.board.nodes[self.call.name]
            if node.phase in BAD:
                return self.ended("Failed", variables, node.message)
            for step in group:
                variables |= self.outputs_of(step, f"{name}.{step['name']}")
            before = [one.name for one in self._children(node)] or [name]
        return self.ended("Succeeded", variables)

    def _children(self, node: Node) -> list[Node]:
        return [one for one in self.board.nodes.values() if one.id in node.children]

    def _group(self, name: str, group: Sequence[Tree], variables: Mapping[str, str]) -> Node:
        node = self.board.nodes[name]
        if node.is_fulfilled:
            return node
        try:
            uses = [(step, self.uses(f"{name}.", step, variables)) for step in group]
        except Missing:
            return node  # and so in every later pass, until the output is there
        except BROKEN as error:
            return self.board.change(node, phase="Error", message=str(error))
        for step, each in uses:
            for one, own in each:
                self.use(one, step, own)
                self.board.link(name, one)
            if not each and f"{name}.{step['name']}" not in self.board.nodes:
                call = self.inner(f"{name}.{step['name']}", step)
                self.board.add(call, "Skipped", "Skipped", message="Skipped, empty params")
                self.board.link(name, call.name)
        return self._judged(self.board.nodes[name], group)

    def _judged(self, node: Node, group: Sequence[Tree]) -> Node:
        """The group's node, ended if all its steps have."""
        steps = {str(step["name"]): step for step in group}
        children = self._children(node)
        if not all(child.is_fulfilled for child in children):
            return node
        for child in children:
            step = steps[child.display_name.partition("(")[0]]
            if child.phase in BAD and not continues(step, child.phase):
                return self.board.change(node, phase="Failed", message=f"child '{child.id}' failed")
        return self.board.change(node, phase="Succeeded")
