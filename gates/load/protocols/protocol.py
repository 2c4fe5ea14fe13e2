"""What a protocol is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gates.load.recording import Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One named input of one request: numbers in the order of the rows (C order)."""

    name: str
    """As the model calls it; any characters, also ``->`` and ``:``."""
    datatype: str
    """FP64, FP32, INT64, INT32, INT16, INT8, UINT8, BOOL or BYTES."""
    shape: tuple[int, ...]
    data: tuple[float | int | bool | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Requests of tensors: one entry for each request."""

    requests: tuple[tuple[Tensor, ...], ...]
    columns: tuple[str, ...] = ()
    """Names of the features that the single tensor of a request holds; empty where tensors have names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What the generator has to know about one protocol."""

    path: Callable[[str], str]
    """Model's name -> path of inference calls, with a slash first."""
    kind: Callable[[int, bytes], str]
    """Status and body of an answer -> ``ok``, or why it is none; a status of gRPC for gRPC."""
    example: bytes
    """An answer that is good, as the endpoint that answers at once gives it."""
    streamed_example: bytes = b""
    """The same as a stream; empty where nothing is streamed."""
    encode: Callable[[Table], list[Payload]] | None = None
    """Requests of tensors; None for a protocol that has no tensors."""
    is_first: Callable[[bytes], bool] | None = None
    """Whether what came of a streamed body holds the first token; None where nothing is streamed."""


def named_list(field: str) -> Callable[[int, bytes], str]:
    """An answer is good when it is HTTP 200 and a JSON object with a list of this name that is not empty."""

    def kind(status: int, body: bytes) -> str:
        if status != 200:
            return f"http_{status}"
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return "no_outputs"
        found = answer.get(field) if isinstance(answer, dict) else None
        return "ok" if isinstance(found, list) and found else "no_outputs"

    return kind


def bodies(texts: Sequence[object]) -> list[Payload]:
    """JSON values as requests."""
    return [Payload(body=json.dumps(text, allow_nan=False).encode()) for text in texts]
