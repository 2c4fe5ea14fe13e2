"""Fields: which there are, which must be, and of which type; as the packaged table ``fields.txt`` says."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import date
from importlib import resources
from typing import Any

from pipelines.spec.scalars import Path, near, show
from pipelines.workflow.lint.sheet import Sheet

KINDS = ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow", "WorkflowEventBinding")
API_VERSION = "argoproj.io/v1alpha1"
VERSION = "4.0"
"""The version of Argo Workflows that the table is of."""

_WORDS = {
    "text": "text", "int": "a whole number", "number": "a number", "bool": "true or false",
    "int/text": "a whole number or text", "scalar": "text or a number", "quantity": "a quantity",
}  # fmt: skip
_QUANTITY = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?")


@functools.cache
def table() -> Mapping[str, Mapping[str, str]]:
    """Type -> field -> the field's type; ``!`` behind a field marks one that must be there."""
    text = resources.files(__package__ or __name__).joinpath("fields.txt").read_text("utf-8")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {name: dict(field.split(":", 1) for field in fields) for name, *fields in lines}


def check(sheet: Sheet) -> None:
    """Note what is wrong with a sheet's fields, and keep what is right as its tree."""
    value = sheet.document.value
    if isinstance(value, dict):
        kind = str(value.get("kind"))
        if value.get("apiVersion") != API_VERSION:
            message = f"is {show(value.get('apiVersion'))}, and a {kind} is one of {API_VERSION}"
            sheet.breaks("api_version", ("apiVersion",), message)
        sheet.tree = _map(sheet, value, kind, (), ())


def _value(sheet: Sheet, value: Any, kind: str, path: Path, around: tuple[str, ...]) -> Any:
    """What is right of a value; None for nothing."""
    if value is None or kind == "any":
        return value
    if kind[0] == "[":
        if not isinstance(value, list):
            return _wrong(sheet, value, "a list", path)
        kept = (_value(sheet, one, kind[1:-1], (*path, at), around) for at, one in enumerate(value))
        return [{} if one is None and kind[1:-1] in table() else one for one in kept]
    if kind[0] == "{":
        if not isinstance(value, dict):
            return _wrong(sheet, value, "a map", path)
        return {key: _value(sheet, one, kind[1:-1], (*path, key), around) for key, one in value.items()}
    if kind in table():
        if not isinstance(value, dict):
            return _wrong(sheet, value, "a map", path)
        return _map(sheet, value, kind, path, around)
    return _scalar(sheet, value, kind, path)


def _map(
    sheet: Sheet, value: dict[str, Any], kind: str, path: Path, around: tuple[str, ...]
) -> dict[str, Any]:
    known = {field.rstrip("!"): inner for field, inner in table()[kind].items()}
    for field in table()[kind]:
        if field.endswith("!") and value.get(field[:-1]) is None:
            sheet.breaks("missing_field", (*path, field[:-1]), f"is missing in {_an(kind)}")
    kept: dict[str, Any] = {}
    for key, inner in value.items():
        if key in known:
            kept[key] = _value(sheet, inner, known[key], (*path, key), (*around, kind))
        elif not (key == "status" and kind in KINDS):
            _stranger(sheet, key, kind, path, around, value)
    return kept


def _stranger(
    sheet: Sheet, key: str, kind: str, path: Path, around: tuple[str, ...], beside: Mapping[str, Any]
) -> None:
    """A field that is not there: in the wrong place, misspelt, or made up."""
    fields = {field.rstrip("!"): inner.strip("[]{}") for field, inner in table()[kind].items()}
    where = _home(key, {field: inner for field, inner in fields.items() if field in beside}, around)
    if where:
        message = f"is a field of {where}, not of {_an(kind)}"
        sheet.spoil("misplaced_field", (*path, key), message, f"move it to the {where}")
        return
    message = f"is no field of {_an(kind)} in Argo {VERSION}"
    sheet.spoil("unknown_field", (*path, key), message, near(key, fields))


def _home(key: str, fields: Mapping[str, str], around: tuple[str, ...]) -> str:
    """Where a field would be right: in something around, or in a field beside it; "" for nowhere near."""
    for kind in reversed(around):
        if {key, f"{key}!"} & set(table()[kind]):
            return _name(kind)
    inside = [field for field, kind in fields.items() if {key, f"{key}!"} & set(table().get(kind, ()))]
    return inside[0] if len(inside) == 1 else ""


def _name(kind: str) -> str:
    return {"DAGTask": "task", "WorkflowStep": "step"}.get(kind, kind)


def _an(kind: str) -> str:
    name = _name(kind)
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"


def _wrong(sheet: Sheet, value: Any, wanted: str, path: Path) -> None:
    sheet.spoil("wrong_type", path, f"should be {wanted}, got {show(value, path)}")


def _scalar(sheet: Sheet, value: Any, kind: str, path: Path) -> Any:
    if "|" in kind:
        return _choice(sheet, value, kind.split("|"), path)
    if isinstance(value, date):
        value = sheet.document.places[path].raw  # Argo reads a date as the text it is
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    good = {
        "text": isinstance(value, str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "number": is_number,
        "int/text": isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)),
        "scalar": isinstance(value, str | bool) or is_number,
        "quantity": isinstance(value, str) or is_number,
    }
    if not good[kind]:
        fix = (
            f'write it in quotes: "{sheet.document.places[path].raw}"' if _is_plain(sheet, path, kind) else ""
        )
        sheet.spoil("wrong_type", path, f"should be {_WORDS[kind]}, got {show(value, path)}", fix)
        return None
    if kind == "quantity" and not _QUANTITY.fullmatch(str(value)) and "{{" not in str(value):
        sheet.breaks("quantity", path, f"{show(value)} is no quantity")
    return value


def _is_plain(sheet: Sheet, path: Path, kind: str) -> bool:
    place = sheet.document.places.get(path)
    return kind == "text" and place is not None and place.style == "" and place.raw != ""


def _choice(sheet: Sheet, value: Any, words: list[str], path: Path) -> Any:
    if isinstance(value, str) and (value in words or "{{" in value or not value):
        return value
    sheet.spoil("unknown_word", path, f"{show(value)} is none of {', '.join(words)}", near(value, words))
    return None
