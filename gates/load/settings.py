"""What the load gate can be told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval, MinLen

from gates.load.recording import ProtocolName

_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")
_TEXT = ("completions", "chat")
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSettings:
    """What is sent, for how long, and when the generator is not fit to say anything.

    The defaults of the last four bear with a busy machine that runs generator and target side by side. On a
    machine of the generator's own, 10 percent for lag and overhead is a good choice.
    """

    source: Literal["table", "recorded", "generated"] = "table"
    """``table``: each row makes one request; ``recorded``: bodies as they were once sent; ``generated``:
    drawn values for the inputs that the model's own metadata (V2) names: its speed on nonsense."""
    payloads: str = ""
    """Path in the repository. A ``table`` is CSV or Parquet, with a header and numeric columns; ``recorded``
    is one JSON object in each line, for ``v2_binary`` and ``v2_grpc`` as in ``v2``. Not for ``generated``."""
    sha256: str = ""
    """Of that file's bytes, 64 hexadecimal digits; "" leaves it unpinned."""
    label: str = ""
    """A column that is no feature and is not sent; "" where all columns are features."""
    protocol: ProtocolName = "v2"
    """V2 in JSON, in binary tensors or over gRPC; TensorFlow's V1; OpenAI's ``completions`` and ``chat``."""
    path: str = ""
    """Where inference calls go on the candidate's address, such as ``/openai/v1/completions``; "" is the
    protocol's own. Not for gRPC."""
    tensors: Literal["matrix", "columns"] = "matrix"
    """A row of a table as one tensor of all features, or as one tensor named by each column, of one value."""
    tensor_name: Annotated[str, MinLen(1)] = "input-0"
    """Of the one tensor."""
    datatype: Literal["FP64", "FP32", "INT64", "INT32"] = "FP64"
    """Of a table's tensors."""
    stream: bool = False
    """Ask ``completions`` and ``chat`` for a stream, and measure the time to its first token."""
    first_token_threshold_ms: Annotated[float, Ge(0)] = 0.0
    """A streamed answer whose first token takes longer is late, and as many may be as may be slow; 0 judges
    none. The latency objective is about whole answers."""
    generated_requests: Annotated[int, Interval(ge=1, le=1000)] = 100
    """How many different requests are generated."""
    processes: Annotated[int, Interval(ge=1, le=8)] = 1
    """Generators that share the rate; each sends up to 5,000 requests a second and wants a core."""
    sweep_percents: tuple[Annotated[float, Interval(gt=0, le=500)], ...] = ()
    """Further rates, in percent of the peak, that are tried after the verdict; they are evidence alone."""
    sweep_seconds: Annotated[float, Interval(gt=0, le=600)] = 10.0
    """Length of each, without its warm-up."""
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
    """An arrival that finds so many requests of its generator unanswered is dropped."""
    maximum_rows: Annotated[int, Interval(ge=1, le=100_000)] = 10_000
    """More payloads are refused."""
    calibration_seconds: Annotated[float, Interval(gt=0, le=60)] = 3.0
    """How long the generator is tried, before and after, against an endpoint that answers at once."""
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
        problems = [
            (self.source == "generated", not self.payloads, "payloads: nothing is read when generated"),
            (self.source != "generated", bool(self.payloads), "payloads: name the file to send"),
            (True, _is_inside(self.payloads), "payloads must be a path inside the repository"),
            (
                bool(self.sha256),
                bool(_SHA256.fullmatch(self.sha256)),
                "sha256 must be 64 lower-case hexadecimal digits; `sha256sum FILE` prints them",
            ),
            (
                self.source == "generated",
                self.protocol in ("v2", "v2_binary", "v2_grpc"),
                f"source: the metadata of {self.protocol} names no inputs, send a table or what was recorded",
            ),
            (self.protocol in _TEXT, self.source == "recorded", "source: texts have to be recorded"),
            (self.stream, self.protocol in _TEXT, "stream: only completions and chat are streamed"),
            (
                self.first_token_threshold_ms > 0,
                self.stream,
                "first_token_threshold_ms: there is a first token where stream is true",
            ),
            (bool(self.path), bool(_PATH.fullmatch(self.path)), "path must begin with a slash, and be plain"),
            (self.protocol == "v2_grpc", not self.path, "path: gRPC has none"),
        ]
        for applies, holds, sentence in problems:
            if applies and not holds:
                raise ValueError(sentence)

    @property
    def bound_confidence(self) -> float:
        """Confidence of each two-sided interval, so that all looks together keep to ``confidence``."""
        return 1.0 - 2.0 * (1.0 - self.confidence) / (1 + self.extensions)


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts
