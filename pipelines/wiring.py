"""Puts clients behind ports: the only place that knows which client serves which system.

Imports are made where a client is made, so that a command pays for what it uses.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import ports
from pipelines.config import Secrets
from pipelines.errors import Refused
from pipelines.spec.read import gate_settings, read_platform
from pipelines.spec.types import ArgoCd, Freeze, Platform, Release
from pipelines.steps.contract import World
from pipelines.steps.recorder import DRIVER, Recorder
from pipelines.steps.start import wanted

if TYPE_CHECKING:
    from gates.contract import Gate
    from pipelines.clients.git import GitJournals, GitRepository
    from pipelines.engine import Assignment

USER_AGENT_EMAIL = "lockgate@users.noreply.example"


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
    git_token: str | None
    folder: Path
    """Where clones are kept; safe to delete."""
    secrets: Secrets
    clock: ports.Clock

    def repository(self) -> GitRepository:
        """The GitOps repository."""
        from pipelines.clients.git import GitRepository

        return GitRepository(
            self.git_url,
            folder=self.folder,
            token=self.git_token,
            author_name="lockgate",
            author_email=USER_AGENT_EMAIL,
        )

    def journals(self, repository: GitRepository) -> GitJournals:
        """The journals beside it."""
        from pipelines.clients.git import GitJournals

        return GitJournals(repository)


def driver_name() -> str:
    """Who writes the lines of this process's driver."""
    return f"{DRIVER}{socket.gethostname()}:{os.getpid()}"


def assignment(desktop: Desktop, promotion: str, *, by: str | None = None) -> Assignment:
    """Everything needed to move one promotion.

    Raises:
        Refused: there is no such promotion.
        InvalidInput: what main said when it started cannot be read any more.
    """
    from pipelines.engine import Assignment

    repository = desktop.repository()
    recorder = Recorder(desktop.journals(repository), desktop.clock, promotion, by or driver_name())
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
    sources: dict[str, object] = {"repository": repository, **_readers(desktop)}
    if metrics is not None:
        sources["metrics"] = metrics
    if desk is not None:
        sources["desk"] = desk
    return World(
        clock=desktop.clock,
        repository=repository,
        journals=desktop.journals(repository),
        forge=forge(desktop, platform),
        deployer=deployer(desktop, environment.argocd),
        preview=deployer(desktop, preview.argocd) if preview else None,
        desk=desk,
        metrics=metrics,
        registry=registry(desktop, platform),
        gate=_gates(platform, sources),
    )


def _gates(platform: Platform, sources: Mapping[str, object]) -> Callable[[str, Release], Gate]:
    from gates import registry as gates

    def build(name: str, release: Release) -> Gate:
        return gates.build(name, gate_settings(platform.tiers[release.tier], release, name), sources)

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


def deployer(desktop: Desktop, settings: ArgoCd) -> ports.Deployer:
    """The client of one Argo CD application."""
    from pipelines.clients.argocd import ArgoCdDeployer

    return ArgoCdDeployer(
        url=settings.url,
        project=settings.project,
        application=settings.application,
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


def registry(desktop: Desktop, platform: Platform) -> ports.Registry | None:
    """The client of the model registry, where there is one."""
    settings = platform.systems.registry
    if settings is None:
        return None
    from pipelines.clients.registry import MlflowRegistry

    return MlflowRegistry(
        settings.url, token=desktop.secrets.value(settings.token) if settings.token else None
    )
