"""One town per file, and a fresh one for who comes after a story that left something open."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.rehearsal.training import train
from tests.stories.telling import Story
from tests.stories.town import Town


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained versions, made once for all worker processes of a run."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "story-artifacts"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        train(folder)
    return folder


class Towns:
    """The town that stories of one file share, until one of them leaves it untidy."""

    def __init__(self, artifacts: Path, new_folder: Callable[[], Path]) -> None:
        self._artifacts = artifacts
        self._new_folder = new_folder
        self._town: Town | None = None

    def clean(self, serving: str | None = None) -> Town:
        """A town in which nothing is under way; where it matters what serves there first, a new one."""
        if serving is not None:
            self.leave()
        if self._town is None:
            serving = "v1" if serving is None else serving
            self._town = Town(self._new_folder(), artifacts=self._artifacts, serving=serving)
            self._town.__enter__()
        return self._town

    def leave(self) -> None:
        """End the town; the next story gets a fresh one."""
        town, self._town = self._town, None
        if town is not None:
            town.__exit__(None, None, None)


@pytest.fixture(scope="module")
def towns(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Towns]:
    towns = Towns(artifacts, lambda: tmp_path_factory.mktemp("town"))
    yield towns
    towns.leave()


@pytest.fixture
def story(request: pytest.FixtureRequest, towns: Towns, tmp_path: Path) -> Iterator[Story]:
    """A story in the file's town, under the quick rules. One that does not end tidily ends its town too.

    Its parameter, if it has one, is the version that serves first; "" for none.
    """
    town = towns.clean(getattr(request, "param", None))
    story = Story(town, tmp_path)
    tidy = False
    try:
        town.write_rules()
        yield story
        tidy = bool(story.told) and all(told.state.ended is not None for told in story.told)
    finally:
        if not tidy:
            towns.leave()
