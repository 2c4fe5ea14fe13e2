"""The GitOps repository and the journals, as the steps need them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit as the steps need it."""

    sha: str
    at: datetime
    author: str
    subject: str
    trailers: Mapping[str, str]


class Repository(Protocol):
    """The GitOps repository, read and written by commits; never forced."""

    def head(self, branch: str) -> str | None:
        """SHA of the branch on the remote now; None when there is no such branch."""
        ...

    def read(self, path: str, at: str) -> str | None:
        """Text of a file at a commit or branch; None when it is not there."""
        ...

    def read_bytes(self, path: str, at: str) -> bytes | None:
        """Bytes of a file at a commit or branch; None when it is not there."""
        ...

    def files(self, prefix: str, at: str) -> dict[str, str]:
        """Every file below a folder at a commit or branch: path -> text."""
        ...

    def commit(
        self, branch: str, changes: Mapping[str, str | None], *, subject: str, body: str,
        trailers: Mapping[str, str], base: str | None = None,
    ) -> Commit:  # fmt: skip
        """Write files (None deletes one) as one commit on the branch and push it without force.

        A push rejected because the branch moved is retried on the new head: the changes are whole files,
        so those of other models are kept. ``base`` names the commit a new branch starts from. When the
        files already read that way, no empty commit is made: the newest commit touching them is returned.
        """
        ...

    def find(self, branch: str, trailers: Mapping[str, str]) -> Commit | None:
        """The newest commit on the branch that carries all these trailers."""
        ...

    def log(self, branch: str, path: str) -> tuple[Commit, ...]:
        """Commits on the branch that touched a path, newest first."""
        ...

    def delete_branch(self, branch: str) -> None:
        """Delete a branch on the remote; already gone is fine."""
        ...


class JournalStore(Protocol):
    """The append-only journals, one per promotion, on a branch of their own."""

    def promotions(self) -> tuple[str, ...]:
        """Ids of all promotions, oldest first."""
        ...

    def read(self, promotion: str) -> str:
        """The journal's text as stored, "" when there is none."""
        ...

    def append(self, promotion: str, lines: str, *, expected: str) -> None:
        """Add whole lines to a journal whose text is ``expected``, in one commit.

        Raises:
            JournalMoved: the stored text is no longer ``expected``; nothing was written.
        """
        ...


class JournalBook(JournalStore, Protocol):
    """The same, with room for a new journal."""

    def begin(self, promotion: str, lines: str, *, beside: Collection[str]) -> None:
        """Write a journal's first lines, unless another of its model and environment was begun meanwhile.

        Args:
            promotion: its id.
            lines: whole lines.
            beside: the ids of all journals that the writer knows of.

        Raises:
            JournalMoved: there is one that the writer does not know of; nothing was written.
        """
        ...
