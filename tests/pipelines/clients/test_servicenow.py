"""The ServiceNow client over the wire, against the rehearsal's change desk and servers that misbehave.

Covered: the life of a change, duplicates, lost answers, every kind of unusable answer, what doctor says,
and the approval gate reading through it.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from gates.approval import Approval, ApprovalSettings
from gates.contract import Arm, Objectives, Question, Status, Subject
from pipelines.clients.servicenow import ServiceNowDesk
from pipelines.errors import AccessDenied, CouldNotTell, Misbehaved, Refused, Unreachable
from pipelines.ports import ChangeDesk, ChangeRequest
from pipelines.rehearsal.desk import Account, ChangeDeskServer, Policy, page_instead, partial, too_many
from pipelines.rehearsal.server import Fault

CONTENT = "c0ffee" + "0" * 58
TEMPLATE = "7" * 32
ACCOUNTS = {
    "lockgate": Account("machine", ("itil",), "Lock Gate", token="t0ken", time_zone="Asia/Tokyo"),
    "dana": Account("data", ("approver_user",), "Dana Diaz", ("Model Risk",)),
    "rita": Account("risk", ("approver_user",), "Rita Rossi", ("Model Risk", "CAB Approval")),
    "read": Account("only", ("sn_change_read",), "Reader"),
    "none": Account("none", (), "Nobody"),
}


@pytest.fixture
def policy() -> Policy:
    return Policy()


@pytest.fixture
def server(tmp_path: Path, policy: Policy) -> Iterator[ChangeDeskServer]:
    server = ChangeDeskServer(tmp_path, accounts=ACCOUNTS, policy=policy, templates={TEMPLATE: {}})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def desk(server: ChangeDeskServer) -> ServiceNowDesk:
    return ServiceNowDesk(url=server.url, user="lockgate", password="machine", timeout_seconds=5)


@pytest.fixture
def request_() -> ChangeRequest:
    now = datetime.now(UTC).replace(microsecond=0)
    return ChangeRequest(
        correlation_id=CONTENT,
        type="normal",
        template="",
        short_description="Promote fraud-scorer v2 to prod",
        description="Model: fraud-scorer\nCandidate: v2",
        justification="fewer false alarms",
        configuration_item="fraud-scorer",
        assignment_group="Model Risk",
        requested_by="dana",
        start=now,
        end=now + timedelta(hours=4),
    )


def approve(server: ChangeDeskServer, number: str) -> None:
    """Rita signs in both groups."""
    server.decide(number, "rita", "approved")
    server.decide(number, "rita", "approved")


def posts(server: ChangeDeskServer) -> int:
    return sum(method == "POST" and path.endswith("/normal") for method, path in server.requests)


# ------------------------------------------------------------- the life of a change


def test_a_change_is_opened_assessed_and_read_whole(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest
) -> None:
    """What was asked for is on the desk, in UTC whatever the account's zone, and people are asked."""
    typed: ChangeDesk = desk
    change = typed.create(request_)

    assert (change.type, change.state, change.state_name, change.approval) == (
        "normal",
        -4,
        "Assess",
        "requested",
    )
    assert (change.requested_by, change.opened_by) == ("dana", "lockgate")
    assert (change.configuration_item, change.correlation_id) == ("fraud-scorer", CONTENT)
    assert (change.start, change.end) == (request_.start, request_.end)
    assert {row.name: row.state for row in change.approvers} == {"dana": "requested", "rita": "requested"}
    assert change.conflicts.found == ()
    assert change.conflicts.checked_at is not None
    assert change.url == f"{server.url}/nav_to.do?uri=change_request.do%3Fsys_id%3D{change.sys_id}"
    assert server.changes()[0]["correlation_display"] == "lockgate"
    assert (change.active, change.on_hold) == (True, False)


def test_an_approved_change_is_carried_out_and_closed(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest
) -> None:
    """Begin and close do each step once, and doing either again does nothing."""
    number = desk.create(request_).number
    approve(server, number)
    assert [row.state for row in desk.read(number).approvers] == ["not_required", "approved", "approved"]
    desk.begin(number)
    desk.begin(number)
    assert desk.read(number).state == -1
    desk.note(number, "share 100 % seen")
    desk.close(number, code="successful", notes="at 100 % since 10:00")
    desk.close(number, code="unsuccessful", notes="again")

    kept = server.changes()[0]
    assert (kept["state"], kept["close_code"], kept["close_notes"]) == (
        "3",
        "successful",
        "at 100 % since 10:00",
    )
    assert "share 100 % seen" in kept["work_notes"]


def test_a_change_that_was_never_implemented_is_cancelled_with_notes(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest
) -> None:
    """A rollback before 100 % leaves no open change behind; nor does one on hold in Implement."""
    first = desk.create(request_).number
    desk.close(first, code="unsuccessful", notes="tail too slow at 10 %")
    second = desk.create(request_).number
    approve(server, second)
    desk.begin(second)
    server.put_on_hold(second)
    desk.close(second, code="unsuccessful", notes="held, then rolled back")

    assert [row["state"] for row in server.changes()] == ["4", "4"]
    assert server.changes()[0]["close_notes"] == "tail too slow at 10 %"


def test_a_close_that_died_half_way_is_finished(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest
) -> None:
    """After each lost answer the same call goes on from where the change is."""
    number = desk.create(request_).number
    approve(server, number)
    desk.begin(number)
    lost = 0
    for _ in range(10):
        server.arm(Fault("PATCH", "/table/", when="after"))
        try:
            desk.close(number, code="successful", notes="done")
            break
        except Unreachable:
            lost += 1

    assert lost == len(["first task", "second task", "Review", "Closed"])
    assert desk.read(number).state == 3


@pytest.mark.parametrize(("kind", "state"), [("emergency", -3), ("standard", -2)])
def test_other_types_are_asked_for_in_their_own_way(
    desk: ServiceNowDesk, request_: ChangeRequest, kind: str, state: int
) -> None:
    """Emergency changes go to Authorize, standard changes are scheduled by their template."""
    change = desk.create(replace(request_, type=kind, template=TEMPLATE))  # type: ignore[arg-type]

    assert (change.type, change.state) == (kind, state)


def test_a_bearer_token_is_not_displaced(
    server: ChangeDeskServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ~/.netrc for the same host does not replace the token."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login lockgate password wrong\n")
    monkeypatch.setenv("NETRC", str(netrc))

    assert ServiceNowDesk(url=server.url, user="lockgate", token="t0ken").find(CONTENT) is None


# ---------------------------------------------------------------- found, not doubled


def test_a_change_is_found_again_by_its_content(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest
) -> None:
    """Nothing is found for other content; creating again adopts what is open."""
    assert desk.find(CONTENT) is None
    change = desk.create(request_)

    assert desk.find(CONTENT) == desk.create(request_)
    assert desk.find("d" * 64) is None
    assert change.number == desk.create(request_).number
    assert posts(server) == 1


def test_an_answer_lost_after_the_effect_doubles_nothing(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest
) -> None:
    """The desk made the change but said 502: looking finds it, and its assessment is asked for then."""
    server.arm(Fault("POST", "/change/normal", when="after"))
    with pytest.raises(Unreachable, match="HTTP 502"):
        desk.create(request_)
    assert server.changes()[0]["state"] == "-5"
    found = desk.find(CONTENT)

    assert found is not None
    assert (found.state, found.approval) == (-4, "requested")
    assert desk.create(request_).number == found.number
    assert (len(server.changes()), posts(server)) == (1, 1)


def test_an_answer_that_takes_too_long_is_an_outage(
    server: ChangeDeskServer, request_: ChangeRequest
) -> None:
    """The time-out strikes; the change exists and is found, never posted twice."""
    hasty = ServiceNowDesk(url=server.url, user="lockgate", password="machine", timeout_seconds=0.3)
    server.arm(Fault("POST", "/change/normal", when="after", delay_seconds=1.0))
    with pytest.raises(Unreachable, match="no answer: ReadTimeout"):
        hasty.create(request_)

    assert hasty.create(request_).state == -4
    assert posts(server) == 1


def test_of_several_the_newest_open_one_counts_and_it_is_said(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """Two opened by hand for the same content: the newer is used, the older is named in the log."""
    wishes = {"correlation_id": CONTENT, "cmdb_ci": "fraud-scorer", "requested_by": "dana",
              "assignment_group": "Model Risk", "end_date": "2030-01-01 00:00:00"}  # fmt: skip
    older, newer = (server.desk.open("lockgate", "normal", wishes)["number"] for _ in range(2))
    with caplog.at_level(logging.WARNING):
        found = desk.find(CONTENT)

    assert found is not None
    assert found.number == newer
    assert f"{newer} is the newest open change; the same content is also in {older}" in caplog.text
    server.cancel(newer)
    again = desk.find(CONTENT)
    assert again is not None
    assert again.number == older


def test_a_rejected_change_is_not_asked_for_again(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest
) -> None:
    """Rejected goes back to New; finding it again must not send it round until somebody gives in."""
    number = desk.create(request_).number
    server.decide(number, "rita", "rejected", "no")
    found = desk.find(CONTENT)

    assert found is not None
    assert (found.state, found.approval) == (-5, "rejected")
    assert desk.create(request_).state == -5


@pytest.mark.parametrize(("field", "text"), [("requested_by", "unknown.person"), ("configuration_item", "")])
def test_a_change_that_did_not_keep_what_it_was_told_is_not_put_to_anybody(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest, field: str, text: str
) -> None:
    """The desk drops a name it does not know; the change stays in New, now and when found again."""
    with pytest.raises(Misbehaved):
        desk.create(replace(request_, **{field: text}))  # type: ignore[arg-type]
    with pytest.raises(Misbehaved, match="was opened without"):
        desk.find(CONTENT)

    assert server.changes()[0]["state"] == "-5"
    assert posts(server) == 1


def test_a_description_that_would_be_cut_is_refused(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest
) -> None:
    """The approver must see all of what the signature covers."""
    with pytest.raises(Refused, match="4001 characters"):
        desk.create(replace(request_, description="x" * 4001))

    assert server.changes() == []


# ---------------------------------------------------------------- only safe questions


@pytest.mark.parametrize("text", ["CHG0030001^ORstate=-1", "CHG1", "chg0030001", "CHG0030001\n", "", "../x"])
def test_nothing_but_a_number_is_asked_about(
    server: ChangeDeskServer, desk: ServiceNowDesk, text: str
) -> None:
    """Text that would widen a query or leave the path never reaches the desk."""
    for ask in (desk.read, desk.begin, lambda number: desk.note(number, "x")):
        with pytest.raises(Refused, match="was not asked about it"):
            ask(text)

    assert server.requests == []


@pytest.mark.parametrize("text", [f"{CONTENT}^ORstate=-1", "c0ffee", CONTENT.upper(), f"{CONTENT}\n"])
def test_nothing_but_a_digest_is_searched_for(
    server: ChangeDeskServer, desk: ServiceNowDesk, text: str
) -> None:
    """A correlation id is 64 lower-case hexadecimal digits and nothing else."""
    with pytest.raises(Refused):
        desk.find(text)

    assert server.requests == []


def test_a_template_is_a_sys_id(desk: ServiceNowDesk, request_: ChangeRequest) -> None:
    """A template name cannot climb out of the path; one that does not exist is told in ServiceNow's words."""
    with pytest.raises(Refused):
        desk.create(replace(request_, type="standard", template="../../table/sys_user"))
    with pytest.raises(AccessDenied, match="template '8888"):
        desk.create(replace(request_, type="standard", template="8" * 32))


def test_hostile_text_comes_back_as_data(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest
) -> None:
    """Quotes, carets, braces and markup in every free field change nothing but the text."""
    hostile = "a^ORstate=-1\n\"'{{ 7*7 }} $(id) <script>alert(1)</script> ../../x"
    told = replace(request_, short_description=hostile, description=hostile, justification=hostile,
                   configuration_item=hostile)  # fmt: skip
    change = desk.create(told)
    desk.note(change.number, hostile)

    kept = server.changes()[0]
    assert change.configuration_item == hostile
    assert (kept["description"], kept["short_description"], kept["justification"]) == (hostile,) * 3
    assert hostile in kept["work_notes"]


# ------------------------------------------------------------------- unusable answers


UNUSABLE: list[tuple[str, Fault, type[CouldNotTell], str]] = [
    ("hibernating", page_instead("Instance Hibernating"), Unreachable, "unavailable: HTTP 200 brought"),
    ("login form", page_instead("Log in"), Unreachable, "'Log in'"),
    ("no JSON", Fault("GET", "/api", status=200, body="ok"), Unreachable, "something that is not JSON"),
    ("error beside a result", partial(), Misbehaved, "maximum execution time exceeded"),
    ("too many", too_many(), Unreachable, "Rate limit of 100 requests per hour .* try again in 120 seconds"),
    ("server error", Fault("GET", "/api", status=500), Unreachable, "HTTP 500: server error"),
    ("bad gateway for good", Fault("GET", "/api", status=502, times=3), Unreachable, "HTTP 502"),
    ("gone", Fault("GET", "/api", status=404, body="{}"), AccessDenied, "HTTP 404: no reason given"),
    ("odd refusal", Fault("GET", "/api", status=400, body="{}"), Misbehaved, "HTTP 400 with an error"),
    ("error as text", Fault("GET", "/api", status=200, body='{"error":"x"}'), Misbehaved, "an error: x"),
    ("empty error", Fault("GET", "/api", status=200, body='{"error":{"message":""}}'), Misbehaved, "unnamed"),
    ("no result", Fault("GET", "/api", status=200, body='{"result":null}'), Misbehaved, "without a result"),
    ("a list", Fault("GET", "/api", status=200, body="[]"), Misbehaved, "without a result"),
    ("no rows", Fault("GET", "/api", status=200, body='{"result":"text"}'), Misbehaved, "no list of rows"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "error", "said"), [row[1:] for row in UNUSABLE], ids=[row[0] for row in UNUSABLE]
)
def test_an_unusable_answer_is_never_read_as_an_answer(
    server: ChangeDeskServer, desk: ServiceNowDesk, fault: Fault, error: type[CouldNotTell], said: str
) -> None:
    """Each is an outage, nonsense or a missing right, in the desk's own words, and the next try works."""
    server.arm(replace(fault))

    with pytest.raises(error, match=said):
        desk.find(CONTENT)
    assert desk.find(CONTENT) is None


def test_only_reading_is_repeated(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest
) -> None:
    """Two bad gateways are ridden out by a GET; a POST or PATCH goes out once."""
    server.arm(Fault("GET", "/table/change_request", times=2))
    assert desk.find(CONTENT) is None
    server.arm(Fault("POST", "/change/normal"))
    with pytest.raises(Unreachable):
        desk.create(request_)
    assert posts(server) == 1
    number = desk.create(request_).number
    before = len(server.requests)
    server.arm(Fault("PATCH", "/table/", status=503))
    with pytest.raises(Unreachable):
        desk.note(number, "x")
    assert [method for method, _ in server.requests[before:]] == ["GET", "PATCH"]


def test_no_server_at_all_is_an_outage() -> None:
    """Nothing listens: no answer, neither yes nor no."""
    with pytest.raises(Unreachable, match="no answer: ConnectionError"):
        ServiceNowDesk(url="http://127.0.0.1:9", user="lockgate", password="x").find(CONTENT)


def test_missing_rights_are_named(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest, policy: Policy
) -> None:
    """401, 403 and 404 are missing rights with ServiceNow's message, not a no."""
    number = desk.create(request_).number

    def seen_by(login: str, password: str) -> ServiceNowDesk:
        return ServiceNowDesk(url=server.url, user=login, password=password)

    with pytest.raises(AccessDenied, match="HTTP 401: User Not Authenticated"):
        seen_by("lockgate", "wrong").read(number)
    with pytest.raises(AccessDenied, match="HTTP 404: No Record found"):
        seen_by("none", "none").read(number)
    with pytest.raises(AccessDenied, match="HTTP 403: Insufficient rights"):
        seen_by("read", "only").create(replace(request_, correlation_id="e" * 64))
    with pytest.raises(AccessDenied, match=r"holds 2 rows .* but shows 0"):
        seen_by("read", "only").read(number)


def test_a_wrong_step_is_told_in_the_desks_words(desk: ServiceNowDesk, request_: ChangeRequest) -> None:
    """Beginning a change that nobody approved is aborted by the business rule."""
    with pytest.raises(AccessDenied, match="State model - Can change state"):
        desk.begin(desk.create(request_).number)


def test_a_number_the_desk_does_not_have_is_no_answer(desk: ServiceNowDesk) -> None:
    """Gone or hidden cannot be told apart, and neither is a no."""
    with pytest.raises(Misbehaved, match="0 changes came back for CHG0099999"):
        desk.read("CHG0099999")


# ------------------------------------------------ a server whose rows are not what was asked


ROW = {
    "sys_id": "a" * 32, "number": "CHG0030001", "type": "normal",
    "state": {"value": "-2", "display_value": "Scheduled"},
    "approval": "approved", "on_hold": "false", "active": "true", "requested_by": "b" * 32,
    "requested_by.user_name": "dana", "opened_by": "", "cmdb_ci": "", "correlation_id": CONTENT,
    "correlation_display": "", "start_date": "", "end_date": "",
}  # fmt: skip
BENT: list[tuple[dict[str, object], type[CouldNotTell], str]] = [
    ({"number": "CHG0030002"}, Misbehaved, "rows nobody asked for"),
    ({"sys_id": "../../x"}, Misbehaved, "is not a sys_id"),
    ({"state": {"value": "approved", "display_value": ""}}, Misbehaved, "is not a state"),
    ({"start_date": "tomorrow"}, Misbehaved, "'tomorrow' is not a time"),
    ({"requested_by.user_name": None}, AccessDenied, "requested_by is set, but this account may not read"),
]


@pytest.mark.parametrize(("bent", "error", "said"), BENT)
def test_a_row_that_is_not_what_was_asked_for_is_refused(
    httpserver: HTTPServer, bent: dict[str, object], error: type[CouldNotTell], said: str
) -> None:
    """A typo-tolerant server returns other rows; a hidden name must not become an empty one."""
    httpserver.expect_request("/api/now/table/change_request").respond_with_json(
        {"result": [{**ROW, **bent}]}
    )
    desk = ServiceNowDesk(url=httpserver.url_for("/"), user="lockgate", password="x")

    with pytest.raises(error, match=said):
        desk.read("CHG0030001")


def test_a_field_that_is_missing_is_not_an_empty_one(httpserver: HTTPServer) -> None:
    """A server that hides a field altogether gives no answer."""
    row = {key: value for key, value in ROW.items() if key != "on_hold"}
    httpserver.expect_request("/api/now/table/change_request").respond_with_json({"result": [row]})

    with pytest.raises(Misbehaved, match="lacks the field on_hold"):
        ServiceNowDesk(url=httpserver.url_for("/"), user="lockgate", password="x").read("CHG0030001")


def served(httpserver: HTTPServer, conflict: object) -> ServiceNowDesk:
    """A desk with one approved change without approvers, and some answer to the conflict check."""
    httpserver.expect_request("/api/now/table/change_request").respond_with_json({"result": [ROW]})
    httpserver.expect_request("/api/now/table/sysapproval_approver").respond_with_json({"result": []})
    path = f"/api/sn_chg_rest/v1/change/{'a' * 32}/conflict"
    httpserver.expect_request(path, method="GET").respond_with_json({"result": conflict})
    return ServiceNowDesk(url=httpserver.url_for("/"), user="lockgate", password="x")


def test_conflicts_are_read_whatever_their_fields(httpserver: HTTPServer) -> None:
    """Plain text, values with display values, and an empty object all count as a conflict."""
    cell = {"value": "blackout", "display_value": "Blackout"}
    answer = {"last_run": {"value": "2026-11-21 10:00:00"}, "conflicts": [{"type": cell, "n": None}, "x", {}]}
    change = served(httpserver, answer).read("CHG0030001")

    assert change.conflicts.found == ("blackout", "x", "unnamed conflict")
    assert change.conflicts.checked_at == datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert change.opened_by == ""


@pytest.mark.parametrize("answer", [{"status": "No Conflict"}, {"conflicts": "none"}, "a text"])
def test_a_conflict_check_without_a_list_is_no_answer(httpserver: HTTPServer, answer: object) -> None:
    """Only the list says that there is no conflict."""
    with pytest.raises(Misbehaved, match="without a list of conflicts"):
        served(httpserver, answer).read("CHG0030001")


def test_an_old_conflict_check_is_run_again_before_it_is_read(httpserver: HTTPServer) -> None:
    """Old by the desk's own clock: look, run, look again; what it says then is what counts."""
    row = {**ROW, "cmdb_ci": "c" * 32, "cmdb_ci.name": "fraud-scorer", "start_date": "2026-11-21 10:00:00",
           "end_date": "2026-11-21 12:00:00"}  # fmt: skip
    httpserver.expect_ordered_request("/api/now/table/change_request").respond_with_json({"result": [row]})
    httpserver.expect_ordered_request("/api/now/table/sysapproval_approver").respond_with_json({"result": []})
    path = f"/api/sn_chg_rest/v1/change/{'a' * 32}/conflict"
    found = {"result": {"last_run": "2026-11-20 09:59:59", "conflicts": []}}
    for method, answer in (("GET", found), ("POST", {"result": "f" * 32}), ("GET", found)):
        httpserver.expect_ordered_request(path, method=method).respond_with_json(answer)
    change = ServiceNowDesk(url=httpserver.url_for("/"), user="lockgate", password="x").read("CHG0030001")

    httpserver.check_assertions()
    assert change.conflicts.checked_at == datetime(2026, 11, 20, 9, 59, 59, tzinfo=UTC)


WRITES: list[tuple[str, str, object, str, Callable[[ServiceNowDesk, ChangeRequest], object]]] = [
    ("PATCH", "/api/now/table/change_request/" + "a" * 32, {"sys_id": "f" * 32}, "another row",
     lambda desk, _: desk.note("CHG0030001", "x")),
    ("PATCH", "/api/now/table/change_request/" + "a" * 32, "moved", "makes no sense",
     lambda desk, _: desk.note("CHG0030001", "x")),
    ("PATCH", "/api/now/table/change_request/" + "a" * 32, {"sys_id": "a" * 32}, "did not move",
     lambda desk, _: desk.begin("CHG0030001")),
    ("POST", "/api/sn_chg_rest/v1/change/normal", {"number": "CHG0030001"}, "not with the correlation id",
     lambda desk, request: desk.create(replace(request, correlation_id="d" * 64))),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "answer", "said", "act"), WRITES)
def test_a_write_that_did_something_else_is_noticed(
    httpserver: HTTPServer, request_: ChangeRequest, method: str, path: str, answer: object, said: str,
    act: Callable[[ServiceNowDesk, ChangeRequest], object],
) -> None:  # fmt: skip
    """The answer of a write is compared with what was to be written."""
    query = {"sysparm_query": f"correlation_id={'d' * 64}"}
    httpserver.expect_request(path, method=method).respond_with_json({"result": answer})

    def rows(request: Request) -> Response:
        empty = request.args["sysparm_query"] == query["sysparm_query"]
        return Response(json.dumps({"result": [] if empty else [ROW]}), content_type="application/json")

    httpserver.expect_request("/api/now/table/change_request", method="GET").respond_with_handler(rows)
    with pytest.raises(Misbehaved, match=said):
        act(ServiceNowDesk(url=httpserver.url_for("/"), user="lockgate", password="x"), request_)


def test_a_redirect_is_followed_to_what_it_leads_to(httpserver: HTTPServer) -> None:
    """An expired session's redirect to a login page is an outage, not an answer."""
    moved = {"Location": httpserver.url_for("/login_page")}
    httpserver.expect_request("/api/now/table/change_request").respond_with_data(status=302, headers=moved)
    httpserver.expect_request("/login_page").respond_with_data(
        "<title>Log in</title>", content_type="text/html"
    )

    with pytest.raises(Unreachable, match="'Log in'"):
        ServiceNowDesk(url=httpserver.url_for("/"), user="lockgate", password="x").find(CONTENT)


# ------------------------------------------------------------------ the gate through it


@pytest.fixture
def judged(desk: ServiceNowDesk) -> Callable[[str], tuple[Status, str]]:
    """What the approval gate says of a change, read over the wire now."""

    def judge(number: str) -> tuple[Status, str]:
        now = datetime.now(UTC)
        question = Question(
            subject=Subject(model="fraud-scorer", environment="prod", digest="sha256:" + "1" * 64,
                            commit="2" * 40, stage="approve"),
            now=now, since=now, share_percent=50, tenant="risk", namespace="risk-prod", files={},

            service="fraud-scorer", protocol_model="fraud-scorer", stable=None, change_number=number,
            correlation_id=CONTENT,
            candidate=Arm(name="candidate", version="v2", uri="s3://m/v2", digest="sha256:" + "1" * 64),
            objectives=Objectives(latency_threshold_ms=50.0, latency_budget_percent=1.0,
                                  error_budget_percent=0.1, peak_rps=100.0),
            requested_by="dana", pull_request_author="lockgate-bot",
        )  # fmt: skip
        verdict = Approval(ApprovalSettings(service_account="lockgate"), desk=desk).judge(question)
        return verdict.status, verdict.reason

    return judge


Judge = Callable[[str], tuple[Status, str]]


def test_the_gate_follows_a_change_from_waiting_to_consent_and_back(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest, judged: Judge
) -> None:
    """Pending in both stages, then approved; approved and then the window closes is over."""
    number = desk.create(request_).number
    assert judged(number) == (Status.WAIT, "approval_pending")
    server.decide(number, "rita", "approved")
    assert judged(number) == (Status.WAIT, "approval_pending")
    server.decide(number, "rita", "approved")
    assert judged(number) == (Status.PASS, "approved")
    desk.begin(number)
    assert judged(number) == (Status.PASS, "approved")
    now = datetime.now(UTC)
    server.black_out("year end", now, now + timedelta(hours=1))
    assert judged(number) == (Status.WAIT, "conflicts_found")
    server.close_window(number)
    assert judged(number) == (Status.FAIL, "window_over")
    server.cancel(number)
    assert judged(number) == (Status.FAIL, "change_cancelled")


def test_on_hold_is_never_consent(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest, judged: Judge
) -> None:
    """Pending rows became not_required; approved and then put on hold is no consent either."""
    pending = desk.create(request_).number
    server.put_on_hold(pending)
    assert {row.state for row in desk.read(pending).approvers} == {"not_required"}
    assert judged(pending) == (Status.FAIL, "on_hold")
    desk.close(pending, code="unsuccessful", notes="held")

    approved = desk.create(request_).number
    approve(server, approved)
    server.put_on_hold(approved)
    assert judged(approved) == (Status.FAIL, "on_hold")


def test_the_gate_refuses_the_requesters_approval_even_where_the_desk_allows_it(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest, judged: Judge, policy: Policy
) -> None:
    """An instance without the rule lets Dana sign her own change; the gate does not."""
    policy.requester_may_not_approve = False
    number = desk.create(request_).number
    server.decide(number, "dana", "approved")
    server.decide(number, "rita", "approved")

    assert judged(number) == (Status.FAIL, "approver_is_requester")


def test_a_rejection_fails(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest, judged: Judge
) -> None:
    """One no is a no."""
    number = desk.create(request_).number
    server.decide(number, "rita", "rejected")

    assert judged(number) == (Status.FAIL, "rejected")


def test_a_desk_whose_clock_runs_away_cannot_vouch_for_its_conflict_check(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest, judged: Judge
) -> None:
    """A check stamped an hour ahead of us is not fresh."""
    number = desk.create(request_).number
    approve(server, number)
    server.skew = timedelta(hours=1)
    server.desk.check_conflicts(server.desk.change(number) or {})

    assert judged(number) == (Status.UNKNOWN, "conflict_check_stale")


def test_a_status_of_conflict_with_an_empty_list_does_not_block(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest, judged: Judge, policy: Policy
) -> None:
    """The list counts, not the status."""
    policy.conflict_without_list = True
    number = desk.create(request_).number
    approve(server, number)

    assert judged(number) == (Status.PASS, "approved")


# --------------------------------------------------------------------------- doctor


def test_doctor_is_content_with_a_good_desk(desk: ServiceNowDesk) -> None:
    """Reach, rights and settings are looked at, without writing."""
    findings = desk.diagnose()

    assert [(finding.what, finding.good) for finding in findings] == [
        ("reach", True), ("rights", True), ("settings", True),
    ]  # fmt: skip


def test_doctor_says_what_to_do(
    server: ChangeDeskServer, desk: ServiceNowDesk, request_: ChangeRequest
) -> None:
    """Loose queries, a sleeping instance and missing rights each come with advice."""
    desk.create(request_)
    loose = desk.diagnose()
    server.arm(page_instead("Instance Hibernating"))
    asleep = desk.diagnose()
    stranger = ServiceNowDesk(url=server.url, user="none", password="none").diagnose()

    assert [finding.good for finding in loose] == [True, True, False]
    assert "returns_no_rows=true" in loose[-1].advice
    assert (asleep[0].what, asleep[0].good, len(asleep)) == ("reach", False, 1)
    assert "in a browser" in asleep[0].advice
    assert (stranger[0].what, stranger[0].good) == ("rights", False)
    assert "role itil" in stranger[0].advice


def test_the_library_loads_late_and_without_a_warning() -> None:
    """Importing the module loads no pysnow; making a client does, quietly even under -W error."""
    code = (
        "import sys, pipelines.clients.servicenow as s; assert 'pysnow' not in sys.modules;"
        "s.ServiceNowDesk(url='https://example.invalid', user='u', password='p');"
        "assert 'pysnow' in sys.modules"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )

    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_secret_shows_nowhere(desk: ServiceNowDesk, server: ChangeDeskServer) -> None:
    """Neither a representation nor an error holds the password."""
    with pytest.raises(AccessDenied) as caught:
        ServiceNowDesk(url=server.url, user="lockgate", password="s3cret!").find(CONTENT)

    assert "s3cret!" not in repr(desk) + str(caught.value) + json.dumps(repr(caught.value.__cause__))
