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
METADATA_METHOD = "/inference.GRPCInferenceService/ModelMetadata"
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_MODEL_NAME, _PARAMETERS, _INPUTS, _RAW_INPUTS = 1, 4, 5, 7
_NAME, _DATATYPE, _SHAPE = 1, 2, 3
_KEY, _VALUE, _STRING_VALUE = 1, 2, 3
_OUTPUTS = 5
_METADATA_INPUTS = 4
_STATUSES = {
    1: "cancelled",
    2: "unknown",
    3: "invalid_argument",
    4: "deadline_exceeded",
    5: "not_found",
    7: "permission_denied",
    8: "resource_exhausted",
    9: "failed_precondition",
    12: "unimplemented",
    13: "internal",
    14: "unavailable",
    16: "unauthenticated",
}
"""Those that servers and grpcio itself give (gRPC, statuscodes.md)."""


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
        return f"grpc_{_STATUSES.get(status, status)}"
    try:
        numbers = {number for number, _ in fields(body)}
    except ValueError:
        return "no_outputs"
    return "ok" if _OUTPUTS in numbers else "no_outputs"


def metadata_request(model: str) -> bytes:
    """A ModelMetadataRequest."""
    return _field(_NAME, model.encode())


def metadata_inputs(message: bytes) -> list[dict[str, object]]:
    """The inputs that a ModelMetadataResponse names, as V2 writes them in JSON.

    Raises:
        ValueError: it is no message, or a name is no UTF-8.
    """
    tensors = [content for number, content in fields(message) if number == _METADATA_INPUTS]
    return [_described(dict(fields(tensor))) for tensor in tensors]


def _described(tensor: dict[int, bytes]) -> dict[str, object]:
    shape, at, packed = [], 0, tensor.get(_SHAPE, b"")
    while at < len(packed):
        size, at = _read_varint(packed, at)
        shape.append(size - (1 << 64) if size >> 63 else size)  # -1, any size, is ten bytes long
    name, datatype = tensor.get(_NAME, b""), tensor.get(_DATATYPE, b"")
    return {"name": name.decode(), "datatype": datatype.decode(), "shape": shape}


EXAMPLE = _field(_OUTPUTS, _field(_NAME, b"score") + _field(_DATATYPE, b"FP64") + _field(_SHAPE, b"\x01"))
PROTOCOL = Protocol(path=lambda _: METHOD, kind=kind, encode=encode, example=EXAMPLE)
