"""Argo CD says no, or not now, or does it by itself.

Aspects: sync windows, other people's operations, auto-sync, an outage. Left out: what each answer looks
like on the wire (tests/pipelines/clients/test_argocd).
"""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from pipelines.journal.events import AbortAsked, ShareCommitted
from pipelines.journal.state import State
from pipelines.rehearsal.argocd import Window
from pipelines.rehearsal.server import Fault
from tests.stories.telling import Story, Told, before, goes_back, waits
from tests.stories.town import MODEL

pytestmark = pytest.mark.slow

APPLICATION = f"{MODEL}-prod"
END = AbortAsked(person="oscar", reason="enough")


def shares(told: Told) -> list[int]:
    """The shares committed, in order."""
    return [event.share_percent for event in told.events(ShareCommitted)]


def promoted(story: Story, told: Told) -> State:
    """The promotion reaches 100 % after all."""
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "promoted", told.story()
    assert shares(told) == [0, 100]
    story.holds()
    return state


def test_a_sync_window_is_waited_for(story: Story) -> None:
    """Nothing may be synced now: the share is on main and not in force, until the window is over."""
    town = story.town
    town.write_rules(shares=[100], sync_at_most="5m")
    told = story.promote(town.version())
    seen = []

    def lift(state: State) -> None:
        seen.append((state.share_percent, set(town.answering())))
        town.argocd.set_windows(APPLICATION)
        told.clock.ahead = timedelta(seconds=61)

    told.when(before("shift-100"), lambda state: town.argocd.set_windows(APPLICATION, Window(kind="deny")))
    told.when(waits("sync_window"), lift)
    told.when(
        lambda state, move: bool(told.clock.ahead) and before("shift-100")(state, move),
        lambda state: setattr(told.clock, "ahead", timedelta(0)),
    )
    state = promoted(story, told)
    assert state.started.stable is not None
    assert seen == [(100, {state.started.stable["label"]})]


def test_another_operation_is_waited_for(story: Story) -> None:
    """Somebody syncs the application by hand at that moment; ours comes after it, once."""
    town = story.town
    town.write_rules(shares=[100])
    told = story.promote(town.version())

    def by_hand(state: State) -> None:
        town.argocd.facade.delay_seconds = 0.7
        answer = requests.post(
            f"{town.argocd.url}/api/v1/applications/{APPLICATION}/sync",
            json={"revision": state.commits[0], "project": "models"},
            headers={"Authorization": f"Bearer {town.tokens['argocd']}"},
            timeout=10,
        )
        assert answer.ok, answer.text

    told.when(before("shift-100"), by_hand)
    told.when(
        waits("operation_in_progress"), lambda state: setattr(town.argocd.facade, "delay_seconds", 0.03)
    )
    promoted(story, told)


def test_an_argo_cd_that_is_away_holds(story: Story) -> None:
    """It answers 503 for a while: nothing is blamed, and the commit is synced when it is back."""
    town = story.town
    town.write_rules(shares=[100])
    told = story.promote(town.version())
    gone = [Fault(method, "^/api/", status=503, body="", times=1000) for method in ("GET", "POST")]

    def leave(state: State) -> None:
        for fault in gone:
            town.argocd.arm(fault)

    told.when(before("shift-100"), leave)
    told.when(waits("source_unreachable", "shift-100"), lambda state: town.argocd.faults.clear())
    promoted(story, told)


def test_auto_sync_that_applies_our_very_commit_is_no_obstacle(story: Story) -> None:
    """Somebody switches it on; main's head is our commit, so Argo CD does what we would have asked for."""
    town = story.town
    town.write_rules(shares=[100])
    told = story.promote(town.version())
    told.when(before("shift-100"), lambda state: town.argocd.set_auto_sync(APPLICATION, True))
    try:
        promoted(story, told)
    finally:
        town.argocd.set_auto_sync(APPLICATION, False)


def test_auto_sync_that_overtook_our_commit_is_refused(story: Story) -> None:
    """Another commit of main was applied in our stead: ours can be shown no more, so it goes back to 0."""
    town = story.town
    told = story.promote(town.version())
    gone = Fault("GET", f"/api/v1/applications/{APPLICATION}", status=503, body="", times=1000)

    def overtake(state: State) -> None:
        town.push("dana", "main", {"notes.md": f"{told.promotion}\n"})
        town.argocd.faults.clear()
        town.argocd.set_auto_sync(APPLICATION, True)

    told.when(before("shift-50"), lambda state: town.argocd.arm(gone))
    told.when(waits("source_unreachable", "shift-50"), overtake)
    try:
        state = told.drive()
    finally:
        town.argocd.set_auto_sync(APPLICATION, False)
    assert state.ended is not None
    assert (state.ended.outcome, state.ended.left_undone) == ("rolled_back", ())
    assert state.rollback is not None
    assert state.rollback.code == "auto_sync_on"
    assert "syncPolicy.automated" in state.rollback.sentence
    assert shares(told) == [0, 50, 0]
    story.holds()


def test_a_rollback_gets_through_while_auto_sync_is_on(story: Story) -> None:
    """An exact commit is refused then; Argo CD applies main by itself, and main says 0."""
    town = story.town
    told = story.promote(town.version())
    told.when(before("bake-50"), lambda state: told.says("oscar", END))
    told.when(goes_back, lambda state: town.argocd.set_auto_sync(APPLICATION, True))
    try:
        state = told.drive()
    finally:
        town.argocd.set_auto_sync(APPLICATION, False)
    assert state.ended is not None
    assert (state.ended.outcome, state.ended.left_undone) == ("aborted", ())
    assert shares(told) == [0, 50, 0]
    story.holds()
