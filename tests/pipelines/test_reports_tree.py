"""`lockgate status`: one screen that says how far, with which numbers, and why it waits; the same as JSON.

The golden screens and documents are kept byte for byte; LOCKGATE_REGENERATE=1 writes them anew, never
where CI is set.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gates.contract import Measurement, Status
from pipelines.decide import Move, decide
from pipelines.journal import events as e
from pipelines.journal.state import State, fold
from pipelines.reports.summary import SCHEMA
from pipelines.reports.tree import SAMPLES_SHOWN, TEXT_COLUMNS, render, summary, text
from pipelines.reports.view import SYMBOLS, Mark, elapsed_seconds, gates_of, mark_of, turn_came
from tests import plans, promotions
from tests.plans import PROMOTION, T0, canary, commit, done, judged, share_events, state_after, up_to_merge

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "reports"
CASES: Mapping[str, Callable[[], promotions.Book]] = {
    "waiting": promotions.waiting,
    "good": promotions.good,
    "failing": promotions.failing,
    "rolled-back": promotions.rolled_back,
    "refused": promotions.refused,
}


def kept(name: str, now: str) -> str:
    """The golden text of that name, written anew when asked."""
    path = GOLDEN / name
    if os.environ.get("LOCKGATE_REGENERATE") == "1":
        assert "CI" not in os.environ, "golden files are never regenerated in CI"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(now.encode())
    return path.read_bytes().decode()


def folded(book: promotions.Book) -> State:
    state = fold(book.lines)
    assert state is not None
    return state


def screen(state: State, *, after: float = 1.0, move: Move | None = None) -> str:
    now = state.last_at + timedelta(seconds=after)
    return text(state, move or decide(state, (), now), now)


def hold(stage: str, until: datetime | None = None) -> Move:
    return Move(kind="hold", stage=stage, reason="held", sentence="held by otto: payday", until=until)


@pytest.mark.parametrize("case", CASES)
def test_screens_are_as_kept(case: str) -> None:
    """Same journal, same screen."""
    drawn = screen(folded(CASES[case]()))
    assert kept(f"{case}.txt", drawn) == drawn


@pytest.mark.parametrize("case", CASES)
def test_json_is_as_kept(case: str) -> None:
    """Keys and values that programs rely on."""
    written = json.dumps(summary(folded(CASES[case]())), indent=1, allow_nan=False) + "\n"
    assert kept(f"{case}.json", written) == written


def test_a_screen_fits_its_columns_and_carries_no_colour() -> None:
    """A log shows it as it is."""
    drawn = screen(folded(promotions.failing()))
    assert "\x1b" not in drawn
    assert max(map(len, drawn.splitlines())) <= TEXT_COLUMNS


# -------------------------------------------------------------------------- marks


def mark(state: State, stage: str, move: Move | None = None) -> Mark:
    return mark_of(state, state.plan.stage(stage), move)


def waited(stage: str, *, unknown: bool = False) -> e.Waited:
    return e.Waited(
        stage=stage, reason="no_data", sentence="no series", unknown=unknown, retry_after_seconds=15
    )


def test_before_anything_happened_the_first_stage_is_now() -> None:
    """And everything else is to come."""
    state = state_after()
    assert {name: mark(state, name) for name in ("propose", "preview", "finish")} == {
        "propose": "now",
        "preview": "to come",
        "finish": "to come",
    }


def test_a_stage_that_waits_and_one_that_could_not_be_told_differ() -> None:
    """WAIT is as designed, UNKNOWN is not."""
    assert mark(state_after(waited("propose")), "propose") == "waiting"
    assert mark(state_after(waited("propose", unknown=True)), "propose") == "unknown"
    assert mark(state_after(), "propose", hold("propose")) == "waiting"
    assert mark(state_after(), "preview", hold("propose")) == "to come"


def test_a_done_stage_whose_watch_cannot_be_told_is_unknown_again() -> None:
    """A green mark over a blind watch would be a lie."""
    events = (*up_to_merge(), *share_events(10), done("bake-10"), waited("bake-10", unknown=True))
    assert mark(state_after(*events), "bake-10") == "unknown"


def test_a_promotion_that_ended_well_is_done_to_its_last_stage() -> None:
    """The last stage ends the promotion, and a driver writes nothing after that."""
    ended = e.Ended(outcome="promoted", sentence="v38 serves 100 %")
    assert mark(state_after(*up_to_merge(), ended), "finish") == "done"


def test_a_fail_marks_its_stage_even_when_done_before() -> None:
    """The latest verdict on the live share counts."""
    events = (*up_to_merge(), *share_events(10), done("bake-10"))
    failed = judged("slo", "bake-10", Status.FAIL, commit=commit(10))
    assert mark(state_after(*events, failed), "bake-10") == "failed"
    other = judged("slo", "bake-10", Status.FAIL, commit=commit(50))
    assert mark(state_after(*events, other), "bake-10") == "done"


def test_a_step_told_no_is_failed() -> None:
    """Whatever refused it."""
    refused = e.StepRefused(stage="merge", reason="closed_by_hand", sentence="closed")
    assert mark(state_after(*up_to_merge()[:-2], refused), "merge") == "failed"


def test_a_deadline_marks_the_stage_that_missed_it() -> None:
    """Before the rollback is written down, and after."""
    move = Move(kind="roll_back", stage="preview", reason="deadline_passed", sentence="too long")
    state = state_after(done("propose"), waited("preview"))
    assert mark(state, "preview", move) == "failed"
    began = e.RollbackBegan(code="deadline_passed", sentence="too long")
    assert mark(state_after(done("propose"), waited("preview"), began), "preview") == "failed"
    assert mark(state_after(done("propose"), began), "judge") == "not reached"


def test_an_end_cuts_short_what_had_begun() -> None:
    """A stage under way when a person ends it is neither done nor unreached."""
    abort = (
        e.AbortAsked(person="otto", reason="no"),
        e.RollbackBegan(code="aborted", sentence="otto ended it"),
    )
    state = state_after(*up_to_merge(), *share_events(10), waited("bake-10"), *abort)
    assert mark(state, "bake-10") == "cut short"
    assert mark(state, "shift-50") == "not reached"
    asked = state_after(plans.PROPOSED, judged("policy", "judge", Status.PASS), *abort)
    assert mark(asked, "judge") == "cut short"


def test_every_mark_has_a_sign_of_its_own() -> None:
    """Marks can be told apart without colour, and the word stands beside."""
    assert len(set(SYMBOLS.values())) == len(SYMBOLS)


def test_time_counts_from_when_the_turn_came_and_stops_when_done() -> None:
    """Also for a stage whose step says nothing until it is done."""
    state = state_after(*up_to_merge())
    judge = state.plan.stage("judge")
    assert turn_came(state, judge) == state.done["preview"]
    assert elapsed_seconds(state, judge, "done", T0 + timedelta(days=9)) == 3.0
    assert elapsed_seconds(state, state.plan.stages[0], "done", T0) == 2.0
    assert elapsed_seconds(state, state.plan.stage("shift-0"), "now", state.last_at) == 0.0
    assert elapsed_seconds(state, state.plan.stage("finish"), "to come", T0) is None


def test_time_stops_when_the_candidate_goes_back() -> None:
    """What comes after is the rollback's time."""
    state = folded(promotions.rolled_back())
    assert state.rollback is not None
    bake = state.plan.stage("bake-10")
    expected = (state.rollback.at - state.done["shift-10"]).total_seconds()
    assert elapsed_seconds(state, bake, "failed", T0 + timedelta(days=1)) == expected


def test_a_verdict_about_other_content_is_shown_and_does_not_count() -> None:
    """A moved head leaves its old verdicts visible."""
    state = state_after(plans.PROPOSED, judged("policy", "judge", Status.PASS, commit="e" * 40))
    policy, evaluation = gates_of(state, state.plan.stage("judge"))
    assert policy.verdict is not None
    assert not policy.counts
    assert evaluation.verdict is None
    assert "policy about other content, evaluation" in screen(state)
    at_judge = state_after(
        plans.PROPOSED,
        done("propose"),
        done("preview"),
        judged("policy", "judge", Status.PASS, commit="e" * 40),
    )
    assert "it does not count" in screen(at_judge)
    assert "evaluation: not asked yet" in screen(at_judge)


# ------------------------------------------------------------------- why it waits


def test_why_it_waits_is_a_sentence_with_its_end() -> None:
    """Held, asked again, or waiting for something from outside."""
    state = state_after()
    soon = state.last_at + timedelta(seconds=31)
    assert "waits: held by otto: payday; asked again at 09:00:31 UTC, in 30 s" in screen(
        state, move=hold("propose", soon)
    )
    assert "payday; asked again now" in screen(state, move=hold("propose", state.last_at))
    assert "until something from outside changes it" in screen(state, move=hold("propose"))


def test_a_wait_behind_another_is_shown_too() -> None:
    """While a hold is the reason, what the stage itself said stays readable."""
    state = state_after(waited("propose"))
    drawn = screen(state, move=hold("propose"))
    assert "no series (since 09:00:01 UTC)" in drawn
    assert "at the latest" in drawn


def test_the_hold_budget_is_shown_while_it_burns() -> None:
    """How long nobody could tell, against how long that is borne."""
    drawn = screen(state_after(waited("propose", unknown=True)), after=10)
    assert "could not tell for 10 s in all; the budget is 2 min" in drawn


def test_a_rollback_shows_its_own_steps() -> None:
    """Written, in force, seen: each with its trace once it is there."""
    state = state_after(*up_to_merge(), e.RollbackBegan(code="aborted", sentence="otto ended it"))
    drawn = screen(state)
    assert "▶ roll back  now" in drawn
    assert "· 0 % in force" in drawn
    before_merge = state_after(plans.PROPOSED, e.RollbackBegan(code="aborted", sentence="otto ended it"))
    assert "no live request could reach the candidate" in screen(before_merge)


def test_the_first_version_replaces_nothing() -> None:
    """And a small share still shows in the bar."""
    book = promotions.Book(replace(plans.started(canary()), stable=None))
    book.tell(e.ShareCommitted(stage="shift-0", share_percent=1, commit=commit(1)))
    drawn = screen(folded(book))
    assert "fraud-scorer nothing → v38" in drawn
    assert "█░░░░░░░░░░░░░░░░░░░ 1 %" in drawn


def test_many_measurements_are_summed_up() -> None:
    """One screen stays one screen; those held against a threshold come first."""
    book = promotions.Book(plans.started(canary())).tell(plans.PROPOSED, done("propose"), done("preview"))
    many = tuple(
        Measurement(name=f"m{n}", value=n, threshold=1.0 if n == 9 else None)
        for n in range(SAMPLES_SHOWN + 4)
    )
    book.tell(promotions.says(book, "policy", "judge", Status.WAIT, "more", "more", measurements=many))
    drawn = screen(folded(book))
    assert "m9: 9, against 1" in drawn
    assert "4 more are in the report" in drawn
    assert "m8" not in drawn


# ------------------------------------------------------------- links and hostile text


def rendered(state: State, **more: Any) -> str:
    """The screen as a terminal with colours and links gets it."""
    console = Console(
        file=io.StringIO(), width=200, force_terminal=True, color_system="truecolor", _environ={}
    )
    now = state.last_at
    with console.capture() as capture:
        console.print(render(state, decide(state, (), now), now, **more))
    return capture.get()


def test_addresses_are_links_in_a_terminal() -> None:
    """The pull request's, the change's, and those the caller adds."""
    drawn = rendered(folded(promotions.waiting()), links={"cluster": "https://argocd.example.com/a"})
    for url in ("https://github.com/example-bank/models/pull/41", "https://argocd.example.com/a"):
        assert f";{url}\x1b\\" in drawn


@pytest.mark.parametrize(
    "planted", [promotions.TERMINAL, promotions.MARKUP, promotions.MARKDOWN, "[red]x[/]"]
)
def test_hostile_values_come_out_as_text(planted: str) -> None:
    """Nothing a person wrote moves a cursor, hides a line, makes a link or becomes markup."""
    state = folded(promotions.hostile(planted))
    drawn = rendered(state, links={planted: f"javascript:{planted}"})
    assert "\x1b]8;" not in drawn
    assert "\x1b[2J" not in drawn
    assert "\x07" not in drawn
    assert "\u202e" not in drawn
    assert planted != "[red]x[/]" or "[red]x[/]" in drawn
    now = state.last_at
    lines = text(state, decide(state, (), now), now)
    assert "\x1b" not in lines
    assert PROMOTION in lines


def test_hostile_values_stay_data_in_json() -> None:
    """JSON carries them unchanged, escaped."""
    data = summary(folded(promotions.hostile(promotions.TERMINAL)))
    written = json.dumps(data)
    assert "\x1b" not in written
    assert json.loads(written)["reason"] == promotions.TERMINAL


def test_json_says_which_schema_it_follows() -> None:
    """Also for a promotion that has only started."""
    data = summary(state_after())
    assert data["schema"] == SCHEMA == "lockgate.status/1"
    assert (data["pull_request"], data["change"], data["rollback"], data["outcome"]) == (
        None,
        None,
        None,
        None,
    )
    assert [stage["mark"] for stage in data["stages"]][:2] == ["now", "to_come"]


def test_json_tells_a_hold_an_abort_and_a_change_without_intent() -> None:
    """Whatever may be absent is null, never a missing key."""
    state = state_after(
        e.Held(person="otto", reason="payday"),
        e.AbortAsked(person="rita", reason="no"),
        e.ChangeOpened(correlation_id="c", number="CHG1", url="http://d"),
    )
    data = summary(state)
    assert data["hold"]["person"] == "otto"
    assert data["abort"]["reason"] == "no"
    assert data["change"]["manifest_digest"] is None
    assert data["change"]["closed"] is None
