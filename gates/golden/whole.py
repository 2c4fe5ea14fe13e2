"""A golden set small enough to be kept whole, as rows."""

from __future__ import annotations

from dataclasses import dataclass

from gates.golden.places import Pin, Repository, open_table
from gates.golden.table import GoldenRefused


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
    """Read a table at a commit and hold it against its pin.

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
    pin = Pin(place=path, sha256=sha256)
    with open_table(pin, at=at, maximum_rows=maximum_rows, repository=repository) as table:
        columns = tuple(name for name in table.columns if not label or name != label)
        if not columns:
            raise GoldenRefused("golden_set_invalid", f"{path} cannot be used: it has no feature column.")
        rows: list[tuple[float, ...]] = []
        labels: list[int] = []
        for batch in table.batches(numbers=columns, label=label):
            rows += map(tuple, batch.numbers.tolist())
            labels += map(int, batch.labels)
    return Golden(sha256=table.sha256, columns=columns, rows=tuple(rows), labels=tuple(labels))
