"""Artifacts as local files: ``file://`` as they lie, ``s3://`` and ``gs://`` downloaded through fsspec."""

from __future__ import annotations

import importlib
import shutil
import tempfile
import weakref
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from pipelines.errors import InvalidInput, Misbehaved, Problem, Refused, Unreachable

_REMOTE = {"s3": ("s3", "s3fs"), "gs": ("gcs", "gcsfs")}
"""Scheme -> (our extra, the library that it installs beside fsspec)."""
_GIB = 2**30


class ArtifactStore:
    """Reads artifacts. Keep the store for as long as what it downloads is needed: both go together.

    A download is also deleted when the same address is fetched again, and when the process ends.

    Args:
        maximum_bytes: a larger artifact is refused before anything is downloaded.
    """

    def __init__(self, maximum_bytes: int = 20 * _GIB) -> None:
        self._maximum_bytes = maximum_bytes
        self._downloads: dict[str, Path] = {}

    def fetch(self, uri: str) -> Path:
        """The artifact's folder or file; a remote one is downloaded afresh into a new temporary folder.

        Raises:
            InvalidInput: a scheme that is not known, or whose library is not installed.
            Refused: larger than allowed.
            Unreachable: nothing is there, or the store gave no answer.
            Misbehaved: the store names files outside the artifact.
        """
        parts = urlsplit(uri)
        if parts.scheme == "file":
            return self._local(uri, parts.netloc, unquote(parts.path))
        if parts.scheme in _REMOTE:
            return self._download(uri, parts.scheme)
        known = ", ".join(f"{scheme}://" for scheme in ("file", *_REMOTE))
        raise InvalidInput(
            [Problem(uri, 0, "", "lockgate cannot read artifacts from there", f"one of {known}")]
        )

    def _local(self, uri: str, host: str, path: str) -> Path:
        if host not in {"", "localhost"}:
            raise InvalidInput([Problem(uri, 0, "", f"names the host {host}", "write file:///path")])
        found = Path(path)
        if not found.exists():
            raise Unreachable("artifacts", f"{uri}: nothing is there")
        self._bound(uri, sum(file.stat().st_size for file in (found, *found.rglob("*")) if file.is_file()))
        return found

    def _bound(self, uri: str, size: int) -> None:
        if size > self._maximum_bytes:
            sentence = f"{uri} has {size} bytes, at most {self._maximum_bytes} are read"
            raise Refused("artifact_too_large", sentence)

    def _download(self, uri: str, scheme: str) -> Path:
        filesystem, root = _filesystem(uri, scheme)
        try:
            sizes = {name: int(entry["size"]) for name, entry in filesystem.find(root, detail=True).items()}
        except Exception as error:  # each store has errors of its own; none is an answer
            raise Unreachable("artifacts", f"{uri}: {type(error).__name__}: {error}") from error
        if not sizes:
            raise Unreachable("artifacts", f"{uri}: nothing is there")
        self._bound(uri, sum(sizes.values()))
        if former := self._downloads.pop(uri, None):
            shutil.rmtree(former, ignore_errors=True)
        folder = self._downloads[uri] = Path(tempfile.mkdtemp(prefix="lockgate-artifact-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        for name, size in sorted(sizes.items()):
            _get(filesystem, name, folder / _inside(uri, root, name), size)
        return folder


def _filesystem(uri: str, scheme: str) -> tuple[Any, str]:
    """The store, and the artifact's place in it as the store writes it."""
    extra, library = _REMOTE[scheme]
    try:
        filesystem, root = importlib.import_module("fsspec.core").url_to_fs(uri)
    except ImportError as error:
        message = f"reading {scheme}:// needs fsspec and {library} ({error})"
        raise InvalidInput([Problem(uri, 0, "", message, f"pip install 'lockgate[{extra}]'")]) from error
    return filesystem, str(root).rstrip("/")


def _inside(uri: str, root: str, name: str) -> PurePosixPath:
    """A file's place below the artifact's folder; the name of a single file stays its own."""
    relative = PurePosixPath(name.removeprefix(root).lstrip("/") or PurePosixPath(name).name)
    if not (name == root or name.startswith(f"{root}/")) or ".." in relative.parts:
        raise Misbehaved("artifacts", f"{uri}: the store lists {name}, which lies outside")
    return relative


def _get(filesystem: Any, name: str, target: Path, size: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        filesystem.get_file(name, str(target))
    except Exception as error:
        raise Unreachable("artifacts", f"{name}: {type(error).__name__}: {error}") from error
    if target.stat().st_size != size:
        raise Misbehaved("artifacts", f"{name}: {target.stat().st_size} bytes came, {size} were announced")
