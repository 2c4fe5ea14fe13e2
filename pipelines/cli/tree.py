"""A repository's files as people see them: those of a working tree, or of main where none is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pipelines import ports
from pipelines.cli.session import Session
from pipelines.errors import Problem

PLATFORM = "platform.yaml"
MAXIMUM_BYTES = 4 * 2**20
"""A YAML file larger than this is nothing people wrote."""


class Tree(Protocol):
    """Where files are read from."""

    def read(self, path: str) -> str | None:
        """Text of a file; None when it is not there."""
        ...

    def files(self, prefix: str) -> dict[str, str]:
        """Every text file below a folder: path -> text."""
        ...

    def models(self) -> list[str]:
        """Names of the folders below ``models`` that hold a release.yaml."""
        ...


class WorkingTree:
    """Files as they lie in a folder, saved or not yet committed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[Problem] = []
        """Files that are no text."""

    def read(self, path: str) -> str | None:
        """Text of a file; None when it is not there, or no text, which ``problems`` then says."""
        place = self.root / path
        try:
            if not place.is_file():
                return None
            if not place.resolve().is_relative_to(self.root.resolve()):
                self.problems.append(Problem(path, 0, "", "is a link to something outside of this folder"))
                return None
            if place.stat().st_size > MAXIMUM_BYTES:
                self.problems.append(Problem(path, 0, "", f"is larger than {MAXIMUM_BYTES // 2**20} MiB"))
                return None
            return place.read_text("utf-8")
        except UnicodeDecodeError as error:
            self.problems.append(Problem(path, 0, "", f"is not UTF-8 text: byte {error.start} is odd"))
        except OSError as error:
            self.problems.append(Problem(path, 0, "", f"cannot be read: {error.strerror}"))
        return None

    def files(self, prefix: str) -> dict[str, str]:
        """Every text file below a folder: path -> text."""
        found = {}
        for place in sorted((self.root / prefix).rglob("*")):
            path = place.relative_to(self.root).as_posix()
            if place.is_file() and (text := self.read(path)) is not None:
                found[path] = text
        return found

    def models(self) -> list[str]:
        """Names of the folders below ``models`` that hold a release.yaml."""
        return sorted(place.parent.name for place in self.root.glob("models/*/release.yaml"))

    def written(self) -> dict[str, str]:
        """Everything people write: platform.yaml and every release.yaml that can be read."""
        return dict(self._written())

    def beside(self) -> dict[str, str]:
        """YAML files in the folders of models, but release.yaml: path -> text."""
        found = {}
        for place in sorted(self.root.glob("models/*/*.y*ml")):
            path = place.relative_to(self.root).as_posix()
            if place.name != "release.yaml" and (text := self.read(path)) is not None:
                found[path] = text
        return found

    def _written(self) -> Iterator[tuple[str, str]]:
        for path in (PLATFORM, *(f"models/{model}/release.yaml" for model in self.models())):
            if (text := self.read(path)) is not None:
                yield path, text


class MainTree:
    """Files as main on the remote has them."""

    def __init__(self, repository: ports.Repository) -> None:
        self._repository = repository
        self._at = repository.head("main") or "main"

    def read(self, path: str) -> str | None:
        """Text of a file; None when it is not there."""
        return self._repository.read(path, self._at)

    def files(self, prefix: str) -> dict[str, str]:
        """Every text file below a folder: path -> text."""
        return self._repository.files(prefix, self._at)

    def models(self) -> list[str]:
        """Names of the folders below ``models`` that hold a release.yaml."""
        paths = (path.split("/") for path in self.files("models"))
        return sorted({parts[1] for parts in paths if parts[2:] == ["release.yaml"]})


def tree_of(session: Session) -> Tree:
    """The working tree where a path was named, else main on the remote."""
    return MainTree(session.desktop.repository()) if session.is_address else WorkingTree(session.folder)
