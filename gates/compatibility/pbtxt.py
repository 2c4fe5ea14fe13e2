"""Triton's ``config.pbtxt``, as far as callers can see it: name, batching, inputs, outputs.

The whole text is parsed as protobuf's text format and the fields we need are read by name, so that one we do
not know hides nothing. The schema that protobuf's own parser wants comes only with Triton's client and gRPC.
Grammar: https://protobuf.dev/reference/protobuf/textformat-spec/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gates.compatibility.tensors import ANY, Tensor, Unreadable, tensor

MAXIMUM_CHARACTERS = 1_048_576
MAXIMUM_DEPTH = 32

_TOKEN = re.compile(
    r"""(?P<skip>[\s]+|\#[^\n]*)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<word>[A-Za-z_][A-Za-z0-9_.]*|-?\.?[0-9][A-Za-z0-9_.+-]*)
    |(?P<sign>[-{}<>\[\]:,;/])""",
    re.VERBOSE,
)
_CLOSES = {"{": "}", "<": ">"}
_TYPES = {"TYPE_STRING": "BYTES"}

Message = dict[str, list[Any]]
"""Field -> its values in order: text, or another message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What callers can see of a Triton model."""

    name: str
    """"" where the file leaves it to the folder."""
    max_batch_size: int
    """Requests of more rows are refused; 0: the model takes no batches and its shapes are whole."""
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


def read_config(text: str) -> Config:
    """Read a config.pbtxt.

    Raises:
        Unreadable: it is not text format, or a field that we need is not what it should be.
    """
    if len(text) > MAXIMUM_CHARACTERS:
        raise Unreadable(f"config.pbtxt has {len(text)} characters, more than {MAXIMUM_CHARACTERS}")
    message = _Parser(text).message("", 0)
    size = _single(message, "max_batch_size", "0")
    if not re.fullmatch("0|[1-9][0-9]{0,8}", size):
        raise Unreadable(f"config.pbtxt has the max_batch_size {size!r}")
    batch = (ANY,) if int(size) else ()
    return Config(
        name=_single(message, "name", ""),
        max_batch_size=int(size),
        inputs=_tensors(message, "input", batch),
        outputs=_tensors(message, "output", batch),
    )


def _single(message: Message, field: str, default: str) -> str:
    values = message.get(field, [default])
    if len(values) != 1 or not isinstance(values[0], str):
        raise Unreadable(f"config.pbtxt has {len(values)} values for {field}, or one that is no single value")
    return values[0]


def _tensors(message: Message, field: str, batch: tuple[int, ...]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for one in message.get(field, []):
        if not isinstance(one, dict) or not (name := _single(one, "name", "")) or name in found:
            raise Unreadable(f"config.pbtxt has an {field} without a name of its own")
        written = _single(one, "data_type", "")
        datatype = _TYPES.get(written, written.removeprefix("TYPE_"))
        dims = [int(dim) if re.fullmatch("-1|[0-9]{1,9}", str(dim)) else dim for dim in one.get("dims", [])]
        optional = _single(one, "optional", "false") in ("true", "True", "t", "1")
        found[name] = tensor(name, datatype, [*batch, *dims], optional=optional)
    return found


class _Parser:
    """Recursive descent, one token ahead."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    def message(self, closed_by: str, depth: int) -> Message:
        """Fields up to what closes the message; "" is the end of the file."""
        if depth > MAXIMUM_DEPTH:
            raise Unreadable(f"config.pbtxt is nested deeper than {MAXIMUM_DEPTH} levels")
        found: Message = {}
        while (kind_and_token := self._next())[1] != closed_by:
            kind, token = kind_and_token
            if kind != "word":
                raise Unreadable(f"config.pbtxt has {token or 'its end'!r} where a field should begin")
            found.setdefault(token, []).extend(self._values(depth))
            if self._peek() in (",", ";"):
                self._next()
        return found

    def _values(self, depth: int) -> list[Any]:
        if self._peek() == ":":
            self._next()
        if self._peek() != "[":
            return [self._value(depth)]
        self._next()
        values: list[Any] = []
        while self._peek() != "]":
            values.append(self._value(depth))
            if self._peek() == ",":
                self._next()
            elif self._peek() != "]":
                raise Unreadable(f"config.pbtxt has {self._peek()!r} inside a list")
        self._next()
        return values

    def _value(self, depth: int) -> Any:
        kind, token = self._next()
        if token in _CLOSES and kind == "sign":
            return self.message(_CLOSES[token], depth + 1)
        if kind == "text":
            parts = [token[1:-1]]
            while self._at < len(self._tokens) and self._tokens[self._at][0] == "text":
                parts.append(self._next()[1][1:-1])
            return "".join(parts)
        if kind == "word":
            return token
        raise Unreadable(f"config.pbtxt has {token or 'its end'!r} where a value should be")

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            return "end", ""
        self._at += 1
        return self._tokens[self._at - 1]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            line = text.count("\n", 0, at) + 1
            raise Unreadable(f"config.pbtxt is not protobuf's text format in line {line}")
        at = match.end()
        if match.lastgroup != "skip":
            yield str(match.lastgroup), match[0]
