"""Rows that gates send to a model, read strictly from a pinned file of the repository.

The file belongs to the commit under judgement and so does the pin: what is wrong with either stays wrong
for that subject. A gate therefore answers FAIL, not UNKNOWN, to everything :class:`GoldenRefused` says.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Repository(Protocol):
    """Where pinned files are read from."""

    def read_bytes(self, path: str, at: str) -> bytes | None:
        """Bytes of a file at a commit; None when it is not there."""
        ...


class GoldenRefused(Exception):
    """The file cannot be used; ``reason`` is the code of the verdict, the text its sentence."""

    def __init__(self, reason: str, sentence: str) -> None:
        self.reason = reason
        super().__init__(sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """Rows of numbers, with known answers where a label column was named."""

    sha256: str
    """Of the file's bytes, 64 hexadecimal digits."""
    columns: tuple[str, ...]
    """Names of the features, in the file's order, without the label."""
    rows: tuple[tuple[float, ...], ...]
    """Finite numbers, one tuple per row, as wide as ``columns``."""
    labels: tuple[int, ...]
    """0 or 1 per row; empty where no label column was named."""


def read_golden(
    repository: Repository, path: str, *, at: str, sha256: str, label: str, maximum_rows: int
) -> Golden:
    """Read a CSV at a commit and hold it against its pin.

    Args:
        repository: where the file lies; what it raises passes through.
        path: the file's path in the repository.
        at: the commit.
        sha256: of the file's bytes, 64 hexadecimal digits; "" for a file that is not pinned.
        label: name of the column of known answers; "" where all columns are features.
        maximum_rows: more rows are refused.

    Raises:
        GoldenRefused: with the reason ``golden_set_missing``, ``golden_set_differs`` or
            ``golden_set_invalid``.
    """
    content = repository.read_bytes(path, at)
    if content is None:
        raise GoldenRefused("golden_set_missing", f"There is no {path} at commit {at[:12]}.")
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256:
        raise GoldenRefused(
            "golden_set_differs",
            f"{path} at commit {at[:12]} has the sha256 {found}, but {sha256} is pinned: "
            "restore the file, or have the new one reviewed and pin it.",
        )
    try:
        return _parse(content, found, label, maximum_rows)
    except (ValueError, csv.Error) as error:
        raise GoldenRefused(
            "golden_set_invalid", f"{path} at commit {at[:12]} cannot be used: {error}."
        ) from None


def _parse(content: bytes, sha256: str, label: str, maximum_rows: int) -> Golden:
    lines = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
    header = next(lines, None)
    if not header:
        raise ValueError("its first line is not a header")
    _check(header, label)
    where = header.index(label) if label else None
    rows, labels = [], []
    for number, cells in _rows(lines, len(header), maximum_rows):
        if where is not None:
            labels.append(_label(cells.pop(where), number))
        rows.append(tuple(_number(cell, number) for cell in cells))
    if not rows:
        raise ValueError("it has a header and no rows")
    columns = tuple(name for name in header if not label or name != label)
    return Golden(sha256=sha256, columns=columns, rows=tuple(rows), labels=tuple(labels))


def _check(header: list[str], label: str) -> None:
    wrong = sorted({name for name in header if not name or name != name.strip() or header.count(name) > 1})
    if wrong or header[0].startswith("\ufeff"):
        raise ValueError(f"its column names are empty, padded, doubled or marked: {wrong or header[:1]}")
    if label and label not in header:
        raise ValueError(f"no column is called {label!r}, only {', '.join(header)}")
    if len(header) == bool(label):
        raise ValueError("it has no feature column")


def _rows(lines: Iterator[list[str]], width: int, maximum_rows: int) -> Iterator[tuple[int, list[str]]]:
    for number, cells in enumerate(lines, start=1):
        if number > maximum_rows:
            raise ValueError(f"it has more than {maximum_rows} rows")
        if len(cells) != width:
            raise ValueError(f"row {number} has {len(cells)} cells, the header {width}")
        yield number, cells


def _label(cell: str, number: int) -> int:
    if cell not in ("0", "1"):
        raise ValueError(f"row {number} has the label {cell[:40]!r}, which is neither 0 nor 1")
    return int(cell)


def _number(cell: str, number: int) -> float:
    value = float(cell) if _NUMBER.fullmatch(cell) else math.nan
    if not math.isfinite(value):
        raise ValueError(f"row {number} has {cell[:40]!r} where a finite number should stand")
    return value
