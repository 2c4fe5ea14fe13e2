"""The loopback Argo Workflows server answers as a real Argo 4.0.2 did, line by line.

Covered: all that lockgate and a person by hand ask of it. Left out: the graph's own rules
(tests/pipelines/workflow), rights and faults (tests/pipelines/clients/test_argo_workflows), and what becomes
of tasks not yet reached when a workflow is terminated: a real server shows them as Failed or Omitted, ours
does not show them.
"""

from __future__ import annotations

from pathlib import Path

import requests

from pipelines.rehearsal.argo import ArgoServer
from pipelines.rehearsal.argo.pods import ProcessPods
from tests import argos
from tests.argo_observed import OBSERVED, lines


def test_it_answers_as_a_real_server_did(tmp_path: Path) -> None:
    """The recorded lines are those of a real server."""
    with argos.server(tmp_path) as server:

        def by_hand(method: str, path: str, **body: object) -> int:
            url, headers = (
                f"{server.url}/api/v1/{path}",
                {"Authorization": f"Bearer {argos.TOKENS['client']}"},
            )
            return requests.request(method, url, json=body, headers=headers, timeout=10).status_code

        stranger = argos.client(server, "no-token")
        found = list(lines(argos.client(server), stranger, by_hand, server.namespace))

    assert found == OBSERVED.read_text("utf-8").splitlines()


def test_one_server_alone_takes_templates_and_runs_them_as_processes(tmp_path: Path) -> None:
    """What a container writes comes back as its output, and a failure with its last words."""
    graph = (
        argos.GRAPH.replace("command: [lockgate]", "command: [sh, -c]")
        .replace(
            "args: [step, start, --outputs, /tmp/lockgate]",
            "args: [echo it-was-said > /tmp/lockgate/promotion]",
        )
        .replace("args: [step]", "args: ['echo the last words; exit 4']")
    )
    server = ArgoServer(tmp_path, pods=ProcessPods({"PATH": "/usr/bin:/bin"}, {}), tokens=argos.TOKENS)
    server.start()
    try:
        assert requests.post(f"{server.url}/_rehearsal/objects", data=graph, timeout=10).ok
        argo = argos.client(server)
        assert argo.submit("promote-regulated", {"model": "m"}, name="one") is not None
        over = argos.when(argo, "one", lambda workflow: not workflow.alive)
    finally:
        server.stop()

    assert over.promotion == "it-was-said"
    failed = next(node for node in over.nodes if node.task == "shift-10")
    assert (failed.phase, "the last words" in failed.message) == ("Failed", True)


BINDING = """
apiVersion: argoproj.io/v1alpha1
kind: WorkflowEventBinding
metadata: {name: %s}
spec:
  event: {selector: '%s'}
  submit: {workflowTemplateRef: {name: %s}%s}
"""


def test_an_event_submits_what_is_bound_to_it(tmp_path: Path) -> None:
    """By headers, discriminator and payload. Nobody who posts learns what came of it."""
    push = 'discriminator == "github" && metadata["x-github-event"] == ["push"] && payload.ref == "main"'
    with argos.server(tmp_path) as server:
        graph = argos.GRAPH.replace("{name: model, enum: [fraud-scorer]}", "{name: model, value: m}")
        server.cluster.apply(graph)
        for name, selector, template, more in (
            ("pushed", push, "promote-regulated", ""),
            ("lost", push, "gone", ""),
            ("passing", push, "promote-regulated", ", arguments: {parameters: [{name: model}]}"),
            ("misspelt", "payload.ref = 1", "promote-regulated", ""),
        ):
            server.cluster.apply(BINDING % (name, selector, template, more))

        def post(ref: str, discriminator: str = "github", event: str = "push") -> list[dict[str, str]]:
            answer = requests.post(
                f"{server.url}/api/v1/events/lockgate/{discriminator}",
                json={"ref": ref},
                headers={"Authorization": f"Bearer {argos.TOKENS['client']}", "X-GitHub-Event": event},
                timeout=10,
            )
            assert (answer.status_code, answer.json()) == (200, {})
            return [held.labels for held in server.cluster.workflows.values()]

        assert post("other") == post("main", "registry") == post("main", event="ping") == []
        (labels,) = post("main")

    assert labels["workflows.argoproj.io/workflow-event-binding"] == "pushed"
    assert labels["workflows.argoproj.io/creator"] == "system-serviceaccount-lockgate-client"


def test_a_workflow_says_who_created_it(tmp_path: Path) -> None:
    """As a label and to its own tasks; labels of one's own come later, so that it is no proof."""
    with argos.server(tmp_path) as server:
        where, dana = "workflows/lockgate/submit", argos.TOKENS["dana@acme.example"]
        body = {"resourceKind": "WorkflowTemplate", "resourceName": "promote-regulated"}
        key = "workflows.argoproj.io/creator-preferred-username"
        options = {"parameters": ["model=m"]}
        made = argos.by_hand(server, "POST", where, token=dana, **body, submitOptions=options)
        forged = {**options, "labels": f"{key}=rita"}
        other = argos.by_hand(server, "POST", where, token=dana, **body, submitOptions=forged)

    assert made["metadata"]["labels"][key] == "dana"
    assert made["metadata"]["labels"]["workflows.argoproj.io/creator-email"] == "dana.at.acme.example"
    assert other["metadata"]["labels"][key] == "rita"
