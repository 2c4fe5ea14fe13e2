"""Commands on files: init, lint, plan, digest. No network is asked, nothing but the named folder written.

Covered: a fresh copy is good; every problem of all files at once; many models; the plan's text and data;
versions and environments spelled out; digests. Left out: what makes a file wrong (spec and policy tests).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from gates.signature import artifact_digest
from pipelines.render import Serves, render
from pipelines.spec.read import read_all
from pipelines.spec.types import Version
from tests.commands import Shell

DIGEST = "sha256:" + "a" * 64


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample repository, as init wrote it."""
    folder = tmp_path_factory.mktemp("sample") / "models-repo"
    ran = Shell({"HOME": str(folder.parent)})("init", folder)
    assert ran.code == 0, ran.err
    return folder


@pytest.fixture
def tree(sample: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil, in which nothing serves yet."""
    copy = Path(shutil.copytree(sample, tmp_path / "tree"))
    shutil.rmtree(copy / "clusters", ignore_errors=True)
    return copy


@pytest.fixture
def shell(tree: Path) -> Shell:
    """A shell of somebody who works on that copy and has no network."""
    return Shell({"HOME": str(tree.parent), "LOCKGATE_REPO": str(tree)})


def release(tree: Path, model: str = "fraud-scorer") -> Path:
    """The file people edit."""
    return tree / "models" / model / "release.yaml"


def serve(tree: Path, label: str, environment: str = "prod") -> None:
    """Have machines' files say that a version serves there."""
    paths = ("platform.yaml", "models/fraud-scorer/release.yaml")
    platform, releases = read_all({path: (tree / path).read_text() for path in paths})
    version = Version(label=label, uri=f"s3://risk-models/fraud-scorer/{label}", digest="sha256:" + "b" * 64)
    alone = Serves(stable=version, candidate=None, share_percent=100, promotion="")
    files = render(releases["fraud-scorer"], environment, platform.environments[environment], alone)
    for path, text in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)


# ---------------------------------------------------------------------------- init


def test_a_fresh_copy_has_no_problem(shell: Shell, sample: Path, tree: Path) -> None:
    """What init writes can be linted at once, with the counts of what was looked at."""
    assert shell("lint", sample).code == 0
    ran = shell("lint", tree)

    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "2 models, 3 environments, 12 manifests: no problem\n"


def test_the_schemas_beside_it_accept_the_sample_and_refuse_a_misspelt_key(tree: Path) -> None:
    """Editors complete and check by them: each file names its schema in its first line."""
    for path, name in (
        ("platform.yaml", "platform"),
        ("models/fraud-scorer/release.yaml", "release"),
        ("models/claims-assistant/release.yaml", "release"),
        ("models/fraud-scorer/clients.yaml", "clients"),
    ):
        first = (tree / path).read_text().splitlines()[0]
        schema = ((tree / path).parent / first.partition("$schema=")[2]).resolve()
        assert schema == (tree / "schemas" / f"{name}.json").resolve()
        document = json.loads(json.dumps(yaml.safe_load((tree / path).read_text()), default=str))
        rules = jsonschema.Draft202012Validator(json.loads(schema.read_text()))
        assert not list(rules.iter_errors(document))
        assert list(rules.iter_errors({**document, "vresion": 1}))


CLIENTS = """\
clients:
  checkout:
    inputs: {input-0: {datatype: FP64, shape: [-1, 12]}}
    outputs: {score: {datatype: FP64, shape: [-1]}}
"""


def test_lint_reads_what_callers_wrote_down(shell: Shell, tree: Path) -> None:
    """The contract beside release.yaml, with file, line, key and what was meant; and a name nearly right."""
    folder = tree / "models" / "fraud-scorer"
    (folder / "clients.yaml").write_text(CLIENTS)
    assert shell("lint", tree).code == 0
    (folder / "clients.yaml").write_text(CLIENTS.replace("outputs", "output"))
    (folder / "client.yaml").write_text(CLIENTS)
    (folder / "values.yaml").write_text("mine: 1\n")

    ran = shell("lint", tree)

    assert ran.code == 3
    assert "models/fraud-scorer/client.yaml: is no file that lockgate reads" in ran.out
    assert "models/fraud-scorer/clients.yaml:4: clients.checkout.output: unknown key" in ran.out
    assert "did you mean `outputs`?" in ran.out
    assert "values.yaml" not in ran.out


def test_lint_misses_a_contract_that_the_tier_wants(shell: Shell, tree: Path) -> None:
    """Found while people write, and not when the candidate is judged."""
    platform = tree / "platform.yaml"
    text = platform.read_text()
    platform.write_text(text.replace("compatibility: {}", "compatibility: {clients_required: true}"))
    contract = tree / "models" / "fraud-scorer" / "clients.yaml"
    contract.unlink()

    ran = shell("lint", tree)

    assert ran.code == 3
    assert "models/fraud-scorer/clients.yaml: is missing; the tier regulated asks for it" in ran.out
    contract.write_text(CLIENTS)
    assert shell("lint", tree).code == 0


def test_lint_knows_the_metrics_packs(shell: Shell, tree: Path) -> None:
    """A name nobody knows would hold every promotion until its budget is spent."""
    platform = tree / "platform.yaml"
    platform.write_text(platform.read_text().replace("pack: envoy", "pack: envoi", 1))

    ran = shell("lint", tree)

    assert ran.code == 3
    assert "environments.staging.metrics.pack: there is no metrics pack" in ran.out
    assert "did you mean `envoy`?" in ran.out


def test_lint_sees_alerts_that_would_count_a_neighbour(shell: Shell, tree: Path) -> None:
    """In Standard mode `fraud` and `fraud-scorer` of one tenant cannot be told apart by names."""
    platform, folder = tree / "platform.yaml", tree / "models"
    text = platform.read_text().replace("# alerts: {labels", "alerts: {labels")
    at = text.index("  prod:\n")
    standard = "mode: Standard\n    gateway_api: true"
    text = text[:at] + text[at:].replace("mode: Knative", standard, 1).replace('"0.20"', '"0.21"', 1)
    platform.write_text(text)
    shutil.copytree(folder / "fraud-scorer", folder / "fraud")
    release(tree, "fraud").write_text(
        release(tree).read_text().replace("model: fraud-scorer", "model: fraud")
    )

    ran = shell("lint", tree)

    assert ran.code == 3
    assert "models/fraud/release.yaml: model: alerts in prod would count fraud-scorer as well" in ran.out
    moved = release(tree, "fraud").read_text().replace("tenant: risk", "tenant: retail")
    release(tree, "fraud").write_text(moved)
    assert "would count" not in shell("lint", tree).out


def test_init_takes_an_empty_clone_and_nothing_else(shell: Shell, tmp_path: Path) -> None:
    """A folder with a file in it is left as it is."""
    clone, full = tmp_path / "clone", tmp_path / "full"
    (clone / ".git").mkdir(parents=True)
    full.mkdir()
    (full / "notes.txt").write_text("mine")

    assert shell("init", clone).code == 0
    ran = shell("init", full)
    assert ran.code == 3
    assert "holds 1 files or folders already" in ran.err
    assert [place.name for place in full.iterdir()] == ["notes.txt"]


def test_init_lists_its_files_as_data(shell: Shell, tmp_path: Path) -> None:
    """Programs get the list, people the sentence on stderr."""
    ran = shell("--json", "init", tmp_path / "new")

    assert ran.json["schema"] == "lockgate.init/1"
    assert {"platform.yaml", "schemas/release.json"} <= set(ran.json["files"])
    assert "lockgate lint" in ran.err


# ---------------------------------------------------------------------------- lint


def test_every_problem_of_every_file_at_once(shell: Shell, tree: Path) -> None:
    """Each with file, line, key path and what to write; exit code 3."""
    text = release(tree).read_text()
    release(tree).write_text(text.replace("tier: regulated", "teir: regulated"))
    (tree / "models" / "second").mkdir()
    release(tree, "second").write_text(text)
    platform = (tree / "platform.yaml").read_text()
    (tree / "platform.yaml").write_text(platform.replace("supersede: queue", "supersede: quue"))
    ran = shell("lint")

    assert ran.code == 3
    lines = ran.out.splitlines()
    assert any(line.startswith("models/fraud-scorer/release.yaml:") and "teir" in line for line in lines)
    assert any(line.startswith("models/second/release.yaml:") and "second" in line for line in lines)
    assert any("tiers.regulated.supersede" in line and "did you mean `queue`" in line for line in lines)
    assert lines[-1].startswith("3 models, 0 environments, 0 manifests: ")


def test_one_bad_release_does_not_hide_the_others(shell: Shell, tree: Path) -> None:
    """The good ones are rendered all the same."""
    (tree / "models" / "second").mkdir()
    release(tree, "second").write_text("model: [")
    ran = shell("lint", "--json")

    assert ran.code == 3
    assert ran.json["manifests"] == 12
    assert ran.json["problems"]
    assert {problem["file"] for problem in ran.json["problems"]} == {"models/second/release.yaml"}
    assert all(
        set(problem) == {"file", "line", "path", "message", "hint"} for problem in ran.json["problems"]
    )


def test_what_cannot_be_rendered_is_a_problem(shell: Shell, tree: Path) -> None:
    """A version that bears the label of the one that serves would send requests to the older one."""
    serve(tree, "v37")
    ran = shell("lint")

    assert ran.code == 3
    assert "candidate v37 has the same" in ran.out


def test_beside_a_version_that_serves_every_share_is_rendered(shell: Shell, tree: Path) -> None:
    """0, 10, 25, 50 and 100 % in prod, where v36 serves; one file set each in the other environments."""
    serve(tree, "v36")
    ran = shell("lint")

    assert ran.out == "2 models, 3 environments, 20 manifests: no problem\n"


def test_a_stable_record_that_was_edited_by_hand_is_a_problem(shell: Shell, tree: Path) -> None:
    """The machines' files are read strictly too."""
    serve(tree, "v36")
    record = tree / "clusters/prod/risk/fraud-scorer/record.yaml"
    record.write_text(record.read_text().replace("share_percent", "shaer_percent"))

    ran = shell("lint")
    assert ran.code == 3
    assert "clusters/prod/risk/fraud-scorer/record.yaml" in ran.out


def test_files_that_are_no_text_are_named(shell: Shell, tree: Path) -> None:
    """A release.yaml of bytes is a problem and no traceback."""
    release(tree).write_bytes(b"\xff\xfe\x00")
    (tree / "models" / "huge").mkdir()
    release(tree, "huge").write_text("#" * (5 * 2**20))
    ran = shell("lint")

    assert ran.code == 3
    assert "models/fraud-scorer/release.yaml: is not UTF-8 text" in ran.out
    assert "models/huge/release.yaml: is larger than 4 MiB" in ran.out


def test_an_empty_folder_is_told_what_is_missing(shell: Shell, tmp_path: Path) -> None:
    """And a path that is none is a mistake."""
    (tmp_path / "empty").mkdir()

    assert (
        "platform.yaml: is missing (hint: `lockgate init` writes one)"
        in shell("lint", tmp_path / "empty").out
    )
    assert shell("lint", tmp_path / "none").code == 3


def test_many_models_are_linted_by_one_command(shell: Shell, tree: Path) -> None:
    """Sixty models here; the benchmark does a thousand."""
    text = release(tree).read_text()
    for n in range(59):
        (tree / "models" / f"model-{n}").mkdir()
        release(tree, f"model-{n}").write_text(text.replace("model: fraud-scorer", f"model: model-{n}"))
    ran = shell("lint")

    assert ran.out == "61 models, 3 environments, 366 manifests: no problem\n"


# ---------------------------------------------------------------------------- plan


def test_the_plan_of_a_promotion_shows_every_stage(shell: Shell, tree: Path) -> None:
    """With share, gates, times, and what it needs."""
    serve(tree, "v36")
    ran = shell("plan", "fraud-scorer")

    assert ran.code == 0
    assert ran.out.startswith("fraud-scorer v37 to prod: tier regulated, canary; v36 serves now\n")
    rows = ran.out.split("\n\n")[1].splitlines()[1:]
    assert " ".join(row.split()[0] for row in rows) == (
        "propose preview judge merge shift-0 shift-10 bake-10 shift-25 bake-25 shift-50 bake-50 approve "
        "shift-100 bake-100 finish"
    )
    assert "a normal change, approved" in ran.out
    assert "The version must have ended at 100 % in staging first." in ran.out


def test_planning_touches_nothing(shell: Shell, tree: Path) -> None:
    """No file is written, no clone made, no server asked: every address in the sample leads nowhere."""
    before = {place: place.read_bytes() for place in tree.rglob("*") if place.is_file()}

    assert shell("plan", "fraud-scorer", LOCKGATE_STATE_DIR=str(tree.parent / "state")).code == 0
    assert {place: place.read_bytes() for place in tree.rglob("*") if place.is_file()} == before
    assert not (tree.parent / "state").exists()


def test_the_plan_as_data(shell: Shell) -> None:
    """The very plan that a promotion would be started with."""
    ran = shell("plan", "fraud-scorer", "--json")

    assert ran.json["schema"] == "lockgate.plan/1"
    assert ran.json["stable"] is None
    assert ran.json["plan"]["first"] is True
    assert ran.json["candidate"]["label"] == "v37"
    assert ran.json["approval"]["type"] == "normal"


def test_a_manual_stage_says_whose_word_it_needs(shell: Shell, tree: Path) -> None:
    """Pinned versions wait for a person."""
    release(tree).write_text(release(tree).read_text().replace("tier: regulated", "tier: dev"))
    text = release(tree).read_text()
    release(tree).write_text(text[: text.index("\ngates:")] + "\n")

    assert "a person's word: lockgate resume" in shell("plan", "fraud-scorer").out


def test_a_freeze_of_today_is_shown(shell: Shell, tree: Path) -> None:
    """A stop-the-line is part of the plan."""
    platform = tree / "platform.yaml"
    text = platform.read_text()
    freeze = "freezes:\n  - reason: stop the line\n    from: 2020-01-01T00:00:00Z\n"
    platform.write_text(text[: text.index("\nfreezes:") + 1] + freeze)

    assert "Frozen now: stop the line." in shell("plan", "fraud-scorer").out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("fraud-scor",), "hint: did you mean `fraud-scorer`?"),
        (("../../etc",), "there is no model of this name"),
        (("fraud-scorer", "--to", "prdo"), "hint: did you mean `prod`?"),
        (("fraud-scorer", "v38"), "release.yaml names v37, not v38"),
        (("fraud-scorer", "v38", "--uri", "s3://m/v38"), "needs all three of label, --uri and --digest"),
        (("fraud-scorer", "v38", "--uri", "s3://m/latest", "--digest", DIGEST), "error: --uri: "),
        (("fraud-scorer", "v38", "--uri", "s3://m/v38", "--digest", "sha1:x"), "error: --digest: "),
        (("fraud-scorer", "a b", "--uri", "s3://m/v38", "--digest", DIGEST), "error: VERSION: "),
        (("fraud-scorer", "models:/fraud-scorer@best"), "the platform has no model registry"),
    ],
)
def test_what_cannot_be_planned_is_a_mistake(shell: Shell, words: tuple[str, ...], says: str) -> None:
    """Exit code 3, and what to write instead."""
    ran = shell("plan", *words)

    assert ran.code == 3
    assert says in ran.err


def test_a_version_spelled_out_is_planned(shell: Shell) -> None:
    """Label, address and digest together, and any environment."""
    words = ("v38", "--uri", "s3://risk-models/fraud-scorer/v38", "--digest", DIGEST, "--to", "staging")

    assert shell("plan", "fraud-scorer", *words).out.startswith("fraud-scorer v38 to staging: ")


def test_where_several_environments_could_be_meant_one_has_to_be_named(shell: Shell, tree: Path) -> None:
    """Staging and prod are both last when neither comes after the other."""
    platform = tree / "platform.yaml"
    platform.write_text(platform.read_text().replace("    after: staging\n", ""))
    ran = shell("plan", "fraud-scorer")

    assert ran.code == 3
    assert "hint: name one: staging, prod" in ran.err


def test_a_plan_reads_main_where_an_address_is_named(tree: Path, tmp_path: Path) -> None:
    """The same, from a repository that is not checked out here."""
    who = ("-c", "user.name=dana", "-c", "user.email=dana@example.com")
    for words in (("init", "-q", "-b", "main"), ("add", "."), (*who, "commit", "-q", "-m", "sample")):
        subprocess.run(["git", *words], cwd=tree, check=True, timeout=20)
    shell = Shell({"HOME": str(tmp_path), "LOCKGATE_STATE_DIR": str(tmp_path / "state")})
    address = (tree / ".git").as_uri()

    assert shell("plan", "fraud-scorer", "--repo", address).out.startswith("fraud-scorer v37 to prod")
    assert "did you mean `fraud-scorer`?" in shell("plan", "fraud-scor", "--repo", address).err
    assert "is an address" in shell("lint", "--repo", address).err


# -------------------------------------------------------------------------- digest


def test_the_digest_is_the_one_that_the_signature_gate_computes(shell: Shell, tmp_path: Path) -> None:
    """By path and by address; what it prints can be pasted into release.yaml."""
    folder = tmp_path / "v38"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"weights")
    digest = artifact_digest(folder)

    assert shell("digest", folder).out == f"{digest}\n"
    assert shell("digest", folder.as_uri()).out == f"{digest}\n"
    assert shell("digest", folder, "--json").json == {
        "schema": "lockgate.digest/1", "artifact": str(folder), "digest": digest
    }  # fmt: skip


def test_what_has_no_digest_is_a_mistake(shell: Shell, tmp_path: Path) -> None:
    """An empty folder or none at all."""
    (tmp_path / "empty").mkdir()

    assert "holds no file" in shell("digest", tmp_path / "empty").err
    assert shell("digest", tmp_path / "none").code == 3
    assert shell("digest", "ftp://x/y").code == 3
