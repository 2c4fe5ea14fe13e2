"""The rehearsal's Argo CD answers over HTTP as a real 3.2.11 did: bodies, refusals, traps.

Covered: what contradicts the obvious, the table of errors, the fixtures, roles, InferenceServices under
Argo CD, health, prune, auto-sync, restart. Left out: calls lockgate never makes (creating projects,
tokens, applications), the watch stream.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pipelines.rehearsal.argocd import ArgoCd, Window
from pipelines.rehearsal.argocd.application import HISTORY_LIMIT
from pipelines.rehearsal.argocd.compare import agrees, merge, service_health, worst
from tests.clusters import NAMESPACE, SERVICE, World, config_map, eventually, knative, standard, uri

APP = "/api/v1/applications/prod"
MISSING = "0" * 39 + "1"
Object = dict[str, Any]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path).running() as running:
        yield running


def call(
    world: World, method: str, path: str, body: Any = None, *, token: str = "token-promoter", **params: str
) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.request(
        method, world.argocd.url + path, json=body, params=params, headers=headers, timeout=10
    )


def get(world: World, **params: str) -> Object:
    answer = call(world, "GET", APP, **params)
    assert answer.status_code == 200, answer.text
    found: Object = answer.json()
    return found


def post_sync(world: World, body: Object | None = None) -> Object:
    answer = call(world, "POST", f"{APP}/sync", body or {})
    assert answer.status_code == 200, answer.text
    found: Object = answer.json()
    return found


def finished(world: World) -> Object:
    """The application once no operation is set."""
    eventually(lambda: "operation" not in get(world), what="the operation's end")
    return get(world)


def sync(world: World, sha: str, **body: Any) -> Object:
    """Sync and wait; the operation state."""
    post_sync(world, {"revision": sha, **body})
    state: Object = finished(world)["status"]["operationState"]
    return state


def refused(answer: requests.Response) -> tuple[int, int, str]:
    body = answer.json()
    assert body["error"] == body["message"]
    return answer.status_code, body["code"], body["message"]


def entry(application: Object, kind: str = "InferenceService") -> Object:
    found: Object = next(e for e in application["status"]["resources"] if e["kind"] == kind)
    return found


def health(world: World) -> str:
    return str(entry(get(world))["health"]["status"])


# --------------------------------------------------------- what contradicts the obvious


def test_sync_revision_is_the_head_and_not_what_was_synced(world: World) -> None:
    """After syncing an older commit: OutOfSync at the head, for ever."""
    first = world.git.commit(config_map("model", version="v1"))
    head = world.git.commit(config_map("model", version="v2"))
    state = sync(world, first)
    application = get(world, refresh="normal", project="gated")
    assert application["status"]["sync"]["revision"] == head
    assert application["status"]["sync"]["status"] == "OutOfSync"
    assert (state["phase"], state["syncResult"]["revision"]) == ("Succeeded", first)


def test_an_unknown_key_is_ignored_and_the_head_is_synced(world: World) -> None:
    """200, and the answer's operation names the head."""
    first = world.git.commit(config_map("model", version="v1"))
    head = world.git.commit(config_map("model", version="v2"))
    assert post_sync(world, {"revison": first})["operation"]["sync"]["revision"] == head


def test_a_40_digit_sha_is_not_looked_at_when_posted(world: World) -> None:
    """200, then phase Error with git's words and no resources."""
    world.git.commit(config_map("model"))
    state = sync(world, MISSING)
    assert state["phase"] == "Error"
    assert state["message"].startswith("ComparisonError: Failed to load target state: ")
    assert f"not our ref {MISSING}" in state["message"]
    assert (state["syncResult"]["revision"], state["syncResult"]["resources"]) == (MISSING, [])


def test_a_short_sha_is_kept_in_the_operation_and_resolved_in_the_result(world: World) -> None:
    """Likewise a branch name."""
    sha = world.git.commit(config_map("model"))
    get(world, refresh="normal")
    for short in (sha[:10], "main"):
        state = sync(world, short)
        assert state["operation"]["sync"]["revision"] == short
        assert state["syncResult"]["revision"] == sha


def test_a_dry_run_overwrites_the_operation_state_and_applies_nothing(world: World) -> None:
    """Told only by operation.sync.dryRun; no history entry."""
    first = world.git.commit(config_map("model", version="v1"))
    sync(world, first)
    second = world.git.commit(config_map("model", version="v2"))
    state = sync(world, second, dryRun=True)
    assert (state["phase"], state["message"]) == ("Succeeded", "successfully synced (no more tasks)")
    assert state["syncResult"]["revision"] == second
    assert state["syncResult"]["resources"][0]["message"] == "configmap/model configured (dry run)"
    assert state["operation"]["sync"]["dryRun"] is True
    assert [e["revision"] for e in get(world)["status"]["history"]] == [first]
    assert config(world)["data"] == {"version": "v1"}


def test_the_first_healthy_after_succeeded_is_the_old_one(tmp_path: Path) -> None:
    """Succeeded, Synced, Healthy; then Progressing; then Healthy."""
    world = World(tmp_path)
    world.argocd.start()
    try:
        sync(world, world.git.commit(knative("v1")))
        world.kserve.reconcile()
        world.kserve.reconcile()
        assert health(world) == "Healthy"
        state = sync(world, world.git.commit(knative("v2", 10)))
        assert (state["phase"], entry(get(world))["status"], health(world)) == (
            "Succeeded",
            "Synced",
            "Healthy",
        )
        world.kserve.reconcile()
        assert health(world) == "Progressing"
        world.kserve.reconcile()
        assert health(world) == "Healthy"
    finally:
        world.argocd.stop()
        world.kserve.stop()


def test_a_post_answers_without_operation_state_which_comes_back_as_running(world: World) -> None:
    """Cleared while the operation is set; Running with the operation at the root."""
    sync(world, world.git.commit(config_map("model")))
    world.argocd.facade.delay_seconds = 0.15
    answer = post_sync(world)
    assert "operationState" not in answer["status"]
    running = eventually(lambda: (a := get(world))["status"].get("operationState") and a)
    assert running["status"]["operationState"]["phase"] == "Running"
    assert "syncResult" not in running["status"]["operationState"]
    assert "operation" in running


# ------------------------------------------------------------------------ the errors


def test_of_four_syncs_at_the_same_moment_exactly_one_is_accepted(world: World) -> None:
    """The others: 400, code 9."""
    sha = world.git.commit(config_map("model"))
    world.argocd.facade.delay_seconds = 0.2
    gate = threading.Barrier(4)
    answers: list[requests.Response] = []

    def ask() -> None:
        gate.wait()
        answers.append(call(world, "POST", f"{APP}/sync", {"revision": sha}))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
    bad = next(answer for answer in answers if answer.status_code == 400)
    assert refused(bad) == (400, 9, "another operation is already in progress")


def auto_sync(world: World) -> None:
    world.argocd.facade.applications["prod"].auto_sync = True


def deny(world: World) -> None:
    world.argocd.set_windows("prod", Window(kind="deny"))


def shut(world: World) -> None:
    world.argocd.set_windows("prod", Window(kind="allow", active=False))


def nothing(world: World) -> None:
    """No preparation."""


ONE_MAP = f"{APP}/resource?resourceName=absent&namespace={NAMESPACE}&group=&project=gated"
ERRORS: list[tuple[str, Callable[[World], None], str, str, Object, str, tuple[int, int, str]]] = [
    ("no token", nothing, "GET", APP, {}, "", (401, 16, "no session information")),
    (
        "malformed token",
        nothing,
        "GET",
        APP,
        {},
        "x",
        (401, 16, "invalid session: token is malformed: token contains an invalid number of segments"),
    ),
    (
        "auto-sync, the head's own SHA",
        auto_sync,
        "POST",
        f"{APP}/sync",
        {"revision": "HEAD_SHA"},
        "token-promoter",
        (400, 9, "Cannot sync to HEAD_SHA: auto-sync currently set to main"),
    ),
    (
        "rollback under auto-sync",
        auto_sync,
        "POST",
        f"{APP}/rollback",
        {"id": 0},
        "token-promoter",
        (400, 9, "rollback cannot be initiated when auto-sync is enabled"),
    ),
    (
        "unknown branch",
        nothing,
        "POST",
        f"{APP}/sync",
        {"revision": "no-such-branch"},
        "token-promoter",
        (
            400,
            9,
            "error resolving repo revision: rpc error: code = Unknown desc = "
            "unable to resolve 'no-such-branch' to a commit SHA",
        ),
    ),
    (
        "deny window",
        deny,
        "POST",
        f"{APP}/sync",
        {},
        "token-promoter",
        (403, 7, "cannot sync: blocked by sync window"),
    ),
    (
        "dry run in a deny window",
        deny,
        "POST",
        f"{APP}/sync",
        {"dryRun": True},
        "token-promoter",
        (403, 7, "cannot sync: blocked by sync window"),
    ),
    (
        "outside the only allow window",
        shut,
        "POST",
        f"{APP}/sync",
        {},
        "token-promoter",
        (403, 7, "cannot sync: blocked by sync window"),
    ),
    (
        "wrong project",
        nothing,
        "POST",
        f"{APP}/sync",
        {"project": "other"},
        "token-promoter",
        (404, 5, 'applications.argoproj.io "prod" not found'),
    ),
    (
        "absent, no project, even for the administrator",
        nothing,
        "POST",
        "/api/v1/applications/absent/sync",
        {},
        "token-admin",
        (403, 7, "permission denied"),
    ),
    (
        "absent, with a project",
        nothing,
        "GET",
        "/api/v1/applications/absent?project=gated",
        {},
        "token-admin",
        (404, 5, 'applications.argoproj.io "absent" not found'),
    ),
    (
        "terminate nothing",
        nothing,
        "DELETE",
        f"{APP}/operation",
        {},
        "token-promoter",
        (400, 3, "Unable to terminate operation. No operation is in progress"),
    ),
    (
        "rollback to an absent id",
        nothing,
        "POST",
        f"{APP}/rollback",
        {"id": 999},
        "token-promoter",
        (400, 3, "application argocd/prod does not have deployment with id 999"),
    ),
    (
        "resource not in the tree",
        nothing,
        "GET",
        f"{ONE_MAP}&version=v1&kind=ConfigMap",
        {},
        "token-promoter",
        (400, 3, "ConfigMap  absent not found as part of application prod"),
    ),
    (
        "resource without a kind",
        nothing,
        "GET",
        f"{ONE_MAP}&version=v1",
        {},
        "token-promoter",
        (500, 13, 'grpc: error while marshaling: proto: required field "kind" not set'),
    ),
    ("unknown call", nothing, "GET", "/api/v1/nonsense", {}, "token-promoter", (404, 5, "Not Found")),
    (
        "a viewer syncs",
        nothing,
        "POST",
        f"{APP}/sync",
        {},
        "token-viewer",
        (403, 7, "permission denied: applications, sync, gated/prod, sub: proj:gated:viewer, iat: now"),
    ),
    (
        "local manifests",
        nothing,
        "POST",
        f"{APP}/sync",
        {"manifests": ["{}"]},
        "token-promoter",
        (403, 7, "permission denied: applications, override, gated/prod, sub: proj:gated:promoter, iat: now"),
    ),
    ("PUT spec", nothing, "PUT", f"{APP}/spec", {}, "token-promoter", (403, 7, "permission denied")),
    (
        "DELETE resource",
        nothing,
        "DELETE",
        f"{APP}/resource",
        {},
        "token-promoter",
        (403, 7, "permission denied"),
    ),
    (
        "PATCH",
        nothing,
        "PATCH",
        APP,
        {},
        "token-promoter",
        (403, 7, "permission denied: applications, update, gated/prod, sub: proj:gated:promoter, iat: now"),
    ),
    (
        "DELETE",
        nothing,
        "DELETE",
        APP,
        {},
        "token-promoter",
        (403, 7, "permission denied: applications, delete, gated/prod, sub: proj:gated:promoter, iat: now"),
    ),
]


@pytest.mark.parametrize(
    ("prepare", "method", "path", "body", "token", "answer"),
    [r[1:] for r in ERRORS],
    ids=[r[0] for r in ERRORS],
)
def test_errors(
    world: World,
    prepare: Callable[[World], None],
    method: str,
    path: str,
    body: Object,
    token: str,
    answer: tuple[int, int, str],
) -> None:
    """HTTP status, gRPC code and message, word for word."""
    sha = world.git.commit(config_map("model"))
    prepare(world)
    sent = {key: sha if value == "HEAD_SHA" else value for key, value in body.items()}
    http, code, message = answer
    got = refused(call(world, method, path, sent, token=token))
    assert got == (http, code, message.replace("HEAD_SHA", sha))


def test_a_body_that_is_no_object_is_refused(world: World) -> None:
    """400, code 3."""
    assert refused(call(world, "POST", f"{APP}/sync", ["x"]))[:2] == (400, 3)


@pytest.mark.parametrize("body", [{}, {"revision": "main"}, {"revision": MISSING, "dryRun": True}])
def test_what_auto_sync_lets_pass(world: World, body: Object) -> None:
    """The branch itself, and a dry run of anything."""
    world.git.commit(config_map("model"))
    auto_sync(world)
    post_sync(world, body)
    finished(world)


# ---------------------------------------------------------------------------- fixtures


def test_the_answer_of_a_sync_has_the_observed_shape(world: World) -> None:
    """Operation, spec, resources before the sync; health Healthy though the object is missing."""
    first = world.git.commit(config_map("model", version="v1"))
    get(world, refresh="normal")
    infos = [{"name": "change", "value": "CHG1"}]
    answer = post_sync(world, {"revision": first, "prune": True, "infos": infos})
    assert answer["operation"] == {
        "sync": {
            "revision": first,
            "prune": True,
            "source": {"repoURL": world.git.url, "path": "clusters/prod", "targetRevision": "main"},
            "syncOptions": ["CreateNamespace=true"],
        },
        "info": infos,
        "initiatedBy": {"username": "proj:promoter"},
        "retry": {},
    }
    assert answer["status"]["resources"] == [
        {"version": "v1", "kind": "ConfigMap", "namespace": NAMESPACE, "name": "model", "status": "OutOfSync"}
    ]
    assert answer["status"]["health"]["status"] == "Healthy"
    assert answer["spec"]["syncPolicy"] == {"syncOptions": ["CreateNamespace=true"]}
    assert finished(world)["status"]["operationState"]["operation"]["info"] == [
        {"name": "change", "value": "CHG1"}
    ]


def test_a_finished_sync_has_the_observed_shape(world: World) -> None:
    """Phase, message, result entries, history; operationState is absent before the first."""
    sha = world.git.commit(config_map("model"))
    assert "operationState" not in get(world)["status"]
    state = sync(world, sha)
    assert (state["phase"], state["message"]) == ("Succeeded", "successfully synced (all tasks run)")
    assert state["syncResult"]["resources"] == [
        {
            "group": "",
            "version": "v1",
            "kind": "ConfigMap",
            "namespace": NAMESPACE,
            "name": "model",
            "status": "Synced",
            "message": "configmap/model created",
            "hookPhase": "Running",
            "syncPhase": "Sync",
        }
    ]
    history = get(world)["status"]["history"]
    assert [(e["id"], e["revision"], e["initiatedBy"]) for e in history] == [
        (0, sha, {"username": "proj:promoter"})
    ]


def test_strategy_and_options_are_translated(world: World) -> None:
    """Strategy becomes syncStrategy; options are an object going in and a list coming out."""
    world.git.commit(config_map("model"))
    body = {"strategy": {"apply": {}}, "syncOptions": {"items": ["ServerSideApply=true"]}}
    made = post_sync(world, body)["operation"]["sync"]
    assert (made["syncStrategy"], made["syncOptions"]) == ({"apply": {}}, ["ServerSideApply=true"])


def test_history_keeps_ten_and_counts_repeats(world: World) -> None:
    """Oldest first; the same SHA again is a new entry."""
    sha = world.git.commit(config_map("model"))
    world.argocd.facade.delay_seconds = 0.0
    for _ in range(HISTORY_LIMIT + 2):
        sync(world, sha)
    assert [e["id"] for e in get(world)["status"]["history"]] == list(range(2, HISTORY_LIMIT + 2))


def test_a_terminated_operation_fails_and_leaves_no_history(world: World) -> None:
    """DELETE …/operation answers {}."""
    sha = world.git.commit(config_map("model"))
    world.argocd.facade.delay_seconds = 0.15
    post_sync(world, {"revision": sha})
    answer = call(world, "DELETE", f"{APP}/operation")
    assert (answer.status_code, answer.json()) == (200, {})
    application = finished(world)
    state = application["status"]["operationState"]
    assert (state["phase"], state["message"]) == ("Failed", "Operation terminated")
    assert state["syncResult"]["revision"] == sha
    assert "history" not in application["status"]


def test_sync_windows_are_told_as_observed(world: World) -> None:
    """No lists without windows; no activeWindows when none is active."""
    deny_json = {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "manualSync": False}

    def told() -> Object:
        found: Object = call(world, "GET", f"{APP}/syncwindows").json()
        return found

    assert told() == {"canSync": True}
    deny(world)
    assert told() == {"activeWindows": [deny_json], "assignedWindows": [deny_json], "canSync": False}
    world.argocd.set_windows("prod", Window(kind="deny", manual_sync=True))
    assert told()["canSync"] is True
    shut(world)
    assert (told()["canSync"], "activeWindows" in told()) == (False, False)
    world.argocd.set_windows("prod", Window(kind="allow"))
    assert told()["canSync"] is True


def test_windows_and_auto_sync_are_set_from_outside_too(world: World) -> None:
    """The rehearsal's own door, for scenarios."""
    door = "/_rehearsal/applications/prod"
    call(world, "POST", door, {"windows": [{"kind": "deny"}]})
    assert not call(world, "GET", f"{APP}/syncwindows").json()["canSync"]
    call(world, "POST", door, {"windows": [], "auto_sync": False})
    assert call(world, "GET", f"{APP}/syncwindows").json() == {"canSync": True}


def config(world: World, name: str = "model") -> Object:
    params = {"resourceName": name, "namespace": NAMESPACE, "group": "", "version": "v1", "kind": "ConfigMap"}
    answer = call(world, "GET", f"{APP}/resource", project="gated", **params)
    assert answer.status_code == 200, answer.text
    found: Object = json.loads(answer.json()["manifest"])
    return found


def test_rollback_needs_only_sync_and_does_not_prune(world: World) -> None:
    """It syncs the entry's commit with strategy apply."""
    extra = "clusters/prod/extra.yaml"
    sync(world, world.git.commit(config_map("model", version="v1")))
    world.git.write(extra, config_map("extra"))
    sync(world, world.git.commit(config_map("model", version="v2")))
    answer = call(world, "POST", f"{APP}/rollback", {"id": 0})
    assert answer.status_code == 200
    assert answer.json()["operation"]["sync"]["syncStrategy"] == {"apply": {}}
    finished(world)
    assert config(world)["data"] == {"version": "v1"}
    assert config(world, "extra")["metadata"]["name"] == "extra"


def test_prune_happens_only_when_asked_for(world: World) -> None:
    """Without it the object stays and the application is OutOfSync."""
    extra = "clusters/prod/extra.yaml"
    world.git.write(extra, config_map("extra"))
    sync(world, world.git.commit(config_map("model")))
    sha = world.git.commit(remove=extra)
    sync(world, sha)
    application = get(world)
    left = next(e for e in application["status"]["resources"] if e["name"] == "extra")
    assert (left["status"], left["requiresPruning"]) == ("OutOfSync", True)
    assert application["status"]["sync"]["status"] == "OutOfSync"
    state = sync(world, sha, prune=True, dryRun=True)
    assert state["syncResult"]["resources"][-1]["message"] == "pruned (dry run)"
    state = sync(world, sha, prune=True)
    assert state["syncResult"]["resources"][-1]["message"] == "pruned"
    assert get(world)["status"]["sync"]["status"] == "Synced"


def test_what_others_own_is_never_pruned(world: World) -> None:
    """Tracking is by the application's own annotation."""
    world.argocd.add_application("preview", "gated", "clusters/preview", "risk-preview")
    world.git.write("clusters/preview/map.yaml", config_map("theirs", namespace="risk-preview"))
    sha = world.git.commit(config_map("model"))
    call(world, "POST", "/api/v1/applications/preview/sync", {"revision": sha, "prune": True})
    world.argocd.facade.wait()
    sync(world, sha, prune=True)
    preview = call(world, "GET", "/api/v1/applications/preview").json()
    assert [e["name"] for e in preview["status"]["resources"]] == ["theirs"]
    assert preview["status"]["sync"]["status"] == "Synced"


def test_roles_see_what_they_may(world: World) -> None:
    """List, project, user, rights, version without a token."""
    assert [a["metadata"]["name"] for a in call(world, "GET", "/api/v1/applications").json()["items"]] == [
        "prod"
    ]
    assert call(world, "GET", "/api/v1/projects/gated").json()["metadata"]["name"] == "gated"
    assert call(world, "GET", "/api/v1/projects/none").status_code == 404
    assert call(world, "GET", "/api/v1/session/userinfo").json()["username"] == "promoter"
    assert call(world, "GET", "/api/version", token="").json() == {"Version": "v3.2.11"}
    rights = "/api/v1/account/can-i/applications/sync/gated/prod"
    assert call(world, "GET", rights).json() == {"value": "yes"}
    assert call(world, "GET", rights, token="token-viewer").json() == {"value": "no"}


def test_an_unknown_role_is_refused_at_once(world: World, tmp_path: Path) -> None:
    """A token nobody defined rights for."""
    with pytest.raises(ValueError, match="not wizard"):
        ArgoCd(world.kserve, git_url="x", git_token="", tokens={"wizard": "t"}, folder=tmp_path / "other")


# ------------------------------------------------------ InferenceServices under Argo CD


def _model(item: Object, **changes: Any) -> Object:
    item["spec"]["predictor"]["model"].update(changes)
    return item


def _predictor(item: Object, **changes: Any) -> Object:
    item["spec"]["predictor"].update(changes)
    return item


def _mode(item: Object, value: str) -> Object:
    item["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] = value
    return item


def _limits(**limits: Any) -> Object:
    return _model(knative("v1"), resources={"limits": limits})


COMMITTED: list[tuple[str, Object, str, str, str]] = [
    ("v2 10", knative("v2", 10), "Succeeded", "Synced", "Healthy"),
    ("percent 150", knative("v2", 150), "Succeeded", "Synced", "Progressing"),
    ("a canary never ready", knative("never", 10), "Succeeded", "Synced", "Progressing"),
    (
        "a format nobody serves",
        _model(knative("v2"), modelFormat={"name": "abacus"}),
        "Succeeded",
        "Synced",
        "Degraded",
    ),
    (
        "a misspelt field",
        _predictor(knative("v1"), canaryTraficPercent=10),
        "Succeeded",
        "OutOfSync",
        "Healthy",
    ),
    ("cpu 1.5", _limits(cpu=1.5), "Succeeded", "OutOfSync", "Healthy"),
    ("memory 2048Mi", _limits(memory="2048Mi"), "Succeeded", "OutOfSync", "Healthy"),
    ("canonical quantities", _limits(cpu="1500m", memory="2Gi"), "Succeeded", "Synced", "Healthy"),
    ("cpu '2'", _limits(cpu="2"), "Succeeded", "Synced", "Healthy"),
    ("legacy mode", _mode(knative("v1"), "Serverless"), "Succeeded", "OutOfSync", "Healthy"),
    ("mode changed", _mode(knative("v1"), "Standard"), "Failed", "OutOfSync", "Healthy"),
]


@pytest.mark.parametrize(
    ("item", "phase", "sync_status", "settled"), [r[1:] for r in COMMITTED], ids=[r[0] for r in COMMITTED]
)
def test_what_a_commit_comes_to(
    world: World, item: Object, phase: str, sync_status: str, settled: str
) -> None:
    """Operation, sync and the InferenceService's health, after a healthy v1."""
    world.backends.hold(uri("never"))
    sync(world, world.git.commit(knative("v1")))
    eventually(lambda: health(world) == "Healthy")
    state = sync(world, world.git.commit(item))
    assert state["phase"] == phase
    eventually(lambda: health(world) == settled, what=settled)
    assert entry(get(world))["status"] == sync_status


def test_a_refused_change_names_the_webhook(world: World) -> None:
    """The mode of a live object; the resource is SyncFailed."""
    sync(world, world.git.commit(knative("v1")))
    eventually(lambda: health(world) == "Healthy")
    state = sync(world, world.git.commit(_mode(knative("v1"), "Standard")))
    assert state["message"].startswith("one or more objects failed to apply, reason: error when patching")
    assert "deploymentMode cannot be changed from 'Knative' to 'Standard'" in state["message"]
    result = state["syncResult"]["resources"][0]
    assert (result["status"], result["hookPhase"]) == ("SyncFailed", "Failed")


def test_150_percent_shows_kserves_words_in_the_health_message(world: World) -> None:
    """The only place Argo CD tells it."""
    sync(world, world.git.commit(knative("v1")))
    eventually(lambda: health(world) == "Healthy")
    sync(world, world.git.commit(knative("v2", 150)))
    eventually(lambda: health(world) == "Progressing")
    assert "Traffic targets sum to 150, want 100" in entry(get(world))["health"]["message"]


def test_a_misspelt_field_fails_under_server_side_apply(world: World) -> None:
    """Only there."""
    sha = world.git.commit(_predictor(knative("v1"), canaryTraficPercent=10))
    state = sync(world, sha, syncOptions={"items": ["ServerSideApply=true"]})
    assert state["phase"] == "Failed"
    assert ".spec.predictor.canaryTraficPercent: field not declared in schema" in state["message"]


def test_standard_mode_under_argo_cd(world: World) -> None:
    """An entry without model.name is Synced; a canary not ready is Progressing."""
    sync(world, world.git.commit(standard("v1")))
    eventually(lambda: health(world) == "Healthy")
    world.backends.hold(uri("v2"))
    sync(world, world.git.commit(standard("v1", ("v2", 10))))
    eventually(lambda: health(world) == "Progressing")
    assert "CanaryPredictorReady is False CanariesNotReady" in entry(get(world))["health"]["message"]
    assert entry(get(world))["status"] == "Synced"
    world.backends.release(uri("v2"))
    eventually(lambda: health(world) == "Healthy")


def test_a_removed_canary_degrades_the_application_and_not_the_service(world: World) -> None:
    """The autoscaler left behind; only the InferenceService's own entry can be trusted."""
    world.argocd.facade.orphan_seconds = 0.2
    for item in (standard("v1"), standard("v1", ("v2", 10)), standard("v1")):
        sync(world, world.git.commit(item))
        eventually(lambda: health(world) == "Healthy")
    eventually(lambda: get(world)["status"]["health"]["status"] == "Degraded")
    application = get(world)
    assert entry(application)["health"]["status"] == "Healthy"
    assert application["status"]["sync"]["status"] == "Synced"


def test_the_live_object_and_its_revisions_are_read_through_argo_cd(world: World) -> None:
    """The tree names them; a Revision is found as part of the application."""
    sync(world, world.git.commit(knative("v1")))
    eventually(lambda: health(world) == "Healthy")
    nodes = call(world, "GET", f"{APP}/resource-tree").json()["nodes"]
    assert {node["kind"] for node in nodes} == {"InferenceService", "Service", "Revision"}
    revision = next(node for node in nodes if node["kind"] == "Revision")
    assert revision["parentRefs"][0]["name"] == SERVICE


def test_a_namespace_left_out_is_the_applications(world: World) -> None:
    """And files deeper down, JSON and several objects in one file are read; others are not."""
    item = config_map("model")
    del item["metadata"]["namespace"]
    world.git.write("clusters/prod/readme.md", "kind: nothing")
    world.git.write("clusters/prod/a/b/two.yaml", config_map("one"), config_map("two"))
    world.git.write(
        "clusters/prod/three.json", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"three"}}'
    )
    sync(world, world.git.commit(item))
    assert sorted(e["name"] for e in get(world)["status"]["resources"]) == ["model", "one", "three", "two"]
    assert config(world)["metadata"]["namespace"] == NAMESPACE


def test_a_field_taken_out_of_git_is_taken_out_of_the_cluster(world: World) -> None:
    """Three-way: what the last apply had and this one has not."""
    sync(world, world.git.commit(config_map("model", a="1", b="2")))
    sync(world, world.git.commit(config_map("model", a="1")))
    assert config(world)["data"] == {"a": "1"}


def test_a_file_that_is_no_yaml_is_a_comparison_error(world: World) -> None:
    """So is a path that is gone; what was live stays."""
    good = world.git.commit(config_map("model"))
    sync(world, good)
    world.git.write("clusters/prod/broken.yaml", "a: [1")
    state = sync(world, world.git.commit())
    assert state["phase"] == "Error"
    assert "broken.yaml" in state["message"]
    application = get(world, refresh="normal")
    assert application["status"]["sync"]["status"] == "Unknown"
    assert application["status"]["conditions"][0]["type"] == "ComparisonError"
    world.git.git("rm", "-rq", "clusters/prod")
    state = sync(world, world.git.commit())
    assert "app path does not exist" in state["message"]
    assert config(world)["metadata"]["name"] == "model"


# -------------------------------------------------------------- auto-sync and restarts


def test_auto_sync_follows_the_head(world: World) -> None:
    """On refresh, by itself, marked automated; once per commit."""
    sha = world.git.commit(config_map("model", version="v1"))
    world.argocd.set_auto_sync("prod", True)
    state = finished(world)["status"]["operationState"]
    assert (state["phase"], state["syncResult"]["revision"]) == ("Succeeded", sha)
    assert state["operation"]["initiatedBy"] == {"automated": True}
    assert state["operation"]["retry"] == {"limit": 5}
    newer = world.git.commit(config_map("model", version="v2"))
    get(world, refresh="normal")
    eventually(lambda: finished(world)["status"]["operationState"]["syncResult"]["revision"] == newer)
    assert "automated" in get(world)["spec"]["syncPolicy"]
    get(world, refresh="normal")
    assert "operation" not in get(world)


def test_after_a_restart_what_was_applied_is_there_again(tmp_path: Path) -> None:
    """History, operation state and objects come back from the folder."""
    with World(tmp_path).running() as world:
        sha = world.git.commit(config_map("model", version="v1"))
        sync(world, sha)
    again = ArgoCd(
        world.kserve,
        git_url=world.git.url,
        git_token="",
        tokens={"promoter": "token-promoter"},
        folder=tmp_path / "argocd",
    )
    again.add_application("prod", "gated", "clusters/prod", NAMESPACE)
    again.start()
    try:
        world.argocd = again
        application = get(world, refresh="normal")
        assert application["status"]["history"][0]["revision"] == sha
        assert application["status"]["operationState"]["phase"] == "Succeeded"
        assert application["status"]["sync"]["status"] == "Synced"
        assert config(world)["data"] == {"version": "v1"}
    finally:
        again.stop()


# ------------------------------------------------------------------------- pure parts


def _status(transition: str = "", **conditions: str) -> Object:
    model = {"modelStatus": {"transitionStatus": transition}} if transition else {}
    return {"status": {**model, "conditions": [{"type": k, "status": v} for k, v in conditions.items()]}}


HEALTH: list[tuple[Object, str]] = [
    ({}, "Progressing"),
    ({"status": {}}, "Progressing"),
    (_status("UpToDate", Ready="True", Stopped="False"), "Healthy"),
    (_status("", Ready="True"), "Healthy"),
    (_status("UpToDate", Ready="False"), "Progressing"),
    (_status("UpToDate", Ready="Unknown"), "Progressing"),
    (_status("InProgress", Ready="True"), "Progressing"),
    (_status("BlockedByFailedLoad", Ready="False"), "Degraded"),
    (_status("InvalidSpec", Ready="True"), "Degraded"),
    (_status("UpToDate", Ready="True", CanaryPredictorReady="False"), "Progressing"),
    (_status("UpToDate", Ready="False", Stopped="True"), "Suspended"),
]


@pytest.mark.parametrize(("item", "status"), HEALTH)
def test_the_shipped_health_script(item: Object, status: str) -> None:
    """No Degraded for a False condition; canary traffic is invisible."""
    assert service_health(item).status == status


def test_the_worst_health_counts_and_missing_does_not() -> None:
    """Healthy when there is nothing to judge."""
    assert worst(["Healthy", "Degraded", "Progressing", "Missing"]) == "Degraded"
    assert worst(["Missing"]) == worst([]) == "Healthy"


def test_lists_are_replaced_whole_and_compared_element_by_element() -> None:
    """Fields the cluster added inside an element are no difference."""
    live = {"canary": [{"name": "v2", "model": {"name": "", "uri": "a"}}], "added": 1}
    desired = {"canary": [{"name": "v2", "model": {"uri": "a"}}]}
    assert merge(None, desired, live) == {"added": 1, **desired}
    assert agrees(None, desired, live)
    assert not agrees(None, {"canary": []}, live)
    assert not agrees(None, {"canary": {}}, live)
    assert not agrees(desired, {}, live)
    assert agrees(None, {"absent": None, "empty": {}}, live)
    assert not agrees(None, {"added": True}, live)
    assert not agrees(None, {"added": {"a": 1}}, live)
    assert merge({"a": 1}, {"b": None}, {"a": 1, "b": 2, "c": 3}) == {"c": 3}
