"""The page where a person reads exactly what a signature covers, and approves or rejects."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request, session
from werkzeug.wrappers import Response as Redirect

from pipelines.rehearsal.desk.records import Row
from pipelines.rehearsal.desk.rules import Desk, Refusal

_PAIR = re.compile(r"\s*(?P<key>[^:]{1,60}):\s+(?P<value>\S.*)")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a description: a heading, or pairs, or text. Nothing of the text is left out."""

    heading: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    text: str = ""


def blocks(description: str) -> list[Block]:
    """Cut a description into headings (``Like:``, ``LIKE THIS``), ``key: value`` pairs and text, in order."""
    found: list[Block] = []
    for line in description.replace("\r\n", "\n").split("\n"):
        last = found[-1] if found else Block()
        if pair := _PAIR.fullmatch(line):
            item = (pair["key"].strip(), pair["value"].strip())
            if last.pairs:
                found[-1] = Block(pairs=(*last.pairs, item))
            else:
                found.append(Block(pairs=(item,)))
        elif len(line) < 80 and (line.rstrip().endswith(":") or line.isupper()):
            found.append(Block(heading=line.strip().rstrip(":")))
        elif line.strip() and last.text:
            found[-1] = Block(text=f"{last.text}\n{line}")
        elif line.strip():
            found.append(Block(text=line))
        else:
            found.append(Block())
    return [block for block in found if block != Block()]


class Page:
    """The views of one desk, as a blueprint in ``blueprint``."""

    def __init__(self, desk: Desk) -> None:
        self.blueprint = Blueprint("page", __name__, template_folder="templates")
        self._desk = desk
        add = self.blueprint.add_url_rule
        add("/", view_func=self.changes)
        add("/login", view_func=self.login, methods=["GET", "POST"])
        add("/logout", view_func=self.logout, methods=["POST"])
        add("/nav_to.do", view_func=self.classic)
        add("/changes/<number>", view_func=self.change)
        add("/changes/<number>/decision", view_func=self.decision, methods=["POST"])
        self.blueprint.after_request(_harden)

    def login(self) -> Response | Redirect:
        """Sign in with account and password."""
        if request.method == "GET":
            return self._render("login.html", 200, problem="")
        _check_token()
        login, password = request.form.get("account", ""), request.form.get("password", "")
        account = self._desk.accounts.get(login)
        if account is None or not secrets.compare_digest(account.password.encode(), password.encode()):
            return self._render(
                "login.html", 401, problem="This account and password do not belong together."
            )
        session.clear()
        session["login"] = login
        onward = request.args.get("then", "/")
        return redirect(onward if re.fullmatch(r"/changes/CHG\d{7,10}", onward) else "/", 303)

    def logout(self) -> Redirect:
        """Sign out."""
        _check_token()
        session.clear()
        return redirect("/login", 303)

    def classic(self) -> Redirect:
        """The address that ServiceNow links to a record, ``nav_to.do?uri=change_request.do?sys_id=…``."""
        asked = re.search(r"sys_id=([0-9a-f]{32})", unquote(request.args.get("uri", "")))
        change = self._desk.change(asked[1]) if asked else None
        if change is None:
            abort(404)
        return redirect(f"/changes/{change['number']}", 303)

    def changes(self) -> Response | Redirect:
        """All changes, newest first."""
        if self._login() is None:
            return redirect("/login", 303)
        with self._desk.lock:
            rows = list(self._desk.records.tables["change_request"].values())
            shown = [self._told(row) for row in reversed(rows)]
        return self._render("changes.html", 200, changes=shown)

    def change(self, number: str) -> Response | Redirect:
        """One change with everything its signature covers."""
        if self._login() is None:
            return redirect(f"/login?then=/changes/{number}", 303)
        return self._change(number, 200, "")

    def decision(self, number: str) -> Response | Redirect:
        """Approve or reject, with a comment, as the person signed in."""
        _check_token()
        login = self._login()
        change = self._desk.change(number)
        if login is None or change is None:
            abort(403)
        try:
            self._desk.decide(login, change, request.form.get("state", ""), request.form.get("comments", ""))
        except Refusal as refusal:
            return self._change(number, refusal.status, refusal.detail)
        return redirect(f"/changes/{change['number']}", 303)

    # --------------------------------------------------------------------- parts

    def _login(self) -> str | None:
        login = session.get("login")
        return login if login in self._desk.accounts else None

    def _change(self, number: str, status: int, problem: str) -> Response:
        with self._desk.lock:
            change = self._desk.change(number)
            if change is None:
                abort(404)
            told = self._told(change)
            rows = [self._row(row) for row in self._desk.approvals(change)]
            mine = any(row["login"] == self._login() and row["state"] == "requested" for row in rows)
            found = self._desk.conflicts(change)
        return self._render(
            "change.html", status, change=told, rows=rows, mine=mine, conflicts=found, problem=problem,
            blocks=blocks(change["description"]),
        )  # fmt: skip

    def _told(self, row: Row) -> Mapping[str, str]:
        """A change's fields as people read them, times in UTC."""
        records = self._desk.records
        kinds = {field: records.value("change_request", row, field) for field in row}
        told = {field: records.display(*cell, "UTC") for field, cell in kinds.items() if cell}
        return told | {"requester_login": self._user(row["requested_by"])}

    def _row(self, row: Row) -> Mapping[str, str]:
        users, groups = self._desk.records.tables["sys_user"], self._desk.records.tables["sys_user_group"]
        return row | {
            "login": self._user(row["approver"]),
            "name": users.get(row["approver"], {}).get("name", ""),
            "group": groups.get(row["assignment_group"], {}).get("name", ""),
        }

    def _user(self, sys_id: str) -> str:
        return self._desk.records.tables["sys_user"].get(sys_id, {}).get("user_name", "")

    def _render(self, template: str, status: int, **values: object) -> Response:
        login = self._login()
        name = self._desk.accounts[login].full_name if login else ""
        token = session.setdefault("token", secrets.token_hex(16))
        page = render_template(f"desk/{template}", login=login, name=name, token=token, **values)
        return make_response(page, status)


def _check_token() -> None:
    """Refuse a form that this page did not hand out to this session."""
    if not secrets.compare_digest(str(session.get("token", "-")), request.form.get("token", "")):
        abort(400, "This form is too old; open the page again.")


def _harden(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response
