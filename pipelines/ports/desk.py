"""Change requests and their approvals, as the steps need them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from gates.approval import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRequest:
    """What a new change request says."""

    correlation_id: str
    type: Literal["normal", "standard", "emergency"]
    template: str
    short_description: str
    description: str
    justification: str
    configuration_item: str
    assignment_group: str
    requested_by: str
    start: datetime
    end: datetime


class ChangeDesk(Protocol):
    """Change requests and their approvals."""

    def find(self, correlation_id: str) -> Change | None:
        """The newest open change with this correlation id; None when none is open.

        One that an earlier run opened but could not ask the assessment of is asked for here.
        """
        ...

    def create(self, request: ChangeRequest) -> Change:
        """Open a change and ask for its assessment; an open one with this correlation id is adopted.

        The desk itself does not refuse a second one.
        """
        ...

    def read(self, number: str) -> Change:
        """Read a change, its approvers and its conflicts afresh."""
        ...

    def begin(self, number: str) -> None:
        """Move an approved change to Implement; already there is fine."""
        ...

    def close(self, number: str, *, code: Literal["successful", "unsuccessful"], notes: str) -> None:
        """Close (or cancel, where nothing was implemented) with its outcome; already closed is fine."""
        ...

    def note(self, number: str, text: str) -> None:
        """Add a work note."""
        ...
