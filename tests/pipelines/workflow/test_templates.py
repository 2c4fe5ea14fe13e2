"""What Argo is told: fields, pods, forms, and that a promotion's workflow ends whatever its tasks do.

Covered: our lint and the real one over every kind of tier, schemas, the security context of every container,
where placeholders stand, secrets by reference, waits with a safe default, a run of the sample's templates by
the local engine with tasks that fail, wait, are stopped or resumed by hand. Left out: the graph's order
(test_graph), the command that writes the files (test_cli_rendering), a real cluster.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import InvalidInput
from pipelines.spec.read import read_platform
from pipelines.spec.types import Platform, Tier
from pipelines.workflow.lint import lint
from pipelines.workflow.running import Launch, Run, read_workflow, unsupported
from pipelines.workflow.templates import HEAD, files, image_of
from tests.pipelines.workflow.tiers import tier, tiers
from tests.schemas import schema_errors

SAMPLE = Path(__file__).resolve().parents[3] / "gitops-repo"
IMAGE = "registry.example.com/lockgate@sha256:" + "a" * 64
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}")
FORM = {
    "model": "fraud-scorer",
    "environment": "prod",
    "requested-by": "dana",
    "reason": "better recall",
}

Object = dict[str, Any]


@functools.cache
def platform() -> Platform:
    """The sample's."""
    return read_platform((SAMPLE / "platform.yaml").read_text("utf-8"), "platform.yaml")


def rendered(**tiers: Tier) -> dict[str, str]:
    """Every file of the sample's platform, or of one with these tiers."""
    of = platform().model_copy(update={"tiers": tiers}) if tiers else platform()
    return files(of, {"regulated": ["fraud-scorer"]}, image=IMAGE)


@functools.cache
def objects() -> tuple[Object, ...]:
    """Every object of the sample's platform."""
    return tuple(one for text in rendered().values() for one in yaml.safe_load_all(text))


def kinds(kind: str) -> list[Object]:
    """The objects of one kind."""
    return [one for one in objects() if one["kind"] == kind]


def templates() -> Iterator[tuple[str, Object]]:
    """Every template of every workflow, with the name of its object."""
    for one in kinds("WorkflowTemplate"):
        for template in one["spec"]["templates"]:
            yield one["metadata"]["name"], template


def containers() -> Iterator[Object]:
    """Every container of ours."""
    return (template["container"] for _, template in templates() if "container" in template)


def find(name: str) -> Object:
    """A WorkflowTemplate."""
    return next(one for one in kinds("WorkflowTemplate") if one["metadata"]["name"] == name)


# --------------------------------------------------------------------------- what is valid


def test_the_same_platform_gives_the_same_bytes() -> None:
    """Each file says on its first line who writes it."""
    assert rendered() == rendered()
    assert all(text.startswith(HEAD) for text in rendered().values())


def test_what_others_write_as_yaml_is_as_if_hera_had_not_been_imported() -> None:
    """It changes how every dumper of the process writes text of several lines."""
    code = "import yaml, sys; {}; sys.stdout.write(yaml.safe_dump('a\\nb: y') + yaml.dump(['a\\nb', 'y']))"
    wrote = [
        subprocess.run(
            [sys.executable, "-c", code.format(what)], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        for what in ("pass", "import pipelines.workflow.templates")
    ]

    assert wrote[0] == wrote[1] != ""


def test_every_object_fits_its_schema() -> None:
    """Argo's own definitions, made strict; the file of kustomize has none."""
    for one in objects():
        if one["kind"] != "Kustomization":
            assert schema_errors(one) == [], one["metadata"]["name"]


@settings(max_examples=15, deadline=None)
@given(tiers())
def test_the_lint_has_nothing_to_say_of_any_tier(policy: Tier) -> None:
    """Fields, names, references, arguments, order, placeholders."""
    linted = lint(rendered(any=policy))

    assert linted.findings == ()
    assert linted.notes == ()


def test_argos_own_lint_has_nothing_to_say(tmp_path: Path) -> None:
    """Of the sample's templates, and of tiers of every strategy."""
    program = os.environ.get("LOCKGATE_ARGO_CLI") or shutil.which("argo")
    if not program:
        pytest.skip("there is no argo on the PATH; name the program in LOCKGATE_ARGO_CLI")
    pinned = tier("pinned", gates={"policy": {}}, approval=None, soak="0s")
    texts = rendered() | rendered(flat=tier("blue_green"), held=pinned)
    checked = [name for name in texts if name not in ("kustomization.yaml", "settings.yaml")]
    for name in checked:
        (tmp_path / name).write_text(texts[name], "utf-8")
    command = [program, "lint", "--offline", *(str(tmp_path / name) for name in checked)]
    ran = subprocess.run(command, capture_output=True, text=True, env={"HOME": str(tmp_path)}, timeout=60)

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_is_applied_is_every_file_and_templates_before_what_refers_to_them() -> None:
    """A CronWorkflow whose template is not there yet is given up for a long time."""
    (kustomization,) = kinds("Kustomization")
    assert kustomization["resources"] == [name for name in rendered() if name != "kustomization.yaml"]
    seen: set[str] = set()
    for one in objects():
        if one["kind"] == "WorkflowTemplate":
            seen.add(one["metadata"]["name"])
        if one["kind"] == "CronWorkflow":
            assert one["spec"]["workflowSpec"]["workflowTemplateRef"]["name"] in seen


# ------------------------------------------------------------------------------- the pods


def test_every_container_is_locked_down() -> None:
    """Ours and Argo's own: no root, no way to become it, nothing to write to but volumes."""
    found = list(containers())
    assert len(found) > 10
    for container in found:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= container["resources"].keys()
        assert {"cpu", "memory"} == container["resources"]["limits"].keys()
    for one in kinds("WorkflowTemplate"):
        spec = one["spec"]
        patch = json.loads(spec["podSpecPatch"])
        for theirs in (*patch["initContainers"], *patch["containers"]):
            assert theirs["securityContext"] == found[0]["securityContext"]
        assert spec["securityContext"]["runAsUser"] >= 10000
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_no_container_of_ours_holds_a_token_of_the_cluster() -> None:
    """Argo's container in each pod has one, by an account that may report results and nothing else."""
    for one in kinds("WorkflowTemplate"):
        assert one["spec"]["automountServiceAccountToken"] is False
        assert one["spec"]["executor"] == {"serviceAccountName": "lockgate-executor"}
        assert one["spec"]["serviceAccountName"] == "lockgate"


def test_every_container_runs_one_command_without_a_shell_from_one_image() -> None:
    """The controller need not ask a registry what an image runs."""
    for container in containers():
        assert container["command"] == ["lockgate"]
        assert container["args"]
        assert container["image"] == IMAGE


def test_nothing_lives_for_ever() -> None:
    """Every pod has a deadline and is removed, every workflow goes some days after its end."""
    for _, template in templates():
        assert template.get("activeDeadlineSeconds", 0) > 0 or "container" not in template
    for one in kinds("WorkflowTemplate"):
        assert one["spec"]["podGC"]["strategy"] == "OnPodCompletion"
        assert one["spec"]["ttlStrategy"]["secondsAfterCompletion"] > 0


def test_what_has_to_be_asked_again_is_asked_again_with_a_pause() -> None:
    """Argo 4.0 keeps to a backoff only where there is a limit."""
    for _, template in templates():
        if "container" in template and "retryStrategy" in template:
            retry = template["retryStrategy"]
            assert retry["expression"] == "asInt(lastRetry.exitCode) in [75, 5, -1]"
            assert retry["limit"] == (20 if template["name"] == "start" else 1000)
            assert retry["backoff"].keys() == {"duration", "factor", "cap"}


def test_locks_are_held_by_pods_that_write_on_main_and_by_no_wait() -> None:
    """One at a time for a model in an environment."""
    locked = {
        template["name"]: template["synchronization"]["mutexes"]
        for name, template in templates()
        if name == "promote-regulated" and "synchronization" in template
    }

    assert locked.keys() == {"step-on-main", "roll-back"}
    ((mutex,),) = {tuple(one["name"] for one in mutexes) for mutexes in locked.values()}
    assert "{{workflow.parameters.model}}-{{workflow.parameters.environment}}" in mutex


# ----------------------------------------------------------------------- values and secrets


def test_placeholders_stand_in_arguments_and_labels_alone() -> None:
    """Never in a command, an image, a variable, an expression or a script."""
    allowed = ("args", "when", "value", "name")
    for place, text in _texts(objects()):
        if PLACEHOLDER.search(text):
            assert place[-1] in allowed or place[-2] in allowed, place
            assert place[-1] != "name" or "mutexes" in place
            assert "{{=" not in text


def test_what_people_wrote_reaches_one_argument_each_of_the_first_step() -> None:
    """As ``--option=value``, so that no value can be taken for an option; no other task sees it."""
    words = [arg for container in containers() for arg in container["args"]]
    free = [word for word in words if re.search(r"inputs\.parameters\.(reason|requested-by|version)", word)]

    assert {
        "--reason={{inputs.parameters.reason}}",
        "--requested-by={{inputs.parameters.requested-by}}",
        "--version={{inputs.parameters.version}}",
    } == set(free)
    assert all(word.startswith("--") or word.count("{{") == 0 for word in words if word != _STAGE)


_STAGE = "{{inputs.parameters.stage}}"
"""The one argument without an option; it is written into the graph, never given."""


def test_no_value_of_an_event_goes_anywhere() -> None:
    """Both bindings wake one command that takes no argument."""
    bindings = kinds("WorkflowEventBinding")
    assert len(bindings) == 2
    for one in bindings:
        assert one["spec"]["submit"] == {"workflowTemplateRef": {"name": "lockgate-wanted"}}
    (github,) = [one for one in bindings if "github" in one["spec"]["event"]["selector"]]
    assert 'metadata["x-github-event"] == ["push"]' in github["spec"]["event"]["selector"]
    assert "arguments" not in find("lockgate-wanted")["spec"]


def test_secrets_come_by_reference_and_files_as_volumes() -> None:
    """Each ``env:`` of platform.yaml by its name, each ``file:`` where platform.yaml looks for it."""
    start = next(one for one in containers() if "start" in one["args"])
    named = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in start["env"]}
    mounts = {one["mountPath"]: one for one in start["volumeMounts"]}

    assert {"ARGOCD_TOKEN", "MLFLOW_TOKEN", "PROMETHEUS_TOKEN", "SERVICENOW_PASSWORD"} <= named.keys()
    assert {"name": "lockgate", "key": "ARGOCD_TOKEN"} == named["ARGOCD_TOKEN"]
    assert mounts["/var/run/secrets/lockgate"]["readOnly"] is True
    (settings,) = kinds("ConfigMap")
    assert settings["data"]["LOCKGATE_GIT_APP"].startswith("314159:27182818:file:/")
    assert all("value" not in one for one in start["env"])


def test_a_sweeper_is_over_before_the_next_one_is_due() -> None:
    """One that were not would cost the whole minute of the next: they do not run side by side."""
    (schedule,) = (
        one["spec"] for one in kinds("CronWorkflow") if one["metadata"]["name"] == "lockgate-sweep"
    )
    ((_, template),) = ((name, one) for name, one in templates() if name == "lockgate-sweep")
    command, option = template["container"]["args"]

    assert (schedule["schedules"], schedule["concurrencyPolicy"]) == (["* * * * *"], "Forbid")
    assert command == "sweep"
    assert 30 < float(option.removeprefix("--for=")) <= 50


def test_the_token_for_argo_is_given_to_the_sweeper_and_the_trigger_alone() -> None:
    """From the Secret that the cluster makes for their account."""
    holders = {
        name: one["valueFrom"]["secretKeyRef"]["name"]
        for name, template in templates()
        for one in template.get("container", {}).get("env", ())
        if one["name"] == "ARGO_WORKFLOWS_TOKEN"
    }

    assert holders == dict.fromkeys(
        ("lockgate-sweep", "lockgate-wanted"), "lockgate-driver.service-account-token"
    )


def test_two_files_of_one_name_cannot_be_keys_of_one_secret() -> None:
    """Said before anything is written."""
    text = (SAMPLE / "platform.yaml").read_text("utf-8")
    double = text.replace("password: env:SERVICENOW_PASSWORD", "password: file:/etc/desk/github-app.pem")
    with pytest.raises(InvalidInput, match=r"github-app\.pem"):
        files(read_platform(double, "platform.yaml"), {}, image=IMAGE)


def test_a_token_in_the_environment_is_also_gits() -> None:
    """Where platform.yaml names no App."""
    document = yaml.safe_load((SAMPLE / "platform.yaml").read_text("utf-8"))
    document["systems"]["forge"] |= {"token": "env:FORGE"}
    del document["systems"]["forge"]["app"]
    texts = files(read_platform(yaml.safe_dump(document), "platform.yaml"), {}, image=IMAGE)

    sweep = next(yaml.safe_load_all(texts["sweep.yaml"]))["spec"]["templates"][0]["container"]
    named = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in sweep["env"]}
    assert named["FORGE"] == named["LOCKGATE_GIT_TOKEN"] == {"name": "lockgate", "key": "FORGE"}
    assert "LOCKGATE_GIT_APP" not in texts["settings.yaml"]


# ---------------------------------------------------------------------------------- the form


def test_the_form_offers_the_tiers_models_and_the_environments() -> None:
    """Nothing is chosen beforehand, and previews are no place to promote to."""
    asked = {one["name"]: one for one in find("promote-regulated")["spec"]["arguments"]["parameters"]}

    assert asked["model"]["enum"] == ["fraud-scorer"]
    assert asked["environment"]["enum"] == ["staging", "prod"]
    assert asked["urgency"]["enum"] == ["normal", "emergency"]
    assert {"model", "environment"} == {name for name, one in asked.items() if "value" not in one}
    assert all(one["description"] for one in asked.values())
    other = {one["name"]: one for one in find("promote-dev")["spec"]["arguments"]["parameters"]}
    assert "enum" not in other["model"]


def test_every_wait_has_a_safe_default() -> None:
    """Whoever resumes it without an answer says no."""
    waits = [template for _, template in templates() if "suspend" in template]
    assert waits
    for template in waits:
        (answer,) = template["outputs"]["parameters"]
        assert answer["valueFrom"] == {"default": "stop", "supplied": {}}
        assert answer["enum"] == ["go", "stop"]
        assert template["suspend"] == {}


def test_the_image_is_remembered_in_the_settings() -> None:
    """So that the next rendering need not be told."""
    assert image_of(rendered()["settings.yaml"]) == IMAGE
    assert image_of("kind: ConfigMap\n") == ""


# -------------------------------------------------------------------------------- it is run


class Drive:
    """The template of a tier, run by the local engine; each pod ends as ``does`` says."""

    def __init__(
        self, template: Object, does: Callable[[Launch], int | None], *, first: bool = False
    ) -> None:
        assert unsupported(read_workflow(template)) == []
        self.now = NOW
        self.run = Run(read_workflow(template), FORM, now=NOW, name="wf")
        self.does, self.first = does, first
        self.started: list[str] = []

    def go(self, answers: Mapping[str, str] | None = None) -> Drive:
        """Until it has ended or nothing happens any more; waits are told go, unless ``answers`` differ."""
        for _ in range(500):
            self.now += timedelta(minutes=10)
            launched = self.run.ready(self.now)
            for one in launched:
                self._end(one)
            waits = [node for node in self.run.nodes.values() if node.is_suspended]
            for node in waits:
                answer = (answers or {}).get(node.display_name, "go")
                if answer == "by hand":
                    self.run.resume(None, self.now)
                    break
                self.run.set_output({"id": node.id}, {"answer": answer}, self.now)
                self.run.resume({"id": node.id}, self.now)
            if self.run.finished_at or not (launched or waits or self.run.wakes_at):
                break
        return self

    def _end(self, launch: Launch) -> None:
        task = re.sub(r"\([0-9]+\)$", "", launch.display_name)
        self.started.append(task)
        told = {"promotion": "fraud-scorer-prod-1", "first": str(self.first).lower()}
        code = self.does(launch)
        self.run.finished(launch.node, self.now, exit_code=code, outputs=told if code == 0 else {})

    @property
    def phases(self) -> dict[str, str]:
        """Task -> its phase."""
        return {node.display_name: node.phase for node in self.run.nodes.values() if not node.retried}


def fails(*names: str, code: int | None = 4) -> Callable[[Launch], int | None]:
    """These tasks end with this code, and the outcome says no; all others are done."""

    def does(launch: Launch) -> int | None:
        task = re.sub(r"\([0-9]+\)$", "", launch.display_name)
        if task in names:
            return code
        return 4 if task == "outcome" and names else 0

    return does


def test_a_version_that_holds_climbs_to_the_end() -> None:
    """Every stage of the plan runs once, nothing of a first version's way, and the workflow is green."""
    drive = Drive(find("promote-regulated"), fails()).go()

    assert drive.run.phase == "Succeeded"
    assert drive.started[-3:] == ["shift-100", "finish", "outcome"]
    assert not [task for task in drive.started if task.startswith(("first-", "roll-back"))]
    assert drive.phases["first-approve"] == "Skipped"
    assert drive.phases["roll-back"] == "Omitted"


def test_a_first_version_takes_its_own_way() -> None:
    """No share below 100, and the approval before the merge."""
    drive = Drive(find("promote-regulated"), fails(), first=True).go()

    assert drive.run.phase == "Succeeded"
    assert drive.started[-5:] == ["first-approve", "first-merge", "first-shift-100", "finish", "outcome"]
    assert drive.phases["shift-10"] == "Omitted"


@pytest.mark.parametrize("name", ["promote-regulated", "promote-standard", "promote-language", "promote-dev"])
@pytest.mark.parametrize("first", [False, True])
def test_from_every_task_that_fails_the_way_leads_to_roll_back(name: str, first: bool) -> None:
    """And the workflow is red; finish is not reached. What a gate said, the judge says again."""
    gates = {"policy", "signature", "compatibility", "evaluation", "answers", "load"}
    whole = Drive(find(name), fails(), first=first).go()
    for task in whole.started:
        if task in ("start", "outcome"):
            continue
        drive = Drive(find(name), fails(task, *({"judge"} if task in gates else ())), first=first).go()

        assert drive.run.phase == "Failed", task
        assert drive.started[-2:] == ["roll-back", "outcome"], task
        assert "finish" not in drive.started or task == "finish"


def test_a_gate_that_was_lost_is_asked_again_by_the_judge() -> None:
    """It is the judge that says whether all pass; a task of a gate only asks sooner."""
    lost = fails("policy", code=1)
    drive = Drive(find("promote-dev"), lambda launch: 0 if "outcome" in launch.name else lost(launch)).go()

    assert drive.phases["policy"] == "Failed"
    assert drive.run.phase == "Succeeded"


def test_where_nothing_was_begun_nothing_goes_back() -> None:
    """A form that cannot be used ends the workflow at once."""
    drive = Drive(find("promote-regulated"), fails("start", code=3)).go()

    assert drive.run.phase == "Failed"
    assert drive.started == ["start"]


@pytest.mark.parametrize("answer", ["stop", "by hand", "Go", ""])
def test_at_every_wait_anything_but_go_is_a_no(answer: str) -> None:
    """Also the default, which a person's resume without a selector gives."""
    waits = ["review", "bake-10", "bake-25", "bake-50", "approval", "bake-100"]
    for wait in waits:
        drive = Drive(find("promote-regulated"), fails("roll-back")).go({wait: answer})

        assert drive.run.phase == "Failed"
        assert drive.started[-2:] == ["roll-back", "outcome"]
        assert "finish" not in drive.started


@pytest.mark.parametrize("code", [75, 5, None])
def test_a_step_that_is_not_done_is_asked_again(code: int | None) -> None:
    """Not yet, could not tell, and a pod that was lost."""
    tries = iter([code, code, 0])
    drive = Drive(
        find("promote-regulated"),
        lambda launch: next(tries) if launch.display_name.startswith("shift-10(") else 0,
    ).go()

    assert drive.run.phase == "Succeeded"
    assert drive.started.count("shift-10") == 3


@pytest.mark.parametrize("code", [1, 3, 4, 137])
def test_any_other_end_is_not_asked_again(code: int) -> None:
    """Refused, invalid, a fault of ours, out of memory."""
    drive = Drive(find("promote-regulated"), fails("shift-10", code=code)).go()

    assert drive.started.count("shift-10") == 1
    assert drive.run.phase == "Failed"


@settings(max_examples=25, deadline=None)
@given(tiers(), st.randoms(use_true_random=False), st.booleans())
def test_whatever_happens_a_workflow_ends(policy: Tier, chance: Any, first: bool) -> None:
    """With pods that end in any way and waits that are answered anyhow; finish needs every rung before it."""
    template = yaml.safe_load(rendered(any=policy)["promote-any.yaml"])
    codes = [0, 0, 0, 0, 0, 0, 75, 5, None, 4, 1]
    drive = Drive(template, lambda launch: chance.choice(codes), first=first)
    waits = [task["name"] for task in template["spec"]["templates"][-1]["dag"]["tasks"]]
    drive.go({name: chance.choice(["go", "go", "go", "stop", "by hand"]) for name in waits})

    assert drive.run.finished_at
    if drive.phases.get("start") == "Succeeded":
        assert "roll-back" in drive.started or drive.phases["finish"] == "Succeeded"


def _texts(value: object, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping):
        for key, held in value.items():
            yield from _texts(held, (*place, str(key)))
    elif isinstance(value, list | tuple):
        for held in value:
            yield from _texts(held, (*place, "[]"))
    elif isinstance(value, str):
        yield place, value
