"""V2 over gRPC: ``inference.GRPCInferenceService/ModelInfer``, its messages written and read by hand.

Three messages with a few fields each need no generated code. Field numbers are those of the protocol's
``open_inference_grpc.proto``; the wire format is Protocol Buffers', encoding.md: a field is a varint of
``number << 3 | type``, then a varint (type 0) or a length and so many bytes (type 2).
"""

from __future__ import annotations

from collections.abc import Iterator

from gates.load.protocols.protocol import Protocol, Table, Tensor
from gates.load.protocols.v2_binary import raw
from gates.load.recording import Payload

METHOD = "/inference.GRPCInferenceService/ModelInfer"
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_MODEL_NAME, _PARAMETERS, _INPUTS, _RAW_INPUTS = 1, 4, 5, 7
_NAME, _DATATYPE, _SHAPE = 1, 2, 3
_KEY, _VALUE, _STRING_VALUE = 1, 2, 3
_OUTPUTS = 5


def encode(table: Table) -> list[Payload]:
    """One ModelInferRequest for each entry, without the model's name: see :func:`with_model`."""
    return [Payload(body=_request(tensors, table.columns)) for tensors in table.requests]


def with_model(payload: Payload, model: str) -> Payload:
    """The same request to a model of this name; messages written one after the other are one message."""
    return Payload(body=_field(_MODEL_NAME, model.encode()) + payload.body)


def _request(tensors: tuple[Tensor, ...], columns: tuple[str, ...]) -> bytes:
    parameter = b""
    if columns:
        value = _field(_STRING_VALUE, ",".join(columns).encode())
        parameter = _field(_PARAMETERS, _field(_KEY, b"columns") + _field(_VALUE, value))
    inputs = b"".join(_field(_INPUTS, _input(one)) for one in tensors)
    return parameter + inputs + b"".join(_field(_RAW_INPUTS, raw(one)) for one in tensors)


def _input(tensor: Tensor) -> bytes:
    shape = b"".join(_varint(size) for size in tensor.shape)
    return (
        _field(_NAME, tensor.name.encode())
        + _field(_DATATYPE, tensor.datatype.encode())
        + _field(_SHAPE, shape)
    )


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Seven bits to a byte, the lowest first; the eighth says that more follow."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, content) of every field that has a length; others are passed over.

    Raises:
        ValueError: it is no message.
    """
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        wire = key & 7
        if wire == _VARINT:
            _, at = _read_varint(message, at)
        elif wire == _BYTES:
            length, at = _read_varint(message, at)
            yield key >> 3, message[at : at + length]
            at += length
        elif wire in (_EIGHT, _FOUR):
            at += 8 if wire == _EIGHT else 4
        else:
            raise ValueError(f"wire type {wire}")
    if at != len(message):
        raise ValueError("cut off")


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
    raise ValueError("a varint without an end")


def kind(status: int, body: bytes) -> str:
    """Good is status 0 (OK) and a ModelInferResponse that has outputs."""
    if status != 0:
        return f"grpc_{status}"
    try:
        numbers = {number for number, _ in fields(body)}
    except ValueError:
        return "no_outputs"
    return "ok" if _OUTPUTS in numbers else "no_outputs"


PROTOCOL = Protocol(path=lambda _: METHOD, kind=kind, encode=encode)
