"""A ServiceNow change desk on loopback: its two APIs, its rules, and a page where a person signs.

``records`` holds the tables, ``rules`` what may become of a change, ``api`` and ``page`` the two ways in.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask import Flask

from pipelines.rehearsal.desk.api import Api
from pipelines.rehearsal.desk.page import Page
from pipelines.rehearsal.desk.records import CANCELED, Account, Records, Row, stamp
from pipelines.rehearsal.desk.rules import Desk, Policy
from pipelines.rehearsal.server import Fault, LoopbackServer

__all__ = ["Account", "ChangeDeskServer", "Policy", "page_instead", "partial", "too_many"]

_ANY = r"^/(api|oauth)"


class ChangeDeskServer(LoopbackServer):
    """The desk on a free port of 127.0.0.1; its records live in ``folder`` and survive a restart.

    ``templates`` are standard change templates: sys_id -> the fields they preset. The methods below do what
    people do at an instance while nobody at lockgate is looking.
    """

    def __init__(
        self,
        folder: Path,
        *,
        accounts: Mapping[str, Account],
        policy: Policy | None = None,
        templates: Mapping[str, Mapping[str, str]] | None = None,
        port: int = 0,
    ) -> None:
        self.policy = policy or Policy()
        self.skew = timedelta(0)
        """How far this desk's clock is ahead of ours."""
        self.desk = Desk(Records(folder, accounts), accounts, self.policy, templates or {}, self._now)
        app = Flask("pipelines.rehearsal.desk")
        # Cookies know no ports: the name keeps other loopback servers' sessions apart.
        app.config.update(
            SECRET_KEY=secrets.token_hex(32),
            SESSION_COOKIE_NAME=f"change_desk_{secrets.token_hex(4)}",
            SESSION_COOKIE_SAMESITE="Lax",
            MAX_CONTENT_LENGTH=1_000_000,
        )
        app.register_blueprint(Api(self.desk).blueprint)
        app.register_blueprint(Page(self.desk).blueprint)
        super().__init__(app, port=port)

    def _now(self) -> datetime:
        return datetime.now(UTC) + self.skew

    def changes(self) -> list[Row]:
        """Copies of all changes, oldest first."""
        with self.desk.lock:
            return [dict(row) for row in self.desk.records.tables["change_request"].values()]

    def decide(self, number: str, login: str, state: str, comments: str = "") -> None:
        """Approve or reject as somebody."""
        self.desk.decide(login, self._change(number), state, comments)

    def put_on_hold(self, number: str) -> None:
        """Somebody puts the change on hold."""
        change = self._change(number)
        self.desk.update(self._staff(), change, {"on_hold": "true", "on_hold_reason": "rehearsal"})

    def close_window(self, number: str) -> None:
        """The planned window is moved so that it ended a second ago."""
        end = stamp(self._now() - timedelta(seconds=1))
        start = stamp(self._now() - timedelta(hours=1))
        self.desk.update(self._staff(), self._change(number), {"start_date": start, "end_date": end})

    def cancel(self, number: str) -> None:
        """Somebody cancels the change; its open tasks are closed first."""
        change, staff = self._change(number), self._staff()
        for task in self.desk.tasks(change):
            self.desk.update_task(staff, task, {"state": "3"})
        wishes = {"state": str(CANCELED), "close_code": "unsuccessful", "close_notes": "cancelled by hand"}
        self.desk.update(staff, change, wishes)

    def black_out(self, name: str, since: datetime, until: datetime) -> None:
        """Plan a blackout: changes in it have a conflict."""
        with self.desk.lock:
            self.desk.blackouts.append((name, since, until))

    def _change(self, number: str) -> Row:
        change = self.desk.change(number)
        if change is None:
            raise LookupError(f"the desk has no change {number}")
        return change

    def _staff(self) -> str:
        return next(login for login, account in self.desk.accounts.items() if "itil" in account.roles)


def too_many(method: str = "GET", path: str = _ANY, retry_after_seconds: int = 120) -> Fault:
    """429 as ServiceNow words it."""
    detail = "Rate limit of 100 requests per hour for Table API exceeded"
    body = f'{{"error":{{"message":"Rate limit exceeded","detail":"{detail}"}},"status":"failure"}}'
    headers = {"Retry-After": str(retry_after_seconds), "X-RateLimit-Limit": "100"}
    return Fault(method, path, status=429, body=body, content_type="application/json", headers=headers)


def page_instead(title: str, method: str = "GET", path: str = _ANY, times: int = 1) -> Fault:
    """200 and a page for people: "Instance Hibernating", "Scheduled maintenance", a login form."""
    page = f"<html><head><title>{title}</title></head><body>Please come back later.</body></html>"
    return Fault(method, path, status=200, body=page, times=times)


def partial(method: str = "GET", path: str = _ANY) -> Fault:
    """200 with an error beside part of the result: the query was cut off."""
    message = "Transaction cancelled: maximum execution time exceeded"
    error = f'{{"message":"{message}","detail":"Transaction was cancelled by a transaction quota"}}'
    body = f'{{"result":[],"error":{error},"status":"failure"}}'
    return Fault(method, path, status=200, body=body, content_type="application/json")
