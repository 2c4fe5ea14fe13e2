"""The split that was counted against the split that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.contract import Question, Status, Verdict
from gates.metrics import Metrics, Series
from gates.share import Observed, Share, ShareSettings, observed_share
from pipelines.clients.prometheus import PrometheusMetrics
from tests.counters import (
    CANDIDATE,
    EVERY,
    NOW,
    SINCE,
    STABLE,
    STEPS,
    Held,
    Traffic,
    bake,
    both,
    changed,
    counters,
    cut,
    named_arm,
    prometheus,
)


class Case(NamedTuple):
    """A split: what was scraped, the share that was asked for, and the answer."""

    series: Callable[[str], list[Series]]
    share_percent: int
    status: Status
    reason: str
    says: str = ""


def split(candidate: int, stable: int) -> Callable[[str], list[Series]]:
    """So many requests of each arm between two scrapes."""
    return lambda ns: both(ns, Traffic(good=candidate), Traffic(good=stable))


def until(step: int, series: list[Series]) -> list[Series]:
    """Counters that stand still from a sample on."""
    return [
        replace(one, samples=tuple((at, min(v, one.samples[step][1])) for at, v in one.samples))
        for one in series
    ]


def strays(revision: str, step: int) -> Callable[[str], list[Series]]:
    """All requests go to the other arm, but one a scrape to this one up to a sample."""
    other = STABLE if revision == CANDIDATE else CANDIDATE
    return lambda ns: [
        *counters(ns, other, Traffic()),
        *until(step, counters(ns, revision, Traffic(good=1))),
    ]


CASES = {
    "as-asked": Case(
        split(1, 9), 10, Status.PASS, "share_observed", "20 of 200 requests reached the candidate"
    ),
    "half": Case(split(10, 10), 50, Status.PASS, "share_observed"),
    "too-much": Case(split(5, 5), 10, Status.UNKNOWN, "share_not_observed", "10 % is intended"),
    "too-little": Case(split(1, 9), 50, Status.UNKNOWN, "share_not_observed"),
    "nothing-yet-reaches-it": Case(split(0, 20), 25, Status.UNKNOWN, "share_not_observed", "0 of 400"),
    "few": Case(split(1, 1), 50, Status.WAIT, "insufficient_samples", "60 requests are needed"),
    "all": Case(split(10, 0), 100, Status.PASS, "share_observed", "200 of 200"),
    "all-and-stable-is-gone": Case(
        lambda ns: counters(ns, CANDIDATE, Traffic()), 100, Status.PASS, "share_observed"
    ),
    "all-and-stable-ended-early": Case(
        lambda ns: [*counters(ns, CANDIDATE, Traffic()), *cut(counters(ns, STABLE, Traffic()), 0, 3)],
        100,
        Status.PASS,
        "share_observed",
    ),
    "all-after-stragglers": Case(
        strays(STABLE, STEPS // 2), 100, Status.PASS, "share_observed", "200 of 210"
    ),
    "all-but-a-trickle": Case(strays(STABLE, STEPS), 100, Status.UNKNOWN, "share_not_observed", "200 of 220"),
    "none": Case(split(0, 10), 0, Status.PASS, "share_observed", "0 of 200"),
    "none-after-stragglers": Case(strays(CANDIDATE, STEPS // 2), 0, Status.PASS, "share_observed"),
    "none-but-a-trickle": Case(strays(CANDIDATE, STEPS), 0, Status.UNKNOWN, "share_not_observed"),
    "none-and-nobody-asks": Case(split(0, 0), 0, Status.WAIT, "insufficient_samples"),
    "label-missing-so-stable-counts-as-candidate": Case(
        lambda ns: counters(ns, CANDIDATE, Traffic()), 10, Status.UNKNOWN, "no_data", STABLE
    ),
    "nothing-there": Case(lambda ns: [], 10, Status.UNKNOWN, "no_data", CANDIDATE),
    "stale": Case(
        lambda ns: cut(both(ns, Traffic(), Traffic()), 0, STEPS - 5), 50, Status.UNKNOWN, "stale_data"
    ),
    "silent-arm-broken": Case(
        lambda ns: [
            *counters(ns, CANDIDATE, Traffic()),
            *changed(counters(ns, STABLE, Traffic(good=0)), {4: -1.0}),
        ],
        100,
        Status.UNKNOWN,
        "implausible_data",
    ),
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metrics]:
    """One Prometheus that holds every case, each in a namespace of its own."""
    everything = [one for name, case in CASES.items() for one in case.series(name)]
    with prometheus(tmp_path_factory.mktemp("prometheus"), everything) as url:
        yield PrometheusMetrics(url)


def judge(metrics: Metrics, asked: Question) -> Verdict:
    return Share(ShareSettings(), metrics=metrics).judge(asked)


@pytest.mark.parametrize("name", CASES)
def test_the_split_that_prometheus_holds_is_told(name: str, real: Metrics) -> None:
    """PASS only when nothing speaks against it; another split is no one's fault and holds."""
    case = CASES[name]
    asked = bake(name, share_percent=case.share_percent)
    for metrics in (real, Held(case.series(name))):
        verdict = judge(metrics, asked)
        assert (verdict.status, verdict.reason) == (case.status, case.reason), verdict.sentence
        assert case.says in verdict.sentence


def test_the_evidence_has_both_counts_and_the_bounds() -> None:
    """In percent, with the intended share as what it was held against."""
    verdict = judge(Held(split(1, 9)("risk")), bake("risk", share_percent=10))
    share, candidate, stable = verdict.evidence.measurements
    assert (share.name, share.value, share.samples, share.threshold) == ("observed_share", 10.0, 200, 10.0)
    assert share.low is not None
    assert share.high is not None
    assert 0 < share.low < 10 < share.high < 100
    assert [(one.arm, one.value) for one in (candidate, stable)] == [("candidate", 20), ("stable", 180)]
    assert len(verdict.evidence.queries) == 2


def test_a_gap_leaves_its_query_and_no_number() -> None:
    """Nothing was counted, so nothing is claimed."""
    verdict = judge(Held([]), bake("risk"))
    assert verdict.evidence.measurements == ()
    assert len(verdict.evidence.queries) == 1


def test_two_arms_of_one_revision_cannot_be_told_apart() -> None:
    """Their requests would be counted twice."""
    verdict = judge(Held(split(1, 9)("risk")), bake("risk", stable=named_arm("stable", CANDIDATE)))
    assert (verdict.status, verdict.reason) == (Status.UNKNOWN, "same_revision")


@pytest.mark.parametrize("warned", [("store down",), ()])
def test_a_partial_answer_is_unknown(warned: tuple[str, ...]) -> None:
    """Half of the requests may be missing, and not the same half of both arms."""
    verdict = judge(Held(split(10, 10)("risk"), warnings=warned), bake("risk"))
    assert verdict.reason == ("partial_data" if warned else "share_observed")


def observe(metrics: Metrics, percent: int, stable: str = STABLE, seconds: float | None = None) -> Observed:
    since = SINCE if seconds is None else NOW.fromtimestamp(NOW.timestamp() - seconds, NOW.tzinfo)
    return observed_share(
        metrics,
        pack="envoy",
        namespace="risk",
        candidate_revision=CANDIDATE,
        stable_revision=stable,
        intended_percent=percent,
        since=since,
        now=NOW,
        scrape_seconds=EVERY,
    )


def test_without_another_revision_the_candidate_has_everything() -> None:
    """As when the serving layer names one revision only."""
    seen = observe(Held(counters("risk", CANDIDATE, Traffic())), 100, stable="")
    assert (seen.agrees, seen.observed_percent) == (True, 100.0)
    assert observe(Held(counters("risk", CANDIDATE, Traffic())), 50, stable="").reason == "revision_unknown"


def test_before_the_first_scrape_there_is_nothing_wrong() -> None:
    """Waiting burns no hold budget."""
    seen = observe(Held(cut(split(10, 10)("risk"), 0, STEPS)), 50, seconds=5.0)
    assert (seen.agrees, seen.unknown, seen.reason) == (None, False, "too_early")
    assert seen.observed_percent is None


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 100))
def test_it_agrees_only_with_what_was_asked(candidate: int, stable: int, percent: int) -> None:
    """Agreement means enough requests and the intended share between the bounds, or a silent arm."""
    seen = observe(Held(split(candidate, stable)("risk")), percent)
    if seen.agrees:
        assert seen.requests >= 60
        assert seen.low_percent is not None
        assert seen.high_percent is not None
        assert seen.low_percent <= percent <= seen.high_percent
    assert seen.unknown == (seen.agrees is False)
    if (candidate, stable)[percent == 100] and percent in (0, 100):
        assert not seen.agrees
