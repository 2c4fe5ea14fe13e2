"""Tables of the READMEs as the code has them now, in Markdown.

``LOCKGATE_REGENERATE=1 pytest tests/test_docs.py`` writes them between their markers; without it the tests
compare. In CI nothing is ever rewritten.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import os
import re
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import annotated_types as at

from gates import registry
from gates.counts import TOO_EARLY, Gap
from gates.policy import RULES

ROOT = Path(__file__).resolve().parents[1]
HOW = "the table is not what the code says; LOCKGATE_REGENERATE=1 pytest tests/test_docs.py writes it anew"
REGENERATE = os.environ.get("LOCKGATE_REGENERATE") == "1"


def between(text: str, marker: str) -> str:
    """What stands between ``<!-- marker -->`` and ``<!-- /marker -->``; AssertionError without both."""
    found = re.search(rf"<!-- {re.escape(marker)} -->\n(.*?)<!-- /{re.escape(marker)} -->", text, re.DOTALL)
    assert found, f"there are no markers {marker}"
    return found[1]


def kept(path: Path, marker: str, wanted: str) -> str:
    """The text kept between the markers of a file, after writing the wanted one where that is asked for."""
    text = path.read_text("utf-8")
    held = between(text, marker)
    if not REGENERATE or held == wanted:
        return held
    assert "CI" not in os.environ, "documents are never rewritten in CI"
    opening = f"<!-- {marker} -->\n"
    path.write_text(text.replace(f"{opening}{held}", f"{opening}{wanted}"), "utf-8")
    return wanted


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table of Markdown; what would end a cell or begin a tag there is escaped."""
    lines = [head, tuple("---" for _ in head), *(tuple(map(_cell, row)) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """One cell, with code spans left as they are but for bars."""
    spans = text.replace("->", "→").replace("|", "\\|").split("`")
    return "`".join(span if number % 2 else span.replace("<", "&lt;") for number, span in enumerate(spans))


# ----------------------------------------------------------------------- settings


def settings_table(gate: str) -> str:
    """Every key of a gate's settings: type and bounds, default, meaning."""
    shape = registry.gate_class(gate).Settings
    fields = dataclasses.fields(shape)
    if not fields:
        return "Nothing can be set.\n"
    hints = typing.get_type_hints(shape, include_extras=True)
    meanings = field_docs(shape)
    rows = [
        (f"`{one.name}`", default(one), kind(hints[one.name]), meanings.get(one.name, "")) for one in fields
    ]
    return table(("setting", "default", "value", "meaning"), rows)


def field_docs(shape: type) -> dict[str, str]:
    """Name -> the docstring that stands below each field of a class, as Markdown on one line."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(shape))).body[0]
    assert isinstance(tree, ast.ClassDef)
    docs: dict[str, str] = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(below, ast.Expr)
            and isinstance(field.target, ast.Name)
        ):
            assert isinstance(below.value, ast.Constant)
            docs[field.target.id] = markdown(str(below.value.value))
    return docs


def markdown(text: str) -> str:
    """A docstring's words on one line, its code spans with one backtick."""
    return " ".join(text.split()).replace("``", "`")


def default(field: dataclasses.Field[Any]) -> str:
    """What holds when the key is left out."""
    if field.default is not dataclasses.MISSING:
        return f"`{json.dumps(field.default)}`"
    if field.default_factory is not dataclasses.MISSING:
        return f"`{json.dumps(field.default_factory())}`"
    return "required"


WORDS: Mapping[object, str] = {float: "number", int: "whole number", str: "text", bool: "`true` or `false`"}


def kind(hint: Any) -> str:
    """A type and its bounds in words."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        bounds = [bound for one in inside[1:] for bound in bounds_of(one)]
        return ", ".join([kind(inside[0]), *bounds])
    if origin is typing.Literal:
        return " or ".join(f"`{one}`" for one in inside)
    if origin is tuple:
        return f"list of {kind(inside[0])}"
    if origin is not None and issubclass(origin, Mapping):
        return f"{kind(inside[0])}, each with a {kind(inside[1])}"
    if origin is types.UnionType:
        return " or ".join(kind(one) for one in inside)
    if dataclasses.is_dataclass(hint):
        return f"keys and values ({', '.join(f'`{one.name}`' for one in dataclasses.fields(hint))})"
    return "nothing" if hint is type(None) else WORDS[hint]


def bounds_of(rule: object) -> Iterator[str]:
    """One bound of annotated-types in words."""
    match rule:
        case at.MinLen(1):
            yield "not empty"
        case at.Ge(low):
            yield f"at least {low}"
        case at.Gt(low):
            yield f"above {low}"
        case at.Le(high):
            yield f"at most {high}"
        case at.Lt(high):
            yield f"below {high}"
        case at.Interval():
            for each in rule:
                yield from bounds_of(each)
        case _:
            raise AssertionError(f"no words for {rule!r}")


# ----------------------------------------------------------------------- verdicts


def verdict_table(gate: str) -> str:
    """Every verdict of a gate with its reason, as the table in its docstring has it."""
    if gate == "policy":
        rows = [(rule.refuses, rule.fix, "FAIL", f"`{rule.id}`") for rule in RULES.values()]
        rows.append(("every file holds to every rule", "", "PASS", "`as_rendered`"))
        return table(("what is found", "what to do", "verdict", "reason"), rows)
    doc = inspect.getdoc(registry.gate_class(gate)) or ""
    return table(("what is found", "verdict", "reason"), _verdicts(doc))


GAPS = "[a reason of counting](#counting-requests)"


def gap_table() -> str:
    """The reasons for which an arm cannot be counted."""
    rows = [
        (markdown(when), "WAIT" if reason == TOO_EARLY else "UNKNOWN", f"`{reason}`")
        for reason, when in simple_table(inspect.getdoc(Gap) or "")[1:]
    ]
    return table(("what is found", "verdict", "reason"), rows)


def _verdicts(doc: str) -> Iterator[tuple[str, str, str]]:
    head, *rows = simple_table(doc)
    place = {name: head.index(name) for name in ("verdict", "reason")}
    when = ({0, 1, 2} - set(place.values())).pop()
    for row in rows:
        reason = row[place["reason"]]
        code = f"`{reason}`" if re.fullmatch("[a-z_…]+", reason) else GAPS
        yield markdown(row[when]), row[place["verdict"]], code


def simple_table(doc: str) -> list[tuple[str, ...]]:
    """The first simple table of a docstring, row by row; a row that goes on below is put together."""
    lines = doc.splitlines()
    rules = [number for number, line in enumerate(lines) if re.fullmatch("=+( +=+)+", line.strip())]
    starts = [match.start() for match in re.finditer("=+", lines[rules[0]])]
    rows: list[tuple[str, ...]] = []
    for line in [lines[rules[0] + 1], *lines[rules[1] + 1 : rules[2]]]:
        spans = zip(starts, [*starts[1:], len(line) + 1], strict=True)
        cells = tuple(line[start:end].strip() for start, end in spans)
        if cells[0] or not rows:
            rows.append(cells)
        else:
            rows[-1] = tuple(f"{old} {new}".strip() for old, new in zip(rows[-1], cells, strict=True))
    return rows


# -------------------------------------------------------------- reasons in the source

_TELLERS = {"Objection", "_Objection", "Say", "Finding", "Gap", "Verdict", "GoldenRefused", "_fail", "_wait",
            "_gap", "_verdict", "fail", "unknown"}  # fmt: skip
_CODE = re.compile("[a-z]+(_[a-z]+)+")


def reasons(source: str) -> set[str]:
    """Every reason code that a source file gives somewhere."""
    return {
        inner.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _TELLERS
        for given in [*node.args[:3], *(one.value for one in node.keywords if one.arg == "reason")]
        for inner in ([given] if isinstance(given, ast.Constant) else [])
        if isinstance(inner.value, str) and _CODE.fullmatch(inner.value)
    }


def gate_source(gate: str) -> str:
    """The source of a gate: its module, or all modules of its folder."""
    module = Path(inspect.getfile(registry.gate_class(gate)))
    folder = ROOT / "gates" / gate
    files = sorted(folder.glob("*.py")) if folder.is_dir() else [module]
    return "\n".join(
        path.read_text("utf-8").replace("from __future__ import annotations", "") for path in files
    )
