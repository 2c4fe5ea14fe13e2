"""Whoever drives a promotion may be several, and may die.

Aspects: two engines at once, an engine killed and replaced by another process. Left out: being killed at
every boundary (test_kill_sweep).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.errors import JournalMoved
from pipelines.journal.state import State
from pipelines.rehearsal.processes import wait_until
from tests.stories.telling import Story, Told, before

pytestmark = pytest.mark.slow


def test_of_two_engines_one_goes_on_and_nothing_is_doubled(story: Story) -> None:
    """A second engine is started for the same promotion: one of both stops and says why."""
    town = story.town
    town.write_rules(shares=[100])
    told = story.promote(town.version())
    second: list[Future[State]] = []
    with ThreadPoolExecutor(1) as elsewhere:

        def start(state: State) -> None:
            second.append(elsewhere.submit(story.elsewhere(told).drive, "engine:two"))

        told.when(before("shift-0"), start)
        first: Future[State] = Future()
        try:
            first.set_result(told.drive("engine:one"))
        except JournalMoved as moved:
            first.set_exception(moved)
        outcomes = [_outcome(first), _outcome(second[0])]
    assert Counter(outcomes) == {"promoted": 1, "another_driver": 1}
    story.holds()


def _outcome(future: Future[State]) -> str:
    try:
        state = future.result(timeout=90)
    except JournalMoved as moved:
        return moved.reason
    return state.ended.outcome if state.ended else ""


def test_two_promotions_of_one_version_end_with_one_of_them(story: Story) -> None:
    """Two people asked in the same instant: the older promotion goes on, the newer finds nothing to do."""
    town = story.town
    town.write_rules(shares=[100])
    older = story.promote(town.version())
    newer = story.twin(older)
    state = older.drive()
    assert state.ended is not None
    assert state.ended.outcome == "promoted"
    state = newer.drive("engine:two")
    assert state.ended is not None
    assert state.ended.outcome == "refused"
    assert state.rollback is not None
    assert state.rollback.code == "already_serves"
    assert town.pulls_of(newer.promotion) == []
    story.holds()


def test_a_killed_engine_is_replaced_by_another_process(story: Story, tmp_path: Path) -> None:
    """`lockgate retry` is killed once a share is committed; run again elsewhere it ends the promotion."""
    town = story.town
    told = story.promote(town.version())
    first = _retry(told, tmp_path / "first")
    try:
        wait_until("50 % is committed", lambda: 50 in told.state.commits, seconds=60, every_seconds=0.2)
    finally:
        first.kill()
        first.wait(10)
    assert told.state.ended is None

    second = _retry(told, tmp_path / "second")
    assert second.wait(75) == 0, (tmp_path / "second.log").read_text()
    state = told.state
    assert state.ended is not None
    assert state.ended.outcome == "promoted"
    drivers = {line.by for line in told.lines if line.by.startswith("engine:")}
    assert len(drivers) == 2
    story.holds()


def _retry(told: Told, folder: Path) -> subprocess.Popen[bytes]:
    """The command in a process of its own, on a machine of its own."""
    variables = {**os.environ, **told.town.environment, "LOCKGATE_STATE_DIR": str(folder)}
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "retry", told.promotion]
    with folder.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(command, env=variables, stdout=log, stderr=subprocess.STDOUT)
