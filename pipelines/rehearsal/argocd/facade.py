"""Argo CD's behaviour behind its API: compare with git, sync one commit, keep the books.

Operations run one at a time per application in a thread of their own, with small pauses so that Running
is really seen. The answers follow a real 3.2.11.
"""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.rehearsal.argocd.application import ApiError, Application, Window, resource_json
from pipelines.rehearsal.argocd.cluster import Cluster
from pipelines.rehearsal.argocd.compare import (
    TRACKING,
    Health,
    Identity,
    agrees,
    identify,
    service_health,
    worst,
)
from pipelines.rehearsal.argocd.source import Source, SourceError
from pipelines.rehearsal.kserve import Denied, KServe

Object = dict[str, Any]
_SYNC_KEYS = ("revision", "prune", "dryRun")
_LOAD_FAILED = "ComparisonError: Failed to load target state: failed to generate manifest for source 1 of 1: "


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Facade:
    """Applications of one cluster and one repository."""

    def __init__(
        self,
        kserve: KServe,
        source: Source,
        folder: Path,
        *,
        delay_seconds: float = 0.03,
        orphan_seconds: float = 15.0,
    ) -> None:
        """Serve one repository.

        ``delay_seconds`` stands before, in and after an operation; ``orphan_seconds`` is how long an
        autoscaler left behind stays unnoticed before it makes the application Degraded.
        """
        self.delay_seconds = delay_seconds
        self.orphan_seconds = orphan_seconds
        self.applications: dict[str, Application] = {}
        self.cluster = Cluster(kserve)
        self._source = source
        self._folder = folder
        self._lock = threading.RLock()
        self._orphans_seen: dict[str, float] = {}
        self._threads: list[threading.Thread] = []

    def add(self, application: Application) -> None:
        """Take an application on, with what an earlier run of the rehearsal applied for it."""
        with self._lock:
            self.applications[application.name] = application
            self._restore(application)

    def configure(
        self, name: str, *, windows: tuple[Window, ...] | None = None, auto_sync: bool | None = None
    ) -> None:
        """Set sync windows or auto-sync, as an administrator would."""
        with self._lock:
            application = self.applications[name]
            application.windows = application.windows if windows is None else windows
            application.auto_sync = application.auto_sync if auto_sync is None else auto_sync
        if auto_sync:
            self.refresh(application)

    def wait(self, timeout_seconds: float = 10.0) -> None:
        """Let operations that run come to their end."""
        deadline = time.monotonic() + timeout_seconds
        for thread in list(self._threads):
            thread.join(timeout=max(0.0, deadline - time.monotonic()))

    # ------------------------------------------------------------------------- reading

    def refresh(self, application: Application, *, may_sync: bool = True) -> None:
        """Compare with the head of the branch now; start an automated sync where that is on."""
        try:
            revision = self._source.head(application.target_revision)
            targets, error = self._targets(application, revision), ""
        except SourceError as problem:
            revision, targets, error = application.compared.revision, {}, f"{_LOAD_FAILED}{problem}"
        with self._lock:
            compared = application.compared
            compared.error, compared.at, compared.revision = error, _now(), revision
            compared.targets = compared.targets if error else targets
        if may_sync and application.auto_sync and not error and self._needs_automated(application):
            operation = self._operation(application, {"revision": revision}, {"automated": True})
            operation["retry"] = {"limit": 5}
            self._begin(application, operation)

    def _needs_automated(self, application: Application) -> bool:
        result = (application.operation_state or {}).get("syncResult", {})
        tried = result.get("revision") == application.compared.revision
        return application.operation is None and not tried and self.view(application)[1] != "Synced"

    def view(self, application: Application) -> tuple[list[Object], str]:
        """Entries of status.resources[] and the sync status, as things are now; notes the health."""
        with self._lock:
            targets, applied = dict(application.compared.targets), dict(application.applied)
            error = application.compared.error
        entries, healths = [], []
        for identity, desired in sorted(targets.items()):
            live = self.cluster.live(identity)
            good = live is not None and agrees(applied.get(identity), desired, live)
            health = _health(identity, live)
            healths += [health.status] if health else []
            entries.append(
                resource_json(identity, _version(desired), "Synced" if good else "OutOfSync", health)
            )
        for identity in self.cluster.tracked(application.name):
            if identity not in targets:
                live = self.cluster.live(identity) or {}
                health = _health(identity, live)
                healths += [health.status] if health else []
                entry = resource_json(identity, _version(live), "OutOfSync", health)
                entries.append({**entry, "requiresPruning": True})
        self._note_health(application, [*healths, *self._orphan_healths(application)])
        if error or not application.compared.at:
            return entries, "Unknown"
        return entries, "Synced" if all(e["status"] == "Synced" for e in entries) else "OutOfSync"

    def _orphan_healths(self, application: Application) -> list[str]:
        now = time.monotonic()
        names = [orphan["metadata"]["name"] for orphan in self.cluster.orphans(application.name)]
        ages = [now - self._orphans_seen.setdefault(name, now) for name in names]
        return ["Degraded" for age in ages if age >= self.orphan_seconds]

    def _note_health(self, application: Application, healths: list[str]) -> None:
        with self._lock:
            status = worst(healths)
            if status != application.health or not application.health_since:
                application.health, application.health_since = status, _now()
                application.version += 1

    def _targets(self, application: Application, revision: str) -> dict[Identity, Object]:
        targets: dict[Identity, Object] = {}
        for item in self._source.manifests(revision, application.path):
            metadata = item.setdefault("metadata", {})
            metadata.setdefault("namespace", application.namespace)
            identity = identify(item)
            notes = dict(metadata.get("annotations") or {})
            metadata["annotations"] = {**notes, TRACKING: f"{application.name}:{identity.tracking}"}
            targets[identity] = item
        return targets

    # --------------------------------------------------------------------- operations

    def sync(self, application: Application, body: Object, by: Object) -> None:
        """Start a sync as asked; unknown keys of the body are ignored.

        Raises:
            ApiError: a window, auto-sync, an unknown revision or another operation is in the way.
        """
        if not application.can_sync():
            raise ApiError(403, 7, "cannot sync: blocked by sync window")
        revision = str(body.get("revision") or application.target_revision)
        dry_run = body.get("dryRun") is True
        if application.auto_sync and not dry_run and revision != application.target_revision:
            wanted = application.target_revision
            raise ApiError(400, 9, f"Cannot sync to {revision}: auto-sync currently set to {wanted}")
        self._resolve(revision)
        self._begin(application, self._operation(application, body, by))

    def rollback(self, application: Application, entry_id: int, by: Object) -> None:
        """Sync a history entry's commit, without prune.

        Raises:
            ApiError: auto-sync is on, there is no such entry, or another operation runs.
        """
        if application.auto_sync:
            raise ApiError(400, 9, "rollback cannot be initiated when auto-sync is enabled")
        entry = next((e for e in application.history if e["id"] == entry_id), None)
        if entry is None:
            message = f"application argocd/{application.name} does not have deployment with id {entry_id}"
            raise ApiError(400, 3, message)
        body = {"revision": entry["revision"], "strategy": {"apply": {}}}
        self._begin(application, self._operation(application, body, by))

    def terminate(self, application: Application) -> None:
        """Stop the running operation.

        Raises:
            ApiError: none runs.
        """
        with self._lock:
            if application.operation is None:
                raise ApiError(400, 3, "Unable to terminate operation. No operation is in progress")
            application.terminating = True

    def _resolve(self, revision: str) -> str:
        try:
            return self._source.resolve(revision)
        except SourceError as problem:
            message = f"error resolving repo revision: rpc error: code = Unknown desc = {problem}"
            raise ApiError(400, 9, message) from problem

    def _operation(self, application: Application, body: Object, by: Object) -> Object:
        sync: Object = {key: body[key] for key in _SYNC_KEYS if body.get(key)}
        sync.setdefault("revision", self._resolve(application.target_revision))
        sync["source"] = application.source
        options = (body.get("syncOptions") or {}).get("items") or list(application.sync_options)
        sync["syncOptions"] = options
        if strategy := body.get("strategy"):
            sync["syncStrategy"] = strategy
        operation: Object = {"sync": sync, "initiatedBy": by, "retry": {}}
        if infos := body.get("infos"):
            operation["info"] = infos
        return operation

    def _begin(self, application: Application, operation: Object) -> None:
        with self._lock:
            if application.operation is not None:
                raise ApiError(400, 9, "another operation is already in progress")
            application.operation = operation
            application.operation_state = None
            application.terminating = False
            application.version += 1
            thread = threading.Thread(target=self._perform, args=(application, operation), daemon=True)
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]
            thread.start()

    def _perform(self, application: Application, operation: Object) -> None:
        started = _now()
        time.sleep(self.delay_seconds)
        with self._lock:
            application.operation_state = {"phase": "Running", "startedAt": started, "operation": operation}
        time.sleep(self.delay_seconds)
        try:
            result = self._apply(application, operation)
        except Exception as problem:
            result = ("Error", f"{type(problem).__name__}: {problem}", {"revision": "", "resources": []})
        time.sleep(self.delay_seconds)
        self._finish(application, operation, started, *result)

    def _apply(self, application: Application, operation: Object) -> tuple[str, str, Object]:
        """Phase, message and syncResult of applying one commit."""
        sync = operation["sync"]
        if application.terminating:
            return "Failed", "Operation terminated", {"revision": sync["revision"], "resources": []}
        result: Object = {"revision": sync["revision"], "source": sync["source"], "resources": []}
        try:
            result["revision"] = revision = self._source.resolve(sync["revision"])
            targets = self._targets(application, revision)
        except SourceError as problem:
            return "Error", f"{_LOAD_FAILED}{problem}", result
        dry_run = sync.get("dryRun") is True
        strict = "ServerSideApply=true" in sync["syncOptions"]
        result["resources"], failures = self._apply_all(application, targets, strict, dry_run)
        if sync.get("prune"):
            result["resources"] += self._prune(application, targets, dry_run)
        if failures:
            reasons = "; ".join(failures)
            return "Failed", f"one or more objects failed to apply, reason: {reasons}", result
        more = "no more tasks" if dry_run else "all tasks run"
        return "Succeeded", f"successfully synced ({more})", result

    def _apply_all(
        self, application: Application, targets: dict[Identity, Object], strict: bool, dry_run: bool
    ) -> tuple[list[Object], list[str]]:
        entries, failures = [], []
        for identity, desired in sorted(targets.items()):
            last = application.applied.get(identity)
            try:
                message = self.cluster.apply(desired, last, strict=strict, dry_run=dry_run)
            except Denied as problem:
                failures.append(str(problem))
                entries.append(_result(identity, desired, "SyncFailed", "Failed", str(problem)))
                continue
            entries.append(_result(identity, desired, "Synced", "Running", message))
            if not dry_run:
                with self._lock:
                    application.applied[identity] = desired
        return entries, failures

    def _prune(
        self, application: Application, targets: dict[Identity, Object], dry_run: bool
    ) -> list[Object]:
        entries = []
        for identity in self.cluster.tracked(application.name):
            if identity in targets:
                continue
            live = self.cluster.live(identity) or {}
            if not dry_run:
                self.cluster.delete(identity)
                with self._lock:
                    application.applied.pop(identity, None)
            message = "pruned (dry run)" if dry_run else "pruned"
            entries.append(_result(identity, live, "Pruned", "Succeeded", message))
        return entries

    def _finish(
        self,
        application: Application,
        operation: Object,
        started: str,
        phase: str,
        message: str,
        result: Object,
    ) -> None:
        self.refresh(application, may_sync=False)
        finished = _now()
        with self._lock:
            if application.terminating:
                phase, message = "Failed", "Operation terminated"
            if phase == "Succeeded" and not operation["sync"].get("dryRun"):
                application.remember(result["revision"], started, finished, operation["initiatedBy"])
            application.operation_state = {
                "phase": phase,
                "message": message,
                "startedAt": started,
                "finishedAt": finished,
                "operation": operation,
                "syncResult": result,
            }
            application.operation = None
            application.terminating = False
            application.version += 1
            self._save(application)

    # --------------------------------------------------------------------- over a restart

    def _file(self, application: Application) -> Path:
        return self._folder / f"argocd-{application.name}.json"

    def _save(self, application: Application) -> None:
        kept = {
            "applied": list(application.applied.values()),
            "history": application.history,
            "next_id": application.next_id,
            "operation_state": application.operation_state,
        }
        partial = self._file(application).with_suffix(".partial")
        partial.write_text(json.dumps(kept), encoding="utf-8")
        partial.replace(self._file(application))

    def _restore(self, application: Application) -> None:
        if not self._file(application).exists():
            return
        kept = json.loads(self._file(application).read_text(encoding="utf-8"))
        application.history = kept["history"]
        application.next_id = kept["next_id"]
        application.operation_state = kept["operation_state"]
        for desired in kept["applied"]:
            identity = identify(desired)
            application.applied[identity] = desired
            self.cluster.apply(desired, None, strict=False, dry_run=False)


def _version(item: Object) -> str:
    return str(item.get("apiVersion", "v1")).rpartition("/")[2]


def _health(identity: Identity, live: Object | None) -> Health | None:
    if identity.kind != "InferenceService":
        return None
    return service_health(live) if live else Health("Missing")


def _result(identity: Identity, item: Object, status: str, hook_phase: str, message: str) -> Object:
    return {
        "group": identity.group,
        "version": _version(item),
        "kind": identity.kind,
        "namespace": identity.namespace,
        "name": identity.name,
        "status": status,
        "message": message,
        "hookPhase": hook_phase,
        "syncPhase": "Sync",
    }
