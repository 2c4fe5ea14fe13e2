"""Streams through a real Prometheus, in small: what is exposed is what was made, and is judged alike."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gates.canary import CanarySettings
from pipelines.rehearsal.prometheus import find
from tests.bench.judge import wire
from tests.bench.judge.book import read
from tests.counters import Held, Traffic, counters

BOOK = read()
SMALL = replace(BOOK, shares=(50, 100), tables={"fraud": replace(BOOK.tables["fraud"], minutes=4)})
SETTINGS = CanarySettings(noise={"errors": 0.15, "slow": 0.3, "tail": 0.25, "body": 0.16}, memory_minutes=4.5)


def test_counters_end_where_the_stream_ended() -> None:
    """Of both arms, in whole requests, never falling but at a restart."""
    (one,), (looks,) = wire.expose(SMALL, "err1.0", runs=1, seed=3)
    quiet = replace(one, restarts=np.full(2, np.inf))
    times = np.linspace(0, 300, 61)
    shown = np.array([quiet.at(float(seconds)) for seconds in times])
    assert (np.diff(shown, axis=0) >= 0).all()
    assert (shown == np.floor(shown)).all()
    assert (shown[-1] == one.counts[-1]).all()
    assert (shown[-1][:, 0] + shown[-1][:, 1] == shown[-1][:, -1]).all()
    errors = [one.counts[-1][arm, 0] - one.counts[1][arm, 0] for arm in (0, 1)]
    assert errors == [
        sum(look.candidate["errors"].bad for look in looks),
        sum(look.stable["errors"].bad for look in looks),
    ]


def test_a_restart_begins_at_zero() -> None:
    """And goes on from there."""
    (one,), _ = wire.expose(SMALL, "clean", runs=1, seed=3)
    again = replace(one, restarts=np.array([90.0, np.inf]))
    assert (again.at(90.0)[0] == 0).all()
    assert again.at(120.0)[0, 1] < one.at(120.0)[0, 1]


def test_the_exposition_is_what_prometheus_reads() -> None:
    """One line per series, a name, labels and a whole number."""
    (one,), _ = wire.expose(SMALL, "clean", runs=1, seed=3)
    lines = wire.exposition([one], 100.0).splitlines()
    assert len(lines) == 2 * (2 + len(one.service.edges_ms) + 1)
    assert all(
        re.fullmatch(r'[a-z_]+\{envoy_cluster_name="clean-0/[a-z]+",[a-z_]+="[^"]+"\} \d+', one)
        for one in lines
    )


def test_time_is_put_back() -> None:
    """What is asked in the time of the streams is asked in real time, and answered in theirs."""
    start, speed = 1_000_000.0, 30.0
    series = counters("risk", "candidate", Traffic())
    real = [
        replace(one, samples=tuple((start + 0.5 * n, value) for n, (_, value) in enumerate(one.samples)))
        for one in series
    ]
    sped = wire.Sped(Held(real), start, speed)
    selector = 'envoy_cluster_upstream_rq_xx{envoy_cluster_name="risk/candidate"}'
    answer = sped.samples(selector, at=150.0, window_seconds=60.0)
    assert [at for at, _ in answer.series[0].samples] == [90.0, 105.0, 120.0, 135.0, 150.0]


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.long
def test_the_gate_sees_through_prometheus_what_the_judge_sees(tmp_path: Path) -> None:
    """Ten times the errors within two minutes of one another; and a clean rollout by neither.

    Sixty times as fast as life: a machine that is busy would lose scrapes.
    """
    if find("prometheus") is None:
        pytest.skip("prometheus is neither beside this Python nor on PATH")
    found = wire.compare(SMALL, ("clean", "err1.0"), SETTINGS, tmp_path, runs=2, speed=60.0)
    assert [(pair.perfect, pair.wired) for pair in found["clean"]] == [(None, None)] * 2
    for pair in found["err1.0"]:
        assert pair.perfect is not None
        assert pair.wired is not None
        assert abs(pair.wired - pair.perfect) <= 2
    assert wire.markdown(found).count("\n") == 4
