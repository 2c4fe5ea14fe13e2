"""Tables in Parquet: flat, with names that can be told apart, read in batches by pyarrow.

A missing value is refused like a CSV's empty cell, and text is never taken for a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from gates.golden.table import (
    BATCH_ROWS,
    Batch,
    ParquetMissing,
    check_names,
    check_there,
    not_a_label,
    not_a_number,
    too_many_rows,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAGIC = b"PAR1"
"""The first four bytes of every Parquet file."""


class ParquetTable:
    """A Parquet file behind an open binary file; what is wrong is a ValueError.

    Raises:
        ParquetMissing: pyarrow is not installed.
    """

    def __init__(self, file: BinaryIO, *, sha256: str, maximum_rows: int) -> None:
        try:
            from pyarrow.lib import ArrowException
            from pyarrow.parquet import ParquetFile
        except ImportError as error:
            raise ParquetMissing(f"reading Parquet needs pip install 'lockgate[parquet]': {error}") from None
        self.sha256 = sha256
        try:
            self._file = ParquetFile(file)
        except (ArrowException, OSError) as error:
            raise ValueError(f"it is no Parquet that can be read: {_line(error)}") from None
        self.columns = tuple(self._file.schema_arrow.names)
        if not self.columns:
            raise ValueError("it has no columns")
        check_names(self.columns)
        if self._file.metadata.num_rows > maximum_rows:
            raise too_many_rows(maximum_rows)

    def batches(
        self, *, numbers: Sequence[str] = (), words: Sequence[str] = (), label: str = ""
    ) -> Iterator[Batch]:
        """As :meth:`gates.golden.Table.batches`; checks the columns before the first row is asked for."""
        check_there(self.columns, (*numbers, *words, label))
        schema = self._file.schema_arrow
        for name in (*numbers, *([label] if label else ())):
            if not _is_number(schema.field(name).type):
                raise ValueError(f"its column {name!r} holds {schema.field(name).type}, not numbers")
        for name in words:
            if not _is_word(schema.field(name).type):
                raise ValueError(f"its column {name!r} holds {schema.field(name).type}, not text or numbers")
        return self._batches(numbers, words, label)

    def _batches(self, numbers: Sequence[str], words: Sequence[str], label: str) -> Iterator[Batch]:
        import numpy as np

        first = 1
        for part in self._parts(dict.fromkeys((*numbers, *words, *([label] if label else ())))):
            stack = np.empty((part.num_rows, len(numbers)), order="F")
            for place, name in enumerate(numbers):
                stack[:, place] = _numbers(part.column(name), first)
            yield Batch(
                first=first,
                numbers=stack,
                words=tuple(_words(part.column(name), first) for name in words),
                labels=_labels(part.column(label), first) if label else np.empty(0, dtype=np.bool_),
            )
            first += part.num_rows
        if first == 1:
            raise ValueError("it has no rows")

    def _parts(self, names: dict[str, None]) -> Iterator[Any]:
        """Record batches with these columns. Without threads, so that a process may still be forked."""
        from pyarrow.lib import ArrowException

        try:
            yield from self._file.iter_batches(BATCH_ROWS, columns=list(names), use_threads=False)
        except (ArrowException, OSError) as error:
            raise ValueError(f"its data cannot be read: {_line(error)}") from None


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _is_word(kind: Any) -> bool:
    from pyarrow import types

    held = kind.value_type if types.is_dictionary(kind) else kind
    return bool(_is_number(held) or types.is_string(held) or types.is_large_string(held))


def _numbers(column: Any, first: int) -> NDArray[np.float64]:
    import numpy as np
    import pyarrow as pa

    _refuse_nulls(column, first)
    try:
        values: NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:  # a whole number that no float holds exactly
        raise ValueError(f"a column of whole numbers cannot be used: {_line(error)}") from None
    bad = ~np.isfinite(values)
    if bad.any():
        where = int(np.argmax(bad))
        raise not_a_number(first + where, float(values[where]))
    return values


def _words(column: Any, first: int) -> Sequence[str]:
    import pyarrow as pa

    _refuse_nulls(column, first)
    words: list[str] = column.cast(pa.string()).to_pylist()
    return words


def _labels(column: Any, first: int) -> NDArray[np.bool_]:
    import numpy as np

    values = _numbers(column, first)
    bad = (values != 0.0) & (values != 1.0)
    if bad.any():
        where = int(np.argmax(bad))
        raise not_a_label(first + where, f"{values[where]:g}")
    return np.asarray(values == 1.0)


def _refuse_nulls(column: Any, first: int) -> None:
    if column.null_count:
        raise not_a_number(first + column.is_null().to_pylist().index(True), "")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
