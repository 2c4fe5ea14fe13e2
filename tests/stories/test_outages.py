"""An outage is not an answer: nothing rises meanwhile, and nothing is blamed for it.

Aspects: Prometheus, git and the forge's API away for a while; metrics away for good. Left out: the desk
(test_approval), Argo CD (test_delivery), each kind of bad data (tests/gates/test_slo).
"""

from __future__ import annotations

import pytest

from pipelines.journal.events import Judged, ShareCommitted
from pipelines.journal.state import State
from pipelines.rehearsal.server import Fault
from tests.stories.telling import Story, before, goes_back, waits

pytestmark = pytest.mark.slow


def test_without_metrics_for_a_while_the_share_stays_and_then_goes_on(story: Story) -> None:
    """Prometheus is stopped while 50 % is watched: the share is held; it comes back, and 100 % follows."""
    town = story.town
    told = story.promote(town.version())
    told.when(before("bake-50"), lambda state: town.prometheus.stop())
    told.when(waits("source_unreachable", "bake-50"), lambda state: town.prometheus.start_again())
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "promoted"
    unknown = [event.verdict for event in told.events(Judged) if event.verdict["status"] == "UNKNOWN"]
    assert {verdict["gate"] for verdict in unknown} == {"share", "slo"}
    assert {verdict["reason"] for verdict in unknown} <= {"source_unreachable", "stale_data", "no_data"}
    assert state.unknown_spent_seconds > 0
    story.holds()


def test_without_metrics_for_good_the_budget_brings_it_back(story: Story) -> None:
    """Nobody can tell for longer than the tier bears: back to 0, and not because the version failed."""
    town = story.town
    town.write_rules(hold_budget="3s")
    told = story.promote(town.version())
    told.when(before("bake-50"), lambda state: town.prometheus.stop())
    zero = []

    def come_back(state: State) -> None:
        zero.append((state.share_percent, set(town.split().values())))
        town.prometheus.start_again()

    told.when(lambda state, move: state.zero_served is not None and state.ended is None, come_back)
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "rolled_back"
    assert state.rollback is not None
    assert state.rollback.code == "hold_budget_spent"
    assert zero == [(0, {100})], "the way to 0 needs no metrics"
    assert [event.share_percent for event in told.events(ShareCommitted)] == [0, 50, 0]
    assert "FAIL" not in {event.verdict["status"] for event in told.events(Judged)}
    story.holds()


def test_without_callers_nothing_is_shown_to_be_good(story: Story) -> None:
    """Nobody calls while 50 % is watched: no request went wrong, none went well, and time runs out."""
    town = story.town
    brief = {"minimum": "1s", "maximum": "4s", "look_every": "1s", "warm_up": "0s"}
    town.write_rules(bake=brief, gates={"slo": {"minimum_requests": 1000}})
    told = story.promote(town.version())
    assert town.traffic is not None
    told.when(before("bake-50"), lambda state: town.traffic.pause())
    told.when(goes_back, lambda state: town.traffic.resume())
    try:
        state = told.drive()
    finally:
        town.traffic.resume()
    assert state.ended is not None
    assert state.ended.outcome == "rolled_back"
    assert state.rollback is not None
    assert state.rollback.code == "deadline_passed"
    story.holds()


def test_a_repository_that_is_away_costs_time_and_nothing_else(story: Story) -> None:
    """Git answers nothing for some seconds: the engine goes on when it is back, and writes nothing twice."""
    town = story.town
    town.write_rules(shares=[100])
    told = story.promote(town.version())
    gone = [Fault(method, r"\.git/", status=503, body="", times=12) for method in ("GET", "POST")]

    def leave(state: State) -> None:
        for fault in gone:
            town.forge.arm(fault)

    told.when(before("shift-100"), leave)
    state = told.drive()
    town.forge.faults.clear()
    assert state.ended is not None
    assert state.ended.outcome == "promoted"
    assert gone[0].times <= 0, "git was never asked"
    story.holds()


def test_a_forge_that_is_away_holds_before_the_merge(story: Story) -> None:
    """Its API answers 502 when the merge is asked for: asked again later, merged once."""
    town = story.town
    town.write_rules(shares=[100])
    told = story.promote(town.version())
    gone = Fault("GET", "^/api/v3/repos/.*/pulls/", status=502, times=1000)
    told.when(before("merge"), lambda state: town.forge.arm(gone))
    told.when(waits("source_unreachable", "merge"), lambda state: town.forge.faults.clear())
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "promoted"
    assert "merge" in {move.stage for move in told.held("source_unreachable")}
    story.holds()
