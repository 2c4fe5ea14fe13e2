"""The part of Argo's HTTP API that lockgate's client and a person's curl use, with Argo's own refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from flask import Flask, Response, jsonify, request

from pipelines.rehearsal.argo.cluster import Cluster, Exists, Held, NotFound, matches, only
from pipelines.workflow.running import BadWorkflow
from pipelines.workflow.running.engine import NotSuspended

Object = dict[str, Any]
VERSION = "v4.0.2"
READER = "reader"
CREATOR = "workflows.argoproj.io/creator"


class ApiError(Exception):
    """A refusal: HTTP status, gRPC code and message."""

    def __init__(self, http: int, code: int, message: str) -> None:
        self.http = http
        self.code = code
        super().__init__(message)


class Routes:
    """Handlers bound to a cluster."""

    def __init__(self, cluster: Cluster, tokens: Mapping[str, str], namespace: str, path: str) -> None:
        self._cluster = cluster
        self._accounts = {token: account for account, token in tokens.items()}
        self._namespace = namespace
        self._path = path

    def flask(self) -> Flask:
        """The application to serve."""
        app = Flask("argo-workflows")
        all_of_them = "/api/v1/workflows/<namespace>"
        one = f"{all_of_them}/<name>"
        for rule, method, view in (
            ("/api/v1/version", "GET", self._version),
            (all_of_them, "GET", self._list),
            (one, "GET", self._get),
            (one, "DELETE", self._delete),
            (f"{all_of_them}/submit", "POST", self._submit),
            (f"{one}/set", "PUT", self._set),
            (f"{one}/resume", "PUT", self._resume),
            (f"{one}/terminate", "PUT", self._terminate),
            (f"{one}/stop", "PUT", self._stop),
            ("/api/v1/cron-workflows/<namespace>/<name>", "GET", self._cron),
            ("/api/v1/workflow-event-bindings/<namespace>", "GET", self._bindings),
            ("/api/v1/events/<namespace>/<discriminator>", "POST", self._event),
        ):
            app.add_url_rule(self._path + rule, f"{method} {rule}", view, methods=[method])
        app.add_url_rule("/_rehearsal/objects", view_func=self._apply, methods=["POST"])
        for kind, answer in _REFUSALS.items():
            app.register_error_handler(kind, answer)
        return app

    # ------------------------------------------------------------------------- who asks what

    def _account(self) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        account = self._accounts.get(token) if scheme == "Bearer" else None
        if account is None:
            raise ApiError(
                401, 16, "token not valid. see https://argo-workflows.readthedocs.io/en/latest/faq/"
            )
        return account

    def _may(self, verb: str, namespace: str, *, reading: bool = False) -> None:
        account = self._account()
        if namespace != self._namespace or (account == READER and not reading):
            _denied(account, verb, namespace)

    def _creator(self) -> dict[str, str]:
        """Who asks, as labels; labels of the asker's own come after them, as in 4.0.2."""
        account = self._account()
        if "@" not in account:
            return {CREATOR: f"system-serviceaccount-{self._namespace}-{account}"}
        name = account.partition("@")[0]
        email = account.replace("@", ".at.", 1)
        return {CREATOR: "7f3a90", f"{CREATOR}-email": email, f"{CREATOR}-preferred-username": name}

    # --------------------------------------------------------------------------------- reads

    def _version(self) -> Response:
        self._account()
        return jsonify({"version": VERSION, "platform": "linux/amd64"})

    def _list(self, namespace: str) -> Response:
        self._may("list", namespace, reading=True)
        selector = request.args.get("listOptions.labelSelector", "")
        with self._cluster.lock:
            found = [held for held in self._cluster.workflows.values() if matches(held.labels, selector)]
            items = [held.manifest(namespace) for held in found]
        return _shown({"metadata": {}, "items": items or None})

    def _get(self, namespace: str, name: str) -> Response:
        self._may("get", namespace, reading=True)
        with self._cluster.lock:
            return _shown(self._cluster.held(name).manifest(namespace))

    def _cron(self, namespace: str, name: str) -> Response:
        self._may("get", namespace, reading=True)
        return jsonify(self._cluster.get("CronWorkflow", "cronworkflows", name))

    def _bindings(self, namespace: str) -> Response:
        self._may("list", namespace, reading=True)
        objects = self._cluster.objects.items()
        return jsonify(
            {"items": [one for (kind, _), one in objects if kind == "WorkflowEventBinding"] or None}
        )

    def _event(self, namespace: str, discriminator: str) -> Response:
        """An empty answer, whether or not anything is bound to it."""
        if not request.headers.get("Authorization"):
            raise ApiError(403, 7, "failed to verify webhook")
        self._may("create", namespace)
        headers = {key.lower(): [value] for key, value in request.headers if key.lower().startswith("x-")}
        event = {
            "namespace": namespace,
            "discriminator": discriminator,
            "metadata": headers,
            "payload": request.get_json(silent=True) or {},
        }
        self._cluster.posted(event, self._creator())
        return jsonify({})

    # -------------------------------------------------------------------------------- writes

    def _submit(self, namespace: str) -> Response:
        self._may("create", namespace)
        body = _body()
        if body.get("resourceKind") != "WorkflowTemplate":
            raise ApiError(
                400, 3, f"Resource kind '{body.get('resourceKind')}' is not supported for submitting"
            )
        options = body.get("submitOptions") or {}
        given = dict(_pair(one) for one in options.get("parameters") or [])
        labels = dict(_pair(one) for one in (options.get("labels") or "").split(",") if one)
        held = self._cluster.submit(
            str(body.get("resourceName", "")),
            given,
            name=options.get("name") or "",
            prefix=options.get("generateName") or "",
            labels={**self._creator(), **labels},
            dry=bool(options.get("dryRun") or options.get("serverDryRun")),
        )
        manifest = held.manifest(namespace)
        return jsonify({**manifest, "status": {"startedAt": None, "finishedAt": None}})

    def _apply(self) -> Response:
        """What `kubectl apply` would do; no part of Argo's API."""
        self._cluster.apply(request.get_data(as_text=True))
        return jsonify({})

    def _set(self, namespace: str, name: str) -> Response:
        values = json.loads(_body().get("outputParameters") or "{}")
        message, phase = str(_body().get("message") or ""), _body().get("phase") or ""
        if phase not in ("", "Succeeded"):
            raise ApiError(400, 3, f"{phase} is an invalid phase to set to")

        def act(held: Held, now: datetime) -> None:
            if values or not phase:
                held.run.set_output(_selector(), values, now, message)
            if phase:
                held.run.resume(_selector(), now, message)

        return self._on("patch", namespace, name, act)

    def _resume(self, namespace: str, name: str) -> Response:
        said = f"Resumed by: map[User:system:serviceaccount:{namespace}:{self._account()}]"

        def act(held: Held, now: datetime) -> None:
            held.run.resume(_selector() or None, now, said)

        return self._on("patch", namespace, name, act)

    def _terminate(self, namespace: str, name: str) -> Response:
        return self._on("patch", namespace, name, lambda held, now: _shut(held, held.run.terminate, now))

    def _stop(self, namespace: str, name: str) -> Response:
        return self._on("patch", namespace, name, lambda held, now: _shut(held, held.run.stop, now))

    def _on(self, verb: str, namespace: str, name: str, act: Any) -> Response:
        self._may(verb, namespace)
        with self._cluster.lock:
            held = self._cluster.held(name)
            act(held, datetime.now(UTC))
            return jsonify(held.manifest(namespace))

    def _delete(self, namespace: str, name: str) -> Response:
        self._may("delete", namespace)
        self._cluster.delete(name)
        return jsonify({})


def _shut(held: Held, end: Any, now: datetime) -> None:
    if held.run.finished_at is not None:
        raise ApiError(500, 13, f'cannot shutdown a completed workflow: workflow: "{held.run.name}"')
    end(now)


def _shown(answer: Object) -> Response:
    fields = request.args.get("fields", "")
    return jsonify(only(answer, fields.split(",")) if fields else answer)


def _body() -> Object:
    found = request.get_json(silent=True)
    if not isinstance(found, dict):
        raise ApiError(400, 3, "the body is no JSON object")
    return found


def _pair(written: str) -> tuple[str, str]:
    name, equals, value = written.partition("=")
    if not equals:
        raise ApiError(500, 13, f"expected parameter of the form: NAME=VALUE. Received: {written}")
    return name, value


def _selector() -> dict[str, str]:
    return dict(_pair(one) for one in str(_body().get("nodeFieldSelector") or "").split(",") if one)


def _denied(account: str, verb: str, namespace: str) -> NoReturn:
    user = f'User "system:serviceaccount:{namespace}:{account}"'
    message = (
        f'workflows.argoproj.io is forbidden: {user} cannot {verb} resource "workflows" in API group '
        f'"argoproj.io" in the namespace "{namespace}"'
    )
    raise ApiError(403, 7, message)


def _refusal(http: int, code: int) -> Any:
    def answer(error: Exception) -> tuple[Response, int]:
        return jsonify({"code": code, "message": str(error), "details": []}), http

    return answer


_REFUSALS: Mapping[Any, Any] = {
    ApiError: lambda error: _refusal(error.http, error.code)(error),
    NotFound: _refusal(404, 5),
    Exists: _refusal(409, 6),
    BadWorkflow: _refusal(400, 3),
    NotSuspended: _refusal(500, 13),
    404: lambda error: (Response("404 page not found\n", 404, content_type="text/plain"), 404),
}
