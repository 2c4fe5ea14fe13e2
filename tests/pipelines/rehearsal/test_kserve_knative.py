"""Knative mode's state machine gives what the real controllers were seen to give, sequence by sequence.

Covered: every row of the sequences A to H, conditions and model states, impossible percentages, what makes
a new revision. Left out: transformers and explainers, which are not modelled.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.rehearsal.kserve import knative, wishes
from pipelines.rehearsal.kserve.admission import admit
from pipelines.rehearsal.parts import Backend
from tests import clusters

READY = Backend(state="ready", port=1)
NO = object()


class Bench:
    """One InferenceService driven through commits, Knative converging at once."""

    def __init__(self) -> None:
        self.state = knative.State(service="i-predictor")
        self.not_ready: set[str] = set()
        self.failed: dict[str, str] = {}
        self.item: dict[str, Any] = {}

    def commit(self, version: str, percent: int | None, **notes: str) -> None:
        self.item = admit(clusters.knative(version, percent, name="i", **notes))
        self.settle()

    def settle(self) -> None:
        # Twice: revisions made in the first round get their servers before the second.
        for _ in range(2):
            self.state = knative.settle(self.state, wishes.of_knative(self.item), self.servers())

    def servers(self) -> dict[str, Backend]:
        servers = {}
        for revision in self.state.revisions:
            version = revision.uri.rpartition("/")[2]
            if version in self.failed:
                servers[revision.name] = Backend(state="failed", port=0, reason=self.failed[version])
            elif version not in self.not_ready:
                servers[revision.name] = READY
        return servers

    def traffic(self) -> str:
        """Status traffic as the table writes it: revision, L for latestRevision, percent."""
        told = knative.status(self.state, "http://i", {})["components"]["predictor"].get("traffic", [])
        return ", ".join(
            f"{int(t['revisionName'][-5:])} {'L ' if t['latestRevision'] else ''}{t['percent']}" for t in told
        )

    def number(self, name: str) -> int:
        return int(name[-5:]) if name else 0

    def serves(self) -> dict[str, int]:
        uris = {revision.name: revision.uri.rpartition("/")[2] for revision in self.state.revisions}
        shares: dict[str, int] = {}
        for name, percent in knative.shares(self.state.served).items():
            if percent:
                shares[uris[name]] = shares.get(uris[name], 0) + percent
        return shares

    def row(self) -> tuple[str, int, int, dict[str, int]]:
        return (
            self.traffic(),
            self.number(self.state.rolled_out),
            self.number(self.state.previous),
            self.serves(),
        )


def _up(version: str) -> Callable[[Bench], None]:
    def act(bench: Bench) -> None:
        bench.not_ready.discard(version)
        bench.settle()

    return act


def _held(version: str, percent: int) -> Callable[[Bench], None]:
    def act(bench: Bench) -> None:
        bench.not_ready.add(version)
        bench.commit(version, percent)

    return act


def _again(version: str, percent: int) -> Callable[[Bench], None]:
    """Deleted and created again from Git."""

    def act(bench: Bench) -> None:
        bench.state = knative.State(service="i-predictor")
        bench.commit(version, percent)

    return act


def _to(version: str, percent: int | None, **notes: str) -> Callable[[Bench], None]:
    return lambda bench: bench.commit(version, percent, **notes)


V1, V2 = {"v1": 100}, {"v2": 100}
SEQUENCES: dict[str, list[tuple[Callable[[Bench], None], tuple[str, int, int, dict[str, int]]]]] = {
    "A: up to 100, back, and up again": [
        (_to("v1", 10), ("1 L 10, 1 90", 1, 0, V1)),
        (_to("v2", 10), ("2 L 10, 1 90", 1, 0, {"v2": 10, "v1": 90})),
        (_to("v2", 25), ("2 L 25, 1 75", 1, 0, {"v2": 25, "v1": 75})),
        (_to("v2", 50), ("2 L 50, 1 50", 1, 0, {"v2": 50, "v1": 50})),
        (_to("v2", 100), ("2 L 100", 2, 1, V2)),
        (_to("v2", 0), ("2 L 0, 1 100", 1, 1, V1)),
        (_to("v2", 100), ("2 L 100", 2, 1, V2)),
    ],
    "B: an abort leaves the next canary the right baseline": [
        (_to("v1", 100), ("1 L 100", 1, 0, V1)),
        (_to("v2", 10), ("2 L 10, 1 90", 1, 0, {"v2": 10, "v1": 90})),
        (_to("v2", 0), ("2 L 0, 1 100", 1, 0, V1)),
        (_to("v3", 10), ("3 L 10, 1 90", 1, 0, {"v3": 10, "v1": 90})),
        (_to("v3", 100), ("3 L 100", 3, 1, {"v3": 100})),
    ],
    "C: deleting the field promotes": [
        (_to("v1", 100), ("1 L 100", 1, 0, V1)),
        (_to("v2", 10), ("2 L 10, 1 90", 1, 0, {"v2": 10, "v1": 90})),
        (_to("v2", None), ("2 L 100", 2, 1, V2)),
    ],
    "D: 100 then 10 without a model change gives 90 to the old model": [
        (_to("v1", 100), ("1 L 100", 1, 0, V1)),
        (_to("v2", 10), ("2 L 10, 1 90", 1, 0, {"v2": 10, "v1": 90})),
        (_to("v2", 100), ("2 L 100", 2, 1, V2)),
        (_to("v2", 10), ("2 L 10, 1 90", 1, 1, {"v2": 10, "v1": 90})),
        (_to("v2", 100), ("2 L 100", 2, 1, V2)),
    ],
    "E: an annotation is a new revision and spoils the way back": [
        (_to("v1", 100), ("1 L 100", 1, 0, V1)),
        (_to("v2", 10), ("2 L 10, 1 90", 1, 0, {"v2": 10, "v1": 90})),
        (_to("v2", 10, note="a"), ("3 L 10, 1 90", 1, 0, {"v2": 10, "v1": 90})),
        (_to("v2", 0, note="a"), ("3 L 0, 1 100", 1, 0, V1)),
        (_to("v2", 100, note="a"), ("3 L 100", 3, 1, V2)),
        (_to("v2", 100, note="b"), ("4 L 100", 4, 3, V2)),
        (_to("v2", 0, note="b"), ("4 L 0, 3 100", 3, 3, V2)),
    ],
    "F: created again in mid-canary, the candidate has everything": [
        (_to("v1", 100), ("1 L 100", 1, 0, V1)),
        (_to("v2", 10), ("2 L 10, 1 90", 1, 0, {"v2": 10, "v1": 90})),
        (_again("v2", 10), ("1 L 10, 1 90", 1, 0, V2)),
        (_to("v1", 100), ("2 L 100", 2, 1, V1)),
    ],
    "G: a candidate that does not get ready gets nothing": [
        (_to("v1", 100), ("1 L 100", 1, 0, V1)),
        (_held("v2", 10), ("1 L 10, 1 90", 1, 0, V1)),
        (_held("v2", 0), ("1 L 0, 1 100", 1, 0, V1)),
        (_up("v2"), ("2 L 0, 1 100", 1, 0, V1)),
        (_to("v1", 100), ("3 L 100", 3, 2, V1)),
    ],
    "H: an impossible percent applies nothing, the new model neither": [
        (_to("v1", 100), ("1 L 100", 1, 0, V1)),
        (_to("v2", 150), ("1 L 100", 1, 0, V1)),
        (_to("v2", 10), ("2 L 10, 1 90", 1, 0, {"v2": 10, "v1": 90})),
        (_to("v1", 10), ("3 L 10, 1 90", 1, 0, V1)),
    ],
}
ROWS = [(name, place) for name, steps in SEQUENCES.items() for place in range(len(steps))]


@pytest.mark.parametrize(("name", "place"), ROWS, ids=[f"{name[0]}{place + 1}" for name, place in ROWS])
def test_every_step_settles_as_observed(name: str, place: int) -> None:
    """Traffic, rolled-out and previous revision, and what really serves, after each commit."""
    bench = Bench()
    for act, _ in SEQUENCES[name][: place + 1]:
        act(bench)
    assert bench.row() == SEQUENCES[name][place][1]


def _conditions(bench: Bench) -> dict[str, str]:
    return {kind: c[0] for kind, c in knative.conditions(bench.state, bench.servers()).items()}


def _model(bench: Bench) -> tuple[str, str, str]:
    told = knative.status(bench.state, "http://i", {})["modelStatus"]
    return told["transitionStatus"], told["states"]["activeModelState"], told["states"]["targetModelState"]


GOOD = dict.fromkeys(
    [
        "IngressReady",
        "LatestDeploymentReady",
        "PredictorConfigurationReady",
        "PredictorReady",
        "PredictorRouteReady",
        "Ready",
        "RoutesReady",
    ],
    "True",
) | {"Stopped": "False"}


def test_a_ready_canary_has_every_condition_true() -> None:
    """All seven True, Stopped False, the model up to date."""
    bench = Bench()
    bench.commit("v1", 100)
    bench.commit("v2", 10)
    assert _conditions(bench) == GOOD
    assert _model(bench) == ("UpToDate", "Loaded", "Loaded")


def test_a_canary_not_ready_makes_conditions_unknown_while_routes_stay() -> None:
    """G: Unknown where the configuration is concerned; route and ingress still True."""
    bench = Bench()
    bench.commit("v1", 100)
    _held("v2", 10)(bench)
    unknown = ("Ready", "PredictorReady", "PredictorConfigurationReady", "LatestDeploymentReady")
    assert _conditions(bench) == GOOD | dict.fromkeys(unknown, "Unknown")
    latest = knative.conditions(bench.state, bench.servers())["LatestDeploymentReady"]
    assert latest[1] == "PredictorConfigurationReady not ready"
    assert _model(bench) == ("InProgress", "Loaded", "Pending")
    assert (bench.state.created, bench.state.ready) == ("i-predictor-00002", "i-predictor-00001")


def test_150_percent_is_told_in_two_conditions_alone() -> None:
    """H: PredictorReady and Ready False with Knative's text; the model status stays UpToDate."""
    bench = Bench()
    bench.commit("v1", 100)
    bench.commit("v2", 150)
    assert _conditions(bench) == GOOD | {"PredictorReady": "False", "Ready": "False"}
    status, reason, message = knative.conditions(bench.state, {})["Ready"]
    assert (status, reason) == ("False", "ReconcileFailed")
    assert message.endswith(
        "validation failed: Traffic targets sum to 150, want 100: spec.traffic "
        "expected 0 <= 150 <= 100: spec.traffic[0].percent"
    )
    assert _model(bench) == ("UpToDate", "Loaded", "Loaded")


def test_a_negative_percent_is_refused_for_both_entries() -> None:
    """-5 leaves 105 to the other: the sum is right, each part is not."""
    bench = Bench()
    bench.commit("v1", 100)
    bench.commit("v2", -5)
    assert bench.state.error == (
        "expected 0 <= -5 <= 100: spec.traffic[0].percent expected 0 <= 105 <= 100: spec.traffic[1].percent"
    )
    assert bench.serves() == V1


def test_150_on_the_first_deploy_is_inert_until_it_has_rolled_out() -> None:
    """No rolled-out revision means 100 % latest, whatever is asked; then the wish is refused."""
    bench = Bench()
    bench.commit("v1", 150)
    assert (bench.serves(), bench.traffic()) == (V1, "1 L 100")
    assert "sum to 150" in bench.state.error


def test_150_before_the_first_roll_out_lets_the_new_model_take_all_while_the_status_says_otherwise() -> None:
    """Seen once: requests went to v2, the InferenceService went on saying revision 1 and Ready False."""
    bench = Bench()
    bench.not_ready.add("v1")
    bench.commit("v1", 100)
    bench.commit("v2", 150)
    assert bench.serves() == V2
    assert bench.state.error


def test_git_revert_of_a_bad_candidate_serves_it_until_the_new_revision_is_ready() -> None:
    """The trap behind G's last row: reverting to v1 at 100 is a redeploy, and v2 rolls out meanwhile."""
    bench = Bench()
    bench.commit("v1", 100)
    bench.commit("v2", 0)
    bench.not_ready.add("v1 again")
    bench.item = admit(clusters.knative("v1", 100, name="i"))
    servers = bench.servers()
    bench.state = knative.settle(bench.state, wishes.of_knative(bench.item), servers)
    assert (bench.serves(), bench.state.newest) == (V2, "i-predictor-00003")


def test_a_failed_load_blocks_and_stays_told_after_recovery() -> None:
    """BlockedByFailedLoad with the reason; lastFailureInfo outlives the recovery."""
    bench = Bench()
    bench.commit("v1", 100)
    bench.failed["v2"] = "model.joblib: unexpected end of file"
    bench.commit("v2", 10)
    told = knative.status(bench.state, "http://i", {})["modelStatus"]
    assert _model(bench) == ("BlockedByFailedLoad", "Loaded", "FailedToLoad")
    assert told["lastFailureInfo"]["reason"] == "ModelLoadFailed"
    assert told["lastFailureInfo"]["message"] == "model.joblib: unexpected end of file"
    assert _conditions(bench)["PredictorConfigurationReady"] == "False"
    assert bench.serves() == V1
    bench.failed.clear()
    bench.settle()
    told = knative.status(bench.state, "http://i", {})["modelStatus"]
    assert told["transitionStatus"] == "UpToDate"
    assert told["lastFailureInfo"]["reason"] == "ModelLoadFailed"


@pytest.mark.parametrize(
    ("name", "protocol", "served"),
    [
        ("sklearn", "v2", True),
        ("sklearn", None, True),
        ("nobody", "v2", False),
        ("onnx", None, False),
        ("onnx", "v2", True),
        ("triton", None, True),
        ("VLLM", "v2", False),
    ],
)
def test_a_format_no_runtime_serves_is_an_invalid_spec(name: str, protocol: str | None, served: bool) -> None:
    """InvalidSpec with NoSupportingRuntime; the old model goes on serving."""
    bench = Bench()
    bench.commit("v1", 100)
    bench.item = admit(clusters.knative("v2", 10, name="i"))
    model = bench.item["spec"]["predictor"]["model"]
    model["modelFormat"]["name"] = name
    model["protocolVersion"] = protocol
    bench.settle()
    assert (bench.state.transition != "InvalidSpec") == served
    if not served:
        assert dict(bench.state.failure)["reason"] == "NoSupportingRuntime"
        assert _conditions(bench)["Ready"] == "False"
        assert bench.serves() == V1


TEMPLATE = [
    ("storageUri", lambda item: item["spec"]["predictor"]["model"].update(storageUri="s3://x/y"), True),
    ("resources", lambda item: item["spec"]["predictor"]["model"].update(resources={"limits": {}}), True),
    ("env", lambda item: item["spec"]["predictor"]["model"].update(env=[{"name": "A"}]), True),
    ("minReplicas", lambda item: item["spec"]["predictor"].update(minReplicas=3), True),
    ("scaleTarget", lambda item: item["spec"]["predictor"].update(scaleTarget=5), True),
    ("logger", lambda item: item["spec"]["predictor"].update(logger={"mode": "all"}), True),
    ("a label", lambda item: item["metadata"].update(labels={"team": "risk"}), True),
    ("an annotation", lambda item: item["metadata"]["annotations"].update(ticket="CHG1"), True),
    ("percent", lambda item: item["spec"]["predictor"].update(canaryTrafficPercent=5), False),
    ("modelFormat", lambda item: item["metadata"]["annotations"].update(modelFormat="x"), False),
    ("rollout-duration", "serving.knative.dev/rollout-duration", False),
    ("min-scale", "autoscaling.knative.dev/min-scale", False),
    ("last-applied", "kubectl.kubernetes.io/last-applied-configuration", False),
    ("visibility", lambda i: i["metadata"].update(labels={"networking.knative.dev/visibility": "x"}), False),
]


@pytest.mark.parametrize(("what", "change", "new"), TEMPLATE, ids=[row[0] for row in TEMPLATE])
def test_what_makes_a_new_revision(what: str, change: Any, new: bool) -> None:
    """Every predictor field, annotation and label but the disallowed ones."""
    before = admit(clusters.knative("v1", 100))
    after = copy.deepcopy(before)
    if isinstance(change, str):
        after["metadata"]["annotations"][change] = "1"
    else:
        change(after)
    assert (wishes.of_knative(before).template != wishes.of_knative(after).template) == new


def test_the_observed_generation_is_the_knative_services() -> None:
    """Ahead on a first deploy at 10 (1 is seen as 2), and not moved by a refused wish."""
    bench = Bench()
    bench.commit("v1", 10)
    assert knative.status(bench.state, "http://i", {})["observedGeneration"] == 2
    bench.commit("v1", 150)
    assert knative.status(bench.state, "http://i", {})["observedGeneration"] == 2


def test_the_second_entry_is_tagged_prev_and_the_first_only_with_tag_routing() -> None:
    """Tags and the direct urls behind them."""
    bench = Bench()
    bench.commit("v1", 100)
    bench.commit("v2", 10)
    addresses = {"i-predictor-00002": "http://two", "i-predictor-00001": "http://one"}
    told = knative.status(bench.state, "http://i", {})["components"]["predictor"]["traffic"]
    assert [entry.get("tag") for entry in told] == [None, "prev"]
    bench.commit("v3", 10, **{"serving.kserve.io/enable-tag-routing": "true"})
    told = knative.status(bench.state, "http://i", {**addresses, "i-predictor-00003": "http://three"})
    entries = told["components"]["predictor"]["traffic"]
    assert [(e["tag"], e["url"]) for e in entries] == [("latest", "http://three"), ("prev", "http://one")]


def test_a_cold_revision_takes_no_request_before_its_server_is_up() -> None:
    """Back from 100 to 0: the route stays with the candidate until the old server runs again."""
    bench = Bench()
    bench.commit("v1", 100)
    bench.commit("v2", 100)
    assert [revision.uri for revision in knative.needed(bench.state)] == [clusters.uri("v2")]
    _held("v1", 100)
    bench.not_ready.add("v1")
    bench.commit("v2", 0)
    assert bench.serves() == V2
    assert _conditions(bench)["RoutesReady"] == "Unknown"
    assert clusters.uri("v1") in {revision.uri for revision in knative.needed(bench.state)}
    _up("v1")(bench)
    assert bench.serves() == V1
    assert _conditions(bench) == GOOD


def test_before_the_first_server_is_up_nothing_is_served_and_nothing_is_known() -> None:
    """First deploy: no traffic, no url, Ready Unknown, the target Pending."""
    bench = Bench()
    _held("v1", 100)(bench)
    told = knative.status(bench.state, "http://i", {})
    assert "url" not in told
    assert "traffic" not in told["components"]["predictor"]
    assert _model(bench) == ("InProgress", "", "Pending")
    assert _conditions(bench)["Ready"] == "Unknown"
    assert _conditions(bench)["IngressReady"] == "Unknown"


COMMITS = st.lists(
    st.tuples(
        st.sampled_from(["v1", "v2", "v3"]), st.sampled_from([None, -5, 0, 10, 50, 100, 150]), st.booleans()
    ),
    min_size=1,
    max_size=8,
)


@given(COMMITS)
def test_whatever_is_committed_all_requests_go_somewhere_once(
    commits: list[tuple[str, int | None, bool]],
) -> None:
    """Each served percent is 0..100, all are 100 together, and settling twice is settling once."""
    bench = Bench()
    for version, percent, ready in commits:
        (bench.not_ready.discard if ready else bench.not_ready.add)(version)
        bench.commit(version, percent)
        shares = knative.shares(bench.state.served)
        assert not shares or sum(shares.values()) == 100
        assert all(0 <= share <= 100 for share in shares.values())
        before = bench.state
        bench.settle()
        assert bench.state == before
