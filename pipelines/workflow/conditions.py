"""``when`` of a task or step: Argo's older little language, in which a word without quotes is a text.

A placeholder stands for one operand or for part of a quoted text, never for syntax: where Argo would paste
a value and read what comes out, a value that is no single word is refused here.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

from pipelines.workflow.expressions import Group, Literal, Node, Operation
from pipelines.workflow.placeholders import placeholders, strict, value_of
from pipelines.workflow.tokens import Reader, tokens

MAX_DEPTH = 60


class BadCondition(ValueError):
    """A ``when`` that cannot be read, or gives neither true nor false."""


_TOKEN = re.compile(
    r"\s*(?:(?P<number>0x[0-9a-fA-F]+|[0-9]+(?:\.[0-9]+)?)"
    r"|(?P<text>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
    r"|(?P<word>\[[^\]]*\]|[A-Za-z_][A-Za-z0-9_.]*)"
    r"|(?P<sign>==|!=|<=|>=|<<|>>|=~|!~|&&|\|\||\*\*|\?\?|[-+*/%<>!(),?:&|^~]))"
)
_OPERAND = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|-?[0-9]+(?:\.[0-9]+)?")
_BINDING = {
    ",": 0, "?": 1, ":": 1, "??": 1, "||": 2, "&&": 3, "==": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4,
    "=~": 4, "!~": 4, "in": 4, "&": 5, "|": 5, "^": 5, "<<": 5, ">>": 5, "+": 6, "-": 6, "*": 7, "/": 7,
    "%": 7, "**": 8,
}  # fmt: skip
_ORDER: Mapping[str, Callable[[float, float], object]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}


def is_met(when: str, variables: Mapping[str, str]) -> bool:
    """Whether a task with this ``when`` runs; an empty one always does.

    Raises:
        BadCondition: it cannot be read, or gives neither true nor false.
        Missing: it names an output that is not there.
    """
    if not when:
        return True
    value = _value(parse(filled(when, variables)))
    if not isinstance(value, bool):
        raise BadCondition(f"gives {value!r}, neither true nor false")
    return value


def parse(text: str) -> Node:
    """The tree of a condition without placeholders.

    Raises:
        BadCondition: it is none.
    """
    reader = _Reader(tokens(text, _TOKEN, BadCondition))
    tree = reader.value(1)
    if reader.kind != "end":
        raise BadCondition(f"does not go on at {reader.word!r}")
    return tree


def filled(when: str, variables: Mapping[str, str]) -> str:
    """The text with its placeholders replaced, each by an operand or inside quotes.

    Raises:
        BadCondition: a value would be more than that.
        Missing: a placeholder names an output that is not there.
    """
    done, quote, parts = 0, "", []
    for one in placeholders(when):
        before = when[done : one.start]
        quote = _quote(before, quote)
        value = value_of(one, variables)
        if value is None:
            strict(one)
            raise BadCondition(f"names {one.inside}, which nothing gives")
        if quote:
            value = value.replace("\\", "\\\\").replace(quote, "\\" + quote)
        elif not _OPERAND.fullmatch(value):
            raise BadCondition(f"has {value!r} for {one.inside}, which is no single word; quote it")
        parts += [before, value]
        done = one.end
    return "".join([*parts, when[done:]])


def _quote(text: str, quote: str) -> str:
    """The quotation mark that is open after a text, given the one open before; "" for none."""
    escaped = False
    for one in text:
        if quote and escaped:
            escaped = False
        elif quote and one == "\\":
            escaped = True
        elif quote:
            quote = "" if one == quote else quote
        elif one in "\"'":
            quote = one
    return quote


class _Reader(Reader):
    """Reads tokens by how tightly operators bind."""

    def value(self, binding: int) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BadCondition(f"is nested more than {MAX_DEPTH} deep")
        left = self.one()
        while self.kind in ("sign", "word") and _BINDING.get(self.word, 0) >= binding:
            sign = self.word
            self.place += 1
            left = Operation(sign, (left, self.value(_BINDING[sign] + 1)))
        self.depth -= 1
        return left

    def one(self) -> Node:
        kind, word = self.kind, self.word
        self.place += kind != "end"
        if kind == "number":
            return Literal(float(int(word, 16)) if word.startswith("0x") else float(word))
        if kind == "text":
            return Literal(re.sub(r"\\(.)", r"\1", word[1:-1]))
        if kind == "word":
            return Literal({"true": True, "false": False}.get(word, word))
        if word == "(":
            return self.group()
        if word in ("!", "-", "~"):
            return Operation(word, (self.one(),))
        raise BadCondition(f"wants a value where {word!r} stands")

    def group(self) -> Node:
        """What stands in parentheses: a value, or several for ``in``."""
        found: list[Node] = []
        while not found or self.word == ",":
            self.place += bool(found)
            found.append(self.value(1))
        if self.word != ")":
            raise BadCondition(f"wants ')' where {self.word!r} stands")
        self.place += 1
        return found[0] if len(found) == 1 else Group("list", tuple(found))


def _value(node: Node) -> object:
    match node:
        case Literal(value):
            return value
        case Group(_, items):
            return [_value(one) for one in items]
        case Operation("!", (one,)):
            return not _truth(_value(one))
        case Operation("-", (one,)):
            return -_number(_value(one))
        case Operation("&&", (left, right)):
            return _truth(_value(left)) and _truth(_value(right))
        case Operation("||", (left, right)):
            return _truth(_value(left)) or _truth(_value(right))
        case Operation(sign, (left, right)):
            return _apply(sign, _value(left), _value(right))
    raise BadCondition("cannot be evaluated here")


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadCondition(f"{value!r} is neither true nor false")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadCondition(f"{value!r} is no number")
    return float(value)


def _apply(sign: str, left: object, right: object) -> object:
    if sign in ("==", "!="):
        return (type(left) is type(right) and left == right) == (sign == "==")
    if sign == "in":
        listed = right if isinstance(right, list) else [right]
        return any(type(one) is type(left) and one == left for one in listed)
    if sign not in _ORDER:
        raise BadCondition(f"uses {sign}, which is not evaluated here")
    if isinstance(left, str) and isinstance(right, str) and sign in ("<", "<=", ">", ">=", "+"):
        return left + right if sign == "+" else _ORDER[sign](*_ranks(left, right))
    try:
        return _ORDER[sign](_number(left), _number(right))
    except ZeroDivisionError:
        raise BadCondition("divides by zero") from None


def _ranks(left: str, right: str) -> tuple[float, float]:
    """Two texts by their place in the alphabet."""
    return float(left > right), float(right > left)
