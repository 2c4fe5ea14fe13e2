"""Argo Workflows over its HTTP API: start, list, answer, end.

Hera has a client for this, but it has no time-out, loses the path of the server's address and drops the
fields it does not know. What decides here was seen on a real server: a node takes its output once; a node
that is resumed by its selector without one leaves everything behind it stuck; to resume a node overwrites its
message, to set its phase does not; a refusal by the node's state comes as a 500; a posted event is answered
with 200 whether or not anything matched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from pipelines.errors import AccessDenied, CouldNotTell, Misbehaved, Refused, Unreachable
from pipelines.ports import Finding, Workflow, WorkflowNode, inert

Object = dict[str, Any]

_SYSTEM = "Argo Workflows"
_PART_OF = "lockgate.dev/part-of"
_ALIVE = f"{_PART_OF}=promotions,workflows.argoproj.io/completed!=true"
_FROM_EVENT = "workflows.argoproj.io/workflow-event-binding"
_FIELDS = (
    "metadata.name",
    "metadata.creationTimestamp",
    "spec.workflowTemplateRef",
    "spec.arguments",
    "status.phase",
    "status.message",
    "status.nodes",
)
_BLANK = ("", "undefined")
"""What a field of the form says that nobody filled."""
_LEAST_VERSION = (4, 0)
_RIGHTS = "get, list, create, update, patch and delete"
_LONGEST_MESSAGE = 1000
_NOT_WAITING = "no suspend nodes matching"
_ANSWERED = "already set"
_OVER = "cannot shutdown a completed workflow"


class _Declined(Exception):
    """An answer that says no, in Argo's own words; the caller knows what it means."""

    def __init__(self, http: int, message: str) -> None:
        self.http = http
        super().__init__(message)


class ArgoWorkflows:
    """One namespace of an Argo server, as :class:`~pipelines.ports.Workflows`."""

    def __init__(
        self,
        *,
        url: str,
        namespace: str,
        token: str,
        ui_url: str | None = None,
        ca_file: str | None = None,
        templates: Sequence[str] = (),
        timeout_seconds: float = 20.0,
    ) -> None:
        """Only GET is retried (twice); whoever sends anything else looks again before asking again.

        ``url`` may have a path, which is kept. ``token`` is taken with or without ``Bearer`` before it.
        ``templates`` are those that `lockgate doctor` looks for. ``timeout_seconds`` holds per attempt;
        TLS is always verified, and neither proxies nor credentials come from the environment.
        """
        self._url = url.rstrip("/")
        self._ui_url = (ui_url or url).rstrip("/")
        self._namespace = namespace
        self._templates = tuple(templates)
        self._timeout_seconds = timeout_seconds
        self._calls = 0
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token.removeprefix('Bearer ').strip()}"
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

    # --------------------------------------------------------------------------- Workflows

    @property
    def calls(self) -> int:
        """Requests sent so far, repeated ones not counted."""
        return self._calls

    def alive(self) -> tuple[Workflow, ...]:
        """Every workflow that moves a promotion and has not ended; oldest first."""
        fields = ",".join(f"items.{field}" for field in _FIELDS)
        try:
            answer = self._call(
                "GET", self._path(), params={"listOptions.labelSelector": _ALIVE, "fields": fields}
            )
        except _Declined as declined:
            raise self._misunderstood("list workflows", declined) from None
        found = (self._read(item) for item in answer.get("items") or [])
        living = (workflow for workflow in found if workflow.alive)
        return tuple(sorted(living, key=lambda workflow: (workflow.created_at, workflow.name)))

    def look(self, name: str) -> Workflow | None:
        """One workflow, with its nodes; None when there is none of that name."""
        try:
            return self._read(self._call("GET", self._path(name), params={"fields": ",".join(_FIELDS)}))
        except _Declined as declined:
            if declined.http == 404:
                return None
            raise self._misunderstood(f"show {name}", declined) from None

    def submit(
        self, template: str, parameters: Mapping[str, str], *, name: str = "", prefix: str = ""
    ) -> Workflow | None:
        """Start one from a template.

        The server checks no value against an enum, and evaluates every ``{{=…}}`` in one: such braces are
        taken apart.

        Raises:
            Refused: ``workflow_refused``, with the server's reason.
        """
        options = {
            "name": name,
            "generateName": prefix,
            "labels": f"{_PART_OF}=promotions",
            "parameters": [f"{key}={inert(value)}" for key, value in parameters.items()],
        }
        body = {"resourceKind": "WorkflowTemplate", "resourceName": template, "submitOptions": options}
        try:
            return self._read(self._call("POST", self._path("submit"), body=body))
        except _Declined as declined:
            if declined.http == 409:
                return None
            sentence = f"Argo Workflows does not start {template} in {self._namespace}: {declined}"
            raise Refused("workflow_refused", sentence) from None

    def answer(self, workflow: str, node: str, answer: Literal["go", "stop"], message: str) -> bool:
        """Set the node's output, its message and that it succeeded, in one request: never one alone.

        False when the node waits no more. An output that was set before cannot be set again and stands.
        """
        over = {"message": message, "phase": "Succeeded"}
        try:
            return self._set(workflow, node, outputParameters=json.dumps({"answer": answer}), **over)
        except _Declined:
            return self._set(workflow, node, **over)

    def tell(self, workflow: str, node: str, message: str) -> bool:
        """Show a sentence at a waiting node; False when it waits no more."""
        return self._set(workflow, node, message=message)

    def terminate(self, workflow: str) -> None:
        """End a workflow at once, without what it would still do; already ended or gone is fine."""
        self._on(workflow, "terminate")

    def delete(self, workflow: str) -> None:
        """Remove a workflow and its pods; already gone is fine."""
        try:
            self._call("DELETE", self._path(workflow))
        except _Declined as declined:
            if declined.http != 404:
                raise self._misunderstood(f"delete {workflow}", declined) from None

    def _set(self, workflow: str, node: str, *, message: str, **more: str) -> bool:
        said = message[:_LONGEST_MESSAGE]
        return self._on(workflow, "set", nodeFieldSelector=f"id={node}", message=said, **more)

    def _on(self, workflow: str, verb: str, **body: str) -> bool:
        """Do something to a workflow; False when it is too late for that.

        Raises:
            _Declined: an output was set before.
        """
        try:
            self._call("PUT", self._path(workflow, verb), body=body)
        except _Declined as declined:
            said = str(declined)
            if _ANSWERED in said:
                raise
            if declined.http == 404 or _NOT_WAITING in said or _OVER in said:
                return False
            raise self._misunderstood(f"{verb} {workflow}", declined) from None
        return True

    # ------------------------------------------------------------------------------ doctor

    def diagnose(self) -> tuple[Finding, ...]:
        """Reach, version, rights, templates, the sweeper and events, each with what to do; raises nothing."""
        try:
            version = str(self._call("GET", "/api/v1/version").get("version", "?"))
        except (CouldNotTell, _Declined) as problem:
            what = "rights" if isinstance(problem, AccessDenied) else "reach"
            advice = "Check url, ca_file and token of systems.workflows in platform.yaml."
            return (_finding(what, False, str(problem), advice),)
        reach = _finding("reach", True, f"{self._url} answers")
        templates = (self._template(name) for name in self._templates)
        return (reach, _version_finding(version), self._rights(), *templates, self._sweeper(), self._events())

    def _rights(self) -> Finding:
        try:
            self.alive()
        except CouldNotTell as problem:
            advice = f"Give the token's account {_RIGHTS} on workflows in {self._namespace}."
            return _finding(
                "rights", False if isinstance(problem, AccessDenied) else None, str(problem), advice
            )
        return _finding("rights", True, f"the token may list workflows in {self._namespace}")

    def _template(self, name: str) -> Finding:
        """Whether a template is there and may be started: asked as a dry run, which starts nothing."""
        parameters = [f"{field}=doctor" for field in ("model", "environment")]
        options = {"serverDryRun": True, "generateName": "doctor-", "parameters": parameters}
        body = {"resourceKind": "WorkflowTemplate", "resourceName": name, "submitOptions": options}
        advice = (
            "Apply what `lockgate workflow render` writes, and give the token's account create on workflows."
        )
        try:
            self._call("POST", self._path("submit"), body=body)
        except (CouldNotTell, _Declined) as problem:
            good = None if isinstance(problem, Unreachable) else False
            return _finding("settings", good, f"template {name} cannot be started: {problem}", advice)
        return _finding("settings", True, f"template {name} is there and may be started")

    def _sweeper(self) -> Finding:
        """Nothing moves behind a Suspend node without the sweeper."""
        advice = "Apply the CronWorkflow lockgate-sweep, and see that it is not suspended."
        try:
            cron = self._call("GET", f"/api/v1/cron-workflows/{self._namespace}/lockgate-sweep")
        except (CouldNotTell, _Declined) as problem:
            missing = isinstance(problem, _Declined) and problem.http == 404
            sentence = "there is no CronWorkflow lockgate-sweep" if missing else str(problem)
            return _finding("settings", False if missing else None, sentence, advice)
        if _part(cron, "spec").get("suspend") is True:
            sentence = "the CronWorkflow lockgate-sweep is suspended: nothing goes on behind a wait"
            return _finding("settings", False, sentence, advice)
        last = _text(cron, "status", "lastScheduledTime")
        return _finding(
            "settings", True, f"lockgate-sweep ran last at {last}" if last else "lockgate-sweep is there"
        )

    def _events(self) -> Finding:
        """A posted event is answered with 200 whether or not it started anything: look what it left."""
        try:
            bindings = (
                self._call("GET", f"/api/v1/workflow-event-bindings/{self._namespace}").get("items") or []
            )
            selector = {"listOptions.labelSelector": _FROM_EVENT, "fields": "items.metadata"}
            started = self._call("GET", self._path(), params=selector).get("items") or []
        except (CouldNotTell, _Declined) as problem:
            return _finding("events", None, f"could not tell whether events start anything: {problem}")
        names = ", ".join(sorted(_text(binding, "metadata", "name") for binding in bindings))
        if not names:
            return _finding(
                "events", True, "no event binding is there: promotions are started by other means"
            )
        if not started:
            advice = (
                "Argo answers a posted event with 200 whether or not a binding matched: post one, and look "
                f"for a workflow with the label {_FROM_EVENT}."
            )
            return _finding("events", None, f"no event has started a workflow yet ({names})", advice)
        newest = max(_text(item, "metadata", "creationTimestamp") for item in started)
        return _finding("events", True, f"an event started a workflow last at {newest} ({names})")

    # ------------------------------------------------------------------------- inner calls

    def _path(self, *parts: str) -> str:
        return "/".join(("/api/v1/workflows", self._namespace, *parts))

    def _read(self, item: Object) -> Workflow:
        try:
            name, created = item["metadata"]["name"], item["metadata"]["creationTimestamp"]
            nodes = tuple(_node(name, node) for node in (_part(item, "status", "nodes")).values())
            return Workflow(
                name=name,
                template=_text(item, "spec", "workflowTemplateRef", "name"),
                phase=_text(item, "status", "phase"),
                message=_text(item, "status", "message"),
                created_at=datetime.fromisoformat(created),
                promotion=_promotion(item),
                url=f"{self._ui_url}/workflows/{self._namespace}/{name}",
                nodes=nodes,
            )
        except (AttributeError, KeyError, TypeError, ValueError) as problem:
            sentence = f"a workflow reads oddly: {type(problem).__name__}: {problem}"
            raise Misbehaved(_SYSTEM, sentence) from problem

    def _call(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Object | None = None
    ) -> Object:
        self._calls += 1
        try:
            answer = self._session.request(
                method,
                self._url + path,
                params=params,
                json=body,
                timeout=self._timeout_seconds,
                allow_redirects=False,
            )
        except (requests.RequestException, OSError) as problem:
            raise Unreachable(_SYSTEM, f"{method} {self._url}{path}: {problem}") from problem
        found = _json(answer)
        message = str(found.get("message") or "") if found is not None else ""
        if answer.status_code in (401, 403):
            raise AccessDenied(_SYSTEM, f"{method} {path}: {message or answer.reason}")
        if found is not None and answer.status_code < 300:
            return found
        if message and answer.status_code not in (502, 503, 504):
            raise _Declined(answer.status_code, message)
        if answer.status_code >= 500:
            raise Unreachable(_SYSTEM, f"{method} {path}: HTTP {answer.status_code}")
        raise Misbehaved(_SYSTEM, f"{method} {path}: HTTP {answer.status_code} and no JSON that says why")

    def _misunderstood(self, what: str, declined: _Declined) -> CouldNotTell:
        kind = Unreachable if declined.http >= 500 else Misbehaved
        return kind(_SYSTEM, f"could not {what}: HTTP {declined.http}: {declined}")


def _json(answer: requests.Response) -> Object | None:
    try:
        found = answer.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _node(workflow: str, node: Object) -> WorkflowNode:
    name = str(node["name"])
    given = _parameter(node, "outputs", "answer")
    answer = None if given is None or given.get("value") is None else str(given["value"])
    stage = _parameter(node, "inputs", "stage") or {}
    return WorkflowNode(
        id=str(node["id"]),
        task=name.rpartition(".")[2] if name != workflow else "",
        stage=str(stage.get("value") or ""),
        kind=str(node["type"]),
        phase=str(node.get("phase") or ""),
        message=str(node.get("message") or ""),
        answer=answer,
        unanswered=given is not None and answer is None,
    )


def _parameter(holder: Object, section: str, name: str) -> Object | None:
    """A parameter by its name; None where there is none."""
    parameters = _part(holder, section).get("parameters") or []
    return next((one for one in parameters if one.get("name") == name), None)


def _promotion(item: Object) -> str:
    """The id that the workflow was given, else the one that its first step said."""
    given = _parameter(_part(item, "spec"), "arguments", "promotion") or {}
    if (value := str(given.get("value") or "").strip()) not in _BLANK:
        return value
    for node in _part(item, "status", "nodes").values():
        if str(node["name"]).rpartition(".")[2] == "start":
            return str((_parameter(node, "outputs", "promotion") or {}).get("value") or "")
    return ""


def _part(value: Object, *keys: str) -> Object:
    """The object at a path; {} when any part is missing or of another kind."""
    for key in keys:
        found = value.get(key)
        if not isinstance(found, dict):
            return {}
        value = found
    return value


def _text(value: Object, *keys: str) -> str:
    """The text at a path; "" when any part is missing or of another kind."""
    found = _part(value, *keys[:-1]).get(keys[-1])
    return found if isinstance(found, str) else ""


def _version_finding(version: str) -> Finding:
    numbers = version.removeprefix("v").split("-")[0].split("+")[0].split(".")[:2]
    if not all(part.isdecimal() for part in numbers) or len(numbers) < 2:
        return _finding("version", None, f"version {version} is no number that could be compared")
    least = ".".join(map(str, _LEAST_VERSION))
    if tuple(map(int, numbers)) < _LEAST_VERSION:
        advice = f"Upgrade to {least} or newer: older ones take other fields for locks and schedules."
        return _finding("version", False, f"version {version} is older than {least}", advice)
    return _finding("version", True, f"version {version}")


def _finding(what: str, good: bool | None, sentence: str, advice: str = "") -> Finding:
    return Finding(system=_SYSTEM, what=what, good=good, sentence=sentence, advice=advice)
