"""The shape of what we render: every field there may be, which must be, and of which type."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gates.policy.quantity import canonical_quantity
from gates.policy.rules import RULES, Finding
from gates.policy.strict import Document, Path

FRAMEWORKS = frozenset(
    {"sklearn", "xgboost", "tensorflow", "pytorch", "triton", "onnx", "pmml", "lightgbm", "paddle"}
    | {"huggingface", "mlflow", "containers"}
)
MODE = "serving.kserve.io/deploymentMode"
TAGS = "serving.kserve.io/enable-tag-routing"

_MODEL = {
    "name": "text",
    "modelFormat": {"name!": "text", "version": "text"},
    "protocolVersion!": "text",
    "runtime": "text",
    "storageUri!": "text",
    "resources": {"requests": "quantities", "limits": "quantities"},
    "env": [{"name!": "text", "value!": "text"}],
}
_SERVICE = {
    "apiVersion!": "text",
    "kind!": "text",
    "metadata!": {"name!": "text", "namespace!": "text", "annotations!": {MODE: "text", TAGS: "text"}},
    "spec!": {
        "predictor!": {
            "name": "text",
            "canaryTrafficPercent": "share",
            "minReplicas!": "whole",
            "maxReplicas!": "whole",
            "serviceAccountName": "text",
            "priorityClassName": "text",
            "nodeSelector": "texts",
            "model!": {**_MODEL, "modelFormat!": _MODEL["modelFormat"]},
        },
        "canary": [
            {
                "trafficPercent": "share",
                "predictor!": {
                    "name!": "text",
                    "minReplicas!": "whole",
                    "model!": {**_MODEL, "name!": "text", "modelFormat!": _MODEL["modelFormat"]},
                },
            }
        ],
    },
}
_RECORD = {
    "apiVersion!": "text",
    "kind!": "text",
    "metadata!": {"name!": "text", "namespace!": "text"},
    "data!": "texts",
}
_ALERTS = {
    "apiVersion!": "text",
    "kind!": "text",
    "metadata!": {"name!": "text", "namespace!": "text", "labels": "texts"},
    "spec!": {
        "groups!": [
            {
                "name!": "text",
                "rules!": [
                    {
                        "alert!": "text",
                        "expr!": "text",
                        "labels!": {
                            "severity!": "text",
                            "window!": "text",
                            "model!": "text",
                            "tenant!": "text",
                            "environment!": "text",
                        },
                        "annotations!": {"summary!": "text"},
                    }
                ],
            }
        ]
    },
}
KINDS: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("serving.kserve.io/v1beta1", "InferenceService"): ("inferenceservice.yaml", _SERVICE),
    ("v1", "ConfigMap"): ("record.yaml", _RECORD),
    ("monitoring.coreos.com/v1", "PrometheusRule"): ("alerts.yaml", _ALERTS),
}
"""apiVersion and kind -> the file's name and its shape. ``!`` marks a field that must be there."""


@dataclass(frozen=True, slots=True)
class Object:
    """One object of one file."""

    file: str
    document: Document

    def at(self, *path: str | int) -> Any:
        """What is at a path; None when nothing is, or something on the way is no map or list."""
        here = self.document.data
        for step in path:
            if isinstance(here, dict) and isinstance(step, str):
                here = here.get(step)
            elif isinstance(here, list) and isinstance(step, int) and step < len(here):
                here = here[step]
            else:
                return None
        return here

    def breaks(self, rule: str, path: Path, message: str, fix: str = "") -> Finding:
        """A finding in this object, at a path or at what is nearest above it."""
        known = path
        while known and known not in self.document.lines:
            known = known[:-1]
        return Finding(
            rule=rule,
            file=self.file,
            line=self.document.lines[known] if path else 0,
            where=dotted(path),
            message=message,
            fix=fix or RULES[rule].fix,
        )


def dotted(path: Path) -> str:
    """A path as people write it: ``spec.canary[0].predictor``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def field_findings(thing: Object, shape: dict[str, Any]) -> Iterator[Finding]:
    """Everything in an object that its shape does not have, and the other way round."""
    yield from _map(thing, thing.document.data, shape, ())


def _value(thing: Object, value: Any, shape: Any, path: Path) -> Iterator[Finding]:
    if isinstance(shape, dict):
        yield from _map(thing, value, shape, path)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield thing.breaks("wrong_type", path, f"is {_kind(value)}, not a list")
            return
        for index, item in enumerate(value):
            yield from _value(thing, item, shape[0], (*path, index))
    elif shape in ("texts", "quantities"):
        yield from _pairs(thing, value, shape, path)
    elif shape == "share":
        if type(value) is not int:
            yield thing.breaks("share_not_whole", path, f"is {value!r}")
    elif type(value) is not (int if shape == "whole" else str):
        wanted = "a whole number" if shape == "whole" else "text"
        yield thing.breaks("wrong_type", path, f"is {_kind(value)}, not {wanted}")


def _map(thing: Object, value: Any, shape: dict[str, Any], path: Path) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield thing.breaks("wrong_type", path, f"is {_kind(value)}, not a map")
        return
    known = {key.rstrip("!"): inner for key, inner in shape.items()}
    missing = [key for key in shape if key.endswith("!") and key.rstrip("!") not in value]
    for key in missing:
        yield thing.breaks("missing_field", path, f"lacks {key.rstrip('!')}")
    for key, inner in value.items():
        if key in known:
            yield from _value(thing, inner, known[key], (*path, key))
        else:
            yield _stranger(thing, key, (*path, key), set(known) - set(value))


def _stranger(thing: Object, key: str, path: Path, free: set[str]) -> Finding:
    """A field we do not write; one that is nearly a field we do is named as that."""
    if path[:1] == ("metadata",):
        return thing.breaks("metadata", path, "is not ours to write here")
    if path == ("spec", "predictor", key) and key in FRAMEWORKS:
        return thing.breaks("framework_key", path, "is the old way to name a model")
    near = difflib.get_close_matches(key, sorted(free), n=1, cutoff=0.75)
    fix = f"did you mean {near[0]}?" if near else ""
    return thing.breaks("unknown_field", path, "is no field that we write", fix)


def _pairs(thing: Object, value: Any, shape: str, path: Path) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield thing.breaks("wrong_type", path, f"is {_kind(value)}, not a map")
        return
    for key, text in value.items():
        if not isinstance(text, str):
            wanted = "a quantity in quotes" if shape == "quantities" else "text"
            yield thing.breaks("wrong_type", (*path, key), f"is {_kind(text)}, not {wanted}")
        elif shape == "quantities":
            yield from _quantity(thing, text, (*path, key))


def _quantity(thing: Object, text: str, path: Path) -> Iterator[Finding]:
    try:
        canonical = canonical_quantity(text)
    except ValueError as error:
        yield thing.breaks("quantity", path, str(error))
        return
    if canonical != text:
        yield thing.breaks("quantity", path, f"is {text!r}, held as {canonical!r}", f"write {canonical!r}")


def _kind(value: Any) -> str:
    names = {dict: "a map", list: "a list", str: "text", bool: "true or false", int: "a whole number"}
    return names.get(type(value), "empty" if value is None else "a fraction")
