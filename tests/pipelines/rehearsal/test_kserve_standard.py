"""Standard mode's state machine gives what KServe 0.20.0 was seen to give, and 0.21's weights on request.

Covered: every row of the observed table; rolling replacement; merging of canary over stable. Left out:
autoscaling itself, which no server here does.
"""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.rehearsal.kserve import standard, wishes
from pipelines.rehearsal.kserve.admission import AUTOSCALER, admit
from pipelines.rehearsal.kserve.standard import KServeVersion
from pipelines.rehearsal.parts import Backend
from tests import clusters

READY = Backend(state="ready", port=1)


class Bench:
    """One InferenceService ``s`` in Standard mode; every needed server is ready unless held."""

    def __init__(self, version: KServeVersion = "0.20") -> None:
        self.version = version
        self.state = standard.State()
        self.held: set[str] = set()
        self.failed: dict[str, str] = {}
        self.item: dict[str, Any] = {}

    def commit(self, item: dict[str, Any]) -> None:
        self.item = admit(item)
        self.settle()

    def settle(self) -> None:
        for _ in range(2):
            wish = wishes.of_standard(self.item)
            self.state = standard.step(self.state, wish, self.servers(), self.version)

    def servers(self) -> dict[str, Backend]:
        found = {}
        for name, uri in standard.needed(self.state).items():
            version = uri.rpartition("/")[2]
            if version in self.failed:
                found[name] = Backend(state="failed", port=0, reason=self.failed[version])
            elif version not in self.held:
                found[name] = READY
        return found

    def serves(self) -> dict[str, int]:
        return {w.uri.rpartition("/")[2]: w.percent for w in self.state.served}

    def statuses(self) -> Any:
        told = standard.status(self.state, "http://s").get("canaryStatuses")
        return told and [(e["name"], e["ready"], e["trafficPercent"]) for e in told]

    def condition(self, kind: str) -> tuple[str, str] | None:
        found = standard.conditions(self.state).get(kind)
        return found[:2] if found else None

    def replicas(self) -> dict[str, int]:
        wish = self.state.wish
        assert wish is not None
        return {w.entry: w.replicas for w in (wish.stable, *wish.canaries)}


def service(stable: str, *canaries: tuple[str, int], **notes: str) -> dict[str, Any]:
    return clusters.standard(stable, *canaries, name="s", **notes)


def with_floor(item: dict[str, Any], replicas: int) -> dict[str, Any]:
    item["spec"]["canary"][0]["predictor"]["minReplicas"] = replicas
    return item


NO_AUTOSCALER = {AUTOSCALER: "none"}
READY_ALL, NOT_READY = ("True", "AllCanariesReady"), ("False", "CanariesNotReady")
ROWS: list[tuple[str, dict[str, Any], dict[str, int], Any, Any]] = [
    ("v1 alone", service("v1"), {"v1": 2}, None, None),
    ("v2 10", service("v1", ("v2", 10)), {"v1": 1, "v2": 1}, [("v2", True, 10)], READY_ALL),
    ("v2 25", service("v1", ("v2", 25)), {"v1": 1, "v2": 1}, [("v2", True, 25)], READY_ALL),
    ("v2 50", service("v1", ("v2", 50)), {"v1": 1, "v2": 1}, [("v2", True, 50)], READY_ALL),
    ("v2 0", service("v1", ("v2", 0)), {"v1": 2, "v2": 1}, [("v2", True, 0)], READY_ALL),
    (
        "v2 0 without autoscaler",
        service("v1", ("v2", 0), **NO_AUTOSCALER),
        {"v1": 2, "v2": 0},
        [("v2", False, 0)],
        NOT_READY,
    ),
    (
        "v2 0 with minReplicas 1",
        with_floor(service("v1", ("v2", 0)), 1),
        {"v1": 1, "v2": 1},
        [("v2", True, 0)],
        READY_ALL,
    ),
    ("v2 100", service("v1", ("v2", 100)), {"v1": 1, "v2": 2}, [("v2", True, 100)], READY_ALL),
    (
        "v2 20, v3 30",
        service("v1", ("v2", 20), ("v3", 30)),
        {"v1": 1, "v2": 1, "v3": 1},
        [("v2", True, 20), ("v3", True, 30)],
        READY_ALL,
    ),
]


@pytest.mark.parametrize(
    ("item", "replicas", "statuses", "condition"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_0_20_starts_canaries_reports_the_wish_and_splits_nothing(
    item: dict[str, Any], replicas: dict[str, int], statuses: Any, condition: Any
) -> None:
    """Pods, canaryStatuses and CanaryPredictorReady as observed; all requests stay with v1."""
    bench = Bench()
    bench.commit(service("v1", **{k: v for k, v in NO_AUTOSCALER.items() if "none" in str(item)}))
    bench.commit(item)
    assert bench.replicas() == replicas
    assert bench.statuses() == statuses
    assert bench.condition("CanaryPredictorReady") == condition
    assert bench.condition("Ready") == ("True", "")
    assert bench.serves() == {"v1": 100}


def test_a_canary_not_ready_leaves_ready_true_and_takes_a_replica_already() -> None:
    """Ready never depends on a canary; the stable gives up its pod at once."""
    bench = Bench()
    bench.commit(service("v1"))
    bench.held.add("v2")
    bench.commit(service("v1", ("v2", 10)))
    assert bench.statuses() == [("v2", False, 10)]
    assert bench.condition("CanaryPredictorReady") == NOT_READY
    assert bench.condition("Ready") == ("True", "")
    assert bench.replicas() == {"v1": 1, "v2": 1}


def test_promotion_keeps_the_canarys_server_and_leaves_its_autoscaler() -> None:
    """The entry goes, predictor.name and model become the canary's: no new server."""
    bench = Bench()
    bench.commit(service("v1"))
    bench.commit(service("v1", ("v2", 50)))
    before = [name for name, uri in standard.needed(bench.state).items() if uri.endswith("v2")]
    bench.commit(service("v2"))
    assert list(standard.needed(bench.state)) == before
    assert bench.serves() == {"v2": 100}
    assert (bench.statuses(), bench.condition("CanaryPredictorReady")) == (None, None)
    assert bench.state.orphans == ("s-v2-predictor",)


def test_rollback_removes_the_server_and_leaves_the_autoscaler_behind() -> None:
    """Without an owner; not when the class is none."""
    for notes, left in ((({}), ("s-v2-predictor",)), (NO_AUTOSCALER, ())):
        bench = Bench()
        bench.commit(service("v1", **notes))
        bench.commit(service("v1", ("v2", 10), **notes))
        bench.commit(service("v1", **notes))
        assert bench.serves() == {"v1": 100}
        assert all(uri.endswith("v1") for uri in standard.needed(bench.state).values())
        assert bench.state.orphans == left


def test_created_again_with_the_entry_both_versions_come_up() -> None:
    """Both are in Git: the stable serves."""
    bench = Bench()
    bench.commit(service("v1", ("v2", 10)))
    assert bench.serves() == {"v1": 100}
    assert bench.statuses() == [("v2", True, 10)]


def test_the_knative_field_is_ignored_and_rolls_the_new_model_out_in_full() -> None:
    """With canaryTrafficPercent 10 and v2's model: only v2 remains."""
    bench = Bench()
    bench.commit(service("v1"))
    item = service("v1")
    item["spec"]["predictor"]["canaryTrafficPercent"] = 10
    item["spec"]["predictor"]["model"]["storageUri"] = clusters.uri("v2")
    bench.commit(item)
    assert bench.serves() == {"v2": 100}


def test_a_new_model_in_place_serves_only_once_it_is_ready() -> None:
    """A rolling replacement: the old server stays until then, Ready is not True meanwhile."""
    bench = Bench()
    bench.commit(service("v1"))
    bench.held.add("v2")
    item = service("v1")
    item["spec"]["predictor"]["model"]["storageUri"] = clusters.uri("v2")
    bench.commit(item)
    assert bench.serves() == {"v1": 100}
    assert bench.condition("Ready") == ("Unknown", "")
    assert standard.status(bench.state, "http://s")["modelStatus"]["transitionStatus"] == "InProgress"
    bench.held.clear()
    bench.settle()
    assert bench.serves() == {"v2": 100}


def test_0_21_gives_ready_canaries_their_weight() -> None:
    """Weights for ready ones alone; at 0 the backendRef stays."""
    bench = Bench("0.21")
    bench.commit(service("v1"))
    bench.held.add("v3")
    bench.commit(service("v1", ("v2", 20), ("v3", 30)))
    assert bench.serves() == {"v1": 80, "v2": 20}
    bench.held.clear()
    bench.settle()
    assert bench.serves() == {"v1": 50, "v2": 20, "v3": 30}
    bench.commit(service("v1", ("v2", 0)))
    assert bench.serves() == {"v1": 100, "v2": 0}


def test_a_stable_that_does_not_load_is_blocked_and_says_so() -> None:
    """BlockedByFailedLoad; nothing is served on a first deploy."""
    bench = Bench()
    bench.failed["v1"] = "out of memory"
    bench.commit(service("v1"))
    told = standard.status(bench.state, "http://s")
    assert told["modelStatus"]["transitionStatus"] == "BlockedByFailedLoad"
    assert told["modelStatus"]["lastFailureInfo"]["message"] == "out of memory"
    assert "url" not in told
    assert bench.condition("Ready") == ("False", "MinimumReplicasUnavailable")


def test_a_format_no_runtime_serves_is_an_invalid_spec() -> None:
    """The old one goes on serving."""
    bench = Bench()
    bench.commit(service("v1"))
    item = service("v2")
    item["spec"]["predictor"]["model"]["modelFormat"]["name"] = "abacus"
    bench.commit(item)
    assert bench.state.transition == "InvalidSpec"
    assert bench.condition("Ready") == ("False", "ReconcileFailed")
    assert bench.serves() == {"v1": 100}


def test_before_anything_was_asked_only_ready_is_told() -> None:
    """Unknown."""
    assert standard.conditions(standard.State()) == {"Ready": ("Unknown", "", "")}
    assert standard.needed(standard.State()) == {}


def test_a_canary_takes_from_the_stable_what_it_does_not_say_itself() -> None:
    """Merged over the stable; empty values do not override."""
    item = service("v1", ("v2", 10))
    item["spec"]["predictor"]["serviceAccountName"] = "reader"
    item["spec"]["canary"][0]["predictor"]["model"] = {"storageUri": "s3://x/v2"}
    wish = wishes.of_standard(admit(item))
    assert wish.canaries[0].uri == "s3://x/v2"
    assert '"serviceAccountName":"reader"' in wish.canaries[0].template
    assert '"protocolVersion":"v2"' in wish.canaries[0].template


def test_an_unnamed_stable_has_the_services_own_name() -> None:
    """<service>-predictor."""
    item = service("v1", ("v2", 10))
    del item["spec"]["predictor"]["name"]
    wish = wishes.of_standard(admit(item))
    assert (wish.stable.deployment, wish.canaries[0].deployment) == ("s-predictor", "s-v2-predictor")


def test_a_change_of_replicas_alone_replaces_no_server() -> None:
    """Only the pod template does; percent and replicas are not in it."""
    one, two = service("v1", ("v2", 10)), service("v1", ("v2", 50))
    two["spec"]["predictor"]["minReplicas"] = 4
    first, second = wishes.of_standard(admit(one)), wishes.of_standard(admit(two))
    assert first.stable.server == second.stable.server
    assert first.canaries[0].server == second.canaries[0].server
