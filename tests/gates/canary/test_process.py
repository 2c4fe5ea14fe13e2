"""Evidence that may be looked at at any time: what it promises, by exact sums and by its definition.

How often it errs under noise that is not binomial is measured by the benchmark, tests/bench/judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from gates.canary import process
from gates.canary.process import Evidence, Plan


def plan(*, tolerated: float = 1.2, spread: float = 0.0, memory: float = 5.0) -> Plan:
    """One metric."""
    return Plan(
        tolerated=np.array([tolerated]),
        multiples=process.multiples(1.5, 6.0)[None, :],
        spread=np.array([spread]),
        memory_minutes=np.array([memory]),
        weights=np.array([1.0]),
    )


Looked = tuple[int, int, int, int]
"""(candidate bad, candidate of, stable bad, stable of) in one minute."""


def evidence(looks: Sequence[Looked], of: Plan) -> Evidence:
    """After looks of a minute each."""
    now = process.nothing_seen(of)
    for bad, total, stable_bad, stable_total in looks:
        counts = [np.array([float(one)]) for one in (bad, stable_bad, total, stable_total)]
        now = process.compare(of, now, (counts[0], counts[1]), (counts[2], counts[3]), np.array([1.0]))
    return now


def value(looks: Sequence[Looked], of: Plan) -> float:
    """Its e-value."""
    return float(evidence(looks, of).of_metrics[0])


@st.composite
def looked(draw: st.DrawFn) -> Looked:
    """Counts of one look; an arm may have no request at all."""
    total, stable_total = draw(st.integers(0, 400)), draw(st.integers(0, 400))
    return draw(st.integers(0, total)), total, draw(st.integers(0, stable_total)), stable_total


def promise(ratio: float, events: Sequence[int], of: Sequence[tuple[int, int]], judged: Plan) -> float:
    """Expected evidence after looks with so many bad requests in all, when their rates have this ratio."""
    expected = 0.0
    for parts in product(*(range(total + 1) for total in events)):
        chance, looks = 1.0, []
        for part, total, (candidates, stables) in zip(parts, events, of, strict=True):
            odds = ratio * candidates / stables
            chance *= float(binom.pmf(part, total, odds / (1 + odds)))
            looks.append((part, candidates, total - part, stables))
        expected += chance * value(looks, judged)
    return expected


@pytest.mark.parametrize("split", [(100, 900), (250, 750), (500, 500)])
def test_expected_evidence_is_exactly_one_at_the_tolerated_ratio(split: tuple[int, int]) -> None:
    """Over three looks with any number of bad requests, whatever the split: a martingale."""
    for events in [(1, 1, 1), (7, 2, 5), (0, 12, 3)]:
        assert promise(1.2, events, [split] * 3, plan()) == pytest.approx(1.0, abs=1e-12)


def test_expected_evidence_stays_one_when_the_split_changes() -> None:
    """A ladder is one rollout with one alpha."""
    assert promise(1.2, (6, 6, 6), [(100, 900), (250, 750), (500, 500)], plan()) == pytest.approx(1.0)


@pytest.mark.parametrize("ratio", [0.2, 0.9, 1.0, 1.15])
def test_expected_evidence_is_below_one_for_a_better_candidate(ratio: float) -> None:
    """So the null hypothesis is the whole range up to the tolerated ratio."""
    assert promise(ratio, (5, 9), [(100, 900), (500, 500)], plan()) < 1.0


@pytest.mark.parametrize("spread", [0.1, 0.5])
def test_allowing_for_noise_only_lowers_expected_evidence(spread: float) -> None:
    """Counts without noise, judged as if there were some: the guarantee holds still (Jensen)."""
    assert promise(1.2, (8, 8), [(100, 900)] * 2, plan(spread=spread)) <= 1.0


def test_the_sum_never_wanders_more_than_its_looks_allow() -> None:
    """Weights 1/dispersion of looks at one rate: the variance of the weighted score is within their sum."""
    minutes = np.arange(200.0)
    for memory, information in product((2.0, 4.5, 30.0, 100.0), (0.001, 0.01, 0.1, 1.0, 100.0)):
        together = np.exp(-np.abs(minutes[:, None] - minutes[None, :]) / memory)
        wander = process.wandering(minutes, np.ones(200), 1.0, memory)
        weights = 1.0 / (1.0 + information * wander)
        for looks in (1, 2, 3, 5, 10, 20, 50, 200):
            part = weights[:looks]
            variance = part @ part + information * part @ together[:looks, :looks] @ part
            assert variance <= part.sum() * 1.02


@given(looks=st.lists(looked(), min_size=1, max_size=6), which=st.integers(0, 5), spread=st.floats(0, 2))
def test_one_more_bad_request_at_the_candidate_is_never_less_evidence(
    looks: list[Looked], which: int, spread: float
) -> None:
    """Monotone in harm, whatever allowance for noise is made."""
    place = which % len(looks)
    bad, total, stable_bad, stable_total = looks[place]
    if bad < total:
        worse = [*looks]
        worse[place] = (bad + 1, total, stable_bad, stable_total)
        judged = plan(spread=spread)
        assert value(worse, judged) >= value(looks, judged) * (1 - 1e-9)


@given(looks=st.lists(looked(), min_size=1, max_size=6), which=st.integers(0, 5))
def test_one_more_bad_request_at_the_stable_is_never_more_evidence(looks: list[Looked], which: int) -> None:
    """The other arm speaks for the candidate."""
    place = which % len(looks)
    bad, total, stable_bad, stable_total = looks[place]
    if stable_bad < stable_total:
        excused = [*looks]
        excused[place] = (bad, total, stable_bad + 1, stable_total)
        assert value(excused, plan()) <= value(looks, plan()) * (1 + 1e-9)


@given(looks=st.lists(looked(), min_size=1, max_size=5))
def test_a_look_without_requests_of_both_arms_says_nothing(looks: list[Looked]) -> None:
    """No data is no evidence either way, and takes none of the prior weight."""
    silent = [(0, 0, 0, 100), (0, 0, 0, 0), (0, 50, 0, 0)]
    assert value([*silent, *looks], plan()) == value(looks, plan())


@settings(max_examples=20)
@given(looks=st.lists(looked(), min_size=1, max_size=8))
def test_many_runs_side_by_side_are_judged_as_one_alone(looks: list[Looked]) -> None:
    """The benchmark's arrays and the gate's single promotion go through the same arithmetic."""
    judged, runs = plan(spread=0.3), 3
    now = process.nothing_seen(judged, (runs,))
    for look in looks:
        bad, total, stable_bad, stable_total = (np.full((runs, 1), float(one)) for one in look)
        minutes = np.ones((runs, 1))
        now = process.compare(judged, now, (bad, stable_bad), (total, stable_total), minutes)
    assert now.of_metrics[:, 0] == pytest.approx([value(looks, judged)] * runs, rel=1e-12)


def test_prior_weight_is_spent_and_never_overspent() -> None:
    """The starts that began and those to come add up to one before any count speaks."""
    now = evidence([(0, 10, 0, 10)] * 300, plan())
    assert now.started.sum() + now.waiting[0] == pytest.approx(1.0)
    assert 0 < now.waiting[0] < 0.02


def test_a_harm_that_begins_late_is_not_hidden_by_what_was_good_before() -> None:
    """A leak after half an hour is found about as fast as one at the start."""
    good, bad = (4, 1000, 36, 9000), (16, 1000, 36, 9000)
    needed = next(n for n in range(1, 60) if value([bad] * n, plan()) >= 20)
    later = next(n for n in range(1, 60) if value([good] * 30 + [bad] * n, plan()) >= 20)
    assert needed <= later <= needed + 3


def against(ceiling: float, looks: Sequence[tuple[int, int]]) -> float:
    """Evidence against one arm alone."""
    judged = plan()
    now = process.nothing_seen(judged)
    for bad, total in looks:
        arrays = (np.array([ceiling]), np.array([float(bad)]), np.array([float(total)]), np.array([1.0]))
        now = process.hold_against(judged, now, *arrays)
    return float(now.of_metrics[0])


def test_one_arm_alone_is_held_against_a_ceiling() -> None:
    """Expected evidence is exactly one at the ceiling, below it less, and far above it plenty."""
    for share, wanted in ((0.05, 1.0), (0.03, None)):
        chances = [
            (float(binom.pmf(one, 20, share) * binom.pmf(two, 20, share)), [(one, 20), (two, 20)])
            for one in range(21)
            for two in range(21)
        ]
        expected = sum(chance * against(0.05, looks) for chance, looks in chances)
        assert expected == pytest.approx(wanted, abs=1e-12) if wanted else expected < 1.0
    assert against(0.05, [(40, 200)] * 3) > 1000


def test_no_infinity_meets_a_zero() -> None:
    """However bad, and good again afterwards, evidence stays a number."""
    judged = value([(10**6, 10**6, 0, 10**6)] * 3 + [(0, 10**6, 10**6, 10**6)] * 3, plan())
    assert np.isfinite(judged)
