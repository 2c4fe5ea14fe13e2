"""A version that a gate of the preview refuses never reaches main.

Aspects: each gate before the merge says no once, to a fault planted in the world. Left out: what each gate
can say besides (tests/gates).
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gates.signature import artifact_digest
from pipelines.journal.events import Judged
from pipelines.journal.state import State
from pipelines.rehearsal.training import Faults
from tests.stories.telling import Story, Told, before
from tests.stories.town import MANIFESTS, MODEL

pytestmark = pytest.mark.slow


def refused(story: Story, told: Told, gate: str, reason: str) -> State:
    """The promotion ends refused by this gate; the pull request is closed, main and callers saw nothing."""
    serves, main = story.town.on_main(), story.town.git("oscar").log("main", MANIFESTS)
    state = told.drive()
    assert state.ended is not None
    assert (state.ended.outcome, state.ended.left_undone) == ("refused", ())
    assert state.rollback is not None
    assert state.rollback.code == reason, state.rollback
    failed = [event.verdict for event in told.events(Judged) if event.verdict["status"] == "FAIL"]
    assert [(verdict["gate"], verdict["reason"]) for verdict in failed][-1:] == [(gate, reason)]

    (pull,) = story.town.pulls_of(told.promotion)
    assert (pull["state"], pull["merged_at"]) == ("closed", None)
    path = f"/repos/acme/ml-gitops/commits/{pull['head']['sha']}/status"
    statuses = {
        status["context"]: status["state"] for status in story.town.forge_as("dana", "GET", path)["statuses"]
    }
    assert (statuses[f"lockgate/{gate}"], statuses["lockgate/gates"]) == ("failure", "failure")
    assert story.town.git("oscar").log("main", MANIFESTS) == main
    assert story.town.on_main() == serves
    assert story.town.kserve.get("risk-preview", MODEL) is None, "the preview is still there"
    story.holds()
    return state


def test_a_manifest_that_somebody_laid_beside_ours_is_not_promoted_with_it(story: Story) -> None:
    """An object that lockgate never wrote would be applied with the candidate: no gate is even asked."""
    town = story.town
    path = f"{MANIFESTS}/extra.yaml"
    extra = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: extra\n  namespace: risk-prod\n"
    town.push("dana", "main", {path: extra})
    told = story.promote(town.version())
    try:
        state = told.drive()
    finally:
        town.push("dana", "main", {path: None})
    assert state.ended is not None
    assert state.ended.outcome == "refused"
    assert state.rollback is not None
    assert state.rollback.code == "head_differs"
    assert path in state.rollback.sentence
    assert told.events(Judged) == []
    story.holds()


def test_signature_refuses_bytes_that_changed_after_they_were_named(story: Story) -> None:
    """The artifact is another one than the digest in the pull request says."""
    candidate = story.town.version()
    told = story.promote(candidate)

    def tamper(state: State) -> None:
        with (Path(urlsplit(candidate.uri).path) / "metadata.json").open("a") as file:
            file.write(" ")

    told.when(before("judge"), tamper)
    state = refused(story, told, "signature", "digest_differs")
    assert state.rollback is not None
    assert candidate.digest in state.rollback.sentence


def test_evaluation_refuses_a_version_that_learned_nothing(story: Story) -> None:
    """Trained on shuffled labels it serves well and decides badly: seen in the preview, on the golden set."""
    story.town.write_rules(preview=True, gates={"evaluation": {}})
    told = story.promote(story.town.trained("v4"))
    state = refused(story, told, "evaluation", "below_floor")
    assert state.previewed is not None


def test_load_refuses_a_version_that_is_late_at_the_expected_peak(story: Story) -> None:
    """The preview is asked as often as production will be at its peak; too many answers are late."""
    load = {"duration_seconds": 3.0, "warm_up_seconds": 1.0, "calibration_seconds": 1.0}
    story.town.write_rules(preview=True, gates={"load": load}, hold_budget="60s")
    late = Faults(slow_percent=40.0, slow_ms=900.0)
    told = story.promote(story.town.version(late))
    refused(story, told, "load", "latency_budget_exceeded")


def test_a_candidate_that_never_comes_up_in_the_preview_is_given_up(story: Story) -> None:
    """Its server says that it is not ready until the stage's time is over."""
    town = story.town
    town.write_rules(preview=True, preview_at_most="4s")
    told = story.promote(town.version(Faults(never_ready=True)))
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "refused"
    assert state.rollback is not None
    assert state.rollback.code == "deadline_passed"
    assert "preview waited" in state.rollback.sentence
    assert told.held("not_ready")
    assert town.kserve.get("risk-preview", MODEL) is None
    story.holds()


def test_a_candidate_whose_file_cannot_be_loaded_is_refused_at_once(story: Story) -> None:
    """KServe says that it can never become ready, and nobody waits for the deadline."""
    town = story.town
    town.write_rules(preview=True)
    candidate = town.version()
    home = Path(urlsplit(candidate.uri).path)
    (home / "model.npz").write_bytes(b"no model")
    told = story.promote(candidate.model_copy(update={"digest": artifact_digest(home)}))
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "refused"
    assert state.rollback is not None
    assert state.rollback.code == "candidate_failed"
    story.holds()
