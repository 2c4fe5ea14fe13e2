"""The part of Argo CD's HTTP API that lockgate's client and a person's curl use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, jsonify, request

from pipelines.rehearsal.argocd.application import ApiError, Application, Window
from pipelines.rehearsal.argocd.compare import Identity, identify
from pipelines.rehearsal.argocd.facade import Facade

Object = dict[str, Any]
VERSION = "v3.2.11"
_RIGHTS: Mapping[str, frozenset[str]] = {
    "admin": frozenset({"get", "sync", "update", "delete", "create", "override"}),
    "promoter": frozenset({"get", "sync"}),
    "viewer": frozenset({"get"}),
}


class Routes:
    """Handlers bound to a facade; ``tokens`` maps role to bearer token."""

    def __init__(self, facade: Facade, tokens: Mapping[str, str]) -> None:
        if unknown := sorted(set(tokens) - set(_RIGHTS)):
            raise ValueError(f"Argo CD roles are {', '.join(_RIGHTS)}; not {', '.join(unknown)}")
        self._facade = facade
        self._roles = {token: role for role, token in tokens.items()}

    def flask(self) -> Flask:
        """The application to serve."""
        app = Flask("argocd")
        one = "/api/v1/applications/<name>"
        for rule, method, view in (
            ("/api/version", "GET", self._version),
            ("/api/v1/session/userinfo", "GET", self._userinfo),
            ("/api/v1/account/can-i/<resource>/<action>/<project>/<name>", "GET", self._can_i),
            ("/api/v1/projects/<name>", "GET", self._project),
            ("/api/v1/applications", "GET", self._list),
            (one, "GET", self._get),
            (f"{one}/sync", "POST", self._sync),
            (f"{one}/rollback", "POST", self._rollback),
            (f"{one}/operation", "DELETE", self._terminate),
            (f"{one}/syncwindows", "GET", self._windows),
            (f"{one}/resource", "GET", self._resource),
            (f"{one}/resource", "DELETE", self._forbidden_plain),
            (f"{one}/resource", "POST", self._forbidden_plain),
            (f"{one}/resource-tree", "GET", self._tree),
            (f"{one}/spec", "PUT", self._forbidden_plain),
            (one, "PATCH", self._forbidden_update),
            (one, "DELETE", self._forbidden_delete),
            ("/_rehearsal/applications/<name>", "POST", self._configure),
        ):
            app.add_url_rule(rule, f"{method} {rule}", view, methods=[method])
        app.register_error_handler(ApiError, _refusal)
        app.register_error_handler(404, _not_found)
        return app

    # ------------------------------------------------------------------ who asks for what

    def _role(self) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise ApiError(401, 16, "no session information")
        role = self._roles.get(token)
        if role is None:
            message = "invalid session: token is malformed: token contains an invalid number of segments"
            raise ApiError(401, 16, message)
        return role

    def _application(self, name: str, action: str, project: str | None) -> Application:
        """The application, once the caller's rights for the action are seen."""
        role = self._role()
        application = self._facade.applications.get(name)
        if application is None and not project:
            raise ApiError(403, 7, "permission denied")
        if application is None or (project and project != application.project):
            raise ApiError(404, 5, f'applications.argoproj.io "{name}" not found')
        if action not in _RIGHTS[role]:
            raise _denied(role, action, application)
        return application

    def _by(self) -> Object:
        role = self._role()
        return {"username": role if role == "admin" else f"proj:{role}"}

    # ------------------------------------------------------------------------------ reads

    def _version(self) -> Response:
        return jsonify({"Version": VERSION})

    def _userinfo(self) -> Response:
        role = self._role()
        return jsonify({"loggedIn": True, "username": role, "iss": "argocd"})

    def _can_i(self, resource: str, action: str, project: str, name: str) -> Response:
        role = self._role()
        application = self._facade.applications.get(name)
        here = application is not None and application.project == project
        good = here and resource == "applications" and action in _RIGHTS[role]
        return jsonify({"value": "yes" if good else "no"})

    def _project(self, name: str) -> Response:
        self._role()
        if name not in {application.project for application in self._facade.applications.values()}:
            raise ApiError(404, 5, f'appprojects.argoproj.io "{name}" not found')
        return jsonify({"metadata": {"name": name, "namespace": "argocd"}, "spec": {"sourceRepos": ["*"]}})

    def _list(self) -> Response:
        self._role()
        items = [self._json(application) for application in self._facade.applications.values()]
        return jsonify({"metadata": {}, "items": items or None})

    def _get(self, name: str) -> Response:
        application = self._application(name, "get", request.args.get("project"))
        if request.args.get("refresh"):
            self._facade.refresh(application)
        return jsonify(self._json(application))

    def _json(self, application: Application) -> Object:
        resources, status = self._facade.view(application)
        return application.json(resources, status)

    def _windows(self, name: str) -> Response:
        return jsonify(self._application(name, "get", request.args.get("project")).windows_json())

    def _resource(self, name: str) -> Response:
        application = self._application(name, "get", request.args.get("project"))
        asked = {key: request.args.get(key, "") for key in ("version", "kind", "group")}
        for key in ("version", "kind"):
            if not asked[key]:
                raise ApiError(
                    500, 13, f'grpc: error while marshaling: proto: required field "{key}" not set'
                )
        wanted = Identity(
            asked["group"],
            asked["kind"],
            request.args.get("namespace", ""),
            request.args.get("resourceName", ""),
        )
        for item, _ in self._objects(application):
            if identify(item) == wanted:
                return jsonify({"manifest": json.dumps(item)})
        message = f"{wanted.kind} {wanted.group} {wanted.name} not found as part of application {name}"
        raise ApiError(400, 3, message)

    def _tree(self, name: str) -> Response:
        application = self._application(name, "get", request.args.get("project"))
        nodes = []
        for item, parent in self._objects(application):
            identity = identify(item)
            node: Object = {"version": item["apiVersion"].rpartition("/")[2], "kind": identity.kind}
            node |= {"group": identity.group} if identity.group else {}
            node |= {"namespace": identity.namespace, "name": identity.name}
            if parent is not None:
                node["parentRefs"] = [{"group": parent.group, "kind": parent.kind, "name": parent.name}]
            nodes.append(node)
        return jsonify({"nodes": nodes})

    def _objects(self, application: Application) -> list[tuple[Object, Identity | None]]:
        """Everything in the application's tree, with its parent."""
        cluster = self._facade.cluster
        found: list[tuple[Object, Identity | None]] = []
        for identity in cluster.tracked(application.name):
            live = cluster.live(identity)
            if live is not None:
                found.append((live, None))
                found += [(child, identity) for child in cluster.children(identity)]
        return found

    # ----------------------------------------------------------------------------- writes

    def _sync(self, name: str) -> Response:
        body = _body()
        application = self._application(name, "get", body.get("project") or request.args.get("project"))
        role = self._role()
        for action in ("sync", *(["override"] if body.get("manifests") else [])):
            if action not in _RIGHTS[role]:
                raise _denied(role, action, application)
        self._facade.sync(application, body, self._by())
        return jsonify(self._json(application))

    def _rollback(self, name: str) -> Response:
        body = _body()
        application = self._application(name, "sync", body.get("project") or request.args.get("project"))
        self._facade.rollback(application, int(body.get("id", 0)), self._by())
        return jsonify(self._json(application))

    def _terminate(self, name: str) -> Response:
        self._facade.terminate(self._application(name, "sync", request.args.get("project")))
        return jsonify({})

    def _forbidden_plain(self, name: str) -> Response:
        self._application(name, "get", request.args.get("project"))
        raise ApiError(403, 7, "permission denied")

    def _forbidden_update(self, name: str) -> Response:
        self._application(name, "update", request.args.get("project"))
        raise ApiError(403, 7, "permission denied: the rehearsal's applications are fixed")

    def _forbidden_delete(self, name: str) -> Response:
        self._application(name, "delete", request.args.get("project"))
        raise ApiError(403, 7, "permission denied: the rehearsal's applications are fixed")

    def _configure(self, name: str) -> Response:
        """Set windows or auto-sync from outside: ``{"windows": [{"kind": "deny"}], "auto_sync": false}``."""
        body = _body()
        windows = tuple(Window(**window) for window in body["windows"]) if "windows" in body else None
        self._facade.configure(name, windows=windows, auto_sync=body.get("auto_sync"))
        return jsonify({})


def _body() -> Object:
    body = request.get_json(silent=True, force=True) if request.data else {}
    if not isinstance(body, dict):
        raise ApiError(400, 3, "json: cannot unmarshal into Go value of type ApplicationSyncRequest")
    return body


def _denied(role: str, action: str, application: Application) -> ApiError:
    where = f"{application.project}/{application.name}"
    subject = f"proj:{application.project}:{role}"
    return ApiError(403, 7, f"permission denied: applications, {action}, {where}, sub: {subject}, iat: now")


def _refusal(problem: ApiError) -> tuple[Response, int]:
    message = str(problem)
    return jsonify({"error": message, "code": problem.code, "message": message}), problem.http


def _not_found(problem: Exception) -> tuple[Response, int]:
    return jsonify({"error": "Not Found", "code": 5, "message": "Not Found"}), 404
