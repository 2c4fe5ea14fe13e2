"""The objects Argo CD applies: InferenceServices go to KServe, all others are kept as they are."""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipelines.rehearsal.argocd.compare import TRACKING, Identity, identify, merge
from pipelines.rehearsal.kserve import Denied, KServe

Object = dict[str, Any]
_SERVING = "serving.kserve.io"


class Cluster:
    """One cluster, all namespaces; readings are copies."""

    def __init__(self, kserve: KServe) -> None:
        self._kserve = kserve
        self._plain: dict[Identity, Object] = {}
        self._services: set[Identity] = set()
        self._lock = threading.Lock()

    def live(self, identity: Identity) -> Object | None:
        """The live object; None when there is none."""
        if _is_service(identity):
            return self._kserve.get(identity.namespace, identity.name)
        with self._lock:
            return copy.deepcopy(self._plain.get(identity))

    def apply(self, desired: Object, last: Mapping[str, Any] | None, *, strict: bool, dry_run: bool) -> str:
        """Three-way apply; what was done, as kubectl says it.

        Raises:
            Denied: schema or webhook refused; the text names what was attempted.
        """
        identity = identify(desired)
        live = self.live(identity)
        verb = "created" if live is None else "configured"
        called = f"{identity.kind.lower()}{'.' + identity.group if identity.group else ''}/{identity.name}"
        if dry_run:
            return f"{called} {verb} (dry run)"
        wanted = merge(last, desired, {k: v for k, v in live.items() if k != "status"} if live else {})
        try:
            stored = self._store(identity, wanted, strict)
        except Denied as problem:
            raise Denied(problem.status, problem.reason, _attempt(identity, live, problem, strict)) from None
        if live is not None and _content(stored) == _content(live):
            verb = "unchanged"
        return f"{called} {verb}"

    def delete(self, identity: Identity) -> None:
        """Delete one object; already gone is fine."""
        if _is_service(identity):
            with self._lock:
                self._services.discard(identity)
            self._kserve.delete(identity.namespace, identity.name)
            return
        with self._lock:
            self._plain.pop(identity, None)

    def tracked(self, application: str) -> list[Identity]:
        """Objects whose tracking annotation names the application."""
        with self._lock:
            known = [*self._plain, *self._services]
        return sorted(identity for identity in known if self._tracks(application, identity))

    def _tracks(self, application: str, identity: Identity) -> bool:
        live = self.live(identity)
        if live is None:
            return False
        note = (live["metadata"].get("annotations") or {}).get(TRACKING)
        return bool(note == f"{application}:{identity.tracking}")

    def children(self, identity: Identity) -> list[Object]:
        """What controllers made for an object."""
        if not _is_service(identity):
            return []
        return self._kserve.children(identity.namespace, identity.name)

    def orphans(self, application: str) -> list[Object]:
        """Autoscalers nobody owns that still carry the application's tracking annotation."""
        found = list(self._kserve.leftovers())
        with self._lock:
            services = list(self._services)
        for identity in services:
            found += [c for c in self.children(identity) if "ownerReferences" not in c["metadata"]]
        prefix = f"{application}:"
        return [c for c in found if str(c["metadata"]["annotations"].get(TRACKING, "")).startswith(prefix)]

    def _store(self, identity: Identity, wanted: Object, strict: bool) -> Object:
        if _is_service(identity):
            stored = self._kserve.apply(wanted, strict=strict)
            with self._lock:
                self._services.add(identity)
            return stored
        with self._lock:
            before = self._plain.get(identity)
            kept = before["metadata"] if before else _birth()
            for field in ("uid", "creationTimestamp"):
                wanted["metadata"][field] = kept[field]
            self._plain[identity] = wanted
        return wanted


def _is_service(identity: Identity) -> bool:
    return identity.group == _SERVING and identity.kind == "InferenceService"


def _birth() -> Object:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"uid": str(uuid.uuid4()), "creationTimestamp": now}


def _content(item: Mapping[str, Any]) -> Object:
    metadata = item["metadata"]
    notes = {"labels": metadata.get("labels") or {}, "annotations": metadata.get("annotations") or {}}
    return {"notes": notes, **{k: v for k, v in item.items() if k not in ("metadata", "status")}}


def _attempt(identity: Identity, live: Object | None, problem: Denied, strict: bool) -> str:
    if strict and "unknown field" in str(problem):
        field = str(problem).split('"')[1]
        return f"failed to create typed patch object: .{field}: field not declared in schema"
    doing = "creating" if live is None else "patching"
    return f'error when {doing} "/dev/shm/{identity.name}": {problem}'
