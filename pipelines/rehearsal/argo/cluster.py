"""Templates, and the workflows made of them, moved by the pure engine: the controller of the loopback Argo.

Everything is under one lock. A thread starts what is ready, asks every container whether it has ended, and
brings each workflow up to the present instant.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import structlog
import yaml

from pipelines.workflow.evaluating import is_true
from pipelines.workflow.expressions import BadExpression
from pipelines.workflow.running import BadWorkflow, Launch, Run, read_workflow, unsupported

log = structlog.get_logger()

Object = dict[str, Any]

COMPLETED = "workflows.argoproj.io/completed"
BOUND = "workflows.argoproj.io/workflow-event-binding"
"""Label of a workflow: the binding that submitted it."""
_TICK_SECONDS = 0.05
_TEMPLATES = ("WorkflowTemplate", "CronWorkflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a container ended."""

    exit_code: int | None
    """None: it was ended from outside, as a pod that is deleted."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """What stood in the files of its output parameters."""
    message: str = ""


class Pod(Protocol):
    """One container that was started."""

    def poll(self) -> Ended | None:
        """How it ended; None while it runs."""
        ...

    def end(self) -> None:
        """End it now; it has no exit code then. Already ended is fine."""
        ...


class Pods(Protocol):
    """What runs containers."""

    def start(self, launch: Launch, folder: Path) -> Pod:
        """Start one, with a folder of its own for its scratch volumes."""
        ...


class NotFound(Exception):
    """There is no object of that kind and name; says so in Argo's words."""

    def __init__(self, plural: str, name: str) -> None:
        super().__init__(f'{plural}.argoproj.io "{name}" not found')


class Exists(Exception):
    """There is one of that name already."""


@dataclass(slots=True)
class Held:
    """One workflow."""

    run: Run
    created_at: datetime
    labels: dict[str, str]
    template: str
    given: Mapping[str, str]
    """The parameters it was submitted with: its own spec has these alone."""
    pods: dict[str, Pod] = field(default_factory=dict)
    """Id of a node -> the container that runs for it."""

    def manifest(self, namespace: str) -> Object:
        """As the API shows it."""
        created = self.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        parameters = [{"name": name, "value": value} for name, value in self.given.items()]
        return {
            "metadata": {
                "name": self.run.name,
                "namespace": namespace,
                "uid": self.run.uid,
                "creationTimestamp": created,
                "labels": dict(self.labels),
            },
            "spec": {
                "workflowTemplateRef": {"name": self.template},
                "arguments": {"parameters": parameters} if parameters else {},
            },
            "status": self.run.status(),
        }


class Cluster:
    """All objects of one namespace, and the thread that moves them."""

    def __init__(self, folder: Path, pods: Pods) -> None:
        self.lock = threading.RLock()
        self.workflows: dict[str, Held] = {}
        self.objects: dict[tuple[str, str], Object] = {}
        """(kind, name) -> manifest, of everything that was applied."""
        self._folder = folder
        self._pods = pods
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._move, daemon=True, name="argo-controller")

    def start(self) -> None:
        """Move workflows from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Move nothing more, and end what runs."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        with self.lock:
            for held in self.workflows.values():
                for pod in held.pods.values():
                    pod.end()

    # ------------------------------------------------------------------------------ objects

    def apply(self, documents: str) -> None:
        """Take objects as YAML, new or instead of those of the same kind and name."""
        with self.lock:
            for one in yaml.safe_load_all(documents):
                if one:
                    self.objects[one["kind"], one["metadata"]["name"]] = one

    def get(self, kind: str, plural: str, name: str) -> Object:
        """An object that was applied.

        Raises:
            NotFound: there is none.
        """
        with self.lock:
            if (kind, name) not in self.objects:
                raise NotFound(plural, name)
            return self.objects[kind, name]

    # ---------------------------------------------------------------------------- workflows

    def submit(
        self,
        template: str,
        given: Mapping[str, str],
        *,
        name: str = "",
        prefix: str = "",
        labels: Mapping[str, str] | None = None,
        dry: bool = False,
    ) -> Held:
        """Make a workflow of a template; ``dry`` makes it and forgets it.

        Raises:
            NotFound: there is no such template.
            Exists: there is a workflow of this name.
            BadWorkflow: a parameter has no value.
        """
        now = datetime.now(UTC)
        with self.lock:
            manifest = self.get("WorkflowTemplate", "workflowtemplates", template)
            name = name or f"{prefix or template + '-'}"[:58] + secrets.token_hex(3)[:5]
            if name in self.workflows:
                raise Exists(f'workflows.argoproj.io "{name}" already exists')
            library = [one for (kind, _), one in self.objects.items() if kind == "WorkflowTemplate"]
            own = {"workflows.argoproj.io/workflow-template": template}
            made = (manifest["spec"].get("workflowMetadata") or {}).get("labels") or {}
            every = {**own, **made, **(labels or {})}
            namespace = manifest["metadata"].get("namespace", "default")
            submitted = {
                "kind": "Workflow",
                "metadata": {"name": name, "namespace": namespace, "labels": dict(every)},
                "spec": {"workflowTemplateRef": {"name": template}},
            }
            workflow = read_workflow(submitted, library)
            if reasons := unsupported(workflow):
                raise BadWorkflow(reasons)
            run = Run(workflow, given, now=now, name=name)
            held = Held(run, now, every, template, dict(given))
            if not dry:
                self.workflows[name] = held
            return held

    def posted(self, event: Mapping[str, object], labels: Mapping[str, str]) -> None:
        """Submit what is bound to an event. What goes wrong is logged, and whoever posted it never learns."""
        with self.lock:
            bindings = [one for (kind, _), one in self.objects.items() if kind == "WorkflowEventBinding"]
        for one in bindings:
            name, spec = one["metadata"]["name"], one["spec"]
            try:
                if is_true(spec["event"]["selector"], event):
                    if spec["submit"].get("arguments"):
                        raise BadWorkflow(["values of events are not passed on here"])
                    template = spec["submit"]["workflowTemplateRef"]["name"]
                    self.submit(template, {}, labels={**labels, BOUND: name})
            except (BadExpression, BadWorkflow, NotFound) as error:
                log.warning("event not dispatched", binding=name, error=str(error))

    def held(self, name: str) -> Held:
        """A workflow by its name.

        Raises:
            NotFound: there is none.
        """
        if name not in self.workflows:
            raise NotFound("workflows", name)
        return self.workflows[name]

    def delete(self, name: str) -> None:
        """Remove a workflow and end its containers."""
        with self.lock:
            held = self.held(name)
            del self.workflows[name]
            for pod in held.pods.values():
                pod.end()

    # -------------------------------------------------------------------------------- moving

    def _move(self) -> None:
        while not self._over.wait(_TICK_SECONDS):
            with self.lock:
                for held in list(self.workflows.values()):
                    try:
                        self._once(held)
                    except Exception:
                        log.exception("controller failed", workflow=held.run.name)

    def _once(self, held: Held) -> None:
        run, now = held.run, datetime.now(UTC)
        for node, pod in list(held.pods.items()):
            if (ended := pod.poll()) is not None:
                del held.pods[node]
                run.finished(
                    node, now, exit_code=ended.exit_code, outputs=ended.outputs, message=ended.message
                )
        for launch in run.ready(now):
            held.pods[launch.node] = self._pods.start(launch, self._folder / run.name / launch.node)
        for node in run.given_up() & held.pods.keys():
            held.pods[node].end()
        held.labels[COMPLETED] = "true" if run.finished_at else "false"


def matches(labels: Mapping[str, str], selector: str) -> bool:
    """Whether labels are as a selector asks: ``key``, ``key=value``, ``key!=value``, each after a comma."""
    return all(_matches(labels, one.strip()) for one in selector.split(",") if one.strip())


def _matches(labels: Mapping[str, str], one: str) -> bool:
    if "!=" in one:
        key, _, value = one.partition("!=")
        return labels.get(key) != value
    key, equals, value = one.partition("=")
    return labels.get(key) == value if equals else key in labels


def only(shown: Any, fields: Sequence[str], path: str = "") -> Any:
    """The part of an answer that ``fields`` name; a field is kept whole, lists are seen through."""
    if isinstance(shown, list):
        return [only(one, fields, path) for one in shown]
    if not isinstance(shown, dict):
        return shown
    kept = {}
    for key, value in shown.items():
        here = f"{path}.{key}" if path else key
        if here in fields:
            kept[key] = value
        elif any(field.startswith(f"{here}.") for field in fields):
            kept[key] = only(value, fields, here)
    return kept
