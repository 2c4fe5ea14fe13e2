"""Statements under a signature: DSSE envelopes (https://github.com/secure-systems-lab/dsse), one a line.

Made with a private key of ours, by securesystemslib; nothing goes online. A key is told by the sha256 of its
public half in DER: ``openssl pkey -pubin -in key.pem -outform DER | sha256sum``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

PAYLOAD_TYPE = "application/vnd.in-toto+json"
ENVELOPES, KEY = "signatures.jsonl", "signing-key.pem"
"""Where the envelopes and the public key stand in the evidence."""


class SigningMissing(RuntimeError):
    """The library that signs and verifies is not installed."""


class SigningFailed(ValueError):
    """The key cannot sign or verify, or a signature does not hold; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Envelopes of every statement, and whose they are."""

    envelopes: str
    public_key: str
    """PEM of the public half."""


def sign(statements: str, private_key: str) -> Signed:
    """Put each statement into an envelope.

    Args:
        statements: one JSON object a line.
        private_key: PEM of an Ed25519, ECDSA (P-256, P-384, P-521) or RSA key without a password.

    Raises:
        SigningMissing: securesystemslib is not installed.
        SigningFailed: the key cannot be used.
    """
    try:
        from cryptography.hazmat.primitives import serialization
        from securesystemslib.dsse import Envelope
        from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]
    except ImportError as error:
        raise _missing(error) from None
    try:
        private = serialization.load_pem_private_key(private_key.encode(), password=None)
        public = private.public_key()
        known = SSlibKey.from_crypto(public, keyid=_fingerprint(public))
        signer = CryptoSigner(private, known)
    except Exception as error:  # cryptography and the library each raise their own
        raise SigningFailed(f"the key cannot sign: {error}") from None
    lines = []
    for statement in statements.splitlines():
        envelope = Envelope(statement.encode(), PAYLOAD_TYPE, {})
        envelope.sign(signer)
        lines.append(json.dumps(envelope.to_dict(), sort_keys=True, separators=(",", ":")) + "\n")
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Signed(envelopes="".join(lines), public_key=pem.decode())


def verify(signed: Signed, statements: str, trusted: Mapping[str, str]) -> str:
    """See that one key signed exactly these statements; what is known of it, in words.

    Args:
        trusted: reference of a public key -> its PEM; one of them must be the key. Empty: any key will do.

    Raises:
        SigningMissing: securesystemslib is not installed.
        SigningFailed: names the first envelope that does not hold, and why.
    """
    public = _load(signed.public_key, KEY)
    keyid = _fingerprint(public)
    named = [name for name, pem in trusted.items() if _fingerprint(_load(pem, name)) == keyid]
    if trusted and not named:
        raise SigningFailed(
            f"the statements are signed by the key {keyid}, which is not {', '.join(trusted)}"
        )
    wanted, held = statements.splitlines(), signed.envelopes.splitlines()
    if len(wanted) != len(held):
        raise SigningFailed(f"{ENVELOPES} has {len(held)} envelopes for {len(wanted)} statements")
    for number, (line, statement) in enumerate(zip(held, wanted, strict=True), 1):
        _check(line, statement, public, number)
    which = named[0] if named else f"which {KEY} brings along; name the one you trust with --key"
    return f"{len(wanted)} statements are signed by the key {keyid}, {which}"


def _check(line: str, statement: str, public: PublicKeyTypes, number: int) -> None:
    """One envelope: that it is of this statement, and signed by this key."""
    try:
        from securesystemslib.dsse import Envelope
        from securesystemslib.exceptions import VerificationError
        from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]
    except ImportError as error:
        raise _missing(error) from None
    keyid = _fingerprint(public)
    try:
        envelope = Envelope.from_dict(json.loads(line))
        key = SSlibKey.from_crypto(public, keyid=keyid)
    except Exception as error:  # whoever forges one may put anything there
        raise SigningFailed(f"line {number} of {ENVELOPES} cannot be checked: {error}") from None
    if (envelope.payload, envelope.payload_type) != (statement.encode(), PAYLOAD_TYPE):
        raise SigningFailed(f"envelope {number} of {ENVELOPES} is not of statement {number}")
    try:
        envelope.verify([key], 1)
    except VerificationError:
        message = f"the signature of envelope {number} in {ENVELOPES} is not by the key {keyid}"
        raise SigningFailed(message) from None


def _load(pem: str, name: str) -> PublicKeyTypes:
    from cryptography.hazmat.primitives import serialization

    try:
        return serialization.load_pem_public_key(pem.encode())
    except Exception as error:  # cryptography has several ways to say so
        raise SigningFailed(f"{name} is no public key: {error}") from None


def _fingerprint(public: PublicKeyTypes) -> str:
    from cryptography.hazmat.primitives import serialization

    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def _missing(error: ImportError) -> SigningMissing:
    return SigningMissing(f"signatures need securesystemslib ({error}): pip install 'lockgate[signing]'")
