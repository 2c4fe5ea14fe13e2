"""The Prometheus client over the wire: what a real server answers, and every way not to be answered."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from gates.contract import Status
from gates.metrics import Metrics, Series
from gates.slo import Slo, SloSettings
from pipelines.clients.prometheus import PrometheusMetrics
from pipelines.errors import AccessDenied, CouldNotTell, Misbehaved, Unreachable
from tests.counters import EVERY, NOW, STEPS, Held, Traffic, bake, both, counter, prometheus

AT = NOW.timestamp()
ONE = {"metric": {"job": "a"}, "value": [AT, "1"]}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prometheus with one counter of two jobs."""
    series = [counter("hits", {"job": job}, 1, first=0) for job in ("a", "b")]
    with prometheus(tmp_path_factory.mktemp("prometheus"), series) as url:
        yield url


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def vector(*series: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "vector", "result": list(series)}, **more}


def stub(httpserver: HTTPServer, body: Any, status: int = 200) -> PrometheusMetrics:
    """A client of a server that always answers this."""
    handler = httpserver.expect_request("/api/v1/query")
    if isinstance(body, str):
        handler.respond_with_data(body, status=status, content_type="text/html")
    else:
        handler.respond_with_json(body, status=status)
    return PrometheusMetrics(httpserver.url_for("/"))


# ---------------------------------------------------------------- a real server


def test_raw_samples_are_as_they_were_scraped(url: str) -> None:
    """Each with its time, oldest first, and the question beside them."""
    metrics: Metrics = PrometheusMetrics(url + "/")
    answer = metrics.samples('hits{job="a"}', at=AT, window_seconds=2 * EVERY)
    assert [one.labels for one in answer.series] == [{"__name__": "hits", "job": "a"}]
    assert answer.series[0].samples[-2:] == ((AT - EVERY, STEPS - 1.0), (AT, float(STEPS)))
    assert (answer.query, answer.at, answer.server, answer.warnings) == (
        'hits{job="a"}[30000ms]',
        AT,
        url,
        (),
    )


def test_windows_are_exact_to_the_millisecond(url: str) -> None:
    """None of the samples before, however close."""
    inside = PrometheusMetrics(url).samples('hits{job="a"}', at=AT - 0.001, window_seconds=EVERY - 0.002)
    assert inside.series == ()
    just = PrometheusMetrics(url).samples('hits{job="a"}', at=AT + 0.001, window_seconds=0.002)
    assert just.series[0].samples == ((AT, float(STEPS)),)


def test_values_are_of_the_instant_asked_for(url: str) -> None:
    """Not of the server's present."""
    answer = PrometheusMetrics(url).value("sum(hits)", at=AT - EVERY)
    assert answer.series == (Series(labels={}, samples=((AT - EVERY, 2.0 * (STEPS - 1)),)),)
    assert PrometheusMetrics(url).value("hits", at=AT - 86400).series == ()


def test_a_scalar_has_no_series(url: str) -> None:
    """Its shape differs, and the library does not say so."""
    with pytest.raises(Misbehaved, match="answered a scalar where a vector was asked for: time"):
        PrometheusMetrics(url).value("time()", at=AT)


def test_a_query_that_is_none_is_said_with_the_servers_words(url: str) -> None:
    """HTTP 400."""
    with pytest.raises(Misbehaved, match=r"HTTP 400: .*parse error.*: sum\("):
        PrometheusMetrics(url).value("sum(", at=AT)


def test_an_answer_as_long_as_a_day_is_read_whole(url: str) -> None:
    """Every sample there is."""
    answer = PrometheusMetrics(url).samples("hits", at=AT, window_seconds=86400)
    assert [len(one.samples) for one in answer.series] == [STEPS + 1, STEPS + 1]


# -------------------------------------------------------------- partial answers


def test_warnings_and_infos_are_kept(httpserver: HTTPServer) -> None:
    """The library drops them."""
    body = vector(ONE, warnings=["store-2 timed out"], infos=["not a counter"])
    assert stub(httpserver, body).value("up", at=AT).warnings == ("store-2 timed out", "not a counter")


def test_a_gate_does_not_pass_on_a_partial_answer(httpserver: HTTPServer) -> None:
    """From the wire to the verdict, with numbers that pass when nothing is added to them."""
    held = Held(both("risk", Traffic(), Traffic()))
    warnings: list[str] = []

    def answer(request: Request) -> Response:
        query, window = request.args["query"], re.fullmatch(r"(.*)\[(\d+)ms\]", request.args["query"])
        at = float(request.args["time"])
        if window:
            found = held.samples(window[1], at=at, window_seconds=int(window[2]) / 1000)
        else:
            found = held.value(query, at=at)
        result = [
            {"metric": dict(one.labels)} | ({"values": one.samples} if window else {"value": one.samples[0]})
            for one in found.series
        ]
        data = {"resultType": "matrix" if window else "vector", "result": result}
        body = {"status": "success", "data": data, "warnings": warnings}
        return Response(json.dumps(body), content_type="application/json")

    httpserver.expect_request("/api/v1/query").respond_with_handler(answer)
    gate = Slo(SloSettings(), metrics=PrometheusMetrics(httpserver.url_for("")))
    assert gate.judge(bake("risk")).status is Status.PASS
    warnings.append("store-2 timed out")
    verdict = gate.judge(bake("risk"))
    assert (verdict.status, verdict.reason) == (Status.UNKNOWN, "partial_data")


# ------------------------------------------------------------------- no answers


def test_a_server_that_is_down_is_unreachable() -> None:
    """Nobody listens; the gate lets the error pass, and whoever runs it records UNKNOWN."""
    gate = Slo(SloSettings(), metrics=PrometheusMetrics(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(Unreachable, match=r"no answer from http://127\.0\.0\.1:\d+: ConnectionError"):
        gate.judge(bake("risk"))


def test_an_address_that_is_none_is_unreachable() -> None:
    """Though the library's error is a ValueError as well."""
    with pytest.raises(Unreachable, match=r"no answer from .*: InvalidURL"):
        PrometheusMetrics("http://").value("up", at=AT)


def test_a_silent_server_is_given_up_after_the_time_out() -> None:
    """Three attempts of the time-out each; the library alone would wait for ever."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unreachable, match="no answer"):
            PrometheusMetrics(address, timeout_seconds=0.1).value("up", at=AT)


def test_an_answer_that_is_cut_short_is_no_answer() -> None:
    """The connection ends in the middle of the body."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def answer() -> None:
            connection, _peer = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")

        thread = threading.Thread(target=answer)
        thread.start()
        metrics = PrometheusMetrics(f"http://127.0.0.1:{server.getsockname()[1]}", timeout_seconds=2)
        with pytest.raises(Unreachable, match="no answer"):
            metrics.value("up", at=AT)
        thread.join()


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateways_error_is_asked_again(httpserver: HTTPServer, status: int) -> None:
    """A question changes nothing, so it may be put twice."""
    httpserver.expect_oneshot_request("/api/v1/query").respond_with_data("busy", status=status)
    assert len(stub(httpserver, vector(ONE)).value("up", at=AT).series) == 1


@pytest.mark.parametrize(
    ("status", "error", "attempts"),
    [
        (400, Misbehaved, 1),
        (401, AccessDenied, 1),
        (403, AccessDenied, 1),
        (404, Misbehaved, 1),
        (422, Misbehaved, 1),
        (429, Unreachable, 1),
        (500, Unreachable, 1),
        (503, Unreachable, 3),
    ],
)
@pytest.mark.parametrize("body", ["<html>no</html>", {"error": "no"}, ["no"]])
def test_a_refusal_is_no_answer(
    httpserver: HTTPServer, status: int, error: type[CouldNotTell], attempts: int, body: Any
) -> None:
    """Which one tells whose it is to mend; whatever stands in it."""
    with pytest.raises(error, match=f"HTTP {status}"):
        stub(httpserver, body, status).value("up", at=AT)
    assert len(httpserver.log) == attempts


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("<html>Log in</html>", "answered no JSON but '<html>Log in</html>'"),
        ("", "answered no JSON"),
        ([], "answered HTTP 200 and a list"),
        ({}, "answered HTTP 200 and no data"),
        ({"status": "error", "error": "too many samples"}, "too many samples"),
        ({"status": "success", "data": []}, "no data"),
        ({"status": "success", "data": {"resultType": "vector"}}, "a series cannot be read"),
        (
            {"status": "success", "data": {"resultType": "matrix", "result": []}},
            "answered a matrix where a vector",
        ),
        (vector({"metric": {}, "value": [AT, "abc"]}), "could not convert"),
        (vector({"metric": {}, "value": [AT]}), "a series cannot be read"),
        (vector({"metric": [], "value": [AT, "1"]}), "a series cannot be read"),
        (vector({"metric": {}}), "a series cannot be read"),
        (vector({"metric": {}, "histogram": [AT, {"count": "3"}]}), "native histograms have no edges"),
    ],
)
def test_an_answer_that_makes_no_sense_is_no_answer(httpserver: HTTPServer, body: Any, says: str) -> None:
    """HTML for JSON, an error under HTTP 200, a shape that was not asked for."""
    with pytest.raises(Misbehaved, match=says):
        stub(httpserver, body).value("up", at=AT)


def test_warnings_that_are_no_list_do_not_hide_the_answer(httpserver: HTTPServer) -> None:
    """As ``null`` of some servers."""
    assert stub(httpserver, vector(ONE, warnings=None)).value("up", at=AT).warnings == ()


# ------------------------------------------------------------- credentials, TLS


def test_the_token_is_sent_and_nothing_of_the_environment(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A .netrc would silently replace it, a proxy would see it."""
    netrc = tmp_path / "netrc"
    netrc.write_text(
        "machine 127.0.0.1 login me password secret\nmachine localhost login me password secret\n"
    )
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    stub(httpserver, vector(ONE))
    PrometheusMetrics(httpserver.url_for(""), token="t0ken").value("up", at=AT)
    PrometheusMetrics(httpserver.url_for("")).value("up", at=AT)
    sent = [request.headers.get("Authorization") for request, _ in httpserver.log]
    assert sent == ["Bearer t0ken", None]


def test_the_token_is_never_in_a_message(httpserver: HTTPServer) -> None:
    """Not even when it is refused."""
    httpserver.expect_request("/api/v1/query").respond_with_data("t0ken", status=401)
    with pytest.raises(AccessDenied) as caught:
        PrometheusMetrics(httpserver.url_for(""), token="t0ken").value("up", at=AT)
    assert "t0ken" not in str(caught.value)


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[HTTPServer, str]]:
    """A server with a certificate of its own, and the file that vouches for it."""
    certificate, key = tmp_path / "ca.pem", tmp_path / "key.pem"
    request = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
    ]
    request += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    request += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(request, check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with HTTPServer(host="127.0.0.1", ssl_context=context) as server:
        server.expect_request("/api/v1/query").respond_with_json(vector(ONE))
        yield server, str(certificate)


def test_tls_is_verified(secured: tuple[HTTPServer, str]) -> None:
    """A stranger's certificate is no answer; the authority that is named is believed."""
    server, ca_file = secured
    with pytest.raises(Unreachable, match="SSLError"):
        PrometheusMetrics(server.url_for("")).value("up", at=AT)
    assert PrometheusMetrics(server.url_for(""), ca_file=ca_file).value("up", at=AT).series


# ----------------------------------------------------------------------- doctor


def test_doctor_says_that_it_answers(url: str) -> None:
    """This server does not scrape itself, so its version stays open."""
    findings = PrometheusMetrics(url).diagnose()
    assert [(one.what, one.good) for one in findings] == [("reach", True), ("version", None)]


def test_doctor_names_the_version(httpserver: HTTPServer) -> None:
    """Of the server's own present, whatever our clock says."""
    build = {"metric": {"version": "2.42.0"}, "value": [AT, "1"]}
    findings = stub(httpserver, vector(build)).diagnose()
    assert findings[1].sentence == "version 2.42.0"
    assert "time" not in httpserver.log[0][0].args


@pytest.mark.parametrize(("status", "what"), [(401, "rights"), (500, "reach")])
def test_doctor_says_what_to_do(httpserver: HTTPServer, status: int, what: str) -> None:
    """One finding, and advice."""
    (finding,) = stub(httpserver, "no", status).diagnose()
    assert (finding.what, finding.good) == (what, False)
    assert "platform.yaml" in finding.advice
