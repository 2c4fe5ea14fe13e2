"""A person's own checkout: where its origin is, and who they say they are."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipelines.clients.git.command import SYSTEM
from pipelines.errors import Misbehaved, Unreachable

_TIMEOUT_SECONDS = 10.0
_SCP_LIKE = re.compile(r"(?P<host>[^/:@\s]+@[^/:\s]+|[^/:@\s]{2,}):(?P<path>[^\s]+)")


@dataclass(frozen=True, slots=True)
class Checkout:
    """What git knows of one folder."""

    root: Path
    """Top of the work tree; the repository itself where it is bare."""
    origin: str
    """Address of the remote ``origin`` (of the repository itself where it is bare); "" without one."""


def checkout(folder: Path) -> Checkout | None:
    """The checkout a folder is in; None where it is in none.

    Raises:
        CouldNotTell: git is not installed or gave no answer.
    """
    if _ask(folder, "rev-parse", "--is-bare-repository") == "true":
        root = Path(_ask(folder, "rev-parse", "--absolute-git-dir"))
        return Checkout(root, root.as_uri())
    top = _ask(folder, "rev-parse", "--show-toplevel")
    if not top:
        return None
    return Checkout(Path(top), address(_ask(folder, "remote", "get-url", "origin"), Path(top)))


def changed(folder: Path, base: str, below: str) -> tuple[str, dict[str, str]] | None:
    """What in a part of a work tree differs from a commit, saved or not; None where there is no such commit.

    Returns:
        The commit's SHA, and path below ``folder`` -> ``A`` (new), ``M`` or ``D`` (gone).

    Raises:
        CouldNotTell: git could not compare them.
    """
    commit = _ask(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")
    if not commit:
        return None
    how = ("--name-status", "--no-renames", "--no-ext-diff", "--relative", "-z")
    words = _told(folder, "diff", *how, commit, "--", below).split("\0")[:-1]
    new = _told(folder, "ls-files", "--others", "--exclude-standard", "-z", "--", below).split("\0")[:-1]
    found = dict(zip(words[1::2], words[::2], strict=True))
    return commit, found | dict.fromkeys(new, "A")


def user_name(folder: Path) -> str:
    """The name in a person's git configuration; "" where none is set."""
    return _ask(folder, "config", "user.name")


def address(written: str, root: Path) -> str:
    """A remote as git lets people write it, as an address with a scheme; "" stays "".

    ``git@host:team/models.git`` becomes ``ssh://git@host/team/models.git``, a path a ``file://`` address.
    """
    if not written or "://" in written:
        return written
    if match := _SCP_LIKE.fullmatch(written):
        return f"ssh://{match['host']}/{match['path'].lstrip('/')}"
    return (root / Path(written).expanduser()).resolve().as_uri()


def _ask(folder: Path, *arguments: str) -> str:
    """One line git prints; "" when it has nothing to say about this folder."""
    done = _git(folder, *arguments)
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""


def _told(folder: Path, *arguments: str) -> str:
    """All that git prints.

    Raises:
        Misbehaved: it failed.
    """
    done = _git(folder, *arguments)
    if done.returncode != 0:
        words = " ".join(done.stderr.decode(errors="replace").split())[:300]
        raise Misbehaved(SYSTEM, f"git {arguments[0]} failed in {folder}: {words}")
    return done.stdout.decode(errors="replace")


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise Unreachable(
            SYSTEM, f"git gave no answer about {folder} within {_TIMEOUT_SECONDS:g} s"
        ) from None
    except FileNotFoundError:
        raise Misbehaved(SYSTEM, "git is not installed or not on PATH; install git 2.38 or newer") from None
