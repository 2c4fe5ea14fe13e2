"""The real ``argo lint --offline`` takes the sample's workflows, and would not take them with a mistake."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.live
WORKFLOWS = Path(__file__).parents[2] / "gitops-repo" / "workflows"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """What the program says of a folder; it is told of no server."""
    argo = shutil.which("argo")
    if argo is None:
        pytest.skip("there is no program argo")
    return subprocess.run(
        [argo, "lint", "--offline", "--no-color", str(folder)],
        env={},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_samples_workflows_pass() -> None:
    assert (done := lint(WORKFLOWS)).returncode == 0, done.stdout + done.stderr


def test_a_planted_mistake_does_not(tmp_path: Path) -> None:
    shutil.copytree(WORKFLOWS, tmp_path, dirs_exist_ok=True)
    planted = tmp_path / "base" / "rendered" / "promote-regulated.yaml"
    planted.write_text(planted.read_text().replace("template: outcome", "template: outcom"))

    done = lint(tmp_path)
    assert done.returncode != 0
    assert "outcom" in done.stdout + done.stderr
