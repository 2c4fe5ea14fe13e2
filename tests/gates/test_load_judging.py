"""What recordings come to: every row of the load gate's table that is decided on numbers alone.

Recordings are made up here, request by request, so that each bound is met and missed on purpose.
"""

from __future__ import annotations

import itertools
import json
import statistics
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gates.contract import Objectives, Status
from gates.load import LoadSettings
from gates.load.distribution import distribution
from gates.load.judging import evidence, percentile_ms, say, shares, swept
from gates.load.recording import (
    Job,
    Payload,
    Recording,
    Run,
    decode_job,
    decode_recordings,
    encode_job,
    encode_recordings,
    share,
    together,
)
from gates.load.schedule import schedule

OBJECTIVES = Objectives(
    latency_threshold_ms=10.0, latency_budget_percent=1.0, error_budget_percent=0.5, peak_rps=100.0
)
SETTINGS = LoadSettings(payloads="rows.csv")
FAST, SLOW = 2_000, 10_001


def recording(
    *, fast: int = 0, slow: int = 0, lag_us: int = 50, dropped: int = 0, cpu: float = 0.1, **failed: int
) -> Recording:
    """So many requests of each kind; failed ones fail fast."""
    kinds = ["ok"] * (fast + slow) + [kind for kind, count in failed.items() for _ in range(count)]
    return Recording(
        latencies_us=[FAST] * fast + [SLOW] * slow + [FAST] * sum(failed.values()),
        lags_us=[lag_us] * len(kinds),
        kinds=kinds,
        scheduled=len(kinds) + dropped,
        dropped=dropped,
        cpu_seconds=cpu * 10,
        window_seconds=10.0,
        pacing="timerfd",
        schedule_sha256="e" * 64,
        versions={"locust": "2"},
    )


CALM = recording(fast=200)


def said(*looks: Recording, calibration: Recording = CALM, **changes: Any) -> tuple[Status, str]:
    """Status and reason; objectives and settings can be changed."""
    objectives = replace(OBJECTIVES, **{k: v for k, v in changes.items() if hasattr(OBJECTIVES, k)})
    settings = replace(SETTINGS, **{k: v for k, v in changes.items() if hasattr(SETTINGS, k)})
    one = say([CALM, calibration], looks, objectives, settings)
    return one.status, one.reason


class TestCounts:
    """The verdict rests on how many, not on a percentile."""

    def test_good_enough_often_enough_passes(self) -> None:
        """Both upper bounds lie within their budgets."""
        assert said(recording(fast=1000)) == (Status.PASS, "within_budgets")

    @pytest.mark.parametrize(
        ("look", "verdict"),
        [
            (recording(fast=737, slow=0), (Status.PASS, "within_budgets")),
            (recording(fast=735, slow=0), (Status.UNKNOWN, "load_inconclusive")),
            (recording(fast=990, slow=10), (Status.UNKNOWN, "load_inconclusive")),
            (recording(fast=980, slow=20), (Status.FAIL, "latency_budget_exceeded")),
            (recording(fast=985, http_500=15), (Status.FAIL, "error_budget_exceeded")),
            (recording(fast=3, slow=0), (Status.UNKNOWN, "load_inconclusive")),
            (recording(), (Status.UNKNOWN, "load_inconclusive")),
        ],
    )
    def test_bounds_decide(self, look: Recording, verdict: tuple[Status, str]) -> None:
        """One percent slow of a thousand is neither within one percent nor over it."""
        assert said(look) == verdict

    def test_a_threshold_is_met_exactly(self) -> None:
        """10.000 ms is not slow, 10.001 ms is: nothing is rounded to milliseconds."""
        at_the_edge = replace(recording(fast=1000), latencies_us=[10_000] * 1000)
        assert shares([at_the_edge], OBJECTIVES, 0.95)[0].hits == 0
        assert shares([recording(slow=1000)], OBJECTIVES, 0.95)[0].hits == 1000

    def test_a_fast_failure_is_slow_as_well(self) -> None:
        """Nobody was served in time; otherwise a crashing model would be the fastest."""
        slow, failed = shares([recording(fast=90, slow=4, http_503=6)], OBJECTIVES, 0.95)
        assert (slow.hits, failed.hits) == (10, 6)

    def test_looks_are_added_up(self) -> None:
        """What one look cannot show, two can."""
        look = recording(fast=500)
        assert said(look) == (Status.UNKNOWN, "load_inconclusive")
        assert said(look, look) == (Status.PASS, "within_budgets")

    def test_only_an_open_question_asks_for_another_look(self) -> None:
        """PASS, FAIL and every other UNKNOWN are final."""
        finals = {
            say([CALM], [look], OBJECTIVES, SETTINGS).reason: say([CALM], [look], OBJECTIVES, SETTINGS).final
            for look in (
                recording(fast=1000), recording(slow=1000), recording(fast=3), recording(http_404=9),
                recording(TimeoutError=9), recording(fast=1000, lag_us=9_000),
            )
        }  # fmt: skip
        assert [reason for reason, final in finals.items() if not final] == ["load_inconclusive"]
        assert len(finals) == 6

    def test_the_sentence_says_how_many_would_do(self) -> None:
        """Whoever reads it knows how long to measure."""
        one = say([CALM], [recording(fast=100)], OBJECTIVES, SETTINGS)
        assert "368 requests of which none is slow would be enough" in one.sentence
        assert said(recording(fast=368), error_budget_percent=50.0) == (Status.PASS, "within_budgets")
        assert said(recording(fast=367), error_budget_percent=50.0) == (Status.UNKNOWN, "load_inconclusive")

    def test_no_number_shows_a_budget_of_nothing(self) -> None:
        """And the sentence says so rather than naming one."""
        one = say([CALM], [recording(fast=1000)], replace(OBJECTIVES, error_budget_percent=0.0), SETTINGS)
        assert one.reason == "load_inconclusive"
        assert "no number of requests can show 0 %" in one.sentence

    def test_more_looks_need_surer_bounds(self) -> None:
        """Looking twice at 95 % would not be 95 %."""
        assert replace(SETTINGS, extensions=0).bound_confidence == pytest.approx(0.90)
        assert replace(SETTINGS, extensions=1).bound_confidence == pytest.approx(0.95)
        assert replace(SETTINGS, extensions=4).bound_confidence == pytest.approx(0.98)

    @given(st.integers(0, 400), st.integers(0, 40), st.integers(0, 40))
    def test_worse_is_never_judged_better(self, fast: int, slow: int, failed: int) -> None:
        """One more slow request instead of a fast one never helps."""
        better = recording(fast=fast + 1, slow=slow, http_500=failed)
        worse = recording(fast=fast, slow=slow + 1, http_500=failed)
        order = [Status.PASS, Status.UNKNOWN, Status.FAIL]
        assert order.index(said(better)[0]) <= order.index(said(worse)[0])


class TestNobodyServed:
    """All requests met one wall: no data about load."""

    def test_no_answer_at_all(self) -> None:
        """A target that is not there is not slow."""
        assert said(recording(ConnectionRefusedError=500)) == (Status.UNKNOWN, "target_unreachable")
        assert said(recording(unfinished=500)) == (Status.UNKNOWN, "target_unreachable")

    @pytest.mark.parametrize("kind", ["http_400", "http_401", "http_404", "http_302"])
    def test_nothing_but_refusals(self, kind: str) -> None:
        """Wrong columns, wrong name, no right: ours to mend first."""
        assert said(recording(**{kind: 500})) == (Status.UNKNOWN, "requests_refused")

    @pytest.mark.parametrize("kind", ["grpc_unavailable", "grpc_deadline_exceeded"])
    def test_no_answer_at_all_over_grpc(self, kind: str) -> None:
        """Grpcio itself says so."""
        assert said(recording(**{kind: 500})) == (Status.UNKNOWN, "target_unreachable")

    @pytest.mark.parametrize("kind", ["grpc_unimplemented", "grpc_not_found", "grpc_invalid_argument"])
    def test_nothing_but_refusals_over_grpc(self, kind: str) -> None:
        """Another service, another name, other tensors."""
        assert said(recording(**{kind: 500})) == (Status.UNKNOWN, "requests_refused")

    def test_a_server_s_own_errors_over_grpc(self) -> None:
        """Internal is its own."""
        assert said(recording(grpc_internal=500)) == (Status.FAIL, "error_budget_exceeded")

    def test_the_server_s_own_errors_are_its_own(self) -> None:
        """Nothing but 500, or nothing but answers without outputs, is a FAIL."""
        assert said(recording(http_500=500)) == (Status.FAIL, "error_budget_exceeded")
        assert said(recording(no_outputs=500)) == (Status.FAIL, "error_budget_exceeded")

    def test_a_crash_on_the_way_is_a_fail(self) -> None:
        """It served, and then it did not."""
        assert said(recording(fast=400, ConnectionRefusedError=100)) == (
            Status.FAIL,
            "error_budget_exceeded",
        )


class TestUnfit:
    """A generator that is not fit neither passes nor fails anybody."""

    @pytest.mark.parametrize("look", [recording(fast=1000), recording(slow=1000)])
    @pytest.mark.parametrize(
        ("sign", "says"),
        [
            ({"maximum_lag_percent": 0.4}, "sent 0.05 ms late at its p99"),
            ({"maximum_cpu_percent": 9.0}, "used 10 % of a core"),
            ({"maximum_overhead_percent": 19.0}, "its p99 is 2 ms"),
            ({"calibration": recording(fast=199, TimeoutError=1)}, "1 of 200 requests"),
            ({"calibration": recording()}, "0 of 0 requests"),
            ({"calibration": recording(fast=200, dropped=1)}, "1 of 201 requests to an endpoint"),
        ],
    )
    def test_each_sign_alone(self, look: Recording, sign: dict[str, Any], says: str) -> None:
        """Late, busy, slow where nothing is, or failing there."""
        assert said(look, **sign) == (Status.UNKNOWN, "generator_unfit")
        settings = replace(SETTINGS, **{k: v for k, v in sign.items() if k != "calibration"})
        one = say([sign.get("calibration", CALM)], [look], OBJECTIVES, settings)
        assert says in one.sentence

    @pytest.mark.parametrize(
        ("sign", "changes", "look"),
        [
            ("null_failed", {"calibration": recording(fast=199, TimeoutError=1)}, recording(fast=1000)),
            ("null_dropped", {"calibration": recording(fast=200, dropped=1)}, recording(fast=1000)),
            ("overhead", {"maximum_overhead_percent": 19.0}, recording(fast=1000)),
            ("lag", {}, recording(fast=1000, lag_us=9_000)),
            ("cpu", {}, recording(fast=1000, cpu=0.9)),
            ("in_flight_cap", {}, recording(fast=1000, dropped=9)),
        ],
    )
    def test_the_evidence_names_the_sign(self, sign: str, changes: dict[str, Any], look: Recording) -> None:
        """In one word, for machines; a fit generator shows none."""
        settings = replace(SETTINGS, **{k: v for k, v in changes.items() if k != "calibration"})
        calibrations = [CALM, changes.get("calibration", CALM)]
        assert said(look, **changes) == (Status.UNKNOWN, "generator_unfit")
        assert evidence(calibrations, [look], OBJECTIVES, settings, 100.0).facts["unfit"] == [sign]
        calm = evidence([CALM], [recording(fast=1000)], OBJECTIVES, SETTINGS, 100.0)
        assert calm.facts["unfit"] == []

    def test_a_calibration_afterwards_counts_as_much(self) -> None:
        """The machine may have become busy meanwhile."""
        late = recording(fast=197, slow=3)
        assert said(recording(fast=1000), calibration=late) == (Status.UNKNOWN, "generator_unfit")

    def test_all_signs_are_named(self) -> None:
        """Whoever mends the machine mends it once."""
        one = say([CALM], [recording(fast=9, lag_us=6_000, cpu=0.9)], OBJECTIVES, SETTINGS)
        assert "late at its p99" in one.sentence
        assert "of a core" in one.sentence

    def test_any_look_counts(self) -> None:
        """One late look spoils the sum."""
        assert said(recording(fast=1000), recording(fast=9, lag_us=6_000)) == (
            Status.UNKNOWN,
            "generator_unfit",
        )

    def test_dropped_arrivals_spoil_a_pass(self) -> None:
        """Who was not sent was not judged."""
        assert said(recording(fast=1000, dropped=1)) == (Status.PASS, "within_budgets")
        assert said(recording(fast=1000, dropped=2)) == (Status.UNKNOWN, "generator_unfit")

    def test_dropped_arrivals_do_not_excuse_a_target_that_hangs(self) -> None:
        """They are its doing, and made it easier for it."""
        assert said(recording(fast=100, unfinished=256, dropped=500)) == (
            Status.FAIL,
            "error_budget_exceeded",
        )


class TestFirstToken:
    """Streams are judged by when they begin, too."""

    STREAMED = replace(
        SETTINGS, protocol="chat", source="recorded", stream=True, first_token_threshold_ms=1.5
    )

    def streamed(self, in_time: int, late: int, never: int = 0) -> Recording:
        """Whole answers within the latency objective, whose first tokens came so."""
        whole = recording(fast=in_time + late + never)
        return replace(whole, firsts_us=[1_500] * in_time + [1_501] * late)

    @pytest.mark.parametrize(
        ("counts", "verdict"),
        [
            ((1000, 0), (Status.PASS, "within_budgets")),
            ((900, 100), (Status.FAIL, "first_token_budget_exceeded")),
            ((900, 0, 100), (Status.FAIL, "first_token_budget_exceeded")),
            ((990, 10), (Status.UNKNOWN, "load_inconclusive")),
        ],
    )
    def test_late_or_no_first_tokens_are_counted(
        self, counts: tuple[int, ...], verdict: tuple[Status, str]
    ) -> None:
        """Held against the latency budget; at the threshold is in time."""
        one = say([CALM], [self.streamed(*counts)], OBJECTIVES, self.STREAMED)
        assert (one.status, one.reason) == verdict

    def test_evidence_has_the_times(self) -> None:
        """Of those that came, beside the share of those that were late."""
        kept = evidence([CALM], [self.streamed(90, 9, 1)], OBJECTIVES, self.STREAMED, 10.0)
        rows = {one.name: one for one in kept.measurements}
        assert (rows["late_percent"].value, rows["late_percent"].samples) == (10.0, 100)
        assert (rows["first_token_p99_ms"].value, rows["first_token_p99_ms"].samples) == (1.501, 99)
        assert rows["first_token_p99_ms"].threshold == 1.5

    def test_without_a_threshold_nobody_is_late(self) -> None:
        """The times are evidence alone."""
        settings = replace(self.STREAMED, first_token_threshold_ms=0.0)
        one = say([CALM], [self.streamed(0, 1000)], OBJECTIVES, settings)
        assert (one.status, one.reason) == (Status.PASS, "within_budgets")


class TestSweep:
    """Other rates, as evidence."""

    def test_a_row_says_what_the_rate_gave(self) -> None:
        """Slow ones include failed ones; nothing sent has no percentiles."""
        row = swept(TestWire.RUN, recording(fast=90, slow=4, http_500=6, dropped=2), 10.0)
        assert {name: row[name] for name in ("rate_rps", "requests", "served_rps", "slow", "failed")} == {
            "rate_rps": 60.0, "requests": 100, "served_rps": 9.4, "slow": 10, "failed": 6
        }  # fmt: skip
        assert (row["dropped"], row["p99_ms"], row["generator_lag_p99_ms"]) == (2, 10.001, 0.05)
        assert swept(TestWire.RUN, recording(), 10.0)["p99_ms"] is None


class TestEvidence:
    """What is kept with the verdict."""

    def test_holds_counts_percentiles_and_fitness(self) -> None:
        """Each with its unit, samples, bounds and what it was held against."""
        looks = [recording(fast=1500, slow=3, http_500=2), recording(fast=500, dropped=1)]
        kept = evidence([CALM], looks, OBJECTIVES, SETTINGS, 100.0)
        rows = {one.name: one for one in kept.measurements}
        assert (rows["slow_percent"].value, rows["slow_percent"].threshold) == (100 * 5 / 2005, 1.0)
        assert (rows["failed_percent"].value, rows["failed_percent"].samples) == (100 * 2 / 2005, 2005)
        p99 = rows["p99_ms"]
        assert (p99.value, p99.low, p99.high, p99.threshold) == (2.0, 2.0, 2.0, 10.0)
        assert rows["offered_rps"].value == 2006 / 20
        assert rows["served_rps"].value == 2003 / 20
        assert rows["generator_lag_p99_ms"].value == 0.05
        assert rows["generator_overhead_p99_ms"].threshold == 7.5
        assert rows["generator_cpu_percent"].value == pytest.approx(10.0)
        assert rows["dropped"].value == 1
        assert kept.facts["answers"] == {"ok": 2003, "http_500": 2}
        assert kept.facts["schedules_sha256"] == ["e" * 64] * 2
        assert sum(count for _, count in kept.facts["latencies_ms"]) == 2005
        assert json.loads(json.dumps(dict(kept.facts), allow_nan=False)) == dict(kept.facts)

    def test_of_nothing_says_nothing(self) -> None:
        """No request, no percentile; and of few no bounds."""
        empty = {
            one.name: one for one in evidence([CALM], [recording()], OBJECTIVES, SETTINGS, 1.0).measurements
        }
        assert empty["slow_percent"].value is None
        assert empty["generator_lag_p99_ms"].value is None
        assert "p99_ms" not in empty
        few = {one.name: one for one in evidence([CALM], [CALM], OBJECTIVES, SETTINGS, 1.0).measurements}
        assert (few["p99_ms"].high, few["p50_ms"].high) == (None, 2.0)

    def test_a_percentile_is_a_value_that_was_seen(self) -> None:
        """The smallest that so many percent do not exceed."""
        assert [percentile_ms(range(1000, 101_000, 1000), percent) for percent in (50, 90, 99)] == [
            50,
            90,
            99,
        ]
        assert percentile_ms([7_000], 99) == 7.0


class TestWire:
    """What travels to the generator and back."""

    RUN = Run(
        url="http://127.0.0.1/x",
        rate_rps=60.0,
        seconds=3.0,
        warm_up_seconds=1.0,
        seed=1,
        timeout_seconds=2.0,
        maximum_in_flight=9,
    )

    def test_round_trip(self) -> None:
        """Nothing is lost."""
        payloads = (Payload(body=b"{}"), Payload(body=b"\x00\xff", headers=(("Content-Type", "x/y"),)))
        job = Job(runs=(self.RUN,), payloads=payloads, processes=2, report="report.html")
        assert decode_job(encode_job(job)) == job
        assert "\n" not in encode_job(job)
        look = recording(fast=3, http_500=1)
        assert decode_recordings(encode_recordings([look, CALM])) == [look, CALM]

    @pytest.mark.parametrize("text", ["", "null", "[1]", "[{}]", '[{"surprise": 1}]'])
    def test_anything_else_is_refused(self, text: str) -> None:
        """A library's print is no recording."""
        with pytest.raises(ValueError, match=r"."):
            decode_recordings(text)


class TestTeams:
    """Several generators as one."""

    def test_each_sends_its_part_by_dice_of_its_own(self) -> None:
        """The rates add up; no two send at the same instants, whatever the run's seed."""
        parts = [share(replace(self.RUN, seed=seed), number, 3) for seed in (1, 2) for number in range(3)]
        assert sum(one.rate_rps for one in parts[:3]) == pytest.approx(self.RUN.rate_rps)
        assert len({one.seed for one in parts}) == 6
        digests = {schedule(one, 5)[1] for one in parts}
        assert len(digests) == 6

    def test_what_they_saw_is_counted_together(self) -> None:
        """Of CPU the busiest one counts: an average would hide one that was too busy."""
        whole = together([recording(fast=3, cpu=0.1), recording(slow=2, http_500=1, dropped=4, cpu=0.9)])
        assert (whole.scheduled, whole.dropped, len(whole.latencies_us)) == (10, 4, 6)
        assert whole.kinds.count("ok") == 5
        assert (whole.cpu_seconds, whole.window_seconds) == (9.0, 10.0)
        assert len(whole.schedule_sha256) == 64

    def test_one_without_a_timer_marks_all(self) -> None:
        """Coarse pacing anywhere is coarse pacing."""
        coarse = replace(recording(fast=1), pacing="sleep")
        assert together([recording(fast=1), coarse]).pacing == "sleep"

    RUN = TestWire.RUN


class TestSchedule:
    """Arrivals that are known before the first one."""

    @given(rate=st.floats(0.5, 500), seed=st.integers(0, 2**40))
    def test_they_rise_within_the_run(self, rate: float, seed: int) -> None:
        """In order, each of a payload that there is."""
        run = replace(TestWire.RUN, rate_rps=rate, seed=seed)
        arrivals, _ = schedule(run, 3)
        times = [at for at, _ in arrivals]
        assert times == sorted(times)
        assert all(0 < at < run.warm_up_seconds + run.seconds for at in times)
        assert {which for _, which in arrivals} <= {0, 1, 2}

    def test_they_are_a_poisson_process(self) -> None:
        """Of the rate that was asked for, with gaps whose deviation is their mean."""
        arrivals, _ = schedule(replace(TestWire.RUN, rate_rps=1000.0, seconds=29.0, seed=3), 9)
        gaps = [after - at for (at, _), (after, _) in itertools.pairwise(arrivals)]
        assert len(arrivals) == pytest.approx(30_000, abs=4 * 30_000**0.5)
        assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.03)


class TestSettings:
    """What can be written in YAML."""

    BAD: ClassVar[list[tuple[dict[str, Any], str]]] = [
        ({"payloads": "/etc/passwd"}, "inside the repository"),
        ({"payloads": "a/../../b"}, "inside the repository"),
        ({"sha256": "abc"}, "64 lower-case hexadecimal"),
        ({"duration_seconds": 0}, "greater than 0"),
        ({"peak_factor": 11}, "less than or equal to 10"),
        ({"confidence": 1.0}, "less than 1"),
        ({"extensions": 6}, "less than or equal to 5"),
        ({"maximum_in_flight": 0}, "greater than or equal to 1"),
    ]

    @pytest.mark.parametrize(("changes", "says"), BAD)
    def test_refused(self, changes: dict[str, Any], says: str) -> None:
        """With what is wrong."""
        text = json.dumps({"payloads": "golden/fraud.csv", **changes})
        with pytest.raises(ValidationError, match=says):
            TypeAdapter(LoadSettings).validate_json(text, strict=True)

    def test_read(self) -> None:
        """Only the payloads have to be named."""
        read = TypeAdapter(LoadSettings).validate_json('{"payloads": "rows.csv"}', strict=True)
        assert read == SETTINGS


class TestDistribution:
    """Requests between edges of equal ratio."""

    @given(st.lists(st.integers(0, 90_000_000), min_size=1), st.floats(0.01, 10_000))
    def test_every_request_is_in_one_row_and_the_objective_parts_them(
        self, latencies_us: list[int], objective_ms: float
    ) -> None:
        """Edges rise, the first row is empty, and no row holds requests of both sides of the objective."""
        rows = distribution(latencies_us, objective_ms)
        edges = [edge for edge, _ in rows]
        assert edges == sorted(set(edges))
        assert rows[0][1] == 0
        assert sum(count for _, count in rows) == len(latencies_us)
        if edges[0] < objective_ms <= edges[-1]:
            within = sum(count for edge, count in rows if edge <= objective_ms)
            assert within == sum(max(one, 1) / 1000 <= objective_ms for one in latencies_us)

    def test_rows_lie_where_the_requests_are(self) -> None:
        """Two modes stay two; nothing of nothing."""
        rows = distribution([2_000] * 9 + [20_000], 10.0)
        assert [[edge, count] for edge, count in rows if count] == [[2.239, 9], [22.39, 1]]
        assert [edge for edge, _ in rows if edge == 10.0] == [10.0]
        assert distribution([], 10.0) == []
