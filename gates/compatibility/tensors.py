"""What a version takes and gives: tensors by name, as its server or its config says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ANY = -1
"""A dimension of any length."""

DATATYPES = frozenset(
    {"BOOL", "BYTES", "BF16", "FP16", "FP32", "FP64"}
    | {f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
)
"""The element types of the Open Inference Protocol (V2), and Triton's BF16."""


class Unreadable(ValueError):
    """What should say something about tensors does not; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One input or output."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    """Lengths of its dimensions with the batch's, :data:`ANY` where any will do."""
    optional: bool = False
    """An input that a request may leave out; only a config says so."""

    def __str__(self) -> str:
        return f"{self.datatype} {list(self.shape)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """Everything a caller can see of a version."""

    name: str
    """The model's name in inference calls."""
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    outputs: Mapping[str, Tensor] = field(default_factory=dict)


def interface(metadata: object) -> Interface:
    """The answer to ``GET /v2/models/<name>`` as tensors.

    Raises:
        Unreadable: it is not what the protocol prescribes.
    """
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise Unreadable("the metadata names no model")
    return Interface(
        name=metadata["name"],
        inputs=_tensors(metadata.get("inputs"), "inputs"),
        outputs=_tensors(metadata.get("outputs"), "outputs"),
    )


def _tensors(listed: object, what: str) -> dict[str, Tensor]:
    if not isinstance(listed, list) or not listed:
        raise Unreadable(f"the metadata lists no {what}")
    found: dict[str, Tensor] = {}
    for one in listed:
        if not isinstance(one, dict) or not isinstance(one.get("name"), str) or one["name"] in found:
            raise Unreadable(f"the metadata's {what} are not tensors, each with a name of its own")
        found[one["name"]] = tensor(one["name"], one.get("datatype"), one.get("shape"))
    return found


def tensor(name: str, datatype: object, shape: object, *, optional: bool = False) -> Tensor:
    """A tensor of checked type and shape.

    Raises:
        Unreadable: no such type, or a shape that is no list of lengths.
    """
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise Unreadable(f"{name} has the type {datatype!r}, which the protocol does not know")
    if not isinstance(shape, list) or not all(type(one) is int and one >= ANY for one in shape):
        raise Unreadable(f"{name} has the shape {shape!r}, which is no list of lengths")
    return Tensor(name=name, datatype=datatype, shape=tuple(shape), optional=optional)


def fits(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether whatever has the shape given may be put where the shape wanted is: equal, or any will do."""
    return len(given) == len(wanted) and all(
        there in (ANY, here) for here, there in zip(given, wanted, strict=True)
    )
