"""Signatures by model-signing: who signed, and which file is not as it was signed.

Covered: every refusal planted one by one with its own sentence, what the tier allows, what a hostile
signature file can do, and the commands sign and verify. Left out: the digest (test_signature).
"""

from __future__ import annotations

import json
import shutil
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.contract import Status, Verdict
from gates.signature import (
    NotSigned,
    Signature,
    SignatureSettings,
    artifact_digest,
    file_digests,
    sign,
    verify,
)
from tests.gates.test_signature import OnDisk, Ring
from tests.questions import arm, question

pytest.importorskip("model_signing", reason="the extra signing is not installed")

TRUSTED, OTHER = "env:MODEL_KEY", "file:/etc/lockgate/other.pub"


def pair(curve: str = "SECP256R1") -> tuple[str, str]:
    """A private key and its public key, as PEM."""
    from cryptography.hazmat.primitives import serialization as to
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(getattr(ec, curve)())
    private = key.private_bytes(to.Encoding.PEM, to.PrivateFormat.PKCS8, to.NoEncryption())
    public = key.public_key().public_bytes(to.Encoding.PEM, to.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


PRIVATE, PUBLIC = pair()
OTHER_PRIVATE, OTHER_PUBLIC = pair("SECP384R1")


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """Three files in two folders, signed."""
    folder = tmp_path / "v2"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text("name: 'v2'")
    (folder / "1" / "model.onnx").write_bytes(bytes(range(256)))
    (folder / "1" / "vocabulary.txt").write_text("a\nb\n")
    sign(folder, PRIVATE)
    return folder


def judge(path: Path, *keys: str, digest: str = "", unsigned: Any = "fail") -> Verdict:
    """Ask the gate, which trusts these keys, about an artifact on disk."""
    ring = Ring({TRUSTED: PUBLIC, OTHER: OTHER_PUBLIC})
    gate = Signature(SignatureSettings(keys=keys, unsigned=unsigned), artifacts=OnDisk(), keys=ring)
    candidate = replace(arm("candidate", "v2"), uri=path.as_uri())
    return gate.judge(question(digest=digest or artifact_digest(path), candidate=candidate))


def test_a_signed_artifact_passes_and_the_evidence_names_the_key(artifact: Path) -> None:
    """Any of the keys may have signed."""
    verdict = judge(artifact, OTHER, TRUSTED)

    assert (Status.PASS, "signed") == (verdict.status, verdict.reason)
    assert f"is signed by {TRUSTED}." in verdict.sentence
    assert f"verified with {TRUSTED}" == verdict.evidence.facts["signature"]


@pytest.mark.parametrize("curve", ["SECP256R1", "SECP384R1", "SECP521R1"])
def test_every_curve_that_the_library_knows_signs(artifact: Path, curve: str) -> None:
    """And signing again replaces the signature."""
    private, public = pair(curve)
    sign(artifact, private)

    assert "k" == verify(artifact, file_digests(artifact), {"k": public})


@pytest.mark.parametrize(
    ("plant", "reason", "sentence"),
    [
        (
            lambda a: (a / "config.pbtxt").write_text("name: 'v3'"),
            "file_changed",
            "config.pbtxt is not as it was signed",
        ),
        (lambda a: (a / "1" / "model.onnx").unlink(), "file_missing", "1/model.onnx is signed and missing"),
        (lambda a: (a / "evil.py").touch(), "file_extra", "evil.py is there and not signed"),
        (lambda a: (a / ".gitignore").touch(), "file_extra", ".gitignore is there and not signed"),
        (
            lambda a: (a / "1" / "vocabulary.txt").rename(a / "1" / "words.txt"),
            "file_missing",
            "1/vocabulary.txt is signed and missing",
        ),
        (lambda a: sign(a, OTHER_PRIVATE), "wrong_key", f"made by none of {TRUSTED}"),
        (lambda a: (a / "model.sig").unlink(), "unsigned", "holds no model.sig, so nobody vouches for it"),
        (
            lambda a: (a / "model.sig").write_text("{}"),
            "signature_malformed",
            "model.sig is no signature (KeyError",
        ),
        (
            lambda a: (a / "model.sig").write_bytes(b"\xff"),
            "signature_malformed",
            "model.sig is no signature",
        ),
    ],
    ids=["changed", "missing", "extra", "git", "renamed", "key", "unsigned", "empty", "binary"],
)
def test_each_fault_is_refused_for_its_own_reason(
    artifact: Path, plant: Callable[[Path], object], reason: str, sentence: str
) -> None:
    """Even when whoever changed it also named the new digest."""
    plant(artifact)
    verdict = judge(artifact, TRUSTED)

    assert (Status.FAIL, reason) == (verdict.status, verdict.reason)
    assert sentence in verdict.sentence
    assert "not verified" == verdict.evidence.facts["signature"]


def test_several_faults_are_counted(artifact: Path) -> None:
    """The first is named, the others are not hidden."""
    (artifact / "a").touch()
    (artifact / "b").touch()

    assert "its file a is there and not signed, and so are 1 more" in judge(artifact, TRUSTED).sentence


def test_a_rightly_signed_artifact_that_was_not_named_fails(artifact: Path) -> None:
    """A signature says who made it, the release which one is wanted: an older version is signed too."""
    verdict = judge(artifact, TRUSTED, digest="sha256:" + "0" * 64)

    assert (Status.FAIL, "digest_differs") == (verdict.status, verdict.reason)
    assert f"verified with {TRUSTED}" == verdict.evidence.facts["signature"]


def test_the_tier_may_let_unsigned_artifacts_pass_and_says_so(artifact: Path) -> None:
    """A wrong signature fails there too."""
    (artifact / "model.sig").unlink()
    verdict = judge(artifact, TRUSTED, unsigned="pass")
    assert (Status.PASS, "unsigned_allowed") == (verdict.status, verdict.reason)
    assert "it is not signed, which the tier allows" in verdict.sentence

    sign(artifact, OTHER_PRIVATE)
    assert (Status.FAIL, "wrong_key") == (
        (found := judge(artifact, TRUSTED, unsigned="pass")).status,
        found.reason,
    )


def test_without_keys_the_digest_alone_is_asked_for(artifact: Path) -> None:
    """As it was before there were keys; the evidence says that nothing was verified."""
    verdict = judge(artifact)

    assert (Status.PASS, "digest_matches") == (verdict.status, verdict.reason)
    assert "not verified" == verdict.evidence.facts["signature"]


def test_a_single_file_counts_as_unsigned(artifact: Path) -> None:
    """There is no room for a signature in it."""
    verdict = judge(artifact / "config.pbtxt", TRUSTED)

    assert (Status.FAIL, "unsigned") == (verdict.status, verdict.reason)


def test_a_key_that_is_not_there_is_no_verdict(artifact: Path) -> None:
    """What the source of keys raises passes through, and counts as UNKNOWN."""
    with pytest.raises(LookupError):
        judge(artifact, "env:NOWHERE")


def test_a_key_in_place_of_its_reference_is_refused() -> None:
    """Settings are read by everybody."""
    with pytest.raises(ValueError, match="write env:NAME or file:/absolute/path of a public key"):
        SignatureSettings(keys=(PUBLIC,))


def forged(artifact: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the signed statement without a key."""
    place = artifact / "model.sig"
    bundle = json.loads(place.read_text())
    statement = json.loads(b64decode(bundle["dsseEnvelope"]["payload"]))
    change(statement)
    bundle["dsseEnvelope"]["payload"] = b64encode(json.dumps(statement).encode()).decode()
    place.write_text(json.dumps(bundle))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["predicate"]["resources"][0].update(digest="0" * 64),
        lambda s: s["predicate"]["resources"].pop(),
        lambda s: s["predicate"]["serialization"].update(ignore_paths=["evil.py", "model.sig"]),
        lambda s: s["subject"][0].update(name="another"),
    ],
    ids=["digest", "file", "ignored", "name"],
)
def test_a_statement_that_was_changed_is_signed_by_nobody(
    artifact: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    """Whatever it claims then: no key made it."""
    (artifact / "evil.py").touch()
    forged(artifact, change)

    assert (Status.FAIL, "wrong_key") == ((found := judge(artifact, TRUSTED)).status, found.reason)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_byte_of_a_signature_can_change_and_let_another_artifact_pass(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A byte of the signature and a byte of the model are flipped: never a PASS, never an exception."""
    folder = tmp_path_factory.mktemp("a") / "v2"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"weights")
    place = sign(folder, PRIVATE)
    raw = bytearray(place.read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    place.write_bytes(raw)
    (folder / "model.onnx").write_bytes(b"Weights")

    assert Status.FAIL is judge(folder, TRUSTED).status


@pytest.mark.parametrize("key", ["no key", PUBLIC])
def test_what_is_no_private_key_signs_nothing(artifact: Path, key: str) -> None:
    """The reason is one sentence, and the old signature stays."""
    before = (artifact / "model.sig").read_bytes()
    with pytest.raises(NotSigned, match="the key cannot sign"):
        sign(artifact, key)

    assert before == (artifact / "model.sig").read_bytes()


class TestCommands:
    """lockgate sign and lockgate verify, as a person or an init container runs them."""

    @pytest.fixture(autouse=True)
    def _keys(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in (("SIGNING", PRIVATE), ("MODEL_KEY", PUBLIC), ("OTHER", OTHER_PUBLIC)):
            monkeypatch.setenv(name, value)

    def run(self, *words: str) -> int:
        """The exit code."""
        from pipelines.cli import run

        return run(words)

    def test_what_was_signed_verifies(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Sign prints the digest that the release names and verify asks for."""
        (tmp_path / "model.json").write_text("{}")
        assert 0 == self.run("sign", str(tmp_path), "--key", "env:SIGNING")
        digest = capsys.readouterr().out.strip()
        assert artifact_digest(tmp_path) == digest

        assert 0 == self.run("verify", tmp_path.as_uri(), "--digest", digest, "--key", "env:MODEL_KEY")
        assert f"holds: {digest}, signed by env:MODEL_KEY" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            (["--key", "env:OTHER"], "made by none of env:OTHER"),
            (["--digest", "sha256:0"], "not sha256:0"),
        ],
    )
    def test_what_does_not_hold_is_exit_code_4(
        self, artifact: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
    ) -> None:
        """An init container that ends so keeps the pod from starting."""
        assert 4 == self.run("verify", str(artifact), *options)
        assert says in capsys.readouterr().out

    def test_nothing_to_hold_it_against_is_a_mistake(self, artifact: Path) -> None:
        """Neither a digest nor a key: nothing would be verified."""
        assert 3 == self.run("verify", str(artifact))

    def test_an_artifact_with_a_link_is_not_signed(self, artifact: Path) -> None:
        """What it points at could change."""
        (artifact / "link").symlink_to(artifact / "config.pbtxt")
        shutil.copy(artifact / "model.sig", before := artifact.parent / "before")

        assert 3 == self.run("sign", str(artifact), "--key", "env:SIGNING")
        assert before.read_bytes() == (artifact / "model.sig").read_bytes()
