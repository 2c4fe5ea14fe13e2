"""The form, as nobody's page would send it: the server takes every value, the first task refuses it."""

from __future__ import annotations

import pytest

from tests.live.harbour import Harbour

pytestmark = [pytest.mark.live, pytest.mark.timeout(3600)]

HOSTILE = "$(touch /tmp/owned);`id`'\" --promotion=x {{workflow.name}} {{=1+1}}"
"""Code in every language that stands between the form and a process."""
WRONG = {
    "model": HOSTILE,
    "version": HOSTILE,
    "environment": HOSTILE,
    "requested_by": HOSTILE,
    "urgency": HOSTILE,
    "promotion": HOSTILE,
    "reason": "two\nlines",
}
OUTSIDE_ITS_CHOICES = {"environment": "preview", "urgency": "whatever", "model": "somebody-elses"}


def passed_on(value: str, workflow: str) -> str:
    """A form's value as it reaches the first task: Argo fills in its own placeholders wherever they stand."""
    return value.replace("{{workflow.name}}", workflow).replace("{{=1+1}}", "2")


def test_a_value_that_cannot_be_used_ends_the_workflow_in_its_first_task(port: Harbour) -> None:
    """Each field in turn, and each choice: nothing is begun, and the sentence says what is wrong."""
    port.town.wanted()
    before = set(port.promotions())
    asked = [({field: value}, value) for field, value in [*WRONG.items(), *OUTSIDE_ITS_CHOICES.items()]]
    names = [port.submit(**form) for form, _ in asked]

    for (form, _), name in zip(asked, names, strict=True):
        over = port.over(name)
        (field,) = form
        (start,) = (node for node in over.nodes if node.task == "start(0)")
        assert (over.phase, start.phase) == ("Failed", "Failed"), form
        assert "start(1)" not in {node.task for node in over.nodes}, "it is not asked again"
        option = "VERSION" if field == "version" else f"--{field.replace('_', '-')}"
        assert f"{option}: " in start.message, (form, start.message)
        assert over.promotion in ("", HOSTILE)
    assert set(port.promotions()) == before
