"""Promotions driven by Argo Workflows, with the templates as they are rendered, on the loopback server.

Aspects: a good version to 100 % through every way in which a workflow can be lost on the way, a bad one to 0,
one that nobody but a push to main asked for.
Left out: a real controller (tests/live), what the sweeper makes of single states (tests/pipelines/sweeping).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import yaml

from pipelines.ports import Workflow, WorkflowNode
from pipelines.rehearsal.processes import wait_until
from pipelines.rehearsal.training import Faults
from pipelines.spec.types import Version
from pipelines.sweeping.actions import form, workflow_name
from tests.argos import TOKENS, by_hand
from tests.commands import Shell
from tests.stories.argo import PATIENCE_SECONDS, Harbour, harbour, until
from tests.stories.telling import Story, Told
from tests.stories.town import MODEL

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture
def port(story: Story, tmp_path: Path) -> Iterator[Harbour]:
    """Argo beside the story's town, under its quick rules with a change."""
    story.town.write_rules(approval={}, shares=[50, 100])
    with harbour(story.town, tmp_path / "argo") as made:
        yield made


ASK = ("promote", MODEL, "--to", "prod", "--driver", "argo", "--reason", "recall", "--requested-by", "dana")


def wanted(port: Harbour, faults: Faults | None = None, like: str = "v2") -> Version:
    """Dana writes a new version into release.yaml on main."""
    town = port.town
    candidate = town.version(faults, like=like)
    path = f"models/{MODEL}/release.yaml"
    release = yaml.safe_load(town.git("oscar").read(path, "main") or "")
    release["version"] = candidate.model_dump(exclude_none=True)
    town.push("dana", "main", {path: yaml.safe_dump(release, sort_keys=False)}, subject=candidate.label)
    return candidate


def begun(port: Harbour, workflow: str) -> str:
    """The promotion that a workflow moves, as soon as its first step said which."""

    def said() -> str:
        found = port.argo().look(workflow)
        return found.promotion if found is not None else ""

    return wait_until("the workflow began a promotion", said, seconds=PATIENCE_SECONDS)


def waiting(port: Harbour, promotion: str, task: str) -> tuple[Workflow, WorkflowNode] | None:
    """The living workflow of a promotion and its node, where it waits there now."""
    for workflow in port.argo().alive():
        for node in workflow.nodes:
            if (workflow.promotion, node.task, node.waits) == (promotion, task, True):
                return workflow, node
    return None


def test_a_good_version_goes_to_100_however_its_workflow_is_lost(story: Story, port: Harbour) -> None:
    """Resumed by hand without and with a selector, terminated, deleted: each time another one takes it up."""
    candidate, shell, sweeper = wanted(port), Shell(port.environment), port.sweeper()
    first = shell(*ASK)
    assert first.code == 0, first.err
    promotion = begun(port, first.out.splitlines()[-1])
    assert shell(*ASK).out.splitlines()[-1] == first.out.splitlines()[-1], (
        "asked twice, one workflow moves it"
    )
    story.told.append(Told(port.town, promotion, candidate, port.desktop()))
    assert shell("hold", promotion, "--person", "oscar", "--reason", "a look first").code == 0

    def comes_to(task: str, *, sweeping: bool = True) -> tuple[Workflow, WorkflowNode]:
        if sweeping:
            until(port, sweeper, f"it waits at {task}", lambda: waiting(port, promotion, task))
        return wait_until(task, lambda: waiting(port, promotion, task), seconds=PATIENCE_SECONDS)

    comes_to("review")
    filled = form(model=MODEL, version="", environment="prod", requested_by="oscar", reason="once more")
    assert port.argo().submit("promote-regulated", filled, name="by-form") is not None
    assert begun(port, "by-form") == promotion, "whoever fills in the form again meets the same promotion"
    until(port, sweeper, "one workflow is left", lambda: len(port.argo().alive()) == 1)
    at_review, _ = comes_to("review")
    assert at_review.name == "by-form"
    by_hand(port.server, "PUT", f"workflows/lockgate/{at_review.name}/resume")
    over = wait_until("it ends", lambda: ended(port, at_review.name), seconds=PATIENCE_SECONDS)
    assert over.phase == "Failed", "a click promotes nothing, and rolls nothing back"
    assert port.state(promotion).rollback is None

    again, _ = comes_to("review")
    assert again.name == workflow_name(promotion, 2)
    assert shell("resume", promotion, "--person", "oscar").code == 0
    until(port, sweeper, "it goes on", lambda: not waiting(port, promotion, "review"))

    baking, _ = comes_to("bake-50", sweeping=False)
    by_hand(port.server, "PUT", f"workflows/lockgate/{baking.name}/terminate")
    caught_up, _ = comes_to("review", sweeping=True)
    by_hand(port.server, "DELETE", f"workflows/lockgate/{caught_up.name}")

    asking, _ = comes_to("approval")
    selector = {"nodeFieldSelector": "displayName=approval"}
    by_hand(port.server, "PUT", f"workflows/lockgate/{asking.name}/resume", **selector)
    until(port, sweeper, "it is replaced", lambda: port.argo().look(asking.name) is None)
    asking, _ = comes_to("approval")

    def says_why() -> bool:
        node, wait = waiting(port, promotion, "approval"), port.state(promotion).waits.get("approve")
        return node is not None and wait is not None and node[1].message == wait.sentence

    until(port, sweeper, "the node says what status says", says_why)
    shown, state = shell("status", promotion), port.state(promotion)
    assert f"moved by workflow {asking.name}, Running at approval" in shown.out

    port.town.approve(state.change.number)
    until(port, sweeper, "it ends", lambda: port.state(promotion).ended)
    state = port.state(promotion)
    assert state.ended.outcome == "promoted"
    assert (
        wait_until("it ends", lambda: ended(port, asking.name), seconds=PATIENCE_SECONDS).phase == "Succeeded"
    )
    assert {line.by.partition(":")[0] for line in story.told[0].lines} == {"person", "engine"}
    assert all("engine:argo:" in line.by for line in story.told[0].lines if line.by.startswith("engine"))
    assert sweeper.sweep().deeds == ()

    words = ("rollback", MODEL, "--to", "prod", "--reason", "scores drift", "--person", "oscar")
    assert shell(*words).code == 0, "a rollback needs no workflow"
    workflows = list(port.server.cluster.workflows)
    assert sweeper.sweep().good
    assert list(port.server.cluster.workflows) == workflows, "and it gets none"
    story.holds()


def ended(port: Harbour, name: str) -> Workflow | None:
    """A workflow, once it has ended."""
    found = port.argo().look(name)
    return found if found is not None and not found.alive else None


def test_a_bad_version_goes_back_to_0_and_the_workflow_is_red(story: Story, port: Harbour) -> None:
    """Whoever waits for it is told no, with the reason in the journal and in Argo."""
    candidate, sweeper = wanted(port, Faults(error_percent=30.0)), port.sweeper()
    with ThreadPoolExecutor(1) as elsewhere:
        asked = elsewhere.submit(Shell(port.environment), *ASK, "--wait")
        until(port, sweeper, "it is told no", asked.done)
        ran = asked.result()

    assert ran.code == 4, ran.out + ran.err
    (promotion,) = {one.promotion for one in map(port.argo().look, port.server.cluster.workflows) if one}
    story.told.append(Told(port.town, promotion, candidate, port.desktop()))
    state = port.state(promotion)
    assert state.ended is not None
    assert (state.ended.outcome, state.share_percent) == ("rolled_back", 0)
    (name,) = port.server.cluster.workflows
    over = wait_until("it ends", lambda: ended(port, name), seconds=PATIENCE_SECONDS)
    assert over.phase == "Failed"
    assert next(node.answer for node in over.nodes if node.task == "bake-50") == "stop"
    assert next(node.phase for node in over.nodes if node.task == "roll-back") == "Succeeded"
    story.holds(erring=True)


def test_a_push_to_main_is_all_that_a_promotion_needs(story: Story, port: Harbour) -> None:
    """The forge posts it; other events start nothing, the same begins nothing twice, values go nowhere."""
    candidate, sweeper = wanted(port), port.sweeper()

    def pushed(ref: str) -> None:
        answer = requests.post(
            f"{port.server.address}/api/v1/events/lockgate/github",
            json={"ref": ref, "pusher": {"name": "rita"}, "model": "somebody-elses"},
            headers={"Authorization": f"Bearer {TOKENS['client']}", "X-GitHub-Event": "push"},
            timeout=30,
        )
        assert (answer.status_code, answer.json()) == (200, {})

    pushed("refs/heads/candidate")
    assert port.server.cluster.workflows == {}
    pushed("refs/heads/main")
    (trigger,) = port.server.cluster.workflows
    assert trigger.startswith("lockgate-wanted-")

    def promoting() -> list[str]:
        return [name for name in port.server.cluster.workflows if not name.startswith("lockgate-wanted-")]

    (name,) = wait_until("it submits the promotion", promoting, seconds=PATIENCE_SECONDS)
    promotion = begun(port, name)
    story.told.append(Told(port.town, promotion, candidate, port.desktop()))
    pushed("refs/heads/main")
    started = port.state(promotion).started
    assert (started.requested_by, started.reason) == ("dana", f"main wants it: {candidate.label}")

    until(port, sweeper, "it asks", lambda: waiting(port, promotion, "approval"))
    port.town.approve(port.state(promotion).change.number)
    until(port, sweeper, "it ends", lambda: port.state(promotion).ended)
    assert port.state(promotion).ended.outcome == "promoted"
    driven = port.state(promotion).driven
    assert (driven.workflow, driven.created_by) == (name, "system-serviceaccount-lockgate-client")
    triggers = [one for one in port.server.cluster.workflows if one.startswith("lockgate-wanted-")]
    assert [wait_until(one, lambda one=one: ended_of(port, one), seconds=60) for one in triggers] == [
        "Succeeded"
    ] * 2
    assert promoting() == [name], "the second push began nothing"
    story.holds()


def ended_of(port: Harbour, name: str) -> str:
    """How a workflow ended, "" until it has."""
    found = port.argo().look(name)
    return found.phase if found is not None and not found.alive else ""
