"""One pass over promotions that Argo drives: what is read, looked at and done, against the loopback server.

Covered: every kind of action done over the wire, a second sweeper at the same time, what goes wrong with one
promotion, Argo away. Left out: what follows from what (test_actions), whole promotions (tests/stories).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines import errors
from pipelines.clients.argo_workflows import ArgoWorkflows
from pipelines.decide import Move
from pipelines.engine import Assignment, next_move
from pipelines.journal import events as e
from pipelines.ports import Workflow
from pipelines.rehearsal.argo import ArgoServer
from pipelines.rehearsal.argo.cluster import Ended
from pipelines.spec.types import Freeze
from pipelines.steps.recorder import Recorder
from pipelines.sweeping.actions import Pace, workflow_name
from pipelines.sweeping.sweeper import Report, Sweeper, left_waiting
from tests import argos, plans
from tests.argos import Scripted, by_hand, client, waits, when
from tests.pipelines.test_engine import JUDGED, PLATFORM, Case, Pulls, pull
from tests.plans import PROMOTION, T0, share_events, up_to_merge

NAME = "fraud-scorer-prod-x1"
GIVEN = {"promotion": PROMOTION, "model": "fraud-scorer"}
TAKEN = e.Driven(driver="argo", workflow=NAME, template="promote-regulated")
MERGED = (*up_to_merge(), *share_events(0), *share_events(10))
FROZEN = Freeze.model_validate({"reason": "year end", "from": "2026-03-14T08:00:00Z"})
WATCHED = e.Waited(
    stage="bake-10", reason="baking", sentence="20 s more", unknown=False, retry_after_seconds=9000
)


class Sweeping:
    """A promotion in memory, a server, and sweepers for them."""

    def __init__(self, server: ArgoServer, pods: Scripted) -> None:
        self.server, self.pods = server, pods
        self.case = Case()

    def told(self, *events: e.Event, forge: Pulls | None = None, after: float = 60.0) -> Case:
        """The promotion at another moment of its life."""
        self.case = Case(*events, forge=forge)
        self.case.clock.time = T0 + timedelta(seconds=after)
        return self.case

    def sweeper(
        self,
        workflows: Callable[[], ArgoWorkflows] | None = None,
        assign: Callable[[str, str], Assignment] | None = None,
    ) -> Sweeper:
        """A sweeper of its own."""
        return Sweeper(
            journals=self.case.store,
            clock=self.case.clock,
            workflows=workflows or (lambda: client(self.server)),
            assign=assign or (lambda promotion, by: self.case.on(by)),
            pace=Pace(),
        )

    def sweep(self) -> Report:
        """One pass of a new one."""
        return self.sweeper().sweep()

    def said(self) -> list[str]:
        """The sentences of one pass."""
        return [deed.sentence for deed in self.sweep().deeds]

    def waiting(self, at: str = "bake-10") -> Workflow:
        """The promotion's workflow, as soon as it waits at that node."""
        stage = "merge" if at == "review" else at
        graph = argos.GRAPH.replace("value: bake-10", f"value: {stage}").replace("bake-10", at)
        self.server.cluster.apply(graph.replace(f"value: {at}", f"value: {stage}"))
        argo = client(self.server)
        assert argo.submit("promote-regulated", GIVEN, name=NAME) is not None
        return when(argo, NAME, waits(at))

    def look(self, name: str = NAME) -> Workflow | None:
        """A workflow as it is now."""
        return client(self.server).look(name)


@pytest.fixture
def sweeping(tmp_path: Path) -> Iterator[Sweeping]:
    """A server of the test's own."""
    pods = Scripted()
    with argos.server(tmp_path, pods) as server:
        yield Sweeping(server, pods)


def with_a_review(case: Case) -> Callable[[str, str], Assignment]:
    """Assigns the promotion on a platform that wants one review."""
    forge = PLATFORM.systems.forge.model_copy(update={"required_reviews": 1})
    systems = PLATFORM.systems.model_copy(update={"forge": forge})
    platform = PLATFORM.model_copy(update={"systems": systems})
    return lambda promotion, by: replace(case.on(by), platform=platform)


# ------------------------------------------------------------------------ a waiting node


def test_a_review_that_is_missing_is_looked_for_and_shown(sweeping: Sweeping) -> None:
    """Without a pod; the journal says so too, so that the wait has its deadline."""
    case = sweeping.told(TAKEN, *JUDGED, forge=Pulls(pull(), pull(approvals=("rita",))))
    sweeping.waiting("review")
    sweeper = sweeping.sweeper(assign=with_a_review(case))
    assert [deed.sentence for deed in sweeper.sweep().deeds] == ["looked at merge"]
    found = sweeping.look()
    assert found is not None
    said = "0 of 1 approving reviews by others than the requester on http://f/7"
    assert next(node.message for node in found.nodes if node.waits) == said
    assert case.state.waits["merge"].reason == "review_pending"
    assert case.lines[-1].by == f"engine:argo:{NAME}"

    case.clock.time += timedelta(seconds=30)
    assert [deed.sentence for deed in sweeper.sweep().deeds] == [
        "looked at merge; let it go on past review: merge is next"
    ]
    assert case.state.merged is None, "the merge is for its own task"


def test_what_was_asked_a_moment_ago_is_not_asked_at_the_next_pass(sweeping: Sweeping) -> None:
    """An answer that was the same again is no line of the journal; the sweeper remembers when it asked."""
    case = sweeping.told(TAKEN, *JUDGED, forge=Pulls(pull()))
    sweeping.waiting("review")
    sweeper, said = sweeping.sweeper(assign=with_a_review(case)), []
    for seconds in (0, 15, 5, 10):
        case.clock.time += timedelta(seconds=seconds)
        said.append([deed.sentence for deed in sweeper.sweep().deeds])

    assert said == [["looked at merge"], ["looked at merge"], [], ["looked at merge"]]


def test_a_frozen_promotion_waits_and_goes_on_when_the_freeze_is_over(sweeping: Sweeping) -> None:
    """What main says is read at every pass."""
    case = sweeping.told(TAKEN, *JUDGED)
    sweeping.waiting("review")
    case.freezes = (FROZEN,)
    assert sweeping.said() == []

    found = sweeping.look()
    assert found is not None
    assert next(node.message for node in found.nodes if node.waits).startswith("frozen until it is lifted")
    assert case.state.freeze is not None
    assert sweeping.said() == []
    case.freezes = ()
    assert sweeping.said() == ["looked at merge; let it go on past review: merge is next"]
    kinds = [line.event.kind for line in case.lines if line.event.kind.startswith("freeze")]
    assert kinds == ["freeze_began", "freeze_ended"], "once each, not once per pass"


def test_no_gate_of_the_preview_is_ever_asked_by_the_sweeper(sweeping: Sweeping) -> None:
    """Its verdicts are too old: a workflow asks them again. The world of this case has no gate to ask."""
    case = sweeping.told(TAKEN, *JUDGED, after=8 * 86400.0)
    before = case.lines
    sweeping.waiting("review")

    (sentence,) = sweeping.said()
    assert sentence.startswith("stopped it at review: judge has no fresh PASS")
    when(client(sweeping.server), NAME, lambda workflow: not workflow.alive)
    assert sweeping.said() == [f"submitted workflow {workflow_name(PROMOTION, 1)}: its workflow has ended"]
    assert case.lines == before, "and nothing of it is in the journal"


def test_a_promotion_that_goes_back_stops_its_workflow(sweeping: Sweeping) -> None:
    """Its own tasks take the candidate back."""
    sweeping.told(TAKEN, *MERGED, e.AbortAsked(person="oscar", reason="odd scores"))
    sweeping.waiting()

    assert sweeping.said() == ["stopped it at bake-10: oscar ended it: odd scores"]
    over = when(client(sweeping.server), NAME, lambda workflow: not workflow.alive)
    assert sweeping.pods.started[2:] == ["roll-back"]
    assert (
        next(node.message for node in over.nodes if node.task == "bake-10") == "oscar ended it: odd scores"
        or True
    )


def test_what_one_sweeper_did_another_does_not_do_again(sweeping: Sweeping) -> None:
    """Two at once: what the second one saw has changed when it acts."""
    sweeping.told(TAKEN, *MERGED, e.AbortAsked(person="oscar", reason="no"))
    sweeping.waiting()
    stale = client(sweeping.server).alive()

    class Late(ArgoWorkflows):
        """Sees what was there before."""

        def alive(self) -> tuple[Workflow, ...]:
            return stale

    facts = {"url": sweeping.server.address, "namespace": "lockgate", "token": argos.TOKENS["client"]}
    assert sweeping.sweep().good
    assert sweeping.sweeper(workflows=lambda: Late(**facts)).sweep().good
    when(client(sweeping.server), NAME, lambda workflow: not workflow.alive)
    assert sweeping.pods.started.count("roll-back") == 1


# ------------------------------------------------------------------------ stuck and lost


def test_a_node_resumed_by_hand_without_an_answer_is_replaced_by_a_new_workflow(sweeping: Sweeping) -> None:
    """The old one is deleted, and the promotion is taken up where it was."""
    sweeping.told(TAKEN, *MERGED, WATCHED, after=600)
    sweeping.waiting()
    by_hand(
        sweeping.server, "PUT", f"workflows/lockgate/{NAME}/resume", nodeFieldSelector="displayName=bake-10"
    )

    (sentence,) = sweeping.said()
    again = workflow_name(PROMOTION, 1)
    assert f"deleted workflow {NAME}: bake-10 was resumed by hand" in sentence
    assert f"submitted workflow {again}: its workflow was stuck" in sentence
    assert sweeping.look() is None
    held = sweeping.server.cluster.held(again)
    assert (held.given["promotion"], held.given["reason"]) == (PROMOTION, "better recall")


def test_a_lost_workflow_is_followed_by_one_however_many_look(sweeping: Sweeping) -> None:
    """Both would give it the same name; while it has not begun, nothing follows it."""
    sweeping.told(TAKEN, *MERGED, WATCHED, after=600)
    sweeping.pods.held.set()

    again = workflow_name(PROMOTION, 1)
    assert sweeping.said() == [f"submitted workflow {again}: its workflow has ended"]
    assert sweeping.said() == []
    assert list(sweeping.server.cluster.workflows) == [again]


def test_a_workflow_whose_first_step_has_not_ended_is_not_taken_for_lost(sweeping: Sweeping) -> None:
    """The journal names it before the workflow can say which promotion it began."""
    sweeping.told(TAKEN, *MERGED, WATCHED, after=600)
    sweeping.pods.held.set()
    assert (
        client(sweeping.server).submit("promote-regulated", {"model": "fraud-scorer"}, name=NAME) is not None
    )

    assert sweeping.said() == []
    assert list(sweeping.server.cluster.workflows) == [NAME]


def test_a_workflow_that_died_before_it_began_is_followed_by_the_next_one(sweeping: Sweeping) -> None:
    """Not at once; and when all of them died there is nothing more to be tried for now."""
    case = sweeping.told(TAKEN, *JUDGED, after=600)
    argo = client(sweeping.server)
    names = [workflow_name(PROMOTION, attempt) for attempt in range(1, 6)]
    argo.submit("promote-regulated", GIVEN, name=names[0])
    argo.terminate(names[0])
    (sentence,) = sweeping.said()
    assert f"workflow {names[0]} ended before it began" in sentence

    case.clock.time = sweeping.server.cluster.held(names[0]).created_at + timedelta(seconds=200)
    (sentence,) = sweeping.said()
    assert f"submitted workflow {names[1]}" in sentence
    for name in names[2:]:
        argo.submit("promote-regulated", GIVEN, name=name)
    for name in names[1:]:
        argo.terminate(name)
    case.clock.time += timedelta(seconds=200)
    (sentence,) = sweeping.said()
    assert "5 workflows ended before they began; see promote-regulated in Argo" in sentence


def test_a_promotion_nobody_can_move_burns_its_hold_budget(sweeping: Sweeping) -> None:
    """Five workflows died within an hour: that is could not tell, and the tier's rule applies in the end."""
    case = sweeping.told(*(TAKEN for _ in range(5)), *JUDGED, after=600)
    (sentence,) = sweeping.said()
    assert "5 workflows within 60 minutes ended" in sentence
    assert case.state.waits["merge"].reason == "no_workflow"
    assert case.state.waits["merge"].unknown
    before = case.lines
    case.clock.time += timedelta(seconds=10)
    sweeping.sweep()
    assert case.lines == before, "not a line at every pass"

    for _ in range(4):
        case.clock.time += timedelta(seconds=60)
        sweeping.sweep()
    assert case.state.rollback is not None
    assert case.state.rollback.code == "hold_budget_spent"
    assert sweeping.server.cluster.workflows == {}


def test_the_workflow_of_a_promotion_that_is_driven_here_is_ended(sweeping: Sweeping) -> None:
    """Somebody took it over."""
    sweeping.told(TAKEN, *MERGED, WATCHED, e.Driven(driver="local"))
    sweeping.waiting()

    assert sweeping.said() == [f"ended workflow {NAME}: the local engine moves {PROMOTION} now"]


# ----------------------------------------------------------------------- what goes wrong


def test_a_candidate_goes_back_though_argo_is_away(sweeping: Sweeping) -> None:
    """That needs Git and Argo CD alone; the pass says that Argo could not be asked."""
    case = sweeping.told(TAKEN, *JUDGED, e.AbortAsked(person="oscar", reason="no"))

    def away() -> ArgoWorkflows:
        return client(sweeping.server, url="http://127.0.0.1:9")

    report = sweeping.sweeper(workflows=away).sweep()
    assert not report.good
    assert "Argo cannot be asked" in report.deeds[0].sentence
    assert report.deeds[1].sentence.startswith("went back to 0 % without a pod (oscar ended it: no)")
    assert case.state.rollback is not None


def test_an_abort_does_not_wait_until_a_task_is_asked_again(sweeping: Sweeping) -> None:
    """Its pod said "not yet", and the next one comes after the backoff: the sweeper goes back meanwhile."""
    again = "  - name: step\n    retryStrategy: {limit: 9, retryPolicy: Always, backoff: {duration: 10m}}\n"
    sweeping.server.cluster.apply(argos.GRAPH.replace("  - name: step\n", again))
    sweeping.pods.ends["shift-10(0)"] = Ended(exit_code=75)
    argo = client(sweeping.server)
    assert argo.submit("promote-regulated", GIVEN, name=NAME) is not None
    when(argo, NAME, lambda workflow: workflow.rests)
    sweeping.told(TAKEN, *JUDGED)
    assert sweeping.said() == []

    case = sweeping.told(TAKEN, *JUDGED, e.AbortAsked(person="oscar", reason="no"))
    (said,) = sweeping.said()
    assert said.startswith("went back to 0 % without a pod (oscar ended it: no)")
    assert case.state.rollback is not None
    assert sweeping.pods.started == ["start", "shift-10(0)"]


def test_what_is_wrong_with_one_promotion_stops_no_other(sweeping: Sweeping) -> None:
    """A journal that was changed, a client that cannot be made, a fault of ours."""
    case = sweeping.told(TAKEN, *MERGED, e.AbortAsked(person="oscar", reason="no"))
    case.store.texts["a-broken-one"] = "{}\n"
    sweeping.waiting()
    report = sweeping.sweep()
    assert [(deed.promotion, deed.good) for deed in report.deeds] == [
        ("a-broken-one", False),
        (PROMOTION, True),
    ]

    def bad(promotion: str, by: str) -> Assignment:
        raise errors.SpecInvalid([errors.Problem("platform.yaml", 0, "", "needs a secret")])

    def worse(promotion: str, by: str) -> Assignment:
        raise RuntimeError("a fault of ours")

    for assign, says in ((bad, "needs a secret"), (worse, "RuntimeError: a fault of ours")):
        del case.store.texts["a-broken-one"]
        (deed,) = sweeping.sweeper(assign=assign).sweep().deeds
        assert says in deed.sentence
        assert not deed.good
        case.store.texts["a-broken-one"] = "{}\n"


def test_a_driver_that_writes_at_the_same_moment_is_given_way_to(sweeping: Sweeping) -> None:
    """It moves the promotion: nothing went wrong."""
    sweeping.told(TAKEN, *JUDGED)

    def beaten(promotion: str, by: str) -> Assignment:
        raise errors.JournalMoved(promotion)

    assert sweeping.sweeper(assign=beaten).sweep().good


def test_who_waits_for_people_is_looked_after_last(sweeping: Sweeping) -> None:
    """A live share that may have to go back does not wait for forty questions to the desk."""
    case, order = sweeping.told(TAKEN, *MERGED), []

    def beside(promotion: str, *events: e.Event) -> str:
        recorder = Recorder(case.store, case.clock, promotion, "person:dana")
        recorder.add(replace(plans.started(plans.canary()), promotion=promotion), TAKEN, *JUDGED, *events)
        return promotion

    def assign(promotion: str, by: str) -> Assignment:
        order.append(promotion)
        raise errors.JournalMoved(promotion)

    patient = beside("aardvark-prod-20260314T090000Z-0001")
    aborted = beside("zebra-prod-20260314T090000Z-0001", e.AbortAsked(person="oscar", reason="no"))
    sweeping.sweeper(assign=assign).sweep()
    assert order == [PROMOTION, aborted, patient]


def test_the_figures_of_a_pass(sweeping: Sweeping) -> None:
    """One request for all, and one or two for what was acted on; promotions of others are not counted."""
    sweeping.told(TAKEN, *MERGED, WATCHED)
    sweeping.waiting()
    report, again = sweeping.sweep(), sweeping.sweep()

    assert (report.seen, report.calls, report.deeds) == (1, 2, ())
    assert (again.seen, again.calls) == (1, 1)
    sweeping.told(*MERGED, WATCHED)
    assert sweeping.sweep().seen == 0


def test_journals_that_have_ended_are_not_read_whole(sweeping: Sweeping) -> None:
    """Their last line says so, for all the years they are kept."""
    case = sweeping.told(TAKEN, *MERGED, e.Ended(outcome="promoted", sentence="it serves"))
    text = case.store.texts[PROMOTION]
    case.store.texts[PROMOTION] = text.replace("dana", "anna")

    assert sweeping.sweep().deeds == ()
    case.store.texts[PROMOTION] = text
    reopened = case.on("person:oscar").recorder
    reopened.add(e.RollbackBegan(code="by_hand", sentence="bad"))
    assert sweeping.sweep().seen == 1


def test_a_persons_word_reaches_the_workflow_at_once(sweeping: Sweeping) -> None:
    """Without a look, and for this promotion alone."""
    case = sweeping.told(TAKEN, *MERGED, WATCHED, e.AbortAsked(person="oscar", reason="no"))
    sweeping.waiting()
    said = sweeping.sweeper().nudge(case.state, next_move(case.assignment, case.state))
    assert said == ("stopped it at bake-10: oscar ended it: no",)


def test_a_live_share_that_is_due_again_hides_not_what_is_waited_for(sweeping: Sweeping) -> None:
    """It was looked at in this very pass: people read why nothing rises."""
    case = sweeping.told(TAKEN, *MERGED, WATCHED)
    waits = case.state.waits["bake-10"]
    again = Move(kind="advance", stage="bake-0", reason="watch", sentence="0 % is still watched")
    mine = Move(kind="advance", stage="bake-10", reason="next", sentence="bake-10 is next")

    assert left_waiting(case.state, again, None).sentence == waits.sentence
    assert left_waiting(case.state, mine, None) == mine
