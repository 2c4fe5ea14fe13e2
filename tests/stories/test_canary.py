"""The canary gate in whole promotions: one judgement over all shares, and a journal that judges again.

Aspects: a good version through the ladder, a worse one within its budgets, what the journal keeps. Left out:
how counts are judged (tests/gates/canary).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gates.canary.looks import Look, from_data
from gates.contract import Status
from pipelines.journal.events import Judged, ShareCommitted
from pipelines.rehearsal.training import Faults
from tests.commands import Shell
from tests.stories.telling import Story, Told
from tests.stories.town import LATE_MS

pytestmark = pytest.mark.slow

CANARY = {"canary": {"minimum_requests": 20, "share_alpha": 0.0}}
"""Seconds of few requests; the share gate looks at the split."""


def judged_again(told: Told, folder: Path) -> int:
    """How many verdicts of the gate the journal holds; each comes out the same from the journal alone."""
    journal = folder / "journal.jsonl"
    stored = told.desktop.journals(told.desktop.repository()).read(told.promotion)
    journal.write_text(stored, "utf-8")
    ran = Shell({"HOME": str(folder)})("judge", "replay", journal, "--json")
    assert ran.code == 0, ran.out + ran.err
    found = ran.json["verdicts"]
    assert {one["again"] for one in found} == {"the same"}
    return len(found)


def looks(told: Told) -> Sequence[Look]:
    """Everything the gate counted, as the journal has it."""
    kept = (event.verdict["evidence"]["facts"].get("looks", []) for event in told.events(Judged))
    return [from_data(look) for several in kept if isinstance(several, list) for look in several]


def test_a_good_version_is_judged_over_its_whole_ladder(story: Story, tmp_path: Path) -> None:
    """No request is counted twice, evidence goes from share to share, and the journal alone judges again."""
    story.town.write_rules(gates=CANARY, shares=[25, 50, 100])
    told = story.promote(story.town.version(), seconds=150.0)
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "promoted", told.story()
    counted = looks(told)
    assert {look.share_percent for look in counted} == {25, 50, 100}
    ends = [look.ended for look in counted]
    assert all(later.began >= before for before, later in zip(ends, counted[1:], strict=False))
    assert len(state.looks["canary"]) == len(counted)
    assert judged_again(told, tmp_path) >= 3
    last = [event.verdict for event in told.events(Judged) if event.verdict["gate"] == "canary"][-1]
    assert last["status"] == Status.PASS.name
    assert "times the stable's share is ruled out" in last["sentence"]
    story.holds()


def test_a_version_within_its_budgets_but_worse_than_the_stable_goes_back(
    story: Story, tmp_path: Path
) -> None:
    """Half of all answers may fail here, and a fifth does: by its objectives it is fine."""
    lenient = {"latency": {"threshold_ms": LATE_MS, "target_percent": 99.0}, "error_budget_percent": 50.0}
    story.town.write_rules(gates=CANARY, release={"slo": {**lenient, "peak_rps": 30.0}})
    told = story.promote(story.town.version(Faults(error_percent=20.0)), seconds=120.0)
    state = told.drive()
    assert state.rollback is not None
    assert state.rollback.code == "worse_than_stable", told.story()
    assert "errors are shown to be at least" in state.rollback.sentence
    assert [event.share_percent for event in told.events(ShareCommitted)][-1] == 0
    assert judged_again(told, tmp_path) >= 1
    story.holds(erring=True)
