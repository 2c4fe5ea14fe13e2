"""The Argo Workflows client against the loopback server, over the wire.

Covered: every call, what a real server was seen to answer, every error, doctor. Left out: what follows from
it (tests/pipelines/sweeping), the graph's own rules (tests/pipelines/workflow).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.clients.argo_workflows import ArgoWorkflows
from pipelines.errors import AccessDenied, CouldNotTell, Misbehaved, Refused, Unreachable
from pipelines.ports import Finding, Workflow, WorkflowNode
from pipelines.rehearsal.argo import ArgoServer
from pipelines.rehearsal.argo.cluster import Ended
from pipelines.rehearsal.server import Fault
from tests import argos
from tests.argos import PROMOTION, TOKENS, Scripted, by_hand, client, waits, when

VALUES = {"model": "fraud-scorer", "environment": "prod", "requested-by": "dana", "reason": "a=b, {{c}}"}


@pytest.fixture
def pods() -> Scripted:
    """Containers that end at once."""
    return Scripted()


@pytest.fixture
def server(tmp_path: Path, pods: Scripted) -> Iterator[ArgoServer]:
    """A server of the test's own."""
    with argos.server(tmp_path, pods) as made:
        yield made


@pytest.fixture
def argo(server: ArgoServer) -> ArgoWorkflows:
    """Our client for it."""
    return client(server)


def submitted(argo: ArgoWorkflows, **more: str) -> Workflow:
    """A workflow of the graph."""
    made = argo.submit("promote-regulated", VALUES, prefix="fraud-scorer-prod-", **more)
    assert made is not None
    return made


def baking(argo: ArgoWorkflows) -> tuple[Workflow, WorkflowNode]:
    """A workflow that waits at bake-10, and that node."""
    found = when(argo, submitted(argo).name, waits("bake-10"))
    return found, next(node for node in found.nodes if node.waits)


# ------------------------------------------------------------------------------- starting


def test_a_workflow_is_started_with_values_that_are_text(argo: ArgoWorkflows, server: ArgoServer) -> None:
    """What Argo would evaluate is taken apart; outside an enum they may be: nobody checks them there."""
    found = submitted(argo)

    assert found.name.startswith("fraud-scorer-prod-")
    assert found.url == f"{server.url}/workflows/lockgate/{found.name}"
    assert (found.template, found.alive, found.promotion) == ("promote-regulated", True, "")
    assert server.cluster.held(found.name).given["reason"] == "a=b, { {c}}"
    strange = argo.submit("promote-regulated", {**VALUES, "model": "no-such-model"}, name="strange")
    assert strange is not None
    assert strange.name == "strange"


def test_a_name_that_is_taken_starts_nothing(argo: ArgoWorkflows, pods: Scripted) -> None:
    """Two who submit the same at the same time make one workflow."""
    first, second = (argo.submit("promote-regulated", VALUES, name="one") for _ in range(2))

    assert first is not None
    assert second is None
    when(argo, "one", waits("bake-10"))
    assert pods.started.count("start") == 1


def test_what_the_server_does_not_take_is_refused_with_its_reason(argo: ArgoWorkflows) -> None:
    """A tier whose template nobody applied."""
    with pytest.raises(Refused) as refused:
        argo.submit("promote-none", VALUES, prefix="x-")

    assert refused.value.reason == "workflow_refused"
    assert 'workflowtemplates.argoproj.io "promote-none" not found' in refused.value.sentence


def test_the_promotion_is_the_one_given_or_the_one_that_the_first_step_said(argo: ArgoWorkflows) -> None:
    """A blank field is none, also as the word that a page sends for it."""
    said, _ = baking(argo)
    given = argo.submit("promote-regulated", {**VALUES, "promotion": "another-one"}, name="given")
    blank = argo.submit("promote-regulated", {**VALUES, "promotion": "undefined"}, name="blank")

    assert said.promotion == PROMOTION
    assert given is not None
    assert given.promotion == "another-one"
    assert blank is not None
    assert blank.promotion == ""
    assert when(argo, "blank", waits("bake-10")).promotion == PROMOTION


# ---------------------------------------------------------------------------------- listing


def test_all_that_live_are_listed_in_one_request_oldest_first(
    argo: ArgoWorkflows, server: ArgoServer
) -> None:
    """With their nodes; those that have ended, and workflows of others, are not among them."""
    first, _ = baking(argo)
    second, node = baking(argo)
    over, at = baking(argo)
    assert argo.answer(over.name, at.id, "stop", "enough")
    when(argo, over.name, lambda workflow: not workflow.alive)
    server.cluster.apply(
        argos.GRAPH.replace("promote-regulated", "other").replace("part-of: promotions", "x: y")
    )
    server.cluster.submit("other", VALUES, name="foreign")
    server.requests.clear()
    before = argo.calls

    found = argo.alive()

    assert len(server.requests) == argo.calls - before == 1
    assert {one.name for one in found} == {first.name, second.name}
    assert [one.created_at for one in found] == sorted(one.created_at for one in found)
    assert node in next(one for one in found if one.name == second.name).nodes


def test_a_workflow_that_is_not_there_is_none(argo: ArgoWorkflows) -> None:
    """Deleted is an answer, not an error."""
    assert argo.look("nothing") is None


def test_nodes_are_read_with_their_task_and_answer(argo: ArgoWorkflows) -> None:
    """The task is the stage's name, however the graph is nested."""
    found, node = baking(argo)

    assert (node.task, node.kind, node.answer, node.unanswered, node.stuck) == (
        "bake-10",
        "Suspend",
        None,
        True,
        False,
    )
    assert {one.task: one.phase for one in found.nodes if one.kind == "Pod"} == {
        "start": "Succeeded",
        "shift-10": "Succeeded",
    }
    assert next(one for one in found.nodes if one.kind == "DAG").task == ""


# -------------------------------------------------------------------------------- answering


@pytest.mark.parametrize(
    ("answer", "ran"), [("go", ["shift-100", "finish"]), ("stop", ["roll-back"])], ids=["go", "stop"]
)
def test_an_answer_lets_the_node_go_on_in_one_request(
    argo: ArgoWorkflows, server: ArgoServer, pods: Scripted, answer: str, ran: list[str]
) -> None:
    """Whoever dies leaves it answered or waiting; the sentence stays there for people to read."""
    found, node = baking(argo)
    server.requests.clear()

    assert argo.answer(found.name, node.id, answer, "shift-100 is next")  # type: ignore[arg-type]

    assert [path.rpartition("/")[2] for _, path in server.requests] == ["set"]
    over = when(argo, found.name, lambda workflow: not workflow.alive)
    given = next(one for one in over.nodes if one.task == "bake-10")
    assert (given.phase, given.answer, given.message) == ("Succeeded", answer, "shift-100 is next")
    assert pods.started[2:] == ran


def test_a_node_takes_one_answer_and_a_second_one_only_lets_it_go_on(
    argo: ArgoWorkflows, server: ArgoServer, pods: Scripted
) -> None:
    """Somebody set it in Argo's pages and did not resume: what was set stands."""
    found, node = baking(argo)
    path = f"workflows/lockgate/{found.name}/set"
    by_hand(server, "PUT", path, nodeFieldSelector=f"id={node.id}", outputParameters='{"answer": "stop"}')

    assert argo.answer(found.name, node.id, "go", "on it goes")
    when(argo, found.name, lambda workflow: not workflow.alive)
    assert pods.started[2:] == ["roll-back"]


def test_an_answer_that_comes_too_late_changes_nothing(argo: ArgoWorkflows) -> None:
    """The node went on, the workflow ended, or somebody deleted it."""
    found, node = baking(argo)
    assert argo.answer(found.name, node.id, "stop", "it goes back")

    assert not argo.answer(found.name, node.id, "go", "too late")
    assert not argo.tell(found.name, node.id, "too late")
    argo.delete(found.name)
    assert not argo.answer(found.name, node.id, "go", "too late")


def test_a_sentence_is_shown_at_the_node_that_waits(argo: ArgoWorkflows) -> None:
    """And nothing goes on by it; one that is too long is cut."""
    found, node = baking(argo)

    assert argo.tell(found.name, node.id, "20 s more")
    assert next(one for one in argo.look(found.name).nodes if one.waits).message == "20 s more"  # type: ignore[union-attr]
    assert argo.tell(found.name, node.id, "x" * 5000)


def test_a_node_that_somebody_resumed_by_its_name_is_seen_to_be_stuck(
    argo: ArgoWorkflows, server: ArgoServer
) -> None:
    """Nothing behind it starts; it is there until somebody removes it."""
    found, node = baking(argo)
    path = f"workflows/lockgate/{found.name}/resume"
    by_hand(server, "PUT", path, nodeFieldSelector=f"displayName={node.task}")

    assert when(argo, found.name, lambda workflow: any(one.stuck for one in workflow.nodes)).alive
    argo.delete(found.name)
    assert argo.look(found.name) is None


def test_a_workflow_is_terminated_and_deleted_any_number_of_times(
    argo: ArgoWorkflows, pods: Scripted
) -> None:
    """Nothing runs behind it, not even what would take the candidate back."""
    found, _ = baking(argo)

    for _ in range(2):
        argo.terminate(found.name)
    over = when(argo, found.name, lambda workflow: not workflow.alive)
    assert (over.phase, pods.started) == ("Failed", ["start", "shift-10"])
    for _ in range(2):
        argo.delete(found.name)
    argo.terminate(found.name)


# ----------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "written", [TOKENS["client"], f"Bearer {TOKENS['client']}", f" {TOKENS['client']}\n"]
)
def test_a_token_is_taken_with_and_without_its_first_word(server: ArgoServer, written: str) -> None:
    """As `argo auth token` prints it, and as a mounted file has it."""
    assert client(server, written).alive() == ()


def test_a_wrong_token_and_missing_rights_are_no_outage(server: ArgoServer) -> None:
    """A person has to grant them; the server's words say which."""
    with pytest.raises(AccessDenied, match="token not valid"):
        client(server, "expired-token").alive()
    with pytest.raises(AccessDenied, match='"system:serviceaccount:lockgate:reader" cannot create'):
        client(server, TOKENS["reader"]).submit("promote-regulated", VALUES)
    with pytest.raises(AccessDenied):
        client(server, namespace="elsewhere").alive()


def test_a_path_before_the_api_is_kept(tmp_path: Path) -> None:
    """Servers often share a host name."""
    with argos.server(tmp_path, path="/argo") as made:
        assert client(made).alive() == ()
        assert client(made, url=f"{made.url}/argo/").alive() == ()
        with pytest.raises(Misbehaved):
            client(made, url=made.url).alive()


def test_reads_are_tried_again_and_nothing_else_is(argo: ArgoWorkflows, server: ArgoServer) -> None:
    """A lost answer to a write is for whoever looks again."""
    server.arm(Fault("GET", "workflows", status=503, times=2))
    assert argo.alive() == ()
    server.arm(Fault("POST", "submit", when="after", status=502))
    with pytest.raises(Unreachable):
        argo.submit("promote-regulated", VALUES, name="lost")
    assert argo.submit("promote-regulated", VALUES, name="lost") is None
    assert [one.name for one in argo.alive()] == ["lost"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault("GET", "workflows", status=503, times=3), Unreachable),
        (Fault("GET", "workflows", status=500, body="{}", content_type="application/json"), Unreachable),
        (Fault("GET", "workflows", status=200), Misbehaved),
        (Fault("GET", "workflows", status=302, headers={"Location": "http://127.0.0.1:9/"}), Misbehaved),
        (Fault("GET", "workflows", status=200, body="[]", content_type="application/json"), Misbehaved),
        (
            Fault(
                "GET",
                "workflows",
                status=200,
                body='{"items": [{"metadata": {}}]}',
                content_type="application/json",
            ),
            Misbehaved,
        ),
        (
            Fault("GET", "workflows", status=400, body='{"message": "no"}', content_type="application/json"),
            Misbehaved,
        ),
    ],
    ids=["503", "500", "html", "redirect", "list", "odd", "refused"],
)
def test_no_answer_that_makes_no_sense_is_taken_for_an_empty_list(
    argo: ArgoWorkflows, server: ArgoServer, fault: Fault, kind: type[CouldNotTell]
) -> None:
    """Else every promotion would seem to have lost its workflow."""
    server.arm(fault)

    with pytest.raises(CouldNotTell) as error:
        argo.alive()
    assert type(error.value) is kind


def test_a_server_that_does_not_answer_in_time_is_unreachable(server: ArgoServer) -> None:
    """Nothing hangs on it."""
    server.arm(Fault("PUT", "set", delay_seconds=1.0))

    with pytest.raises(Unreachable):
        client(server, timeout_seconds=0.2).tell("a", "b", "c")


# ----------------------------------------------------------------------------------- doctor


def told(argo: ArgoWorkflows) -> dict[str, Finding]:
    """The findings by their sentence's beginning."""
    return {f"{one.what} {one.good}": one for one in argo.diagnose()}


def test_doctor_finds_a_server_that_is_as_it_should_be(server: ArgoServer) -> None:
    """Reach, version, rights, the template by a dry run that starts nothing, the sweeper, events."""
    findings = client(server, templates=["promote-regulated"]).diagnose()

    assert [one.good for one in findings] == [True] * 6
    assert [one.what for one in findings] == ["reach", "version", "rights", "settings", "settings", "events"]
    assert server.cluster.workflows == {}


def test_doctor_says_what_to_do_about_what_is_missing(server: ArgoServer) -> None:
    """A template, the sweeper, rights, the token, the server."""
    del server.cluster.objects["CronWorkflow", "lockgate-sweep"]
    findings = client(server, templates=["promote-none"]).diagnose()
    bad = [one for one in findings if one.good is False]
    assert ["promote-none cannot be started" in bad[0].sentence, "no CronWorkflow" in bad[1].sentence] == [
        True
    ] * 2
    assert all(one.advice for one in bad)

    (denied,) = client(server, "expired-token").diagnose()
    assert (denied.what, denied.good) == ("rights", False)
    reader = client(server, TOKENS["reader"], templates=["promote-regulated"]).diagnose()
    assert next(one.sentence for one in reader if one.good is False).startswith("template promote-regulated")
    (away,) = client(server, url="http://127.0.0.1:9").diagnose()
    assert (away.what, away.good) == ("reach", False)


def test_doctor_sees_a_sweeper_that_is_suspended(server: ArgoServer) -> None:
    """Nothing would go on behind a wait."""
    server.cluster.apply(argos.SWEEP.replace("schedules", "suspend: true, schedules"))

    assert "is suspended" in next(one for one in client(server).diagnose() if one.good is False).sentence


def test_doctor_looks_for_what_an_event_started(argo: ArgoWorkflows, server: ArgoServer) -> None:
    """A posted event is answered alike whether or not it matched."""
    server.cluster.apply(
        "{kind: WorkflowEventBinding, metadata: {name: push}, spec: {event: {selector: 'false'}}}"
    )
    by_hand(server, "POST", "events/lockgate/push")
    found = next(one for one in argo.diagnose() if one.what == "events")
    assert (found.good, "no event has started a workflow yet (push)") == (None, found.sentence)

    label = {"workflows.argoproj.io/workflow-event-binding": "push"}
    server.cluster.submit("promote-regulated", VALUES, name="by-event", labels=label)
    found = next(one for one in argo.diagnose() if one.what == "events")
    assert found.good is True
    assert "an event started a workflow last at 20" in found.sentence


@pytest.mark.parametrize(
    ("version", "good"), [("v4.0.2", True), ("v4.1.2+abc", True), ("v3.7.14", False), ("latest", None)]
)
def test_doctor_compares_the_version(
    argo: ArgoWorkflows, server: ArgoServer, version: str, good: bool | None
) -> None:
    """Older servers take other fields."""
    body = f'{{"version": "{version}"}}'
    server.arm(Fault("GET", "/version", status=200, body=body, content_type="application/json"))

    assert next(one for one in argo.diagnose() if one.what == "version").good is good


def test_a_container_that_failed_shows_in_the_workflow(argo: ArgoWorkflows, pods: Scripted) -> None:
    """With the message that its node has."""
    pods.ends["start"] = Ended(exit_code=3, message="--model is blank")
    over = when(argo, submitted(argo).name, lambda workflow: not workflow.alive)

    assert over.promotion == ""
    assert "--model is blank" in next(one for one in over.nodes if one.task == "start").message
