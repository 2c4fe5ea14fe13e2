"""Every mode, strategy and share is rendered to files that are kept here byte for byte.

LOCKGATE_REGENERATE=1 writes them anew, never where CI is set: the difference in review is the point.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from gates.policy import check
from pipelines.render import Serves, render, serves_of
from tests.examples import PROMOTION, V1, V2, V3, environment, release, serves
from tests.schemas import schema_errors

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "render"
CASES = {
    **{f"canary-{share}": serves(share) for share in (0, 10, 25, 50, 100)},
    "blue-green-0": serves(0),
    "blue-green-100": serves(100),
    "first": serves(100, stable=None, candidate=V1),
    "finished": serves(100, stable=V2, candidate=None),
    "rolled-back": serves(0),
    "next-after-rolled-back": serves(0, candidate=V3),
}
MODES = ("Knative", "Standard")


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_bytes().decode()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def regenerate(folder: Path, files: dict[str, str]) -> None:
    assert "CI" not in os.environ, "golden files are never regenerated in CI"
    for old in tree(folder):
        (folder / old).unlink()
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text.encode())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES)
def test_files_are_as_kept(mode: str, case: str) -> None:
    """Render gives exactly the bytes that were reviewed."""
    files = render(release(), "prod", environment(mode), CASES[case])
    folder = GOLDEN / mode.lower() / case
    if os.environ.get("LOCKGATE_REGENERATE") == "1":
        regenerate(folder, files)
    assert tree(folder) == files


@pytest.mark.parametrize("mode", MODES)
def test_the_bare_minimum_is_as_kept(mode: str) -> None:
    """A release without any optional setting leaves no empty fields behind."""
    bare = release()
    bare = bare.model_copy(update={"serving": type(bare.serving)(format="sklearn")})
    files = render(bare, "prod", environment(mode), serves(10))
    folder = GOLDEN / mode.lower() / "bare-canary-10"
    if os.environ.get("LOCKGATE_REGENERATE") == "1":
        regenerate(folder, files)
    assert tree(folder) == files


def kept() -> list[Path]:
    return sorted(path.parent for path in GOLDEN.rglob("inferenceservice.yaml"))


def test_nothing_is_kept_that_is_not_tested() -> None:
    """A golden folder without a case would never be looked at again."""
    folders = {path.relative_to(GOLDEN).parts[:2] for path in kept()}
    assert folders == {(mode.lower(), case) for mode in MODES for case in (*CASES, "bare-canary-10")}


@pytest.mark.parametrize("folder", kept(), ids=lambda path: "-".join(path.relative_to(GOLDEN).parts[:2]))
def test_every_kept_manifest_fits_its_schema_and_policy(folder: Path) -> None:
    """Kubernetes' own types accept each file, our policy has nothing to say, and the record reads back."""
    root = folder.parents[3]
    files = tree(root)
    assert len(files) == 2
    for text in files.values():
        assert schema_errors(yaml.safe_load(text)) == []
    assert check(files) == []
    read = serves_of(files)
    assert isinstance(read, Serves)
    assert read.promotion == PROMOTION


def test_the_schemas_refuse_a_misspelt_field() -> None:
    """The schemas are awake: a planted mistake is found."""
    text = (GOLDEN / "knative/canary-10/clusters/prod/risk/fraud-scorer/inferenceservice.yaml").read_text()
    planted = yaml.safe_load(text.replace("canaryTrafficPercent", "canaryTraficPercent"))
    assert any("canaryTraficPercent" in error for error in schema_errors(planted))


def test_rolled_back_is_share_zero_and_finished_is_share_hundred() -> None:
    """Rolling back writes 0 and deletes nothing; finishing changes no field of the InferenceService."""
    for mode in ("knative", "standard"):
        services = {
            case: (GOLDEN / mode / case / "clusters/prod/risk/fraud-scorer/inferenceservice.yaml").read_text()
            for case in ("canary-0", "canary-100", "rolled-back", "finished")
        }
        assert services["rolled-back"] == services["canary-0"]
        assert services["finished"] == services["canary-100"]


def test_golden_files_are_never_regenerated_in_ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A build that rewrites what it is held against would always pass."""
    (tmp_path / "old.yaml").write_text("a: 1\n")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(AssertionError, match="never regenerated in CI"):
        regenerate(tmp_path, {"new.yaml": "b: 2\n"})
    assert tree(tmp_path) == {"old.yaml": "a: 1\n"}
    monkeypatch.delenv("CI")
    regenerate(tmp_path, {"clusters/new.yaml": "b: 2\n"})
    assert tree(tmp_path) == {"clusters/new.yaml": "b: 2\n"}
