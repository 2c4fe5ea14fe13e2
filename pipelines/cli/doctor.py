"""Ask every outside system how it is: reach, rights, versions, settings, and what to do about each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.session import Session, command
from pipelines.errors import CouldNotTell, LockgateError, SpecInvalid

if TYPE_CHECKING:
    from pipelines.cli.tree import MainTree
    from pipelines.ports import Finding
    from pipelines.spec.types import Platform, Release
    from pipelines.wiring import Diagnoses

COULD_NOT_TELL = 5


@command()
@click.argument("model", required=False)
def doctor(session: Session, model: str | None) -> int:
    """Ask every outside system for reach, rights and version.

    Asks git, then whatever main's platform.yaml names: forge, change desk, registry, each environment's
    Argo CD and metrics. Where Argo CD has an application per model, that of MODEL is asked about (by default
    the first model's). Nothing is changed. Exit code 0 when all is good, else 5.
    """
    rows = list(_rows(session, model))
    good = all(finding.good is True for _, finding in rows)
    if session.as_json:
        session.data("doctor", {"good": good, "findings": [_data(session, name, one) for name, one in rows]})
    else:
        table = [(name, one.what, _mark(one), one.sentence, one.advice) for name, one in rows]
        session.table(("system", "what", "", "found", "what to do"), table)
    bad = sum(finding.good is not True for _, finding in rows)
    session.say("all is good" if good else f"{bad} of {len(rows)} findings need somebody")
    return 0 if good else COULD_NOT_TELL


def _mark(finding: Finding) -> str:
    return {True: "good", False: "BAD", None: "could not tell"}[finding.good]


def _data(session: Session, name: str, finding: Finding) -> dict[str, Any]:
    return {
        "place": name,
        "system": finding.system,
        "what": finding.what,
        "good": finding.good,
        "sentence": session.safe(finding.sentence),
        "advice": session.safe(finding.advice),
    }


def _rows(session: Session, model: str | None) -> Iterator[tuple[str, Finding]]:
    from pipelines import wiring
    from pipelines.cli.tree import MainTree

    yield from _asked("git", session.desktop.repository)
    try:
        platform, releases = _written(MainTree(session.desktop.repository()), model)
    except (SpecInvalid, CouldNotTell) as error:
        yield (
            "platform.yaml",
            _bad("platform.yaml", "settings", error, "correct it: `lockgate lint` names each"),
        )
        return
    for name, make in wiring.diagnosers(session.desktop, platform, releases):
        yield from _asked(name, make)
    for finding in session.secrets.diagnose():
        yield "secrets", finding


def _written(tree: MainTree, model: str | None) -> tuple[Platform, tuple[Release, ...]]:
    """platform.yaml on main, and the release whose applications are asked about; none where there is none.

    Raises:
        SpecInvalid: platform.yaml cannot be used, or the release cannot.
        InvalidInput: there is no such model.
    """
    from pipelines.cli.choosing import unknown_model
    from pipelines.cli.tree import PLATFORM
    from pipelines.spec.read import read_platform, read_release

    platform, models = read_platform(tree.read(PLATFORM) or ""), tree.models()
    if model is not None and model not in models:
        raise unknown_model(model, models)
    for name in [model] if model else models[:1]:
        path = f"models/{name}/release.yaml"
        return platform, (read_release(tree.read(path) or "", path, platform),)
    return platform, ()


def _asked(name: str, make: Callable[[], Diagnoses]) -> Iterator[tuple[str, Finding]]:
    try:
        found = make().diagnose()
    except LockgateError as error:
        yield name, _bad(name, "settings", error, "fill what platform.yaml asks for there")
        return
    for finding in found:
        yield name, finding


def _bad(system: str, what: str, error: LockgateError, advice: str) -> Finding:
    from pipelines.ports import Finding

    return Finding(system=system, what=what, good=False, sentence=str(error), advice=advice)
