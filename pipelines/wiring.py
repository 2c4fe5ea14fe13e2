"""Puts clients behind ports: the only place that knows which client serves which system.

Imports are made where a client is made, so that a command pays for what it uses.
"""

from __future__ import annotations

import functools
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import urlsplit

from pipelines import ports
from pipelines.config import Secrets
from pipelines.errors import InvalidInput, Problem, Refused, SpecInvalid
from pipelines.spec.read import gate_settings, read_platform
from pipelines.spec.types import ArgoCd, Freeze, Platform, Release
from pipelines.steps.contract import World
from pipelines.steps.recorder import DRIVER, Recorder
from pipelines.steps.start import wanted

if TYPE_CHECKING:
    from gates.contract import Gate
    from pipelines.clients.git import GitJournals, GitRepository
    from pipelines.clients.git.checkout import Checkout
    from pipelines.clients.github import GithubForge
    from pipelines.engine import Assignment

USER_AGENT_EMAIL = "lockgate@users.noreply.example"
GIT_APP = "LOCKGATE_GIT_APP"
_APP = re.compile(r"(?P<app>[0-9]{1,18}):(?P<installation>[0-9]{1,18}):(?P<key>(env|file):.+)")


class SystemClock:
    """The real clock."""

    def now(self) -> datetime:
        """The present instant, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desktop:
    """Where the repository is and what may be asked of the environment: what every command starts from."""

    git_url: str
    git_token: str | Callable[[], str] | None
    folder: Path
    """Where clones are kept; safe to delete."""
    secrets: Secrets
    clock: ports.Clock

    def repository(self, *, good_for_seconds: float = 0.0) -> GitRepository:
        """The GitOps repository; what was read of a branch is good for so long."""
        from pipelines.clients.git import GitRepository

        return GitRepository(
            self.git_url,
            folder=self.folder,
            token=self.git_token,
            author_name="lockgate",
            author_email=USER_AGENT_EMAIL,
            good_for_seconds=good_for_seconds,
        )

    def journals(self, repository: GitRepository) -> GitJournals:
        """The journals beside it."""
        from pipelines.clients.git import GitJournals

        return GitJournals(repository)


def app_token(written: str, git_url: str, secrets: Secrets) -> Callable[[], str] | None:
    """Gives tokens of a GitHub App for git, each renewed before it ends.

    The App stands in the environment and not in platform.yaml, which itself is read by git. It is asked on
    the repository's own host: neither its key nor its tokens serve anywhere else.

    Args:
        written: ``APP:INSTALLATION:KEY`` with both ids and the reference of the private key; "" is no App.
        git_url: the repository; one that is not reached over HTTP needs no token.

    Raises:
        InvalidInput: it is written otherwise, or there is no key.
    """
    if not written or urlsplit(git_url).scheme not in ("http", "https"):
        return None
    named = _APP.fullmatch(written)
    if named is None:
        advice = "write APP_ID:INSTALLATION_ID:env:NAME or APP_ID:INSTALLATION_ID:file:/absolute/path"
        raise InvalidInput(
            [Problem(GIT_APP, 0, "", "does not name an App, its installation and key", advice)]
        )
    try:
        key = secrets.value(named["key"])
    except SpecInvalid as invalid:
        raise InvalidInput([replace(problem, file=GIT_APP) for problem in invalid.problems]) from None
    remember = functools.lru_cache(maxsize=2)(secrets.remember)
    made = functools.cache(partial(_app_forge, git_url, int(named["app"]), int(named["installation"]), key))
    return lambda: remember(made().git_token())


def _app_forge(git_url: str, app: int, installation: int, key: str) -> GithubForge:
    from pipelines.clients.github import AppCredentials, GithubForge, api_of

    return GithubForge(
        api_url=api_of(git_url),
        repository=urlsplit(git_url).path.strip("/").removesuffix(".git"),
        auth=AppCredentials(app_id=app, installation_id=installation, private_key=key),
        required_reviews=0,
    )


def driver_name() -> str:
    """Who writes the lines of this process's driver."""
    return f"{DRIVER}{socket.gethostname()}:{os.getpid()}"


def assignment(
    desktop: Desktop, promotion: str, *, by: str | None = None, repository: GitRepository | None = None
) -> Assignment:
    """Everything needed to move one promotion; whoever moves many gives the repository they are all in.

    Raises:
        Refused: there is no such promotion.
        InvalidInput: what main said when it started cannot be read any more.
    """
    from pipelines.engine import Assignment

    repository = repository or desktop.repository()
    journals, who = desktop.journals(repository), by or driver_name()
    recorder = Recorder(journals, desktop.clock, promotion, who, mask=desktop.secrets.mask)
    state = recorder.read()
    if state is None:
        raise Refused(
            "no_such_promotion", f"there is no promotion {promotion}; `lockgate history` lists them"
        )
    from pipelines.spec.types import Version

    platform, release = wanted(repository, state.started.model, state.started.base)
    release = release.model_copy(update={"version": Version(**state.started.candidate)})
    return Assignment(
        world=world(desktop, platform, release, state.started.environment, repository),
        platform=platform,
        release=release,
        recorder=recorder,
        freezes=lambda: freezes(repository),
    )


def freezes(repository: ports.Repository) -> tuple[Freeze, ...]:
    """The freezes that main's platform.yaml names now."""
    return read_platform(repository.read("platform.yaml", "main") or "", "platform.yaml").freezes


def world(
    desktop: Desktop, platform: Platform, release: Release, environment_name: str, repository: GitRepository
) -> World:
    """The ports of one environment."""
    environment = platform.environments[environment_name]
    preview = platform.environments[environment.preview] if environment.preview else None
    metrics = _metrics(desktop, platform, environment_name)
    desk = change_desk(desktop, platform)
    sources: dict[str, object] = {"repository": repository, "keys": desktop.secrets, **_readers(desktop)}
    if metrics is not None:
        sources["metrics"] = metrics
    if desk is not None:
        sources["desk"] = desk
    return World(
        clock=desktop.clock,
        repository=repository,
        journals=desktop.journals(repository),
        forge=forge(desktop, platform),
        deployer=deployer(desktop, environment.argocd, release),
        preview=deployer(desktop, preview.argocd, release) if preview else None,
        desk=desk,
        metrics=metrics,
        registry=registry(desktop, platform),
        gate=_gates(platform, sources),
    )


def _gates(platform: Platform, sources: Mapping[str, object]) -> Callable[[str, Release], Gate]:
    from gates import registry as gates
    from gates.approval import ApprovalSettings

    def build(name: str, release: Release) -> Gate:
        tier = platform.tiers[release.tier]
        settings = gate_settings(tier, release, name)
        if isinstance(settings, ApprovalSettings) and (desk := platform.systems.change_desk) is not None:
            states = desk.implement_states
            settings = replace(settings, implement_states=states, service_account=desk.user)
        return gates.build(name, settings, sources)

    return build


def _readers(desktop: Desktop) -> dict[str, object]:
    from pipelines.clients.artifacts import ArtifactStore
    from pipelines.clients.inference import V2Inference

    return {"artifacts": ArtifactStore(), "inference": V2Inference()}


def forge(desktop: Desktop, platform: Platform) -> ports.Forge:
    """The client of the forge."""
    from pipelines.clients.github import AppCredentials, GithubForge

    settings = platform.systems.forge
    auth: str | AppCredentials
    if settings.app is not None:
        key = desktop.secrets.value(settings.app.private_key)
        auth = AppCredentials(
            app_id=settings.app.app_id, installation_id=settings.app.installation_id, private_key=key
        )
    else:
        auth = desktop.secrets.value(settings.token or "")
    return GithubForge(
        api_url=settings.api_url,
        repository=settings.repository,
        auth=auth,
        required_reviews=settings.required_reviews,
    )


def actions_forge(secrets: Secrets, environ: Mapping[str, str]) -> GithubForge:
    """The forge as a job of GitHub Actions reaches it, with the token of the job.

    Raises:
        InvalidInput: the job gives no token.
    """
    from pipelines.clients.github import GithubForge

    return GithubForge(
        api_url=environ.get("GITHUB_API_URL", "https://api.github.com"),
        repository=environ.get("GITHUB_REPOSITORY", ""),
        auth=secrets.value("env:GITHUB_TOKEN"),
        required_reviews=0,
        login="github-actions[bot]",
    )


def change_desk(desktop: Desktop, platform: Platform) -> ports.ChangeDesk | None:
    """The client of the change desk, where there is one."""
    settings = platform.systems.change_desk
    if settings is None:
        return None
    from pipelines.clients.servicenow import ServiceNowDesk

    return ServiceNowDesk(
        url=settings.url,
        user=settings.user,
        password=desktop.secrets.value(settings.password) if settings.password else None,
        token=desktop.secrets.value(settings.token) if settings.token else None,
    )


def deployer(desktop: Desktop, settings: ArgoCd, release: Release) -> ports.Deployer:
    """The client of one model's Argo CD application."""
    from pipelines.clients.argocd import ArgoCdDeployer

    return ArgoCdDeployer(
        url=settings.url,
        project=settings.project,
        application=settings.application.replace("{model}", release.model).replace(
            "{tenant}", release.tenant
        ),
        token=desktop.secrets.value(settings.token),
        ca_file=settings.ca_file,
    )


def _metrics(desktop: Desktop, platform: Platform, environment: str) -> ports.Metrics | None:
    settings = platform.environments[environment].metrics
    if settings is None:
        return None
    from pipelines.clients.prometheus import PrometheusMetrics

    return PrometheusMetrics(
        settings.url,
        token=desktop.secrets.value(settings.token) if settings.token else None,
        ca_file=settings.ca_file,
    )


def metrics_at(url: str) -> ports.Metrics:
    """The client of a metrics server that platform.yaml does not name, asked without a token."""
    from pipelines.clients.prometheus import PrometheusMetrics

    return PrometheusMetrics(url)


def registry(desktop: Desktop, platform: Platform) -> ports.Registry | None:
    """The client of the model registry, where there is one."""
    settings = platform.systems.registry
    if settings is None:
        return None
    from pipelines.clients.registry import MlflowRegistry

    return MlflowRegistry(settings.url, token=desktop.secrets.value(settings.token) if settings.token else "")


def workflows(desktop: Desktop, platform: Platform) -> ports.Workflows | None:
    """The client of the Argo Workflows server, where there is one."""
    settings = platform.systems.workflows
    if settings is None:
        return None
    from pipelines.clients.argo_workflows import ArgoWorkflows
    from pipelines.workflow.graph import template_of

    return ArgoWorkflows(
        url=settings.url,
        namespace=settings.namespace,
        token=desktop.secrets.value(settings.token, "systems.workflows.token"),
        ui_url=settings.ui_url,
        ca_file=settings.ca_file,
        templates=[template_of(tier) for tier in platform.tiers],
    )


class Diagnoses(Protocol):
    """What `lockgate doctor` asks of a client."""

    def diagnose(self) -> Sequence[ports.Finding]:
        """What it found, each finding with what to do; raises nothing for an outage."""
        ...


def diagnosers(
    desktop: Desktop, platform: Platform, releases: Sequence[Release]
) -> Iterator[tuple[str, Callable[[], Diagnoses]]]:
    """Every outside system that platform.yaml names, and how to make its client.

    Making one may raise InvalidInput for a secret that is not there, which is a finding too. An Argo CD
    application named after the model is asked about once per release.
    """
    systems = platform.systems
    yield "forge", lambda: cast(Diagnoses, forge(desktop, platform))
    if systems.change_desk is not None:
        yield "change desk", lambda: cast(Diagnoses, change_desk(desktop, platform))
    if systems.registry is not None:
        yield "registry", lambda: cast(Diagnoses, registry(desktop, platform))
    if systems.workflows is not None:
        yield "workflows", lambda: cast(Diagnoses, workflows(desktop, platform))
    for name, environment in platform.environments.items():
        yield from _applications(desktop, name, environment.argocd, releases)
        if environment.metrics is not None:
            yield f"metrics {name}", partial(_diagnosing_metrics, desktop, platform, name)


def _diagnosing_metrics(desktop: Desktop, platform: Platform, name: str) -> Diagnoses:
    return cast(Diagnoses, _metrics(desktop, platform, name))


def _applications(
    desktop: Desktop, environment: str, settings: ArgoCd, releases: Sequence[Release]
) -> Iterator[tuple[str, Callable[[], Diagnoses]]]:
    asked = set()
    for one in releases:
        name = settings.application.replace("{model}", one.model).replace("{tenant}", one.tenant)
        if name not in asked:
            asked.add(name)
            make = cast(Callable[..., Diagnoses], deployer)
            yield f"argocd {environment} ({name})", partial(make, desktop, settings, one)


def artifacts() -> ports.Artifacts:
    """Where artifacts are read from; keep it for as long as what it downloaded is needed."""
    from pipelines.clients.artifacts import ArtifactStore

    return ArtifactStore()


def checkout(folder: Path) -> Checkout | None:
    """The git checkout a folder is in; None where it is in none."""
    from pipelines.clients.git import checkout as git

    return git.checkout(folder)


def changed(folder: Path, base: str, below: str) -> tuple[str, dict[str, str]] | None:
    """What differs from a commit in a part of a checkout; None where there is no such commit."""
    from pipelines.clients.git import checkout as git

    return git.changed(folder, base, below)


def git_address(written: str) -> str:
    """A repository's address as git lets people write it, with a scheme."""
    from pipelines.clients.git import checkout as git

    return git.address(written, Path())


def git_user_name(folder: Path) -> str:
    """The name in a person's git configuration; "" where none is set."""
    from pipelines.clients.git import checkout as git

    return git.user_name(folder)
