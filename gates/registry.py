"""The gates there are: one visible table, and the entry points of third parties."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, get_args

from gates.contract import Gate, Phase

ENTRY_POINTS = "lockgate.gates"
"""Group of entry points under which a third party's package names its gates: ``name = module:Class``."""

GATES: Mapping[str, str] = {
    "policy": "gates.policy:PolicyGate",
    "signature": "gates.signature:Signature",
    "compatibility": "gates.compatibility:Compatibility",
    "evaluation": "gates.evaluation:Evaluation",
    "answers": "gates.evaluation.answers:Answers",
    "load": "gates.load:Load",
    "share": "gates.share:Share",
    "slo": "gates.slo:Slo",
    "canary": "gates.canary:Canary",
    "approval": "gates.approval:Approval",
}


class UnknownGate(LookupError):
    """No gate has this name; ``hint`` is the nearest name there is, or ""."""

    def __init__(self, name: str) -> None:
        self.hint = next(iter(difflib.get_close_matches(name, names(), n=1)), "")
        nearest = f"; did you mean {self.hint}?" if self.hint else ""
        super().__init__(f"there is no gate {name!r}{nearest}")


class UnfitGate(TypeError):
    """What an entry point names is not a gate."""


def names() -> tuple[str, ...]:
    """Names of all gates, ours first. A third party cannot take the name of one of ours."""
    return (*GATES, *sorted(set(_foreign()) - set(GATES)))


@cache
def _foreign() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}


@cache
def gate_class(name: str) -> type[Gate]:
    """The class of a gate.

    Raises:
        UnknownGate: no gate has this name.
        UnfitGate: what bears the name lacks something that a gate has.
    """
    place = GATES.get(name) or _foreign().get(name)
    if place is None:
        raise UnknownGate(name)
    module, _, attribute = place.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    _check(name, place, found)
    gate: type[Gate] = found
    return gate


def _check(name: str, place: str, found: Any) -> None:
    settings = getattr(found, "Settings", None)
    frozen = is_dataclass(settings) and settings.__dataclass_params__.frozen  # type: ignore[union-attr]
    lacks = [
        what
        for what, there in (
            (f"name = {name!r}", getattr(found, "name", None) == name),
            (f"phase, one of {', '.join(get_args(Phase))}", getattr(found, "phase", None) in get_args(Phase)),
            ("needs, a frozenset of source names", isinstance(getattr(found, "needs", None), frozenset)),
            ("Settings, a frozen dataclass", frozen),
            ("judge(question)", callable(getattr(found, "judge", None))),
        )
        if not there
    ]
    if lacks:
        raise UnfitGate(f"{place} is not a gate: it lacks {'; '.join(lacks)}")


def build(name: str, settings: object, sources: Mapping[str, object]) -> Gate:
    """A gate with its settings and the sources it needs, no others.

    Raises:
        UnfitGate: it needs a source that is not there.
    """
    found = gate_class(name)
    missing = sorted(found.needs - sources.keys())
    if missing:
        raise UnfitGate(
            f"gate {name} needs {', '.join(missing)}, and nothing of that name is configured here"
        )
    make: Any = found
    gate: Gate = make(settings, **{need: sources[need] for need in found.needs})
    return gate
