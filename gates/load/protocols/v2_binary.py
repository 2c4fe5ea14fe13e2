"""V2 with its binary tensor data extension: a JSON head, and the numbers behind it as they lie in memory.

(Triton, protocol/extension_binary_data.md: little-endian, no padding; the length of the JSON head stands in
the header ``Inference-Header-Content-Length``.)
"""

from __future__ import annotations

import json
import struct

from gates.load.protocols.protocol import Protocol, Table, Tensor
from gates.load.protocols.v2 import path
from gates.load.recording import Payload

_LETTERS = {
    "FP64": "d",
    "FP32": "f",
    "INT64": "q",
    "INT32": "i",
    "INT16": "h",
    "INT8": "b",
    "UINT8": "B",
    "BOOL": "?",
}


def encode(table: Table) -> list[Payload]:
    """One request for each entry; answers are asked for in binary, too."""
    return [_payload(tensors, table.columns) for tensors in table.requests]


def raw(tensor: Tensor) -> bytes:
    """The tensor's elements, little-endian; a text of BYTES has its length before it, in four bytes."""
    if tensor.datatype == "BYTES":
        texts = [str(one).encode() for one in tensor.data]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    letter = _LETTERS[tensor.datatype]
    numbers = [one if letter in "df" else int(one) for one in tensor.data]
    return struct.pack(f"<{len(numbers)}{letter}", *numbers)


def _payload(tensors: tuple[Tensor, ...], columns: tuple[str, ...]) -> Payload:
    pieces = [raw(one) for one in tensors]
    inputs = [
        {
            "name": one.name,
            "datatype": one.datatype,
            "shape": list(one.shape),
            "parameters": {"binary_data_size": len(piece)},
        }
        for one, piece in zip(tensors, pieces, strict=True)
    ]
    parameters: dict[str, object] = {"binary_data_output": True}
    if columns:
        parameters["columns"] = ",".join(columns)
    head = json.dumps({"parameters": parameters, "inputs": inputs}).encode()
    headers = (
        ("Content-Type", "application/octet-stream"),
        ("Inference-Header-Content-Length", str(len(head))),
    )
    return Payload(body=head + b"".join(pieces), headers=headers)


def kind(status: int, body: bytes) -> str:
    """Good is HTTP 200 with a JSON object that has outputs; in binary answers their bytes follow it."""
    if status != 200:
        return f"http_{status}"
    try:
        # Latin-1 keeps one character to a byte, so that whatever follows the head is no obstacle.
        answer, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
        outputs = answer["outputs"]
        sizes = [one.get("parameters", {}).get("binary_data_size", 0) for one in outputs]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "no_outputs"
    return "ok" if sizes and end + sum(sizes) == len(body) else "no_outputs"


EXAMPLE = (
    b'{"model_name":"null","outputs":[{"name":"score","datatype":"FP64","shape":[1],'
    b'"parameters":{"binary_data_size":8}}]}'
) + struct.pack("<d", 0.5)
PROTOCOL = Protocol(path=path, kind=kind, encode=encode, example=EXAMPLE)
