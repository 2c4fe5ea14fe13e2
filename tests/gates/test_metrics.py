"""Counting: what a selector selects, and how counters become whole requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.counts import Counts, Gap, Timings, Window, count, time_requests
from gates.metrics import PACKS, Answer, Metrics, Series, selector
from pipelines.clients.prometheus import PrometheusMetrics
from tests.counters import EVERY, NOW, REQUESTS, SINCE, STEPS, Held, counter, cut, prometheus

HOSTILE = ('risk"} or up{x="', "risk\\", "risk\nprod", "{{ tenant }}", "risk$(id)", "../risk", "Zürich 🙂")
REVISION = "fraud-scorer-predictor-00002"


def window(pack: str = "envoy", namespace: str = "risk", revision: str = REVISION) -> Window:
    return Window(
        pack=pack,
        namespace=namespace,
        revision=revision,
        since=SINCE.timestamp(),
        now=NOW.timestamp(),
        scrape_seconds=EVERY,
    )


def requests(
    namespace: str, code: str = "2", per_scrape: int = 1, target: str = "envoy:1", **more: str
) -> Series:
    labels = {"job": "envoy", "instance": target, "envoy_cluster_name": f"{namespace}/{REVISION}"}
    return counter(REQUESTS, {**labels, "envoy_response_code_class": code, **more}, per_scrape)


def istio(namespace: str, code: str, per_scrape: int, **labels: str) -> Series:
    base = {
        "reporter": "destination",
        "destination_service_name": REVISION,
        "destination_workload_namespace": namespace,
        "response_code": code,
        "job": "pods",
        "instance": "10.0.0.1:15020",
    }
    return counter("istio_requests_total", {**base, **labels}, per_scrape)


def stepped(series: Series, values: list[float], first: int = 0) -> Series:
    """The same series with these samples, one after the other, from one position on."""
    times = [at for at, _ in series.samples][first : first + len(values)]
    return replace(series, samples=tuple(zip(times, values, strict=True)))


def counted(*series: Series, pack: str = "envoy") -> Counts:
    found = count(Held(series), window(pack))
    assert isinstance(found, Counts), found
    return found


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metrics]:
    """One Prometheus with a namespace of every hostile name, and what Istio tells of one revision."""
    series = [requests(name, per_scrape=place + 1) for place, name in enumerate(HOSTILE)]
    series += [
        istio("risk", "200", 3),
        istio("risk", "200", 50, reporter="source"),
        istio("other", "200", 70),
        istio("risk", "404", 1, source_workload="b"),
        istio("risk", "503", 2, response_flags="UH"),
    ]
    with prometheus(tmp_path_factory.mktemp("prometheus"), series) as url:
        yield PrometheusMetrics(url)


@pytest.mark.parametrize("place", range(len(HOSTILE)))
def test_hostile_names_are_data(real: Metrics, place: int) -> None:
    """Quotes, braces, newlines and backslashes select the series of that very name, and no other."""
    found = count(real, window(namespace=HOSTILE[place]))
    assert isinstance(found, Counts), found
    assert found.requests == STEPS * (place + 1)


def test_istio_counts_one_reporter_of_one_namespace(real: Metrics) -> None:
    """Whoever called and whatever the flags; only codes from 500 on are errors."""
    found = count(real, window("istio"))
    assert isinstance(found, Counts), found
    assert (found.requests, found.errors) == (6 * STEPS, 2 * STEPS)


@given(st.text())
def test_no_value_ends_its_quotes(value: str) -> None:
    """Unescaped, the value is what was put in."""
    text = selector("up", {"job": value})
    inner = text.removeprefix('up{job="').removesuffix('"}')
    assert "\n" not in inner
    back = inner.replace("\\\\", "\0\0") if "\0" not in value else None
    if back is not None:
        assert back.replace('\\"', '"').replace("\\n", "\n").replace("\0\0", "\\") == value


def test_edges_are_matched_as_they_are_written() -> None:
    """A dot and a plus sign are no wildcards, and the backslashes survive the quotes."""
    assert selector("b", {"a": "1"}, edges=("8.0", "+Inf")) == r'b{a="1",le=~"8\\.0|\\+Inf"}'


@given(st.lists(st.integers(0, 50), min_size=STEPS + 1, max_size=STEPS + 1), st.integers(0, 1000))
def test_differences_add_up_to_what_was_counted(new: list[int], first: int) -> None:
    """Whatever the counter stood at before."""
    values = [float(first + sum(new[1 : place + 1])) for place in range(STEPS + 1)]
    assert counted(stepped(requests("risk"), values)).requests == sum(new[1:])


def test_a_drop_is_a_restart_and_all_of_the_new_value_counts() -> None:
    """Counted: 5, then 3 after the restart, then 4 more."""
    found = counted(stepped(requests("risk"), [10, 15, 3, 7], STEPS - 3))
    assert (found.requests, found.resets) == (12, 1)


def test_siblings_restart_together() -> None:
    """A class that has already counted past its old value has restarted too."""
    good = stepped(requests("risk"), [100, 110, 20], STEPS - 2)
    bad = stepped(requests("risk", "5"), [1, 1, 4], STEPS - 2)
    found = counted(good, bad)
    assert (found.requests, found.errors, found.resets) == (10 + 20 + 4, 4, 1)


def test_another_process_does_not_restart_with_it() -> None:
    """One pod of two begins again."""
    first = stepped(requests("risk"), [100, 110, 20], STEPS - 2)
    second = stepped(requests("risk", target="envoy:2"), [1000, 1010, 1020], STEPS - 2)
    assert counted(first, second).requests == 30 + 20


def test_the_first_error_ever_is_not_lost() -> None:
    """Its series appears with the error; the process was scraped before without it."""
    bad = stepped(requests("risk", "5"), [3, 3], STEPS - 1)
    assert counted(requests("risk"), bad).errors == 3


def test_the_first_error_of_another_kind_is_not_lost_either() -> None:
    """Istio writes the flags of an error into labels, so its series has no sibling but the same pod."""
    bad = stepped(istio("risk", "503", 1, response_flags="UH"), [2, 2], STEPS - 1)
    found = counted(istio("risk", "200", 5), bad, pack="istio")
    assert (found.requests, found.errors) == (5 * STEPS + 2, 2)


def test_a_process_that_appears_starts_from_its_first_sample() -> None:
    """It may have counted long before anybody looked."""
    late = stepped(requests("risk", target="envoy:2"), [500, 501], STEPS - 1)
    assert counted(requests("risk"), late).requests == STEPS + 1


def test_without_the_name_of_a_process_siblings_tell() -> None:
    """As of a server that renames its labels."""
    good, bad = requests("risk"), stepped(requests("risk", "5"), [3, 3], STEPS - 1)
    nameless = [
        replace(one, labels={k: v for k, v in one.labels.items() if k != "instance"}) for one in (good, bad)
    ]
    assert counted(*nameless).errors == 3


def test_a_series_that_ends_keeps_its_last() -> None:
    """A pod that went away has answered what it answered."""
    gone = cut([requests("risk", target="envoy:2")], 0, 6)
    found = counted(requests("risk"), *gone)
    assert (found.requests, found.first_at, found.last_at) == (STEPS + 5, SINCE.timestamp(), NOW.timestamp())


def test_when_something_was_last_answered_is_known() -> None:
    """0 where nothing was."""
    still = stepped(requests("risk"), [7.0] * 5 + [8.0] * 16)
    assert counted(still).moved_at == SINCE.timestamp() + 5 * EVERY
    assert counted(requests("risk", per_scrape=0)).moved_at == 0.0


def timings(edges: dict[str, int], answered: int = 10, threshold_ms: float = 8.0) -> Timings | Gap:
    labels = {"job": "envoy", "instance": "envoy:1", "envoy_cluster_name": f"risk/{REVISION}"}
    bucket = PACKS["envoy"].bucket
    series = [counter(bucket, {**labels, "le": le}, within) for le, within in edges.items()]
    return time_requests(Held(series), window(), threshold_ms=threshold_ms, answered=answered)


@pytest.mark.parametrize("edge", ["8", "8.0", "8e+00"])
def test_an_edge_is_a_number_however_it_is_written(edge: str) -> None:
    """Prometheus 3 writes 8.0 where 2 wrote 8."""
    found = timings({"1": 0, edge: 7, "+Inf": 10})
    assert isinstance(found, Timings), found
    assert (found.timed, found.slow) == (10 * STEPS, 3 * STEPS)


def test_an_edge_written_in_two_ways_is_one() -> None:
    """As by two processes of different make."""
    labels = {"job": "envoy", "envoy_cluster_name": f"risk/{REVISION}"}
    series = [
        counter(PACKS["envoy"].bucket, {**labels, "instance": instance, "le": le}, within)
        for instance, edges in (("a", {"1": 0, "8": 7, "+Inf": 10}), ("b", {"1.0": 0, "8.0": 5, "+Inf": 10}))
        for le, within in edges.items()
    ]
    found = time_requests(Held(series), window(), threshold_ms=8.0, answered=10)
    assert isinstance(found, Timings), found
    assert (found.timed, found.slow) == (20 * STEPS, 8 * STEPS)


def test_an_edge_that_changes_its_spelling_is_refused_for_the_window() -> None:
    """Prometheus was upgraded meanwhile: what the new series counted before cannot be told."""
    labels = {"job": "envoy", "instance": "envoy:1", "envoy_cluster_name": f"risk/{REVISION}"}
    series = [
        one
        for le, within in {"1": 0, "8": 7}.items()
        for text, first, last in ((le, 0, 11), (f"{le}.0", 11, STEPS + 1))
        for one in cut([counter(PACKS["envoy"].bucket, {**labels, "le": text}, within)], first, last)
    ]
    whole = counter(PACKS["envoy"].bucket, {**labels, "le": "+Inf"}, 10)
    found = time_requests(Held([*series, whole]), window(), threshold_ms=8.0, answered=10)
    assert isinstance(found, Gap)
    assert found.reason == "implausible_data"


def test_an_edge_that_is_no_number_is_passed_over() -> None:
    """It cannot be the threshold's."""
    found = timings({"1": 0, "8": 7, "many": 9, "+Inf": 10})
    assert isinstance(found, Timings), found
    assert found.slow == 3 * STEPS


@pytest.mark.parametrize(
    ("edges", "reason"),
    [
        ({"1": 0, "8": 7}, "edge_missing"),
        ({"+Inf": 7}, "edge_missing"),
        ({"8": 10, "+Inf": 10}, "implausible_data"),
    ],
)
def test_a_histogram_that_cannot_tell_is_refused(edges: dict[str, int], reason: str) -> None:
    """No edge for all requests, none at the threshold, none below it."""
    found = timings(edges)
    assert isinstance(found, Gap)
    assert found.reason == reason


def test_few_requests_without_a_histogram_are_simply_not_timed_yet() -> None:
    """Envoy makes a histogram when it first has something to put in; with many, it is missing."""
    assert timings({}, answered=49) == Timings(timed=0, slow=0, queries=timings({}, answered=49).queries)
    missing = timings({}, answered=50)
    assert isinstance(missing, Gap)
    assert missing.reason == "edge_missing"


def test_an_arm_that_cannot_be_named_is_not_asked_for() -> None:
    """Neither without a pack nor without a revision: an empty value matches a missing label."""
    for one, reason in ((window("knative"), "unknown_pack"), (window(revision=""), "revision_unknown")):
        for found in (count(Held([]), one), time_requests(Held([]), one, threshold_ms=8.0, answered=0)):
            assert isinstance(found, Gap)
            assert (found.reason, found.queries) == (reason, ())


class Forward(Held):
    """A server whose clock is ahead of ours: it answers with samples of our future."""

    def samples(self, selector: str, *, at: float, window_seconds: float) -> Answer:
        return super().samples(selector, at=at + 60, window_seconds=window_seconds + 120)


def test_samples_outside_the_window_are_left_out(tmp_path: Path) -> None:
    """Whatever a server sends."""
    long = requests("risk")
    ahead = replace(long, samples=(*long.samples, (NOW.timestamp() + 30, 5000.0)))
    found = count(Forward([ahead]), window())
    assert isinstance(found, Counts)
    assert found.requests == STEPS
