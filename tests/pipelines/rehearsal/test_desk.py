"""The loopback change desk answers as ServiceNow does: its two APIs, its state machine, its page.

Every test speaks HTTP with plain requests, so that what the client library hides stays visible.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from pipelines.rehearsal.desk import Account, ChangeDeskServer, Policy, too_many
from pipelines.rehearsal.desk.page import Block, blocks

ACCOUNTS = {
    "lockgate": Account("machine", ("itil",), "Lock Gate", token="t0ken"),
    "dana": Account("data", ("itil", "approver_user"), "Dana Diaz", ("Model Risk",)),
    "rita": Account(
        "risk", ("approver_user",), "Rita Rossi", ("Model Risk", "CAB Approval"), time_zone="Asia/Tokyo"
    ),
    "carl": Account("calm", ("approver_user",), "Carl Ngo", ("Model Risk",)),
    "read": Account("only", ("sn_change_read",), "Reader"),
    "none": Account("none", (), "Nobody"),
}
TEMPLATE = "7" * 32
CHANGE = "/api/sn_chg_rest/v1/change"
TABLE = "/api/now/table/"


class Caller:
    """One account speaking to the desk."""

    def __init__(self, server: ChangeDeskServer, login: str) -> None:
        self.url = server.url
        self.auth = (login, ACCOUNTS[login].password)

    def __call__(self, method: str, path: str, body: object = None, **params: str) -> requests.Response:
        return requests.request(method, self.url + path, json=body, params=params, auth=self.auth, timeout=10)

    def result(self, method: str, path: str, body: object = None, **params: str) -> Any:
        response = self(method, path, body, **params)
        assert response.ok, response.text
        return response.json()["result"]

    def open(self, kind: str = "normal", **wishes: str) -> str:
        """A new change's sys_id."""
        now = datetime.now(UTC)
        body = {
            "short_description": "Promote fraud-scorer v2",
            "assignment_group": "Model Risk",
            "cmdb_ci": "fraud-scorer",
            "requested_by": "dana",
            "start_date": f"{now:%Y-%m-%d %H:%M:%S}",
            "end_date": f"{now + timedelta(hours=4):%Y-%m-%d %H:%M:%S}",
            **wishes,
        }
        return str(self.result("POST", f"{CHANGE}/{kind}", body)["sys_id"]["value"])

    def state(self, sys_id: str, state: int, **wishes: str) -> requests.Response:
        return self("PATCH", f"{CHANGE}/{sys_id}", {"state": state, **wishes})

    def shown(self, sys_id: str, field: str) -> str:
        return str(self.result("GET", f"{CHANGE}/{sys_id}")[field]["value"])


@pytest.fixture
def policy() -> Policy:
    return Policy()


@pytest.fixture
def server(tmp_path: Path, policy: Policy) -> Iterator[ChangeDeskServer]:
    templates = {TEMPLATE: {"short_description": "Promote a model", "cmdb_ci": "fraud-scorer"}}
    server = ChangeDeskServer(tmp_path, accounts=ACCOUNTS, policy=policy, templates=templates)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bot(server: ChangeDeskServer) -> Caller:
    return Caller(server, "lockgate")


@pytest.fixture
def rita(server: ChangeDeskServer) -> Caller:
    return Caller(server, "rita")


def decide(caller: Caller, sys_id: str, state: str = "approved") -> requests.Response:
    return caller("PATCH", f"{CHANGE}/{sys_id}/approvals", {"state": state, "comments": "read it"})


def row_states(bot: Caller, sys_id: str) -> list[tuple[str, str]]:
    query = f"sysapproval={sys_id}"
    rows = bot.result("GET", f"{TABLE}sysapproval_approver", sysparm_query=query,
                      sysparm_fields="approver.user_name,state")  # fmt: skip
    return [(row["approver.user_name"], row["state"]) for row in rows]


# ---------------------------------------------------------------------- who calls


def test_only_known_callers_are_heard(server: ChangeDeskServer) -> None:
    """Basic, a fixed bearer token and client credentials work; everything else is 401 with its body."""
    grant = {"grant_type": "client_credentials", "client_id": "lockgate", "client_secret": "machine"}
    issued = requests.post(f"{server.url}/oauth_token.do", data=grant, timeout=10).json()["access_token"]
    changes = f"{server.url}{TABLE}change_request"

    for token in ("t0ken", issued):
        headers = {"Authorization": f"Bearer {token}"}
        assert requests.get(changes, headers=headers, timeout=10).json() == {"result": []}
    for auth in (None, ("lockgate", "wrong"), ("nobody", "")):
        refused = requests.get(changes, auth=auth, timeout=10)
        assert refused.status_code == 401
        assert refused.json()["error"]["message"] == "User Not Authenticated"
    bad = requests.post(f"{server.url}/oauth_token.do", data={**grant, "client_secret": "x"}, timeout=10)
    assert bad.status_code == 401


def test_rights_are_looked_at_after_the_limit(server: ChangeDeskServer, bot: Caller, policy: Policy) -> None:
    """No role reads nothing (404, or 403 where the instance says so); hidden rows still count."""
    sys_id = bot.open()
    bot.state(sys_id, -4)
    rows = Caller(server, "read")("GET", f"{TABLE}sysapproval_approver", sysparm_limit="10")

    assert Caller(server, "none")("GET", f"{TABLE}change_request").status_code == 404
    policy.acl_status = 403
    assert Caller(server, "none")("GET", f"{TABLE}change_request").status_code == 403
    assert Caller(server, "read")("POST", f"{CHANGE}/normal", {}).status_code == 403
    assert (rows.json()["result"], rows.headers["X-Total-Count"]) == ([], "3")
    assert len(Caller(server, "rita").result("GET", f"{TABLE}sysapproval_approver")) == 1
    mine = bot.result("GET", f"{TABLE}sysapproval_approver", sysparm_fields="sys_id")[0]["sys_id"]
    assert Caller(server, "read")("GET", f"{TABLE}sysapproval_approver/{mine}").status_code == 403


# ---------------------------------------------------------------------- Table API


def test_queries_select_order_and_page(bot: Caller) -> None:
    """=, !=, IN, ^, ^OR, ORDERBY, fields, limit and offset; the total counts before the limit."""
    first, second, third = bot.open(correlation_id="a"), bot.open(correlation_id="b"), bot.open()

    def ids(query: str, **params: str) -> list[str]:
        rows = bot.result(
            "GET", f"{TABLE}change_request", sysparm_query=query, sysparm_fields="sys_id", **params
        )
        return [row["sys_id"] for row in rows]

    assert ids("correlation_id=a") == [first]
    assert ids("correlation_idINa,b^ORDERBYDESCcorrelation_id") == [second, first]
    assert ids("correlation_id!=a^ORDERBYnumber") == [second, third]
    assert ids("correlation_id=a^ORcorrelation_id=b^ORDERBYnumber") == [first, second]
    assert ids("requested_by.user_name=dana^correlation_id=b") == [second]
    assert ids("correlation_id=absent") == []
    page = bot("GET", f"{TABLE}change_request", sysparm_limit="1", sysparm_offset="1")
    assert [row["sys_id"] for row in page.json()["result"]] == [second]
    assert page.headers["X-Total-Count"] == "3"
    assert 'rel="next"' in page.headers["Link"]


def test_an_unreadable_part_of_a_query_is_dropped(bot: Caller, policy: Policy) -> None:
    """A typo returns every row, unless the instance is told to return none."""
    bot.open(), bot.open()
    typo = {"sysparm_query": "corelation_id=a^correlation_id<b"}

    assert len(bot.result("GET", f"{TABLE}change_request", **typo)) == 2
    policy.invalid_query_returns_no_rows = True
    assert bot.result("GET", f"{TABLE}change_request", **typo) == []


def test_values_come_plain_linked_or_displayed(bot: Caller, rita: Caller) -> None:
    """References carry a link unless excluded; display values are names, labels and local times."""
    path = f"{TABLE}change_request/{bot.open(start_date='2026-11-21 08:00:00')}"
    plain = bot.result("GET", path)
    bare = bot.result("GET", path, sysparm_exclude_reference_link="true", sysparm_display_value="all")
    shown = rita.result(
        "GET", path, sysparm_display_value="true", sysparm_fields="start_date,state,nonsense,cmdb_ci"
    )

    assert plain["requested_by"]["link"].endswith(f"/sys_user/{plain['requested_by']['value']}")
    assert bare["requested_by"] == {"value": plain["requested_by"]["value"], "display_value": "Dana Diaz"}
    assert bare["state"] == {"value": "-5", "display_value": "New"}
    assert (shown["start_date"], shown["state"]) == ("2026-11-21 17:00:00", "New")
    assert shown["cmdb_ci"]["display_value"] == "fraud-scorer"
    assert "nonsense" not in shown


def test_changes_can_be_made_and_written_through_the_table_too(bot: Caller) -> None:
    """The Table API opens normal changes; rows that belong to the workflow cannot be made or written."""
    made = bot("POST", f"{TABLE}change_request", {"short_description": "x" * 200, "approval": "approved"})
    sys_id = made.json()["result"]["sys_id"]

    assert (made.status_code, len(made.json()["result"]["short_description"])) == (201, 160)
    assert bot.shown(sys_id, "approval") == "not requested"
    assert bot.result("PUT", f"{TABLE}change_request/{sys_id}", {"risk": "low"})["risk"] == "low"
    assert bot("POST", f"{TABLE}sysapproval_approver", {"state": "approved"}).status_code == 403
    assert bot("POST", f"{CHANGE}/normal", ["no", "object"]).status_code == 400
    assert bot("GET", f"{TABLE}sys_user").status_code == 400
    assert bot("GET", f"{TABLE}change_request/{'f' * 32}").json()["error"]["message"] == "No Record found"


# ------------------------------------------------------------------ state machine


def test_a_normal_change_is_approved_twice_and_closed_with_its_outcome(bot: Caller, rita: Caller) -> None:
    """New, Assess, Authorize, Scheduled, Implement with two tasks, Review, Closed."""
    sys_id = bot.open()
    assert bot.state(sys_id, -4).ok
    assert row_states(bot, sys_id) == [("dana", "requested"), ("rita", "requested"), ("carl", "requested")]
    assert decide(rita, sys_id).ok
    assert (bot.shown(sys_id, "state"), bot.shown(sys_id, "approval")) == ("-3", "requested")
    assert row_states(bot, sys_id)[:2] == [("dana", "not_required"), ("rita", "approved")]
    assert decide(rita, sys_id).ok
    assert (bot.shown(sys_id, "state"), bot.shown(sys_id, "approval")) == ("-2", "approved")
    assert bot.result("GET", f"{CHANGE}/{sys_id}/nextstates")["available_states"] == ["-2", "-1", "4"]
    assert bot.state(sys_id, -1).ok
    assert bot.state(sys_id, 0).ok
    assert "mandatory: Close code" in bot.state(sys_id, 3).text
    outcome = {"close_code": "successful", "close_notes": "at 100 %"}
    assert "tasks must be closed" in bot.state(sys_id, 3, **outcome).text
    tasks = bot.result("GET", f"{TABLE}change_task", sysparm_query=f"change_request={sys_id}",
                       sysparm_display_value="all")  # fmt: skip
    assert [task["short_description"]["value"] for task in tasks] == [
        "Implement",
        "Post-implementation testing",
    ]
    assert tasks[0]["state"]["display_value"] == "Open"
    for task in tasks:
        assert bot("PATCH", f"{TABLE}change_task/{task['sys_id']['value']}", {"state": "3"}).ok
    assert bot.state(sys_id, 3, **outcome).ok
    assert (bot.shown(sys_id, "state"), bot.shown(sys_id, "active")) == ("3", "false")


def test_other_types_take_shorter_ways(bot: Caller, rita: Caller) -> None:
    """Standard changes are approved by their template, emergency changes by one group."""
    standard = str(bot.result("POST", f"{CHANGE}/standard/{TEMPLATE}", {})["sys_id"]["value"])
    assert bot.shown(standard, "short_description") == "Promote a model"
    assert bot.state(standard, -2).ok
    assert bot.shown(standard, "approval") == "approved"

    emergency = bot.open("emergency")
    assert bot.state(emergency, -3).ok
    assert decide(rita, emergency).ok
    assert bot.shown(emergency, "state") == "-2"

    by_type = bot.result("POST", CHANGE, {"type": "standard", "template": TEMPLATE})
    assert by_type["type"] == {"value": "standard", "display_value": "Standard"}
    missing = bot("POST", f"{CHANGE}/standard/{'8' * 32}", {})
    assert (missing.status_code, "does not exist" in missing.text) == (404, True)
    assert bot("POST", f"{CHANGE}/casual", {}).status_code == 400


@pytest.mark.parametrize(("kind", "target"), [
    ("normal", -3), ("normal", -2), ("normal", -1), ("normal", 0), ("normal", 3), ("normal", 99),
    ("standard", -4), ("standard", -1), ("emergency", -4), ("emergency", -2),
])  # fmt: skip
def test_a_wrong_step_is_aborted_by_a_business_rule(bot: Caller, kind: str, target: int) -> None:
    """403 with the rule's name, and nothing of the write is kept."""
    path = f"standard/{TEMPLATE}" if kind == "standard" else kind
    sys_id = bot.open(path)
    refused = bot.state(sys_id, target, risk="high")

    assert refused.status_code == 403
    assert "aborted by Business Rule 'State model - Can change state?'" in refused.json()["error"]["detail"]
    assert (bot.shown(sys_id, "state"), bot.shown(sys_id, "risk")) == ("-5", "")


def test_nonsense_states_and_missing_groups_are_refused(bot: Caller, rita: Caller) -> None:
    """A state must be a number; nobody can be asked without a group; a decision is one of two words."""
    sys_id = bot.open(assignment_group="")

    assert bot("PATCH", f"{CHANGE}/{sys_id}", {"state": "Assess'; DROP"}).status_code == 400
    assert "mandatory: Assignment group" in bot.state(sys_id, -4).text
    assert decide(rita, sys_id, "perhaps").status_code == 400


def test_a_rejection_sends_the_change_back_and_a_new_round_asks_anew(bot: Caller, rita: Caller) -> None:
    """Rejected goes to New; asking again ends the old rows as cancelled."""
    sys_id = bot.open()
    bot.state(sys_id, -4)
    assert decide(rita, sys_id, "rejected").ok
    assert (bot.shown(sys_id, "state"), bot.shown(sys_id, "approval")) == ("-5", "rejected")
    assert ("rita", "rejected") in row_states(bot, sys_id)
    assert ("carl", "cancelled") in row_states(bot, sys_id)
    assert bot.state(sys_id, -4).ok
    assert row_states(bot, sys_id).count(("rita", "requested")) == 1
    assert ("rita", "rejected") not in row_states(bot, sys_id)


def test_on_hold_asks_nobody_and_leads_only_to_canceled(
    server: ChangeDeskServer, bot: Caller, rita: Caller
) -> None:
    """Pending rows become not_required, every step but Canceled is refused."""
    sys_id = bot.open()
    bot.state(sys_id, -4)
    server.put_on_hold(bot.shown(sys_id, "number"))

    assert {state for _, state in row_states(bot, sys_id)} == {"not_required"}
    assert decide(rita, sys_id).status_code == 403
    assert bot.result("GET", f"{CHANGE}/{sys_id}/nextstates")["available_states"] == ["-4", "4"]
    server.cancel(bot.shown(sys_id, "number"))
    assert (bot.shown(sys_id, "state"), bot.shown(sys_id, "active")) == ("4", "false")
    assert bot("PATCH", f"{CHANGE}/{sys_id}", {"on_hold": False}).ok


def test_a_change_in_review_cannot_be_cancelled(server: ChangeDeskServer, bot: Caller) -> None:
    """What was implemented has an outcome, not a cancellation."""
    sys_id = bot.open(f"standard/{TEMPLATE}")
    for state in (-2, -1, 0):
        assert bot.state(sys_id, state).ok

    assert bot.state(sys_id, 4, close_code="unsuccessful", close_notes="no").status_code == 403


def test_helpers_do_what_people_do(server: ChangeDeskServer, bot: Caller) -> None:
    """Cancelling closes the tasks; closing the window moves its end into the past."""
    sys_id = bot.open(f"standard/{TEMPLATE}")
    number = bot.shown(sys_id, "number")
    bot.state(sys_id, -2), bot.state(sys_id, -1)
    server.close_window(number)
    assert bot.shown(sys_id, "end_date") < f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    server.cancel(number)
    assert server.changes()[0]["state"] == "4"
    with pytest.raises(LookupError, match="no change CHG0"):
        server.cancel("CHG0")


# ----------------------------------------------------------------- who may approve


def test_nobody_approves_what_they_asked_for(server: ChangeDeskServer, bot: Caller, policy: Policy) -> None:
    """The desk refuses the requester; the switch exists to show that the gate refuses too."""
    sys_id = bot.open(requested_by="dana")
    bot.state(sys_id, -4)
    dana = Caller(server, "dana")

    refused = decide(dana, sys_id)
    assert (refused.status_code, "who asks for a change cannot approve it" in refused.text) == (403, True)
    policy.requester_may_not_approve = False
    assert decide(dana, sys_id).ok


def test_only_who_is_asked_may_answer(server: ChangeDeskServer, bot: Caller, rita: Caller) -> None:
    """The role alone is not enough, nor is being asked in an earlier stage."""
    sys_id = bot.open()
    bot.state(sys_id, -4)

    assert "approver's role" in decide(bot, sys_id).text
    assert decide(Caller(server, "carl"), sys_id).ok
    assert decide(Caller(server, "carl"), sys_id).status_code == 403


# ---------------------------------------------------------------------- conflicts


def test_the_conflict_check_needs_an_item_and_dates(server: ChangeDeskServer, bot: Caller) -> None:
    """It answers a text, runs only with CI and window, and lists blackouts and scheduled changes."""
    bare = bot.open(end_date="")
    assert bot("POST", f"{CHANGE}/{bare}/conflict").status_code == 400
    never = bot.result("GET", f"{CHANGE}/{bare}/conflict")
    assert (never["status"], never["last_run"], never["conflicts"]) == ("Not Run", "", [])

    sys_id = bot.open()
    assert re.fullmatch("[0-9a-f]{32}", bot.result("POST", f"{CHANGE}/{sys_id}/conflict"))
    assert bot.result("GET", f"{CHANGE}/{sys_id}/conflict")["status"] == "No Conflict"

    other = bot.open(f"standard/{TEMPLATE}")
    bot.state(other, -2)
    now = datetime.now(UTC)
    server.black_out("year end", now, now + timedelta(minutes=1))
    bot("POST", f"{CHANGE}/{sys_id}/conflict")
    found = bot.result("GET", f"{CHANGE}/{sys_id}/conflict")
    assert (found["status"], found["record_count"]) == ("Conflict", 2)
    assert [one["type"] for one in found["conflicts"]] == ["blackout", "ci_already_scheduled"]


def test_a_status_of_conflict_may_come_with_an_empty_list(bot: Caller, policy: Policy) -> None:
    """The list is what counts."""
    policy.conflict_without_list = True
    sys_id = bot.open()
    bot("POST", f"{CHANGE}/{sys_id}/conflict")
    found = bot.result("GET", f"{CHANGE}/{sys_id}/conflict")

    assert (found["status"], found["conflicts"]) == ("Conflict", [])


# ------------------------------------------------------------- restart and faults


def test_records_survive_a_restart(server: ChangeDeskServer, bot: Caller, tmp_path: Path) -> None:
    """A desk started on the same folder knows every change and goes on numbering."""
    sys_id = bot.open()
    number = bot.shown(sys_id, "number")
    server.stop()
    again = ChangeDeskServer(tmp_path, accounts=ACCOUNTS)
    again.start()
    try:
        caller = Caller(again, "lockgate")
        assert caller.shown(sys_id, "number") == number
        assert caller.shown(caller.open(), "number") > number
    finally:
        again.stop()


def test_too_many_requests_look_as_documented(server: ChangeDeskServer, bot: Caller) -> None:
    """429 with its body and Retry-After, once."""
    server.arm(too_many())
    limited = bot("GET", f"{TABLE}change_request")

    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "120")
    assert limited.json()["error"]["message"] == "Rate limit exceeded"
    assert bot("GET", f"{TABLE}change_request").ok


# ----------------------------------------------------------------------- the page

HOSTILE = "<script>alert(1)</script>\"'{{ 7*7 }}\nlast & least"
DESCRIPTION = """WHAT AN APPROVAL ALLOWS
Approve to move this model to 100 %.

Model: fraud-scorer
Candidate: v2
Candidate digest: sha256:1111
Pull request: https://forge.example/pulls/7

Gates:
- evaluation: PASS, AUC 0.91 against 0.90
free words & more"""


class Browser:
    """A person with a cookie jar who fills in forms."""

    def __init__(self, server: ChangeDeskServer) -> None:
        self.url = server.url
        self.session = requests.Session()

    def get(self, path: str) -> requests.Response:
        return self.session.get(self.url + path, timeout=10)

    def submit(self, page: requests.Response, action: str, **fields: str) -> requests.Response:
        token = re.search(r'name="token" value="([0-9a-f]+)"', page.text)
        assert token
        return self.session.post(self.url + action, data={"token": token[1], **fields}, timeout=10)

    def sign_in(self, login: str, then: str = "") -> requests.Response:
        action = "/login" + (f"?then={then}" if then else "")
        return self.submit(self.get("/login"), action, account=login, password=ACCOUNTS[login].password)


@pytest.fixture
def browser(server: ChangeDeskServer) -> Browser:
    return Browser(server)


def test_a_person_reads_what_the_signature_covers_and_approves(
    server: ChangeDeskServer, bot: Caller, browser: Browser
) -> None:
    """Sign in by the link from a report, read every line of the description, approve with a comment."""
    sys_id = bot.open(description=DESCRIPTION, correlation_id="c0ffee", justification="fewer false alarms")
    bot.state(sys_id, -4)
    number = bot.shown(sys_id, "number")
    link = f"/nav_to.do?uri=change_request.do%3Fsys_id%3D{sys_id}"
    assert browser.get(link).url.endswith(f"/login?then=/changes/{number}")
    page = browser.sign_in("rita", f"/changes/{number}")

    assert page.url.endswith(number)
    text = html.unescape(re.sub("<[^>]+>", " ", page.text))
    for line in DESCRIPTION.split("\n"):
        assert all(part.strip(" :") in text for part in line.split(": "))
    for fact in ("Dana Diaz (dana)", "c0ffee", "fraud-scorer", "fewer false alarms", "void", "Rita Rossi"):
        assert fact in text
    assert '<a href="https://forge.example/pulls/7"' in page.text

    signed = browser.submit(page, f"/changes/{number}/decision", state="approved", comments="read it all")
    assert "read it all" in signed.text
    assert ("rita", "approved") in row_states(bot, sys_id)
    assert "requested" in browser.get("/").text


def test_a_refused_signature_says_why(server: ChangeDeskServer, bot: Caller, browser: Browser) -> None:
    """The requester sees the form but the desk refuses the signature, on the page and in the data."""
    sys_id = bot.open(requested_by="dana")
    bot.state(sys_id, -4)
    page = browser.sign_in("dana", f"/changes/{bot.shown(sys_id, 'number')}")
    refused = browser.submit(page, f"/changes/{bot.shown(sys_id, 'number')}/decision", state="approved")

    assert refused.status_code == 403
    assert "Nothing was signed." in refused.text
    assert ("dana", "requested") in row_states(bot, sys_id)


def test_forms_of_other_pages_and_strangers_do_nothing(
    server: ChangeDeskServer, bot: Caller, browser: Browser
) -> None:
    """No token, no session, a wrong password or a foreign address lead nowhere."""
    sys_id = bot.open()
    bot.state(sys_id, -4)
    number = bot.shown(sys_id, "number")
    decision = f"{server.url}/changes/{number}/decision"

    assert requests.post(decision, data={"state": "approved"}, timeout=10).status_code == 400
    login = browser.get("/login")
    assert browser.submit(login, f"/changes/{number}/decision", state="approved").status_code == 403
    assert browser.submit(login, "/login", account="rita", password="wrong").status_code == 401
    assert browser.get("/").url.endswith("/login")
    assert browser.sign_in("rita", "//evil.example").url == f"{server.url}/"
    assert browser.session.post(decision, data={"state": "approved"}, timeout=10).status_code == 400
    assert row_states(bot, sys_id)[1] == ("rita", "requested")
    assert browser.get("/changes/CHG9999999").status_code == 404
    assert browser.get("/nav_to.do?uri=nonsense").status_code == 404
    out = browser.submit(browser.get("/"), "/logout")
    assert out.url.endswith("/login")


def test_hostile_text_is_shown_as_text(server: ChangeDeskServer, bot: Caller, browser: Browser) -> None:
    """Markup, template braces and quotes in any field come out as themselves; the page runs no script."""
    fields = ("short_description", "description", "justification", "cmdb_ci", "correlation_id")
    sys_id = bot.open(**dict.fromkeys(fields, HOSTILE))
    bot.state(sys_id, -4, work_notes=HOSTILE)
    decide(Caller(server, "carl"), sys_id, "rejected")
    number = bot.shown(sys_id, "number")
    page = browser.sign_in("rita", f"/changes/{number}")

    assert "<script" not in page.text
    assert "<script" not in browser.get("/").text
    assert page.text.count("{{ 7*7 }}") == len(fields) + len(["work_notes"])
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert bot.shown(sys_id, "justification") == HOSTILE


def test_a_description_is_cut_into_parts_and_loses_nothing() -> None:
    """Headings, pairs and free text, in order."""
    assert blocks(DESCRIPTION) == [
        Block(heading="WHAT AN APPROVAL ALLOWS"),
        Block(text="Approve to move this model to 100 %."),
        Block(
            pairs=(
                ("Model", "fraud-scorer"),
                ("Candidate", "v2"),
                ("Candidate digest", "sha256:1111"),
                ("Pull request", "https://forge.example/pulls/7"),
            )
        ),
        Block(heading="Gates"),
        Block(pairs=(("- evaluation", "PASS, AUC 0.91 against 0.90"),)),
        Block(text="free words & more"),
    ]
    assert blocks("") == []
    assert blocks("one\ntwo") == [Block(text="one\ntwo")]
