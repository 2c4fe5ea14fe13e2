"""A version that goes wrong under live requests goes back to 0, by commit.

Aspects: both objectives of the SLO gate, a split that is not the one asked for, servers that do not come up
or die. Left out: metrics that are missing (test_outages), how counts are judged (tests/gates).
"""

from __future__ import annotations

import pytest

from pipelines.decide import Move
from pipelines.journal.events import ShareCommitted
from pipelines.journal.state import State
from pipelines.rehearsal.training import Faults
from tests.stories.telling import Story, Told, before

pytestmark = pytest.mark.slow


def goes_back(story: Story, told: Told, *reasons: str, shares: list[int]) -> State:
    """The promotion is rolled back for one of these reasons after these shares; who served before serves."""
    served = story.town.on_main()
    assert served is not None
    state = told.drive()
    assert state.ended is not None
    assert (state.ended.outcome, state.ended.left_undone) == ("rolled_back", ()), told.story()
    assert state.rollback is not None
    assert state.rollback.code in reasons, told.story()
    assert [event.share_percent for event in told.events(ShareCommitted)] == [*shares, 0]

    trailers = {"Lockgate-Promotion": told.promotion, "Lockgate-Share": "0"}
    back = story.town.git("oscar").find("main", trailers)
    assert back is not None
    assert back.sha == state.zero_commit
    assert back.trailers["Lockgate-Stage"] == ("roll_back" if shares[-1] else "merge")
    now = story.town.on_main()
    assert now is not None
    assert (now.stable, now.candidate, now.share_percent) == (served.stable, told.candidate, 0)
    assert set(story.town.answering()) == {served.stable.label if served.stable else ""}
    return state


def test_errors_bring_the_candidate_back_to_0(story: Story) -> None:
    """A fifth of its answers are errors: shown to be over the budget after a few dozen requests."""
    told = story.promote(story.town.version(Faults(error_percent=20.0)))
    state = goes_back(story, told, "objective_missed", shares=[0, 50])
    assert state.rollback is not None
    assert "failed" in state.rollback.sentence
    story.holds(erring=True)


def test_a_slow_tail_brings_the_candidate_back_to_0(story: Story) -> None:
    """A fifth of its answers are late: no answer is wrong, and still it goes."""
    told = story.promote(story.town.version(Faults(slow_percent=20.0, slow_ms=800.0)))
    state = goes_back(story, told, "objective_missed", shares=[0, 50])
    assert state.rollback is not None
    assert "slow" in state.rollback.sentence
    story.holds()


def test_slow_for_some_rows_alone_is_caught_as_well(story: Story) -> None:
    """What the golden set has no example of shows itself under live requests: cards with many payments."""
    busy = Faults(slow_ms=800.0, slow_feature="payments_24h", slow_above=30.0)
    told = story.promote(story.town.version(busy, like="v3"))
    goes_back(story, told, "objective_missed", shares=[0, 50])
    story.holds()


def test_a_split_that_is_not_the_one_asked_for_holds_and_then_goes_back(story: Story) -> None:
    """Somebody turns the weights at the router: nobody's fault that can be judged, so the budget decides."""
    town = story.town
    watched = {"minimum": "12s", "maximum": "40s", "look_every": "1s", "warm_up": "0s"}
    town.write_rules(hold_budget="4s", bake=watched)
    told = story.promote(town.version())
    told.when(before("bake-50"), lambda state: town.turn(5))
    goes_back(story, told, "hold_budget_spent", shares=[0, 50])
    assert told.held("share_not_observed")
    story.holds()


def test_a_share_that_never_shows_in_the_metrics_is_not_in_force(story: Story) -> None:
    """Committed, synced and claimed by the serving layer, but requests go elsewhere: no watch begins."""
    town = story.town
    town.write_rules(hold_budget="4s")
    told = story.promote(town.version())
    assert town.traffic is not None

    def turn_before_anybody_calls(state: State) -> None:
        town.turn(5)
        town.traffic.resume()

    told.when(before("shift-50"), lambda state: town.traffic.pause())
    told.when(_served_and_not_seen, turn_before_anybody_calls)
    state = goes_back(story, told, "hold_budget_spent", shares=[0, 50])
    assert told.held("share_not_observed")
    assert 50 not in state.seen
    story.holds()


def _served_and_not_seen(state: State, move: Move) -> bool:
    return 50 in state.served and move.kind == "hold"


def test_a_candidate_that_never_comes_up_gets_no_share(story: Story) -> None:
    """Merged without a preview, its server never says that it is ready: back at 0 % with nothing served."""
    story.town.write_rules(sync_at_most="4s")
    told = story.promote(story.town.version(Faults(never_ready=True)))
    goes_back(story, told, "deadline_passed", shares=[0])
    assert told.held("not_ready")
    story.holds()


def test_a_candidate_that_dies_under_load_goes_back(story: Story) -> None:
    """Its process ends at the twentieth request, before it could be judged, is started again, and ends again.

    Whichever is seen first, the dead server or the errors of those who called it, is reason enough.
    """
    told = story.promote(story.town.version(Faults(crash_after=20)))
    goes_back(story, told, "candidate_failed", "objective_missed", shares=[0, 50])
    story.holds(erring=True)
