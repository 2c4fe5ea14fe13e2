"""What ServiceNow answers, before anybody believes it; and what a new change is asked to say.

An answer is checked raw, since a 200 may carry an error beside part of a result, or a page for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from pipelines.errors import AccessDenied, Misbehaved, Refused, Unreachable
from pipelines.ports import ChangeRequest

SYSTEM = "ServiceNow"
DISPLAY = "lockgate"
LONGEST_DESCRIPTION = 4000
LONGEST_SUMMARY = 160
"""ServiceNow cuts longer text without a word; an approver must see all of it."""

Row = dict[str, Any]
"""One record as the Table API gives it."""


def check(response: requests.Response, *_: object, **__: object) -> None:
    """Look at the raw answer before pysnow does; runs for every response of the session."""
    if response.is_redirect:
        return
    status, body = response.status_code, decoded(response)
    told = message(body)
    if status in (401, 403, 404):
        raise AccessDenied(SYSTEM, f"HTTP {status}: {told or 'no reason given'}")
    if status == 429:
        wait = response.headers.get("Retry-After", "an unknown number of")
        raise Unreachable(SYSTEM, f"HTTP 429: {told}; try again in {wait} seconds")
    if status >= 500:
        raise Unreachable(SYSTEM, f"HTTP {status}: {told or 'server error'}")
    if body is None:
        title = re.search(r"<title>(.{0,80}?)</title>", response.text[:5000], re.IGNORECASE | re.DOTALL)
        page = f"a page titled {title[1].strip()!r}" if title else "something that is not JSON"
        raise Unreachable(SYSTEM, f"unavailable: HTTP {status} brought {page}")
    if told or status >= 400:
        raise Misbehaved(SYSTEM, f"HTTP {status} with an error: {told or 'no reason given'}")
    if not isinstance(body, dict) or body.get("result") is None:
        raise Misbehaved(SYSTEM, f"HTTP {status} without a result")


def decoded(response: requests.Response) -> object:
    """The answer's JSON; None when it is none."""
    try:
        return response.json()
    except ValueError:
        return None


def message(body: object) -> str:
    """ServiceNow's own words for what went wrong; "" when nothing did."""
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        return (
            ": ".join(str(error[key]) for key in ("message", "detail") if error.get(key)) or "unnamed error"
        )
    return str(error) if error else ""


@contextmanager
def translated(library_error: type[Exception]) -> Iterator[None]:
    """Turn what the library and the network raise into our own errors."""
    try:
        yield
    except requests.RequestException as error:
        raise Unreachable(SYSTEM, f"no answer: {type(error).__name__}: {error}") from error
    except library_error as error:
        raise Misbehaved(SYSTEM, f"the answer makes no sense: {error}") from error


def allow(pattern: str, text: str, wanted: str) -> None:
    """Only text that cannot mean anything else may become part of a query or an address."""
    if not re.fullmatch(pattern, text, re.ASCII):
        raise Refused("not_an_identifier", f"{text[:80]!r} is not {wanted}; {SYSTEM} was not asked about it")


def plain(cell: object) -> str:
    """The value of a cell, given plain or with its display value."""
    value = cell.get("value") if isinstance(cell, dict) else cell
    return "" if value is None else str(value)


def text(row: Row, field: str) -> str:
    """One field of a record as text; a field that is not there is a missing right."""
    if field not in row:
        raise Misbehaved(SYSTEM, f"the answer lacks the field {field}; the account may not read it")
    return plain(row[field])


def named(row: Row, field: str, key: str) -> str:
    """The name behind a reference; a reference without a readable name is refused, not left empty."""
    name = plain(row.get(f"{field}.{key}"))
    if text(row, field) and not name:
        raise AccessDenied(SYSTEM, f"{field} is set, but this account may not read its {key}")
    return name


def sys_id(row: Row) -> str:
    """The record's id, 32 hexadecimal digits."""
    found = text(row, "sys_id")
    if not re.fullmatch(r"[0-9a-f]{32}", found):
        raise Misbehaved(SYSTEM, f"{found[:80]!r} is not a sys_id")
    return found


def state(row: Row) -> int:
    """The change's numeric state."""
    found = text(row, "state")
    if not re.fullmatch(r"-?\d{1,4}", found):
        raise Misbehaved(SYSTEM, f"{found[:80]!r} is not a state")
    return int(found)


def time(text: str) -> datetime | None:
    """A stored time, which is UTC; None for an empty one."""
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise Misbehaved(SYSTEM, f"{text[:80]!r} is not a time") from None


def desk_time(header: str) -> datetime:
    """The desk's own clock, so that ours need not agree with it; without one, everything is long ago."""
    try:
        return parsedate_to_datetime(header).replace(tzinfo=UTC)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)


def conflict(found: object) -> str:
    """One conflict in words, whatever fields the instance gives it."""
    if not isinstance(found, dict):
        return str(found)
    return " ".join(filter(None, (plain(cell) for cell in found.values()))) or "unnamed conflict"


def wishes(request: ChangeRequest) -> dict[str, str]:
    """The fields a new change is asked to have; Refused when an approver could not see all of it."""
    if len(request.description) > LONGEST_DESCRIPTION:
        raise Refused(
            "description_too_long",
            f"the change's description has {len(request.description)} characters; {SYSTEM} keeps "
            f"{LONGEST_DESCRIPTION} and the approver must see all of it",
        )
    return {
        "correlation_id": request.correlation_id,
        "correlation_display": DISPLAY,
        "short_description": request.short_description[:LONGEST_SUMMARY],
        "description": request.description,
        "justification": request.justification,
        "cmdb_ci": request.configuration_item,
        "assignment_group": request.assignment_group,
        "requested_by": request.requested_by,
        "start_date": f"{request.start.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        "end_date": f"{request.end.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
    }


def compare(row: Row, request: ChangeRequest) -> None:
    """The desk drops what it does not know without a word: compare before anybody is asked to sign."""
    asked = wishes(request)
    kept = {
        "correlation_id": text(row, "correlation_id"),
        "start_date": text(row, "start_date"),
        "end_date": text(row, "end_date"),
        "cmdb_ci": named(row, "cmdb_ci", "name"),
        "requested_by": named(row, "requested_by", "user_name"),
    }
    lost = [
        f"{field} ({asked[field]!r} became {text!r})" for field, text in kept.items() if text != asked[field]
    ]
    if lost:
        raise Misbehaved(SYSTEM, f"{text(row, 'number')} was opened but did not keep {', '.join(lost)}")
