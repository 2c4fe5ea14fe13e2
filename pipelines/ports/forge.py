"""Pull requests and commit statuses, as the steps need them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """A pull request, copied whole."""

    number: int
    url: str
    author: str
    head_sha: str
    base_sha: str
    state: Literal["open", "closed", "merged"]
    merge_sha: str
    """The merge commit; "" unless merged."""
    mergeable: Literal["yes", "no", "blocked", "unknown"]
    """``no``: conflicts; ``blocked``: checks or reviews missing; ``unknown``: the forge still computes."""
    approvals: tuple[str, ...]
    """Accounts whose latest review approves the present head."""
    merged_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What came of asking to merge."""

    outcome: Literal["merged", "not_ready", "head_moved", "refused"]
    sha: str = ""
    """The merge commit when merged."""
    sentence: str = ""


class Forge(Protocol):
    """Pull requests and commit statuses."""

    def find_pull_request(self, branch: str) -> PullRequest | None:
        """The newest pull request from this branch of our own repository, open or not."""
        ...

    def open_pull_request(self, *, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open one; adopts the open one when the forge says it exists already."""
        ...

    def pull_request(self, number: int) -> PullRequest:
        """Read one afresh."""
        ...

    def set_status(
        self,
        sha: str,
        *,
        name: str,
        state: Literal["success", "pending", "failure", "error"],
        sentence: str,
        url: str,
    ) -> None:
        """Write a commit status; the same again is harmless."""
        ...

    def merge(self, number: int, *, head_sha: str, title: str, body: str) -> Merge:
        """Merge exactly this head; a lost answer is resolved by reading the pull request again."""
        ...

    def close(self, number: int) -> None:
        """Close without merging; already closed is fine."""
        ...

    def comment(self, number: int, *, marker: str, body: str) -> None:
        """Write or rewrite the one comment that carries this hidden marker."""
        ...
