"""A running workflow: what is to be launched next, and what has become of every node.

Pure: it starts nothing and reads no clock. Whoever drives it starts what ``ready`` gives, says with
``finished`` how it ended, and comes back at ``wakes_at``; people's words arrive through ``set_output``,
``resume``, ``stop`` and ``terminate``, with the effects a real server was seen to give them.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pipelines.workflow.running import scope
from pipelines.workflow.running.board import Board, Call, Shutdown
from pipelines.workflow.running.nodes import BAD, Launch, Node, Output, instant
from pipelines.workflow.running.scope import Refused
from pipelines.workflow.running.spec import BadWorkflow, Workflow
from pipelines.workflow.running.walk import Walk, with_defaults

WorkflowPhase = Literal["Running", "Succeeded", "Failed", "Error"]


class NotSuspended(ValueError):
    """No suspended node is meant, or the one meant does not want what is said to it."""


class Run:
    """One workflow on its way from submission to its end."""

    def __init__(
        self,
        workflow: Workflow,
        parameters: Mapping[str, str] | None = None,
        *,
        now: datetime,
        name: str = "",
        uid: str = "",
    ) -> None:
        """Submit it.

        Args:
            workflow: what is to be run.
            parameters: values over those written; as on a real server, ``enum`` is not enforced.
            now: the present instant, with its zone.
            name: the workflow's name; by default the manifest's.
            uid: what ``workflow.uid`` is; by default made of the name and the instant.

        Raises:
            BadWorkflow: an argument has no value, or there is no such entrypoint.
        """
        self.workflow = workflow
        self.name = name or workflow.name or "workflow"
        self.parameters = _arguments(workflow, parameters or {})
        self.uid = uid or str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.name} {instant(now)}"))
        variables = scope.of_workflow(workflow, self.name, self.uid, self.parameters, now)
        self.phase: WorkflowPhase = "Running"
        self.message = ""
        self.finished_at: datetime | None = None
        self.suspended = bool(workflow.spec.get("suspend"))
        self._board = Board(workflow, self.name, variables, now)
        entry = {"template": workflow.spec.get("entrypoint", "")}
        self._root = Call(name=self.name, holder=entry, home=workflow.home, given=self.parameters)
        workflow.find(self._root.holder, self._root.home)
        self.advance(now)

    # ------------------------------------------------------------------------ what is

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Every node by name, in the order in which they were made."""
        return self._board.nodes

    def node(self, given: str) -> Node | None:
        """The node with an id."""
        return self._board.by_id(given)

    @property
    def shutdown(self) -> Shutdown:
        """Whether and how it was told to end."""
        return self._board.shutdown

    @property
    def wakes_at(self) -> datetime | None:
        """When something changes by itself; None when nothing does."""
        return min(self._board.wakes, default=None) if self.finished_at is None else None

    @property
    def is_stuck(self) -> bool:
        """Whether it has not ended and nothing will ever happen, unless somebody ends it."""
        alive = any(
            node.is_suspended or (node.kind == "Pod" and not node.is_fulfilled)
            for node in self.nodes.values()
        )
        return not (self.finished_at or self.suspended or alive or self._board.wakes)

    def status(self) -> dict[str, Any]:
        """The workflow's ``status``, as Argo has it."""
        pods = [node for node in self.nodes.values() if node.kind == "Pod"]
        made = {
            key.removeprefix("workflow.outputs.parameters."): value
            for key, value in self._board.variables.items()
            if key.startswith("workflow.outputs.parameters.")
        }
        shown: dict[str, Any] = {
            "phase": self.phase,
            "startedAt": instant(self._board.began),
            "finishedAt": instant(self.finished_at) if self.finished_at else None,
            "progress": f"{sum(node.phase == 'Succeeded' for node in pods)}/{len(pods)}",
            "nodes": {node.id: node.status() for node in self.nodes.values()},
        }
        if self.message:
            shown["message"] = self.message
        if made:
            shown["outputs"] = {"parameters": [{"name": n, "value": v} for n, v in made.items()]}
        return shown

    # ---------------------------------------------------------------------- containers

    def ready(self, now: datetime) -> list[Launch]:
        """What is to be started now; each is given once."""
        self.advance(now)
        return self._board.take() if self.finished_at is None else []

    def finished(
        self,
        node: str,
        now: datetime,
        *,
        exit_code: int | None,
        outputs: Mapping[str, str] | None = None,
        message: str = "",
    ) -> None:
        """Say how a container ended; of one that was already given up, nothing is kept.

        Args:
            node: id of its node.
            now: the present instant.
            exit_code: None when there is none: it was deleted, evicted, or never started.
            outputs: what stood in the files of its output parameters.
            message: what it left as its last words; shown only where it did not succeed.
        """
        board, found = self._board, self._board.by_id(node)
        board.now = now
        launched = board.running.get(node) or board.waiting.get(node)
        if found is None or found.is_fulfilled or launched is None:
            return
        made, lacking = _made(found, self.workflow, outputs or {})
        if exit_code is None:
            board.change(found, phase="Error", message=message or "pod deleted", outputs=made)
        elif exit_code != 0:
            said = f"main: Error (exit code {exit_code}){f': {message}' if message else ''}"
            board.change(found, phase="Failed", message=said, outputs=made, exit_code=exit_code)
        elif lacking:
            place = f"/var/run/argo/outputs/parameters{lacking[0]}"
            said = f"wait: Error (exit code 64): open {place}: no such file or directory"
            board.change(found, phase="Error", message=said, outputs=made, exit_code=0)
        else:
            board.change(found, phase="Succeeded", outputs=made, exit_code=0)
        self.advance(now)

    def given_up(self) -> set[str]:
        """Ids of nodes whose containers have to be ended, if they still run: their nodes have ended."""
        return {node.id for node in self.nodes.values() if node.kind == "Pod" and node.is_fulfilled}

    # -------------------------------------------------------------------------- people

    def set_output(
        self, selector: Mapping[str, str], values: Mapping[str, str], now: datetime, message: str = ""
    ) -> list[Node]:
        """Supply outputs of suspended nodes, or say something about them; they stay suspended.

        Raises:
            NotSuspended: none is meant, or it wants no such output or has it already.
        """
        found = self._meant(selector)
        if not values and not message:
            raise NotSuspended(f"nothing is said to the nodes matching {_words(selector)}")
        for node in found:
            wanted = {one.name: one for one in node.outputs}
            for name in values:
                if name not in wanted:
                    raise NotSuspended(f"node is not expecting output parameter '{name}'")
                if wanted[name].value is not None:
                    raise NotSuspended(f"output parameter '{name}' was already set")
        self._board.now = now
        for node in found:
            outputs = tuple(
                dataclasses.replace(one, value=values.get(one.name, one.value)) for one in node.outputs
            )
            self._board.change(node, outputs=outputs, message=message or node.message)
        return found

    def resume(self, selector: Mapping[str, str] | None, now: datetime, message: str = "") -> list[Node]:
        """Let suspended nodes go on.

        With a selector a node succeeds with whatever outputs it has: those nobody set stay unset, and what
        refers to them waits for ever. Without one, all suspended nodes go on, each with its defaults.

        Raises:
            NotSuspended: none is meant; or, without a selector, an output has neither value nor default.
        """
        self._board.now = now
        if selector:
            found = self._meant(selector)
            done = [dataclasses.replace(node, phase="Succeeded", message=message) for node in found]
        else:
            found = self._board.suspended()
            self.suspended = False
            try:
                done = [_by_default(node, message) for node in found]
            except Refused as error:
                raise NotSuspended(str(error)) from None
        for node in done:
            self._board.put(node)
        self.advance(now)
        return found

    def _meant(self, selector: Mapping[str, str]) -> list[Node]:
        found = [node for node in self._board.suspended() if node.matches(selector)]
        if not found:
            raise NotSuspended(
                "currently, set only targets suspend nodes: no suspend nodes matching nodeFieldSelector: "
                f"{_words(selector)}"
            )
        return found

    def terminate(self, now: datetime) -> None:
        """End it at once; no exit handler runs."""
        self._shut("Terminate", now)

    def stop(self, now: datetime) -> None:
        """End what runs; the exit handler runs."""
        self._shut("Stop", now)

    def _shut(self, how: Shutdown, now: datetime) -> None:
        if self.finished_at is None:
            self._board.shutdown = how
            self.advance(now)

    # ------------------------------------------------------------------------- going on

    def advance(self, now: datetime) -> None:
        """Bring everything up to an instant; safe at any time, any number of times."""
        while self.finished_at is None:
            before = dict(self.nodes)
            self._pass(now)
            if self.nodes == before:
                return

    def _pass(self, now: datetime) -> None:
        board = self._board
        board.now, board.wakes = now, []
        board.enforce()
        if self.suspended and not board.shutdown:
            return
        walk = Walk(board)
        root = walk.enter(self._root)
        if not root.is_fulfilled:
            return
        status: WorkflowPhase = (
            "Failed" if root.phase == "Failed" else "Error" if root.phase == "Error" else "Succeeded"
        )
        after = self._exit(walk, status)
        if after is not None and not after.is_fulfilled:
            return
        self._end(status, root, after)

    def _exit(self, walk: Walk, status: WorkflowPhase) -> Node | None:
        """The exit handler's node, entered; None where there is none or it may not run."""
        template, name = self.workflow.spec.get("onExit"), f"{self.name}.onExit"
        if not template or not (name in self.nodes or self._board.may_start(hooked=True)):
            return None
        self._board.variables |= scope.of_failures(status, self.nodes.values())
        call = dataclasses.replace(self._root, name=name, holder={"template": template}, hooked=True)
        return walk.enter(call)

    def _end(self, status: WorkflowPhase, root: Node, after: Node | None) -> None:
        board = self._board
        self.phase, self.message = status, root.message
        if root.phase in BAD and board.shutdown:
            self.message = f"Stopped with strategy '{board.shutdown}'"
        if status == "Succeeded" and after is not None and after.phase in BAD:
            self.phase = "Failed" if after.phase == "Failed" else "Error"
            self.message = after.message
        self.finished_at = board.now


def _words(selector: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in selector.items())


def _by_default(node: Node, message: str) -> Node:
    said = "; ".join(part for part in (node.message, message) if part)
    return dataclasses.replace(node, phase="Succeeded", outputs=with_defaults(node.outputs), message=said)


def _arguments(workflow: Workflow, given: Mapping[str, str]) -> dict[str, str]:
    """The value of every argument, those that nothing declares among them."""
    found: dict[str, str] = {}
    for one in workflow.arguments:
        value = given.get(one.name, one.value)
        if value is None:
            raise BadWorkflow([f"spec.arguments.{one.name}.value or valueFrom is required"])
        found[one.name] = value
    return found | {name: value for name, value in given.items() if name not in found}


def _made(node: Node, workflow: Workflow, outputs: Mapping[str, str]) -> tuple[tuple[Output, ...], list[str]]:
    """The outputs of a container that ended, and the files of those that neither it nor a default gives."""
    template = workflow.templates[node.template_home, node.template]
    made, lacking = [], []
    for one in template.outputs:
        value = outputs.get(one.name, one.default)
        if value is None:
            lacking.append(one.path)
        else:
            made.append(Output(name=one.name, value=value.removesuffix("\n"), global_name=one.global_name))
    return tuple(made), lacking
