"""The digest of an artifact's bytes, and of each of its files."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path


class ArtifactUnusable(ValueError):
    """What lies there has no digest: no file, a symbolic link, a socket; the message names the place."""


def artifact_digest(path: Path) -> str:
    """The digest of an artifact, ``sha256:`` and 64 hexadecimal digits.

    It is the sha256 over one line per file, sorted by bytes: the path below the artifact with ``/``
    between its parts, a zero byte, the sha256 of the file's bytes in hexadecimal, a newline. A single file
    counts as a folder with that one file in it. Empty folders, times and permissions count for nothing.
    Files are read in pieces, so the size of an artifact does not matter.

    Raises:
        ArtifactUnusable: there is no file, or there is a symbolic link or anything else that is no file.
        OSError: something cannot be read; nothing is skipped.
    """
    return whole_digest(file_digests(path))


def file_digests(path: Path) -> dict[str, str]:
    """The sha256 of each file, 64 hexadecimal digits, by its path below the artifact.

    Raises: as :func:`artifact_digest` does.
    """
    files = dict(_files(path))
    if not files:
        raise ArtifactUnusable(f"{path} holds no file")
    return files


def whole_digest(files: Mapping[str, str]) -> str:
    """The artifact's digest from those of its files."""
    lines = sorted(os.fsencode(name) + b"\0" + digest.encode() + b"\n" for name, digest in files.items())
    return f"sha256:{hashlib.sha256(b''.join(lines)).hexdigest()}"


def _files(root: Path) -> Iterator[tuple[str, str]]:
    if not stat.S_ISDIR(root.lstat().st_mode):
        yield root.name, _digest(root)
        return
    folders = [root]
    while folders:
        for entry in folders.pop().iterdir():
            if stat.S_ISDIR(entry.lstat().st_mode):
                folders.append(entry)
            else:
                yield entry.relative_to(root).as_posix(), _digest(entry)


def _digest(file: Path) -> str:
    mode = file.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise ArtifactUnusable(f"{file} is a symbolic link: copy what it points at into the artifact")
    if not stat.S_ISREG(mode):
        raise ArtifactUnusable(f"{file} is neither a file nor a folder")
    # No link that took the file's place since is followed.
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW), "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
