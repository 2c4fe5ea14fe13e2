"""PromQL of one's own: what may be written, what is filled in, and what a real Prometheus's answers mean."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gates.contract import Question, Status, Verdict
from gates.metrics import Answer, Metrics, Series
from gates.slo import Slo, SloSettings, UserQuery
from gates.slo.queries import ask, fill
from pipelines.clients.prometheus import PrometheusMetrics
from pipelines.errors import CouldNotTell
from tests.counters import (
    CANDIDATE,
    EVERY,
    NOW,
    STABLE,
    STEPS,
    Traffic,
    bake,
    both,
    counter,
    cut,
    named_arm,
    prometheus,
)

ARM = "{namespace=$namespace, revision=$revision}"
FLAGGED, SCORED = f"fraud_flagged_total{ARM}", f"fraud_scored_total{ARM}"
SHARE = (
    "sum(increase(fraud_flagged_total{namespace=$namespace, revision=$revision}[$window]))"
    " / sum(increase(fraud_scored_total{namespace=$namespace, revision=$revision}[$window]))"
)


def query(text: str = SHARE, **changes: object) -> UserQuery:
    fields: dict[str, object] = {
        "name": "flagged_share",
        "query": text,
        "rests_on": SCORED,
        "meaning": "share",
        "at_most": 0.02,
    }
    return UserQuery(**{**fields, **changes})  # type: ignore[arg-type]


def scores(namespace: str, flagged: int = 1, scored: int = 100, **labels: str) -> list[Series]:
    """What a model tells of itself, beside the traffic of both arms."""
    own = {"job": "model", "instance": "a", "namespace": namespace, "revision": CANDIDATE, **labels}
    return [counter("fraud_flagged_total", own, flagged), counter("fraud_scored_total", own, scored)]


class Case(NamedTuple):
    """What there is, what is asked, and what is said of it."""

    series: Callable[[str], list[Series]]
    query: UserQuery
    status: Status
    reason: str
    says: str
    question: Callable[[str], Question] = bake


CASES = {
    "within": Case(scores, query(), Status.PASS, "within_objectives", "flagged_share is 0.01"),
    "out-of-bounds": Case(
        lambda ns: scores(ns, flagged=3),
        query(),
        Status.FAIL,
        "query_missed",
        "0.03, at most 0.02 is allowed",
    ),
    "too-little": Case(
        scores, query(at_most=None, at_least=0.05), Status.FAIL, "query_missed", "at least 0.05 is allowed"
    ),
    "honest": Case(scores, query(), Status.PASS, "within_objectives", "a point without an interval"),
    # Of the table of answers without data, one row each.
    "nan": Case(
        lambda ns: scores(ns, flagged=0, scored=0),
        query(),
        Status.UNKNOWN,
        "not_a_number",
        "the answer is nan",
    ),
    "infinite": Case(
        lambda ns: scores(ns, scored=0), query(), Status.UNKNOWN, "not_a_number", "the answer is inf"
    ),
    "infinite-where-more-is-better": Case(
        lambda ns: scores(ns, scored=0),
        query(at_most=None, at_least=0.001),
        Status.UNKNOWN,
        "not_a_number",
        "the answer is inf",
    ),
    "empty": Case(lambda ns: scores(ns)[1:], query(), Status.UNKNOWN, "no_data", "the answer is empty"),
    "a-nan-is-filtered-away": Case(
        lambda ns: scores(ns, flagged=0, scored=0),
        query(f"{SHARE} < 0.02"),
        Status.UNKNOWN,
        "no_data",
        "the answer is empty",
    ),
    "nothing-of-this-arm": Case(
        lambda ns: scores(ns, revision=STABLE), query(), Status.UNKNOWN, "no_data", "nothing it rests on"
    ),
    "zero-made-of-nothing": Case(
        lambda ns: [], query(f"sum({FLAGGED}) or vector(0)"), Status.UNKNOWN, "no_data", "nothing it rests on"
    ),
    "two-series-good-and-bad": Case(
        lambda ns: scores(ns) + scores(ns, flagged=50, instance="b"),
        query(f"increase({FLAGGED.replace('}', '}[$window]')}) / 2000"),
        Status.UNKNOWN,
        "several_series",
        "2 series answer, one was declared",
    ),
    "stale": Case(
        lambda ns: cut(scores(ns), 0, STEPS - 4),
        query(),
        Status.UNKNOWN,
        "stale_data",
        "rests on is 75 s old",
    ),
    "a-share-above-1": Case(
        scores, query(f"sum({SCORED})"), Status.UNKNOWN, "implausible_data", "cannot be of the meaning share"
    ),
    "a-count-below-0": Case(
        scores,
        query(f"-sum({SCORED})", meaning="count"),
        Status.UNKNOWN,
        "implausible_data",
        "cannot be of the meaning count",
    ),
    "a-number-below-0": Case(
        scores, query(f"-sum({SCORED})", meaning="number"), Status.PASS, "within_objectives", "is -3000,"
    ),
    "too-few-requests": Case(
        lambda ns: scores(ns, flagged=50),
        query(),
        Status.WAIT,
        "insufficient_samples",
        "20 of 100 candidate requests",
    ),
    "a-query-does-not-excuse-errors": Case(
        lambda ns: [],
        query(),
        Status.FAIL,
        "objective_missed",
        "failed",
        lambda ns: bake(ns, candidate=named_arm("candidate", STABLE), stable=named_arm("stable", CANDIDATE)),
    ),
    "a-gap-of-counts-does-not-excuse-a-query": Case(
        lambda ns: scores(ns, flagged=3),
        query(),
        Status.FAIL,
        "query_missed",
        "0.03",
        lambda ns: bake(ns, stable=named_arm("stable", "nobody")),
    ),
}
BAD_STABLE = {"a-query-does-not-excuse-errors"}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metrics]:
    series = [one for name, case in CASES.items() for one in case.series(name)]
    for name in CASES:
        stable = Traffic(errors=5) if name in BAD_STABLE else Traffic()
        candidate = Traffic(good=1) if name == "too-few-requests" else Traffic()
        series += both(name, candidate, stable)
    with prometheus(tmp_path_factory.mktemp("prometheus"), series) as url:
        yield PrometheusMetrics(url)


def judge(metrics: Metrics, question: Question, *queries: UserQuery) -> Verdict:
    return Slo(SloSettings(queries=queries), metrics=metrics).judge(question)


@pytest.mark.parametrize("name", CASES)
def test_what_prometheus_answers_is_judged(name: str, real: Metrics) -> None:
    """Each kind of answer has its own reason, and none without a number passes."""
    case = CASES[name]
    verdict = judge(real, case.question(name), case.query)
    assert (verdict.status, verdict.reason) == (case.status, case.reason), verdict.sentence
    assert case.says in verdict.sentence


def test_the_value_is_evidence_with_its_bound_and_both_questions(real: Metrics) -> None:
    verdict = judge(real, bake("within"), query())
    found = verdict.evidence.measurements[-1]
    assert (found.name, found.arm, found.threshold) == ("flagged_share", "candidate", 0.02)
    assert found.value == pytest.approx(0.01)
    assert (found.low, found.samples) == (None, None)
    rests_on, asked = verdict.evidence.queries[-2:]
    assert rests_on.samples == STEPS + 1
    assert f"[{STEPS * EVERY:.0f}s]" in asked.text


def test_a_window_too_young_for_a_scrape_waits(real: Metrics) -> None:
    """Nothing is wrong yet."""
    reply = ask(real, query(), bake("stale", since=NOW - timedelta(seconds=5)))
    assert (reply.status, reply.reason) == (Status.WAIT, "too_early")


def test_of_two_queries_the_worst_counts(real: Metrics) -> None:
    verdict = judge(real, bake("within"), query(), query(name="other", at_most=0.001))
    assert (verdict.status, verdict.reason) == (Status.FAIL, "query_missed")
    assert verdict.sentence.startswith("other is 0.01")


def test_what_is_no_promql_is_no_answer(real: Metrics) -> None:
    """The source says so by an exception, which whoever asks records as could not tell."""
    with pytest.raises(CouldNotTell):
        judge(real, bake("within"), query(f"sum({FLAGGED}"))


def test_a_server_that_is_down_is_no_answer() -> None:
    """Nor is it a failure."""
    with pytest.raises(CouldNotTell):
        judge(PrometheusMetrics("http://127.0.0.1:9", timeout_seconds=1.0), bake("risk"), query())


class Warned:
    """Answers as the real one, with a warning to one of the two questions."""

    def __init__(self, real: Metrics, part: str) -> None:
        self._real, self._part = real, part

    def _warn(self, answer: Answer) -> Answer:
        return replace(answer, warnings=("store down",)) if self._part in answer.query else answer

    def samples(self, selector: str, *, at: float, window_seconds: float) -> Answer:
        return self._warn(self._real.samples(selector, at=at, window_seconds=window_seconds))

    def value(self, query: str, *, at: float) -> Answer:
        return self._warn(self._real.value(query, at=at))


@pytest.mark.parametrize("part", ["fraud_flagged", "fraud_scored"])
def test_a_partial_answer_is_not_a_whole_one(part: str, real: Metrics) -> None:
    """Neither of the query nor of what it rests on."""
    verdict = judge(Warned(real, part), bake("within"), query())
    assert (verdict.status, verdict.reason) == (Status.UNKNOWN, "partial_data")
    assert "store down" in verdict.sentence


def test_without_a_revision_nothing_is_asked(real: Metrics) -> None:
    """An empty value would select the series of everybody else."""
    question = bake("within", candidate=named_arm("candidate", ""))
    verdict = judge(real, question, query())
    assert (verdict.status, verdict.reason) == (Status.UNKNOWN, "revision_unknown")
    assert all("fraud_" not in one.text for one in verdict.evidence.queries)


# ------------------------------------------------------------------- what may be written

REFUSED = {
    "no condition": ({"at_most": None}, "has no bound: set at_most or at_least"),
    "a range that nothing fits": ({"at_least": 1.0}, "can never hold"),
    "no arm": ({"query": "sum(fraud_flagged_total)"}, "does not name $revision"),
    "freshness of no arm": ({"rests_on": "up"}, "does not name $revision"),
    "a value in quotes": ({"query": 'a{r="$revision"}'}, "does not name $revision"),
    "a value within other text": ({"query": 'a{r="x=$revision"}'}, "does not name $revision"),
    "a value in a comment": ({"query": "a # r=$revision"}, "does not name $revision"),
    "a value as a pattern": ({"query": "a{r=~$revision}"}, "$revision must follow = or !="),
    "a value as PromQL": ({"query": "a{r=$revision} + $namespace"}, "$namespace must follow = or !="),
    "a window elsewhere": ({"query": "a{r=$revision} > $window"}, "$window must follow ["),
    "an unknown name": ({"query": "a{r=$revision, t=$tenant}"}, "$tenant; there are"),
    "a bare dollar": ({"query": "a{r=$revision} $"}, "has $; there are"),
    "a template": ({"query": "a{r=$revision, t={{tenant}}}"}, "templates fill in elsewhere"),
    "an open quote": ({"query": 'a{r=$revision, t="x}'}, "a quote that is never closed"),
    "a name for people": ({"name": "Flagged share"}, "not in snake_case"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_not_be_judged_cannot_be_configured(name: str) -> None:
    changes, says = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(says)):
        query(**changes)  # type: ignore[arg-type]


def test_dollars_in_strings_are_left_alone() -> None:
    """A pattern may end in one."""
    assert fill(query('a{r=$revision, c=~"5..$"}').query, bake("risk")) == f'a{{r="{CANDIDATE}", c=~"5..$"}}'


@given(st.text(), st.text(min_size=1))
def test_no_value_ends_its_quotes(namespace: str, revision: str) -> None:
    """Read back as PromQL reads strings, the filled query has the very values, and nothing else moved."""
    question = bake(namespace, candidate=named_arm("candidate", revision))
    text = fill("a{n=$namespace,r=$revision}", question)
    found = re.fullmatch(r'a\{n=("(?:\\.|[^"\\\n])*"),r=("(?:\\.|[^"\\\n])*")\}', text)
    assert found, text

    def read(quoted: str) -> str:
        return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], quoted[1:-1])

    assert (read(found[1]), read(found[2])) == (namespace, revision)


@pytest.mark.parametrize("hostile", ['"} or up{x="', "a\nb", "\\", "$revision", "{{ x }}", "`", "'", "# "])
def test_hostile_values_stay_values(hostile: str, real: Metrics) -> None:
    """Prometheus finds nothing of that name, rather than something else."""
    question = bake("within", candidate=named_arm("candidate", hostile))
    answer = real.value(fill(f"sum({FLAGGED})", question), at=NOW.timestamp())
    assert answer.series == ()


def test_queries_are_settings_like_others() -> None:
    """What is wrong with one is told where the settings are read."""
    adapter = TypeAdapter(SloSettings)
    one = {"name": "f", "query": "a{r=$revision}", "rests_on": "a{r=$revision}", "meaning": "share"}
    settings = adapter.validate_python({"queries": [{**one, "at_most": 0.5}]})
    assert settings.queries[0].bounds == (-math.inf, 0.5)
    for wrong, says in (
        (one, "set at_most or at_least"),
        ({**one, "at_most": 0.5, "meaning": "ratio"}, "meaning"),
    ):
        with pytest.raises(ValidationError, match=says):
            adapter.validate_python({"queries": [wrong]})
