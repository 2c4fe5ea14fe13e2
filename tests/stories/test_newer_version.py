"""A newer version arrives while another is on its way: the tier says what becomes of both.

Two engines run at once here, each on a machine of its own, as they do when two people promote.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from pipelines.journal.events import Rebased, ShareCommitted
from pipelines.journal.state import State
from pipelines.rehearsal.processes import wait_until
from tests.stories.telling import Story, Told, before

pytestmark = pytest.mark.slow


def both(
    story: Story, older: Told, arrives: str, until: Callable[[Told], object]
) -> tuple[Told, State, State]:
    """While the older is about to enter a stage, a newer one begins and is driven by its own engine.

    The older goes on once the newer has come so far.
    """
    begun: list[tuple[Told, Future[State]]] = []
    with ThreadPoolExecutor(1) as elsewhere:

        def begin(state: State) -> None:
            newer = story.promote(story.town.version(), by="oscar")
            begun.append((newer, elsewhere.submit(newer.drive, "engine:two")))
            wait_until("the newer one is heard", lambda: until(newer), seconds=40, every_seconds=0.2)

        older.when(before(arrives), begin)
        ended = older.drive()
        ((newer, future),) = begun
        return newer, ended, future.result(timeout=100)


def test_queue_lets_the_older_one_finish_first(story: Story) -> None:
    """The newer waits, writes nothing, and then starts from what serves by then."""
    town = story.town
    town.write_rules(shares=[100], supersede="queue")
    older = story.promote(town.version())
    newer, first, second = both(story, older, "shift-100", lambda newer: newer.held("another_promotion"))
    assert first.ended is not None
    assert second.ended is not None
    assert (first.ended.outcome, second.ended.outcome) == ("promoted", "promoted")
    assert second.proposed is not None
    assert first.ended.at < second.done["propose"]
    assert [event.stable for event in newer.events(Rebased)] == [older.candidate.model_dump()]
    serves = town.on_main()
    assert serves is not None
    assert serves.stable == newer.candidate
    story.holds()


def test_replace_takes_the_older_one_back_first(story: Story) -> None:
    """The newer ends the older, which goes back to 0 by its own engine; only then the newer begins."""
    town = story.town
    town.write_rules(shares=[50, 100], supersede="replace")
    older = story.promote(town.version())
    newer, first, second = both(story, older, "bake-50", lambda newer: older.state.abort)
    assert first.ended is not None
    assert second.ended is not None
    assert (first.ended.outcome, second.ended.outcome) == ("superseded", "promoted")
    assert [event.share_percent for event in older.events(ShareCommitted)] == [0, 50, 0]
    assert newer.promotion in first.ended.sentence
    assert first.ended.at < second.done["propose"]
    assert newer.events(Rebased) == [], "what was stable before the older one still is"
    story.holds()


def test_refuse_turns_the_newer_one_away(story: Story) -> None:
    """The newer ends at once without a pull request; the older does not notice."""
    town = story.town
    town.write_rules(shares=[100], supersede="refuse")
    older = story.promote(town.version())
    newer, first, second = both(story, older, "shift-100", lambda newer: newer.state.ended)
    assert first.ended is not None
    assert second.ended is not None
    assert (first.ended.outcome, second.ended.outcome) == ("promoted", "refused")
    assert second.rollback is not None
    assert second.rollback.code == "another_promotion"
    assert older.promotion in second.rollback.sentence
    assert town.pulls_of(newer.promotion) == []
    story.holds()
