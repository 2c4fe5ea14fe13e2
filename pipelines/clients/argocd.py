"""Argo CD over its HTTP API: sync one exact commit, and read the live InferenceService through it.

What decides here was seen on real servers: ``status.sync.revision`` is the branch head, not what was
synced; an unknown body key is ignored; a dry run overwrites the operation state; the first Healthy after
Succeeded is the old one; observedGeneration is another object's. None of these is trusted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, Protocol

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from pipelines.errors import AccessDenied, CouldNotTell, Misbehaved, NotYet, Refused, Unreachable
from pipelines.ports import Deployment, Finding, Sync

Object = dict[str, Any]

_SYSTEM = "Argo CD"
_LEAST_VERSION = (3, 3)
_SOURCE_URI = "internal.serving.kserve.io/storage-initializer-sourceuri"


class _Declined(Exception):
    """A 400, 403 or 404 with Argo CD's own message; the caller knows what it means."""

    def __init__(self, http: int, message: str) -> None:
        self.http = http
        super().__init__(message)


class ArgoCdDeployer:
    """One Argo CD application, as a :class:`~pipelines.ports.Deployer`."""

    def __init__(
        self,
        *,
        url: str,
        project: str,
        application: str,
        token: str,
        ca_file: str | None = None,
        timeout_seconds: float = 20.0,
    ) -> None:
        """Only GET is retried (twice); a lost POST is resolved by reading before asking again.

        ``token`` belongs to a project role with ``applications, get`` and ``applications, sync``.
        ``ca_file`` is a PEM file; TLS is always verified. ``timeout_seconds`` holds per attempt.
        """
        self._url = url.rstrip("/")
        self._project = project
        self._application = application
        self._timeout_seconds = timeout_seconds
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"
        self._session.trust_env = False
        self._session.verify = ca_file or True
        retry = Retry(
            total=2,
            backoff_factor=0.2,
            allowed_methods=frozenset({"GET"}),
            status_forcelist=(502, 503, 504),
            raise_on_status=False,
        )
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    # ---------------------------------------------------------------------------- Deployer

    def sync(self, commit: str) -> None:
        """Ask for one exact commit to be applied, with prune.

        Does nothing when that commit runs now, succeeded last, or stands in the history: an older commit
        is never applied over a newer one by asking twice.

        Raises:
            NotYet: ``operation_in_progress`` or ``sync_window``.
            Refused: ``auto_sync_on``, or ``other_revision`` when the answer names another commit.
        """
        if self._known(self._read(refresh=False), commit):
            return
        body = {"revision": commit, "prune": True, "project": self._project}
        try:
            answer = self._call("POST", f"{self._path}/sync", body=body)
        except _Declined as declined:
            self._explain(declined, commit)
            return
        echoed = _text(answer, "operation", "sync", "revision")
        if echoed != commit:
            raise Refused(
                "other_revision",
                f"Argo CD was asked to sync {commit} of {self._application} and started {echoed or 'nothing'}; "
                "look at the application before anything else is tried",
            )

    def synced(self, commit: str) -> Sync:
        """How far that commit has got, after a fresh comparison.

        ``done`` also when a later operation followed, as long as the history shows that this commit was
        applied and finished: the branch only moves forward, so what followed contains it. A commit that was
        neither applied nor is being applied is ``not_started``, whatever else runs.
        """
        application = self._read(refresh=True)
        running = _text(application, "operation", "sync", "revision")
        if running == commit and not _is_dry(application.get("operation")):
            return Sync(outcome="running", sentence=f"Argo CD is syncing {self._application} to {commit}")
        state = _part(application, "status", "operationState")
        if state and not running and _revision(state) == commit and not _is_dry(state.get("operation")):
            return self._outcome(state, commit)
        if commit in _history(application):
            now = running or _revision(state)
            return Sync(outcome="done", sentence=f"{commit} was applied; {now} has followed it")
        busy = f"; it is syncing {running} now" if running else ""
        return Sync(outcome="not_started", sentence=f"{self._application} was not synced to {commit}{busy}")

    def deployment(self, *, namespace: str, service: str, mode: Literal["Knative", "Standard"]) -> Deployment:
        """Read the live InferenceService, whole, from Argo CD.

        A newest server whose recorded artifact is another than the spec's means that the status is still
        the old one: not ready, and not failed either.
        """
        live = self._object("serving.kserve.io", "v1beta1", "InferenceService", namespace, service)
        if live is None:
            return _absent(f"{namespace}/{service} is not in the cluster yet")
        try:
            reading: _Reading = _Knative(live) if mode == "Knative" else _Standard(live)
            deployment = reading.deployment()
        except (AttributeError, KeyError, TypeError, ValueError) as problem:
            raise Misbehaved(
                _SYSTEM,
                f"the InferenceService {namespace}/{service} reads oddly ({type(problem).__name__}: {problem})",
            ) from problem
        if not deployment.ready and not deployment.failed:
            return deployment
        return self._unless_stale(deployment, namespace, mode)

    def _unless_stale(
        self, deployment: Deployment, namespace: str, mode: Literal["Knative", "Standard"]
    ) -> Deployment:
        server = deployment.newest_revision
        if not server:
            return deployment
        if mode == "Knative":
            made = self._object("serving.knative.dev", "v1", "Revision", namespace, server) or {}
            annotations = _part(made, "metadata", "annotations")
        else:
            made = self._object("apps", "v1", "Deployment", namespace, server) or {}
            annotations = _part(made, "spec", "template", "metadata", "annotations")
        uri = annotations.get(_SOURCE_URI)
        if uri in (None, deployment.uri):
            return deployment
        sentence = f"{server} still serves {uri}; the controllers have not come to {deployment.uri} yet"
        return _replace(deployment, ready=False, failed="", sentence=sentence)

    # ------------------------------------------------------------------------------ doctor

    def diagnose(self) -> tuple[Finding, ...]:
        """Reach, version, rights and settings, each with what to do; raises nothing."""
        try:
            version = _text(self._call("GET", "/api/version"), "Version")
            application = self._read(refresh=False)
        except CouldNotTell as problem:
            what = "rights" if isinstance(problem, AccessDenied) else "reach"
            advice = "Check argocd.url, the project and application names, and the token's role."
            return (_finding(what, False, str(problem), advice),)
        reach = _finding("reach", True, f"{self._url} answers for application {self._application}")
        return (reach, _version_finding(version), self._rights(), self._settings(application))

    def _rights(self) -> Finding:
        where = f"{self._project}/{self._application}"
        try:
            answer = self._call("GET", f"/api/v1/account/can-i/applications/sync/{where}")
        except (CouldNotTell, _Declined) as problem:
            return _finding("rights", None, f"could not tell whether the token may sync {where}: {problem}")
        if answer.get("value") == "yes":
            return _finding("rights", True, f"the token may read and sync {where}")
        advice = f"Give the role: p, proj:{self._project}:ROLE, applications, sync, {where}, allow"
        return _finding("rights", False, f"the token may read {where}, not sync it", advice)

    def _settings(self, application: Object) -> Finding:
        automated = _part(application, "spec", "syncPolicy").get("automated")
        if automated is None or (isinstance(automated, dict) and automated.get("enabled") is False):
            return _finding("settings", True, "auto-sync is off, so exact commits can be synced")
        advice = f"Remove spec.syncPolicy.automated from application {self._application}."
        return _finding("settings", False, "auto-sync is on, so an exact commit is refused", advice)

    # ------------------------------------------------------------------------- inner calls

    @property
    def _path(self) -> str:
        return f"/api/v1/applications/{self._application}"

    def _read(self, *, refresh: bool) -> Object:
        params = {"project": self._project} | ({"refresh": "normal"} if refresh else {})
        try:
            application = self._call("GET", self._path, params=params)
        except _Declined as declined:
            self._unknown(declined)
        if not isinstance(application.get("metadata"), dict) or not isinstance(application.get("spec"), dict):
            raise Misbehaved(_SYSTEM, f"the answer for application {self._application} is no Application")
        return application

    def _known(self, application: Object, commit: str) -> bool:
        """Whether a sync of this commit runs, succeeded last, or is in the history."""
        operation = application.get("operation")
        if operation and _text(operation, "sync", "revision") == commit and not _is_dry(operation):
            return True
        return commit in _history(application)

    def _outcome(self, state: Object, commit: str) -> Sync:
        phase, message = _text(state, "phase"), _text(state, "message")
        if phase == "Succeeded" and _text(state, "syncResult", "revision") == commit:
            return Sync(outcome="done", sentence=f"{self._application} was synced to {commit}")
        if phase in ("Failed", "Error"):
            return Sync(outcome="failed", sentence=f"{self._application} at {commit}: {phase}: {message}")
        return Sync(outcome="running", sentence=f"{self._application} at {commit}: {phase} {message}".strip())

    def _explain(self, declined: _Declined, commit: str) -> None:
        """Turn a refused sync into an error; returns when it turns out that our own sync was first."""
        text, name = str(declined), self._application
        if "another operation is already in progress" in text:
            if self._known(self._read(refresh=False), commit):
                return
            raise NotYet("operation_in_progress", f"{name}: another sync is running; asking again", 2.0)
        if "blocked by sync window" in text:
            raise NotYet("sync_window", f"{name}: a sync window forbids syncing now; asking again", 60.0)
        if "auto-sync currently set" in text:
            raise Refused(
                "auto_sync_on",
                f"{name}: Argo CD refuses an exact commit while auto-sync is on ({text}); remove "
                "spec.syncPolicy.automated from the application, then run this again",
            )
        if "error resolving repo revision" in text:
            raise Unreachable(_SYSTEM, f"{name}: it could not read the repository: {text}")
        self._unknown(declined)

    def _unknown(self, declined: _Declined) -> NoReturn:
        where = f"application {self._application} of project {self._project}"
        if declined.http == 403:
            raise AccessDenied(
                _SYSTEM, f"{where}: {declined}; the token needs applications get and sync"
            ) from declined
        raise Misbehaved(_SYSTEM, f"{where}: HTTP {declined.http}: {declined}") from declined

    def _object(self, group: str, version: str, kind: str, namespace: str, name: str) -> Object | None:
        params = {"resourceName": name, "namespace": namespace, "group": group, "version": version}
        params |= {"kind": kind, "project": self._project}
        try:
            answer = self._call("GET", f"{self._path}/resource", params=params)
        except _Declined as declined:
            if "not found as part of application" in str(declined):
                return None
            self._unknown(declined)
        try:
            manifest = json.loads(answer["manifest"])
        except (KeyError, TypeError, ValueError) as problem:
            raise Misbehaved(_SYSTEM, f"no manifest of {kind} {namespace}/{name} in the answer") from problem
        if not isinstance(manifest, dict):
            raise Misbehaved(_SYSTEM, f"the manifest of {kind} {namespace}/{name} is no object")
        return manifest

    def _call(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Object | None = None
    ) -> Object:
        try:
            response = self._session.request(
                method,
                self._url + path,
                params=params,
                json=body,
                timeout=self._timeout_seconds,
                allow_redirects=False,
            )
        except requests.RequestException as problem:
            raise Unreachable(_SYSTEM, f"{method} {path}: {type(problem).__name__}: {problem}") from problem
        return _answer(response, f"{method} {path}")


def _answer(response: requests.Response, call: str) -> Object:
    status = response.status_code
    if status >= 500:
        raise Unreachable(_SYSTEM, f"{call}: HTTP {status}")
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        kind = response.headers.get("Content-Type", "no content type")
        raise Misbehaved(_SYSTEM, f"{call}: HTTP {status} with {kind} instead of a JSON object")
    message = str(body.get("message") or body.get("error") or "")
    if status == 401:
        raise AccessDenied(_SYSTEM, f"{call}: {message}; renew the token")
    if status >= 400:
        raise _Declined(status, message)
    if status != 200:
        raise Misbehaved(_SYSTEM, f"{call}: HTTP {status}; is the address right?")
    return body


# ------------------------------------------------------------- the InferenceService, read


class _Reading(Protocol):
    def deployment(self) -> Deployment: ...


class _Live:
    """What both modes read alike."""

    def __init__(self, live: Object) -> None:
        self.service = str(live["metadata"]["name"])
        self.predictor: Object = live["spec"]["predictor"]
        self.canaries: list[Object] = live["spec"].get("canary") or []
        self.status: Object = live.get("status") or {}
        self.transition = _text(self.status, "modelStatus", "transitionStatus")
        self.conditions: dict[str, Object] = {c["type"]: c for c in self.status.get("conditions") or []}
        self.url = str(self.status.get("url") or "")
        self.is_ready = self.conditions.get("Ready", {}).get("status") == "True"

    def failure(self) -> str:
        """Why it cannot become ready; "" while it may. A write conflict passes by itself and is no reason."""
        if self.transition in ("BlockedByFailedLoad", "InvalidSpec"):
            info = _part(self.status, "modelStatus", "lastFailureInfo")
            return f"{self.transition}: {info.get('reason', 'no reason')}: {info.get('message', '')}".strip()
        for kind in ("PredictorReady", "Ready"):
            condition = self.conditions.get(kind, {})
            message = str(condition.get("message", ""))
            refused = condition.get("status") == "False" and condition.get("reason") == "ReconcileFailed"
            if refused and "object has been modified" not in message:
                return f"ReconcileFailed: {message}"
        return ""

    def waits_for(self) -> str:
        """The first reason in words why the service as a whole is not ready; "" when it is."""
        if not self.conditions:
            return "the controllers have not reported a status yet"
        if self.transition not in ("UpToDate", ""):
            return f"the newest model is {self.transition}"
        if not self.is_ready:
            bad = sorted(kind for kind, c in self.conditions.items() if _is_bad(kind, c))
            return f"conditions not True: {', '.join(bad)}"
        return ""


class _Knative(_Live):
    def __init__(self, live: Object) -> None:
        super().__init__(live)
        component = _part(self.status, "components", "predictor")
        self.created = str(component.get("latestCreatedRevision") or "")
        self.ready = str(component.get("latestReadyRevision") or "")
        percent = self.predictor.get("canaryTrafficPercent")
        self.wanted = 100 if percent is None else int(percent)
        self.traffic: dict[str, int] = {}
        self.latest_percent = 0
        for entry in component.get("traffic") or []:
            share = int(entry.get("percent") or 0)
            name = str(entry["revisionName"])
            self.traffic[name] = self.traffic.get(name, 0) + share
            self.latest_percent += share if entry.get("latestRevision") else 0

    def deployment(self) -> Deployment:
        """Ready: newest revision ready, conditions true, and the shares added up by revision as asked."""
        waits = self.waits_for() or self._revisions() or self._shares()
        failed = self.failure()
        others = [name for name, share in self.traffic.items() if name != self.created and share > 0]
        return Deployment(
            exists=True,
            ready=not waits and not failed,
            failed=failed,
            sentence=failed or waits or f"{self.created} is ready with {self.wanted} %",
            uri=str(_part(self.predictor, "model").get("storageUri", "")),
            traffic=self.traffic,
            newest_revision=self.created,
            stable_revision=others[0] if others else "",
            url=self.url,
        )

    def _revisions(self) -> str:
        if not self.created or self.created != self.ready:
            return f"revision {self.created or '?'} is not ready; {self.ready or 'none'} is the newest ready"
        return ""

    def _shares(self) -> str:
        if self.traffic.get(self.created, 0) == self.wanted and sum(self.traffic.values()) == 100:
            return ""
        if self.wanted < 100 and self.latest_percent == self.wanted and len(self.traffic) == 1:
            return (
                f"{self.created} has 100 % though {self.wanted} % is asked: no other revision was ever rolled "
                "out here, as after re-creating the service in mid-canary"
            )
        shown = ", ".join(f"{name} {share} %" for name, share in self.traffic.items())
        return f"asked are {self.wanted} % for the newest revision; the status says {shown or 'nothing'}"


class _Standard(_Live):
    def __init__(self, live: Object) -> None:
        super().__init__(live)
        self.stable = self._deployment_name(self.predictor)
        self.statuses = {entry["name"]: entry for entry in self.status.get("canaryStatuses") or []}

    def deployment(self) -> Deployment:
        """Ready: the stable ready, and every canary entry ready in canaryStatuses; its percent is the wish."""
        failed = self.failure()
        waits = self.waits_for() or self._entries()
        newest = self.canaries[-1]["predictor"] if self.canaries else self.predictor
        model = {**_part(self.predictor, "model"), **_part(newest, "model")}
        return Deployment(
            exists=True,
            ready=not waits and not failed,
            failed=failed,
            sentence=failed or waits or f"{self._deployment_name(newest)} is ready",
            uri=str(model.get("storageUri", "")),
            traffic=self._traffic(),
            newest_revision=self._deployment_name(newest),
            stable_revision=self.stable if self.canaries else "",
            url=self.url,
        )

    def _deployment_name(self, predictor: Object) -> str:
        name = predictor.get("name")
        return f"{self.service}-{name}-predictor" if name else f"{self.service}-predictor"

    def _traffic(self) -> dict[str, int]:
        shares = {self._deployment_name(c["predictor"]): int(c["trafficPercent"]) for c in self.canaries}
        return {self.stable: 100 - sum(shares.values()), **shares}

    def _entries(self) -> str:
        wanted = {str(c["predictor"]["name"]): int(c["trafficPercent"]) for c in self.canaries}
        if left := sorted(set(self.statuses) - set(wanted)):
            return f"the status still names {', '.join(left)}"
        for name, percent in wanted.items():
            entry = self.statuses.get(name)
            if entry is None or int(entry.get("trafficPercent") or 0) != percent:
                return f"the controllers have not come to entry {name} at {percent} % yet"
            if entry.get("ready") is not True:
                return f"entry {name} is not ready"
        return ""


def _is_bad(kind: str, condition: Object) -> bool:
    return bool(kind != "Stopped" and condition.get("status") != "True")


def _absent(sentence: str) -> Deployment:
    return Deployment(
        exists=False,
        ready=False,
        failed="",
        sentence=sentence,
        uri="",
        traffic={},
        newest_revision="",
        stable_revision="",
        url="",
    )


def _replace(deployment: Deployment, *, ready: bool, failed: str, sentence: str) -> Deployment:
    return Deployment(
        exists=deployment.exists,
        ready=ready,
        failed=failed,
        sentence=sentence,
        uri=deployment.uri,
        traffic=deployment.traffic,
        newest_revision=deployment.newest_revision,
        stable_revision=deployment.stable_revision,
        url=deployment.url,
    )


# ----------------------------------------------------------------------- reading JSON


def _part(value: Object, *keys: str) -> Object:
    """The object at a path; {} when any part is missing or of another kind."""
    for key in keys:
        found = value.get(key)
        if not isinstance(found, dict):
            return {}
        value = found
    return value


def _text(value: Object, *keys: str) -> str:
    found = _part(value, *keys[:-1]).get(keys[-1])
    return found if isinstance(found, str) else ""


def _revision(state: Object) -> str:
    return _text(state, "syncResult", "revision") or _text(state, "operation", "sync", "revision")


def _is_dry(operation: object) -> bool:
    return isinstance(operation, dict) and _part(operation, "sync").get("dryRun") is True


def _history(application: Object) -> set[str]:
    entries = _part(application, "status").get("history") or []
    return {str(entry.get("revision", "")) for entry in entries if isinstance(entry, dict)}


def _finding(what: str, good: bool | None, sentence: str, advice: str = "") -> Finding:
    return Finding(system=_SYSTEM, what=what, good=good, sentence=sentence, advice=advice)


def _version_finding(version: str) -> Finding:
    try:
        numbers = tuple(int(part) for part in version.lstrip("v").split("+")[0].split(".")[:2])
    except ValueError:
        return _finding("version", None, f"version {version!r} reads oddly")
    if numbers >= _LEAST_VERSION:
        return _finding("version", True, f"version {version}")
    advice = "Upgrade to 3.3 or later, or add its InferenceService health script as a customization."
    return _finding(
        "version", False, f"version {version} keeps InferenceServices Progressing for ever", advice
    )
