"""Argo CD and what serves behind it, as the steps need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """How far one commit has got in one application."""

    outcome: Literal["done", "running", "failed", "not_started"]
    """``done``: this very commit was applied and finished; ``failed``: applied and refused."""
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What the serving layer says of one InferenceService, as read from the live object."""

    exists: bool
    ready: bool
    """Newest revision ready and serving as asked (Knative), or canary entries ready (Standard)."""
    failed: str
    """Why it can never become ready (a load failure, an invalid spec); "" otherwise."""
    sentence: str
    """What it waits for, in words."""
    uri: str
    """storageUri of the newest spec the controllers have seen; the candidate's in a promotion."""
    traffic: Mapping[str, int]
    """Revision (or Standard-mode Service) -> percent, added up by revision name."""
    newest_revision: str
    stable_revision: str
    """The other one that serves; "" when one revision has everything."""
    url: str
    """Where the service is reached."""


class Deployer(Protocol):
    """Argo CD, for one environment."""

    def sync(self, commit: str) -> None:
        """Ask for one exact commit to be applied.

        Raises:
            NotYet: another operation runs, or a sync window forbids it.
            Refused: auto-sync is on, or the answer names another revision.
        """
        ...

    def synced(self, commit: str) -> Sync:
        """How far that commit has got."""
        ...

    def deployment(self, *, namespace: str, service: str, mode: Literal["Knative", "Standard"]) -> Deployment:
        """Read the live InferenceService."""
        ...
