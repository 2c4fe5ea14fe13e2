"""``depends`` of a DAG's task: what it says, which tasks it names, and whether it holds.

The grammar is Argo's: names of tasks, each with a result or without (then Succeeded, Skipped or Daemoned
will do), joined by ``&&``, ``||``, ``!`` and parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Result = Literal[
    "Succeeded", "Failed", "Errored", "Skipped", "Omitted", "Daemoned", "AnySucceeded", "AllFailed"
]
RESULTS: tuple[str, ...] = get_args(Result)
MAX_DEPTH = 60


class BadDepends(ValueError):
    """A ``depends`` that cannot be read."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A task, and one result of it; "" where none is named."""

    task: str
    result: str = ""


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    of: Depends


@dataclass(frozen=True, slots=True)
class Both:
    """``&&`` (all) or ``||`` (any) of some."""

    all: bool
    of: tuple[Depends, ...]


Depends = Ref | Not | Both

_TOKEN = re.compile(r"\s*(?:(?P<ref>[A-Za-z0-9][-A-Za-z0-9_]*(?:\.[A-Za-z]+)?)|(?P<sign>&&|\|\||!|\(|\)))")


def parse(text: str) -> Depends:
    """What a ``depends`` says.

    Raises:
        BadDepends: it cannot be read.
    """
    reader = _Reader(_tokens(text))
    read = reader.any_of(0)
    if reader.place < len(reader.tokens):
        raise BadDepends(f"does not go on at {reader.tokens[reader.place]!r}")
    return read


def of_dependencies(names: Sequence[str]) -> Depends:
    """What a list of ``dependencies`` says."""
    return Both(True, tuple(Ref(name) for name in names))


def refs(depends: Depends) -> Iterator[Ref]:
    """Every task named, from left to right."""
    match depends:
        case Ref():
            yield depends
        case Not(of):
            yield from refs(of)
        case Both(_, some):
            for one in some:
                yield from refs(one)


def holds(
    depends: Depends, results: Mapping[str, frozenset[str]], enough: Mapping[str, frozenset[str]]
) -> bool:
    """Whether the results of tasks satisfy it.

    Args:
        depends: what is asked.
        results: task -> the results that are true of it.
        enough: task -> the results of which one will do where none is named.
    """
    match depends:
        case Ref(task, ""):
            return bool(results[task] & enough[task])
        case Ref(task, result):
            return result in results[task]
        case Not(of):
            return not holds(of, results, enough)
        case Both(True, some):
            return all(holds(one, results, enough) for one in some)
        case Both(_, some):
            return any(holds(one, results, enough) for one in some)


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            raise BadDepends(f"cannot be read from {text[place : place + 20].strip()!r} on")
        found.append(match["ref"] or match["sign"])
        place = match.end()
    return found


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.place = 0

    def take(self, sign: str) -> bool:
        if self.place < len(self.tokens) and self.tokens[self.place] == sign:
            self.place += 1
            return True
        return False

    def any_of(self, depth: int) -> Depends:
        found = [self.all_of(depth)]
        while self.take("||"):
            found.append(self.all_of(depth))
        return found[0] if len(found) == 1 else Both(False, tuple(found))

    def all_of(self, depth: int) -> Depends:
        found = [self.one(depth)]
        while self.take("&&"):
            found.append(self.one(depth))
        return found[0] if len(found) == 1 else Both(True, tuple(found))

    def one(self, depth: int) -> Depends:
        if depth > MAX_DEPTH:
            raise BadDepends(f"is nested more than {MAX_DEPTH} deep")
        if self.take("!"):
            return Not(self.one(depth + 1))
        if self.take("("):
            inside = self.any_of(depth + 1)
            if not self.take(")"):
                raise BadDepends("has a ( that is not closed")
            return inside
        if self.place == len(self.tokens):
            raise BadDepends("ends where a task should stand")
        word = self.tokens[self.place]
        if not word[0].isalnum():
            raise BadDepends(f"has {word!r} where a task should stand")
        self.place += 1
        task, _, result = word.partition(".")
        return Ref(task, result)
