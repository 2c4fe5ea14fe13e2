"""Which version a registry alias stands for: its address from the registry, its digest from the bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gates.signature import artifact_digest
from pipelines.cli.choosing import Asked, version
from pipelines.cli.session import Session
from pipelines.errors import InvalidInput
from pipelines.ports import Resolved
from tests import examples

ALIAS = "models:/fraud-scorer@candidate"
DIGEST = "sha256:" + "a" * 64


class Aliases:
    """A registry in which one alias stands for one address."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def resolve(self, alias: str) -> Resolved:
        """What it stands for."""
        return Resolved(alias=alias, version="38", uri=self.uri)

    def set_alias(self, model: str, alias: str, uri: str) -> None:
        """Never asked here."""
        raise NotImplementedError


def test_an_alias_becomes_an_immutable_address_and_a_digest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are kept, with the alias itself, and told."""
    (tmp_path / "model.bin").write_bytes(b"weights")
    found = version(
        Asked(ALIAS, None, None), examples.release(), lambda: Aliases(tmp_path.as_uri()), Session()
    )

    assert (found.label, found.uri, found.alias) == ("v38", tmp_path.as_uri(), ALIAS)
    assert found.digest == artifact_digest(tmp_path)
    assert f"{ALIAS} stands for version 38: {tmp_path.as_uri()}, {found.digest}" in capsys.readouterr().out


def test_a_digest_that_was_given_is_taken(tmp_path: Path) -> None:
    """Nothing is downloaded then; the signature gate compares it later."""
    uri = "s3://nowhere/fraud-scorer/v38"
    found = version(Asked(ALIAS, None, DIGEST), examples.release(), lambda: Aliases(uri), Session())

    assert (found.uri, found.digest) == (uri, DIGEST)


@pytest.mark.parametrize(
    ("asked", "uri", "says"),
    [
        (Asked(ALIAS, "s3://m/v1", DIGEST), "s3://m/v38", "brings its own address"),
        (Asked(ALIAS, None, DIGEST), "s3://m/latest", "--uri"),
    ],
)
def test_an_alias_that_names_nothing_immutable_is_refused(asked: Asked, uri: str, says: str) -> None:
    """Whatever the registry says."""
    with pytest.raises(InvalidInput, match=says):
        version(asked, examples.release(), lambda: Aliases(uri), Session())
