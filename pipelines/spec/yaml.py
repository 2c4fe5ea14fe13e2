"""Strict YAML: values with the line of each, every problem at once, and edits that touch one value.

Allowed is what every reader of YAML understands alike: one document of maps, lists, text, numbers, true,
false, null and instants. Anchors, aliases, merge keys, tags, directives, duplicate keys, tabs, invisible
characters and the surprises of YAML 1.1 are refused, each by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from pipelines.errors import Problem, SpecInvalid
from pipelines.spec.scalars import Path, Surprise, is_private, path_text, plain, show, unwanted, word

MAX_BYTES = 1_048_576
MAX_DEPTH = 32
MAX_PROBLEMS = 100
"""Problems reported per file; more say nothing new."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: the line of its key (1-based), and for scalars the characters it takes."""

    line: int
    raw: str = ""
    """A scalar as it was read, without its quotes."""
    style: str = ""
    """``"``, ``'``, ``|``, ``>`` or "" for text without quotes; ``map`` or ``list``."""
    start: int = 0
    end: int = 0


@dataclass(slots=True)
class Document:
    """One file as read: its value, where everything stands, and what is wrong with it as YAML."""

    file: str
    value: object = None
    places: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    spoiled: set[Path] = field(default_factory=set)
    """Values already complained about; nothing more is said of them or of what is below them."""

    def line(self, path: Path) -> int:
        """The line of a value, or of the nearest section around it that exists."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places[path].line if path in self.places else 0

    def problem(self, path: Path, message: str, hint: str = "") -> Problem:
        """A problem at a key path of this file."""
        return Problem(self.file, self.line(path), path_text(path), message, hint)

    def is_spoiled(self, path: Path) -> bool:
        """Whether this value, or a section around it, was already complained about."""
        return any(path[:length] in self.spoiled for length in range(len(path) + 1))


class _Stop(Exception):
    """Reading on makes no sense."""


def load(text: str, file: str) -> Document:
    """Read one strict YAML document; never raises, whatever the text."""
    document = Document(file)
    document.problems.extend(_characters(text, file))
    if not document.problems:
        _Reader(text, document).read()
    if not isinstance(document.value, dict):
        document.spoiled.add(())
    return document


def load_all(text: str, file: str) -> list[Document]:
    """Read every document of a strict YAML file, empty ones left out; never raises, whatever the text."""
    first = Document(file)
    first.problems.extend(_characters(text, file))
    documents = [first] if first.problems else _Reader(text, first).read_all()
    for document in documents:
        if not isinstance(document.value, dict):
            document.spoiled.add(())
    return [one for one in documents if one.problems or one.value is not None]


def _characters(text: str, file: str) -> list[Problem]:
    """Problems of the text before it is YAML: its size and the characters in it."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        return [Problem(file, 0, "", f"has {size} bytes; at most {MAX_BYTES} are read")]
    problems = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if "\t" in line:
            problems.append(Problem(file, number, "", "holds a tab", "indent with spaces"))
        elif found := unwanted(line):
            hint = "save the file as UTF-8 without byte order mark" if "\ufeff" in line else "remove it"
            problems.append(Problem(file, number, "", f"holds the character {found}", hint))
        if len(problems) >= MAX_PROBLEMS:
            break
    return problems


class _Reader:
    """Builds the value from PyYAML's events, which tell what was written rather than what it may mean."""

    def __init__(self, text: str, document: Document) -> None:
        self.loader = yaml.SafeLoader(text)
        self.document = document

    def read(self) -> None:
        """Read the one document of the stream."""
        self._guarded(self._document)

    def read_all(self) -> list[Document]:
        """Read every document of the stream; what cannot be read ends it."""
        found = [self.document]
        self._guarded(lambda: self._documents(found))
        return found

    def _guarded(self, read: Callable[[], None]) -> None:
        try:
            self._next()
            read()
        except _Stop:
            pass
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._complain(mark.line + 1 if mark else 0, (), _syntax(error), _syntax_hint(error))
        except (ValueError, OverflowError) as error:  # an impossible \U escape, an endless %YAML version
            self._complain(self.loader.get_mark().line + 1, (), f"cannot be read: {error}")

    def _next(self) -> Any:
        return self.loader.get_event()  # type: ignore[no-untyped-call]

    def _document(self) -> None:
        start = self._next()
        if isinstance(start, yaml.StreamEndEvent):
            self._complain(0, (), "is empty")
            return
        self._root(start)
        extra = self._next()
        if not isinstance(extra, yaml.StreamEndEvent):
            self._complain(extra.start_mark.line + 1, (), "has more than one document", "keep the first")
        if not isinstance(self.document.value, dict) and not self.document.problems:
            self._complain(1, (), f"should hold keys and values, got {show(self.document.value)}")

    def _documents(self, found: list[Document]) -> None:
        while not isinstance(start := self._next(), yaml.StreamEndEvent):
            if self.document.places:
                self.document = Document(self.document.file)
                found.append(self.document)
            self._root(start)
            if not isinstance(self.document.value, dict) and self.document.value is not None:
                line = self.document.places[()].line
                self._complain(line, (), f"should hold keys and values, got {show(self.document.value)}")

    def _root(self, start: Any) -> None:
        """Read a document whose start was read; its end included."""
        if start.version or start.tags:
            self._complain(start.start_mark.line + 1, (), "has a % directive", "remove it")
        first = self._next()
        self.document.places[()] = Place(first.start_mark.line + 1)
        self.document.value = self._value(first, (), first.start_mark.line + 1)
        self._next()

    def _complain(self, line: int, path: Path, message: str, hint: str = "") -> None:
        problem = Problem(self.document.file, line, path_text(path), message, hint)
        self.document.problems.append(problem)
        if len(self.document.problems) >= MAX_PROBLEMS:
            raise _Stop

    def _spoil(self, line: int, path: Path, message: str, hint: str = "") -> None:
        self._complain(line, path, message, hint)
        self.document.spoiled.add(path)

    def _value(self, event: Any, path: Path, line: int) -> object:
        if len(path) > MAX_DEPTH:
            self._spoil(line, path[:4], f"is nested more than {MAX_DEPTH} deep")
            raise _Stop
        if isinstance(event, yaml.AliasEvent):
            self._spoil(line, path, f"uses the alias *{event.anchor}", "write the value out")
            return None
        if event.anchor is not None:
            self._spoil(line, path, f"has the anchor &{event.anchor}", "remove it, and write values out")
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._spoil(line, path, f"has the tag {word(tag)}", "remove it; quotes make text")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path, line)
        if isinstance(event, yaml.MappingStartEvent):
            return self._map(path, line)
        return self._list(path, line)

    def _scalar(self, event: Any, path: Path, line: int) -> object:
        style = event.style or ""
        start, end = event.start_mark.index, event.end_mark.index
        self.document.places[path] = Place(line, event.value, style, start, end)
        try:
            value = event.value if style else plain(event.value)
        except Surprise as surprise:
            hint = "write it in quotes" if is_private(path) else surprise.hint
            self._spoil(line, path, f"{word(event.value, path)} {surprise}", hint)
            return None
        if isinstance(value, str) and (found := unwanted(value)):
            self._spoil(line, path, f"holds the character {found}", "remove it")
        return value

    def _list(self, path: Path, line: int) -> list[object]:
        self.document.places[path] = Place(line, style="list")
        items: list[object] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items)), event.start_mark.line + 1))
        return items

    def _map(self, path: Path, line: int) -> dict[str, object]:
        self.document.places[path] = Place(line, style="map")
        held: dict[str, object] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            at = event.start_mark.line + 1
            key = self._key(event, path, at)
            if key in held:
                again = f"is written twice; first on line {lines[key]}"
                self._spoil(at, (*path, key), again, "keep one of the two")
            # What stands below an unusable key is read too: its own problems count.
            value = self._value(self._next(), (*path, "?" if key is None else key), at)
            if key is not None and key not in held:
                lines[key] = at
                held[key] = value
        return held

    def _key(self, event: Any, path: Path, line: int) -> str | None:
        """The key, or None after complaining about it."""
        if not isinstance(event, yaml.ScalarEvent):
            self._value(event, (*path, "?"), line)
            hint = "a text that starts with {, [ or * needs quotes"
            self._complain(line, path, "has a key that is not text", hint)
            self.document.spoiled.update({path} - {()})
            return None
        if event.anchor is not None or event.tag is not None:
            self._complain(line, path, f"has an anchor or tag on the key {show(event.value)}", "remove it")
        if event.value == "<<":
            self._complain(line, path, "uses the merge key <<", "write the keys out")
            return None
        if found := unwanted(event.value):
            self._complain(line, path, f"has a key that holds the character {found}", "remove it")
            return None
        return event.value if event.style else self._plain_key(event.value, path, line)

    def _plain_key(self, raw: str, path: Path, line: int) -> str | None:
        try:
            key = plain(raw)
        except Surprise as surprise:
            self._complain(line, path, f"has the key {word(raw)}, which {surprise}", f'write "{raw}":')
            return None
        if isinstance(key, str):
            return key
        self._complain(line, path, f"has the key {word(raw)}, which is not text", f'write "{raw}":')
        return None


_SYNTAX_HINTS = (
    ("mapping values are not allowed", 'a text with ": " in it needs quotes; or the indentation is wrong'),
    ("cannot start any token", "a text that starts with this character needs quotes"),
    ("block end", "look at the indentation of this line and the ones before"),
    ("could not find expected ':'", 'a key needs ": " behind it'),
    ("flow", "a bracket or brace is not closed, or a text that starts with one needs quotes"),
    ("end of stream", "a quote is not closed"),
)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    told = ", ".join(part for part in (error.context, error.problem) if part)
    return f"is not YAML: {told}"


def _syntax_hint(error: yaml.MarkedYAMLError) -> str:
    told = _syntax(error)
    return next((hint for part, hint in _SYNTAX_HINTS if part in told), "")


def edit(text: str, key: str, value: str, file: str = "release.yaml") -> str:
    """Change one text and no other byte: comments, order, quotes and line ends stay.

    Args:
        text: the file as it is.
        key: key path such as ``version.label``.
        value: what is to stand there.
        file: name for problems.

    Raises:
        SpecInvalid: the text is not strict YAML, or the key is missing or cannot be changed in place.
    """
    document = load(text, file)
    if document.problems:
        raise SpecInvalid(document.problems)
    found = [(path, place) for path, place in document.places.items() if path_text(path) == key]
    path, place = found[0] if found else ((), None)
    if why := _unchangeable(text, place, value):
        raise SpecInvalid([Problem(file, document.line(path), key, *why)])
    assert place is not None  # noqa: S101 - a missing place is unchangeable
    return _splice(text, place, value)


def _unchangeable(text: str, place: Place | None, value: str) -> tuple[str, str] | None:
    """Why a value cannot be changed in place, and what to do; None when it can."""
    if found := unwanted(value):
        return f"cannot become {show(value)}, which holds the character {found}", ""
    if place is None:
        return "is missing, so it cannot be changed", "add it by hand"
    if place.style not in ("", "'", '"') or "\n" in text[place.start : place.end]:
        return "is not one value on one line, so it cannot be changed", "change it by hand"
    return None


def _splice(text: str, place: Place, value: str) -> str:
    old = text[place.start : place.end]
    new = value if not place.style and _needs_no_quotes(value) else json.dumps(value, ensure_ascii=False)
    if place.style == "'" and not set(value) & {"'", "\n"}:
        new = f"'{value}'"
    gap = " " if not old else ""
    return text[: place.start] + gap + new + text[place.end :]


def _needs_no_quotes(value: str) -> bool:
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_./@+:-]*(?<!:)", value):
        return False
    try:
        return plain(value) == value
    except Surprise:
        return False
