"""Files and commits of the GitOps repository, by the git command line on a bare clone.

Commits are made without a work tree and pushed without force. The clone holds the whole history of the
branches read, because trailers are searched in it.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pipelines.clients.git import messages
from pipelines.clients.git.cache import Cache
from pipelines.clients.git.command import (
    SYSTEM,
    Answer,
    CacheBroken,
    GitCommand,
    checked_branch,
    checked_line,
    checked_path,
)
from pipelines.errors import AccessDenied, CouldNotTell, LockgateError, Misbehaved, NotYet, Unreachable
from pipelines.ports import Commit, Finding

T = TypeVar("T")
PUSHES_AT_MOST = 10
"""Tries of one push while others keep moving the branch."""
_OUTAGES_AT_MOST = 3
_NOTHING = "0" * 40
_SHA = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Draft:
    """A commit made in the clone that nobody else has seen yet."""

    tip: str | None
    """What the branch named when it was made."""
    sha: str


Plan = Callable[[str | None], "Draft | Commit"]
"""Given the branch's tip (None: no such branch), the commit to push, or the one that makes it unnecessary."""


class GitRepository:
    """A repository reached by git over HTTP(S), ssh or a file path.

    ``folder`` holds the clone and may be shared by several processes. ``token`` is a password for HTTP or
    a function that gives the present one. ``signing_key`` is a gpg key id, or the path of an ssh key.
    """

    def __init__(
        self, url: str, *, folder: Path, token: str | Callable[[], str] | None, author_name: str,
        author_email: str, signing_key: str | None = None, timeout_seconds: float = 60,
    ) -> None:  # fmt: skip
        identity = (checked_line(author_name, "author name"), checked_line(author_email, "author e-mail"))
        self.git = GitCommand(
            url, folder.absolute() / "clone.git", token=token, timeout_seconds=timeout_seconds,
            settings=_signing(signing_key), identity=identity,
        )  # fmt: skip
        self._sign = ["-S"] if signing_key else []
        self._cache = Cache(folder, self.git, patience_seconds=2 * timeout_seconds)

    # ------------------------------------------------------------------ reading

    def head(self, branch: str) -> str | None:
        """SHA of the branch on the remote now; None when there is no such branch."""
        ref = f"refs/heads/{checked_branch(branch)}"
        return self._cache.use(lambda: self._tip(ref))

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
        return self.look(at, lambda commit: self.blobs(commit, path).get(path))

    def files(self, prefix: str, at: str) -> dict[str, str]:
        """Every text file below a folder ("" is all) at a commit or branch: path -> text.

        Files that are not UTF-8 text are left out; :meth:`read_bytes` has them.
        """
        folder = checked_path(prefix.rstrip("/")) + "/" if prefix.strip("/") else ""
        found = self.look(at, lambda commit: self.blobs(commit, folder)) or {}
        return {path: text for path, data in found.items() if (text := _text(data)) is not None}

    def find(self, branch: str, trailers: Mapping[str, str]) -> Commit | None:
        """The newest commit on the branch that carries all these trailers.

        "On the branch" is its first-parent line: of a merged pull request, the merge commit.
        """
        wanted = messages.checked_trailers(trailers)
        patterns = [f"--grep={key}: {value}" for key, value in wanted.items()]
        flags = ("--fixed-strings", "--all-match", *patterns)
        found = self.look(branch, lambda tip: self._commits(tip, *flags)) or ()
        return next((commit for commit in found if wanted.items() <= commit.trailers.items()), None)

    def log(self, branch: str, path: str) -> tuple[Commit, ...]:
        """Commits on the branch's first-parent line that touched a path, newest first."""
        checked_path(path)
        return self.look(branch, lambda tip: self._commits(tip, paths=[path])) or ()

    def look(self, at: str, reading: Callable[[str], T]) -> T | None:
        """Read something at a commit, or at a branch as it is now; None when there is no such branch."""

        def work() -> T | None:
            commit = self._resolve(at)
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

        def plan(tip: str | None) -> Draft | Commit:
            parent = tip or (self._resolve(base) if base else None)
            if base and parent is None:
                raise Misbehaved(SYSTEM, f"{self.git.url} has no {base} to start {branch} from")
            return self.draft(tip, parent, changes, text) or self._newest(parent, paths)

        return self.land(branch, plan)

    def land(self, branch: str, plan: Plan) -> Commit:
        """Push what ``plan`` makes of the branch's tip, asking it again whenever the branch has moved.

        A push whose answer was lost is looked for on the branch and not sent twice.
        """
        checked_branch(branch)
        return self._cache.use(lambda: self._land(branch, plan))

    def delete_branch(self, branch: str) -> None:
        """Delete a branch on the remote; already gone is fine."""
        ref = f"refs/heads/{checked_branch(branch)}"
        self._cache.use(lambda: self._delete(ref))

    def diagnose(self) -> tuple[Finding, ...]:
        """Reach and rights, by reading the branches and by a push that stays a dry run."""
        try:
            heads = self._cache.use(self._listed)
        except LockgateError as error:
            advice = "check git_url, the network and the token"
            return (Finding(system=SYSTEM, what="reach", good=False, sentence=str(error), advice=advice),)
        reach = Finding(system=SYSTEM, what="reach", good=True, sentence=f"{self.git.url} answers")
        return (reach, self._cache.use(lambda: self._rights(heads)))

    # -------------------------------------------------------- inside: the remote

    def _listed(self, *refs: str) -> dict[str, str]:
        answer = self.git("ls-remote", "--heads", "--end-of-options", self.git.url, *refs, remote=True)
        if answer.code:
            raise self.git.failure(answer, "list branches")
        rows = (line.split("\t") for line in answer.out.decode(errors="replace").splitlines())
        return {ref: sha for sha, ref in rows}

    def _tip(self, ref: str) -> str | None:
        tip = self._listed(ref).get(ref)
        if tip is None:
            self._check_absent(ref)
        return tip

    def _check_absent(self, ref: str) -> None:
        """Make sure that a branch is not there: to git, a page saying "back soon" has no branches either.

        Raises:
            Misbehaved: whoever answered does not speak git.
            Unreachable: the branch is there after all.
        """
        spoken = {"GIT_TRACE_PACKET": "1"}
        answer = self.git("ls-remote", "--end-of-options", self.git.url, remote=True, extra=spoken)
        if answer.code:
            raise self.git.failure(answer, "list branches")
        if "packet:" not in answer.err:
            raise Misbehaved(
                SYSTEM, f"{self.git.url} answers, but not as a git repository does; check git_url"
            )
        if f"\t{ref}\n".encode() in answer.out:
            raise Unreachable(SYSTEM, f"{self.git.url} gave two answers about {ref}; try again")

    def _fetch(self, branch: str) -> str | None:
        """The branch's tip on the remote, with its history at hand."""
        # A hash for a name: branches `a` and, later, `a/b` cannot get into each other's way.
        seen = f"refs/seen/{hashlib.sha256(branch.encode()).hexdigest()[:24]}"
        answer = self._fetched(f"+refs/heads/{checked_branch(branch)}:{seen}")
        if answer.code == 0:
            return self.git.text("rev-parse", "--verify", "--end-of-options", seen)
        if "couldn't find remote ref" in answer.err.lower():
            self.git("update-ref", "-d", seen)
            self._check_absent(f"refs/heads/{branch}")
            return None
        raise self.git.failure(answer, f"read branch {branch}")

    def _fetched(self, refspec: str) -> Answer:
        quiet = ("--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options")
        return self.git("fetch", *quiet, self.git.url, refspec, remote=True)

    def _resolve(self, at: str) -> str | None:
        """A commit at hand in the clone: ``at`` itself, or the tip of the branch of that name."""
        if not _SHA.fullmatch(at):
            return self._fetch(at)
        if self._has(at):
            return at
        answer = self._fetched(at)
        if answer.code and "not our ref" not in answer.err:
            raise self.git.failure(answer, f"read commit {at}")
        if not self._has(at):
            raise Misbehaved(SYSTEM, f"{self.git.url} has no commit {at}; was a branch rewritten?")
        return at

    def _has(self, sha: str) -> bool:
        return self.git("cat-file", "-e", f"{sha}^{{commit}}").code == 0

    def _land(self, branch: str, plan: Plan) -> Commit:
        draft: Draft | None = None
        outages, failure = 0, _busy(branch)
        for attempt in range(PUSHES_AT_MOST):
            tip = self._fetch(branch)
            if draft and self._contains(tip, draft.sha):
                return self.described(draft.sha)
            if draft is None or draft.tip != tip:
                made = plan(tip)
                if isinstance(made, Commit):
                    return made
                draft = made
            refusal = self._push(draft.sha, branch)
            if refusal is None:
                return self.described(draft.sha)
            failure = refusal
            outages += isinstance(failure, Unreachable)
            if not isinstance(failure, (Unreachable, NotYet)) or outages >= _OUTAGES_AT_MOST:
                break
            _pause(attempt)
        # Whatever the last answer was, the branch itself says whether the commit is there.
        if draft and self._contains(self._fetch(branch), draft.sha):
            return self.described(draft.sha)
        raise failure

    def _push(self, sha: str, branch: str) -> CouldNotTell | NotYet | None:
        try:
            answer = self._sent(f"{sha}:refs/heads/{branch}")
        except Unreachable as failure:
            return failure
        if answer.code == 0:
            return None
        verdict = answer.out.decode(errors="replace")
        if re.search(r"\[rejected\]|failed to update ref|cannot lock ref|incorrect old value", verdict):
            return _busy(branch)
        reason = " · ".join(line.split("\t")[-1] for line in verdict.splitlines() if line.startswith("!"))
        return self.git.failure(Answer(answer.code, b"", f"{answer.err}\n{reason}"), f"push to {branch}")

    def _sent(self, refspec: str, *flags: str) -> Answer:
        quiet = ("--porcelain", "--quiet", *flags, "--end-of-options")
        return self.git("push", *quiet, self.git.url, refspec, remote=True)

    def _contains(self, tip: str | None, sha: str) -> bool:
        return tip is not None and self.git("merge-base", "--is-ancestor", sha, tip).code == 0

    def _delete(self, ref: str) -> None:
        if ref not in self._listed(ref):
            return
        answer = self._sent(f":{ref}")
        if answer.code and ref in self._listed(ref):
            raise self.git.failure(answer, f"delete {ref}")

    def _rights(self, heads: Mapping[str, str]) -> Finding:
        tip = self._fetch(next(iter(heads)).removeprefix("refs/heads/")) if heads else None
        if tip is None:
            return Finding(system=SYSTEM, what="rights", good=None, sentence="the repository is empty")
        answer = self._sent(f"{tip}:refs/heads/lockgate/doctor", "--dry-run")
        if answer.code == 0:
            return Finding(system=SYSTEM, what="rights", good=True, sentence="may push branches")
        failure = self.git.failure(answer, "push (dry run)")
        good = False if isinstance(failure, AccessDenied) else None
        advice = "give the token the right to write contents"
        return Finding(system=SYSTEM, what="rights", good=good, sentence=str(failure), advice=advice)

    # --------------------------------------------------------- inside: the clone

    def blobs(self, commit: str, path: str, *, ending: str = "") -> dict[str, bytes]:
        """Bytes of the regular file at a path, or of all below it when it ends in "/" or is empty.

        ``ending`` keeps only paths that end so. For plans and :meth:`look`.
        """
        recursive = ["-r"] if path.endswith("/") or not path else []
        listed = self.git.local("ls-tree", "-z", "--full-tree", *recursive, commit, *([path] if path else []))
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
        out = self.git.local("cat-file", "--batch", data=b"\n".join(wanted) + b"\n")
        contents, start = {}, 0
        for oid in wanted:
            end = out.index(b"\n", start)
            header = out[start:end].split()
            if header[:2] != [oid, b"blob"]:
                raise CacheBroken(f"bad object {oid.decode()}")
            start = end + 1 + int(header[2]) + 1
            contents[oid] = out[end + 1 : start - 1]
        return contents

    def draft(
        self, tip: str | None, parent: str | None, changes: Mapping[str, str | None], message: bytes
    ) -> Draft | None:
        """A commit on ``parent`` with these changes; None when it reads that way already. For plans."""
        before = self.git.text("rev-parse", f"{parent}^{{tree}}") if parent else None
        tree = self._tree(parent, changes)
        if tree == before:
            return None
        on = ["-p", parent] if parent else []
        return Draft(tip, self.git.text("commit-tree", *self._sign, *on, "-F", "-", tree, data=message))

    def _tree(self, parent: str | None, changes: Mapping[str, str | None]) -> str:
        rows = []
        for path, text in changes.items():
            if text is None:
                rows.append(f"0 {_NOTHING}\t{path}\0")
            else:
                oid = self.git.text("hash-object", "-w", "--stdin", data=text.encode())
                rows.append(f"100644 {oid}\t{path}\0")
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self.git.local("read-tree", *([parent] if parent else ["--empty"]), extra=index)
            self.git.local("update-index", "-z", "--index-info", data="".join(rows).encode(), extra=index)
            return self.git.text("write-tree", extra=index)

    def _commits(self, tip: str, *flags: str, paths: Iterable[str] = ()) -> tuple[Commit, ...]:
        text = self.git.text(
            "log", "--first-parent", f"--format={messages.FORMAT}", *flags, tip, "--", *paths
        )
        return tuple(messages.commits(text))

    def _newest(self, parent: str | None, paths: Iterable[str]) -> Commit:
        if parent is None:
            raise Misbehaved(SYSTEM, "nothing to write on a branch that does not exist")
        found = self._commits(parent, "--max-count=1", paths=paths)
        return found[0] if found else self.described(parent)

    def described(self, sha: str) -> Commit:
        """A commit in the clone as the steps need it; for plans."""
        return self._commits(sha, "--max-count=1")[0]


def _busy(branch: str) -> CouldNotTell | NotYet:
    return NotYet("branch_busy", f"{branch} is moved by others all the time; try again", 5.0)


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
