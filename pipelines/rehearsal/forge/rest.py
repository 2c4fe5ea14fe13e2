"""REST routes for the repository: identity, refs, branches, commits, statuses, protection."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, jsonify, request

from pipelines.rehearsal.forge.content import DEFAULT_BRANCH
from pipelines.rehearsal.forge.identity import APP_ID, INSTALLATION_ID, PERMISSIONS, Actor
from pipelines.rehearsal.forge.rules import Denied
from pipelines.rehearsal.forge.state import Check
from pipelines.rehearsal.forge.world import World

CONCLUSIONS = ("success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required")
_MISSING = "Not Found"


def actor() -> Actor:
    """Who sent the present request."""
    who: Actor = g.actor
    return who


def body() -> dict[str, Any]:
    """The JSON object sent.

    Raises:
        Denied: 400 for anything else.
    """
    sent = request.get_json(silent=True, force=True)
    if not isinstance(sent, dict):
        raise Denied(400, "Problems parsing JSON")
    return sent


def invalid(resource: str, field: str, code: str = "invalid") -> Denied:
    """The 422 GitHub gives for one bad field."""
    return Denied(422, "Validation Failed", [{"resource": resource, "field": field, "code": code}])


def paged(items: list[dict[str, Any]], wrap: str = "") -> Response:
    """One page of a list, with ``Link`` headers as GitHub sends them; ``wrap`` names the key around it."""
    size = min(max(request.args.get("per_page", 30, int), 1), 100)
    page = max(request.args.get("page", 1, int), 1)
    last = max(-(-len(items) // size), 1)
    shown = items[(page - 1) * size : page * size]
    response = jsonify({"total_count": len(items), wrap: shown} if wrap else shown)
    links = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
    wanted = (["prev", "first"] if page > 1 else []) + (["next", "last"] if page < last else [])
    if last > 1:
        response.headers["Link"] = ", ".join(f'<{_page_url(links[name])}>; rel="{name}"' for name in wanted)
    return response


def _page_url(page: int) -> str:
    arguments = {**request.args.to_dict(), "page": str(page)}
    return f"{request.base_url}?" + "&".join(f"{key}={value}" for key, value in arguments.items())


def identity_routes(api: Blueprint, world: World) -> None:
    """/user, /users, /rate_limit, and what an App asks."""
    accounts, shapes = world.accounts, world.shapes
    slug = accounts.app_account.removesuffix("[bot]")
    installation = {
        "id": INSTALLATION_ID, "app_id": APP_ID, "app_slug": slug, "permissions": PERMISSIONS, "events": [],
        "repository_selection": "selected", "target_type": "Organization",
        "account": shapes.user(world.repository.partition("/")[0]),
        "access_tokens_url": f"{shapes.api}/app/installations/{INSTALLATION_ID}/access_tokens",
    }  # fmt: skip

    @api.get("/user")
    def user() -> Response:
        if actor().kind != "user":
            raise Denied(403, "Resource not accessible by integration")
        return jsonify(shapes.user(actor().login))

    @api.get("/users/<login>")
    def other_user(login: str) -> Response:
        if login not in accounts.logins:
            raise Denied(404, _MISSING)
        return jsonify(shapes.user(login))

    @api.get("/rate_limit")
    def rate_limit() -> Response:
        core = {"limit": 5000, "remaining": 4999, "reset": 4102444800, "used": 1}
        return jsonify({"resources": {"core": core, "search": core}, "rate": core})

    @api.get("/app")
    def app() -> Response:
        _only_app()
        return jsonify(
            {"id": APP_ID, "slug": slug, "name": slug, "permissions": PERMISSIONS, "events": [],
             "owner": installation["account"], "installations_count": 1}
        )  # fmt: skip

    @api.get("/app/installations/<int:number>")
    def installed(number: int) -> Response:
        _only_app(number)
        return jsonify(installation)

    @api.post("/app/installations/<int:number>/access_tokens")
    def access_token(number: int) -> tuple[Response, int]:
        _only_app(number)
        return jsonify(accounts.installation_token()), 201


def _only_app(number: int = INSTALLATION_ID) -> None:
    if actor().kind != "app":
        raise Denied(401, "A JSON web token could not be decoded")
    if number != INSTALLATION_ID:
        raise Denied(404, _MISSING)


def content_routes(api: Blueprint, world: World) -> None:
    """The repository and its branches."""
    content, shapes = world.content, world.shapes

    @api.get("/repos/<path:name>")
    def repository(name: str) -> Response:
        if name.lower() != world.repository.lower():
            raise Denied(404, _MISSING)
        return jsonify(shapes.repository())

    @api.get(f"{world.prefix}/branches")
    def branches() -> Response:
        rules = world.state.protection
        found = content.branches().items()
        return paged([shapes.branch(name, sha, protected=name in rules) for name, sha in found])

    @api.get(f"{world.prefix}/branches/<path:branch>")
    def branch(branch: str) -> Response:
        sha = world.commit(f"refs/heads/{branch}")
        return jsonify(shapes.branch(branch, sha, protected=branch in world.state.protection))


def ref_routes(api: Blueprint, world: World) -> None:
    """Git refs."""
    content, shapes = world.content, world.shapes

    @api.get(f"{world.prefix}/git/ref/heads/<path:branch>")
    @api.get(f"{world.prefix}/git/refs/heads/<path:branch>")
    def ref(branch: str) -> Response:
        return jsonify(shapes.ref(branch, world.commit(f"refs/heads/{branch}")))

    @api.post(f"{world.prefix}/git/refs")
    def new_ref() -> tuple[Response, int]:
        sent = body()
        branch, sha = str(sent.get("ref", "")).removeprefix("refs/heads/"), str(sent.get("sha", ""))
        if content.sha(sha) != sha or not content.holds("check-ref-format", "--branch", branch):
            raise Denied(422, "Object does not exist")
        if not content.move(branch, sha, None):
            raise Denied(422, "Reference already exists")
        return jsonify(shapes.ref(branch, sha)), 201

    @api.patch(f"{world.prefix}/git/refs/heads/<path:branch>")
    def move_ref(branch: str) -> Response:
        old, new = world.commit(f"refs/heads/{branch}"), world.commit(str(body().get("sha", "")))
        forced = bool(body().get("force")) and branch != DEFAULT_BRANCH
        world.guard(branch, actor())
        if not forced and not content.is_ancestor(old, new):
            raise Denied(422, "Update is not a fast forward")
        if not content.move(branch, new, old):
            raise Denied(422, "Reference cannot be updated")
        return jsonify(shapes.ref(branch, new))

    @api.delete(f"{world.prefix}/git/refs/heads/<path:branch>")
    def delete_ref(branch: str) -> tuple[str, int]:
        world.guard(branch, actor())
        if branch == DEFAULT_BRANCH or not content.delete(branch):
            raise Denied(422, "Reference does not exist")
        return "", 204


def history_routes(api: Blueprint, world: World) -> None:
    """Commits and comparisons."""
    content, shapes = world.content, world.shapes

    @api.get(f"{world.prefix}/commits")
    def commits() -> Response:
        start = world.commit(request.args.get("sha", DEFAULT_BRANCH))
        return paged(
            [shapes.commit(entry) for entry in content.commits(start, path=request.args.get("path", ""))]
        )

    @api.get(f"{world.prefix}/commits/<path:name>")
    def commit(name: str) -> Response:
        return jsonify(shapes.commit(content.commits(world.commit(name), limit=1)[0]))

    @api.get(f"{world.prefix}/compare/<path:span>")
    def compare(span: str) -> Response:
        base, dots, head = span.partition("...")
        if not dots:
            raise Denied(404, _MISSING)
        older, newer = world.commit(base), world.commit(head)
        ahead, behind = content.count(older, newer), content.count(newer, older)
        status = ("diverged" if behind else "ahead") if ahead else ("behind" if behind else "identical")
        entries = content.commits(f"{older}..{newer}")[::-1]
        return jsonify(
            {"url": request.base_url, "status": status, "ahead_by": ahead, "behind_by": behind,
             "total_commits": ahead, "commits": [shapes.commit(entry) for entry in entries],
             "base_commit": shapes.commit(content.commits(older, limit=1)[0]),
             "files": content.files(older, newer)}
        )  # fmt: skip


def check_routes(api: Blueprint, world: World) -> None:
    """Commit statuses and check runs."""
    state, shapes = world.state, world.shapes

    @api.post(f"{world.prefix}/statuses/<sha>")
    def new_status(sha: str) -> tuple[Response, int]:
        sent = body()
        if world.content.sha(sha) != sha:
            raise Denied(422, f"No commit found for SHA: {sha}")
        if sent.get("state") not in ("success", "pending", "failure", "error"):
            raise invalid("Status", "state")
        if len(sent.get("description") or "") > 140:
            raise invalid("Status", "description", "custom")
        return jsonify(
            shapes.status(_report(sha, str(sent.get("context") or "default"), sent, run=False))
        ), 201

    @api.post(f"{world.prefix}/check-runs")
    def new_check_run() -> tuple[Response, int]:
        if actor().kind != "installation":
            raise Denied(403, "You must authenticate via a GitHub App.")
        sent = body()
        sha = world.commit(str(sent.get("head_sha", "")))
        if sent.get("conclusion") not in (None, *CONCLUSIONS) or not sent.get("name"):
            raise invalid("CheckRun", "conclusion")
        seen = {"state": sent.get("conclusion") or "pending", "target_url": sent.get("details_url")}
        return jsonify(shapes.check_run(_report(sha, str(sent["name"]), seen, run=True))), 201

    def _report(sha: str, context: str, sent: dict[str, Any], *, run: bool) -> Check:
        with state.lock:
            check = Check(
                id=state.next_id(), sha=sha, context=context, state=sent["state"], run=run,
                description=sent.get("description") or "", target_url=sent.get("target_url") or "",
                login=actor().login,
            )  # fmt: skip
            state.checks.append(check)
            state.save()
        return check

    @api.get(f"{world.prefix}/statuses/<path:name>")
    @api.get(f"{world.prefix}/commits/<path:name>/statuses")
    def statuses(name: str) -> Response:
        sha = world.commit(name)
        return paged(
            [shapes.status(check) for check in state.checks[::-1] if check.sha == sha and not check.run]
        )

    @api.get(f"{world.prefix}/commits/<path:name>/status")
    def combined(name: str) -> Response:
        sha = world.commit(name)
        return jsonify(shapes.combined(sha, [check for check in state.latest(sha) if not check.run]))

    @api.get(f"{world.prefix}/commits/<path:name>/check-runs")
    def check_runs(name: str) -> Response:
        found = state.latest(world.commit(name))
        return paged([shapes.check_run(check) for check in found if check.run], "check_runs")


def protection_routes(api: Blueprint, world: World) -> None:
    """Branch protection: required contexts and required approving reviews."""
    state, shapes = world.state, world.shapes
    address = f"{world.prefix}/branches/<path:branch>/protection"

    @api.get(address)
    def protection(branch: str) -> Response:
        if branch not in state.protection:
            raise Denied(404, "Branch not protected")
        return jsonify(shapes.protection(branch, state.protection[branch]))

    @api.put(address)
    def protect(branch: str) -> Response:
        sent = body()
        with state.lock:
            state.protection[branch] = {
                "enforce_admins": bool(sent.get("enforce_admins")),
                "required_status_checks": _checks(sent.get("required_status_checks")),
                "required_pull_request_reviews": _reviews(sent.get("required_pull_request_reviews")),
            }
            state.save()
        return jsonify(shapes.protection(branch, state.protection[branch]))

    @api.delete(address)
    def unprotect(branch: str) -> tuple[str, int]:
        with state.lock:
            if state.protection.pop(branch, None) is None:
                raise Denied(404, "Branch not protected")
            state.save()
        return "", 204


def _checks(sent: dict[str, Any] | None) -> dict[str, Any] | None:
    if not sent:
        return None
    contexts = [*sent.get("contexts", []), *(check["context"] for check in sent.get("checks", []))]
    return {"strict": bool(sent.get("strict")), "contexts": list(dict.fromkeys(contexts))}


def _reviews(sent: dict[str, Any] | None) -> dict[str, Any] | None:
    if not sent:
        return None
    return {
        "dismiss_stale_reviews": bool(sent.get("dismiss_stale_reviews")),
        "require_code_owner_reviews": False,
        "require_last_push_approval": False,
        "required_approving_review_count": int(sent.get("required_approving_review_count") or 0),
    }
