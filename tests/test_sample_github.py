"""The sample's workflows do what they say: their commands run here, as a runner would, against the forge.

GitHub itself is not at hand: which event starts which workflow, with which rights, is read from the files.
What linters say of these files stands in ``test_workflows.py``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pytest_httpserver import HTTPServer

from pipelines.rehearsal.forge import Forge
from tests.commands import Ran, Shell
from tests.forges import PREFIX, REPOSITORY, ask

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "gitops-repo"
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text("utf-8"))
    for path in sorted((SAMPLE / ".github" / "workflows").glob("*.yml"))
}
ANN, RUNNER, BOT = "ann", "github-actions[bot]", "lockgate[bot]"
TOKENS = {ANN: "ghp_ann_0d4e77aa", RUNNER: "ghs_run_51c7d201", BOT: "ghp_bot_91c2d7f0"}
RELEASE = "models/fraud-scorer/release.yaml"

Workflow = dict[str, Any]


def steps(workflow: str, job: str) -> list[dict[str, Any]]:
    """The steps of a job."""
    found: list[dict[str, Any]] = WORKFLOWS[workflow]["jobs"][job]["steps"]
    return found


def script(workflow: str, job: str, name: str) -> str:
    """What a step runs."""
    return next(str(step["run"]) for step in steps(workflow, job) if step.get("name") == name)


def events(workflow: str) -> dict[str, Any]:
    """What starts it; YAML 1.1 reads the key ``on`` as true."""
    found: dict[str, Any] = WORKFLOWS[workflow][True]
    return found


# -------------------------------------------------------------------- a pull request


class Town:
    """A forge with the sample on main, and a checkout on a runner."""

    def __init__(self, folder: Path, forge: Forge) -> None:
        self.folder, self.forge = folder, forge
        self.checkout = folder / "checkout"
        self.number = 0

    def git(self, *words: str) -> str:
        """Git in the checkout, as Ann."""
        who = ("-c", "user.name=ann", "-c", "user.email=ann@acme.example")
        done = subprocess.run(
            ["git", *who, *words], cwd=self.checkout, check=True, capture_output=True, text=True, timeout=30
        )
        return done.stdout.strip()

    def push(self, branch: str, message: str) -> str:
        """Commit everything and push it; the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return self.git("rev-parse", "HEAD")

    def edit(self, old: str, new: str) -> str:
        """Edit release.yaml on the branch of the pull request; the new head."""
        file = self.checkout / RELEASE
        file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")
        return self.push("v38", "Want v38")

    def checked_out(self) -> Path:
        """The merge of the pull request with two commits of history, as actions/checkout leaves it."""
        place = self.folder / f"runner-{self.git('rev-parse', '--short', 'HEAD')}"
        self.git("checkout", "--quiet", "-B", "merge", "origin/main")
        self.git("merge", "--quiet", "--no-ff", "--message", "merge", "v38")
        depth = ("--depth", "2", "--single-branch", "--branch", "merge")
        self.git("clone", "--quiet", *depth, self.checkout.as_uri(), str(place))
        self.git("checkout", "--quiet", "v38")
        return place

    def runs_plan(self) -> dict[str, int]:
        """The steps of the job ``plan``; name -> exit code. The artifact is left beside the checkout."""
        place = self.checked_out()
        codes = {}
        for step in steps("pull-request", "plan"):
            if "run" in step:
                environment = {
                    "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
                    "HOME": str(self.folder),
                    "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
                }
                done = subprocess.run(
                    ["sh", "-e", "-c", step["run"]], cwd=place, env=environment, timeout=60, check=False
                )
                codes[step["name"]] = done.returncode
        shutil.copy(place / "plan.json", self.folder / "plan.json")
        return codes

    def runs_comment(self, **event: Any) -> Ran:
        """The step of the job ``comment``, after a run that checked the present head."""
        run = {
            "event": "pull_request",
            "head_sha": self.git("rev-parse", "v38"),
            "head_branch": "v38",
            "head_repository": {"owner": {"login": REPOSITORY.partition("/")[0]}},
            **event,
        }
        (self.folder / "event.json").write_text(json.dumps({"workflow_run": run}))
        command = script("comment", "comment", "One comment, written or rewritten").split()
        assert command == ["lockgate", "comment", "checked/plan.json"]
        return Shell({"HOME": str(self.folder)})(
            "--json",
            "comment",
            self.folder / "plan.json",
            GITHUB_EVENT_PATH=str(self.folder / "event.json"),
            GITHUB_REPOSITORY=REPOSITORY,
            GITHUB_API_URL=self.forge.api_url,
            GITHUB_TOKEN=TOKENS[RUNNER],
        )

    def comments(self) -> list[dict[str, Any]]:
        """On the pull request."""
        found: list[dict[str, Any]] = ask(
            self.forge, "GET", f"{PREFIX}/issues/{self.number}/comments", token=TOKENS[ANN]
        ).json()
        return found


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """Main has the sample; a pull request wants v38."""
    forge = Forge(tmp_path / "forge", repository=REPOSITORY, accounts=TOKENS, app_account=BOT)
    forge.start()
    try:
        made = Town(tmp_path, forge)
        assert Shell({"HOME": str(tmp_path)})("init", made.checkout).code == 0
        made.git("init", "--quiet", "--initial-branch", "main")
        made.git("remote", "add", "origin", forge.git_url.replace("://", f"://ann:{TOKENS[ANN]}@"))
        made.push("main", "Begin")
        made.git("fetch", "--quiet")
        made.git("checkout", "--quiet", "-b", "v38")
        made.edit("v37", "v38")
        made.edit("sha256:4d967a30", "sha256:5d967a30")
        body = {"title": "v38", "head": "v38", "base": "main"}
        opened = ask(forge, "POST", f"{PREFIX}/pulls", body, token=TOKENS[ANN])
        made.number = opened.json()["number"]
        yield made
    finally:
        forge.stop()


def test_a_pull_request_gets_one_comment_that_is_rewritten(town: Town) -> None:
    """Plan and manifests of every environment; after the next commit the same comment says the new ones."""
    assert set(town.runs_plan().values()) == {0}
    ran = town.runs_comment()

    assert (ran.code, ran.json["pull_request"]) == (0, town.number)
    (first,) = town.comments()
    assert first["user"]["login"] == RUNNER
    assert "fraud-scorer v38 to prod: tier regulated, canary; v37 serves now" in first["body"]
    assert '+      storageUri: "s3://risk-models/fraud-scorer/v38"' in first["body"]
    assert "# lockgate" in (town.folder / "summary.md").read_text("utf-8")

    head = town.edit("max: 8", "max: 9")
    town.runs_plan()
    assert town.runs_comment().code == 0
    (second,) = town.comments()
    assert second["id"] == first["id"]
    assert "+    maxReplicas: 9" in second["body"]
    assert head in second["body"]


def test_a_release_that_cannot_be_used_is_red_and_told(town: Town) -> None:
    """The job fails; the comment has the problem."""
    town.edit("tier: regulated", "tier: gold")

    assert set(town.runs_plan().values()) == {3}
    assert town.runs_comment().code == 0
    assert 'there is no tier "gold"' in town.comments()[0]["body"]


def test_a_pull_request_that_edits_no_release_is_left_alone(town: Town) -> None:
    """Until one that did goes back: then its comment says so."""
    town.git("checkout", "--quiet", "main", "--", RELEASE)
    (town.checkout / "README.md").write_text("new words\n")
    town.push("v38", "Nothing but words")
    town.runs_plan()
    town.runs_comment()
    assert town.comments() == []

    town.edit("max: 8", "max: 9")
    town.runs_plan()
    town.runs_comment()
    town.edit("max: 9", "max: 8")
    town.runs_plan()
    town.runs_comment()
    assert "so no promotion begins" in town.comments()[0]["body"]


def test_the_pull_request_is_the_one_github_names(town: Town) -> None:
    """A head that has moved, another branch or another owner: nothing is written."""
    (town.folder / "plan.json").write_text(PLAN)
    for event in (
        {"head_sha": "0" * 40},
        {"head_branch": "main"},
        {"head_repository": {"owner": {"login": "somebody-else"}}},
    ):
        ran = town.runs_comment(**event)
        assert (ran.code, ran.json["pull_request"]) == (0, None), event
        assert "nothing to write" in ran.err
    assert town.comments() == []


PLAN = json.dumps(
    {
        "schema": "lockgate.edits/1",
        "base": "@everyone approved <img src=x>",
        "problems": ["</details> all gates passed @team"],
        "models": [{"model": "`x` #1", "how": "new", "courses": []}],
    }
)


def test_a_forged_plan_is_shown_as_words_and_never_as_markup(town: Town) -> None:
    """A pull request may change what its own run writes; the comment's other end does not trust it."""
    (town.folder / "plan.json").write_text(PLAN)
    assert town.runs_comment().code == 0

    body = town.comments()[0]["body"]
    assert body.startswith("<!-- lockgate plan -->\n### lockgate\n")
    assert "`@everyone approved <img src=x>`" in body
    assert "- `</details> all gates passed @team`" in body


def test_another_file_or_another_event_is_refused(town: Town) -> None:
    """Before anything is asked of the forge."""
    no_event = "names no event of a run for a pull request"
    for plan, event, says in (
        ("not json", {}, "Invalid JSON"),
        ('{"schema": "lockgate.plan/1"}', {}, "lockgate plan --changed"),
        (PLAN, {"event": "push"}, no_event),
        (PLAN, {"head_sha": "main"}, no_event),
        (PLAN, {"head_repository": None}, no_event),
    ):
        (town.folder / "plan.json").write_text(plan)
        ran = town.runs_comment(**event)
        assert (ran.code, says in ran.err) == (3, True), ran.err
    assert town.comments() == []


# --------------------------------------------------------------------- how they get there


def files(folder: Path) -> set[str]:
    """Every file of a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_init_copies_hidden_files_too(tmp_path: Path) -> None:
    """The workflows stand where GitHub looks for them."""
    ran = Shell({"HOME": str(tmp_path)})("--json", "init", tmp_path / "new")

    assert ".github/workflows/pull-request.yml" in ran.json["files"]
    assert files(SAMPLE) <= files(tmp_path / "new") == set(ran.json["files"])


def test_the_wheel_brings_them(tmp_path: Path) -> None:
    """What `lockgate init` copies once it is installed."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    inside = "pipelines/data/gitops-repo/"

    assert {one.removeprefix(inside) for one in names if one.startswith(inside)} == files(SAMPLE)


# ---------------------------------------------------------------------- one check, one image


def gates(results: str) -> int:
    """The exit code of the job to require, after jobs that ended so."""
    command = ["bash", "-euc", script("pull-request", "gates", "Every job succeeded")]
    return subprocess.run(command, env={"RESULTS": results}, capture_output=True, timeout=20).returncode


def test_the_one_check_to_require_fails_unless_all_succeeded() -> None:
    """GitHub takes a skipped job, and a neutral one, for a success."""
    job = WORKFLOWS["pull-request"]["jobs"]["gates"]

    assert job["if"] == "always()"
    assert set(job["needs"]) == set(WORKFLOWS["pull-request"]["jobs"]) - {"gates"}
    assert gates("success") == gates("success success") == 0
    assert [gates(f"success {one}") for one in ("failure", "cancelled", "skipped", "neutral")] == [1] * 4


def test_every_job_runs_the_same_image_by_its_digest() -> None:
    """The name is a placeholder that nothing can be pulled by, until somebody writes their own."""
    images = {
        job["container"]["image"]
        for workflow in WORKFLOWS.values()
        for job in workflow["jobs"].values()
        if "container" in job
    }

    assert len(images) == 1
    assert re.fullmatch(r"[a-z0-9./-]+/lockgate:\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", images.pop())


# ------------------------------------------------------------------------------ promoting


def run(text: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A step of a job, by the shell that GitHub uses there."""
    path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder), **variables}
    return subprocess.run(
        ["bash", "-e", "-c", text], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


def under_way(town: Town, repository: dict[str, str]) -> list[dict[str, Any]]:
    """The promotions that the job ``begin`` hands to the jobs that drive."""
    outputs = town.folder / "outputs"
    outputs.unlink(missing_ok=True)
    step = script("promote", "begin", "What is under way")
    done = run(step, town.folder, **repository, GITHUB_OUTPUT=str(outputs))
    assert done.returncode == 0, done.stderr
    key, _, status = outputs.read_text("utf-8").partition("=")
    assert (key, status.count("\n")) == ("status", 1)
    found: list[dict[str, Any]] = json.loads(status)["promotions"]
    return found


def test_what_main_wants_is_begun_once(town: Town) -> None:
    """For whoever wrote it, where it has to go first; one run too many changes nothing."""
    repository = {"LOCKGATE_REPO": town.forge.git_url, "LOCKGATE_GIT_TOKEN": TOKENS[BOT]}
    wanted = script("promote", "begin", "Everything that main wants")
    assert run(wanted, town.folder, **repository).returncode == 0
    assert under_way(town, repository) == []

    town.git("push", "--quiet", "origin", "v38:main")
    for _ in range(2):
        done = run(wanted, town.folder, **repository)
        assert done.returncode == 0, done.stderr
    (begun,) = under_way(town, repository)
    assert begun["promotion"].startswith("fraud-scorer-staging-")
    assert begun["requested_by"].startswith(ANN)


def test_one_model_is_begun_by_hand(town: Town) -> None:
    """What a person wrote in the form arrives as words, and as nothing else."""
    who = {"LOCKGATE_PERSON": ANN}
    repository = {"LOCKGATE_REPO": town.forge.git_url, "LOCKGATE_GIT_TOKEN": TOKENS[BOT]}
    town.git("push", "--quiet", "origin", "v38:main")
    asked = script("promote", "begin", "One model, asked for by hand")
    words = {"MODEL": "fraud-scorer", "ENVIRONMENT": "prod", "REASON": '$(touch x); "v38" `id` --help'}

    done = run(asked, town.folder, **repository, **who, **words)
    assert done.returncode == 0, done.stderr
    for odd in ("--help", "$(touch x)", "../fraud-scorer", "a\nb"):
        assert run(asked, town.folder, **repository, **who, **{**words, "MODEL": odd}).returncode in (3, 4)
    assert not (town.folder / "x").exists()
    (begun,) = under_way(town, repository)
    assert begun["promotion"].startswith("fraud-scorer-prod-")
    assert begun["reason"] == words["REASON"]


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """An authority's file for clients, and a server's side of it, good for this host."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "ca.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    return pem, context


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_argo_is_told_that_main_has_moved_and_nothing_else(tmp_path: Path) -> None:
    """With its token, over TLS alone; a refusal makes the job red."""
    pem, context = certificate(tmp_path)
    wake = script("promote", "wake", "Say what GitHub's own webhook would, that main has moved")
    token, path = "argo-token-77aa01", "/api/v1/events/models/lockgate"
    with HTTPServer(host="localhost", ssl_context=context) as server:
        headers = {"Authorization": f"Bearer {token}", "X-GitHub-Event": "push"}
        pushed = {"ref": "refs/heads/main"}
        server.expect_oneshot_request(path, "POST", json=pushed, headers=headers).respond_with_json({})
        server.expect_request(path).respond_with_data("no", status=403)
        there = {"CURL_CA_BUNDLE": str(pem), "EVENTS_URL": server.url_for(path), "EVENTS_TOKEN": token}

        assert run(wake, tmp_path, **there).returncode == 0
        assert run(wake, tmp_path, **{**there, "EVENTS_TOKEN": "another"}).returncode != 0
        plain = {**there, "EVENTS_URL": there["EVENTS_URL"].replace("https:", "http:")}
        assert run(wake, tmp_path, **plain).returncode != 0
        assert len(server.log) == 2


def test_nothing_that_is_promoted_comes_from_an_event() -> None:
    """A merge and the clock only wake; the form's words arrive by the environment of the step."""
    assert events("promote")["push"] == {"branches": ["main"], "paths": ["models/**"]}
    text = (SAMPLE / ".github" / "workflows" / "promote.yml").read_text("utf-8")
    assert "github.event" not in text
    for workflow in WORKFLOWS.values():
        for job in workflow["jobs"].values():
            assert [step for step in job["steps"] if "${{" in step.get("run", "")] == []


def test_a_promotion_is_never_cut_off_by_the_next_one() -> None:
    """Jobs wait for one another, a group for each promotion, and are not cancelled."""
    groups = {name: job["concurrency"] for name, job in WORKFLOWS["promote"]["jobs"].items()}

    assert {group["cancel-in-progress"] for group in groups.values()} == {False}
    assert groups["drive"]["group"] == "drive-${{ matrix.promotion }}"


def test_the_form_and_the_secrets_are_those_of_the_platform() -> None:
    """Environments that are promoted to; each secret that platform.yaml refers to by name is handed over."""
    platform = yaml.safe_load((SAMPLE / "platform.yaml").read_text("utf-8"))
    environments = platform["environments"]
    previews = {one.get("preview") for one in environments.values()}
    inputs = events("promote")["workflow_dispatch"]["inputs"]
    platform["systems"].pop("workflows", None)  # the other driver's
    secrets = set(re.findall(r'"env:([A-Z_]+)"', json.dumps(platform, default=str)))

    assert inputs["environment"]["options"] == [name for name in environments if name not in previews]
    app = platform["systems"]["forge"]["app"]
    for job in ("begin", "drive"):
        there = WORKFLOWS["promote"]["jobs"][job]["env"]
        app_id, installation, _, key = there["LOCKGATE_GIT_APP"].split(":")
        assert (int(app_id), int(installation)) == (app["app_id"], app["installation_id"])
        assert there[key].startswith("${{ secrets.")
    assert secrets
    assert secrets <= set(there)


def test_only_jobs_of_main_see_a_secret() -> None:
    """They name an environment of GitHub, which is kept to main; a pull request's run may read."""
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {}
        for job in workflow["jobs"].values():
            assert ("secrets." in json.dumps(job)) == ("environment" in job)
            assert "environment" not in job or name == "promote"
    assert [job.get("permissions", {}) for job in WORKFLOWS["pull-request"]["jobs"].values()] == [
        {"contents": "read"},
        {},
    ]
    assert "actions/checkout" not in json.dumps(WORKFLOWS["comment"])
