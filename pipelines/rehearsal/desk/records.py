"""The change desk's tables: rows of text as ServiceNow stores them, their queries and their display.

Every value is text: numbers as digits, booleans as ``true`` and ``false``, times as UTC without a zone,
references as the sys_id of another row. The whole is one JSON file, rewritten after each change.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

Row = dict[str, str]

NEW, ASSESS, AUTHORIZE, SCHEDULED, IMPLEMENT, REVIEW, CLOSED, CANCELED = -5, -4, -3, -2, -1, 0, 3, 4

STATES: Mapping[int, str] = {
    NEW: "New",
    ASSESS: "Assess",
    AUTHORIZE: "Authorize",
    SCHEDULED: "Scheduled",
    IMPLEMENT: "Implement",
    REVIEW: "Review",
    CLOSED: "Closed",
    CANCELED: "Canceled",
}

_TASK_STATES = {-5: "Pending", 1: "Open", 2: "Work in Progress", 3: "Closed", 4: "Canceled"}

_BOOK = {
    "sys_id": "text",
    "sys_created_on": "time",
    "sys_created_by": "text",
    "sys_updated_on": "time",
    "sys_updated_by": "text",
}

FIELDS: Mapping[str, Mapping[str, str]] = {
    "change_request": {
        **_BOOK,
        **dict.fromkeys(("start_date", "end_date", "conflict_last_run"), "time"),
        **dict.fromkeys(("requested_by", "opened_by", "assigned_to"), "sys_user"),
        **dict.fromkeys(("on_hold", "active"), "boolean"),
        **dict.fromkeys(
            (
                "number", "short_description", "description", "justification", "implementation_plan",
                "backout_plan", "test_plan", "risk", "category", "phase", "approval", "on_hold_reason",
                "correlation_id", "correlation_display", "close_code", "close_notes", "work_notes",
                "comments", "conflict_status", "std_change_producer_version",
            ),
            "text",
        ),
        "type": "label",
        "state": "state",
        "assignment_group": "sys_user_group",
        "cmdb_ci": "cmdb_ci",
    },
    "change_task": {
        **_BOOK,
        **dict.fromkeys(("number", "short_description", "change_task_type"), "text"),
        **dict.fromkeys(("close_code", "close_notes"), "text"),
        "change_request": "change_request",
        "state": "task_state",
        "active": "boolean",
    },
    "sysapproval_approver": {
        **_BOOK,
        "sysapproval": "change_request",
        "approver": "sys_user",
        "assignment_group": "sys_user_group",
        "state": "text",
        "comments": "text",
    },
    "sys_user": {"sys_id": "text", "user_name": "text", "name": "text"},
    "sys_user_group": {"sys_id": "text", "name": "text"},
    "cmdb_ci": {"sys_id": "text", "name": "text"},
}  # fmt: skip
"""Table -> field -> kind; a kind that is itself a table is a reference."""

_LONGEST = {"short_description": 160, "description": 4000}
"""Longer text is cut without a word, as ServiceNow does."""

_CONDITION = re.compile(r"(?P<field>[a-z_][a-z0-9_.]*)(?P<operator>!=|=|IN)(?P<value>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can sign in."""

    password: str
    roles: tuple[str, ...]
    """``itil`` writes changes, ``approver_user`` approves, ``sn_change_read`` reads."""
    full_name: str
    groups: tuple[str, ...] = ()
    """Groups in which this account is asked to approve."""
    token: str = ""
    """Bearer token that works beside the password; "" for none."""
    time_zone: str = "UTC"
    """Display values of times are in this zone, an IANA name."""


def sys_id_of(kind: str, name: str) -> str:
    """A sys_id that stays the same for a thing known by its name: 32 hexadecimal digits."""
    return hashlib.sha256(f"{kind}:{name}".encode()).hexdigest()[:32]


def stamp(instant: datetime) -> str:
    """An instant as the desk stores it: UTC to the second."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def instant(text: str) -> datetime | None:
    """A stored time; None for an empty or unreadable one."""
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


class Records:
    """The tables, kept in ``folder/desk.json``. The caller holds the lock."""

    def __init__(self, folder: Path, accounts: Mapping[str, Account]) -> None:
        self._file = folder / "desk.json"
        self._counter = 30000
        self.tables: dict[str, dict[str, Row]] = {table: {} for table in FIELDS}
        folder.mkdir(parents=True, exist_ok=True)
        if self._file.exists():
            kept = json.loads(self._file.read_text("utf-8"))
            self._counter = kept["counter"]
            self.tables.update(kept["tables"])
        for login, account in accounts.items():
            self._name("sys_user", login, user_name=login, name=account.full_name)
            for group in account.groups:
                self._name("sys_user_group", group, name=group)

    def _name(self, table: str, key: str, **fields: str) -> str:
        sys_id = sys_id_of(table, key)
        self.tables[table][sys_id] = {"sys_id": sys_id, **fields}
        return sys_id

    def save(self) -> None:
        """Write everything; a reader sees the old file or the new one."""
        text = json.dumps({"counter": self._counter, "tables": self.tables}, indent=1)
        fresh = self._file.with_suffix(".new")
        fresh.write_text(text, "utf-8")
        fresh.replace(self._file)

    def add(self, table: str, prefix: str, values: Mapping[str, str], *, by: str, now: datetime) -> Row:
        """Insert a row with a fresh number and sys_id."""
        self._counter += 1
        number = f"{prefix}{self._counter:07d}"
        row = dict.fromkeys(FIELDS[table], "")
        row |= {"sys_id": sys_id_of(table, number), "sys_created_on": stamp(now), "sys_created_by": by}
        if "number" in row:
            row["number"] = number
        self.tables[table][row["sys_id"]] = row
        return self.put(table, row, values, by=by, now=now)

    def put(self, table: str, row: Row, values: Mapping[str, str], *, by: str, now: datetime) -> Row:
        """Set known fields of a row; a reference may be given by sys_id or by name."""
        for field, value in values.items():
            kind = FIELDS[table].get(field)
            if kind in self.tables:
                row[field] = self._reference(kind, value)
            elif kind is not None:
                row[field] = value[: _LONGEST.get(field, 65_000)]
        row |= {"sys_updated_on": stamp(now), "sys_updated_by": by}
        return row

    def _reference(self, kind: str, value: str) -> str:
        if not value or value in self.tables[kind]:
            return value
        if kind == "cmdb_ci":
            return self._name(kind, value, name=value)
        return next(
            (
                key
                for key, row in self.tables[kind].items()
                if value in (row.get("user_name"), row.get("name"))
            ),
            "",
        )

    def value(self, table: str, row: Row, path: str) -> tuple[str, str] | None:
        """(kind, value) at a field path such as ``approver.user_name``; None for a field that is not."""
        field, _, rest = path.partition(".")
        kind = FIELDS[table].get(field)
        if kind is None or not rest:
            return (kind, row.get(field, "")) if kind else None
        return (
            self.value(kind, self.tables[kind].get(row.get(field, ""), {}), rest) if kind in FIELDS else None
        )

    def select(self, table: str, query: str, *, invalid_returns_nothing: bool) -> list[Row]:
        """Rows a ``sysparm_query`` selects; a part it cannot read is dropped and the rest runs."""
        wanted: list[list[tuple[str, str, str]]] = []
        orders: list[tuple[str, bool]] = []
        for part in filter(None, query.split("^")):
            if match := re.fullmatch(r"ORDERBY(DESC)?([a-z_.]+)", part):
                orders.append((match[2], bool(match[1])))
                continue
            alternative = part.startswith("OR") and bool(wanted)
            condition = _CONDITION.fullmatch(part[2:] if alternative else part)
            if condition is None or self.value(table, {}, condition["field"]) is None:
                if invalid_returns_nothing:
                    return []
                continue
            if not alternative:
                wanted.append([])
            wanted[-1].append((condition["field"], condition["operator"], condition["value"]))
        return self._sorted(
            table, (r for r in self.tables[table].values() if self._meets(table, r, wanted)), orders
        )

    def _meets(self, table: str, row: Row, wanted: list[list[tuple[str, str, str]]]) -> bool:
        return all(any(self._holds(table, row, *condition) for condition in either) for either in wanted)

    def _holds(self, table: str, row: Row, field: str, operator: str, value: str) -> bool:
        found = self.value(table, row, field)
        text = found[1] if found else ""
        if operator == "IN":
            return text in value.split(",")
        return (text == value) is (operator == "=")

    def _sorted(self, table: str, rows: Iterable[Row], orders: list[tuple[str, bool]]) -> list[Row]:
        ordered = list(rows)
        for field, descending in reversed(orders):
            ordered.sort(key=lambda row: (self.value(table, row, field) or ("", ""))[1], reverse=descending)
        return ordered

    def display(self, kind: str, value: str, zone: str) -> str:
        """What people see of a value, times in their own zone."""
        if kind in self.tables:
            row = self.tables[kind].get(value, {})
            return row.get("name") or row.get("number", "")
        if kind == "state":
            return STATES.get(int(value), value)
        if kind == "task_state":
            return _TASK_STATES.get(int(value), value)
        if kind == "time" and (at := instant(value)):
            return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}"
        return value.capitalize() if kind == "label" else value
