"""What an environment should serve, and the record of it that lies beside the InferenceService."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gates.policy import NotPlain, read, read_record
from pipelines.errors import Problem, RenderRefused, SpecInvalid
from pipelines.spec.read import read_version
from pipelines.spec.types import Version

FILE = "record.yaml"


@dataclass(frozen=True, slots=True)
class Serves:
    """What an environment should serve."""

    stable: Version | None
    """The version that answers when the candidate does not; None before the first."""
    candidate: Version | None
    """The version under promotion; None outside of one."""
    share_percent: int
    """Percent of live requests the candidate should get, 0 to 100; 100 where there is one version alone."""
    promotion: str
    """Id of the promotion that asked for this."""


def facts(serves: Serves) -> list[tuple[str, str]]:
    """The data of the record: key and text."""
    found = [("promotion", serves.promotion), ("share_percent", str(serves.share_percent))]
    for arm, version in (("stable", serves.stable), ("candidate", serves.candidate)):
        if version is not None:
            found += [(f"{arm}.{key}", value) for key, value in version.model_dump(exclude_none=True).items()]
    return found


def serves_of(files: Mapping[str, str]) -> Serves | None:
    """Read back what a model's files say is served; None where they hold no record.

    Raises:
        RenderRefused: the record is broken, or there are several.
    """
    paths = sorted(path for path in files if path.rsplit("/", 1)[-1] == FILE)
    if not paths:
        return None
    if len(paths) > 1:
        raise _broken(paths[1], f"is a second record beside {paths[0]}")
    try:
        return _serves(read(files[paths[0]]).data, paths[0])
    except SpecInvalid as error:
        first = error.problems[0]
        raise _broken(paths[0], f"{first.path}: {first.message}") from error
    except NotPlain as error:
        raise _broken(paths[0], str(error), error.line) from error
    except ValueError as error:
        raise _broken(paths[0], str(error)) from error


def _serves(document: object, file: str) -> Serves:
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict):
        raise ValueError("holds no data")
    recorded = read_record(data)
    return Serves(
        stable=read_version(recorded.stable, file) if recorded.stable else None,
        candidate=read_version(recorded.candidate, file) if recorded.candidate else None,
        share_percent=recorded.share_percent,
        promotion=recorded.promotion,
    )


def _broken(path: str, message: str, line: int = 0) -> RenderRefused:
    hint = "restore the file from the last machine commit that wrote it"
    return RenderRefused([Problem(path, line, "", message, hint)])
