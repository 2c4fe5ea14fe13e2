"""``models/<model>/clients.yaml``: who calls a model, and the tensors each of them sends and reads.

clients:
  checkout:
    inputs:
      input-0: {datatype: FP64, shape: [-1, 12]}
    outputs:
      score: {datatype: FP64, shape: [-1]}
    max_batch: 64
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gates.compatibility.tensors import Tensor, Unreadable, tensor
from gates.policy.strict import NotPlain, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One caller and what it relies on."""

    name: str
    inputs: Mapping[str, Tensor]
    """What it sends; -1 where it sends any length."""
    outputs: Mapping[str, Tensor]
    """What it reads; -1 where it takes any length."""
    max_batch: int = 1
    """Rows of its largest request."""

    def uses(self, tensor: str) -> bool:
        """Whether it sends or reads this tensor."""
        return tensor in self.inputs or tensor in self.outputs


def read_clients(text: str) -> tuple[Client, ...]:
    """Read a client contract.

    Raises:
        Unreadable: it is no strict YAML, or says something else than clients and tensors.
    """
    try:
        data = read(text).data
    except NotPlain as error:
        raise Unreadable(f"clients.yaml: line {error.line}: {error}") from None
    listed = _keys(data, "clients.yaml", {"clients"}).get("clients")
    if not isinstance(listed, dict) or not listed:
        raise Unreadable("clients.yaml: `clients` holds no client")
    return tuple(_client(name, said) for name, said in listed.items())


def _client(name: str, said: object) -> Client:
    where = f"clients.yaml: {name}"
    found = _keys(said, where, {"inputs", "outputs", "max_batch"})
    batch = found.get("max_batch", 1)
    if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
        raise Unreadable(f"{where}: max_batch is {batch!r}, not a number of rows")
    tensors = {key: _tensors(found.get(key), f"{where}: {key}") for key in ("inputs", "outputs")}
    return Client(name=name, max_batch=batch, **tensors)


def _tensors(said: object, where: str) -> dict[str, Tensor]:
    if not isinstance(said, dict) or not said:
        raise Unreadable(f"{where} names no tensor")
    found = {}
    for name, facts in said.items():
        held = _keys(facts, f"{where}.{name}", {"datatype", "shape"})
        try:
            found[name] = tensor(name, held.get("datatype"), held.get("shape"))
        except Unreadable as error:
            raise Unreadable(f"{where}: {error}") from None
    return found


def _keys(said: object, where: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise Unreadable(f"{where} is {said!r}, not keys and values")
    if unknown := sorted(said.keys() - known):
        raise Unreadable(f"{where}: unknown key {unknown[0]!r}; there are {', '.join(sorted(known))}")
    return said
