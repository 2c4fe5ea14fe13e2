"""The change desk is away: that is never a yes, and never keeps a candidate from going back to 0.

Aspects: away when the approval is asked for, for a while and for good; away during the rollback, for a while
and for good. Left out: the ways in which the desk's answers can be broken (test_servicenow).
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipelines.journal.events import ChangeClosed, ChangeOpened
from pipelines.journal.state import State
from pipelines.rehearsal.desk import page_instead
from pipelines.rehearsal.server import Fault
from tests.stories.changes import ASKED, ask, change_of, not_at_100, number
from tests.stories.telling import Story, at_zero, before, goes_back, seen_at_zero, waits

pytestmark = pytest.mark.slow

CLOSED, CANCELED = "3", "4"


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
        written = town.on_main()
        assert written is not None
        seen.append((written.share_percent, set(town.answering())))
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

    def wait(state: State) -> None:
        told.clock.ahead = timedelta(minutes=16)

    told.when(seen_at_zero, wait)
    try:
        state = not_at_100(story, told, left=1)
    finally:
        town.desk.faults.clear()
    assert state.ended is not None
    assert "close the change request" in state.ended.left_undone[0]
    assert told.events(ChangeClosed) == []
    town.desk.cancel(number(state))
