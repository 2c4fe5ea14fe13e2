"""The load gate over the wire: locust in its process, a target with known behaviour in another.

Thresholds on the generator's fitness are wide here, since the machine runs other tests at the same time;
that a narrow one refuses is shown apart. Left out: macOS, where pacing falls back to sleep.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from gates.contract import Gate, Objectives, Status, Verdict
from gates.load import Load, LoadSettings
from gates.load.generator import GeneratorFailed, generate, null_endpoint
from gates.load.recording import Payload, Run
from pipelines.journal.lines import verdict_from_data, verdict_to_data
from tests.questions import Folder, arm, question

Serve = Callable[..., str]
OBJECTIVES = Objectives(
    latency_threshold_ms=100.0, latency_budget_percent=5.0, error_budget_percent=5.0, peak_rps=100.0
)
NOTHING = Payload(body=b"{}")
SETTINGS = LoadSettings(
    payloads="rows.csv",
    label="fraud",
    duration_seconds=2.0,
    warm_up_seconds=0.3,
    extensions=0,
    calibration_seconds=0.5,
    request_timeout_seconds=1.0,
    maximum_overhead_percent=1000.0,
    maximum_lag_percent=1000.0,
    maximum_cpu_percent=100.0,
)


@pytest.fixture
def repository(tmp_path: Path) -> Folder:
    """Payloads of two features."""
    (tmp_path / "rows.csv").write_text("a,b,fraud\n" + "".join(f"{n},{n}.5,0\n" for n in range(1500)))
    (tmp_path / "few.csv").write_text("a,b\n1,2\n3,4\n")
    return Folder(tmp_path)


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Puts a broken library where the child processes find it first."""

    def plant(module: str, code: str) -> None:
        folder = tmp_path / "broken"
        folder.mkdir()
        (folder / module).write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(folder))

    return plant


@contextmanager
def target(behaviour: dict[str, Any]) -> Iterator[str]:
    """Address of a server that behaves so."""
    command = [sys.executable, str(Path(__file__).with_name("load_target.py")), json.dumps(behaviour)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/base"
        finally:
            server.kill()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers that end with the test."""
    with ExitStack() as stack:
        yield lambda **behaviour: stack.enter_context(target(behaviour))


@pytest.fixture
def judge(repository: Folder) -> Callable[..., Verdict]:
    """Ask the gate about an address; settings and objectives can be changed."""

    def ask(url: str, **changes: Any) -> Verdict:
        objectives = replace(OBJECTIVES, **{k: v for k, v in changes.items() if hasattr(OBJECTIVES, k)})
        settings = replace(SETTINGS, **{k: v for k, v in changes.items() if hasattr(SETTINGS, k)})
        gate = Load(settings, repository=repository)
        return gate.judge(question(candidate=arm("candidate", "v2", url), objectives=objectives))

    return ask


def said(verdict: Verdict) -> tuple[Status, str]:
    """Status and reason, with the sentence where a test fails."""
    print(verdict.sentence)
    return verdict.status, verdict.reason


def value(verdict: Verdict, name: str) -> Any:
    """One measured value."""
    return next(one.value for one in verdict.evidence.measurements if one.name == name)


class TestVerdicts:
    """Real requests, real verdicts."""

    def test_a_fast_model_passes(self, serve: Serve, judge: Callable[..., Verdict]) -> None:
        """With everything needed to ask again, as JSON that the journal takes."""
        url = serve()
        verdict = judge(url)
        assert said(verdict) == (Status.PASS, "within_budgets")
        facts = verdict.evidence.facts
        assert facts["url"] == f"{url}/v2/models/fraud-scorer/infer"
        assert facts["pacing"] == ("timerfd" if sys.platform == "linux" else "sleep")
        assert facts["answers"] == {"ok": next(m.samples for m in verdict.evidence.measurements)}
        assert 60 < value(verdict, "offered_rps") < 140
        data = verdict_to_data(verdict)
        assert verdict_to_data(verdict_from_data(json.loads(json.dumps(data, allow_nan=False)))) == data

    def test_a_slow_tail_fails(self, serve: Serve, judge: Callable[..., Verdict]) -> None:
        """Every fifth answer comes late."""
        verdict = judge(serve(slow_every=5, slow_ms=150), payloads="few.csv", label="")
        assert said(verdict) == (Status.FAIL, "latency_budget_exceeded")
        assert value(verdict, "failed_percent") == 0.0
        assert value(verdict, "slow_percent") == pytest.approx(20, abs=6)
        assert value(verdict, "p90_ms") >= 150

    def test_a_stall_is_charged_for_everybody_who_waited(
        self, serve: Serve, judge: Callable[..., Verdict]
    ) -> None:
        """One stall of half a second meets dozens of requests, not one: the schedule does not wait."""
        verdict = judge(serve(stall_after=80, stall_ms=500))
        assert said(verdict) == (Status.FAIL, "latency_budget_exceeded")
        assert value(verdict, "slow_percent") > 12

    def test_errors_fail(self, serve: Serve, judge: Callable[..., Verdict]) -> None:
        """Every fourth answer is an internal error: counted, named, not tried again."""
        verdict = judge(serve(error_every=4), duration_seconds=1.5)
        assert said(verdict) == (Status.FAIL, "error_budget_exceeded")
        assert "http_500" in verdict.sentence
        assert value(verdict, "failed_percent") == pytest.approx(25, abs=2)

    def test_a_target_that_hangs_fails_in_bounded_time(
        self, serve: Serve, judge: Callable[..., Verdict]
    ) -> None:
        """Requests time out, arrivals beyond the cap are dropped, and the verdict is not excused by that."""
        verdict = judge(serve(stall_after=60, stall_ms=60_000), maximum_in_flight=40)
        assert said(verdict) == (Status.FAIL, "error_budget_exceeded")
        assert value(verdict, "dropped") > 0

    def test_nobody_there_is_no_fail(self, judge: Callable[..., Verdict]) -> None:
        """A refused connection says nothing about load."""
        verdict = judge("http://127.0.0.1:9", duration_seconds=0.5)
        assert said(verdict) == (Status.UNKNOWN, "target_unreachable")

    def test_refusals_are_ours_to_mend(self, serve: Serve, judge: Callable[..., Verdict]) -> None:
        """The label was sent as if it were a feature: three columns for two."""
        verdict = judge(serve(), label="", duration_seconds=0.5)
        assert said(verdict) == (Status.UNKNOWN, "requests_refused")

    def test_an_open_question_is_looked_at_again_and_then_left_open(
        self, serve: Serve, judge: Callable[..., Verdict]
    ) -> None:
        """Each look sends another schedule."""
        verdict = judge(serve(), duration_seconds=0.4, extensions=1)
        assert said(verdict) == (Status.UNKNOWN, "load_inconclusive")
        schedules: Any = verdict.evidence.facts["schedules_sha256"]
        assert len(set(schedules)) == verdict.evidence.facts["looks"] == 2

    def test_a_second_look_can_settle_it(self, serve: Serve, judge: Callable[..., Verdict]) -> None:
        """Forty requests cannot show five percent; eighty can."""
        verdict = judge(serve(), duration_seconds=0.5, extensions=1)
        assert said(verdict) == (Status.PASS, "within_budgets")
        assert verdict.evidence.facts["looks"] == 2

    @pytest.mark.parametrize(
        ("limit", "sign"),
        [
            ("maximum_lag_percent", "lag"),
            ("maximum_overhead_percent", "overhead"),
            ("maximum_cpu_percent", "cpu"),
        ],
    )
    def test_an_unfit_generator_says_nothing(
        self, serve: Serve, judge: Callable[..., Verdict], limit: str, sign: str
    ) -> None:
        """A limit that no machine keeps refuses a PASS, and a FAIL as well."""
        verdict = judge(serve(slow_every=1, slow_ms=150), duration_seconds=0.5, **{limit: 1e-4})
        assert said(verdict) == (Status.UNKNOWN, "generator_unfit")
        assert sign in verdict.evidence.facts["unfit"]  # type: ignore[operator]

    def test_a_cap_on_requests_in_flight_is_the_generator_s_own(
        self, serve: Serve, judge: Callable[..., Verdict]
    ) -> None:
        """What was sent went well; what was not sent is not known."""
        verdict = judge(
            serve(slow_every=1, slow_ms=60), maximum_in_flight=2, latency_threshold_ms=900.0,
            duration_seconds=0.7, maximum_dropped_percent=20.0
        )  # fmt: skip
        assert said(verdict) == (Status.UNKNOWN, "generator_unfit")
        assert "in_flight_cap" in verdict.evidence.facts["unfit"]  # type: ignore[operator]


class TestNotStarted:
    """What is refused before anything is sent."""

    @pytest.mark.parametrize("url", ["", "file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "http://["])
    def test_no_address_of_http(self, judge: Callable[..., Verdict], url: str) -> None:
        """Only http and https are spoken."""
        assert said(judge(url)) == (Status.UNKNOWN, "no_candidate_address")

    def test_more_than_one_generator_can_send(self, judge: Callable[..., Verdict]) -> None:
        """Rather than sending less and calling it peak."""
        verdict = judge("http://127.0.0.1:9", peak_rps=3000.0, peak_factor=2.0)
        assert said(verdict) == (Status.UNKNOWN, "generator_unfit")

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"payloads": "none.csv"}, "golden_set_missing"),
            ({"sha256": "0" * 64}, "golden_set_differs"),
            ({"label": "chargeback"}, "golden_set_invalid"),
        ],
    )
    def test_payloads_that_cannot_be_used(
        self, judge: Callable[..., Verdict], changes: dict[str, Any], reason: str
    ) -> None:
        """As in the evaluation gate."""
        assert said(judge("http://127.0.0.1:9", **changes)) == (Status.FAIL, reason)


class TestGenerator:
    """The child processes."""

    def run(self, url: str, **changes: Any) -> Run:
        """A short run."""
        short = Run(
            url=url,
            rate_rps=200.0,
            seconds=0.5,
            warm_up_seconds=0.2,
            seed=7,
            timeout_seconds=0.5,
            maximum_in_flight=64,
        )
        return replace(short, **changes)

    def test_the_same_seed_sends_the_same(self) -> None:
        """Another one another schedule; warm-up is sent and not counted."""
        with null_endpoint() as url:
            runs = [self.run(url), self.run(url), self.run(url, seed=8)]
            first, again, other = generate(runs, [NOTHING] * 3)
        assert first.schedule_sha256 == again.schedule_sha256 != other.schedule_sha256
        assert first.scheduled == len(first.kinds) == again.scheduled
        assert 60 <= first.scheduled <= 140
        assert set(first.kinds) == {"ok"}
        assert all(lag >= 0 for lag in first.lags_us)
        assert all(latency > lag for latency, lag in zip(first.latencies_us, first.lags_us, strict=True))

    def test_only_200_with_outputs_is_an_answer(self, serve: Serve) -> None:
        """Everything else is a failure by its own name; a redirect is not followed."""
        behaviours: dict[str, dict[str, Any]] = {
            "http_302": {"error_every": 1, "status": 302},
            "http_201": {"error_every": 1, "status": 201},
            "no_outputs": {"body": {"outputs": []}},
            "ok": {},
        }
        urls = [f"{serve(**one)}/v2/models/fraud-scorer/infer" for one in behaviours.values()]
        urls += [f"{serve(body=body)}/v2/models/fraud-scorer/infer" for body in (["outputs"], "<html>")]
        body = Payload(body=json.dumps({"inputs": [{"shape": [1, 2], "data": [1.0, 2.0]}]}).encode())
        recordings = generate([self.run(url, rate_rps=60.0) for url in urls], [body])
        seen = [set(one.kinds) for one in recordings]
        assert seen == [{kind} for kind in (*behaviours, "no_outputs", "no_outputs")]

    def test_locust_s_own_report_counts_the_same(self, tmp_path: Path) -> None:
        """Its events are fired for every counted request."""
        report = tmp_path / "report.html"
        with null_endpoint() as url:
            (one,) = generate([self.run(url)], [NOTHING], report=report)
        assert f'"num_requests": {len(one.kinds)}' in report.read_text()

    def test_a_run_of_nothing_is_empty(self) -> None:
        """So low a rate that nobody arrives."""
        with null_endpoint() as url:
            (nothing,) = generate([self.run(url, rate_rps=1e-6)], [NOTHING])
        assert (nothing.scheduled, nothing.kinds) == (0, [])

    def test_a_crash_is_named_by_its_last_line(self) -> None:
        """Here: nothing to send."""
        with (
            null_endpoint() as url,
            pytest.raises(GeneratorFailed, match=r"exit code 1: ValueError: empty range"),
        ):
            generate([self.run(url)], [])

    @pytest.mark.parametrize(
        ("module", "code", "says"),
        [
            (
                "locust.py",
                "raise ImportError('broken on purpose')",
                "exit code 1: ImportError: broken on purpose",
            ),
            ("locust.py", "import os; os._exit(9)", "exit code 9: it said nothing"),
            ("locust.py", "import os; os.write(1, b'hello'); os._exit(0)", "its answer is"),
            ("locust.py", "import os; os.write(1, b'[]'); os._exit(0)", "0 recordings for 3 runs"),
            ("asyncio.py", "raise ImportError('broken on purpose')", "did not start"),
        ],
    )
    def test_a_broken_generator_is_no_verdict_on_the_candidate(
        self,
        broken: Callable[[str, str], None],
        judge: Callable[..., Verdict],
        module: str,
        code: str,
        says: str,
    ) -> None:
        """UNKNOWN, with what the child said last."""
        broken(module, code)
        verdict = judge("http://127.0.0.1:9")
        assert said(verdict) == (Status.UNKNOWN, "generator_failed")
        assert says in verdict.sentence

    def test_a_generator_that_hangs_is_ended(self, broken: Callable[[str, str], None]) -> None:
        """At its bound, however long it would have taken."""
        broken("locust.py", "import time; time.sleep(600)")
        with pytest.raises(GeneratorFailed, match=r"did not end within 1\.7 s"):
            generate([self.run("http://127.0.0.1:9")], [NOTHING], start_seconds=0.5)

    def test_nothing_is_left_running(self, serve: Serve, judge: Callable[..., Verdict]) -> None:
        """Neither the generator nor the endpoint that answers at once outlives the verdict."""
        url = serve()
        before = {child.pid for child in psutil.Process().children(recursive=True)}
        judge(url, duration_seconds=0.3)
        assert {child.pid for child in psutil.Process().children(recursive=True)} == before

    def test_idle_cores_are_asked_to_stay_ready_for_no_longer_than_it_sends(self) -> None:
        """Where that may be asked for; where not, it sends all the same."""
        code = (
            "import os\n"
            "from gates.load.worker.pacing import no_deep_sleep\n"
            "def held():\n"
            "    links = (f'/proc/self/fd/{name}' for name in os.listdir('/proc/self/fd'))\n"
            "    return any(os.path.realpath(link) == '/dev/cpu_dma_latency' for link in links)\n"
            "try:\n"
            "    may = not os.close(os.open('/dev/cpu_dma_latency', os.O_WRONLY))\n"
            "except OSError:\n"
            "    may = False\n"
            "with no_deep_sleep():\n"
            "    print(held() == may)\n"
            "print(held())\n"
        )
        if sys.platform != "linux":
            pytest.skip("only Linux can be asked")
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert ran.stdout.split() == ["True", "False"]

    def test_an_untrusted_certificate_is_refused(self, tmp_path: Path) -> None:
        """TLS is verified: a self-signed server gets no request."""
        import ssl
        import threading
        from http.server import BaseHTTPRequestHandler, HTTPServer

        key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
        _self_signed(key, certificate)
        server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            (seen,) = generate(
                [self.run(f"https://localhost:{server.server_port}/", rate_rps=20.0)], [NOTHING]
            )
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
        assert set(seen.kinds) == {"SSLCertVerificationError"}


def _self_signed(key: Path, certificate: Path) -> None:
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost", "-days", "2",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def test_is_a_gate(repository: Folder) -> None:
    """It has everything that the registry asks for."""
    assert isinstance(Load(SETTINGS, repository=repository), Gate)
