"""What the steps need of the world, as protocols, and the plain values that cross them.

A client satisfies a protocol by its shape; nobody inherits. Values are frozen and copied at the edge:
no object of a third-party library passes through here, so nothing fetches lazily behind our back.

Every method may raise :class:`~pipelines.errors.CouldNotTell` (outage, nonsense, missing right). A write
that raised it may or may not have happened: the caller looks again before it writes again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gates.approval import Approver, Change, Conflicts
from gates.evaluation import Inference
from gates.metrics import Answer, Metrics, Series
from gates.signature import Artifacts
from pipelines.ports.delivery import Deployer, Deployment, Sync
from pipelines.ports.desk import ChangeDesk, ChangeRequest
from pipelines.ports.forge import Forge, Merge, PullRequest
from pipelines.ports.git import Commit, JournalBook, JournalStore, Repository
from pipelines.ports.registry import Registry, Resolved
from pipelines.ports.workflows import Workflow, WorkflowNode, Workflows, inert

__all__ = [
    "Answer",
    "Approver",
    "Artifacts",
    "Change",
    "ChangeDesk",
    "ChangeRequest",
    "Clock",
    "Commit",
    "Conflicts",
    "Deployer",
    "Deployment",
    "Finding",
    "Forge",
    "Inference",
    "JournalBook",
    "JournalStore",
    "Merge",
    "Metrics",
    "PullRequest",
    "Registry",
    "Repository",
    "Resolved",
    "Series",
    "Sync",
    "Workflow",
    "WorkflowNode",
    "Workflows",
    "inert",
]


class Clock(Protocol):
    """The only place time is read or slept away."""

    def now(self) -> datetime:
        """The present instant, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; the engine alone calls this."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing `lockgate doctor` looked at; every client answers ``diagnose()`` with some."""

    system: str
    what: str
    """``reach``, ``rights``, ``version``, ``settings``"""
    good: bool | None
    """None: could not tell."""
    sentence: str
    advice: str = ""
    """What to do; "" when good."""
