"""``{{…}}`` in the texts of a workflow: found, and replaced by values in one pass.

A value is data: what it holds is never looked through for further placeholders, also not by the template
it is handed to. Argo itself does look, so a value with ``{{`` in it may differ there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipelines.workflow.evaluating import evaluate
from pipelines.workflow.expressions import BadExpression, parse, paths

_TAG = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


class Missing(Exception):
    """A placeholder names an output that is not there; Argo asks again later, for ever if need be."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One ``{{…}}``."""

    inside: str
    """What stands between the braces, without spaces at its ends; without the = of an expression."""
    is_expression: bool
    start: int
    end: int


def placeholders(text: str) -> Iterator[Placeholder]:
    """Every placeholder of a text, from left to right."""
    for match in _TAG.finditer(text):
        inside = match[1].strip()
        is_expression = inside.startswith("=")
        yield Placeholder(
            inside[1:].strip() if is_expression else inside, is_expression, match.start(), match.end()
        )


def value_of(one: Placeholder, variables: Mapping[str, str]) -> str | None:
    """The text that stands for a placeholder; None when a variable it names is not there.

    Raises:
        BadExpression: an expression cannot be read or evaluated.
    """
    if not one.is_expression:
        return variables.get(one.inside)
    named = paths(parse(one.inside))
    if not all(_known(name, variables) for name in named):
        return None
    value = evaluate(one.inside, variables)
    if value is None:
        raise BadExpression(f"{one.inside!r} gives nothing")
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _known(name: str, variables: Mapping[str, str]) -> bool:
    return name in variables or any(other.startswith(f"{name}.") for other in variables)


def replace(tree: object, variables: Mapping[str, str]) -> object:
    """A tree of maps, lists and texts with every placeholder replaced that has a value.

    Those that have none stay, as Argo leaves them: a template below may know them.

    Raises:
        Missing: one names ``tasks.…`` or ``steps.…`` and has none.
        BadExpression: an expression cannot be read or evaluated.
    """
    if isinstance(tree, str):
        return replace_text(tree, variables)
    if isinstance(tree, Mapping):
        return {key: replace(value, variables) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [replace(value, variables) for value in tree]
    return tree


def replace_text(text: str, variables: Mapping[str, str]) -> str:
    """One text, as :func:`replace` does."""
    parts: list[str] = []
    done = 0
    for one in placeholders(text):
        value = value_of(one, variables)
        if value is None:
            strict(one)
            value = text[one.start : one.end]
        parts += [text[done : one.start], value]
        done = one.end
    return "".join([*parts, text[done:]])


def strict(one: Placeholder) -> None:
    """Refuse a placeholder without a value that only an earlier task or step could give.

    Raises:
        Missing: it is one.
    """
    names = paths(parse(one.inside)) if one.is_expression else {one.inside}
    for name in sorted(names):
        if name.partition(".")[0] in ("tasks", "steps"):
            raise Missing(f"{name} is not there")
