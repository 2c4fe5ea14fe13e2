"""The load is steady whatever the service does, and its account says who did what, and when first badly."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from pipelines.rehearsal.backends import ProcessBackends
from pipelines.rehearsal.envoy import EnvoyRouter
from pipelines.rehearsal.processes import Processes, wait_until
from pipelines.rehearsal.traffic import Counts, Ledger, Served, Traffic, bodies
from pipelines.rehearsal.training import FEATURES, Faults, constant, write_artifact

GOOD, BAD = "risk-prod/scorer-00001", "risk-prod/scorer-00002"
SERVICE = "risk-prod/scorer"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "golden.csv"
    lines = [",".join([*FEATURES, "fraud"])] + [",".join(["0.5"] * 11 + [str(n), "1"]) for n in range(50)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as processes:
        yield processes


# -------------------------------------------------------------------- account


def test_versions_are_counted_apart() -> None:
    """Errors and slow answers are bad; the first bad instant is kept, overall and by version."""
    ledger = Ledger(slow_ms=25.0)
    ledger.add("v1", 200, 0.025, 100.0)
    ledger.add("v2", 200, 0.026, 101.0)
    ledger.add("v2", 500, 0.001, 102.0)
    ledger.add("v2", 400, 0.001, 103.0)
    ledger.drop()
    counts = json.loads(ledger.text(104.0))

    assert counts.pop("versions") == {
        "v1": {"requests": 1, "errors": 0, "slow": 0, "first_at": 100, "first_bad_at": 0, "last_at": 100},
        "v2": {"requests": 3, "errors": 1, "slow": 1, "first_at": 101, "first_bad_at": 101, "last_at": 103},
    }
    assert counts == {
        "at": 104.0,
        "sent": 4,
        "answered": 4,
        "unserved": 0,
        "waiting": 0,
        "dropped": 1,
        "first_bad_at": 101.0,
    }


def test_an_error_that_is_slow_too_counts_once() -> None:
    """As an error."""
    ledger = Ledger(slow_ms=25.0)
    ledger.add("v2", 500, 1.0, 100.0)

    assert json.loads(ledger.text(0.0))["versions"]["v2"]["errors"] == 1
    assert json.loads(ledger.text(0.0))["versions"]["v2"]["slow"] == 0


def test_nothing_is_bad_before_the_service_first_answers() -> None:
    """A service that is not deployed yet is waited for; one that goes away is missed."""
    ledger = Ledger(slow_ms=25.0)
    ledger.add("", 404, 0.001, 100.0)
    assert json.loads(ledger.text(0.0))["first_bad_at"] == 0.0
    ledger.add("v1", 200, 0.001, 101.0)
    ledger.add("", 0, 5.0, 102.0)
    counts = json.loads(ledger.text(0.0))

    assert (counts["waiting"], counts["answered"], counts["unserved"]) == (1, 1, 1)
    assert counts["first_bad_at"] == 102.0


def test_an_account_is_read_as_it_was_written(tmp_path: Path) -> None:
    """And is empty while nothing was written."""
    assert Counts.read(tmp_path / "none.json") == Counts()

    ledger = Ledger(slow_ms=25.0)
    ledger.add("v1", 200, 0.001, 101.0)
    (tmp_path / "some.json").write_text(ledger.text(102.0))

    assert Counts.read(tmp_path / "some.json") == Counts(
        at=102.0, sent=1, answered=1, versions={"v1": Served(requests=1, first_at=101.0, last_at=101.0)}
    )


def test_bodies_are_rows_without_their_label_and_repeat_by_seed(rows: Path) -> None:
    """One row each, in an order that the seed gives."""
    first = list(islice(bodies(rows, 1), 20))
    tensor = json.loads(first[0])["inputs"][0]

    assert tensor["shape"] == [1, 12]
    assert tensor["data"][:11] == [0.5] * 11
    assert first == list(islice(bodies(rows, 1), 20))
    assert first != list(islice(bodies(rows, 2), 20))


# ----------------------------------------------------------------------- load


def start(
    backends: ProcessBackends, folder: Path, key: str, version: str, faults: Faults | None = None
) -> int:
    uri = write_artifact(folder / version, version=version, arrays=constant(0.5), faults=faults)
    backends.start(key, model="m", uri=uri)
    wait_until(f"{key} is ready", lambda: backends.look(key).state == "ready", seconds=20)
    return backends.look(key).port


def test_traffic_waits_for_the_service_and_tells_the_bad_version(
    processes: Processes, tmp_path: Path, rows: Path
) -> None:
    """From 404 over a good version to a split with a bad one; the account follows, through real Envoy."""
    router = EnvoyRouter(tmp_path, processes)
    backends = ProcessBackends(tmp_path, processes)
    traffic = Traffic(processes, url=router.url(SERVICE), model="m", rows=rows, rps=150)
    wait_until("it is waited for", lambda: traffic.counts().waiting > 10, seconds=20)
    assert traffic.counts().answered == 0
    assert traffic.counts().first_bad_at == 0.0

    good = start(backends, tmp_path, GOOD, "v1")
    router.route(SERVICE, {GOOD: (good, 100)})
    wait_until("v1 serves", lambda: traffic.counts().answered > 50, seconds=20)
    assert list(traffic.counts().versions) == ["v1"]

    bad = start(backends, tmp_path, BAD, "v2", Faults(error_percent=100.0))
    before = time.time()
    router.route(SERVICE, {GOOD: (good, 50), BAD: (bad, 50)})
    wait_until("v2 is seen", lambda: "v2" in traffic.counts().versions, seconds=20)
    router.route(SERVICE, {GOOD: (good, 100), BAD: (bad, 0)})
    after = time.time()
    counts = traffic.stop()

    assert counts.unserved == counts.dropped == 0
    served = counts.versions["v2"]
    assert served.errors == served.requests > 0
    assert before < served.first_bad_at == served.first_at
    assert served.last_at < after + 1
    assert not traffic.running


def test_the_rate_is_the_one_asked_for(processes: Processes, tmp_path: Path, rows: Path) -> None:
    """200 a second within a fifth, over the seconds it was measured: open loop, at random moments."""
    backends = ProcessBackends(tmp_path, processes)
    port = start(backends, tmp_path, GOOD, "v1")
    traffic = Traffic(processes, url=f"http://127.0.0.1:{port}", model="m", rows=rows, rps=200)
    first = wait_until("it flows", lambda: c if (c := traffic.counts()).answered > 20 else None, seconds=20)
    last = wait_until(
        "more", lambda: c if (c := traffic.counts()).sent > first.sent + 500 else None, seconds=20
    )

    assert (last.sent - first.sent) / (last.at - first.at) == pytest.approx(200, rel=0.2)


def test_a_pause_sends_nothing_and_is_not_made_up_for(
    processes: Processes, tmp_path: Path, rows: Path
) -> None:
    """While paused the count stands still; afterwards the rate is the same as before."""
    backends = ProcessBackends(tmp_path, processes)
    port = start(backends, tmp_path, GOOD, "v1")
    traffic = Traffic(processes, url=f"http://127.0.0.1:{port}", model="m", rows=rows, rps=200)
    wait_until("it flows", lambda: traffic.counts().answered > 20, seconds=20)
    traffic.pause()
    stands = wait_until("it stands still", lambda: _still(traffic), seconds=20)
    paused = time.time()
    wait_until("a second passes", lambda: traffic.counts().at > paused + 1.0, seconds=20)
    traffic.resume()
    traffic.resume()
    resumed = time.time()
    after = wait_until("it flows", lambda: c if (c := traffic.counts()).sent > stands else None, seconds=20)

    assert after.sent - stands <= 200 * (after.at - resumed) + 60


def _still(traffic: Traffic) -> int:
    """How many were sent, once two accounts written apart say the same; else 0."""
    earlier = traffic.counts()
    later = wait_until("another", lambda: c if (c := traffic.counts()).at > earlier.at else None, seconds=10)
    return later.sent if later.sent == earlier.sent else 0


def test_a_service_that_hangs_does_not_stop_the_load(
    processes: Processes, tmp_path: Path, rows: Path
) -> None:
    """With every connection waiting, what is due is dropped and counted, not sent late."""
    backends = ProcessBackends(tmp_path, processes)
    port = start(backends, tmp_path, GOOD, "v1", Faults(slow_percent=100.0, slow_ms=60_000.0))
    traffic = Traffic(processes, url=f"http://127.0.0.1:{port}", model="m", rows=rows, rps=200)

    counts = wait_until("drops", lambda: c if (c := traffic.counts()).dropped > 5 else None, seconds=20)
    assert counts.answered == 0
    traffic._child._process.kill()
