"""What starts promotions by itself: a posted event wakes the trigger, and doctor can tell that it did."""

from __future__ import annotations

import base64
import os

import pytest
import requests

from pipelines.rehearsal.processes import wait_until
from tests.live.harbour import Harbour

pytestmark = [pytest.mark.live, pytest.mark.timeout(3600)]

POSTS = "lockgate-events.service-account-token"


def findings(port: Harbour) -> dict[str, list[tuple[bool | None, str]]]:
    """What doctor says of Argo, asked with the driver's own rights: each finding and its sentence."""
    found: dict[str, list[tuple[bool | None, str]]] = {}
    for one in port.shell("doctor", "--json").json["findings"]:
        if one["place"] == "workflows":
            found.setdefault(one["what"], []).append((one["good"], one["sentence"]))
    return found


def test_a_posted_event_begins_what_main_wants(port: Harbour) -> None:
    """By the rights of base/accounts.yaml alone: those of who posts, of the trigger, and of doctor."""
    before = findings(port)
    assert {good for what, all_of_it in before.items() for good, _ in all_of_it if what != "events"} == {True}
    ((good, sentence),) = before["events"]
    assert (good, "no event has started a workflow yet" in sentence) == (None, True), sentence

    port.town.wanted()
    known = set(port.promotions())
    encoded = port.kubectl("get", "secret", POSTS, "-o", "jsonpath={.data.token}")
    answer = requests.post(
        f"http://{os.environ['ARGO_SERVER']}/api/v1/events/{port.namespace}/github",
        json={"ref": "refs/heads/main"},
        headers={
            "Authorization": f"Bearer {base64.b64decode(encoded).decode()}",
            "X-GitHub-Event": "push",
        },
        timeout=60,
    )
    assert (answer.status_code, answer.json()) == (200, {})

    def begun() -> str:
        return next(iter(set(port.promotions()) - known), "")

    promotion = wait_until("it begins a promotion", begun, seconds=900, every_seconds=2)
    driven = wait_until("a workflow drives it", lambda: port.state(promotion).driven, seconds=60)
    assert driven.created_by == f"system-serviceaccount-{port.namespace}-lockgate-driver"
    assert findings(port)["events"][0][0] is True
    assert port.shell("abort", promotion, "--person", "oscar", "--reason", "seen enough").code == 0
    port.ended(promotion)
