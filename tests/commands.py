"""Runs lockgate's command line as a person does: words in, exit code and both outputs back."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from pipelines.cli import run


@dataclass(frozen=True, slots=True)
class Ran:
    """What one command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Its data; fails where stdout holds anything but one document."""
        document: dict[str, Any] = json.loads(self.out)
        return document


class Shell:
    """A place to run commands in, with an environment of its own."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def __call__(self, *words: object, **variables: str) -> Ran:
        """Run one command in this process; ``variables`` are added to its environment."""
        out, err = io.StringIO(), io.StringIO()
        streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
        with _environment({**self.environment, **variables}), _logs_kept(), streams[0], streams[1]:
            code = run([str(word) for word in words])
        return Ran(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    former = dict(os.environ)
    kept = {name: value for name, value in former.items() if not name.startswith(("LOCKGATE", "XDG", "GIT_"))}
    os.environ.clear()
    os.environ.update({**kept, "COLUMNS": "400", **variables})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(former)


@contextlib.contextmanager
def _logs_kept() -> Iterator[None]:
    """A command sets logging up for its process; here the process goes on."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    try:
        yield
    finally:
        root.handlers, root.level = handlers, level
        structlog.reset_defaults()
