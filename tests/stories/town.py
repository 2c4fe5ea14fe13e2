"""A rehearsal in which a whole promotion takes seconds, and the people who live in it.

Everything is the rehearsal's own: only the rules that people wrote into platform.yaml and release.yaml are
quicker. People act as themselves: with their own token at the forge and in git, signed in on the desk's page.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import requests
import yaml

from gates.signature import artifact_digest
from pipelines.clients.git import GitRepository
from pipelines.rehearsal import settings
from pipelines.rehearsal.training import MODEL, Faults, write_artifact
from pipelines.rehearsal.world import Rehearsal
from pipelines.render import Serves, serves_of
from pipelines.spec.types import Version

RPS = 100.0
SERVICE = f"{settings.TENANT}-prod/{MODEL}"
MANIFESTS = f"clusters/prod/{settings.TENANT}/{MODEL}"
PULLS = "/repos/acme/ml-gitops/pulls"
LATE_MS = 500.0
"""Far above what a busy machine does to a good answer; an edge of Envoy's histogram."""
TIER: Mapping[str, Any] = {
    "strategy": "canary",
    "shares": [50, 100],
    "bake": {"minimum": "1s", "maximum": "60s", "look_every": "1s", "warm_up": "0s"},
    "gates": {"policy": {}, "signature": {}, "share": {}, "slo": {"minimum_requests": 30}},
    "preview_at_most": "60s",
    "sync_at_most": "60s",
    "hold_budget": "60s",
    "supersede": "queue",
}
APPROVAL = {"wait_at_most": "5m", "ask_every": "1s"}


class Town(Rehearsal):
    """The quick world. What people write is changed by :meth:`write_rules`, a commit like any other."""

    def __init__(self, folder: Path, *, artifacts: Path, serving: str = "v1") -> None:
        super().__init__(folder, artifacts=artifacts, rps=RPS, serving=serving, scrape_seconds=0.5)
        self._made = 0
        self._repositories: dict[str, GitRepository] = {}

    # -------------------------------------------------------------- what people wrote

    def platform_text(self) -> str:
        """The quick rules."""
        return self.rules()

    def rules(
        self,
        *,
        preview: bool = False,
        approval: Mapping[str, Any] | None = None,
        gates: Mapping[str, Any] | None = None,
        freezes: list[dict[str, Any]] | None = None,
        reviews: int = 0,
        **tier: Any,
    ) -> str:
        """platform.yaml with the quick tier; ``gates`` are added to its own, ``tier`` replaces keys.

        With ``approval`` ({} will do) a change is needed; it is asked about every second.
        """
        document = yaml.safe_load(super().platform_text())
        quick = copy.deepcopy(dict(TIER)) | tier
        quick["gates"] |= dict(gates or {})
        if approval is not None:
            quick |= {"approval": {**APPROVAL, **approval}}
            quick["gates"].setdefault("approval", {})
        if not preview:
            del document["environments"]["prod"]["preview"]
        document["systems"]["forge"]["required_reviews"] = reviews
        document["tiers"]["regulated"] = quick
        document["freezes"] = freezes or []
        return yaml.safe_dump(document, sort_keys=False)

    def release_text(self, version: str, *, gates: tuple[str, ...] = (), **changes: Any) -> str:
        """release.yaml whose objectives no busy machine misses, with the settings of these gates alone."""
        document = yaml.safe_load(super().release_text(version))
        document["slo"] = {
            "latency": {"threshold_ms": LATE_MS, "target_percent": 99.0},
            "error_budget_percent": 1.0,
            "peak_rps": 30.0,
        }
        document["gates"] = {name: document["gates"][name] for name in gates}
        return yaml.safe_dump(document | changes, sort_keys=False)

    def write_rules(
        self,
        *,
        release: Mapping[str, Any] | None = None,
        gates: Mapping[str, Any] | None = None,
        **rules: Any,
    ) -> None:
        """Olga of the platform team commits the rules that a story needs."""
        settled = tuple(name for name in gates or () if name in ("evaluation", "load"))
        serving = self.on_main()
        named = serving.stable.label if serving and serving.stable else "v1"
        text = yaml.safe_load(self.release_text("v1", gates=settled, **dict(release or {})))
        if serving and serving.stable:
            text["version"] = serving.stable.model_dump(exclude_none=True)
        files = {
            "platform.yaml": self.rules(gates=gates, **rules),
            f"models/{MODEL}/release.yaml": yaml.safe_dump(text, sort_keys=False),
        }
        self.push("oscar", "main", files, subject=f"rules while {named} serves")

    # ---------------------------------------------------------------------- versions

    def version(self, faults: Faults | None = None, *, like: str = "v2", label: str = "") -> Version:
        """A new artifact: the decisions of a trained version, and faults of its own."""
        self._made += 1
        label = label or f"c{self._made}"
        with np.load(self.catalogue.path(like) / "model.npz") as arrays:
            home = self.folder / "artifacts" / MODEL / label
            uri = write_artifact(home, version=label, arrays=dict(arrays), faults=faults)
        return Version(label=label, uri=uri, digest=artifact_digest(home))

    def trained(self, label: str) -> Version:
        """A version of the rehearsal's own catalogue."""
        return Version(label=label, uri=self.catalogue.uri(label), digest=self.catalogue.digest(label))

    # ------------------------------------------------------------------ acts of people

    def git(self, login: str) -> GitRepository:
        """Somebody's own clone."""
        if login not in self._repositories:
            self._repositories[login] = GitRepository(
                self.forge.git_url,
                folder=self.folder / "people" / login,
                token=self.tokens[login],
                author_name=login,
                author_email=f"{login}@example.com",
            )
        return self._repositories[login]

    def push(
        self, login: str, branch: str, files: Mapping[str, str | None], *, subject: str = "By hand"
    ) -> str:
        """Somebody commits files to a branch; the commit."""
        return self.git(login).commit(branch, files, subject=subject, body="", trailers={}).sha

    def forge_as(self, login: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Somebody asks the forge's API, and is not refused."""
        headers = {"Authorization": f"Bearer {self.tokens[login]}"}
        answer = requests.request(method, self.forge.api_url + path, json=body, headers=headers, timeout=20)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def sign(self, login: str, number: str, answer: str, comments: str = "") -> str:
        """Somebody signs in on the desk's page, reads a change and answers; the page as it is afterwards."""
        with requests.Session() as browser:
            browser.trust_env = False
            page = browser.get(f"{self.desk.url}/login?then=/changes/{number}", timeout=20)
            form = {"token": _token(page.text), "account": login, "password": self.tokens[login]}
            page = browser.post(f"{self.desk.url}/login?then=/changes/{number}", data=form, timeout=20)
            assert number in page.text, f"{login} does not see {number}"
            form = {"token": _token(page.text), "state": answer, "comments": comments}
            page = browser.post(f"{self.desk.url}/changes/{number}/decision", data=form, timeout=20)
            assert page.ok, page.text
            return page.text

    def approve(self, number: str) -> None:
        """The model-risk owner signs, then the change manager."""
        self.sign("rita", number, "approved", "read and agreed")
        self.sign("carol", number, "approved")

    def turn(self, percent: int) -> None:
        """Somebody at the router gives the newest revision this percentage, whatever anybody asked for."""
        dump = requests.get(f"{self.router.admin_url}/config_dump", timeout=10).json()
        ports = {name: port for name, port in _ports(dump).items() if name.startswith(f"{SERVICE}-")}
        older, newest = sorted(f"{settings.TENANT}-prod/{revision}" for revision in self.split())
        split = {older: (ports[older], 100 - percent), newest: (ports[newest], percent)}
        self.router.route(SERVICE, split)

    # --------------------------------------------------------------------- what is seen

    def on_main(self) -> Serves | None:
        """What main says production serves."""
        return serves_of(
            {
                path: text
                for path, text in self.git("oscar").files(MANIFESTS, "main").items()
                if path.endswith(".yaml")
            }
        )

    def split(self) -> dict[str, int]:
        """Revision -> percent, as Envoy itself says it routes now."""
        dump = requests.get(f"{self.router.admin_url}/config_dump", timeout=10).json()
        for route in _routes(dump):
            if route["match"].get("prefix") == f"/{SERVICE}/":
                clusters = route["route"]["weighted_clusters"]["clusters"]
                return {cluster["name"].rpartition("/")[2]: cluster["weight"] for cluster in clusters}
        return {}

    def answering(self, times: int = 40) -> Counter[str]:
        """Ask the service so often as a caller does: version -> answers."""
        row = {"name": "input-0", "datatype": "FP64", "shape": [1, 12], "data": [0.5] * 12}
        with requests.Session() as caller:
            caller.trust_env = False
            address = f"{self.service_url}/v2/models/{MODEL}/infer"
            answers = [caller.post(address, json={"inputs": [row]}, timeout=20) for _ in range(times)]
        return Counter(answer.headers.get("x-model-version", "") for answer in answers)

    def pulls_of(self, promotion: str) -> list[dict[str, Any]]:
        """Every pull request from a promotion's branch."""
        found = self.forge_as("dana", "GET", f"{PULLS}?state=all&head=acme:lockgate/{promotion}&per_page=100")
        return list(found)


def _token(page: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]+)"', page)
    assert found, "a form without its token"
    return found[1]


def _ports(dump: Mapping[str, Any]) -> dict[str, int]:
    """Cluster -> port of its one server."""
    found = {}
    for config in dump["configs"]:
        for entry in config.get("dynamic_active_clusters", []):
            (group,) = entry["cluster"]["load_assignment"]["endpoints"]
            address = group["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
            found[entry["cluster"]["name"]] = address["port_value"]
    return found


def _routes(dump: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        route
        for config in dump["configs"]
        for entry in config.get("dynamic_route_configs", [])
        for host in entry["route_config"]["virtual_hosts"]
        for route in host["routes"]
    ]
