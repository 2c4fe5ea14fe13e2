"""Noise is measured on rollouts in which nothing was wrong; what they cannot tell stays cautious."""

from __future__ import annotations

import numpy as np
import pytest

from gates.canary.looks import Counted, Look
from gates.canary.noise import FEWEST_ROLLOUTS, calibrate
from gates.canary.settings import ERRORS, SLOW


def rollouts(
    count: int, *, spread: float = 0.0, memory: float = 4.5, rate: float = 400.0, minutes: int = 60
) -> list[list[Look]]:
    """Of two equal arms whose ratio wanders, with so many slow answers a minute at each."""
    generator, kept = np.random.default_rng(20261123), np.exp(-1 / memory)
    found = []
    for _ in range(count):
        wander, looks = generator.standard_normal() * spread, []
        for minute in range(minutes):
            wander = kept * wander + np.sqrt(1 - kept**2) * generator.standard_normal() * spread
            bad = generator.poisson(rate * np.exp([wander / 2, -wander / 2]))
            looks.append(look(minute, Counted(int(bad[0]), 10_000), Counted(int(bad[1]), 10_000)))
        found.append(looks)
    return found


def look(minute: int, candidate: Counted, stable: Counted) -> Look:
    """One minute at 50 %."""
    return Look(
        began=60.0 * minute,
        ended=60.0 * minute + 60.0,
        share_percent=50,
        candidate={"slow": candidate},
        stable={"slow": stable},
    )


@pytest.mark.parametrize(("spread", "memory"), [(0.25, 4.5), (0.1, 10.0), (0.4, 2.0)])
def test_the_noise_that_is_there_is_found(spread: float, memory: float) -> None:
    """Its spread from above, its memory to within a step of the scale."""
    found = calibrate(rollouts(40, spread=spread, memory=memory), [SLOW])
    assert found is not None
    assert found.rollouts == 40
    assert spread * 0.95 <= found.noise["slow"] <= spread * 1.3
    assert memory / 1.6 <= found.memory_minutes <= memory * 1.6


def test_without_noise_hardly_any_is_found() -> None:
    """What is left is what these counts could not have shown."""
    found = calibrate(rollouts(40), [SLOW])
    assert found is not None
    assert found.noise["slow"] < 0.03


def test_what_few_requests_cannot_tell_stays_cautious() -> None:
    """Rather than a bound so wide that nothing could ever be judged, or one so small that all could."""
    found = calibrate(rollouts(6, rate=0.05), [SLOW])
    assert found is not None
    assert found.noise["slow"] == SLOW.spread


def test_too_few_rollouts_measure_nothing() -> None:
    """Nor does a metric that was never counted."""
    assert calibrate(rollouts(FEWEST_ROLLOUTS - 1), [SLOW]) is None
    assert calibrate(rollouts(FEWEST_ROLLOUTS), [ERRORS]) is None
