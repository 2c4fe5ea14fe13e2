"""One pass over a workflow: every template entered as far as it can be, nodes made and ended on the way.

The order of events and the words of messages are those of Argo 4.0, also where they surprise: a reference
to an output that is not there leaves its task without a node for ever, and a DAG ends only when every node
that was made has ended.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pipelines.workflow.durations import duration
from pipelines.workflow.placeholders import Missing, replace
from pipelines.workflow.running import retries, scope
from pipelines.workflow.running.board import Board, Call
from pipelines.workflow.running.graphs import BROKEN, Dag, Steps
from pipelines.workflow.running.launching import launch
from pipelines.workflow.running.nodes import BAD, Node, Output
from pipelines.workflow.running.scope import Refused
from pipelines.workflow.running.spec import Template

MAX_DEPTH = 100


class Walk:
    """A pass; it reads and changes a board."""

    def __init__(self, board: Board) -> None:
        self.board = board

    def enter(self, call: Call) -> Node:
        """Go as far as possible into a template; its node afterwards."""
        board = self.board
        node = board.nodes.get(call.name)
        if node is not None and node.is_fulfilled:
            return node
        template = None
        try:
            if call.depth > MAX_DEPTH:
                raise Refused("max recursion depth exceeded")
            template = board.workflow.find(call.holder, call.home)
            known = {**board.variables, **call.variables, "node.name": call.name, "pod.name": call.name}
            inputs = scope.inputs_of(template.inputs, call.given, known)
            known |= scope.as_inputs(inputs)
            if template.body.get("retryStrategy") is not None and not call.retried:
                return self._retry(call, template, known, inputs)
            return self._body(call, template, known, inputs)
        except (Missing, *BROKEN) as error:
            if call.name in board.nodes:
                return board.change(board.nodes[call.name], phase="Error", message=str(error))
            return board.add(call, "Skipped", "Error", template, message=str(error))

    def _body(
        self, call: Call, template: Template, known: Mapping[str, str], inputs: Mapping[str, str]
    ) -> Node:
        match template.kind:
            case "container":
                return self._container(call, template, known, inputs)
            case "suspend":
                return self._suspend(call, template, known, inputs)
            case "dag":
                return Dag(self, call, template, known, inputs).run()
            case "steps":
                return Steps(self, call, template, known, inputs).run()
        raise Refused(f"a template of kind {template.kind} cannot be run here")

    def _container(
        self, call: Call, template: Template, known: Mapping[str, str], inputs: Mapping[str, str]
    ) -> Node:
        board = self.board
        if (node := board.nodes.get(call.name)) is not None:
            return node
        node = board.add(call, "Pod", "Pending", template, inputs=inputs)
        if not board.may_start(call.hooked):
            message = f"workflow shutdown with strategy: {board.shutdown}"
            return board.change(node, phase="Failed", message=message)
        board.waiting[node.id] = launch(node, template, board.workflow, known, call.deadline)
        return node

    def _suspend(
        self, call: Call, template: Template, known: Mapping[str, str], inputs: Mapping[str, str]
    ) -> Node:
        board = self.board
        node = board.nodes.get(call.name)
        if node is None:
            outputs = tuple(_supplied(template))
            node = board.add(call, "Suspend", "Running", template, inputs=inputs, outputs=outputs)
        length = str(replace((template.body["suspend"] or {}).get("duration") or "", known))
        if length:
            due = node.started_at + duration(length)
            if board.now > due:
                return board.change(node, phase="Succeeded", outputs=with_defaults(node.outputs))
            board.wakes.append(due)
        return node

    def _retry(
        self, call: Call, template: Template, known: Mapping[str, str], inputs: Mapping[str, str]
    ) -> Node:
        board = self.board
        parent = board.nodes.get(call.name) or board.add(call, "Retry", "Running", template, inputs=inputs)
        tries = self._tries(call.name)
        number, deadline = max(len(tries) - 1, 0), None
        if tries and tries[-1].is_fulfilled:
            last, verdict = tries[-1], self._after(template, tries, known)
            if isinstance(verdict, retries.Over):
                return board.change(
                    parent, phase=verdict.phase, message=verdict.message, outputs=last.outputs,
                    exit_code=last.exit_code,
                )  # fmt: skip
            if isinstance(verdict, retries.Wait):
                board.wakes.append(verdict.until)
                return board.change(parent, message=verdict.message)
            board.change(parent, message="")
            number, deadline = len(tries), verdict.deadline
        one = dataclasses.replace(
            call, name=f"{call.name}({number})", retried=True, depth=call.depth + 1, deadline=deadline,
            variables={**call.variables, **_of_try(tries[:number])},
        )  # fmt: skip
        self.enter(one)
        board.link(call.name, one.name)
        return board.nodes[call.name]

    def _tries(self, name: str) -> list[Node]:
        found: list[Node] = []
        while (node := self.board.nodes.get(f"{name}({len(found)})")) is not None:
            found.append(node)
        return found

    def _after(
        self, template: Template, tries: list[Node], known: Mapping[str, str]
    ) -> retries.Over | retries.Wait | retries.Again:
        last, board = tries[-1], self.board
        if last.phase not in BAD:
            return retries.Over("Succeeded", "")
        if board.shutdown:
            return retries.Over(last.phase, f"Stopped with strategy '{board.shutdown}'")
        if board.is_late:
            return retries.Over(last.phase, f"retry exceeded workflow deadline {board.deadline}")
        strategy = replace(template.body["retryStrategy"], known)
        if not isinstance(strategy, Mapping):
            raise Refused("its retryStrategy is no map")
        return retries.after(strategy, tries, board.now)


def _of_try(former: list[Node]) -> dict[str, str]:
    """What a try may ask of those before it."""
    if not former:
        none = {"exitCode": "0", "duration": "0", "status": "", "message": ""}
        return {"retries": "0", **{f"lastRetry.{key}": value for key, value in none.items()}}
    return {**retries.last_retry(former), "retries": str(len(former))}


def _supplied(template: Template) -> list[Output]:
    """The outputs of a suspended node that somebody has to supply."""
    defaults = {one.name: one.default for one in template.inputs}
    return [
        Output(
            name=one.name,
            default=one.default if one.default is not None else defaults.get(one.name),
            enum=one.enum,
            global_name=one.global_name,
        )
        for one in template.outputs
        if one.supplied
    ]


def with_defaults(outputs: tuple[Output, ...]) -> tuple[Output, ...]:
    """Outputs of a suspended node, those that nobody supplied with their defaults.

    Raises:
        Refused: one has none.
    """
    for one in outputs:
        if one.value is None and one.default is None:
            sentence = f"raw output parameter '{one.name}' has not been set and does not have a default value"
            raise Refused(sentence)
    return tuple(
        dataclasses.replace(one, value=one.default if one.value is None else one.value) for one in outputs
    )
