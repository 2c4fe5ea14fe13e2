"""Nodes of a running workflow, with the names, ids and fields that Argo's ``status.nodes`` has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Phase = Literal["Pending", "Running", "Succeeded", "Skipped", "Failed", "Error", "Omitted"]
Kind = Literal["Pod", "DAG", "Steps", "StepGroup", "TaskGroup", "Retry", "Skipped", "Suspend"]

FULFILLED: frozenset[Phase] = frozenset({"Succeeded", "Skipped", "Failed", "Error", "Omitted"})
COMPLETED: frozenset[Phase] = frozenset({"Succeeded", "Failed", "Error"})
BAD: frozenset[Phase] = frozenset({"Failed", "Error"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output parameter of a node."""

    name: str
    value: str | None = None
    """None until somebody supplies it."""
    default: str | None = None
    enum: tuple[str, ...] = ()
    global_name: str = ""

    def status(self) -> dict[str, Any]:
        """As Argo shows it."""
        shown: dict[str, Any] = {"name": self.name}
        if self.value is not None:
            shown["value"] = self.value
        else:
            shown["valueFrom"] = {"supplied": {}}
            if self.default is not None:
                shown["valueFrom"]["default"] = self.default
        if self.enum:
            shown["enum"] = list(self.enum)
        return shown | ({"globalName": self.global_name} if self.global_name else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node. Its name is unique within the workflow: ``name.task(0)`` or ``name[1].step``."""

    id: str
    name: str
    display_name: str
    kind: Kind
    template: str
    template_home: str = ""
    scope: str = ""
    """Where Argo looks its template up: ``local/`` a workflow, ``namespaced/`` a WorkflowTemplate."""
    boundary: str = ""
    """Id of the DAG or steps it belongs to; "" for the first one and for the exit handler's."""
    phase: Phase
    message: str = ""
    started_at: datetime
    finished_at: datetime | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[Output, ...] = ()
    exit_code: int | None = None
    children: tuple[str, ...] = ()
    """Ids of the nodes that follow it."""
    retried: bool = False
    """Whether it is one of the tries of a Retry node."""
    hooked: bool = False
    """Whether it belongs to the exit handler."""

    @property
    def is_fulfilled(self) -> bool:
        """Whether nothing more happens to it."""
        return self.phase in FULFILLED

    @property
    def is_suspended(self) -> bool:
        """Whether it waits to be resumed."""
        return self.kind == "Suspend" and self.phase == "Running"

    def matches(self, selector: Mapping[str, str]) -> bool:
        """Whether all fields of a node field selector are as asked."""
        fields = {
            "displayName": self.display_name, "templateName": self.template, "phase": self.phase,
            "name": self.name, "id": self.id,
        }  # fmt: skip
        return all(fields.get(key) == value for key, value in selector.items())

    def status(self) -> dict[str, Any]:
        """As Argo's ``status.nodes`` has it; what is empty is left out, as there."""
        shown: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "displayName": self.display_name,
            "type": self.kind,
            "phase": self.phase,
            "startedAt": instant(self.started_at),
            "finishedAt": instant(self.finished_at) if self.finished_at else None,
            "templateScope": self.scope,
        }
        flags = {key: True for key, on in (("retried", self.retried), ("hooked", self.hooked)) if on}
        more = {
            "templateName": self.template,
            "boundaryID": self.boundary,
            "message": self.message,
            "children": list(self.children),
            "inputs": {"parameters": [{"name": n, "value": v} for n, v in self.inputs.items()]}
            if self.inputs
            else None,
            "outputs": self._outputs(),
            "nodeFlag": flags,
        }
        return shown | {key: value for key, value in more.items() if value}

    def _outputs(self) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        if self.outputs:
            shown["parameters"] = [one.status() for one in self.outputs]
        if self.exit_code is not None:
            shown["exitCode"] = str(self.exit_code)
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A container to be started for a node, every placeholder replaced."""

    node: str
    """Id of the node."""
    name: str
    display_name: str
    template: str
    image: str
    command: tuple[str, ...]
    """``command`` and ``args``: the words of a process, never a line for a shell."""
    env: tuple[tuple[str, str], ...]
    env_from: tuple[tuple[str, bool], ...] = ()
    """Variables a cluster would take from elsewhere (a Secret, a field), and whether each must be there."""
    working_dir: str = ""
    outputs: tuple[tuple[str, str], ...] = ()
    """Output parameters and the file each is read from."""
    message_path: str = "/dev/termination-log"
    """The file its last words are read from."""
    message_from_logs: bool = False
    """Whether the end of its output stands in for them when it failed and left none."""
    scratch: tuple[str, ...] = ()
    """Where the pod would have empty folders of its own."""
    mounts: tuple[str, ...] = ()
    """Where it would have files from the cluster."""
    deadline: datetime | None = None
    """When it has to have ended; known once it is started."""
    active_seconds: float | None = None
    """How long it may run."""
    mutexes: frozenset[str] = frozenset()


def instant(at: datetime) -> str:
    """An instant as Kubernetes writes it: whole seconds, UTC."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def node_id(workflow: str, name: str) -> str:
    """Argo's id of a node: the workflow's name, and FNV-1a (32 bits) of the node's."""
    if name == workflow:
        return workflow
    hashed = 2166136261
    for byte in name.encode():
        hashed = (hashed ^ byte) * 16777619 % 2**32
    return f"{workflow}-{hashed}"
