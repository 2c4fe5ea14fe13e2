"""Is the artifact the one that was named?"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Protocol

from gates.contract import Evidence, Measurement, Phase, Question, Status, Verdict


class Artifacts(Protocol):
    """Where artifacts are read from."""

    def fetch(self, uri: str) -> Path:
        """A local folder or file holding the artifact's bytes, read afresh."""
        ...


class ArtifactUnusable(ValueError):
    """What lies there has no digest: no file, a symbolic link, a socket; the message names the place."""


def artifact_digest(path: Path) -> str:
    """The digest of an artifact, ``sha256:`` and 64 hexadecimal digits.

    It is the sha256 over one line per file, sorted by bytes: the path below the artifact with ``/``
    between its parts, a zero byte, the sha256 of the file's bytes in hexadecimal, a newline. A single file
    counts as a folder with that one file in it. Empty folders, times and permissions count for nothing.
    Files are read in pieces, so the size of an artifact does not matter.

    Raises:
        ArtifactUnusable: there is no file, or there is a symbolic link or anything else that is no file.
        OSError: something cannot be read; nothing is skipped.
    """
    lines = sorted(_lines(path))
    if not lines:
        raise ArtifactUnusable(f"{path} holds no file")
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return f"sha256:{digest.hexdigest()}"


def _lines(root: Path) -> Iterator[bytes]:
    if not stat.S_ISDIR(root.lstat().st_mode):
        yield _line(root, root.name)
        return
    folders = [root]
    while folders:
        for entry in folders.pop().iterdir():
            if stat.S_ISDIR(entry.lstat().st_mode):
                folders.append(entry)
            else:
                yield _line(entry, entry.relative_to(root).as_posix())


def _line(file: Path, name: str) -> bytes:
    mode = file.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise ArtifactUnusable(f"{file} is a symbolic link: copy what it points at into the artifact")
    if not stat.S_ISREG(mode):
        raise ArtifactUnusable(f"{file} is neither a file nor a folder")
    # No link that took the file's place since is followed.
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW), "rb") as content:
        return os.fsencode(name) + b"\0" + hashlib.file_digest(content, "sha256").hexdigest().encode() + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureSettings:
    """Nothing to set yet: a digest either is the one that was named or is not."""


class Signature:
    """Whether the bytes at the candidate's address are those that the release names.

    The artifact is fetched afresh and its digest computed again. That proves integrity alone: who made the
    artifact is not asked, since verifying a signature over it (model-signing) is not here yet.

    ==========================================  =======  ===================
    what is found                               verdict  reason
    ==========================================  =======  ===================
    the digest is the one under judgement       PASS     digest_matches
    it is another                               FAIL     digest_differs
    a link, a special file, no file, no right   UNKNOWN  artifact_unreadable
    ==========================================  =======  ===================

    Whatever the source of artifacts raises passes through and is no verdict.
    """

    name: ClassVar[str] = "signature"
    phase: ClassVar[Phase] = "preview"
    needs: ClassVar[frozenset[str]] = frozenset({"artifacts"})
    Settings: ClassVar[type] = SignatureSettings

    def __init__(self, settings: SignatureSettings, *, artifacts: Artifacts) -> None:
        self._settings = settings
        self._artifacts = artifacts

    def judge(self, question: Question) -> Verdict:
        """Fetch the candidate's artifact and compare its digest with the subject's."""
        uri, named = question.candidate.uri, question.subject.digest
        path = self._artifacts.fetch(uri)
        try:
            found = artifact_digest(path)
        except (ArtifactUnusable, OSError) as error:
            return _verdict(
                question, Status.UNKNOWN, "artifact_unreadable", f"{uri} has no digest: {error}.", None
            )
        if found != named:
            sentence = f"{uri} has the digest {found}, but {named} is under judgement; promote what is there."
            return _verdict(question, Status.FAIL, "digest_differs", sentence, found)
        return _verdict(question, Status.PASS, "digest_matches", f"{uri} has the digest {named}.", found)


def _verdict(question: Question, status: Status, reason: str, sentence: str, found: str | None) -> Verdict:
    facts = {"uri": question.candidate.uri, "digest": question.subject.digest, "signature": "not verified"}
    return Verdict(
        gate=Signature.name,
        subject=question.subject,
        status=status,
        reason=reason,
        sentence=sentence,
        at=question.now,
        evidence=Evidence(
            measurements=(Measurement(name="digest", value=found, arm="candidate"),),
            facts=MappingProxyType(facts),
        ),
    )
