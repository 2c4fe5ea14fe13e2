"""What a gate is: a question about one subject, and a verdict with its evidence.

Everything here is a frozen value or a protocol and needs the standard library alone, so that a gate of
a third party depends on nothing but this file.

A verdict has four statuses, never a boolean, ordered so that a set reduces to its worst:

    PASS < WAIT < UNKNOWN < FAIL

PASS and FAIL are judgements. WAIT means "working as designed, needs more time or samples or a person".
UNKNOWN means "could not tell": no data is not good data, and an outage is not an answer.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar, Literal, Protocol, runtime_checkable

Scalar = str | int | float | bool | None
"""A value that JSON carries unchanged."""

Phase = Literal["preview", "bake", "approve"]
"""When a gate is asked: on the preview before the merge, while a share bakes, or before the last share."""

ArmName = Literal["stable", "candidate"]


class Status(enum.IntEnum):
    """The four answers of a gate, worst last."""

    PASS = 0
    WAIT = 1
    UNKNOWN = 2
    FAIL = 3

    @classmethod
    def worst(cls, statuses: Iterable[Status]) -> Status:
        """Reduce to the worst; nothing at all is WAIT, never PASS."""
        return max(statuses, default=cls.WAIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a verdict is about; a verdict about another subject does not count."""

    model: str
    environment: str
    digest: str
    """Digest of the candidate's artifact, ``sha256:`` and 64 hexadecimal digits."""
    commit: str
    """The commit whose manifests were judged, 40 hexadecimal digits."""
    stage: str
    """Name of the stage in the plan, such as ``judge`` or ``bake-10``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One number (or word) that a verdict rests on."""

    name: str
    value: Scalar
    unit: str = ""
    """``ms``, ``percent``, ``requests``, ``seconds``; empty for counts and words."""
    arm: ArmName | Literal[""] = ""
    samples: int | None = None
    """How many observations the value rests on; None where that makes no sense."""
    low: float | None = None
    high: float | None = None
    """Bounds of the interval around the value, in the same unit."""
    threshold: float | None = None
    """What the value was held against, in the same unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The question behind a number, kept so that anyone can ask it again."""

    text: str
    at: float
    """Evaluation time, seconds since the epoch."""
    window_seconds: float
    server: str
    series: int
    samples: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Numbers, queries and facts that a verdict rests on, kept with it."""

    measurements: tuple[Measurement, ...] = ()
    queries: tuple[Query, ...] = ()
    facts: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """Anything else, as JSON values: a table of slices, a list of problems, approver rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one gate says about one subject."""

    gate: str
    subject: Subject
    status: Status
    reason: str
    """A stable code in snake_case: ``within_objectives``, ``insufficient_samples``, ``no_data`` …"""
    sentence: str
    """One sentence for people, with the measured value and what it was held against."""
    at: datetime
    """When it was judged, UTC."""
    evidence: Evidence = field(default_factory=Evidence)
    retry_after_seconds: float | None = None
    """For WAIT and UNKNOWN: when asking again may give another answer; None leaves it to the stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One of the two versions that live requests can reach."""

    name: ArmName
    version: str
    uri: str
    digest: str
    revision: str = ""
    """What the serving layer calls it: a Knative revision or a Standard-mode Service; "" while unknown."""
    url: str = ""
    """Where requests reach this arm and no other; "" where there is no such address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """Service level objectives of a model, as shares of requests."""

    latency_threshold_ms: float
    """A request is slow when it takes longer than this."""
    latency_budget_percent: float
    """At most this percentage of requests may be slow (1.0 for a p99 objective)."""
    error_budget_percent: float
    """At most this percentage of requests may fail on the server's side (HTTP 5xx)."""
    peak_rps: float
    """Requests per second expected at peak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything a gate may know about what it is asked to judge."""

    subject: Subject
    now: datetime
    """The instant of this look, UTC; a gate never reads a clock itself."""
    since: datetime
    """When the present share was seen on both arms: a gate judges nothing older."""
    share_percent: int
    """The share the candidate should have: 0 in the preview phase."""
    tenant: str
    namespace: str
    """Namespace in which the InferenceService lives."""
    service: str
    """Name of the InferenceService."""
    protocol_model: str
    """The model's name in inference calls: ``/v2/models/<protocol_model>/infer``."""
    candidate: Arm
    stable: Arm | None
    """None for the first version ever of a model in an environment."""
    objectives: Objectives
    metrics_pack: str = ""
    """How this environment's telemetry is counted: ``envoy``, ``istio`` …; "" where it has none."""
    scrape_seconds: float = 15.0
    """How often this environment's metrics are scraped."""
    files: Mapping[str, str]
    """The rendered manifests under judgement: path -> text."""
    change_number: str = ""
    """Approve phase: the change request opened for this promotion."""
    configuration_item: str = ""
    """Approve phase: the configuration item that the change must name."""
    correlation_id: str = ""
    """Approve phase: digest of the content that the approval must cover."""
    requested_by: str = ""
    """Who asked for the promotion, as the change desk and the forge may know them."""
    pull_request_author: str = ""
    earlier_looks: tuple[Mapping[str, object], ...] = ()
    """Bake phase: what this gate wrote as the fact ``looks`` earlier in this promotion, oldest first."""


@runtime_checkable
class Gate(Protocol):
    """A gate as the registry builds it: ``GateClass(settings, **sources)``.

    ``Settings`` is a frozen dataclass whose fields are the gate's configuration; its annotations are
    enforced where YAML is read. ``needs`` names the sources it reads the world through, each passed to
    the constructor as a keyword argument of that name; a gate gets no others.
    """

    name: ClassVar[str]
    phase: ClassVar[Phase]
    needs: ClassVar[frozenset[str]]
    Settings: ClassVar[type]

    def judge(self, question: Question) -> Verdict:
        """Answer the question. An exception means "could not tell" and is recorded as UNKNOWN."""
        ...
