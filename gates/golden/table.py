"""What a table is to a gate: named columns, and rows that come in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH_ROWS = 20_000
"""Rows of a batch: few enough for a CSV of a hundred columns to stay below 200 MiB."""


class GoldenRefused(Exception):
    """The table cannot be used; ``reason`` is the code of the verdict, the text its sentence."""

    def __init__(self, reason: str, sentence: str) -> None:
        self.reason = reason
        super().__init__(sentence)


class ParquetMissing(ImportError):
    """The table is Parquet, and pyarrow is not installed: nothing is known about the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some rows, in the file's order."""

    first: int
    """Number of the first row, counted from 1."""
    numbers: NDArray[np.float64]
    """Finite, of shape (rows, columns asked for)."""
    words: tuple[Sequence[str], ...]
    """One sequence per column asked for."""
    labels: NDArray[np.bool_]
    """The known answers; empty where no label column was asked for."""


class Table(Protocol):
    """A table whose bytes are those that are pinned."""

    @property
    def sha256(self) -> str:
        """Of the table's bytes, 64 hexadecimal digits."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns in the file's order, none twice, none empty."""
        ...

    def batches(
        self, *, numbers: Sequence[str] = (), words: Sequence[str] = (), label: str = ""
    ) -> Iterator[Batch]:
        """All rows, afresh at each call; at most one iteration may be under way.

        Args:
            numbers: columns in which every value must be a finite number.
            words: columns whose values are taken as text, numbers as they are written.
            label: column in which every value must be 0 or 1; "" for none.

        Raises:
            GoldenRefused: a value is not what was asked for, a row is cut short, or there are too many rows.
        """
        ...


def check_names(names: Sequence[str]) -> None:
    """Refuse columns that cannot be told apart.

    Raises:
        ValueError: naming them.
    """
    wrong = sorted({name for name in names if not name or name != name.strip() or names.count(name) > 1})
    if wrong or names[0].startswith("\ufeff"):
        raise ValueError(f"its column names are empty, padded, doubled or marked: {wrong or list(names[:1])}")


def check_there(columns: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse a table that lacks a column.

    Raises:
        ValueError: naming the first column that is not there, and those that are.
    """
    for name in wanted:
        if name and name not in columns:
            raise ValueError(f"no column is called {name!r}, only {', '.join(columns)}")


def not_a_number(row: int, seen: object) -> ValueError:
    """The error for a value that should be a finite number."""
    return ValueError(f"row {row} has {_excerpt(seen)} where a finite number should stand")


def not_a_label(row: int, seen: object) -> ValueError:
    """The error for a label that is neither 0 nor 1."""
    return ValueError(f"row {row} has the label {_excerpt(seen)}, which is neither 0 nor 1")


def too_many_rows(maximum: int) -> ValueError:
    """The error for a table with more rows than are read."""
    return ValueError(f"it has more than {maximum} rows")


def _excerpt(seen: object) -> str:
    return repr(seen[:40]) if isinstance(seen, str) else repr(seen)[:40]
