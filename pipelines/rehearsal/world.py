"""The whole world on one machine: every server of the rehearsal, wired as production would be.

One process holds the forge, the change desk, Argo CD and KServe; Envoy, Prometheus, the model servers and
the traffic are its children and end with it, whatever ends it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from pipelines.rehearsal import settings
from pipelines.rehearsal.argocd import ArgoCd
from pipelines.rehearsal.backends import ProcessBackends
from pipelines.rehearsal.desk import Account, ChangeDeskServer, Policy
from pipelines.rehearsal.envoy import EnvoyRouter
from pipelines.rehearsal.forge import Forge
from pipelines.rehearsal.kserve import KServe
from pipelines.rehearsal.processes import Processes, wait_until
from pipelines.rehearsal.prometheus import PrometheusServer
from pipelines.rehearsal.traffic import Traffic
from pipelines.rehearsal.training import train
from pipelines.render import Serves, render
from pipelines.spec.read import read_platform, read_release

PEOPLE = ("dana", "rita", "carol", "oscar")
"""Data scientist, model-risk owner, change manager, on-call engineer."""
APP = "lockgate-bot"


def desk_accounts(tokens: Mapping[str, str]) -> dict[str, Account]:
    """Who has an account at the change desk; a login's password is its token."""

    def account(login: str, name: str, roles: tuple[str, ...], *groups: str) -> Account:
        return Account(password=tokens[login], roles=roles, full_name=name, groups=groups)

    return {
        "lockgate": account("lockgate", "lockgate", ("itil", "sn_change_read")),
        "dana": account("dana", "Dana Data", ("sn_change_read",)),
        "rita": account("rita", "Rita Risk", ("approver_user", "sn_change_read"), settings.RISK_GROUP),
        "carol": account("carol", "Carol Change", ("approver_user", "sn_change_read"), "CAB Approval"),
    }


def new_tokens() -> dict[str, str]:
    """A fresh secret for everybody and every system of a world."""
    return {login: secrets.token_hex(16) for login in (APP, *PEOPLE, "lockgate", "argocd")}


class Rehearsal:
    """A world in ``folder``; a context manager that ends everything it started.

    Args:
        folder: everything the world writes; a new one is a new world.
        artifacts: where trained models are kept between worlds.
        rps: requests per second sent to production.
        serving: the version that serves at 100 % when the world begins; "" for none.
        scrape_seconds: how often Prometheus looks, a second at most.
    """

    def __init__(
        self, folder: Path, *, artifacts: Path, rps: float = settings.PEAK_RPS, serving: str = "v1",
        scrape_seconds: float = 1.0,
    ) -> None:  # fmt: skip
        self.folder = folder.resolve()
        self.catalogue = train(artifacts)
        self.rps = rps
        self.tokens = new_tokens()
        self.processes = Processes(self.folder)
        self.forge = Forge(
            self.folder / "forge",
            accounts={login: self.tokens[login] for login in (APP, *PEOPLE)},
            app_account=APP,
        )
        self.desk = ChangeDeskServer(
            self.folder / "desk", accounts=desk_accounts(self.tokens), policy=Policy()
        )
        self.router = EnvoyRouter(self.folder, self.processes)
        self.backends = ProcessBackends(self.folder, self.processes)
        self.kserve = KServe(self.backends, self.router, drain_seconds=1.0)
        self.argocd = ArgoCd(
            self.kserve,
            git_url=self.forge.git_url,
            git_token=self.tokens[APP],
            tokens={"promoter": self.tokens["argocd"]},
            folder=self.folder / "argocd",
        )
        self.prometheus = PrometheusServer(
            self.folder,
            {"envoy": self.router.stats_url},
            self.processes,
            scrape_seconds=scrape_seconds,
        )
        self.traffic: Traffic | None = None
        self._serving = serving

    def __enter__(self) -> Rehearsal:
        """Start everything; v1 serves and traffic flows when this returns."""
        for server in (self.forge, self.desk, self.argocd):
            server.start()
        self.kserve.start()
        self._seed()
        for environment in ("preview", "prod"):
            self.argocd.add_application(
                f"{self.catalogue.model}-{environment}",
                "models",
                f"clusters/{environment}/{settings.TENANT}/{self.catalogue.model}",
                f"{settings.TENANT}-{environment}",
            )
        if self._serving:
            self._serve_first()
        self.traffic = Traffic(
            self.processes,
            url=self.service_url,
            model=self.catalogue.model,
            rows=self.catalogue.live,
            rps=self.rps,
            slow_ms=settings.SLOW_MS,
        )
        self._write_environment()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        for server in (self.argocd, self.desk, self.forge):
            server.stop()
        self.kserve.stop()
        self.processes.stop()

    @property
    def service_url(self) -> str:
        """Where callers reach the model in production."""
        return self.router.url(f"{settings.TENANT}-prod/{self.catalogue.model}")

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables a lockgate command needs to work in this world."""
        return {
            "LOCKGATE_REPO": self.forge.git_url,
            settings.GIT_TOKEN: self.tokens[APP],
            settings.FORGE_TOKEN: self.tokens[APP],
            settings.DESK_PASSWORD: self.tokens["lockgate"],
            settings.ARGOCD_TOKEN: self.tokens["argocd"],
        }

    def platform_text(self) -> str:
        """platform.yaml as the world begins with it."""
        return settings.platform(
            forge_api=self.forge.api_url,
            git_url=self.forge.git_url,
            repository="acme/ml-gitops",
            desk=self.desk.url,
            argocd=self.argocd.url,
            prometheus=self.prometheus.url,
        )

    def release_text(self, version: str) -> str:
        """release.yaml naming a version."""
        golden = {"sha256": self.catalogue.golden.sha256, "label": self.catalogue.label}
        gates = {
            "evaluation": {
                "golden_set": settings.GOLDEN,
                **golden,
                "threshold": 0.5,
                "floors": {"auc": 0.85},
                "margins": {"auc": 0.02},
            },
            "load": {"payloads": settings.GOLDEN, **golden},
        }
        return settings.release(self.catalogue, version, gates=gates)

    def _seed(self) -> None:
        """The repository's first commit: what people wrote, and v1 at 100 %."""
        platform_text = self.platform_text()
        release_text = self.release_text(self._serving or "v1")
        platform = read_platform(platform_text, "platform.yaml")
        release = read_release(release_text, "models/fraud-scorer/release.yaml", platform)
        files: dict[str, str | None] = {
            "platform.yaml": platform_text,
            f"models/{self.catalogue.model}/release.yaml": release_text,
            settings.GOLDEN: self.catalogue.golden.path.read_text(),
        }
        if self._serving:
            alone = Serves(stable=release.version, candidate=None, share_percent=100, promotion="")
            files |= render(release, "prod", platform.environments["prod"], alone)
        self.first_commit = self._commit("dana", files, subject="fraud-scorer v1")

    def name_version(self, login: str, version: str) -> str:
        """Somebody changes release.yaml on main so that it names another version; the commit."""
        path = f"models/{self.catalogue.model}/release.yaml"
        return self._commit(
            login, {path: self.release_text(version)}, subject=f"{self.catalogue.model} {version}"
        )

    def _commit(self, login: str, files: Mapping[str, str | None], *, subject: str) -> str:
        from pipelines.clients.git import GitRepository

        repository = GitRepository(
            self.forge.git_url,
            folder=self.folder / "people" / login,
            token=self.tokens[login],
            author_name=login,
            author_email=f"{login}@example.com",
        )
        return repository.commit("main", files, subject=subject, body="", trailers={}).sha

    def _serve_first(self) -> None:
        """Have Argo CD apply the first commit, and wait until v1 answers."""
        from pipelines.clients.argocd import ArgoCdDeployer

        deployer = ArgoCdDeployer(
            url=self.argocd.url,
            project="models",
            application=f"{self.catalogue.model}-prod",
            token=self.tokens["argocd"],
        )
        deployer.sync(self.first_commit)

        def ready() -> bool:
            found = deployer.deployment(
                namespace=f"{settings.TENANT}-prod", service=self.catalogue.model, mode="Knative"
            )
            return found.ready

        wait_until("v1 serves", ready, seconds=30)

    def _write_environment(self) -> None:
        """For commands in another terminal: the addresses and, readable by us alone, the tokens."""
        place = self.folder / "environment.sh"
        place.touch(mode=0o600)
        place.write_text("".join(f"export {name}='{value}'\n" for name, value in self.environment.items()))
