"""Steps as tasks of a workflow: gates side by side, looks that nobody else makes, an approval asked for.

Covered: one gate alone, what it leaves in the journal and at the forge, several at once on one journal, what
collects them; a step that first has to look; an approval that is only asked for; stages that a plan has not.
Left out: every other answer of a step (test_engine), the command (test_cli_stepping).

The plan is that of the sample's regulated tier; gates, forge and desk say what a test tells them to.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gates.approval import Conflicts
from gates.contract import Question, Status, Verdict
from pipelines import errors, ports
from pipelines.engine import Assignment, ask_for_change, ask_gate, step
from pipelines.journal import events as e
from pipelines.journal.state import State, verdicts_of
from pipelines.render import Serves, render
from pipelines.spec.read import read_all
from pipelines.spec.types import Version
from pipelines.steps.contract import Done, NotYet, Refused, World
from pipelines.steps.recorder import Recorder
from pipelines.strategy import plan
from tests.plans import HEAD, MERGE, PROMOTION, PROPOSED, T0, commit, done, judged, share_events, started

SAMPLE = Path(__file__).resolve().parents[2] / "gitops-repo"
TEXTS = {
    path: (SAMPLE / path).read_text("utf-8") for path in ("platform.yaml", "models/fraud-scorer/release.yaml")
}
PLATFORM, RELEASES = read_all(TEXTS)
STARTED = started(
    plan(RELEASES["fraud-scorer"], PLATFORM.tiers["regulated"], PLATFORM.environments["prod"], first=False)
)
CANDIDATE, STABLE = Version(**STARTED.candidate), Version(**(STARTED.stable or {}))
RELEASE = RELEASES["fraud-scorer"].model_copy(update={"version": CANDIDATE})
GATES = ("policy", "signature", "compatibility", "evaluation", "load")
WORKFLOW = "engine:argo:promote-regulated-x1"


class Store:
    """Journals in memory."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def promotions(self) -> tuple[str, ...]:
        return tuple(self.texts)

    def read(self, promotion: str) -> str:
        return self.texts.get(promotion, "")

    def append(self, promotion: str, lines: str, *, expected: str) -> None:
        if self.texts.get(promotion, "") != expected:
            raise errors.JournalMoved(promotion)
        self.texts[promotion] = expected + lines


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.time = T0 + timedelta(seconds=60)

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        raise AssertionError("no step sleeps")


class Forge:
    """Keeps statuses and comments; ``away`` makes it unreachable."""

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}
        self.comments: list[str] = []
        self.away = False

    def set_status(self, sha: str, *, name: str, state: str, sentence: str, url: str) -> None:
        if self.away:
            raise errors.Unreachable("forge", "no answer in 20 s")
        assert sha == HEAD
        self.statuses[name] = state

    def comment(self, number: int, *, marker: str, body: str) -> None:
        self.comments.append(body)


class Desk:
    """A change desk with at most one change."""

    def __init__(self) -> None:
        self.made: list[ports.ChangeRequest] = []

    def find(self, correlation_id: str) -> ports.Change | None:
        return None

    def create(self, request: ports.ChangeRequest) -> ports.Change:
        self.made.append(request)
        return ports.Change(
            number="CHG0030001", sys_id="", url="http://desk/CHG0030001", type=request.type, state=-4,
            state_name="Assess", approval="requested", on_hold=False, active=True, requested_by="dana",
            opened_by="lockgate", configuration_item=request.configuration_item,
            correlation_id=request.correlation_id, start=request.start, end=request.end, approvers=(),
            conflicts=Conflicts(checked_at=request.start, found=()),
        )  # fmt: skip


class Files:
    """main and the pull request's head, as rendered with one share."""

    def __init__(self) -> None:
        self.share = 0

    def files(self, prefix: str, at: str) -> dict[str, str]:
        serves = Serves(stable=STABLE, candidate=CANDIDATE, share_percent=self.share, promotion=PROMOTION)
        return render(RELEASE, "prod", PLATFORM.environments["prod"], serves)


class Live:
    """Argo CD, of which only the stable's address is asked."""

    def deployment(self, **which: Any) -> ports.Deployment:
        return ports.Deployment(
            exists=True, ready=True, failed="", sentence="", uri="", traffic={}, newest_revision="r1",
            stable_revision="", url="http://stable",
        )  # fmt: skip


class Says:
    """A gate that gives the verdict of its name in ``says``, else PASS; acts of others come before."""

    def __init__(self, name: str, case: Case) -> None:
        self._name, self._case = name, case

    def judge(self, asked: Question) -> Verdict:
        self._case.asked.append(f"{asked.subject.stage}:{self._name}")
        for act in self._case.meanwhile.pop(self._name, ()):
            act()
        status = self._case.says.get(self._name, Status.PASS)
        return Verdict(
            gate=self._name, subject=asked.subject, status=status, reason=status.name.lower(),
            sentence=f"says {status.name}", at=asked.now,
        )  # fmt: skip


class Case:
    """One promotion in memory, and the world its steps work in."""

    def __init__(self, *events: e.Event) -> None:
        self.store, self.clock, self.forge, self.desk = Store(), Clock(), Forge(), Desk()
        self.files = Files()
        self.says: dict[str, Status] = {}
        self.asked: list[str] = []
        self.meanwhile: dict[str, tuple[Any, ...]] = {}
        self.tell(STARTED, *events)

    def tell(self, *events: e.Event) -> None:
        """Events as the driver before wrote them."""
        Recorder(self.store, self.clock, PROMOTION, WORKFLOW).add(*events)

    def pod(self) -> Assignment:
        """What one pod of the workflow works with."""
        world: Any = World(
            clock=self.clock, repository=self.files, journals=self.store, forge=self.forge, deployer=Live(),
            preview=None, desk=self.desk, metrics=None, registry=None,
            gate=lambda name, release: Says(name, self),
        )  # type: ignore[arg-type]  # fmt: skip
        return Assignment(
            world=world,
            platform=PLATFORM,
            release=RELEASE,
            recorder=Recorder(self.store, self.clock, PROMOTION, WORKFLOW),
            freezes=lambda: (),
        )

    @property
    def state(self) -> State:
        """As stored."""
        state = Recorder(self.store, self.clock, PROMOTION, "reader").read()
        assert state is not None
        return state

    def verdicts(self) -> dict[str, str]:
        """Gate of the preview -> its verdict in the journal."""
        return {gate: one.status.name for gate, one in verdicts_of(self.state, "judge").items()}


PREVIEWED: tuple[e.Event, ...] = (
    PROPOSED,
    done("propose"),
    e.Previewed(environment="preview", commit="1" * 40, url="http://p", revision="r1"),
    done("preview"),
)


def judged_all(status: Status = Status.PASS) -> Iterable[e.Event]:
    """The verdicts of the preview."""
    return (judged(gate, "judge", status) for gate in GATES)


def at_share(share: int) -> tuple[e.Event, ...]:
    """Everything until a share is in force and its bake is next."""
    events: list[e.Event] = [
        *PREVIEWED,
        *judged_all(),
        done("judge"),
        e.Merged(commit=MERGE, by="lockgate"),
        done("merge"),
    ]
    for rung in (0, 10, 25, 50):
        events += share_events(rung)
        if rung == share:
            break
        if rung:
            events.append(done(f"bake-{rung}"))
    return tuple(events)


# ------------------------------------------------------------------------------ one gate alone


def test_each_gate_is_asked_alone_and_shown_on_the_judged_commit() -> None:
    """The others are not; the stage is not done by it."""
    case = Case(*PREVIEWED)
    outcome = ask_gate(case.pod(), "policy")

    assert isinstance(outcome, Done)
    assert outcome.sentence == "policy: says PASS"
    assert case.asked == ["judge:policy"]
    assert case.verdicts() == {"policy": "PASS"}
    assert case.forge.statuses == {"lockgate/policy": "success"}
    assert "judge" not in case.state.done


def test_gates_asked_side_by_side_all_stay_in_the_journal() -> None:
    """While one is being asked another pod of the workflow writes: nothing is lost, and nobody is beaten."""
    case = Case(*PREVIEWED)
    case.meanwhile["load"] = tuple(lambda gate=gate: ask_gate(case.pod(), gate) for gate in GATES[:-1])
    outcome = ask_gate(case.pod(), "load")

    assert isinstance(outcome, Done)
    assert case.verdicts() == dict.fromkeys(GATES, "PASS")


def test_what_all_gates_said_is_collected_without_asking_again() -> None:
    """Then the stage is done, the one status for all is there, and the comment."""
    case = Case(*PREVIEWED)
    for gate in GATES:
        ask_gate(case.pod(), gate)
    case.asked.clear()
    outcome = step(case.pod(), "judge")

    assert isinstance(outcome, Done)
    assert case.asked == []
    assert case.forge.statuses["lockgate/gates"] == "success"
    assert len(case.forge.comments) == 1
    assert "judge" in case.state.done


def test_a_gate_that_fails_is_refused_and_the_collection_shows_it() -> None:
    """Neither asks it again; the promotion goes back from there, and nothing else of it is asked."""
    case = Case(*PREVIEWED)
    case.says["policy"] = Status.FAIL
    assert isinstance(ask_gate(case.pod(), "policy"), Refused)
    assert isinstance(ask_gate(case.pod(), "load"), Refused)
    case.asked.clear()
    outcome = step(case.pod(), "judge")

    assert isinstance(outcome, Refused)
    assert "policy failed" in outcome.sentence
    assert "judge:policy" not in case.asked
    assert case.forge.statuses["lockgate/gates"] == "failure"
    assert len(case.forge.comments) == 1
    assert case.state.refused is not None
    assert isinstance(step(case.pod(), "judge"), Refused)
    assert len(case.forge.comments) == 1


def test_a_refusal_stands_also_where_it_cannot_be_shown() -> None:
    """A forge that is away holds no rollback up."""
    case = Case(*PREVIEWED)
    case.says["policy"] = Status.FAIL
    ask_gate(case.pod(), "policy")
    case.forge.away = True

    assert isinstance(step(case.pod(), "judge"), Refused)


def test_while_a_gate_waits_the_stage_waits_for_the_worst_of_all() -> None:
    """So that the hold budget runs while any of them cannot tell, whichever was asked last."""
    case = Case(*PREVIEWED)
    case.says |= {"policy": Status.UNKNOWN, "load": Status.WAIT}
    unknown, waiting = ask_gate(case.pod(), "policy"), ask_gate(case.pod(), "load")

    assert isinstance(unknown, NotYet)
    assert isinstance(waiting, NotYet)
    assert (unknown.unknown, waiting.unknown) == (True, False)
    assert case.state.waits["judge"].unknown
    assert "policy" in case.state.waits["judge"].sentence


def test_another_gates_wait_holds_no_gate_up() -> None:
    """Each is asked again at its own pace."""
    case = Case(*PREVIEWED)
    case.says["policy"] = Status.WAIT
    ask_gate(case.pod(), "policy")

    assert isinstance(ask_gate(case.pod(), "load"), Done)


def test_a_gate_is_asked_in_its_stage_alone() -> None:
    """Before it is too early, behind it is done; one that the plan has not is passed over."""
    assert isinstance(ask_gate(Case(PROPOSED, done("propose")).pod(), "policy"), NotYet)
    assert isinstance(ask_gate(Case(*PREVIEWED, *judged_all(), done("judge")).pod(), "policy"), Done)
    outcome = ask_gate(Case(*PREVIEWED).pod(), "drift")
    assert isinstance(outcome, Done)
    assert "not in this promotion's plan" in outcome.sentence


def test_gates_whose_verdicts_are_too_old_are_asked_again_by_their_own_tasks() -> None:
    """A review that took weeks: none of them counts any more, and nothing is merged on them."""
    case = Case(*PREVIEWED, *judged_all(), done("judge"))
    case.clock.time += timedelta(days=8)
    case.says["load"] = Status.UNKNOWN
    for gate in GATES[:-1]:
        assert isinstance(ask_gate(case.pod(), gate), Done)
    assert isinstance(ask_gate(case.pod(), "load"), NotYet)
    assert isinstance(step(case.pod(), "judge"), NotYet), "it was done once, and is not now"
    assert case.asked == [f"judge:{gate}" for gate in GATES]

    case.says.clear()
    assert isinstance(ask_gate(case.pod(), "load"), Done)
    assert isinstance(step(case.pod(), "judge"), Done)
    assert case.asked == [f"judge:{gate}" for gate in (*GATES, "load")]
    assert {one.at for one in verdicts_of(case.state, "judge").values()} == {case.clock.time}


def test_a_promotion_that_is_not_there_is_refused() -> None:
    """As for every step."""
    case = Case()
    case.store.texts.clear()

    assert isinstance(ask_gate(case.pod(), "policy"), Refused)


# --------------------------------------------------------------- looks that come before a stage


def test_a_step_looks_first_at_what_is_live() -> None:
    """Its pod came long after the last look: without one of its own it would be too early for ever."""
    case = Case(*at_share(10))
    case.files.share = 10
    case.tell(judged("share", "bake-10", Status.PASS, at=T0, commit=commit(10)))
    case.tell(judged("slo", "bake-10", Status.PASS, at=T0, commit=commit(10)), done("bake-10"))
    case.clock.time += timedelta(hours=2)
    case.says["slo"] = Status.FAIL
    outcome = step(case.pod(), "shift-25")

    assert case.asked == ["bake-10:share", "bake-10:slo", "bake-10:canary"]
    assert isinstance(outcome, Refused)
    assert "slo" in outcome.sentence


def test_a_share_is_baked_by_the_pod_behind_it_where_nobody_else_does() -> None:
    """Somebody resumed the wait by hand, with go: nothing rises sooner for it, and the share is watched."""
    case = Case(*at_share(10))
    case.files.share = 10
    case.clock.time += timedelta(minutes=5)
    outcome = step(case.pod(), "shift-25")

    assert isinstance(outcome, NotYet)
    assert case.asked == ["bake-10:share", "bake-10:slo", "bake-10:canary"]
    assert "10 % is watched" in outcome.sentence
    assert 25 not in case.state.commits


def test_a_step_that_is_too_early_performs_no_step_that_changes_anything() -> None:
    """Neither the merge nor a shift before it."""
    case = Case(*PREVIEWED, *judged_all(), done("judge"))
    before = case.store.texts[PROMOTION]

    assert isinstance(step(case.pod(), "shift-10"), NotYet)
    assert case.store.texts[PROMOTION] == before


@pytest.mark.parametrize("name", ["shift-33", "preview-2"])
def test_a_stage_that_the_plan_has_not_is_done(name: str) -> None:
    """One graph serves every promotion of a tier; one that goes back is refused all the same."""
    case = Case(*PREVIEWED)
    assert isinstance(step(case.pod(), name), Done)
    case.tell(e.AbortAsked(person="oscar", reason="enough"))
    assert isinstance(step(case.pod(), name), Refused)


# ----------------------------------------------------------------------- an approval asked for


def test_an_approval_is_asked_for_once_and_its_answer_left_to_others() -> None:
    """Done as soon as the change is there, though nobody has signed."""
    case = Case(*at_share(50))
    case.files.share = 50
    case.tell(judged("share", "bake-50", Status.PASS, at=case.clock.now(), commit=commit(50)))
    case.tell(judged("slo", "bake-50", Status.PASS, at=case.clock.now(), commit=commit(50)), done("bake-50"))
    case.says["approval"] = Status.WAIT
    outcomes = [ask_for_change(case.pod()) for _ in range(2)]

    for outcome in outcomes:
        assert isinstance(outcome, Done)
        assert outcome.sentence.startswith("CHG0030001 is asked for")
    assert len(case.desk.made) == 1
    assert "approve" not in case.state.done


def test_an_approval_that_is_denied_is_refused() -> None:
    """By the same call."""
    case = Case(*at_share(50), done("bake-50"))
    case.files.share = 50
    case.says["approval"] = Status.FAIL

    assert isinstance(ask_for_change(case.pod()), Refused)


def test_an_approval_before_its_time_is_not_asked_for() -> None:
    """The change would cover what is not there yet."""
    case = Case(*PREVIEWED)

    assert isinstance(ask_for_change(case.pod()), NotYet)
    assert case.desk.made == []
