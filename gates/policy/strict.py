"""A small, strict YAML: one document of plain maps, lists, text, whole numbers, floats, booleans.

What two YAML readers understand differently is refused rather than guessed: repeated keys, anchors and
aliases, tags, merge keys, unquoted ``no`` or ``1_0`` or ``12:30``. Reading is bounded in size and depth.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[str | int, ...]
"""Where something is: keys and list positions from the document's root."""

MAX_CHARACTERS = 262_144
MAX_DEPTH = 24

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Any = yaml.resolver.Resolver()
_TEXT_TAG = "tag:yaml.org,2002:str"
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


class NotPlain(ValueError):
    """The text is not a document of this strict YAML."""

    def __init__(self, rule: str, line: int, message: str) -> None:
        self.rule = rule
        self.line = line
        """1-based; 0 where none can be given."""
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Document:
    """One document as plain data, and the 1-based line on which each part of it begins."""

    data: Any
    lines: dict[Path, int]


def read(text: str) -> Document:
    """Read one document.

    Raises:
        NotPlain: with ``rule`` one of ``yaml``, ``documents``, ``duplicate_key``.
    """
    if len(text) > MAX_CHARACTERS:
        raise NotPlain("yaml", 0, f"{len(text)} characters are more than {MAX_CHARACTERS}")
    try:
        events = deque(_events(text))
    except (yaml.YAMLError, UnicodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 0
        raise NotPlain("yaml", line, f"is not YAML: {getattr(error, 'problem', None) or error}") from error
    starts = [event for event in events if isinstance(event, yaml.DocumentStartEvent)]
    if len(starts) != 1:
        line = _line(starts[1]) if starts else 0
        raise NotPlain("documents", line, f"holds {len(starts)} documents, not one")
    events.popleft()
    events.popleft()
    lines: dict[Path, int] = {}
    return Document(_node(events, (), lines), lines)


def _events(text: str) -> Iterator[Any]:
    """The parser's events, up to the first that is too deep: what comes after could take for ever."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise NotPlain("yaml", _line(event), f"is nested deeper than {MAX_DEPTH} levels")
        yield event


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1


def _node(events: deque[Any], path: Path, lines: dict[Path, int]) -> Any:
    event = events.popleft()
    line = lines[path] = _line(event)
    if event.anchor is not None:
        raise NotPlain("yaml", line, f"uses an anchor or alias, {event.anchor!r}")
    if event.tag is not None:
        raise NotPlain("yaml", line, f"uses a tag, {event.tag!r}")
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event.value, line) if event.implicit[0] else event.value
    if isinstance(event, yaml.SequenceStartEvent):
        return _sequence(events, path, lines)
    return _mapping(events, path, lines)


def _sequence(events: deque[Any], path: Path, lines: dict[Path, int]) -> list[Any]:
    items: list[Any] = []
    while not isinstance(events[0], yaml.SequenceEndEvent):
        items.append(_node(events, (*path, len(items)), lines))
    events.popleft()
    return items


def _mapping(events: deque[Any], path: Path, lines: dict[Path, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while not isinstance(events[0], yaml.MappingEndEvent):
        line = _line(events[0])
        key = _node(events, (*path, "?"), lines)
        if not isinstance(key, str):
            raise NotPlain("yaml", line, f"has a key that is not text, {key!r}")
        if key in found:
            raise NotPlain("duplicate_key", line, f"has the key {key!r} twice")
        found[key] = _node(events, (*path, key), lines)
        lines[(*path, key)] = line
    events.popleft()
    return found


def _scalar(text: str, line: int) -> Any:
    """What an unquoted word is; one that YAML readers disagree about is refused."""
    if text in _WORDS:
        return _WORDS[text]
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text):
        return int(text)
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}", text):
        return float(text)
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9._/-]*", text) and text not in ("y", "n", "Y", "N")
    if not plain or _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)) != _TEXT_TAG:
        raise NotPlain("yaml", line, f"has {text!r} without quotes, which YAML readers take differently")
    return text
