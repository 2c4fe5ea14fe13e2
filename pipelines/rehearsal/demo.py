"""The main job, told: a good version goes to 100 %, a bad one back to 0, another one is refused before it starts.

Nothing is taken on trust: what Git, Envoy, the desk and the callers say is held against the story at the end
of each chapter, and a difference ends the demo.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pipelines.decide import Move
from pipelines.journal import events as e
from pipelines.journal.lines import Line
from pipelines.journal.state import State
from pipelines.rehearsal.acts import APPROVERS, ROLES, Cast, Course, StoryDiffers
from pipelines.rehearsal.narrator import Narrator, Voice
from pipelines.rehearsal.processes import wait_until
from pipelines.rehearsal.traffic import Counts, Served
from pipelines.reports.words import span

SHARES = (0, 10, 25, 50, 100)
_VERDICT = re.compile(r"  [a-z]+(-\d+)?: [a-z_]+ [A-Z]+ at ")
"""A line of ``lockgate why`` that gives one verdict."""
_CALM_SECONDS = 1.0
"""Long enough for the callers' account to be written again."""


class Chapter:
    """One promotion of the story: drives it, has people act in it, and gathers what differs."""

    def __init__(self, cast: Cast, voice: Voice, *, brief: bool) -> None:
        self._cast = cast
        self._narrator = Narrator(voice, brief=brief)
        self._heard = 0
        self._acts: list[tuple[Callable[[State, Move], bool], Callable[[State], None]]] = []
        self._differences: list[str] = []
        self.splits: list[tuple[int, int]] = []
        """(share in force, percent that Envoy gave the candidate then), in order."""

    def when(self, moment: Callable[[State, Move], bool], act: Callable[[State], None]) -> Chapter:
        """Somebody acts once, before the first move of this kind."""
        self._acts.append((moment, act))
        return self

    def tell(self, version: str, reason: str) -> Course:
        """Promote a version to its end."""
        return self._cast.drive(self._cast.ask(version, reason), self._hear)

    def _hear(self, lines: Sequence[Line], state: State, move: Move | None) -> None:
        self._narrator.hear(lines, state, move)
        for line in lines[self._heard :]:
            if isinstance(line.event, e.ShareServed):
                given = self._cast.split().get(line.event.candidate_revision, 0)
                self.splits.append((line.event.share_percent, given))
        self._heard = len(lines)
        for one in [one for one in self._acts if move is not None and one[0](state, move)]:
            self._acts.remove(one)
            one[1](state)

    # ------------------------------------------------------------------------- checking

    def same(self, what: str, expected: object, seen: object) -> None:
        """Note a difference where there is one."""
        if expected != seen:
            self._differences.append(f"{what}: {expected} was expected, {seen} was seen")

    def settle(self) -> None:
        """End the chapter.

        Raises:
            StoryDiffers: something was not as the story has it.
        """
        if self._acts:
            self._differences.append(f"{len(self._acts)} acts of people never had their moment")
        if self._differences:
            raise StoryDiffers("the story went another way: " + "; ".join(self._differences))

    def check(self, course: Course, *, outcome: str, shares: Sequence[int]) -> None:
        """What holds of every promotion: its end, its shares in the journal, in Git and in Envoy."""
        state, ended = course.state, course.state.ended
        version = str(state.started.candidate["label"])
        self.same(f"outcome of {version}", outcome, ended.outcome if ended else "under way")
        self.same(f"left undone for {version}", (), ended.left_undone if ended else ())
        written = [line.event for line in course.lines if isinstance(line.event, e.ShareCommitted)]
        self.same(f"shares of {version}", list(shares), [one.share_percent for one in written])
        self.same(f"{version} in Envoy", [(share, share) for share in shares], self.splits)
        trailers = {one.sha: one.trailers for one in self._cast.commits(course.promotion)}
        for one in written:
            found = trailers.get(one.commit, {})
            where = f"commit of {one.share_percent} % for {version}"
            self.same(f"{where}, share", str(one.share_percent), found.get("Lockgate-Share"))
            self.same(f"{where}, digest", state.started.candidate["digest"], found.get("Lockgate-Digest"))


class Demo:
    """The whole story in one world.

    Args:
        interactive: people approve on the desk's page themselves; else the demo signs in their names.
    """

    def __init__(self, cast: Cast, voice: Voice, *, interactive: bool = False) -> None:
        self._cast = cast
        self._voice = voice
        self._interactive = interactive

    def run(self) -> None:
        """Tell all of it.

        Raises:
            StoryDiffers: something did not go as the story has it.
        """
        began = time.monotonic()
        self._first_serves()
        self._good_version()
        bad = self._slow_version()
        wrong = self._wrong_version()
        self._answers(bad, wrong)
        self._figures(bad, time.monotonic() - began)

    # ------------------------------------------------------------------------- chapters

    def _first_serves(self) -> None:
        self._voice.heading("1. v1 serves")
        counts = wait_until("v1 answers", self._answered, seconds=20)
        served = counts.versions["v1"]
        self._voice.say(f"v1 answers every request: {served.requests} so far, {counts.unserved} lost")
        chapter = Chapter(self._cast, self._voice, brief=True)
        chapter.same("versions that answer", ["v1"], list(counts.versions))
        chapter.same("shares in Envoy", [100], list(self._cast.split().values()))
        chapter.settle()

    def _answered(self) -> Counts | None:
        counts = self._counts()
        return counts if counts.answered >= 100 else None

    def _good_version(self) -> None:
        self._voice.heading("2. v2 is better: it goes to 100 %, step by step")
        chapter = Chapter(self._cast, self._voice, brief=False)
        chapter.when(
            lambda state, move: state.change is not None and move.stage == "approve", self._have_it_approved
        )
        course = chapter.tell("v2", "v2 finds more fraud at the same rate of false alarms")
        chapter.check(course, outcome="promoted", shares=SHARES)
        self._check_change(chapter, course)
        chapter.same("shares in Envoy at the end", [100], list(self._cast.split().values()))
        chapter.settle()

    def _have_it_approved(self, state: State) -> None:
        assert state.change is not None  # noqa: S101 - the moment is chosen so
        if self._interactive:
            self._invite(state.change.number)
            return
        for login in APPROVERS:
            self._cast.sign(login, state.change.number, "approved", "read and agreed")
            self._voice.say(f"{login} ({ROLES[login]}) signs in on the desk's page, reads it and approves")

    def _invite(self, number: str) -> None:
        self._voice.say(f"it waits for you: open {self._cast.world.desk.url}/changes/{number}")
        for login in APPROVERS:
            self._voice.below(
                f"sign in as {login} ({ROLES[login]}), password {self._cast.world.tokens[login]}, and answer"
            )

    def _check_change(self, chapter: Chapter, course: Course) -> None:
        number = course.state.change.number if course.state.change else ""
        row = self._cast.change(number)
        chapter.same("how the change was closed", "successful", row.get("close_code"))
        facts = course.state.verdicts["approve", "approval"].evidence.facts
        chapter.same("who approved", set(APPROVERS), _approvers(facts.get("approvers")))
        last = self._cast.commits(course.promotion)[-1]
        chapter.same("change in the last commit", number, last.trailers.get("Lockgate-Change"))

    def _slow_version(self) -> Course:
        self._voice.heading("3. v3 passes every check before the merge, and is slow for some live requests")
        chapter = Chapter(self._cast, self._voice, brief=True)
        course = chapter.tell("v3", "v3 knows the new merchants")
        chapter.check(course, outcome="rolled_back", shares=(0, 10, 0))
        chapter.same("change request for v3", None, course.state.change)
        back = self._cast.commits(course.promotion)[-1].trailers
        chapter.same("stage of the last commit", "roll_back", back.get("Lockgate-Stage"))
        chapter.same("shares in Envoy at the end", [100], list(self._cast.split().values()))
        chapter.settle()
        return course

    def _wrong_version(self) -> Course:
        self._voice.heading("4. v4 decides wrongly: it is refused before the merge")
        chapter = Chapter(self._cast, self._voice, brief=True)
        course = chapter.tell("v4", "v4 was trained on last month's labels")
        chapter.check(course, outcome="refused", shares=())
        chapter.same("merge of v4", None, course.state.merged)
        chapter.same("gate that refused v4", "judge", course.state.refused and course.state.refused.stage)
        chapter.settle()
        return course

    # -------------------------------------------------------------------------- answers

    def _answers(self, bad: Course, wrong: Course) -> None:
        self._voice.heading("5. What anybody can ask afterwards")
        served = self._counts().versions["v3"]
        at = datetime.fromtimestamp((served.first_at + served.last_at) / 2, UTC)
        self._ask("why", self._cast.model, "--at", at.isoformat(timespec="seconds"))
        self._ask("history", self._cast.model)
        self._voice.plain([f"report of v3's promotion: {self._cast.report(bad)}"])
        self._cast.report(wrong)

    def _ask(self, *words: str) -> None:
        self._voice.plain([f"$ lockgate {' '.join(words)}"])
        lines = self._cast.command(*words).rstrip("\n").split("\n")
        kept = [line for line in lines if not _VERDICT.match(line)]
        self._voice.plain(f"  {line}".rstrip() for line in kept)
        if len(kept) < len(lines):
            self._voice.plain([f"  and {len(lines) - len(kept)} verdicts with their numbers, left out here"])
        self._voice.plain([""])

    # -------------------------------------------------------------------------- figures

    def _figures(self, bad: Course, seconds: float) -> None:
        self._voice.heading("6. As the callers measured it")
        time.sleep(_CALM_SECONDS)
        counts = self._counts()
        served = counts.versions["v3"]
        errors = sum(one.errors for one in counts.versions.values())
        self._voice.plain(
            [
                f"  requests answered by v3              {served.requests} of {counts.answered}, {served.slow} late",
                f"  from its first late answer to its last   {span(served.last_at - served.first_bad_at)}",
                f"  requests lost in all                 {counts.unserved + errors} of {counts.sent}",
                f"  the whole story took                 {span(seconds)}",
            ]
        )
        self._check_figures(counts, served, errors, bad)

    def _check_figures(self, counts: Counts, served: Served, errors: int, bad: Course) -> None:
        chapter = Chapter(self._cast, self._voice, brief=True)
        chapter.same("requests without an answer", 0, counts.unserved)
        chapter.same("answers that were errors", 0, errors)
        chapter.same("versions that answered", ["v1", "v2", "v3"], sorted(counts.versions))
        chapter.same("late answers of v3 were seen", True, served.first_bad_at > 0)
        zero = bad.state.zero_seen
        late = bool(zero) and served.last_at > zero.timestamp() if zero else True
        chapter.same("answers by v3 after 0 % was seen", False, late)
        chapter.settle()

    def _counts(self) -> Counts:
        traffic = self._cast.world.traffic
        assert traffic is not None  # noqa: S101 - a world that was entered has traffic
        return traffic.counts()


def _approvers(rows: object) -> set[str]:
    """Who approved, as the approval gate's evidence lists them."""
    if not isinstance(rows, Sequence):
        return set()
    return {str(row["approver"]) for row in rows if row.get("state") == "approved"}
