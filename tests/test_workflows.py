"""What GitHub reads from ``.github`` fits GitHub's schemas, and a security linter has nothing against it.

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
GITHUB = ROOT / ".github"
BIN = Path(sys.executable).parent
SCHEMAS = {
    "workflows/ci.yml": "vendor.github-workflows",
    "dependabot.yml": "vendor.dependabot",
    "ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
    "ISSUE_TEMPLATE/bug.yml": "vendor.github-issue-forms",
    "ISSUE_TEMPLATE/gate.yml": "vendor.github-issue-forms",
}
"""File -> the schema that check-jsonschema carries for it."""

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
    assert {path.relative_to(GITHUB).as_posix() for path in GITHUB.rglob("*.y*ml")} == set(SCHEMAS)


@pytest.mark.parametrize("file", SCHEMAS)
def test_a_file_fits_its_schema(file: str) -> None:
    """GitHub would read it."""
    done = tool("check-jsonschema", "--builtin-schema", SCHEMAS[file], str(GITHUB / file))

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_misspelt_key_does_not_fit(tmp_path: Path) -> None:
    """The schema is one that refuses."""
    planted = tmp_path / "ci.yml"
    planted.write_text((GITHUB / "workflows/ci.yml").read_text().replace("runs-on:", "run-on:"))
    done = tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(planted))

    assert done.returncode == 1
    assert "run-on" in done.stdout


def test_the_security_linter_finds_nothing() -> None:
    """No injection, no dangerous trigger, no right too many, no action by tag."""
    done = zizmor(GITHUB)

    assert done.returncode == 0, done.stdout


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


def test_every_action_is_pinned_with_its_version() -> None:
    """A full SHA, and beside it the release it is, for people and for dependabot."""
    uses = re.findall(r"uses: (.*)", (GITHUB / "workflows/ci.yml").read_text())

    assert uses
    assert [
        use for use in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)
    ] == []


def test_ci_runs_what_a_laptop_runs() -> None:
    """One script, on both systems that the README promises, within 45 minutes."""
    workflow = yaml.safe_load((GITHUB / "workflows/ci.yml").read_text())
    job = workflow["jobs"]["run"]

    assert workflow["permissions"] == {}
    assert [step["run"] for step in job["steps"] if "run" in step][-1] == ".ci/run"
    assert {system.split("-")[0] for system in job["strategy"]["matrix"]["os"]} == {"ubuntu", "macos"}
    assert job["timeout-minutes"] <= 45


def test_one_check_looks_at_all_results() -> None:
    """A skipped job counts as success for GitHub; the check to require fails unless all succeeded."""
    gates = yaml.safe_load((GITHUB / "workflows/ci.yml").read_text())["jobs"]["gates"]
    script = gates["steps"][0]["run"]

    def ends(results: str) -> int:
        done = subprocess.run(["bash", "-euc", script], env={"RESULTS": results}, capture_output=True)
        return done.returncode

    assert gates["if"] == "always()"
    assert ends("success success") == 0
    assert [ends(f"success {other}") for other in ("failure", "cancelled", "skipped")] == [1, 1, 1]
