"""Expressions of Argo (the language expr) read into a tree, and the names found in it.

All of the grammar is read, so that a lint can tell a mistake from what is only unusual; ``evaluating``
knows less.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.workflow.tokens import Reader, tokens

MAX_CHARACTERS = 10_000
MAX_DEPTH = 60


class BadExpression(ValueError):
    """An expression that cannot be read, or cannot be evaluated with the names at hand."""


# ------------------------------------------------------------------------------- the tree


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a text, true, false or nil."""

    value: object


@dataclass(frozen=True, slots=True)
class Name:
    """A variable; ``#`` and ``.field`` inside a closure are names too."""

    text: str


@dataclass(frozen=True, slots=True)
class Member:
    """``of.key``, ``of?.key``, ``of[key]``, or ``of[key:end]``."""

    of: Node
    key: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A function by name or member, with its arguments."""

    function: Node
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator between two values, before one, or (``?:``) among three."""

    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """``[…]``, ``{…}`` as a map, or ``closure``: several nodes under one roof."""

    kind: str
    items: tuple[Node, ...]


Node = Literal | Name | Member | Call | Operation | Group


def walk(node: Node) -> Iterator[Node]:
    """A node and everything below it."""
    yield node
    match node:
        case Member(of, key):
            below: tuple[Node, ...] = (of, key)
        case Call(function, arguments):
            below = (function, *arguments)
        case Operation(_, operands):
            below = operands
        case Group(_, items):
            below = items
        case _:
            below = ()
    for one in below:
        yield from walk(one)


def paths(node: Node) -> set[str]:
    """The dotted names a tree reads, as long as they can be told: ``tasks.a.outputs.parameters.x``."""
    found: set[str] = set()
    _paths(node, found, frozenset())
    return found


def _paths(node: Node, found: set[str], bound: frozenset[str]) -> None:
    if (path := _path(node)) is not None:
        if path.partition(".")[0] not in bound and not path.startswith(("#", ".")):
            found.add(path)
        return
    match node:
        case Group("let", (Name(text), value, body)):
            _paths(value, found, bound)
            _paths(body, found, bound | {text})
        case Member(of, key):
            _paths(of, found, bound)
            _paths(key, found, bound)
        case Call(function, arguments):
            if not isinstance(function, Name) and _path(function) is None:
                _paths(function, found, bound)
            for one in arguments:
                _paths(one, found, bound)
        case Operation(_, below) | Group(_, below):
            for one in below:
                _paths(one, found, bound)
        case _:
            pass


def _path(node: Node) -> str | None:
    match node:
        case Name(text):
            return text
        case Member(of, Literal(str() as key)):
            start = _path(of)
            return None if start is None else f"{start}.{key}"
    return None


def functions(node: Node) -> set[str]:
    """The functions a tree calls: ``asInt``, ``sprig.trim``."""
    called = {_path(one.function) for one in walk(node) if isinstance(one, Call)}
    return {name for name in called if name is not None}


# ------------------------------------------------------------------------------- reading

_TOKEN = re.compile(
    r"\s*(?:(?P<number>0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+"
    r"|[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+)"
    r"|(?P<text>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)"
    r"|(?P<name>[A-Za-z_$][A-Za-z0-9_$]*)"
    r"|(?P<sign>\?\.|\?\?|\?:|\*\*|\.\.|==|!=|<=|>=|&&|\|\||::|[-+*/%^<>!?:.,;#|&=(){}\[\]]))"
)
_BINARY = {
    "|": 5, "||": 10, "or": 10, "&&": 15, "and": 15,
    "==": 20, "!=": 20, "<": 20, ">": 20, "<=": 20, ">=": 20,
    "in": 20, "not in": 20, "matches": 20, "contains": 20, "startsWith": 20, "endsWith": 20,
    "..": 25, "+": 30, "-": 30, "*": 60, "/": 60, "%": 60, "**": 100, "^": 100, "??": 500,
}  # fmt: skip
"""How tightly each operator binds, as the language's own table orders them."""
_RIGHT = {"**", "^"}
_WORDS = {"true": True, "false": False, "nil": None}


def parse(text: str) -> Node:
    """The tree of an expression.

    Raises:
        BadExpression: it is none.
    """
    if len(text) > MAX_CHARACTERS:
        raise BadExpression(f"has {len(text)} characters; at most {MAX_CHARACTERS} are read")
    reader = _Reader(tokens(text, _TOKEN, BadExpression))
    tree = reader.sequence()
    if reader.kind != "end":
        raise BadExpression(f"does not go on at {reader.word!r}")
    return tree


class _Reader(Reader):
    """Reads tokens by how tightly operators bind."""

    def take(self, *words: str) -> bool:
        """Step over one of some signs or words, where it stands next."""
        if self.kind in ("sign", "name") and self.word in words:
            self.place += 1
            return True
        return False

    def need(self, word: str) -> None:
        if not self.take(word):
            raise BadExpression(f"wants {word!r} where {self.word!r} stands")

    def sequence(self) -> Node:
        """``let a = …; …``, or one expression."""
        if self.kind == "name" and self.word == "let" and self.tokens[self.place + 1][0] == "name":
            self.place += 1
            name = self.name()
            self.need("=")
            value = self.expression()
            self.need(";")
            return Group("let", (Name(name), value, self.sequence()))
        return self.expression()

    def expression(self, binding: int = 0) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BadExpression(f"is nested more than {MAX_DEPTH} deep")
        left = self.unary()
        while (sign := self.operator()) in _BINARY and _BINARY[sign] >= max(binding, 1):
            self.place += 2 if sign == "not in" else 1
            right = self.expression(_BINARY[sign] + (sign not in _RIGHT))
            left = _piped(left, right) if sign == "|" else Operation(sign, (left, right))
        if binding == 0:
            left = self.choice(left)
        self.depth -= 1
        return left

    def operator(self) -> str:
        if self.kind not in ("sign", "name"):
            return ""
        following = self.tokens[self.place + 1][1] if self.place + 1 < len(self.tokens) else ""
        return "not in" if (self.word, following) == ("not", "in") else self.word

    def choice(self, condition: Node) -> Node:
        if self.take("?:"):
            return Operation("?:", (condition, condition, self.expression()))
        if not self.take("?"):
            return condition
        first = self.expression()
        self.need(":")
        return Operation("?:", (condition, first, self.expression()))

    def unary(self) -> Node:
        if self.kind in ("sign", "name") and self.word in ("!", "not", "-", "+"):
            sign = "!" if self.word == "not" else self.word
            self.place += 1
            return Operation(sign, (self.expression(50 if sign == "!" else 90),))
        return self.postfix(self.primary())

    def primary(self) -> Node:
        kind, word = self.kind, self.word
        self.place += 1
        if kind == "number":
            return Literal(_number(word))
        if kind == "text":
            return Literal(_text(word))
        if kind == "name":
            return Literal(_WORDS[word]) if word in _WORDS else Name(word)
        if word == "#":
            return Name(word + (self.name() if self.word in ("acc", "index") else ""))
        if word == ".":
            return Name(word + self.name())
        if word == "(":
            inside = self.sequence()
            self.need(")")
            return inside
        if word == "[":
            return Group("list", self.items("]"))
        if word == "{":
            self.place -= 1
            return self.braces()
        self.place -= 1
        raise BadExpression(f"wants a value where {word!r} stands")

    def braces(self) -> Node:
        """A map; a closure is read where an argument may stand."""
        self.need("{")
        items: list[Node] = []
        while not self.take("}"):
            key = self.expression() if self.take("(") else self.key()
            self.take(")")
            self.need(":")
            items += [key, self.expression()]
            if not self.take(",") and self.word != "}":
                raise BadExpression(f"wants ',' or '}}' where {self.word!r} stands")
        return Group("map", tuple(items))

    def key(self) -> Node:
        kind, word = self.kind, self.word
        if kind not in ("name", "text", "number"):
            raise BadExpression(f"wants a key where {word!r} stands")
        self.place += 1
        return Literal(_text(word) if kind == "text" else word)

    def name(self) -> str:
        if self.kind != "name":
            raise BadExpression(f"wants a name where {self.word!r} stands")
        self.place += 1
        return self.tokens[self.place - 1][1]

    def items(self, end: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self.take(end):
            found.append(self.argument())
            if not self.take(",") and self.word != end:
                raise BadExpression(f"wants ',' or {end!r} where {self.word!r} stands")
        return tuple(found)

    def argument(self) -> Node:
        """An expression, or a closure in braces."""
        if self.word != "{" or self.kind != "sign":
            return self.expression()
        start = self.place
        try:
            return self.postfix(self.braces())
        except BadExpression:
            self.place = start + 1
        inside = self.sequence()
        self.need("}")
        return Group("closure", (inside,))

    def postfix(self, node: Node) -> Node:
        while True:
            if self.take(".", "?."):
                node = Member(node, Literal(self.name()))
            elif self.kind == "sign" and self.word == "(":
                self.place += 1
                node = Call(node, self.items(")"))
            elif self.take("["):
                node = Member(node, self.index())
                self.need("]")
            else:
                return node

    def index(self) -> Node:
        start = Literal(None) if self.word == ":" else self.expression()
        if not self.take(":"):
            return start
        end = Literal(None) if self.word == "]" else self.expression()
        return Group("slice", (start, end))


def _piped(left: Node, right: Node) -> Node:
    if not isinstance(right, Call):
        raise BadExpression("wants a function behind |")
    return Call(right.function, (left, *right.arguments))


def _number(word: str) -> int | float:
    plain = word.replace("_", "")
    if len(plain) > 40:
        raise BadExpression(f"holds the number {plain[:40]}…, which is too long")
    if re.fullmatch("0[xXbBoO].*", plain):
        return int(plain, 0)
    return int(plain) if plain.isdigit() else float(plain)


_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _text(word: str) -> str:
    if word[0] == "`":
        return word[1:-1]
    return _ESCAPE.sub(_unescape, word[1:-1])


def _unescape(found: re.Match[str]) -> str:
    code = found[1]
    if code[0] in "xuU" and len(code) > 1:
        point = int(code[1:], 16)
    elif len(code) == 3:
        point = int(code, 8)
    else:
        return _ESCAPES.get(code, code)
    if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
        raise BadExpression(f"holds no character \\{code}")
    return chr(point)
