"""What an answer is made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gates.contract import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One version's part of the requests."""

    label: str
    digest: str
    uri: str
    percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Possible:
    """One way in which requests may have been split."""

    shares: tuple[Share, ...]
    """Versions with more than 0 %; empty where nothing served."""
    since: datetime | None
    """When it became possible; None: before the first record."""
    seen: datetime | None
    """When the serving layer was seen to split that way; None: never."""
    until: datetime | None
    """When the serving layer was seen to split another way; None: not in the record."""
    promotion: str
    """The promotion that brought it about; "" where none did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One person's approval, as the change desk told it to the gate."""

    approver: str
    at: str
    """ISO 8601; "" where the desk did not say."""
    change: str
    after: bool = False
    """Given after the instant asked about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """What stands behind one version: who wanted it, who let it through, on which verdicts."""

    label: str
    digest: str
    uri: str
    promotion: str
    """The promotion that brought it; "" where the record holds none."""
    requested_by: str = ""
    reason: str = ""
    pull_request: str = ""
    merged: str = ""
    merged_by: str = ""
    change: str = ""
    change_url: str = ""
    approvals: tuple[Approval, ...] = ()
    verdicts: tuple[tuple[str, Verdict], ...] = ()
    """(stage, verdict): the latest of each gate given before the instant asked about."""
    later: int = 0
    """Verdicts given after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the record says of one instant."""

    model: str
    environment: str
    at: datetime
    first_record: datetime | None
    possible: tuple[Possible, ...]
    """Oldest first; several where the record cannot tell them apart; none before the first record."""
    behind: tuple[Behind, ...]
    remarks: tuple[str, ...] = ()
    """What else the record says of then: freezes, and ways back of which the change desk was not told."""
    doubts: tuple[str, ...]
    """Why the record may not be the whole truth at that instant."""

    @property
    def certain(self) -> bool:
        """Whether the record leaves exactly one possibility, and no doubt."""
        return len(self.possible) == 1 and self.possible[0].seen is not None and not self.doubts
