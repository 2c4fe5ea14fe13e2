"""Is exactly this content approved, by the right people, now?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    """One approval row of a change."""

    name: str
    state: str
    """``requested``, ``approved``, ``rejected``, ``not_required`` …"""
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflicts:
    """What the desk's conflict check found."""

    checked_at: datetime | None
    """None: never run."""
    found: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change request as read from the desk, copied whole."""

    number: str
    sys_id: str
    url: str
    type: str
    state: int
    """New -5, Assess -4, Authorize -3, Scheduled -2, Implement -1, Review 0, Closed 3, Canceled 4."""
    state_name: str
    approval: str
    on_hold: bool
    active: bool
    requested_by: str
    opened_by: str
    configuration_item: str
    correlation_id: str
    start: datetime | None
    end: datetime | None
    approvers: tuple[Approver, ...]
    conflicts: Conflicts


class ChangeReader(Protocol):
    """What the approval gate reads."""

    def read(self, number: str) -> Change:
        """Read a change, its approvers and its conflicts afresh."""
        ...
