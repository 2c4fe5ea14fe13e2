"""Each metrics pack, held against what its telemetry shows, in a real Prometheus.

``expositions/NAME.prom`` is what is scraped of two revisions in the namespace ``risk``. In each interval
00001 answers 10 requests well; 00002 answers 12, of which 2 fail, 3 are slow, and 1 is refused as the
caller's fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from gates.contract import Question, Status, Verdict
from gates.counts import Counts, Timings, Window, count, time_requests
from gates.metrics import PACKS, Metrics, Series
from gates.slo import Slo, SloSettings
from pipelines.clients.prometheus import PrometheusMetrics
from tests.counters import EVERY, NOW, SINCE, STEPS, Held, bake, counter, named_arm, prometheus

EXPOSITIONS = Path(__file__).parent / "expositions"
GOOD, BAD = "fraud-scorer-predictor-00001", "fraud-scorer-predictor-00002"
THRESHOLD_MS = {"knative-classic": 40.0, "vllm": 1000.0}
"""An edge of each histogram; 50 ms of all others."""
_LINE = re.compile(r"(?P<name>[\w:]+)\{(?P<labels>.*)\} (?P<value>\d+)")


def scraped(pack: str, namespace: str = "risk") -> list[Series]:
    """The exposition of a pack as it grows from scrape to scrape, in a namespace."""
    found = []
    for line in (EXPOSITIONS / f"{pack}.prom").read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        assert match, line
        labels = dict(re.findall(r'(\w+)="([^"]*)"', match["labels"].replace("risk", namespace)))
        found.append(counter(match["name"], labels, int(match["value"])))
    return found


def relabelled(series: list[Series], **labels: str | None) -> list[Series]:
    """The same with labels set, or taken away by None."""
    return [
        replace(one, labels={k: v for k, v in {**one.labels, **labels}.items() if v is not None})
        for one in series
    ]


def without(series: list[Series], text: str) -> list[Series]:
    """The same without the metrics whose name has this text."""
    return [one for one in series if text not in one.labels["__name__"]]


def renamed(series: list[Series], old: str, new: str) -> list[Series]:
    return [
        replace(one, labels={**one.labels, "__name__": one.labels["__name__"].replace(old, new)})
        for one in series
    ]


def asked(pack: str, namespace: str, candidate: str = GOOD, stable: str = GOOD) -> Question:
    """The one revision alone, unless there is another."""
    question = bake(
        namespace,
        metrics_pack=pack,
        candidate=named_arm("candidate", candidate),
        stable=named_arm("stable", stable) if stable != candidate else None,
    )
    threshold = THRESHOLD_MS.get(pack, 50.0)
    return replace(question, objectives=replace(question.objectives, latency_threshold_ms=threshold))


class Refusal(NamedTuple):
    """One precondition that does not hold."""

    pack: str
    series: Callable[[str], list[Series]]
    reason: str
    says: str
    threshold_ms: float | None = None


def broken_meter(series: list[Series]) -> list[Series]:
    """Every latency in the first bucket, as some releases of Knative write them."""
    whole = {one.labels["instance"]: one for one in series if one.labels.get("le") == "+Inf"}
    return [
        replace(one, samples=whole[one.labels["instance"]].samples) if "le" in one.labels else one
        for one in series
        if one.labels.get("http_response_status_code", "200") == "200"
    ]


REFUSALS = {
    "knative-otel-unlabelled": Refusal(
        "knative-otel",
        lambda ns: relabelled(scraped("knative-otel", ns), revision=None),
        "revision_unlabelled",
        "sets the labels namespace and revision from the pod",
    ),
    "knative-otel-not-switched-on": Refusal(
        "knative-otel", lambda ns: [], "no_data", "request-metrics-protocol: prometheus"
    ),
    "knative-otel-old-name": Refusal(
        "knative-otel",
        lambda ns: renamed(scraped("knative-otel", ns), "kn_serving_invocation", "kn_queueproxy_app"),
        "known_wrong",
        "upgrade Knative to 1.19.9",
    ),
    "knative-otel-all-latency-zero": Refusal(
        "knative-otel",
        lambda ns: broken_meter(scraped("knative-otel", ns)),
        "implausible_data",
        "less than the lowest edge, 5 ms",
    ),
    "knative-otel-8-ms": Refusal(
        "knative-otel",
        lambda ns: scraped("knative-otel", ns),
        "edge_missing",
        "no edge at 0.008, it has 0.005, 0.01",
        8.0,
    ),
    "knative-classic-not-scraped": Refusal("knative-classic", lambda ns: [], "no_data", "port 9091"),
    "knative-classic-is-otel": Refusal(
        "knative-classic", lambda ns: scraped("knative-otel", ns), "no_data", "Knative up to 1.18"
    ),
    "istio-default-edges": Refusal(
        "istio", lambda ns: scraped("istio", ns), "edge_missing", "5, 10, 25", 8.0
    ),
    "istio-no-sidecar": Refusal(
        "istio", lambda ns: scraped("gateway", ns), "no_data", "have Istio's sidecar"
    ),
    "istio-two-servers": Refusal(
        "istio",
        lambda ns: [
            copy for name in "ab" for copy in relabelled(scraped("istio", ns), prometheus_replica=name)
        ],
        "several_series",
        "differ in prometheus_replica alone",
    ),
    "istio-standard-in-knative-mode": Refusal(
        "istio-standard", lambda ns: scraped("istio", ns), "no_data", "Standard mode"
    ),
    "gateway-not-scraped": Refusal(
        "gateway", lambda ns: without(scraped("gateway", ns), "istio"), "no_data", "and is scraped"
    ),
    "envoy-other-clusters": Refusal(
        "envoy",
        lambda ns: relabelled(scraped("envoy", ns), envoy_cluster_name="outbound|80||fraud"),
        "no_data",
        "NAMESPACE/REVISION",
    ),
    "triton-no-histogram": Refusal(
        "triton", lambda ns: scraped("triton", ns), "no_histogram", "means are not judged"
    ),
    "triton-ensemble": Refusal(
        "triton",
        lambda ns: scraped("triton", ns) + relabelled(scraped("triton", ns), model="fraud-preprocess"),
        "several_series",
        "model is one of fraud-preprocess, fraud-scorer",
    ),
    "triton-unlabelled": Refusal(
        "triton",
        lambda ns: relabelled(scraped("triton", ns), revision=None),
        "revision_unlabelled",
        "port 8002",
    ),
    "vllm-no-http-counter": Refusal(
        "vllm", lambda ns: without(scraped("vllm", ns), "http_requests"), "no_data", "vLLM's port"
    ),
    "vllm-not-timed": Refusal(
        "vllm", lambda ns: without(scraped("vllm", ns), "latency"), "edge_missing", "it has none"
    ),
    "vllm-no-edge": Refusal(
        "vllm", lambda ns: scraped("vllm", ns), "edge_missing", "no edge at 0.1, it has 0.3, 0.5", 100.0
    ),
    "mlserver-unlabelled": Refusal(
        "mlserver",
        lambda ns: relabelled(scraped("mlserver", ns), revision=None),
        "revision_unlabelled",
        "port 8082",
    ),
    "mlserver-over-grpc": Refusal(
        "mlserver", lambda ns: without(scraped("mlserver", ns), "rest_"), "no_data", "it is called over REST"
    ),
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metrics]:
    """One Prometheus with every exposition and every refusal, each in a namespace of its own."""
    series = [one for pack in PACKS for one in scraped(pack, f"fine-{pack}")]
    series += [one for name, case in REFUSALS.items() for one in case.series(name)]
    with prometheus(tmp_path_factory.mktemp("prometheus"), _once(series)) as url:
        yield PrometheusMetrics(url)


def _once(series: list[Series]) -> list[Series]:
    """What several expositions tell of the whole cluster is there once."""
    return list({tuple(sorted(one.labels.items())): one for one in series}.values())


def judge(metrics: Metrics, question: Question) -> Verdict:
    return Slo(SloSettings(), metrics=metrics).judge(question)


@pytest.mark.parametrize("pack", PACKS)
def test_requests_errors_and_slow_ones_of_each_arm_are_counted(pack: str, real: Metrics) -> None:
    """Neither probes, nor other hops, nor the other arm; 4xx is the caller's."""
    window = Window(
        pack=pack,
        namespace=f"fine-{pack}",
        revision=GOOD,
        since=SINCE.timestamp(),
        now=NOW.timestamp(),
        scrape_seconds=EVERY,
    )
    seen = {}
    for revision in (GOOD, BAD):
        found = count(real, replace(window, revision=revision))
        assert isinstance(found, Counts), found
        seen[revision] = (found.requests / STEPS, found.errors / STEPS)
        if PACKS[pack].bucket:
            threshold = THRESHOLD_MS.get(pack, 50.0)
            timed = time_requests(
                real, replace(window, revision=revision), threshold_ms=threshold, answered=found.requests
            )
            assert isinstance(timed, Timings), timed
            assert timed.slow / STEPS == (0 if revision == GOOD else 3)
    assert seen == {GOOD: (10, 0), BAD: (12, 2)}


@pytest.mark.parametrize("pack", [name for name, pack in PACKS.items() if pack.bucket])
def test_a_good_arm_passes_and_a_bad_one_fails(pack: str, real: Metrics) -> None:
    """Each beside the other."""
    good = judge(real, asked(pack, f"fine-{pack}", GOOD, BAD))
    assert (good.status, good.reason) == (Status.PASS, "within_objectives"), good.sentence
    bad = judge(real, asked(pack, f"fine-{pack}", BAD, GOOD))
    assert (bad.status, bad.reason) == (Status.FAIL, "objective_missed")
    assert f"{2 * STEPS} of {12 * STEPS} candidate requests failed" in bad.sentence


def test_what_has_no_histogram_still_shows_errors(real: Metrics) -> None:
    """Triton can fail a candidate, and never pass one."""
    bad = judge(real, asked("triton", "fine-triton", BAD, GOOD))
    assert (bad.status, bad.reason) == (Status.FAIL, "objective_missed")


@pytest.mark.parametrize("name", REFUSALS)
def test_a_precondition_that_does_not_hold_is_refused(name: str, real: Metrics) -> None:
    """With its own reason, and what to do about it."""
    case = REFUSALS[name]
    for metrics in (real, Held(case.series(name))):
        question = asked(case.pack, name)
        if case.threshold_ms is not None:
            limits = replace(question.objectives, latency_threshold_ms=case.threshold_ms)
            question = replace(question, objectives=limits)
        verdict = judge(metrics, question)
        assert (verdict.status, verdict.reason) == (Status.UNKNOWN, case.reason), verdict.sentence
        assert case.says in verdict.sentence


def of_version(text: str) -> list[Series]:
    """What kube-state-metrics tells of Knative's controller, beside a sound exposition."""
    labels = {"namespace": "knative-serving", "deployment": "controller"}
    release = counter(
        "kube_deployment_labels", {**labels, "label_app_kubernetes_io_version": text}, 0, first=1
    )
    return [release, *scraped("knative-otel")]


@pytest.mark.parametrize("text", ["1.19.0", "1.19.8", "v1.19.8", "1.20.0", "1.20.1"])
def test_versions_known_to_be_wrong_are_refused(text: str) -> None:
    """However sound their counters look."""
    verdict = judge(Held(of_version(text)), asked("knative-otel", "risk"))
    assert (verdict.status, verdict.reason) == (Status.UNKNOWN, "known_wrong")
    assert "upgrade Knative to 1.19.9" in verdict.sentence


@pytest.mark.parametrize("text", ["1.19.9", "1.19.10", "1.20.2", "1.21.0", "v1.21.1", ""])
def test_other_versions_are_judged(text: str) -> None:
    """Also where nobody tells the version."""
    assert judge(Held(of_version(text)), asked("knative-otel", "risk")).status is Status.PASS


def test_prometheus_finds_the_version_too(tmp_path: Path) -> None:
    """The pattern is one of PromQL."""
    with prometheus(tmp_path, of_version("1.20.1")) as url:
        verdict = judge(PrometheusMetrics(url), asked("knative-otel", "risk"))
    assert verdict.reason == "known_wrong"


def test_whether_a_version_is_wrong_must_be_told_whole() -> None:
    """A partial answer may lack the very series that gives it away."""
    verdict = judge(Held(of_version("1.21.0"), warnings=("store down",)), asked("knative-otel", "risk"))
    assert (verdict.status, verdict.reason) == (Status.UNKNOWN, "partial_data")


def test_a_silent_arm_beside_a_labelled_one_is_no_mistake_of_the_scrape_configuration() -> None:
    """Else a stable version that got nothing any more could never be told from a missing label."""
    series = [*scraped("vllm"), *relabelled(scraped("vllm"), revision=None, job="other")]
    verdict = judge(Held(series), asked("vllm", "risk", "fraud-scorer-predictor-00003"))
    assert verdict.reason == "no_data"
