"""The numbers a gate reads: the Metrics protocol, and the packs that say how requests are counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series of an answer: its labels and its raw samples, oldest first."""

    labels: Mapping[str, str]
    samples: tuple[tuple[float, float], ...]
    """(seconds since the epoch, value)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a metrics server answered, with the question."""

    query: str
    at: float
    server: str
    series: tuple[Series, ...]
    warnings: tuple[str, ...]
    """Anything the server added: a partial answer is not a whole one."""


class Metrics(Protocol):
    """The two questions gates ask of a metrics server.

    Both raise an error of the caller's choice when there is no usable answer; gates let it pass, and
    whoever runs the gate records UNKNOWN.
    """

    def samples(self, selector: str, *, at: float, window_seconds: float) -> Answer:
        """Raw samples of ``selector[window]`` ending at ``at``: what exact counts are made of."""
        ...

    def value(self, query: str, *, at: float) -> Answer:
        """An instant query evaluated at ``at``; each series has one sample."""
        ...


# ------------------------------------------------------------------------ packs


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """How one kind of telemetry counts the requests of one arm."""

    requests: str
    """Counter of answered requests, one series per class or code of the answer."""
    code_label: str
    """Its label that tells the class or code; a value that begins with 5 is an error."""
    bucket: str
    """Latency histogram's buckets."""
    edges_per_ms: float
    """What one millisecond is in the unit of ``le``."""
    labels: Callable[[str, str], Mapping[str, str]]
    """(namespace, revision) -> the labels that select one arm."""
    one_per_target: bool
    """A scraped process has one series per code (or edge) of an arm: a second one counts requests twice."""


PACKS: Mapping[str, Pack] = {
    "envoy": Pack(
        requests="envoy_cluster_upstream_rq_xx",
        code_label="envoy_response_code_class",
        bucket="envoy_cluster_upstream_rq_time_bucket",
        edges_per_ms=1.0,
        labels=lambda namespace, revision: {"envoy_cluster_name": f"{namespace}/{revision}"},
        one_per_target=True,
    ),
    "istio": Pack(
        requests="istio_requests_total",
        code_label="response_code",
        bucket="istio_request_duration_milliseconds_bucket",
        edges_per_ms=1.0,
        labels=lambda namespace, revision: {
            "reporter": "destination",  # the sidecar before the model; every hop before it reports too
            "destination_service_name": revision,
            "destination_workload_namespace": namespace,
        },
        one_per_target=False,  # one per caller, flags and protocol
    ),
}

REPLICA_LABELS = frozenset({"prometheus_replica", "replica", "receive_replica", "__replica__"})
"""Labels that tell two servers which scraped the same process: where they remain, all is counted twice."""


def selector(metric: str, labels: Mapping[str, str], *, edges: Iterable[str] = ()) -> str:
    """A PromQL selector; label values are escaped, so that no value can end its quotes."""
    matchers = [f"{name}={_quoted(value)}" for name, value in labels.items()]
    if alternatives := "|".join(re.escape(edge) for edge in edges):
        matchers.append(f"le=~{_quoted(alternatives)}")
    return f"{metric}{{{','.join(matchers)}}}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
