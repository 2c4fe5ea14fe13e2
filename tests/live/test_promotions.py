"""Promotions by a real controller and real pods of the image, against the rehearsal on this machine.

Aspects: a good version to 100 %, a bad one and a rejected one to 0, everything that can happen to a workflow
on the way. Left out: gates that need the candidate's artifact or address in a pod, which the stories cover.
"""

from __future__ import annotations

import pytest

from pipelines.ports import Workflow
from pipelines.rehearsal.training import Faults
from tests.live.harbour import TEMPLATE, Harbour

pytestmark = [pytest.mark.live, pytest.mark.timeout(3600)]


def phases(workflow: Workflow) -> dict[str, str]:
    """Task -> its phase."""
    return {node.task: node.phase for node in workflow.nodes if node.task}


def test_a_good_version_goes_to_100_with_an_approval_on_the_desk(port: Harbour) -> None:
    """From the form to the last task, which is green; while people think, no pod runs."""
    candidate = port.town.wanted()
    name = port.submit()
    promotion = port.begun(name)
    port.comes_to(promotion, "approval")
    assert port.pods_of(name) == [], "nothing runs while people think"
    port.until("it says why", lambda: _told(port, promotion, "approval"))
    change = port.state(promotion).change
    assert change is not None
    port.town.approve(change.number)

    state = port.ended(promotion)
    assert state.ended is not None
    assert (state.ended.outcome, state.share_percent) == ("promoted", 100)
    over = port.over(name)
    assert over.phase == "Succeeded", phases(over)
    serving = port.town.on_main()
    assert serving is not None
    assert serving.stable is not None
    assert serving.stable.digest == candidate.digest
    assert set(port.town.answering()) == {candidate.label}
    assert state.driven is not None
    assert (state.driven.driver, state.driven.workflow, state.driven.template) == ("argo", name, TEMPLATE)


def _told(port: Harbour, promotion: str, task: str) -> str:
    """What stands at a waiting node."""
    found = port.waiting(promotion, task)
    return found[1].message if found is not None else ""


def test_a_bad_version_goes_back_to_0_and_the_workflow_is_red(port: Harbour) -> None:
    """A third of its answers are errors: caught at 50 %, and back."""
    before = port.town.on_main()
    port.town.wanted(Faults(error_percent=30.0))
    name = port.submit()
    promotion = port.begun(name)
    state = port.ended(promotion)
    assert state.ended is not None
    assert (state.ended.outcome, state.share_percent) == ("rolled_back", 0)
    over = port.over(name)
    assert over.phase == "Failed", phases(over)
    assert phases(over)["roll-back"] == "Succeeded"
    serving = port.town.on_main()
    assert before is not None
    assert serving is not None
    assert serving.stable == before.stable
