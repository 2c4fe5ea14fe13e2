"""A forge on loopback: GitHub's REST subset and git smart HTTP over one real bare repository.

Answers under ``/api/v3`` the way GitHub Enterprise Server does. Commits, diffs, conflicts and merges are
git's own; pull requests, reviews and statuses follow GitHub's rules, refusals included. Left out:
webhooks, GraphQL, merge queues, deployments, rulesets.

- content.py     the bare repository
- state.py       pull requests and the rest, in one JSON file
- rules.py       what may be merged
- identity.py    accounts, the App and its tokens
- shapes.py      JSON as GitHub writes it
- rest.py, rest_pulls.py, smart_http.py, page.py   what is answered
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from flask import Blueprint, Flask, Response, g, jsonify, request

from pipelines.rehearsal.forge import page, rest, rest_pulls, smart_http
from pipelines.rehearsal.forge.content import Content
from pipelines.rehearsal.forge.identity import APP_ID, INSTALLATION_ID, Accounts
from pipelines.rehearsal.forge.rules import Denied, Rules
from pipelines.rehearsal.forge.shapes import Shapes
from pipelines.rehearsal.forge.state import State
from pipelines.rehearsal.forge.world import World
from pipelines.rehearsal.server import LoopbackServer

__all__ = ["APP_ID", "INSTALLATION_ID", "Forge"]


class Forge(LoopbackServer):
    """The forge; ``start()`` serves it, ``stop()`` ends it, what it knows stays in ``folder``.

    ``accounts`` maps each login to its token. ``app_account`` may push to protected branches (it stands
    on their bypass list, as a machine account that commits shares must) but merges by the same rules as all.
    """

    def __init__(
        self, folder: Path, *, repository: str = "acme/ml-gitops", accounts: Mapping[str, str],
        app_account: str, port: int = 0,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        state = State(folder / "forge.json")
        people = Accounts(folder, state, accounts, app_account)
        content = Content(folder / f"{repository}.git")
        super().__init__(Flask("forge"), port=port)
        self.world = World(
            repository=repository, content=content, state=state, accounts=people, rules=Rules(content, state),
            shapes=Shapes(self.url, repository, people.user),
        )  # fmt: skip
        self._routes()

    @property
    def api_url(self) -> str:
        """Base address of the REST API."""
        return f"{self.url}/api/v3"

    @property
    def git_url(self) -> str:
        """Address to clone from and push to."""
        return f"{self.url}/{self.world.repository}.git"

    @property
    def app_private_key(self) -> str:
        """The App's private key (PEM); its id is ``APP_ID``, its installation ``INSTALLATION_ID``."""
        return self.world.accounts.private_key

    def pull_page(self, number: int) -> str:
        """Address of the page where people read a pull request."""
        return self.world.shapes.pull_page(number)

    def _routes(self) -> None:
        api = Blueprint("api", __name__, url_prefix="/api/v3")
        api.before_request(self._identify)
        api.after_request(_headers)
        for routes in (
            rest.identity_routes, rest.content_routes, rest.ref_routes, rest.history_routes,
            rest.check_routes, rest.protection_routes, rest_pulls.pull_routes, rest_pulls.merge_routes,
            rest_pulls.review_routes, rest_pulls.comment_routes,
        ):  # fmt: skip
            routes(api, self.world)
        self.app.register_blueprint(api)
        self.app.register_error_handler(Denied, _denied)
        self.app.register_error_handler(404, lambda _: _denied(Denied(404, "Not Found")))
        address = f"/{self.world.repository}"
        self.app.add_url_rule(f"{address}.git/<path:service>", view_func=self._git, methods=["GET", "POST"])
        self.app.add_url_rule(f"{address}/pull/<int:number>", view_func=self._page)

    def _identify(self) -> None:
        g.actor = self.world.accounts.actor(request.headers.get("Authorization", ""))
        if g.actor.kind == "app" and not request.path.startswith("/api/v3/app"):
            raise Denied(401, "A JSON web token is not accepted here")

    def _git(self, service: str) -> Response:
        if service not in ("info/refs", "git-upload-pack", "git-receive-pack"):
            raise Denied(404, "Not Found")
        try:
            actor = self.world.accounts.actor(request.headers.get("Authorization", ""))
        except Denied as denied:
            challenge = {"WWW-Authenticate": 'Basic realm="forge"'}
            return Response(denied.message, 401, challenge, content_type="text/plain")
        return smart_http.serve(
            self.world.content.path, service, actor,
            app_account=self.world.accounts.app_account, protected=tuple(self.world.state.protection),
        )  # fmt: skip

    def _page(self, number: int) -> Response:
        with self.world.state.lock:
            text = page.render(self.world, self.world.pull(number))
        return Response(text, 200, page.HEADERS, content_type="text/html; charset=utf-8")


def _headers(response: Response) -> Response:
    response.headers["X-GitHub-Request-Id"] = secrets.token_hex(8)
    response.headers["X-GitHub-Enterprise-Version"] = "3.17.0"
    response.headers["X-RateLimit-Limit"] = "5000"
    response.headers["X-RateLimit-Remaining"] = "4999"
    response.headers["X-RateLimit-Reset"] = "4102444800"
    return response


def _denied(denied: Denied) -> Response:
    answer = {"message": denied.message, "status": str(denied.status)}
    response = jsonify(answer if denied.errors is None else {**answer, "errors": denied.errors})
    response.status_code = denied.status
    return response
