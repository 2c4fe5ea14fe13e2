"""The fail-closed list: each line rejects a planted bad change for its own named reason.

Covered: every row of the table in the gate's docstring, which row wins when several object, evidence.
Left to tests/pipelines/clients/test_servicenow.py: how a change is read from a desk.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.approval import Approval, ApprovalSettings, Approver, Change, Conflicts
from gates.contract import Arm, Gate, Objectives, Question, Status, Subject, Verdict

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
CONTENT = "c0ffee" + "0" * 58
HOUR = timedelta(hours=1)


def row(name: str = "rita", state: str = "approved") -> Approver:
    return Approver(name=name, state=state, at=NOW - HOUR)


GOOD = Change(
    number="CHG0030001",
    sys_id="0" * 32,
    url="https://desk.example/CHG0030001",
    type="normal",
    state=-2,
    state_name="Scheduled",
    approval="approved",
    on_hold=False,
    active=True,
    requested_by="dana",
    opened_by="lockgate",
    configuration_item="fraud-scorer",
    correlation_id=CONTENT,
    start=NOW - HOUR,
    end=NOW + HOUR,
    approvers=(row(), row("carl", "not_required"), row("olga")),
    conflicts=Conflicts(checked_at=NOW - timedelta(seconds=30), found=()),
)

QUESTION = Question(
    subject=Subject(
        model="fraud-scorer",
        environment="prod",
        digest="sha256:" + "1" * 64,
        commit="2" * 40,
        stage="approve",
    ),
    now=NOW,
    since=NOW - HOUR,
    share_percent=50,
    tenant="risk",
    namespace="risk-prod",
    service="fraud-scorer",
    protocol_model="fraud-scorer",
    candidate=Arm(name="candidate", version="v2", uri="s3://models/v2", digest="sha256:" + "1" * 64),
    stable=None,
    objectives=Objectives(
        latency_threshold_ms=50.0, latency_budget_percent=1.0, error_budget_percent=0.1, peak_rps=100.0
    ),
    files={},
    change_number="CHG0030001",
    correlation_id=CONTENT,
    requested_by="dana",
    pull_request_author="lockgate-bot",
)
SETTINGS = ApprovalSettings(service_account="lockgate")


@dataclass
class OneChange:
    """A desk with one change in it."""

    change: Change

    def read(self, number: str) -> Change:
        return self.change


def judge(change: Change, question: Question = QUESTION, settings: ApprovalSettings = SETTINGS) -> Verdict:
    return Approval(settings, desk=OneChange(change)).judge(question)


def reasons(verdict: Verdict) -> list[str]:
    objections = verdict.evidence.facts["objections"]
    assert isinstance(objections, list)
    return [one["reason"] for one in objections]


def test_everything_in_order_passes() -> None:
    """An approved change for this content, in its window, checked for conflicts, is consent."""
    verdict = judge(GOOD)

    assert verdict.status is Status.PASS
    assert verdict.reason == "approved"
    assert "CHG0030001 is approved by rita, olga" in verdict.sentence
    assert verdict.evidence.facts["objections"] == []
    assert isinstance(Approval(SETTINGS, desk=OneChange(GOOD)), Gate)


PENDING = {"state": -4, "state_name": "Assess", "approval": "requested"}
ASKED = (row("rita", "requested"),)
OURS = row("lockgate", "requested")
UNASKED = {"state": -5, "state_name": "New", "approvers": ()}
NOT_NEEDED = (row("rita", "not_required"),)


def checked(at: datetime | None, *found: str) -> dict[str, object]:
    return {"conflicts": Conflicts(checked_at=at, found=found)}


LINES: list[tuple[str, Status, dict[str, object], str]] = [
    ("wrong_change", Status.FAIL, {"number": "CHG0030002"}, "CHG0030002 when asked for CHG0030001"),
    ("wrong_type", Status.FAIL, {"type": "emergency"}, "'emergency'; this tier accepts normal"),
    ("change_cancelled", Status.FAIL, {"state": 4, "state_name": "Canceled"}, "was cancelled"),
    ("change_closed", Status.FAIL, {"state": 3, "state_name": "Closed"}, "is closed"),
    ("change_closed", Status.FAIL, {"active": False}, "is closed"),
    ("change_in_review", Status.FAIL, {"state": 0, "state_name": "Review"}, "carried out already"),
    ("not_scheduled", Status.WAIT, {"state": -3, "state_name": "Authorize"}, "in state -2 or -1"),
    ("not_scheduled", Status.WAIT, {"state": 17, "state_name": "Own state"}, "approved but in Own state"),
    ("on_hold", Status.FAIL, {"on_hold": True}, "is on hold"),
    ("rejected", Status.FAIL, {"approval": "rejected", "approvers": (row("rita", "rejected"),)}, "by rita"),
    ("rejected", Status.FAIL, {"approval": "rejected", "approvers": ()}, "was rejected."),
    ("approval_cancelled", Status.FAIL, {"approval": "cancelled"}, "nobody can give it"),
    ("approval_not_required", Status.FAIL, {"approval": "No Longer Required"}, "not consent"),
    ("approval_not_required", Status.FAIL, {"approval": "not_required"}, "not consent"),
    ("approval_pending", Status.WAIT, {**PENDING, "approvers": ASKED}, "asked: rita"),
    ("approval_pending", Status.WAIT, {**PENDING, "approvers": (row(), *ASKED)}, "not approved"),
    ("approval_pending", Status.WAIT, {**UNASKED, "approval": "not requested"}, "nobody has"),
    ("approval_pending", Status.WAIT, {**UNASKED, "approval": ""}, "nobody has been asked"),
    ("approval_unreadable", Status.UNKNOWN, {"approval": "duplicate"}, "'duplicate'"),
    ("rejected_by_approver", Status.FAIL, {"approvers": (row(), row("olga", "rejected"))}, "olga rejected"),
    ("not_required_only", Status.FAIL, {"approvers": NOT_NEEDED}, "1 became not required"),
    ("not_required_only", Status.FAIL, {**PENDING, "approvers": NOT_NEEDED}, "not consent"),
    ("no_approver", Status.FAIL, {"approvers": ()}, "no approver's row does"),
    ("no_approver", Status.FAIL, {"approvers": ASKED}, "no approver's row does"),
    ("approver_unnamed", Status.FAIL, {"approvers": (row(" "),)}, "names nobody"),
    ("approver_is_requester", Status.FAIL, {"approvers": (row("Dana "),)}, "Dana  approved"),
    ("approver_is_requester", Status.FAIL, {"requested_by": "rita"}, "also requested it"),
    ("approver_is_author", Status.FAIL, {"approvers": (row("Lockgate-Bot"),)}, "wrote the pull request"),
    ("approver_is_opener", Status.FAIL, {"opened_by": "RITA"}, "opened the change"),
    ("approver_is_service_account", Status.FAIL, {"approvers": (row(), OURS)}, "right away"),
    ("window_missing", Status.FAIL, {"start": None, "end": None}, "neither a planned start nor"),
    ("window_impossible", Status.FAIL, {"start": NOW + HOUR, "end": NOW + HOUR}, "before it starts"),
    ("window_over", Status.FAIL, {"end": NOW}, "ended at 2026-11-21 10:00:00 UTC"),
    ("window_over", Status.FAIL, {"start": None, "end": NOW - HOUR}, "ended at 2026-11-21 09:00:00 UTC"),
    ("window_over", Status.FAIL, {**PENDING, "approvers": ASKED, "end": NOW - HOUR / 2}, "ended at"),
    ("window_not_open", Status.WAIT, {"start": NOW + HOUR / 2}, "opens at 2026-11-21 10:30:00 UTC"),
    ("window_not_open", Status.WAIT, {"start": NOW + HOUR, "end": None}, "opens at"),
    ("wrong_configuration_item", Status.FAIL, {"configuration_item": "payments"}, "for payments, not for"),
    ("wrong_configuration_item", Status.FAIL, {"configuration_item": ""}, "no configuration item"),
    ("content_changed", Status.FAIL, {"correlation_id": "d" * 64}, "covers content dddddddddddd, but c0ffee"),
    ("content_changed", Status.FAIL, {"correlation_id": ""}, "covers content unnamed"),
    ("conflicts_found", Status.WAIT, checked(NOW, "blackout"), "1 conflict "),
    ("conflicts_found", Status.WAIT, checked(NOW, "a", "b"), "a; b"),
    ("conflict_check_missing", Status.UNKNOWN, checked(None), "never"),
    ("conflict_check_stale", Status.UNKNOWN, checked(NOW - HOUR), "900 s"),
    ("conflict_check_stale", Status.UNKNOWN, checked(NOW + HOUR), "900 s"),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "status", "planted", "said"), LINES)
def test_one_line_that_does_not_hold_stops_it_by_name(
    reason: str, status: Status, planted: dict[str, object], said: str
) -> None:
    """A change good but for one line gets that line's status and reason, and a sentence with values."""
    verdict = judge(replace(GOOD, **planted))  # type: ignore[arg-type]

    assert (reason, status) == (verdict.reason, verdict.status)
    assert said in verdict.sentence


def test_every_row_of_the_documented_table_is_planted_and_every_reason_is_documented() -> None:
    """The table in the docstring, the code and these tests name the same reasons."""
    documented = set(re.findall(r"(?:FAIL|WAIT|UNKNOWN) +([a-z_]+)$", Approval.__doc__ or "", re.MULTILINE))
    elsewhere = {"no_change", "requester_unknown", "author_unknown"}

    assert documented == {reason for reason, *_ in LINES} | elsewhere


def test_the_age_of_the_conflict_check_counts_only_when_all_else_holds() -> None:
    """While people are still asked, an old conflict check is not an outage that burns their time."""
    old = Conflicts(checked_at=None, found=())

    assert judge(replace(GOOD, **PENDING, approvers=ASKED, conflicts=old)).reason == "approval_pending"  # type: ignore[arg-type]
    assert judge(replace(GOOD, start=NOW + HOUR / 2, conflicts=old)).reason == "window_not_open"


def test_the_worst_line_names_the_reason_and_the_others_are_kept() -> None:
    """A waiting change whose content moved on fails; both lines are in the evidence and counted."""
    verdict = judge(replace(GOOD, **PENDING, approvers=ASKED, correlation_id="d" * 64))  # type: ignore[arg-type]

    assert verdict.status is Status.FAIL
    assert verdict.reason == "content_changed"
    assert verdict.sentence.endswith("1 more line does not hold either.")
    assert reasons(verdict) == ["approval_pending", "content_changed"]
    assert judge(replace(GOOD, on_hold=True, state=4, approvers=())).sentence.endswith(
        "2 more lines do not hold either."
    )


def test_a_window_may_lack_one_end() -> None:
    """With a start alone it never closes; with an end alone it is open until then."""
    assert judge(replace(GOOD, end=None)).status is Status.PASS
    assert judge(replace(GOOD, start=None)).status is Status.PASS


def test_waiting_for_the_window_says_how_long() -> None:
    """The gate need not be asked again before the window opens."""
    assert judge(replace(GOOD, start=NOW + HOUR / 2)).retry_after_seconds == 1800.0
    assert judge(GOOD).retry_after_seconds is None


def test_an_early_start_may_be_allowed_but_never_a_late_one() -> None:
    """allow_early_start opens the window's beginning and nothing else."""
    early = replace(SETTINGS, allow_early_start=True)

    assert judge(replace(GOOD, start=NOW + HOUR / 2), settings=early).status is Status.PASS
    assert judge(replace(GOOD, end=NOW - HOUR / 2), settings=early).reason == "window_over"


def test_times_of_other_zones_are_the_same_instants() -> None:
    """A window given in another zone is compared and told in UTC."""
    tokyo = datetime.fromisoformat("2026-11-21T19:30:00+09:00")

    assert "opens at 2026-11-21 10:30:00 UTC" in judge(replace(GOOD, start=tokyo)).sentence


def test_one_person_with_two_accounts_is_one_person() -> None:
    """A desk account and a forge login can be told to be the same person's."""
    settings = replace(
        SETTINGS, same_person=(("olga", "Someone"), ("rita", "Rita-Risk", "r.risk@bank.example"))
    )
    wrote_it = replace(QUESTION, pull_request_author="rita-risk")

    assert judge(GOOD, wrote_it).status is Status.PASS
    assert judge(GOOD, wrote_it, settings).reason == "approver_is_author"
    assert (
        judge(GOOD, replace(QUESTION, requested_by="R.Risk@bank.example"), settings).reason
        == "approver_is_requester"
    )


def test_unknown_people_cannot_be_told_apart() -> None:
    """Without a requester there is no separation of duties; without an author nobody can tell."""
    nobody = replace(QUESTION, requested_by="")

    assert judge(GOOD, nobody).status is Status.PASS
    assert judge(replace(GOOD, requested_by=" "), nobody).reason == "requester_unknown"
    assert judge(replace(GOOD, requested_by=" "), nobody).status is Status.FAIL
    assert judge(GOOD, replace(QUESTION, pull_request_author="")).reason == "author_unknown"
    assert judge(GOOD, replace(QUESTION, pull_request_author="")).status is Status.UNKNOWN


def test_a_preapproved_template_counts_only_where_the_tier_says_so() -> None:
    """A standard change has no approver; that is consent only if the policy names the type."""
    standard = replace(GOOD, type="standard", approvers=())
    named = replace(SETTINGS, types=("standard",))

    assert judge(standard, settings=named).reason == "no_approver"
    verdict = judge(standard, settings=replace(named, preapproved_types=("standard",)))
    assert verdict.status is Status.PASS
    assert "approved by its template's approval" in verdict.sentence


def test_states_of_a_change_model_can_be_named() -> None:
    """Change models define their own states; an instance that implements in Implement alone is stricter."""
    assert judge(GOOD, settings=replace(SETTINGS, implement_states=(-1,))).reason == "not_scheduled"
    assert (
        judge(replace(GOOD, state=0), settings=replace(SETTINGS, implement_states=(0,))).status is Status.PASS
    )


def test_the_configuration_item_is_the_models_or_the_services() -> None:
    """The question names the item; without one the service's own name must be on the change."""
    named = replace(QUESTION, configuration_item="Fraud scorer (prod)")

    assert judge(GOOD, named).reason == "wrong_configuration_item"
    assert judge(replace(GOOD, configuration_item="fraud scorer (PROD)"), named).status is Status.PASS
    assert judge(replace(GOOD, configuration_item=""), replace(QUESTION, service="")).status is Status.FAIL


def test_nothing_promoted_is_covered_by_nothing() -> None:
    """An empty correlation id on both sides is not a match; no change number is not an approval."""
    empty = judge(replace(GOOD, correlation_id=""), replace(QUESTION, correlation_id=""))
    unnamed = judge(GOOD, replace(QUESTION, change_number=""))

    assert (empty.status, empty.reason) == (Status.FAIL, "content_changed")
    assert (unnamed.status, unnamed.reason) == (Status.UNKNOWN, "no_change")


def test_an_outage_of_the_desk_is_neither_yes_nor_no() -> None:
    """What the desk's reader raises passes through; whoever runs the gate records UNKNOWN."""

    class Down:
        def read(self, number: str) -> Change:
            raise ConnectionError("desk is down")

    with pytest.raises(ConnectionError, match="desk is down"):
        Approval(SETTINGS, desk=Down()).judge(QUESTION)


def test_evidence_is_plain_data_that_names_everybody() -> None:
    """The journal keeps who answered what and when, the window and the digest of the content."""
    facts = judge(GOOD).evidence.facts

    assert facts["approvers"][0] == {
        "approver": "rita",
        "state": "approved",
        "at": "2026-11-21T09:00:00+00:00",
    }  # type: ignore[index]
    assert (facts["correlation_id"], facts["start"]) == (CONTENT, "2026-11-21T09:00:00+00:00")
    bare = judge(
        replace(GOOD, start=None, end=None, approvers=(Approver(name="x", state="requested", at=None),))
    )
    assert bare.evidence.facts["end"] is None


SPOILERS: list[Callable[[Change], Change]] = [
    lambda change, planted=planted: replace(change, **planted)  # type: ignore[misc]
    for _, _, planted, _ in LINES
]


@given(st.lists(st.sampled_from(SPOILERS), min_size=1, max_size=4))
def test_no_mixture_of_bad_lines_ever_passes(spoilers: list[Callable[[Change], Change]]) -> None:
    """However lines are broken together, one broken last is never consent."""
    change = GOOD
    for spoil in spoilers:
        change = spoil(change)

    assert judge(change).status is not Status.PASS
