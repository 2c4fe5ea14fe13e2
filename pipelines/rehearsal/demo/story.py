"""The main job, told: a good version goes to 100 %, a bad one back to 0, another is refused before the merge.

Nothing is taken on trust: what Git, Envoy, the desk and the callers say is held against the story at the end
of each chapter, and a difference ends the demo.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.rehearsal.demo.acts import APPROVERS, Cast, Course
from pipelines.rehearsal.demo.chapter import Chapter
from pipelines.rehearsal.demo.narrator import Voice
from pipelines.rehearsal.processes import wait_until
from pipelines.rehearsal.traffic import Counts
from pipelines.reports.words import span

SHARES = (0, 10, 25, 50, 100)
_VERDICT = re.compile(r"  [a-z]+(-\d+)?: [a-z_]+ [A-Z]+ at |  \d+ more verdicts? ")
"""A line of ``lockgate why`` that gives one verdict, or says that there are more."""
_CALM_SECONDS = 1.0
"""Long enough for the callers' account to be written again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the callers measured."""

    bad_requests: int
    """Answered by v3."""
    late_answers: int
    """Of them, later than the objective allows."""
    seconds_to_zero: float
    """From v3's first late answer to its last answer of all."""
    sent: int
    lost: int
    """Of all that were sent: without an answer, or answered with an error."""
    story_seconds: float


class Demo:
    """The whole story in one world.

    Args:
        interactive: people approve on the desk's page themselves; else the demo signs in their names.
    """

    def __init__(self, cast: Cast, voice: Voice, *, interactive: bool = False) -> None:
        self._cast = cast
        self._voice = voice
        self._interactive = interactive

    def run(self) -> Figures:
        """Tell all of it.

        Raises:
            StoryDiffers: something did not go as the story has it.
        """
        began = time.monotonic()
        self._first_serves()
        self._good_version()
        slow = self._slow_version()
        self._wrong_version()
        self._answers(slow)
        return self._figures(slow, began)

    # ------------------------------------------------------------------------- chapters

    def _first_serves(self) -> None:
        self._voice.heading("1. v1 serves")
        counts = wait_until("v1 answers", self._answered, seconds=20)
        served = counts.versions["v1"]
        self._voice.say(f"v1 answers every request: {served.requests} so far, {counts.unserved} lost")
        chapter = Chapter(self._cast, self._voice)
        chapter.same("versions that answer", ["v1"], list(counts.versions))
        self._same_end(chapter)
        chapter.settle()

    def _answered(self) -> Counts | None:
        counts = self._counts()
        return counts if counts.answered >= 100 else None

    def _good_version(self) -> None:
        self._voice.heading("2. v2 is better: it goes to 100 %, step by step")
        chapter = Chapter(self._cast, self._voice)
        chapter.have_it_approved(interactive=self._interactive)
        course = chapter.tell("v2", "it finds more fraud")
        chapter.check(course, outcome="promoted", shares=SHARES)
        self._check_change(chapter, course)
        self._same_end(chapter)
        chapter.settle()

    def _check_change(self, chapter: Chapter, course: Course) -> None:
        number = course.state.change.number if course.state.change else ""
        facts = course.state.verdicts["approve", "approval"].evidence.facts
        last = self._cast.commits(course.promotion)[-1].trailers
        chapter.same("who approved", set(APPROVERS), _approvers(facts.get("approvers")))
        chapter.same("change in the last commit", number, last.get("Lockgate-Change"))
        chapter.same("how the change was closed", "successful", self._cast.change(number).get("close_code"))

    def _slow_version(self) -> Course:
        self._voice.heading("3. v3 passes every check before the merge; live requests show that v2 is better")
        chapter = Chapter(self._cast, self._voice, brief=True)
        course = chapter.tell("v3", "it knows the new merchants")
        chapter.check(course, outcome="rolled_back", shares=(0, 10, 0))
        back = self._cast.commits(course.promotion)[-1].trailers
        chapter.same("stage of the last commit", "roll_back", back.get("Lockgate-Stage"))
        chapter.same("the canary gate refused v3", True, "canary" in _refused_by(course))
        chapter.same("change request for v3", None, course.state.change)
        self._same_end(chapter)
        chapter.settle()
        return course

    def _wrong_version(self) -> None:
        self._voice.heading("4. v4 decides wrongly: it is refused before the merge")
        chapter = Chapter(self._cast, self._voice, brief=True)
        course = chapter.tell("v4", "it knows last month")
        chapter.check(course, outcome="refused", shares=())
        chapter.same("gates that refused v4", {"evaluation"}, _refused_by(course))
        chapter.same("merge of v4", None, course.state.merged)
        self._same_end(chapter)
        chapter.settle()

    def _same_end(self, chapter: Chapter) -> None:
        """Between chapters one version has everything."""
        chapter.same("shares in Envoy", [100], list(self._cast.split().values()))

    # -------------------------------------------------------------------------- answers

    def _answers(self, slow: Course) -> None:
        self._voice.heading("5. What anybody can ask afterwards")
        served = self._counts().versions["v3"]
        at = datetime.fromtimestamp((served.first_at + served.last_at) / 2, UTC)
        self._ask("why", self._cast.model, "--at", at.isoformat(timespec="seconds"))
        self._ask("history", self._cast.model)
        self._voice.plain([f"the report of v3: {self._cast.report(slow)}"], cut=False)

    def _ask(self, *words: str) -> None:
        self._voice.plain([f"$ lockgate {' '.join(words)}"])
        lines = self._cast.command(*words).rstrip("\n").split("\n")
        kept = [line for line in lines if line and not _VERDICT.match(line)]
        self._voice.plain(f"  {line}" for line in kept)
        if any(map(_VERDICT.match, lines)):
            self._voice.plain(["  and the verdicts of each with their numbers, left out here"])
        self._voice.plain([""])

    # -------------------------------------------------------------------------- figures

    def _figures(self, slow: Course, began: float) -> Figures:
        self._voice.heading("6. As the callers measured it")
        time.sleep(_CALM_SECONDS)
        counts = self._counts()
        served = counts.versions["v3"]
        figures = Figures(
            bad_requests=served.requests,
            late_answers=served.slow,
            seconds_to_zero=served.last_at - served.first_bad_at,
            sent=counts.sent,
            lost=counts.unserved + sum(one.errors for one in counts.versions.values()),
            story_seconds=time.monotonic() - began,
        )
        bad = f"{figures.bad_requests}, {figures.late_answers} of them late"
        self._voice.plain(
            [
                f"  requests answered by v3          {bad}",
                f"  from its first late answer to 0  {span(figures.seconds_to_zero)}",
                f"  requests lost in all             {figures.lost} of {figures.sent}",
                f"  the whole story took             {span(figures.story_seconds)}",
            ]
        )
        chapter = Chapter(self._cast, self._voice)
        chapter.same("requests lost", 0, figures.lost)
        chapter.same("versions that answered", ["v1", "v2", "v3"], sorted(counts.versions))
        chapter.same("late answers of v3", True, served.first_bad_at > 0)
        zero = slow.state.zero_seen
        chapter.same(
            "answers of v3 after 0 % was seen", False, zero is None or served.last_at > zero.timestamp()
        )
        chapter.settle()
        return figures

    def _counts(self) -> Counts:
        traffic = self._cast.world.traffic
        assert traffic is not None  # noqa: S101 - a world that was entered has traffic
        return traffic.counts()


def _refused_by(course: Course) -> set[str]:
    return {gate for (_, gate), one in course.state.verdicts.items() if one.status.name == "FAIL"}


def _approvers(rows: object) -> set[str]:
    """Who approved, as the approval gate's evidence lists them."""
    if not isinstance(rows, Sequence):
        return set()
    return {str(row["approver"]) for row in rows if row.get("state") == "approved"}
