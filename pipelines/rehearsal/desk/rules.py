"""What may become of a change: its states, who is asked, who may answer, what blocks it.

The rules are those of ServiceNow's own state model: normal changes are approved twice (the assignment group
in Assess, then another group in Authorize), emergency changes once, standard changes by their template.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipelines.rehearsal.desk.records import (
    ASSESS,
    AUTHORIZE,
    CANCELED,
    CLOSED,
    IMPLEMENT,
    NEW,
    REVIEW,
    SCHEDULED,
    STATES,
    Account,
    Records,
    Row,
    instant,
    stamp,
    sys_id_of,
)

_ONWARD: Mapping[str, Mapping[int, int]] = {
    "normal": {NEW: ASSESS, SCHEDULED: IMPLEMENT, IMPLEMENT: REVIEW, REVIEW: CLOSED},
    "standard": {NEW: SCHEDULED, SCHEDULED: IMPLEMENT, IMPLEMENT: REVIEW, REVIEW: CLOSED},
    "emergency": {NEW: AUTHORIZE, SCHEDULED: IMPLEMENT, IMPLEMENT: REVIEW, REVIEW: CLOSED},
}
"""The step a person may take from each state; approvals take the others, Canceled is apart."""

_CANCELLABLE = frozenset({NEW, ASSESS, AUTHORIZE, SCHEDULED, IMPLEMENT})

_PEOPLE_WRITE = frozenset(
    {
        "short_description", "description", "justification", "implementation_plan", "backout_plan",
        "test_plan", "risk", "category", "cmdb_ci", "assignment_group", "assigned_to", "requested_by",
        "correlation_id", "correlation_display", "start_date", "end_date", "close_code", "close_notes",
        "on_hold_reason",
    }
)  # fmt: skip
"""Fields an account with the right may write; the rest belongs to the desk and is left alone."""

_CLOSE_CODES = ("successful", "successful_issues", "unsuccessful")


class Refusal(Exception):
    """The desk says no; the API turns it into ServiceNow's error body."""

    def __init__(self, status: int, message: str, detail: str) -> None:
        self.status = status
        self.message = message
        self.detail = detail
        super().__init__(detail)


@dataclass(slots=True)
class Policy:
    """Switches of one desk; the defaults are what an instance does out of the box."""

    requester_may_not_approve: bool = True
    authorize_group: str = "CAB Approval"
    invalid_query_returns_no_rows: bool = False
    """glide.invalid_query.returns_no_rows"""
    acl_status: Literal[403, 404] = 404
    """How a record that the caller may not read is refused."""
    conflict_without_list: bool = False
    """Let the conflict check say Conflict beside an empty list."""


class Desk:
    """The records with their rules. Every public method takes the lock and saves."""

    def __init__(
        self,
        records: Records,
        accounts: Mapping[str, Account],
        policy: Policy,
        templates: Mapping[str, Mapping[str, str]],
        now: Callable[[], datetime],
    ) -> None:
        self.records = records
        self.accounts = accounts
        self.policy = policy
        self.templates = templates
        self.now = now
        self.lock = threading.RLock()
        self.blackouts: list[tuple[str, datetime, datetime]] = []

    # ------------------------------------------------------------------ looking

    def change(self, key: str) -> Row | None:
        """A change by sys_id or number."""
        changes = self.records.tables["change_request"]
        return changes.get(key) or next((row for row in changes.values() if row["number"] == key), None)

    def approvals(self, change: Row) -> list[Row]:
        """The approval rows of a change, oldest first."""
        rows = self.records.tables["sysapproval_approver"].values()
        return [row for row in rows if row["sysapproval"] == change["sys_id"]]

    def tasks(self, change: Row) -> list[Row]:
        """The tasks of a change, oldest first."""
        rows = self.records.tables["change_task"].values()
        return [row for row in rows if row["change_request"] == change["sys_id"]]

    def next_states(self, change: Row) -> list[int]:
        """Where a person may move a change now."""
        state = int(change["state"])
        onward = _ONWARD[change["type"]].get(state)
        steps = [onward] if onward is not None and change["on_hold"] != "true" else []
        return steps + ([CANCELED] if state in _CANCELLABLE else [])

    # ------------------------------------------------------------------ writing

    def open(self, login: str, kind: str, wishes: Mapping[str, str], template: str = "") -> Row:
        """Open a change in New."""
        if kind not in _ONWARD:
            raise Refusal(400, "Invalid change type", f"There is no change type {kind!r}.")
        if kind == "standard":
            if template not in self.templates:
                raise Refusal(
                    404, "No Record found", f"Standard change template {template!r} does not exist."
                )
            wishes = {**self.templates[template], **wishes, "std_change_producer_version": template}
        with self.lock:
            mine = sys_id_of("sys_user", login)
            told = {field: text for field, text in wishes.items() if field in _PEOPLE_WRITE}
            fixed = {
                "type": kind, "state": str(NEW), "approval": "not requested", "on_hold": "false",
                "active": "true", "opened_by": mine, "phase": "requested",
            }  # fmt: skip
            row = self.records.add(
                "change_request", "CHG", {"requested_by": mine, **told, **fixed}, by=login, now=self.now()
            )
            self._journal(row, login, wishes)
            self.records.save()
            return row

    def update(self, login: str, change: Row, wishes: Mapping[str, str]) -> Row:
        """Write fields of a change and move it, all or nothing."""
        with self.lock:
            told = {field: text for field, text in wishes.items() if field in _PEOPLE_WRITE}
            trial = self.records.put("change_request", dict(change), told, by=login, now=self.now())
            target = _state_of(wishes.get("state", change["state"]))
            if target != int(change["state"]):
                self._may_move(trial, target)
            change |= trial
            self._journal(change, login, wishes)
            if "on_hold" in wishes:
                self._hold(change, wishes["on_hold"] == "true", login)
            if target != int(change["state"]):
                self._enter(change, target, login)
            self.records.save()
            return change

    def update_task(self, login: str, task: Row, wishes: Mapping[str, str]) -> Row:
        """Write a task of a change."""
        told = {field: wishes[field] for field in ("state", "close_code", "close_notes") if field in wishes}
        with self.lock:
            self.records.put("change_task", task, told, by=login, now=self.now())
            task["active"] = "false" if task["state"] in ("3", "4") else "true"
            self.records.save()
            return task

    def decide(self, login: str, change: Row, state: str, comments: str) -> None:
        """Approve or reject as the caller, in every row that asks this person."""
        if state not in ("approved", "rejected"):
            raise Refusal(400, "Invalid state", "state must be approved or rejected")
        with self.lock:
            rows = self._asked(login, change)
            for row in rows:
                told = {"state": state, "comments": comments}
                self.records.put("sysapproval_approver", row, told, by=login, now=self.now())
            if state == "rejected":
                self._end_rows(change, "cancelled", login)
                change |= {"approval": "rejected", "state": str(NEW)}
            else:
                self._end_rows(change, "not_required", login)
                self._approved(change, login)
            self.records.save()

    def _asked(self, login: str, change: Row) -> list[Row]:
        me = sys_id_of("sys_user", login)
        if "approver_user" not in self.accounts[login].roles:
            raise _denied("an approver's role is needed to approve or reject a change")
        rows = [r for r in self.approvals(change) if r["approver"] == me and r["state"] == "requested"]
        if not rows:
            raise _denied("no approval of this change is asked of the calling user")
        if self.policy.requester_may_not_approve and me in (change["requested_by"], change["opened_by"]):
            raise _denied(
                "Business Rule 'Requester may not approve': who asks for a change cannot approve it"
            )
        return rows

    # ------------------------------------------------------------------- moving

    def _may_move(self, change: Row, target: int) -> None:
        if target not in self.next_states(change):
            here, there = STATES[int(change["state"])], STATES.get(target, str(target))
            hold = " while it is on hold" if change["on_hold"] == "true" else ""
            raise _aborted(
                "State model - Can change state?",
                f"a {change['type']} change cannot go from {here} to {there}{hold}",
            )
        if target in (ASSESS, AUTHORIZE) and not change["assignment_group"]:
            raise _aborted("Data Policy", "the following fields are mandatory: Assignment group")
        if target not in (CLOSED, CANCELED):
            return
        if not change["close_notes"] or change["close_code"] not in _CLOSE_CODES:
            raise _aborted("Data Policy", "the following fields are mandatory: Close code, Close notes")
        if any(task["active"] == "true" for task in self.tasks(change)):
            raise _aborted("Prevent closure with open tasks", "open change tasks must be closed first")

    def _enter(self, change: Row, target: int, login: str) -> None:
        change["state"] = str(target)
        if target in (ASSESS, AUTHORIZE):
            self._ask(change, target, login)
        elif target == SCHEDULED:
            change["approval"] = "approved"
        elif target == IMPLEMENT:
            for title in ("Implement", "Post-implementation testing"):
                self._task(change, title, login)
        elif target in (CLOSED, CANCELED):
            change["active"] = "false"
            self._end_rows(change, "cancelled", login)

    def _ask(self, change: Row, stage: int, login: str) -> None:
        """Ask a group for approval; rows of an earlier, rejected round end as cancelled."""
        if stage == ASSESS or change["type"] == "emergency":
            self._end_rows(change, "cancelled", login, of=("requested", "rejected", "approved"))
        group = change["assignment_group"]
        if stage == AUTHORIZE:
            group = sys_id_of("sys_user_group", self.policy.authorize_group)
        change["approval"] = "requested"
        for member, account in self.accounts.items():
            if group in {sys_id_of("sys_user_group", name) for name in account.groups}:
                told = {
                    "sysapproval": change["sys_id"], "approver": member,
                    "assignment_group": group, "state": "requested",
                }  # fmt: skip
                self.records.add("sysapproval_approver", "APR", told, by="system", now=self.now())

    def _approved(self, change: Row, login: str) -> None:
        if int(change["state"]) == ASSESS:
            self._enter(change, AUTHORIZE, login)
        else:
            self._enter(change, SCHEDULED, login)

    def _end_rows(self, change: Row, state: str, login: str, of: Sequence[str] = ("requested",)) -> None:
        for row in self.approvals(change):
            if row["state"] in of:
                self.records.put("sysapproval_approver", row, {"state": state}, by=login, now=self.now())

    def _task(self, change: Row, title: str, login: str) -> None:
        told = {
            "change_request": change["sys_id"],
            "short_description": title,
            "state": "1",
            "active": "true",
        }
        self.records.add("change_task", "CTASK", told, by=login, now=self.now())

    def _hold(self, change: Row, on: bool, login: str) -> None:
        change["on_hold"] = "true" if on else "false"
        if on:
            self._end_rows(change, "not_required", login)

    def _journal(self, change: Row, login: str, wishes: Mapping[str, str]) -> None:
        for field in ("work_notes", "comments"):
            if text := wishes.get(field, ""):
                entry = f"{stamp(self.now())} - {self.accounts[login].full_name}\n{text}\n\n"
                change[field] = entry + change[field]

    # ---------------------------------------------------------------- conflicts

    def check_conflicts(self, change: Row) -> str:
        """Run the conflict check; returns the sys_id of the run."""
        if not (change["cmdb_ci"] and change["start_date"] and change["end_date"]):
            raise Refusal(
                400,
                "Conflict check cannot run",
                "Configuration item, planned start and planned end are needed",
            )
        with self.lock:
            change["conflict_last_run"] = stamp(self.now())
            found = bool(self.conflicts(change)) or self.policy.conflict_without_list
            change["conflict_status"] = "Conflict" if found else "No Conflict"
            self.records.save()
        return sys_id_of("conflict", change["number"] + change["conflict_last_run"])

    def conflicts(self, change: Row) -> list[dict[str, str]]:
        """Blackouts and changes scheduled for the same item that overlap the planned window."""
        start, end = instant(change["start_date"]), instant(change["end_date"])
        if start is None or end is None:
            return []
        found = [
            {"type": "blackout", "schedule": name, "change": ""}
            for name, since, until in self.blackouts
            if since < end and start < until
        ]
        for other in self.records.tables["change_request"].values():
            since, until = instant(other["start_date"]), instant(other["end_date"])
            if (
                other is not change
                and other["cmdb_ci"] == change["cmdb_ci"]
                and int(other["state"]) in (SCHEDULED, IMPLEMENT)
                and since and until and since < end and start < until
            ):  # fmt: skip
                found.append({"type": "ci_already_scheduled", "schedule": "", "change": other["number"]})
        return found


def _state_of(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Refusal(400, "Invalid state", f"{text!r} is not a state") from None


def _denied(detail: str) -> Refusal:
    return Refusal(403, "User Not Authorized", detail)


def _aborted(rule: str, why: str) -> Refusal:
    detail = f"Operation against file 'change_request' was aborted by Business Rule '{rule}': {why}"
    return Refusal(403, "Operation Failed", detail)
