"""A tier that trusts one key, and a tier that asks a gate without heeding it.

Aspects: nothing unsigned gets as far as a pull request, what changes afterwards is seen before the merge, and
an informative gate's FAIL is shown and stops nothing. Left out: each fault of a signature (tests/gates).
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gates.signature import artifact_digest, sign
from pipelines.journal.events import Judged
from pipelines.journal.state import State
from pipelines.spec.types import Version
from tests.gates.test_signing import PRIVATE, PUBLIC
from tests.stories.telling import Story, before

pytestmark = pytest.mark.slow


def trusting(story: Story) -> None:
    """The tier trusts one key from now on."""
    key = story.folder / "models.pub"
    key.write_text(PUBLIC)
    story.town.write_rules(gates={"signature": {"keys": [f"file:{key}"]}})


def home(version: Version) -> Path:
    """Where an artifact lies."""
    return Path(urlsplit(version.uri).path)


def test_no_pull_request_names_an_artifact_that_nobody_signed(story: Story) -> None:
    """It is refused before anything is written where people would see it."""
    trusting(story)
    told = story.promote(story.town.version())
    state = told.drive()

    assert state.ended is not None
    assert state.rollback is not None
    assert ("refused", "unsigned") == (state.ended.outcome, state.rollback.code)
    assert state.proposed is None
    assert story.town.pulls_of(told.promotion) == []
    story.holds()


def test_what_changed_after_the_pull_request_opened_never_merges(story: Story) -> None:
    """Signed when it was proposed, asked again before the merge: the file that changed is named."""
    trusting(story)
    candidate = story.town.version()
    sign(home(candidate), PRIVATE)
    told = story.promote(candidate.model_copy(update={"digest": artifact_digest(home(candidate))}))

    def tamper(state: State) -> None:
        with (home(candidate) / "metadata.json").open("a") as file:
            file.write(" ")

    told.when(before("judge"), tamper)
    state = told.drive()

    assert state.proposed is not None
    assert state.rollback is not None
    assert "file_changed" == state.rollback.code
    assert "its file metadata.json is not as it was signed" in state.rollback.sentence
    assert state.merged is None
    story.holds()


def test_an_informative_gate_is_shown_failing_and_stops_nothing(story: Story) -> None:
    """The evaluation says FAIL of a version that learned nothing; the tier only wants to know."""
    town = story.town
    town.write_rules(preview=True, gates={"evaluation": {}}, informative=["evaluation"])
    told = story.promote(town.trained("v4"))
    state = told.drive()

    assert state.ended is not None
    assert "promoted" == state.ended.outcome
    (said,) = [event.verdict for event in told.events(Judged) if event.verdict["gate"] == "evaluation"]
    assert ("FAIL", "below_floor") == (said["status"], said["reason"])
    assert said["sentence"].startswith("evaluation (informative): ")
    assert state.proposed is not None
    path = f"/repos/acme/ml-gitops/commits/{state.proposed.head_sha}/status"
    shown = {one["context"]: one["state"] for one in town.forge_as("dana", "GET", path)["statuses"]}
    assert ("failure", "success") == (shown["lockgate/evaluation"], shown["lockgate/gates"])
    story.holds()
