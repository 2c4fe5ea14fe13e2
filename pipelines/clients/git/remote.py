"""The repository elsewhere: what its branches name now, and which of its commits are in the clone.

What is remembered of a branch saves fetching it again; it is an answer by itself only for as long as whoever
reads says that it may be. All of this is for whoever holds the clone.
"""

from __future__ import annotations

import hashlib
import re
import time

from pipelines.clients.git.command import SYSTEM, Answer, GitCommand, checked_branch
from pipelines.clients.git.objects import Draft
from pipelines.errors import CouldNotTell, Misbehaved, NotYet, Unreachable

_SHA = re.compile(r"[0-9a-f]{40}")


class Remote:
    """One remote and the clone of it."""

    def __init__(self, git: GitCommand, *, good_for_seconds: float = 0.0) -> None:
        """``good_for_seconds``: for so long what a branch was seen to name answers for what it names."""
        self._git = git
        self._good_for_seconds = good_for_seconds
        self._tips: dict[str, str] = {}
        self._seen_at: dict[str, float] = {}
        self._restless: set[str] = set()
        self._at_hand: set[str] = set()

    def forget(self) -> None:
        """The clone is another one than it was: nothing is known to be in it."""
        self._tips.clear()
        self._at_hand.clear()

    def remembered(self, branch: str) -> str | None:
        """The branch's tip when it was last read or written from here; it is in the clone."""
        return self._tips.get(branch)

    # ------------------------------------------------------------------ reading

    def listed(self, *refs: str) -> dict[str, str]:
        """Ref -> SHA of these branches, of all when none is named."""
        answer = self._git("ls-remote", "--heads", "--end-of-options", self._git.url, *refs, remote=True)
        if answer.code:
            raise self._git.failure(answer, "list branches")
        rows = (line.split("\t") for line in answer.out.decode(errors="replace").splitlines())
        return {ref: sha for sha, ref in rows}

    def head(self, branch: str) -> str | None:
        """What the branch names now; it need not be in the clone."""
        ref = _ref(branch)
        tip = self.listed(ref).get(ref)
        if tip is None and not self._is_absent(ref):  # it was made at this very moment
            tip = self.listed(ref).get(ref)
        return tip

    def tip(self, branch: str) -> str | None:
        """What the branch names now, or a moment ago, with its history at hand.

        A branch that stood still when it was last looked at is first asked whether it moved: a list is
        cheaper than a fetch, but not than both.
        """
        before, ref = self.remembered(branch), _ref(branch)
        if before and time.monotonic() - self._seen_at[branch] < self._good_for_seconds:
            return before
        if before and branch not in self._restless and self.listed(ref).get(ref) == before:
            return self._keep(branch, before)
        now = self.fetch(branch)
        if before and now != before:
            self._restless.add(branch)
        else:
            self._restless.discard(branch)
        return now

    def fetch(self, branch: str) -> str | None:
        """The same, fetched in any case."""
        # A hash for a name: branches `a` and, later, `a/b` cannot get into each other's way.
        seen = f"refs/seen/{hashlib.sha256(branch.encode()).hexdigest()[:24]}"
        for _ in range(2):
            answer = self._fetched(f"+{_ref(branch)}:{seen}")
            if answer.code == 0:
                return self._keep(branch, self._git.text("rev-parse", "--verify", "--end-of-options", seen))
            if "couldn't find remote ref" not in answer.err.lower():
                raise self._git.failure(answer, f"read branch {branch}")
            self._git("update-ref", "-d", seen)
            if self._is_absent(_ref(branch)):
                return None  # else it was made at this very moment
        raise Unreachable(SYSTEM, f"{self._git.url} gave several answers about {branch}; try again")

    def resolve(self, at: str) -> str | None:
        """A commit at hand in the clone: ``at`` itself, or the tip of the branch of that name."""
        if not _SHA.fullmatch(at):
            return self.tip(at)
        if at in self._at_hand or self._has(at):
            return at
        answer = self._fetched(at)
        if answer.code and "not our ref" not in answer.err:
            raise self._git.failure(answer, f"read commit {at}")
        if not self._has(at):
            raise Misbehaved(SYSTEM, f"{self._git.url} has no commit {at}; was a branch rewritten?")
        return at

    def _has(self, sha: str) -> bool:
        if self._git("cat-file", "-e", f"{sha}^{{commit}}").code:
            return False
        self._at_hand.add(sha)
        return True

    def _keep(self, branch: str, tip: str) -> str:
        self._tips[branch] = tip
        self._seen_at[branch] = time.monotonic()
        self._at_hand.add(tip)
        return tip

    def _fetched(self, refspec: str) -> Answer:
        quiet = ("--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options")
        return self._git("fetch", *quiet, self._git.url, refspec, remote=True)

    def _is_absent(self, ref: str) -> bool:
        """Whether a branch is really not there: to git, a page saying "back soon" has no branches either.

        Raises:
            Misbehaved: whoever answered does not speak git.
        """
        spoken = {"GIT_TRACE_PACKET": "1"}
        answer = self._git("ls-remote", "--end-of-options", self._git.url, remote=True, extra=spoken)
        if answer.code:
            raise self._git.failure(answer, "list branches")
        if "packet:" not in answer.err:
            raise Misbehaved(
                SYSTEM, f"{self._git.url} answers, but not as a git repository does; check git_url"
            )
        return f"\t{ref}\n".encode() not in answer.out

    # ------------------------------------------------------------------ writing

    def push(self, draft: Draft, branch: str) -> CouldNotTell | NotYet | None:
        """Let the branch name a draft, if it still names what the draft was made on; why it does not."""
        # A lease forces nothing, since a draft follows what it was made on. It compares one thing more than a
        # plain push: that the branch is still there.
        lease = f"--force-with-lease={_ref(branch)}:{draft.tip or ''}"
        try:
            answer = self._sent(f"{draft.sha}:{_ref(branch)}", lease)
        except Unreachable as failure:
            return failure
        if answer.code == 0:
            self._keep(branch, draft.sha)
            return None
        verdict = answer.out.decode(errors="replace")
        if re.search(r"\[rejected\]|failed to update ref|cannot lock ref|incorrect old value", verdict):
            return busy(branch)
        reason = " · ".join(line.split("\t")[-1] for line in verdict.splitlines() if line.startswith("!"))
        return self._git.failure(Answer(answer.code, b"", f"{answer.err}\n{reason}"), f"push to {branch}")

    def delete(self, branch: str) -> None:
        """Delete the branch; already gone is fine."""
        ref = _ref(branch)
        if ref not in self.listed(ref):
            return
        answer = self._sent(f":{ref}")
        if answer.code and ref in self.listed(ref):
            raise self._git.failure(answer, f"delete {ref}")

    def would_take(self, sha: str, branch: str) -> CouldNotTell | None:
        """Why a push would be refused; nothing is pushed."""
        answer = self._sent(f"{sha}:{_ref(branch)}", "--dry-run")
        return self._git.failure(answer, "push (dry run)") if answer.code else None

    def _sent(self, refspec: str, *flags: str) -> Answer:
        quiet = ("--porcelain", "--quiet", *flags, "--end-of-options")
        return self._git("push", *quiet, self._git.url, refspec, remote=True)


def busy(branch: str) -> NotYet:
    """The branch was moved by others."""
    return NotYet("branch_busy", f"{branch} is moved by others all the time; try again", 5.0)


def _ref(branch: str) -> str:
    return f"refs/heads/{checked_branch(branch)}"
