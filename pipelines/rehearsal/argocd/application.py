"""What Argo CD remembers of one application, its refusals, and its JSON."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from pipelines.rehearsal.argocd.compare import Health, Identity

Object = dict[str, Any]
HISTORY_LIMIT = 10


class ApiError(Exception):
    """A refusal with Argo CD's HTTP status and gRPC code."""

    def __init__(self, http: int, code: int, message: str) -> None:
        self.http = http
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A sync window; whether it is active now is set by hand, not by its schedule."""

    kind: str
    """``deny`` or ``allow``."""
    active: bool = True
    manual_sync: bool = False
    schedule: str = "* * * * *"
    duration: str = "1h"

    def json(self) -> Object:
        """As the API writes it."""
        return {
            "kind": self.kind,
            "schedule": self.schedule,
            "duration": self.duration,
            "manualSync": self.manual_sync,
        }


@dataclass(slots=True)
class Compared:
    """Outcome of the last comparison with the head of the branch."""

    revision: str = ""
    targets: dict[Identity, Object] = field(default_factory=dict)
    error: str = ""
    at: str = ""


@dataclass(slots=True, kw_only=True)
class Application:
    """One application; guarded by the facade's lock."""

    name: str
    project: str
    path: str
    namespace: str
    """For manifests that name none."""
    repo_url: str
    target_revision: str = "main"
    sync_options: tuple[str, ...] = ("CreateNamespace=true",)
    auto_sync: bool = False
    windows: tuple[Window, ...] = ()
    operation: Object | None = None
    operation_state: Object | None = None
    terminating: bool = False
    history: list[Object] = field(default_factory=list)
    next_id: int = 0
    applied: dict[Identity, Object] = field(default_factory=dict)
    """What was last applied, by object: the third side of the three-way apply."""
    compared: Compared = field(default_factory=Compared)
    health: str = "Healthy"
    health_since: str = ""
    version: int = 1

    @property
    def source(self) -> Object:
        """spec.source as the API writes it."""
        return {"repoURL": self.repo_url, "path": self.path, "targetRevision": self.target_revision}

    def can_sync(self) -> bool:
        """Whether the windows let a manual sync pass."""
        deny = [window for window in self.windows if window.kind == "deny" and window.active]
        allow = [window for window in self.windows if window.kind == "allow"]
        if any(not window.manual_sync for window in deny):
            return False
        return not allow or any(window.active or window.manual_sync for window in allow)

    def windows_json(self) -> Object:
        """Answer of ``…/syncwindows``."""
        told: Object = {"canSync": self.can_sync()}
        if active := [window.json() for window in self.windows if window.active]:
            told["activeWindows"] = active
        if self.windows:
            told["assignedWindows"] = [window.json() for window in self.windows]
        return told

    def remember(self, revision: str, started: str, finished: str, by: Object) -> None:
        """Add a history entry, oldest first, ten at most."""
        entry = {
            "id": self.next_id,
            "revision": revision,
            "deployStartedAt": started,
            "deployedAt": finished,
            "source": self.source,
            "initiatedBy": by,
        }
        self.next_id += 1
        self.history = [*self.history, entry][-HISTORY_LIMIT:]

    def json(self, resources: list[Object], sync_status: str) -> Object:
        """The Application object as the API writes it."""
        policy: Object = {"syncOptions": list(self.sync_options)}
        if self.auto_sync:
            policy["automated"] = {}
        status: Object = {
            "resources": resources,
            "sync": {
                "status": sync_status,
                "revision": self.compared.revision,
                "comparedTo": {"source": self.source, "destination": self._destination},
            },
            "health": {"status": self.health, "lastTransitionTime": self.health_since},
            "reconciledAt": self.compared.at,
            "sourceType": "Directory",
            "summary": {},
            "resourceHealthSource": "appTree",
            "controllerNamespace": "argocd",
            "sourceHydrator": {},
        }
        if self.compared.error:
            status["conditions"] = [{"type": "ComparisonError", "message": self.compared.error}]
        if self.history:
            status["history"] = self.history
        if self.operation_state is not None:
            status["operationState"] = self.operation_state
        told: Object = {
            "metadata": self._metadata,
            "spec": {
                "project": self.project,
                "source": self.source,
                "destination": self._destination,
                "syncPolicy": policy,
            },
            "status": status,
        }
        if self.operation is not None:
            told["operation"] = self.operation
        return copy.deepcopy(told)

    @property
    def _destination(self) -> Object:
        return {"server": "https://kubernetes.default.svc", "namespace": self.namespace}

    @property
    def _metadata(self) -> Object:
        return {
            "name": self.name,
            "namespace": "argocd",
            "resourceVersion": str(self.version),
            "generation": self.version,
        }


def resource_json(identity: Identity, version: str, status: str, health: Health | None) -> Object:
    """One entry of status.resources[]."""
    told: Object = {"group": identity.group} if identity.group else {}
    told |= {"version": version, "kind": identity.kind, "namespace": identity.namespace}
    told |= {"name": identity.name, "status": status}
    if health is not None:
        told["health"] = health.json()
    return told
