"""The sample repository works as it stands: Argo CD would take it, lint passes, nothing in it has drifted.

Applying it to a real cluster is not tested here. LOCKGATE_REGENERATE=1 renders ``clusters/``
anew, never in CI.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gates.compatibility.clients import read_clients
from gates.contract import Status
from gates.evaluation.answers import Answers
from gates.policy import check
from gates.policy.fields import KINDS
from pipelines.render import Serves, render, serves_of
from pipelines.spec.read import gate_settings, read_all
from pipelines.spec.types import Platform, Release
from tests.questions import question
from tests.schemas import schema_errors

SAMPLE = Path(__file__).resolve().parents[1] / "gitops-repo"
PROMOTIONS = {
    "fraud-scorer": {
        "staging": "fraud-scorer-staging-20261102T081500Z-31c2",
        "prod": "fraud-scorer-prod-20261103T091000Z-7f3a",
    },
    "claims-assistant": {
        "staging": "claims-assistant-staging-20261104T101500Z-5d2e",
        "prod": "claims-assistant-prod-20261105T091000Z-c08b",
    },
}
"""Model -> environment -> the promotion that made the version its release names the stable one."""

Manifest = dict[str, Any]


def texts(folder: str) -> dict[str, str]:
    """Path below the sample -> text, of every YAML file in one of its folders."""
    return {
        path.relative_to(SAMPLE).as_posix(): path.read_text("utf-8")
        for path in sorted((SAMPLE / folder).rglob("*.yaml"))
    }


def sample(model: str = "fraud-scorer") -> tuple[Platform, Release]:
    """What people wrote of the platform and of one model."""
    releases_written = {
        path: text for path, text in texts("models").items() if path.endswith("/release.yaml")
    }
    written = {"platform.yaml": (SAMPLE / "platform.yaml").read_text("utf-8"), **releases_written}
    platform, releases = read_all(written)
    assert releases.keys() == PROMOTIONS.keys()
    return platform, releases[model]


def rendered() -> dict[str, str]:
    """What the renderer writes today for the versions that serve."""
    files: dict[str, str] = {}
    for model, promotions in PROMOTIONS.items():
        platform, release = sample(model)
        for environment, promotion in promotions.items():
            serves = Serves(stable=release.version, candidate=None, share_percent=100, promotion=promotion)
            files |= render(release, environment, platform.environments[environment], serves)
    return files


def argocd() -> dict[str, Manifest]:
    """File name -> the manifest in it."""
    return {Path(path).stem: yaml.safe_load(text) for path, text in texts("argocd").items()}


def fill(value: Any, path: str) -> Any:
    """A template of the ApplicationSet filled for one folder, as its git directory generator fills it."""
    if isinstance(value, dict):
        return {key: fill(inner, path) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, path) for inner in value]
    if not isinstance(value, str):
        return value
    segments = path.split("/")
    known = {".path.basename": segments[-1], ".path.path": path, "index .path.segments 2": segments[2]}
    for expression, worth in known.items():
        value = value.replace(f"{{{{ {expression} }}}}", worth)
    assert "{{" not in value
    return value


def application(environment: str, manifests: dict[str, Manifest], tenant: str = "risk") -> Manifest:
    """The Application that the ApplicationSet of an environment makes for the sample's model."""
    made = fill(manifests[environment]["spec"]["template"], f"clusters/{environment}/{tenant}/fraud-scorer")
    made["metadata"]["namespace"] = "argocd"
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", **made}


def wrongs(manifests: dict[str, Manifest]) -> Iterator[str]:
    """What in the Argo CD manifests would let traffic move without lockgate, or not move at all."""
    platform, release = sample()
    yield from _project_wrongs(manifests["project"], platform)
    tracking = manifests["settings"]["data"].get("application.resourceTrackingMethod")
    if tracking != "annotation":
        yield f"resources are tracked by {tracking}"
    for name, environment in platform.environments.items():
        one = application(name, manifests)
        spec = one["spec"]
        if one["metadata"]["name"] != environment.argocd.application.replace("{model}", release.model):
            yield f"{name}: application {one['metadata']['name']} is not the one of platform.yaml"
        if spec["destination"]["namespace"] != environment.namespace.replace("{tenant}", release.tenant):
            yield f"{name}: namespace {spec['destination']['namespace']} is not the one of platform.yaml"
        if "automated" in spec.get("syncPolicy", {}):
            yield f"{name}: auto-sync is on"
        if spec["source"]["repoURL"] != platform.systems.forge.git_url:
            yield f"{name}: another repository"
        if spec["source"]["path"] != f"clusters/{name}/{release.tenant}/{release.model}":
            yield f"{name}: another folder: {spec['source']['path']}"
        if spec["project"] != environment.argocd.project:
            yield f"{name}: another project"
        if manifests[name]["spec"]["syncPolicy"]["applicationsSync"] != "create-update":
            yield f"{name}: an application is deleted with its folder"


def _project_wrongs(project: Manifest, platform: Platform) -> Iterator[str]:
    spec = project["spec"]
    kinds = {(one["group"], one["kind"]) for one in spec["namespaceResourceWhitelist"]}
    rendered_kinds = {(version.rpartition("/")[0], kind) for version, kind in KINDS}
    if kinds != rendered_kinds or spec["clusterResourceWhitelist"]:
        yield f"the project allows {sorted(kinds)}"
    wanted = {one.namespace.replace("{tenant}", "*") for one in platform.environments.values()}
    if {one["namespace"] for one in spec["destinations"]} != wanted:
        yield "the project allows other namespaces than platform.yaml's"
    if spec["sourceRepos"] != [platform.systems.forge.git_url]:
        yield "the project allows other repositories"
    policies = [policy for role in spec["roles"] for policy in role["policies"]]
    if rights := {policy.split(", ")[3] for policy in policies} - {"get", "sync"}:
        yield f"the promoter may {', '.join(sorted(rights))}"
    if any(policy.split(", ")[4] != f"{project['metadata']['name']}/*" for policy in policies):
        yield "the promoter reaches other projects"


# ----------------------------------------------------------------------- clusters


def test_clusters_are_what_the_renderer_writes_today() -> None:
    """A change of the templates that is not carried over to the sample is seen here."""
    wanted = rendered()
    if os.environ.get("LOCKGATE_REGENERATE") == "1":
        assert "CI" not in os.environ, "the sample is never regenerated in CI"
        for path, text in wanted.items():
            (SAMPLE / path).parent.mkdir(parents=True, exist_ok=True)
            (SAMPLE / path).write_text(text, "utf-8")

    assert wanted == texts("clusters")


def test_drift_is_seen() -> None:
    """One replica more is another file."""
    platform, release = sample()
    replicas = release.serving.replicas.model_copy(update={"max": release.serving.replicas.max + 1})
    changed = release.model_copy(
        update={"serving": release.serving.model_copy(update={"replicas": replicas})}
    )
    serves = Serves(stable=release.version, candidate=None, share_percent=100, promotion="")

    assert set(render(changed, "prod", platform.environments["prod"], serves).items()) - set(
        texts("clusters").items()
    )


@pytest.mark.parametrize("model", PROMOTIONS)
def test_the_sample_says_what_is_stable(model: str) -> None:
    """What is served agrees with what release.yaml wants, so that the first edit is the first promotion."""
    _, release = sample(model)
    held = texts("clusters")

    for environment in PROMOTIONS[model]:
        place = f"clusters/{environment}/{release.tenant}/{model}/"
        folder = {path: text for path, text in held.items() if path.startswith(place)}
        serves = serves_of(folder)
        assert serves is not None
        assert (serves.stable, serves.candidate) == (release.version, None)


def test_the_sample_breaks_no_rule() -> None:
    """Our own policy gate has nothing against it."""
    assert check(texts("clusters")) == []


# ------------------------------------------------------------------------ Argo CD


@pytest.mark.parametrize("path", [*texts("argocd"), *texts("clusters")])
def test_every_manifest_fits_the_schema_of_its_kind(path: str) -> None:
    """As the API server and the controllers would take it."""
    text = (SAMPLE / path).read_text("utf-8")

    assert [error for one in yaml.safe_load_all(text) for error in schema_errors(one)] == []


def test_a_misspelt_field_does_not_fit() -> None:
    """The schemas are strict."""
    project = argocd()["project"]
    project["spec"]["sourceRepositories"] = project["spec"].pop("sourceRepos")

    assert schema_errors(project)


@pytest.mark.parametrize("environment", ["preview", "staging", "prod"])
def test_the_applications_made_fit_their_schema(environment: str) -> None:
    """The template is filled as the generator would, and the result is an Application."""
    assert schema_errors(application(environment, argocd())) == []


def test_argo_cd_moves_nothing_by_itself() -> None:
    """Names, folders, namespaces and rights are those of platform.yaml; auto-sync is off everywhere."""
    assert list(wrongs(argocd())) == []


def _auto_sync(manifests: dict[str, Manifest]) -> None:
    manifests["prod"]["spec"]["template"]["spec"]["syncPolicy"]["automated"] = {}


def _override(manifests: dict[str, Manifest]) -> None:
    role = manifests["project"]["spec"]["roles"][0]
    role["policies"].append("p, proj:models:promoter, applications, override, models/*, allow")


def _all_projects(manifests: dict[str, Manifest]) -> None:
    role = manifests["project"]["spec"]["roles"][0]
    role["policies"].append("p, proj:models:promoter, applications, get, */*, allow")


def _any_kind(manifests: dict[str, Manifest]) -> None:
    manifests["project"]["spec"]["namespaceResourceWhitelist"].append({"group": "*", "kind": "*"})


def _any_namespace(manifests: dict[str, Manifest]) -> None:
    manifests["project"]["spec"]["destinations"][0]["namespace"] = "*"


def _other_repository(manifests: dict[str, Manifest]) -> None:
    manifests["project"]["spec"]["sourceRepos"].append("*")


def _other_source(manifests: dict[str, Manifest]) -> None:
    manifests["prod"]["spec"]["template"]["spec"]["source"]["repoURL"] = "https://example.com/fork.git"


def _other_name(manifests: dict[str, Manifest]) -> None:
    manifests["prod"]["spec"]["template"]["metadata"]["name"] = "{{ .path.basename }}"


def _other_folder(manifests: dict[str, Manifest]) -> None:
    manifests["prod"]["spec"]["template"]["spec"]["source"]["path"] = "clusters/prod"


def _other_home(manifests: dict[str, Manifest]) -> None:
    manifests["prod"]["spec"]["template"]["spec"]["destination"]["namespace"] = "prod"


def _other_project(manifests: dict[str, Manifest]) -> None:
    manifests["staging"]["spec"]["template"]["spec"]["project"] = "default"


def _deleting(manifests: dict[str, Manifest]) -> None:
    manifests["prod"]["spec"]["syncPolicy"]["applicationsSync"] = "sync"


def _label_tracking(manifests: dict[str, Manifest]) -> None:
    manifests["settings"]["data"]["application.resourceTrackingMethod"] = "label"


PLANTED: list[tuple[Callable[[dict[str, Manifest]], None], str]] = [
    (_auto_sync, "prod: auto-sync is on"),
    (_override, "the promoter may override"),
    (_all_projects, "the promoter reaches other projects"),
    (_any_kind, "the project allows"),
    (_any_namespace, "the project allows other namespaces"),
    (_other_repository, "the project allows other repositories"),
    (_other_source, "prod: another repository"),
    (_other_name, "prod: application fraud-scorer is not"),
    (_other_folder, "prod: another folder"),
    (_other_home, "prod: namespace prod is not"),
    (_other_project, "staging: another project"),
    (_deleting, "prod: an application is deleted"),
    (_label_tracking, "resources are tracked by label"),
]


@pytest.mark.parametrize(("plant", "said"), PLANTED, ids=[plant.__name__[1:] for plant, _ in PLANTED])
def test_a_weakened_setting_is_named(plant: Callable[[dict[str, Manifest]], None], said: str) -> None:
    """Each planted weakness is the one thing found."""
    manifests = copy.deepcopy(argocd())
    plant(manifests)
    found = list(wrongs(manifests))

    assert len(found) == 1
    assert found[0].startswith(said)


# ------------------------------------------------------------------- what gates read in it


class Sample:
    """The sample as the repository that gates read; nothing of it is fetched."""

    def read_bytes(self, path: str, at: str) -> bytes | None:
        place = SAMPLE / path
        return place.read_bytes() if place.is_file() else None


def test_the_answers_of_the_sample_are_judged_by_the_gate() -> None:
    """Questions, answers and their pins belong together, and what is asked of them is shown."""
    platform, release = sample("claims-assistant")
    settings = gate_settings(platform.tiers[release.tier], release, "answers")
    gate = Answers(settings, repository=Sample())
    verdict = gate.judge(question(digest=release.version.digest))

    assert (verdict.status, verdict.reason) == (Status.PASS, "shown_on_golden_set"), verdict.sentence


def test_everything_pinned_is_what_lies_there() -> None:
    """A newcomer's first lint and first judgement do not stumble over a sum."""
    pinned = [
        (held[file], held[pin])
        for model in PROMOTIONS
        for held in sample(model)[1].gates.values()
        for file, pin in (("golden_set", "sha256"), ("answers", "answers_sha256"), ("payloads", "sha256"))
        if file in held
    ]
    assert len(pinned) == 5
    for path, digest in pinned:
        assert hashlib.sha256((SAMPLE / path).read_bytes()).hexdigest() == digest, path


def test_the_chats_of_the_sample_are_what_the_load_gate_sends() -> None:
    """As many different bodies as lines, each to be streamed."""
    platform, release = sample("claims-assistant")
    settings = gate_settings(platform.tiers[release.tier], release, "load")
    lines = (SAMPLE / settings.payloads).read_text("utf-8").splitlines()

    assert settings.stream
    assert len(set(lines)) == len(lines) == 60
    assert all({"role", "content"} == one.keys() for line in lines for one in json.loads(line)["messages"])


def test_the_clients_of_the_sample_send_what_its_rows_hold() -> None:
    """Every column of the golden set but the label is one feature of the tensor."""
    header = (SAMPLE / "models/fraud-scorer/golden.csv").read_text("utf-8").splitlines()[0].split(",")
    clients = read_clients((SAMPLE / "models/fraud-scorer/clients.yaml").read_text("utf-8"))

    assert [client.name for client in clients] == ["checkout", "nightly-review"]
    assert {client.inputs["input-0"].shape for client in clients} == {(-1, len(header) - 1)}
