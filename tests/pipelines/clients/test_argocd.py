"""The Argo CD client against the rehearsal's Argo CD and KServe, over HTTP and git.

Covered: exact commits, adoption, every refusal, lost answers, nonsense answers, reading Knative and
Standard services through their sequences, doctor. Left out: TLS with a private authority.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from pipelines.clients.argocd import ArgoCdDeployer
from pipelines.errors import AccessDenied, CouldNotTell, Misbehaved, NotYet, Refused, Unreachable
from pipelines.ports import Deployer, Deployment
from pipelines.rehearsal.argocd import Window
from pipelines.rehearsal.server import Fault
from tests.clusters import NAMESPACE, SERVICE, World, config_map, eventually, knative, standard, uri

MISSING = "0" * 39 + "1"
SYNC = "/sync$"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path).running() as running:
        yield running


def client(world: World, *, token: str = "token-promoter", **changes: Any) -> ArgoCdDeployer:
    settings = {"project": "gated", "application": "prod", "timeout_seconds": 5.0, **changes}
    return ArgoCdDeployer(url=world.argocd.url, token=token, **settings)


def posts(world: World) -> int:
    return sum(method == "POST" and path.endswith("/sync") for method, path in world.argocd.requests)


def settle(world: World, sha: str, outcome: str = "done") -> None:
    """Sync a commit and wait for its outcome."""
    deployer = client(world)
    eventually(lambda: _try_sync(deployer, sha), what="a sync")
    eventually(lambda: deployer.synced(sha).outcome == outcome, what=f"{sha} {outcome}")


def _try_sync(deployer: ArgoCdDeployer, sha: str) -> bool:
    try:
        deployer.sync(sha)
    except NotYet:
        return False
    return True


def read(world: World, mode: Literal["Knative", "Standard"] = "Knative", name: str = SERVICE) -> Deployment:
    return client(world).deployment(namespace=NAMESPACE, service=name, mode=mode)


def ready(world: World, mode: Literal["Knative", "Standard"] = "Knative") -> Deployment:
    eventually(lambda: read(world, mode).ready, what="readiness")
    return read(world, mode)


def deploy(world: World, version: str, percent: int | None, **notes: str) -> str:
    sha = world.git.commit(knative(version, percent, **notes))
    settle(world, sha)
    return sha


# ------------------------------------------------------------------------- exact commits


def test_a_client_is_a_deployer(world: World) -> None:
    """By its shape."""
    deployer: Deployer = client(world)
    assert deployer.synced(world.git.commit(knative("v1"))).outcome == "not_started"


def test_an_older_commit_than_the_head_is_synced_exactly(world: World) -> None:
    """status.sync.revision is the head and OutOfSync for ever; the commit asked for is still done."""
    first = world.git.commit(config_map("model", version="v1"))
    world.git.commit(config_map("model", version="v2"))
    settle(world, first)
    live = client(world)._object("", "v1", "ConfigMap", NAMESPACE, "model")
    assert live is not None
    assert live["data"] == {"version": "v1"}


def test_running_is_seen_and_is_not_done(world: World) -> None:
    """While the operation runs the outcome is running, with no second POST when asked again."""
    world.argocd.facade.delay_seconds = 0.15
    sha = world.git.commit(knative("v1"))
    deployer = client(world)
    deployer.sync(sha)
    assert deployer.synced(sha).outcome == "running"
    deployer.sync(sha)
    assert posts(world) == 1
    eventually(lambda: deployer.synced(sha).outcome == "done")


def test_a_commit_that_succeeded_is_not_synced_again(world: World) -> None:
    """Adopted from the operation state."""
    sha = deploy(world, "v1", 100)
    client(world).sync(sha)
    assert posts(world) == 1


def test_a_commit_that_others_followed_is_done_and_never_applied_over_them(world: World) -> None:
    """From the history: asking for the older one again would take the newer one back."""
    first = deploy(world, "v1", 100)
    second = deploy(world, "v2", 10)
    deployer = client(world)
    deployer.sync(first)
    assert posts(world) == 2
    assert deployer.synced(first).outcome == "done"
    assert second in deployer.synced(first).sentence


def test_a_commit_never_applied_is_not_started_whatever_else_succeeded(world: World) -> None:
    """Another commit's success is no success of this one."""
    deploy(world, "v1", 100)
    later = world.git.commit(knative("v2", 10))
    assert client(world).synced(later).outcome == "not_started"


def test_a_dry_run_of_the_commit_is_not_done(world: World) -> None:
    """It overwrites the operation state with the same revision and Succeeded."""
    sha = world.git.commit(knative("v1"))
    deployer = client(world)
    deployer._call("POST", "/api/v1/applications/prod/sync", body={"revision": sha, "dryRun": True})
    eventually(lambda: "operation" not in deployer._read(refresh=False))
    assert deployer._read(refresh=False)["status"]["operationState"]["phase"] == "Succeeded"
    assert deployer.synced(sha).outcome == "not_started"
    settle(world, sha)


def test_an_unknown_commit_fails_with_argo_cds_words(world: World) -> None:
    """Posted without complaint, then phase Error."""
    world.git.commit(knative("v1"))
    deployer = client(world)
    deployer.sync(MISSING)
    eventually(lambda: deployer.synced(MISSING).outcome == "failed")
    assert "Failed to load target state" in deployer.synced(MISSING).sentence


def test_a_commit_the_webhook_refuses_fails_with_the_webhooks_words(world: World) -> None:
    """Standard mode with a share above 100."""
    sha = world.git.commit(standard("v1", ("v2", 110)))
    client(world).sync(sha)
    eventually(lambda: client(world).synced(sha).outcome == "failed")
    assert "should be less than or equal to 100" in client(world).synced(sha).sentence


def test_what_is_no_longer_in_the_commit_is_pruned(world: World) -> None:
    """The sync asks for prune."""
    extra = "clusters/prod/risk/old.yaml"
    world.git.write(extra, knative("v1", name="old"))
    settle(world, world.git.commit(knative("v1")))
    assert read(world, name="old").exists
    settle(world, world.git.commit(remove=extra))
    assert not read(world, name="old").exists


# ------------------------------------------------------------------------------ refusals


def test_two_syncs_at_once_are_one_post_that_counts(world: World) -> None:
    """Of several at the same moment exactly one is accepted; the others find it or are told to wait."""
    world.argocd.facade.delay_seconds = 0.2
    shas = [world.git.commit(knative("v1", 100)), world.git.commit(knative("v2", 10))]
    outcomes: list[str] = []
    gate = threading.Barrier(4)

    def ask(sha: str) -> None:
        gate.wait()
        try:
            client(world).sync(sha)
            outcomes.append(f"accepted {sha}")
        except NotYet as problem:
            outcomes.append(problem.reason)

    threads = [threading.Thread(target=ask, args=(sha,)) for sha in shas * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = {outcome for outcome in outcomes if outcome.startswith("accepted")}
    assert len(accepted) == 1
    assert sorted(set(outcomes) - accepted) == ["operation_in_progress"]


def test_a_sync_window_holds(world: World) -> None:
    """Not yet, never refused: the window will end."""
    sha = world.git.commit(knative("v1"))
    world.argocd.set_windows("prod", Window(kind="deny"))
    with pytest.raises(NotYet) as refusal:
        client(world).sync(sha)
    assert refusal.value.reason == "sync_window"
    world.argocd.set_windows("prod")
    settle(world, sha)


def test_auto_sync_is_refused_with_what_to_do(world: World) -> None:
    """Even for the head's own commit."""
    sha = world.git.commit(knative("v1"))
    world.argocd.facade.applications["prod"].auto_sync = True
    with pytest.raises(Refused) as refusal:
        client(world).sync(sha)
    assert refusal.value.reason == "auto_sync_on"
    assert "remove spec.syncPolicy.automated" in refusal.value.sentence


def test_an_answer_that_names_another_commit_is_refused(world: World) -> None:
    """What an ignored body key would look like."""
    sha = world.git.commit(knative("v1"))
    body = json.dumps({"operation": {"sync": {"revision": MISSING}}})
    world.argocd.arm(
        Fault(method="POST", path=SYNC, when="after", status=200, body=body, content_type="application/json")
    )
    with pytest.raises(Refused) as refusal:
        client(world).sync(sha)
    assert refusal.value.reason == "other_revision"


@pytest.mark.parametrize(
    ("token", "changes", "error", "words"),
    [
        ("nonsense", {}, AccessDenied, "token is malformed"),
        ("token-viewer", {}, AccessDenied, "applications, sync, gated/prod"),
    ],
)
def test_missing_rights_are_no_answer(
    world: World, token: str, changes: dict[str, str], error: type[CouldNotTell], words: str
) -> None:
    """Neither a yes nor a no: a person has to look."""
    sha = world.git.commit(knative("v1"))
    with pytest.raises(error, match=words):
        client(world, token=token, **changes).sync(sha)


@pytest.mark.parametrize(
    ("changes", "name"), [({"application": "absent"}, "absent"), ({"project": "other"}, "prod")]
)
def test_an_application_that_is_not_there_yet_is_waited_for(
    world: World, changes: dict[str, str], name: str
) -> None:
    """An ApplicationSet makes it some time after the first commit of a model."""
    sha = world.git.commit(knative("v1"))
    with pytest.raises(NotYet, match=f'"{name}" not found') as found:
        client(world, **changes).sync(sha)
    assert found.value.reason == "no_application"


# ---------------------------------------------------------------------------------- faults


def test_a_sync_whose_answer_was_lost_is_adopted(world: World) -> None:
    """The second run finds the first one's operation and posts nothing."""
    sha = world.git.commit(knative("v1"))
    world.argocd.arm(Fault(method="POST", path=SYNC, when="after", status=502))
    deployer = client(world)
    with pytest.raises(Unreachable):
        deployer.sync(sha)
    deployer.sync(sha)
    eventually(lambda: deployer.synced(sha).outcome == "done")
    deployer.sync(sha)
    assert posts(world) == 1


def test_a_post_is_never_retried_by_the_session(world: World) -> None:
    """One 502, one POST."""
    sha = world.git.commit(knative("v1"))
    world.argocd.arm(Fault(method="POST", path=SYNC, when="before", times=3))
    with pytest.raises(Unreachable, match="HTTP 502"):
        client(world).sync(sha)
    assert posts(world) == 1


def test_a_get_survives_two_bad_gateways(world: World) -> None:
    """Reading again is harmless."""
    sha = world.git.commit(knative("v1"))
    world.argocd.arm(Fault(method="GET", path="refresh", times=2))
    assert client(world).synced(sha).outcome == "not_started"


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (Fault(method="GET", path="prod", times=9), Unreachable, "HTTP 502"),
        (Fault(method="GET", path="prod", status=200), Misbehaved, "text/html instead of a JSON"),
        (Fault(method="GET", path="prod", status=200, body="[]"), Misbehaved, "instead of a JSON"),
        (
            Fault(method="GET", path="prod", status=200, body="{}", content_type="application/json"),
            Misbehaved,
            "no Application",
        ),
        (Fault(method="GET", path="prod", status=302, body="{}"), Misbehaved, "HTTP 302; is the address"),
        (Fault(method="GET", path="prod", delay_seconds=0.6, times=9), Unreachable, "imed ?out|Timeout"),
    ],
    ids=["outage", "html", "list", "empty", "redirect", "slow"],
)
def test_an_outage_or_nonsense_is_not_an_answer(
    world: World, fault: Fault, error: type[CouldNotTell], words: str
) -> None:
    """Nothing of it is read as done, failed or not started."""
    sha = world.git.commit(knative("v1"))
    world.argocd.arm(fault)
    with pytest.raises(error, match=words):
        client(world, timeout_seconds=0.3).synced(sha)
    world.argocd.faults.clear()


def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    """A closed port."""
    world = World(tmp_path)
    deployer = client(world)
    world.argocd.stop()
    with pytest.raises(Unreachable):
        deployer.synced(MISSING)


@pytest.mark.parametrize("body", ["{}", '{"manifest": "<html>"}', '{"manifest": "[]"}', '{"manifest": "{}"}'])
def test_a_resource_that_makes_no_sense_is_not_read(world: World, body: str) -> None:
    """A manifest is JSON of an object with metadata and spec."""
    world.argocd.arm(
        Fault(method="GET", path="resource", status=200, body=body, content_type="application/json")
    )
    with pytest.raises(Misbehaved):
        read(world)


# ---------------------------------------------------------------------- reading Knative


def test_a_service_that_is_not_there_does_not_exist(world: World) -> None:
    """No error: the preview has simply not been made."""
    deployment = read(world)
    assert (deployment.exists, deployment.ready) == (False, False)


def test_a_promotion_up_and_back_reads_as_it_is(world: World) -> None:
    """Sequence A through commits: traffic added up by revision, the other revision named."""
    deploy(world, "v1", 100)
    one, two = (f"{SERVICE}-predictor-0000{number}" for number in (1, 2))
    first = ready(world)
    assert (first.traffic, first.newest_revision, first.stable_revision) == ({one: 100}, one, "")
    for percent in (10, 25, 50):
        deploy(world, "v2", percent)
        seen = ready(world)
        assert seen.traffic == {two: percent, one: 100 - percent}
        assert (seen.newest_revision, seen.stable_revision, seen.uri) == (two, one, uri("v2"))
        assert world.router.serves() == {uri("v2"): percent, uri("v1"): 100 - percent}
    deploy(world, "v2", 100)
    assert ready(world).traffic == {two: 100}
    deploy(world, "v2", 0)
    assert ready(world).traffic == {two: 0, one: 100}
    assert world.router.serves() == {uri("v1"): 100}
    assert ready(world).url == f"http://127.0.0.1:10000/{NAMESPACE}/{SERVICE}"


def test_the_next_canary_after_an_abort_splits_against_the_old_stable(world: World) -> None:
    """Sequence B."""
    for version, percent in (("v1", 100), ("v2", 10), ("v2", 0), ("v3", 10)):
        deploy(world, version, percent)
        ready(world)
    assert read(world).traffic == {f"{SERVICE}-predictor-00003": 10, f"{SERVICE}-predictor-00001": 90}


def test_a_deleted_field_reads_as_a_wish_for_100(world: World) -> None:
    """Sequence C."""
    deploy(world, "v1", 100)
    ready(world)
    deploy(world, "v2", 10)
    ready(world)
    deploy(world, "v2", None)
    assert ready(world).traffic == {f"{SERVICE}-predictor-00002": 100}


def test_ten_after_a_hundred_reads_as_ninety_for_the_old_model(world: World) -> None:
    """Sequence D."""
    for version, percent in (("v1", 100), ("v2", 10), ("v2", 100), ("v2", 10)):
        deploy(world, version, percent)
        ready(world)
    assert read(world).stable_revision == f"{SERVICE}-predictor-00001"
    assert world.router.serves() == {uri("v2"): 10, uri("v1"): 90}


def test_an_annotation_in_mid_canary_is_seen_as_a_third_revision(world: World) -> None:
    """Sequence E."""
    deploy(world, "v1", 100)
    ready(world)
    deploy(world, "v2", 10)
    ready(world)
    deploy(world, "v2", 10, ticket="CHG1")
    assert ready(world).newest_revision == f"{SERVICE}-predictor-00003"


def test_created_again_in_mid_canary_is_never_ready_and_says_why(world: World) -> None:
    """Sequence F: all conditions are True and the entries say 10/90, yet one revision has everything."""
    deploy(world, "v1", 100)
    ready(world)
    deploy(world, "v2", 10)
    ready(world)
    world.kserve.delete(NAMESPACE, SERVICE)
    world.git.commit(config_map("touched"), path="clusters/prod/touched.yaml")
    sha = world.git.commit()
    settle(world, sha)
    eventually(lambda: "100 % though 10 % is asked" in read(world).sentence)
    deployment = read(world)
    assert not deployment.ready
    assert deployment.traffic == {f"{SERVICE}-predictor-00001": 100}


def test_a_candidate_that_does_not_come_up_is_waited_for(world: World) -> None:
    """Sequence G: not ready, not failed; both entries name the old revision."""
    deploy(world, "v1", 100)
    ready(world)
    world.backends.hold(uri("v2"))
    deploy(world, "v2", 10)
    eventually(lambda: read(world).newest_revision.endswith("2"))
    waiting = read(world)
    assert (waiting.ready, waiting.failed) == (False, "")
    assert waiting.traffic == {f"{SERVICE}-predictor-00001": 100}
    assert "InProgress" in waiting.sentence
    world.backends.release(uri("v2"))
    assert ready(world).traffic[f"{SERVICE}-predictor-00002"] == 10


def test_an_impossible_percent_is_a_failure(world: World) -> None:
    """Sequence H: Argo CD says Succeeded; the reason is in a condition."""
    deploy(world, "v1", 100)
    ready(world)
    deploy(world, "v2", 150)
    eventually(lambda: read(world).failed)
    assert "Traffic targets sum to 150" in read(world).failed
    deploy(world, "v2", 10)
    assert ready(world).failed == ""


def test_a_model_that_does_not_load_is_a_failure_with_its_reason(world: World) -> None:
    """BlockedByFailedLoad."""
    deploy(world, "v1", 100)
    ready(world)
    world.backends.fail(uri("v2"), "model.joblib is truncated")
    deploy(world, "v2", 0)
    eventually(lambda: read(world).failed)
    assert read(world).failed == "BlockedByFailedLoad: ModelLoadFailed: model.joblib is truncated"
    assert world.router.serves() == {uri("v1"): 100}


def test_the_failure_of_the_last_candidate_is_not_the_next_ones(world: World) -> None:
    """A status that has not yet come to the new spec is neither ready nor failed."""
    deploy(world, "v1", 100)
    ready(world)
    world.backends.fail(uri("v2"), "truncated")
    deploy(world, "v2", 0)
    eventually(lambda: read(world).failed)
    world.kserve._stopping.set()
    world.kserve._thread.join()
    deploy(world, "v3", 0)
    stale = read(world)
    assert (stale.ready, stale.failed) == (False, "")
    assert f"still serves {uri('v2')}" in stale.sentence


def test_the_old_status_is_not_taken_for_the_new_model_at_100(world: World) -> None:
    """From 100 to 100 the status alone cannot tell; the revision's recorded artifact does."""
    deploy(world, "v1", 100)
    ready(world)
    world.kserve._stopping.set()
    world.kserve._thread.join()
    deploy(world, "v2", 100)
    assert not read(world).ready
    world.kserve.reconcile()
    world.kserve.reconcile()
    assert read(world).ready
    assert read(world).newest_revision == f"{SERVICE}-predictor-00002"


def test_a_format_no_runtime_serves_is_a_failure(world: World) -> None:
    """InvalidSpec."""
    item = knative("v1")
    item["spec"]["predictor"]["model"]["modelFormat"]["name"] = "abacus"
    settle(world, world.git.commit(item))
    eventually(lambda: read(world).failed)
    assert read(world).failed.startswith("InvalidSpec: NoSupportingRuntime: ")


# --------------------------------------------------------------------- reading Standard


def test_standard_mode_by_its_canary_statuses(tmp_path: Path) -> None:
    """Ready with every entry ready; the newest is the last entry; 0.21 really splits."""
    with World(tmp_path, kserve_version="0.21").running() as world:
        settle(world, world.git.commit(standard("v1")))
        stable, canary = f"{SERVICE}-v1-predictor", f"{SERVICE}-v2-predictor"
        assert ready(world, "Standard").traffic == {stable: 100}
        world.backends.hold(uri("v2"))
        settle(world, world.git.commit(standard("v1", ("v2", 10))))
        eventually(lambda: read(world, "Standard").sentence == "entry v2 is not ready")
        assert not read(world, "Standard").ready
        world.backends.release(uri("v2"))
        seen = ready(world, "Standard")
        assert seen.traffic == {stable: 90, canary: 10}
        assert (seen.newest_revision, seen.stable_revision, seen.uri) == (canary, stable, uri("v2"))
        assert world.router.serves() == {uri("v1"): 90, uri("v2"): 10}
        settle(world, world.git.commit(standard("v2")))
        assert ready(world, "Standard").newest_revision == canary
        eventually(lambda: world.router.serves() == {uri("v2"): 100})


def test_standard_mode_of_0_20_says_ready_though_nothing_splits(world: World) -> None:
    """The status repeats the wish; only the metrics can tell."""
    settle(world, world.git.commit(standard("v1")))
    ready(world, "Standard")
    settle(world, world.git.commit(standard("v1", ("v2", 50))))
    assert ready(world, "Standard").traffic[f"{SERVICE}-v2-predictor"] == 50
    assert world.router.serves() == {uri("v1"): 100}


# -------------------------------------------------------------------------------- doctor


def findings(world: World, **settings: Any) -> dict[str, bool | None]:
    return {finding.what: finding.good for finding in client(world, **settings).diagnose()}


def test_doctor_sees_reach_version_rights_and_settings(world: World) -> None:
    """3.2.11 is too old, unless a newer health script is seen at work."""
    assert findings(world) == {"reach": True, "version": False, "rights": True, "settings": True}
    deploy(world, "v1", 100)
    ready(world)
    assert findings(world)["version"] is True


def test_doctor_says_what_to_do(world: World) -> None:
    """A viewer's token, auto-sync on."""
    world.argocd.facade.applications["prod"].auto_sync = True
    advice = {f.what: f.advice for f in client(world, token="token-viewer").diagnose() if not f.good}
    assert "applications, sync, gated/prod, allow" in advice["rights"]
    assert "Remove spec.syncPolicy.automated" in advice["settings"]


def test_doctor_with_a_bad_token_or_name_raises_nothing(world: World) -> None:
    """One finding that says so."""
    assert findings(world, token="nonsense") == {"rights": False}
    assert findings(world, application="absent") == {"reach": False}


def test_doctor_cannot_tell_rights_without_an_answer(world: World) -> None:
    """Unknown is unknown, not bad; an odd version likewise."""
    world.argocd.arm(Fault(method="GET", path="can-i", times=9))
    world.argocd.arm(
        Fault(method="GET", path="version", status=200, body="{}", content_type="application/json")
    )
    assert findings(world) == {"reach": True, "version": None, "rights": None, "settings": True}
