"""A version that had 100 % is found bad later and taken back: release.yaml and the desk follow.

Aspects: one commit for share and release.yaml, people's newer edit, the emergency change, the desk away for
good and told later, killed between the two halves of telling. Left out: the command itself (test_on_argo).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import yaml

from pipelines import errors
from pipelines.engine import tell_the_desk
from pipelines.journal.events import EmergencyClosed, EmergencyOpened, RollbackBegan
from pipelines.journal.state import State
from pipelines.rehearsal.server import Fault
from pipelines.spec.types import Version
from tests.stories.changes import ASKED, ask, number
from tests.stories.telling import Story, Told, seen_at_zero
from tests.stories.town import MODEL

pytestmark = pytest.mark.slow

RELEASE = f"models/{MODEL}/release.yaml"
BACK = RollbackBegan(code="by_hand", sentence="oscar brought the version before it back: complaints")
CANCELED = "4"


def promoted(story: Story) -> tuple[Told, Version]:
    """A version at 100 %, approved; the version before it."""
    served = story.town.on_main()
    assert served is not None
    assert served.stable is not None
    told = ask(story)
    told.when(ASKED, lambda state: story.town.approve(number(state)))
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "promoted", told.story()
    return told, served.stable


def taken_back(story: Story, told: Told) -> State:
    """Oscar takes it back, and a driver brings it about."""
    told.says("oscar", BACK)
    state = told.drive("engine:two")
    assert state.ended is not None
    assert state.ended.outcome == "rolled_back"
    assert set(story.town.answering()) == {told.state.started.stable["label"]}  # type: ignore[index]
    story.holds()
    return state


def named(story: Story) -> str:
    """The version that release.yaml on main names."""
    text = story.town.git("oscar").read(RELEASE, "main")
    label: str = yaml.safe_load(text or "")["version"]["label"]
    return label


def test_main_and_the_desk_say_what_serves_again(story: Story) -> None:
    """Share 0 and release.yaml are one commit; the desk has an emergency change that tells of it."""
    told, before = promoted(story)
    assert named(story) == told.candidate.label
    state = taken_back(story, told)

    assert named(story) == before.label
    written = story.town.git("oscar").log("main", RELEASE)[0]
    assert written.sha == state.zero_commit, "by the commit to 0 itself"
    assert (written.trailers["Lockgate-Stage"], written.trailers["Lockgate-Share"]) == ("roll_back", "0")
    assert not state.desk_owed
    assert state.ended is not None
    assert state.ended.left_undone == ()
    (opened,), (closed,) = told.events(EmergencyOpened), told.events(EmergencyClosed)
    assert opened.number == closed.number != number(state)
    (change,) = [row for row in story.town.desk.changes() if row["number"] == opened.number]
    assert (change["type"], change["state"]) == ("emergency", CANCELED), (
        "nobody approved it, so it is cancelled"
    )
    assert "complaints" in change["description"]
    assert state.zero_commit in change["description"]
    assert state.zero_commit in change["close_notes"]


def test_what_people_wrote_since_is_left_as_it_is(story: Story) -> None:
    """A newer wish stays; an edit beside the version stays too, and is said."""
    told, before = promoted(story)
    town = story.town
    edited = (town.git("oscar").read(RELEASE, "main") or "") + "description: Looked at again.\n"
    town.push("oscar", "main", {RELEASE: edited}, subject="a description")
    state = taken_back(story, told)

    assert town.git("oscar").read(RELEASE, "main") == edited
    assert state.ended is not None
    (left,) = state.ended.left_undone
    assert left.startswith(f"{RELEASE} still names {told.candidate.label}, since it was changed after 100 %")
    assert before.label in left


def test_a_desk_that_is_away_is_told_later(story: Story) -> None:
    """The way back does not wait; what the desk does not know is said, and one word mends it."""
    told, _ = promoted(story)
    town = story.town
    down = Fault("GET", "^/api/", status=503, body="", times=10_000)
    town.desk.arm(down)
    told.when(seen_at_zero, _ahead(told))
    try:
        state = taken_back(story, told)
        assert state.ended is not None
        (left,) = state.ended.left_undone
        assert left.startswith("tell the change desk: ")
        assert state.desk_owed
        with pytest.raises(errors.CouldNotTell):
            tell_the_desk(told.assignment("engine:three"))
    finally:
        town.desk.faults.clear()
    mended = tell_the_desk(told.assignment("engine:three"))

    assert mended.ended is not None
    assert (mended.ended.left_undone, mended.desk_owed) == ((), False)
    assert tell_the_desk(told.assignment("engine:three")) == mended, "once is enough"
    story.holds()


def _ahead(told: Told) -> Callable[[State], None]:
    def wait(state: State) -> None:
        told.clock.ahead = timedelta(minutes=16)

    return wait


def test_a_driver_killed_between_opening_and_closing_opens_no_second_change(story: Story) -> None:
    """The desk lost its answer to the closing: the next run closes the one that is there."""
    told, _ = promoted(story)
    town = story.town
    told.says("oscar", BACK)
    town.desk.arm(Fault("PATCH", "^/api/now/table/change_request", status=503, body="", times=3))
    state = told.drive("engine:two")

    assert state.ended is not None
    assert state.ended.left_undone == ()
    (opened,) = told.events(EmergencyOpened)
    emergencies = [row for row in town.desk.changes() if told.promotion in row["description"]]
    emergencies = [row for row in emergencies if row["type"] == "emergency"]
    assert [row["number"] for row in emergencies] == [opened.number]
    story.holds()
