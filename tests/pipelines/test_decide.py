"""decide: what is next, for every state there can be.

Covered: each rule with a planted case, and the invariants over random walks. Left out: doing it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.contract import Status
from pipelines.decide import Move, decide, frozen, unknown_seconds
from pipelines.journal import events as e
from pipelines.journal.lines import decode, encode
from pipelines.journal.state import State, fold
from pipelines.spec.types import Freeze
from pipelines.strategy import Plan
from tests import plans
from tests.plans import (
    HEAD,
    OTHER_DIGEST,
    PROMOTION,
    T0,
    baked,
    commit,
    done,
    judged,
    share_events,
    up_to_merge,
)

AT_TEN = (*up_to_merge(), *share_events(0), *share_events(10))


def later(seconds: float) -> datetime:
    """So long after the promotion started."""
    return T0 + timedelta(seconds=seconds)


def waited(stage: str, *, unknown: bool = False, retry: float = 10.0) -> e.Waited:
    """A step that was not done."""
    return e.Waited(stage=stage, reason="why", sentence="because", unknown=unknown, retry_after_seconds=retry)


def move(
    *events: e.Event, after: float = 100.0, plan: Plan | None = None, freezes: tuple[Freeze, ...] = ()
) -> Move:
    """The move after these events, a second apart."""
    return decide(plans.state_after(*events, plan=plan), freezes, later(after))


def freeze(**facts: object) -> Freeze:
    """A freeze in force for an hour around the tests' times."""
    return Freeze.model_validate(
        {"reason": "year end", "from": "2026-03-14T08:00:00Z", "until": "2026-03-14T10:00:00Z", **facts}
    )


def test_a_new_promotion_is_proposed_first() -> None:
    """The first stage that is not done is next."""
    assert ("advance", "propose") == (move().kind, move().stage)


def test_stages_follow_one_another() -> None:
    """Each done stage lets the next one begin."""
    assert "judge" == move(*up_to_merge()[:4]).stage
    assert "shift-0" == move(*up_to_merge()).stage
    assert "bake-10" == move(*AT_TEN).stage
    assert ("advance", "shift-50") == (
        (found := move(*AT_TEN, *baked(10, later(95)))).kind,
        found.stage,
    )


def test_what_has_ended_stays_ended() -> None:
    """Nothing moves a promotion that is over."""
    found = move(e.Ended(outcome="promoted", sentence="it serves", left_undone=()))

    assert ("stop", "promoted", "it serves") == (found.kind, found.reason, found.sentence)


def test_a_rollback_under_way_goes_on_whatever_else_is_true() -> None:
    """Neither a hold nor a PASS nor a freeze stops it."""
    found = move(
        *AT_TEN,
        e.RollbackBegan(code="slow", sentence="too slow"),
        e.Held(person="oscar", reason="wait"),
        freezes=(freeze(),),
    )

    assert ("roll_back", "slow", "too slow") == (found.kind, found.reason, found.sentence)


def test_a_finished_promotion_can_still_be_rolled_back() -> None:
    """A rollback begun after the end opens it again."""
    found = move(
        *AT_TEN, e.Ended(outcome="promoted", sentence=""), e.RollbackBegan(code="by_hand", sentence="bad")
    )

    assert "roll_back" == found.kind


def test_a_person_ends_it() -> None:
    """An abort goes back, and says who and why."""
    found = move(*AT_TEN, e.AbortAsked(person="oscar", reason="odd scores"))

    assert ("roll_back", "aborted") == (found.kind, found.reason)
    assert "oscar ended it: odd scores" == found.sentence


def test_a_fail_rolls_back_at_once() -> None:
    """One FAIL beats any number of PASS."""
    found = move(
        *AT_TEN, *baked(10, later(20)), judged("slo", "bake-10", Status.FAIL, at=later(25), commit=commit(10))
    )

    assert ("roll_back", "fail", "bake-10") == (found.kind, found.reason, found.stage)


@pytest.mark.parametrize("other", [{"digest": OTHER_DIGEST}, {"commit": HEAD}, {"environment": "staging"}])
def test_a_fail_about_another_subject_counts_for_nothing(other: dict[str, str]) -> None:
    """Neither does a verdict about another artifact, commit or place blame this candidate."""
    given = {"commit": commit(10), **other}
    found = move(*AT_TEN, judged("slo", "bake-10", Status.FAIL, at=later(25), **given))

    assert "advance" == found.kind


def test_a_fail_before_the_merge_refuses() -> None:
    """The same rule holds while nothing is live."""
    found = move(*up_to_merge()[:4], judged("evaluation", "judge", Status.FAIL))

    assert ("roll_back", "judge") == (found.kind, found.stage)


def test_a_refused_step_rolls_back() -> None:
    """A system that said no is not asked again."""
    found = move(*AT_TEN, e.StepRefused(stage="bake-10", reason="main_changed", sentence="another hand"))

    assert ("roll_back", "main_changed") == (found.kind, found.reason)


def test_unknown_holds_until_its_budget_is_spent() -> None:
    """Inside the budget it is asked again; beyond it, the tier's policy applies, with its own reason."""
    n = len(AT_TEN)
    unknown = waited("bake-10", unknown=True, retry=60.0)

    assert ("hold", "why") == ((found := move(*AT_TEN, unknown, after=n + 30)).kind, found.reason)
    assert ("advance", "bake-10") == ((found := move(*AT_TEN, unknown, after=n + 62)).kind, found.stage)
    found = move(*AT_TEN, unknown, after=n + 130)
    assert ("roll_back", "hold_budget_spent", "bake-10") == (found.kind, found.reason, found.stage)
    assert "could not tell for 129 s, more than the budget of 120 s; last: because" == found.sentence


def test_a_tier_may_hold_for_ever_instead() -> None:
    """Then nothing rises, and what is live is still looked at."""
    plan = plans.canary(on_budget_spent="hold", budget_seconds=1.0)
    unknown = waited("bake-10", unknown=True, retry=1.0)

    assert ("advance", "bake-10") == ((found := move(*AT_TEN, unknown, plan=plan)).kind, found.stage)
    found = move(
        *AT_TEN, *baked(10, later(95)), waited("bake-10", unknown=True, retry=60.0), after=99, plan=plan
    )
    assert ("hold", "hold_budget_spent") == (found.kind, found.reason)


def test_a_wait_past_its_deadline_gives_up() -> None:
    """WAIT always has a deadline; UNKNOWN has the budget, and a person's hold stops the clock."""
    found = move(*AT_TEN, waited("bake-10"), after=700.0)
    assert ("roll_back", "deadline_passed") == (found.kind, found.reason)

    held = e.Held(person="oscar", reason="wait")
    assert "roll_back" != move(*AT_TEN, waited("bake-10"), held, after=700.0).kind
    assert "advance" == move(*AT_TEN, waited("bake-10"), after=500.0).kind


def test_a_wait_is_asked_again_when_it_said() -> None:
    """Not before."""
    found = move(waited("propose", retry=50.0), after=20.0)

    assert ("hold", later(51.0)) == (found.kind, found.until)


@pytest.mark.parametrize(
    ("facts", "covers"),
    [
        ({}, True),
        ({"environments": ["prod"]}, True),
        ({"environments": ["staging"]}, False),
        ({"until": None}, True),
        ({"until": "2026-03-14T08:30:00Z"}, False),
        ({"from": "2026-03-14T09:30:00Z"}, False),
    ],
)
def test_a_freeze_covers_its_environments_and_times(facts: dict[str, object], covers: bool) -> None:
    """No environment named means all; no end means until it is lifted."""
    assert covers is frozen(freeze(**facts), "prod", later(60))


def test_a_freeze_stops_what_rises_and_nothing_else() -> None:
    """A bake goes on under a freeze; the next share does not begin."""
    assert ("hold", "frozen") == ((found := move(*up_to_merge()[:7], freezes=(freeze(),))).kind, found.reason)
    assert "frozen until 2026-03-14 10:00 UTC: year end" == found.sentence
    assert "until it is lifted" in move(*up_to_merge()[:7], freezes=(freeze(until=None),)).sentence
    assert "merge" == move(*up_to_merge()[:7], freezes=(freeze(environments=["staging"]),)).stage
    assert "bake-10" == move(*AT_TEN, freezes=(freeze(),)).stage
    assert "shift-0" == move(*up_to_merge(), freezes=(freeze(),)).stage


def test_a_share_already_committed_is_brought_into_force_under_a_freeze() -> None:
    """Half a shift is worse than a whole one."""
    state = (*up_to_merge(), *share_events(0), share_events(10)[0])

    assert ("advance", "shift-10") == ((found := move(*state, freezes=(freeze(),))).kind, found.stage)


def test_a_person_holds_and_lets_go() -> None:
    """The hold names who and why, and how to end it."""
    held = e.Held(person="oscar", reason="incident 12")
    ready = (*AT_TEN, *baked(10, later(95)))

    found = move(*ready, held)
    assert ("hold", "held") == (found.kind, found.reason)
    assert "held by oscar: incident 12; `lockgate resume` lets it rise" == found.sentence
    assert ("advance", "shift-50") == (
        (found := move(*ready, held, e.Resumed(person="o", stage=""))).kind,
        found.stage,
    )


def test_a_manual_stage_waits_for_a_persons_word() -> None:
    """A pinned service is cut over by hand."""
    manual = [replace(s, manual=True) if s.name == "shift-10" else s for s in plans.canary().stages]
    plan = plans.canary(stages=tuple(manual))
    ready = (*up_to_merge(), *share_events(0))

    assert ("hold", "manual") == ((found := move(*ready, plan=plan)).kind, found.reason)
    assert "shift-10" == move(*ready, e.Resumed(person="dana", stage="shift-10"), plan=plan).stage


def test_the_live_share_is_watched_while_something_else_waits() -> None:
    """While people think, the bake's gates keep looking at their own pace, and a FAIL still goes back."""
    asking = (
        *AT_TEN,
        *baked(10, later(20)),
        *share_events(50),
        *baked(50, later(30)),
        waited("approve", retry=60.0),
    )

    assert ("hold", "approve") == ((found := move(*asking, after=58.0)).kind, found.stage)
    assert ("advance", "bake-50", "watch") == (
        (found := move(*asking, after=61.0)).kind,
        found.stage,
        found.reason,
    )
    fail = judged("slo", "bake-50", Status.FAIL, at=later(61), commit=commit(50))
    assert "roll_back" == move(*asking, fail, after=62.0).kind
    again = (*asking, *baked(50, later(61)))
    assert "approve" == move(*again, after=62.0).stage


def test_a_share_no_gate_watches_is_not_watched() -> None:
    """Without gates there is nothing to ask again."""
    stages = tuple(replace(s, gates=()) if s.step == "bake" else s for s in plans.canary().stages)
    plan = plans.canary(stages=stages)

    assert "shift-50" == move(*AT_TEN, done("bake-10"), plan=plan).stage


def test_nothing_rises_on_a_stale_or_missing_pass() -> None:
    """A done stage is not enough: its verdicts have to hold for what is live now."""
    missing = move(*AT_TEN, done("bake-10"), after=40.0)
    assert ("advance", "bake-10") == (missing.kind, missing.stage)

    approved = judged("approval", "approve", Status.PASS, at=later(40), commit=commit(50))
    ready = (*AT_TEN, *baked(10, later(20)), *share_events(50), *baked(50, later(30)))
    assert "shift-100" == move(*ready, approved, done("approve"), after=45.0).stage
    unproven = move(*ready, done("approve"), after=45.0)
    assert ("advance", "approve", "unproven") == (unproven.kind, unproven.stage, unproven.reason)
    waiting = move(*ready, done("approve"), waited("approve", retry=60.0), after=50.0)
    assert ("hold", "approve") == (waiting.kind, waiting.stage)


def test_an_old_verdict_on_the_preview_is_judged_again_before_the_merge() -> None:
    """A week later the preview's PASS is as if absent; after the merge it is not asked for again."""
    ready = up_to_merge()[:7]

    assert "merge" == move(*ready).stage
    assert "judge" == move(*ready, after=8 * 86400.0).stage
    assert "shift-10" == move(*up_to_merge(), *share_events(0), after=8 * 86400.0).stage


# ------------------------------------------------------------------ invariants

STATUSES = st.sampled_from(list(Status))


class Walk:
    """A promotion driven at random: gates say anything, people interfere, time passes."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.now = T0
        self.text = encode(PROMOTION, (), [plans.started(plans.canary())], at=T0, by="person:dana")
        self.state = self._fold()
        self.failed = False

    def _fold(self) -> State:
        state = fold(decode(PROMOTION, self.text))
        assert state is not None
        return state

    def add(self, *events: e.Event) -> None:
        """Append events now."""
        self.text += encode(PROMOTION, decode(PROMOTION, self.text), events, at=self.now, by="engine:h:1")
        self.state = self._fold()

    def allowed(self, share: int) -> bool:
        """Independent of decide: has every gate before this share said PASS last, about the right subject?"""
        before = self.state.plan.before(f"shift-{share}")
        return all(self._said_pass(stage.name, gate) for stage in before for gate in stage.gates)

    def _said_pass(self, stage: str, gate: str) -> bool:
        share = {"bake-10": 10, "bake-50": 50, "approve": 50}.get(stage)
        right = HEAD if share is None else commit(share)
        said = [
            line.event.verdict
            for line in decode(PROMOTION, self.text)
            if isinstance(line.event, e.Judged)
            and line.event.stage == stage
            and line.event.verdict["gate"] == gate
        ]
        last = said[-1] if said else None
        return bool(
            last
            and last["status"] == "PASS"
            and last["subject"]["digest"] == plans.DIGEST
            and last["subject"]["commit"] == right
        )

    def step(self, found: Move) -> None:
        """Do what the move says, with whatever the world answers."""
        stage = self.state.plan.stage(found.stage)
        if stage.step == "shift" and stage.share_percent not in self.state.commits:
            assert stage.share_percent == 0 or self.allowed(stage.share_percent), stage.name
        answer = self.data.draw(st.sampled_from(["done", "done", "done", "wait", "unknown"]))
        if answer != "done":
            self.add(waited(stage.name, unknown=answer == "unknown", retry=stage.every_seconds))
        elif stage.gates:
            self._judge(stage.name, stage.gates)
        elif stage.step == "shift":
            self.add(*share_events(stage.share_percent))
        elif stage.step == "propose":
            self.add(plans.PROPOSED, done("propose"))
        elif stage.step == "merge":
            self.add(e.Merged(commit=plans.MERGE, by="lockgate"), done("merge"))
        elif stage.step == "finish":
            self.add(e.Ended(outcome="promoted", sentence=""))
        else:
            self.add(done(stage.name))

    def _judge(self, stage: str, gates: tuple[str, ...]) -> None:
        statuses = []
        for gate in gates:
            status = self.data.draw(st.sampled_from([Status.PASS] * 6 + list(Status)))
            digest = self.data.draw(st.sampled_from([plans.DIGEST] * 9 + [OTHER_DIGEST]))
            subject = self.state.commit_of(stage) or HEAD
            self.add(judged(gate, stage, status, at=self.now, commit=subject, digest=digest))
            statuses.append(status if digest == plans.DIGEST else Status.WAIT)
            self.failed |= status is Status.FAIL and digest == plans.DIGEST
        worst = Status.worst(statuses)
        if worst is Status.PASS:
            self.add(done(stage))
        elif worst is not Status.FAIL:
            self.add(waited(stage, unknown=worst is Status.UNKNOWN))

    def interfere(self) -> None:
        """People and time."""
        what = self.data.draw(st.sampled_from(["", "", "", "", "", "hold", "resume", "abort"]))
        if what == "hold":
            self.add(e.Held(person="oscar", reason=""))
        if what == "resume":
            self.add(e.Resumed(person="oscar", stage=""))
        if what == "abort" and self.data.draw(st.integers(0, 5)) == 0:
            self.add(e.AbortAsked(person="oscar", reason=""))
        self.now += timedelta(seconds=self.data.draw(st.sampled_from([1, 5, 20, 40, 100])))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_the_world_answers_the_share_never_exceeds_what_is_proven(data: st.DataObject) -> None:
    """No share without every PASS before it; any failure ends at 0; UNKNOWN alone never goes back early."""
    walk = Walk(data)
    for _ in range(60):
        found = decide(walk.state, (), walk.now)
        assert found == decide(fold(decode(PROMOTION, walk.text)) or walk.state, (), walk.now)
        if found.kind == "stop":
            break
        if walk.failed or walk.state.abort:
            assert "roll_back" == found.kind
        if found.kind == "roll_back":
            if found.reason == "hold_budget_spent":
                assert unknown_seconds(walk.state, walk.now) >= walk.state.plan.hold_budget_seconds
            elif found.reason != "deadline_passed":
                assert walk.failed or walk.state.abort
            walk.add(e.RollbackBegan(code=found.reason, sentence=""))
            walk.add(e.ShareCommitted(stage="roll_back", share_percent=0, commit=commit(99)))
            assert 0 == walk.state.share_percent
            assert "roll_back" == decide(walk.state, (), walk.now).kind
            walk.add(e.Ended(outcome="rolled_back", sentence=""))
            assert "stop" == decide(walk.state, (), walk.now + timedelta(days=9)).kind
            break
        if found.kind == "advance":
            walk.step(found)
        walk.interfere()
