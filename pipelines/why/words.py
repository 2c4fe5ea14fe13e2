"""An answer in words, and as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pipelines.journal.lines import verdict_to_data
from pipelines.reports.words import short, stamp
from pipelines.why.types import Answer, Behind, Possible


def sentences(found: Answer) -> Iterator[str]:
    """The answer in words, line by line."""
    yield f"{found.model} in {found.environment} at {stamp(found.at)}"
    yield ""
    if len(found.possible) > 1:
        yield "The record cannot tell which of these was in force; each is possible:"
    for one in found.possible:
        yield f"  {_split(one)}"
        yield f"    {_span(one)}"
    yield from (f"  {one}" for one in found.remarks)
    for doubt in found.doubts:
        yield f"  doubt: {doubt}"
    for version in found.behind:
        yield ""
        yield f"{version.label}  {version.digest}"
        yield f"  {version.uri}"
        yield from (f"  {line}" for line in _credentials(version))


def _split(one: Possible) -> str:
    parts = [f"{share.label} {share.percent} %" for share in one.shares]
    return ", ".join(parts) or "no version at all"


def _span(one: Possible) -> str:
    since = f"possible since {stamp(one.since)}" if one.since else "in force when the record begins"
    seen = f"seen by {stamp(one.seen)}" if one.seen else "not yet seen at that instant"
    until = f"another split seen at {stamp(one.until)}" if one.until else "nothing later in the record"
    return f"{since}; {seen}; {until}"


def _credentials(version: Behind) -> Iterator[str]:
    if not version.promotion:
        yield "no promotion in the record brought it: it served when the record began, or came another way"
        return
    yield f"brought by {version.promotion}, asked for by {version.requested_by}: {version.reason}"
    if version.pull_request:
        yield f"pull request {version.pull_request}, merged as {short(version.merged)} by {version.merged_by}"
    if version.change:
        yield f"change {version.change} {version.change_url}".rstrip()
    for approval in version.approvals:
        when = f" at {approval.at}" if approval.at else ""
        after = ", after the instant asked about" if approval.after else ""
        yield f"approved by {approval.approver}{when} in {approval.change}{after}"
    if not version.approvals:
        yield "approved by nobody in the record"
    for stage, verdict in version.verdicts:
        yield f"{stage}: {verdict.gate} {verdict.status.name} at {stamp(verdict.at)}: {verdict.sentence}"
    if version.later:
        yield f"{version.later} more verdicts were given later; `lockgate evidence` has them"


def to_data(found: Answer) -> dict[str, Any]:
    """The answer as JSON values; instants are ISO 8601."""
    behind = []
    for version in found.behind:
        verdicts = [{"stage": stage, **verdict_to_data(one)} for stage, one in version.verdicts]
        held = {key: getattr(version, key) for key in _BEHIND}
        approvals = [asdict(approval) for approval in version.approvals]
        behind.append({**held, "approvals": approvals, "verdicts": verdicts, "verdicts_later": version.later})
    return {
        "model": found.model,
        "environment": found.environment,
        "at": found.at.isoformat(),
        "first_record": _iso(found.first_record),
        "certain": found.certain,
        "possible": [
            {
                "shares": [asdict(share) for share in one.shares],
                "since": _iso(one.since),
                "seen": _iso(one.seen),
                "until": _iso(one.until),
                "promotion": one.promotion,
            }
            for one in found.possible
        ],
        "versions": behind,
        "remarks": list(found.remarks),
        "doubts": list(found.doubts),
    }


_BEHIND = (
    "label",
    "digest",
    "uri",
    "promotion",
    "requested_by",
    "reason",
    "pull_request",
    "merged",
    "merged_by",
    "change",
    "change_url",
)


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
