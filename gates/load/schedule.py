"""When each request is to be sent and which it is, known before the first one goes: pure."""

from __future__ import annotations

import hashlib
import random
import struct

from gates.load.recording import Run


def schedule(run: Run, payloads: int) -> tuple[list[tuple[float, int]], str]:
    """Arrivals as (seconds from the start, number of the payload), and their sha256.

    A Poisson process of the run's rate: independent users who do not wait for one another.
    """
    dice = random.Random(run.seed)  # noqa: S311 - repeatable on purpose
    arrivals, at = [], dice.expovariate(run.rate_rps)
    while at < run.warm_up_seconds + run.seconds:
        arrivals.append((at, dice.randrange(payloads)))
        at += dice.expovariate(run.rate_rps)
    digest = hashlib.sha256(b"".join(struct.pack("<dq", *arrival) for arrival in arrivals))
    return arrivals, digest.hexdigest()
