"""One set of a model's files after another: what looks like a small edit and is none is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines.errors import RenderRefused
from pipelines.render import Serves, check_change, render
from tests.examples import V1, V2, V3, environment, release, serves

FOLDER = "clusters/prod/risk/fraud-scorer"
MODES = ("Knative", "Standard")
NEXT = "fraud-scorer-prod-20261122T031500Z-0001"


def files(wish: Serves, mode: str = "Knative", **serving: Any) -> dict[str, str]:
    return render(release(serving), "prod", environment(mode), wish)


def later(wish: Serves) -> Serves:
    """The same wish, of the next promotion."""
    return replace(wish, promotion=NEXT)


def refusal(before: dict[str, str], after: dict[str, str], *, rollback: bool = False) -> str:
    with pytest.raises(RenderRefused) as refused:
        check_change(before, after, rollback=rollback)
    return str(refused.value)


def edited(wish: Serves, old: str, new: str, mode: str = "Knative") -> dict[str, str]:
    changed = files(wish, mode)
    path = f"{FOLDER}/inferenceservice.yaml"
    assert old in changed[path]
    return {**changed, path: changed[path].replace(old, new)}


ONE, FINISHED = serves(100, V1, None), serves(100, V2, None)


@pytest.mark.parametrize("mode", MODES)
def test_a_whole_promotion_is_one_allowed_change_after_another(mode: str) -> None:
    """Climb, finish, begin the next, roll back, begin the one after: never an objection."""
    climb = [ONE, *(later(serves(share)) for share in (0, 10, 25, 50, 100)), later(FINISHED)]
    after = [serves(share, V2, V3) for share in (0, 10)]
    for before, now in zip([*climb, after[0]], [*climb[1:], *after], strict=False):
        check_change(files(before, mode), files(now, mode))
    check_change(files(after[1], mode), files(serves(0, V2, V3), mode), rollback=True)
    check_change(files(serves(0, V1, V2), mode), files(later(serves(0, V1, V3)), mode))


@pytest.mark.parametrize("mode", MODES)
def test_the_first_version_comes_and_may_go(mode: str) -> None:
    """There is nothing before it to go back to, so a rollback takes its files away."""
    first = files(serves(100, None, V1), mode)
    check_change({}, first)
    check_change(first, {}, rollback=True)
    assert "deleting a model's files is no abort" in refusal(first, {})


@pytest.mark.parametrize("mode", MODES)
def test_abort_is_zero_and_never_a_deletion(mode: str) -> None:
    """Neither the files nor the candidate's share are taken away to abort."""
    before = files(serves(10), mode)
    for rollback in (True, False):
        assert "deleting a model's files is no abort" in refusal(before, {}, rollback=rollback)
        assert "removing the candidate's share is no abort" in refusal(
            before, files(ONE, mode), rollback=rollback
        )
    record_alone = {path: text for path, text in before.items() if path.endswith("record.yaml")}
    assert "deleting a model's files" in refusal(before, record_alone)
    service_alone = {path: text for path, text in before.items() if path not in record_alone}
    assert "deleting a model's files" in refusal(before, service_alone)


def test_a_candidate_becomes_stable_at_100_alone() -> None:
    """Leaving out the stable version half way would skip the approval."""
    assert "makes the candidate stable at 50 %" in refusal(files(serves(50)), files(FINISHED))


@pytest.mark.parametrize("mode", MODES)
def test_lowering_from_100_has_to_be_called_a_rollback(mode: str) -> None:
    """Without a new artifact it brings an older version back, whoever meant to prepare the next one."""
    before, after = files(serves(100), mode), files(serves(0), mode)
    assert "lowers the share from 100 to 0 without a new artifact" in refusal(before, after)
    check_change(before, after, rollback=True)
    finished = files(FINISHED)
    assert "lowers the share from 100 to 10" in refusal(finished, files(later(serves(10))))


def test_a_rollback_goes_to_zero() -> None:
    """Half a rollback leaves live requests with a candidate that was found bad."""
    assert "a rollback to 10 %" in refusal(files(serves(100)), files(serves(10)), rollback=True)


def test_artifact_and_share_change_together() -> None:
    """A new artifact never inherits the share that another one earned."""
    told = refusal(files(serves(25)), files(later(serves(25, V1, V3))))
    assert "puts a new artifact under a share of 25 % that was another's" in told
    told = refusal(files(ONE), files(later(serves(100))))
    assert "puts a new artifact under a share of 100 %" in told


@pytest.mark.parametrize("mode", MODES)
def test_nothing_else_of_the_pods_changes_in_a_promotion(mode: str) -> None:
    """Every other edit is a new revision and costs the way back."""
    before = files(serves(10), mode)
    told = refusal(before, files(serves(25), mode, env={"THRESHOLD": "0.6"}))
    assert "spec.predictor.model.env: changes while the artifact or the promotion is the same" in told
    told = refusal(before, files(later(serves(10)), mode, replicas={"min": 4, "max": 9}))
    assert "spec.predictor.maxReplicas: changes" in told
    old = "  annotations:\n"
    told = refusal(before, edited(serves(10), old, f'{old}    ticket: "CHG1"\n', mode))
    assert "metadata.annotations.ticket: changes" in told


def test_settings_change_with_the_next_artifact_or_while_nothing_is_promoted() -> None:
    """In Knative mode the new revision alone gets them; without a candidate nobody's way back is lost."""
    check_change(files(serves(0)), files(later(serves(0, V1, V3)), env={"A": "1"}))
    check_change(files(ONE), files(later(ONE), env={"A": "1"}))


def test_settings_of_a_standard_stable_stay_while_a_candidate_comes() -> None:
    """There the stable's own pods would restart with them."""
    told = refusal(files(ONE, "Standard"), files(later(serves(0)), "Standard", env={"A": "1"}))
    assert "change it while there is no candidate" in told


def test_the_mode_never_changes() -> None:
    """KServe refuses it after the first status."""
    assert "goes from Knative to Standard mode" in refusal(files(ONE), files(later(ONE), "Standard"))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("spec:", "spec: [", "is not YAML"),
        ("spec:", "spac:", "is no InferenceService that lockgate wrote"),
        ("  predictor:\n", "  predictor: 1\n  other:\n", "is no InferenceService that lockgate wrote"),
    ],
)
def test_what_cannot_be_read_is_refused(old: str, new: str, says: str) -> None:
    """A file that a hand broke is not compared by guessing."""
    assert says in refusal(files(serves(10)), edited(serves(25), old, new))
