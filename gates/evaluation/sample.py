"""The golden set as far as it is kept: labels, groups, what tells rows apart. Features only pass through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gates.evaluation.settings import EvaluationSettings
from gates.golden import Batch, GoldenRefused, Table

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Identities = NDArray[np.int64]

GROUPS = 100
"""A column with more values than this tells no groups apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """One column's groups."""

    column: str
    names: tuple[str, ...]
    """As people read them, ``region=north`` or ``25<=age<65``; in the order of the codes."""
    codes: NDArray[np.int16]
    """Per row the place of its group in ``names``."""

    def rows(self, name: str) -> Bools:
        """Which rows belong to a group."""
        return np.asarray(self.codes == self.names.index(name))


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What is known about the rows before any model is asked."""

    sha256: str
    columns: tuple[str, ...]
    features: tuple[str, ...]
    labels: Bools
    groupings: Mapping[str, Grouping]
    identities: Identities
    """Per row a number that two rows share when they are the same: of the id, else of all that is in it."""

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.labels)

    @property
    def positives(self) -> int:
        """How many are labelled 1."""
        return int(self.labels.sum())

    @property
    def doubled(self) -> int:
        """How many rows repeat an earlier one."""
        return self.rows - len(np.unique(self.identities))


def read(table: Table, settings: EvaluationSettings) -> Sample:
    """One pass over the golden set.

    Raises:
        GoldenRefused: a column is missing or not what it should be.
    """
    features = tuple(name for name in table.columns if name not in settings.not_sent)
    if not features and not settings.scores:
        raise GoldenRefused("golden_set_invalid", f"{settings.golden_set} has no feature column.")
    edged = tuple(name for name in settings.grouped if name in settings.slice_edges)
    named = tuple(name for name in settings.grouped if name not in settings.slice_edges)
    ids = (settings.row_id,) if settings.row_id else ()
    numbers = tuple(dict.fromkeys((*edged, *(() if ids else features))))
    words = (*named, *ids, *(() if ids else (one for one in settings.attributes if one not in named)))
    coders = [_Coder(name) for name in named]
    parts: list[tuple[Bools, Floats, Identities]] = []
    for batch in table.batches(numbers=numbers, words=words, label=settings.label):
        for coder, column in zip(coders, batch.words, strict=False):
            coder.take(column)
        identities = identified(batch.words[len(named)]) if ids else _content(batch)
        parts.append((batch.labels, batch.numbers[:, : len(edged)], identities))
    values = np.concatenate([part[1] for part in parts])
    groupings = [coder.grouping() for coder in coders]
    groupings += [_cut(name, values[:, n], settings.slice_edges[name]) for n, name in enumerate(edged)]
    return Sample(
        sha256=table.sha256,
        columns=table.columns,
        features=features,
        labels=np.concatenate([part[0] for part in parts]),
        groupings={one.column: one for one in groupings},
        identities=np.concatenate([part[2] for part in parts]),
    )


def identified(words: Sequence[str]) -> Identities:
    """A number per id, the same for the same id within one process; two ids share one by chance of 2**-64."""
    return np.fromiter(map(hash, words), dtype=np.int64, count=len(words))


def identities(table: Table, row_id: str) -> Identities:
    """The ids of a table's rows.

    Raises:
        GoldenRefused: there is no such column.
    """
    return np.concatenate([identified(batch.words[0]) for batch in table.batches(words=(row_id,))])


def picked(table: Table, names: Sequence[str], rows: Sequence[int]) -> list[list[float]]:
    """Some rows, by their places counted from 0 and rising, from one pass over the table."""
    found: list[list[float]] = []
    wanted = np.asarray(rows, dtype=np.int64)
    for batch in table.batches(numbers=names):
        here = wanted[(wanted >= batch.first - 1) & (wanted < batch.first - 1 + len(batch.numbers))]
        found += batch.numbers[here - (batch.first - 1)].tolist()
    return found


class _Coder:
    """Gives every distinct word of a column a number."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._codes: dict[str, int] = {}
        self._parts: list[NDArray[np.int16]] = []

    def take(self, words: Sequence[str]) -> None:
        """The next rows."""
        codes = self._codes
        for word in set(words) - codes.keys():
            codes[word] = len(codes)
        if len(codes) > GROUPS:
            raise GoldenRefused(
                "golden_set_invalid",
                f"The column {self._column!r} has more than {GROUPS} values, too many to tell groups apart; "
                "cut its numbers with slice_edges.",
            )
        self._parts.append(np.fromiter((codes[word] for word in words), dtype=np.int16, count=len(words)))

    def grouping(self) -> Grouping:
        """All rows, the groups in alphabetical order."""
        names = sorted(self._codes)
        places = np.empty(len(names), dtype=np.int16)
        places[[self._codes[name] for name in names]] = np.arange(len(names), dtype=np.int16)
        shown = tuple(f"{self._column}={name}" for name in names)
        return Grouping(self._column, shown, places[np.concatenate(self._parts)])


def _cut(column: str, values: Floats, edges: Sequence[float]) -> Grouping:
    names = (
        f"{column}<{edges[0]:g}",
        *(f"{low:g}<={column}<{high:g}" for low, high in pairwise(edges)),
        f"{column}>={edges[-1]:g}",
    )
    codes = np.searchsorted(np.asarray(edges), values, side="right").astype(np.int16)
    return Grouping(column, names, codes)


def _content(batch: Batch) -> Identities:
    """A number per row from all that is in it."""
    mixed = batch.labels.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for column in range(batch.numbers.shape[1]):
        bits = np.ascontiguousarray(batch.numbers[:, column] + 0.0)  # -0.0 is 0.0
        mixed = _mixed(mixed, bits.view(np.uint64))
    for words in batch.words:
        mixed = _mixed(mixed, identified(words).view(np.uint64))
    return mixed.view(np.int64)


def _mixed(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 over both (Steele, Lea and Flood, OOPSLA 2014)."""
    mixed = (one * np.uint64(3) + other) & np.uint64(0xFFFFFFFFFFFFFFFF)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
