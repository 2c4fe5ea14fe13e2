"""What follows for the workflows of one promotion, for every state and every set of nodes there can be.

Covered: each case with a planted one, and what holds over all. Left out: reading, and doing it
(test_sweeper).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.contract import Status
from pipelines.decide import Move, decide
from pipelines.journal import events as e
from pipelines.journal.state import State
from pipelines.ports import Workflow, WorkflowNode
from pipelines.spec.types import Freeze
from pipelines.strategy import Plan
from pipelines.sweeping.actions import (
    Action,
    Answer,
    Delete,
    End,
    GiveUp,
    Pace,
    RollBack,
    Submit,
    Tell,
    actions,
    form,
    is_idle,
    needs_pod,
    workflow_name,
)
from tests import plans
from tests.plans import PROMOTION, T0, baked, commit, judged, share_events, up_to_merge

DRIVER = "fraud-scorer-prod-x1"
TAKEN = e.Driven(driver="argo", workflow=DRIVER, template="promote-regulated")
ASKED = e.ChangeOpened(correlation_id="c", number="CHG1", url="http://d/1")
AT_TEN = (TAKEN, *up_to_merge(), *share_events(0), *share_events(10))
AT_FIFTY = (*AT_TEN, *baked(10, T0 + timedelta(seconds=90)), *share_events(50))
AT_APPROVAL = (*AT_FIFTY, *baked(50, T0 + timedelta(seconds=90)), ASKED)
WHOLE: tuple[e.Event, ...] = (
    *AT_APPROVAL,
    judged("approval", "approve", Status.PASS, commit=commit(50)),
    plans.done("approve"),
    *share_events(100),
    *baked(100, T0),
    plans.done("finish"),
    e.Ended(outcome="promoted", sentence="v38 serves 100 %"),
)
FROZEN = Freeze.model_validate({"reason": "year end", "from": "2026-03-14T08:00:00Z"})


def node(task: str, **facts: object) -> WorkflowNode:
    """A Suspend node that waits, unless told otherwise."""
    made = WorkflowNode(
        id=f"{DRIVER}-{task}",
        task=task,
        stage={"review": "merge", "approval": "approve"}.get(task, task),
        kind="Suspend",
        phase="Running",
        message="",
        answer=None,
        unanswered=True,
    )
    return replace(made, **facts)  # type: ignore[arg-type]


BEGUN = node("start", kind="Pod", phase="Succeeded", unanswered=False)


def workflow(*nodes: WorkflowNode, name: str = DRIVER, phase: str = "Running") -> Workflow:
    """A workflow that began this promotion and has these nodes too."""
    return Workflow(
        name=name,
        template="promote-regulated",
        phase=phase,
        message="",
        created_at=T0,
        promotion=PROMOTION,
        url=f"https://argo/workflows/ml/{name}",
        nodes=(BEGUN, *nodes),
    )


def found(
    *events: e.Event,
    nodes: Sequence[WorkflowNode] = (),
    alive: Sequence[Workflow] | None = None,
    after: float = 100.0,
    plan: Plan | None = None,
    freezes: tuple[Freeze, ...] = (),
) -> tuple[Action, ...]:
    """What follows after these events, a second apart, at this many seconds."""
    state = plans.state_after(*events, plan=plan)
    now = T0 + timedelta(seconds=after)
    alive = [workflow(*nodes)] if alive is None else alive
    return actions(state, decide(state, freezes, now), alive, now)


def answers(*events: e.Event, task: str, after: float = 100.0, **more: object) -> list[tuple[str, str]]:
    """(answer, sentence) for one waiting node."""
    seen = found(*events, nodes=[node(task)], after=after, **more)  # type: ignore[arg-type]
    return [(one.answer, one.sentence) for one in seen if isinstance(one, Answer)]


# ------------------------------------------------------------------------ a waiting node


def test_a_share_that_held_goes_on_to_the_next() -> None:
    """The next move raises the share, which is what the pod behind the node is for."""
    held = (*AT_TEN, *baked(10, T0 + timedelta(seconds=90)))

    assert answers(*held, task="bake-10") == [("go", "shift-50 is next")]


def test_a_share_that_is_still_watched_waits_with_the_sentence_of_status() -> None:
    """The node shows what the journal says of the wait."""
    wait = e.Waited(
        stage="bake-10", reason="baking", sentence="20 s more", unknown=False, retry_after_seconds=90
    )
    (told,) = found(*AT_TEN, wait, nodes=[node("bake-10")], after=40)

    assert told == Tell(workflow=DRIVER, node=node("bake-10"), sentence="20 s more")


def test_a_node_that_shows_the_sentence_already_is_left_alone() -> None:
    """Nothing is asked of Argo while nothing changes."""
    wait = e.Waited(
        stage="bake-10", reason="baking", sentence="20 s more", unknown=False, retry_after_seconds=90
    )

    assert found(*AT_TEN, wait, nodes=[node("bake-10", message="20 s more")], after=40) == ()


@pytest.mark.parametrize(
    ("word", "freezes", "says"),
    [
        (e.Held(person="oscar", reason="odd scores"), (), "held by oscar: odd scores"),
        (e.Resumed(person="oscar", stage=""), (FROZEN,), "frozen until it is lifted: year end"),
    ],
    ids=["held", "frozen"],
)
def test_what_is_held_or_frozen_waits_though_its_share_held(
    word: e.Event, freezes: tuple[Freeze, ...], says: str
) -> None:
    """Nothing rises, and the node says why."""
    events = (*AT_TEN, *baked(10, T0 + timedelta(seconds=90)), word)
    (told,) = found(*events, nodes=[node("bake-10")], freezes=freezes)

    assert isinstance(told, Tell)
    assert says in told.sentence


def test_a_candidate_that_has_to_go_back_stops_the_workflow_with_the_reason() -> None:
    """Whatever the node waits for."""
    bad = judged("slo", "bake-10", Status.FAIL, at=T0 + timedelta(seconds=30), commit=commit(10))

    assert answers(*AT_TEN, bad, task="bake-10") == [("stop", "slo failed: slo says FAIL")]


def test_a_promotion_that_has_ended_stops_a_workflow_that_waits() -> None:
    """Another driver took it to its end: nobody would ever answer that node."""
    assert answers(*WHOLE, task="bake-50") == [("stop", "v38 serves 100 %")]


def test_people_are_asked_by_a_pod_and_waited_for_without() -> None:
    """The node before lets the pod ask; from then on looking is enough."""
    unasked = (*AT_FIFTY, *baked(50, T0 + timedelta(seconds=90)))

    assert answers(*unasked, task="bake-50") == [("go", "approve is next")]
    assert answers(*AT_APPROVAL, task="approval") == []
    assert answers(*AT_APPROVAL, task="bake-50")[0][0] == "go"


def test_an_approval_goes_on_once_it_is_there() -> None:
    """The move after it needs a pod."""
    approved = (
        *AT_APPROVAL,
        judged("approval", "approve", Status.PASS, at=T0 + timedelta(seconds=95), commit=commit(50)),
        plans.done("approve"),
    )

    assert answers(*approved, task="approval") == [("go", "shift-100 is next")]


def test_a_workflow_that_was_started_again_catches_up_with_its_journal() -> None:
    """What stands behind a node is done already: it goes on at once, and waits where the journal waits."""
    assert answers(*AT_FIFTY, task="review") == [("go", "merge is done already")]
    assert answers(*AT_FIFTY, task="bake-10") == [("go", "shift-50 is done already")]
    assert answers(*AT_FIFTY, task="bake-50") == []


def test_verdicts_that_are_too_old_are_left_to_another_workflow() -> None:
    """Its tasks ask the gates, each in a pod that has room for it; neither this node nor a look does."""
    ((answer, sentence),) = answers(TAKEN, *up_to_merge()[:-2], task="review", after=8 * 86400.0)

    assert answer == "stop"
    assert sentence.startswith("judge has no fresh PASS")
    assert sentence.endswith("before merge: another workflow asks the gates")


def test_a_node_nobody_planned_waits_for_the_next_move_that_needs_a_pod() -> None:
    """A graph may know more waits than this promotion's plan."""
    assert answers(*AT_TEN, task="bake-25") == []
    assert answers(*AT_TEN, *baked(10, T0 + timedelta(seconds=90)), task="bake-25")[0][0] == "go"
    assert answers(*AT_FIFTY, task="bake-25") == [("go", "shift-50 is done already")]
    assert answers(*AT_FIFTY, task="bake-75") == answers(*AT_FIFTY, task="somewhere") == []


# -------------------------------------------------------------------- stuck, lost, surplus


def test_a_node_resumed_by_hand_without_an_answer_costs_the_workflow() -> None:
    """Nothing else ends it; another one takes the promotion up."""
    deleted, again = found(*AT_TEN, nodes=[node("bake-10", phase="Succeeded")], after=500)

    assert isinstance(deleted, Delete)
    assert "bake-10 was resumed by hand without an answer" in deleted.sentence
    assert isinstance(again, Submit)


def test_a_lost_workflow_is_followed_by_another_for_the_same_promotion() -> None:
    """With the values that the first one had, and the promotion's id."""
    (again,) = found(*AT_TEN, alive=[], after=500)

    assert isinstance(again, Submit)
    assert (again.template, again.attempt) == ("promote-regulated", 1)
    assert again.parameters == {
        "promotion": PROMOTION,
        "model": "fraud-scorer",
        "version": "v38",
        "environment": "prod",
        "requested-by": "dana",
        "reason": "better recall",
    }


def test_nothing_follows_too_soon_and_a_rollback_does_not_wait_for_that() -> None:
    """A candidate that has to go back goes back without a workflow."""
    assert found(*AT_TEN, alive=[], after=100) == ()
    (back,) = found(*AT_TEN, e.AbortAsked(person="oscar", reason="no"), alive=[], after=100)
    assert back == RollBack(sentence="oscar ended it: no")


def test_a_rollback_does_not_wait_until_a_task_is_asked_again() -> None:
    """Between two tries no pod is there; while one works, the rollback is left to it."""
    abort = (*AT_TEN, e.AbortAsked(person="oscar", reason="no"))
    tried = node("shift-50(0)", kind="Pod", phase="Failed", unanswered=False)
    between = node("shift-50", kind="Retry", message="Backoff for 2 minutes", unanswered=False)

    assert found(*abort, nodes=[tried, between]) == (RollBack(sentence="oscar ended it: no"),)
    assert found(*AT_TEN, nodes=[tried, between]) == ()
    for phase in ("", "Pending", "Running"):
        at_work = replace(tried, task="shift-50(1)", phase=phase)
        assert found(*abort, nodes=[tried, between, at_work]) == ()
    for over in ("Pending", "Failed", "Succeeded"):  # it waits for its lock, or what follows it is due now
        assert found(*abort, nodes=[tried, replace(between, phase=over)]) == ()


def test_too_many_lost_workflows_are_given_up_with_a_sentence() -> None:
    """What is wrong with them a person has to find out; a rollback goes through all the same."""
    (given_up,) = found(*AT_TEN, *(TAKEN for _ in range(4)), alive=[], after=2000)

    assert isinstance(given_up, GiveUp)
    assert "5 workflows within 60 minutes ended" in given_up.sentence
    (back,) = found(
        *AT_TEN, *(TAKEN for _ in range(4)), e.AbortAsked(person="o", reason="no"), alive=[], after=2000
    )
    assert isinstance(back, RollBack)


def test_an_hour_later_it_is_tried_again() -> None:
    """What ended long ago counts for nothing."""
    (again,) = found(*AT_TEN, *(TAKEN for _ in range(4)), alive=[], after=4000)

    assert isinstance(again, Submit)
    assert again.attempt == 5


def test_nothing_follows_a_promotion_that_has_ended() -> None:
    """Its workflow has ended too, as it should."""
    assert found(*WHOLE, alive=[], after=500) == ()


def test_of_two_workflows_the_one_that_took_it_on_last_goes_on() -> None:
    """The other one is ended; one that has not begun yet is left to say that it takes it on."""
    older, late = workflow(node("bake-10"), name="older"), replace(workflow(name="late"), nodes=())
    seen = found(*AT_TEN, alive=[older, workflow(node("bake-10")), late])

    assert [one for one in seen if isinstance(one, End)] == [
        End(workflow="older", sentence=f"{DRIVER} moves {PROMOTION} now")
    ]
    assert {one.workflow for one in seen if isinstance(one, Answer | Tell)} == {DRIVER}


def test_a_workflow_that_does_not_run_yet_is_waited_for() -> None:
    """It was just submitted, and nothing else is."""
    assert found(*AT_TEN, alive=[replace(workflow(name="late", phase=""), nodes=())], after=900) == ()


def test_a_promotion_that_somebody_drives_here_needs_no_workflow() -> None:
    """The one it had is ended, and none follows."""
    taken = (*AT_TEN, e.Driven(driver="local"))

    assert found(*taken, nodes=[node("bake-10")]) == (
        End(workflow=DRIVER, sentence=f"the local engine moves {PROMOTION} now"),
    )
    assert found(*taken, alive=[], after=900) == ()
    assert found(*AT_TEN[1:], alive=[], after=900) == ()


# -------------------------------------------------------------------------- what always holds


@st.composite
def states(draw: st.DrawFn) -> State:
    """A promotion somewhere on its way, with words of people in between."""
    events = list(WHOLE[: draw(st.integers(1, len(WHOLE)))])
    words: list[e.Event] = [
        e.Held(person="oscar", reason="odd"),
        e.Resumed(person="oscar", stage=""),
        e.AbortAsked(person="oscar", reason="no"),
        e.Driven(driver="local"),
        TAKEN,
        e.Waited(stage="bake-10", reason="no_data", sentence="s", unknown=True, retry_after_seconds=30),
        judged("slo", "bake-10", Status.FAIL, at=T0, commit=commit(10)),
    ]
    for word in draw(st.lists(st.sampled_from(words), max_size=3)):
        events.insert(draw(st.integers(1, len(events))), word)
    return plans.state_after(*events)


@st.composite
def workflows(draw: st.DrawFn) -> list[Workflow]:
    """Any workflows with any nodes."""
    tasks = ("review", "bake-10", "bake-25", "bake-50", "approval", "bake-100", "shift-10", "nonsense")
    nodes = st.builds(
        node,
        st.sampled_from(tasks),
        kind=st.sampled_from(("Suspend", "Pod", "Retry")),
        phase=st.sampled_from(("Running", "Succeeded", "Pending", "Failed")),
        unanswered=st.booleans(),
        answer=st.sampled_from((None, "go", "stop", "GO ")),
    )
    names = draw(st.lists(st.sampled_from((DRIVER, "older", "newer")), unique=True, max_size=3))
    return [workflow(*draw(st.lists(nodes, max_size=4)), name=name) for name in names]


INSTANTS = st.integers(1, 8000).map(lambda seconds: T0 + timedelta(seconds=seconds))


@settings(max_examples=200, deadline=None)
@given(state=states(), alive=workflows(), now=INSTANTS, frozen=st.booleans())
def test_a_workflow_goes_on_only_where_a_pod_is_due_or_was_there_before(
    state: State, alive: list[Workflow], now: datetime, frozen: bool
) -> None:
    """It stops where the promotion goes back, is over or is to be judged anew; a node is answered once."""
    move = decide(state, (FROZEN,) if frozen else (), now)
    seen = actions(state, move, alive, now)

    over = move.kind in ("roll_back", "stop")
    anew = move.kind == "advance" and state.plan.stage(move.stage).step == "judge"
    for one in seen:
        if isinstance(one, Answer) and one.answer == "go":
            due = move.kind == "advance" and needs_pod(state, state.plan.stage(move.stage))
            assert not over
            assert due or one.sentence.endswith("done already") or one.node.task == "bake-50"
        if isinstance(one, Answer | Tell):
            assert one.node.waits
            stopped = isinstance(one, Answer) and one.answer == "stop"
            assert stopped == over or (stopped and anew)


@settings(max_examples=150, deadline=None)
@given(state=states(), alive=workflows(), now=INSTANTS)
def test_nothing_is_submitted_beside_a_workflow_that_lives(
    state: State, alive: list[Workflow], now: datetime
) -> None:
    """Unless that one is ended or deleted in the same breath; and never for what is over or driven here."""
    seen = actions(state, decide(state, (), now), alive, now)

    removed = {one.workflow for one in seen if isinstance(one, End | Delete)}
    stuck = {one.name for one in alive if any(node.stuck for node in one.nodes)}
    if any(isinstance(one, Submit) for one in seen):
        assert stuck or {one.name for one in alive} <= removed
        assert state.ended is None
        assert state.driven is not None
        assert state.driven.driver == "argo"
    assert sum(isinstance(one, Submit | RollBack | GiveUp) for one in seen) <= 1


@settings(max_examples=150, deadline=None)
@given(state=states(), alive=workflows(), now=INSTANTS)
def test_once_done_nothing_is_left_to_do(state: State, alive: list[Workflow], now: datetime) -> None:
    """What was answered waits no more, and what was told stands there: the same look finds nothing new."""
    move = decide(state, (), now)
    seen = actions(state, move, alive, now)
    after = [_after(one, seen) for one in alive]

    again = actions(state, move, [one for one in after if one is not None], now)
    assert [one for one in again if isinstance(one, Answer | Tell | End | Delete)] == []


def _after(one: Workflow, seen: Sequence[Action]) -> Workflow | None:
    """A workflow as it is when all is done that was wanted."""
    if any(isinstance(act, End | Delete) and act.workflow == one.name for act in seen):
        return None
    nodes = []
    for held in one.nodes:
        for act in seen:
            if isinstance(act, Answer) and (act.workflow, act.node) == (one.name, held):
                held = replace(held, phase="Succeeded", answer=act.answer, unanswered=False)
            if isinstance(act, Tell) and (act.workflow, act.node) == (one.name, held):
                held = replace(held, message=act.sentence)
        nodes.append(held)
    return replace(one, nodes=tuple(nodes))


@settings(max_examples=200, deadline=None)
@given(pauses=st.lists(st.integers(1, 900), min_size=1, max_size=60))
def test_however_often_workflows_die_not_more_than_a_few_follow_in_an_hour(pauses: list[int]) -> None:
    """Each takes the promotion on and is lost at once; looks come at any time."""
    state, now, taken = plans.state_after(*AT_TEN), T0 + timedelta(seconds=60), []
    pace = Pace(apart_seconds=120, attempts=5, within_seconds=3600)
    for pause in pauses:
        now += timedelta(seconds=pause)
        move = Move(kind="hold", stage="bake-10", reason="r", sentence="s")
        if any(isinstance(one, Submit) for one in actions(state, move, [], now, pace)):
            taken.append(now)
            state = replace(state, driven_at=(*state.driven_at, now))
        assert sum(now - at < timedelta(hours=1) for at in state.driven_at) <= 5
    assert all(later - earlier >= timedelta(seconds=120) for earlier, later in pairwise(taken))


@given(attempt=st.integers(0, 99), model=st.from_regex("[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True))
def test_the_name_of_a_workflow_fits_a_label_and_tells_attempts_apart(attempt: int, model: str) -> None:
    """Whatever the promotion is called."""
    promotion = f"{model}-{model}-20260314T090000Z-7f3a"
    name = workflow_name(promotion, attempt)

    assert len(name) <= 63
    assert name[0].isalnum()
    assert name == name.lower()
    assert name.endswith(f"20260314t090000z-7f3a-{attempt + 1}")


def test_a_promotion_is_idle_without_a_workflow_and_where_one_waits() -> None:
    """Only then looks from elsewhere meet no pod."""
    assert is_idle([])
    assert is_idle([workflow(node("bake-10"))])
    assert not is_idle([workflow(node("shift-10", kind="Pod"))])


def test_no_placeholder_is_sent_to_argo_in_the_words_of_people() -> None:
    """It would be filled in, or evaluated, before the first task sees it; braces alone stay as they are."""
    sent = form(
        model="fraud-scorer",
        version="v38",
        environment="prod",
        requested_by="dana",
        reason='{{workflow.name}} {{{=1+1}} {"a": {"b": 1}}',
    )
    assert sent["reason"] == '{ {workflow.name}} { { {=1+1}} {"a": {"b": 1}}'
    assert sent["model"] == "fraud-scorer"
