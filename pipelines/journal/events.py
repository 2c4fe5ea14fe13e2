"""The events of a promotion: what happened, in the order it happened.

Each is a frozen value of JSON types. Names and fields are read for years: add, never rename.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Outcome = Literal["promoted", "refused", "rolled_back", "aborted", "superseded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events; ``kind`` is what the journal line says."""

    kind: ClassVar[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """A person, or a rule of theirs, asked for a promotion."""

    kind = "started"
    promotion: str
    model: str
    tenant: str
    environment: str
    requested_by: str
    reason: str
    base: str
    """Commit of main whose platform.yaml and release.yaml were read."""
    candidate: Mapping[str, Any]
    """label, uri, digest, alias"""
    stable: Mapping[str, Any] | None
    plan: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebased(Event):
    """While this promotion waited its turn another one ended: another version is stable now."""

    kind = "rebased"
    stable: Mapping[str, Any] | None
    plan: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven(Event):
    """A driver took it on; the last one to say so is the one that moves it."""

    kind = "driven"
    driver: Literal["local", "argo"]
    workflow: str = ""
    """argo: the workflow's name."""
    template: str = ""
    """argo: the template it was submitted from."""
    url: str = ""
    """argo: where people look at it; "" where nobody said."""
    created_by: str = ""
    """argo: who its server says created the workflow, as in labels; "" where it says nobody. No proof."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed(Event):
    """The promotion's branch is pushed and its pull request is open."""

    kind = "proposed"
    branch: str
    head_sha: str
    pull_request: int
    url: str
    author: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Previewed(Event):
    """The candidate runs in the preview environment, without live traffic."""

    kind = "previewed"
    environment: str
    commit: str
    url: str
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged(Event):
    """A gate gave a verdict."""

    kind = "judged"
    stage: str
    verdict: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited(Event):
    """A step could not be done yet. ``unknown``: because something could not be told."""

    kind = "waited"
    stage: str
    reason: str
    sentence: str
    unknown: bool
    retry_after_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRefused(Event):
    """A step was told no."""

    kind = "step_refused"
    stage: str
    reason: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDone(Event):
    """A stage is done."""

    kind = "stage_done"
    stage: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged(Event):
    """The pull request is merged, at exactly the judged head."""

    kind = "merged"
    commit: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareCommitted(Event):
    """A share is written on main."""

    kind = "share_committed"
    stage: str
    share_percent: int
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareServed(Event):
    """The commit is synced, and the serving layer says it splits that way."""

    kind = "share_served"
    stage: str
    share_percent: int
    candidate_revision: str
    stable_revision: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareSeen(Event):
    """The share is seen in the metrics."""

    kind = "share_seen"
    stage: str
    share_percent: int
    observed_percent: float | None
    """None where there are no metrics to ask, or no requests can tell (share 0)."""
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeIntended(Event):
    """A change request is about to be opened: whoever writes this line opens it, nobody else."""

    kind = "change_intended"
    correlation_id: str
    manifest_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeOpened(Event):
    """The change request exists."""

    kind = "change_opened"
    correlation_id: str
    number: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeClosed(Event):
    """The change request is closed with its outcome."""

    kind = "change_closed"
    number: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyOpened(Event):
    """What had ended at 100 % was taken back, and the desk is told of it by an emergency change."""

    kind = "emergency_opened"
    number: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyClosed(Event):
    """That change is closed: the desk knows what was done."""

    kind = "emergency_closed"
    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(Event):
    """A person stopped the promotion from rising."""

    kind = "held"
    person: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Event):
    """A person let it rise again, or gave their word for a manual stage."""

    kind = "resumed"
    person: str
    stage: str
    """The manual stage released; "" for a hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeBegan(Event):
    """A freeze of platform.yaml, or a stop-the-line, keeps the next share from rising."""

    kind = "freeze_began"
    stage: str
    """What would have risen."""
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeEnded(Event):
    """No freeze keeps it any more; not written where the promotion went back meanwhile."""

    kind = "freeze_ended"
    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortAsked(Event):
    """A person, or a newer promotion, ended this one."""

    kind = "abort_asked"
    person: str
    reason: str
    outcome: Literal["aborted", "superseded"] = "aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackBegan(Event):
    """The candidate goes back to 0."""

    kind = "rollback_began"
    code: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Event):
    """The promotion is over."""

    kind = "ended"
    outcome: Outcome
    sentence: str
    left_undone: tuple[str, ...] = field(default=())
    """What could not be tidied up, in words; a person has to."""


KINDS: Mapping[str, type[Event]] = {
    event.kind: event
    for event in (
        Started,
        Rebased,
        Driven,
        Proposed,
        Previewed,
        Judged,
        Waited,
        StepRefused,
        StageDone,
        Merged,
        ShareCommitted,
        ShareServed,
        ShareSeen,
        ChangeIntended,
        ChangeOpened,
        ChangeClosed,
        EmergencyOpened,
        EmergencyClosed,
        Held,
        Resumed,
        FreezeBegan,
        FreezeEnded,
        AbortAsked,
        RollbackBegan,
        Ended,
    )
}
