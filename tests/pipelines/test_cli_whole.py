"""One promotion by the command line alone, through live traffic: promoted, explained, proven, taken back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.commands import Shell
from tests.stories.town import Town

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A quick rehearsal in which v1 serves."""
    folder = tmp_path_factory.mktemp("whole")
    with Town(folder / "town", artifacts=folder / "artifacts") as town:
        yield town


@pytest.fixture
def shell(town: Town, tmp_path: Path) -> Shell:
    """Dana's shell."""
    own = {"HOME": str(tmp_path), "LOCKGATE_STATE_DIR": str(tmp_path / "state"), "LOCKGATE_PERSON": "dana"}
    return Shell({**town.environment, **own})


def test_a_version_is_promoted_explained_proven_and_brought_back(
    town: Town, shell: Shell, tmp_path: Path
) -> None:
    """Every answer after the promotion is about what really happened, and the rollback is one word."""
    town.write_rules(preview=True)
    version = town.version()
    spelled = (version.label, "--uri", version.uri, "--digest", version.digest)
    ran = shell("promote", "fraud-scorer", *spelled, "--reason", "better recall")
    assert ran.code == 0, ran.out + ran.err
    assert f"{version.label} serves 100 % of fraud-scorer in prod" in ran.out
    assert set(town.answering(10)) == {version.label}

    now = datetime.now(UTC).isoformat()
    found = shell("why", "fraud-scorer", "--at", now, "--json").json
    assert found["certain"] is True
    (share,) = found["possible"][0]["shares"]
    assert (share["label"], share["percent"]) == (version.label, 100)

    place = tmp_path / "evidence.zip"
    assert shell("evidence", "fraud-scorer", "-o", place).code == 0
    assert shell("evidence", "verify", place).code == 0

    back = shell("rollback", "fraud-scorer", "--reason", "complaints", LOCKGATE_PERSON="oscar")
    assert back.code == 0, back.out + back.err
    assert f"{version.label} is at 0 %: oscar brought the version before it back: complaints" in back.out
    assert set(town.answering(10)) == {"v1"}
    assert "rolled back" in shell("history", "fraud-scorer").out
    (share,) = shell("why", "fraud-scorer", "--at", datetime.now(UTC).isoformat(), "--json").json["possible"][
        0
    ]["shares"]
    assert (share["label"], share["percent"]) == ("v1", 100)
    assert shell("evidence", "fraud-scorer", "-o", place).code == 0
