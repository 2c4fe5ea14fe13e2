"""From looks to one judgement: every verdict of the judge, and what it must never say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.canary.judging import Judgement, judge
from gates.canary.looks import Counted, Look, from_data
from gates.canary.settings import BODY, ERRORS, SLOW, TAIL, CanarySettings
from gates.contract import Status

HARMS = (ERRORS, SLOW, TAIL, BODY)
BUDGETS = {"errors": 0.01, "slow": 0.02}


def arm(of: int, errors: int, slow: int = 0, tail: int = 0, body: int = 0) -> dict[str, Counted]:
    """Counts of one arm in one look."""
    counts = {"errors": errors, "slow": slow, "tail": tail, "body": body}
    return {name: Counted(bad, of) for name, bad in counts.items()}


def look(
    minute: int, share: int, candidate: Mapping[str, Counted], stable: Mapping[str, Counted] | None = None
) -> Look:
    """One minute."""
    began = 60.0 * minute
    return Look(began=began, ended=began + 60, share_percent=share, candidate=candidate, stable=stable or {})


def minutes(
    count: int, *, errors: tuple[int, int] = (1, 9), share: int = 10, first: int = 0, of: int = 10_000
) -> list[Look]:
    """Minutes with so many errors at (candidate, stable), of requests split as intended."""
    candidates = of * share // 100
    return [
        look(
            first + n,
            share,
            arm(candidates, errors[0], slow=1, tail=10, body=100),
            arm(of - candidates, errors[1], slow=9, tail=90, body=900),
        )
        for n in range(count)
    ]


def judged(looks: list[Look], share: int = 10, **changes: Any) -> Judgement:
    """By settings of the defaults but for these changes."""
    return judge(looks, HARMS, CanarySettings(**changes), budgets=BUDGETS, share_percent=share)


def verdict(looks: list[Look], share: int = 10, **changes: Any) -> tuple[Status, str]:
    """Status and reason."""
    worst = judged(looks, share, **changes).worst
    return worst.status, worst.reason


def test_equal_arms_pass() -> None:
    """And the sentence says of every metric what is ruled out."""
    said = judged(minutes(20))
    assert (said.worst.status, said.worst.reason) == (Status.PASS, "no_harm_shown")
    assert said.evidence < 1
    assert said.worst.sentence.count("times the stable's share is ruled out") == len(HARMS)
    assert "errors: 20 of 20000 at the candidate (0.1 %), 180 of 180000 at the stable (0.1 %)" in (
        said.worst.sentence
    )


def test_ten_times_the_errors_fail() -> None:
    """Within minutes, and the metric that shows it is named."""
    said = judged(minutes(4, errors=(10, 9)))
    assert (said.worst.status, said.worst.reason) == (Status.FAIL, "worse_than_stable")
    low = said.metrics[0].ruled.low
    assert low is not None
    assert 2 < low < 10
    assert said.worst.sentence == (
        f"errors are shown to be at least {low:.3g} times as frequent as at the stable: "
        "40 of 4000 at the candidate (1 %), 36 of 36000 at the stable (0.1 %)"
    )
    assert said.evidence >= 20


def test_in_doubt_the_share_is_held() -> None:
    """Until evidence goes down, or up to a FAIL."""
    looks = minutes(5, errors=(3, 9))
    assert verdict(looks) == (Status.WAIT, "in_doubt")
    assert verdict([*looks, *minutes(60, first=5, errors=(3, 9))])[0] is Status.FAIL
    assert verdict([*looks, *minutes(60, first=5)]) == (Status.PASS, "no_harm_shown")


def test_what_was_seen_at_one_share_counts_at_the_next() -> None:
    """A ladder is one rollout with one alpha: evidence is carried on, requests of the share are not."""
    before = minutes(8, errors=(3, 9))
    after = minutes(1, errors=(3, 9), share=25, first=8, of=100)
    assert judged([*before, *after], 25).evidence > judged(after, 25).evidence
    assert verdict([*minutes(8), *after], 25)[1] == "insufficient_samples"


def test_both_arms_bad_is_not_the_candidates_fault() -> None:
    """Both are over budget, the candidate even more: hold, and blame nobody."""
    looks = minutes(5, errors=(200, 900))
    said = judged(looks)
    assert (said.worst.status, said.worst.reason) == (Status.UNKNOWN, "both_arms_bad")
    assert "both arms are over budget of late (errors)" in said.worst.sentence
    assert said.evidence < 20


def test_both_arms_failing_does_not_excuse_slowness() -> None:
    """Errors at both arms leave the candidate's latency its own."""
    looks = [
        look(n, 10, arm(1000, 100, slow=200, tail=300, body=400), arm(9000, 900, slow=9, tail=90, body=900))
        for n in range(6)
    ]
    assert verdict(looks) == (Status.FAIL, "worse_than_stable")


def test_a_bad_stable_arm_alone_is_no_reason_to_hold() -> None:
    """A candidate that mends it may go on."""
    assert verdict(minutes(10, errors=(1, 900)))[0] is Status.PASS


@pytest.mark.parametrize("split", [(3000, 7000), (200, 9800)])
def test_a_split_that_is_not_the_intended_one_is_not_judged(split: tuple[int, int]) -> None:
    """Misrouted or doubly counted requests: not even ten times the errors are believed."""
    looks = [look(n, 10, arm(split[0], 300), arm(split[1], 7)) for n in range(5)]
    assert verdict(looks) == (Status.UNKNOWN, "share_not_observed")
    assert verdict(looks, share_alpha=0)[0] is Status.FAIL


def test_too_few_requests_wait() -> None:
    """With the time it takes at this rate; nothing at all waits too."""
    said = judged(minutes(3, errors=(0, 0), of=200))
    assert (said.worst.status, said.worst.reason) == (Status.WAIT, "insufficient_samples")
    assert said.worst.sentence == (
        "60 of 100 candidate requests counted that are needed, about 2 min more at this rate"
    )
    assert verdict([])[1] == "insufficient_samples"


def test_a_harm_to_be_ruled_out_is_waited_for() -> None:
    """Three errors' worth of requests do not show that there are not twice as many."""
    few, many = minutes(5), minutes(240)
    assert verdict(few) == (Status.PASS, "no_harm_shown")
    assert verdict(few, rule_out=2.0) == (Status.WAIT, "harm_not_excluded")
    assert verdict(many, rule_out=2.0, noise={"errors": 0.0, "slow": 0.0})[0] is Status.PASS


def test_alone_at_100_percent_the_past_of_the_stable_is_the_measure() -> None:
    """Many times what the stable had is a FAIL, though within the budget; as much as it had is not."""
    split = minutes(30, share=50, errors=(5, 5))
    alone = [look(30 + n, 100, arm(10_000, 90, slow=10)) for n in range(40)]
    fine = [look(30 + n, 100, arm(10_000, 11, slow=10)) for n in range(30)]
    said = judged([*split, *alone], 100)
    assert (said.worst.status, said.worst.reason) == (Status.FAIL, "worse_than_before")
    assert "errors alone at 100 % are shown to be above 0.3" in said.worst.sentence
    assert verdict([*split, *fine], 100) == (Status.PASS, "no_harm_shown")


def test_a_first_version_is_held_against_its_budgets() -> None:
    """There never was a stable arm."""
    assert verdict([look(n, 100, arm(10_000, 50)) for n in range(20)], 100)[0] is Status.PASS
    assert verdict([look(n, 100, arm(10_000, 400)) for n in range(20)], 100)[0] is Status.FAIL


def test_a_metric_that_could_not_be_counted_says_nothing() -> None:
    """The others are judged, and nothing of it is ruled out."""
    looks = [look(n, 10, {"errors": Counted(1, 1000)}, {"errors": Counted(9, 9000)}) for n in range(10)]
    slow = next(one for one in judged(looks).metrics if one.harm is SLOW)
    assert (slow.evidence, slow.worst) == (1.0, "no harm is ruled out yet")


counts = st.integers(0, 200)


@settings(max_examples=40, deadline=None)
@given(errors=st.lists(st.tuples(counts, counts), min_size=1, max_size=6))
def test_looks_survive_being_written_down(errors: list[tuple[int, int]]) -> None:
    """A judgement made from the journal alone is the same, bit for bit."""
    looks = [one for n, pair in enumerate(errors) for one in minutes(1, errors=pair, first=n)]
    again = [from_data(one.to_data()) for one in looks]
    assert again == looks
    assert judged(again) == judged(looks)


@pytest.mark.parametrize(
    "wrong",
    [
        {"began": 60.0},
        {"share_percent": 101},
        {"candidate": {"errors": [5, 4]}},
        {"candidate": {"errors": [-1, 4]}},
        {"candidate": {"errors": 3}},
        {"stable": None},
        {"ended": float("inf")},
    ],
)
def test_what_is_no_look_is_refused(wrong: Mapping[str, object]) -> None:
    """A journal's line is data like any other."""
    whole = minutes(1)[0].to_data()
    with pytest.raises(ValueError, match="not a look"):
        from_data({**whole, **wrong})
    with pytest.raises(ValueError, match="not a look"):
        from_data({name: value for name, value in whole.items() if name != "began"})
