"""KServe at work: servers are started and ended, the router follows the status, crashes are survived.

Covered: the reconcile loop with hand-driven servers. Left out: the state machines, tested by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.rehearsal.kserve import Denied, KServe
from tests.clusters import (
    NAMESPACE,
    SERVICE,
    HandBackends,
    HandRouter,
    eventually,
    knative,
    standard,
    uri,
)

ONE, TWO = (f"{NAMESPACE}/{SERVICE}-predictor-0000{number}" for number in (1, 2))


class Rig:
    """KServe reconciled by hand."""

    def __init__(self, **settings: Any) -> None:
        self.backends = HandBackends()
        self.router = HandRouter(self.backends)
        self.kserve = KServe(self.backends, self.router, restart_seconds=0.0, **settings)

    def settle(self) -> dict[str, Any]:
        for _ in range(6):
            self.kserve.reconcile()
        live = self.kserve.get(NAMESPACE, SERVICE)
        assert live is not None
        return live

    def apply(self, item: dict[str, Any]) -> dict[str, Any]:
        self.kserve.apply(item)
        return self.settle()

    def ready(self) -> str:
        conditions = self.settle()["status"]["conditions"]
        return str(next(c["status"] for c in conditions if c["type"] == "Ready"))


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.kserve.stop()
    assert made.backends.running == {}


def test_after_apply_the_old_status_stands_beside_the_new_spec(rig: Rig) -> None:
    """Until the controllers come to it, as on a real cluster."""
    before = rig.apply(knative("v1"))["status"]
    stored = rig.kserve.apply(knative("v2", 10))
    assert stored["spec"]["predictor"]["canaryTrafficPercent"] == 10
    assert stored["status"] == before


def test_a_server_per_revision_and_weights_by_the_status(rig: Rig) -> None:
    """Keys are <namespace>/<revision>; the url is the router's."""
    rig.apply(knative("v1"))
    live = rig.apply(knative("v2", 25))
    assert rig.backends.running == {ONE: uri("v1"), TWO: uri("v2")}
    split = rig.router.splits[f"{NAMESPACE}/{SERVICE}"]
    assert {key: percent for key, (_, percent) in split.items()} == {ONE: 75, TWO: 25}
    assert (
        live["status"]["url"] == live["status"]["address"]["url"] == rig.router.url(f"{NAMESPACE}/{SERVICE}")
    )


def test_the_wish_alone_moves_nothing(rig: Rig) -> None:
    """A candidate that does not come up: no weight, status as before."""
    rig.apply(knative("v1"))
    rig.backends.hold(uri("v2"))
    rig.apply(knative("v2", 50))
    assert rig.router.serves() == {uri("v1"): 100}
    assert rig.ready() == "Unknown"


def test_revisions_neither_in_traffic_nor_newest_are_ended(rig: Rig) -> None:
    """At 100 the old one ends; at 0 the candidate stays warm."""
    rig.apply(knative("v1"))
    rig.apply(knative("v2", 0))
    assert set(rig.backends.running) == {ONE, TWO}
    rig.apply(knative("v2", 100))
    assert set(rig.backends.running) == {TWO}
    rig.apply(knative("v2", 0))
    assert rig.router.serves() == {uri("v1"): 100}


def test_a_server_that_crashes_after_being_ready_is_started_again(rig: Rig) -> None:
    """As the kubelet does; meanwhile the service is not Ready, the split stays."""
    rig.apply(knative("v1"))
    rig.backends.fail(uri("v1"), "killed")
    rig.kserve.reconcile()
    assert [c["status"] for c in _live(rig)["status"]["conditions"] if c["type"] == "Ready"] == ["False"]
    rig.backends.release(uri("v1"))
    assert rig.ready() == "True"
    assert rig.backends.log.count(("start", ONE)) == 2
    assert rig.router.serves() == {uri("v1"): 100}


def test_a_server_that_never_was_ready_is_not_started_again(rig: Rig) -> None:
    """Its failure stays to be read."""
    rig.backends.fail(uri("v1"), "truncated")
    live = rig.apply(knative("v1"))
    assert live["status"]["modelStatus"]["transitionStatus"] == "BlockedByFailedLoad"
    assert rig.backends.log.count(("start", ONE)) == 1


def test_a_router_that_fails_is_not_claimed_to_split(rig: Rig) -> None:
    """The status keeps the old traffic and says why; it heals by itself."""
    rig.apply(knative("v1"))
    rig.router.broken = "envoy is gone"
    live = rig.apply(knative("v2", 10))
    traffic = live["status"]["components"]["predictor"]["traffic"]
    assert {entry["revisionName"] for entry in traffic} == {f"{SERVICE}-predictor-00001"}
    ingress = next(c for c in live["status"]["conditions"] if c["type"] == "IngressReady")
    assert (ingress["status"], ingress["message"]) == ("False", "ConnectionError: envoy is gone")
    rig.router.broken = ""
    assert rig.ready() == "True"
    assert rig.router.serves() == {uri("v2"): 10, uri("v1"): 90}


def test_delete_ends_servers_and_route_and_a_new_one_starts_from_nothing(rig: Rig) -> None:
    """Created again in mid-canary the newest version has everything."""
    rig.apply(knative("v1"))
    rig.apply(knative("v2", 10))
    rig.kserve.delete(NAMESPACE, SERVICE)
    rig.kserve.delete(NAMESPACE, SERVICE)
    rig.apply(knative("v2", 10))
    assert rig.backends.running == {ONE: uri("v2")}
    assert rig.router.serves() == {uri("v2"): 100}
    rig.kserve.delete(NAMESPACE, SERVICE)
    rig.kserve.reconcile()
    assert rig.router.splits == {}
    assert rig.kserve.get(NAMESPACE, SERVICE) is None
    assert rig.kserve.children(NAMESPACE, SERVICE) == []


def test_generation_counts_specs_and_readings_are_copies(rig: Rig) -> None:
    """An annotation moves only the resourceVersion; nobody can write through a reading."""
    first = rig.apply(knative("v1"))["metadata"]
    second = rig.apply(knative("v1", ticket="CHG1"))["metadata"]
    third = rig.apply(knative("v2", ticket="CHG1"))["metadata"]
    assert [m["generation"] for m in (first, second, third)] == [1, 1, 2]
    assert first["uid"] == third["uid"]
    assert int(second["resourceVersion"]) > int(first["resourceVersion"])
    rig.settle()["spec"].clear()
    assert rig.settle()["spec"]


def test_what_admission_refuses_is_not_stored(rig: Rig) -> None:
    """The live object stays."""
    rig.apply(knative("v1"))
    changed = knative("v1")
    changed["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] = "Standard"
    with pytest.raises(Denied, match="cannot be changed"):
        rig.kserve.apply(changed)
    assert rig.settle()["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Knative"


def test_transition_times_move_only_with_the_condition(rig: Rig) -> None:
    """A settled status is not written again."""
    before = rig.apply(knative("v1"))
    assert rig.settle() == before


def test_children_name_the_artifact_of_each_revision(rig: Rig) -> None:
    """Knative: Service and Revisions, owned."""
    rig.apply(knative("v1"))
    rig.apply(knative("v2", 10))
    children = rig.kserve.children(NAMESPACE, SERVICE)
    revisions = [c for c in children if c["kind"] == "Revision"]
    source = "internal.serving.kserve.io/storage-initializer-sourceuri"
    assert [r["metadata"]["annotations"][source] for r in revisions] == [uri("v1"), uri("v2")]
    assert all(c["metadata"]["ownerReferences"][0]["name"] == SERVICE for c in children)


def test_standard_mode_routes_by_deployment_name_and_leaves_autoscalers() -> None:
    """0.21: weights by Deployment; the removed canary's autoscaler has no owner, also after deletion."""
    rig = Rig(kserve_version="0.21")
    rig.apply(standard("v1"))
    rig.apply(standard("v1", ("v2", 30)))
    split = rig.router.splits[f"{NAMESPACE}/{SERVICE}"]
    shares = {key: percent for key, (_, percent) in split.items()}
    assert shares == {f"{NAMESPACE}/{SERVICE}-v1-predictor": 70, f"{NAMESPACE}/{SERVICE}-v2-predictor": 30}
    route = next(c for c in rig.kserve.children(NAMESPACE, SERVICE) if c["kind"] == "HTTPRoute")
    assert [ref["weight"] for ref in route["spec"]["rules"][0]["backendRefs"]] == [70, 30]
    rig.kserve.delete(NAMESPACE, SERVICE)
    rig.kserve.reconcile()
    assert [item["metadata"]["name"] for item in rig.kserve.leftovers()] == [f"{SERVICE}-v2-predictor"]
    assert rig.backends.running == {}


def test_the_loop_runs_by_itself_until_it_is_stopped() -> None:
    """A background thread; stop ends every server."""
    backends = HandBackends()
    router = HandRouter(backends)
    kserve = KServe(backends, router, poll_seconds=0.01)
    kserve.start()
    kserve.apply(knative("v1"))
    eventually(lambda: router.serves() == {uri("v1"): 100})
    kserve.stop()
    assert backends.running == {}


def _live(rig: Rig) -> dict[str, Any]:
    live = rig.kserve.get(NAMESPACE, SERVICE)
    assert live is not None
    return live
