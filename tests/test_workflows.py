"""What GitHub reads, here and in the sample, fits its schemas, and a security linter has nothing against it.

Everything runs offline. Whether a pinned SHA is the release its comment names is not checked here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
HERE, SAMPLE = ".github", "gitops-repo/.github"
BIN = Path(sys.executable).parent
SCHEMAS = {
    f"{HERE}/workflows/ci.yml": "vendor.github-workflows",
    f"{HERE}/dependabot.yml": "vendor.dependabot",
    f"{HERE}/ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
    f"{HERE}/ISSUE_TEMPLATE/bug.yml": "vendor.github-issue-forms",
    f"{HERE}/ISSUE_TEMPLATE/gate.yml": "vendor.github-issue-forms",
    f"{SAMPLE}/workflows/pull-request.yml": "vendor.github-workflows",
    f"{SAMPLE}/workflows/comment.yml": "vendor.github-workflows",
    f"{SAMPLE}/workflows/promote.yml": "vendor.github-workflows",
    f"{SAMPLE}/dependabot.yml": "vendor.dependabot",
}
"""File -> the schema that check-jsonschema carries for it."""
WORKFLOWS = [file for file, schema in SCHEMAS.items() if schema == "vendor.github-workflows"]

UNSAFE = """\
name: unsafe
on: pull_request_target
jobs:
  run:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v5
      - run: echo "${{ github.event.pull_request.title }}"
"""


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the linters of the locked set."""
    command = [str(BIN / name), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def zizmor(path: Path) -> subprocess.CompletedProcess[str]:
    """The security linter's word; its pickiest persona, without asking the network."""
    return tool("zizmor", "--offline", "--no-progress", "--persona=pedantic", "--format=plain", str(path))


def test_every_file_has_a_schema() -> None:
    """A new file for GitHub is held against a schema or named here."""
    there = [path for folder in (HERE, SAMPLE) for path in (ROOT / folder).rglob("*.y*ml")]

    assert {path.relative_to(ROOT).as_posix() for path in there} == set(SCHEMAS)


@pytest.mark.parametrize("file", SCHEMAS)
def test_a_file_fits_its_schema(file: str) -> None:
    """GitHub would read it."""
    done = tool("check-jsonschema", "--builtin-schema", SCHEMAS[file], str(ROOT / file))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", WORKFLOWS)
def test_a_misspelt_key_does_not_fit(tmp_path: Path, file: str) -> None:
    """The schema is one that refuses."""
    planted = tmp_path / "planted.yml"
    planted.write_text((ROOT / file).read_text().replace("runs-on:", "run-on:", 1))
    done = tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(planted))

    assert done.returncode == 1
    assert "run-on" in done.stdout


@pytest.mark.parametrize("folder", [HERE, SAMPLE])
def test_the_security_linter_finds_nothing(folder: str) -> None:
    """No injection, no dangerous trigger, no right too many, no action by tag."""
    done = zizmor(ROOT / folder)

    assert done.returncode == 0, done.stdout


def test_one_finding_is_set_aside_and_says_why() -> None:
    """The trigger of the job that may comment: dangerous where something of the pull request is run."""
    lines = [line for file in SCHEMAS for line in (ROOT / file).read_text().splitlines() if "zizmor" in line]

    said = "runs nothing of the pull request, reads one JSON file"
    assert lines == [f"  workflow_run: # zizmor: ignore[dangerous-triggers] {said}"]


@pytest.mark.parametrize(
    "finding",
    ["template-injection", "dangerous-triggers", "unpinned-uses", "artipacked", "excessive-permissions"],
)
def test_the_security_linter_finds_what_is_planted(tmp_path: Path, finding: str) -> None:
    """It reads such a file and names what is wrong."""
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    planted = tmp_path / ".github" / "workflows" / "unsafe.yml"
    planted.write_text(UNSAFE)
    done = zizmor(planted)

    assert done.returncode != 0
    assert f"[{finding}]" in done.stdout


PLANTED = {
    "unpinned-uses": ("pull-request", r"actions/checkout@\S+ # v5.0.0", "actions/checkout@v5"),
    "unpinned-images": ("pull-request", "@sha256:0+", ""),
    "template-injection": ("promote", '"\\$MODEL"', "${{ inputs.model }}"),
    "dangerous-triggers": ("pull-request", "pull_request:", "pull_request_target:"),
    "artipacked": ("pull-request", " *persist-credentials: false\n", ""),
    "excessive-permissions": ("comment", r"permissions: \{\}\n", "permissions: write-all\n"),
}
"""Finding -> the sample's workflow that is spoilt, what is taken out of it, what stands there then."""


@pytest.mark.parametrize("finding", PLANTED)
def test_the_sample_spoilt_is_found(tmp_path: Path, finding: str) -> None:
    """Each safeguard that is taken out is named."""
    workflow, taken, put = PLANTED[finding]
    text = (ROOT / SAMPLE / "workflows" / f"{workflow}.yml").read_text()
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    planted = tmp_path / ".github" / "workflows" / f"{workflow}.yml"
    planted.write_text(re.sub(taken, put, text))
    done = zizmor(planted)

    assert done.returncode != 0
    assert f"[{finding}]" in done.stdout


@pytest.mark.parametrize("file", WORKFLOWS)
def test_every_action_is_pinned_with_its_version(file: str) -> None:
    """A full SHA, and beside it the release it is, for people and for dependabot."""
    uses = re.findall(r"uses: (.*)", (ROOT / file).read_text())

    assert [
        use for use in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)
    ] == []


def test_ci_runs_what_a_laptop_runs() -> None:
    """One script, on both systems that the README promises, within 45 minutes."""
    workflow = yaml.safe_load((ROOT / HERE / "workflows/ci.yml").read_text())
    job = workflow["jobs"]["run"]

    assert workflow["permissions"] == {}
    assert [step["run"] for step in job["steps"] if "run" in step][-1] == ".ci/run"
    assert {system.split("-")[0] for system in job["strategy"]["matrix"]["os"]} == {"ubuntu", "macos"}
    assert job["timeout-minutes"] <= 45


def test_one_check_looks_at_all_results() -> None:
    """A skipped job counts as success for GitHub; the check to require fails unless all succeeded."""
    gates = yaml.safe_load((ROOT / HERE / "workflows/ci.yml").read_text())["jobs"]["gates"]
    script = gates["steps"][0]["run"]

    def ends(results: str) -> int:
        done = subprocess.run(["bash", "-euc", script], env={"RESULTS": results}, capture_output=True)
        return done.returncode

    assert gates["if"] == "always()"
    assert ends("success success") == 0
    assert [ends(f"success {other}") for other in ("failure", "cancelled", "skipped")] == [1, 1, 1]
