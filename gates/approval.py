"""Is exactly this content approved, by the right people, now?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import ClassVar, Protocol

from gates.contract import Evidence, Phase, Question, Status, Verdict

SCHEDULED, IMPLEMENT, REVIEW, CLOSED, CANCELED = -2, -1, 0, 3, 4

_NOT_REQUIRED = ("not_required", "no_longer_required")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalSettings:
    """What counts as an approval. Every default is the strict choice."""

    types: tuple[str, ...] = ("normal",)
    """Kinds of change this tier accepts: ``normal``, ``standard``, ``emergency``."""
    preapproved_types: tuple[str, ...] = ()
    """Kinds whose template was approved beforehand, so that nobody signs each change; for ``standard``."""
    implement_states: tuple[int, ...] = (SCHEDULED, IMPLEMENT)
    """States in which an approved change may be carried out; change models may define others."""
    service_account: str = ""
    """lockgate's own account on the desk: it asks, so it must never be among those who answer."""
    same_person: tuple[tuple[str, ...], ...] = ()
    """Accounts that belong to one person, such as a desk account and a forge login."""
    conflict_fresh_seconds: float = 900.0
    """How old, or how far ahead of our clock, the desk's conflict check may be."""
    allow_early_start: bool = False
    """Whether an approved change may be carried out before its window opens (never after it ends)."""


@dataclass(frozen=True, slots=True)
class _Objection:
    """One line of the list that does not hold."""

    status: Status
    reason: str
    sentence: str
    retry_after_seconds: float | None = None


_Lines = Iterator[_Objection]


class Approval:
    """Whether exactly this content is approved, by the right people, now.

    PASS only if every line holds. The lines, in the order in which the first to object names the reason:

    ======================================================  =======  ===========================
    what the desk says                                      verdict  reason
    ======================================================  =======  ===========================
    no change number was asked about                        UNKNOWN  no_change
    another change came back                                FAIL     wrong_change
    a kind of change the tier does not accept               FAIL     wrong_type
    Canceled                                                FAIL     change_cancelled
    Closed, or not active                                   FAIL     change_closed
    Review                                                  FAIL     change_in_review
    approved, but in no state to be carried out             WAIT     not_scheduled
    on hold (its only way on is Canceled)                   FAIL     on_hold
    approval rejected                                       FAIL     rejected
    approval cancelled                                      FAIL     approval_cancelled
    approval "not required": that is not consent            FAIL     approval_not_required
    approval not asked for, or people are still asked       WAIT     approval_pending
    an approval value nobody documents                      UNKNOWN  approval_unreadable
    an approver's row says rejected                         FAIL     rejected_by_approver
    rows ended as "not required" and nobody approved        FAIL     not_required_only
    approved, but by no approver                            FAIL     no_approver
    an approved row without a name                          FAIL     approver_unnamed
    the requester approved                                  FAIL     approver_is_requester
    the pull request's author approved                      FAIL     approver_is_author
    who opened the change approved it                       FAIL     approver_is_opener
    lockgate's account is among the approvers               FAIL     approver_is_service_account
    nobody knows who requested it                           FAIL     requester_unknown
    nobody knows who wrote the pull request                 UNKNOWN  author_unknown
    neither start nor end planned                           FAIL     window_missing
    the planned end is not after the planned start          FAIL     window_impossible
    the planned end has passed                              FAIL     window_over
    the planned start has not come                          WAIT     window_not_open
    the change is for another configuration item            FAIL     wrong_configuration_item
    its correlation id is not that of this content          FAIL     content_changed
    the desk found conflicts; a person can move the window  WAIT     conflicts_found
    the conflict check never ran                            UNKNOWN  conflict_check_missing
    the conflict check is too old (or ahead of our clock)   UNKNOWN  conflict_check_stale
    every line holds                                        PASS     approved
    ======================================================  =======  ===========================

    Among lines that object, the worst status wins. The conflict check's age is looked at only when all
    other lines hold: while people are still asked it decides nothing, and their time is not an outage.
    With a start alone the window never closes; with an end alone it is open until then.
    """

    name: ClassVar[str] = "approval"
    phase: ClassVar[Phase] = "approve"
    needs: ClassVar[frozenset[str]] = frozenset({"desk"})
    Settings: ClassVar[type] = ApprovalSettings

    def __init__(self, settings: ApprovalSettings, *, desk: ChangeReader) -> None:
        self._settings = settings
        self._desk = desk

    def judge(self, question: Question) -> Verdict:
        """Read the change afresh and hold it against the list; an outage of the desk is an exception."""
        if not question.change_number:
            nothing = _Objection(
                Status.UNKNOWN, "no_change", "No change request was named, so none was read."
            )
            return _verdict(question, (nothing,), Evidence(), "")
        change = self._desk.read(question.change_number)
        objections = _objections(change, question, self._settings)
        return _verdict(question, objections, _evidence(change, objections), _praise(change))


def _objections(change: Change, question: Question, settings: ApprovalSettings) -> tuple[_Objection, ...]:
    found = (
        *_identity(change, question, settings),
        *_state(change, settings),
        *_approval(change),
        *_rows(change, settings),
        *_people(change, question, settings),
        *_window(change, question.now, settings),
        *_content(change, question),
        *_conflicts(change),
    )
    return found or tuple(_conflict_check(change, question.now, settings))


def _verdict(
    question: Question, objections: tuple[_Objection, ...], evidence: Evidence, praise: str
) -> Verdict:
    status = Status.worst((Status.PASS, *(objection.status for objection in objections)))
    first = next((objection for objection in objections if objection.status is status), None)
    more = len(objections) - 1
    also = f" {more} more line{'s do' if more > 1 else ' does'} not hold either." if more > 0 else ""
    return Verdict(
        gate=Approval.name,
        subject=question.subject,
        status=status,
        reason=first.reason if first else "approved",
        sentence=first.sentence + also if first else praise,
        at=question.now,
        evidence=evidence,
        retry_after_seconds=first.retry_after_seconds if first else None,
    )


def _praise(change: Change) -> str:
    names = ", ".join(row.name for row in _in_state(change, "approved")) or "its template's approval"
    until = f" until {_utc(change.end)}" if change.end else ""
    return f"{change.number} is approved by {names} for exactly this content and may be carried out{until}."


def _evidence(change: Change, objections: tuple[_Objection, ...]) -> Evidence:
    rows = [
        {"approver": row.name, "state": row.state, "at": row.at.isoformat() if row.at else None}
        for row in change.approvers
    ]
    checked_at = change.conflicts.checked_at
    facts: dict[str, object] = {
        "change": change.number,
        "url": change.url,
        "type": change.type,
        "state": change.state_name,
        "approval": change.approval,
        "on_hold": change.on_hold,
        "requested_by": change.requested_by,
        "configuration_item": change.configuration_item,
        "correlation_id": change.correlation_id,
        "start": change.start.isoformat() if change.start else None,
        "end": change.end.isoformat() if change.end else None,
        "approvers": rows,
        "conflicts": list(change.conflicts.found),
        "conflicts_checked_at": checked_at.isoformat() if checked_at else None,
        "objections": [
            {"status": one.status.name, "reason": one.reason, "sentence": one.sentence} for one in objections
        ],
    }
    return Evidence(facts=MappingProxyType(facts))


# --------------------------------------------------------------------- the lines


def _identity(change: Change, question: Question, settings: ApprovalSettings) -> _Lines:
    if change.number != question.change_number:
        yield _fail(
            "wrong_change",
            f"The desk answered with {change.number} when asked for {question.change_number}.",
        )
    if change.type not in settings.types:
        yield _fail(
            "wrong_type",
            f"{change.number} is of type {change.type!r}; this tier accepts {', '.join(settings.types)}.",
        )


def _state(change: Change, settings: ApprovalSettings) -> _Lines:
    if change.state == CANCELED:
        yield _fail("change_cancelled", f"{change.number} was cancelled; promote again to open a new change.")
    elif change.state == CLOSED or not change.active:
        yield _fail(
            "change_closed", f"{change.number} is closed ({change.state_name}): it covers nothing new."
        )
    elif change.state in settings.implement_states:
        return
    elif change.state == REVIEW:
        yield _fail("change_in_review", f"{change.number} is in Review: it was carried out already.")
    elif _word(change.approval) == "approved":
        yield _wait(
            "not_scheduled",
            f"{change.number} is approved but in {change.state_name}; "
            f"it may be carried out in state {_numbers(settings.implement_states)}.",
        )


def _approval(change: Change) -> _Lines:
    number, approval = change.number, _word(change.approval)
    if change.on_hold:
        yield _fail("on_hold", f"{number} is on hold; on the desk it can only be cancelled now.")
    if approval == "approved":
        return
    if approval == "rejected":
        who = ", ".join(row.name for row in _in_state(change, "rejected"))
        yield _fail("rejected", f"{number} was rejected{f' by {who}' if who else ''}.")
    elif approval == "cancelled":
        yield _fail("approval_cancelled", f"The approval of {number} was cancelled; nobody can give it now.")
    elif approval in _NOT_REQUIRED:
        yield _fail("approval_not_required", f"{number} says its approval is not required: not consent.")
    elif approval in ("requested", "not_requested", "not_yet_requested", ""):
        who = ", ".join(row.name for row in _in_state(change, "requested")) or "nobody has been asked yet"
        yield _wait("approval_pending", f"{number} is in {change.state_name} and not approved; asked: {who}.")
    else:
        yield _Objection(
            Status.UNKNOWN, "approval_unreadable", f"{number} has an approval of {change.approval!r}."
        )


def _rows(change: Change, settings: ApprovalSettings) -> _Lines:
    if rejected := _in_state(change, "rejected"):
        names = ", ".join(row.name for row in rejected)
        yield _fail("rejected_by_approver", f"{names} rejected {change.number}.")
    if _in_state(change, "approved") or change.type in settings.preapproved_types:
        return
    if _in_state(change, *_NOT_REQUIRED) and not _in_state(change, "requested"):
        yield _fail(
            "not_required_only",
            f"No approver of {change.number} approved; {len(_in_state(change, *_NOT_REQUIRED))} "
            f"became not required, which is not consent.",
        )
    elif _word(change.approval) == "approved":
        yield _fail("no_approver", f"{change.number} says approved, but no approver's row does.")


def _people(change: Change, question: Question, settings: ApprovalSettings) -> _Lines:
    conflicts_of_interest = (
        ("approver_is_requester", "requested it", (question.requested_by, change.requested_by)),
        ("approver_is_author", "wrote the pull request", (question.pull_request_author,)),
        ("approver_is_opener", "opened the change", (change.opened_by,)),
    )
    for row in _in_state(change, "approved"):
        if not row.name.strip():
            yield _fail("approver_unnamed", f"{change.number} has an approval that names nobody.")
        for reason, deed, names in conflicts_of_interest:
            if any(_same(row.name, name, settings.same_person) for name in names):
                yield _fail(reason, f"{row.name} approved {change.number} and also {deed}.")
    for row in change.approvers:
        if _same(row.name, settings.service_account, settings.same_person):
            yield _fail(
                "approver_is_service_account",
                f"lockgate's own account {row.name} is among the approvers of {change.number}; "
                f"take its approver right away.",
            )
    if not question.requested_by.strip() and not change.requested_by.strip():
        yield _fail("requester_unknown", f"Nobody knows who requested {change.number}.")
    if not question.pull_request_author.strip():
        yield _Objection(
            Status.UNKNOWN, "author_unknown", "Nobody knows who wrote the promotion's pull request."
        )


def _window(change: Change, now: datetime, settings: ApprovalSettings) -> _Lines:
    number, start, end = change.number, change.start, change.end
    if start is None and end is None:
        yield _fail("window_missing", f"{number} has neither a planned start nor a planned end.")
    elif start and end and end <= start:
        yield _fail("window_impossible", f"{number} is planned to end ({_utc(end)}) before it starts.")
    elif end and now >= end:
        yield _fail("window_over", f"The window of {number} ended at {_utc(end)}; it is {_utc(now)}.")
    elif start and now < start and not settings.allow_early_start:
        yield _Objection(
            Status.WAIT,
            "window_not_open",
            f"The window of {number} opens at {_utc(start)}; it is {_utc(now)}.",
            (start - now).total_seconds(),
        )


def _content(change: Change, question: Question) -> _Lines:
    item = question.configuration_item or question.service
    if not item or change.configuration_item.casefold() != item.casefold():
        yield _fail(
            "wrong_configuration_item",
            f"{change.number} is for {change.configuration_item or 'no configuration item'}, not for {item}.",
        )
    if not question.correlation_id or change.correlation_id != question.correlation_id:
        yield _fail(
            "content_changed",
            f"{change.number} covers content {change.correlation_id[:12] or 'unnamed'}, "
            f"but {question.correlation_id[:12] or 'unnamed content'} is being promoted.",
        )


def _conflicts(change: Change) -> _Lines:
    if found := change.conflicts.found:
        yield _wait(
            "conflicts_found",
            f"The desk found {len(found)} conflict{'s' if len(found) > 1 else ''} for {change.number}: "
            f"{'; '.join(found)}. Move the planned window or resolve them.",
        )


def _conflict_check(change: Change, now: datetime, settings: ApprovalSettings) -> _Lines:
    checked_at = change.conflicts.checked_at
    if checked_at is None:
        sentence = f"The desk never checked {change.number} for conflicts."
        yield _Objection(Status.UNKNOWN, "conflict_check_missing", sentence)
    elif abs((now - checked_at).total_seconds()) > settings.conflict_fresh_seconds:
        yield _Objection(
            Status.UNKNOWN,
            "conflict_check_stale",
            f"The desk checked {change.number} for conflicts at {_utc(checked_at)}; it is {_utc(now)} "
            f"and the check must be within {settings.conflict_fresh_seconds:g} s.",
        )


# ------------------------------------------------------------------------- words


def _fail(reason: str, sentence: str) -> _Objection:
    return _Objection(Status.FAIL, reason, sentence)


def _wait(reason: str, sentence: str) -> _Objection:
    return _Objection(Status.WAIT, reason, sentence)


def _word(text: str) -> str:
    return text.strip().lower().replace(" ", "_")


def _in_state(change: Change, *states: str) -> tuple[Approver, ...]:
    return tuple(row for row in change.approvers if _word(row.state) in states)


def _same(one: str, other: str, same_person: tuple[tuple[str, ...], ...]) -> bool:
    """Whether two accounts belong to one person; an empty name belongs to nobody."""
    one, other = one.strip().casefold(), other.strip().casefold()
    if not one or not other:
        return False
    people = ({name.strip().casefold() for name in person} for person in same_person)
    return one == other or any({one, other} <= person for person in people)


def _numbers(states: tuple[int, ...]) -> str:
    return " or ".join(str(state) for state in states)


def _utc(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
