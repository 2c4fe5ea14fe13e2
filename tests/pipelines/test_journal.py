"""The journal: what is written is read back, what was changed afterwards is found and located.

Covered: round trip of every event, the hash chain, the fold. Left out: where it is stored (test_git).
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.contract import Evidence, Measurement, Status
from pipelines.errors import JournalBroken
from pipelines.journal import events as e
from pipelines.journal.lines import decode, encode, verdict_from_data, verdict_to_data
from pipelines.journal.state import fold, status_of, verdicts_of
from tests import plans
from tests.plans import HEAD, MERGE, PROMOTION, T0, baked, commit, done, judged, share_events, up_to_merge

EVERYTHING: tuple[e.Event, ...] = (
    e.Driven(driver="argo", workflow="fraud-scorer-x1", template="promote-regulated", url="https://a/w"),
    e.Waited(stage="propose", reason="r", sentence="s", unknown=False, retry_after_seconds=1.0),
    *up_to_merge(),
    *share_events(0),
    *share_events(10),
    *baked(10, T0),
    e.Held(person="oscar", reason="looking"),
    e.Resumed(person="oscar", stage=""),
    e.Resumed(person="oscar", stage="shift-100"),
    e.FreezeBegan(stage="shift-100", sentence="frozen until it is lifted: year end"),
    e.FreezeEnded(stage="shift-100"),
    e.ChangeIntended(correlation_id="f" * 64, manifest_digest="sha256:" + "e" * 64),
    e.ChangeOpened(correlation_id="f" * 64, number="CHG0030001", url="http://d/CHG0030001"),
    e.StepRefused(stage="shift-50", reason="main_changed", sentence="another hand"),
    e.AbortAsked(person="oscar", reason="looks odd"),
    e.RollbackBegan(code="aborted", sentence="oscar ended it"),
    e.ShareCommitted(stage="roll_back", share_percent=0, commit=commit(99)),
    e.ShareServed(stage="roll_back", share_percent=0, candidate_revision="r2", stable_revision="r1", url="u"),
    e.ShareSeen(stage="roll_back", share_percent=0, observed_percent=0.0, sentence="none"),
    e.ChangeClosed(number="CHG0030001", code="unsuccessful"),
    e.EmergencyOpened(number="CHG0030002", url="http://d/CHG0030002"),
    e.EmergencyClosed(number="CHG0030002"),
    e.Ended(outcome="aborted", sentence="v38 is at 0 %", left_undone=("close the change",)),
)


def _text(events: tuple[e.Event, ...]) -> str:
    text = encode(PROMOTION, (), [plans.started(plans.canary())], at=T0, by="person:dana")
    return text + encode(
        PROMOTION, decode(PROMOTION, text), events, at=T0 + timedelta(seconds=1), by="engine:h:1"
    )


def test_every_kind_of_event_is_read_back_as_it_was_written() -> None:
    """Encoding and decoding is the identity, for all kinds there are."""
    lines = decode(PROMOTION, _text(EVERYTHING))

    assert EVERYTHING == tuple(line.event for line in lines[1:])
    missing = set(e.KINDS) - {line.event.kind for line in lines}
    assert {"rebased"} == missing


def test_the_last_driver_to_say_so_moves_the_promotion() -> None:
    """Each time a workflow took it on is remembered: that is what further attempts are counted by."""
    state = plans.state_after(
        e.Driven(driver="argo", workflow="one", template="promote-regulated"),
        e.Driven(driver="local"),
        e.Driven(driver="argo", workflow="two", template="promote-regulated"),
    )

    assert state.driven == e.Driven(driver="argo", workflow="two", template="promote-regulated")
    assert len(state.driven_at) == 2


def test_a_freeze_lasts_from_its_first_line_to_its_end() -> None:
    """A second driver's line about the same one changes nothing; going back, or an end, is the end of it."""
    began = e.FreezeBegan(stage="merge", sentence="frozen until it is lifted: year end")
    again = e.FreezeBegan(stage="merge", sentence="frozen until it is lifted: another")
    once, twice = plans.state_after(began), plans.state_after(began, again)
    assert once.freeze is not None
    assert once.freeze == twice.freeze
    over = (
        e.FreezeEnded(stage="merge"),
        e.RollbackBegan(code="aborted", sentence="oscar ended it"),
        e.Ended(outcome="aborted", sentence="v38 is at 0 %"),
    )
    assert [plans.state_after(began, event).freeze for event in over] == [None] * 3


def test_a_desk_is_owed_word_of_a_way_back_from_100_until_it_has_it() -> None:
    """What was left undone for that alone is done then; what else is left stays."""
    back = (
        e.Ended(outcome="promoted", sentence="v38 serves"),
        e.RollbackBegan(code="by_hand", sentence="oscar took it back"),
        e.ShareCommitted(stage="roll_back", share_percent=0, commit=commit(99)),
    )
    left = ("tell the change desk: away", "remove the preview: away")
    over = e.Ended(outcome="rolled_back", sentence="v38 is at 0 %", left_undone=left)
    owed = plans.state_after(*back, over)
    told = plans.state_after(*back, over, e.EmergencyClosed(number="CHG0030002"))
    assert owed.ended is not None
    assert told.ended is not None
    assert (owed.desk_owed, owed.ended.left_undone) == (True, left)
    assert (told.desk_owed, told.ended.left_undone) == (False, left[1:])
    assert not plans.state_after(*back[1:], over).desk_owed, "it never was at 100 %"


def test_a_rebased_promotion_has_another_stable_and_plan() -> None:
    """What changed while it waited its turn replaces what was known when it started."""
    first = plans.canary(first=True)
    state = plans.state_after(e.Rebased(stable=None, plan=plans.to_data(first)))

    assert state.plan == first
    assert state.started.stable is None


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_one_flipped_byte_is_found_and_located(data: st.DataObject) -> None:
    """Whichever byte of whichever line is changed, the first line that does not hold is named."""
    raw = _text(EVERYTHING[:6]).encode()
    place = data.draw(st.integers(0, len(raw) - 1))
    bit = data.draw(st.integers(0, 6))
    flipped = bytes([*raw[:place], raw[place] ^ (1 << bit), *raw[place + 1 :]]).decode("latin-1")
    line = raw[:place].count(b"\n") + 1

    with pytest.raises(JournalBroken) as caught:
        decode(PROMOTION, flipped)

    assert (
        caught.value.line in (line, line + 1)
        if raw[place : place + 1] == b"\n"
        else caught.value.line == line
    )


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("a line taken out", lambda lines: lines[:2] + lines[3:]),
        ("two lines swapped", lambda lines: [lines[0], lines[2], lines[1], *lines[3:]]),
        ("a line written twice", lambda lines: [lines[0], lines[0], *lines[1:]]),
        ("the first line taken out", lambda lines: lines[1:]),
    ],
)
def test_whole_lines_cannot_be_moved(name: str, spoil: object) -> None:
    """Lines that each hold by themselves do not follow one another."""
    lines = _text(EVERYTHING[:6]).splitlines(keepends=True)

    with pytest.raises(JournalBroken, match=r"does not follow"):
        decode(PROMOTION, "".join(spoil(lines)))  # type: ignore[operator]


def test_a_journal_of_another_promotion_does_not_pass_for_this_one() -> None:
    """The chain begins with the promotion's id."""
    with pytest.raises(JournalBroken, match=r"line 1"):
        decode("credit-prod-20260314T090000Z-0000", _text(()))


def test_a_cut_off_last_line_is_named() -> None:
    """A file that ends in the middle of a line was not written by an append."""
    with pytest.raises(JournalBroken, match=r"line 3: the last line is cut off"):
        decode(PROMOTION, _text(EVERYTHING[:2])[:-5])


def test_a_line_of_an_unknown_kind_is_refused_even_with_a_right_hash() -> None:
    """A kind nobody knows cannot be folded, so it is not skipped."""
    raw = json.loads(_text(()).splitlines()[0])
    assert raw["kind"] == "started"
    lines = decode(PROMOTION, _text(()))
    text = encode(PROMOTION, lines, [_Strange()], at=T0, by="x")

    with pytest.raises(JournalBroken, match=r"line 2"):
        decode(PROMOTION, _text(()) + text)


@plans.e.dataclass(frozen=True, slots=True, kw_only=True)
class _Strange(e.Event):
    kind = "strange"


def test_a_journal_begins_with_started() -> None:
    """Without the start there is no plan, so there is no state."""
    text = encode(PROMOTION, (), [done("propose")], at=T0, by="x")

    with pytest.raises(TypeError, match=r"begins with started, not stage_done"):
        fold(decode(PROMOTION, text))


def test_nothing_folds_to_nothing() -> None:
    """No lines, no state."""
    assert fold(()) is None


@given(cut=st.integers(1, len(EVERYTHING) + 1))
def test_folding_any_prefix_twice_is_the_same(cut: int) -> None:
    """State is nothing but the fold of the lines."""
    prefix = decode(PROMOTION, _text(EVERYTHING))[:cut]

    assert fold(prefix) == fold(prefix)


def test_a_verdict_is_read_back_with_its_evidence() -> None:
    """Numbers, queries and facts survive; a number JSON cannot carry becomes null."""
    verdict = plans.verdict("slo", "bake-10", Status.UNKNOWN)
    assert verdict == verdict_from_data(verdict_to_data(verdict))

    strange = Evidence(
        measurements=(Measurement(name="p99", value=math.nan, unit="ms"),),
        facts={"bound": math.inf, "when": T0, "pair": (1, {"x": None})},
    )
    data = verdict_to_data(replace(verdict, evidence=strange))

    assert data["evidence"]["measurements"][0]["value"] is None
    assert {"bound": None, "when": str(T0), "pair": [1, {"x": None}]} == data["evidence"]["facts"]


@pytest.mark.parametrize(
    "other",
    [
        {"digest": plans.OTHER_DIGEST},
        {"commit": MERGE},
        {"environment": "staging"},
    ],
)
def test_a_verdict_about_another_subject_does_not_count(other: dict[str, str]) -> None:
    """Another artifact, another commit or another place: as if the gate had said nothing."""
    right = (judged("policy", "judge", Status.PASS), judged("evaluation", "judge", Status.PASS))
    wrong = (judged("policy", "judge", Status.PASS), judged("evaluation", "judge", Status.PASS, **other))

    assert Status.PASS is status_of(plans.state_after(plans.PROPOSED, *right), "judge")
    state = plans.state_after(plans.PROPOSED, *wrong)
    assert Status.WAIT is status_of(state, "judge")
    assert {"policy"} == set(verdicts_of(state, "judge"))


def test_a_verdict_counts_for_the_commit_in_force_at_its_stage() -> None:
    """Before the merge the pull request's head, in a bake its share's commit, for people the last share's."""
    state = plans.state_after(*up_to_merge(), *share_events(0), *share_events(10), *share_events(50))

    assert HEAD == state.commit_of("judge")
    assert commit(10) == state.commit_of("bake-10")
    assert commit(50) == state.commit_of("approve")
    assert "" == state.commit_of("bake-100")
    assert PROMOTION == state.promotion
    assert "" == plans.state_after().commit_of("judge")
    assert MERGE == plans.state_after(*up_to_merge()).commit_of("approve")


def test_unknown_looks_burn_the_budget_and_gaps_without_a_driver_do_not() -> None:
    """Thirty seconds between looks count whole; an hour in which nobody looked counts as three looks."""
    unknown = e.Waited(stage="bake-10", reason="no_data", sentence="", unknown=True, retry_after_seconds=10.0)
    fine = e.Waited(stage="bake-10", reason="baking", sentence="", unknown=False, retry_after_seconds=10.0)

    state = fold(plans.lines([unknown, unknown, fine, fine], step_seconds=10.0))
    assert state is not None
    assert 20.0 == state.unknown_spent_seconds

    state = fold(plans.lines([unknown, done("bake-10")], step_seconds=3600.0))
    assert state is not None
    assert 30.0 == state.unknown_spent_seconds
    assert {} == state.waits
