"""What is sent: rows of a table, bodies that were recorded, or values for the inputs a model names; pure."""

from __future__ import annotations

import hashlib
import json
import math
import random
import struct
from collections.abc import Mapping, Sequence
from typing import TypeVar

from gates.golden import Golden, GoldenRefused
from gates.load.protocols import PROTOCOLS, Table
from gates.load.protocols.protocol import Tensor
from gates.load.protocols.v2_grpc import with_model
from gates.load.recording import Payload
from gates.load.settings import LoadSettings

T = TypeVar("T")

MOST = 1000
"""Different requests that are sent, drawn from the payloads when there are more."""
_MOST_ELEMENTS = 10_000_000
_FLOATS = ("FP64", "FP32")
_WHOLE = {"INT64": 100, "INT32": 100, "INT16": 100, "INT8": 100, "UINT8": 100, "BOOL": 2}
"""Datatype -> drawn below this."""
_WORDS = ("red", "green", "blue", "a longer word of five")


class Unusable(Exception):
    """A model's metadata from which nothing can be generated; the text is a sentence."""


def from_table(golden: Golden, settings: LoadSettings, model: str) -> list[Payload]:
    """One request for each row, of all or of :data:`MOST` drawn ones."""
    rows = _some(golden.rows, settings.seed)
    if settings.tensors == "matrix":
        requests = [(_tensor(settings, settings.tensor_name, row),) for row in rows]
        return _encode(Table(requests=tuple(requests), columns=golden.columns), settings, model)
    named = [
        tuple(_tensor(settings, name, [value]) for name, value in zip(golden.columns, row, strict=True))
        for row in rows
    ]
    return _encode(Table(requests=tuple(named)), settings, model)


def _tensor(settings: LoadSettings, name: str, values: Sequence[float]) -> Tensor:
    """One row's.

    Raises:
        GoldenRefused: a number that the datatype cannot hold.
    """
    data: tuple[float | int, ...] = tuple(values)
    if settings.datatype not in _FLOATS:
        bound = 2.0 ** (int(settings.datatype[3:]) - 1)
        wrong = next((one for one in values if not one.is_integer() or not -bound <= one < bound), None)
        if wrong is not None:
            raise GoldenRefused(
                "golden_set_invalid", f"{settings.payloads} cannot be sent as {settings.datatype}: {wrong!r}."
            )
        data = tuple(map(int, values))
    elif settings.datatype == "FP32" and any(abs(one) > 3.4028234e38 for one in values):
        raise GoldenRefused("golden_set_invalid", f"{settings.payloads} has a number too large for FP32.")
    return Tensor(name=name, datatype=settings.datatype, shape=(1, len(data)), data=data)


def from_lines(
    content: bytes | None, settings: LoadSettings, model: str, at: str
) -> tuple[list[Payload], str]:
    """Bodies that were recorded, one JSON object in each line, and the sha256 of the file.

    Raises:
        GoldenRefused: with the reason ``payloads_missing``, ``payloads_differs``, ``payloads_empty`` or
            ``payloads_invalid``.
    """
    where = f"{settings.payloads} at commit {at[:12]}"
    if content is None:
        raise GoldenRefused("payloads_missing", f"There is no {where}.")
    sha256 = hashlib.sha256(content).hexdigest()
    if settings.sha256 and sha256 != settings.sha256:
        sentence = f"{where} has the sha256 {sha256}, but {settings.sha256} is pinned."
        raise GoldenRefused("payloads_differs", sentence)
    lines = [(number, line) for number, line in enumerate(content.split(b"\n"), 1) if line.strip()]
    if not lines:
        raise GoldenRefused("payloads_empty", f"{where} has no requests.")
    if len(lines) > settings.maximum_rows:
        sentence = f"{where} has {len(lines)} requests, {settings.maximum_rows} are allowed."
        raise GoldenRefused("payloads_invalid", sentence)
    payloads = []
    for number, line in _some(lines, settings.seed):
        try:
            payloads.append(_recorded(line, settings, model))
        except (ValueError, KeyError, TypeError, struct.error, RecursionError) as error:
            raise GoldenRefused(
                "payloads_invalid", f"{where}: line {number} is no request of {settings.protocol}: {error}."
            ) from None
    return payloads, sha256


def _recorded(line: bytes, settings: LoadSettings, model: str) -> Payload:
    body = json.loads(line, parse_constant=_no_constant)
    if not isinstance(body, dict):
        raise ValueError("it is no JSON object")
    if settings.protocol in ("v2_binary", "v2_grpc"):
        request = tuple(_recorded_tensor(one) for one in body["inputs"])
        return _encode(Table(requests=(request,)), settings, model)[0]
    if settings.protocol in ("completions", "chat"):
        body |= {"model": model, "stream": settings.stream}
        return Payload(body=json.dumps(body).encode())
    return Payload(body=line)


def _recorded_tensor(tensor: Mapping[str, object]) -> Tensor:
    data, shape = tensor["data"], tensor["shape"]
    if not isinstance(data, list) or not isinstance(shape, list):
        raise ValueError("data and shape are to be lists")
    flat = tuple(_flat(data))
    if math.prod(shape) != len(flat):
        raise ValueError(f"{len(flat)} elements do not fill the shape {shape}")
    return Tensor(name=str(tensor["name"]), datatype=str(tensor["datatype"]), shape=tuple(shape), data=flat)


def _flat(data: list[object]) -> list[float | int | bool | str]:
    flat: list[float | int | bool | str] = []
    for one in data:
        if isinstance(one, list):
            flat += _flat(one)
        elif isinstance(one, float | int | bool | str):
            flat.append(one)
        else:
            raise ValueError(f"{one!r} is no element of a tensor")
    return flat


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def from_metadata(inputs: object, settings: LoadSettings, model: str) -> list[Payload]:
    """Requests with drawn values for the inputs of a model's metadata; any size counts as 1.

    Raises:
        Unusable: they are no inputs, or of a datatype nobody can draw.
    """
    if not isinstance(inputs, list) or not inputs:
        raise Unusable("The model's metadata names no inputs.")
    dice = random.Random(settings.seed)  # noqa: S311 - repeatable on purpose
    requests = [tuple(_drawn(one, dice) for one in inputs) for _ in range(settings.generated_requests)]
    return _encode(Table(requests=tuple(requests)), settings, model)


def _drawn(described: object, dice: random.Random) -> Tensor:
    try:
        if not isinstance(described, dict):
            raise TypeError
        name, datatype = str(described["name"]), str(described["datatype"])
        shape = tuple(1 if int(size) < 0 else int(size) for size in described["shape"])
    except (KeyError, TypeError, ValueError):
        raise Unusable(f"An input of the model's metadata is {str(described)[:200]!r}.") from None
    size = math.prod(shape)
    if size > _MOST_ELEMENTS:
        raise Unusable(f"Input {name!r} has the shape {list(shape)}: too large to generate.")
    if datatype in _FLOATS:
        data: list[float | int | bool | str] = [round(dice.gauss(0, 1), 6) for _ in range(size)]
    elif datatype in _WHOLE:
        data = [dice.randrange(_WHOLE[datatype]) for _ in range(size)]
        data = list(map(bool, data)) if datatype == "BOOL" else data
    elif datatype == "BYTES":
        data = [dice.choice(_WORDS) for _ in range(size)]
    else:
        raise Unusable(f"Input {name!r} is of {datatype}, for which nothing can be generated.")
    return Tensor(name=name, datatype=datatype, shape=shape, data=tuple(data))


def _encode(table: Table, settings: LoadSettings, model: str) -> list[Payload]:
    encode = PROTOCOLS[settings.protocol].encode
    assert encode is not None  # noqa: S101 - the settings refuse tensors for texts
    payloads = encode(table)
    return [with_model(one, model) for one in payloads] if settings.protocol == "v2_grpc" else payloads


def _some(items: Sequence[T], seed: int) -> Sequence[T]:
    if len(items) <= MOST:
        return items
    return random.Random(seed).sample(items, MOST)  # noqa: S311 - repeatable on purpose
