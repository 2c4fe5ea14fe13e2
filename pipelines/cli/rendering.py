"""The command workflow render: what Argo Workflows is told, written from what people edit."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.session import Session, command
from pipelines.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from pipelines.spec.types import Platform, Release

PLACE = Path("base", "rendered")
"""Below the folder of workflows: what is rendered, and nothing else."""
SETTINGS = "settings.yaml"


@command(name="render")
@click.option("--image", metavar="REF", help="What the pods run, best by digest; by default as before.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Where; by default workflows/ of --repo."
)
@click.option("--check", is_flag=True, help="Write nothing; exit code 3 when a file is not as it would be.")
def render(session: Session, image: str | None, out: Path | None, check: bool) -> int:
    """Write the workflow templates that promotions run on, from platform.yaml and the models.

    One template for each tier, with a form of its models and the environments; the sweeper, the trigger and
    the events that wake it; the settings of all pods. They go to base/rendered, where all else is removed.
    """
    folder = (out or session.folder / "workflows") / PLACE
    wanted = _wanted(session, image, folder)
    held = {place.name: place.read_text("utf-8") for place in sorted(folder.glob("*.yaml"))}
    differing = sorted(name for name in {*wanted, *held} if wanted.get(name) != held.get(name))
    if check and differing:
        raise InvalidInput([_drift(folder / name, wanted.get(name), held.get(name)) for name in differing])
    for name in differing:
        _write(folder / name, wanted.get(name))
    if session.as_json:
        session.data("workflow.render", {"folder": str(folder), "files": list(wanted), "changed": differing})
    session.say(f"{len(wanted)} files in {folder}: {len(differing) or 'none'} changed")
    return 0


def _wanted(session: Session, image: str | None, folder: Path) -> dict[str, str]:
    """Every file as it should be; the image as before where none is named.

    Raises:
        InvalidInput: what people wrote cannot be used.
    """
    from pipelines.cli.tree import WorkingTree
    from pipelines.spec.read import read_all
    from pipelines.workflow.templates import UNPUBLISHED, files, image_of

    tree = WorkingTree(session.folder)
    platform, releases = read_all(tree.written())
    settings = folder / SETTINGS
    before = image_of(settings.read_text("utf-8")) if settings.is_file() else ""
    return files(platform, _models(platform, releases), image=image or before or UNPUBLISHED)


def _models(platform: Platform, releases: Mapping[str, Release]) -> dict[str, list[str]]:
    return {
        tier: sorted(model for model, release in releases.items() if release.tier == tier)
        for tier in platform.tiers
    }


def _drift(place: Path, wanted: str | None, held: str | None) -> Problem:
    """A file that is not as it would be written, and the first line that differs."""
    hint = "run `lockgate workflow render`, and commit what it writes"
    if wanted is None:
        return Problem(str(place), 0, "", "is no file that is rendered", hint)
    if held is None:
        return Problem(str(place), 0, "", "is missing", hint)
    pairs = zip([*wanted.split("\n"), ""], [*held.split("\n"), ""], strict=False)
    line = next((n for n, (one, other) in enumerate(pairs, start=1) if one != other), 0)
    changed = sum(row[:1] in "+-" for row in difflib.ndiff(held.splitlines(), wanted.splitlines()))
    return Problem(str(place), line, "", f"is not as it would be rendered: {changed} lines differ", hint)


def _write(place: Path, text: str | None) -> None:
    if text is None:
        place.unlink()
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, "utf-8")
