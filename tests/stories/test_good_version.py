"""A good version goes to 100 %."""

from __future__ import annotations

from tests.stories.telling import Story


def test_small(story: Story) -> None:
    """A good version is proposed, judged, merged, walked up and called stable."""
    told = story.promote(story.town.version())
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "promoted"
    story.holds()
