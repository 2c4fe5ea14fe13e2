"""The models are really trained, really loaded, and misbehave as their metadata say; and only so."""

from __future__ import annotations

import csv
import hashlib
import http.client
import json
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gates.signature import artifact_digest
from pipelines.rehearsal.backends import ProcessBackends
from pipelines.rehearsal.model_server import BadRequest, Trees, read_rows
from pipelines.rehearsal.processes import wait_until
from pipelines.rehearsal.training import (
    FEATURES,
    Catalogue,
    Faults,
    constant,
    fit,
    payments,
    train,
    write_artifact,
)

ROW = [0.5] * len(FEATURES)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return train(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessBackends]:
    servers = ProcessBackends(tmp_path_factory.mktemp("servers"))
    yield servers
    servers.close()


def serve(backends: ProcessBackends, key: str, uri: str) -> int:
    """Start a server and wait until it is ready: its port."""
    backends.start(key, model="m", uri=uri)
    wait_until(f"{key} leaves starting", lambda: backends.look(key).state != "starting", seconds=20)
    assert backends.look(key).state == "ready"
    return backends.look(key).port


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any, str]:
    """(status, body, version header) of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.headers["x-model-version"]
    finally:
        connection.close()


def request(rows: list[list[float]], **changes: Any) -> dict[str, Any]:
    """A V2 request, with changes to its tensor."""
    tensor = {"name": "input-0", "datatype": "FP64", "shape": [len(rows), len(FEATURES)], "data": rows}
    return {"inputs": [{**tensor, **changes}]}


# ------------------------------------------------------------------- training


def test_the_trees_give_the_scores_of_scikit_learn() -> None:
    """An artifact is the trained model itself: scores agree to the last digits of a float."""
    from pipelines.rehearsal.training import _as_arrays

    table, labels = payments(3_000, 3)
    model = fit(table, labels, trees=20)
    unseen, _ = payments(500, 4)

    np.testing.assert_allclose(
        Trees(_as_arrays(model)).score(unseen), model.predict_proba(unseen)[:, 1], rtol=0, atol=1e-14
    )


def area(labels: Any, scores: Any) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))


def test_v2_ranks_slightly_better_than_v1_and_v4_not_at_all(catalogue: Catalogue) -> None:
    """The golden set tells a good model from one trained on shuffled labels."""
    with catalogue.golden.path.open(encoding="utf-8") as file:
        table = np.array([[float(value) for value in row] for row in list(csv.reader(file))[1:]])
    rows, labels = table[:, :-1], table[:, -1]
    areas = {
        version: area(labels, Trees.load(catalogue.path(version) / "model.npz").score(rows))
        for version in ("v1", "v2", "v4")
    }

    assert 0.90 < areas["v1"] < areas["v2"]
    assert areas["v4"] < 0.70
    assert 0.01 < labels.mean() < 0.03


def test_the_golden_set_says_what_it_is(catalogue: Catalogue) -> None:
    """A header of features and label, the rows promised, the sha256 of its bytes."""
    data = catalogue.golden.path.read_bytes()
    lines = data.decode().splitlines()

    assert lines[0].split(",") == [*FEATURES, "fraud"]
    assert len(lines) == 1 + catalogue.golden.rows == 4_001
    assert hashlib.sha256(data).hexdigest() == catalogue.golden.sha256


def test_no_golden_row_was_trained_on() -> None:
    """Golden and training rows come of different seeds and share none."""
    from pipelines.rehearsal.training import _GOLDEN_SEED, _TRAINING_SEED

    trained = {tuple(row) for row in payments(16_000, _TRAINING_SEED)[0]}

    assert not trained & {tuple(row) for row in payments(4_000, _GOLDEN_SEED)[0]}


def test_training_again_does_nothing(catalogue: Catalogue) -> None:
    """What is there stays, to the second of its last change."""
    model = catalogue.path("v2") / "model.npz"
    before = model.stat().st_mtime_ns

    assert train(catalogue.folder) == catalogue
    assert model.stat().st_mtime_ns == before


def test_training_elsewhere_gives_the_same_bytes(catalogue: Catalogue, tmp_path: Path) -> None:
    """Same recipe, same machine, same digests."""
    again = train(tmp_path)

    assert {version: again.digest(version) for version in again.versions} == {
        version: catalogue.digest(version) for version in catalogue.versions
    }
    assert again.golden.sha256 == catalogue.golden.sha256


def test_every_version_has_a_digest_of_its_own(catalogue: Catalogue) -> None:
    """v3 decides as v2 does, and is another artifact all the same."""
    digests = {version: catalogue.digest(version) for version in catalogue.versions}

    assert list(digests) == ["v1", "v2", "v3", "v4", "v5", "v6", "v7"]
    assert len(set(digests.values())) == 7
    assert digests["v1"] == artifact_digest(catalogue.path("v1"))


# -------------------------------------------------------------------- serving


def test_a_trained_version_is_served(backends: ProcessBackends, catalogue: Catalogue) -> None:
    """Over the wire come the scores of the artifact, with the version's name and the caller's id."""
    port = serve(backends, "a/v2", catalogue.uri("v2"))
    rows = payments(5, 8)[0]
    expected = Trees.load(catalogue.path("v2") / "model.npz").score(rows).tolist()

    status, body, version = ask(port, "POST", "/v2/models/m/infer", {"id": "7", **request(rows.tolist())})

    assert (status, version) == (200, "v2")
    assert body == {
        "id": "7",
        "model_name": "m",
        "model_version": "v2",
        "outputs": [{"name": "score", "datatype": "FP64", "shape": [5], "data": expected}],
    }


def test_the_protocols_questions_are_answered(backends: ProcessBackends, tmp_path: Path) -> None:
    """Live, ready, metadata; another model and another method are refused."""
    port = serve(backends, "a/plain", write_artifact(tmp_path / "a", version="v1", arrays=constant(0.25)))

    assert ask(port, "GET", "/v2/health/live")[:2] == (200, {"live": True})
    assert ask(port, "GET", "/v2/health/ready")[:2] == (200, {"ready": True})
    assert ask(port, "GET", "/v2/models/m/ready")[:2] == (200, {"name": "m", "ready": True})
    assert ask(port, "GET", "/v2/models/m")[1]["inputs"][0]["shape"] == [-1, 12]
    assert ask(port, "GET", "/v2")[1]["version"] == "v1"
    assert ask(port, "GET", "/v2/models/other")[0] == 404
    assert ask(port, "POST", "/v2/models/other/infer", request([ROW]))[0] == 405
    assert ask(port, "GET", "/v2/models/m/infer")[0] == 405


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([], "the request is not a JSON object"),
        ({}, "expected exactly one input tensor"),
        ({"inputs": [{}, {}]}, "expected exactly one input tensor"),
        ({"inputs": ["x"]}, "expected exactly one input tensor"),
        (request([ROW], datatype="BYTES"), "datatype is BYTES, expected FP64 or FP32"),
        (request([ROW[:-1]], shape=[1, 11]), r"shape is \[1, 11\], expected \[n, 12\]"),
        (request([], shape=[0, 12]), r"shape is \[0, 12\]"),
        (request([ROW], shape="12"), "shape is 12"),
        (request([ROW[:-1]]), r"data do not fill the shape \[1, 12\] with numbers"),
        (request([[*ROW[:-1], "much"]]), "data do not fill"),  # type: ignore[list-item]
        (request([[*ROW[:-1], float("nan")]]), "not a finite number"),
        ({"parameters": {"columns": "b,a"}, **request([ROW])}, "columns are b,a, expected amount,hour"),
    ],
)
def test_what_cannot_be_scored_is_refused(wrong: Any, message: str) -> None:
    """Each wrong request by the reason it is wrong for."""
    with pytest.raises(BadRequest, match=message):
        read_rows(wrong, FEATURES)


def test_a_refusal_is_400_and_the_server_lives_on(backends: ProcessBackends, tmp_path: Path) -> None:
    """A bad body, a bad tensor, then a good one on the same connection."""
    port = serve(backends, "a/refuses", write_artifact(tmp_path / "a", version="v1", arrays=constant(0.25)))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    answers = []
    for body in ("{", json.dumps(request([ROW], shape=[2, 12])), json.dumps(request([ROW, ROW]))):
        connection.request("POST", "/v2/models/m/infer", body)
        answer = connection.getresponse()
        answers.append((answer.status, json.loads(answer.read())))
    connection.close()

    assert [status for status, _ in answers] == [400, 400, 200]
    assert answers[2][1]["outputs"][0]["data"] == pytest.approx([0.25, 0.25])


@pytest.mark.parametrize(
    ("header", "status"),
    [("content-length: 99999999999", 413), ("transfer-encoding: chunked", 411)],
)
def test_bodies_that_cannot_be_read_end_the_connection(
    backends: ProcessBackends, tmp_path: Path, header: str, status: int
) -> None:
    """Too long, or of unknown length: said once, then closed, for the next request could not be found."""
    port = serve(backends, f"a/{status}", write_artifact(tmp_path / "a", version="v1", arrays=constant(0.5)))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"POST /v2/models/m/infer HTTP/1.1\r\n{header}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


# --------------------------------------------------------------------- faults


def test_errors_come_at_their_share(backends: ProcessBackends, tmp_path: Path) -> None:
    """A twentieth of 1,000 answers is HTTP 500, give or take; a good version has none."""
    faults = Faults(error_percent=5.0)
    uri = write_artifact(tmp_path / "a", version="v5", arrays=constant(0.5), faults=faults)
    port = serve(backends, "a/errors", uri)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    seen: Counter[int] = Counter()
    for _ in range(1_000):
        connection.request("POST", "/v2/models/m/infer", json.dumps(request([ROW])))
        answer = connection.getresponse()
        answer.read()
        seen[answer.status] += 1
    connection.close()

    assert set(seen) == {200, 500}
    assert 25 <= seen[500] <= 80


def test_a_slow_answer_does_not_hold_up_others(backends: ProcessBackends, tmp_path: Path) -> None:
    """While one request of a slow version waits its second, the readiness of the server is answered."""
    faults = Faults(slow_percent=100.0, slow_ms=1_000.0)
    uri = write_artifact(tmp_path / "a", version="v3", arrays=constant(0.5), faults=faults)
    port = serve(backends, "a/slow", uri)
    slow = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    slow.request("POST", "/v2/models/m/infer", json.dumps(request([ROW])))
    assert slow.sock
    slow.sock.setblocking(False)

    assert ask(port, "GET", "/v2/health/ready")[0] == 200
    with pytest.raises(BlockingIOError):
        slow.sock.recv(1)

    slow.sock.settimeout(10)
    assert slow.getresponse().status == 200
    slow.close()


def test_a_version_may_never_become_ready(backends: ProcessBackends, tmp_path: Path) -> None:
    """It listens, is alive, says it is not ready, and scores nothing."""
    faults = Faults(never_ready=True)
    uri = write_artifact(tmp_path / "a", version="v6", arrays=constant(0.5), faults=faults)
    backends.start("a/never", model="m", uri=uri)
    port = wait_until("it listens", lambda: backends.look("a/never").port, seconds=20)

    assert ask(port, "GET", "/v2/health/live")[0] == 200
    assert ask(port, "GET", "/v2/models/m/ready")[0] == 503
    assert ask(port, "POST", "/v2/models/m/infer", request([ROW]))[0] == 503
    assert backends.look("a/never").state == "starting"


def test_a_version_may_crash(backends: ProcessBackends, tmp_path: Path) -> None:
    """At its third request the process dies; the look says so, with its last words."""
    faults = Faults(crash_after=3)
    uri = write_artifact(tmp_path / "a", version="v7", arrays=constant(0.5), faults=faults)
    port = serve(backends, "a/crash", uri)
    for _ in range(2):
        assert ask(port, "POST", "/v2/models/m/infer", request([ROW]))[0] == 200
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ask(port, "POST", "/v2/models/m/infer", request([ROW]))
    wait_until("it is seen", lambda: backends.look("a/crash").state == "failed", seconds=10)

    reason = backends.look("a/crash").reason
    assert reason == "model server ended with exit code 137: fatal: out of memory at request 3"


# ------------------------------------------------------------------- backends


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("file:///no/such/artifact", "FileNotFoundError"),
        ("s3://bucket/v1", "the rehearsal serves file:// artifacts alone"),
    ],
)
def test_an_artifact_that_does_not_load_is_a_failure_with_its_reason(
    backends: ProcessBackends, uri: str, reason: str
) -> None:
    """As KServe's storage initializer and runtime would: the model never serves, and says why."""
    key = f"a/{reason.split()[0].lower()}"
    backends.start(key, model="m", uri=uri)
    wait_until("it fails", lambda: backends.look(key).state == "failed", seconds=20)

    assert backends.look(key).reason.startswith("model server ended with exit code 1: cannot load")
    assert reason in backends.look(key).reason
    assert backends.look(key).port == 0


def test_a_pickled_artifact_is_not_executed(backends: ProcessBackends, tmp_path: Path) -> None:
    """An array of objects would run code when loaded; it is refused instead."""
    write_artifact(tmp_path / "a", version="v1", arrays=constant(0.5))
    np.savez(tmp_path / "a" / "model.npz", feature=np.array([[print]], dtype=object))
    backends.start("a/pickle", model="m", uri=(tmp_path / "a").as_uri())
    wait_until("it fails", lambda: backends.look("a/pickle").state == "failed", seconds=20)

    assert "allow_pickle=False" in backends.look("a/pickle").reason


def test_a_revision_is_started_once_and_can_be_stopped_twice(tmp_path: Path) -> None:
    """Starting again changes nothing; after stopping it was never there."""
    backends = ProcessBackends(tmp_path)
    uri = write_artifact(tmp_path / "a", version="v1", arrays=constant(0.5))
    port = serve(backends, "a/r-00001", uri)
    backends.start("a/r-00001", model="m", uri=uri)

    assert backends.look("a/r-00001").port == port
    assert 20 < backends.memory_mib()["a/r-00001"] < 120

    backends.stop("a/r-00001")
    backends.stop("a/r-00001")
    assert backends.look("a/r-00001").state == "failed"
    assert backends.look("a/r-00001").reason == "a/r-00001 was never started"
    backends.close()
