"""People touch the promotion's pull request themselves.

Aspects: closed, merged, pushed to, reviewed. Left out: GitHub's refusals and lost answers
(tests/pipelines/clients/test_github).
"""

from __future__ import annotations

import pytest

from pipelines.journal.state import State
from pipelines.rehearsal.training import MODEL
from tests.stories.telling import Story, Told, before, waits
from tests.stories.town import MANIFESTS, PULLS

pytestmark = pytest.mark.slow


def refused(story: Story, told: Told, reason: str) -> State:
    """The promotion ends before anything of it reached main."""
    main = story.town.git("oscar").log("main", MANIFESTS)
    state = told.drive()
    assert state.ended is not None
    assert (state.ended.outcome, state.ended.left_undone) == ("refused", ())
    assert state.rollback is not None
    assert state.rollback.code == reason
    assert story.town.git("oscar").log("main", MANIFESTS) == main
    (pull,) = story.town.pulls_of(told.promotion)
    assert (pull["state"], pull["merged_at"]) == ("closed", None)
    story.holds()
    return state


def number(state: State) -> int:
    """The promotion's pull request."""
    assert state.proposed is not None
    return state.proposed.pull_request


def test_closed_by_hand_is_a_no(story: Story) -> None:
    """Somebody closes the pull request while its gates are asked: it is not opened again."""
    town = story.town
    told = story.promote(town.version())
    close = {"state": "closed"}
    told.when(
        before("judge"), lambda state: town.forge_as("rita", "PATCH", f"{PULLS}/{number(state)}", close)
    )
    refused(story, told, "closed_by_hand")


def test_merged_by_hand_at_the_judged_head_is_adopted(story: Story) -> None:
    """Somebody presses the button first: the same commit is on main, so the promotion goes on from there."""
    town = story.town
    town.write_rules(shares=[100])
    told = story.promote(town.version())
    told.when(
        before("merge"), lambda state: town.forge_as("oscar", "PUT", f"{PULLS}/{number(state)}/merge", {})
    )
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "promoted"
    assert state.merged is not None
    assert state.merged.by == "oscar"
    story.holds()


def test_merged_by_hand_before_the_gates_said_no_is_taken_back(story: Story) -> None:
    """Merged without asking, then refused by a gate: nothing was live, and nothing becomes it."""
    town = story.town
    candidate = town.version()
    told = story.promote(candidate)

    def merge_and_change_bytes(state: State) -> None:
        town.forge_as("oscar", "PUT", f"{PULLS}/{number(state)}/merge", {})
        (town.folder / "artifacts" / MODEL / candidate.label / "added.txt").write_text("later", "utf-8")

    told.when(before("judge"), merge_and_change_bytes)
    state = told.drive()
    assert state.ended is not None
    assert state.rollback is not None
    assert (state.ended.outcome, state.rollback.code) == ("rolled_back", "digest_differs")
    assert state.merged is not None
    assert state.merged.by == "oscar"
    serves = town.on_main()
    assert serves is not None
    assert serves.share_percent == 0
    assert state.zero_served is not None, "Argo CD applied the commit at 0 %"
    story.holds()


def test_a_head_that_moved_after_it_was_judged_is_not_merged(story: Story) -> None:
    """Somebody pushes one more commit to the branch: what was judged is not what would be merged."""
    town = story.town
    told = story.promote(town.version())

    def push(state: State) -> None:
        path = f"{MANIFESTS}/inferenceservice.yaml"
        branch = f"lockgate/{told.promotion}"
        text = town.git("dana").read(path, branch)
        assert text is not None
        town.push("dana", branch, {path: text.replace("canaryTrafficPercent: 0", "canaryTrafficPercent: 90")})

    told.when(before("merge"), push)
    state = refused(story, told, "head_moved")
    assert state.proposed is not None
    assert state.rollback is not None
    assert state.proposed.head_sha[:12] in state.rollback.sentence


def test_the_merge_waits_for_a_review_by_somebody_else(story: Story) -> None:
    """The tier's platform asks for one review; the requester's own does not count."""
    town = story.town
    town.write_rules(reviews=1, shares=[100])
    told = story.promote(town.version(), by="dana")
    approve = {"event": "APPROVE"}

    def review(login: str, state: State) -> None:
        town.forge_as(login, "POST", f"{PULLS}/{number(state)}/reviews", approve)

    told.when(before("merge"), lambda state: review("dana", state))
    told.when(waits("review_pending"), lambda state: review("carol", state))
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "promoted"
    assert told.held("review_pending")
    story.holds()
