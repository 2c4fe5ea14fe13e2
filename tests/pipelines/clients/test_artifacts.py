"""Artifacts are read whole and within bounds, from where they are said to be, or not at all.

Left out: real S3 and Google Cloud Storage. Where fsspec is installed, its file system in memory stands in.
"""

from __future__ import annotations

import gc
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from pipelines.clients.artifacts import ArtifactStore, _get, _inside
from pipelines.errors import InvalidInput, Misbehaved, Refused, Unreachable


@pytest.fixture
def bucket() -> Any:
    """A file system of fsspec in memory in the place of S3: two files of one artifact, one of another."""
    fsspec = pytest.importorskip("fsspec")
    memory = importlib.import_module("fsspec.implementations.memory").MemoryFileSystem

    class Bucket(memory):  # type: ignore[misc, valid-type]
        protocol = ("s3",)
        store: dict[str, Any] = {}  # noqa: RUF012  # fsspec's own shape

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return "/" + path.removeprefix("s3://").strip("/")

    fsspec.register_implementation("s3", Bucket, clobber=True)
    Bucket.store.clear()
    filesystem = fsspec.filesystem("s3")
    for name, data in (("v1/model.bin", b"model"), ("v1/deep/a.json", b"{}"), ("v10/model.bin", b"other")):
        filesystem.pipe_file(f"/models/{name}", data)
    return filesystem


def test_a_local_folder_is_read_where_it_lies(tmp_path: Path) -> None:
    """No copy is made: what is judged is what is there."""
    folder = tmp_path / "fraud scorer" / "v1"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"model")

    assert ArtifactStore().fetch(folder.as_uri()) == folder


def test_a_local_file_is_an_artifact_too(tmp_path: Path) -> None:
    """One file, by its address."""
    (tmp_path / "model.bin").write_bytes(b"model")

    assert ArtifactStore().fetch((tmp_path / "model.bin").as_uri()) == tmp_path / "model.bin"


def test_a_host_in_a_file_address_is_refused() -> None:
    """file://models/v1 means the host `models`, not the folder; two slashes are a common slip."""
    with pytest.raises(InvalidInput, match=r"names the host models \(hint: write file:///path\)"):
        ArtifactStore().fetch("file://models/v1")


def test_nothing_there_is_no_artifact(tmp_path: Path) -> None:
    """A folder that is gone may be a mount that is missing: could not tell."""
    with pytest.raises(Unreachable, match="nothing is there"):
        ArtifactStore().fetch((tmp_path / "v9").as_uri())


def test_more_than_allowed_is_refused(tmp_path: Path) -> None:
    """The bound is on all files together, to the byte."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"12345")

    assert ArtifactStore(maximum_bytes=10).fetch(tmp_path.as_uri()) == tmp_path
    with pytest.raises(Refused, match="has 10 bytes, at most 9 are read"):
        ArtifactStore(maximum_bytes=9).fetch(tmp_path.as_uri())


@pytest.mark.parametrize("uri", ["http://host/v1", "models/v1", "memory://v1", "oci://host/v1@sha256:0", ""])
def test_an_unknown_scheme_is_refused_with_the_known_ones(uri: str) -> None:
    """Whoever wrote it learns what can be written."""
    with pytest.raises(InvalidInput, match="hint: one of file://, s3://, gs://"):
        ArtifactStore().fetch(uri)


@pytest.mark.skipif(bool(importlib.util.find_spec("gcsfs")), reason="gcsfs is installed")
def test_a_missing_library_names_the_extra() -> None:
    """The error says what to install."""
    with pytest.raises(
        InvalidInput, match=r"reading gs:// needs fsspec and gcsfs .*hint: pip install 'lockgate\[gcs\]'"
    ):
        ArtifactStore().fetch("gs://models/v1")


def test_a_remote_artifact_is_downloaded_whole(bucket: Any) -> None:
    """All files below the address, none of its neighbour v10."""
    store = ArtifactStore()
    folder = store.fetch("s3://models/v1")
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert files == {"model.bin": b"model", "deep/a.json": b"{}"}


def test_a_remote_artifact_is_read_afresh_and_kept_once(bucket: Any) -> None:
    """What changed in the store is seen, and a long wait does not fill the disk with copies."""
    store = ArtifactStore()
    first = store.fetch("s3://models/v1")
    bucket.pipe_file("/models/v1/model.bin", b"changed")
    second = store.fetch("s3://models/v1")

    assert (second / "model.bin").read_bytes() == b"changed"
    assert not first.exists()


def test_a_single_remote_file_keeps_its_name(bucket: Any) -> None:
    """The digest is over names, too."""
    store = ArtifactStore()
    folder = store.fetch("s3://models/v1/model.bin")

    assert [path.name for path in folder.iterdir()] == ["model.bin"]


def test_downloads_go_when_the_store_goes(bucket: Any) -> None:
    """Nothing is left in the temporary folder of a machine that runs many promotions."""
    store = ArtifactStore()
    folder = store.fetch("s3://models/v1")
    del store
    gc.collect()

    assert not folder.exists()


def test_a_remote_artifact_is_bounded_before_it_is_downloaded(bucket: Any) -> None:
    """Seven bytes in all."""
    with pytest.raises(Refused, match="has 7 bytes, at most 6 are read"):
        ArtifactStore(maximum_bytes=6).fetch("s3://models/v1")


def test_a_remote_address_without_files_is_no_artifact(bucket: Any) -> None:
    """An empty listing is not an empty artifact."""
    with pytest.raises(Unreachable, match="nothing is there"):
        ArtifactStore().fetch("s3://models/v9")


@pytest.mark.parametrize(
    "name", ["bucket/v1/../v2/model.bin", "bucket/v10/model.bin", "etc/passwd", "bucket/v1/.."]
)
def test_a_listing_that_leaves_the_artifact_is_refused(name: str) -> None:
    """Nothing is written outside the download's folder, whatever a store lists."""
    with pytest.raises(Misbehaved, match="which lies outside"):
        _inside("s3://bucket/v1", "bucket/v1", name)


def test_a_listed_file_keeps_its_place() -> None:
    """Below the artifact's folder."""
    assert str(_inside("s3://bucket/v1", "bucket/v1", "bucket/v1/deep/a.json")) == "deep/a.json"
    assert str(_inside("s3://bucket/m.bin", "bucket/m.bin", "bucket/m.bin")) == "m.bin"


class Shelf:
    """A store in a folder that hands out one file."""

    def __init__(self, data: bytes | None) -> None:
        self.data = data

    def get_file(self, name: str, target: str) -> None:
        if self.data is None:
            raise OSError(f"{name}: access denied")
        Path(target).write_bytes(self.data)


def test_a_file_cut_short_is_not_taken(tmp_path: Path) -> None:
    """The bytes that came are held against those announced."""
    with pytest.raises(Misbehaved, match="a: 3 bytes came, 5 were announced"):
        _get(Shelf(b"123"), "a", tmp_path / "a", 5)


def test_a_store_that_fails_is_an_outage(tmp_path: Path) -> None:
    """With its own words."""
    with pytest.raises(Unreachable, match="OSError: a: access denied"):
        _get(Shelf(None), "a", tmp_path / "a", 5)
