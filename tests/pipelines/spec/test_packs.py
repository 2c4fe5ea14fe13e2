"""Policy packs: what they ask of a tier, of a release and of the people.

Covered: both packs as data, what lint says of a tier and a release, each missing item, people who are one.
Left out: the bundle (test_evidence_policy), asking at the desk (stories).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from gates.contract import Evidence, Measurement, Status
from pipelines.evidence.policy import alike, approvers, missing
from pipelines.journal import events as e
from pipelines.journal.lines import verdict_to_data
from pipelines.journal.state import State
from pipelines.spec import packs
from pipelines.spec.types import Risk
from pipelines.strategy import Plan
from tests import plans
from tests.pipelines.spec.test_spec_read import PLATFORM, RELEASE, planted, problems, the_only
from tests.plans import T0, done, share_events, up_to_merge

RISK: dict[str, Any] = {
    "materiality": "high",
    "intended_use": "Holds card payments for review",
    "methodology": "Boosted trees on a year of payments",
    "data": {"payments 2025": "sha256:" + "a" * 64},
    "limitations": ["Cards issued abroad are rare in the data"],
    "compensating_controls": ["Payments abroad are reviewed by a person"],
    "monitoring": ["Below 0.85 AUC on last month's labels the model goes back"],
    "rollback_plan": "lockgate rollback; the version before stays warm",
    "developer": "dana.scientist",
    "validator": "vera.validator",
}
SR = packs.pack("sr-26-2")


def yaml_of(risk: dict[str, Any]) -> str:
    """The section as a release has it."""
    import json

    return f"risk: {json.dumps(risk)}\n"


def lint(risk: dict[str, Any] | None, pack: str = "sr-26-2") -> list[Any]:
    """Every problem of the sample with this pack in its tier and this section in its release."""
    platform = planted(PLATFORM, ("    strategy: canary\n", f"    strategy: canary\n    evidence: {pack}\n"))
    return problems(platform, RELEASE + (yaml_of(risk) if risk is not None else ""))


def test_the_packs_are_data_in_the_package() -> None:
    """Each file is a pack of its own name; the wheel carries what lies beside the module."""
    assert ("sr-11-7-legacy", "sr-26-2") == packs.names()
    for name in packs.names():
        found = packs.pack(name)
        assert (name, 1) == (found.name, found.version)
        assert ("developer", "validator", "approver") == found.distinct
        assert set(found.release) <= set(Risk.model_fields)
    with pytest.raises(KeyError):
        packs.text_of("../platform")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: sr-26-2", "nam: x"),
        ("version: 1", "version: 0"),
        ("  materiality:", "  mood:"),
        ("approver]", "owner]"),
    ],
)
def test_a_text_that_is_no_pack_is_refused(old: str, new: str) -> None:
    """Strict, like everything people write."""
    text = packs.text_of("sr-26-2")
    assert old in text
    with pytest.raises(ValidationError):
        packs.read_pack(text.replace(old, new, 1))


# ------------------------------------------------------------------ what lint says


def test_a_release_that_says_everything_is_good() -> None:
    """The sample's regulated tier asks the gates that both packs want."""
    assert [] == lint(RISK)
    assert [] == lint(RISK, "sr-11-7-legacy")


def test_a_pack_that_nobody_knows_is_named_with_the_nearest() -> None:
    """A slip of the pen is no policy."""
    found = the_only(lint(RISK, "sr-26-1"), "tiers.regulated.evidence")
    assert 'there is no policy pack "sr-26-1"' in found.message
    assert "sr-26-2" in found.hint


@pytest.mark.parametrize("key", sorted(SR.release))
def test_each_item_that_is_not_said_is_named_long_before_the_change(key: str) -> None:
    """When the release is read, with what is to be said there."""
    found = the_only(lint({k: v for k, v in RISK.items() if k != key}), "risk")

    assert f"the policy pack sr-26-2 misses risk.{key} ({SR.release[key]})" == found.message  # type: ignore[index]


def test_a_release_without_the_section_hears_of_all_items_at_once() -> None:
    """One problem, every key."""
    (found,) = lint(None)

    assert all(f"risk.{key} " in found.message for key in SR.release)


def test_an_item_that_cannot_be_read_is_complained_about_once() -> None:
    """Where it stands; what else is missing is said when it can be read."""
    the_only(lint({**RISK, "materiality": "enormous"}), "risk.materiality")


def test_the_developer_does_not_validate() -> None:
    """Effective challenge comes from somebody else."""
    found = the_only(lint({**RISK, "validator": "dana.scientist"}), "risk.validator")
    assert "is dana.scientist, the developer too" in found.message


def test_a_tier_that_does_not_ask_the_gates_is_refused() -> None:
    """Also where it asks them without heeding them."""
    standard = "  standard:\n    strategy: canary\n"
    found = problems(planted(PLATFORM, (standard, f"{standard}    evidence: sr-26-2\n")))
    assert "wants verdicts of evaluation" in the_only(found, "tiers.standard.evidence").message

    regulated = "    strategy: canary\n"
    rule = f"{regulated}    evidence: sr-26-2\n    informative: [signature]\n"
    found = problems(planted(PLATFORM, (regulated, rule)), RELEASE + yaml_of(RISK))
    assert "wants verdicts of signature" in the_only(found, "tiers.regulated.evidence").message


# ------------------------------------------------------------------ what the journal shows


def said(
    gate: str, stage: str, *, commit: str, status: Status = Status.PASS, bounds: bool = True, sha: str = "ab"
) -> e.Judged:
    """A verdict with bounds and a golden set's digest."""
    number = Measurement(name="n", value=1.0, low=0.5 if bounds else None)
    given = replace(
        plans.verdict(gate, stage, status, at=T0, commit=commit),
        evidence=Evidence(measurements=(number,), facts={"golden_set_sha256": sha}),
    )
    return e.Judged(stage=stage, verdict=verdict_to_data(given))


def planned(**changes: Any) -> Plan:
    """The canary of the other tests, asking the gates that the pack wants."""
    made = plans.canary(**changes)
    gates = {"judge": ("policy", "signature", "evaluation")}
    return replace(made, stages=tuple(replace(s, gates=gates.get(s.name, s.gates)) for s in made.stages))


GOOD = (
    said("signature", "judge", commit=plans.HEAD),
    said("evaluation", "judge", commit=plans.HEAD),
    *share_events(10),
    said("slo", "bake-10", commit=plans.commit(10)),
)


def state(*verdicts: e.Event, plan: Plan | None = None) -> State:
    """A promotion in which these were said."""
    return plans.state_after(*up_to_merge()[:4], done("judge"), *verdicts, plan=plan or planned())


def test_what_was_shown_is_not_missing() -> None:
    """Everything said, everything shown."""
    assert () == missing(SR, Risk(**RISK), state(*GOOD), before="approve")


@pytest.mark.parametrize(
    ("instead", "says"),
    [
        (
            said("evaluation", "judge", commit=plans.HEAD, status=Status.UNKNOWN),
            "a PASS of the gate evaluation with",
        ),
        (
            said("evaluation", "judge", commit=plans.HEAD, sha=""),
            "with golden_set_sha256 and bounds of a number",
        ),
        (said("evaluation", "judge", commit=plans.HEAD, bounds=False), "evaluation"),
        (said("evaluation", "judge", commit=plans.MERGE), "evaluation"),
    ],
    ids=["status", "fact", "bounds", "another commit"],
)
def test_a_verdict_that_shows_less_is_missing(instead: e.Event, says: str) -> None:
    """By its gate's name, and what its evidence must hold."""
    (lacks,) = missing(SR, Risk(**RISK), state(GOOD[0], instead, *GOOD[2:]), before="approve")

    assert says in lacks


def test_what_can_only_come_after_the_approval_is_not_missing_before_it() -> None:
    """A first version meets live requests once it is approved; by the end its log must be there."""
    stages = planned().stages
    approve = [s for s in stages if s.name == "approve"]
    first = replace(
        planned(first=True), stages=(*stages[:3], *approve, *(s for s in stages[3:] if s.name != "approve"))
    )
    found = state(*GOOD[:2], plan=first)

    assert () == missing(SR, Risk(**RISK), found, before="approve")
    assert ["slo"] == [
        gate for gate in ("slo", "evaluation") if any(gate in one for one in missing(SR, Risk(**RISK), found))
    ]


@pytest.mark.parametrize(
    ("people", "same", "says"),
    [
        (["rita"], [], ""),
        (["rita", "Vera.Validator"], [], "vera.validator is validator and Vera.Validator is approver"),
        (["dana.scientist"], [], "dana.scientist is developer and dana.scientist is approver"),
        (["d1234"], [["D1234", "dana.scientist"]], "dana.scientist is developer and d1234 is approver"),
        (["d1234"], [["d1234", "someone.else"]], ""),
    ],
)
def test_one_person_never_has_two_roles(people: list[str], same: list[list[str]], says: str) -> None:
    """Whatever the case of the letters, and under any account that is known to be theirs."""
    found = alike(SR, Risk(**RISK), people, same)

    assert says in found
    assert bool(says) is bool(found)


def test_approvers_are_those_whose_rows_say_so() -> None:
    """Not those who were asked, nor those who said no; what is no row is left out."""
    rows = [{"approver": "rita", "state": "approved"}, {"approver": "carol", "state": "requested"}, "x"]
    given = replace(
        plans.verdict("approval", "approve", Status.PASS), evidence=Evidence(facts={"approvers": rows})
    )

    assert ("rita",) == approvers([given, plans.verdict("slo", "bake-10", Status.PASS)])
