"""Commands that have Argo Workflows do the work, on the rehearsal's forge and the loopback Argo.

Covered: promote, retry, hold, abort, status and sweep with that driver, promote --wanted with both, what is
said when Argo is away. Every test has a model of its own. Left out: whole promotions (stories/test_on_argo).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipelines.journal import events as e
from pipelines.ports import Workflow
from pipelines.rehearsal.argo import ArgoServer
from pipelines.rehearsal.argo.cluster import Ended
from pipelines.sweeping.actions import workflow_name
from tests import argos
from tests.argos import GRAPH, TOKENS, Scripted, client, waits, when
from tests.forges import clone, running
from tests.pipelines.test_cli_shared import NOWHERE, V38, Office

ASK = ("--driver", "argo", "--reason", "better recall")
TAKEN = e.Driven(driver="argo", workflow="gone", template="promote-regulated")
TOKEN = "ARGO_WORKFLOWS_TOKEN"


class Port(Office):
    """An office that has Argo Workflows."""

    argo: ArgoServer
    pods: Scripted

    def with_argo(self, argo: ArgoServer, pods: Scripted) -> Port:
        """Name the server in platform.yaml on main."""
        self.argo, self.pods = argo, pods
        self.shell.environment[TOKEN] = TOKENS["client"]
        self.at(argo.address)
        return self

    def at(self, url: str) -> None:
        """Write the server's address into platform.yaml."""
        document = yaml.safe_load(self.platform)
        document["systems"]["workflows"] = {"url": url, "namespace": "lockgate", "token": f"env:{TOKEN}"}
        self.commit({"platform.yaml": yaml.safe_dump(document, sort_keys=False)}, "Argo Workflows")

    def wants(self, model: str) -> None:
        """A model of which v37 serves and v38 is wanted on main, as Rita wrote it."""
        self.model(model)
        document = yaml.safe_load(self.release(model)) | {"version": V38.model_dump(exclude_none=True)}
        text = yaml.safe_dump(document, sort_keys=False)
        self.commit({f"models/{model}/release.yaml": text}, f"{model} v38")

    def drops(self, *models: str) -> None:
        """Nobody wants anything of these any more."""
        self.commit({f"models/{model}/release.yaml": None for model in models}, "away")

    def workflows(self, model: str) -> list[str]:
        """The workflows submitted for a model."""
        held = self.argo.cluster.workflows.items()
        return [name for name, one in held if one.given["model"] == model]

    def waiting(self, promotion: str, name: str) -> Workflow:
        """A workflow of this name that waits at bake-10 for a promotion."""
        values = {"model": promotion.partition("-prod-")[0], "promotion": promotion}
        assert client(self.argo).submit("promote-regulated", values, name=name) is not None
        return when(client(self.argo), name, waits("bake-10"))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    """One for all tests."""
    folder, pods = tmp_path_factory.mktemp("port"), Scripted()
    with running(folder / "forge") as forge, argos.server(folder / "argo", pods) as server:
        office = Port(forge.git_url, forge.api_url, clone(forge, folder / "people"), folder / "state")
        yield office.with_argo(server, pods)


# ------------------------------------------------------------------------------ promote


def test_a_promotion_is_begun_by_a_workflow_with_the_values_of_its_form(office: Port) -> None:
    """Its name is data, its address is said; the journal is for its first step to begin."""
    office.wants("formed")
    ran = office("promote", "formed", *ASK, "--requested-by", "dana")
    (name,) = office.workflows("formed")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"workflow {name} moves it: {office.argo.url}/workflows/lockgate/{name}",
        name,
    ]
    assert name.startswith("formed-prod-")
    assert office.argo.cluster.held(name).given == {
        "model": "formed",
        "version": "v38",
        "environment": "prod",
        "requested-by": "dana",
        "reason": "better recall",
        "promotion": "",
    }


def test_a_version_that_serves_needs_no_workflow(office: Port) -> None:
    """Exit code 0, as with the local driver."""
    office.model("there")
    ran = office("promote", "there", *ASK, "--json")

    assert (ran.code, ran.json["outcome"]) == (0, "already_serves")
    assert office.workflows("there") == []


def test_a_workflow_promotes_what_main_names_and_nothing_else(office: Port) -> None:
    """What a person spells out beside release.yaml no form can carry."""
    office.model("spelled")
    ran = office("promote", "spelled", "v38", "--uri", V38.uri, "--digest", V38.digest, *ASK)

    assert ran.code == 3
    assert "release.yaml on main names, which is v37" in ran.err
    assert "write the version into release.yaml" in ran.err


def test_a_template_that_is_not_there_is_told_by_name(office: Port) -> None:
    """Somebody has to apply it."""
    office.wants("untold")
    held = office.argo.cluster.objects.pop(("WorkflowTemplate", "promote-regulated"))
    try:
        ran = office("promote", "untold", *ASK)
    finally:
        office.argo.cluster.objects["WorkflowTemplate", "promote-regulated"] = held

    assert ran.code == 4
    assert 'workflowtemplates.argoproj.io "promote-regulated" not found' in ran.err


def test_a_workflow_that_ends_before_it_begins_anything_is_a_no_for_who_waits(office: Port) -> None:
    """With the words of its first step as its pod left them: the task says only that it ends there."""
    office.wants("blank")
    office.pods.ends["start(0)"] = Ended(exit_code=3, message="--reason is blank")
    again = "    retryStrategy: {limit: 3, expression: 'asInt(lastRetry.exitCode) == 75'}"
    head = "  - name: start\n"
    office.argo.cluster.apply(GRAPH.replace(head, f"{head}{again}\n"))
    try:
        ran = office("promote", "blank", *ASK, "--wait")
    finally:
        del office.pods.ends["start(0)"]
        office.argo.cluster.apply(GRAPH)

    assert ran.code == 4
    assert "ended before it began a promotion" in ran.err
    assert "--reason is blank" in ran.err


def test_the_same_version_again_meets_the_workflow_of_its_promotion(office: Port) -> None:
    """While one lives there is none beside it; when it is gone another one takes the promotion up."""
    office.wants("again")
    promotion = office.journal("again", TAKEN)
    first = office("promote", "again", *ASK)
    second = office("promote", "again", *ASK, "--json")

    (name,) = office.workflows("again")
    assert name == workflow_name(promotion, 1)
    assert first.out.splitlines()[-1] == name
    assert (second.json["workflow"], second.json["promotion"]) == (name, promotion)
    assert office.argo.cluster.held(name).given["promotion"] == promotion


def test_what_a_workflow_moves_is_not_driven_here_unless_it_is_taken_over(office: Port) -> None:
    """Two drivers would get in each other's way."""
    office.wants("taken")
    promotion = office.journal("taken", TAKEN)
    ran = office("promote", "taken", "--reason", "better recall")

    assert ran.code == 75
    assert f"workflow gone moves {promotion}" in ran.err
    assert f"lockgate retry {promotion} --driver local" in ran.err


def test_without_a_server_in_platform_yaml_there_is_no_such_driver(office: Port) -> None:
    """One sentence, and what to write."""
    office.wants("serverless")
    office.commit({"platform.yaml": office.platform}, "no Argo")
    try:
        ran = office("promote", "serverless", *ASK)
    finally:
        office.at(office.argo.address)

    assert ran.code == 3
    assert "names no Argo Workflows server" in ran.err
    assert "add systems.workflows" in ran.err


# -------------------------------------------------------------------------------- retry


def test_retry_lets_a_workflow_take_up_what_a_workflow_moved(office: Port) -> None:
    """The driver it had, unless another is named; a new one for what ended badly."""
    office.wants("retried")
    promotion = office.journal("retried", TAKEN)
    assert office("retry", promotion).out.splitlines()[-1] == workflow_name(promotion, 1)

    office.wants("lost")
    refused = e.Ended(outcome="rolled_back", sentence="too slow")
    office.journal("lost", TAKEN, refused)
    ran = office("retry", "lost", "--requested-by", "oscar")
    (name,) = office.workflows("lost")
    assert ran.code == 0
    given = office.argo.cluster.held(name).given
    assert (given["promotion"], given["requested-by"]) == ("", "oscar")
    assert given["reason"].startswith("better recall (again, after lost-prod-")


# ------------------------------------------------------------------------------- people


def test_an_abort_reaches_the_workflow_at_once(office: Port) -> None:
    """Nobody waits for the sweeper's next pass."""
    promotion = office.journal("aborted", e.Driven(driver="argo", workflow="aborted-1", template="t"))
    office.waiting(promotion, "aborted-1")
    ran = office("abort", promotion, "--reason", "odd scores", "--person", "oscar")

    assert ran.code == 0
    assert "stopped it at bake-10: oscar ended it: odd scores" in ran.out
    when(client(office.argo), "aborted-1", lambda workflow: not workflow.alive)


def test_a_word_is_kept_though_argo_is_away(office: Port) -> None:
    """It is written first; the sweeper tells the workflow."""
    promotion = office.journal("heard", TAKEN)
    office.at(NOWHERE)
    try:
        held, shown = office("hold", promotion, "--reason", "a look"), office("status", promotion)
    finally:
        office.at(office.argo.address)

    assert (held.code, shown.code) == (0, 0)
    assert "its workflow learns of it at the sweeper's next pass: Argo Workflows: " in held.out
    assert isinstance(office.written(promotion)[-1], e.Held)
    assert "moved by workflow gone, which cannot be looked at: Argo Workflows" in shown.out


# ------------------------------------------------------------------------------- status


def test_status_shows_the_workflow_and_where_it_is(office: Port) -> None:
    """Its phase, its node, its address; as data too."""
    promotion = office.journal("shown", e.Driven(driver="argo", workflow="shown-1", template="t"))
    url = office.waiting(promotion, "shown-1").url

    assert f"moved by workflow shown-1, Running at bake-10: {url}" in office("status", promotion).out
    data = office("status", promotion, "--json").json["promotions"][0]
    assert (data["driver"], data["workflow"], data["url"], data["phase"]) == (
        "argo",
        "shown-1",
        url,
        "Running",
    )
    client(office.argo).delete("shown-1")
    assert "workflow shown-1 is gone" in office("status", promotion).out


def test_status_of_what_is_driven_here_asks_nobody(office: Port) -> None:
    """Git alone answers."""
    promotion = office.journal("local")
    office.argo.requests.clear()
    data = office("status", promotion, "--json").json["promotions"][0]

    assert "workflow" not in data
    assert office.argo.requests == []


def test_status_without_git_shows_what_workflows_say(office: Port, tmp_path: Path) -> None:
    """In a checkout, whose platform.yaml names the server; the outage is what the exit code says."""
    promotion = "blind-prod-20260314T090000Z-7f3a"
    office.waiting(promotion, "blind-1")
    document = yaml.safe_load(office.platform)
    address = {"url": office.argo.address, "namespace": "lockgate", "token": f"env:{TOKEN}"}
    document["systems"]["workflows"] = address
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "remote", "add", "origin", f"{NOWHERE}/x.git"], check=True)

    ran = office("status", "--repo", tmp_path)
    assert ran.code == 5
    assert f"{promotion}: workflow blind-1, Running at bake-10: {office.argo.url}" in ran.out
    client(office.argo).delete("blind-1")


# -------------------------------------------------------------------------------- sweep


def test_one_pass_says_what_it_did_with_its_figures(office: Port) -> None:
    """A line for each promotion acted on; --json has the same."""
    office.wants("swept")
    promotion = office.journal(
        "swept",
        e.Driven(driver="argo", workflow="swept-1", template="t"),
        e.AbortAsked(person="o", reason="no"),
    )
    office.waiting(promotion, "swept-1")
    ran = office("sweep", "--json")
    deeds = {deed["promotion"]: deed["sentence"] for deed in ran.json["deeds"]}

    assert ran.json["schema"] == "lockgate.sweep/1"
    assert deeds[promotion] == "stopped it at bake-10: o ended it: no"
    assert ran.json["seen"] >= ran.json["acted_on"] >= 1
    assert ran.json["requests"] >= 3
    assert f"{promotion}: stopped it at bake-10" in ran.err
    assert "promotions seen" in ran.err


def test_it_sweeps_again_and_again_until_its_time_is_over(
    office: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the sweeper's pod does, also where a pass takes longer than the time between two."""
    monkeypatch.setattr("pipelines.cli.sweeping.EVERY_SECONDS", 0.01)

    assert office("sweep", "--for", "3").out.count("promotions seen") > 1


def test_no_pass_begins_that_would_not_be_over_in_time(office: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweeper of the next minute would be left out."""
    monkeypatch.setattr("pipelines.cli.sweeping.EVERY_SECONDS", 2.999)

    assert office("sweep", "--for", "3").out.count("promotions seen") == 1


def test_a_pass_that_cannot_ask_argo_says_so(office: Port) -> None:
    """Exit code 5; what it can do without is done."""
    office.at(NOWHERE)
    try:
        ran = office("sweep")
    finally:
        office.at(office.argo.address)

    assert ran.code == 5
    assert "Argo cannot be asked: Argo Workflows: GET" in ran.out


# ------------------------------------------------------------------------------- wanted


def test_all_that_main_wants_is_begun_and_nothing_twice(office: Port) -> None:
    """For whoever wrote release.yaml last, with what they wrote; a second run finds all under way."""
    office.wants("wanted-here")
    try:
        first = office("promote", "--wanted", "--detach")
        promotions = [line for line in first.out.splitlines() if line.startswith("wanted-here-prod-")]
        second = office("promote", "--wanted", "--detach")
    finally:
        office.drops("wanted-here")
    (started,) = office.written(promotions[0])

    assert isinstance(started, e.Started)
    assert started.candidate["digest"] == V38.digest
    assert started.requested_by == "lockgate.bot"
    assert started.reason == "main wants it: wanted-here v38"
    assert "wanted-here" not in second.out


def test_all_that_main_wants_is_begun_on_argo(office: Port) -> None:
    """One workflow each; what is under way and what serves gets none."""
    office.wants("wanted-there")
    office.wants("under-way")
    office.model("quiet")
    office.journal("under-way", TAKEN)
    try:
        ran = office("promote", "--wanted", "--driver", "argo", "--requested-by", "robot")
    finally:
        office.drops("wanted-there", "under-way", "quiet")
    (name,) = office.workflows("wanted-there")

    assert name in ran.out
    assert office.argo.cluster.held(name).given["requested-by"] == "robot"
    assert office.workflows("under-way") == office.workflows("quiet") == []


def test_a_version_that_was_told_no_is_left_for_a_person(office: Port) -> None:
    """Else a schedule would try it for ever."""
    office.wants("told-no")
    promotion = office.journal("told-no", e.Ended(outcome="rolled_back", sentence="too slow"))
    try:
        ran = office("promote", "--wanted", "--driver", "argo")
    finally:
        office.drops("told-no")

    assert f"told-no in prod: {promotion} was rolled back: too slow; `lockgate retry {promotion}`" in ran.out
    assert office.workflows("told-no") == []


def test_one_models_mistake_keeps_no_other_from_being_begun(office: Port) -> None:
    """It is said, and the exit code says so."""
    office.wants("sound")
    office.commit({"models/broken/release.yaml": "model: 1\n"}, "broken")
    try:
        ran = office("promote", "--wanted", "--driver", "argo")
    finally:
        office.drops("sound", "broken")

    assert ran.code == 3
    assert "broken: models/broken/release.yaml" in ran.out
    assert len(office.workflows("sound")) == 1


def test_wanted_is_for_all_models(office: Port) -> None:
    """A model beside it is a mistake, and so is none without it."""
    assert office("promote", "any", "--wanted").code == 3
    missing = office("promote", "--reason", "r")
    assert (missing.code, "--wanted for all" in missing.err) == (3, True)


# ------------------------------------------------------------------------------- doctor


def test_doctor_asks_the_argo_server_too(office: Port) -> None:
    """Reach, version, rights, templates, the sweeper, events."""
    ran = office("doctor", "--json")
    found = [one for one in ran.json["findings"] if one["place"] == "workflows"]

    assert [one["what"] for one in found] == ["reach", "version", "rights", "settings", "settings", "events"]
    assert all(one["good"] for one in found)
