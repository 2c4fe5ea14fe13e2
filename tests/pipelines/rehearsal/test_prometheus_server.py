"""A real Prometheus sees what Envoy counts, every second, and leaves no service behind."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pipelines.errors import InvalidInput, Unreachable
from pipelines.rehearsal.envoy import EnvoyRouter
from pipelines.rehearsal.processes import Processes, wait_until
from pipelines.rehearsal.prometheus import PrometheusServer, _run, ensure_prometheus


def query(server: PrometheusServer, text: str) -> list[dict[str, Any]]:
    """An instant query's series."""
    answer = requests.get(f"{server.url}/api/v1/query", params={"query": text}, timeout=10).json()
    assert answer["status"] == "success"
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    ensure_prometheus()
    with Processes(tmp_path_factory.mktemp("world")) as processes:
        yield processes


@pytest.fixture(scope="module")
def router(processes: Processes) -> EnvoyRouter:
    return EnvoyRouter(processes.folder, processes)


@pytest.fixture(scope="module")
def server(processes: Processes, router: EnvoyRouter) -> PrometheusServer:
    return PrometheusServer(processes.folder, {"envoy": router.stats_url}, processes)


def test_it_is_ready_when_constructed_and_listens_on_loopback(server: PrometheusServer) -> None:
    """No waiting is left to the caller."""
    assert requests.get(f"{server.url}/-/ready", timeout=10).status_code == 200
    assert server.url.startswith("http://127.0.0.1:")
    assert server.memory_mib < 300


def test_envoys_counts_arrive_by_revision_every_second(server: PrometheusServer, router: EnvoyRouter) -> None:
    """The series gates ask for: response class and cluster name as labels, samples a second apart."""
    revision = "risk-prod/fraud-scorer-predictor-00001"
    router.route("risk-prod/fraud-scorer", {revision: (9, 100)})
    for _ in range(3):
        requests.get(f"{router.url('risk-prod/fraud-scorer')}/v2", timeout=10)
    selector = f'envoy_cluster_upstream_rq_xx{{envoy_cluster_name="{revision}"}}'
    series = wait_until(
        "four samples",
        lambda: [s for s in query(server, f"{selector}[30s]") if len(s["values"]) > 3],
        seconds=20,
    )

    assert len(series) == 1
    assert series[0]["metric"]["envoy_response_code_class"] == "5"
    assert series[0]["values"][-1][1] == "3"
    gaps = [b[0] - a[0] for a, b in zip(series[0]["values"], series[0]["values"][1:], strict=False)]
    assert all(gap == pytest.approx(1.0, abs=0.3) for gap in gaps)


def test_an_outage_ends_at_the_same_address_with_the_same_data(server: PrometheusServer) -> None:
    """Stopped it answers nothing; started again it still knows what it saw."""
    address = server.url
    wait_until("something is known", lambda: query(server, 'up{job="envoy"} == 1'), seconds=20)
    before = time.time()
    server.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{address}/-/ready", timeout=5)
    server.start_again()

    assert server.url == address
    known = query(server, 'up{job="envoy"}[5m]')
    assert any(at < before for series in known for at, _ in series["values"])


def test_a_target_that_is_gone_is_down(tmp_path: Path) -> None:
    """`up` is 0: the absence of a target is seen, not guessed."""
    server = PrometheusServer(tmp_path, {"nobody": "http://127.0.0.1:9/metrics"}, scrape_seconds=0.2)
    down = wait_until("it is scraped", lambda: query(server, 'up{job="nobody"}'), seconds=20)
    server.close()

    assert down[0]["value"][1] == "0"


def test_a_configuration_it_refuses_is_an_outage_with_its_words(tmp_path: Path) -> None:
    """Nothing can be scraped every minus one second."""
    with Processes(tmp_path) as mine, pytest.raises(Unreachable, match="prometheus: did not start"):
        PrometheusServer(tmp_path, {"nobody": "http://127.0.0.1:9/metrics"}, mine, scrape_seconds=-1.0)


@pytest.mark.parametrize("command", [["false"], ["/no/such/program"]])
def test_an_installation_that_fails_says_what_to_do(command: list[str], tmp_path: Path) -> None:
    """One sentence, exit code 3, the command that failed and the way out."""
    with pytest.raises(InvalidInput, match=r"install Prometheus so that `prometheus` is on PATH") as caught:
        _run(command, tmp_path)

    assert command[0] in str(caught.value)
    assert caught.value.exit_code == 3


def test_where_it_cannot_be_got_make_test_stops_with_one_sentence(tmp_path: Path) -> None:
    """Neither beside Python nor on PATH, and no installer there: exit code 3, and how to get it."""
    program = "import runpy, sys; sys.prefix = sys.argv[1]; runpy.run_module('{}', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", program.format("pipelines.rehearsal.prometheus"), str(tmp_path)],
        env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "")
    assert "install Prometheus so that `prometheus` is on PATH" in done.stderr
