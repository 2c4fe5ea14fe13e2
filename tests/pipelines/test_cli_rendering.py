"""The command workflow render: what it writes, keeps, removes and calls a drift; the sample's own base.

Covered: a new folder, a second run, the image, models and tiers that come and go, every kind of drift, what
the files by hand beside it must agree with. Left out: what the files say (test_templates).
LOCKGATE_REGENERATE=1 renders the sample anew, never in CI.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.workflow.templates import pods
from tests.commands import Ran, Shell
from tests.schemas import schema_errors

SAMPLE = Path(__file__).resolve().parents[2] / "gitops-repo"
WORKFLOWS = SAMPLE / "workflows"
IMAGE = "registry.example.com/lockgate@sha256:" + "b" * 64


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What people wrote in the sample, without anything rendered."""
    home = tmp_path / "models-repository"
    shutil.copytree(SAMPLE / "models", home / "models")
    shutil.copy(SAMPLE / "platform.yaml", home)
    return home


def render(home: Path, *words: object) -> Ran:
    """Run the command on a folder."""
    return Shell({"HOME": str(home)})("--repo", home, "workflow", "render", *words)


def rendered(home: Path) -> dict[str, str]:
    """What lies in the folder of rendered files."""
    return {place.name: place.read_text("utf-8") for place in (home / "workflows/base/rendered").iterdir()}


def every(folder: Path) -> list[dict[str, Any]]:
    """Every object of the YAML files of a folder."""
    return [
        one for place in sorted(folder.glob("*.yaml")) for one in yaml.safe_load_all(place.read_text("utf-8"))
    ]


# ---------------------------------------------------------------------------- the command


def test_a_tier_has_a_template_and_a_second_run_changes_nothing(repository: Path) -> None:
    """The files are listed as data; nothing has drifted then."""
    first = render(repository, "--image", IMAGE, "--json")
    assert first.code == 0, first.err
    assert first.json["schema"] == "lockgate.workflow.render/1"
    assert {"promote-regulated.yaml", "promote-standard.yaml", "promote-dev.yaml"} < set(first.json["files"])
    assert first.json["changed"] == sorted(first.json["files"])

    before = rendered(repository)
    assert render(repository, "--json").json["changed"] == []
    assert rendered(repository) == before
    assert render(repository, "--check").code == 0


def test_the_image_stays_until_another_is_named(repository: Path) -> None:
    """So that adding a model need not name it again."""
    render(repository, "--image", IMAGE)
    render(repository)
    assert f"image: {IMAGE}" in rendered(repository)["promote-dev.yaml"]
    assert render(repository, "--check").code == 0
    assert render(repository, "--check", "--image", "registry.example.com/other:1").code == 3


def test_models_and_tiers_come_and_go(repository: Path) -> None:
    """A model is a choice in its tier's form; the template of a tier that is gone is removed."""
    render(repository)
    document = yaml.safe_load((repository / "platform.yaml").read_text("utf-8"))
    del document["tiers"]["dev"]
    (repository / "platform.yaml").write_text(yaml.safe_dump(document), "utf-8")
    shutil.copytree(repository / "models/fraud-scorer", repository / "models/churn")
    release = repository / "models/churn/release.yaml"
    release.write_text(release.read_text("utf-8").replace("fraud-scorer", "churn"), "utf-8")
    ran = render(repository, "--check")
    assert ran.code == 3
    assert "promote-dev.yaml: is no file that is rendered" in ran.err

    assert render(repository).code == 0
    assert "promote-dev.yaml" not in rendered(repository)
    assert (
        "      enum:\n      - churn\n      - fraud-scorer\n" in rendered(repository)["promote-regulated.yaml"]
    )


def test_drift_is_found_file_by_file(repository: Path) -> None:
    """Changed, missing and foreign files, all at once, and nothing is written."""
    render(repository)
    folder = repository / "workflows/base/rendered"
    changed = folder / "sweep.yaml"
    changed.write_text(changed.read_text("utf-8").replace("drop:", "keep:"), "utf-8")
    (folder / "wanted.yaml").unlink()
    (folder / "mine.yaml").write_text("a: 1\n", "utf-8")
    before = rendered(repository)
    ran = render(repository, "--check")

    assert ran.code == 3
    assert re.search(r"sweep\.yaml:\d+: is not as it would be rendered: 2 lines differ", ran.err)
    assert "wanted.yaml: is missing" in ran.err
    assert "mine.yaml: is no file that is rendered" in ran.err
    assert rendered(repository) == before


def test_what_people_wrote_wrong_is_said_and_nothing_is_written(repository: Path) -> None:
    """As `lockgate lint` says it."""
    release = repository / "models/fraud-scorer/release.yaml"
    release.write_text(release.read_text("utf-8").replace("tier: regulated", "tier: regulatet"), "utf-8")
    ran = render(repository)

    assert ran.code == 3
    assert "release.yaml" in ran.err
    assert not (repository / "workflows").exists()


def test_it_is_written_where_it_is_asked_for(repository: Path, tmp_path: Path) -> None:
    """A folder of workflows anywhere."""
    assert render(repository, "--out", tmp_path / "elsewhere").code == 0
    assert (tmp_path / "elsewhere/base/rendered/settings.yaml").is_file()


# ------------------------------------------------------------------------------- the sample


def test_the_samples_workflows_have_not_drifted() -> None:
    """What is committed is what is rendered today."""
    if os.environ.get("LOCKGATE_REGENERATE") == "1" and not os.environ.get("CI"):
        assert render(SAMPLE).code == 0
    ran = render(SAMPLE, "--check")

    assert ran.code == 0, ran.err


def test_everything_by_hand_fits_its_schema_too() -> None:
    """Accounts, roles, the namespace, what an overlay adds. Token Secrets have no schema here."""
    found = [one for folder in ("base", "overlays/example") for one in every(WORKFLOWS / folder)]
    kinds = {one["kind"] for one in found}
    assert {"Namespace", "ServiceAccount", "Role", "RoleBinding", "Secret", "Kustomization"} == kinds
    for one in found:
        if one["kind"] not in ("Kustomization", "Secret"):
            assert schema_errors(one) == []


def test_accounts_by_hand_are_those_that_the_templates_name() -> None:
    """And each whose token is used has one."""
    base = every(WORKFLOWS / "base")
    accounts = {one["metadata"]["name"] for one in base if one["kind"] == "ServiceAccount"}
    tokens = {one["metadata"]["name"] for one in base if one["kind"] == "Secret"}

    assert accounts == {pods.ACCOUNT, pods.EXECUTOR, pods.DRIVER, pods.EVENTS}
    assert tokens == {f"{name}.service-account-token" for name in (pods.EXECUTOR, pods.DRIVER, pods.EVENTS)}
    assert pods.DRIVER_TOKEN in tokens


def test_no_account_may_do_more_than_it_needs() -> None:
    """Nobody reads secrets or pods, nobody may do everything, and the pods' own account may do nothing."""
    base = every(WORKFLOWS / "base")
    roles = {one["metadata"]["name"]: one["rules"] for one in base if one["kind"] == "Role"}
    allowed = {
        (name, resource) for name, rules in roles.items() for rule in rules for resource in rule["resources"]
    }

    assert allowed == {
        (pods.EXECUTOR, "workflowtaskresults"),
        (pods.DRIVER, "workflows"),
        (pods.DRIVER, "workflowtemplates"),
        (pods.DRIVER, "cronworkflows"),
        (pods.DRIVER, "workfloweventbindings"),
        (pods.EVENTS, "workfloweventbindings"),
        (pods.EVENTS, "workflowtemplates"),
        (pods.EVENTS, "workflows"),
    }
    verbs = {verb for rules in roles.values() for rule in rules for verb in rule["verbs"]}
    assert "*" not in verbs
    assert [rule["verbs"] for rule in roles[pods.EXECUTOR]] == [["create", "patch"]]
    bound = {subject["name"] for one in base if one["kind"] == "RoleBinding" for subject in one["subjects"]}
    assert pods.ACCOUNT not in bound
    for one in base:
        if one["kind"] == "ServiceAccount":
            assert one["automountServiceAccountToken"] is False


def test_the_namespace_is_that_of_platform_yaml() -> None:
    """Written in two places by people, and the same in both."""
    platform = yaml.safe_load((SAMPLE / "platform.yaml").read_text("utf-8"))
    kustomization = yaml.safe_load((WORKFLOWS / "base/kustomization.yaml").read_text("utf-8"))
    (namespace,) = [one for one in every(WORKFLOWS / "base") if one["kind"] == "Namespace"]

    assert kustomization["namespace"] == platform["systems"]["workflows"]["namespace"]
    assert namespace["metadata"]["name"] == kustomization["namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_whatever_is_applied_keeps_its_order() -> None:
    """Kustomize would put a CronWorkflow before its template."""
    for folder in ("base", "overlays/example"):
        kustomization = yaml.safe_load((WORKFLOWS / folder / "kustomization.yaml").read_text("utf-8"))
        assert kustomization["sortOptions"] == {"order": "fifo"}
        for resource in kustomization["resources"]:
            assert (WORKFLOWS / folder / resource).exists()


def test_people_of_the_overlay_submit_and_look_and_change_nothing() -> None:
    """Answers of waits are given by the sweeper alone."""
    (role,) = [one for one in every(WORKFLOWS / "overlays/example") if one["kind"] == "Role"]
    verbs = {verb for rule in role["rules"] for verb in rule["verbs"]}

    assert verbs == {"get", "list", "watch", "create"}
