"""`make bench-judge` in small: streams are what they say, rules do what is written of them, tables add up.

Figures of the whole are for people: tests/bench/judge/results. Kayenta's interval is held against a root
finder as R and Kayenta have it; the other rules against their definition, minute by minute, in plain Python.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import combinations
from math import dist
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from gates.canary.settings import CanarySettings
from tests.bench.judge import __main__, plots, tables
from tests.bench.judge.book import Book, Demand, read
from tests.bench.judge.kayenta import CONFIDENCE, TOLERANCE, Kayenta, is_high
from tests.bench.judge.ours import Lockgate
from tests.bench.judge.rules import OURS, calibrated, of_labels, of_table
from tests.bench.judge.sequential import EProcess, GroupSequential, pocock
from tests.bench.judge.streams import CANDIDATE, STABLE, Ints, Minute, Noise, Scenario, Stream
from tests.bench.judge.tables import Cell
from tests.bench.judge.thresholds import Argo, ArgoOnLabels, ArgoOnMeshBuckets, BurnRate, Flagger, StepEnd
from tests.bench.judge.trial import ABORT, HOLD, PROMOTE, Figures, Rule, run

BOOK = read()
FRAUD = BOOK.services["fraud"]
REALISTIC = BOOK.noise["realistic"]


def stream(
    scenario: Scenario | None = None,
    noise: Noise | None = None,
    *,
    runs: int = 50,
    seed: int = 1,
    percentiles: bool = False,
) -> Stream:
    """One of 60 planned minutes."""
    return Stream(
        FRAUD,
        scenario or Scenario(),
        noise or Noise(),
        runs=runs,
        planned_minutes=60,
        generator=np.random.default_rng(seed),
        percentiles=percentiles,
    )


def minutes(source: Stream, count: int, share: int = 50) -> list[Minute]:
    """So many minutes at one share."""
    return [source.minute(np.full(source.runs, share), np.full(source.runs, n)) for n in range(count)]


def rate(found: list[Minute], count: Callable[[Minute], Ints], arm: int) -> float:
    """Share of an arm's requests."""
    total = sum(one.requests[:, arm].sum() for one in found)
    return float(sum(count(one)[:, arm].sum() for one in found) / total)


# ---------------------------------------------------------------------- streams


def test_a_clean_stream_has_the_rates_of_its_service() -> None:
    """Both arms, to within a few standard errors."""
    found = minutes(stream(), 60)
    assert rate(found, lambda one: one.requests, CANDIDATE) == 1
    total = sum(one.requests.sum() for one in found) / (60 * 50)
    assert total == pytest.approx(70 * 60, rel=0.01)
    for arm in (CANDIDATE, STABLE):
        assert rate(found, lambda one: one.errors, arm) == pytest.approx(0.001, rel=0.05)
        assert rate(found, lambda one: one.over[FRAUD.p99_ms], arm) == pytest.approx(0.01, rel=0.02)
        assert rate(found, lambda one: one.over[FRAUD.p90_ms], arm) == pytest.approx(0.1, rel=0.01)
        assert rate(found, lambda one: one.flagged, arm) == pytest.approx(0.0108, rel=0.02)


def test_faults_are_the_candidates_alone_and_of_their_size() -> None:
    """Errors ten times, and a slow mode that moves the p99 by a quarter but not the middle."""
    errors = minutes(stream(BOOK.scenarios["err1.0"]), 30)
    assert rate(errors, lambda one: one.errors, CANDIDATE) == pytest.approx(0.01, rel=0.05)
    assert rate(errors, lambda one: one.errors, STABLE) == pytest.approx(0.001, rel=0.1)
    tailed = minutes(stream(BOOK.scenarios["p99x1.25"], percentiles=True), 30)
    p99 = np.mean([one.p99_ms for one in tailed], axis=(0, 1))
    assert p99 == pytest.approx([1.25 * 6.5, 6.5], rel=0.02)
    mean = np.mean([one.mean_ms for one in tailed], axis=(0, 1))
    assert mean[CANDIDATE] / mean[STABLE] < 1.06
    falsely = minutes(stream(BOOK.scenarios["fpr1.5"]), 60)
    of_labels = [
        sum(one.false[:, arm].sum() for one in falsely) / sum(one.labelled[:, arm].sum() for one in falsely)
        for arm in (CANDIDATE, STABLE)
    ]
    assert of_labels == pytest.approx([0.015, 0.01], rel=0.05)


def test_a_leak_grows_and_a_neighbour_passes() -> None:
    """The leak in the candidate from its minute on; the neighbour in both arms, for ten minutes."""
    leak = minutes(stream(BOOK.scenarios["leak"]), 31)
    assert rate(leak[:10], lambda one: one.errors, CANDIDATE) == pytest.approx(0.001, rel=0.1)
    assert rate(leak[30:], lambda one: one.errors, CANDIDATE) == pytest.approx(0.001 + 20.5 * 0.0005, rel=0.1)
    noisy = minutes(stream(BOOK.scenarios["noisy"], runs=200), 60)
    bad = np.array([one.errors for one in noisy]) > np.array([one.requests for one in noisy]) * 0.004
    assert bad.sum(axis=0).mean(axis=0) == pytest.approx([10, 10], abs=0.5)


def test_warming_up_lasts_the_first_minute_of_a_step() -> None:
    """And slows the candidate."""
    found = minutes(stream(BOOK.scenarios["warm-up"]), 2)
    assert rate(found[:1], lambda one: one.over[FRAUD.p99_ms], CANDIDATE) > 0.5
    assert rate(found[1:], lambda one: one.over[FRAUD.p99_ms], CANDIDATE) == pytest.approx(0.01, rel=0.2)


def test_realistic_noise_has_its_size_and_memory() -> None:
    """Slow requests of one arm against the other: how minutes go together, which binomial counts do not."""
    found = minutes(stream(noise=REALISTIC, runs=200), 40)
    ratio = np.diff(np.log([one.over[FRAUD.p90_ms] for one in found]), axis=2)[:, :, 0]
    steepness = float(norm.pdf(norm.ppf(0.9)) / 0.1 / FRAUD.sigma)  # of the share above, by the log of scale
    for lag in (1, 3):
        together = np.mean((ratio[:-lag] - ratio.mean()) * (ratio[lag:] - ratio.mean()))
        assert together == pytest.approx(0.8**lag * 2 * (steepness * REALISTIC.latency_arm) ** 2, rel=0.3)


def test_the_exact_p99_agrees_with_the_counts() -> None:
    """It is above an edge exactly when more requests are than its rank allows."""
    for one in minutes(stream(noise=REALISTIC, percentiles=True), 5, share=10):
        allowed = one.requests - np.ceil(0.99 * one.requests)
        for edge, over in one.over.items():
            assert ((one.p99_ms > edge) == (over > allowed)).all()


def test_one_seed_is_one_stream() -> None:
    """The same numbers every time."""
    first, again, other = (minutes(stream(seed=seed), 2)[1].errors for seed in (7, 7, 8))
    assert (first == again).all()
    assert (first != other).any()


# ------------------------------------------------------------------------ rules


def answers(rule: Rule, found: list[Minute], share: int = 50) -> list[Ints]:
    """What a rule says after each minute of one step."""
    runs = len(found[0].requests)
    return [rule.look(one, np.full(runs, share), np.full(runs, n)) for n, one in enumerate(found)]


def first_abort(rule: Rule, found: list[Minute]) -> list[int | None]:
    """Minute (from 1) of each run's first ABORT."""
    said = np.array(answers(rule, found)) == ABORT
    return [int(run.argmax()) + 1 if run.any() else None for run in said.T]


def by_hand(
    found: list[Minute], failed: Callable[[list[tuple[int, int, int]]], bool], limit: int
) -> list[int | None]:
    """The minute in which more than ``limit`` measurements have failed, one run after the other."""
    ends: list[int | None] = []
    for place in range(len(found[0].requests)):
        history: list[tuple[int, int, int]] = []
        failures, end = 0, None
        for number, one in enumerate(found, 1):
            history.append(
                (
                    int(one.requests[place, 0]),
                    int(one.errors[place, 0]),
                    int(one.over[FRAUD.budget_ms][place, 0]),
                )
            )
            failures += failed(history)
            if failures > limit and end is None:
                end = number
        ends.append(end)
    return ends


def too_many_errors(history: list[tuple[int, int, int]], window: int = 1, limit: float = 0.01) -> bool:
    """NaN and a share above the limit fail."""
    requests, errors = (sum(one[column] for one in history[-window:]) for column in (0, 1))
    return requests == 0 or errors / requests > limit


def too_slow(history: list[tuple[int, int, int]], window: int = 1) -> bool:
    """The exact p99: the request at rank 99 % of all is above the budget."""
    requests, over = (sum(one[column] for one in history[-window:]) for column in (0, 2))
    return requests == 0 or over >= requests - int(np.ceil(0.99 * requests)) + 1


@pytest.mark.parametrize(("limit", "window", "errors"), [(0, 1, 0.01), (3, 1, 0.01), (3, 5, 0.003)])
@pytest.mark.parametrize("scenario", ["clean", "err0.3", "p99x1.25", "err1.0"])
def test_argo_is_its_definition(scenario: str, limit: int, window: int, errors: float) -> None:
    """Each metric has failures of its own, and none is forgotten."""
    found = minutes(stream(BOOK.scenarios[scenario], REALISTIC), 20, share=10)
    by_errors = by_hand(found, lambda history: too_many_errors(history, window, errors), limit)
    by_p99 = by_hand(found, lambda history: too_slow(history, window), limit)
    wanted = [min(filter(None, pair), default=None) for pair in zip(by_errors, by_p99, strict=True)]
    assert first_abort(Argo(FRAUD, limit, window, errors), found) == wanted


def test_flagger_truncates_and_acts_a_tick_later() -> None:
    """A p99 of 8.9 ms is 8 ms to it; the roll back comes at the tick after the fifth failed check."""
    found = minutes(stream(BOOK.scenarios["p99x1.25"], REALISTIC, percentiles=True), 25, share=10)
    wanted: list[int | None] = []
    for place in range(len(found[0].requests)):
        failed, end = 0, None
        for number, one in enumerate(found, 1):
            if failed >= 5 and end is None:
                end = number
            share = one.errors[place, 0] / one.requests[place, 0]
            failed += share > 0.01 or int(one.p99_ms[place, 0]) > 8
        wanted.append(end)
    assert first_abort(Flagger(FRAUD), found) == wanted
    assert len({end for end in wanted if end}) > 3
    assert (np.array(answers(Flagger(FRAUD), found, share=100)) == PROMOTE).all()


def test_mesh_buckets_are_read_as_histogram_quantile_does() -> None:
    """Linear between the edges, so that a p99 of 6.5 ms reads above 9."""
    one = minutes(stream(runs=20), 1)[0]
    from tests.bench.judge.thresholds import mesh_p99

    for place, read_off in enumerate(mesh_p99(one)):
        total = one.requests[place, 0]
        below_5, below_10 = (total - one.over[edge][place, 0] for edge in (5.0, 10.0))
        wanted = 5 + 5 * (0.99 * total - below_5) / (below_10 - below_5)
        assert read_off == pytest.approx(wanted)
        assert read_off > 9
    assert first_abort(ArgoOnMeshBuckets(FRAUD), minutes(stream(runs=20), 5)) == [4] * 20


def test_step_end_and_burn_rate_by_their_words() -> None:
    """Nothing before the step's last minute; nothing below fourteen times the budget of errors."""
    bad = minutes(stream(Scenario(error_factor=13)), 15)
    assert set(first_abort(StepEnd(FRAUD, 15), bad)) == {15}
    pages = first_abort(BurnRate(FRAUD), minutes(stream(Scenario(error_factor=30)), 5))
    assert pages == [1] * 50
    assert first_abort(BurnRate(FRAUD), minutes(stream(), 30)).count(None) >= 48


def test_labels_need_fifty_before_they_are_a_measurement() -> None:
    """And more than failureLimit of them above 1.4 %."""
    found = minutes(stream(Scenario(false_flag_factor=30)), 12)
    labels = np.cumsum([one.labelled[:, 0] for one in found], axis=0)
    enough = (labels >= 50).argmax(axis=0)
    assert first_abort(ArgoOnLabels(), found) == [int(first) + 4 for first in enough]


def shift_of_r(candidate: list[float], stable: list[float]) -> tuple[float, float]:
    """Lower end of the shift's interval and its estimate by root finding, as ``wilcox.test`` has them."""
    one, two = np.array(candidate), np.array(stable)

    def z(shift: float, correction: float, quantile: float) -> float:
        moved = np.concatenate([one - shift, two])
        ranks = rankdata(moved)
        score = ranks[: len(one)].sum() - len(one) * (len(one) + 1) / 2 - len(one) * len(two) / 2
        _, ties = np.unique(moved, return_counts=True)
        several = len(moved)
        spread = np.sqrt(
            len(one) * len(two) / 12 * (several + 1 - (ties**3 - ties).sum() / (several * (several - 1)))
        )
        return float((score - correction * np.sign(score)) / spread - quantile)

    low, high = one.min() - two.max(), one.max() - two.min()
    quantile = float(norm.ppf((1 + CONFIDENCE) / 2))
    lowest = brentq(lambda shift: z(shift, 0.5, quantile), low - 1e-6, high + 1e-6)
    middle = brentq(lambda shift: z(shift, 0.0, 0.0), low - 1e-6, high + 1e-6)
    return float(lowest), float(middle)


def test_kayentas_interval_is_that_of_a_root_finder() -> None:
    """Verdicts differ in at most two of two hundred, near the tolerance."""
    generator, differ = np.random.default_rng(20261124), 0
    for _ in range(200):
        shift = generator.uniform(0, 1)
        one = generator.normal(5 + shift, 0.5, 12)
        two = generator.normal(5, 0.5, 12)
        lowest, estimate = shift_of_r(list(one), list(two))
        wanted = lowest > TOLERANCE * abs(estimate)
        differ += bool(is_high(one[None], two[None])[0]) != wanted
    assert differ <= 2


def test_kayenta_speaks_at_its_minutes_and_never_alone() -> None:
    """From the tenth minute every five, as long as there is another arm."""
    found = minutes(stream(BOOK.scenarios["p99x2"], percentiles=True), 20)
    assert set(first_abort(Kayenta(10, 5), found)) == {10}
    assert (np.array(answers(Kayenta(10, 5), found, share=100)) == PROMOTE).all()


def test_the_sequential_rules_keep_their_error_without_noise() -> None:
    """Both at most alpha; the bound is about that of Pocock's for so many looks."""
    assert 2.4 < pocock((10, 25, 50, 100), 15, 1) < 2.7
    system = ("errors", "budget", "p99", "p90")
    rules: list[Rule] = [
        GroupSequential(FRAUD, system, (1.0,) * 4, (1.0,) * 4, BOOK.shares, 15),
        EProcess(FRAUD, system, (1.0,) * 4, (1.0,) * 4, 60),
    ]
    for rule in rules:
        found = run(rule, stream(runs=300), shares=BOOK.shares, minutes=15, longest_step=4)
        assert found.aborted <= 8


# ------------------------------------------------------------------------ trials


class Says:
    """A rule that always says the same."""

    percentiles = False

    def __init__(self, answer: int) -> None:
        self._answer = answer

    def look(self, minute: Minute, share_percent: Ints, minute_of_step: Ints) -> Ints:
        """That."""
        return np.full(len(share_percent), self._answer)


def trial(answer: int) -> Figures:
    """Under one answer."""
    return run(Says(answer), stream(runs=20), shares=(10, 100), minutes=5, longest_step=3)


def test_a_trial_counts_what_the_candidate_served() -> None:
    """A whole rollout is 100 %; held, it goes back when the step has lasted too long."""
    promoted = trial(PROMOTE)
    assert promoted.exposed == pytest.approx(100, rel=0.02)
    assert (promoted.aborted, promoted.held) == (0, 0)
    aborted = trial(ABORT)
    assert (aborted.aborted, aborted.aborted_in_split, aborted.median_minute) == (100, 100, 1)
    assert aborted.exposed == pytest.approx(100 * 0.1 / (5 * 1.1), rel=0.05)
    held = trial(HOLD)
    assert (held.aborted, held.out_of_time, held.median_minute, held.held_minutes) == (100, 100, 15, 11)


def test_the_judge_beats_what_it_must_in_small() -> None:
    """A seeded corner of the benchmark: nothing clean goes back, ten times the errors do at once."""
    settings = CanarySettings(noise={"errors": 0.15, "slow": 0.3, "tail": 0.25, "body": 0.16})
    for name, at_most in (("clean", 3), ("warm-up", 3)):
        judge = Lockgate(FRAUD, settings, BOOK.budgets)
        source = stream(BOOK.scenarios[name], REALISTIC, runs=100, seed=20261125)
        assert run(judge, source, shares=BOOK.shares, minutes=15, longest_step=4).aborted <= at_most
    judge = Lockgate(FRAUD, settings, BOOK.budgets)
    found = run(
        judge, stream(BOOK.scenarios["err1.0"], REALISTIC), shares=BOOK.shares, minutes=15, longest_step=4
    )
    assert found.aborted == 100
    assert found.exposed < 2


def test_under_the_null_it_errs_less_than_alpha_however_often_it_looks() -> None:
    """Without noise, at exactly the tolerated ratio, and looked at every minute for four hours."""
    worst = Scenario(error_factor=1.05, false_flag_factor=1.05)
    judge = Lockgate(FRAUD, CanarySettings(noise=dict.fromkeys(("errors", "slow", "tail", "body"), 0.0)), {})
    source, ever = stream(worst, runs=300, seed=20261126), np.zeros(300, dtype=bool)
    for number in range(240):
        said = judge.look(
            source.minute(np.full(300, 10), np.full(300, number)), np.full(300, 10), np.full(300, number)
        )
        ever |= said == ABORT
    assert ever.sum() <= 22  # 99.9 % of binomials with alpha 0.05 are at most that


# ------------------------------------------------------------------------ tables


def test_every_table_has_its_rules_and_ours_last() -> None:
    """No rule but ours may be called so."""
    for name in BOOK.tables:
        assert list(of_table(BOOK, name))[-1] == OURS
    assert list(of_labels(BOOK, "fraud"))[-1] == OURS


def test_a_bar_is_met_or_missed_by_its_limits() -> None:
    """And says which cell it is."""
    demand = Demand(table="fraud", scenario="err0.3", figure="exposed", at_most=6)
    assert (demand.met(6.0), demand.met(6.01)) == (True, False)
    assert not Demand(table="a", scenario="b", figure="aborted", at_least=99).met(98.9)
    assert str(demand) == "fraud err0.3: served, at most 6 %"


LIKE_OURS = f"{OURS}, never holding"


def small(book: Book) -> list[Cell]:
    """A table of three rules with few runs; two of them decide alike."""
    make = of_table(book, "fraud")
    return [
        tables.cell(book, "fraud", name, make[name], scenario, 20)
        for name in ("naive", LIKE_OURS, OURS)
        for scenario in book.scenarios
    ]


def test_tables_and_pictures_are_drawn_of_what_was_found() -> None:
    """One row per rule below the bar; one panel per fault whose cost the bar limits, and the key."""
    found = small(BOOK)
    lines = tables.markdown(BOOK, "fraud", found).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "**the bar**",
        "naive",
        LIKE_OURS,
        f"**{OURS}**",
    ]
    assert len({line.count("|") for line in lines}) == 1
    told = tables.verdicts(BOOK, found)
    assert len(told) == sum(demand.table == "fraud" for demand in BOOK.bar)
    drawn = plots.svg(BOOK, "fraud", found)
    assert drawn.count("<g ") == 5 + 1
    assert [drawn.count(f'class="{kind}"/>') for kind in ("o", "v", "f")] == [5 + 1] * 3
    for part in drawn.split("<g ")[1:]:
        places = [(float(x), float(y)) for x, y in re.findall(r'x="([0-9.]+)" y="([0-9.]+)" class="k', part)]
        assert len(places) == (0 if "the bar" in part else 3)
        assert all(dist(*pair) >= plots.CLEAR for pair in combinations(places, 2))


def test_one_command_writes_tables_figures_and_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says by its exit code whether every cell is met."""
    code = __main__.main(["--table", "credit", "--runs", "2", "--out", str(tmp_path)])
    said = capsys.readouterr().out
    assert "cells met" in said
    assert code in (0, 1)
    assert (code == 0) == ("**missed**" not in said)
    written = (tmp_path / "tables.md").read_text("utf-8")
    assert "## credit: 5 requests a second, 15-minute steps, realistic noise" in written
    lines = (tmp_path / "figures.jsonl").read_text("utf-8").splitlines()
    assert {json.loads(line)["table"] for line in lines} == {"credit"}
    assert (tmp_path / "credit.svg").read_text("utf-8").startswith("<svg ")


def test_other_seeds_roll_other_dice(tmp_path: Path) -> None:
    """Traffic and calibration alike; every cell of the bar is told of."""
    other = BOOK.reseeded(1000)
    assert BOOK.seed("fraud", "clean") != other.seed("fraud", "clean")
    assert calibrated(BOOK, "fraud", "realistic") != calibrated(other, "fraud", "realistic")
    assert __main__.main(["--seeds", "2", "--runs", "2", "--out", str(tmp_path)]) in (0, 1)
    rows = (tmp_path / "seeds.md").read_text("utf-8").splitlines()
    assert [row.split(" | ")[0] for row in rows if " of 2 |" in row] == [f"| {one}" for one in BOOK.bar]
