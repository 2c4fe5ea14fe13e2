"""One server of the rehearsal by itself, for whoever wants to try a client against it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from pipelines.errors import InvalidInput, Problem
from pipelines.rehearsal import settings
from pipelines.rehearsal.argo import ArgoServer
from pipelines.rehearsal.argo.pods import ProcessPods
from pipelines.rehearsal.argocd import ArgoCd
from pipelines.rehearsal.backends import ProcessBackends
from pipelines.rehearsal.desk import ChangeDeskServer
from pipelines.rehearsal.envoy import EnvoyRouter
from pipelines.rehearsal.forge import Forge
from pipelines.rehearsal.kserve import KServe
from pipelines.rehearsal.processes import Processes, wait_until
from pipelines.rehearsal.prometheus import PrometheusServer
from pipelines.rehearsal.training import MODEL, train
from pipelines.rehearsal.world import APP, PEOPLE, desk_accounts, new_tokens
from pipelines.spec.scalars import near

Facts = dict[str, str]


class _Ground:
    """What the servers stand on."""

    def __init__(self, folder: Path, artifacts: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.artifacts = artifacts
        self.stack = stack
        self.processes = stack.enter_context(Processes(folder))
        self.tokens = new_tokens()

    def forge(self) -> Facts:
        server = Forge(
            self.folder / "forge",
            accounts={login: self.tokens[login] for login in (APP, *PEOPLE)},
            app_account=APP,
        )
        server.start()
        self.stack.callback(server.stop)
        return {"API": server.api_url, "git": server.git_url, f"token of {APP}": self.tokens[APP]}

    def desk(self) -> Facts:
        accounts = desk_accounts(self.tokens)
        server = ChangeDeskServer(self.folder / "desk", accounts=accounts)
        server.start()
        self.stack.callback(server.stop)
        passwords = {f"password of {login}": account.password for login, account in accounts.items()}
        return {"API and page": server.url, **passwords}

    def argocd(self) -> Facts:
        source = self.forge()
        router = EnvoyRouter(self.folder, self.processes)
        kserve = KServe(ProcessBackends(self.folder, self.processes), router)
        server = ArgoCd(
            kserve,
            git_url=source["git"],
            git_token=self.tokens[APP],
            tokens={"promoter": self.tokens["argocd"]},
            folder=self.folder / "argocd",
        )
        for environment in ("preview", "prod"):
            path = f"clusters/{environment}/{settings.TENANT}/{MODEL}"
            server.add_application(
                f"{MODEL}-{environment}", "models", path, f"{settings.TENANT}-{environment}"
            )
        server.start()
        self.stack.callback(kserve.stop)
        self.stack.callback(server.stop)
        kserve.start()
        token = {"token of promoter": self.tokens["argocd"]}
        return {"API": server.url, **token, **{f"its forge, {name}": what for name, what in source.items()}}

    def argo(self) -> Facts:
        pods = ProcessPods(os.environ, {"lockgate": str(Path(sys.prefix) / "bin" / "lockgate")})
        tokens = {"client": self.tokens["lockgate"]}
        server = ArgoServer(self.folder / "argo", pods=pods, tokens=tokens)
        server.start()
        self.stack.callback(server.stop)
        apply = f"curl --data-binary @FILE.yaml {server.url}/_rehearsal/objects"
        return {
            "API": server.url,
            "namespace": server.namespace,
            "token": tokens["client"],
            "to apply templates": apply,
        }

    def envoy(self) -> Facts:
        router = EnvoyRouter(self.folder, self.processes)
        return {"callers": router.base_url, "admin": router.admin_url, "metrics": router.stats_url}

    def metrics(self) -> Facts:
        return {"API and page": PrometheusServer(self.folder, {}, self.processes).url}

    def model(self) -> Facts:
        catalogue = train(self.artifacts)
        backends = ProcessBackends(self.folder, self.processes)
        backends.start("alone", model=MODEL, uri=catalogue.uri("v1"))
        wait_until("v1 is ready", lambda: backends.look("alone").state == "ready", seconds=30)
        address = f"http://127.0.0.1:{backends.look('alone').port}/v2/models/{MODEL}"
        return {"v1": address, "rows to send": str(catalogue.golden.path)}


SERVERS: Mapping[str, tuple[str, Callable[[_Ground], Facts]]] = {
    "forge": ("GitHub's REST subset and git over HTTP, on an empty repository", _Ground.forge),
    "desk": ("ServiceNow's Change and Table API subset, and a page to sign on", _Ground.desk),
    "argocd": ("Argo CD's API subset over KServe's behaviour, with a forge to read", _Ground.argocd),
    "argo": ("Argo Workflows' API subset; tasks are processes of this machine", _Ground.argo),
    "envoy": ("an Envoy without routes", _Ground.envoy),
    "metrics": ("a Prometheus that scrapes nothing", _Ground.metrics),
    "model": ("a V2 model server with v1", _Ground.model),
}
"""Name -> what it is, and how it is started."""


def start(name: str, folder: Path, artifacts: Path, stack: ExitStack) -> Facts:
    """Start one server; it ends with the stack. What it can be reached by: name -> value.

    Raises:
        InvalidInput: there is none of that name.
    """
    if name not in SERVERS:
        raise InvalidInput([Problem("--only", 0, "", f"there is no server {name}", near(name, SERVERS))])
    return SERVERS[name][1](_Ground(folder, artifacts, stack))
