"""GitHub's rules about pull requests: what may be merged, how it is called, and the merge itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pipelines.rehearsal.forge.content import Content
from pipelines.rehearsal.forge.state import Check, Pull, State, stamp

GOOD_ENOUGH = frozenset({"success", "skipped", "neutral"})
"""States that satisfy a required check; skipped and neutral do, as they do at GitHub."""
BASE_MOVED = "Base branch was modified. Review and try the merge again."
NOT_MERGEABLE = "Pull Request is not mergeable"


class Denied(Exception):
    """A refusal with its HTTP status and the sentence GitHub gives."""

    def __init__(self, status: int, message: str, errors: list[Any] | None = None) -> None:
        self.status = status
        self.message = message
        self.errors = errors
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Mergeability:
    """What GitHub shows of a pull request."""

    mergeable: bool | None
    state: Literal["clean", "blocked", "behind", "dirty", "draft", "unknown", "unstable"]


class Rules:
    """The rules, applied to one repository."""

    def __init__(self, content: Content, state: State) -> None:
        self._content = content
        self._state = state

    def refresh(self, pull: Pull) -> Pull:
        """Let an open pull request follow its branches: new commits, deletion, a push that contains it."""
        if pull.state != "open":
            return pull
        head, base = self._content.sha(pull.head), self._content.sha(pull.base)
        if head is None or base is None:
            self.close(pull)
        elif (head, base) != (pull.head_sha, pull.base_sha):
            pull.head_sha, pull.base_sha, pull.updated_at = head, base, stamp()
            if self._content.is_ancestor(head, base):
                self._merged(pull, head, None)
            self._state.save()
        return pull

    def close(self, pull: Pull) -> None:
        """Close without merging."""
        pull.state, pull.closed_at, pull.updated_at = "closed", stamp(), stamp()
        self._state.save()

    # ---------------------------------------------------------------- mergeable

    def look(self, pull: Pull) -> Mergeability:
        """Mergeability as one read of the pull request shows it; unknown the first time after a move."""
        if pull.state != "open":
            return Mergeability(None, "unknown")
        pair = [pull.head_sha, pull.base_sha]
        if pull.looked_at != pair:
            pull.looked_at = pair
            self._state.save()
            return Mergeability(None, "unknown")
        if self._content.merged_tree(pull.base_sha, pull.head_sha) is None:
            return Mergeability(False, "dirty")
        return Mergeability(True, self._word(pull))

    def _word(self, pull: Pull) -> Literal["clean", "blocked", "behind", "draft", "unstable"]:
        if pull.draft:
            return "draft"
        if self.missing(pull):
            return "blocked"
        if self._behind(pull):
            return "behind"
        reported = self._state.latest(pull.head_sha)
        return "clean" if all(check.state in GOOD_ENOUGH for check in reported) else "unstable"

    def _behind(self, pull: Pull) -> bool:
        checks = self._state.protection.get(pull.base, {}).get("required_status_checks") or {}
        return bool(checks.get("strict")) and not self._content.is_ancestor(pull.base_sha, pull.head_sha)

    def missing(self, pull: Pull) -> list[str]:
        """Sentences for each protection rule the present head does not satisfy."""
        protection = self._state.protection.get(pull.base, {})
        contexts = (protection.get("required_status_checks") or {}).get("contexts", [])
        sentences = [text for context in contexts if (text := self._unsatisfied(pull.head_sha, context))]
        reviews = protection.get("required_pull_request_reviews") or {}
        wanted = int(reviews.get("required_approving_review_count", 0))
        verdicts = self.verdicts(pull, stale=not reviews.get("dismiss_stale_reviews", False))
        if "CHANGES_REQUESTED" in verdicts.values() and wanted:
            sentences.append("Changes have been requested.")
        if list(verdicts.values()).count("APPROVED") < wanted:
            plural = "reviews are" if wanted > 1 else "review is"
            sentences.append(f"At least {wanted} approving {plural} required by reviewers with write access.")
        return sentences

    def _unsatisfied(self, sha: str, context: str) -> str | None:
        reported: list[Check] = [check for check in self._state.latest(sha) if check.context == context]
        if not reported:
            return f'Required status check "{context}" is expected.'
        # A check run and a commit status of one name are both required.
        bad = [check.state for check in reported if check.state not in GOOD_ENOUGH]
        return f'Required status check "{context}" is {bad[0]}.' if bad else None

    def verdicts(self, pull: Pull, *, stale: bool) -> dict[str, str]:
        """Reviewer -> latest verdict; without ``stale``, approvals of an older head do not count."""
        found: dict[str, str] = {}
        for review in self._state.reviews_of(pull.number):
            if review.state == "COMMENTED" or review.login == pull.author:
                continue
            counts = stale or review.commit == pull.head_sha or review.state != "APPROVED"
            found[review.login] = review.state if counts else "DISMISSED"
        return found

    # -------------------------------------------------------------------- merge

    def merge(self, pull: Pull, *, sha: str | None, method: str, message: str, login: str) -> str:
        """Merge by real git and move the base branch.

        Raises:
            Denied: 405 not open, conflicts, rules not met or base moved; 409 another head; 422 bad method.
        """
        self._may_merge(pull, sha)
        base = pull.base_sha
        new = self._write(pull, method, message, login)
        if new is None:
            raise Denied(405, NOT_MERGEABLE)
        if not self._content.move(pull.base, new, base):
            raise Denied(405, BASE_MOVED)
        self._merged(pull, new, login)
        self._state.save()
        return new

    def _may_merge(self, pull: Pull, sha: str | None) -> None:
        if pull.state != "open":
            raise Denied(405, NOT_MERGEABLE)
        if sha is not None and sha != pull.head_sha:
            raise Denied(409, "Head branch was modified. Review and try the merge again.")
        if pull.draft:
            raise Denied(405, "Pull Request is still a draft")
        if missing := self.missing(pull):
            raise Denied(405, " ".join(missing))
        if self._behind(pull):
            raise Denied(405, "Head branch is out of date. Review and try the merge again.")

    def _write(self, pull: Pull, method: str, message: str, login: str) -> str | None:
        base, head = pull.base_sha, pull.head_sha
        if method == "rebase":
            return self._content.rebased(base, head, login)
        if method not in ("merge", "squash"):
            raise Denied(422, "Validation Failed", [{"field": "merge_method", "code": "invalid"}])
        tree = self._content.merged_tree(base, head)
        if tree is None:
            return None
        return self._content.commit(tree, [base, head] if method == "merge" else [base], message, login)

    def _merged(self, pull: Pull, sha: str, login: str | None) -> None:
        pull.state, pull.merged, pull.merge_sha, pull.merged_by = "closed", True, sha, login
        pull.closed_at = pull.updated_at = stamp()
