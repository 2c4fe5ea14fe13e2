"""Ask every outside system how it is: reach, rights, versions, settings, and what to do about each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.cli.session import Session, command
from pipelines.errors import CouldNotTell, InvalidInput, LockgateError

if TYPE_CHECKING:
    from pipelines.ports import Finding
    from pipelines.spec.types import Platform, Release
    from pipelines.wiring import Diagnoses

COULD_NOT_TELL = 5


@command()
def doctor(session: Session) -> int:
    """Ask every outside system for reach, rights and version.

    Asks git, then whatever main's platform.yaml names: forge, change desk, registry, each environment's
    Argo CD and metrics. Nothing is changed. Exit code 0 when all is good, else 5.
    """
    rows = list(_rows(session))
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


def _rows(session: Session) -> Iterator[tuple[str, Finding]]:
    from pipelines import wiring

    yield from _asked("git", session.desktop.repository)
    try:
        platform, releases = _written(session)
    except (InvalidInput, CouldNotTell) as error:
        yield (
            "platform.yaml",
            _bad("platform.yaml", "settings", error, "correct it: `lockgate lint` names each"),
        )
        return
    for name, make in wiring.diagnosers(session.desktop, platform, releases):
        yield from _asked(name, make)
    for finding in session.secrets.diagnose():
        yield "secrets", finding


def _written(session: Session) -> tuple[Platform, Sequence[Release]]:
    """platform.yaml on main and the releases beside it that can be read."""
    from pipelines.cli.tree import PLATFORM
    from pipelines.spec.read import RELEASE_FILE, read_all, read_platform

    repository = session.desktop.repository()
    text = repository.read(PLATFORM, "main") or ""
    platform = read_platform(text)
    files = {
        path: one for path, one in repository.files("models", "main").items() if RELEASE_FILE.fullmatch(path)
    }
    try:
        return platform, tuple(read_all({PLATFORM: text, **files})[1].values())
    except InvalidInput as error:
        bad = {problem.file for problem in error.problems}
        good = {path: one for path, one in files.items() if path not in bad}
        return platform, tuple(read_all({PLATFORM: text, **good})[1].values())


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
