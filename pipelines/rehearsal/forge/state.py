"""What the forge knows besides git: pull requests, reviews, comments, statuses, protection.

Kept in one JSON file, replaced whole after every change, so a forge started again knows all of it.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def stamp() -> str:
    """The present instant the way GitHub writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True, kw_only=True)
class Pull:
    """One pull request; ``head_sha`` and ``base_sha`` stand still once it is no longer open."""

    number: int
    title: str
    body: str
    author: str
    head: str
    base: str
    head_sha: str
    base_sha: str
    draft: bool = False
    state: str = "open"
    merged: bool = False
    merge_sha: str | None = None
    merged_by: str | None = None
    created_at: str = field(default_factory=stamp)
    updated_at: str = field(default_factory=stamp)
    closed_at: str | None = None
    looked_at: list[str] = field(default_factory=list)
    """The [head, base] mergeability was asked for before; GitHub computes it once asked."""


@dataclass(slots=True, kw_only=True)
class Review:
    """One review of a pull request."""

    id: int
    pull: int
    login: str
    state: str
    """APPROVED, CHANGES_REQUESTED, COMMENTED or DISMISSED."""
    commit: str
    body: str
    at: str = field(default_factory=stamp)


@dataclass(slots=True, kw_only=True)
class Comment:
    """One comment on a pull request."""

    id: int
    pull: int
    login: str
    body: str
    at: str = field(default_factory=stamp)


@dataclass(slots=True, kw_only=True)
class Check:
    """One report about a commit: a commit status, or a check run of the App."""

    id: int
    sha: str
    context: str
    state: str
    """success, pending, failure, error; for a check run also skipped, neutral and so on."""
    description: str
    target_url: str
    login: str
    run: bool = False
    at: str = field(default_factory=stamp)


class State:
    """Everything above; hold ``lock`` while reading and changing, call ``save`` after a change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()
        stored: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self.last_id: int = stored.get("last_id", 0)
        self.pulls = {row["number"]: Pull(**row) for row in stored.get("pulls", [])}
        self.reviews = [Review(**row) for row in stored.get("reviews", [])]
        self.comments = [Comment(**row) for row in stored.get("comments", [])]
        self.checks = [Check(**row) for row in stored.get("checks", [])]
        self.protection: dict[str, dict[str, Any]] = stored.get("protection", {})
        self.installation_tokens: dict[str, str] = stored.get("installation_tokens", {})
        """Token -> when it expires."""

    def next_id(self) -> int:
        """A number never given before."""
        self.last_id += 1
        return self.last_id

    def save(self) -> None:
        """Write the file; a reader sees the old one or the new one, never half."""
        rows = {
            name: [asdict(row) for row in getattr(self, name)] for name in ("reviews", "comments", "checks")
        }
        document = {
            "last_id": self.last_id,
            "pulls": [asdict(pull) for pull in self.pulls.values()],
            **rows,
            "protection": self.protection,
            "installation_tokens": self.installation_tokens,
        }
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(document, indent=1))
        os.replace(draft, self.path)  # noqa: PTH105

    def latest(self, sha: str) -> list[Check]:
        """The newest report of each kind and context on one commit, oldest first."""
        newest = {(check.run, check.context): check for check in self.checks if check.sha == sha}
        return list(newest.values())

    def reviews_of(self, number: int) -> list[Review]:
        """All reviews of one pull request, oldest first."""
        return [review for review in self.reviews if review.pull == number]
