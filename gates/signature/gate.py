"""The gate: what is found about an artifact's bytes and its signature, and what follows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal, Protocol

from gates.contract import Evidence, Measurement, Phase, Question, Status, Verdict
from gates.signature.digest import ArtifactUnusable, file_digests, whole_digest
from gates.signature.signing import NotSigned, SigningMissing, verify

_REFERENCE = re.compile(r"env:[A-Z_][A-Z0-9_]*|file:/[^\s]+")


class Artifacts(Protocol):
    """Where artifacts are read from."""

    def fetch(self, uri: str) -> Path:
        """A local folder or file holding the artifact's bytes, read afresh."""
        ...


class Keys(Protocol):
    """Where keys are read from."""

    def value(self, reference: str) -> str:
        """The text that a reference stands for; an exception when there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureSettings:
    """Whose signatures count. A tier that fixes ``keys`` should fix ``unsigned`` too."""

    keys: tuple[str, ...] = ()
    """Public keys, any of which may have signed: ``env:NAME`` or ``file:/absolute/path`` of a PEM. None: the
    digest alone is asked for."""
    unsigned: Literal["fail", "pass"] = "fail"
    """What an artifact without a signature gets where there are keys. A wrong one fails in any case."""

    def __post_init__(self) -> None:
        for key in self.keys:
            if not _REFERENCE.fullmatch(key):
                raise ValueError(f"write env:NAME or file:/absolute/path of a public key; got {key!r}")


class Signature:
    """Whether the bytes at the candidate's address are those that the release names, and who signed them.

    The artifact is fetched afresh and its digest computed again. Where the tier names keys, one of them must
    have signed every file of it. The signature is looked at first, since it names the file that is wrong.

    ==========================================  =======  =======================
    what is found                               verdict  reason
    ==========================================  =======  =======================
    a link, a special file, no file, no right   UNKNOWN  artifact_unreadable
    model-signing is not installed              UNKNOWN  signing_not_installed
    no signature, and the tier wants one        FAIL     unsigned
    what is there is no signature of files      FAIL     signature_malformed
    none of the keys made it                    FAIL     wrong_key
    a signed file is missing                    FAIL     file_missing
    a file is not as it was signed              FAIL     file_changed
    a file was added after it was signed        FAIL     file_extra
    the library has another objection           FAIL     signature_mismatch
    the digest is another than the one named    FAIL     digest_differs
    no signature, and the tier lets it pass     PASS     unsigned_allowed
    signed by a key, and the digest is right    PASS     signed
    no key is named, and the digest is right    PASS     digest_matches
    ==========================================  =======  =======================

    Whatever the sources of artifacts and keys raise passes through and is no verdict.
    """

    name: ClassVar[str] = "signature"
    phase: ClassVar[Phase] = "preview"
    needs: ClassVar[frozenset[str]] = frozenset({"artifacts", "keys"})
    Settings: ClassVar[type] = SignatureSettings

    def __init__(self, settings: SignatureSettings, *, artifacts: Artifacts, keys: Keys) -> None:
        self._settings = settings
        self._artifacts = artifacts
        self._keys = keys

    def judge(self, question: Question) -> Verdict:
        """Fetch the candidate's artifact, and hold it against its signature and the subject's digest."""
        uri, named = question.candidate.uri, question.subject.digest
        path = self._artifacts.fetch(uri)
        try:
            files = file_digests(path)
        except (ArtifactUnusable, OSError) as error:
            sentence = f"{uri} has no digest: {error}."
            return _verdict(question, Status.UNKNOWN, "artifact_unreadable", sentence, None)
        found = whole_digest(files)
        try:
            signer = self._signer(path, files)
        except SigningMissing as error:
            return _verdict(question, Status.UNKNOWN, "signing_not_installed", f"{error}.", found)
        except NotSigned as error:
            if error.reason != "unsigned" or self._settings.unsigned == "fail":
                return _verdict(question, Status.FAIL, error.reason, f"{uri} is refused: {error}.", found)
            signer = ""
        if found != named:
            sentence = f"{uri} has the digest {found}, but {named} is under judgement; promote what is there."
            return _verdict(question, Status.FAIL, "digest_differs", sentence, found, signer)
        return _passed(question, found, signer)

    def _signer(self, path: Path, files: dict[str, str]) -> str | None:
        """The reference of the key that signed; None when no key is named."""
        if not self._settings.keys:
            return None
        return verify(path, files, {key: self._keys.value(key) for key in self._settings.keys})


def _passed(question: Question, found: str, signer: str | None) -> Verdict:
    reason, told = {
        None: ("digest_matches", ""),
        "": ("unsigned_allowed", "; it is not signed, which the tier allows"),
    }.get(signer, ("signed", f" and is signed by {signer}"))
    sentence = f"{question.candidate.uri} has the digest {found}{told}."
    return _verdict(question, Status.PASS, reason, sentence, found, signer)


def _verdict(
    question: Question,
    status: Status,
    reason: str,
    sentence: str,
    found: str | None,
    signer: str | None = None,
) -> Verdict:
    facts = {
        "uri": question.candidate.uri,
        "digest": question.subject.digest,
        "signature": f"verified with {signer}" if signer else "not verified",
    }
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
