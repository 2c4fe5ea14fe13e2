"""Envoy splits as told when `route` returns, counts each revision by name, and loses nothing on the way."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from pipelines.errors import Misbehaved, Unreachable
from pipelines.rehearsal.backends import ProcessBackends
from pipelines.rehearsal.envoy import BUCKETS_MS, EnvoyRouter, find_envoy
from pipelines.rehearsal.processes import Processes, wait_until
from pipelines.rehearsal.training import FEATURES, Faults, constant, write_artifact

SERVICE = "risk-prod/fraud-scorer"
STABLE = "risk-prod/fraud-scorer-predictor-00001"
CANDIDATE = "risk-prod/fraud-scorer-predictor-00002"
SLOW = "risk-prod/fraud-scorer-predictor-00003"
BODY = json.dumps(
    {
        "inputs": [
            {
                "name": "input-0",
                "datatype": "FP64",
                "shape": [1, len(FEATURES)],
                "data": [0.5] * len(FEATURES),
            }
        ]
    }
)


class World:
    """An Envoy and three model servers: stable v1, candidate v2, and v3, which takes 300 ms."""

    def __init__(self, folder: Path) -> None:
        self.processes = Processes(folder)
        self.backends = ProcessBackends(folder, self.processes)
        self.router = EnvoyRouter(folder, self.processes)
        slow = Faults(slow_percent=100.0, slow_ms=300.0)
        for key, version, faults in ((STABLE, "v1", None), (CANDIDATE, "v2", None), (SLOW, "v3", slow)):
            uri = write_artifact(folder / version, version=version, arrays=constant(0.5), faults=faults)
            self.backends.start(key, model="m", uri=uri)
        self.ports = {key: self._port(key) for key in (STABLE, CANDIDATE, SLOW)}

    def _port(self, key: str) -> int:
        wait_until(f"{key} is ready", lambda: self.backends.look(key).state == "ready", seconds=20)
        return self.backends.look(key).port

    def split(self, service: str = SERVICE, **percent: int) -> None:
        """Route by arm: ``split(stable=90, candidate=10)``."""
        keys = {"stable": STABLE, "candidate": CANDIDATE, "slow": SLOW}
        self.router.route(service, {keys[arm]: (self.ports[keys[arm]], p) for arm, p in percent.items()})

    def ask(self, times: int, service: str = SERVICE) -> Counter[str]:
        """Who answered, over one kept connection; a status where nobody did."""
        seen: Counter[str] = Counter()
        with requests.Session() as session:
            for _ in range(times):
                answer = session.post(f"{self.router.url(service)}/v2/models/m/infer", data=BODY, timeout=10)
                seen[answer.headers.get("x-model-version", str(answer.status_code))] += 1
        return seen

    def series(self, name: str, key: str) -> dict[str, float]:
        """Envoy's series of one cluster: labels as text -> value."""
        lines = requests.get(self.router.stats_url, timeout=10).text.splitlines()
        label = f'envoy_cluster_name="{key}"'
        return {
            line.rpartition(" ")[0].removeprefix(name): float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith(f"{name}{{") and label in line
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.router.close()
    world.backends.close()
    world.processes.stop()


@pytest.mark.parametrize(
    ("percent", "low", "high"), [(0, 0, 0), (10, 17, 83), (50, 194, 306), (100, 500, 500)]
)
def test_requests_are_split_by_weight(world: World, percent: int, low: int, high: int) -> None:
    """From the first request after `route` on; bounds are five standard deviations wide."""
    world.split(stable=100 - percent, candidate=percent)
    seen = world.ask(500)

    assert low <= seen["v2"] <= high
    assert seen["v1"] + seen["v2"] == 500


def test_envoy_says_how_it_splits(world: World) -> None:
    """By revision, as it routes now; without those that get nothing, and without services unheard of."""
    world.split(stable=90, candidate=10)
    asked = {key.rpartition("/")[2]: percent for key, percent in ((STABLE, 90), (CANDIDATE, 10))}

    assert world.router.split(SERVICE) == asked
    assert world.router.split("risk-prod/unheard-of") == {}

    world.split(stable=0, candidate=100)

    assert world.router.split(SERVICE) == {CANDIDATE.rpartition("/")[2]: 100}


def test_no_request_fails_while_the_weights_move(world: World) -> None:
    """2,000 requests on four connections through 10, 25, 50, 100 and back to 0: no 5xx, none broken off."""
    world.split(stable=100, candidate=0)
    seen: list[Counter[str]] = []
    callers = [threading.Thread(target=lambda: seen.append(world.ask(500))) for _ in range(4)]
    for caller in callers:
        caller.start()
    moves = 0
    while any(caller.is_alive() for caller in callers):
        for percent in (10, 25, 50, 100, 0):
            world.split(stable=100 - percent, candidate=percent)
            moves += 1
    total = sum(seen, Counter())

    assert total["v1"] + total["v2"] == total.total() == 2_000
    assert total["v2"] > 0
    assert moves >= 5


def test_a_share_of_zero_keeps_the_cluster_and_its_counts(world: World) -> None:
    """After a rollback the candidate's series still say what it did."""
    world.split(stable=50, candidate=50)
    world.ask(50)
    world.split(stable=100, candidate=0)

    assert sum(world.series("envoy_cluster_upstream_rq_xx", CANDIDATE).values()) > 0


def test_requests_are_counted_by_revision(world: World) -> None:
    """The label envoy_cluster_name is `<namespace>/<revision>`, to the letter; the class is one digit."""
    world.split(candidate=100)
    name = f'{{envoy_response_code_class="2",envoy_cluster_name="{CANDIDATE}"}}'
    before = world.series("envoy_cluster_upstream_rq_xx", CANDIDATE).get(name, 0)
    world.ask(25)

    assert world.series("envoy_cluster_upstream_rq_xx", CANDIDATE)[name] - before == 25


def test_latency_has_an_edge_wherever_an_objective_may_lie(world: World) -> None:
    """Every edge asked for is there, and no other."""
    world.split(stable=100)
    world.ask(1)
    series = wait_until(
        "the histogram", lambda: world.series("envoy_cluster_upstream_rq_time_bucket", STABLE), seconds=10
    )

    edges = [labels.rpartition('le="')[2].rstrip('"}') for labels in series]
    assert edges == [*(str(edge) for edge in BUCKETS_MS), "+Inf"]


def test_latency_lands_on_the_right_side_of_an_edge(world: World) -> None:
    """An answer after 300 ms is over 250 and not over 500."""
    world.split(slow=100)
    world.ask(1)

    def buckets() -> dict[str, float]:
        series = world.series("envoy_cluster_upstream_rq_time_bucket", SLOW)
        found = {labels.rpartition('le="')[2].rstrip('"}'): value for labels, value in series.items()}
        return found if found.get("+Inf", 0) > 0 else {}

    found = wait_until("it is counted", buckets, seconds=10)
    assert (found["250"], found["500"] > 0) == (0.0, True)


def test_a_server_that_is_gone_counts_as_errors_of_its_revision(world: World) -> None:
    """Nothing is retried elsewhere: the caller gets 503, and the revision's 5xx go up by as many."""
    gone = "risk-prod/fraud-scorer-predictor-00009"
    world.router.route("risk-prod/gone", {gone: (9, 100)})

    assert world.ask(10, "risk-prod/gone") == {"503": 10}
    name = f'{{envoy_response_code_class="5",envoy_cluster_name="{gone}"}}'
    assert world.series("envoy_cluster_upstream_rq_xx", gone)[name] == 10
    world.router.forget("risk-prod/gone")


def test_a_forgotten_service_is_404_and_its_clusters_are_gone(world: World) -> None:
    """Others stay routed; forgetting twice is fine."""
    world.split(stable=100)
    world.split("risk-preview/fraud-scorer", slow=100)
    world.router.forget("risk-preview/fraud-scorer")
    world.router.forget("risk-preview/fraud-scorer")

    assert world.ask(1, "risk-preview/fraud-scorer") == {"404": 1}
    assert world.series("envoy_cluster_upstream_rq_xx", SLOW) == {}
    assert world.ask(1) == {"v1": 1}


def test_a_revision_shared_by_two_services_outlives_one(world: World) -> None:
    """A tag's route and the service's name the same revision; forgetting the tag keeps the cluster."""
    world.split(stable=100)
    world.split("risk-prod/latest-fraud-scorer", stable=100)
    world.router.forget("risk-prod/latest-fraud-scorer")

    assert world.ask(5) == {"v1": 5}


def test_a_request_under_way_survives_the_removal_of_its_cluster(world: World) -> None:
    """The cluster is drained before it goes: the 300 ms answer still arrives."""
    world.split("risk-prod/slow", slow=100)
    answers: list[Counter[str]] = []
    caller = threading.Thread(target=lambda: answers.append(world.ask(1, "risk-prod/slow")))
    caller.start()
    active = f"cluster.{SLOW}.upstream_rq_active"
    wait_until("the request is under way", lambda: world.router._statistic(active) == 1, seconds=10)
    world.router.forget("risk-prod/slow")
    caller.join()

    assert answers == [{"v3": 1}]


def test_a_service_without_any_share_is_not_routed(world: World) -> None:
    """As one whose first revision is not ready."""
    world.split("risk-prod/new", candidate=0)

    assert world.ask(1, "risk-prod/new") == {"404": 1}
    world.router.forget("risk-prod/new")


def test_a_revision_that_moves_to_another_port_is_followed(world: World) -> None:
    """A restarted server has a new port; the cluster keeps its name."""
    world.router.route(SERVICE, {STABLE: (world.ports[STABLE], 100)})
    assert world.ask(5) == {"v1": 5}
    world.router.route(SERVICE, {STABLE: (world.ports[CANDIDATE], 100)})
    assert world.ask(5) == {"v2": 5}
    world.split(stable=100)


@pytest.mark.parametrize(
    ("service", "key", "port", "percent"),
    [
        ("fraud-scorer", STABLE, 80, 100),
        (SERVICE, "risk-prod/fraud.scorer", 80, 100),
        (SERVICE, STABLE, 0, 100),
        (SERVICE, STABLE, 65_536, 100),
        (SERVICE, STABLE, 80, 101),
        (SERVICE, STABLE, 80, -1),
    ],
)
def test_impossible_routes_are_refused_and_change_nothing(
    world: World, service: str, key: str, port: int, percent: int
) -> None:
    """A name that the metrics could not carry, a port or share that cannot be."""
    world.split(stable=100)
    with pytest.raises(ValueError, match=r"is not <namespace>/<name>|percent"):
        world.router.route(service, {key: (port, percent)})

    assert world.ask(1) == {"v1": 1}


def test_what_envoy_refuses_is_told_with_its_reason(world: World) -> None:
    """Should Envoy ever say no to a file of ours, that is an error, not a wait; the next table is taken."""
    cluster = {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": ""}
    with pytest.raises(Misbehaved, match="refused its clusters"):
        world.router._publish("clusters", "cluster_manager.cds", [cluster], lambda: "")

    world.router.route("risk-prod/after", {STABLE: (world.ports[STABLE], 100)})
    assert world.ask(1, "risk-prod/after") == {"v1": 1}
    world.router.forget("risk-prod/after")


def test_envoy_listens_on_loopback_alone(world: World) -> None:
    """Both addresses are 127.0.0.1; the memory stays small."""
    assert world.router.admin_url.startswith("http://127.0.0.1:")
    assert world.router.base_url.startswith("http://127.0.0.1:")
    assert world.router.memory_mib < 150


def test_a_dead_envoy_is_an_outage(tmp_path: Path) -> None:
    """`route` does not pretend: the exit is named."""
    router = EnvoyRouter(tmp_path)
    router._child.stop()
    with pytest.raises(Unreachable, match="envoy: ended with exit code"):
        router.route(SERVICE, {STABLE: (80, 100)})
    router.close()


def test_the_binary_of_the_wheel_is_used() -> None:
    """Nothing needs installing beside Python packages."""
    assert Path(find_envoy()).name == "envoy"
    assert "site-packages" in find_envoy()


def test_a_kept_connection_survives_many_changes(world: World) -> None:
    """Callers keep their connections: no change of weights closes one."""
    world.split(stable=100)
    host, port = world.router.base_url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.connect()
    kept = connection.sock
    for percent in (0, 50, 100):
        world.split(stable=100 - percent, candidate=percent)
        connection.request("POST", f"/{SERVICE}/v2/models/m/infer", BODY)
        connection.getresponse().read()

    assert connection.sock is kept
    connection.close()


def test_the_same_split_again_is_no_change(world: World) -> None:
    """Whoever reconciles may ask as often as they like: Envoy is given no new table."""
    world.split(stable=90, candidate=10)
    before = world.router._used_table()
    world.split(stable=90, candidate=10)

    assert world.router._used_table() == before
