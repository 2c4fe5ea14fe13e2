"""The nodes of one run and how they change; no rule about what follows what stands here."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from pipelines.workflow.running.nodes import Kind, Launch, Node, Output, Phase, node_id
from pipelines.workflow.running.spec import Template, Tree, Workflow

Shutdown = Literal["", "Stop", "Terminate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One use of a template: by the workflow, a task, a step, or the exit handler."""

    name: str
    """Name of the node."""
    holder: Tree
    home: str = ""
    """The WorkflowTemplate that the holder stands in; "" for the workflow itself."""
    given: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    """What this use alone knows: ``tasks.name``, ``retries``."""
    boundary: str = ""
    """Id of the DAG's or steps' node it stands in."""
    hooked: bool = False
    retried: bool = False
    depth: int = 0
    deadline: datetime | None = None


class Board:
    """All nodes by name, in the order in which they were made, and the containers they stand for."""

    def __init__(self, workflow: Workflow, name: str, variables: Mapping[str, str], now: datetime) -> None:
        self.workflow = workflow
        self.name = name
        self.variables = dict(variables)
        """What every template may name; outputs with a ``globalName`` are added."""
        self.nodes: dict[str, Node] = {}
        self.waiting: dict[str, Launch] = {}
        """Id of a Pending node -> what is to be started for it."""
        self.running: dict[str, Launch] = {}
        self.shutdown: Shutdown = ""
        self.now = now
        self.began = now
        self.wakes: list[datetime] = []
        """When something changes by itself; collected anew in every pass."""

    # ------------------------------------------------------------------------ nodes

    def add(
        self,
        call: Call,
        kind: Kind,
        phase: Phase,
        template: Template | None = None,
        *,
        message: str = "",
        inputs: Mapping[str, str] | None = None,
        outputs: tuple[Output, ...] = (),
    ) -> Node:
        """Make the node of a call."""
        around = self.by_id(call.boundary)
        shown = call.name.removeprefix(around.name) if around else call.name
        named = str((call.holder.get("templateRef") or call.holder).get("template", ""))
        node = Node(
            id=node_id(self.name, call.name),
            name=call.name,
            display_name=re.sub(r"^(\[[0-9]+\])?\.", "", shown),
            kind=kind,
            template=template.name if template else named,
            template_home=template.home if template else call.home,
            scope=f"namespaced/{call.home}" if call.home != self.workflow.home else f"local/{self.name}",
            boundary=call.boundary,
            phase=phase,
            message=message,
            started_at=self.now,
            inputs=inputs or {},
            outputs=outputs,
            hooked=call.hooked,
            retried=call.retried,
        )
        return self.put(node)

    def put(self, node: Node) -> Node:
        """Keep a node as it is now; one that is fulfilled gets its end, and gives up its container."""
        if node.is_fulfilled and node.finished_at is None:
            node = dataclasses.replace(node, finished_at=self.now)
            self.waiting.pop(node.id, None)
            self.running.pop(node.id, None)
            for output in node.outputs:
                if output.global_name and output.value is not None:
                    self.variables[f"workflow.outputs.parameters.{output.global_name}"] = output.value
        self.nodes[node.name] = node
        return node

    def change(self, node: Node, **changes: Any) -> Node:
        """The node with some fields changed."""
        return self.put(dataclasses.replace(self.nodes[node.name], **changes))

    def link(self, parent: str, child: str) -> None:
        """Have one node follow another, both given by name."""
        if parent in self.nodes and child in self.nodes:
            node, other = self.nodes[parent], self.nodes[child].id
            if other not in node.children:
                self.change(node, children=(*node.children, other))

    def by_id(self, given: str) -> Node | None:
        """The node with an id."""
        return next((node for node in self.nodes.values() if node.id == given), None)

    def suspended(self) -> list[Node]:
        """The nodes that wait to be resumed."""
        return [node for node in self.nodes.values() if node.is_suspended]

    # --------------------------------------------------------------- deadlines and shutdown

    @property
    def deadline(self) -> datetime | None:
        """When the whole workflow has to have ended."""
        seconds = self.workflow.spec.get("activeDeadlineSeconds")
        return None if seconds is None else self.began + timedelta(seconds=float(seconds))

    @property
    def is_late(self) -> bool:
        """Whether that is past."""
        return self.deadline is not None and self.now > self.deadline

    def may_start(self, hooked: bool) -> bool:
        """Whether a container may be started: no longer after terminate, after stop only by the handler."""
        return not self.shutdown or (self.shutdown == "Stop" and hooked)

    def enforce(self) -> None:
        """End what a shutdown or a deadline ends."""
        for node in list(self.nodes.values()):
            launch = self.running.get(node.id)
            is_pod = node.kind == "Pod" and not node.is_fulfilled
            if not self.may_start(node.hooked) and node.is_suspended:
                self.change(node, phase="Failed", message=f"Stopped with strategy '{self.shutdown}'")
            elif not self.may_start(node.hooked) and is_pod:
                self.change(
                    node, phase="Failed", message=f"workflow shutdown with strategy:  {self.shutdown}"
                )
            elif self.is_late and not node.hooked and (node.is_suspended or is_pod):
                self.change(node, phase="Failed", message="Step exceeded its deadline")
            elif launch is not None and launch.deadline is not None:
                self._hold_to(node, launch.deadline)
        if self.deadline is not None and not self.is_late:
            self.wakes.append(self.deadline)

    def _hold_to(self, node: Node, deadline: datetime) -> None:
        if self.now > deadline:
            message = "Pod was active on the node longer than the specified deadline"
            self.change(node, phase="Failed", message=message)
        else:
            self.wakes.append(deadline)

    # ------------------------------------------------------------------------ containers

    def take(self) -> list[Launch]:
        """Containers to be started now: within the workflow's parallelism, one per mutex."""
        most, taken = self.workflow.spec.get("parallelism"), []
        for given, launch in list(self.waiting.items()):
            held = {mutex for other in self.running.values() for mutex in other.mutexes}
            node = self.by_id(given)
            if node is None or (most is not None and len(self.running) >= int(most)):
                break
            if launch.mutexes & held:
                self.change(node, message=f"Waiting for mutex {', '.join(sorted(launch.mutexes & held))}")
                continue
            del self.waiting[given]
            deadlines = [launch.deadline, *self._active_until(launch)]
            due = min((one for one in deadlines if one is not None), default=None)
            self.wakes += [due] if due else []
            self.running[given] = dataclasses.replace(launch, deadline=due)
            self.change(node, phase="Running", message="")
            taken.append(self.running[given])
        return taken

    def _active_until(self, launch: Launch) -> Sequence[datetime]:
        if launch.active_seconds is None:
            return ()
        return (self.now + timedelta(seconds=launch.active_seconds),)
