"""KServe at work: live InferenceServices, their servers, and a router that follows the status.

``apply`` only stores; a background thread brings servers, routes and statuses after it, so for a moment
the old status stands beside the new spec, as on a real cluster. That thread alone touches the servers and
the router. The router is told before the status says so.
"""

from __future__ import annotations

import copy
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipelines.rehearsal.kserve.admission import admit, mode
from pipelines.rehearsal.kserve.controllers import Controller, Knative, Standard, orphan
from pipelines.rehearsal.kserve.knative import Condition
from pipelines.rehearsal.kserve.standard import KServeVersion
from pipelines.rehearsal.parts import Backend, Backends, Router

Object = dict[str, Any]
Key = tuple[str, str]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class _Live:
    """One InferenceService and what was made for it."""

    item: Object
    controller: Controller
    children: list[Object] = field(default_factory=list)
    started: dict[str, str] = field(default_factory=dict)
    """Servers running: name -> URI."""
    seen_ready: set[str] = field(default_factory=set)
    restart_at: dict[str, float] = field(default_factory=dict)
    drained_at: dict[str, float] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    routed: dict[str, tuple[int, int]] = field(default_factory=dict)


class KServe:
    """A cluster's InferenceServices, all namespaces; readings are copies."""

    def __init__(
        self,
        backends: Backends,
        router: Router,
        *,
        kserve_version: KServeVersion = "0.20",
        poll_seconds: float = 0.1,
        restart_seconds: float = 1.0,
        drain_seconds: float = 0.0,
    ) -> None:
        """``restart_seconds``: pause before a server that crashed after being ready is started again.

        ``drain_seconds``: how long a server goes on after the router has sent it its last request.
        """
        self._backends = backends
        self._router = router
        self._version = kserve_version
        self._poll_seconds = poll_seconds
        self._restart_seconds = restart_seconds
        self._drain_seconds = drain_seconds
        self._lock = threading.RLock()
        self._objects: dict[Key, _Live] = {}
        self._gone: list[tuple[Key, _Live]] = []
        self._leftovers: dict[Key, Object] = {}
        self._version_count = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="kserve")

    def start(self) -> None:
        """Reconcile in a background thread until :meth:`stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reconciling and end every server."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        for (namespace, _), live in self._objects.items():
            for name in live.started:
                self._backends.stop(f"{namespace}/{name}")

    # ------------------------------------------------------------ what the API server offers

    def apply(self, manifest: Mapping[str, Any], *, strict: bool = False) -> Object:
        """Create or replace an InferenceService; the stored object.

        Raises:
            Denied: the schema or a webhook refused it.
        """
        metadata = manifest["metadata"]
        key = (metadata["namespace"], metadata["name"])
        with self._lock:
            live = self._objects.get(key)
            stored = admit(manifest, live.item if live else None, strict=strict)
            self._version_count += 1
            stored["metadata"]["resourceVersion"] = str(self._version_count)
            if live is None:
                stored["metadata"] |= {"uid": str(uuid.uuid4()), "generation": 1, "creationTimestamp": _now()}
                stored.pop("status", None)
                self._objects[key] = _Live(item=stored, controller=self._controller(stored))
            else:
                live.item = _updated(stored, live.item)
            return copy.deepcopy(self._objects[key].item)

    def get(self, namespace: str, name: str) -> Object | None:
        """The live object with its status; None when there is none."""
        with self._lock:
            live = self._objects.get((namespace, name))
            return copy.deepcopy(live.item) if live else None

    def delete(self, namespace: str, name: str) -> None:
        """Delete it with its servers and route; already gone is fine. Autoscalers of canaries stay."""
        with self._lock:
            live = self._objects.pop((namespace, name), None)
            if live is None:
                return
            self._gone.append(((namespace, name), live))
            for child in live.children:
                if child["kind"] == "HorizontalPodAutoscaler" and self._is_left(child, live):
                    self._leftovers[namespace, child["metadata"]["name"]] = orphan(
                        live.item, child["metadata"]["name"]
                    )

    def children(self, namespace: str, name: str) -> list[Object]:
        """Revisions, Deployments, autoscalers and routes made for a service."""
        with self._lock:
            live = self._objects.get((namespace, name))
            return copy.deepcopy(live.children) if live else []

    def leftovers(self) -> list[Object]:
        """Autoscalers that survived the deletion of their InferenceService."""
        with self._lock:
            return copy.deepcopy(list(self._leftovers.values()))

    @staticmethod
    def _is_left(child: Object, live: _Live) -> bool:
        canaries = {entry["predictor"]["name"] for entry in live.item["spec"].get("canary") or []}
        service = live.item["metadata"]["name"]
        named = {f"{service}-{canary}-predictor" for canary in canaries}
        return "ownerReferences" not in child["metadata"] or child["metadata"]["name"] in named

    def _controller(self, item: Object) -> Controller:
        if mode(item) == "Standard":
            return Standard(self._version)
        return Knative(item["metadata"]["name"])

    # ------------------------------------------------------------------- the reconcile loop

    def _run(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            self.reconcile()

    def reconcile(self) -> None:
        """One round over all objects; the background thread calls it, or a test without one."""
        with self._lock:
            gone, self._gone = self._gone, []
            present = list(self._objects.items())
        for key, live in gone:
            self._remove(key, live)
        for key, live in present:
            self._reconcile(key, live)

    def _remove(self, key: Key, live: _Live) -> None:
        for name in list(live.started):
            self._backends.stop(f"{key[0]}/{name}")
        if live.routed:
            self._router.forget("/".join(key))

    def _reconcile(self, key: Key, live: _Live) -> None:
        with self._lock:
            item = live.item
        servers = self._look(key[0], live)
        live.controller.advance(item, servers)
        self._run_needed(key, live, servers)
        self._publish(key, live, live.controller.conditions(servers), self._route(key, live))

    def _look(self, namespace: str, live: _Live) -> dict[str, Backend]:
        servers = {name: self._backends.look(f"{namespace}/{name}") for name in live.started}
        for name, server in servers.items():
            if server.state == "ready":
                live.seen_ready.add(name)
            if server.port:
                live.ports[name] = server.port
        return servers

    def _run_needed(self, key: Key, live: _Live, servers: Mapping[str, Backend]) -> None:
        """Start what is missing, end what is not wanted, start again what crashed after being ready."""
        needed = live.controller.needed()
        for name in [name for name in live.started if name not in needed]:
            if self._drained(key[0], name, live):
                self._stop(key[0], name, live)
        for name, server in servers.items():
            if name in live.started and server.state == "failed" and name in live.seen_ready:
                due = live.restart_at.setdefault(name, time.monotonic() + self._restart_seconds)
                if time.monotonic() >= due:
                    self._stop(key[0], name, live)
        for name, uri in needed.items():
            if name not in live.started:
                self._backends.start(f"{key[0]}/{name}", model=key[1], uri=uri)
                live.started[name] = uri

    def _drained(self, namespace: str, name: str, live: _Live) -> bool:
        """Whether the router has let go of a server, long enough ago for its last requests to be answered."""
        if f"{namespace}/{name}" in live.routed:
            return False
        return time.monotonic() >= live.drained_at.setdefault(name, time.monotonic() + self._drain_seconds)

    def _stop(self, namespace: str, name: str, live: _Live) -> None:
        self._backends.stop(f"{namespace}/{name}")
        del live.started[name]
        live.restart_at.pop(name, None)
        live.drained_at.pop(name, None)
        live.ports.pop(name, None)

    def _route(self, key: Key, live: _Live) -> str:
        """Tell the router the split; what went wrong, "" when nothing did."""
        split = {
            f"{key[0]}/{name}": (live.ports[server], percent)
            for name, (server, percent) in live.controller.split().items()
            if server in live.ports
        }
        if split == live.routed or sum(percent for _, percent in split.values()) != 100:
            return ""
        try:
            self._router.route("/".join(key), split)
        except Exception as problem:
            return f"{type(problem).__name__}: {problem}"
        live.routed = split
        return ""

    def _publish(self, key: Key, live: _Live, conditions: dict[str, Condition], ingress: str) -> None:
        """Write the status; one the router could not be brought to is not claimed."""
        url = self._router.url("/".join(key)) if live.routed else ""
        addresses = {name: f"http://127.0.0.1:{port}" for name, port in live.ports.items()}
        told = live.controller.status(url, addresses)
        children = live.controller.children(live.item)
        with self._lock:
            if self._objects.get(key) is not live:
                return
            before = live.item.get("status") or {}
            status = {**before} if ingress else told
            if ingress:
                bad: Condition = ("False", "IngressNotConfigured", ingress)
                conditions = {**conditions, "IngressReady": bad, "Ready": bad}
            status["conditions"] = _conditions(conditions, before.get("conditions") or [])
            live.children = children
            if status != before:
                self._version_count += 1
                metadata = {**live.item["metadata"], "resourceVersion": str(self._version_count)}
                live.item = {**live.item, "metadata": metadata, "status": status}


def _updated(stored: Object, before: Object) -> Object:
    """The new object with what the server keeps: identity, status, and a generation that counts specs."""
    kept = {name: before["metadata"][name] for name in ("uid", "generation", "creationTimestamp")}
    if stored["spec"] != before["spec"]:
        kept["generation"] += 1
    stored["metadata"] |= kept
    stored.pop("status", None)
    if "status" in before:
        stored["status"] = before["status"]
    return stored


def _conditions(now: Mapping[str, Condition], before: list[Object]) -> list[Object]:
    old = {condition["type"]: condition for condition in before}
    told: list[Object] = []
    for kind, (status, reason, message) in sorted(now.items()):
        entry: Object = {"type": kind, "status": status}
        entry |= {k: v for k, v in (("reason", reason), ("message", message)) if v}
        previous = old.get(kind, {})
        entry["lastTransitionTime"] = (
            previous["lastTransitionTime"] if previous.get("status") == status else _now()
        )
        told.append(entry)
    return told
