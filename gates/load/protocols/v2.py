"""The Open Inference Protocol (V2) in JSON."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from gates.load.protocols.protocol import Protocol, Table, Tensor, bodies, named_list
from gates.load.recording import Payload


def path(model: str) -> str:
    """Where inference calls go."""
    return f"/v2/models/{quote(model, safe='')}/infer"


def encode(table: Table) -> list[Payload]:
    """One request for each entry; a single tensor of many features says whose they are."""
    return bodies([_request(tensors, table.columns) for tensors in table.requests])


def _request(tensors: tuple[Tensor, ...], columns: tuple[str, ...]) -> dict[str, Any]:
    inputs = [
        {"name": one.name, "datatype": one.datatype, "shape": list(one.shape), "data": list(one.data)}
        for one in tensors
    ]
    return {**({"parameters": {"columns": ",".join(columns)}} if columns else {}), "inputs": inputs}


EXAMPLE = b'{"model_name":"null","outputs":[{"name":"score","datatype":"FP64","shape":[1],"data":[0.5]}]}'
PROTOCOL = Protocol(path=path, kind=named_list("outputs"), encode=encode, example=EXAMPLE)
