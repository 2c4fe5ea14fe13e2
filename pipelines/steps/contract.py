"""What a step is given and what it may answer.

A step answers Done, NotYet or Refused. An exception means "could not tell": whoever runs the step records
UNKNOWN and asks again. No step sleeps, and no step trusts that it runs for the first time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from gates.contract import Arm, Gate, Objectives
from pipelines import ports
from pipelines.journal.events import Event
from pipelines.journal.state import State
from pipelines.render import Serves
from pipelines.spec.types import Environment, Platform, Release, Version
from pipelines.strategy import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The step's effect is there, whoever brought it about."""

    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotYet:
    """Nothing is wrong; ask again. ``unknown``: because something could not be told."""

    reason: str
    sentence: str
    retry_after_seconds: float
    unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Something that may say no said no; the promotion goes back."""

    reason: str
    sentence: str


Outcome = Done | NotYet | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The ports of one environment, as wired."""

    clock: ports.Clock
    repository: ports.Repository
    journals: ports.JournalStore
    forge: ports.Forge
    deployer: ports.Deployer
    preview: ports.Deployer | None
    desk: ports.ChangeDesk | None
    metrics: ports.Metrics | None
    registry: ports.Registry | None
    gate: Callable[[str, Release], Gate]
    """Builds a gate by name with its settings and sources."""


@dataclass(slots=True, kw_only=True)
class Context:
    """What one run of a step works with. ``state`` is renewed by ``record``."""

    world: World
    platform: Platform
    release: Release
    """As read from main when the promotion started, with the candidate as its version."""
    state: State
    stage: Stage
    record: Callable[..., None]
    """``record(*events)`` appends to the journal now and renews ``state``; JournalMoved when beaten to it."""
    looked: list[Event] = field(default_factory=list)
    """Verdicts from which nothing follows but the step's own answer; they are written down with it."""

    @property
    def now(self) -> datetime:
        """This instant, UTC."""
        return self.world.clock.now()

    @property
    def environment(self) -> Environment:
        """Where the promotion goes."""
        return self.platform.environments[self.state.started.environment]

    @property
    def candidate(self) -> Version:
        """The version to be promoted."""
        return self.release.version

    @property
    def stable(self) -> Version | None:
        """The version that serves now; None before the first."""
        return Version(**self.state.started.stable) if self.state.started.stable else None

    @property
    def branch(self) -> str:
        """The promotion's branch."""
        return f"lockgate/{self.state.promotion}"

    @property
    def first_share(self) -> int:
        """The share the pull request brings: 0, or 100 where nothing serves yet that could be split with."""
        return 100 if self.state.plan.first else 0

    def serves(self, share_percent: int) -> Serves:
        """What the environment should serve while the candidate has this share."""
        return Serves(
            stable=self.stable,
            candidate=self.candidate,
            share_percent=share_percent,
            promotion=self.state.promotion,
        )

    def title(self, what: str) -> str:
        """A commit's or pull request's subject line: ``fraud-scorer v38: 25 % in prod``."""
        return f"{self.release.model} {self.candidate.label}: {what}"

    def trailers(self, stage: str, share_percent: int) -> dict[str, str]:
        """The trailers every machine commit of this promotion carries."""
        change = {"Lockgate-Change": self.state.change.number} if self.state.change else {}
        return {
            "Lockgate-Promotion": self.state.promotion,
            "Lockgate-Stage": stage,
            "Lockgate-Share": str(share_percent),
            "Lockgate-Digest": self.candidate.digest,
            **change,
        }

    def trailers_of(self, stage: str) -> dict[str, str]:
        """The trailers by which a stage's commit is found again."""
        return {"Lockgate-Promotion": self.state.promotion, "Lockgate-Stage": stage}

    def objectives(self) -> Objectives:
        """The release's objectives in the words of the gates."""
        return self.release.slo.objectives()

    def arm(self, name: str, revision: str = "", url: str = "") -> Arm | None:
        """One of the two arms; None for a stable that does not exist."""
        version = self.candidate if name == "candidate" else self.stable
        if version is None:
            return None
        label = "candidate" if name == "candidate" else "stable"
        return Arm(
            name=label,  # type: ignore[arg-type]
            version=version.label,
            uri=version.uri,
            digest=version.digest,
            revision=revision,
            url=url,
        )


class Step(Protocol):
    """One step; the modules of this folder each are one."""

    def run(self, context: Context) -> Outcome:
        """Bring the stage's effect about, or find that it is there."""
        ...
