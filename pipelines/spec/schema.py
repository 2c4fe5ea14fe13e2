"""JSON Schemas of the files people write, so that editors complete and check while people type.

Generated from the models, never written by hand. They say less than the reader does: rules across
sections and files are the reader's alone.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, TypeAdapter

from pipelines.spec.clients import Clients
from pipelines.spec.settings import gate_class
from pipelines.spec.shapes import duration
from pipelines.spec.types import Platform, Release


def schemas(gates: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """The schemas ``platform``, ``release`` and ``clients``, the same on every call.

    Args:
        gates: names of gates whose settings the schemas describe; settings of others may be anything.
    """
    shapes: dict[str, type[BaseModel]] = {"platform": Platform, "release": Release, "clients": Clients}
    return {name: _schema(shape, gates) for name, shape in shapes.items()}


def _schema(model: type[BaseModel], gates: tuple[str, ...]) -> dict[str, Any]:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
    sections = [held.get("properties", {}) for held in (schema, *schema["$defs"].values())]
    for section in sections:
        for held in section.values():
            _write_duration(held)
        if "gates" in section:
            section["gates"]["properties"] = {
                name: _settings(name, schema["$defs"]) for name in sorted(gates)
            }
    return schema


def _write_duration(schema: dict[str, Any]) -> None:
    """Defaults are held as seconds, but people write durations."""
    if schema.get("type") == "string" and isinstance(schema.get("default"), float):
        schema["default"] = duration(schema["default"])


def _settings(gate: str, shared: dict[str, Any]) -> dict[str, Any]:
    """The settings of one gate; none is required, as tier and model may each give a part."""
    reference = f"#/$defs/{gate}-{{model}}"
    schema = TypeAdapter(gate_class(gate).Settings).json_schema(ref_template=reference)
    shared.update({f"{gate}-{name}": held for name, held in schema.pop("$defs", {}).items()})
    schema.pop("required", None)
    return {**schema, "additionalProperties": False}
