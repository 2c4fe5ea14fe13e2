"""Promotions whose workflows are lost in every way on their way, one of which is rejected in the end.

Aspects: a pod deleted in the middle of a step, Resume pressed by hand with and without a selector; in the
middle of a bake the controller started again while a second promotion waits, templates changed under a
workflow, one terminated, and one deleted.
"""

from __future__ import annotations

import os
import shlex
import subprocess

import pytest
import yaml

from pipelines.ports import Workflow
from pipelines.rehearsal.processes import wait_until
from pipelines.sweeping.actions import workflow_name
from tests.live.harbour import RULES, Harbour
from tests.live.test_form import HOSTILE, passed_on

pytestmark = [pytest.mark.live, pytest.mark.timeout(3600)]

RESTART = "LOCKGATE_LIVE_RESTART"
"""A command that starts the workflow controller again; without it that part is left out."""


def test_a_promotion_survives_a_lost_pod_and_whoever_resumes_it_by_hand(port: Harbour) -> None:
    """Nothing is promoted and nothing rolled back by a click."""
    port.town.wanted()
    first = port.submit(reason=HOSTILE, urgency="emergency")
    promotion = port.begun(first)
    assert port.state(promotion).started.reason == f"emergency: {passed_on(HOSTILE, first)}"
    _pod_deleted(port, first)
    _person(port, "hold", promotion, "--reason", "a look first")

    clicked, _ = port.comes_to(promotion, "review")
    port.by_hand("PUT", f"{clicked.name}/resume")
    assert port.over(clicked.name).phase == "Failed", "a click promotes nothing"
    assert port.state(promotion).rollback is None, "and rolls nothing back"
    again = _another(port, promotion, clicked, "review")
    assert again.name == workflow_name(promotion, 1)
    port.by_hand("PUT", f"{again.name}/resume", nodeFieldSelector="displayName=review")
    _another(port, promotion, again, "review")
    _person(port, "abort", promotion, "--reason", "seen enough")
    port.ended(promotion)
    assert len(port.town.pulls_of(promotion)) == 1


def test_a_promotion_survives_its_workflows_and_goes_back_when_it_is_rejected(port: Harbour) -> None:
    """Lost in the middle of a bake: no second pull request, no second change, one at a time."""
    before = port.town.on_main()
    assert before is not None
    port.town.write_rules(bake={**RULES["bake"], "minimum": "2m"})  # long enough for a person to say "hold"
    port.town.wanted()
    promotion = port.begun(port.submit())
    baking, _ = port.comes_to(promotion, "bake-50")
    _person(port, "hold", promotion, "--reason", "a look at 50 %")
    port.town.wanted()
    second = port.begun(port.submit(reason="the next one"))
    assert second != promotion
    _restarted()
    port.sweeper().sweep()
    still = port.waiting(promotion, "bake-50")
    assert still is not None
    assert still[0].name == baking.name, "it waits where it did"
    assert port.state(second).share_percent == 0, "one at a time"
    _upgraded(port)
    port.by_hand("PUT", f"{baking.name}/terminate")
    baking = _another(port, promotion, baking, "bake-50")
    assert {node.task for node in baking.nodes} > {"shift-25", "shift-50"}, "from the template of today"
    port.by_hand("DELETE", baking.name)
    baking = _another(port, promotion, baking, "bake-50")
    _person(port, "resume", promotion)

    # ---- told no
    port.comes_to(promotion, "approval")
    change = port.state(promotion).change
    assert change is not None
    port.town.sign("rita", change.number, "rejected", "scores drift")
    state = port.ended(promotion)
    assert state.ended is not None
    assert (state.ended.outcome, state.share_percent) == ("rolled_back", 0)
    assert port.state(second).share_percent == 0
    _person(port, "abort", second, "--reason", "enough")
    port.ended(second)
    assert len(port.town.pulls_of(promotion)) == 1
    assert state.change is not None
    assert state.change.number == change.number
    serving = port.town.on_main()
    assert serving is not None
    assert serving.stable == before.stable


def _person(port: Harbour, verb: str, promotion: str, *more: str) -> None:
    ran = port.shell(verb, promotion, "--person", "oscar", *more)
    assert ran.code == 0, ran.err


def _pod_deleted(port: Harbour, workflow: str) -> None:
    """The pod of the next step, while it runs; the step is asked again.

    By the next try of its task, or, where the controller had not seen the pod run yet, by another pod of the
    same name.
    """

    def running() -> tuple[str, str] | None:
        for pod in port.pods_of(workflow):
            if pod["status"]["phase"] == "Running" and "-step-" in pod["metadata"]["name"]:
                return pod["metadata"]["name"], pod["metadata"]["uid"]
        return None

    name, uid = wait_until("a step's pod runs", running, seconds=900, every_seconds=0.5)
    port.kubectl("delete", "pod", name, "--grace-period=0", "--force")

    def asked_again() -> bool:
        pods = port.pods(f"workflows.argoproj.io/workflow={workflow}", running=False)
        if any(pod["metadata"]["name"] == name and pod["metadata"]["uid"] != uid for pod in pods):
            return True
        found = port.argo().look(workflow)
        assert found is not None
        assert found.alive, found.message
        tries = [node for node in found.nodes if node.task.endswith("(0)") and node.phase == "Error"]
        return any(node.task == f"{tries[0].task[:-3]}(1)" for node in found.nodes) if tries else False

    wait_until("its step is asked again", asked_again, seconds=900, every_seconds=1)


def _another(port: Harbour, promotion: str, lost: Workflow, task: str) -> Workflow:
    """The workflow that takes the promotion up after one was lost, once it waits at a task."""

    def seen() -> Workflow | None:
        found = port.waiting(promotion, task)
        return found[0] if found is not None and found[0].name != lost.name else None

    found: Workflow = port.until(f"another one waits at {task}", seen, seconds=900)
    return found


def _restarted() -> None:
    if command := os.environ.get(RESTART):
        subprocess.run(shlex.split(command), check=True, timeout=120, capture_output=True)


def _upgraded(port: Harbour) -> None:
    """The platform team gives the tier a share more, and applies what is rendered from that."""
    platform = yaml.safe_load(port.town.git("oscar").read("platform.yaml", "main") or "")
    platform["tiers"]["regulated"]["shares"] = [25, 50, 100]
    text = yaml.safe_dump(platform, sort_keys=False)
    port.town.push("oscar", "main", {"platform.yaml": text}, subject="One share more")
    port.apply()
