"""What edited releases lead to, as one job writes it and another one, with more rights, reads it.

Such a file comes out of a job that the pull request itself may have changed: only its shape is checked here,
and nothing in it is believed. Whoever shows it writes every word of it as data.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError

from pipelines.errors import InvalidInput, Problem
from pipelines.spec.types import Frozen

MAXIMUM_BYTES = 4 * 2**20
COLUMNS = ("stage", "share", "gates", "at least", "at most", "looks every", "needs")
"""Of a plan's table."""


class Course(Frozen):
    """One environment: the stages of the promotion, and what Argo CD would apply after the last of them."""

    environment: str
    sentence: str
    """What goes where, or why nothing does."""
    stages: tuple[tuple[str, ...], ...]
    """The plan's table, ``COLUMNS`` for each stage; empty where no promotion begins."""
    notes: tuple[str, ...]
    manifests: str
    """Unified diff from the files that lie below ``clusters/`` to those at the end; "" for none."""


class Edited(Frozen):
    """One model whose release.yaml differs."""

    model: str
    how: Literal["new", "changed", "removed"]
    courses: tuple[Course, ...]


class Edits(Frozen):
    """Everything that differs from one commit."""

    base: str
    """The commit compared with."""
    problems: tuple[str, ...]
    """Of all files, those not edited too: nothing is promoted while there is one."""
    models: tuple[Edited, ...]


class Document(Edits):
    """The same as the command line prints it."""

    schema_name: Literal["lockgate.edits/1"] = Field(alias="schema")


def read_edits(text: bytes, file: str) -> Edits:
    """Read what `lockgate plan --changed BASE --json` printed.

    Raises:
        InvalidInput: it is something else; the first thing wrong is named.
    """
    if len(text) > MAXIMUM_BYTES:
        raise _other(file, "", f"is larger than {MAXIMUM_BYTES // 2**20} MiB")
    try:
        read = Document.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise _other(file, ".".join(map(str, first["loc"])), first["msg"]) from None
    return Edits(base=read.base, problems=read.problems, models=read.models)


def _other(file: str, path: str, message: str) -> InvalidInput:
    hint = "name a file that `lockgate plan --changed BASE --json` wrote"
    return InvalidInput([Problem(file, 0, path, message, hint)])
