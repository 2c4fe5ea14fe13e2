"""What the load gate can be told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated

from annotated_types import Ge, Gt, Interval, MinLen

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSettings:
    """What is sent, for how long, and when the generator is not fit to say anything.

    The defaults of the last four bear with a busy machine that runs generator and target side by side. On a
    machine of the generator's own, 10 percent for lag and overhead is a good choice.
    """

    payloads: Annotated[str, MinLen(1)]
    """Path in the repository of a CSV with a header and numeric columns: one row makes one request."""
    sha256: str = ""
    """Of that file's bytes, 64 hexadecimal digits; "" leaves it unpinned."""
    label: str = ""
    """A column that is no feature and is not sent; "" where all columns are features."""
    peak_factor: Annotated[float, Interval(gt=0, le=10)] = 1.0
    """Times the objective's peak, in requests per second."""
    duration_seconds: Annotated[float, Interval(gt=0, le=3600)] = 60.0
    """Length of one look, without its warm-up."""
    warm_up_seconds: Annotated[float, Interval(ge=0, le=600)] = 5.0
    """Sent before each look at the same rate, and not counted."""
    extensions: Annotated[int, Interval(ge=0, le=5)] = 1
    """Further looks, added to what was counted, while the counts say neither yes nor no."""
    confidence: Annotated[float, Interval(ge=0.5, lt=1)] = 0.95
    """How sure a PASS is to be, over all looks together; and, apart from it, each reason for a FAIL."""
    request_timeout_seconds: Annotated[float, Interval(gt=0, le=120)] = 5.0
    """A request without an answer by then failed."""
    seed: Annotated[int, Ge(0)] = 1
    """Of the arrival times and of the rows' order."""
    maximum_in_flight: Annotated[int, Interval(ge=1, le=4096)] = 256
    """An arrival that finds so many requests unanswered is dropped."""
    maximum_rows: Annotated[int, Interval(ge=1, le=100_000)] = 10_000
    """More payloads are refused."""
    calibration_seconds: Annotated[float, Interval(gt=0, le=60)] = 3.0
    """How long the generator is tried against an endpoint that answers at once."""
    maximum_overhead_percent: Annotated[float, Gt(0)] = 75.0
    """Of the latency threshold: the p99 that the generator may show against that endpoint."""
    maximum_lag_percent: Annotated[float, Gt(0)] = 50.0
    """Of the latency threshold: how late the generator may send, at its p99."""
    maximum_cpu_percent: Annotated[float, Interval(gt=0, le=100)] = 80.0
    """Of one core, that the generator may use."""
    maximum_dropped_percent: Annotated[float, Interval(ge=0, le=100)] = 0.1
    """Of the scheduled requests, that may go unsent before nothing but a FAIL is believed."""

    def __post_init__(self) -> None:
        """Refuse a path or a pin that is none.

        Raises:
            ValueError: naming the key.
        """
        path = PurePosixPath(self.payloads)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError("payloads must be a path inside the repository")
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise ValueError("sha256 must be 64 lower-case hexadecimal digits; `sha256sum FILE` prints them")

    @property
    def bound_confidence(self) -> float:
        """Confidence of each two-sided interval, so that all looks together keep to ``confidence``."""
        return 1.0 - 2.0 * (1.0 - self.confidence) / (1 + self.extensions)
