"""The command that each task of a workflow calls, over the wire: its form, its files, its exit codes.

Covered: the form (pure, and as the first step reads it), a promotion begun, found and taken up again, who
drives it, one gate alone, stages that only other promotions of the tier have, how it ended, files left.
Left out: what the steps answer (test_cli_shared, test_engine_tasks).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cli.form import Form, checked, creator
from pipelines.clients.git import GitJournals, GitRepository
from pipelines.errors import InvalidInput
from pipelines.journal import events as e
from pipelines.journal.lines import Line, decode
from pipelines.rehearsal import settings
from pipelines.rehearsal.forge import Forge
from pipelines.render import Serves, render
from pipelines.spec.read import read_platform, read_release
from pipelines.steps.recorder import Recorder
from pipelines.steps.start import Wish, start
from pipelines.wiring import SystemClock
from tests.commands import Ran, Shell
from tests.examples import version
from tests.forges import BOT, REPOSITORY, TOKENS, clone, running

NOWHERE = "http://127.0.0.1:9"
V37, V38 = version("v37", digest="sha256:" + "7" * 64), version("v38", digest="sha256:" + "8" * 64)
MODELS, ENVIRONMENTS = ("fraud-scorer", "churn"), ("staging", "prod")
GOOD = Form(model="churn", environment="prod", requested_by="dana", reason="better recall")


# ---------------------------------------------------------------------------------- the form


def test_a_good_form_is_taken_as_it_is() -> None:
    """Blank fields that have a meaning keep it; white space around a value is nobody's."""
    blank = Form(
        model=" churn ", environment="prod", requested_by="dana", reason="better recall\t".strip(),
        version="undefined", urgency="", promotion="undefined",
    )  # fmt: skip

    assert checked(blank, models=MODELS, environments=ENVIRONMENTS) == GOOD


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("model", "", "is blank"),
        ("model", "undefined", "is blank"),
        ("model", "fraud-scorar", "did you mean `fraud-scorer`?"),
        ("environment", "qa", "there is no qa"),
        ("requested_by", "", "is blank"),
        ("requested_by", "dana smith", "without spaces"),
        ("requested_by", "--help", "cannot be --help"),
        ("reason", " ", "is blank"),
        ("reason", "x" * 501, "has 501 characters"),
        ("reason", "good\nLockgate-Share: 100", "line breaks"),
        ("reason", "red\x1b[31m", "control characters"),
        ("version", "v38\n", "") ,
        ("reason", "see {{workflow.parameters.model}}", "evaluate"),
        ("version", "v\u202e38", "control characters"),
        ("urgency", "yesterday", "there is no yesterday"),
        ("promotion", "../other", "cannot be ../other"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said(field: str, value: str, said: str) -> None:
    """By the option's name, with what to write instead."""
    form = Form(**{**{name: getattr(GOOD, name) for name in GOOD.__slots__}, field: value})
    if not said:
        assert checked(form, models=MODELS, environments=ENVIRONMENTS).version == value.strip()
        return
    with pytest.raises(InvalidInput, match="--" + field.replace("_", "-")) as caught:
        checked(form, models=MODELS, environments=ENVIRONMENTS)
    assert said in str(caught.value)


def test_everything_wrong_is_said_at_once() -> None:
    """Whoever fills in the form again does it once."""
    with pytest.raises(InvalidInput) as caught:
        checked(
            Form(model="x", environment="", requested_by="", reason="", urgency="soon"),
            models=MODELS,
            environments=ENVIRONMENTS,
        )
    assert [problem.file for problem in caught.value.problems] == [
        "--model", "--environment", "--requested-by", "--reason", "--urgency",
    ]  # fmt: skip


@given(st.builds(Form, **{name: st.text(max_size=30) for name in GOOD.__slots__}))
def test_no_form_but_a_good_one_comes_through(form: Form) -> None:
    """What does is one line in every field, and names what there is."""
    try:
        good = checked(form, models=MODELS, environments=ENVIRONMENTS)
    except InvalidInput:
        return
    assert good.model in MODELS
    assert good.environment in ENVIRONMENTS
    assert "\n" not in good.reason + good.version + good.requested_by + good.promotion


def test_an_emergency_is_told_to_approvers() -> None:
    """In the reason, never longer than a reason may be."""
    urgent = Form(
        model="churn", environment="prod", requested_by="dana", reason="x" * 500, urgency="emergency"
    )

    assert urgent.words().startswith("emergency: xxx")
    assert len(urgent.words()) == 500
    assert GOOD.words() == "better recall"


DANA = {
    "workflows.argoproj.io/creator": "8d1f-77",
    "workflows.argoproj.io/creator-email": "dana.lee.at.acme.example",
    "workflows.argoproj.io/creator-preferred-username": "dana",
}
DRIVER = {"workflows.argoproj.io/creator": "system-serviceaccount-lockgate-lockgate-driver"}


@pytest.mark.parametrize("name", ["dana", "Dana", "dana.lee", "dana.lee@acme.example"])
def test_who_logged_in_to_argo_asks_in_their_own_name(name: str) -> None:
    """Their login or address, as far as labels can hold it."""
    creator(json.dumps(DANA)).confirm(name)
    with pytest.raises(InvalidInput, match="is rita, and Argo says that dana dana"):
        creator(json.dumps(DANA)).confirm("rita")


@pytest.mark.parametrize("labels", ["", "no json", "[]", "null", '{"a": 1}', json.dumps(DRIVER)])
def test_where_argo_knows_no_person_there_is_nothing_to_compare(labels: str) -> None:
    """A service account submits what a person asked for elsewhere."""
    creator(labels).confirm("rita")
    assert creator(labels).text in ("", DRIVER["workflows.argoproj.io/creator"])


def test_a_name_longer_than_a_label_is_compared_by_its_end() -> None:
    """As Argo cuts it."""
    name = f"{'x' * 90}.smith@acme.example"
    label = name.replace("@", ".at.")[-63:]

    creator(json.dumps({"workflows.argoproj.io/creator-email": label})).confirm(name)


# ------------------------------------------------------------------------------ over the wire


class Desk:
    """A repository on a forge, and the command as a pod of a workflow runs it."""

    def __init__(self, forge: Forge, repository: GitRepository, folder: Path) -> None:
        self.repository, self.journals, self.folder = repository, GitJournals(repository), folder
        self.forge, url, api = forge, forge.git_url, forge.api_url
        document = yaml.safe_load(
            settings.platform(
                forge_api=api, git_url=url, repository=REPOSITORY, desk=NOWHERE, argocd=NOWHERE,
                prometheus=NOWHERE,
            )
        )  # fmt: skip
        document["tiers"]["regulated"]["gates"] = {
            "policy": {},
            "share": {},
            "slo": {},
            "approval": {},
        }
        self.platform = yaml.safe_dump(document, sort_keys=False)
        self.shell = Shell(
            {
                "HOME": str(folder),
                "LOCKGATE_REPO": url,
                "LOCKGATE_GIT_TOKEN": TOKENS[BOT],
                "LOCKGATE_FORGE_TOKEN": TOKENS[BOT],
                "LOCKGATE_DESK_PASSWORD": "desk-password",
                "LOCKGATE_ARGOCD_TOKEN": "argocd-token",
                "LOCKGATE_STATE_DIR": str(folder),
            }
        )
        self.commit({"platform.yaml": self.platform})

    def elsewhere(self, folder: Path) -> GitRepository:
        """The same repository as another machine sees it."""
        return clone(self.forge, folder)

    def commit(self, files: dict[str, str | None]) -> None:
        """Somebody writes files on main."""
        self.repository.commit("main", files, subject="by hand", body="", trailers={})

    def model(self, model: str, *, serves: bool = True) -> None:
        """A model whose release.yaml wants v38; v37 serves it."""
        document = {
            "model": model,
            "tenant": "risk",
            "owners": ["dana"],
            "tier": "regulated",
            "version": V38.model_dump(exclude_none=True),
            "serving": {"format": "sklearn"},
            "slo": {
                "latency": {"threshold_ms": 40.0, "target_percent": 99.0},
                "error_budget_percent": 1.0,
                "peak_rps": 60.0,
            },
            "change": {"configuration_item": model, "assignment_group": "Model Risk"},
        }
        path, text = f"models/{model}/release.yaml", yaml.safe_dump(document, sort_keys=False)
        platform = read_platform(self.platform)
        release = read_release(text, path, platform)
        alone = Serves(stable=V37, candidate=None, share_percent=100, promotion="")
        manifests = render(release, "prod", platform.environments["prod"], alone) if serves else {}
        self.commit({path: text, **manifests})

    def start(self, model: str, *words: str, workflow: str = "wf-1", **form: str) -> Ran:
        """The first task of a workflow."""
        asked = {"model": model, "environment": "prod", "requested-by": "dana", "reason": "recall", **form}
        options = [f"--{name}={value}" for name, value in asked.items()]
        return self.shell("step", "start", *options, f"--workflow={workflow}", *words)

    def begun(self, model: str, **form: str) -> str:
        """A promotion begun by a workflow; its id."""
        ran = self.start(model, "--json", **form)
        assert ran.code == 0, ran.err
        return str(ran.json["promotion"])

    def lines(self, promotion: str) -> tuple[Line, ...]:
        """The journal as stored."""
        return decode(promotion, self.journals.read(promotion))

    def events(self, promotion: str) -> list[e.Event]:
        """What it says."""
        return [line.event for line in self.lines(promotion)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    with running(folder / "forge") as forge:
        yield Desk(forge, clone(forge, folder / "people"), folder / "state")


def files(folder: Path) -> dict[str, str]:
    """What a step left."""
    return {place.name: place.read_text("utf-8") for place in folder.iterdir()}


def test_the_first_task_begins_a_promotion_and_says_who_drives_it(desk: Desk, tmp_path: Path) -> None:
    """Its id and whether it is the first version are left for the other tasks."""
    desk.model("begun")
    template = "--template=promote-regulated"
    ran = desk.start("begun", template, f"--outputs={tmp_path}", urgency="emergency")
    left = files(tmp_path)

    assert ran.code == 0, ran.err
    started, driven = desk.events(left["promotion"])
    assert isinstance(started, e.Started)
    assert (started.requested_by, started.reason) == ("dana", "emergency: recall")
    assert started.candidate["label"] == "v38"
    assert driven == e.Driven(driver="argo", workflow="wf-1", template="promote-regulated")
    assert desk.lines(left["promotion"])[-1].by == "engine:argo:wf-1"
    assert (left["first"], left["status"]) == ("false", "done")
    assert left["sentence"] == f"{left['promotion']} takes v38 to prod"


def test_who_argo_says_created_the_workflow_is_in_the_journal(desk: Desk) -> None:
    """Another's name begins nothing; who takes a promotion up again asks for nothing in anybody's name."""
    desk.model("created")
    labels = f"--labels={json.dumps(DANA)}"
    refused = desk.start("created", labels, **{"requested-by": "rita"})
    assert refused.code == 3
    assert "--requested-by: is rita, and Argo says that dana" in refused.err
    assert not [one for one in desk.journals.promotions() if one.startswith("created-")]

    promotion = str(desk.start("created", labels, "--json").json["promotion"])
    again = ("--labels=" + json.dumps(DRIVER), f"--promotion={promotion}")
    assert desk.start("created", labels, *again[1:], workflow="wf-2", **{"requested-by": "rita"}).code == 0
    assert desk.start("created", *again, workflow="wf-3").code == 0
    assert [one.created_by for one in desk.events(promotion) if isinstance(one, e.Driven)] == [
        *["dana dana.lee.at.acme.example 8d1f-77"] * 2,
        "system-serviceaccount-lockgate-lockgate-driver",
    ]


def test_a_first_version_is_told_from_the_others(desk: Desk, tmp_path: Path) -> None:
    """Nothing serves yet."""
    desk.model("newborn", serves=False)
    desk.start("newborn", f"--outputs={tmp_path}")

    assert files(tmp_path)["first"] == "true"


def test_the_first_task_run_twice_begins_once(desk: Desk) -> None:
    """Its pod may be lost after the journal was written; another workflow takes the promotion over."""
    desk.model("twice")
    promotion = desk.begun("twice")
    assert desk.begun("twice") == promotion
    assert len(desk.events(promotion)) == 2
    assert desk.begun("twice", workflow="wf-2") == promotion
    assert [getattr(one, "workflow", "") for one in desk.events(promotion)[1:]] == ["wf-1", "wf-2"]


def test_asked_from_many_places_at_the_same_instant_one_promotion_is_begun(
    desk: Desk, tmp_path: Path
) -> None:
    """As by the form, an event and the schedule at once: all but one find it."""
    desk.model("raced")
    wish = Wish(model="raced", environment="prod", version=None, requested_by="dana", reason="recall")
    places = [desk.elsewhere(tmp_path / str(n)) for n in range(8)]
    gate = threading.Barrier(len(places))

    def ask(place: GitRepository) -> object:
        gate.wait(30)
        return start(wish, place, GitJournals(place), SystemClock())

    with ThreadPoolExecutor(len(places)) as pool:
        begun = set(pool.map(ask, places))
    assert begun == {one for one in desk.journals.promotions() if one.startswith("raced-")}
    assert len(begun) == 1


def test_a_promotion_is_taken_up_again_by_its_id(desk: Desk) -> None:
    """Its model and environment have to be its own, and its template that of its tier."""
    desk.model("again")
    desk.model("other")
    promotion = desk.begun("again")

    assert desk.begun("again", promotion=promotion, workflow="wf-2") == promotion
    assert desk.start("other", promotion=promotion).code == 3
    assert desk.start("again", "--template=promote-dev", promotion=promotion).code == 3
    assert desk.start("again", promotion="again-prod-x").code == 4


def test_a_form_that_cannot_be_used_begins_nothing(desk: Desk, tmp_path: Path) -> None:
    """Exit code 3, everything at once, and the sentence is left where the task's message comes from."""
    desk.model("refusing")
    message = tmp_path / "message"
    message.touch()
    ran = desk.start(
        "refusing", f"--outputs={tmp_path / 'out'}", f"--message={message}", environment="preview",
        **{"requested-by": "undefined"},
    )  # fmt: skip

    assert ran.code == 3
    assert "--environment" in ran.err
    assert "--requested-by" in ran.err
    assert "there is no preview" in message.read_text("utf-8")
    assert files(tmp_path / "out").keys() == {"sentence", "status"}
    assert not [one for one in desk.journals.promotions() if one.startswith("refusing-")]


def test_a_template_of_another_tier_begins_nothing(desk: Desk) -> None:
    """Its tasks are not those of the plan."""
    desk.model("mistier")
    ran = desk.start("mistier", "--template=promote-dev")

    assert ran.code == 3
    assert "submit promote-regulated" in ran.err
    assert not [one for one in desk.journals.promotions() if one.startswith("mistier-")]


def test_a_version_that_serves_is_refused_to_a_workflow(desk: Desk) -> None:
    """There is nothing its other tasks could do."""
    desk.model("served")
    platform = read_platform(desk.platform)
    text = desk.repository.read("models/served/release.yaml", "main") or ""
    release = read_release(text, "models/served/release.yaml", platform)
    alone = Serves(stable=V38, candidate=None, share_percent=100, promotion="")
    desk.commit(dict(render(release, "prod", platform.environments["prod"], alone)))
    ran = desk.start("served")

    assert ran.code == 4
    assert "v38 serves served in prod already" in ran.err


def test_started_by_hand_nobody_drives_it_yet(desk: Desk) -> None:
    """Without a workflow the journal says nothing of a driver."""
    desk.model("byhand")
    promotion = desk.begun("byhand", workflow="")

    assert len(desk.events(promotion)) == 1


def test_pods_of_one_workflow_are_one_driver(desk: Desk, tmp_path: Path) -> None:
    """Each line of theirs says so; what came of the step is left as files."""
    desk.model("pods")
    promotion = desk.begun("pods")
    ran = desk.shell(
        "step", "propose", f"--promotion={promotion}", f"--outputs={tmp_path}", LOCKGATE_WORKFLOW="wf-1"
    )

    assert ran.code == 0, ran.err
    assert {line.by for line in desk.lines(promotion)[1:]} == {"engine:argo:wf-1"}
    assert files(tmp_path)["status"] == "done"
    assert files(tmp_path)["first"] == "false"
    assert "pull request" in files(tmp_path)["sentence"]


def test_a_step_that_waits_says_why_in_its_message(desk: Desk, tmp_path: Path) -> None:
    """The file is written only where somebody put one."""
    desk.model("waits")
    promotion = desk.begun("waits")
    message = tmp_path / "message"
    words = ("step", "shift-10", f"--promotion={promotion}", f"--message={message}")
    assert desk.shell(*words).code == 75
    assert not message.exists()
    message.touch()
    assert desk.shell(*words).code == 75
    assert message.read_text("utf-8") == "propose is next"


def test_stages_that_other_promotions_of_the_tier_have_are_passed_over(desk: Desk) -> None:
    """A first version has no share of 10; that is done. One that no promotion has is a mistake."""
    desk.model("ladderless", serves=False)
    promotion = desk.begun("ladderless")

    assert desk.shell("step", "shift-10", f"--promotion={promotion}").code == 0
    ran = desk.shell("step", "shift-11", f"--promotion={promotion}")
    assert ran.code == 3
    assert "is no stage" in ran.err


def test_stages_that_the_tier_has_only_now_are_passed_over(desk: Desk) -> None:
    """A workflow of today's template takes a promotion up, and has a share that its plan has not."""
    desk.model("grown")
    promotion = f"--promotion={desk.begun('grown')}"
    document = yaml.safe_load(desk.platform)
    document["tiers"]["regulated"] |= {"shares": [10, 33, 50, 100]}
    document["tiers"]["regulated"]["gates"] |= {"load": {}}
    assert desk.shell("step", "shift-33", promotion).code == 3
    desk.commit({"platform.yaml": yaml.safe_dump(document, sort_keys=False)})
    try:
        passed = desk.shell("step", "shift-33", promotion)
        gate = desk.shell("step", "judge", "--gate=load", promotion)
    finally:
        desk.commit({"platform.yaml": desk.platform})

    assert (passed.code, gate.code) == (0, 75)
    assert "shift-33 is not in this promotion's plan" in passed.out + passed.err


def test_what_belongs_to_another_step_is_a_mistake(desk: Desk) -> None:
    """A gate is asked by judge, a change by approve, and a promotion has to be named."""
    desk.model("mixed")
    promotion = f"--promotion={desk.begun('mixed')}"

    assert desk.shell("step", "merge", "--gate=policy", promotion).code == 3
    ran = desk.shell("step", "judge", "--gate=polcy", promotion)
    assert ran.code == 3
    assert "did you mean `policy`?" in ran.err
    assert desk.shell("step", "merge", "--asked", promotion).code == 3
    assert desk.shell("step", "merge", "--promotion=undefined").code == 3


def test_a_gate_is_asked_when_it_is_its_turn(desk: Desk, tmp_path: Path) -> None:
    """Too early before the preview: not yet, without a verdict."""
    desk.model("gated")
    promotion = desk.begun("gated")
    ran = desk.shell("step", "judge", "--gate=policy", f"--promotion={promotion}", f"--outputs={tmp_path}")

    assert ran.code == 75
    assert files(tmp_path)["verdict"] == ""


def test_a_workflow_is_green_for_what_was_promoted_alone(desk: Desk, tmp_path: Path) -> None:
    """Its last task says how the promotion ended; one that has not ended is red too."""
    desk.model("ends")
    first = desk.begun("ends")
    (started, _) = desk.events(first)
    assert isinstance(started, e.Started)
    endings: dict[str, int] = {"promoted": 0, "rolled_back": 4, "refused": 4, "aborted": 4, "open": 4}
    for n, (outcome, code) in enumerate(endings.items()):
        promotion, left = f"{first}{n}", tmp_path / outcome
        ended = e.Ended(outcome=outcome, sentence="that was it")  # type: ignore[arg-type]
        recorder = Recorder(desk.journals, SystemClock(), promotion, "engine:argo:wf-1")
        recorder.add(replace(started, promotion=promotion), *([] if outcome == "open" else [ended]))
        ran = desk.shell("step", "outcome", f"--promotion={promotion}", f"--outputs={left}", "--json")

        assert ran.code == code
        assert ran.json["schema"] == "lockgate.step/1"
        assert files(left)["outcome"] == outcome
