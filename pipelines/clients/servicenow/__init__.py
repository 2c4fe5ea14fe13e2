"""ServiceNow through pysnow: change requests, opened once, read whole, closed with their outcome.

Traps this file keeps away from everybody else:
an invalid part of a query returns all rows, so every answer is compared with what was asked;
a 200 may carry an error beside part of a result, or a page, so the raw answer is checked before use;
one set of parameters is shared by all calls of a Resource, so every call gets a new one.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from pipelines.clients.servicenow import answers
from pipelines.errors import AccessDenied, CouldNotTell, Misbehaved
from pipelines.ports import Approver, Change, ChangeRequest, Conflicts, Finding

_log = logging.getLogger(__name__)

_NEW, _ASSESS, _AUTHORIZE, _SCHEDULED, _IMPLEMENT, _REVIEW, _CLOSED, _CANCELED = -5, -4, -3, -2, -1, 0, 3, 4
_FIRST_STEP = {"normal": _ASSESS, "emergency": _AUTHORIZE, "standard": _SCHEDULED}
"""The state that asks for a new change's assessment."""


_CONFLICT_STALE_SECONDS = 60.0
"""An older conflict check is run again before a change is read."""

_CHANGE_FIELDS = [
    "sys_id", "number", "type", "state", "approval", "on_hold", "active", "requested_by",
    "requested_by.user_name", "opened_by", "opened_by.user_name", "cmdb_ci", "cmdb_ci.name",
    "correlation_id", "correlation_display", "start_date", "end_date",
]  # fmt: skip
_ROW_FIELDS = ["sys_id", "sysapproval", "approver", "approver.user_name", "state", "sys_updated_on"]


class _Bearer(requests.auth.AuthBase):
    """A token in the header; as an auth object it is not displaced by a ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class ServiceNowDesk:
    """A change desk. One account's view of one instance; safe to keep for the life of a process.

    ``password`` or ``token`` is given. A GET is tried three times in all; nothing else is ever repeated.
    Every method raises :class:`~pipelines.errors.CouldNotTell` when there is no usable answer; after that
    a write may or may not have happened.
    """

    def __init__(
        self,
        *,
        url: str,
        user: str,
        password: str | None = None,
        token: str | None = None,
        ca_file: str | None = None,
        timeout_seconds: float = 20.0,
    ) -> None:
        scheme, _, host = url.rstrip("/").partition("://")
        self._url = url.rstrip("/")
        self._user = user
        self._timeout_seconds = timeout_seconds
        session = requests.Session()
        session.auth = _Bearer(token) if token else requests.auth.HTTPBasicAuth(user, password or "")
        session.verify = ca_file or True
        session.hooks["response"].append(answers.check)
        # A Retry-After of an hourly limit is the caller's to wait for, not ours to sleep through.
        retry = Retry(
            total=2, backoff_factor=0.2, status_forcelist=(502, 503, 504), allowed_methods={"GET"},
            raise_on_status=False, respect_retry_after_header=False,
        )  # fmt: skip
        session.mount(f"{scheme}://", HTTPAdapter(max_retries=retry))
        with warnings.catch_warnings():
            # Its time-zone library of 2019 warns on newer Pythons; nothing here uses it.
            warnings.simplefilter("ignore", DeprecationWarning)
            import pysnow
        self._pysnow = pysnow
        self._client = pysnow.Client(host=host, session=session, use_ssl=scheme == "https")

    # ------------------------------------------------------------------- reading

    def find(self, correlation_id: str) -> Change | None:
        """The newest open change with this correlation id; None when none is open.

        Cancelled and closed changes cover nothing any more and are passed over. One that was opened but
        whose assessment nobody asked for, because its opener died in between, is asked for here.
        """
        row = self._find(correlation_id)
        return self._whole(self._assessed(row)) if row else None

    def read(self, number: str) -> Change:
        """Read a change, its approvers and its conflicts afresh."""
        return self._whole(self._by_number(number))

    def _find(self, correlation_id: str) -> answers.Row | None:
        answers.allow(r"[0-9a-f]{64}", correlation_id, "a correlation id of 64 hexadecimal digits")
        rows = self._list("change_request", "correlation_id", correlation_id, _CHANGE_FIELDS)
        opened = [row for row in rows if answers.state(row) not in (_CLOSED, _CANCELED)]
        opened.sort(key=lambda row: (len(answers.text(row, "number")), answers.text(row, "number")))
        if len(opened) > 1:
            others = ", ".join(answers.text(row, "number") for row in opened[:-1])
            _log.warning("%s is the newest open change; the same content is also in %s: cancel those",
                         answers.text(opened[-1], "number"), others)  # fmt: skip
        return opened[-1] if opened else None

    def _by_number(self, number: str) -> answers.Row:
        answers.allow(r"CHG\d{7,10}", number, "a change number such as CHG0030001")
        rows = self._list("change_request", "number", number, _CHANGE_FIELDS)
        if len(rows) != 1:
            raise Misbehaved(
                answers.SYSTEM,
                f"{len(rows)} changes came back for {number}: it is gone, or this account may not see it",
            )
        return rows[0]

    def _whole(self, row: answers.Row) -> Change:
        sys_id = answers.sys_id(row)
        number, state = answers.text(row, "number"), row["state"]
        answers.allow(r"CHG\d{7,10}", number, "a change number")
        return Change(
            number=number,
            sys_id=sys_id,
            url=f"{self._url}/nav_to.do?uri=change_request.do%3Fsys_id%3D{sys_id}",
            type=answers.text(row, "type"),
            state=answers.state(row),
            state_name=str(state["display_value"]),
            approval=answers.text(row, "approval"),
            on_hold=answers.text(row, "on_hold") == "true",
            active=answers.text(row, "active") == "true",
            requested_by=answers.named(row, "requested_by", "user_name"),
            opened_by=answers.named(row, "opened_by", "user_name"),
            configuration_item=answers.named(row, "cmdb_ci", "name"),
            correlation_id=answers.text(row, "correlation_id"),
            start=answers.time(answers.text(row, "start_date")),
            end=answers.time(answers.text(row, "end_date")),
            approvers=self._approvers(sys_id),
            conflicts=self._conflicts(row, sys_id),
        )

    def _approvers(self, sys_id: str) -> tuple[Approver, ...]:
        rows = self._list("sysapproval_approver", "sysapproval", sys_id, _ROW_FIELDS)
        return tuple(
            Approver(
                name=answers.named(row, "approver", "user_name"),
                state=answers.text(row, "state"),
                at=answers.time(answers.text(row, "sys_updated_on")),
            )
            for row in rows
        )

    def _conflicts(self, row: answers.Row, sys_id: str) -> Conflicts:
        path = f"/{sys_id}/conflict"
        answer, at = self._change_api("GET", path)
        last_run = answers.time(answers.plain(answer.get("last_run")))
        stale = last_run is None or abs((at - last_run).total_seconds()) > _CONFLICT_STALE_SECONDS
        checkable = all(answers.text(row, field) for field in ("cmdb_ci", "start_date", "end_date"))
        if stale and checkable and answers.text(row, "active") == "true":
            self._change_api("POST", path)
            answer, _ = self._change_api("GET", path)
        # The status may say Conflict beside an empty list: the list is what counts.
        found = answer.get("conflicts")
        if not isinstance(found, list):
            raise Misbehaved(answers.SYSTEM, "the conflict check answered without a list of conflicts")
        return Conflicts(
            checked_at=answers.time(answers.plain(answer.get("last_run"))),
            found=tuple(answers.conflict(one) for one in found),
        )

    # ------------------------------------------------------------------- writing

    def create(self, request: ChangeRequest) -> Change:
        """Open a change and ask for its assessment; the open one with the same correlation id is adopted."""
        row = self._find(request.correlation_id)
        if row is None:
            wishes = answers.wishes(request)
            path = f"/{request.type}"
            if request.type == "standard":
                answers.allow(r"[0-9a-f]{32}", request.template, "the sys_id of a standard change template")
                path = f"/standard/{request.template}"
            opened, _ = self._change_api("POST", path, wishes)
            if answers.plain(opened.get("correlation_id")) != request.correlation_id:
                raise Misbehaved(
                    answers.SYSTEM, "a change was opened, but not with the correlation id it was given"
                )
            row = self._by_number(answers.plain(opened.get("number")))
            answers.compare(row, request)
        return self._whole(self._assessed(row))

    def begin(self, number: str) -> None:
        """Move an approved change to Implement; already there is fine."""
        row = self._by_number(number)
        if answers.state(row) != _IMPLEMENT:
            self._move(row, _IMPLEMENT)

    def close(self, number: str, *, code: Literal["successful", "unsuccessful"], notes: str) -> None:
        """Close with its outcome, or cancel where nothing was implemented; already closed is fine."""
        row = self._by_number(number)
        state = answers.state(row)
        if state in (_CLOSED, _CANCELED):
            return
        outcome = {"close_code": code, "close_notes": notes[: answers.LONGEST_DESCRIPTION]}
        self._close_tasks(answers.sys_id(row), outcome)
        held = answers.text(row, "on_hold") == "true"
        if state == _REVIEW or (state == _IMPLEMENT and not held):
            if state == _IMPLEMENT:
                row = self._move(row, _REVIEW)
            self._move(row, _CLOSED, outcome)
        else:
            # On hold the only way on is Canceled; so it is before anything was implemented.
            self._move(row, _CANCELED, outcome)

    def note(self, number: str, text: str) -> None:
        """Add a work note."""
        self._patch("change_request", answers.sys_id(self._by_number(number)), {"work_notes": text})

    def _assessed(self, row: answers.Row) -> answers.Row:
        """Ask for a new change's assessment where nobody has; never again after a rejection."""
        if answers.state(row) != _NEW or answers.text(row, "approval") not in ("not requested", ""):
            return row
        empty = [field for field in ("cmdb_ci", "requested_by", "end_date") if not answers.text(row, field)]
        if empty:
            raise Misbehaved(
                answers.SYSTEM,
                f"{answers.text(row, 'number')} was opened without {', '.join(empty)}: cancel it by hand",
            )
        return self._move(row, _FIRST_STEP.get(answers.text(row, "type"), _ASSESS))

    def _move(self, row: answers.Row, state: int, also: Mapping[str, str] | None = None) -> answers.Row:
        number = answers.text(row, "number")
        self._patch("change_request", answers.sys_id(row), {"state": str(state), **(also or {})})
        moved = self._by_number(number)
        if answers.state(moved) == answers.state(row):
            raise Misbehaved(answers.SYSTEM, f"{number} was to be moved to state {state} and did not move")
        return moved

    def _close_tasks(self, sys_id: str, outcome: Mapping[str, str]) -> None:
        fields = ["sys_id", "change_request", "active"]
        for task in self._list("change_task", "change_request", sys_id, fields):
            if answers.text(task, "active") == "true":
                self._patch("change_task", answers.sys_id(task), {"state": str(_CLOSED), **outcome})

    # ------------------------------------------------------------------ the wire

    def _list(self, table: str, field: str, value: str, fields: list[str]) -> list[answers.Row]:
        """All rows whose field has a value, each compared with what was asked."""
        with answers.translated(self._pysnow.exceptions.PysnowException):
            resource = self._client.resource(f"/table/{table}", timeout=self._timeout_seconds)
            answer = resource.get(
                query={field: value},
                fields=fields,
                limit=500,
                display_value="all",
                exclude_reference_link=True,
            )
            rows, total = answer.all(), answer.headers.get("X-Total-Count", "")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Misbehaved(answers.SYSTEM, f"{table} answered with something that is no list of rows")
        if any(answers.text(row, field) != value for row in rows):
            raise Misbehaved(
                answers.SYSTEM,
                f"{table} answered with rows nobody asked for: part of the query was ignored; "
                f"set glide.invalid_query.returns_no_rows=true",
            )  # fmt: skip
        if total.isdigit() and int(total) > len(rows):
            raise AccessDenied(
                answers.SYSTEM, f"{table} holds {total} rows of {value} but shows {len(rows)}: "
                f"let {self._user} read all of them, a rejection may be among the others",
            )  # fmt: skip
        return rows

    def _patch(self, table: str, sys_id: str, values: Mapping[str, str]) -> None:
        with answers.translated(self._pysnow.exceptions.PysnowException):
            resource = self._client.resource(f"/table/{table}", timeout=self._timeout_seconds)
            written = resource.request("PATCH", f"/{sys_id}", data=json.dumps(values)).one()
        if answers.plain(written.get("sys_id")) != sys_id:
            raise Misbehaved(answers.SYSTEM, f"another row of {table} was written than the one named")

    def _change_api(
        self, method: str, path: str, values: Mapping[str, str] | None = None
    ) -> tuple[answers.Row, datetime]:
        """An answer of the Change API and the desk's own time; a text answer gives an empty row."""
        with answers.translated(self._pysnow.exceptions.PysnowException):
            resource = self._client.resource(
                "/change", base_path="/api/sn_chg_rest/v1", timeout=self._timeout_seconds
            )
            body = {} if method == "GET" else {"data": json.dumps(values or {})}
            answer = resource.request(method, path, **body)
            result, told = answer.all(), answer.headers.get("Date", "")
        row = result[0] if isinstance(result, list) and result else {}
        return (row if isinstance(row, dict) else {}), answers.desk_time(told)

    # -------------------------------------------------------------------- doctor

    def diagnose(self) -> tuple[Finding, ...]:
        """Whether the desk answers, shows us what the approval gate reads, and refuses bad queries."""
        findings = [self._diagnose_table("reach", "change_request")]
        if findings[0].good:
            findings += [self._diagnose_table("rights", "sysapproval_approver"), self._diagnose_queries()]
        return tuple(findings)

    def _diagnose_table(self, what: str, table: str) -> Finding:
        try:
            self._list(table, "sys_id", "0" * 32, ["sys_id"])
        except AccessDenied as error:
            advice = f"give {self._user} the role itil, or sn_change_write with read access to {table}"
            return Finding(
                system=answers.SYSTEM, what="rights", good=False, sentence=str(error), advice=advice
            )
        except CouldNotTell as error:
            advice = f"open {self._url} in a browser and check the address and the instance's state"
            return Finding(system=answers.SYSTEM, what=what, good=False, sentence=str(error), advice=advice)
        return Finding(system=answers.SYSTEM, what=what, good=True, sentence=f"{self._user} reads {table}")

    def _diagnose_queries(self) -> Finding:
        try:
            self._list("change_request", "lockgate_no_such_field", "1", ["sys_id"])
        except CouldNotTell:
            return Finding(
                system=answers.SYSTEM, what="settings", good=False,
                sentence="a query with an unknown field returns every row",
                advice="set glide.invalid_query.returns_no_rows=true; meanwhile every answer is compared",
            )  # fmt: skip
        return Finding(
            system=answers.SYSTEM, what="settings", good=True, sentence="a bad query returned nothing"
        )


# ---------------------------------------------------------------- checks at the edge
