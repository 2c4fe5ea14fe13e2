"""People stop, resume, end and take back promotions; what main says about freezes is obeyed.

Aspects: each word a person can say about a promotion, at the moment where it matters. Left out: the commands
that say it (tests/pipelines/cli).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.decide import Move
from pipelines.journal.events import (
    AbortAsked,
    FreezeBegan,
    FreezeEnded,
    Held,
    Resumed,
    RollbackBegan,
    ShareCommitted,
)
from pipelines.journal.state import State
from tests.stories.telling import Moment, Story, Told, before, waits

pytestmark = pytest.mark.slow


def shares(told: Told) -> list[int]:
    """The shares committed, in order."""
    return [event.share_percent for event in told.events(ShareCommitted)]


def promoted(told: Told) -> State:
    """The promotion goes on to 100 %."""
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "promoted", told.story()
    assert shares(told) == [0, 50, 100]
    return state


def test_a_freeze_on_main_stops_the_rise_until_it_is_lifted(story: Story) -> None:
    """The platform team freezes production mid-way: 50 % is kept and watched on, then 100 % follows."""
    town = story.town
    told = story.promote(town.version())
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    freeze = {"reason": "year-end closing", "from": yesterday, "environments": ["prod"]}
    told.when(before("bake-50"), lambda state: town.write_rules(freezes=[freeze]))
    told.when(_watched_while_frozen(told), lambda state: town.write_rules())
    promoted(told)
    assert "year-end closing" in told.held("frozen")[0].sentence
    (began,), (ended,) = told.events(FreezeBegan), told.events(FreezeEnded)
    assert "year-end closing" in began.sentence
    assert began.stage == ended.stage
    story.holds()


def _watched_while_frozen(told: Told) -> Moment:
    """The live share was looked at again while nothing may rise."""

    def moment(state: State, move: Move) -> bool:
        return bool(told.held("frozen")) and move.reason in ("watch", "unproven") and move.stage == "bake-50"

    return moment


def test_a_platform_file_that_cannot_be_read_is_as_good_as_a_freeze(story: Story) -> None:
    """Somebody breaks platform.yaml on main with many mistakes: nothing rises before it is mended."""
    town = story.town
    told = story.promote(town.version())
    broken = {
        "platform.yaml": "tiers: [1, 2]\nsystems: no\n" + "\n".join(f"wrong{n}: {n}" for n in range(30))
    }
    told.when(before("bake-50"), lambda state: town.push("oscar", "main", broken))
    told.when(waits("frozen"), lambda state: town.write_rules())
    promoted(told)
    assert "platform.yaml on main cannot be read" in told.held("frozen")[0].sentence
    story.holds()


def test_a_person_holds_and_resumes(story: Story) -> None:
    """The on-call engineer says wait at 50 %: it stays there until they say go on."""
    told = story.promote(story.town.version())
    told.when(
        before("bake-50"), lambda state: told.says("oscar", Held(person="oscar", reason="a look first"))
    )
    told.when(waits("held"), lambda state: told.says("oscar", Resumed(person="oscar", stage="")))
    promoted(told)
    assert "oscar" in told.held("held")[0].sentence
    assert "a look first" in told.held("held")[0].sentence
    story.holds()


def test_a_person_ends_it_at_50(story: Story) -> None:
    """Whatever the gates say: the candidate goes back to 0, and the journal keeps who said so and why."""
    told = story.promote(story.town.version())
    word = AbortAsked(person="oscar", reason="payments team asks for it")
    told.when(before("bake-50"), lambda state: told.says("oscar", word))
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "aborted"
    assert shares(told) == [0, 50, 0]
    assert "oscar ended it: payments team asks for it" in state.ended.sentence
    (line,) = [line for line in told.lines if line.event == word]
    assert line.by == "person:oscar"
    story.holds()


def test_a_person_ends_it_while_it_is_being_proposed(story: Story) -> None:
    """The pull request that is being opened at that moment is closed again; main never hears of it."""
    town = story.town
    told = story.promote(town.version())
    word = AbortAsked(person="dana", reason="wrong version")
    told.when(before("propose"), lambda state: told.says("dana", word))
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "aborted"
    assert shares(told) == []
    (pull,) = town.pulls_of(told.promotion)
    assert (pull["state"], pull["merged_at"]) == ("closed", None)
    story.holds()


def test_a_held_promotion_still_goes_back_when_it_is_ended(story: Story) -> None:
    """A hold stops what rises, nothing else."""
    told = story.promote(story.town.version())
    told.when(before("shift-50"), lambda state: told.says("oscar", Held(person="oscar", reason="wait")))
    end = AbortAsked(person="rita", reason="not this one")
    told.when(waits("held"), lambda state: told.says("rita", end))
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "aborted"
    story.holds()


def test_a_promotion_that_ended_well_is_taken_back_by_commit(story: Story) -> None:
    """Days later a person takes it back: the version before serves again, and main says so."""
    town = story.town
    town.write_rules(shares=[100])
    served = town.on_main()
    assert served is not None
    assert served.stable is not None
    told = story.promote(town.version())
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "promoted"
    assert set(town.answering()) == {told.candidate.label}

    told.says("oscar", RollbackBegan(code="taken_back", sentence="oscar took it back: complaints"))
    state = told.drive("engine:two")
    assert state.ended is not None
    assert state.ended.outcome == "rolled_back"
    assert "oscar took it back" in state.ended.sentence
    now = town.on_main()
    assert now is not None
    assert now.share_percent == 0
    assert now.stable == served.stable
    assert set(town.answering()) == {served.stable.label}
    story.holds()
