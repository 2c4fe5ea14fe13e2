"""Writes pipelines/workflow/lint/fields.txt from what Argo Workflows publishes.

    python -m tests.pipelines.workflow.argo_fields FOLDER

FOLDER is a checkout of Argo Workflows (or its Go module). Types and fields come from
``api/jsonschema/schema.json``; what must be there, and the words a field may have, from the full definitions
in ``manifests/base/crds/full``, which the API server enforces. Texts are not taken over. Argo Workflows and
Kubernetes, of which parts are embedded, are licensed under Apache-2.0.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

KINDS = ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow", "WorkflowEventBinding")
OWN = "io.argoproj.workflow.v1alpha1."
TABLE = Path(__file__).resolve().parents[3] / "pipelines" / "workflow" / "lint" / "fields.txt"
HEAD = """\
# Fields of Argo Workflows 4.0: type, then its fields with theirs; ! must be there, [ ] a list, { } a map.
# Derived from the API that Argo Workflows publishes, with the parts of Kubernetes in it (both Apache-2.0,
# https://github.com/argoproj/argo-workflows and https://github.com/kubernetes/kubernetes); written by
# tests/pipelines/workflow/argo_fields.py.
"""
ANY_TEXT = {("Parameter", "value"), ("Parameter", "default"), ("Parameter", "enum"), ("ValueFrom", "default")}
"""Fields that are texts, but take numbers and truth values too; the published schema does not say so."""
WRITTEN_METADATA = {"name", "generateName", "namespace", "labels", "annotations", "finalizers"}
"""What of an object's metadata a person writes; the rest, like every ``status``, is the server's."""


class Table:
    """Types by short name, collected from the kinds down."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self.definitions = definitions
        self.types: dict[str, dict[str, str]] = {}

    def add(self, full: str) -> str:
        """Take a type over, and all below it; its short name."""
        name = full.rpartition(".")[2]
        if full != f"{OWN}{name}" and f"{OWN}{name}" in self.definitions:
            name = f"core.{name}"
        if full.endswith("resource.Quantity"):
            return "quantity"
        if full.endswith("intstr.IntOrString"):
            return "int/text"
        definition = self.definitions[full]
        if "properties" not in definition:
            return self.of(definition, name, "")
        if name not in self.types:
            self.types[name] = {}
            required = set(definition.get("required", ()))
            for field, schema in sorted(definition["properties"].items()):
                if field == "status" or (name == "ObjectMeta" and field not in WRITTEN_METADATA):
                    continue
                mark = "!" if field in required else ""
                self.types[name][field + mark] = self.of(schema, name, field)
        return name

    def of(self, schema: dict[str, Any], owner: str, field: str) -> str:
        """A type in our words."""
        if "$ref" in schema:
            return self.add(schema["$ref"].removeprefix("#/definitions/"))
        kind = schema.get("type")
        if kind == "array":
            inner = "scalar" if (owner, field) in ANY_TEXT else self.of(schema["items"], owner, "")
            return f"[{inner}]"
        if kind == "object":
            more = schema.get("additionalProperties")
            return "{" + (self.of(more, owner, "") if isinstance(more, dict) else "any") + "}"
        if (owner, field) in ANY_TEXT:
            return "scalar"
        return {"string": "text", "integer": "int", "number": "number", "boolean": "bool"}.get(
            kind or "", "any"
        )


def enforced(table: Table, kind: str, schema: dict[str, Any]) -> None:
    """Take over what the full definition of a kind enforces: fields that must be there, and words allowed."""
    ahead = [(kind, schema)]
    seen: set[str] = set()
    while ahead:
        name, here = ahead.pop(0)
        if name in seen or name not in table.types:
            continue
        seen.add(name)
        fields = {field.rstrip("!"): kind_of for field, kind_of in table.types[name].items()}
        if "properties" not in here:
            continue
        must = here.get("required", ())
        for field, kind_of in fields.items():
            below = here["properties"].get(field, {})
            if "enum" in below and kind_of == "text":
                fields[field] = "|".join(one for one in below["enum"] if one)
            inner = below
            while "items" in inner or isinstance(inner.get("additionalProperties"), dict):
                inner = inner.get("items") or inner["additionalProperties"]
            ahead.append((kind_of.strip("[]{}"), inner))
        table.types[name] = {f"{field}!" if field in must else field: fields[field] for field in fields}


def lines(folder: Path) -> Iterator[str]:
    """The table, line by line."""
    published = json.loads((folder / "api/jsonschema/schema.json").read_text())["definitions"]
    table = Table(published)
    for kind in KINDS:
        table.add(OWN + kind)
    for kind in KINDS:
        crd = yaml.safe_load(
            (folder / f"manifests/base/crds/full/argoproj.io_{kind.lower()}s.yaml").read_text()
        )
        enforced(table, kind, crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    for name, fields in sorted(table.types.items()):
        yield " ".join([name, *(f"{field}:{kind}" for field, kind in fields.items())])


if __name__ == "__main__":
    TABLE.write_text(HEAD + "\n".join(lines(Path(sys.argv[1]))) + "\n", "utf-8")
