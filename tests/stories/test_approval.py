"""Nothing reaches 100 % without a change that is approved, now, for exactly this content.

Aspects: every way in which people or the desk can say no, be silent or be away. Left out: each line of the
gate's list (tests/gates/test_approval), the page itself (tests/pipelines/rehearsal/test_desk).

Most stories climb from 0 to 100 % in one step, so that the approval is asked for early.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from pipelines.journal.events import ChangeClosed, ChangeOpened, ShareCommitted
from pipelines.journal.state import State
from pipelines.rehearsal.desk import page_instead
from pipelines.rehearsal.server import Fault
from tests.stories.telling import Story, Told, at_zero, before, goes_back, seen_at_zero, waits
from tests.stories.town import MANIFESTS, Town

pytestmark = pytest.mark.slow

CLOSED, CANCELED = "3", "4"
ASKED = waits("approval_pending")


def ask(story: Story, **rules: object) -> Told:
    """A promotion that needs an approval before its only share."""
    story.town.write_rules(**{"approval": {}, "shares": [100], **rules})
    return story.promote(story.town.version())


def not_at_100(story: Story, told: Told, *, outcome: str = "rolled_back", left: int = 0) -> State:
    """The promotion ends without ever having been at 100 %; the one change is closed as unsuccessful."""
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == outcome
    assert len(state.ended.left_undone) == left, state.ended.left_undone
    assert 100 not in [event.share_percent for event in told.events(ShareCommitted)]
    assert len(told.events(ChangeOpened)) == 1
    story.holds()
    return state


def change_of(town: Town, state: State) -> dict[str, str]:
    """The promotion's change as the desk has it."""
    (change,) = [row for row in town.desk.changes() if state.change and row["number"] == state.change.number]
    return change


def number(state: State) -> str:
    """The promotion's change."""
    assert state.change is not None
    return state.change.number


def later(told: Told, *, minutes: float) -> None:
    """The clock is put ahead."""
    told.clock.ahead += timedelta(minutes=minutes)


def test_a_rejected_change_brings_the_candidate_back_from_50(story: Story) -> None:
    """The risk owner signs "no" on the page while half of the requests reach the candidate."""
    town = story.town
    told = ask(story, shares=[50, 100])
    told.when(ASKED, lambda state: town.sign("rita", number(state), "rejected", "no fairness report"))
    state = not_at_100(story, told)
    assert state.rollback is not None
    assert state.rollback.code == "rejected"
    assert [event.share_percent for event in told.events(ShareCommitted)] == [0, 50, 0]
    assert change_of(town, state)["active"] == "false"


@pytest.mark.parametrize(
    ("reason", "act"),
    [
        pytest.param("window_over", lambda town, number: town.desk.close_window(number), id="window over"),
        pytest.param("on_hold", lambda town, number: town.desk.put_on_hold(number), id="on hold"),
        pytest.param("change_cancelled", lambda town, number: town.desk.cancel(number), id="cancelled"),
    ],
)
def test_a_change_that_is_no_longer_good_is_no_approval(
    story: Story, reason: str, act: Callable[[Town, str], None]
) -> None:
    """Approved, but in the same minute as the commit to 100 its window is over, it is held, or cancelled."""
    town = story.town
    told = ask(story)
    told.when(ASKED, lambda state: town.approve(number(state)))
    told.when(before("shift-100"), lambda state: act(town, number(state)))
    state = not_at_100(story, told)
    assert state.rollback is not None
    assert state.rollback.code == reason
    assert "approve" in state.done, "it was approved before it was not any more"


def test_the_requester_cannot_approve_even_where_the_desk_lets_them(story: Story) -> None:
    """The desk's own rule is switched off; the gate's is not."""
    town = story.town
    town.desk.policy.requester_may_not_approve = False
    town.write_rules(approval={}, shares=[100])
    told = story.promote(town.version(), by="rita")
    told.when(ASKED, lambda state: town.approve(number(state)))
    try:
        state = not_at_100(story, told)
    finally:
        town.desk.policy.requester_may_not_approve = True
    assert state.rollback is not None
    assert state.rollback.code == "approver_is_requester"


def test_the_desk_itself_refuses_the_requester(story: Story) -> None:
    """With the desk's rule on, the page says why nothing was signed; another owner's signature is needed."""
    town = story.town
    town.write_rules(approval={}, shares=[100])
    told = story.promote(town.version(), by="rita")
    seen = []
    told.when(ASKED, lambda state: seen.append(_refused_on_page(town, number(state))))
    told.when(ASKED, lambda state: town.desk.cancel(number(state)))
    not_at_100(story, told)
    assert seen == ["Requester may not approve"]


def _refused_on_page(town: Town, number: str) -> str:
    with pytest.raises(AssertionError, match="Nothing was signed") as refusal:
        town.sign("rita", number, "approved")
    return "Requester may not approve" if "Requester may not approve" in str(refusal.value) else ""


def test_a_change_that_was_given_to_other_content_is_void(story: Story) -> None:
    """After the approval its correlation id at the desk is another one: it covers something else."""
    town = story.town
    told = ask(story)
    told.when(ASKED, lambda state: town.approve(number(state)))

    def give_away(state: State) -> None:
        row = town.desk.desk.change(number(state))
        assert row is not None
        town.desk.desk.update("lockgate", row, {"correlation_id": "f" * 64})

    told.when(before("shift-100"), give_away)
    state = not_at_100(story, told)
    assert state.rollback is not None
    assert state.rollback.code == "content_changed"


def test_manifests_that_somebody_edits_after_the_approval_are_not_overruled(story: Story) -> None:
    """A memory limit raised by hand on main is not what was signed: back to 0, naming the file."""
    town = story.town
    told = ask(story)
    told.when(ASKED, lambda state: town.approve(number(state)))
    path = f"{MANIFESTS}/inferenceservice.yaml"

    def edit(state: State) -> None:
        text = town.git("dana").read(path, "main")
        assert text is not None
        assert "512Mi" in text
        town.push("dana", "main", {path: text.replace("512Mi", "513Mi")})

    told.when(before("shift-100"), edit)
    state = not_at_100(story, told)
    assert state.rollback is not None
    assert state.rollback.code == "main_changed"
    assert path in state.rollback.sentence


def test_nobody_answers_in_time(story: Story) -> None:
    """People have as long as the tier says; then the candidate goes back and the change is closed."""
    told = ask(story, approval={"wait_at_most": "3s"})
    state = not_at_100(story, told)
    assert state.rollback is not None
    assert state.rollback.code == "deadline_passed"
    assert "rita" in state.rollback.sentence


def test_a_desk_that_is_away_holds_and_then_the_promotion_goes_on(story: Story) -> None:
    """A maintenance page is no answer: nothing passes meanwhile, one change is opened, 100 % is reached."""
    town = story.town
    told = ask(story)
    away = [page_instead("Scheduled maintenance", method, times=1000) for method in ("GET", "POST", "PATCH")]

    def leave(state: State) -> None:
        for fault in away:
            town.desk.arm(fault)

    told.when(before("approve"), leave)
    told.when(waits("source_unreachable", "approve"), lambda state: town.desk.faults.clear())
    told.when(ASKED, lambda state: town.approve(number(state)))
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "promoted"
    assert len(town.desk.changes()) >= 1
    assert len(told.events(ChangeOpened)) == 1
    story.holds()


def test_a_desk_that_stays_away_is_never_a_yes(story: Story) -> None:
    """Approved, then gone for good: the second look finds nobody, and the budget brings it back to 0."""
    town = story.town
    told = ask(story, hold_budget="3s")
    told.when(ASKED, lambda state: town.approve(number(state)))
    gone = Fault("GET", "^/api/", status=503, body="", times=10_000)
    told.when(before("shift-100"), lambda state: town.desk.arm(gone))
    told.when(at_zero, lambda state: town.desk.faults.clear())
    state = not_at_100(story, told)
    assert state.rollback is not None
    assert state.rollback.code == "hold_budget_spent"
    assert change_of(town, state)["state"] in (CLOSED, CANCELED)


def test_a_rollback_does_not_need_the_desk(story: Story) -> None:
    """While the desk is down the candidate is at 0 already; its change is closed when the desk is back."""
    town = story.town
    told = ask(story, shares=[50, 100])
    down = Fault("GET", "^/api/", status=503, body="", times=10_000)

    def reject_and_leave(state: State) -> None:
        town.sign("rita", number(state), "rejected")

    told.when(ASKED, reject_and_leave)
    told.when(goes_back, lambda state: town.desk.arm(down))
    seen = []

    def look(state: State) -> None:
        seen.append((town.on_main().share_percent if town.on_main() else None, set(town.answering())))
        town.desk.faults.clear()

    told.when(at_zero, look)
    served = town.on_main()
    state = not_at_100(story, told)
    assert served is not None
    assert served.stable is not None
    assert seen == [(0, {served.stable.label})]
    assert change_of(town, state)["state"] in (CLOSED, CANCELED)
    assert len(told.events(ChangeClosed)) == 1


def test_a_change_that_cannot_be_closed_is_left_to_people_and_named(story: Story) -> None:
    """A quarter of an hour after the candidate is at 0 the promotion ends and says what it leaves undone."""
    town = story.town
    told = ask(story)
    told.when(ASKED, lambda state: town.sign("rita", number(state), "rejected"))
    down = Fault("GET", "^/api/", status=503, body="", times=10_000)
    told.when(goes_back, lambda state: town.desk.arm(down))
    told.when(seen_at_zero, lambda state: later(told, minutes=16))
    try:
        state = not_at_100(story, told, left=1)
    finally:
        town.desk.faults.clear()
    assert state.ended is not None
    assert "close the change request" in state.ended.left_undone[0]
    assert told.events(ChangeClosed) == []
    town.desk.cancel(number(state))
