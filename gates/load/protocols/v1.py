"""TensorFlow's protocol (V1): instances in, predictions out."""

from __future__ import annotations

from urllib.parse import quote

from gates.load.protocols.protocol import Protocol, Table, Tensor, bodies, named_list
from gates.load.recording import Payload


def path(model: str) -> str:
    """Where inference calls go."""
    return f"/v1/models/{quote(model, safe='')}:predict"


def encode(table: Table) -> list[Payload]:
    """One instance for each request: a list of features, or an object where tensors have names."""
    return bodies([{"instances": [_instance(tensors, table.columns)]} for tensors in table.requests])


def _instance(tensors: tuple[Tensor, ...], columns: tuple[str, ...]) -> object:
    if columns:
        return list(tensors[0].data)
    return {one.name: one.data[0] if len(one.data) == 1 else list(one.data) for one in tensors}


PROTOCOL = Protocol(
    path=path, kind=named_list("predictions"), encode=encode, example=b'{"predictions":[0.5]}'
)
