"""Settings of gates: the tier's and the model's, checked against the Settings class of the gate.

A tier may leave keys to its models; a key the tier sets, no model may set. The values are checked the way
JSON is: a list for a tuple, keys and values for a dataclass, and otherwise no conversion.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from gates.contract import Gate
from pipelines.errors import Problem, SpecInvalid
from pipelines.spec.explain import MISSING, explain_all
from pipelines.spec.scalars import Path, near, show
from pipelines.spec.types import Release, Tier
from pipelines.spec.yaml import Document


def gate_settings(tier: Tier, release: Release, gate: str) -> Any:
    """The settings of one gate for one model, as an instance of the gate's Settings class.

    Raises:
        SpecInvalid: they do not fit; only possible for values that were not read by ``read``.
    """
    merged = {**tier.gates[gate], **release.gates.get(gate, {})}
    try:
        return _validate(gate_class(gate).Settings, merged)
    except ValidationError as error:
        file, path = f"models/{release.model}/release.yaml", ("gates", gate)
        raise SpecInvalid(list(explain_all(error.errors(), None, Document(file), path))) from None


def gate_class(name: str) -> type[Gate]:
    """The class of a gate. The registry is asked late: third parties' gates may be slow to import."""
    from gates import registry

    return registry.gate_class(name)


def find_gate(name: str) -> type[Gate] | str:
    """The class of a gate, or why there is none."""
    from gates import registry

    if name not in registry.names():
        return "unknown gate"
    try:
        return registry.gate_class(name)
    except Exception as error:  # the package of a third party may raise anything when it is imported
        return f"this gate cannot be used here: {error}"


def _near_gate(name: str) -> str:
    from gates import registry

    return near(name, registry.names())


@cache
def _adapter(settings: type) -> TypeAdapter[Any]:
    return TypeAdapter(settings)


def _validate(settings: type, values: Mapping[str, Any]) -> Any:
    # A date can only come from YAML, where it is complained about by its own name.
    return _adapter(settings).validate_json(json.dumps(values, default=str), strict=True, extra="forbid")


def _details(settings: type, values: Mapping[str, Any]) -> list[ErrorDetails]:
    try:
        _validate(settings, values)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def tier_problems(document: Document, tier: str, gates: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the gates of one tier; keys it leaves out may still come from a model."""
    for gate, values in gates.items():
        path: Path = ("tiers", tier, "gates", gate)
        found = find_gate(gate)
        if isinstance(found, str):
            yield document.problem(path, found, _near_gate(gate) if found == "unknown gate" else "")
        elif dates := list(_dates(document, path, values)):
            yield from dates
        else:
            wrong = [one for one in _details(found.Settings, values) if not _left_out(one)]
            yield from explain_all(wrong, found.Settings, document, path)


def _left_out(detail: ErrorDetails) -> bool:
    """Missing from a tier, or wrong only as a whole: a model may still write the key that mends it."""
    return not detail["loc"] or (detail["type"] == MISSING and len(detail["loc"]) == 1)


def release_problems(
    document: Document, tier_name: str, tier: Mapping[str, Any], release: Mapping[str, Any]
) -> Iterator[Problem]:
    """What is wrong with a model's gates, given those of its tier."""
    for gate in release:
        if gate not in tier:
            unknown = find_gate(gate) == "unknown gate"
            message = "unknown gate" if unknown else f"the tier {tier_name} does not ask this gate"
            yield document.problem(("gates", gate), message, near(gate, tier))
    for gate, fixed in tier.items():
        own = release.get(gate, {})
        found = find_gate(gate)
        if isinstance(found, str) or not isinstance(own, dict) or document.is_spoiled(("gates", gate)):
            continue
        yield from _merged_problems(document, found, fixed, own, tier_name)


def _merged_problems(
    document: Document, gate: type[Gate], fixed: Mapping[str, Any], own: Mapping[str, Any], tier: str
) -> Iterator[Problem]:
    path: Path = ("gates", gate.name)
    for key in own.keys() & fixed.keys():
        message = f"the tier {tier} sets this key to {show(fixed[key])}, so no model can set it"
        yield document.problem((*path, key), message, "remove it")
    own = {key: value for key, value in own.items() if key not in fixed}
    if dates := list(_dates(document, path, own)):
        yield from dates
        return
    found = _details(gate.Settings, {**fixed, **own})
    # What is wrong with the tier's keys is reported where they stand.
    mine = [one for one in found if not one["loc"] or one["loc"][0] not in fixed]
    yield from explain_all(mine, gate.Settings, document, path)


def _dates(document: Document, path: Path, value: object) -> Iterator[Problem]:
    """Dates written without quotes, which no JSON carries."""
    if isinstance(value, date):
        raw = document.places[path].raw
        yield document.problem(
            path, f"is a date to some YAML readers; got {raw}", f'write it in quotes: "{raw}"'
        )
    elif isinstance(value, dict):
        for key, held in value.items():
            yield from _dates(document, (*path, key), held)
    elif isinstance(value, list):
        for position, held in enumerate(value):
            yield from _dates(document, (*path, position), held)
