"""Turns what pydantic found into problems a person can act on: line, key path, value seen, what to write."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipelines.errors import Problem
from pipelines.spec.scalars import Path, is_private, near, show
from pipelines.spec.yaml import MAX_PROBLEMS, Document

UNKNOWN_KEY = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
MISSING = "missing"

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "model_type": "keys and values",
    "dataclass_type": "keys and values",
    "dict_type": "keys and values",
    "tuple_type": "a list",
    "list_type": "a list",
}
_BOUNDS = {
    "greater_than": ("must be more than", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than": ("must be less than", "lt"),
    "less_than_equal": ("must be at most", "le"),
    "too_short": ("must have at least this many entries:", "min_length"),
    "too_long": ("must have at most this many entries:", "max_length"),
}


def explain(error: ValidationError, shape: Any, document: Document, base: Path = ()) -> list[Problem]:
    """The problems of one failed validation.

    Args:
        error: what pydantic raised.
        shape: the class that was validated against, for the keys it knows.
        document: the file.
        base: where in the file the validated value stands.
    """
    return list(explain_all(error.errors(include_url=False), shape, document, base))


def explain_all(
    details: Iterable[ErrorDetails], shape: Any, document: Document, base: Path = ()
) -> Iterator[Problem]:
    """As :func:`explain`, for chosen details; nothing is said of values already complained about."""
    for detail in list(details)[:MAX_PROBLEMS]:
        within = tuple(part for part in detail["loc"] if part != "[key]")
        path = base + within
        unknown = detail["type"] in UNKNOWN_KEY
        if detail["type"] == "default_factory_not_called":  # the key it depends on has its own problem
            continue
        if document.is_spoiled(path[:-1] if unknown else path):
            continue
        if unknown:
            message, hint = "unknown key", near(within[-1], keys(shape, within[:-1]))
        else:
            message, hint = _say(detail, path, document)
        yield document.problem(path, message, hint)


def _say(detail: ErrorDetails, path: Path, document: Document) -> tuple[str, str]:
    kind, seen, context = detail["type"], detail["input"], detail.get("ctx", {})
    got = f"got {show(seen, path)}"
    if kind == MISSING:
        return "is missing", ""
    if seen is None and path in document.places:
        whole = kind in ("dict_type", "model_type")
        return (
            "is empty",
            "write {} for none, or remove the key" if whole else "write a value, or remove the key",
        )
    if kind == "shape":
        return (context["says"] if seen is None else f"{context['says']}; {got}"), ""
    if kind == "value_error":
        return str(context["error"]), ""
    if kind == "literal_error":
        return f"must be {context['expected']}; {got}", near(
            seen, re.findall("'([^']*)'", context["expected"])
        )
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"{words} {context[bound]:g}; {got}", ""
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}; {got}", _other_type(kind, seen, path, document)
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}; {got}", ""


def _other_type(kind: str, seen: object, path: Path, document: Document) -> str:
    """How to write a value that has the wrong type but may mean the right thing."""
    place = document.places.get(path)
    if place is None or is_private(path):
        return ""
    if kind == "string_type" and place.style == "":
        return f'write it in quotes: "{place.raw}"'
    if isinstance(seen, str) and re.fullmatch("-?[0-9]+([.][0-9]+)?|true|false", seen):
        return f"write it without quotes: {seen}"
    if kind in ("tuple_type", "list_type") and place.style not in ("map", "list"):
        return f"write it in brackets: [{show(seen)}]"
    return ""


def keys(shape: Any, path: Path) -> set[str]:
    """The keys known at a path below a model or dataclass; empty where any key may stand."""
    for part in path:
        shape = _below(_plain(shape), part)
    shape = _plain(shape)
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        return {field.alias or name for name, field in shape.model_fields.items()}
    if dataclasses.is_dataclass(shape):
        return {field.name for field in dataclasses.fields(shape)}
    return set()


def _plain(shape: Any) -> Any:
    """A type without ``Annotated`` and ``| None``."""
    while get_origin(shape) in (Annotated, Union, types.UnionType):
        shape = next(part for part in get_args(shape) if part is not type(None))
    return shape


def _below(shape: Any, part: str | int) -> Any:
    """The type of what stands under a key or list position."""
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        fields = {field.alias or name: field.annotation for name, field in shape.model_fields.items()}
        return fields.get(str(part))
    if dataclasses.is_dataclass(shape):
        return get_type_hints(shape).get(str(part))
    arguments = get_args(shape)
    return arguments[-1 if get_origin(shape) in (dict, Mapping) else 0] if arguments else None
