"""What breaks callers when one version takes the place of another. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gates.compatibility.clients import Client
from gates.compatibility.pbtxt import Config
from gates.compatibility.tensors import Interface, Tensor, fits

Kind = Literal["input", "output"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One thing that a caller of the stable version cannot do any more."""

    reason: str
    message: str
    tensor: str = ""
    clients: tuple[str, ...] = ()
    """Those of the contract that it stops; empty where none is known."""

    def __str__(self) -> str:
        return f"{self.message}; affected: {', '.join(self.clients) or 'no client that is recorded'}"


def against_stable(stable: Interface, candidate: Interface, clients: Sequence[Client]) -> Iterator[Break]:
    """What callers of the stable version lose."""
    if candidate.name != stable.name:
        message = f"the model's name in calls is {candidate.name!r}, the stable's {stable.name!r}"
        yield Break(reason="name_changed", message=message, clients=tuple(one.name for one in clients))
    for kind, before, after in _sides(stable, candidate):
        for name, tensor in before.items():
            users = tuple(one.name for one in clients if one.uses(name))
            yield from _changed(kind, tensor, after.get(name), "the stable's", users)
    for name in candidate.inputs.keys() - stable.inputs.keys():
        if not candidate.inputs[name].optional:
            message = f"the input {name} is new, and nobody sends it"
            everybody = tuple(one.name for one in clients if name not in one.inputs)
            yield Break(reason="input_added", message=message, tensor=name, clients=everybody)


def against_clients(candidate: Interface, clients: Sequence[Client]) -> Iterator[Break]:
    """What recorded clients rely on and the candidate does not have."""
    for client in clients:
        wanted = Interface(name="", inputs=client.inputs, outputs=client.outputs)
        for kind, before, after in _sides(wanted, candidate):
            for name, tensor in before.items():
                yield from _changed(kind, tensor, after.get(name), f"that of {client.name}", (client.name,))
        for name, tensor in candidate.inputs.items():
            if not tensor.optional and name not in client.inputs:
                message = f"the input {name} is needed, and {client.name} does not send it"
                yield Break(reason="input_added", message=message, tensor=name, clients=(client.name,))


def of_configs(
    stable: Config | None, candidate: Config, served: Interface, clients: Sequence[Client]
) -> Iterator[Break]:
    """What the candidate's config.pbtxt takes away, or says otherwise than its server."""
    limit = candidate.max_batch_size
    if stable is not None and limit < stable.max_batch_size:
        users = tuple(one.name for one in clients if one.max_batch > max(limit, 1))
        message = f"max_batch_size is {limit}, the stable's {stable.max_batch_size}"
        yield Break(reason="batch_reduced", message=message, clients=users)
    elif users := tuple(one.name for one in clients if limit and one.max_batch > limit):
        message = f"max_batch_size is {limit}, and clients send more rows"
        yield Break(reason="batch_reduced", message=message, clients=users)
    if candidate.name not in ("", served.name):
        message = f"config.pbtxt names the model {candidate.name!r}, its server {served.name!r}"
        yield Break(reason="config_disagrees", message=message)
    for kind, said, shown in (
        ("input", candidate.inputs, served.inputs),
        ("output", candidate.outputs, served.outputs),
    ):
        for name in sorted(said.keys() ^ shown.keys() if said else ()):
            where = "config.pbtxt" if name in said else "its server"
            yield Break(reason="config_disagrees", message=f"only {where} has the {kind} {name}", tensor=name)
        for name in said.keys() & shown.keys():
            if said[name].datatype != shown[name].datatype:
                message = f"{name} is {said[name]} in config.pbtxt and {shown[name]} at its server"
                yield Break(reason="config_disagrees", message=message, tensor=name)


def _sides(
    before: Interface, after: Interface
) -> tuple[tuple[Kind, Mapping[str, Tensor], Mapping[str, Tensor]], ...]:
    return ("input", before.inputs, after.inputs), ("output", before.outputs, after.outputs)


def _changed(
    kind: Kind, before: Tensor, after: Tensor | None, whose: str, users: tuple[str, ...]
) -> Iterator[Break]:
    name = before.name
    if after is None:
        message = f"the {kind} {name} is gone; {whose} is {before}"
        yield Break(reason="tensor_removed", message=message, tensor=name, clients=users)
    elif after.datatype != before.datatype:
        message = f"the {kind} {name} is {after}, {whose} {before}"
        yield Break(reason="tensor_retyped", message=message, tensor=name, clients=users)
    # What a caller sends must fit what is taken; what is given must fit what a caller reads.
    elif not (fits(before.shape, after.shape) if kind == "input" else fits(after.shape, before.shape)):
        message = f"the {kind} {name} is {after}, {whose} {before}"
        yield Break(reason="tensor_reshaped", message=message, tensor=name, clients=users)
