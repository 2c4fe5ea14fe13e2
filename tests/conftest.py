"""What holds for every test: no example is too slow, Ctrl-C reaches children, stories come first."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell ignores it for what it starts in the background; processes of the tests would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stories wait most of their time: begun first, they leave no worker alone with the last of them."""
    items.sort(key=lambda item: "stories" not in item.path.parts)
