"""A model registry, as the steps need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a registry alias stood for at one instant."""

    alias: str
    version: str
    uri: str


class Registry(Protocol):
    """A model registry whose aliases move."""

    def resolve(self, alias: str) -> Resolved:
        """Turn ``models:/name@alias`` into the immutable URI it stands for now."""
        ...

    def set_alias(self, model: str, alias: str, uri: str) -> None:
        """Let an alias name the registered version that has this URI."""
        ...
