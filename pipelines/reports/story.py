"""A journal told in sentences: who did what, when. What is said again is counted, not repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from gates.contract import Status
from pipelines.journal import events as e
from pipelines.journal.lines import Line
from pipelines.reports.words import clean, count, short, stamp, who


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the timeline."""

    n: int | None
    """Line of the journal; None for what the change desk says of its own people."""
    at: datetime
    who: str
    what: str
    status: str = ""
    """``PASS``, ``WAIT``, ``UNKNOWN`` or ``FAIL`` for a verdict; "" for a deed."""
    again: int = 0
    """How many later lines said the same."""
    last_at: datetime | None = None

    @property
    def when(self) -> str:
        """The instant as written."""
        return stamp(self.at)

    @property
    def repeated(self) -> str:
        """The looks that said the same, in words; "" when there were none."""
        if not self.again or self.last_at is None:
            return ""
        return f"{count(self.again, 'later look')} said the same, the last at {stamp(self.last_at)}"


def timeline(lines: Iterable[Line]) -> tuple[Entry, ...]:
    """The journal as rows in order of time, and between them what approvers did on the change desk."""
    entries: list[Entry] = []
    latest: dict[tuple[str, ...], tuple[tuple[str, ...], int]] = {}
    desk: dict[tuple[str, str, str], Entry] = {}
    for line in lines:
        for entry in _desk_rows(line.event):
            desk[(entry.who, entry.what, entry.when)] = entry
        about, says = _same_again(line.event)
        if about and about in latest and latest[about][0] == says:
            at = latest[about][1]
            entries[at] = replace(entries[at], again=entries[at].again + 1, last_at=line.at)
            continue
        if about:
            latest[about] = (says, len(entries))
        entries.append(_entry(line))
    return tuple(sorted((*entries, *desk.values()), key=_order))


def _order(entry: Entry) -> datetime:
    return entry.at


def _entry(line: Line) -> Entry:
    status = line.event.verdict["status"] if isinstance(line.event, e.Judged) else ""
    what = _TOLD[line.event.kind](line.event)
    return Entry(n=line.n, at=line.at, who=who(line.by), what=what, status=status)


def _same_again(event: e.Event) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a line is about and what it says of it; the same about the same is only counted."""
    if isinstance(event, e.Judged):
        verdict = event.verdict
        says = (verdict["status"], verdict["reason"], verdict["subject"]["commit"])
        return ("judged", event.stage, verdict["gate"]), says
    if isinstance(event, e.Waited):
        return ("waited", event.stage), (event.reason, str(event.unknown))
    return (), ()


def approver_rows(facts: Mapping[str, object]) -> tuple[Mapping[str, Any], ...]:
    """The approvers in an approval verdict's facts: approver, state, at; what is no such row is left out."""
    rows = facts.get("approvers")
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        return ()
    return tuple(row for row in rows if isinstance(row, Mapping))


def instant(value: object) -> datetime | None:
    """An ISO 8601 instant of a document's facts; None when it is none."""
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _desk_rows(event: e.Event) -> Iterable[Entry]:
    if not isinstance(event, e.Judged):
        return
    facts = event.verdict["evidence"]["facts"]
    for row in approver_rows(facts):
        at = instant(row.get("at"))
        if at is not None and row.get("state") in ("approved", "rejected"):
            change = clean(facts.get("change", "the change"))
            yield Entry(
                n=None,
                at=at,
                who=clean(row.get("approver")),
                what=f"{row['state']} {change} on the change desk",
            )


def _version(version: Mapping[str, Any] | None) -> str:
    return clean(version["label"]) if version else "nothing"


def _started(event: e.Started) -> str:
    return (
        f"asked for {_version(event.candidate)} of {clean(event.model)} in {clean(event.environment)}, "
        f"where {_version(event.stable)} served: {clean(event.reason)}"
    )


def _judged(event: e.Judged) -> str:
    verdict = event.verdict
    gate, reason, sentence = (clean(verdict[key]) for key in ("gate", "reason", "sentence"))
    return f"{clean(event.stage)}: {gate} says {reason}: {sentence}"


def _waited(event: e.Waited) -> str:
    why = "could not tell" if event.unknown else "waits"
    return f"{clean(event.stage)} {why}: {clean(event.sentence)}"


def _share_seen(event: e.ShareSeen) -> str:
    return f"saw {event.share_percent} % in the metrics: {clean(event.sentence)}"


def _ended(event: e.Ended) -> str:
    left = f"; left to people: {'; '.join(map(clean, event.left_undone))}" if event.left_undone else ""
    return f"ended it as {event.outcome.replace('_', ' ')}: {clean(event.sentence)}{left}"


def _done(event: e.StageDone) -> str:
    return f"{clean(event.stage)} is done{f': {clean(event.sentence)}' if event.sentence else ''}"


_TOLD: Mapping[str, Callable[[Any], str]] = {
    "started": _started,
    "rebased": lambda event: f"another promotion ended; {_version(event.stable)} is the stable version now",
    "driven": lambda event: (
        f"workflow {clean(event.workflow)} moves it"
        if event.driver == "argo"
        else "the local engine moves it"
    ),
    "proposed": lambda event: (
        f"opened pull request {event.pull_request} as {clean(event.author)}, head {short(event.head_sha)}"
    ),
    "previewed": lambda event: (
        f"candidate runs in {clean(event.environment)} without live requests, commit {short(event.commit)}"
    ),
    "judged": _judged,
    "waited": _waited,
    "step_refused": lambda event: f"{clean(event.stage)} was told no: {clean(event.sentence)}",
    "stage_done": _done,
    "merged": lambda event: (
        f"the pull request was merged by {clean(event.by)} as commit {short(event.commit)}"
    ),
    "share_committed": lambda event: f"wrote {event.share_percent} % on main, commit {short(event.commit)}",
    "share_served": lambda event: f"{event.share_percent} % is in force: synced, and split that way",
    "share_seen": _share_seen,
    "change_intended": lambda event: f"is about to open a change for content {short(event.correlation_id)}",
    "change_opened": lambda event: f"opened change {clean(event.number)}",
    "change_closed": lambda event: f"closed change {clean(event.number)} as {clean(event.code)}",
    "emergency_opened": lambda event: f"told the desk by emergency change {clean(event.number)}",
    "emergency_closed": lambda event: f"closed emergency change {clean(event.number)}",
    "held": lambda event: f"{clean(event.person)} held it: {clean(event.reason)}",
    "resumed": lambda event: (
        f"{clean(event.person)} gave the word for {clean(event.stage)}"
        if event.stage
        else f"{clean(event.person)} let it go on"
    ),
    "freeze_began": lambda event: f"{clean(event.stage)} is {clean(event.sentence)}",
    "freeze_ended": lambda event: f"nothing is frozen any more before {clean(event.stage)}",
    "abort_asked": lambda event: f"{clean(event.person)} ended it: {clean(event.reason)}",
    "rollback_began": lambda event: f"decided to go back to 0 %: {clean(event.sentence)}",
    "ended": _ended,
}

STATUS_SYMBOLS = {"PASS": "✔", "WAIT": "…", "UNKNOWN": "?", "FAIL": "✘"}
"""A sign for each status; the word always stands beside it."""


def symbol(status: Status) -> str:
    """The sign of a status."""
    return STATUS_SYMBOLS[status.name]
