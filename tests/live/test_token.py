"""The sweeper's token runs out: that is said, nothing is lost by it, and nothing is rolled back."""

from __future__ import annotations

import base64
import json
import time

import pytest

from tests.live.harbour import TOKEN, Harbour

pytestmark = [pytest.mark.live, pytest.mark.timeout(3600)]

LEAST_MINUTES = 10
"""Kubernetes issues none for less."""


def test_an_expired_token_stops_nobody_but_the_sweeper(port: Harbour) -> None:
    """The API server's own refusal, of a token that was good."""
    token = port.kubectl("create", "token", "lockgate-driver", f"--duration={LEAST_MINUTES}m").strip()
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert port.sweeper(token).sweep().good

    port.town.wanted()
    promotion = port.begun(port.submit())
    assert port.shell("hold", promotion, "--person", "oscar", "--reason", "tokens").code == 0
    waits, _ = port.comes_to(promotion, "review")
    time.sleep(max(0.0, claims["exp"] - time.time()) + 90)  # the Argo server's own clock may be behind

    good = dict(port.environment)
    try:
        port.environment[TOKEN] = token
        ran = port.shell("sweep")
    finally:
        port.environment.update(good)
    assert ran.code == 5, ran.out + ran.err
    assert "Argo cannot be asked" in ran.out + ran.err
    assert token not in ran.out + ran.err
    state = port.state(promotion)
    assert (state.rollback, state.ended) == (None, None)
    still = port.waiting(promotion, "review")
    assert still is not None
    assert still[0].name == waits.name

    assert port.shell("abort", promotion, "--person", "oscar", "--reason", "seen enough").code == 0
    port.ended(promotion)
