"""Everything that can be said of a repository's files without asking anybody: problems, and counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gates.policy import check
from pipelines.cli.tree import PLATFORM, WorkingTree
from pipelines.errors import InvalidInput, Problem
from pipelines.render import Serves, check_change, render, serves_of
from pipelines.spec.read import read_all
from pipelines.spec.types import Platform, Release, Version
from pipelines.strategy import plan


@dataclass(frozen=True, slots=True)
class Linted:
    """What came of it."""

    models: int
    environments: int
    manifests: int
    """Files rendered and held against the policy."""
    problems: tuple[Problem, ...]


def lint(tree: WorkingTree) -> Linted:
    """Read, render and check everything; problems of all files at once, in their order."""
    texts = tree.written()
    problems = [*tree.problems]
    platform, releases, found = _read(texts)
    problems += found
    manifests = 0
    if platform is not None:
        for release in releases.values():
            count, found = _model(platform, release, tree)
            manifests += count
            problems += found
    ordered = sorted(set(problems), key=lambda one: (one.file, one.line, one.path, one.message))
    models, environments = len(tree.models()), len(platform.environments) if platform else 0
    return Linted(models, environments, manifests, tuple(ordered))


def _read(texts: dict[str, str]) -> tuple[Platform | None, dict[str, Release], list[Problem]]:
    """What can be read, and what is wrong with the rest: one bad release does not hide the others."""
    try:
        platform, releases = read_all(texts)
    except InvalidInput as error:
        bad = {problem.file for problem in error.problems}
        good = {path: text for path, text in texts.items() if path not in bad}
        if PLATFORM not in good:
            return None, {}, list(error.problems)
        platform, releases = read_all(good)
        return platform, releases, list(error.problems)
    return platform, releases, []


def _model(platform: Platform, release: Release, tree: WorkingTree) -> tuple[int, list[Problem]]:
    """Render one model for every environment; how many files, and what is wrong with them."""
    count = 0
    problems: list[Problem] = []
    previews = {one.preview for one in platform.environments.values()}
    for name, environment in platform.environments.items():
        try:
            held = serves_of(tree.files(f"clusters/{name}/{release.tenant}/{release.model}"))
            stable = held.stable if held else None
            if name not in previews:
                tier = platform.tiers[release.tier]
                plan(release, tier, environment, first=stable is None)
            former: dict[str, str] | None = None
            for serves in _wishes(release, stable, platform):
                files = render(release, name, environment, serves)
                count += len(files)
                problems += _policy(files)
                if former is not None:
                    check_change(former, files)
                former = files
        except InvalidInput as error:
            problems += error.problems
    return count, problems


def _wishes(release: Release, stable: Version | None, platform: Platform) -> Iterator[Serves]:
    """What would be served on the way: the version alone, or beside the present one at each share."""
    candidate = release.version
    if stable is None or stable.digest == candidate.digest:
        yield Serves(stable=None, candidate=candidate, share_percent=100, promotion="lint")
        return
    for share in (0, *platform.tiers[release.tier].shares):
        yield Serves(stable=stable, candidate=candidate, share_percent=share, promotion="lint")


def _policy(files: dict[str, str]) -> Iterator[Problem]:
    for finding in check(files):
        yield Problem(
            finding.file, finding.line, finding.where, f"{finding.rule}: {finding.message}", finding.fix
        )
