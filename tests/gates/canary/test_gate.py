"""The canary gate on what Prometheus holds: judged where it can be, and never a PASS where it cannot.

The judge itself is tested in test_judging; here is what is counted, when, and what a journal keeps of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.canary import Canary, CanarySettings
from gates.canary.looks import from_data
from gates.contract import Measurement, Question, Status, Verdict
from gates.metrics import Metrics, Series
from pipelines.clients.prometheus import PrometheusMetrics
from pipelines.errors import CouldNotTell
from pipelines.journal.lines import verdict_from_data, verdict_to_data
from tests.counters import (
    CANDIDATE,
    EVERY,
    NOW,
    SINCE,
    STABLE,
    Held,
    Traffic,
    bake,
    both,
    counters,
    named_arm,
    prometheus,
)
from tests.gates.test_slo import CASES

FINE = Traffic(good=100)
FAILING = Traffic(good=90, errors=10)

NO_DATA = [
    "nothing-there", "no-candidate", "no-stable", "label-missing-so-stable-counts-as-candidate",
    "not-scraped-yet", "stale", "nan", "infinite", "negative", "fraction", "two-series", "two-servers",
    "no-histogram", "no-edge", "all-latency-zero", "not-timed", "not-cumulative", "histogram-stale",
    "same-revision", "no-revision", "no-pack",
]  # fmt: skip
"""Rows of the objectives' gate that no gate may pass."""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metrics]:
    """One Prometheus that holds every row, each in a namespace of its own, and two arms that differ."""
    everything = [one for name in NO_DATA for one in CASES[name].series(name)]
    everything += [*both("fine", FINE, FINE), *both("failing", FAILING, FINE)]
    with prometheus(tmp_path_factory.mktemp("prometheus"), everything) as url:
        yield PrometheusMetrics(url)


def judge(metrics: Metrics, asked: Question, **told: Any) -> Verdict:
    """By the defaults but for these settings."""
    return Canary(CanarySettings(**told), metrics=metrics).judge(asked)


@pytest.mark.parametrize("name", NO_DATA)
def test_what_cannot_be_counted_never_passes(name: str, real: Metrics) -> None:
    """Each missing or broken number has its own reason, the same as for the objectives."""
    case = CASES[name]
    verdict = judge(real, case.question(name))
    assert (verdict.status, verdict.reason) == (case.status, case.reason), verdict.sentence
    assert verdict.status in (Status.UNKNOWN, Status.WAIT)


def test_counts_of_a_real_prometheus_are_judged(real: Metrics) -> None:
    """Equal arms pass; one in ten requests failing does not."""
    fine, failing = judge(real, bake("fine")), judge(real, bake("failing"))
    assert (fine.status, fine.reason) == (Status.PASS, "no_harm_shown")
    assert (failing.status, failing.reason) == (Status.FAIL, "worse_than_stable")
    assert "stable: 160 of 1600 at the candidate (10 %), 0 of 1600 at the stable (0 %)" in failing.sentence


def test_memory_answers_as_prometheus_does(real: Metrics) -> None:
    """So that what follows may be tried on it."""
    for name in ("fine", "failing"):
        told = judge(Held(both(name, *((FINE, FINE) if name == "fine" else (FAILING, FINE)))), bake(name))
        assert told.evidence.facts == judge(real, bake(name)).evidence.facts


def test_an_outage_is_no_verdict() -> None:
    """What the source raises passes through, and becomes UNKNOWN where the gate is run."""

    class Down:
        def samples(self, selector: str, *, at: float, window_seconds: float) -> Any:
            raise CouldNotTell("Prometheus", "no answer")

        value = samples

    with pytest.raises(CouldNotTell):
        judge(Down(), bake("fine"))  # type: ignore[arg-type]


def test_a_partial_answer_is_not_a_whole_one() -> None:
    """And nothing of it is kept as a look."""
    verdict = judge(Held(both("risk", FINE, FINE), warnings=("store-2 timed out",)), bake("risk"))
    assert (verdict.status, verdict.reason) == (Status.UNKNOWN, "partial_data")
    assert verdict.evidence.facts["looks"] == []


def test_latency_that_cannot_be_told_does_not_excuse_errors() -> None:
    """Without a histogram nothing passes, and what fails still fails."""
    fine = [one for one in both("risk", FINE, FINE) if "le" not in one.labels]
    failing = [one for one in both("risk", FAILING, FINE) if "le" not in one.labels]
    assert judge(Held(fine), bake("risk")).status is Status.UNKNOWN
    assert judge(Held(failing), bake("risk")).status is Status.FAIL


def test_at_0_and_100_percent() -> None:
    """Nothing to judge without live requests; at 100 % the other arm is not asked for."""
    series = counters("risk", CANDIDATE, FINE)
    assert judge(Held(series), bake("risk", share_percent=0)).reason == "no_live_share"
    assert judge(Held(series), bake("risk", share_percent=100)).status is Status.PASS


# ----------------------------------------------------------------- look by look


def asked_at(seconds: float, earlier: Sequence[Verdict] = (), **changes: Any) -> Question:
    """So long after the share was seen, with what earlier verdicts counted."""
    looks = tuple(look for one in earlier for look in one.evidence.facts["looks"])  # type: ignore[attr-defined]
    now = datetime.fromtimestamp(SINCE.timestamp() + seconds, UTC)
    return bake("risk", now=now, earlier_looks=looks, **changes)


def counted(verdicts: Sequence[Verdict], arm: str = "candidate", metric: str = "errors") -> tuple[int, int]:
    """(bad, of) that all looks of these verdicts add up to."""
    looks = [from_data(look) for one in verdicts for look in one.evidence.facts["looks"]]  # type: ignore[attr-defined]
    pairs = [getattr(look, arm).get(metric, (0, 0)) for look in looks]
    return sum(bad for bad, _ in pairs), sum(of for _, of in pairs)


@settings(max_examples=30, deadline=None)
@given(times=st.lists(st.floats(20, 300), min_size=1, max_size=8, unique=True).map(sorted))
def test_every_request_is_counted_once_however_often_one_looks(times: list[float]) -> None:
    """The looks of many calls are those of one."""
    metrics, verdicts = Held(both("risk", FAILING, FINE)), list[Verdict]()
    for seconds in (*times, 300.0):
        verdicts.append(judge(metrics, asked_at(seconds, verdicts)))
    once = judge(metrics, asked_at(300.0))
    assert counted(verdicts) == counted([once]) == (160, 1600)
    several = [look for one in verdicts for look in one.evidence.facts["looks"]]  # type: ignore[attr-defined]
    assert [look["ended"] for look in several] == [
        look["ended"]
        for look in once.evidence.facts["looks"]  # type: ignore[attr-defined]
    ]


def test_a_look_is_four_scrapes_long_and_waits_for_one_more() -> None:
    """What may not be scraped yet is left to the next look."""
    metrics = Held(both("risk", FINE, FINE))
    assert judge(metrics, asked_at(4 * EVERY + EVERY - 1)).evidence.facts["looks"] == []
    looks: Any = judge(metrics, asked_at(5 * EVERY)).evidence.facts["looks"]
    (look,) = looks
    assert (look["began"], look["ended"]) == (SINCE.timestamp(), SINCE.timestamp() + 60)


def test_a_first_error_after_the_last_look_is_not_lost() -> None:
    """Its series appears with the first error ever: the window goes back before the look."""
    quiet = both("risk", FINE, FINE)
    appears = counters("risk", CANDIDATE, replace(FAILING, good=0))[1]
    late = replace(appears, samples=tuple((at, 10.0) for at, _ in appears.samples[13:]))
    first = judge(Held(quiet), asked_at(180 + EVERY))
    second = judge(Held([*quiet, late]), asked_at(300, [first]))
    assert counted([first])[0] == 0
    assert counted([second])[0] == 10


def test_evidence_of_earlier_shares_is_carried_on() -> None:
    """A ladder has one alpha, and doubt at 10 % is still there at 25 %."""
    metrics = Held(both("risk", replace(FINE, good=99, errors=1), FINE))
    first = judge(metrics, asked_at(300))
    alone = bake("risk", since=NOW - timedelta(seconds=120), share_percent=50)
    later = replace(alone, earlier_looks=asked_at(300, [first]).earlier_looks)
    assert evidence(judge(metrics, later)) > evidence(judge(metrics, alone))


def evidence(verdict: Verdict) -> float:
    """Of harm."""
    value = measurement(verdict, "evidence_of_harm").value
    assert isinstance(value, float)
    return value


def measurement(verdict: Verdict, name: str) -> Measurement:
    """By its name; of the candidate where both arms have it."""
    return next(one for one in verdict.evidence.measurements if one.name == name and one.arm != "stable")


def test_a_journal_keeps_enough_to_go_on() -> None:
    """What was written down and read again is what was counted."""
    metrics = Held(both("risk", FAILING, FINE))
    first = judge(metrics, asked_at(200))
    again = verdict_from_data(verdict_to_data(first))
    assert judge(metrics, asked_at(300, [again])) == judge(metrics, asked_at(300, [first]))


def test_a_look_that_is_none_is_not_guessed_at() -> None:
    """A journal of another release: hold, and say so."""
    verdict = judge(Held(both("risk", FINE, FINE)), replace(bake("risk"), earlier_looks=({"began": 0},)))
    assert (verdict.status, verdict.reason) == (Status.UNKNOWN, "looks_unreadable")


def slowed(namespace: str, revision: str, slow: int) -> list[Series]:
    """Latencies of which about 1 % and 10 % lie above edges of their own; some more above the highest."""
    edges = {"0.5": 0.0, "5": 0.9, "25": 0.99, "50": 1.0, "100": 1.0, "+Inf": 1.0}
    return counters(namespace, revision, Traffic(good=1000, slow=slow, edges=edges))


def test_tail_and_body_are_counted_above_edges_that_the_stable_arm_chose_before() -> None:
    """The first looks choose, the next ones count: no look has a say in how it is judged."""
    metrics = Held([*slowed("risk", CANDIDATE, 2), *slowed("risk", STABLE, 1)])
    first = judge(metrics, asked_at(140))
    looks = [from_data(look) for look in first.evidence.facts["looks"]]  # type: ignore[attr-defined]
    assert [dict(look.edges_ms) for look in looks] == [{}, {"tail": 25.0, "body": 5.0}]
    assert all("tail" not in look.candidate for look in looks)
    second = judge(metrics, asked_at(300, [first]))
    assert counted([second], metric="body") == (2 * 4 * (100 + 2), 2 * 4 * 1000)
    assert counted([second], "stable", "tail") == (2 * 4 * 11, 2 * 4 * 1000)
    assert counted([second], metric="slow") == (2 * 4 * 2, 2 * 4 * 1000)


def test_where_the_histogram_has_no_fit_edge_there_is_no_such_metric() -> None:
    """Rather than one that counts something else."""
    verdict = judge(Held(both("risk", FINE, FINE)), asked_at(300))
    last = from_data(verdict.evidence.facts["looks"][-1])  # type: ignore[index]
    assert set(last.edges_ms) <= {"body"}


def test_the_evidence_says_what_is_not_ruled_out() -> None:
    """Per metric the shares of both arms, their ratio with its bounds, and the queries to ask again."""
    verdict = judge(
        Held(both("risk", replace(FINE, good=999, errors=1), replace(FINE, good=999, errors=1))),
        asked_at(300),
    )
    share, ratio = measurement(verdict, "errors_share"), measurement(verdict, "errors_ratio")
    assert (share.unit, share.samples) == ("percent", 16 * 1000)
    assert ratio.value == 1.0
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.low < 1 < ratio.high
    assert f"more than {ratio.high:.2g} times the stable's share is ruled out" in verdict.sentence
    assert {query.server for query in verdict.evidence.queries} == {"memory"}


def test_both_arms_of_one_revision_cannot_be_told_apart() -> None:
    """Whatever was counted."""
    asked = bake("risk", stable=named_arm("stable", CANDIDATE))
    assert judge(Held(both("risk", FINE, FINE)), asked).reason == "same_revision"
