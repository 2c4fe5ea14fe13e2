"""Nothing reaches 100 % without a change that is approved, now, for exactly this content.

Aspects: every way in which people or the desk can say no or be silent. Left out: the desk away
(test_desk_away), each line of the
gate's list (tests/gates/test_approval), the page itself (tests/pipelines/rehearsal/test_desk).

Most stories climb from 0 to 100 % in one step, so that the approval is asked for early.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipelines.journal.events import ShareCommitted
from pipelines.journal.state import State
from tests.stories.changes import ASKED, ask, change_of, not_at_100, number
from tests.stories.telling import Story, before
from tests.stories.town import MANIFESTS, Town

pytestmark = pytest.mark.slow


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
