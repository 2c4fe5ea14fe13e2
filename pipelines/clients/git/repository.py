"""Files and commits of the GitOps repository, by the git command line on a bare clone.

Commits are made without a work tree and pushed without force. The clone holds the whole history of the
branches read, because trailers are searched in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from pipelines.clients.git import messages
from pipelines.clients.git.cache import Cache
from pipelines.clients.git.command import SYSTEM, GitCommand, checked_line, checked_path
from pipelines.clients.git.objects import Draft, Objects
from pipelines.clients.git.remote import Remote, busy
from pipelines.errors import AccessDenied, CouldNotTell, LockgateError, Misbehaved, NotYet, Unreachable
from pipelines.ports import Commit, Finding

T = TypeVar("T")
PUSHES_AT_MOST = 10
"""Tries of one push while others keep moving the branch."""
_OUTAGES_AT_MOST = 3
_READINGS_KEPT = 8
"""Files of so many commits and paths are remembered: a stage that waits reads the same at each look."""

Plan = Callable[[str | None], "Draft | str"]
"""Given the branch's tip (None: no such branch), the commit to push, or the one that makes it unnecessary.

It may be asked about a tip that the branch has left; then nothing it says comes to anything.
"""


class GitRepository:
    """A repository reached by git over HTTP(S), ssh or a file path.

    ``folder`` holds the clone and may be shared by several processes. ``token`` is a password for HTTP or
    a function that gives the present one. ``signing_key`` is a gpg key id, or the path of an ssh key.
    Branches are read as they are now, or as they were at most ``good_for_seconds`` ago; whatever is written
    goes on top of what is there.
    """

    def __init__(
        self, url: str, *, folder: Path, token: str | Callable[[], str] | None, author_name: str,
        author_email: str, signing_key: str | None = None, timeout_seconds: float = 60,
        good_for_seconds: float = 0.0,
    ) -> None:  # fmt: skip
        identity = (checked_line(author_name, "author name"), checked_line(author_email, "author e-mail"))
        self.git = GitCommand(
            url, folder.absolute() / "clone.git", token=token, timeout_seconds=timeout_seconds,
            settings=_signing(signing_key), identity=identity,
        )  # fmt: skip
        self.objects = Objects(self.git, author=identity, sign=bool(signing_key))
        self._remote = Remote(self.git, good_for_seconds=good_for_seconds)
        self._cache = Cache(
            folder, self.git, patience_seconds=2 * timeout_seconds, renewed=self._remote.forget
        )
        self._blobs = lru_cache(maxsize=_READINGS_KEPT)(self.objects.blobs)

    # ------------------------------------------------------------------ reading

    def head(self, branch: str) -> str | None:
        """SHA of the branch on the remote now; None when there is no such branch."""
        return self._cache.use(lambda: self._remote.head(branch))

    def read(self, path: str, at: str) -> str | None:
        """Text of a file at a commit or branch; None when it is not there.

        Raises:
            Misbehaved: the file is not UTF-8 text, or there is no such commit.
        """
        data = self.read_bytes(path, at)
        try:
            return None if data is None else data.decode()
        except UnicodeDecodeError:
            raise Misbehaved(SYSTEM, f"{path} at {at} is not UTF-8 text") from None

    def read_bytes(self, path: str, at: str) -> bytes | None:
        """Bytes of a file at a commit or branch; None when it is not there."""
        checked_path(path)
        return self.look(at, lambda commit: self._blobs(commit, path).get(path))

    def files(self, prefix: str, at: str) -> dict[str, str]:
        """Every text file below a folder ("" is all) at a commit or branch: path -> text.

        Files that are not UTF-8 text are left out; :meth:`read_bytes` has them.
        """
        folder = checked_path(prefix.rstrip("/")) + "/" if prefix.strip("/") else ""
        found = self.look(at, lambda commit: self._blobs(commit, folder)) or {}
        return {path: text for path, data in found.items() if (text := _text(data)) is not None}

    def find(self, branch: str, trailers: Mapping[str, str]) -> Commit | None:
        """The newest commit on the branch that carries all these trailers.

        "On the branch" is its first-parent line: of a merged pull request, the merge commit.
        """
        wanted = messages.checked_trailers(trailers)
        patterns = [f"--grep={key}: {value}" for key, value in wanted.items()]
        flags = ("--fixed-strings", "--all-match", *patterns)
        found = self.look(branch, lambda tip: self.objects.commits(tip, *flags)) or ()
        return next((commit for commit in found if wanted.items() <= commit.trailers.items()), None)

    def log(self, branch: str, path: str) -> tuple[Commit, ...]:
        """Commits on the branch's first-parent line that touched a path, newest first."""
        checked_path(path)
        return self.look(branch, lambda tip: self.objects.commits(tip, paths=[path])) or ()

    def look(self, at: str, reading: Callable[[str], T]) -> T | None:
        """Read something at a commit, or at a branch as it is now; None when there is no such branch."""

        def work() -> T | None:
            commit = self._remote.resolve(at)
            return None if commit is None else reading(commit)

        return self._cache.use(work)

    # ------------------------------------------------------------------ writing

    def commit(
        self, branch: str, changes: Mapping[str, str | None], *, subject: str, body: str,
        trailers: Mapping[str, str], base: str | None = None,
    ) -> Commit:  # fmt: skip
        """Write files (None deletes one) as one commit on the branch and push it without force.

        See :meth:`pipelines.ports.Repository.commit`. A new branch whose base reads that way already is not
        made.

        Raises:
            NotYet: others moved the branch each time; nothing was written.
            Unreachable: the push got no answer and the commit is not on the branch.
        """
        text = messages.message(subject, body, trailers)
        paths = [checked_path(path) for path in changes]

        def plan(tip: str | None) -> Draft | str:
            parent = tip or (self._remote.resolve(base) if base else None)
            if base and parent is None:
                raise Misbehaved(SYSTEM, f"{self.git.url} has no {base} to start {branch} from")
            if made := self.objects.draft(tip, parent, changes, text):
                return made
            if parent is None:
                raise Misbehaved(SYSTEM, "nothing to write on a branch that does not exist")
            return self.objects.newest(parent, *paths).sha

        return self._cache.use(lambda: self.objects.newest(self._land(branch, plan)))

    def land(self, branch: str, plan: Plan) -> str:
        """Push what ``plan`` makes of the branch's tip, asking it again whenever the branch has moved.

        A push whose answer was lost is looked for on the branch and not sent twice. Returns the SHA.
        """
        return self._cache.use(lambda: self._land(branch, plan))

    def delete_branch(self, branch: str) -> None:
        """Delete a branch on the remote; already gone is fine."""
        self._cache.use(lambda: self._remote.delete(branch))

    def diagnose(self) -> tuple[Finding, ...]:
        """Reach and rights, by reading the branches and by a push that stays a dry run."""
        try:
            heads = self._cache.use(self._remote.listed)
        except LockgateError as error:
            advice = "check git_url, the network and the token"
            return (Finding(system=SYSTEM, what="reach", good=False, sentence=str(error), advice=advice),)
        reach = Finding(system=SYSTEM, what="reach", good=True, sentence=f"{self.git.url} answers")
        return (reach, self._cache.use(lambda: self._rights(heads)))

    def _rights(self, heads: Mapping[str, str]) -> Finding:
        tip = self._remote.fetch(next(iter(heads)).removeprefix("refs/heads/")) if heads else None
        if tip is None:
            return Finding(system=SYSTEM, what="rights", good=None, sentence="the repository is empty")
        failure = self._remote.would_take(tip, "lockgate/doctor")
        if failure is None:
            return Finding(system=SYSTEM, what="rights", good=True, sentence="may push branches")
        good = False if isinstance(failure, AccessDenied) else None
        advice = "give the token the right to write contents"
        return Finding(system=SYSTEM, what="rights", good=good, sentence=str(failure), advice=advice)

    def _land(self, branch: str, plan: Plan) -> str:
        draft = self._guess(branch, plan)
        outages = 0
        failure: CouldNotTell | NotYet = busy(branch)
        for attempt in range(PUSHES_AT_MOST):
            if attempt or draft is None:
                tip = self._remote.fetch(branch)
                if draft and self.objects.contains(tip, draft.sha):
                    return draft.sha
                if draft is None or draft.tip != tip:
                    made = plan(tip)
                    if isinstance(made, str):
                        return made
                    draft = made
            refusal = self._remote.push(draft, branch)
            if refusal is None:
                return draft.sha
            failure = refusal
            outages += isinstance(failure, Unreachable)
            if not isinstance(failure, (Unreachable, NotYet)) or outages >= _OUTAGES_AT_MOST:
                break
            _pause(attempt)
        # Whatever the last answer was, the branch itself says whether the commit is there.
        if draft and self.objects.contains(self._remote.fetch(branch), draft.sha):
            return draft.sha
        raise failure

    def _guess(self, branch: str, plan: Plan) -> Draft | None:
        """What the plan makes of the branch where it was seen last: the push itself tells whether it moved.

        None where there is nothing to push, since that would be said of a tip that may be an old one.
        """
        tip = self._remote.remembered(branch)
        try:
            made = plan(tip) if tip else None
        except LockgateError:
            return None
        return made if isinstance(made, Draft) else None


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _signing(key: str | None) -> dict[str, str]:
    if not key:
        return {}
    checked_line(key, "signing key")
    kind = "ssh" if "/" in key or key.startswith("key::") else "openpgp"
    return {"gpg.format": kind, "user.signingKey": key}


def _pause(attempt: int) -> None:
    """Wait a little longer each time, by chance, so that writers do not meet again."""
    time.sleep(min(0.03 * 2**attempt, 0.5) * (0.5 + os.urandom(1)[0] / 255))
