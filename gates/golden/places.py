"""Where a pinned table lies, and that its bytes are those that are pinned."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from gates.golden.csv import CsvTable
from gates.golden.parquet import MAGIC, ParquetTable
from gates.golden.table import Batch, GoldenRefused, Table

_PIECE_BYTES = 1 << 20
_URI = re.compile("(s3|gs|file)://.+", re.DOTALL)
_SHA256 = re.compile("[0-9a-f]{64}")


class Repository(Protocol):
    """Where tables of the repository are read from."""

    def read_bytes(self, path: str, at: str) -> bytes | None:
        """Bytes of a file at a commit; None when it is not there."""
        ...


class Artifacts(Protocol):
    """Where tables too large for a repository are read from."""

    def fetch(self, uri: str) -> Path:
        """A local file, or a local folder holding nothing but it; read afresh."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One table: where it lies, which bytes it must have, what it is called in reasons."""

    place: str
    """Path in the repository, or an s3://, gs:// or file:// address."""
    sha256: str
    """64 hexadecimal digits; "" for a table that is not pinned."""
    what: str = "golden_set"
    """First part of the reasons: ``golden_set_missing`` …"""


def check_pin(key: str, place: str, sha256: str) -> None:
    """Refuse a place outside the repository, and what is no sha256; keys of settings are named by ``key``.

    Raises:
        ValueError: naming the key.
    """
    path = PurePosixPath(place)
    if not _URI.fullmatch(place) and (path.is_absolute() or ".." in path.parts or "://" in place):
        raise ValueError(f"{key} must be a path inside the repository, or an s3://, gs:// or file:// address")
    if not _SHA256.fullmatch(sha256):
        prefix = "" if key == "golden_set" else f"{key}_"
        raise ValueError(
            f"{prefix}sha256 must be 64 lower-case hexadecimal digits; `sha256sum FILE` prints them"
        )


@contextlib.contextmanager
def open_pinned(
    pin: Pin, *, at: str, repository: Repository, artifacts: Artifacts | None = None
) -> Iterator[tuple[BinaryIO, str, str]]:
    """A file at its beginning, its sha256, and its place in words; for as long as the context lasts.

    Args:
        pin: the file.
        at: the commit, for a file of the repository.
        repository: where a path is read from; what it raises passes through.
        artifacts: where an address is fetched from; what it raises passes through.

    Raises:
        GoldenRefused: with the reason ``<what>_missing`` or ``<what>_differs``.
    """
    with contextlib.ExitStack() as stack:
        if _URI.fullmatch(pin.place) and artifacts is not None:
            where, file = pin.place, stack.enter_context(_fetched(pin, artifacts))
        else:
            where, file = f"{pin.place} at commit {at[:12]}", _read(pin, repository, at)
        found = _digest(file)
        if pin.sha256 and found != pin.sha256:
            raise GoldenRefused(
                f"{pin.what}_differs",
                f"{where} has the sha256 {found}, but {pin.sha256} is pinned: "
                "restore the file, or have the new one reviewed and pin it.",
            )
        file.seek(0)
        yield file, found, where


@contextlib.contextmanager
def open_table(
    pin: Pin,
    *,
    at: str,
    maximum_rows: int,
    repository: Repository,
    artifacts: Artifacts | None = None,
) -> Iterator[Table]:
    """A table, CSV or Parquet by its first bytes, opened as :func:`open_pinned` does.

    Args:
        pin: the table.
        at: the commit.
        maximum_rows: more rows are refused.
        repository: where a path is read from.
        artifacts: where an address is fetched from.

    Raises:
        GoldenRefused: with the reason ``<what>_missing``, ``<what>_differs`` or ``<what>_invalid``.
        ParquetMissing: it is Parquet and pyarrow is not installed.
    """
    with open_pinned(pin, at=at, repository=repository, artifacts=artifacts) as (file, found, where):
        yield _Refusing(pin.what, where, file, found, maximum_rows)


def _read(pin: Pin, repository: Repository, at: str) -> BinaryIO:
    content = repository.read_bytes(pin.place, at)
    if content is None:
        raise GoldenRefused(f"{pin.what}_missing", f"There is no {pin.place} at commit {at[:12]}.")
    return io.BytesIO(content)


def _fetched(pin: Pin, artifacts: Artifacts) -> BinaryIO:
    found = artifacts.fetch(pin.place)
    files = [found] if found.is_file() else sorted(one for one in found.rglob("*") if one.is_file())
    if len(files) != 1:
        raise GoldenRefused(f"{pin.what}_missing", f"{pin.place} is {len(files)} files; one is wanted.")
    return files[0].open("rb")


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()


class _Refusing:
    """A table whose errors are refusals that name its place."""

    def __init__(self, what: str, where: str, file: BinaryIO, sha256: str, maximum_rows: int) -> None:
        self.sha256 = sha256
        self._what = what
        self._where = where
        kind = ParquetTable if file.read(len(MAGIC)) == MAGIC else CsvTable
        file.seek(0)
        with self._named():
            self._table: Table = kind(file, sha256=sha256, maximum_rows=maximum_rows)
        self.columns = self._table.columns

    def batches(
        self, *, numbers: Sequence[str] = (), words: Sequence[str] = (), label: str = ""
    ) -> Iterator[Batch]:
        """As :meth:`Table.batches`."""
        with self._named():
            yield from self._table.batches(numbers=numbers, words=words, label=label)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, csv.Error) as error:
            raise GoldenRefused(f"{self._what}_invalid", f"{self._where} cannot be used: {error}.") from None
