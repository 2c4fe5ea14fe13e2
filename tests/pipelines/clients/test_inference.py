"""Scores come back whole, in order and finite, from a real V2 server; or the reason why not."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from pipelines.clients.inference import V2Inference
from pipelines.errors import AccessDenied, LockgateError, Misbehaved, Unreachable
from pipelines.rehearsal.backends import ProcessBackends
from pipelines.rehearsal.model_server import Trees
from pipelines.rehearsal.processes import free_port, wait_until
from pipelines.rehearsal.training import FEATURES, constant, payments, write_artifact

INFER = "/v2/models/m/infer"


@pytest.fixture(scope="module")
def two_leaves() -> dict[str, Any]:
    """A model whose score tells apart rows by their first feature: below 50, or not."""
    import numpy as np

    arrays = constant(0.5)
    return {
        **arrays,
        "feature": np.zeros((1, 3), np.int32),
        "threshold": np.array([[50.0, 0.0, 0.0]]),
        "left": np.array([[1, 1, 2]], np.int32),
        "right": np.array([[2, 1, 2]], np.int32),
        "value": np.array([[0.0, -1.0, 1.0]]),
        "depth": np.array(1, np.int32),
    }


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, two_leaves: dict[str, Any]) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    backends = ProcessBackends(folder)
    uri = write_artifact(folder / "v1", version="v1", arrays=two_leaves)
    backends.start("a/r", model="m", uri=uri)
    wait_until("it is ready", lambda: backends.look("a/r").state == "ready", seconds=20)
    yield f"http://127.0.0.1:{backends.look('a/r').port}"
    backends.close()


def one(answer: Any, httpserver: HTTPServer, *, rows: int = 1, **settings: Any) -> list[float]:
    """Ask a server that answers this, for this many rows of two columns."""
    httpserver.expect_request(INFER, method="POST").respond_with_json(answer, **settings)
    return V2Inference(5.0).infer(httpserver.url_for(""), "m", [[1.0, 2.0]] * rows, columns=["a", "b"])


def output(data: Any, *, shape: Any = None, name: str = "score") -> dict[str, Any]:
    return {"outputs": [{"name": name, "datatype": "FP64", "shape": shape or [len(data)], "data": data}]}


@pytest.mark.parametrize("batch_rows", [1, 7, 100, 1_000])
def test_scores_keep_the_order_of_rows_whatever_the_batches(
    url: str, two_leaves: dict[str, Any], batch_rows: int
) -> None:
    """100 rows in batches of any size give the same scores, row by row, as the model itself."""
    rows = payments(100, 9)[0]

    scores = V2Inference(5.0, batch_rows=batch_rows).infer(url, "m", rows.tolist(), columns=FEATURES)

    assert scores == Trees(two_leaves).score(rows).tolist()
    assert len(set(scores)) == 2


def test_no_rows_are_no_scores_and_no_request() -> None:
    """Nothing listens there; nothing is asked."""
    assert V2Inference(0.1).infer(f"http://127.0.0.1:{free_port()}", "m", [], columns=["a"]) == []


def test_columns_in_another_order_are_refused_by_the_server(url: str) -> None:
    """The names travel with the rows: swapped columns do not become wrong scores."""
    swapped = [FEATURES[1], FEATURES[0], *FEATURES[2:]]

    with pytest.raises(Misbehaved, match=r"HTTP 400: .*columns are hour,amount"):
        V2Inference(5.0).infer(url, "m", [[0.5] * len(FEATURES)], columns=swapped)


def test_what_is_sent_is_one_tensor_with_our_headers(httpserver: HTTPServer) -> None:
    """The request as any V2 server reads it; the model's name is escaped in the path."""
    seen: list[Request] = []

    def answer(request: Request) -> Response:
        seen.append(request)
        return Response(json.dumps(output([0.1, 0.2])), content_type="application/json")

    httpserver.expect_request("/base/v2/models/m/1/infer").respond_with_handler(answer)
    inference = V2Inference(5.0, headers={"Authorization": "Bearer t"})

    assert inference.infer(httpserver.url_for("/base/"), "m/1", [[1, 2], [3, 4]], columns=["a", "b"]) == [
        0.1,
        0.2,
    ]
    assert seen[0].json == {
        "parameters": {"columns": "a,b"},
        "inputs": [{"name": "input-0", "datatype": "FP64", "shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.0]}],
    }
    assert seen[0].headers["Authorization"] == "Bearer t"
    assert (
        seen[0].environ["RAW_URI" if "RAW_URI" in seen[0].environ else "REQUEST_URI"].endswith("/m%2F1/infer")
    )


@pytest.mark.parametrize(
    ("answer", "rows", "expected"),
    [
        (output([0.5]), 1, [0.5]),
        (output([0.5], name="anything"), 1, [0.5]),
        (output([1, 0]), 2, [1.0, 0.0]),
        (output([0.1, 0.2], shape=[2, 1]), 2, [0.1, 0.2]),
        (output([[0.1], [0.2]], shape=[2, 1]), 2, [0.1, 0.2]),
        ({"outputs": [*output([7], name="label")["outputs"], *output([0.5])["outputs"]]}, 1, [0.5]),
    ],
)
def test_scores_are_found(answer: Any, rows: int, expected: list[float], httpserver: HTTPServer) -> None:
    """In the only output, or in the one called score; flat, or as one column."""
    assert one(answer, httpserver, rows=rows) == expected


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([], "gave no output tensor"),
        ({}, "gave no output tensor"),
        ({"outputs": []}, "gave no output tensor"),
        ({"outputs": "x"}, "gave no output tensor"),
        (
            {"outputs": [*output([1], name="a")["outputs"], *output([1], name="b")["outputs"]]},
            "none called score",
        ),
        (output([0.5]), r"shape \[1\] for 2 rows"),
        (output([0.1, 0.2, 0.3]), r"shape \[3\] for 2 rows"),
        (output([[0.1, 0.9], [0.2, 0.8]], shape=[2, 2]), r"shape \[2, 2\] for 2 rows"),
        (output([0.1], shape=[2]), "data that are not 2 scores"),
        (output("ab", shape=[2]), "data that are not 2 scores"),
        (output([0.1, None]), "row 1 has the score None, no finite number"),
        (output([0.1, "0.2"]), "row 1 has the score '0.2'"),
        (output([True, 0.2]), "row 0 has the score True"),
        (output([0.1, math.nan]), "row 1 has the score nan"),
        (output([math.inf, 0.1]), "row 0 has the score inf"),
        (output([[0.1, 0.2], 0.3], shape=[2]), r"row 0 has the score \[0.1, 0.2\]"),
    ],
)
def test_anything_but_one_finite_score_per_row_is_misbehaviour(
    answer: Any, message: str, httpserver: HTTPServer
) -> None:
    """Each by the reason it is wrong for; none is filled up, cut or guessed."""
    with pytest.raises(Misbehaved, match=message):
        one(answer, httpserver, rows=2)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, Unreachable),
        (503, Unreachable),
        (401, AccessDenied),
        (403, AccessDenied),
        (400, Misbehaved),
        (404, Misbehaved),
        (301, Misbehaved),
        (204, Misbehaved),
    ],
)
def test_refusals_are_told_apart(status: int, error: type[LockgateError], httpserver: HTTPServer) -> None:
    """An outage, a missing right, and nonsense are three things; a redirect is not followed."""
    with pytest.raises(error, match=f"answered HTTP {status}"):
        one({"error": "no"}, httpserver, status=status, headers={"location": "/elsewhere"})


def test_an_error_body_is_repeated_in_part(httpserver: HTTPServer) -> None:
    """Enough to see what it was, never a page."""
    with pytest.raises(Misbehaved) as caught:
        one({"error": "x" * 5_000}, httpserver, status=400)

    assert "xxx" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_html_is_misbehaviour(httpserver: HTTPServer) -> None:
    """A proxy's login page with status 200 is not an answer."""
    httpserver.expect_request(INFER).respond_with_data("<html>", content_type="text/html")

    with pytest.raises(Misbehaved, match="answered 200 with something not JSON"):
        V2Inference(5.0).infer(httpserver.url_for(""), "m", [[1.0]], columns=["a"])


def test_nobody_there_is_an_outage() -> None:
    """A refused connection."""
    with pytest.raises(Unreachable, match="inference: http"):
        V2Inference(5.0).infer(f"http://127.0.0.1:{free_port()}", "m", [[1.0]], columns=["a"])


def test_a_server_that_hangs_is_an_outage() -> None:
    """After the time-out, which is always set."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Unreachable, match=r"[Tt]imed? ?out"):
            V2Inference(0.2).infer(f"http://127.0.0.1:{port}", "m", [[1.0]], columns=["a"])


def test_an_outage_half_way_gives_no_scores(httpserver: HTTPServer) -> None:
    """Two batches, the second fails: the first is not passed off as all."""
    httpserver.expect_ordered_request(INFER).respond_with_json(output([0.5]))
    httpserver.expect_ordered_request(INFER).respond_with_json({}, status=500)

    with pytest.raises(Unreachable):
        V2Inference(5.0, batch_rows=1).infer(httpserver.url_for(""), "m", [[1.0], [2.0]], columns=["a"])


def test_metadata_are_what_the_server_says(url: str) -> None:
    """As JSON values, from the rehearsal's own server."""
    said = V2Inference(5.0).metadata(url, "m")

    assert said["name"] == "m"
    assert said["inputs"] == [{"name": "input-0", "datatype": "FP64", "shape": [-1, len(FEATURES)]}]


@pytest.mark.parametrize(("status", "error"), [(503, Unreachable), (403, AccessDenied), (404, Misbehaved)])
def test_metadata_that_do_not_come_are_no_answer(
    httpserver: HTTPServer, status: int, error: type[LockgateError]
) -> None:
    """The same errors as for scores, each with what was asked."""
    httpserver.expect_request("/v2/models/m", method="GET").respond_with_data("no", status=status)

    with pytest.raises(error, match=f"/v2/models/m answered HTTP {status}"):
        V2Inference(5.0).metadata(httpserver.url_for(""), "m")
