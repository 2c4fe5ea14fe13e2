"""Roles of gates: what an informative, a weighted and a required gate each make of a stage.

Covered: the reduction as laws over all statuses, what decide and a step make of it, what a tier may not
say, and that a journal written before there were roles reads as it did. Left out: asking the gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.contract import Status
from pipelines.decide import Move, decide
from pipelines.journal.state import status_of
from pipelines.steps.contract import NotYet, Refused
from pipelines.steps.judging import outcome
from pipelines.strategy import Plan, Stage, from_data, plan, to_data
from tests import examples, plans
from tests.pipelines.spec.test_spec_read import PLATFORM, planted, problems, the_only
from tests.pipelines.test_strategy import made, place, tier
from tests.plans import T0, done, judged, share_events, up_to_merge

STATUSES = st.sampled_from(list(Status))
GATES = ("policy", "signature", "evaluation", "load", "drift")
SAID = st.fixed_dictionaries(dict.fromkeys(GATES, STATUSES))
NOW = T0 + timedelta(seconds=100)


def stage(**facts: Any) -> Stage:
    """A stage that asks five gates: one informative, two by a score of 60 %, two required."""
    roles: dict[str, Any] = {
        "informative": ("drift",),
        "weights": (("evaluation", 2), ("load", 1)),
        "score_at_least_percent": 60,
    }
    facts = {"name": "judge", "step": "judge", "share_percent": 0, "gates": GATES, **roles, **facts}
    return Stage(**facts, maximum_seconds=60.0, every_seconds=5.0)


def all_pass(**others: Status) -> dict[str, Status]:
    """Every gate says PASS, but for these."""
    return {**dict.fromkeys(GATES, Status.PASS), **others}


def test_each_gate_has_one_role() -> None:
    """Required is what nothing else is said of."""
    found = stage()

    assert ("policy", "signature") == found.required
    assert ("policy", "signature", "evaluation", "load") == found.deciding
    assert ["load (weight 1)", "drift (informative)", "policy"] == [
        found.named(gate) for gate in ("load", "drift", "policy")
    ]


@given(said=SAID, other=STATUSES)
def test_an_informative_gate_changes_nothing_whatever_it_says(said: dict[str, Status], other: Status) -> None:
    """Not even when it says nothing."""
    found = stage().status(said)

    assert found is stage().status({**said, "drift": other})
    assert found is stage().status({gate: said[gate] for gate in said if gate != "drift"})


@given(said=SAID)
def test_a_required_gate_is_never_outvoted(said: dict[str, Status]) -> None:
    """A stage is never better than any of its required gates."""
    assert stage().status(said) >= max(said["policy"], said["signature"])


@given(said=SAID, gate=st.sampled_from(GATES), other=STATUSES)
def test_a_worse_verdict_never_makes_a_stage_better(
    said: dict[str, Status], gate: str, other: Status
) -> None:
    """The reduction is monotone in every gate."""
    worse = {**said, gate: max(said[gate], other)}

    assert stage().status(worse) >= stage().status(said)


@given(said=SAID)
def test_what_could_not_be_told_brings_no_more_than_a_fail(said: dict[str, Status]) -> None:
    """Whether a stage passes does not change when every UNKNOWN and WAIT becomes a FAIL."""
    known = {
        g: s if s is Status.PASS or g not in ("evaluation", "load") else Status.FAIL for g, s in said.items()
    }

    assert (stage().status(known) is Status.PASS) is (stage().status(said) is Status.PASS)


@pytest.mark.parametrize(
    ("evaluation", "load", "found"),
    [
        (Status.PASS, Status.PASS, Status.PASS),
        (Status.PASS, Status.FAIL, Status.PASS),
        (Status.PASS, Status.UNKNOWN, Status.PASS),
        (Status.WAIT, Status.FAIL, Status.WAIT),
        (Status.UNKNOWN, Status.PASS, Status.UNKNOWN),
        (Status.FAIL, Status.PASS, Status.FAIL),
        (Status.FAIL, Status.UNKNOWN, Status.FAIL),
    ],
)
def test_a_score_is_reached_may_be_reached_or_is_out_of_reach(
    evaluation: Status, load: Status, found: Status
) -> None:
    """Of the weights 2 and 1, 60 % are needed: the evaluation alone brings 67, the load test 33."""
    assert found is stage().status(all_pass(evaluation=evaluation, load=load))


def test_all_weights_at_100_percent_is_every_gate() -> None:
    """A score of 100 % outvotes nobody."""
    found = stage(score_at_least_percent=100)

    assert Status.FAIL is found.status(all_pass(load=Status.FAIL))
    assert Status.PASS is found.status(all_pass())


def verdicts(said: Mapping[str, Status]) -> list[Any]:
    """The verdicts of these gates at the judge stage."""
    return [plans.verdict(gate, "judge", status) for gate, status in said.items()]


@given(said=SAID)
def test_a_step_and_the_plan_agree(said: dict[str, Status]) -> None:
    """What a step answers is what decide reads from its verdicts."""
    found = outcome(stage(), verdicts(said))

    match stage().status(said):
        case Status.PASS:
            assert found is None
        case Status.FAIL:
            assert isinstance(found, Refused)
        case status:
            assert isinstance(found, NotYet)
            assert (status is Status.UNKNOWN) is found.unknown


def test_a_score_out_of_reach_says_what_is_missing() -> None:
    """The sentence has what was brought, what is needed, and the worst gate's own."""
    found = outcome(stage(), verdicts(all_pass(evaluation=Status.FAIL)))

    assert isinstance(found, Refused)
    assert "score_not_reached" == found.reason
    assert (
        "score: gates that pass bring 33 % of the weights, needed are 60 %; "
        "the worst is evaluation: evaluation says FAIL"
    ) == found.sentence


def test_a_required_gate_that_fails_is_named_before_the_score() -> None:
    """Both failed: the required one is the reason."""
    found = outcome(stage(), verdicts(all_pass(signature=Status.FAIL, evaluation=Status.FAIL)))

    assert isinstance(found, Refused)
    assert "signature: signature says FAIL" == found.sentence


# ------------------------------------------------------------------ what decide makes of it


def with_roles(**roles: Any) -> Plan:
    """The canary of the other tests, its bakes with these roles."""
    made = plans.canary()
    stages = (replace(one, **roles) if one.step == "bake" else one for one in made.stages)
    return replace(made, stages=tuple(stages))


def at_ten(slo: Status, plan: Plan) -> Move:
    """What follows at 10 % when the share is as it should be and the gate slo says this."""
    events = (*up_to_merge(), *share_events(0), *share_events(10))
    said = [judged("share", "bake-10", Status.PASS, at=NOW, commit=plans.commit(10))]
    said += [judged("slo", "bake-10", slo, at=NOW, commit=plans.commit(10))]
    return decide(plans.state_after(*events, *said, done("bake-10"), plan=plan), (), NOW)


@pytest.mark.parametrize("slo", list(Status))
def test_an_informative_gate_neither_stops_nor_rolls_back(slo: Status) -> None:
    """The next share begins all the same."""
    found = at_ten(slo, with_roles(informative=("slo",)))

    assert ("advance", "shift-50") == (found.kind, found.stage)


def test_a_required_gate_does_both() -> None:
    """The same verdicts, without the role."""
    assert ("roll_back", "fail") == ((found := at_ten(Status.FAIL, with_roles())).kind, found.reason)
    assert "slo failed: slo says FAIL" == found.sentence
    assert "bake-10" == at_ten(Status.UNKNOWN, with_roles()).stage


def test_a_score_decides_while_a_share_is_live() -> None:
    """Out of reach it rolls back; reached without a gate, the next share begins."""
    weights = (("share", 1), ("slo", 1))

    found = at_ten(Status.FAIL, with_roles(weights=weights, score_at_least_percent=51))
    assert ("roll_back", "score_not_reached") == (found.kind, found.reason)
    assert "score failed: gates that pass bring 50 % of the weights, needed are 51 %" in found.sentence
    found = at_ten(Status.FAIL, with_roles(weights=weights, score_at_least_percent=50))
    assert ("advance", "shift-50") == (found.kind, found.stage)


def test_a_stage_whose_gates_are_all_informative_proves_nothing_and_stops_nothing() -> None:
    """It is as a stage without gates; its status is never PASS."""
    silent = with_roles(informative=("share", "slo"))
    state = plans.state_after(
        *up_to_merge(), *share_events(0), *share_events(10), done("bake-10"), plan=silent
    )

    assert Status.WAIT is status_of(state, "bake-10")
    assert "shift-50" == decide(state, (), T0 + timedelta(seconds=40)).stage


# ------------------------------------------------------------------ what a tier says


def test_a_tier_gives_each_stage_the_roles_of_its_gates() -> None:
    """A score that names gates of two stages counts in each over those asked there."""
    found = made(
        gates={
            "policy": {},
            "signature": {},
            "load": {"payloads": "x"},
            "share": {},
            "slo": {},
            "approval": {},
        },
        informative=["signature"],
        score={"weights": {"load": 3, "share": 1, "slo": 2}, "at_least_percent": 70},
    )

    judge, bake = found.stage("judge"), found.stage("bake-10")
    assert (("signature",), (("load", 3),), 70) == (
        judge.informative,
        judge.weights,
        judge.score_at_least_percent,
    )
    assert ((), (("share", 1), ("slo", 2)), 70) == (
        bake.informative,
        bake.weights,
        bake.score_at_least_percent,
    )
    assert 0 == found.stage("approve").score_at_least_percent
    assert found == from_data(to_data(found))


def test_a_journal_from_before_there_were_roles_reads_as_it_did() -> None:
    """Every gate it names is required."""
    data = to_data(plan(examples.release(), tier(), place(), first=False))
    for one in data["stages"]:
        for key in ("informative", "weights", "score_at_least_percent"):
            del one[key]

    assert plan(examples.release(), tier(), place(), first=False) == from_data(data)


STANDARD = "        tolerance: 1.25\n    hold_budget: 30m\n"


@pytest.mark.parametrize(
    ("written", "path", "message"),
    [
        ("informative: [slos]", "informative[0]", "the tier does not ask this gate"),
        ("informative: [policy]", "informative[0]", "this gate must pass in every tier"),
        ("informative: [share, slo, canary]", "gates", "a canary needs a gate that watches its shares"),
        (
            "informative: [load]\n    score: {weights: {load: 1, slo: 1}, at_least_percent: 60}",
            "score.weights.load",
            "is informative, so it cannot have a weight",
        ),
        (
            "score: {weights: {load: 1}, at_least_percent: 60}",
            "score.weights",
            "at least this many entries: 2",
        ),
        ("score: {weights: {load: 0, slo: 1}, at_least_percent: 60}", "score.weights.load", "1"),
        ("score: {weights: {load: 1, slo: 1}, at_least_percent: 0}", "score.at_least_percent", "1"),
    ],
)
def test_a_tier_that_makes_no_sense_is_refused(written: str, path: str, message: str) -> None:
    """Each planted fault is named where it stands."""
    platform = planted(PLATFORM, (STANDARD, STANDARD.replace("    hold", f"    {written}\n    hold")))

    assert message in the_only(problems(platform), f"tiers.standard.{path}").message


def test_an_approval_is_never_outvoted() -> None:
    """Neither by a score nor by being called informative."""
    section = "    approval:\n      type"
    platform = planted(PLATFORM, (section, f"    informative: [approval]\n{section}"))

    found = the_only(problems(platform), "tiers.regulated.informative[0]")
    assert "this gate must pass in every tier" == found.message
