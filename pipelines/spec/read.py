"""Texts in, frozen values or every problem of every file out. Pure: no file is opened here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from pipelines.errors import Problem, SpecInvalid
from pipelines.spec.checks import Parts, platform_problems, release_problems
from pipelines.spec.explain import explain
from pipelines.spec.scalars import show
from pipelines.spec.settings import gate_settings
from pipelines.spec.types import Environment, Freeze, Frozen, Platform, Release, Systems, Tier, Version
from pipelines.spec.yaml import MAX_PROBLEMS, Document, load

__all__ = [
    "PLATFORM_FILE",
    "RELEASE_FILE",
    "gate_settings",
    "read_all",
    "read_platform",
    "read_release",
    "read_version",
]

PLATFORM_FILE = "platform.yaml"
RELEASE_FILE = re.compile("models/([^/]+)/release[.]yaml")

_Value = TypeVar("_Value")
_Shape = TypeVar("_Shape", bound=Frozen)


def read_platform(text: str, file: str = PLATFORM_FILE) -> Platform:
    """Read platform.yaml.

    Raises:
        SpecInvalid: with every problem of the file.
    """
    platform, _, problems = _platform(text, file)
    return _or_raise(platform, problems)


def read_release(text: str, file: str, platform: Platform) -> Release:
    """Read the release.yaml of one model; ``file`` is its path, whose folder must bear the model's name.

    Raises:
        SpecInvalid: with every problem of the file.
    """
    release, problems = _release(text, file, _parts_of(platform))
    return _or_raise(release, problems)


def read_version(values: Mapping[str, object], file: str) -> Version:
    """One version from its parts, as a record or a command line names them.

    Raises:
        SpecInvalid: with the first thing wrong, its key as the path.
    """
    try:
        return Version.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(map(str, first["loc"]))
        raise SpecInvalid([Problem(file, 0, path, first["msg"])]) from None


def read_all(files: Mapping[str, str]) -> tuple[Platform, dict[str, Release]]:
    """Read platform.yaml and every models/<model>/release.yaml at once; path -> text.

    Raises:
        SpecInvalid: with every problem of all files.
    """
    platform, parts, problems = _platform(files.get(PLATFORM_FILE), PLATFORM_FILE)
    releases: dict[str, Release] = {}
    for file in sorted(set(files) - {PLATFORM_FILE}):
        if not (match := RELEASE_FILE.fullmatch(file)):
            hint = f"people write {PLATFORM_FILE} and models/<model>/release.yaml"
            problems.append(Problem(show(file), 0, "", "is no file that lockgate reads", hint))
            continue
        release, found = _release(files[file], file, parts)
        problems += found
        if release is not None:
            releases[match[1]] = release
    return _or_raise(platform, problems), releases


def _or_raise(value: _Value | None, problems: list[Problem]) -> _Value:
    if value is None or problems:
        raise SpecInvalid(sorted(problems, key=lambda one: (one.file, one.line, one.path)))
    return value


def _platform(text: str | None, file: str) -> tuple[Platform | None, Parts, list[Problem]]:
    if text is None:
        return None, Parts(), [Problem(file, 0, "", "is missing", "`lockgate init` writes one")]
    document = load(text, file)
    platform, problems = _shaped(Platform, document)
    parts = _parts_of(platform) if platform else _parts(document)
    return (
        platform,
        parts,
        [*document.problems, *problems, *islice(platform_problems(parts, document), MAX_PROBLEMS)],
    )


def _release(text: str, file: str, parts: Parts) -> tuple[Release | None, list[Problem]]:
    document = load(text, file)
    release, problems = _shaped(Release, document)
    raw = document.value if isinstance(document.value, dict) else {}
    if not document.is_spoiled(()):
        problems += islice(release_problems(raw, parts, document), MAX_PROBLEMS)
    return release, [*document.problems, *problems]


def _shaped(shape: type[_Shape], document: Document) -> tuple[_Shape | None, list[Problem]]:
    """The file's value in its shape, or what is wrong with the shape."""
    if document.is_spoiled(()):
        return None, []
    try:
        return shape.model_validate(document.value), []
    except ValidationError as error:
        return None, explain(error, shape, document)


def _parts_of(platform: Platform) -> Parts:
    return Parts(
        systems=platform.systems,
        environments=platform.environments,
        tiers=platform.tiers,
        gates={name: tier.gates for name, tier in platform.tiers.items()},
        freezes=platform.freezes,
        environment_names=frozenset(platform.environments),
        tier_names=frozenset(platform.tiers),
    )


def _parts(document: Document) -> Parts:
    """What is valid of an invalid platform.yaml, section by section."""
    raw = document.value if isinstance(document.value, dict) else {}
    environments, tiers = (
        raw[key] if isinstance(raw.get(key), dict) else {} for key in ("environments", "tiers")
    )
    gates = {name: held.get("gates") for name, held in tiers.items() if isinstance(held, dict)}
    return Parts(
        systems=_valid(Systems, raw.get("systems")),
        environments=_each(Environment, environments),
        tiers=_each(Tier, tiers),
        gates=_each(dict[str, dict[str, Any]], gates),
        freezes=_valid(tuple[Freeze, ...], raw.get("freezes", [])) or (),
        environment_names=frozenset(environments),
        tier_names=frozenset(tiers),
    )


def _each(shape: type[_Value], raw: Mapping[str, object]) -> dict[str, _Value]:
    valid = {name: _valid(shape, held) for name, held in raw.items()}
    return {name: held for name, held in valid.items() if held is not None}


def _valid(shape: type[_Value], raw: object) -> _Value | None:
    try:
        return TypeAdapter(shape).validate_python(raw)
    except ValidationError:
        return None
