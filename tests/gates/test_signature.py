"""The signature gate: the digest is that of the bytes, and of nothing else.

Covered: what counts and what does not, everything refused, each verdict. Left out: where artifacts come
from (test_artifacts).
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.contract import Gate, Status, Verdict
from gates.signature import ArtifactUnusable, Signature, SignatureSettings, artifact_digest
from tests.questions import arm, question


class OnDisk:
    """Artifacts that lie where their file:// address says."""

    def fetch(self, uri: str) -> Path:
        """The path in the address."""
        return Path(uri.removeprefix("file://"))


class Ring(dict[str, str]):
    """Keys by reference; LookupError for one that is not there."""

    def value(self, reference: str) -> str:
        """The text of a key."""
        return self[reference]


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A folder with two files, one of them in a folder of its own."""
    folder = tmp_path / "v2"
    (folder / "weights").mkdir(parents=True)
    (folder / "model.json").write_bytes(b"{}")
    (folder / "weights" / "layer-0.bin").write_bytes(bytes(range(256)))
    return folder


def judge(path: Path, digest: str) -> Verdict:
    """Ask the gate about an artifact on disk."""
    candidate = replace(arm("candidate", "v2"), uri=path.as_uri())
    gate = Signature(SignatureSettings(), artifacts=OnDisk(), keys=Ring())
    return gate.judge(question(digest=digest, candidate=candidate))


class TestDigest:
    """What the digest is made of."""

    def test_is_the_sha256_over_sorted_lines_of_path_and_file_digest(self, artifact: Path) -> None:
        """Anybody can compute it again from the sentence in the docstring."""
        lines = sorted(
            f"{name}\0{hashlib.sha256((artifact / name).read_bytes()).hexdigest()}\n".encode()
            for name in ("model.json", "weights/layer-0.bin")
        )
        assert artifact_digest(artifact) == "sha256:" + hashlib.sha256(b"".join(lines)).hexdigest()

    def test_of_a_known_artifact_never_changes(self, artifact: Path) -> None:
        """Releases carry digests for years; this one was computed by coreutils' sha256sum."""
        known = "sha256:f022ce0c91871136666afedcc3d047dd95f81578fb9d7e11aaf5ab47a1a0c7b8"
        assert artifact_digest(artifact) == known

    def test_of_a_file_is_that_of_a_folder_holding_it_alone(self, tmp_path: Path) -> None:
        """A model that is one file may be addressed either way."""
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(b"weights")
        assert artifact_digest(folder / "model.onnx") == artifact_digest(folder)

    def test_ignores_times_permissions_and_empty_folders(self, artifact: Path) -> None:
        """A copy through object storage, which knows none of them, has the same digest."""
        before = artifact_digest(artifact)
        (artifact / "empty").mkdir()
        os.utime(artifact / "model.json", (0, 0))
        (artifact / "model.json").chmod(0o600)
        assert artifact_digest(artifact) == before

    @pytest.mark.parametrize(
        "change",
        [
            lambda folder: (folder / "model.json").write_bytes(b"{ }"),
            lambda folder: (folder / "model.json").rename(folder / "Model.json"),
            lambda folder: (folder / "weights" / "layer-0.bin").rename(folder / "layer-0.bin"),
            lambda folder: (folder / "extra").write_bytes(b""),
            lambda folder: (folder / "model.json").unlink(),
        ],
        ids=["byte", "name", "place", "one more", "one less"],
    )
    def test_differs_after_any_change(self, artifact: Path, change: Callable[[Path], object]) -> None:
        """A byte, a name, a place, a file more or less: another artifact."""
        before = artifact_digest(artifact)
        change(artifact)
        assert artifact_digest(artifact) != before

    @given(
        content=st.dictionaries(st.text("abc\n", min_size=1, max_size=3), st.binary(max_size=4), min_size=1)
    )
    def test_depends_on_nothing_but_names_and_bytes(
        self, content: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Written in another order elsewhere, even with newlines in names, it is the same."""
        digests = set()
        for names in (sorted(content), sorted(content, reverse=True)):
            folder = tmp_path_factory.mktemp("artifact")
            for name in names:
                (folder / name).write_bytes(content[name])
            digests.add(artifact_digest(folder))
        assert len(digests) == 1


class TestRefusals:
    """What has no digest, planted one by one."""

    def test_nothing_in_it(self, tmp_path: Path) -> None:
        """Folders alone are no artifact."""
        (tmp_path / "a" / "b").mkdir(parents=True)
        with pytest.raises(ArtifactUnusable, match="holds no file"):
            artifact_digest(tmp_path / "a")

    @pytest.mark.parametrize("target", ["model.json", "weights", "nowhere"])
    def test_a_symbolic_link_inside(self, artifact: Path, target: str) -> None:
        """What a link points at can change without the artifact changing."""
        (artifact / "link").symlink_to(artifact / target)
        with pytest.raises(ArtifactUnusable, match="link is a symbolic link"):
            artifact_digest(artifact)

    def test_an_artifact_that_is_itself_a_link(self, artifact: Path, tmp_path: Path) -> None:
        """The same holds for the whole."""
        (tmp_path / "latest").symlink_to(artifact)
        with pytest.raises(ArtifactUnusable, match="latest is a symbolic link"):
            artifact_digest(tmp_path / "latest")

    def test_a_pipe(self, artifact: Path) -> None:
        """Reading it would wait for ever."""
        os.mkfifo(artifact / "pipe")
        with pytest.raises(ArtifactUnusable, match="pipe is neither a file nor a folder"):
            artifact_digest(artifact)

    def test_a_socket(self, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It has no bytes."""
        monkeypatch.chdir(artifact)  # the name of a socket must be short
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("s")
            with pytest.raises(ArtifactUnusable, match="neither a file nor a folder"):
                artifact_digest(artifact)

    def test_nothing_there(self, tmp_path: Path) -> None:
        """A missing artifact is an error, not an empty one."""
        with pytest.raises(FileNotFoundError):
            artifact_digest(tmp_path / "v9")


class TestVerdict:
    """What the gate says."""

    def test_is_a_gate(self) -> None:
        """It has everything that the registry asks for."""
        assert isinstance(Signature(SignatureSettings(), artifacts=OnDisk(), keys=Ring()), Gate)

    def test_passes_the_named_digest(self, artifact: Path) -> None:
        """The bytes are those under judgement."""
        verdict = judge(artifact, artifact_digest(artifact))
        assert (verdict.status, verdict.reason) == (Status.PASS, "digest_matches")
        assert verdict.evidence.measurements[0].value == artifact_digest(artifact)
        assert verdict.evidence.facts["signature"] == "not verified"

    def test_fails_another_digest_and_says_both(self, artifact: Path) -> None:
        """One changed byte is refused, with what was named and what was found."""
        named = artifact_digest(artifact)
        (artifact / "model.json").write_bytes(b"[]")
        verdict = judge(artifact, named)
        assert (verdict.status, verdict.reason) == (Status.FAIL, "digest_differs")
        assert named in verdict.sentence
        assert artifact_digest(artifact) in verdict.sentence

    def test_cannot_tell_about_an_artifact_without_digest(self, artifact: Path) -> None:
        """A link is neither the right bytes nor the wrong ones."""
        named = artifact_digest(artifact)
        (artifact / "link").symlink_to(artifact / "model.json")
        verdict = judge(artifact, named)
        assert (verdict.status, verdict.reason) == (Status.UNKNOWN, "artifact_unreadable")
        assert "symbolic link" in verdict.sentence

    def test_cannot_tell_when_nothing_is_there(self, tmp_path: Path) -> None:
        """An artifact that cannot be read is not blamed."""
        verdict = judge(tmp_path / "v9", "sha256:" + "0" * 64)
        assert (verdict.status, verdict.reason) == (Status.UNKNOWN, "artifact_unreadable")
