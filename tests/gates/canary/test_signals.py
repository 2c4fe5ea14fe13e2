"""Business signals in the same test: decisions, scores and durations from metrics, labels from a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gates.canary import Canary, CanarySettings
from gates.canary.looks import from_data
from gates.canary.replay import again
from gates.canary.settings import Labels, Signal
from gates.contract import Question, Status, Verdict
from gates.metrics import Series
from pipelines.errors import CouldNotTell
from pipelines.journal.lines import verdict_from_data, verdict_to_data
from pipelines.spec.settings import _validate
from tests.counters import CANDIDATE, NOW, SINCE, STABLE, Held, Traffic, bake, both, changed, counter

FINE = Traffic(good=1000)
DECISIONS = Signal(counter="decisions_total", label="decision", bad=("flagged", "declined"))
SCORES = Signal(counter="score_bucket", above=0.8, worse="either")
DRIFT = Signal(counter="decisions_total", label="decision", bad=("approved",), worse="fewer")


def decisions(revision: str, **per_scrape: int) -> list[Series]:
    """So many of each between two scrapes."""
    labels = {"revision": revision, "instance": "pod-1"}
    return [counter("decisions_total", {**labels, "decision": name}, n) for name, n in per_scrape.items()]


def scores(revision: str, within: Mapping[str, int]) -> list[Series]:
    """Edge -> how many scores are within, between two scrapes."""
    labels = {"revision": revision, "instance": "pod-1"}
    return [counter("score_bucket", {**labels, "le": edge}, n) for edge, n in within.items()]


EQUAL = [*decisions(CANDIDATE, approved=950, flagged=50), *decisions(STABLE, approved=950, flagged=50)]


def judge(
    series: Sequence[Series], asked: Question | None = None, artifacts: Any = None, **told: Any
) -> Verdict:
    """With traffic that nothing is wrong with."""
    told = {"noise": {"decided": 0.02, "scores": 0.02, "false_positives": 0.02}, **told}
    gate = Canary(
        CanarySettings(**told), metrics=Held([*both("risk", FINE, FINE), *series]), artifacts=artifacts
    )
    return gate.judge(asked or bake("risk"))


def ratio(verdict: Verdict, name: str) -> Any:
    """What is measured of a metric."""
    return next(one for one in verdict.evidence.measurements if one.name == f"{name}_ratio")


# --------------------------------------------------------------------- from metrics


def test_a_candidate_that_flags_half_as_many_again_fails() -> None:
    """A harm of the decisions, while every request is answered well and in time."""
    more = [*decisions(CANDIDATE, approved=900, flagged=60, declined=40), *EQUAL[2:]]
    assert judge(EQUAL, signals={"decided": DECISIONS}).status is Status.PASS
    verdict = judge(more, signals={"decided": DECISIONS})
    assert (verdict.status, verdict.reason) == (Status.FAIL, "worse_than_stable")
    assert verdict.sentence.startswith(
        "decided (flagged or declined) are shown to be at least 1.65 times as frequent"
    )
    assert ratio(verdict, "decided").value == pytest.approx(2.0)


def test_fewer_of_something_can_be_the_harm() -> None:
    """The arms are compared the other way round, and the words say so."""
    series = [*decisions(CANDIDATE, approved=600, flagged=400), *decisions(STABLE, approved=950, flagged=50)]
    verdict = judge(series, signals={"decided": DRIFT}, tolerances={"decided_fewer": 1.1})
    assert verdict.status is Status.FAIL
    found = ratio(verdict, "decided_fewer")
    assert verdict.sentence.startswith(
        f"decided (approved) are shown to be at most {found.high:.3g} times as frequent as at the stable: "
        "9600 of 16000"
    )
    assert found.value == pytest.approx(600 / 950)
    assert found.low < found.value < found.high < 1
    assert found.threshold == pytest.approx(1 / 1.1)
    assert judge(series[::-1], signals={"decided": replace(DRIFT, worse="more")}).status is Status.PASS


@pytest.mark.parametrize("within", [800, 980])
def test_scores_that_move_either_way_are_a_harm(within: int) -> None:
    """Of the scores, those above an edge of their histogram."""
    stable = scores(STABLE, {"0.5": 500, "0.8": 900, "+Inf": 1000})
    moved = scores(CANDIDATE, {"0.5": 500, "0.8": within, "+Inf": 1000})
    assert judge([*stable, *moved], signals={"scores": SCORES}).status is Status.FAIL
    same = scores(CANDIDATE, {"0.5": 700, "0.8": 900, "+Inf": 1000})
    assert judge([*stable, *same], signals={"scores": SCORES}).status is Status.PASS


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        ([], "no_data"),
        (decisions(CANDIDATE, approved=10, flagged=1), "no_data"),
        (changed(EQUAL, replica="a") + changed(EQUAL, replica="b"), "several_series"),
    ],
)
def test_a_signal_that_cannot_be_counted_is_unknown(series: list[Series], reason: str) -> None:
    """Of either arm; and never a PASS."""
    verdict = judge(series, signals={"decided": DECISIONS})
    assert (verdict.status, verdict.reason) == (Status.UNKNOWN, reason)
    assert verdict.sentence.startswith("decided: ")


def test_a_histogram_without_the_edge_is_unknown() -> None:
    """It says which edges there are."""
    series = [one for arm in (CANDIDATE, STABLE) for one in scores(arm, {"0.5": 1, "+Inf": 2})]
    verdict = judge(series, signals={"scores": SCORES})
    assert (verdict.status, verdict.reason) == (Status.UNKNOWN, "edge_missing")
    assert "has no edge at 0.8, it has 0.5;" in verdict.sentence


def test_the_error_is_shared_by_all_that_is_looked_for() -> None:
    """One alpha: weights of all harms add up to one, however many signals there are."""
    told = CanarySettings(
        signals={"decided": DECISIONS, "scores": SCORES}, labels=Labels(place="s3://b/l.csv")
    )
    assert sum(harm.weight for harm in told.harms) == pytest.approx(1.0)
    assert len({harm.name for harm in told.harms}) == len(told.harms) == 9


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"counter": "x{a='b'}", "label": "d", "bad": ["e"]}, "is no name of a metric or label"),
        ({"counter": "x", "label": "d", "bad": ["e"], "where": {"a b": "c"}}, "is no name"),
        ({"counter": "x"}, "say either label and bad, or above"),
        ({"counter": "x", "label": "d", "bad": ["e"], "above": 1.0}, "say either"),
        ({"counter": "x", "bad": ["1"]}, "say either"),
        ({"counter": "x", "label": "d", "bad": ["e"], "worse": "worst"}, "'more', 'fewer' or 'either'"),
    ],
)
def test_settings_that_could_be_a_query_or_count_nothing_are_refused(
    wrong: dict[str, Any], said: str
) -> None:
    """Where they are read."""
    with pytest.raises(ValueError, match=said):
        _validate(CanarySettings, {"signals": {"decided": wrong}})


def test_names_that_are_taken_and_places_that_stand_still_are_refused() -> None:
    """Of a signal, and of the table of labels."""
    with pytest.raises(ValueError, match="cannot be called errors"):
        CanarySettings(signals={"errors": DECISIONS})
    with pytest.raises(ValueError, match="must be an s3://, gs:// or file:// address"):
        CanarySettings(labels=Labels(place="labels.csv"))


# ----------------------------------------------------------------------- from a table


class Shelf:
    """Artifacts of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fetch(self, uri: str) -> Path:
        """By the last part of the address."""
        found = self.folder / uri.rsplit("/", 1)[1]
        if not found.exists():
            raise CouldNotTell("s3", f"nothing at {uri}")
        return found


LABELS = Labels(place="s3://bank/labels.csv")
T0, T1 = SINCE.timestamp(), NOW.timestamp()


def table(folder: Path, *groups: tuple[str, int, int, int], at: float = T0 + 30) -> Shelf:
    """Rows of (version, flagged, label, how many), all of requests answered at one time."""
    rows = [f"{version},{at},{flagged},{label}" for version, flagged, label, n in groups for _ in range(n)]
    (folder / "labels.csv").write_text("\n".join(["version,at,flagged,label", *rows]) + "\n", "utf-8")
    return Shelf(folder)


def labels_of(verdict: Verdict) -> dict[str, tuple[int, int]]:
    """By arm and metric, over all its looks."""
    sums: dict[str, tuple[int, int]] = {}
    looks: Any = verdict.evidence.facts["looks"]
    for look in map(from_data, looks):
        for arm, counts in (("candidate", look.candidate), ("stable", look.stable)):
            for name in ("false_positives", "missed"):
                bad, of = counts.get(name, (0, 0))
                before = sums.get(f"{arm} {name}", (0, 0))
                sums[f"{arm} {name}"] = before[0] + bad, before[1] + of
    return sums


def test_more_false_positives_fail(tmp_path: Path) -> None:
    """Of those that were right; missed ones are counted apart."""
    shelf = table(
        tmp_path, ("v2", 1, 0, 120), ("v2", 0, 0, 880), ("v1", 1, 0, 30), ("v1", 0, 0, 970), ("v1", 0, 1, 3)
    )
    verdict = judge([], artifacts=shelf, labels=LABELS)
    assert labels_of(verdict) == {
        "candidate false_positives": (120, 1000),
        "candidate missed": (0, 0),
        "stable false_positives": (30, 1000),
        "stable missed": (3, 3),
    }
    assert (verdict.status, verdict.reason) == (Status.FAIL, "worse_than_stable")
    assert "stable: 120 of 1000 at the candidate (12 %)" in verdict.sentence


def asked_at(seconds: float, earlier: Sequence[Verdict] = (), **changes: Any) -> Question:
    """With the looks of earlier verdicts."""
    looks = tuple(look for one in earlier for look in one.evidence.facts["looks"])  # type: ignore[attr-defined]
    now = datetime.fromtimestamp(T0 + seconds, UTC)
    return bake("risk", now=now, earlier_looks=looks, **changes)


def test_labels_count_once_and_as_they_arrive(tmp_path: Path) -> None:
    """The table is written anew with more of them; what was counted before is taken off."""
    first = judge([], asked_at(150), table(tmp_path, ("v2", 0, 0, 30), ("v1", 0, 0, 40)), labels=LABELS)
    shelf = table(tmp_path, ("v2", 0, 0, 50), ("v2", 1, 0, 10), ("v1", 0, 0, 70))
    second = judge([], asked_at(300, [first]), shelf, labels=LABELS)
    assert labels_of(first)["candidate false_positives"] == (0, 30)
    assert labels_of(second)["candidate false_positives"] == (10, 30)
    assert labels_of(second)["stable false_positives"] == (0, 30)


def test_labels_that_arrive_after_the_split_still_count(tmp_path: Path) -> None:
    """At 100 % for the requests of the split; those answered after it have nothing beside them."""
    split = judge([], asked_at(150), table(tmp_path, ("v2", 0, 0, 30), ("v1", 0, 0, 40)), labels=LABELS)
    later = asked_at(300, [split], share_percent=100)
    rows = (("v2", 1, 0, 200), ("v2", 0, 0, 300), ("v1", 1, 0, 10), ("v1", 0, 0, 490))
    verdict = judge([], later, table(tmp_path, *rows), labels=LABELS)
    assert (verdict.status, verdict.reason) == (Status.FAIL, "worse_than_stable")
    after = judge([], later, table(tmp_path, ("v2", 0, 0, 30), ("v1", 0, 0, 40), at=T0 + 200), labels=LABELS)
    assert after.reason == "labels_unreadable"
    assert "fewer labels than at the look before" in after.sentence


def test_labels_of_one_arm_alone_are_unknown(tmp_path: Path) -> None:
    """Nobody can tell who is worse; none at all yet are waited for only where some are demanded."""
    alone = judge([], artifacts=table(tmp_path, ("v2", 0, 0, 50)), labels=LABELS)
    assert (alone.status, alone.reason) == (Status.UNKNOWN, "labels_missing")
    others = table(tmp_path, ("v0", 0, 0, 9))
    none = judge([], artifacts=others, labels=LABELS)
    assert none.status is Status.PASS
    wanted = judge([], artifacts=others, labels=replace(LABELS, minimum=10))
    assert (wanted.status, wanted.reason) == (Status.WAIT, "labels_pending")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: CouldNotTell"),
        ("version,flagged,label\nv1,0,0\n", "cannot be used"),
        ("version,at,flagged,label\nv1,now,0,0\n", "cannot be used"),
        ("version,at,flagged,label\nv1,1.0,0,2\n", "cannot be used"),
    ],
)
def test_a_table_that_cannot_be_read_is_unknown_and_excuses_no_errors(
    tmp_path: Path, text: str | None, said: str
) -> None:
    """An outage of the labels is not an answer, and no cover either."""
    if text is not None:
        (tmp_path / "labels.csv").write_text(text, "utf-8")
    verdict = judge([], artifacts=Shelf(tmp_path), labels=LABELS)
    assert (verdict.status, verdict.reason) == (Status.UNKNOWN, "labels_unreadable")
    assert said in verdict.sentence
    failing = Canary(
        CanarySettings(labels=LABELS),
        metrics=Held(both("risk", Traffic(good=900, errors=100), FINE)),
        artifacts=Shelf(tmp_path),
    )
    assert failing.judge(bake("risk")).reason == "worse_than_stable"


def test_a_journal_with_signals_and_labels_is_judged_again(tmp_path: Path) -> None:
    """Settings of every kind survive being written down."""
    series = [*decisions(CANDIDATE, approved=900, flagged=100), *decisions(STABLE, approved=950, flagged=50)]
    verdict = judge(
        series, artifacts=table(tmp_path, ("v2", 0, 0, 30), ("v1", 0, 0, 40)), labels=LABELS,
        signals={"decided": replace(DECISIONS, worse="either")},
    )  # fmt: skip
    (one,) = again([verdict_from_data(verdict_to_data(verdict))])
    assert one.same
