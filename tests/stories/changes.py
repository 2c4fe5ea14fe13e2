"""Promotions that need an approved change: how a story asks for one, and how it ends without."""

from __future__ import annotations

from pipelines.journal.events import ChangeOpened, ShareCommitted
from pipelines.journal.state import State
from tests.stories.telling import Story, Told, waits
from tests.stories.town import Town

ASKED = waits("approval_pending")
"""People are asked; the change is open."""


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
