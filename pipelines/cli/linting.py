"""Everything that can be said of a repository's files without asking anybody: problems, and counts."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from gates.policy import check
from pipelines.cli.tree import PLATFORM, WorkingTree
from pipelines.errors import InvalidInput, Problem
from pipelines.render import Serves, check_change, render, serves_of
from pipelines.spec.clients import CLIENTS_FILE, clients_problems
from pipelines.spec.read import gate_settings, read_all
from pipelines.spec.types import Platform, Release, Version
from pipelines.strategy import plan

_READ = ("clients.yaml", "release.yaml")


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
    beside = tree.beside()
    problems += [*found, *_beside(beside)]
    manifests = 0
    if platform is not None:
        for release in releases.values():
            count, found = _model(platform, release, tree)
            manifests += count
            problems += found
        problems += _untold(platform, releases, beside)
        problems += _overlapping(platform, releases)
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


def _beside(beside: Mapping[str, str]) -> Iterator[Problem]:
    """What callers wrote down, and files that are nearly named like one that is read."""
    for path, text in beside.items():
        if CLIENTS_FILE.fullmatch(path):
            yield from clients_problems(text, path)
        elif meant := difflib.get_close_matches(path.rpartition("/")[2], _READ, 1, 0.8):
            yield Problem(path, 0, "", "is no file that lockgate reads", f"did you mean `{meant[0]}`?")


def _untold(platform: Platform, releases: dict[str, Release], beside: Container[str]) -> Iterator[Problem]:
    """Models whose tier wants to know who calls them, and nobody wrote it down."""
    for model, release in releases.items():
        tier, path = platform.tiers[release.tier], f"models/{model}/clients.yaml"
        if "compatibility" not in tier.gates or path in beside:
            continue
        if gate_settings(tier, release, "compatibility").clients_required:
            message = f"is missing; the tier {release.tier} asks for it: compatibility.clients_required"
            yield Problem(path, 0, "", message, "write down who calls the model, and with which tensors")


def _overlapping(platform: Platform, releases: dict[str, Release]) -> Iterator[Problem]:
    """Models whose alerts would count a neighbour's requests, since Standard mode's names hardly differ."""
    for name, environment in platform.environments.items():
        if environment.mode == "Knative" or environment.metrics is None or environment.metrics.alerts is None:
            continue
        for model, release in releases.items():
            longer = (other for other in releases.values() if other.model.startswith(f"{model}-"))
            if other := next((other for other in longer if other.tenant == release.tenant), None):
                message = f"alerts in {name} would count {other.model} as well, which begins with {model}-"
                hint = "name one of them differently, or write no alerts there"
                yield Problem(f"models/{model}/release.yaml", 0, "model", message, hint)


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
