"""Argo CD over its HTTP API: sync one exact commit, and read the live InferenceService through it.

What decides here was seen on real servers: ``status.sync.revision`` is the branch head, not what was
synced; an unknown body key is ignored; a dry run overwrites the operation state; the first Healthy after
Succeeded is the old one; observedGeneration is another object's. None of these is trusted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NoReturn

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from pipelines.clients.argocd.service import absent, part, read, text
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
        echoed = text(answer, "operation", "sync", "revision")
        if echoed != commit:
            raise Refused(
                "other_revision",
                f"Argo CD was asked to sync {self._application} to {commit} and began {echoed or 'nothing'}; "
                "look at the application before anything else is tried",
            )

    def synced(self, commit: str) -> Sync:
        """How far that commit has got, after a fresh comparison.

        ``done`` also when a later operation followed, as long as the history shows that this commit was
        applied and finished: the branch only moves forward, so what followed contains it. A commit that was
        neither applied nor is being applied is ``not_started``, whatever else runs.
        """
        application = self._read(refresh=True)
        running = text(application, "operation", "sync", "revision")
        if running == commit and not _is_dry(application.get("operation")):
            return Sync(outcome="running", sentence=f"Argo CD is syncing {self._application} to {commit}")
        state = part(application, "status", "operationState")
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
            return absent(f"{namespace}/{service} is not in the cluster yet")
        try:
            deployment = read(live, mode)
        except (AttributeError, KeyError, TypeError, ValueError) as problem:
            raise Misbehaved(
                _SYSTEM,
                f"InferenceService {namespace}/{service} reads oddly: {type(problem).__name__}: {problem}",
            ) from problem
        # A refused spec makes no revision that could be looked at; a failed load does.
        if not deployment.ready and not deployment.failed.startswith("BlockedByFailedLoad"):
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
            annotations = part(made, "metadata", "annotations")
        else:
            made = self._object("apps", "v1", "Deployment", namespace, server) or {}
            annotations = part(made, "spec", "template", "metadata", "annotations")
        uri = annotations.get(_SOURCE_URI)
        if uri in (None, deployment.uri):
            return deployment
        sentence = f"{server} still serves {uri}; the controllers have not come to {deployment.uri} yet"
        return replace(deployment, ready=False, failed="", sentence=sentence)

    # ------------------------------------------------------------------------------ doctor

    def diagnose(self) -> tuple[Finding, ...]:
        """Reach, version, rights and settings, each with what to do; raises nothing."""
        try:
            version = text(self._call("GET", "/api/version"), "Version")
            application = self._read(refresh=False)
        except (CouldNotTell, NotYet) as problem:
            what = "rights" if isinstance(problem, AccessDenied) else "reach"
            advice = "Check argocd.url, the project and application names, and the token's role."
            return (_finding(what, False, str(problem), advice),)
        reach = _finding("reach", True, f"{self._url} answers for application {self._application}")
        return (
            reach,
            _version_finding(version, _some_healthy(application)),
            self._rights(),
            self._settings(application),
        )

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
        automated = part(application, "spec", "syncPolicy").get("automated")
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
        if operation and text(operation, "sync", "revision") == commit and not _is_dry(operation):
            return True
        return commit in _history(application)

    def _outcome(self, state: Object, commit: str) -> Sync:
        phase, message = text(state, "phase"), text(state, "message")
        if phase == "Succeeded" and text(state, "syncResult", "revision") == commit:
            return Sync(outcome="done", sentence=f"{self._application} was synced to {commit}")
        if phase in ("Failed", "Error"):
            return Sync(outcome="failed", sentence=f"{self._application} at {commit}: {phase}: {message}")
        return Sync(outcome="running", sentence=f"{self._application} at {commit}: {phase} {message}".strip())

    def _explain(self, declined: _Declined, commit: str) -> None:
        """Turn a refused sync into an error; returns when it turns out that our own sync was first."""
        said, name = str(declined), self._application
        if "another operation is already in progress" in said:
            if self._known(self._read(refresh=False), commit):
                return
            raise NotYet("operation_in_progress", f"{name}: another sync is running; asking again", 2.0)
        if "blocked by sync window" in said:
            raise NotYet("sync_window", f"{name}: a sync window forbids syncing now; asking again", 60.0)
        if "auto-sync currently set" in said:
            raise Refused(
                "auto_sync_on",
                f"{name}: Argo CD refuses an exact commit while auto-sync is on ({said}); remove "
                "spec.syncPolicy.automated from the application, then run this again",
            )
        if "error resolving repo revision" in said:
            raise Unreachable(_SYSTEM, f"{name}: it could not read the repository: {said}")
        self._unknown(declined)

    def _unknown(self, declined: _Declined) -> NoReturn:
        where = f"application {self._application} of project {self._project}"
        if declined.http == 403:
            raise AccessDenied(
                _SYSTEM, f"{where}: {declined}; the token needs applications get and sync"
            ) from declined
        if declined.http == 404:  # an ApplicationSet makes it some time after the first commit of a model
            sentence = f"{where} is not there yet: {declined}; an ApplicationSet or a person has to make it"
            raise NotYet("no_application", sentence, 10.0) from declined
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


def _revision(state: Object) -> str:
    return text(state, "syncResult", "revision") or text(state, "operation", "sync", "revision")


def _is_dry(operation: object) -> bool:
    return isinstance(operation, dict) and part(operation, "sync").get("dryRun") is True


def _history(application: Object) -> set[str]:
    entries = part(application, "status").get("history") or []
    return {str(entry.get("revision", "")) for entry in entries if isinstance(entry, dict)}


def _finding(what: str, good: bool | None, sentence: str, advice: str = "") -> Finding:
    return Finding(system=_SYSTEM, what=what, good=good, sentence=sentence, advice=advice)


def _some_healthy(application: Object) -> bool:
    """Whether a health script that knows InferenceServices is seen at work, whatever the version."""
    entries = part(application, "status").get("resources") or []
    services = [e for e in entries if isinstance(e, dict) and e.get("kind") == "InferenceService"]
    return any(part(entry, "health").get("status") == "Healthy" for entry in services)


def _version_finding(version: str, some_healthy: bool) -> Finding:
    try:
        numbers = tuple(int(number) for number in version.lstrip("v").split("+")[0].split(".")[:2])
    except ValueError:
        return _finding("version", None, f"version {version!r} reads oddly")
    if numbers >= _LEAST_VERSION or some_healthy:
        return _finding("version", True, f"version {version}")
    advice = "Upgrade to 3.3 or later, or add its InferenceService health script as a customization."
    return _finding("version", False, f"version {version} may keep InferenceServices Progressing", advice)
