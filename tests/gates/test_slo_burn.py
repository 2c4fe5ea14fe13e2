"""Budgets that are spent too fast, late in a soak of two days, in a real Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.contract import Question, Status, Verdict
from gates.metrics import Answer, Metrics, Series
from gates.slo import Bad, Slo, SloSettings
from gates.slo.burn import BURN_RULES, Burn, judge_burn, rules_for
from pipelines.clients.prometheus import PrometheusMetrics
from tests.counters import BUCKET, CANDIDATE, EDGES, NOW, REQUESTS, STABLE, Held, bake, prometheus

EVERY = 120.0
STEPS = 48 * 30
"""Of two minutes each: two days."""
HOUR = 30


def growing(name: str, labels: dict[str, str], new: Callable[[int], int]) -> Series:
    """A counter to which ``new(intervals before now)`` is added in each interval."""
    value, samples = 0, []
    for step in range(STEPS + 1):
        value += new(STEPS - step) if step else 0
        samples.append((NOW.timestamp() - EVERY * (STEPS - step), float(value)))
    return Series(labels={"__name__": name, **labels}, samples=tuple(samples))


def soak(
    namespace: str,
    revision: str = CANDIDATE,
    *,
    requests: Callable[[int], int] = lambda ago: 100,
    errors: Callable[[int], int] = lambda ago: 0,
    slow: Callable[[int], int] = lambda ago: 0,
) -> list[Series]:
    """One arm as Envoy shows it: requests in each interval, of which some fail or are slow."""
    cluster = {"job": "envoy", "instance": "envoy:9901", "envoy_cluster_name": f"{namespace}/{revision}"}

    def within(edge: str, ago: int) -> int:
        fast = requests(ago) - slow(ago)
        return int(fast * EDGES[edge]) + (slow(ago) if edge in ("100", "+Inf") else 0)

    series = [
        growing(
            REQUESTS,
            {**cluster, "envoy_response_code_class": "2"},
            lambda ago: requests(ago) - errors(ago),
        ),
        growing(REQUESTS, {**cluster, "envoy_response_code_class": "5"}, errors),
    ]
    return series + [
        growing(BUCKET, {**cluster, "le": edge}, lambda ago, edge=edge: within(edge, ago))  # type: ignore[misc]
        for edge in EDGES
    ]


def asked(namespace: str, **changes: object) -> Question:
    """At 100 %, two days after the share was seen."""
    usual: dict[str, object] = {
        "share_percent": 100,
        "since": NOW - timedelta(seconds=EVERY * STEPS),
        "scrape_seconds": EVERY,
    }
    return bake(namespace, **{**usual, **changes})  # type: ignore[arg-type]


def last(intervals: int, bad: int, *, until: int = 0) -> Callable[[int], int]:
    """So many bad requests in each of the last intervals, up to some before now."""
    return lambda ago: bad if until <= ago < until + intervals else 0


class Case(NamedTuple):
    """What was served, and what is said of it."""

    series: Callable[[str], list[Series]]
    status: Status
    reason: str
    says: str
    question: Callable[[str], Question] = asked


def both(namespace: str, candidate: Callable[[int], int], stable: Callable[[int], int]) -> list[Series]:
    return [*soak(namespace, errors=candidate), *soak(namespace, STABLE, errors=stable)]


CASES = {
    "good": Case(soak, Status.PASS, "within_objectives", "0 of 144000 candidate requests failed"),
    "breaks-at-the-end": Case(
        lambda ns: soak(ns, errors=last(5, 100)),
        Status.FAIL,
        "burning",
        "more than 14.4 times the budget is spent over 1h and 5 min: 500 of 3000 candidate requests failed",
    ),
    "slow-at-the-end": Case(
        lambda ns: soak(ns, slow=last(5, 100)),
        Status.FAIL,
        "burning",
        "500 of 3000 candidate requests were slow",
    ),
    "burns-slowly": Case(
        lambda ns: soak(ns, errors=last(6 * HOUR + 5, 7)),
        Status.FAIL,
        "burning",
        "more than 6 times the budget is spent over 6h and 30 min",
    ),
    "broke-and-recovered": Case(
        lambda ns: soak(ns, errors=last(5, 100, until=3)), Status.PASS, "within_objectives", "500 of 144000"
    ),
    "a-little-over": Case(
        lambda ns: soak(ns, errors=last(HOUR, 10)), Status.PASS, "within_objectives", "300 of 144000"
    ),
    "one-of-few-is-chance": Case(
        lambda ns: soak(ns, requests=lambda ago: int(ago % 5 == 0), errors=last(1, 1)),
        Status.PASS,
        "within_objectives",
        "1 of 288",
    ),
    "both-arms-burn": Case(
        lambda ns: both(ns, last(5, 100), last(5, 100)),
        Status.UNKNOWN,
        "both_arms_bad",
        "not the candidate's",
        lambda ns: asked(ns, share_percent=50),
    ),
    "only-stable-burns": Case(
        lambda ns: both(ns, lambda ago: 0, last(5, 100)),
        Status.PASS,
        "within_objectives",
        "0 of 144000 candidate",
        lambda ns: asked(ns, share_percent=50),
    ),
    "what-was-before-the-share-is-not-judged": Case(
        lambda ns: soak(ns, errors=last(5, 100, until=25)),
        Status.PASS,
        "within_objectives",
        "0 of 2400",
        lambda ns: asked(ns, since=NOW - timedelta(seconds=EVERY * 24)),
    ),
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metrics]:
    """One Prometheus with two days of every case."""
    series = [one for name, case in CASES.items() for one in case.series(name)]
    with prometheus(tmp_path_factory.mktemp("prometheus"), series) as url:
        yield PrometheusMetrics(url)


def judge(metrics: Metrics, question: Question, **settings: object) -> Verdict:
    return Slo(SloSettings(**settings), metrics=metrics).judge(question)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CASES)
def test_a_budget_spent_too_fast_fails(name: str, real: Metrics) -> None:
    """Long before the objective over the whole soak would be missed."""
    case = CASES[name]
    verdict = judge(real, case.question(name))
    assert (verdict.status, verdict.reason) == (case.status, case.reason), verdict.sentence
    assert case.says in verdict.sentence


def test_beside_a_stable_that_does_not_burn_the_candidate_is_blamed() -> None:
    """Its own budget is what it burns."""
    metrics = Held(both("risk", last(5, 100), lambda ago: 0))
    assert judge(metrics, asked("risk", share_percent=50)).reason == "burning"


def test_rates_are_evidence_once_they_count(real: Metrics) -> None:
    """Both rules of both kinds; none while a share is young."""
    found = {m.name: m for m in judge(real, asked("breaks-at-the-end")).evidence.measurements}
    rates = {name: m.value for name, m in found.items() if "burn" in name}
    assert rates == {
        "errors_burn_rate_1h": pytest.approx(100 / 6),
        "errors_burn_rate_6h": pytest.approx(100 / 36),
        "slow_burn_rate_1h": 0.0,
        "slow_burn_rate_6h": 0.0,
    }
    assert found["errors_burn_rate_1h"].threshold == 14.4
    young = judge(real, asked("good", since=NOW - timedelta(minutes=30)))
    assert all("burn" not in m.name for m in young.evidence.measurements)


class Counted(Held):
    """Says how often it was asked."""

    asked = 0

    def samples(self, selector: str, *, at: float, window_seconds: float) -> Answer:
        self.asked += 1
        return super().samples(selector, at=at, window_seconds=window_seconds)


def test_windows_within_the_whole_one_need_no_query() -> None:
    """Requests and buckets are fetched once for the objective and all rules."""
    metrics = Counted(soak("risk"))
    verdict = judge(metrics, asked("risk"))
    assert metrics.asked == 2
    assert len(verdict.evidence.queries) == 3


def test_the_rules_are_those_of_the_workbook() -> None:
    """Of a budget for 30 days they spend 2, 5 and 10 %; the short window is a twelfth of the long one."""
    spent = [rule.rate * rule.long_seconds / (30 * 86_400) for rule in BURN_RULES]
    assert spent == pytest.approx([0.02, 0.05, 0.10])
    assert all(rule.long_seconds == 12 * rule.short_seconds for rule in BURN_RULES)
    assert [rule.name for rule in BURN_RULES] == ["1h", "6h", "3d"]


@pytest.mark.parametrize(
    ("hours", "names"), [(0.5, []), (1.0, []), (1.1, ["1h"]), (6.1, ["1h", "6h"]), (240.0, ["1h", "6h"])]
)
def test_a_rule_counts_when_its_long_window_is_the_candidates_alone(hours: float, names: list[str]) -> None:
    """And a ticket is never a reason to roll back."""
    assert [rule.name for rule in rules_for(hours * 3600)] == names


def burn(hits: int, total: int, recent: int = 10, of: int = 10) -> Burn:
    long = Bad(kind="errors", arm="candidate", bad=min(hits, total), total=total, budget=0.01, alpha=0.0025)
    return Burn(rule=BURN_RULES[0], long=long, short=replace(long, bad=recent, total=of))


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 50))
def test_more_errors_never_put_a_fire_out(hits: int, total: int, more: int) -> None:
    """At the same number of requests."""
    assert burn(hits, total).burning <= burn(hits + more, total).burning


@given(st.integers(0, 300), st.integers(0, 300))
def test_what_burns_is_shown_to_be_over_budget(hits: int, total: int) -> None:
    """A rule alone would fire on one bad request of six."""
    one = burn(hits, total)
    assert (judge_burn(one, None) is None) == (not one.burning)
    if one.burning:
        assert one.long.bounds[0] > one.long.budget
        both = judge_burn(one, one)
        assert both
        assert both.status is Status.UNKNOWN


def test_nothing_recent_is_no_fire() -> None:
    """Neither without bad requests nor without any."""
    assert burn(100, 100).burning
    assert not burn(100, 100, recent=0).burning
    assert not burn(100, 100, recent=0, of=0).burning
