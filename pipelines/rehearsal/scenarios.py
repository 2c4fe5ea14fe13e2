"""Faults to rehearse: what goes wrong, and how it has to end. One table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelines.decide import Move, unknown_seconds
from pipelines.errors import InvalidInput, Problem
from pipelines.journal.events import AbortAsked
from pipelines.journal.state import State
from pipelines.rehearsal.demo.acts import Cast, Course
from pipelines.rehearsal.demo.chapter import Chapter, asked
from pipelines.rehearsal.demo.narrator import Voice
from pipelines.rehearsal.server import Fault
from pipelines.spec.scalars import near
from pipelines.steps.recorder import Recorder

_ENOUGH_SECONDS = 5.0
"""An outage that is to pass lasts until this much of the hold budget is spent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """Somebody, or something, acts once."""

    says: str
    moment: Callable[[State, Move], bool]
    act: Callable[[Cast, State], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One story of one promotion."""

    version: str
    sentence: str
    outcome: str
    codes: frozenset[str] = frozenset()
    """What the rollback may be called for; empty where there is none."""
    beats: tuple[Beat, ...] = ()
    approved: bool = True
    """Whether the approvers sign when they are asked."""


# ----------------------------------------------------------------------------- moments


def _before(stage: str) -> Callable[[State, Move], bool]:
    return lambda state, move: move.kind == "advance" and move.stage == stage


def _long_unknown(state: State, move: Move) -> bool:
    return unknown_seconds(state, state.last_at) >= _ENOUGH_SECONDS


def _at_zero(state: State, move: Move) -> bool:
    return state.zero_served is not None


def _refused_to_answer(state: State, move: Move) -> bool:
    wait = state.waits.get("approve")
    return wait is not None and wait.unknown and unknown_seconds(state, state.last_at) >= _ENOUGH_SECONDS


# -------------------------------------------------------------------------------- acts


def _desk_away(cast: Cast, state: State) -> None:
    for method in ("GET", "POST", "PATCH", "PUT"):
        cast.world.desk.arm(Fault(method, "^/api", status=503, times=10_000))


def _reject(cast: Cast, state: State) -> None:
    assert state.change is not None  # noqa: S101 - the moment is chosen so
    cast.sign("rita", state.change.number, "rejected", "the reason does not convince me")


def _abort(cast: Cast, state: State) -> None:
    journals = cast.desktop.journals(cast.repository)
    recorder = Recorder(journals, cast.desktop.clock, state.promotion, "person:oscar")
    recorder.add(AbortAsked(person="oscar", reason="complaints from the call centre"))


_PROMETHEUS_ENDS = Beat(
    says="Prometheus goes away",
    moment=_before("bake-10"),
    act=lambda cast, state: cast.world.prometheus.stop(),
)


def _prometheus_returns(moment: Callable[[State, Move], bool]) -> Beat:
    return Beat(
        says="Prometheus is back",
        moment=moment,
        act=lambda cast, state: cast.world.prometheus.start_again(),
    )


SCENARIOS: Mapping[str, Scenario] = {
    "good": Scenario(
        version="v2",
        sentence="v2 is better than v1: through every gate to 100 %.",
        outcome="promoted",
    ),
    "slow-tail": Scenario(
        version="v3",
        sentence="v3 is late for some live requests, which no golden row shows: caught at 10 %, back to 0.",
        outcome="rolled_back",
        codes=frozenset({"objective_missed", "worse_than_stable"}),
    ),
    "wrong-decisions": Scenario(
        version="v4",
        sentence="v4 was trained on shuffled labels: the evaluation refuses it before the merge.",
        outcome="refused",
        codes=frozenset({"below_floor"}),
    ),
    "errors": Scenario(
        version="v5",
        sentence="v5 answers one request in twenty with an error: the load test refuses it before the merge.",
        outcome="refused",
        codes=frozenset({"error_budget_exceeded"}),
    ),
    "never-ready": Scenario(
        version="v6",
        sentence="v6 never says that it is ready: the preview gives up after a minute.",
        outcome="refused",
        codes=frozenset({"deadline_passed"}),
    ),
    "crash": Scenario(
        version="v7",
        sentence="v7 dies at its 500th request: the load test refuses it before the merge.",
        outcome="refused",
        codes=frozenset({"error_budget_exceeded"}),
    ),
    "metrics-outage": Scenario(
        version="v2",
        sentence="Prometheus is away for some seconds at 10 %: the share holds, then it goes on.",
        outcome="promoted",
        beats=(
            _PROMETHEUS_ENDS,
            _prometheus_returns(_long_unknown),
        ),
    ),
    "metrics-gone": Scenario(
        version="v2",
        sentence="Prometheus stays away at 10 %: the hold budget is spent, then back to 0 without it.",
        outcome="rolled_back",
        codes=frozenset({"hold_budget_spent"}),
        beats=(_PROMETHEUS_ENDS, _prometheus_returns(_at_zero)),
    ),
    "change-rejected": Scenario(
        version="v2",
        sentence="The model-risk owner says no at 50 %: back to 0, and the change is closed unsuccessful.",
        outcome="rolled_back",
        codes=frozenset({"rejected"}),
        beats=(Beat(says="rita reads the change and rejects it", moment=asked, act=_reject),),
        approved=False,
    ),
    "change-desk-outage": Scenario(
        version="v2",
        sentence="The change desk is away when it is asked: 50 % holds until it is back, then it goes on.",
        outcome="promoted",
        beats=(
            Beat(says="the change desk answers 503", moment=_before("approve"), act=_desk_away),
            Beat(
                says="the change desk is back",
                moment=_refused_to_answer,
                act=lambda cast, state: cast.world.desk.faults.clear(),
            ),
        ),
    ),
    "abort": Scenario(
        version="v2",
        sentence="The on-call engineer ends it at 25 %: back to 0.",
        outcome="aborted",
        codes=frozenset({"aborted"}),
        beats=(Beat(says="oscar types lockgate abort", moment=_before("bake-25"), act=_abort),),
        approved=False,
    ),
}
"""Name -> what happens."""


def scenario(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        InvalidInput: there is none.
    """
    if name not in SCENARIOS:
        advice = near(name, SCENARIOS) or "`lockgate rehearse --list` shows them"
        raise InvalidInput([Problem("--scenario", 0, "", f"there is no scenario {name}", advice)])
    return SCENARIOS[name]


def play(played: Scenario, cast: Cast, voice: Voice, *, interactive: bool = False) -> Course:
    """Play one scenario to its end.

    Raises:
        StoryDiffers: it did not end as it has to.
    """
    voice.heading(played.sentence)
    chapter = Chapter(cast, voice)
    for beat in played.beats:
        chapter.when(beat.moment, _told(beat, cast, voice))
    if played.approved and played.outcome == "promoted":
        chapter.have_it_approved(interactive=interactive)
    course = chapter.tell(played.version, "it is rehearsed")
    chapter.check(course, outcome=played.outcome)
    code = course.state.rollback.code if course.state.rollback else ""
    if played.codes and code not in played.codes:
        chapter.same("why it went back", sorted(played.codes), code)
    if course.state.change is not None and played.outcome != "promoted":
        closed = course.state.change_closed
        chapter.same("how the change was closed", "unsuccessful", closed.code if closed else "")
    chapter.settle()
    return course


def _told(beat: Beat, cast: Cast, voice: Voice) -> Callable[[State], None]:
    def act(state: State) -> None:
        voice.say(beat.says)
        beat.act(cast, state)

    return act
