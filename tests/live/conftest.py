"""One town and one namespace for all tests here; without a cluster each of them is skipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipelines.rehearsal.training import train
from tests.live.harbour import Harbour, harbour, missing


@pytest.fixture(scope="session")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    """Where promotions run as workflows of a real controller."""
    if lacking := missing():
        pytest.skip(f"not set or not there: {', '.join(lacking)}")
    folder = tmp_path_factory.mktemp("live")
    train(folder / "artifacts")
    with harbour(folder, folder / "artifacts") as made:
        yield made
