"""The archive that evidence is: a zip without compression, always made the same way, and its sums. Pure."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence

SUMS = "SHA256SUMS"
_WRITTEN = (1980, 1, 1, 0, 0, 0)
"""The time every file in the zip bears: the earliest that the format can say."""


class Broken(Exception):
    """Something does not hold; the message names it."""


def _sums(contents: Mapping[str, bytes]) -> bytes:
    rows = (f"{hashlib.sha256(contents[path]).hexdigest()}  {path}\n" for path in sorted(contents))
    return "".join(rows).encode()


def wrap(contents: Mapping[str, bytes]) -> bytes:
    """Files in the order of their names, the sums last; nothing about this machine or this moment."""
    held = io.BytesIO()
    ordered = [*sorted(contents.items()), (SUMS, _sums(contents))]
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as archive:
        for path, data in ordered:
            entry = zipfile.ZipInfo(path, _WRITTEN)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, data)
    return held.getvalue()


def unwrap(data: bytes) -> dict[str, bytes]:
    """The files in an archive, and nothing that :func:`wrap` would not have made.

    Raises:
        Broken: it is no such archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries, len(data))
            return {entry.filename: archive.read(entry) for entry in entries}
    except Broken:
        raise
    except Exception as error:  # a damaged archive fails in as many ways as it can be damaged
        raise Broken(f"the archive cannot be read: {type(error).__name__}: {error}") from None


def _check_entries(entries: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Before anything is read: no compression, no more than there is, no name twice."""
    names = [entry.filename for entry in entries]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Broken(f"the archive holds {twice} twice")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise Broken("the archive is compressed, which lockgate never does")
    if sum(entry.file_size for entry in entries) > size:
        raise Broken("the archive claims to hold more than there is")


def check_sums(contents: Mapping[str, bytes]) -> None:
    """See that every file has the digest stated, and that every digest stated has its file.

    Raises:
        Broken: names the first that does not.
    """
    if SUMS not in contents:
        raise Broken(f"{SUMS} is missing")
    stated = dict(_stated(contents[SUMS]))
    for path in sorted(contents.keys() - {SUMS}):
        if path not in stated:
            raise Broken(f"{path} is not listed in {SUMS}")
        if hashlib.sha256(contents[path]).hexdigest() != stated[path]:
            raise Broken(f"{path} does not have the digest that {SUMS} states")
    if gone := sorted(stated.keys() - contents.keys()):
        raise Broken(f"{gone[0]} is listed in {SUMS} and missing")


def _stated(sums: bytes) -> Iterator[tuple[str, str]]:
    for row in sums.decode(errors="replace").splitlines():
        digest, _, path = row.partition("  ")
        yield path, digest


def check_wrapping(contents: Mapping[str, bytes], data: bytes) -> None:
    """Every byte outside the files too: headers, names, order, times."""
    made = wrap({path: text for path, text in contents.items() if path != SUMS})
    if made != data:
        place = next((n for n, pair in enumerate(zip(made, data, strict=False)) if pair[0] != pair[1]), None)
        at = f"byte {place}" if place is not None else f"its length, {len(data)} for {len(made)} bytes"
        raise Broken(f"the archive differs from what these files make at {at}")
