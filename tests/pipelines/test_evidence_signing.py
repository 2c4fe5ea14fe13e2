"""Statements under a signature: whose it is, and that nothing else bears it.

Covered: every kind of key, each planted forgery, any flipped byte (property), the missing library. Left out:
where the key comes from (test_cli_shared).
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.contract import Status
from pipelines.evidence import SUMS, SigningFailed, archive, pack, signing, verify
from tests import plans
from tests.examples import V2
from tests.pipelines.test_evidence import EVENTS, contents, journal, material

pytest.importorskip("securesystemslib", reason="the extra signing is not installed")


def pair(kind: str = "ed25519") -> tuple[str, str]:
    """A private key and its public key, as PEM."""
    from cryptography.hazmat.primitives import serialization as to
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

    makers: dict[str, Callable[[], Any]] = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "x25519": x25519.X25519PrivateKey.generate,
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    }
    key = makers[kind]()
    private = key.private_bytes(to.Encoding.PEM, to.PrivateFormat.PKCS8, to.NoEncryption())
    public = key.public_key().public_bytes(to.Encoding.PEM, to.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


PRIVATE, PUBLIC = pair()
OTHER_PRIVATE, OTHER_PUBLIC = pair("p256")
TRUSTED, OTHER = "env:RISK_KEY", "file:/etc/other.pub"
JUDGED = [
    plans.judged("policy", "judge", Status.PASS, digest=V2.digest),
    plans.judged("evaluation", "judge", Status.PASS, digest=V2.digest),
]
MATERIAL = material(journal=journal(EVENTS[0], *JUDGED, *EVENTS[1:]), signing_key=PRIVATE)
SIGNED = pack(MATERIAL)
UNSIGNED = pack(material(journal=MATERIAL.journal))


def forged(change: Callable[[dict[str, bytes]], object], data: bytes = SIGNED) -> bytes:
    """The file made again, sums and all, after its contents were changed."""
    files = contents(data)
    del files[SUMS]
    change(files)
    return archive.wrap(files)


def envelopes(data: bytes = SIGNED) -> list[dict[str, Any]]:
    return [json.loads(line) for line in contents(data)[signing.ENVELOPES].decode().splitlines()]


def rewritten(held: list[dict[str, Any]]) -> Callable[[dict[str, bytes]], None]:
    """Puts these envelopes in the place of those that are there."""

    def write(files: dict[str, bytes]) -> None:
        files[signing.ENVELOPES] = "".join(json.dumps(one) + "\n" for one in held).encode()

    return write


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "p256", "p384", "p521"])
def test_statements_are_signed_by_any_common_key(kind: str) -> None:
    """And whose key it is can be told by openssl alone."""
    private, public = pair(kind)
    data = pack(material(journal=MATERIAL.journal, signing_key=private))
    checked = verify(data, {TRUSTED: public})

    assert checked.broken == ""
    assert contents(data)[signing.KEY].decode() == public
    der = base64.b64decode("".join(public.splitlines()[1:-1]))
    keyid = f"sha256:{hashlib.sha256(der).hexdigest()}"
    assert f"2 statements are signed by the key {keyid}, {TRUSTED}" in checked.held
    assert {one["signatures"][0]["keyid"] for one in envelopes(data)} == {keyid}


def test_each_envelope_holds_its_statement() -> None:
    """Byte for byte, with the type that in-toto names."""
    statements = contents(SIGNED)["statements.jsonl"].decode().splitlines()
    assert [base64.b64decode(one["payload"]).decode() for one in envelopes()] == statements
    assert {one["payloadType"] for one in envelopes()} == {"application/vnd.in-toto+json"}


def test_without_a_key_named_the_file_says_that_it_vouches_for_itself() -> None:
    """The key inside proves no more than that one hand signed everything."""
    checked = verify(SIGNED)
    assert checked.broken == ""
    assert any("brings along; name the one you trust with --key" in line for line in checked.held)


def test_unsigned_is_said_and_refused_where_a_key_is_named() -> None:
    """Taking the signatures away is no way round them."""
    assert any("NOT signed" in line for line in verify(UNSIGNED).held)
    assert verify(UNSIGNED).broken == ""
    assert "not signed, by none of env:RISK_KEY" in verify(UNSIGNED, {TRUSTED: PUBLIC}).broken
    assert contents(UNSIGNED).keys() == contents(SIGNED).keys() - {signing.ENVELOPES, signing.KEY}


def test_a_key_that_is_not_trusted_is_refused() -> None:
    """Whoever can write a file can make a key."""
    told = verify(SIGNED, {OTHER: OTHER_PUBLIC}).broken
    assert "which is not file:/etc/other.pub" in told
    assert verify(SIGNED, {OTHER: OTHER_PUBLIC, TRUSTED: PUBLIC}).broken == ""
    assert "env:RISK_KEY is no public key" in verify(SIGNED, {TRUSTED: "not a key"}).broken


def _statement_changed(files: dict[str, bytes]) -> None:
    held = envelopes()
    payload = base64.b64decode(held[0]["payload"]).replace(b'"PASS"', b'"FAIL"')
    rewritten([{**held[0], "payload": base64.b64encode(payload).decode()}, held[1]])(files)


def _key_swapped(files: dict[str, bytes]) -> None:
    files[signing.KEY] = OTHER_PUBLIC.encode()


def _signature_swapped(files: dict[str, bytes]) -> None:
    held = envelopes()
    rewritten([{**held[0], "signatures": held[1]["signatures"]}, held[1]])(files)


def _type_changed(files: dict[str, bytes]) -> None:
    held = envelopes()
    rewritten([{**held[0], "payloadType": "text/plain"}, held[1]])(files)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_statement_changed, "envelope 1 of signatures.jsonl is not of statement 1"),
        (rewritten([*reversed(envelopes())]), "envelope 1 of signatures.jsonl is not of statement 1"),
        (rewritten(envelopes()[:1]), "1 envelopes for 2 statements"),
        (rewritten([]), "0 envelopes for 2 statements"),
        (rewritten([{}, {}]), "line 1 of signatures.jsonl cannot be checked"),
        (rewritten([{**envelopes()[0], "signatures": []}, envelopes()[1]]), "envelope 1 in signatures.jsonl"),
        (_signature_swapped, "the signature of envelope 1 in signatures.jsonl is not by the key"),
        (_type_changed, "envelope 1 of signatures.jsonl is not of statement 1"),
        (_key_swapped, "the signature of envelope 1 in signatures.jsonl is not by the key"),
        (lambda files: files.pop(signing.KEY), "signing-key.pem is missing"),
        (lambda files: files.pop(signing.ENVELOPES), "signatures.jsonl is missing"),
        (lambda files: files.update({signing.KEY: b"no key"}), "signing-key.pem is no public key"),
        (lambda files: files.update({signing.KEY: b"\xff"}), "is not UTF-8 text"),
    ],
)  # fmt: skip
def test_a_planted_forgery_is_named(change: Callable[[dict[str, bytes]], object], words: str) -> None:
    """Though every sum is right."""
    assert words in verify(forged(change)).broken


def test_a_verdict_changed_together_with_its_journal_is_found() -> None:
    """A chain can be made again by whoever has it; the signature cannot."""
    judged = [plans.judged("policy", "judge", Status.FAIL, digest=V2.digest), JUDGED[1]]
    other = contents(pack(material(journal=journal(EVENTS[0], *judged, *EVENTS[1:]))))
    signatures = {path: contents(SIGNED)[path] for path in (signing.ENVELOPES, signing.KEY)}
    del other[SUMS]
    data = archive.wrap({**other, **signatures})

    assert verify(archive.wrap(other)).broken == ""
    assert "is not of statement 2" in verify(data).broken


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, len(SIGNED) - 1), bit=st.integers(0, 7))
def test_one_flipped_byte_anywhere_is_found(place: int, bit: int) -> None:
    """In an envelope and in the key too."""
    flipped = bytes([*SIGNED[:place], SIGNED[place] ^ (1 << bit), *SIGNED[place + 1 :]])
    assert verify(flipped).broken


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, 63), bit=st.integers(0, 7))
def test_one_flipped_bit_of_a_signature_is_found_whatever_the_sums_say(place: int, bit: int) -> None:
    """All 512 bits of an Ed25519 signature count."""
    held = envelopes()
    signature = bytearray(base64.b64decode(held[1]["signatures"][0]["sig"]))
    signature[place] ^= 1 << bit
    held[1]["signatures"][0]["sig"] = base64.b64encode(bytes(signature)).decode()
    assert "the signature of envelope 2" in verify(forged(rewritten(held))).broken


@pytest.mark.parametrize("key", ["", "no key", PUBLIC, pair("x25519")[0]])
def test_a_key_that_cannot_sign_is_refused(key: str) -> None:
    """By a sentence, before anything is written."""
    with pytest.raises(SigningFailed, match="the key cannot sign"):
        signing.sign("{}\n", key)


def test_without_the_library_a_signed_file_does_not_hold(tmp_path: Path) -> None:
    """What cannot be checked here is not called checked; the sentence says what to install."""
    (tmp_path / "file.zip").write_bytes(SIGNED)
    program = (
        "import sys; sys.modules['securesystemslib'] = None; from pathlib import Path;"
        "from pipelines.evidence import verify;"
        f"print(verify(Path({str(tmp_path / 'file.zip')!r}).read_bytes()).broken)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'lockgate[signing]'" in ran.stdout
