"""A good version goes to 100 %.

Aspects: the whole ladder with every person's part in it, the first version of a model, and a version that
serves already. Left out: two engines and crashes (test_drivers, test_kill_sweep).
"""

from __future__ import annotations

import html

import pytest

from gates.contract import Status
from pipelines.journal.events import ChangeClosed, Judged, ShareCommitted
from pipelines.steps.start import AlreadyServes, Wish, start
from tests.stories.telling import Story, waits
from tests.stories.town import MANIFESTS, MODEL

pytestmark = pytest.mark.slow


def test_a_good_version_walks_the_whole_ladder_to_100(story: Story) -> None:
    """Judged in the preview, merged, 10, 25, 50, signed on the desk's page, 100; then all is tidied up."""
    town = story.town
    town.write_rules(preview=True, approval={}, shares=[10, 25, 50, 100])
    before = town.on_main()
    candidate = town.version()
    pages = []

    def sign(number: str) -> None:
        pages.append(town.sign("rita", number, "approved", "read and agreed"))
        town.sign("carol", number, "approved")

    told = story.promote(candidate, seconds=110.0)
    told.when(waits("approval_pending"), lambda state: sign(state.change.number))
    state = told.drive()

    assert state.ended is not None
    assert (state.ended.outcome, state.ended.left_undone) == ("promoted", ())
    assert [event.share_percent for event in told.events(ShareCommitted)] == [0, 10, 25, 50, 100]
    judged = {(event.stage, event.verdict["gate"]): event.verdict["status"] for event in told.events(Judged)}
    assert set(judged.values()) == {Status.PASS.name}, judged
    assert {gate for stage, gate in judged if stage == "judge"} == {"policy", "signature"}
    assert {stage for stage, gate in judged if gate == "slo"} == {"bake-10", "bake-25", "bake-50", "bake-100"}

    commits = {
        commit.trailers["Lockgate-Stage"]: commit.trailers
        for commit in town.git("oscar").log("main", MANIFESTS)
        if commit.trailers.get("Lockgate-Promotion") == told.promotion
    }
    shares = {stage: trailers["Lockgate-Share"] for stage, trailers in commits.items()}
    walked = {"shift-10": "10", "shift-25": "25", "shift-50": "50", "shift-100": "100", "finish": "100"}
    assert shares.items() >= walked.items()
    assert {trailers["Lockgate-Digest"] for trailers in commits.values()} == {candidate.digest}
    assert state.change is not None
    assert commits["shift-100"]["Lockgate-Change"] == state.change.number

    for fact in (candidate.digest, candidate.uri, before.stable.digest if before and before.stable else ""):
        assert html.escape(fact) in pages[0], "the signature's page does not say what it covers"
    (change,) = [row for row in town.desk.changes() if row["number"] == state.change.number]
    assert (change["state"], change["close_code"]) == ("3", "successful")
    assert told.events(ChangeClosed) == [ChangeClosed(number=state.change.number, code="successful")]

    (pull,) = town.pulls_of(told.promotion)
    assert (pull["state"], pull["merged_at"] is not None) == ("closed", True)
    head = town.forge_as("dana", "GET", f"/repos/acme/ml-gitops/commits/{pull['head']['sha']}/status")
    assert head["state"] == "success"
    assert {"lockgate/policy", "lockgate/signature", "lockgate/gates"} <= {
        status["context"] for status in head["statuses"]
    }

    serves = town.on_main()
    assert serves is not None
    assert (serves.stable, serves.candidate) == (candidate, None)
    assert town.kserve.get("risk-preview", MODEL) is None, "the preview is still there"
    assert town.git("oscar").head(f"lockgate/{told.promotion}") is None, "the branch is still there"
    story.holds()


@pytest.mark.parametrize("story", [""], indirect=True, ids=["nothing serves"])
def test_the_first_version_of_a_model_is_approved_before_the_merge(story: Story) -> None:
    """With nothing to fall back on, people say yes before any request can reach it; then 100 at once."""
    town = story.town
    town.write_rules(approval={})
    candidate = town.version()
    assert town.split() == {}

    told = story.promote(candidate)
    told.when(waits("approval_pending"), lambda state: town.approve(state.change.number))
    state = told.drive()

    assert state.ended is not None
    assert state.ended.outcome == "promoted"
    assert state.started.stable is None
    assert [event.share_percent for event in told.events(ShareCommitted)] == [100]
    assert state.done["approve"] < state.done["merge"]
    serves = town.on_main()
    assert serves is not None
    assert (serves.stable, serves.candidate, serves.share_percent) == (candidate, None, 100)
    story.holds()


def test_what_serves_already_is_not_promoted_again(story: Story) -> None:
    """Asked for the version that serves, nothing begins; asked twice for a new one, one promotion begins."""
    town = story.town
    serves = town.on_main()
    assert serves is not None
    told = story.promote(town.version())
    repository = told.desktop.repository()

    def ask(version: object) -> str | AlreadyServes:
        wish = Wish(
            model=MODEL, environment="prod", version=version, requested_by="oscar", reason="asked again"
        )
        return start(wish, repository, told.desktop.journals(repository), told.clock)

    assert ask(told.candidate) == told.promotion
    assert isinstance(ask(serves.stable), AlreadyServes)

    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "promoted"
    assert isinstance(ask(told.candidate), AlreadyServes)
    story.holds()
