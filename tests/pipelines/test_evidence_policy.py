"""The bundle under a policy pack: what an auditor's machine finds missing, with nothing but the file.

Covered: a whole one, each part taken away or softened by a careful forger, people who are one. Left out: the
packs themselves (spec/test_packs).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gates.contract import Evidence, Measurement, Status
from pipelines.evidence import archive, pack, verify
from pipelines.journal import events as e
from pipelines.journal.lines import encode, verdict_to_data
from pipelines.spec import packs
from pipelines.strategy import to_data
from tests import plans
from tests.examples import V1, V2
from tests.pipelines.spec.test_packs import RISK, planned
from tests.pipelines.test_evidence import EVENTS, SHAS, contents, material
from tests.plans import PROMOTION, T0


def said(gate: str, stage: str, commit: str, facts: dict[str, Any]) -> e.Judged:
    """A PASS with bounds about the candidate."""
    given = plans.verdict(gate, stage, Status.PASS, commit=commit, digest=V2.digest)
    evidence = Evidence(measurements=(Measurement(name="n", value=1.0, low=0.5),), facts=facts)
    return e.Judged(stage=stage, verdict=verdict_to_data(replace(given, evidence=evidence)))


def journal(approver: str = "rita", *, without: str = "") -> str:
    """A promotion that showed what the pack wants, but for one gate."""
    rows = {"approvers": [{"approver": approver, "state": "approved", "at": None}]}
    judged = [
        ("signature", said("signature", "judge", plans.HEAD, {})),
        ("evaluation", said("evaluation", "judge", plans.HEAD, {"golden_set_sha256": "ab"})),
        ("slo", said("slo", "bake-10", SHAS[10], {})),
        ("approval", said("approval", "approve", SHAS[0], rows)),
    ]
    started = replace(
        plans.started(planned()), candidate=V2.model_dump(), stable=V1.model_dump(), plan=to_data(planned())
    )
    kept = [event for gate, event in judged if gate != without]
    return encode(PROMOTION, (), [started, EVENTS[0], *kept, *EVENTS[1:]], at=T0, by="engine:h:1")


def packed(text: str, *, risk: dict[str, Any] | None = None, pack_text: str = "") -> bytes:
    """The bundle of it under sr-26-2."""
    tier = {"evidence": "sr-26-2", "gates": {"approval": {"same_person": [["r1", "rita"]]}}}
    release = {"model": "fraud-scorer", "risk": RISK if risk is None else risk}
    base = {
        "platform.yaml": json.dumps({"tiers": {"regulated": tier}}),
        "models/fraud-scorer/release.yaml": json.dumps(release),
    }
    return pack(material(journal=text, base=base, policy={"sr-26-2": pack_text or packs.text_of("sr-26-2")}))


GOOD = packed(journal())


def test_a_whole_one_holds_and_says_which_pack() -> None:
    """With its version."""
    checked = verify(GOOD)

    assert "" == checked.broken
    assert "everything that the policy pack sr-26-2, version 1, wants is there" in checked.held


@pytest.mark.parametrize("gate", ["signature", "evaluation", "slo"])
def test_a_verdict_that_was_never_given_is_named(gate: str) -> None:
    """The journal holds none."""
    assert f"wants a PASS of the gate {gate}" in verify(packed(journal(without=gate))).broken


@pytest.mark.parametrize("key", sorted(RISK))
def test_what_the_release_does_not_say_is_named(key: str) -> None:
    """By its key."""
    broken = verify(packed(journal(), risk={k: v for k, v in RISK.items() if k != key})).broken

    assert f"the policy pack sr-26-2 wants risk.{key} (" in broken


@pytest.mark.parametrize(
    ("approver", "risk", "says"),
    [
        ("vera.validator", RISK, "vera.validator is validator and vera.validator is approver"),
        ("DANA.scientist", RISK, "dana.scientist is developer and DANA.scientist is approver"),
        ("rita", {**RISK, "developer": "r1"}, "r1 is developer and rita is approver"),
        ("rita", {**RISK, "validator": "dana.scientist"}, "is developer and dana.scientist is validator"),
    ],
)
def test_roles_that_fall_together_are_named(approver: str, risk: dict[str, Any], says: str) -> None:
    """Also under another account of the same person."""
    assert says in verify(packed(journal(approver), risk=risk)).broken


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda files: files.pop("policy/sr-26-2.yaml"), "policy/sr-26-2.yaml is missing"),
        (
            lambda files: files.update({"policy/other.yaml": b""}),
            "policy/other.yaml does not belong to the evidence",
        ),
    ],
)
def test_a_pack_that_is_taken_out_or_put_in_is_found(
    change: Callable[[dict[str, bytes]], object], says: str
) -> None:
    """platform.yaml says which one belongs in."""
    files = contents(GOOD)
    del files["SHA256SUMS"]
    change(files)

    assert says in verify(archive.wrap(files)).broken


def test_a_pack_that_was_softened_is_found() -> None:
    """A version wants one thing for ever."""
    softer = packs.text_of("sr-26-2").replace("    intervals: true\n", "", 1)

    assert (
        "policy/sr-26-2.yaml is not version 1 of that pack"
        in verify(packed(journal(), pack_text=softer)).broken
    )


def test_a_pack_of_a_version_that_this_lockgate_lacks_is_judged_by_its_own_words() -> None:
    """An older bundle can be checked by a newer lockgate, and the other way round."""
    newer = packs.text_of("sr-26-2").replace("version: 1", "version: 2")

    assert any(
        "sr-26-2, version 2, wants is there" in line
        for line in verify(packed(journal(), pack_text=newer)).held
    )


def test_what_never_reached_100_percent_owes_nothing() -> None:
    """Nobody was asked to approve it."""
    started = replace(plans.started(planned()), candidate=V2.model_dump(), stable=V1.model_dump())
    text = encode(PROMOTION, (), [started, *EVENTS[:3]], at=T0, by="engine:h:1")

    base = {
        "platform.yaml": "tiers: {regulated: {evidence: sr-26-2}}\n",
        "models/fraud-scorer/release.yaml": "model: m\n",
    }
    kept = {SHAS[0]: material().manifests[SHAS[0]]}
    found = material(
        journal=text,
        base=base,
        policy={"sr-26-2": packs.text_of("sr-26-2")},
        manifests=kept,
        commits=material().commits[:1],
    )

    assert "100 % was never reached under the policy pack" in verify(pack(found)).held
