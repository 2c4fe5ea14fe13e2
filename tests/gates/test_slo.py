"""The objectives, judged on what a real Prometheus holds and on what it may lack."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.contract import Question, Status, Verdict
from gates.metrics import Answer, Metrics, Series
from gates.slo import Bad, Finding, Slo, SloSettings, judge_share
from pipelines.clients.prometheus import PrometheusMetrics
from tests.counters import (
    BUCKET,
    CANDIDATE,
    EDGES,
    EVERY,
    NOW,
    REQUESTS,
    SINCE,
    STABLE,
    STEPS,
    Held,
    Traffic,
    bake,
    both,
    changed,
    counter,
    counters,
    cut,
    named_arm,
    prometheus,
)

FINE = Traffic()
ZEROES = {edge: 1.0 for edge in EDGES if edge != "0.5"}
"""A histogram whose lowest edge is 5 ms, and everything below it."""
FAST = dict.fromkeys(EDGES, 1.0)
"""One whose lowest edge is half a millisecond: a model may well be that fast."""
OTHER_EDGES = {"0.5": 0.0, "40": 1.0, "60": 1.0, "+Inf": 1.0}


class Case(NamedTuple):
    """One situation: what was scraped, and what the gate says of it."""

    series: Callable[[str], list[Series]]
    status: Status
    reason: str
    says: str = ""
    """Something its sentence contains."""
    question: Callable[[str], Question] = bake


def of(namespace: str, revision: str) -> Callable[[Series], bool]:
    return lambda one: one.labels["envoy_cluster_name"] == f"{namespace}/{revision}"


def with_candidate(change: Callable[[list[Series]], list[Series]]) -> Callable[[str], list[Series]]:
    """Both arms fine, but for what was done to the candidate's series."""
    return lambda ns: [*change(counters(ns, CANDIDATE, FINE)), *counters(ns, STABLE, FINE)]


def arms(candidate: Traffic, stable: Traffic = FINE) -> Callable[[str], list[Series]]:
    return lambda ns: both(ns, candidate, stable)


def appearing(series: list[Series], at: int, code: str, count: int) -> list[Series]:
    """The class appears late, with all it has counted, and counts no more."""
    labels = {**series[0].labels, "envoy_response_code_class": code}
    late = counter(REQUESTS, labels, 0, first=count)
    return [*series, *cut([late], at, STEPS + 1)]


def restarted(series: list[Series], at: int) -> list[Series]:
    """Everything begins again at 0 with that sample."""
    return [
        replace(
            one,
            samples=tuple(
                (t, v if i < at else v - one.samples[at][1]) for i, (t, v) in enumerate(one.samples)
            ),
        )
        for one in series
    ]


CASES = {
    # ------------------------------------------------------------- judged
    "good": Case(arms(FINE), Status.PASS, "within_objectives", "0 of 200 candidate requests failed"),
    "slow": Case(
        arms(Traffic(slow=3)), Status.FAIL, "objective_missed", "60 of 200 candidate requests were slow"
    ),
    "failing": Case(arms(Traffic(good=9, errors=1)), Status.FAIL, "objective_missed", "20 of 200 candidate"),
    "failing-from-the-first": Case(
        with_candidate(lambda s: appearing(cut(s, 0, STEPS + 1), 5, "5", 40)),
        Status.FAIL,
        "objective_missed",
        "40 of 240 candidate requests failed",
    ),
    "nothing-but-errors": Case(
        arms(Traffic(good=0, errors=10, edges={})), Status.FAIL, "objective_missed", "200 of 200 candidate"
    ),
    "failing-and-not-timed": Case(
        arms(Traffic(errors=5, edges=OTHER_EDGES)), Status.FAIL, "objective_missed", "100 of 300"
    ),
    "both-bad": Case(
        arms(Traffic(errors=3), Traffic(errors=3)), Status.UNKNOWN, "both_arms_bad", "not the candidate's"
    ),
    "both-bad-one-worse": Case(
        arms(Traffic(errors=10), Traffic(good=30, errors=1)),
        Status.UNKNOWN,
        "both_arms_bad",
        "both arms miss it",
    ),
    "only-stable-bad": Case(arms(FINE, Traffic(errors=3)), Status.PASS, "within_objectives"),
    "perhaps-by-chance": Case(
        with_candidate(lambda s: appearing(s, 5, "5", 4)), Status.WAIT, "not_shown", "4 of 204 candidate"
    ),
    "too-few": Case(arms(Traffic(good=1)), Status.WAIT, "insufficient_samples", "about 1200 s more"),
    "too-few-stable": Case(
        arms(FINE, Traffic(good=1)), Status.WAIT, "insufficient_samples", "20 of 100 stable"
    ),
    "no-request": Case(arms(Traffic(good=0)), Status.WAIT, "insufficient_samples", "0 of 100 candidate"),
    "at-0": Case(arms(FINE), Status.WAIT, "no_live_share", "", lambda ns: bake(ns, share_percent=0)),
    "at-100": Case(
        arms(FINE, Traffic(errors=5)),
        Status.PASS,
        "within_objectives",
        "",
        lambda ns: bake(ns, share_percent=100),
    ),
    "first-version": Case(
        lambda ns: counters(ns, CANDIDATE, FINE),
        Status.PASS,
        "within_objectives",
        "",
        lambda ns: bake(ns, share_percent=100, stable=None),
    ),
    # -------------------------------------------------- counted in spite of it
    "scrape-gap": Case(
        with_candidate(lambda s: [replace(o, samples=o.samples[:5] + o.samples[15:]) for o in s]),
        Status.PASS,
        "within_objectives",
        "0 of 200 candidate",
    ),
    "counter-reset": Case(
        with_candidate(lambda s: restarted(s, 7)), Status.PASS, "within_objectives", "of 190 cand"
    ),
    "two-processes": Case(
        lambda ns: (
            both(ns, FINE, FINE) + both(ns, Traffic(errors=2, target="envoy:2"), Traffic(target="envoy:2"))
        ),
        Status.FAIL,
        "objective_missed",
        "40 of 440 candidate",
    ),
    # --------------------------------------------------------- could not tell
    "nothing-there": Case(lambda ns: [], Status.UNKNOWN, "no_data", "nothing was sampled in 300.0 s"),
    "no-candidate": Case(with_candidate(lambda s: []), Status.UNKNOWN, "no_data", CANDIDATE),
    "no-stable": Case(lambda ns: counters(ns, CANDIDATE, FINE), Status.UNKNOWN, "no_data", STABLE),
    "label-missing-so-stable-counts-as-candidate": Case(
        lambda ns: counters(ns, CANDIDATE, Traffic(good=100)), Status.UNKNOWN, "no_data", STABLE
    ),
    "not-scraped-yet": Case(
        lambda ns: cut(both(ns, FINE, FINE), 0, STEPS),
        Status.WAIT,
        "too_early",
        "nothing was sampled in 5.0 s",
        lambda ns: bake(ns, since=NOW - timedelta(seconds=5)),
    ),
    "stale": Case(
        with_candidate(lambda s: cut(s, 0, STEPS - 4)),
        Status.UNKNOWN,
        "stale_data",
        "the newest sample is 75 s old",
    ),
    "not-quite-stale": Case(with_candidate(lambda s: cut(s, 0, STEPS - 3)), Status.PASS, "within_objectives"),
    "nan": Case(with_candidate(lambda s: changed(s, {9: math.nan})), Status.UNKNOWN, "not_a_number", "NaN"),
    "infinite": Case(with_candidate(lambda s: changed(s, {9: math.inf})), Status.UNKNOWN, "not_a_number"),
    "negative": Case(
        with_candidate(lambda s: changed(s, {9: -1.0})), Status.UNKNOWN, "implausible_data", "negative"
    ),
    "fraction": Case(with_candidate(lambda s: changed(s, {9: 1090.5})), Status.UNKNOWN, "implausible_data"),
    "two-series": Case(
        with_candidate(lambda s: s + changed(s, shard="b")),
        Status.UNKNOWN,
        "several_series",
        "differ in shard alone",
    ),
    "two-servers": Case(
        with_candidate(lambda s: changed(s, replica="a") + changed(s, replica="b")),
        Status.UNKNOWN,
        "several_series",
    ),
    "no-histogram": Case(
        with_candidate(lambda s: s[:1]), Status.UNKNOWN, "edge_missing", "no edge at 50, it has none"
    ),
    "no-edge": Case(
        arms(Traffic(edges=OTHER_EDGES)),
        Status.UNKNOWN,
        "edge_missing",
        "it has 0.5, 40, 60; set the threshold",
    ),
    "all-latency-zero": Case(
        arms(Traffic(edges=ZEROES)), Status.UNKNOWN, "implausible_data", "less than the lowest edge"
    ),
    "all-below-half-a-millisecond": Case(arms(Traffic(edges=FAST)), Status.PASS, "within_objectives", "0 of"),
    "not-timed": Case(
        with_candidate(
            lambda s: [one if i == 0 else counter(BUCKET, one.labels, 0) for i, one in enumerate(s)]
        ),
        Status.UNKNOWN,
        "implausible_data",
        "none of them was timed",
    ),
    "not-cumulative": Case(
        arms(Traffic(edges={**EDGES, "50": 2.0})), Status.UNKNOWN, "implausible_data", "are not cumulative"
    ),
    "histogram-stale": Case(
        with_candidate(lambda s: [s[0], *cut(s[1:], 0, 8)]), Status.UNKNOWN, "stale_data"
    ),
    "same-revision": Case(
        arms(FINE),
        Status.UNKNOWN,
        "same_revision",
        "cannot be told apart",
        lambda ns: bake(ns, stable=named_arm("stable", CANDIDATE)),
    ),
    "no-revision": Case(
        arms(FINE),
        Status.UNKNOWN,
        "revision_unknown",
        "",
        lambda ns: bake(ns, candidate=named_arm("candidate", "")),
    ),
    "no-pack": Case(
        arms(FINE),
        Status.UNKNOWN,
        "unknown_pack",
        "there are envoy, istio",
        lambda ns: bake(ns, metrics_pack="knative"),
    ),
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metrics]:
    """One Prometheus that holds every case, each in a namespace of its own."""
    everything = [one for name, case in CASES.items() for one in case.series(name)]
    with prometheus(tmp_path_factory.mktemp("prometheus"), everything) as url:
        yield PrometheusMetrics(url)


def judge(metrics: Metrics, asked: Question, **settings: object) -> Verdict:
    return Slo(SloSettings(**settings), metrics=metrics).judge(asked)  # type: ignore[arg-type]


def expect(case: Case, verdict: Verdict) -> None:
    assert (verdict.status, verdict.reason) == (case.status, case.reason), verdict.sentence
    assert case.says in verdict.sentence


@pytest.mark.parametrize("name", CASES)
def test_what_prometheus_holds_is_judged(name: str, real: Metrics) -> None:
    """Every situation has its own answer, and no gap in the data passes."""
    expect(CASES[name], judge(real, CASES[name].question(name)))


@pytest.mark.parametrize("name", CASES)
def test_counts_from_memory_are_judged_alike(name: str) -> None:
    """The memory that the properties below are tried on answers as Prometheus does."""
    case = CASES[name]
    expect(case, judge(Held(case.series(name)), case.question(name)))


@pytest.mark.parametrize("name", CASES)
def test_the_order_of_series_is_irrelevant(name: str) -> None:
    """Prometheus promises none."""
    case = CASES[name]
    asked, series = case.question(name), case.series(name)
    forward, backward = judge(Held(series), asked), judge(Held(reversed(series)), asked)
    assert (forward.status, forward.evidence.measurements) == (
        backward.status,
        backward.evidence.measurements,
    )


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.status is Status.UNKNOWN])
def test_partial_answers_never_pass(name: str) -> None:
    """A warning comes first, whatever the rest of the answer says."""
    verdict = judge(Held(CASES[name].series(name), warnings=("store down",)), CASES[name].question(name))
    assert verdict.status is Status.UNKNOWN


def test_a_partial_answer_is_not_a_whole_one() -> None:
    """What passes without a warning is unknown with one, and the warning is kept."""
    verdict = judge(Held(both("risk", FINE, FINE), warnings=("store-2 timed out",)), bake("risk"))
    assert (verdict.status, verdict.reason) == (Status.UNKNOWN, "partial_data")
    assert "store-2 timed out" in verdict.sentence
    assert {query.warnings for query in verdict.evidence.queries} == {("store-2 timed out",)}


class PartialEdges(Held):
    """Whole but for the list of edges."""

    def value(self, query: str, *, at: float) -> Answer:
        return replace(super().value(query, at=at), warnings=("store-2 timed out",))


def test_a_partial_list_of_edges_is_not_a_whole_one() -> None:
    """Else an edge might be taken for the lowest that is not."""
    verdict = judge(PartialEdges(both("risk", FINE, FINE)), bake("risk"))
    assert (verdict.status, verdict.reason) == (Status.UNKNOWN, "partial_data")


def test_the_evidence_can_be_asked_again() -> None:
    """Counts with bounds and budget of both arms, and every query with its time, window and size."""
    verdict = judge(Held(both("risk", Traffic(slow=1), FINE)), bake("risk"))
    slow = next(m for m in verdict.evidence.measurements if (m.name, m.arm) == ("slow_share", "candidate"))
    assert (slow.value, slow.samples, slow.threshold, slow.unit) == (10.0, 200, 1.0, "percent")
    assert slow.low is not None
    assert slow.high is not None
    assert slow.low < 10.0 < slow.high
    kinds = [(m.name, m.arm) for m in verdict.evidence.measurements]
    assert kinds == [(k, a) for a in ("candidate", "stable") for k in ("errors_share", "slow_share")]
    requests = verdict.evidence.queries[0]
    assert requests.text.startswith(f'{REQUESTS}{{envoy_cluster_name="risk/{CANDIDATE}"}}')
    assert (requests.at, requests.window_seconds) == (NOW.timestamp(), EVERY * STEPS)
    assert (requests.series, requests.samples) == (1, STEPS + 1)
    assert len(verdict.evidence.queries) == 6


def test_a_candidate_within_budget_passes_however_much_better_the_stable_is() -> None:
    """5 % are slow where 20 % may be, but of the stable's none: that is the canary gate's affair."""
    asked = bake("risk")
    asked = replace(asked, objectives=replace(asked.objectives, latency_budget_percent=20.0))
    metrics = Held(both("risk", Traffic(good=20, slow=1), Traffic(good=60)))
    assert judge(metrics, asked).status is Status.PASS
    assert judge(metrics, asked, minimum_requests=401).status is Status.WAIT


def test_nothing_before_since_is_judged() -> None:
    """What the window leaves out, such as the warm-up, has no weight."""
    early = counter(REQUESTS, {**envoy("risk", CANDIDATE), "envoy_response_code_class": "5"}, 0, first=0)
    early = replace(
        early, samples=tuple((at, v if i == 0 else 500.0) for i, (at, v) in enumerate(early.samples))
    )
    metrics = Held([*both("risk", FINE, FINE), early])
    assert judge(metrics, bake("risk")).status is Status.FAIL
    assert judge(metrics, bake("risk", since=SINCE + timedelta(seconds=EVERY))).status is Status.PASS


def envoy(namespace: str, revision: str) -> dict[str, str]:
    return {"job": "envoy", "instance": "envoy:9901", "envoy_cluster_name": f"{namespace}/{revision}"}


numbers = st.integers(0, 400)


def bad(arm: Literal["candidate", "stable"], hits: int, total: int) -> Bad:
    return Bad(kind="errors", arm=arm, bad=min(hits, total), total=total, budget=0.01, alpha=0.0025)


@given(numbers, numbers, numbers, numbers, st.integers(1, 50), st.booleans())
def test_more_errors_never_improve_the_verdict(
    hits: int, total: int, stable_hits: int, stable_total: int, more: int, alone: bool
) -> None:
    """Whatever the stable arm does, and without one."""
    stable = None if alone else bad("stable", stable_hits, stable_total)
    before = judge_share(bad("candidate", hits, total), stable)
    after = judge_share(bad("candidate", hits + more, total), stable)
    assert before.status <= after.status


@given(numbers, numbers)
def test_passing_is_within_budget_and_failing_is_shown(hits: int, total: int) -> None:
    """With no other arm the two are told by the counted share and its lower bound."""
    candidate = bad("candidate", hits, total)
    found = judge_share(candidate, None)
    assert (found.status is Status.PASS) == (candidate.share <= candidate.budget)
    assert (found.status is Status.FAIL) == (candidate.bounds[0] > candidate.budget)
    assert isinstance(found, Finding)


@given(st.integers(0, 12), st.integers(0, 8), st.integers(0, 8))
def test_more_errors_never_improve_a_whole_verdict(good: int, errors: int, more: int) -> None:
    """From the counters up to the verdict, at the same number of requests."""

    def status(errors: int) -> Status:
        traffic = Traffic(good=good + 16 - errors, errors=errors)
        return judge(Held(both("risk", traffic, FINE)), bake("risk")).status

    assert status(errors) <= status(errors + more)
