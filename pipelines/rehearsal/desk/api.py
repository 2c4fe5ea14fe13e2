"""The desk over the wire: the parts of ServiceNow's Table API and Change API that clients of changes use."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, request

from pipelines.rehearsal.desk.records import FIELDS, STATES, Row
from pipelines.rehearsal.desk.rules import Desk, Refusal

_READERS = frozenset({"itil", "change_manager", "sn_change_read", "approver_user"})
_WRITERS = frozenset({"itil", "change_manager"})
_TABLES = ("change_request", "change_task", "sysapproval_approver")
_CHANGE = "/api/sn_chg_rest/<version>/change"


def refused(refusal: Refusal) -> Response:
    """ServiceNow's error body."""
    body = {"error": {"message": refusal.message, "detail": refusal.detail}, "status": "failure"}
    response = jsonify(body)
    response.status_code = refusal.status
    return response


def _missing() -> Refusal:
    return Refusal(404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")


class Api:
    """The views of one desk, as a blueprint in ``blueprint``."""

    def __init__(self, desk: Desk) -> None:
        self.blueprint = Blueprint("api", __name__)
        self._desk = desk
        self._issued: dict[str, str] = {}
        self.blueprint.register_error_handler(Refusal, refused)
        add = self._route
        add("/oauth_token.do", self.token, "POST")
        add("/api/now/table/<table>", self.rows, "GET")
        add("/api/now/table/<table>", self.insert, "POST")
        add("/api/now/table/<table>/<sys_id>", self.row, "GET")
        add("/api/now/table/<table>/<sys_id>", self.write, "PATCH", "PUT")
        add(_CHANGE, self.open, "POST")
        add(f"{_CHANGE}/<kind>", self.open, "POST")
        add(f"{_CHANGE}/standard/<template>", self.open_standard, "POST")
        add(f"{_CHANGE}/<sys_id>", self.change, "GET")
        add(f"{_CHANGE}/<sys_id>", self.patch_change, "PATCH")
        add(f"{_CHANGE}/<sys_id>/nextstates", self.next_states, "GET")
        add(f"{_CHANGE}/<sys_id>/approvals", self.decide, "PATCH")
        add(f"{_CHANGE}/<sys_id>/conflict", self.run_conflicts, "POST")
        add(f"{_CHANGE}/<sys_id>/conflict", self.conflicts, "GET")

    def _route(self, rule: str, view: Callable[..., Response], *methods: str) -> None:
        def locked(**parts: str) -> Response:
            parts.pop("version", None)
            with self._desk.lock:
                return view(**parts)

        self.blueprint.add_url_rule(
            rule, f"{'-'.join(methods)} {rule.replace('.', '-')}", locked, methods=methods
        )

    # ----------------------------------------------------------------- who calls

    def token(self) -> Response:
        """Client credentials for a bearer token; the client is an account here."""
        login = self._sign_in(request.form.get("client_id", ""), request.form.get("client_secret", ""))
        if login is None or request.form.get("grant_type") != "client_credentials":
            raise Refusal(
                401, "invalid_client", "the client id, its secret or the grant type is not accepted"
            )
        token = secrets.token_hex(32)
        self._issued[token] = login
        return jsonify({"access_token": token, "token_type": "Bearer", "expires_in": 1799})

    def _sign_in(self, login: str, password: str) -> str | None:
        account = self._desk.accounts.get(login)
        good = account is not None and secrets.compare_digest(account.password.encode(), password.encode())
        return login if good else None

    def _caller(self) -> str:
        given = request.authorization
        login: str | None = None
        if given is not None and given.type == "basic":
            login = self._sign_in(given.username or "", given.password or "")
        elif given is not None and given.type == "bearer" and given.token:
            tokens = {a.token: name for name, a in self._desk.accounts.items() if a.token} | self._issued
            login = tokens.get(given.token)
        if login is None:
            raise Refusal(401, "User Not Authenticated", "Required to provide Auth information")
        return login

    def _roles(self, login: str) -> frozenset[str]:
        return frozenset(self._desk.accounts[login].roles)

    def _reader(self) -> str:
        login = self._caller()
        if not self._roles(login) & _READERS:
            raise Refusal(
                self._desk.policy.acl_status, "No Record found", "ACL restricts the record retrieval"
            )
        return login

    def _writer(self) -> str:
        login = self._caller()
        if not self._roles(login) & _WRITERS:
            raise Refusal(
                403, "Insufficient rights", "ACL Exception Insert Failed due to security constraints"
            )
        return login

    def _may_see(self, login: str, table: str, row: Row) -> bool:
        """Everybody who reads changes sees them; approval rows only writers and those they ask."""
        if table != "sysapproval_approver" or self._roles(login) & _WRITERS:
            return True
        return self._desk.records.tables["sys_user"].get(row["approver"], {}).get("user_name") == login

    # ---------------------------------------------------------------- Table API

    def rows(self, table: str) -> Response:
        """A page of a table: the limit counts before rights are looked at."""
        login = self._reader()
        self._known(table)
        found = self._desk.records.select(
            table,
            request.args.get("sysparm_query", ""),
            invalid_returns_nothing=self._desk.policy.invalid_query_returns_no_rows,
        )
        offset, limit = _number("sysparm_offset", 0), _number("sysparm_limit", 10_000)
        page = found[offset : offset + limit]
        seen = [self._shown(table, row, login) for row in page if self._may_see(login, table, row)]
        response = jsonify({"result": seen})
        response.headers["X-Total-Count"] = str(len(found))
        if offset + limit < len(found):
            response.headers["Link"] = f'<{request.base_url}?sysparm_offset={offset + limit}>;rel="next"'
        return response

    def row(self, table: str, sys_id: str) -> Response:
        """One row of a table."""
        login = self._reader()
        row = self._row(table, sys_id)
        if not self._may_see(login, table, row):
            raise Refusal(
                self._desk.policy.acl_status, "No Record found", "ACL restricts the record retrieval"
            )
        return jsonify({"result": self._shown(table, row, login)})

    def insert(self, table: str) -> Response:
        """A new change; its tasks and approvals are made by the desk."""
        login = self._writer()
        if table != "change_request":
            raise Refusal(403, "Operation Failed", f"rows of {table} are made by the change's own workflow")
        body = _body()
        row = self._desk.open(login, body.get("type", "normal"), body)
        return _created({"result": self._shown(table, row, login)})

    def write(self, table: str, sys_id: str) -> Response:
        """Write a change or a task."""
        login = self._writer()
        row = self._row(table, sys_id)
        if table == "change_request":
            self._desk.update(login, row, _body())
        elif table == "change_task":
            self._desk.update_task(login, row, _body())
        else:
            raise Refusal(403, "Operation Failed", "approval rows are answered by the people they ask")
        return jsonify({"result": self._shown(table, row, login)})

    def _known(self, table: str) -> None:
        if table not in _TABLES:
            raise Refusal(400, "Invalid table", f"Invalid table {table}")

    def _row(self, table: str, sys_id: str) -> Row:
        self._known(table)
        row = self._desk.records.tables[table].get(sys_id)
        if row is None:
            raise _missing()
        return row

    def _shown(self, table: str, row: Row, login: str) -> dict[str, object]:
        asked = request.args.get("sysparm_fields", "")
        style = request.args.get("sysparm_display_value", "false").lower()
        bare = request.args.get("sysparm_exclude_reference_link", "false").lower() == "true"
        shown: dict[str, object] = {}
        for path in asked.split(",") if asked else FIELDS[table]:
            found = self._desk.records.value(table, row, path)
            if found is not None:
                shown[path] = self._cell(*found, login, style, bare=bare)
        return shown

    def _cell(self, kind: str, value: str, login: str, style: str, *, bare: bool) -> object:
        text = self._desk.records.display(kind, value, self._desk.accounts[login].time_zone)
        link = {"link": f"{request.host_url}api/now/table/{kind}/{value}"}
        linked = kind in FIELDS and bool(value) and not bare
        if style == "all":
            return {"display_value": text, "value": value, **(link if linked else {})}
        if style == "true":
            return {"display_value": text, **link} if linked else text
        return {"value": value, **link} if linked else value

    # --------------------------------------------------------------- Change API

    def open(self, kind: str = "") -> Response:
        """Open a change of a kind named in the path or the body."""
        login, body = self._writer(), _body()
        row = self._desk.open(login, kind or body.get("type", "normal"), body, body.get("template", ""))
        return jsonify({"result": self._fields(row, login)})

    def open_standard(self, template: str) -> Response:
        """Open a standard change from a template."""
        login = self._writer()
        return jsonify({"result": self._fields(self._desk.open(login, "standard", _body(), template), login)})

    def change(self, sys_id: str) -> Response:
        """One change, every field as value and display value."""
        login = self._reader()
        return jsonify({"result": self._fields(self._row("change_request", sys_id), login)})

    def patch_change(self, sys_id: str) -> Response:
        """Write a change or move it."""
        login = self._writer()
        row = self._desk.update(login, self._row("change_request", sys_id), _body())
        return jsonify({"result": self._fields(row, login)})

    def next_states(self, sys_id: str) -> Response:
        """Where the change may go from here."""
        self._reader()
        change = self._row("change_request", sys_id)
        here = int(change["state"])
        ways = self._desk.next_states(change)
        steps = [
            {"from_state": str(here), "to_state": str(to), "transition_available": True,
             "automatic_transition": False}
            for to in ways
        ]  # fmt: skip
        labels = {str(state): STATES[state] for state in (here, *ways)}
        result = {
            "available_states": [str(state) for state in (here, *ways)],
            "state_label": labels,
            "state_transitions": [steps],
        }
        return jsonify({"result": result})

    def decide(self, sys_id: str) -> Response:
        """Approve or reject as the calling account."""
        login, body = self._caller(), _body()
        change = self._row("change_request", sys_id)
        self._desk.decide(login, change, body.get("state", ""), body.get("comments", ""))
        return jsonify({"result": self._fields(change, login)})

    def run_conflicts(self, sys_id: str) -> Response:
        """Run the conflict check; the answer is a text, not an object."""
        self._writer()
        return jsonify({"result": self._desk.check_conflicts(self._row("change_request", sys_id))})

    def conflicts(self, sys_id: str) -> Response:
        """What the last conflict check found."""
        self._reader()
        change = self._row("change_request", sys_id)
        ran = bool(change["conflict_last_run"])
        found = self._desk.conflicts(change) if ran else []
        result = {
            "status": change["conflict_status"] or "Not Run",
            "last_run": change["conflict_last_run"],
            "job_status": "Complete" if ran else "",
            "record_count": len(found),
            "conflicts": found,
        }
        return jsonify({"result": result})

    def _fields(self, row: Row, login: str) -> dict[str, object]:
        kinds = FIELDS["change_request"]
        return {field: self._cell(kinds[field], row[field], login, "all", bare=True) for field in kinds}


def _number(name: str, default: int) -> int:
    text = request.args.get(name, "")
    return int(text) if text.isdigit() else default


def _body() -> Mapping[str, str]:
    """The request's JSON object, every value as the text ServiceNow makes of it."""
    given: Any = request.get_json(silent=True)
    if not isinstance(given, dict):
        raise Refusal(400, "Exception while reading request", "the body must be a JSON object")
    return {str(key): _text(value) for key, value in given.items()}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _created(body: object) -> Response:
    response = jsonify(body)
    response.status_code = 201
    return response
