"""Signing an artifact and verifying it, by OpenSSF model-signing with keys of our own: nothing goes online.

The signature is the file ``model.sig`` at the top of the artifact: a sigstore bundle that holds an in-toto
statement with the sha256 of every other file. It is part of what the artifact's digest covers, so sign first
and name the digest then. An artifact that is a single file has no room for one and counts as unsigned.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

SIGNATURE_FILE = "model.sig"
MAXIMUM_BYTES = 64 * 2**20
"""A larger signature is refused unread: it would name about half a million files."""
_MISMATCH = "Signature mismatch"
"""How model-signing begins its sentence when the key is right and the files are not."""


class SigningMissing(RuntimeError):
    """The library that signs and verifies is not installed."""


class NotSigned(ValueError):
    """The artifact does not bear a signature that holds; ``reason`` is a code, the message a sentence."""

    def __init__(self, reason: str, sentence: str) -> None:
        self.reason = reason
        super().__init__(sentence)


def sign(artifact: Path, private_key: str) -> Path:
    """Sign every file of a folder; the place of the signature. One that is there is replaced.

    Args:
        artifact: the folder, with no symbolic link in it.
        private_key: PEM of an elliptic curve key (P-256, P-384 or P-521) without a password.

    Raises:
        SigningMissing: model-signing is not installed.
        NotSigned: it is no folder, or the key cannot be used.
    """
    if not artifact.is_dir():
        raise NotSigned("no_folder", "only a folder has room for a signature: put the file into one")
    place = artifact / SIGNATURE_FILE
    with _key_file(private_key) as key:
        try:
            config = _library("signing").Config().use_elliptic_key_signer(private_key=key)
        except (ValueError, TypeError) as error:
            raise NotSigned("key_unusable", f"the key cannot sign: {error}") from None
        config.set_hashing_config(_all_but_the_signature()).sign(artifact, place)
    return place


def verify(artifact: Path, files: Mapping[str, str], keys: Mapping[str, str]) -> str:
    """See that one of the keys signed exactly these files; which one.

    Args:
        artifact: the folder.
        files: sha256 of each of its files, as :func:`gates.signature.digest.file_digests` has them.
        keys: reference of a key -> its PEM.

    Raises:
        SigningMissing: model-signing is not installed.
        NotSigned: it holds not, and why: ``unsigned``, ``signature_malformed``, ``wrong_key``,
            ``file_missing``, ``file_changed``, ``file_extra`` or ``signature_mismatch``.
    """
    if SIGNATURE_FILE not in files or not artifact.is_dir():
        raise NotSigned("unsigned", f"it holds no {SIGNATURE_FILE}, so nobody vouches for it")
    signed = _signed_files(artifact / SIGNATURE_FILE)
    said: str | None = ""
    for name, key in keys.items():
        said = _ask(artifact, key)
        if said is None or said.startswith(_MISMATCH):
            _compare(signed, files)
            if said is not None:
                raise NotSigned("signature_mismatch", f"its signature does not hold: {said}")
            return name
    raise NotSigned(
        "wrong_key", f"its signature was made by none of {', '.join(keys)} ({(said or '')[:200].strip()})"
    )


def _ask(artifact: Path, public_key: str) -> str | None:
    """What model-signing has against this key; None when it has nothing."""
    verifying = _library("verifying")
    with _key_file(public_key) as key, contextlib.redirect_stdout(sys.stderr):
        try:
            verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)
            verifier.set_hashing_config(_all_but_the_signature())
            verifier.verify(artifact, artifact / SIGNATURE_FILE)
        except Exception as error:  # cryptography, pydantic and the library each raise their own
            return str(error) or type(error).__name__
    return None


def _signed_files(signature: Path) -> dict[str, str]:
    """The files that the statement names, not yet believed."""
    try:
        if signature.stat().st_size > MAXIMUM_BYTES:
            raise ValueError(f"it is larger than {MAXIMUM_BYTES} bytes")
        payload = json.loads(signature.read_bytes())["dsseEnvelope"]["payload"]
        resources = json.loads(base64.b64decode(payload, validate=True))["predicate"]["resources"]
        if any(resource["algorithm"] != "sha256" for resource in resources):
            raise ValueError("it names digests other than the sha256 of whole files")
        return {str(resource["name"]): str(resource["digest"]) for resource in resources}
    except (ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise NotSigned("signature_malformed", f"{SIGNATURE_FILE} is no signature ({why})") from None


def _compare(signed: Mapping[str, str], files: Mapping[str, str]) -> None:
    """Every file is signed, and every signed file is there as it was: our own look, beside the library's."""
    there = {name: digest for name, digest in files.items() if name != SIGNATURE_FILE}
    for reason, names, what in (
        ("file_missing", signed.keys() - there.keys(), "signed and missing"),
        (
            "file_changed",
            {n for n in signed.keys() & there.keys() if signed[n] != there[n]},
            "not as it was signed",
        ),
        ("file_extra", there.keys() - signed.keys(), "there and not signed"),
    ):
        if names:
            first = min(names)
            more = f", and so are {len(names) - 1} more" if len(names) > 1 else ""
            raise NotSigned(reason, f"its file {first} is {what}{more}")


def _all_but_the_signature() -> Any:
    hashing = _library("hashing").Config()
    return hashing.set_ignored_paths(paths=[SIGNATURE_FILE], ignore_git_paths=False)


@contextlib.contextmanager
def _key_file(pem: str) -> Any:
    """The library takes keys from files alone; this one is gone afterwards, and only we could read it."""
    with tempfile.NamedTemporaryFile("w", prefix="lockgate-key-", suffix=".pem") as file:
        file.write(pem if pem.endswith("\n") else f"{pem}\n")
        file.flush()
        yield Path(file.name)


def _library(part: str) -> ModuleType:
    try:
        from model_signing import hashing, signing, verifying
    except ImportError as error:
        message = (
            f"verifying and making signatures needs model-signing ({error}): pip install 'lockgate[signing]'"
        )
        raise SigningMissing(message) from None
    return {"hashing": hashing, "signing": signing, "verifying": verifying}[part]
