"""Metrics packs: a row of a table for each kind of telemetry, with what must hold before it may be believed.

A pack is data: which counter tells requests, which of its labels tells errors, which histogram tells how long
they took, and which labels belong to one arm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

REPLICA_LABELS = frozenset({"prometheus_replica", "replica", "receive_replica", "__replica__"})
"""Labels that tell two servers which scraped the same process: where they remain, all is counted twice."""


def selector(
    metric: str,
    labels: Mapping[str, str],
    *,
    matching: Mapping[str, str] | None = None,
    edges: Iterable[str] = (),
) -> str:
    """A PromQL selector; label values are escaped, so that no value can end its quotes.

    Args:
        labels: label -> the value it must have.
        matching: label -> a regular expression, anchored at both ends, which is a constant of a pack.
        edges: values of ``le``; none leaves it open.
    """
    matchers = [f"{name}={quoted(value)}" for name, value in labels.items()]
    matchers += [f"{name}=~{quoted(pattern)}" for name, pattern in (matching or {}).items()]
    if alternatives := "|".join(re.escape(edge) for edge in edges):
        matchers.append(f"le=~{quoted(alternatives)}")
    return f"{metric}{{{','.join(matchers)}}}"


def quoted(value: str) -> str:
    """A value as a string of PromQL, quotes included."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """Series which, where they are found, show that this telemetry counts wrongly."""

    metric: str
    labels: Mapping[str, str] = field(default_factory=dict)
    matching: Mapping[str, str] = field(default_factory=dict)
    of_arm: bool = False
    """Whether only series with the labels of the arm tell."""
    sentence: str
    """What is wrong, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """How one kind of telemetry counts the requests of one arm."""

    requests: str
    """Counter of answered requests, one series per class or code of the answer."""
    code_label: str
    """Its label that tells the class or code; a value that begins with 5 is an error."""
    failures: str = ""
    """Counter of requests that failed, where they are counted apart; the label to tell is then the name."""
    only: Mapping[str, str] = field(default_factory=dict)
    """Label -> pattern of the counter's series that are inferences and no probes."""
    bucket: str = ""
    """Latency histogram's buckets; "" where there is no histogram."""
    only_timed: Mapping[str, str] = field(default_factory=dict)
    """The same of the histogram."""
    edges_per_ms: float = 1.0
    """What one millisecond is in the unit of ``le``."""
    labels: Callable[[str, str], Mapping[str, str]]
    """(namespace, revision) -> the labels that select one arm."""
    relabelled: str = ""
    """The label of those that only the scrape configuration can set."""
    one_per_target: bool = False
    """A scraped process has one series per code (or edge) of an arm: a second one counts requests twice."""
    one_value: str = ""
    """Label with one value in all series of an arm: several count a request several times."""
    lies: tuple[Lie, ...] = ()
    needs: str
    """What must be set up for these series to be there."""

    def counters(self, namespace: str, revision: str) -> str:
        """Selects the counters of requests and failures of one arm."""
        labels = self.labels(namespace, revision)
        if not self.failures:
            return selector(self.requests, labels, matching=self.only)
        names = {"__name__": f"{self.requests}|{self.failures}"}
        return selector("", labels, matching={**names, **self.only})

    def buckets(self, namespace: str, revision: str, *, edges: Iterable[str] = ()) -> str:
        """Selects the buckets of one arm."""
        return selector(self.bucket, self.labels(namespace, revision), matching=self.only_timed, edges=edges)

    def failed(self, code: str) -> bool:
        """Whether a value of ``code_label`` tells an error."""
        return code == self.failures if self.failures else code.startswith("5")

    def lying(self, namespace: str, revision: str) -> Iterator[tuple[str, str]]:
        """(selector of the series that give a lie away, what is wrong) of each."""
        for lie in self.lies:
            labels = self.labels(namespace, revision) if lie.of_arm else {}
            yield selector(lie.metric, {**labels, **lie.labels}, matching=lie.matching), lie.sentence

    def unlabelled(self, namespace: str) -> str:
        """Asks for series of a namespace, none of which tells its revision; "" where that cannot happen."""
        if not self.relabelled:
            return ""
        here = {name: value for name, value in self.labels(namespace, "").items() if name != self.relabelled}
        without = selector(self.requests, {**here, self.relabelled: ""})
        told = selector(self.requests, here, matching={self.relabelled: ".+"})
        return f"count({without}) unless count({told})"


def _pod(namespace: str, revision: str) -> Mapping[str, str]:
    """Labels that a scrape configuration copies from the pod; these servers do not know their revision."""
    return {"namespace": namespace, "revision": revision}


_RELABEL = "the scrape configuration sets the labels namespace and revision from the pod"
_KNATIVE_FIX = "latencies below a second are recorded as 0; upgrade Knative to 1.19.9, 1.20.2 or 1.21"

PACKS: Mapping[str, Pack] = {
    "envoy": Pack(
        requests="envoy_cluster_upstream_rq_xx",
        code_label="envoy_response_code_class",
        bucket="envoy_cluster_upstream_rq_time_bucket",
        labels=lambda namespace, revision: {"envoy_cluster_name": f"{namespace}/{revision}"},
        one_per_target=True,
        needs="Envoy has one cluster per revision, named NAMESPACE/REVISION",
    ),
    "istio": Pack(
        requests="istio_requests_total",
        code_label="response_code",
        bucket="istio_request_duration_milliseconds_bucket",
        labels=lambda namespace, revision: {
            "reporter": "destination",  # the sidecar before the model; every hop before it reports too
            "destination_service_name": revision,
            "destination_workload_namespace": namespace,
        },  # one series per caller, flags and protocol
        needs="Knative mode, and the model's pods have Istio's sidecar",
    ),
    "istio-standard": Pack(
        requests="istio_requests_total",
        code_label="response_code",
        bucket="istio_request_duration_milliseconds_bucket",
        labels=lambda namespace, revision: {
            "reporter": "destination",
            "destination_workload": revision,
            "destination_workload_namespace": namespace,
        },
        needs="Standard mode, and the model's pods have Istio's sidecar",
    ),
    "gateway": Pack(
        requests="istio_requests_total",
        code_label="response_code",
        bucket="istio_request_duration_milliseconds_bucket",
        labels=lambda namespace, revision: {
            "reporter": "source",  # the gateway, where pods have no sidecar
            "destination_service_name": revision,  # the hop to the local gateway has that one's name
            "destination_service_namespace": namespace,  # the workload may be Knative's activator
        },
        needs="Istio's own gateway leads to the revisions, and is scraped",
    ),
    "knative-classic": Pack(
        requests="revision_request_count",
        code_label="response_code_class",
        bucket="revision_request_latencies_bucket",
        labels=lambda namespace, revision: {"namespace_name": namespace, "revision_name": revision},
        needs="Knative up to 1.18, and port 9091 of its queue-proxy is scraped",
    ),
    "knative-otel": Pack(
        requests="kn_serving_invocation_duration_seconds_count",
        code_label="http_response_status_code",
        bucket="kn_serving_invocation_duration_seconds_bucket",
        edges_per_ms=0.001,
        labels=_pod,
        relabelled="revision",
        lies=(
            Lie(
                metric="kn_queueproxy_app_duration_seconds_count",
                of_arm=True,
                sentence=f"this Knative still uses the name kn_queueproxy_app_duration: {_KNATIVE_FIX}",
            ),
            Lie(
                metric="kube_deployment_labels",
                labels={"namespace": "knative-serving"},
                matching={"label_app_kubernetes_io_version": r"v?1\.(19\.[0-8]|20\.[01])"},
                sentence=f"this Knative is one of 1.19.0 to 1.19.8, 1.20.0, 1.20.1: {_KNATIVE_FIX}",
            ),
        ),
        needs="Knative from 1.19 on with request-metrics-protocol: prometheus in config-observability, and "
        + _RELABEL,
    ),
    "triton": Pack(
        requests="nv_inference_request_success",
        failures="nv_inference_request_failure",
        code_label="__name__",
        only={"reason": "|OTHER|BACKEND|REJECTED"},  # CANCELED is the caller's wish, not a failure
        labels=_pod,
        relabelled="revision",
        one_value="model",  # an ensemble counts a request once more in each of its models
        needs=f"Triton's port 8002 is scraped, and {_RELABEL}",
    ),
    "vllm": Pack(
        requests="http_requests_total",  # the engine's own counter knows no request that failed
        code_label="status",
        only={"handler": ".*/(completions|responses|messages)"},
        bucket="vllm:e2e_request_latency_seconds_bucket",
        edges_per_ms=0.001,
        labels=_pod,
        relabelled="revision",
        needs=f"vLLM's port is scraped, and {_RELABEL}",
    ),
    "mlserver": Pack(
        requests="rest_server_requests_total",
        code_label="status_code",
        only={"path": ".*/infer"},  # a model's readiness probe is counted too
        bucket="rest_server_request_duration_seconds_bucket",
        only_timed={"path": ".*/infer"},
        edges_per_ms=0.001,
        labels=_pod,
        relabelled="revision",
        needs=f"MLServer's port 8082 is scraped, it is called over REST, and {_RELABEL}",
    ),
}
