"""Commit messages with trailers: written from values, read back as values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from pipelines.clients.git.command import checked_line
from pipelines.errors import Refused
from pipelines.ports import Commit

FORMAT = (
    "%H%x00%cI%x00%an <%ae>%x00%s%x00"
    "%(trailers:only=true,unfold=true,separator=%x1f,key_value_separator=%x1e)%x01"
)
"""For ``git log --format``; :func:`commits` reads it."""
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def message(subject: str, body: str, trailers: Mapping[str, str]) -> bytes:
    """A commit message whose last paragraph, the only one git reads trailers from, is ours.

    Raises:
        Refused: the subject is empty, or a value would not stay on its line.
    """
    title = checked_line(subject, "subject")
    if not title:
        raise Refused("unsafe_name", "a commit needs a subject")
    text = _NOT_TEXT.sub("\ufffd", body.replace("\r\n", "\n")).strip()
    ours = "\n".join(f"{key}: {value}" for key, value in checked_trailers(trailers).items())
    return ("\n\n".join(part for part in (title, text, ours) if part) + "\n").encode()


def checked_trailers(trailers: Mapping[str, str]) -> dict[str, str]:
    """Trailers that read back as they were written; empty ones are left out.

    Raises:
        Refused: a key or a value would be read as something else.
    """
    for key in trailers:
        if not _KEY.fullmatch(key):
            raise Refused("unsafe_name", f"{key[:80]!r} cannot be the name of a trailer")
    checked = {key: checked_line(value, f"trailer {key}") for key, value in trailers.items()}
    return {key: value for key, value in checked.items() if value}


def commits(text: str) -> Iterator[Commit]:
    """The commits in the output of ``git log --format=FORMAT``."""
    for record in text.split("\x01"):
        if record.strip():
            sha, at, author, subject, trailers = record.lstrip("\n").split("\0")
            pairs = (pair.partition("\x1e") for pair in trailers.split("\x1f") if pair)
            yield Commit(
                sha=sha, at=datetime.fromisoformat(at).astimezone(UTC), author=author, subject=subject,
                trailers={key.strip(): value.strip() for key, _, value in pairs},
            )  # fmt: skip
