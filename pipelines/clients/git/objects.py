"""What is in the clone: files of a commit, commits of a branch, and new commits.

Whatever is named here by its SHA never changes. A failure means that the clone is broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipelines.clients.git import messages
from pipelines.clients.git.command import CacheBroken, GitCommand
from pipelines.ports import Commit

_DRAFT = "refs/made/draft"
"""Where the commit made last is kept; in the clone alone."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A commit made in the clone that nobody else has seen yet."""

    tip: str | None
    """What the branch named when it was made."""
    sha: str


class Objects:
    """The objects of one clone. ``author`` is (name, e-mail); ``sign`` with the key in git's settings."""

    def __init__(self, git: GitCommand, *, author: tuple[str, str], sign: bool) -> None:
        self._git = git
        self._author = author
        self._sign = sign

    # ------------------------------------------------------------------ reading

    def blobs(self, commit: str, path: str, ending: str = "") -> dict[str, bytes]:
        """Bytes of the regular file at a path, or of all below it when it ends in "/" or is empty.

        ``ending`` keeps only paths that end so.
        """
        recursive = ["-r"] if path.endswith("/") or not path else []
        listed = self._git.local(
            "ls-tree", "-z", "--full-tree", *recursive, commit, *([path] if path else [])
        )
        rows = [row.split(b"\t", 1) for row in listed.split(b"\0") if row]
        named = [(name.decode(errors="replace"), meta.split()) for meta, name in rows]
        regular = {
            name: meta[2] for name, meta in named if meta[0].startswith(b"100") and name.endswith(ending)
        }
        contents = self._contents(regular.values())
        return {name: contents[oid] for name, oid in regular.items()}

    def _contents(self, oids: Iterable[bytes]) -> dict[bytes, bytes]:
        wanted = list(dict.fromkeys(oids))
        if not wanted:
            return {}
        out = self._git.local("cat-file", "--batch", data=b"\n".join(wanted) + b"\n")
        contents, start = {}, 0
        for oid in wanted:
            end = out.index(b"\n", start)
            header = out[start:end].split()
            if header[:2] != [oid, b"blob"]:
                raise CacheBroken(f"bad object {oid.decode()}")
            start = end + 1 + int(header[2]) + 1
            contents[oid] = out[end + 1 : start - 1]
        return contents

    def commits(self, tip: str, *flags: str, paths: Iterable[str] = ()) -> tuple[Commit, ...]:
        """Commits on the first-parent line below a tip, newest first; ``flags`` are of ``git log``."""
        text = self._git.text(
            "log", "--first-parent", f"--format={messages.FORMAT}", *flags, tip, "--", *paths
        )
        return tuple(messages.commits(text))

    def newest(self, tip: str, *paths: str) -> Commit:
        """The newest commit at or below a tip that touched a path; the tip itself when none did."""
        found = self.commits(tip, "--max-count=1", paths=paths)
        return found[0] if found or not paths else self.newest(tip)

    def contains(self, tip: str | None, sha: str) -> bool:
        """Whether a commit is a tip or below it."""
        return tip is not None and self._git("merge-base", "--is-ancestor", sha, tip).code == 0

    # ------------------------------------------------------------------ writing

    def draft(
        self, tip: str | None, parent: str | None, changes: Mapping[str, str | None], message: bytes
    ) -> Draft | None:
        """A commit on ``parent`` with these changes; None when it reads that way already."""
        stream = self._stream(parent, changes, message)
        flags = ("--quiet", "--done", "--force", "--date-format=now")
        sha, *trees = self._git.text("fast-import", *flags, data=stream).splitlines()
        tree, before = trees[0], trees[1:]
        if tree in before:
            return None
        if self._sign:
            on = ["-p", parent] if parent else []
            sha = self._git.text("commit-tree", "-S", *on, "-F", "-", tree.split()[2], data=message)
        return Draft(tip, sha)

    def _stream(self, parent: str | None, changes: Mapping[str, str | None], message: bytes) -> bytes:
        """What ``git fast-import`` is told, which answers with the commit, its tree and its parent's."""
        name, email = (part.translate({ord("<"): None, ord(">"): None}) for part in self._author)
        who = f"{name} <{email}>".encode()
        lines = [f"commit {_DRAFT}".encode(), b"mark :1", b"committer " + who + b" now", *_data(message)]
        lines += [f"from {parent}".encode()] if parent else []
        for path, text in changes.items():
            quoted = '"{}"'.format(path.replace('"', '\\"')).encode()
            lines += (
                [b"D " + quoted] if text is None else [b"M 100644 inline " + quoted, *_data(text.encode())]
            )
        lines += [
            b"",
            b"get-mark :1",
            b'ls :1 ""',
            *([f'ls {parent} ""'.encode()] if parent else []),
            b"done",
        ]
        return b"\n".join(lines) + b"\n"


def _data(content: bytes) -> tuple[bytes, bytes]:
    return b"data %d" % len(content), content
