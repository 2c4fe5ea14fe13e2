"""The two things the rehearsal's KServe needs of the machine: servers that run, and a router that splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One running (or not) model server process: one revision."""

    state: Literal["starting", "ready", "failed"]
    port: int
    """Where it listens on 127.0.0.1; 0 while unknown."""
    reason: str = ""
    """Why it failed, as KServe would put it in lastFailureInfo.message."""


class Backends(Protocol):
    """Model servers, one process per revision."""

    def start(self, key: str, *, model: str, uri: str) -> None:
        """Start the server of a revision (``<namespace>/<revision>``) from an artifact URI, once."""
        ...

    def look(self, key: str) -> Backend:
        """How that server is now."""
        ...

    def stop(self, key: str) -> None:
        """End it; already ended is fine."""
        ...


class Router(Protocol):
    """Envoy: one route per InferenceService, one cluster per revision."""

    def route(self, service: str, backends: Mapping[str, tuple[int, int]]) -> None:
        """Split a service (``<namespace>/<name>``) by weight: revision key -> (port, percent).

        A key at 0 percent keeps its cluster. The call returns when Envoy splits that way.
        """
        ...

    def forget(self, service: str) -> None:
        """Remove the service's route and clusters."""
        ...

    def url(self, service: str) -> str:
        """Where callers reach the service; ``/v2/models/…`` follows it."""
        ...
