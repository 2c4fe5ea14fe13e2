"""Every protocol over the wire: locust in its process, a strict server on loopback, the whole gate between.

Thresholds on the generator's fitness are wide, since the machine runs other tests at the same time.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from gates.contract import Objectives, Status, Verdict
from gates.load import Load, LoadSettings
from gates.load.generator import GeneratorFailed, generate
from gates.load.recording import Run
from tests.gates.load_speakers import INPUTS, NAMES, speaking, speaking_grpc
from tests.questions import Folder, arm, question

OBJECTIVES = Objectives(
    latency_threshold_ms=400.0, latency_budget_percent=15.0, error_budget_percent=15.0, peak_rps=60.0
)
SETTINGS = LoadSettings(
    payloads="rows.csv",
    tensors="columns",
    duration_seconds=0.7,
    warm_up_seconds=0.2,
    extensions=0,
    calibration_seconds=0.2,
    request_timeout_seconds=2.0,
    maximum_overhead_percent=1000.0,
    maximum_lag_percent=1000.0,
    maximum_cpu_percent=100.0,
)


@pytest.fixture
def repository(tmp_path: Path) -> Folder:
    """The same two rows, as a table and as they were recorded."""
    (tmp_path / "rows.csv").write_text(",".join(NAMES) + "\n1,2.5\n3,4.5\n")
    prompts = [{"prompt": "Say hello."}, {"prompt": "And again."}]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    (tmp_path / "chats.jsonl").write_text('{"messages": [{"role": "user", "content": "Say hello."}]}\n')
    inputs = [{"name": name, "datatype": "FP64", "shape": [1, 1], "data": [1.5]} for name in NAMES]
    (tmp_path / "asked.jsonl").write_text(json.dumps({"inputs": inputs}))
    return Folder(tmp_path)


def judged(repository: Folder, url: str, **changes: Any) -> Verdict:
    """What the gate says about an address."""
    gate = Load(replace(SETTINGS, **changes), repository=repository)
    verdict = gate.judge(question(candidate=arm("candidate", "v2", url), objectives=OBJECTIVES))
    print(verdict.sentence, dict(verdict.evidence.facts))
    return verdict


def said(verdict: Verdict) -> tuple[Status, str]:
    """Status and reason."""
    return verdict.status, verdict.reason


PASSED = (Status.PASS, "within_budgets")
CHAT = {
    "protocol": "chat", "source": "recorded", "payloads": "chats.jsonl", "path": "/openai/v1/chat/completions"
}  # fmt: skip
PROMPTS = {"protocol": "completions", "source": "recorded", "payloads": "prompts.jsonl"}


class TestSpoken:
    """A server that refuses whatever is not exactly as agreed serves every request."""

    @pytest.mark.parametrize(
        ("protocol", "changes"),
        [
            ("v2", {}),
            ("v2", {"source": "recorded", "payloads": "asked.jsonl"}),
            ("v2_binary", {}),
            ("v2_binary", {"source": "recorded", "payloads": "asked.jsonl"}),
            ("v1", {}),
            ("chat", CHAT),
            ("completions", PROMPTS),
        ],
    )
    def test_over_http(self, repository: Folder, protocol: str, changes: dict[str, Any]) -> None:
        """With names that hold arrows and colons, and paths that were set."""
        with speaking(protocol) as url:
            verdict = judged(repository, url, **{"protocol": protocol, **changes})
        assert said(verdict) == PASSED
        assert set(verdict.evidence.facts["answers"]) == {"ok"}  # type: ignore[call-overload]

    @pytest.mark.parametrize("protocol", ["v2", "v2_binary"])
    def test_generated_from_what_the_model_says(self, repository: Folder, protocol: str) -> None:
        """Its inputs, by its own names."""
        with speaking(protocol, metadata={"name": "m", "inputs": INPUTS}) as url:
            verdict = judged(repository, url, protocol=protocol, source="generated", payloads="")
        assert said(verdict) == PASSED
        assert verdict.evidence.facts["requests"] == 100

    @pytest.mark.parametrize(
        "metadata", [None, [], {"name": "m"}, {"inputs": []}, {"inputs": [{"name": "x"}]}]
    )
    def test_a_model_that_says_nothing_is_not_guessed_at(self, repository: Folder, metadata: object) -> None:
        """Nor is it blamed."""
        with speaking("v2", metadata=metadata) as url:
            verdict = judged(repository, url, source="generated", payloads="")
        assert said(verdict) == (Status.UNKNOWN, "metadata_absent")

    def test_nobody_there_says_nothing_either(self, repository: Folder) -> None:
        """The sentence says who did not answer."""
        verdict = judged(repository, "http://127.0.0.1:9", source="generated", payloads="")
        assert said(verdict) == (Status.UNKNOWN, "metadata_absent")
        assert "refused" in verdict.sentence

    def test_another_protocol_is_refused_and_no_fail(self, repository: Folder) -> None:
        """What we send is ours to mend."""
        with speaking("v2_binary") as url:
            verdict = judged(repository, url, protocol="v2", duration_seconds=0.4)
        assert said(verdict) == (Status.UNKNOWN, "requests_refused")

    @pytest.mark.parametrize(
        ("content", "reason"),
        [(None, "payloads_missing"), ("\n", "payloads_empty"), ("x", "payloads_invalid")],
    )
    def test_recorded_requests_that_cannot_be_used(
        self, repository: Folder, tmp_path: Path, content: str | None, reason: str
    ) -> None:
        """Each with its own reason, before anything is sent."""
        if content is not None:
            (tmp_path / "other.jsonl").write_text(content)
        verdict = judged(repository, "http://127.0.0.1:9", source="recorded", payloads="other.jsonl")
        assert said(verdict) == (Status.FAIL, reason)

    def test_a_wrong_digest(self, repository: Folder) -> None:
        """The file is not the one that was reviewed."""
        verdict = judged(
            repository, "http://127.0.0.1:9", source="recorded", payloads="asked.jsonl", sha256="0" * 64
        )
        assert said(verdict) == (Status.FAIL, "payloads_differs")


class TestStreams:
    """Time to the first token."""

    STREAMED: ClassVar[dict[str, Any]] = {**CHAT, "stream": True, "first_token_threshold_ms": 150.0}

    def streaming(self, **changes: Any) -> AbstractContextManager[str]:
        """A server of events."""
        return speaking("chat", **changes)

    def test_a_prompt_beginning_passes(self, repository: Folder) -> None:
        """However long the rest takes within the objective; both times are measured."""
        with self.streaming(stream_seconds=(0.0, 0.05)) as url:
            verdict = judged(repository, url, **self.STREAMED | {"first_token_threshold_ms": 350.0})
        rows = {one.name: one for one in verdict.evidence.measurements}
        assert said(verdict) == PASSED
        assert rows["first_token_p50_ms"].value < rows["p50_ms"].value - 45  # type: ignore[operator]
        assert rows["first_token_p50_ms"].samples == rows["p50_ms"].samples

    def test_a_late_beginning_fails(self, repository: Folder) -> None:
        """Though the whole answer is within its own objective; the role's event is no token."""
        with self.streaming(stream_seconds=(0.2, 0.0)) as url:
            verdict = judged(repository, url, **self.STREAMED)
        assert said(verdict) == (Status.FAIL, "first_token_budget_exceeded")

    def test_a_stream_that_breaks_off_is_no_answer(self, repository: Folder) -> None:
        """However promptly it began."""
        with self.streaming(stream_seconds=(0.0, 0.0), cut=True) as url:
            verdict = judged(repository, url, **self.STREAMED)
        assert said(verdict) == (Status.FAIL, "error_budget_exceeded")
        assert "cut_off" in verdict.sentence


class TestGrpc:
    """V2 over gRPC."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("grpc")

    @pytest.mark.parametrize("source", ["table", "generated"])
    def test_named_tensors_arrive(self, repository: Folder, source: str) -> None:
        """From the table, and from what the model says of itself over gRPC."""
        payloads = "" if source == "generated" else "rows.csv"
        with speaking_grpc() as url:
            verdict = judged(repository, url, protocol="v2_grpc", source=source, payloads=payloads)
        assert said(verdict) == PASSED

    @pytest.mark.parametrize(
        ("status", "verdict"),
        [
            ("INTERNAL", (Status.FAIL, "error_budget_exceeded")),
            ("UNAVAILABLE", (Status.UNKNOWN, "target_unreachable")),
            ("PERMISSION_DENIED", (Status.UNKNOWN, "requests_refused")),
        ],
    )
    def test_a_status_is_told_from_silence(
        self, repository: Folder, status: str, verdict: tuple[Status, str]
    ) -> None:
        """As over HTTP."""
        with speaking_grpc(status=status) as url:
            assert said(judged(repository, url, protocol="v2_grpc")) == verdict

    def test_a_model_that_is_not_there(self, repository: Folder) -> None:
        """Metadata from nobody."""
        verdict = judged(
            repository, "http://127.0.0.1:9", protocol="v2_grpc", source="generated", payloads=""
        )
        assert said(verdict) == (Status.UNKNOWN, "metadata_absent")

    def test_a_slow_model_fails(self, repository: Folder) -> None:
        """Over gRPC as over anything."""
        with speaking_grpc(seconds=0.6) as url:
            verdict = judged(repository, url, protocol="v2_grpc")
        assert said(verdict) == (Status.FAIL, "latency_budget_exceeded")


def test_several_generators_share_the_rate(repository: Folder) -> None:
    """Locust's master and two workers; together they send what one would."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with speaking("v2") as url:
        verdict = judged(repository, url, processes=2, duration_seconds=1.0)
    offered = next(one for one in verdict.evidence.measurements if one.name == "offered_rps")
    assert said(verdict) == PASSED
    assert 30 < float(offered.value or 0) < 95
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before


def test_a_team_without_work_is_a_failed_generator() -> None:
    """A member that cannot go on is named, and nobody waits for the others."""
    run = Run(
        url="http://127.0.0.1:9/", rate_rps=50.0, seconds=0.2, warm_up_seconds=0.0, seed=1,
        timeout_seconds=0.5, maximum_in_flight=9
    )  # fmt: skip
    with pytest.raises(GeneratorFailed, match="a generator failed: ValueError: empty range"):
        generate([run], [], processes=2)


def test_a_sweep_is_evidence(repository: Folder) -> None:
    """Rates beside the peak, each with what it gave; the verdict is the peak's."""
    with speaking("v2") as url:
        verdict = judged(repository, url, sweep_percents=(50.0, 150.0), sweep_seconds=0.4)
    rows: Any = verdict.evidence.facts["sweep"]
    assert said(verdict) == PASSED
    assert [row["rate_rps"] for row in rows] == [30.0, 90.0]
    assert all(row["requests"] and row["failed"] == 0 and row["p99_ms"] for row in rows)
