"""Fifty promotions that wait for people: what they cost, and what a pod for each would.

The models are light: first versions. The engine on this machine brings one to its question; the journals of
fifty more have the same lines up to there, and each asks for a change of its own. Their workflows have the
tier's graph from the wait for the approval on, since that wait is what is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from pipelines import wiring
from pipelines.engine import Assignment, next_move, perform
from pipelines.journal.events import ChangeIntended, Driven, Started
from pipelines.journal.lines import Line
from pipelines.rehearsal.processes import wait_until
from pipelines.rehearsal.training import MODEL
from pipelines.rehearsal.world import APP
from pipelines.steps.recorder import Recorder
from pipelines.steps.start import AlreadyServes, Wish, start, wanted
from pipelines.sweeping.actions import form, workflow_name
from pipelines.workflow.templates.machinery import SWEEPS_SECONDS
from tests.live.harbour import TEMPLATE, Harbour

pytestmark = [pytest.mark.live, pytest.mark.timeout(3600)]

MANY, NAIVE = 50, 10
LIGHT = "promote-waiting"
MIB = 1024 * 1024


def models() -> list[str]:
    """The light models; the engine on this machine has the first."""
    return [f"light-{number:02}" for number in range(MANY + 1)]


def test_while_people_think_nothing_runs_but_one_sweeper(port: Harbour) -> None:
    """Pods, seconds, memory and requests, of the sweeper and of a pod for each; the figures are printed."""
    _written(port)
    first, held = _asked(port, models()[0]), Held()
    promotions = [_like(port, first, model, held) for model in models()[1:]]
    texts = {f"{one.partition('-prod-')[0]}/{one}.jsonl": text for one, text in held.texts.items()}
    port.town.push(APP, "audit", {**texts}, subject="Many at once")
    _light_template(port)
    for promotion, model in zip(promotions, models()[1:], strict=True):
        _submitted(port, promotion, model)
    port.until("all wait for their approval", lambda: len(_waiting(port)) == len(promotions), seconds=1800)
    port.until("each says why", lambda: all(_waiting(port).values()), seconds=300)
    wait_until("their pods have ended", lambda: not _pods(port), seconds=120, every_seconds=1)

    figures: dict[str, Any] = {"waiting": len(_waiting(port)), "pods_while_waiting": len(_pods(port))}
    figures["one_pass"] = [_measured(port) for _ in range(3)]
    figures["a_minute"] = _measured(port, "--for", str(SWEEPS_SECONDS))
    figures["naive"] = _naive(port, promotions[-NAIVE:])
    figures["load_average"] = os.getloadavg()
    print(json.dumps(figures, indent=1))

    assert figures["pods_while_waiting"] == 0
    for one in figures["one_pass"]:
        assert (one["seen"], one["requests_to_argo"]) == (len(promotions), 1), one


# ------------------------------------------------------------------ fifty at the question


def _written(port: Harbour) -> None:
    """A release for each model, under rules without a preview; asked about once a minute."""
    release = yaml.safe_load(port.town.git("oscar").read(f"models/{MODEL}/release.yaml", "main") or "")
    files: dict[str, str | None] = {
        f"models/{model}/release.yaml": yaml.safe_dump(release | {"model": model}, sort_keys=False)
        for model in models()
    }
    rules = port.town.rules(preview=False, approval={"ask_every": "1m", "wait_at_most": "5h"})
    port.town.push("oscar", "main", {**files, "platform.yaml": rules}, subject="Light models")
    port.apply()


def _asked(port: Harbour, model: str) -> tuple[Line, ...]:
    """The journal of a promotion that the engine on this machine has brought to its question."""
    desktop = port.desktop()
    repository = desktop.repository()
    journals = desktop.journals(repository)
    wish = Wish(model=model, environment="prod", version=None, requested_by="dana", reason="many at once")
    promotion = start(wish, repository, journals, desktop.clock)
    assert not isinstance(promotion, AlreadyServes)
    assignment = wiring.assignment(desktop, promotion)

    def asked() -> bool:
        state = assignment.recorder.read()
        assert state is not None
        if state.change is not None:
            return True
        move = next_move(assignment, state)
        assert move.kind in ("advance", "hold"), move
        if move.kind == "advance":
            perform(assignment, state, state.plan.stage(move.stage))
        return False

    wait_until(f"{promotion} asks for its change", asked, seconds=300, every_seconds=0.2)
    return assignment.recorder.lines


@dataclass
class Held:
    """Journals in memory, until all of them are committed at once."""

    texts: dict[str, str] = field(default_factory=dict)

    def promotions(self) -> tuple[str, ...]:
        return tuple(self.texts)

    def read(self, promotion: str) -> str:
        return self.texts.get(promotion, "")

    def append(self, promotion: str, lines: str, *, expected: str) -> None:
        assert self.read(promotion) == expected
        self.texts[promotion] = expected + lines


def _like(port: Harbour, first: Sequence[Line], model: str, held: Held) -> str:
    """A promotion of another model with the same lines up to the question, which it asks for itself."""
    begun = first[0].event
    assert isinstance(begun, Started)
    promotion = begun.promotion.replace(begun.model, model)
    desktop = port.desktop()
    repository = desktop.repository()
    recorder = Recorder(
        held, desktop.clock, promotion, first[1].by, mask=lambda text: text.replace(begun.model, model)
    )
    asked = next(n for n, line in enumerate(first) if isinstance(line.event, ChangeIntended))
    state = recorder.add(*(line.event for line in first[:asked]))
    platform, release = wanted(repository, model, begun.base)
    world = wiring.world(desktop, platform, release, begun.environment, repository)
    own = Assignment(world=world, platform=platform, release=release, recorder=recorder, freezes=lambda: ())
    perform(own, state, state.plan.stage("approve"))
    recorder.add(Driven(driver="argo", workflow=workflow_name(promotion, 0), template=LIGHT))
    return promotion


def _light_template(port: Harbour) -> None:
    """The tier's template from the wait for the approval on."""
    template = json.loads(port.kubectl("get", "workflowtemplate", TEMPLATE, "-o", "json"))
    given, wanted = "{{tasks.start.outputs.parameters.promotion}}", "{{workflow.parameters.promotion}}"
    (graph,) = (one for one in template["spec"]["templates"] if "dag" in one)
    kept = {task["name"]: task for task in graph["dag"]["tasks"]}
    graph["dag"]["tasks"] = [kept["first-approval"], kept["first-merge"]]
    for key in ("depends", "when"):
        kept["first-approval"].pop(key, None)
    template["metadata"] = {"name": LIGHT, "labels": template["metadata"]["labels"]}
    port.kubectl("apply", "-f", "-", text=json.dumps(template).replace(given, wanted))


def _submitted(port: Harbour, promotion: str, model: str) -> None:
    """Let a workflow take it on."""
    parameters = form(
        model=model,
        version="v1",
        environment="prod",
        requested_by="dana",
        reason="many at once",
        promotion=promotion,
    )
    assert port.argo().submit(LIGHT, parameters, name=workflow_name(promotion, 0)) is not None


def _waiting(port: Harbour) -> dict[str, str]:
    """Promotion -> what stands at its node, where that waits for the approval."""
    nodes = ((one.promotion, node) for one in port.argo().alive() for node in one.nodes)
    return {promotion: node.message for promotion, node in nodes if node.waits and node.stage == "approve"}


def _pods(port: Harbour) -> list[str]:
    """Pods that run, but for the machinery's own."""
    names = [str(pod["metadata"]["name"]) for pod in port.pods()]
    return [name for name in names if not name.startswith(("lockgate-sweep", "lockgate-wanted"))]


# ----------------------------------------------------------------------------- what it costs


def _requests(port: Harbour) -> dict[str, int]:
    """What the forge (git and its API) and the desk were asked so far."""
    return {"forge": len(port.town.forge.requests), "desk": len(port.town.desk.requests)}


def _since(port: Harbour, before: dict[str, int]) -> dict[str, int]:
    return {name: count - before[name] for name, count in _requests(port).items()}


def _measured(port: Harbour, *words: str) -> dict[str, Any]:
    """A sweep in a process of its own that starts from nothing, as the sweeper's pod does each minute."""
    _cron(port, suspended=True)
    state = port.folder / f"sweeper-{time.monotonic_ns()}"
    environment = {**os.environ, **port.environment, "LOCKGATE_STATE_DIR": str(state)}
    before, began = _requests(port), time.monotonic()
    command = [str(Path(sys.executable).parent / "lockgate"), "--json", "sweep", *words]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        passes = list(_documents(process.stdout.read().decode()))
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, passes
    return {
        "passes": len(passes),
        "seen": max(told["seen"] for told in passes),
        "requests_to_argo": sum(told["requests"] for told in passes),
        **{f"requests_to_{name}": count for name, count in _since(port, before).items()},
        "seconds": round(time.monotonic() - began, 1),
        "seconds_of_passes": [told["seconds"] for told in passes],
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "memory_mib": round(used.ru_maxrss / 1024),
    }


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """JSON documents, one after the other."""
    while text := text.strip():
        document, end = json.JSONDecoder().raw_decode(text)
        yield document
        text = text[end:]


def _cron(port: Harbour, *, suspended: bool) -> None:
    patch = json.dumps({"spec": {"suspend": suspended}})
    port.kubectl("patch", "cronworkflow", "lockgate-sweep", "--type=merge", "-p", patch)


def _naive(port: Harbour, promotions: list[str]) -> dict[str, Any]:
    """A pod for each, which drives its promotion by itself and asks until the answer is there."""
    template = json.loads(port.kubectl("get", "workflowtemplate", TEMPLATE, "-o", "json"))["spec"]
    (step,) = (one["container"] for one in template["templates"] if one["name"] == "step")
    for number, promotion in enumerate(promotions):
        container = {**step, "name": "main", "args": ["retry", promotion, "--driver", "local"]}
        container["env"] = [*step["env"], {"name": "LOCKGATE_PERSON", "value": "dana"}]
        spec = {key: template[key] for key in ("volumes", "securityContext", "serviceAccountName")}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"naive-{number}", "labels": {"naive": "true"}},
            "spec": {**spec, "restartPolicy": "Never", "containers": [container]},
        }
        port.kubectl("apply", "-f", "-", text=json.dumps(pod))
    wait_until(
        "each pod drives", lambda: len(list(_drivers())) == len(promotions), seconds=600, every_seconds=2
    )
    time.sleep(60)  # until each has asked for the first time
    before, cpu = _requests(port), sum(_cpu(one) for one in _drivers())
    time.sleep(60)
    memory = [one.memory_full_info().pss / MIB for one in _drivers()]
    return {
        "pods": len(port.pods("naive=true")),
        "memory_mib": round(sum(memory)),
        "cpu_seconds_in_a_minute": round(sum(_cpu(one) for one in _drivers()) - cpu, 1),
        **{f"requests_to_{name}_in_a_minute": count for name, count in _since(port, before).items()},
    }


def _drivers() -> Iterator[psutil.Process]:
    """The processes of those pods; a pod's are this machine's."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "--driver" in words and "local" in words and "retry" in words:
            yield process


def _cpu(process: psutil.Process) -> float:
    """With that of the git commands it ran."""
    return float(sum(process.cpu_times()[:4]))
