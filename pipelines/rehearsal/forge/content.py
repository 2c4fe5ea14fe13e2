"""The forge's bare repository: what is read from it and how branches are merged, all by real git.

Needs git 2.38 or newer (``merge-tree --write-tree``).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ZERO = "0" * 40
DEFAULT_BRANCH = "main"

# Runs inside `git receive-pack` for each pushed ref. The forge says in the environment who pushes.
_UPDATE_HOOK = """#!/bin/sh
# $1: ref, $2: old commit, $3: new commit
zero=0000000000000000000000000000000000000000
case " $FORGE_GUARDED_REFS " in *" $1 "*) ;; *) exit 0 ;; esac
case " $FORGE_PROTECTED_REFS " in
  *" $1 "*) if [ "$FORGE_BYPASS" != yes ]; then
      echo "error: GH006: Protected branch update failed for $1." >&2; exit 1; fi ;;
esac
if [ "$3" = "$zero" ]; then
  echo "error: GH006: Cannot delete the protected branch $1." >&2; exit 1; fi
if [ "$2" != "$zero" ] && ! git merge-base --is-ancestor "$2" "$3"; then
  echo "error: GH006: Cannot force-push to the protected branch $1." >&2; exit 1; fi
"""


class GitFailed(Exception):
    """A git command of the forge ended with an error; the text is git's."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit, as the REST answers show it."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: str
    email: str
    date: str
    """Author date, ISO 8601 in UTC with ``Z``."""
    message: str


def environment() -> dict[str, str]:
    """What git sees of this machine: its programs, nothing of anybody's settings."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": tempfile.gettempdir(),
        "LC_ALL": "C",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }


class Content:
    """A bare repository at ``path``, made when it is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "HEAD").exists():
            path.mkdir(parents=True, exist_ok=True)
            self.git("init", "--quiet", "--bare", f"--initial-branch={DEFAULT_BRANCH}", ".")
        hook = path / "hooks" / "update"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_UPDATE_HOOK)
        hook.chmod(0o755)

    def git(self, *arguments: str, text: str = "", extra: dict[str, str] | None = None) -> str:
        """Standard output of one git command.

        Raises:
            GitFailed: it ended with an error.
        """
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=environment() | (extra or {}), input=text.encode(),
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode:
            raise GitFailed(done.stderr.decode(errors="replace").strip() or f"git {arguments[0]} failed")
        return done.stdout.decode(errors="replace").rstrip("\n")

    def holds(self, *arguments: str) -> bool:
        """Whether one git command ends well."""
        try:
            self.git(*arguments)
        except GitFailed:
            return False
        return True

    # ------------------------------------------------------------------ reading

    def sha(self, name: str) -> str | None:
        """The commit a branch, full ref or SHA stands for; None when there is none."""
        for candidate in (f"refs/heads/{name}", name):
            try:
                return self.git(
                    "rev-parse", "--verify", "--quiet", "--end-of-options", f"{candidate}^{{commit}}"
                )
            except GitFailed:
                continue
        return None

    def branches(self) -> dict[str, str]:
        """Branch name -> commit."""
        lines = self.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/").splitlines()
        return {ref.removeprefix("refs/heads/"): sha for sha, ref in (line.split(" ", 1) for line in lines)}

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether ``newer`` contains ``older``."""
        return self.holds("merge-base", "--is-ancestor", older, newer)

    def commits(self, range_or_sha: str, *, limit: int = 250, path: str = "") -> list[Entry]:
        """Commits of a range or reachable from one, newest first."""
        shape = "%H%x00%T%x00%P%x00%an%x00%ae%x00%ad%x00%B%x01"
        only = ["--", path] if path else ["--"]
        text = self.git(
            "log", f"--max-count={limit}", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", f"--format={shape}",
            "--end-of-options", range_or_sha, *only, extra={"GIT_LITERAL_PATHSPECS": "1"},
        )  # fmt: skip
        return [_entry(record.lstrip("\n")) for record in text.split("\x01") if record.strip()]

    def files(self, base: str, head: str) -> list[dict[str, Any]]:
        """What ``head`` changed since it left ``base``: name, status, lines added and deleted, patch."""
        start = self.merge_base(base, head) or self.git("hash-object", "-t", "tree", os.devnull)
        listed = self.git("diff", "--name-status", "--no-renames", "-z", start, head).split("\0")
        names = {"A": "added", "M": "modified", "D": "removed", "T": "changed"}
        return [
            _file(path, names[letter], self.git("diff", "--no-renames", start, head, "--", path))
            for letter, path in zip(listed[0::2], listed[1::2], strict=False)
        ]

    def merge_base(self, base: str, head: str) -> str | None:
        """The commit where two lines parted; None when they never met."""
        try:
            return self.git("merge-base", base, head)
        except GitFailed:
            return None

    def count(self, since: str, until: str) -> int:
        """Commits in ``until`` that are not in ``since``."""
        return int(self.git("rev-list", "--count", f"{since}..{until}"))

    # ------------------------------------------------------------------ writing

    def merged_tree(self, base: str, head: str) -> str | None:
        """The tree of both lines together; None when they conflict."""
        try:
            return self.git("merge-tree", "--write-tree", "--no-messages", base, head).splitlines()[0]
        except GitFailed:
            return None

    def commit(self, tree: str, parents: list[str], message: str, login: str) -> str:
        """A commit object by one account; no branch moves."""
        who = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in (("NAME", login), ("EMAIL", f"{login}@users.noreply.forge.local"))
        }
        flags = [flag for parent in parents for flag in ("-p", parent)]
        return self.git("commit-tree", *flags, "-F", "-", tree, text=message, extra=who)

    def rebased(self, base: str, head: str, login: str) -> str | None:
        """``head``'s commits written anew on top of ``base``; None when one of them conflicts."""
        tip = base
        for sha in self.git("rev-list", "--reverse", "--no-merges", f"{base}..{head}").splitlines():
            entry = self.commits(sha, limit=1)[0]
            # With `tip`'s tree on the picked commit's parent, a three-way merge is a cherry-pick.
            stand_in = self.commit(
                self.git("rev-parse", f"{tip}^{{tree}}"), list(entry.parents[:1]), "", login
            )
            tree = self.merged_tree(stand_in, sha)
            if tree is None:
                return None
            tip = self.commit(tree, [tip], entry.message, login)
        return tip

    def move(self, branch: str, new: str, old: str | None) -> bool:
        """Let a branch name another commit if it still names ``old`` (None: if there is no such branch)."""
        return self.holds("update-ref", f"refs/heads/{branch}", new, old or ZERO)

    def delete(self, branch: str) -> bool:
        """Remove a branch; False when there is none."""
        return self.sha(f"refs/heads/{branch}") is not None and self.holds(
            "update-ref", "-d", f"refs/heads/{branch}"
        )


def _entry(record: str) -> Entry:
    sha, tree, parents, author, email, date, message = record.split("\0", 6)
    return Entry(sha, tree, tuple(parents.split()), author, email, date, message.rstrip("\n"))


def _file(path: str, status: str, patch: str) -> dict[str, Any]:
    body = patch[patch.find("@@") :] if "@@" in patch else ""
    lines = body.splitlines()
    return {
        "filename": path,
        "status": status,
        "additions": sum(line.startswith("+") for line in lines),
        "deletions": sum(line.startswith("-") for line in lines),
        "changes": sum(line.startswith(("+", "-")) for line in lines),
        "patch": body,
    }
