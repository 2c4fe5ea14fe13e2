"""A loopback Argo server with containers that end as a test says, and a small graph like a promotion's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from pipelines.clients.argo_workflows import ArgoWorkflows
from pipelines.ports import Workflow
from pipelines.rehearsal.argo import ArgoServer
from pipelines.rehearsal.argo.cluster import Ended
from pipelines.rehearsal.processes import wait_until
from pipelines.workflow.running import Launch

TOKENS = {
    "client": "argo-client-token",
    "reader": "argo-reader-token",
    "dana@acme.example": "danas-argo-token",
    "rita@acme.example": "ritas-argo-token",
}
PROMOTION = "fraud-scorer-prod-20260314T090000Z-7f3a"

GRAPH = """
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: promote-regulated}
spec:
  entrypoint: promote
  workflowMetadata: {labels: {lockgate.dev/part-of: promotions}}
  arguments:
    parameters:
    - {name: model, enum: [fraud-scorer]}
    - {name: version, value: ""}
    - {name: environment, value: prod}
    - {name: requested-by, value: ""}
    - {name: reason, value: ""}
    - {name: promotion, value: ""}
  templates:
  - name: promote
    dag:
      tasks:
      - {name: start, template: start}
      - {name: shift-10, template: step, depends: start}
      - name: bake-10
        template: wait
        depends: shift-10
        arguments: {parameters: [{name: stage, value: bake-10}]}
      - name: shift-100
        template: step
        depends: bake-10
        when: "{{tasks.bake-10.outputs.parameters.answer}} == go"
      - {name: finish, template: step, depends: shift-100.Succeeded}
      - {name: roll-back, template: step, depends: finish.Failed || finish.Skipped || finish.Omitted}
  - name: start
    container:
      image: lockgate
      command: [lockgate]
      args: [step, start, --outputs, /tmp/lockgate]
      volumeMounts: [{name: out, mountPath: /tmp/lockgate}]
    volumes: [{name: out, emptyDir: {}}]
    outputs:
      parameters: [{name: promotion, valueFrom: {path: /tmp/lockgate/promotion}}]
  - name: step
    container: {image: lockgate, command: [lockgate], args: [step]}
  - name: wait
    inputs: {parameters: [{name: stage}]}
    suspend: {}
    outputs:
      parameters:
      - {name: answer, enum: [go, stop], valueFrom: {supplied: {}, default: stop}}
"""
SWEEP = """
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: lockgate-sweep}
spec: {schedules: ["* * * * *"], workflowSpec: {}}
"""


@dataclass
class Scripted:
    """Containers that end at once; ``ends`` says how, by the task's name."""

    ends: dict[str, Ended] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    """While it is set, containers run on."""

    def start(self, launch: Launch, folder: Path) -> Pod:
        """Start one."""
        task = launch.name.rpartition(".")[2]
        self.started.append(task)
        promoted = Ended(exit_code=0, outputs={"promotion": PROMOTION})
        return Pod(self.ends.get(task, promoted if task == "start" else Ended(exit_code=0)), self.held)


class Pod:
    """One such container."""

    def __init__(self, ended: Ended, held: threading.Event) -> None:
        self._ended, self._held = ended, held

    def poll(self) -> Ended | None:
        """How it ended."""
        return None if self._held.is_set() else self._ended

    def end(self) -> None:
        """End it from outside."""
        self._ended, self._held = Ended(exit_code=None), threading.Event()


@contextmanager
def server(folder: Path, pods: Scripted | None = None, path: str = "") -> Iterator[ArgoServer]:
    """The server, with the graph applied."""
    made = ArgoServer(folder, pods=pods or Scripted(), tokens=TOKENS, path=path)
    made.cluster.apply(GRAPH)
    made.cluster.apply(SWEEP)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def client(made: ArgoServer, token: str = TOKENS["client"], **more: object) -> ArgoWorkflows:
    """Our client for it."""
    facts = {"url": made.address, "namespace": made.namespace, "token": token, "timeout_seconds": 5.0, **more}
    return ArgoWorkflows(**facts)  # type: ignore[arg-type]


def by_hand(
    made: ArgoServer, method: str, path: str, *, token: str = TOKENS["client"], **body: object
) -> dict[str, Any]:
    """What a person's curl asks for, or Argo's own pages; it is not refused."""
    answer = requests.request(
        method,
        f"{made.address}/api/v1/{path}",
        json=body,
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )
    assert answer.ok, answer.text
    found: dict[str, Any] = answer.json()
    return found


def when(workflows: ArgoWorkflows, name: str, look: Callable[[Workflow], object]) -> Workflow:
    """The workflow as soon as it is as asked; ten seconds at most."""

    def seen() -> Workflow | None:
        found = workflows.look(name)
        return found if found is not None and look(found) else None

    return wait_until(f"{name} is as asked", seen, seconds=10)


def waits(task: str) -> Callable[[Workflow], bool]:
    """The workflow waits at this node."""
    return lambda workflow: any(node.task == task and node.waits for node in workflow.nodes)
