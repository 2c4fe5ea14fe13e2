"""Judging again: from a journal alone, bit for bit; from recorded metrics; and an arm against itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gates.canary import Canary, CanarySettings
from gates.canary.noise import calibrate
from gates.canary.replay import Halves, again, over, split
from gates.canary.settings import ERRORS, SLOW
from gates.contract import Status, Verdict
from gates.counts import Gap
from pipelines.journal.lines import verdict_from_data, verdict_to_data
from tests.counters import EVERY, NOW, SINCE, STABLE, Held, Traffic, bake, both, counters

FINE = Traffic(good=100)


def verdicts(candidate: Traffic, **told: Any) -> list[Verdict]:
    """Of a bake that was looked at every minute, as a journal gives them back."""
    gate = Canary(CanarySettings(**told), metrics=Held(both("risk", candidate, FINE)))
    found = over(gate, bake("risk"), until=NOW, every_seconds=60)
    return [verdict_from_data(json.loads(json.dumps(verdict_to_data(one)))) for one in found]


@pytest.mark.parametrize(
    ("candidate", "last"),
    [(FINE, Status.PASS), (replace(FINE, errors=10), Status.FAIL), (replace(FINE, slow=3), Status.FAIL)],
)
def test_every_verdict_of_a_journal_comes_out_the_same(candidate: Traffic, last: Status) -> None:
    """Status, reason, sentence and every number, from what was written down alone."""
    written = verdicts(candidate, noise={"errors": 0.1, "slow": 0.1}, doubt=1.5)
    judged = list(again(written))
    assert [one.recorded for one in judged] == written
    assert all(one.same for one in judged)
    assert written[-1].status is last


def altered(verdict: Verdict, **facts: Any) -> Verdict:
    """With other facts in its evidence."""
    evidence = replace(verdict.evidence, facts={**verdict.evidence.facts, **facts})
    return replace(verdict, evidence=evidence)


def test_counts_that_were_changed_are_found_out() -> None:
    """One error less in one look."""
    written = verdicts(replace(FINE, errors=10))
    looks: Any = json.loads(json.dumps(written[1].evidence.facts["looks"]))
    looks[0]["candidate"]["errors"][0] -= 1
    judged = list(again([written[0], altered(written[1], looks=looks), *written[2:]]))
    assert [one.same for one in judged[:2]] == [True, False]


@pytest.mark.parametrize(
    "facts",
    [
        {"judged_by": {"settings": {"no": 1}, "budgets": {}, "share_percent": 10}},
        {"judged_by": {}},
        {"looks": [{"began": 0}]},
        {"gaps": [{"reason": "x"}]},
    ],
)
def test_facts_that_are_not_ours_are_refused(facts: dict[str, Any]) -> None:
    """A journal of another release, or another gate's."""
    with pytest.raises(ValueError, match=r"no verdict of this gate|not a look"):
        list(again([altered(verdicts(FINE)[1], **facts)]))


def test_a_verdict_that_judged_no_counts_is_passed_over() -> None:
    """As that at a share of 0."""
    nothing = Canary(CanarySettings(), metrics=Held([])).judge(bake("risk", share_percent=0))
    assert list(again([nothing])) == []


def test_recorded_metrics_are_judged_as_they_were_live() -> None:
    """Look by look, each with what came before."""
    gate = Canary(CanarySettings(), metrics=Held(both("risk", replace(FINE, errors=1), FINE)))
    told = list(over(gate, bake("risk"), until=NOW, every_seconds=60))
    assert [one.at.timestamp() - SINCE.timestamp() for one in told] == [60, 120, 180, 240, 300]
    assert told[0].reason == "insufficient_samples"
    levels: Sequence[Any] = [one.evidence.measurements[0].value for one in told]
    assert levels[-1] > levels[-2] > levels[-3]


def processes(count: int, per_scrape: Sequence[int]) -> list[Any]:
    """One arm, served by so many processes."""
    return [
        one
        for number in range(count)
        for one in counters("risk", STABLE, Traffic(good=per_scrape[number], target=f"envoy:{number}"))
    ]


def test_an_arm_is_dealt_out_to_halves_by_its_processes() -> None:
    """All counters of a process go to one half, whichever is asked for first."""
    halves = Halves(Held(processes(4, (10, 20, 30, 40))))
    asked = bake("risk")
    selector = f'envoy_cluster_upstream_rq_xx{{envoy_cluster_name="risk/{STABLE}"}}'
    found = [
        {
            one.labels["instance"]
            for one in halves.of(half).samples(selector, at=asked.now.timestamp(), window_seconds=300).series
        }
        for half in (1, 0)
    ]
    assert found == [{"envoy:1", "envoy:3"}, {"envoy:0", "envoy:2"}]


def test_halves_of_one_arm_calibrate_the_noise() -> None:
    """Cut into rollouts of minutes here; evenly served processes show hardly any noise."""
    series = processes(4, (100, 100, 100, 100))
    found = split(
        Held(series),
        bake("risk", now=datetime.fromtimestamp(NOW.timestamp() + EVERY - 1, UTC)),
        rollout_minutes=1,
    )
    assert not isinstance(found, Gap)
    assert [len(looks) for looks in found] == [1, 1, 1, 1]
    assert calibrate(found, [ERRORS, SLOW]) is None  # four are too few
    assert sum(look.candidate["errors"].of for looks in found for look in looks) == 4 * 4 * 200


def test_a_single_process_cannot_be_split() -> None:
    """One half is empty, and says so."""
    found = split(Held(processes(1, (100,))), bake("risk"))
    assert isinstance(found, Gap)
    assert found.reason == "no_data"
