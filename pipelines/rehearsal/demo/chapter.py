"""One promotion of a story: driven and told, with people who act at given moments, and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipelines.decide import Move
from pipelines.journal import events as e
from pipelines.journal.lines import Line
from pipelines.journal.state import State
from pipelines.rehearsal.demo.acts import APPROVERS, ROLES, Cast, Course, StoryDiffers
from pipelines.rehearsal.demo.narrator import Narrator, Voice

Moment = Callable[[State, Move], bool]
Act = Callable[[State], None]


def asked(state: State, move: Move) -> bool:
    """The change request is open."""
    return state.change is not None and move.stage == "approve"


class Chapter:
    """Drives one promotion and gathers what differs from the story.

    Args:
        brief: leave out what was told of a promotion before.
    """

    def __init__(self, cast: Cast, voice: Voice, *, brief: bool = False) -> None:
        self._cast = cast
        self._voice = voice
        self._narrator = Narrator(voice, brief=brief)
        self._heard = 0
        self._acts: list[tuple[Moment, Act]] = []
        self._differences: list[str] = []
        self.splits: list[tuple[int, int]] = []
        """(share in force, percent that Envoy gave the candidate then), in order."""

    def when(self, moment: Moment, act: Act) -> None:
        """Somebody acts once, before the first move of this kind."""
        self._acts.append((moment, act))

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

    # ------------------------------------------------------------------------ approval

    def have_it_approved(self, *, interactive: bool) -> None:
        """The approvers sign on the desk's page; ``interactive`` asks whoever reads this to do it."""
        self.when(asked, self._invite if interactive else self._approve)

    def _approve(self, state: State) -> None:
        assert state.change is not None  # noqa: S101 - the moment is chosen so
        for login in APPROVERS:
            self._cast.sign(login, state.change.number, "approved", "read and agreed")
            self._voice.say(f"{login} ({ROLES[login]}) signs in on the desk's page, reads it and approves")

    def _invite(self, state: State) -> None:
        assert state.change is not None  # noqa: S101 - the moment is chosen so
        world = self._cast.world
        self._voice.say(f"it waits for you: open {world.desk.url}/changes/{state.change.number}")
        for login in APPROVERS:
            self._voice.below(
                f"sign in as {login} ({ROLES[login]}), password {world.tokens[login]}, and answer"
            )

    # ------------------------------------------------------------------------- checking

    def same(self, what: str, expected: object, seen: object) -> None:
        """Note a difference where there is one."""
        if expected != seen:
            self._differences.append(f"{what}: {expected} was expected, {seen} was seen")

    def check(self, course: Course, *, outcome: str, shares: Sequence[int] | None = None) -> None:
        """What holds of a promotion: its end, and its shares in the journal, in Git and in Envoy.

        Args:
            shares: in order; None: whatever they were, Git and Envoy agree with the journal.
        """
        state, ended = course.state, course.state.ended
        version = str(state.started.candidate["label"])
        written = [line.event for line in course.lines if isinstance(line.event, e.ShareCommitted)]
        seen = [one.share_percent for one in written]
        self.same(f"outcome of {version}", outcome, ended.outcome if ended else "under way")
        self.same(f"left undone for {version}", (), ended.left_undone if ended else ())
        self.same(f"shares of {version}", seen if shares is None else list(shares), seen)
        self.same(f"{version} in Envoy", [(share, share) for share in seen], self.splits)
        trailers = {one.sha: one.trailers for one in self._cast.commits(course.promotion)}
        for one in written:
            found = trailers.get(one.commit, {})
            where = f"commit of {one.share_percent} % for {version}"
            self.same(f"{where}, share", str(one.share_percent), found.get("Lockgate-Share"))
            self.same(f"{where}, digest", state.started.candidate["digest"], found.get("Lockgate-Digest"))

    def settle(self) -> None:
        """End the chapter.

        Raises:
            StoryDiffers: something was not as the story has it.
        """
        if self._acts:
            self._differences.append(f"{len(self._acts)} acts of people never had their moment")
        if self._differences:
            raise StoryDiffers("the story went another way: " + "; ".join(self._differences))
