"""How a rehearsal is told: in lines anybody can read without colour, each thing once, nothing secret.

Left out: that what is told is true (tests/stories/test_demo.py).
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from gates.contract import Evidence, Measurement, Status
from pipelines.decide import Move
from pipelines.journal import events as e
from pipelines.journal.lines import verdict_to_data
from pipelines.journal.state import fold
from pipelines.rehearsal.demo.narrator import Narrator, Voice
from tests import plans

ROLLBACK = (
    e.RollbackBegan(code="slo", sentence="slo failed: 5 of 50 were slow"),
    e.ShareCommitted(stage="roll_back", share_percent=0, commit="f" * 40),
    e.ShareServed(
        stage="roll_back", share_percent=0, candidate_revision="r2", stable_revision="r1", url="http://s"
    ),
    e.ShareSeen(stage="roll_back", share_percent=0, observed_percent=0.0, sentence=""),
)
ENDED = e.Ended(outcome="rolled_back", sentence="v38 is at 0 %", left_undone=())


def spoken(*, terminal: bool = False, **settings: object) -> tuple[Voice, io.StringIO]:
    """A voice, and where its words go."""
    heard = io.StringIO()
    colours = "standard" if terminal else None
    console = Console(file=heard, force_terminal=terminal, width=120, color_system=colours, _environ={})
    return Voice(console, **settings), heard  # type: ignore[arg-type]


def told(events: Iterable[e.Event], *, brief: bool = False) -> str:
    """What is told of a promotion with these events, at each line of its journal anew, without times."""
    voice, heard = spoken()
    narrator = Narrator(voice, brief=brief)
    lines = plans.lines(events)
    for n in range(1, len(lines) + 1):
        state = fold(lines[:n])
        assert state is not None
        narrator.hear(lines[:n], state, None)
    return "\n".join(line[9:] for line in heard.getvalue().splitlines())


def counted(status: Status, *measurements: Measurement) -> e.Judged:
    """A verdict of the SLO gate at 10 % with these measurements."""
    given = plans.verdict("slo", "bake-10", status, commit=plans.commit(10))
    return e.Judged(
        stage="bake-10",
        verdict=verdict_to_data(replace(given, evidence=Evidence(measurements=measurements))),
    )


def share(name: str, value: float | None, samples: int, high: float | None) -> Measurement:
    """A share of the candidate's bad requests, percent."""
    return Measurement(name=name, value=value, unit="percent", arm="candidate", samples=samples, high=high)


# ----------------------------------------------------------------------------- the voice


def test_a_sentence_stands_beside_its_time() -> None:
    """Minutes and seconds since the voice was made; what came before counts as its beginning."""
    voice, heard = spoken()
    now = datetime.now(UTC)
    voice.say("later", at=now + timedelta(seconds=75))
    voice.say("before", at=now - timedelta(seconds=75))

    assert heard.getvalue() == "  01:15  later\n  00:00  before\n"


def test_a_long_sentence_goes_on_below_itself() -> None:
    """No line is longer than 110 columns, and no word is cut."""
    voice, heard = spoken()
    voice.below(" ".join(["word"] * 60), label="slo         PASS")
    first, *others = heard.getvalue().splitlines()

    assert first.startswith("         slo         PASS   word word")
    assert all(line.startswith(" " * 28 + "word") and len(line) <= 110 for line in others)
    assert sum(line.count("word") for line in (first, *others)) == 60


@pytest.mark.parametrize(("cut", "ends"), [(True, "x…"), (False, "xx")])
def test_a_foreign_line_is_cut_where_it_may_be(cut: bool, ends: str) -> None:
    """The path of a file may not."""
    voice, heard = spoken()
    voice.plain(["x" * 150], cut=cut)
    line = heard.getvalue().rstrip("\n")

    assert len(line) == (110 if cut else 150)
    assert line.endswith(ends)


def test_whatever_is_written_goes_through_the_mask() -> None:
    """Headings, sentences and foreign lines."""
    voice, heard = spoken(mask=lambda text: text.replace("hunter2", "********"))
    voice.heading("with hunter2")
    voice.say("hunter2")
    voice.below("hunter2", label="hunter2")
    voice.plain(["hunter2"])

    assert "hunter2" not in heard.getvalue()
    assert heard.getvalue().count("********") == 5


def test_what_would_act_on_a_terminal_is_written_as_text() -> None:
    """Markup of rich and escapes that stand in somebody's reason."""
    voice, heard = spoken()
    voice.say("[bold]not bold[/bold] \x1b[2Jcleared")

    assert heard.getvalue() == "  00:00  [bold]not bold[/bold] cleared\n"


def test_colour_says_nothing_that_words_do_not() -> None:
    """The same words in a terminal and in a file; only there the statuses are coloured."""
    plain, heard = spoken()
    coloured, seen = spoken(terminal=True)
    for voice in (plain, coloured):
        voice.below("all is well", label="slo         PASS")

    assert "\x1b[" not in heard.getvalue()
    assert "\x1b[32m PASS \x1b[0m" in seen.getvalue()


def test_what_is_waited_for_is_shown_in_a_terminal_alone() -> None:
    """On its last line, which goes away again."""
    plain, heard = spoken()
    screen, seen = spoken(terminal=True)
    for voice in (plain, screen):
        voice.wait("bake-10 waits: 3 of 100 requests")
        voice.wait("")

    assert heard.getvalue() == ""
    assert "bake-10 waits" in seen.getvalue()
    assert seen.getvalue().endswith("\x1b[2K")


# ------------------------------------------------------------------------- a promotion


def test_the_way_to_a_share_is_told_in_order() -> None:
    """Who asked, the pull request, the verdicts before the merge, the merge, each share as it is seen."""
    events = (*plans.up_to_merge(), *plans.share_events(0), *plans.share_events(10))

    assert told(events).splitlines() == [
        "dana names v38 in release.yaml and asks for it in prod, where v37 serves: better recall",
        "pull request 7 is open: manifests with v38 at 0 %",
        "v38 runs in preview, where no caller reaches it",
        "judged before the merge, on commit aaaaaaaaaaaa:",
        "policy      PASS   policy says PASS",
        "evaluation  PASS   evaluation says PASS",
        "exactly that commit is merged, as bbbbbbbbbbbb by lockgate",
        "0 %: v38 is ready in prod",
        "10 %: commit 000000000000 is synced; Prometheus shows 10.0 % of requests at v38",
    ]


def test_the_second_time_less_is_told() -> None:
    """What passed before the merge is one line; what was heard before is left out."""
    events = (*plans.up_to_merge(), *plans.share_events(0), *plans.share_events(10))

    assert told(events, brief=True).splitlines()[1:] == [
        "pull request 7 is open: manifests with v38 at 0 %",
        "judged before the merge: policy, evaluation all PASS",
        "exactly that commit is merged, as bbbbbbbbbbbb by lockgate",
        "10 %: commit 000000000000 is synced; Prometheus shows 10.0 % of requests at v38",
    ]


def test_a_share_that_held_is_told_by_its_counts() -> None:
    """Bad requests of those counted, and the most that could not be excluded; once, watched on or not."""
    passed = counted(Status.PASS, share("errors_share", 0.0, 120, 7.25), share("slow_share", 1.0, 200, 5.04))
    events = (
        *plans.up_to_merge(),
        *plans.share_events(10),
        passed,
        plans.done("bake-10"),
        plans.done("bake-10"),
    )

    assert told(events).splitlines()[-1] == (
        "slo         PASS   0 of 120 failed (7.2 % at most), 2 of 200 were slow (5.0 % at most)"
    )
    assert told(events).count("were slow") == 1


@pytest.mark.parametrize("measured", [(), (share("slow_share", None, 0, None),)])
def test_without_counts_the_verdict_speaks_for_itself(measured: tuple[Measurement, ...]) -> None:
    """A gate that measured something else is told by its sentence."""
    events = (
        *plans.up_to_merge(),
        *plans.share_events(10),
        counted(Status.PASS, *measured),
        plans.done("bake-10"),
    )

    assert told(events).splitlines()[-1] == "slo         PASS   slo says PASS"


def test_a_refusal_names_the_gates_that_failed() -> None:
    """Those that passed are left out; where no gate failed, the step says why."""
    failed = plans.judged("slo", "bake-10", Status.FAIL, commit=plans.commit(10))
    passed = plans.judged("share", "bake-10", Status.PASS, commit=plans.commit(10))
    no = e.StepRefused(stage="bake-10", reason="objective_missed", sentence="slo: too slow")
    before = (*plans.up_to_merge(), *plans.share_events(10))

    assert told((*before, passed, failed, no)).splitlines()[-2:] == [
        "bake-10 says no:",
        "slo         FAIL   slo says FAIL",
    ]
    assert told((*before, no)).splitlines()[-2:] == ["bake-10 says no:", "slo: too slow"]


def test_the_way_back_is_told() -> None:
    """The commit, what Envoy does, what Prometheus shows, and who serves."""
    events = (*plans.up_to_merge(), *plans.share_events(10), *ROLLBACK, ENDED)

    assert told(events).splitlines()[-4:] == [
        "v38 has to go back: slo failed: 5 of 50 were slow",
        "0 %: commit ffffffffffff is synced, Envoy sends v38 nothing",
        "Prometheus shows 0.0 % of requests at v38",
        "rolled back: v37 serves 100 %",
    ]


@pytest.mark.parametrize(
    ("ended", "line"),
    [
        (e.Ended(outcome="promoted", sentence="v38 serves 100 %"), "v38 serves 100 %"),
        (
            e.Ended(outcome="refused", sentence="policy failed"),
            "refused: pull request closed, no live request ever reached v38",
        ),
        (e.Ended(outcome="aborted", sentence="oscar ended it"), "aborted: v37 serves 100 %"),
        (e.Ended(outcome="superseded", sentence="v39 came"), "v39 came"),
    ],
)
def test_each_end_has_its_words(ended: e.Ended, line: str) -> None:
    """The last line says how it ended."""
    assert told((*plans.up_to_merge(), ended)).splitlines()[-1] == line


def test_what_is_left_for_people_is_named() -> None:
    """One line each."""
    ended = replace(ENDED, left_undone=("remove the preview: Argo CD is away",))

    assert told((*plans.up_to_merge(), ended)).splitlines()[-1] == (
        "left for people: remove the preview: Argo CD is away"
    )


def test_that_something_cannot_be_told_is_said_once_for_each_reason() -> None:
    """Waiting as such is no news."""

    def waited(reason: str, *, unknown: bool) -> e.Waited:
        return e.Waited(
            stage="bake-10", reason=reason, sentence=f"{reason}!", unknown=unknown, retry_after_seconds=1.0
        )

    events = (
        *plans.up_to_merge(),
        waited("too_early", unknown=False),
        waited("source_unreachable", unknown=True),
        waited("source_unreachable", unknown=True),
        waited("stale_data", unknown=True),
    )

    assert told(events).splitlines()[-2:] == [
        "bake-10 cannot tell, and holds: source_unreachable!",
        "bake-10 cannot tell, and holds: stale_data!",
    ]


def test_people_and_the_desk_are_told() -> None:
    """The change, its end, and whoever ends the promotion."""
    events = (
        e.ChangeOpened(correlation_id="c", number="CHG0030001", url="http://d"),
        e.StageDone(stage="approve", sentence="CHG0030001 is approved"),
        e.ChangeClosed(number="CHG0030001", code="successful"),
        e.AbortAsked(person="oscar", reason="complaints"),
    )

    assert told((*plans.up_to_merge(), *events)).splitlines()[-4:] == [
        "change CHG0030001 is open: nothing goes to 100 % before it is approved",
        "CHG0030001 is approved",
        "change CHG0030001 is closed as successful",
        "oscar ends it: complaints",
    ]


@pytest.mark.parametrize(
    ("move", "shown"),
    [
        (Move(kind="hold", stage="bake-10", reason="r", sentence="3 of 100"), "bake-10 waits: 3 of 100"),
        (Move(kind="advance", stage="judge", reason="next", sentence="judge is next"), "judge …"),
    ],
)
def test_a_terminal_shows_what_goes_on(move: Move, shown: str) -> None:
    """Why it waits, or which stage runs."""
    voice, heard = spoken(terminal=True)
    lines = plans.lines(())
    state = fold(lines)
    assert state is not None
    Narrator(voice).hear(lines, state, move)
    voice.stop()

    assert shown in heard.getvalue()
