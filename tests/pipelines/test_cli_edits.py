"""`lockgate plan --changed`: what every release that differs from a commit leads to, from files alone.

How it is written for people: test_render_edits.py. How it gets onto a pull request: test_sample_github.py.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines.spec.edits import read_edits
from tests.commands import Ran, Shell

RELEASE = "models/fraud-scorer/release.yaml"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample repository, committed once."""
    folder = tmp_path_factory.mktemp("sample") / "models-repo"
    assert Shell({"HOME": str(folder.parent)})("init", folder).code == 0
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "--quiet", "--message", "one")
    return folder


@pytest.fixture
def tree(sample: Path, tmp_path: Path) -> Path:
    """A checkout of it to edit."""
    return Path(shutil.copytree(sample, tmp_path / "tree"))


@pytest.fixture
def shell(tree: Path) -> Shell:
    """A shell of somebody who works there and has no network."""
    return Shell({"HOME": str(tree.parent), "LOCKGATE_REPO": str(tree)})


def git(folder: Path, *words: str) -> None:
    """Git in a folder."""
    subprocess.run(["git", *words], cwd=folder, check=True, timeout=20, capture_output=True)


def edit(tree: Path, old: str, new: str, path: str = RELEASE) -> None:
    """Replace words of a file."""
    text = (tree / path).read_text("utf-8")
    assert old in text
    (tree / path).write_text(text.replace(old, new), "utf-8")


def want_v38(tree: Path) -> None:
    """What somebody edits who wants a new version."""
    edit(tree, "v37", "v38")
    edit(tree, "sha256:4d967a30", "sha256:5d967a30")


def test_nothing_edited_leads_to_nothing(shell: Shell) -> None:
    """And is no mistake."""
    ran = shell("plan", "--changed", "HEAD")

    assert (ran.code, ran.err) == (0, "")
    assert "No `release.yaml` differs" in ran.out


def test_a_new_version_is_planned_for_every_environment(shell: Shell, tree: Path) -> None:
    """In their order, previews left out; the manifests as they are and as they end."""
    want_v38(tree)
    ran = shell("plan", "--changed", "HEAD", "--json")

    assert ran.code == 0
    (model,) = ran.json["models"]
    assert (model["model"], model["how"]) == ("fraud-scorer", "changed")
    assert [course["environment"] for course in model["courses"]] == ["staging", "prod"]
    prod = model["courses"][1]
    assert prod["sentence"] == "fraud-scorer v38 to prod: tier regulated, canary; v37 serves now"
    assert [row[0] for row in prod["stages"]] == [
        *("propose", "preview", "judge", "merge", "shift-0", "shift-10", "bake-10", "shift-25", "bake-25"),
        *("shift-50", "bake-50", "approve", "shift-100", "bake-100", "finish"),
    ]  # fmt: skip
    changed = [line for line in prod["manifests"].splitlines() if line.startswith(("+ ", "- "))]
    assert changed[:2] == [
        '-      storageUri: "s3://risk-models/fraud-scorer/v37"',
        '+      storageUri: "s3://risk-models/fraud-scorer/v38"',
    ]
    assert '+  "promotion": "given when it begins"' in changed


def test_its_data_can_be_read_back(shell: Shell, tree: Path) -> None:
    """By the job that comments, which then writes the same words."""
    want_v38(tree)
    data = shell("plan", "--changed", "HEAD", "--json").out.encode()

    assert read_edits(data, "plan.json").models[0].model == "fraud-scorer"


def test_a_change_without_a_new_version_begins_no_promotion(shell: Shell, tree: Path) -> None:
    """It is said, and shown what the next one brings along."""
    edit(tree, "max: 8", "max: 9")
    ran = shell("plan", "--changed", "HEAD", "--json")

    course = ran.json["models"][0]["courses"][0]
    assert course["sentence"] == "fraud-scorer to staging: v37 serves there already"
    assert course["stages"] == []
    lines = course["manifests"].splitlines()
    assert [line for line in lines if line.startswith(("+ ", "- "))] == [
        "-    maxReplicas: 8",
        "+    maxReplicas: 9",
    ]


def test_models_come_and_go(shell: Shell, tree: Path) -> None:
    """A new one, committed or not, has all its manifests before it; a removed one has no plan."""
    shutil.copytree(tree / "models" / "fraud-scorer", tree / "models" / "second")
    edit(tree, "model: fraud-scorer", "model: second", "models/second/release.yaml")
    (tree / RELEASE).unlink()
    ran = shell("plan", "--changed", "HEAD", "--json")

    gone, new = ran.json["models"]
    assert (gone["model"], gone["how"], gone["courses"]) == ("fraud-scorer", "removed", [])
    assert (new["model"], new["how"]) == ("second", "new")
    assert "nothing serves there yet" in new["courses"][0]["sentence"]
    assert "\n-" not in new["courses"][0]["manifests"].replace("\n---", "")


def test_problems_of_all_files_are_told_and_make_it_red(shell: Shell, tree: Path) -> None:
    """An edited release that cannot be read has no plan; the others have theirs."""
    shutil.copytree(tree / "models" / "fraud-scorer", tree / "models" / "second")
    want_v38(tree)
    ran = shell("plan", "--changed", "HEAD", "--json")

    assert ran.code == 3
    assert any("models/second/release.yaml" in problem for problem in ran.json["problems"])
    assert [len(model["courses"]) for model in ran.json["models"]] == [2, 0]


def test_what_cannot_be_planned_is_said_in_its_place(shell: Shell, tree: Path) -> None:
    """Where a machine's file was edited by hand nobody knows what serves; the others have their plan."""
    want_v38(tree)
    edit(tree, "share_percent", "shaer_percent", "clusters/prod/risk/fraud-scorer/record.yaml")
    ran = shell("plan", "--changed", "HEAD", "--json")

    assert ran.code == 3
    staged, final = ran.json["models"][0]["courses"]
    assert staged["stages"]
    assert (final["stages"], final["manifests"]) == ([], "")
    assert final["sentence"].startswith("fraud-scorer to prod: there is no plan, since ")


def refused(ran: Ran, says: str) -> bool:
    """Whether a command was a mistake, for this reason."""
    return ran.code == 3 and says in ran.err and ran.out == ""


def test_a_commit_that_is_not_there_is_a_mistake(shell: Shell) -> None:
    """Never "nothing differs": a checkout may be shallower than somebody thinks."""
    for commit in ("HEAD^1", "--upload-pack=x", ""):
        assert refused(shell("plan", f"--changed={commit}"), "there is no commit"), commit
    assert refused(
        shell("plan", "--changed", "HEAD", "--repo", "https://forge.example/m.git"), "is an address"
    )


def test_all_models_or_one(shell: Shell) -> None:
    """The two ways of asking are not mixed."""
    for words in (["fraud-scorer"], ["--to", "prod"], ["--uri", "s3://m/v1"]):
        assert refused(shell("plan", "--changed", "HEAD", *words), "plans all models that differ"), words
    assert refused(shell("plan"), "MODEL: is missing")


def test_a_release_that_is_a_link_to_somewhere_else_is_not_read(shell: Shell, tree: Path) -> None:
    """A pull request may hold one; what it leads to on the runner stays there."""
    (tree.parent / "secret").write_text("model: hunter2-4711\n")
    (tree / RELEASE).unlink()
    (tree / RELEASE).symlink_to(tree.parent / "secret")
    ran = shell("plan", "--changed", "HEAD")

    assert ran.code == 3
    assert "is a link to something outside of this folder" in ran.out
    assert "4711" not in ran.out + ran.err
