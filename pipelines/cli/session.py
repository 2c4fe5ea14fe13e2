"""What every command starts from: where the repository is, who asks, and how words leave the process.

Nothing heavy is imported before a command asks for it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipelines.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipelines.clients.git.checkout import Checkout
    from pipelines.config import Secrets
    from pipelines.wiring import Desktop

F = TypeVar("F", bound=Callable[..., Any])

REPO, STATE_DIR, PERSON, GIT_TOKEN = (
    "LOCKGATE_REPO",
    "LOCKGATE_STATE_DIR",
    "LOCKGATE_PERSON",
    "LOCKGATE_GIT_TOKEN",
)
PIPED_COLUMNS = 500
"""Width for tables that go into a file or a pipe: nothing is wrapped there."""

_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\^_])")
_CONTROLS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|[^/\s]+@[^/:\s]+:")
_PERSON_ODD = re.compile("[^A-Za-z0-9._@+-]+")


def plain(text: str) -> str:
    """Text without anything a terminal would act on: escapes, control characters, marks of direction."""
    return _CONTROLS.sub(" ", _ESCAPES.sub("", text))


def one_line(text: str) -> str:
    """The same, on one line: a value somebody else wrote, as a cell or part of a sentence."""
    return " ".join(plain(text).split())


def mistake(where: str, message: str, advice: str = "") -> InvalidInput:
    """What a person got wrong on the command line, and what to write instead; to be raised."""
    return InvalidInput([Problem(where, 0, "", message, advice)])


@dataclass
class Session:
    """One run of the command line."""

    repo: str = field(default_factory=lambda: os.environ.get(REPO) or ".")
    state_dir: Path = field(default_factory=lambda: _state_dir(os.environ))
    as_json: bool = False
    verbose: bool = False

    # ------------------------------------------------------------------ where

    @property
    def is_address(self) -> bool:
        """Whether the repository was named by an address and not by a path."""
        return bool(_ADDRESS.match(self.repo))

    @property
    def folder(self) -> Path:
        """The working tree whose files are read.

        Raises:
            InvalidInput: the repository was named by an address, or the path is no folder.
        """
        if self.is_address:
            raise mistake(
                "--repo",
                f"{self.repo} is an address, and files of a working tree are asked for",
                "name a path",
            )
        folder = Path(self.repo).expanduser()
        if not folder.is_dir():
            raise mistake(
                "--repo",
                f"there is no folder {self.repo}",
                "name a checkout, or the address of the repository",
            )
        return folder

    @cached_property
    def checkout(self) -> Checkout | None:
        """The git checkout that the working tree belongs to."""
        from pipelines import wiring

        return wiring.checkout(self.folder)

    @property
    def git_url(self) -> str:
        """Address of the GitOps repository, where everything shared is read and written.

        Raises:
            InvalidInput: the path is no checkout, or its ``origin`` is not set.
        """
        from pipelines import wiring

        if self.is_address:
            return wiring.git_address(self.repo)
        if self.checkout is None:
            advice = f"name the GitOps repository: --repo PATH|URL, or set {REPO}"
            raise mistake("--repo", f"{self.repo} is no git checkout", advice)
        if not self.checkout.origin:
            raise mistake(
                "--repo", f"the checkout {self.repo} has no remote origin", "git remote add origin URL"
            )
        return self.checkout.origin

    @cached_property
    def secrets(self) -> Secrets:
        """The secrets of this run; everything printed goes through their mask."""
        from pipelines.config import Secrets

        secrets = Secrets(os.environ)
        secrets.remember(os.environ.get(GIT_TOKEN, ""))
        return secrets

    @cached_property
    def desktop(self) -> Desktop:
        """The repository with its credentials and a place for its clone."""
        from pipelines.config import configure_logging
        from pipelines.wiring import GIT_APP, Desktop, SystemClock, app_token

        configure_logging(self.secrets, verbose=self.verbose)
        url = self.git_url
        return Desktop(
            git_url=url,
            git_token=os.environ.get(GIT_TOKEN) or app_token(os.environ.get(GIT_APP, ""), url, self.secrets),
            folder=self.state_dir / hashlib.sha256(url.encode()).hexdigest()[:24],
            secrets=self.secrets,
            clock=SystemClock(),
        )

    # -------------------------------------------------------------------- who

    def person(self, given: str | None, option: str) -> str:
        """Who is asking: as given, else ``LOCKGATE_PERSON``, else the name git has, made one word.

        Raises:
            InvalidInput: nobody is named, or the name cannot be a login.
        """
        from pipelines import wiring

        named = given or os.environ.get(PERSON, "")
        if not named:
            here = Path() if self.is_address else self.folder
            named = _PERSON_ODD.sub(".", wiring.git_user_name(here).strip().lower()).strip(".")[:100]
        advice = f"write your login: {option} NAME, or set {PERSON}"
        if not named:
            raise mistake(option, "nobody knows who you are", advice)
        if _PERSON_ODD.search(named) or not named[0].isalnum() or len(named) > 100:
            raise mistake(option, f"{one_line(named)!r} is no login or mail address", advice)
        return named

    # ------------------------------------------------------------------ words

    def safe(self, text: str) -> str:
        """Text as it may leave the process: secrets masked, nothing a terminal would act on."""
        return self.secrets.mask(plain(text))

    def data(self, name: str, body: Mapping[str, Any]) -> None:
        """One JSON document on stdout, with its schema's name first."""
        document = {"schema": f"lockgate.{name}/1", **body}
        click.echo(self.secrets.mask(json.dumps(document, indent=2, default=str)))

    def out(self, text: str) -> None:
        """Data for people, on stdout; nothing with ``--json``."""
        if not self.as_json:
            click.echo(self.safe(text))

    def say(self, text: str) -> None:
        """A sentence for people: on stderr with ``--json``, where stdout is data alone."""
        click.echo(self.safe(text), err=self.as_json)

    def show(self, renderable: RenderableType) -> None:
        """Something rich draws, on stdout. Whoever made it has cleaned its values with :meth:`cell`."""
        from rich.console import Console

        probe = Console()
        console = Console(width=probe.width if probe.is_terminal else PIPED_COLUMNS, emoji=False)
        with console.capture() as captured:
            console.print(renderable, markup=False, highlight=False)
        lines = [line.rstrip() for line in captured.get().splitlines()]
        click.echo(self.secrets.mask("\n".join(lines)))

    def cell(self, value: object) -> str:
        """A value in a table."""
        return self.secrets.mask(one_line(str(value)))

    def table(self, headers: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
        """A table on stdout; understandable without colour."""
        from rich.table import Table
        from rich.text import Text

        table = Table(*headers, box=None, pad_edge=False, header_style="bold", show_edge=False)
        for row in rows:
            table.add_row(*(Text(self.cell(value)) for value in row))
        self.show(table)

    def problem(self, problem: Problem) -> dict[str, Any]:
        """A problem as JSON values."""
        return {
            "file": self.safe(problem.file),
            "line": problem.line,
            "path": problem.path,
            "message": self.safe(problem.message),
            "hint": self.safe(problem.hint),
        }


def _state_dir(environ: Mapping[str, str]) -> Path:
    if written := environ.get(STATE_DIR):
        return Path(written).expanduser()
    cache = environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "lockgate"


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Options stand before or after the command's name: whichever was written is kept in the session."""
    session = ctx.find_object(Session)
    if session is not None and value is not None and parameter.name is not None:
        setattr(session, parameter.name, value)
    return value


_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--verbose",), {"is_flag": True, "default": None, "help": "Log what is done; tracebacks of faults."}),
    (("--json", "as_json"), {"is_flag": True, "default": None, "help": "Data as JSON on stdout."}),
    (
        ("--state-dir",),
        {"type": click.Path(path_type=Path), "help": "Where clones are kept.  [env: LOCKGATE_STATE_DIR]"},
    ),
    (
        ("--repo",),
        {"metavar": "PATH|URL", "help": "The GitOps repository, or a checkout of it.  [env: LOCKGATE_REPO]"},
    ),
)


def common(function: F) -> F:
    """Add the options that every command has."""
    for names, settings in _OPTIONS:
        option = click.option(*names, expose_value=False, callback=_keep, **settings)
        function = option(function)
    return function


def command(**settings: Any) -> Callable[[Callable[..., int | None]], click.Command]:
    """A command whose function gets the session first and returns its exit code, None for 0."""

    def wrap(function: Callable[..., int | None]) -> click.Command:
        made: click.Command = click.command(
            cls=click.Command, context_settings={"help_option_names": ["-h", "--help"]}, **settings
        )(common(passing(function)))
        return made

    return wrap


def passing(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """The function with the session as its first argument."""

    @functools.wraps(function)
    def inner(*arguments: Any, **options: Any) -> int | None:
        session = click.get_current_context().find_object(Session)
        return function(session, *arguments, **options)

    return inner
