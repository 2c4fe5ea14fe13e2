"""Tables of comma-separated values in UTF-8, with a header, read strictly and in batches."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from gates.golden.table import (
    BATCH_ROWS,
    Batch,
    check_names,
    check_there,
    not_a_label,
    not_a_number,
    too_many_rows,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ONE = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBER = re.compile(_ONE)
_NUMERIC = re.compile(r"[0-9eE+.,-]*")
"""A column, joined. Of these characters ``float`` reads only decimal numbers: no ``nan``, no ``1_0``."""


class CsvTable:
    """A CSV behind an open binary file; what is wrong is a ValueError or a csv.Error."""

    def __init__(self, file: BinaryIO, *, sha256: str, maximum_rows: int) -> None:
        self.sha256 = sha256
        self._file = file
        self._maximum_rows = maximum_rows
        lines = self._lines()
        self.columns = tuple(next(lines, ()))
        lines.close()
        if not self.columns:
            raise ValueError("its first line is not a header")
        check_names(self.columns)

    def batches(
        self, *, numbers: Sequence[str] = (), words: Sequence[str] = (), label: str = ""
    ) -> Iterator[Batch]:
        """As :meth:`gates.golden.Table.batches`; checks the columns before the first row is asked for."""
        check_there(self.columns, (*numbers, *words, label))
        return self._batches(numbers, words, label)

    def _batches(self, numbers: Sequence[str], words: Sequence[str], label: str) -> Iterator[Batch]:
        import numpy as np

        lines, first = self._lines(), 1
        next(lines)
        while rows := list(islice(lines, BATCH_ROWS)):
            self._check(rows, first)
            cells = dict(zip(self.columns, zip(*rows, strict=True), strict=True))
            columns = [_numbers(cells[name], first) for name in numbers]
            yield Batch(
                first=first,
                numbers=np.column_stack(columns) if columns else np.empty((len(rows), 0)),
                words=tuple(cells[name] for name in words),
                labels=_labels(cells[label], first) if label else np.empty(0, dtype=np.bool_),
            )
            first += len(rows)
        if first == 1:
            raise ValueError("it has a header and no rows")

    def _lines(self) -> Generator[list[str], None, None]:
        """The rows' cells from the beginning; the file stays open."""
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, encoding="utf-8", newline="")
        try:
            yield from csv.reader(text, strict=True)
        finally:
            text.detach()

    def _check(self, rows: Sequence[list[str]], first: int) -> None:
        width = len(self.columns)
        for number, cells in enumerate(rows, first):
            if len(cells) != width:
                raise ValueError(f"row {number} has {len(cells)} cells, the header {width}")
        if first + len(rows) - 1 > self._maximum_rows:
            raise too_many_rows(self._maximum_rows)


def _numbers(cells: Sequence[str], first: int) -> NDArray[np.float64]:
    import numpy as np

    if _NUMERIC.fullmatch(",".join(cells)):
        values = np.array([_float(cell) for cell in cells])
        if np.isfinite(values).all():
            return values
    raise next(
        not_a_number(number, cell)
        for number, cell in enumerate(cells, first)
        if not (_NUMBER.fullmatch(cell) and math.isfinite(float(cell)))
    )


def _float(cell: str) -> float:
    """The cell's number; NaN for what only looked like several when the column was joined."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _labels(cells: Sequence[str], first: int) -> NDArray[np.bool_]:
    import numpy as np

    if not set(cells) <= {"0", "1"}:
        raise next(not_a_label(n, cell) for n, cell in enumerate(cells, first) if cell not in ("0", "1"))
    return np.array([cell == "1" for cell in cells], dtype=np.bool_)
