"""What the releases that differ from a commit lead to, from files alone: problems, plans, manifests."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Literal

from pipelines import wiring
from pipelines.cli.linting import lint
from pipelines.cli.planning import draw, wanted
from pipelines.cli.session import Session, mistake
from pipelines.cli.tree import Tree, WorkingTree
from pipelines.errors import InvalidInput
from pipelines.render import Serves, render, serves_of
from pipelines.spec.edits import Course, Edited, Edits
from pipelines.spec.read import RELEASE_FILE
from pipelines.spec.types import Platform, Release

HOW: dict[str, Literal["new", "removed"]] = {"A": "new", "D": "removed"}
"""Git's letter -> what became of a release; every other letter is a change."""
TO_COME = "given when it begins"
"""Stands for the promotion's id in manifests of one that has not begun."""


def edits(session: Session, base: str) -> Edits:
    """Compare the working tree with a commit.

    Raises:
        InvalidInput: there is no such commit.
    """
    tree = WorkingTree(session.folder)
    found = wiring.changed(session.folder, base, "models")
    if found is None:
        advice = "fetch it; a checkout by GitHub Actions has it with fetch-depth: 2"
        raise mistake("--changed", f"there is no commit {base} in {session.repo}", advice)
    commit, files = found
    return Edits(
        base=commit,
        problems=tuple(session.safe(str(problem)) for problem in lint(tree).problems),
        models=tuple(
            _edited(tree, match[1], HOW.get(letter, "changed"))
            for path, letter in sorted(files.items())
            if (match := RELEASE_FILE.fullmatch(path))
        ),
    )


def _edited(tree: Tree, model: str, how: Literal["new", "changed", "removed"]) -> Edited:
    courses: list[Course] = []
    if how != "removed":
        try:
            platform, release = wanted(tree, model)
        except InvalidInput:
            return Edited(model=model, how=how, courses=())  # the problems are listed already
        courses = list(_courses(tree, platform, release))
    return Edited(model=model, how=how, courses=tuple(courses))


def _courses(tree: Tree, platform: Platform, release: Release) -> Iterator[Course]:
    """Every environment in which the version is promoted, in the order of platform.yaml."""
    previews = {environment.preview for environment in platform.environments.values()}
    for name in platform.environments:
        if name not in previews:
            try:
                yield _course(tree, platform, release, name)
            except InvalidInput as error:
                sentence = f"{release.model} to {name}: there is no plan, since {error.problems[0].message}"
                yield Course(environment=name, sentence=sentence, stages=(), notes=(), manifests="")


def _course(tree: Tree, platform: Platform, release: Release, environment: str) -> Course:
    files = tree.files(f"clusters/{environment}/{release.tenant}/{release.model}")
    held = serves_of(files)
    stable = held.stable if held else None
    if held is not None and stable is not None and stable.digest == release.version.digest:
        sentence = f"{release.model} to {environment}: {stable.label} serves there already"
        notes = ("no promotion begins; other changes of these manifests come with the next version",)
        manifests = _difference(platform, release, environment, files, held.promotion)
        return Course(environment=environment, sentence=sentence, stages=(), notes=notes, manifests=manifests)
    drawn = draw(platform, release, environment, stable)
    return Course(
        environment=environment,
        sentence=drawn.head[0],
        stages=tuple(drawn.rows),
        notes=tuple(line for line in drawn.foot if line),
        manifests=_difference(platform, release, environment, files, TO_COME),
    )


def _difference(
    platform: Platform, release: Release, environment: str, now: dict[str, str], promotion: str
) -> str:
    """Unified diff from the manifests as they are to those that end the promotion."""
    serves = Serves(stable=release.version, candidate=None, share_percent=100, promotion=promotion)
    after = render(release, environment, platform.environments[environment], serves)
    lines = (
        difflib.unified_diff(
            now.get(path, "").splitlines(), after[path].splitlines(), path, path, lineterm=""
        )
        for path in sorted(after)
    )
    return "\n".join(line for one in lines for line in one)
