"""Answers that are lost after the effect: whatever was done is found again, and nothing is doubled.

Covered: every kind of write of a promotion, answered by 502 after it took effect, and some refused before it.
Left out: a process that dies meanwhile (test_kill_sweep).
"""

from __future__ import annotations

import pytest

from pipelines.rehearsal.server import Fault, LoopbackServer
from tests.stories.telling import Story, Told, waits
from tests.stories.town import Town

PUSH = r"/git-receive-pack$"
PULLS = r"/pulls$"
MERGE = r"/pulls/\d+/merge$"
STATUS = r"/statuses/"
COMMENT = r"/issues/\d+/comments$"
CHANGE = r"^/api/(sn_chg_rest/v\d/change|now/table/change_request)"
SYNC = r"/sync$"


def servers(town: Town) -> dict[str, LoopbackServer]:
    """By the name the table below uses."""
    return {"forge": town.forge, "desk": town.desk, "argocd": town.argocd}


def drive(story: Story, *faults: tuple[str, Fault]) -> Told:
    """Promote a good version, with preview and approval, through these faults."""
    town = story.town
    town.write_rules(preview=True, approval={}, hold_budget="5m")
    told = story.promote(town.version(), seconds=110.0)
    for server, fault in faults:
        servers(town)[server].arm(fault)
    told.when(
        waits("approval_pending"), lambda state: town.approve(state.change.number if state.change else "")
    )
    told.drive()
    left = [fault for server in servers(town).values() for fault in server.faults]
    assert not left, f"never met: {left}"
    return told


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(
            [
                ("forge", Fault("POST", PULLS, "after")),
                ("forge", Fault("PUT", MERGE, "after")),
                ("forge", Fault("POST", STATUS, "after")),
                ("forge", Fault("POST", COMMENT, "after")),
            ],
            id="the forge",
        ),
        pytest.param(
            [("desk", Fault("POST", CHANGE, "after")), ("argocd", Fault("POST", SYNC, "after", times=3))],
            id="desk",
        ),
        pytest.param([("forge", Fault("POST", PUSH, "after", skip=n)) for n in range(0, 30, 3)], id="pushes"),
        pytest.param(
            [
                ("forge", Fault("POST", PULLS, "before")),
                ("forge", Fault("PUT", MERGE, "before")),
                ("forge", Fault("POST", PUSH, "before", skip=4, times=2)),
                ("desk", Fault("POST", CHANGE, "before")),
                ("argocd", Fault("POST", SYNC, "before")),
            ],
            id="outages before the effect",
        ),
    ],
)
@pytest.mark.timeout(180)
def test_a_lost_answer_doubles_nothing(story: Story, faults: list[tuple[str, Fault]]) -> None:
    """One pull request, one change, every share once, promoted, whichever answers were lost."""
    told = drive(story, *faults)

    assert told.state.ended is not None
    assert "promoted" == told.state.ended.outcome
    assert 1 == len([c for c in story.town.desk.changes() if told.promotion in str(c)])
    story.holds()
