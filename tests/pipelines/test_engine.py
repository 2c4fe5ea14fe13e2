"""The local driver: what one run of a step leaves in the journal, what `step` answers, when the engine stops.

Aspects: each kind of answer and of exception, a named step asked too early, in time, again and in vain, two
drivers, an outage of the store. Left out: what the steps do (tests/stories), what comes next (test_decide).

The step that is run is the merge: it needs a pull request and nothing else, which is answered by hand here.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Any

import pytest

from gates.contract import Status
from pipelines import errors
from pipelines.decide import Move
from pipelines.engine import ROLL_BACK, Assignment, Engine, next_move, perform, step
from pipelines.journal import events as e
from pipelines.journal.lines import Line
from pipelines.journal.state import State
from pipelines.ports import Merge, PullRequest
from pipelines.spec.types import Freeze, Platform, Systems
from pipelines.steps.contract import Done, NotYet, Refused, World
from pipelines.steps.recorder import Recorder
from tests import examples, plans
from tests.plans import HEAD, MERGE, PROMOTION, PROPOSED, T0, done, judged

ENGINE = "engine:here:1"
UNREACHABLE = errors.Unreachable("forge", "no answer in 20 s")
JUDGED = (
    PROPOSED,
    done("propose"),
    e.Previewed(environment="preview", commit="1" * 40, url="http://p", revision="r1"),
    done("preview"),
    judged("policy", "judge", Status.PASS),
    judged("evaluation", "judge", Status.PASS),
    done("judge"),
)


class Store:
    """Journals in memory; the next calls may fail as a store does."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.failures: deque[Exception] = deque()

    def promotions(self) -> tuple[str, ...]:
        return tuple(self.texts)

    def read(self, promotion: str) -> str:
        if self.failures:
            raise self.failures.popleft()
        return self.texts.get(promotion, "")

    def append(self, promotion: str, lines: str, *, expected: str) -> None:
        if self.texts.get(promotion, "") != expected:
            raise errors.JournalMoved(promotion)
        self.texts[promotion] = expected + lines


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.time = T0 + timedelta(seconds=60)
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert len(self.slept) < 200, "the engine does not end"
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)


class Pulls:
    """A forge with one pull request. Each answer is given or raised once, the last one again and again."""

    def __init__(self, *answers: PullRequest | Exception, merged: Merge | None = None) -> None:
        self.answers = deque(answers or (pull(),))
        self.merged = merged or Merge(outcome="merged", sha=MERGE)
        self.closed: list[int] = []

    def pull_request(self, number: int) -> PullRequest:
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def merge(self, number: int, *, head_sha: str, title: str, body: str) -> Merge:
        return self.merged

    def close(self, number: int) -> None:
        self.closed.append(number)


class Branches:
    """A repository whose main is empty; the next readings may fail as git does."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.failures: deque[Exception] = deque()

    def delete_branch(self, branch: str) -> None:
        self.deleted.append(branch)

    def files(self, prefix: str, at: str) -> dict[str, str]:
        if self.failures:
            raise self.failures.popleft()
        return {}


def pull(**changes: Any) -> PullRequest:
    """The promotion's pull request, open and mergeable."""
    facts: dict[str, Any] = {
        "number": 7, "url": "http://f/7", "author": "bot", "head_sha": HEAD, "base_sha": "9" * 40,
        "state": "open", "merge_sha": "", "mergeable": "yes", "approvals": (),
    }  # fmt: skip
    return PullRequest(**{**facts, **changes})


PLATFORM = Platform.model_construct(
    systems=Systems.model_validate(
        {
            "forge": {
                "git_url": "https://forge.example/acme/gitops.git",
                "repository": "acme/gitops",
                "token": "env:FORGE_TOKEN",
            }
        }
    ),
    environments={"prod": examples.environment()},
    tiers={},
    freezes=(),
)


class Case:
    """One promotion in memory, at a moment of its life."""

    def __init__(self, *events: e.Event, forge: Pulls | None = None, by: str = ENGINE) -> None:
        self.store, self.clock, self.forge = Store(), Clock(), forge or Pulls()
        self.repository = Branches()
        people = Recorder(self.store, self.clock, PROMOTION, "person:dana")
        people.add(plans.started(plans.canary()), *events)
        self.freezes: tuple[Freeze, ...] | Exception = ()
        self.assignment = self.on(by)

    def on(self, by: str) -> Assignment:
        """What a driver of this name works with."""
        absent: Any = None
        world = World(
            clock=self.clock,
            repository=self.repository,  # type: ignore[arg-type]
            journals=self.store,
            forge=self.forge,  # type: ignore[arg-type]
            deployer=absent,
            preview=None,
            desk=None,
            metrics=None,
            registry=None,
            gate=absent,
        )
        recorder = Recorder(self.store, self.clock, PROMOTION, by)
        return Assignment(
            world=world,
            platform=PLATFORM,
            release=examples.release(),
            recorder=recorder,
            freezes=self._freezes,
        )

    def _freezes(self) -> tuple[Freeze, ...]:
        if isinstance(self.freezes, Exception):
            raise self.freezes
        return self.freezes

    @property
    def state(self) -> State:
        """As stored."""
        state = Recorder(self.store, self.clock, PROMOTION, "reader").read()
        assert state is not None
        return state

    @property
    def lines(self) -> tuple[Line, ...]:
        """As stored, without the first ones that the case begins with."""
        recorder = Recorder(self.store, self.clock, PROMOTION, "reader")
        recorder.read()
        return recorder.lines

    def merge(self) -> Done | NotYet | Refused:
        """Run the merge once, whatever is next."""
        state = self.assignment.recorder.read()
        assert state is not None
        return perform(self.assignment, state, state.plan.stage("merge"))


# ------------------------------------------------------------------ one run of a step


def test_done_is_written_down_with_what_it_did() -> None:
    """The merge and that its stage is done, by this driver's name."""
    case = Case(*JUDGED)
    assert isinstance(case.merge(), Done)
    assert case.state.merged == e.Merged(commit=MERGE, by="lockgate")
    assert "merge" in case.state.done
    assert case.lines[-1].by == ENGINE


@pytest.mark.parametrize(
    ("answer", "reason", "unknown"),
    [
        pytest.param(UNREACHABLE, "source_unreachable", True, id="an outage"),
        pytest.param(errors.Misbehaved("forge", "HTML"), "source_unreachable", True, id="nonsense"),
        pytest.param(RuntimeError("a bug"), "step_error", True, id="a fault of ours"),
        pytest.param(errors.NotYet("busy", "later", 3.0), "busy", False, id="not yet"),
    ],
)
def test_an_exception_is_no_answer(answer: Exception, reason: str, unknown: bool) -> None:
    """What could not be told is written as such, and nothing is refused for it."""
    case = Case(*JUDGED, forge=Pulls(answer))
    outcome = case.merge()
    assert isinstance(outcome, NotYet)
    assert (outcome.reason, outcome.unknown) == (reason, unknown)
    wait = case.state.waits["merge"]
    assert (wait.reason, wait.unknown) == (reason, unknown)
    assert case.state.refused is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(pull(state="closed"), "closed_by_hand", id="the step says no"),
        pytest.param(errors.Refused("not_allowed", "no"), "not_allowed", id="a client says no"),
        pytest.param(
            errors.InvalidInput([errors.Problem("platform.yaml", 1, "x", "wrong")]),
            "invalid_input",
            id="input that cannot be used",
        ),
    ],
)
def test_a_no_is_written_down_as_a_no(answer: PullRequest | Exception, reason: str) -> None:
    """It ends the promotion, which asking again would not change."""
    case = Case(*JUDGED, forge=Pulls(answer))
    outcome = case.merge()
    assert isinstance(outcome, Refused)
    assert outcome.reason == reason
    assert case.state.refused is not None
    assert case.state.refused.code == reason
    assert next_move(case.assignment, case.state).kind == "roll_back"


def test_a_poll_that_says_the_same_again_is_written_once() -> None:
    """People take their time; their silence fills no journal. What is not known is written each time."""
    waiting = Merge(outcome="not_ready", sentence="a check is missing")
    case = Case(*JUDGED, forge=Pulls(merged=waiting))
    case.merge()
    written = len(case.lines)
    case.merge()
    assert len(case.lines) == written
    case.forge.answers = deque([UNREACHABLE])
    case.merge()
    case.merge()
    assert len(case.lines) == written + 2


def test_a_rollback_takes_no_for_an_answer_from_nobody() -> None:
    """Refused while it goes back, it is not over: it tries again, and says why it waits."""
    case = Case(*JUDGED, e.RollbackBegan(code="aborted", sentence="enough"))
    case.repository.failures.append(errors.Refused("no", "not now"))
    state = case.assignment.recorder.read()
    assert state is not None
    outcome = perform(case.assignment, state, ROLL_BACK)
    assert outcome == Refused(reason="no", sentence="not now")
    assert case.state.refused is None
    assert case.state.waits["roll_back"].unknown
    assert next_move(case.assignment, case.state).kind == "roll_back"


def test_another_driver_is_given_way_to() -> None:
    """It wrote meanwhile: nothing of ours is added, and the caller hears of it."""
    case = Case(*JUDGED)
    state = case.assignment.recorder.read()
    assert state is not None
    case.on("engine:there:2").recorder.add(done("merge"))
    written = len(case.lines)
    with pytest.raises(errors.JournalMoved):
        perform(case.assignment, state, state.plan.stage("merge"))
    assert len(case.lines) == written


# ------------------------------------------------------------------ freezes


@pytest.mark.parametrize(
    "error",
    [
        errors.Unreachable("git", f"no answer\nfrom {'a very far place ' * 20}"),
        errors.InvalidInput([errors.Problem("platform.yaml", n, "x", "wrong ^ line") for n in range(50)]),
    ],
    ids=["git is away", "fifty mistakes"],
)
def test_where_main_cannot_be_read_nothing_rises(error: Exception) -> None:
    """As good as a freeze, however long the story of what went wrong is; it ends when main can be read."""
    case = Case(*JUDGED)
    case.freezes = error
    move = next_move(case.assignment, case.state)
    assert (move.kind, move.reason) == ("hold", "frozen")
    assert "platform.yaml on main cannot be read" in move.sentence
    case.freezes = ()
    assert next_move(case.assignment, case.state).kind == "advance"


def test_what_does_not_rise_asks_for_no_freeze() -> None:
    """A stage that raises nothing goes on while git's main is away."""
    case = Case(PROPOSED, done("propose"))
    case.freezes = UNREACHABLE
    move = next_move(case.assignment, case.state)
    assert (move.kind, move.stage) == ("advance", "preview")


# ------------------------------------------------------------------ one named step


def test_a_step_in_turn_is_run_and_asked_again_says_that_it_is_done() -> None:
    """`lockgate step merge` may be run by anybody, as often as they like."""
    case = Case(*JUDGED)
    assert isinstance(step(case.assignment, "merge"), Done)
    written = len(case.lines)
    assert step(case.assignment, "merge") == Done(sentence="merge is done already")
    assert len(case.lines) == written


def test_a_step_asked_too_early_says_what_comes_first() -> None:
    """Nothing is run, nothing is written."""
    case = Case(*JUDGED)
    written = len(case.lines)
    outcome = step(case.assignment, "shift-50")
    assert isinstance(outcome, NotYet)
    assert "merge" in outcome.sentence
    assert len(case.lines) == written


def test_a_step_of_a_promotion_that_goes_back_is_refused() -> None:
    """With the reason why it goes back."""
    case = Case(*JUDGED, e.AbortAsked(person="oscar", reason="enough"))
    outcome = step(case.assignment, "merge")
    assert isinstance(outcome, Refused)
    assert outcome.reason == "aborted"


def test_a_step_of_no_promotion_is_refused() -> None:
    """There is nothing to move."""
    case = Case()
    case.store.texts.clear()
    outcome = step(case.assignment, "merge")
    assert isinstance(outcome, Refused)
    assert outcome.reason == "no_such_promotion"


def test_the_step_roll_back_begins_runs_and_is_done() -> None:
    """Asked for without a reason it does nothing; with one it brings the promotion to its end, once."""
    case = Case(*JUDGED)
    outcome = step(case.assignment, "roll_back")
    assert isinstance(outcome, Refused)
    assert outcome.reason == "nothing_to_roll_back"

    case.assignment.recorder.add(e.AbortAsked(person="oscar", reason="enough"))
    assert isinstance(step(case.assignment, "roll_back"), Done)
    assert case.state.ended is not None
    assert case.state.ended.outcome == "aborted"
    assert case.forge.closed == [7]
    assert case.repository.deleted == [f"lockgate/{PROMOTION}"]
    assert isinstance(step(case.assignment, "roll_back"), Done)
    assert case.forge.closed == [7]


# ------------------------------------------------------------------ the engine


def test_the_engine_drives_to_the_end_and_tells_every_move() -> None:
    """Closed by hand: refused, taken back, ended; whoever listens hears it in this order."""
    case = Case(*JUDGED, forge=Pulls(pull(state="closed")))
    told: list[str] = []
    state = Engine(case.assignment, told=lambda state, move: told.append(move.kind)).run()
    assert state.ended is not None
    assert state.ended.outcome == "refused"
    assert told == ["advance", "roll_back"]
    again = Engine(case.on("engine:later:3"), told=lambda state, move: told.append(move.kind)).run()
    assert again.ended == state.ended
    assert told == ["advance", "roll_back", "stop"]


def test_the_engine_waits_out_a_store_that_is_away() -> None:
    """Without its journal it does nothing but look again."""
    case = Case(*JUDGED, forge=Pulls(pull(state="closed")))
    case.store.failures.extend([UNREACHABLE] * 3)
    state = Engine(case.assignment, wake_seconds=2.0).run()
    assert state.ended is not None
    assert case.clock.slept[:3] == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    "error",
    [errors.JournalMoved(PROMOTION), errors.JournalBroken(PROMOTION, 3, "wrong hash")],
    ids=["another driver", "a changed journal"],
)
def test_the_engine_stops_at_once_where_it_may_not_go_on(error: Exception) -> None:
    """Another driver moves it, or its journal cannot be trusted."""
    case = Case(*JUDGED)
    case.store.failures.append(error)
    with pytest.raises(type(error)):
        Engine(case.assignment).run()


def test_the_engine_refuses_a_promotion_that_is_not_there() -> None:
    """A wrong id is said at once."""
    case = Case()
    case.store.texts.clear()
    with pytest.raises(errors.Refused, match="there is no promotion"):
        Engine(case.assignment).run()


def test_the_engine_looks_for_a_persons_word_while_it_holds() -> None:
    """However long a wait is, a hold is looked at every wake-up; a poll in between is not forgotten."""
    case = Case(*JUDGED, forge=Pulls(merged=Merge(outcome="not_ready", sentence="a check is missing")))
    kinds: list[str] = []

    def hear(state: State, move: Move) -> None:
        kinds.append(move.kind)
        if kinds.count("advance") == 2:
            Recorder(case.store, case.clock, PROMOTION, "person:oscar").add(
                e.AbortAsked(person="oscar", reason="enough")
            )

    state = Engine(case.assignment, told=hear, wake_seconds=4.0).run()
    assert state.ended is not None
    assert state.ended.outcome == "aborted"
    assert kinds == ["advance", "hold", "hold", "hold", "hold", "advance", "roll_back"]
    assert max(case.clock.slept) <= 4.0


STOP = Freeze.model_validate({"reason": "year end", "from": T0 - timedelta(days=1)})


def frozen_lines(case: Case) -> list[e.Event]:
    """What the journal says of freezes."""
    return [line.event for line in case.lines if isinstance(line.event, e.FreezeBegan | e.FreezeEnded)]


def test_a_freeze_is_written_down_when_it_begins_and_when_it_ends() -> None:
    """Once each, however often the engine looked in between, and by the driver that held."""
    case = Case(*JUDGED, forge=Pulls(merged=Merge(outcome="not_ready", sentence="a check is missing")))
    case.freezes = (STOP,)
    moves: list[Move] = []

    def hear(state: State, move: Move) -> None:
        moves.append(move)
        if len(moves) == 5:
            case.freezes = ()
        if len(moves) == 8:
            Recorder(case.store, case.clock, PROMOTION, "person:oscar").add(
                e.AbortAsked(person="oscar", reason="enough")
            )

    Engine(case.assignment, told=hear, wake_seconds=4.0).run()
    assert [move.reason for move in moves[:5]] == ["frozen"] * 5
    assert frozen_lines(case) == [
        e.FreezeBegan(stage="merge", sentence="frozen until it is lifted: year end"),
        e.FreezeEnded(stage="merge"),
    ]
    assert {line.by for line in case.lines if isinstance(line.event, e.FreezeBegan)} == {ENGINE}


def test_another_freeze_in_between_is_the_same_standstill() -> None:
    """One reason follows another without a moment in which it could have risen."""
    case = Case(*JUDGED)
    for freezes in (
        (STOP,),
        (STOP.model_copy(update={"reason": "audit"}),),
        errors.Unreachable("git", "away"),
    ):
        case.freezes = freezes
        outcome = step(case.assignment, "merge")
        assert isinstance(outcome, NotYet)
        assert outcome.reason == "frozen"
    assert len(frozen_lines(case)) == 1


def test_a_driver_killed_while_frozen_goes_on_without_a_second_line() -> None:
    """The line is what another driver finds; without it, that one writes it."""
    case = Case(*JUDGED)
    case.freezes = (STOP,)
    step(case.assignment, "merge")
    follower = case.on(ENGINE)
    step(follower, "merge")
    case.freezes = ()
    assert isinstance(step(case.on(ENGINE), "merge"), Done)
    assert [type(event) for event in frozen_lines(case)] == [e.FreezeBegan, e.FreezeEnded]


def test_going_back_ends_a_freeze_by_itself() -> None:
    """Rollbacks always go through, and nothing of the freeze is left."""
    case = Case(*JUDGED)
    case.freezes = (STOP,)
    step(case.assignment, "merge")
    Recorder(case.store, case.clock, PROMOTION, "person:oscar").add(e.AbortAsked(person="oscar", reason="no"))
    state = Engine(case.on(ENGINE)).run()
    assert state.ended is not None
    assert (state.ended.outcome, state.freeze) == ("aborted", None)
    assert [type(event) for event in frozen_lines(case)] == [e.FreezeBegan]


def test_who_only_asks_what_is_next_writes_nothing() -> None:
    """Status and the sweeper's view of somebody else's promotion leave the journal alone."""
    case = Case(*JUDGED)
    case.freezes = (STOP,)
    before = case.lines
    assert next_move(case.assignment, case.state).reason == "frozen"
    assert case.lines == before


def test_a_rollback_that_waits_is_tried_again() -> None:
    """Git is away while it is looked whether main holds the candidate: the engine does not give up."""
    case = Case(*JUDGED, e.AbortAsked(person="oscar", reason="enough"))
    case.repository.failures.extend([UNREACHABLE, UNREACHABLE])
    state = Engine(case.assignment).run()
    assert state.ended is not None
    assert (state.ended.outcome, state.ended.left_undone) == ("aborted", ())
    assert case.forge.closed == [7]
