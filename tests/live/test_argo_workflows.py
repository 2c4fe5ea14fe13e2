"""A real Argo Workflows server answers as the recorded one did, so that the loopback server may be believed.

Needs ARGO_BASE_URL, ARGO_TOKEN and ARGO_NAMESPACE, and LOCKGATE_LIVE_IMAGE, an image with ``sh`` that the
cluster has. LOCKGATE_REGENERATE=1 records the answers anew.
"""

from __future__ import annotations

import os

import pytest
import requests
import yaml

from pipelines.clients.argo_workflows import ArgoWorkflows
from tests import argos
from tests.argo_observed import OBSERVED, lines

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]
NEEDED = ("ARGO_BASE_URL", "ARGO_TOKEN", "ARGO_NAMESPACE", "LOCKGATE_LIVE_IMAGE")


def test_a_real_server_answers_as_it_did() -> None:
    """Start, list, tell, answer, and everything that a person can do by hand."""
    if missing := [name for name in NEEDED if not os.environ.get(name)]:
        pytest.skip(f"not set: {', '.join(missing)}")
    url, token, namespace, image = (os.environ[name] for name in NEEDED)
    token = token.removeprefix("Bearer ")

    def by_hand(method: str, path: str, **body: object) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.request(method, f"{url}/api/v1/{path}", json=body, headers=headers, timeout=30)
        return answer.status_code

    graph = yaml.safe_load(
        argos.GRAPH.replace("image: lockgate", f"image: {image}")
        .replace("command: [lockgate]", "command: [sh, -c]")
        .replace(
            "args: [step, start, --outputs, /tmp/lockgate]",
            f"args: [echo {argos.PROMOTION} > /tmp/lockgate/promotion]",
        )
        .replace("args: [step]", "args: ['true']")
    )
    by_hand("DELETE", f"workflow-templates/{namespace}/promote-regulated")
    assert by_hand("POST", f"workflow-templates/{namespace}", template=graph) == 200
    argo = ArgoWorkflows(url=url, namespace=namespace, token=token)
    stranger = ArgoWorkflows(url=url, namespace=namespace, token="no-token")
    text = "".join(f"{line}\n" for line in lines(argo, stranger, by_hand, namespace))
    if os.environ.get("LOCKGATE_REGENERATE"):
        OBSERVED.parent.mkdir(parents=True, exist_ok=True)
        OBSERVED.write_text(text, "utf-8")

    assert text == OBSERVED.read_text("utf-8")
