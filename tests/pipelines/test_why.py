"""Why: which versions could have answered, at which shares, who approved, and what the record cannot tell.

Covered: every instant around each share (property), crash between commit and journal line, first version,
rollback during and after a promotion, versions and commits of another hand, approvals, words and data.
Left out: reading it all from Git (test_cli_shared).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipelines.journal import events as e
from pipelines.journal.lines import Line, decode, encode
from pipelines.ports import Commit
from pipelines.why import Answer, answer, sentences, to_data
from tests import plans, promotions
from tests.plans import MERGE, PROPOSED, T0, commit, done

V36, V37, V38, V39 = (
    {"label": f"v{n}", "uri": f"s3://m/fraud-scorer/v{n}", "digest": "sha256:" + f"{n}" * 32, "alias": None}
    for n in (36, 37, 38, 39)
)
Timed = tuple[float, e.Event]


def at(seconds: float) -> datetime:
    """An instant of the tests' clock."""
    return T0 + timedelta(seconds=seconds)


def story(
    events: Iterable[Timed],
    *,
    begins: float = 0.0,
    candidate: Mapping[str, Any] = V38,
    stable: Mapping[str, Any] | None = V37,
    first: bool = False,
) -> tuple[Line, ...]:
    """The journal of a promotion whose events come at these seconds."""
    promotion = f"fraud-scorer-prod-{at(begins):%Y%m%dT%H%M%SZ}-7f3a"
    started = replace(
        plans.started(plans.canary(first=first)), promotion=promotion, candidate=candidate, stable=stable
    )
    lines: tuple[Line, ...] = ()
    text = ""
    for seconds, event in [(begins, started), *events]:
        text += encode(promotion, lines, [event], at=at(seconds), by="engine:here:1")
        lines = decode(promotion, text)
    return lines


def committed(seconds: float, share: int, *, stage: str = "", sha: str = "") -> Timed:
    """A share written on main."""
    return seconds, e.ShareCommitted(
        stage=stage or f"shift-{share}", share_percent=share, commit=sha or commit(share)
    )


def served(seconds: float, share: int, *, stage: str = "") -> Timed:
    """The serving layer splits that way."""
    return seconds, e.ShareServed(
        stage=stage or f"shift-{share}", share_percent=share, candidate_revision="r2",
        stable_revision="r1", url="http://s",
    )  # fmt: skip


MERGED: Timed = (10, e.Merged(commit=MERGE, by="lockgate"))
UP: tuple[Timed, ...] = (
    (1, PROPOSED),
    MERGED,
    committed(11, 0, sha=MERGE),
    served(13, 0),
    committed(20, 10),
    served(25, 10),
    committed(40, 50),
    served(45, 50),
    committed(60, 100),
    served(65, 100),
)
END: Timed = (70, e.Ended(outcome="promoted", sentence="v38 serves"))


def ask(seconds: float, *journals: tuple[Line, ...], log: tuple[Commit, ...] = ()) -> Answer:
    """The answer for one instant of the fraud scorer in prod."""
    return answer(journals, log, at(seconds), model="fraud-scorer", environment="prod")


def splits(found: Answer) -> list[dict[str, int]]:
    """Every possibility as version -> percent."""
    return [{share.label: share.percent for share in one.shares} for one in found.possible]


def by_hand(seconds: float, **trailers: str) -> Commit:
    """A commit on main that some person made."""
    return Commit(sha="e" * 40, at=at(seconds), author="mallory", subject="quick fix", trailers=trailers)


def test_before_the_first_record_nothing_is_guessed() -> None:
    """An instant before the first journal line has no answer, and says so."""
    found = ask(-0.001, story(UP))

    assert found.possible == ()
    assert not found.certain
    assert "begins at 2026-03-14 09:00:00 UTC" in found.doubts[0]


def test_a_model_without_promotions_has_no_answer() -> None:
    """No journal, no answer."""
    found = ask(5)

    assert found.possible == ()
    assert found.first_record is None
    assert "no promotion of this model" in found.doubts[0]


def test_a_freeze_that_kept_a_promotion_is_told_for_its_time() -> None:
    """Since when and why; not before, and not after it was over."""
    began = (30.0, e.FreezeBegan(stage="shift-50", sentence="frozen until it is lifted: year end"))
    lines = story([*UP[:6], began, (35.0, e.FreezeEnded(stage="shift-50")), *UP[6:]])

    (said,) = ask(32, lines).remarks
    assert "was kept from shift-50 since 2026-03-14 09:00:30 UTC: frozen until it is lifted: year end" in said
    assert any(said in line for line in sentences(ask(32, lines)))
    assert to_data(ask(32, lines))["remarks"] == [said]
    assert [ask(29, lines).remarks, ask(36, lines).remarks] == [(), ()]


def test_a_way_back_that_the_desk_never_heard_of_is_told() -> None:
    """From then on, until the desk is told; who asks about a time before is not bothered."""
    back = [
        (100.0, e.RollbackBegan(code="by_hand", sentence="oscar took it back")),
        committed(101, 0, stage="roll_back", sha="f" * 40),
        served(103, 0, stage="roll_back"),
        (104.0, e.Ended(outcome="rolled_back", sentence="back", left_undone=("tell the change desk: away",))),
    ]
    lines = story([*UP, END, *back])
    (said,) = ask(110, lines).remarks
    assert "was taken back since 2026-03-14 09:01:40 UTC, and the change desk was not told" in said
    assert "lockgate retry" in said
    assert ask(90, lines).remarks == ()
    told = story([*UP, END, *back, (200.0, e.EmergencyClosed(number="CHG2"))])
    assert ask(110, told).remarks == ()


def test_before_the_merge_the_stable_version_answers_everything() -> None:
    """What main said served when the promotion began is where the record starts."""
    found = ask(5, story(UP))

    assert splits(found) == [{"v37": 100}]
    assert found.certain


def test_while_a_share_is_seen_it_alone_is_possible() -> None:
    """Between the serving layer's answer and the next commit there is one possibility."""
    found = ask(30, story(UP))

    assert splits(found) == [{"v37": 90, "v38": 10}]
    assert found.certain
    assert (found.possible[0].since, found.possible[0].seen) == (at(20), at(25))
    assert found.possible[0].until == at(45)


def test_between_commit_and_sight_both_shares_are_possible() -> None:
    """A share on its way may or may not be in force: both are named, and it is not called certain."""
    found = ask(42, story(UP))

    assert splits(found) == [{"v37": 90, "v38": 10}, {"v37": 50, "v38": 50}]
    assert not found.certain
    assert found.possible[1].seen is None


def test_zero_percent_of_a_candidate_is_no_second_possibility() -> None:
    """The candidate at 0 is the same split as before the merge."""
    found = ask(12, story(UP))

    assert splits(found) == [{"v37": 100}]
    assert found.certain


SHARES = ((0.0, 0.0, {"v37": 100}), (20, 25, {"v37": 90, "v38": 10}), (40, 45, {"v37": 50, "v38": 50}),
          (60, 65, {"v38": 100}))  # fmt: skip


@given(seconds=st.floats(0, 100, allow_nan=False))
def test_a_share_is_possible_from_its_commit_until_the_next_is_seen(seconds: float) -> None:
    """For every instant, exactly the shares whose time it may be are named."""
    found = ask(seconds, story([*UP, END]))
    instant = found.at

    wanted = [
        shares
        for n, (possible, _, shares) in enumerate(SHARES)
        if at(possible) <= instant and not any(at(seen) <= instant for _, seen, _ in SHARES[n + 1 :])
    ]
    assert splits(found) == wanted


def test_a_commit_made_before_its_journal_line_counts_from_main() -> None:
    """After a crash between push and journal the commit's own time says when the share became possible."""
    log = (Commit(sha=commit(10), at=at(15), author="lockgate", subject="10 %", trailers={}),)

    assert splits(ask(16, story(UP), log=log)) == [{"v37": 100}, {"v37": 90, "v38": 10}]
    assert splits(ask(16, story(UP))) == [{"v37": 100}]


def test_a_share_that_was_never_seen_stays_possible_until_another_was() -> None:
    """10 % was committed and never confirmed; until 0 % is seen it cannot be ruled out."""
    back = [
        *UP[:5],
        (30.0, e.RollbackBegan(code="not_ready", sentence="never ready")),
        committed(31, 0, stage="roll_back", sha=commit(98)),
        served(34, 0, stage="roll_back"),
    ]

    assert splits(ask(33, story(back))) == [{"v37": 100}, {"v37": 90, "v38": 10}, {"v37": 100}]
    assert splits(ask(34, story(back))) == [{"v37": 100}]
    assert ask(34, story(back)).certain


def test_the_first_version_serves_from_its_merge_on() -> None:
    """Before it nothing serves; the merge itself brings 100 %."""
    events = [(1.0, PROPOSED), MERGED, committed(20, 100, sha=MERGE), served(25, 100)]
    lines = story(events, stable=None, first=True)

    assert splits(ask(5, lines)) == [{}]
    assert splits(ask(12, lines)) == [{}, {"v38": 100}]
    assert splits(ask(30, lines)) == [{"v38": 100}]
    assert "  no version at all" in list(sentences(ask(5, lines)))


def test_a_version_brought_back_after_its_promotion_ended() -> None:
    """A rollback by hand continues the same journal: the version before answers again."""
    back = [
        *UP,
        END,
        (90.0, e.RollbackBegan(code="by_hand", sentence="oscar brought it back")),
        committed(91, 0, stage="roll_back", sha=commit(98)),
        served(93, 0, stage="roll_back"),
        (94.0, e.Ended(outcome="rolled_back", sentence="v38 is at 0 %")),
    ]
    after = story([], begins=200, candidate=V39, stable=V37)

    assert splits(ask(80, story(back))) == [{"v38": 100}]
    assert splits(ask(92, story(back))) == [{"v38": 100}, {"v37": 100}]
    assert splits(ask(100, story(back), after)) == [{"v37": 100}]
    assert not ask(210, story(back), after).doubts


def test_promotions_follow_one_another() -> None:
    """The second promotion's stable version is the one the first one brought; who is behind each is told."""
    second = story(
        [
            (310.0, e.Merged(commit="f" * 40, by="lockgate")),
            committed(320, 10, sha="9" * 40),
            served(325, 10),
        ],
        begins=300, candidate=V39, stable=V38,
    )  # fmt: skip
    found = ask(330, second, story([*UP, END]))

    assert splits(found) == [{"v38": 90, "v39": 10}]
    assert [one.promotion[-21:-5] for one in found.behind] == ["20260314T090000Z", "20260314T090500Z"]
    assert found.certain


def test_a_promotion_that_waited_its_turn_starts_from_what_serves_then() -> None:
    """It was asked for while another was under way, and rebased when that one had ended."""
    second = story(
        [
            (100.0, e.Rebased(stable=V38, plan=plans.to_data(plans.canary()))),
            (110.0, e.Merged(commit="f" * 40, by="lockgate")),
            committed(120, 10, sha="9" * 40),
            served(125, 10),
        ],
        begins=30, candidate=V39, stable=V37,
    )  # fmt: skip
    found = ask(130, story([*UP, END]), second)

    assert splits(found) == [{"v38": 90, "v39": 10}]
    assert not found.doubts


def test_a_version_that_no_promotion_brought_is_a_doubt() -> None:
    """Where a promotion finds another stable version than the record left, both are possible in between."""
    second = story([], begins=300, candidate=V39, stable=V36)
    found = ask(200, story([*UP, END]), second)

    assert splits(found) == [{"v38": 100}, {"v36": 100}]
    assert "found v36 serving" in found.doubts[0]
    assert splits(ask(301, story([*UP, END]), second)) == [{"v36": 100}]
    assert not ask(301, story([*UP, END]), second).certain


def test_a_refused_promotion_changes_nothing() -> None:
    """What never reached main leaves the version before as it was."""
    refused = story(
        [(120.0, e.Ended(outcome="refused", sentence="no"))], begins=100, candidate=V39, stable=V38
    )
    third = story([], begins=200, candidate=V39, stable=V38)
    found = ask(210, story([*UP, END]), refused, third)

    assert splits(found) == [{"v38": 100}]
    assert found.certain


def test_a_commit_by_another_hand_is_a_doubt_until_the_record_holds_again() -> None:
    """Somebody changed the manifests at 35; the next share seen puts the record right."""
    log = (by_hand(35),)

    found = ask(38, story(UP), log=log)
    assert splits(found) == [{"v37": 90, "v38": 10}]
    assert not found.certain
    assert "mallory changed the manifests by another way at 2026-03-14 09:00:35 UTC" in found.doubts[0]
    assert not ask(34, story(UP), log=log).doubts
    assert not ask(50, story(UP), log=log).doubts


def test_our_own_commits_are_no_doubt() -> None:
    """A commit named in the journal, or bearing the trailers of a known promotion, is explained."""
    lines = story(UP)
    assert isinstance(lines[0].event, e.Started)
    ours = Commit(sha=commit(10), at=at(20), author="lockgate", subject="", trailers={})
    log = (ours, by_hand(36, **{"Lockgate-Promotion": lines[0].event.promotion}))

    assert not ask(38, lines, log=log).doubts


def test_who_approved_and_on_what_evidence() -> None:
    """The version at 100 % comes with its request, pull request, change, approvers and verdicts."""
    book = promotions.good()
    found = answer([book.lines], [], book.now, model="fraud-scorer", environment="prod")
    (version,) = found.behind

    assert (version.requested_by, version.reason, version.change) == ("dana", "better recall", "CHG0030117")
    assert [approval.approver for approval in version.approvals] == ["rita.okafor"]
    assert not version.approvals[0].after
    assert {gate for _, gate in ((stage, one.gate) for stage, one in version.verdicts)} >= {"slo", "approval"}
    assert version.later == 0


def test_an_approval_given_later_is_said_to_be_later() -> None:
    """At 10 % nobody had approved yet: the approval that came later is not passed off as earlier."""
    book = promotions.good()
    found = answer([book.lines], [], at(100), model="fraud-scorer", environment="prod")
    words = "\n".join(sentences(found))

    (candidate,) = [one for one in found.behind if one.label == "v38"]
    assert candidate.approvals[0].after
    assert candidate.later > 0
    assert "after the instant asked about" in words
    assert "more verdicts were given later" in words


def test_the_words_name_every_possibility_and_every_doubt() -> None:
    """A reader sees that it is not certain, and why."""
    words = list(sentences(ask(42, story(UP), log=(by_hand(41),))))

    assert words[0] == "fraud-scorer in prod at 2026-03-14 09:00:42 UTC"
    assert "The record cannot tell which of these was in force; each is possible:" in words
    assert "  v37 90 %, v38 10 %" in words
    assert "  v37 50 %, v38 50 %" in words
    assert any(line.startswith("  doubt: mallory") for line in words)
    assert "  approved by nobody in the record" in words


def test_the_data_is_json_and_says_the_same() -> None:
    """Programs get instants in ISO 8601 and the verdicts whole."""
    book = promotions.good()
    found = answer([book.lines], [], book.now, model="fraud-scorer", environment="prod")
    data = json.loads(json.dumps(to_data(found)))

    assert data["certain"] is True
    assert data["possible"][0]["shares"][0]["percent"] == 100
    assert data["versions"][0]["approvals"][0]["approver"] == "rita.okafor"
    assert data["versions"][0]["verdicts"][0]["evidence"] is not None
    assert datetime.fromisoformat(data["possible"][0]["seen"]).tzinfo == UTC
    assert to_data(ask(5))["first_record"] is None


def test_a_promotion_without_a_pull_request_or_change_is_told_plainly() -> None:
    """A journal that holds neither has neither in its answer."""
    found = ask(40, story([MERGED, committed(20, 10), served(25, 10), (30.0, done("shift-10"))]), ())
    words = list(sentences(found))

    (stable, candidate) = found.behind
    assert stable.promotion == ""
    assert (candidate.pull_request, candidate.change) == ("", "")
    assert any("no promotion in the record brought it" in line for line in words)
    assert not any("pull request" in line for line in words)


def test_a_share_that_was_just_committed_is_not_called_seen() -> None:
    """The journal's last line may be a commit: then the share before it is possible still."""
    assert splits(ask(21, story(UP[:5]))) == [{"v37": 100}, {"v37": 90, "v38": 10}]
