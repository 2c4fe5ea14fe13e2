"""Counters as a metrics server would have scraped them: as text to back-fill, or answered from memory."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from gates.contract import Arm, Question
from gates.metrics import Answer, Series
from pipelines.rehearsal.prometheus import find
from tests.questions import arm as version
from tests.questions import question

NOW = datetime(2026, 3, 14, 9, 12, tzinfo=UTC)
EVERY = 15.0
STEPS = 20
SINCE = datetime.fromtimestamp(NOW.timestamp() - EVERY * STEPS, UTC)
REQUESTS = "envoy_cluster_upstream_rq_xx"
BUCKET = "envoy_cluster_upstream_rq_time_bucket"
EDGES = {"0.5": 0.0, "5": 0.5, "25": 0.9, "50": 1.0, "100": 1.0, "+Inf": 1.0}
"""Edge in ms -> the part of the fast requests that is within it. Slow ones lie between 50 and 100."""
CANDIDATE, STABLE = "fraud-scorer-predictor-00002", "fraud-scorer-predictor-00001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Requests of one arm that are answered between two scrapes, of :data:`STEPS` intervals in all."""

    good: int = 10
    errors: int = 0
    slow: int = 0
    """Of the good ones."""
    edges: Mapping[str, float] = field(default_factory=lambda: EDGES)
    target: str = "envoy:9901"


def counters(namespace: str, revision: str, traffic: Traffic) -> list[Series]:
    """Series of one arm as Envoy shows them; a class that never occurred is not there."""
    cluster = {"job": "envoy", "instance": traffic.target, "envoy_cluster_name": f"{namespace}/{revision}"}
    fast = traffic.good - traffic.slow
    series = [counter(REQUESTS, {**cluster, "envoy_response_code_class": "2"}, traffic.good)]
    if traffic.errors:
        series.append(counter(REQUESTS, {**cluster, "envoy_response_code_class": "5"}, traffic.errors))
    for edge, part in traffic.edges.items():
        within = int(fast * part) + (traffic.slow if edge in ("100", "+Inf") else 0)
        series.append(counter(BUCKET, {**cluster, "le": edge}, within))
    return series


def counter(name: str, labels: Mapping[str, str], per_scrape: int, *, first: int = 1000) -> Series:
    """One counter that had counted before and grows evenly up to the last scrape, at :data:`NOW`."""
    times = (NOW.timestamp() - EVERY * (STEPS - step) for step in range(STEPS + 1))
    samples = tuple((at, float(first + per_scrape * step)) for step, at in enumerate(times))
    return Series(labels={"__name__": name, **labels}, samples=samples)


def both(namespace: str, candidate: Traffic, stable: Traffic) -> list[Series]:
    """Series of both arms."""
    return [*counters(namespace, CANDIDATE, candidate), *counters(namespace, STABLE, stable)]


def changed(
    series: Iterable[Series], values: Mapping[int, float] | None = None, **labels: str
) -> list[Series]:
    """Series with some samples replaced (by position) and labels added."""
    return [
        replace(
            one,
            labels={**one.labels, **labels},
            samples=tuple(
                (at, (values or {}).get(place, value)) for place, (at, value) in enumerate(one.samples)
            ),
        )
        for one in series
    ]


def cut(series: Iterable[Series], first: int, last: int) -> list[Series]:
    """Series of which only the samples from ``first`` up to ``last`` (exclusive) were taken."""
    return [replace(one, samples=one.samples[first:last]) for one in series]


def bake(namespace: str, *, share_percent: int = 50, **changes: object) -> Question:
    """What the gates are asked while a share bakes."""
    named: dict[str, object] = {
        "now": NOW,
        "since": SINCE,
        "share_percent": share_percent,
        "namespace": namespace,
        "candidate": named_arm("candidate", CANDIDATE),
        "stable": named_arm("stable", STABLE),
        "metrics_pack": "envoy",
        "scrape_seconds": EVERY,
    }
    return question(**{**named, **changes})


def named_arm(name: str, revision: str) -> Arm:
    """An arm whose revision is known."""
    return replace(version(name, "v2" if name == "candidate" else "v1"), revision=revision)


# ------------------------------------------------------------------ from memory


class Held:
    """Answers selectors from memory as Prometheus answers them."""

    def __init__(self, series: Iterable[Series], *, warnings: tuple[str, ...] = ()) -> None:
        self._series = tuple(series)
        self._warnings = warnings

    def samples(self, selector: str, *, at: float, window_seconds: float) -> Answer:
        """Raw samples of the window, both ends included."""
        found = []
        for one in self._series:
            inside = tuple(s for s in one.samples if at - window_seconds <= s[0] <= at)
            if inside and _matches(selector, one.labels):
                found.append(replace(one, samples=inside))
        return self._answer(f"{selector}[{window_seconds:.0f}s]", at, found)

    def value(self, query: str, *, at: float) -> Answer:
        """``count by (le) (selector)``, ``count(selector)``, and one ``unless`` another, alone."""
        if found := re.fullmatch(r"count\(([^()]*\{.*?\})\)(?: unless count\((.*)\))?", query):
            there = [
                any(_matches(text, one.labels) for one in self._series) for text in found.groups() if text
            ]
            here = there[0] and not any(there[1:])
            return self._answer(query, at, [Series(labels={}, samples=((at, 1.0),))] if here else [])
        counted = re.fullmatch(r"count by \(le\) \((.*)\)", query)
        assert counted, query
        edges = sorted(
            {
                one.labels["le"]
                for one in self._series
                if _matches(counted[1], one.labels) and "le" in one.labels
            }
        )
        return self._answer(query, at, [Series(labels={"le": le}, samples=((at, 1.0),)) for le in edges])

    def _answer(self, query: str, at: float, series: list[Series]) -> Answer:
        return Answer(query=query, at=at, server="memory", series=tuple(series), warnings=self._warnings)


_MATCHER = re.compile(r'(?P<label>\w+)(?P<how>=~|=)"(?P<value>(?:[^"\\]|\\.)*)"')


def _matches(selector: str, labels: Mapping[str, str]) -> bool:
    name, _, rest = selector.partition("{")
    if name and labels["__name__"] != name:
        return False
    for matcher in _MATCHER.finditer(rest):
        value = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], matcher["value"])
        there = labels.get(matcher["label"], "")
        if not (there == value if matcher["how"] == "=" else re.fullmatch(value, there)):
            return False
    return True


# --------------------------------------------------------------- back-filled


def openmetrics(series: Iterable[Series]) -> str:
    """What ``promtool tsdb create-blocks-from openmetrics`` reads."""

    def lines() -> Iterator[str]:
        for one in series:
            labels = ",".join(
                f'{name}="{_escaped(value)}"' for name, value in one.labels.items() if name != "__name__"
            )
            for at, value in one.samples:
                yield f"{one.labels['__name__']}{{{labels}}} {_number(value)} {at:.3f}"

    return "\n".join((*lines(), "# EOF\n"))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return {"nan": "NaN", "inf": "+Inf"}.get(str(value), repr(value))


@contextmanager
def prometheus(folder: Path, series: Iterable[Series]) -> Iterator[str]:
    """A real Prometheus on loopback that holds these series; its address."""
    binaries = {name: find(name) for name in ("prometheus", "promtool")}
    for name, path in binaries.items():
        if path is None:
            pytest.skip(f"{name} is neither beside this Python nor on PATH; `make test` installs it")
    (folder / "data.om").write_text(openmetrics(series), encoding="utf-8")
    (folder / "prometheus.yaml").write_text("{}\n")
    fill = [str(binaries["promtool"]), "tsdb", "create-blocks-from", "openmetrics", "data.om", "data"]
    fill.append("--max-block-duration=64h")  # else days of samples take a block for each two hours
    subprocess.run(fill, cwd=folder, check=True, capture_output=True, timeout=60)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(binaries["prometheus"]), "--config.file=prometheus.yaml", "--storage.tsdb.path=data"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=100y"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        _await(url, server, folder / "log")
        yield url
    finally:
        server.terminate()
        server.wait(timeout=20)


def promtool(*arguments: str, folder: Path) -> str:
    """What promtool says, from a folder; fails with its words."""
    path = find("promtool")
    if path is None:
        pytest.skip("promtool is neither beside this Python nor on PATH; `make test` installs it")
    ran = subprocess.run([path, *arguments], cwd=folder, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def _await(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if requests.get(f"{url}/-/ready", timeout=2).status_code == 200:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace")[-2000:])
