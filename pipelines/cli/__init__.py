"""The command line: parse, wire, call, print.

One module per kind of command: ``writing`` (init, lint, plan, digest) works on files people edit,
``commenting`` (comment) shows what they lead to where they are reviewed,
``moving`` (promote, retry, rollback) drives promotions, ``stepping`` (step) is what each task of a workflow
calls, ``people`` (hold, resume, abort) writes down what a person says, ``looking`` (status, history, why)
answers, ``proving`` (evidence) packs and checks,
``sweeping`` (sweep) looks after promotions that Argo drives, ``doctor`` asks the outside systems how they
are, ``judging`` (judge) judges canaries again, ``workflowing`` (workflow) works on Argo's templates,
``rehearsing`` (rehearse) brings its own world.

A command's module is imported when the command runs, so that ``--help`` loads no library but click.
"""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from collections.abc import Mapping, Sequence

import click
from click.shell_completion import CompletionItem

from pipelines import __version__
from pipelines.cli.session import Session, common, plain
from pipelines.errors import InvalidInput, LockgateError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "init": ("writing", "Copy the sample repository into an empty folder."),
    "lint": ("writing", "Check every file people edit, and every manifest they lead to."),
    "plan": ("writing", "Show the stages a promotion would go through; nothing is touched."),
    "comment": ("commenting", "Post a plan on its pull request, from a job of GitHub Actions."),
    "digest": ("writing", "Print the digest of an artifact, as release.yaml wants it."),
    "sign": ("signing", "Sign every file of an artifact with a private key."),
    "verify": ("signing", "See that an artifact is the one that was named and signed."),
    "promote": ("moving", "Move a version into an environment, through every gate."),
    "status": ("looking", "Show where promotions are and why they wait."),
    "hold": ("people", "Stop a promotion from rising until it is resumed."),
    "resume": ("people", "Let a held promotion, or a manual stage, go on."),
    "abort": ("people", "End a promotion: the candidate goes back to 0 %."),
    "rollback": ("moving", "Bring the version before the present one back."),
    "retry": ("moving", "Drive a promotion on, or start one that failed again."),
    "step": ("stepping", "Run one stage of a promotion, if it is its turn."),
    "sweep": ("sweeping", "Look after every promotion that Argo drives."),
    "history": ("looking", "List promotions, newest first."),
    "why": ("looking", "Say which version could have answered a request, and who approved it."),
    "evidence": ("proving", "Write everything a promotion rests on into one file, or check one."),
    "judge": ("judging", "Judge canaries again from what was recorded, and measure the noise."),
    "doctor": ("doctor", "Ask every outside system for reach, rights and version."),
    "workflow": ("workflowing", "Write, check and run Argo workflows without a cluster."),
    "rehearse": ("rehearsing", "Run the whole job on this machine, with real servers."),
}
"""Command -> the module of this package that has it under its name, and its line in the help."""

EPILOG = """Exit codes: 0 done · 3 invalid input · 4 refused · 5 an outside system could not answer ·
75 not yet, try again.

Completion: eval "$(_LOCKGATE_COMPLETE=bash_source lockgate)" in ~/.bashrc; zsh_source and fish_source
for the other shells."""


class Lazy(click.Group):
    """Commands by name from the table; their modules are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"pipelines.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a near miss for a name that is none."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UnknownCommand(ctx, args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names that begin so, without importing anything; then the options."""
        names = [
            CompletionItem(name, help=line)
            for name, (_, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


class UnknownCommand(click.UsageError):
    """The mistake of a command that does not exist; carries the names that are close."""

    def __init__(self, ctx: click.Context, name: str) -> None:
        self.possibilities = difflib.get_close_matches(name, COMMANDS, 1)
        super().__init__(f"there is no command {name}", ctx)


@click.command(cls=Lazy, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@common
@click.version_option(__version__, "--version", prog_name="lockgate", message="%(prog)s %(version)s")
def lockgate() -> None:
    """Move machine-learning models to 100 % of live traffic, through gates, by pull request."""


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. The only place that turns errors into exit codes."""
    session = Session()
    try:
        code = lockgate.main(list(arguments), prog_name="lockgate", obj=session, standalone_mode=False)
    except LockgateError as error:
        _tell(session, error)
        return error.exit_code
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        return 130
    except click.ClickException as error:
        return _parser(error)
    except Exception as error:  # whatever it is: one sentence for people, all of it for --verbose
        return _unexpected(session, error)
    return code if isinstance(code, int) else 0


def _tell(session: Session, error: LockgateError) -> None:
    problems = error.problems if isinstance(error, InvalidInput) else ()
    if session.as_json:
        body = {
            "error": type(error).__name__,
            "exit_code": error.exit_code,
            "message": session.safe(str(error)),
        }
        session.data("error", {**body, "problems": [session.problem(problem) for problem in problems]})
    if len(problems) != 1:
        click.echo(f"error: {session.safe(str(error))}", err=True)
        return
    where = f"{problems[0].file}:{problems[0].line}" if problems[0].line else problems[0].file
    key = f": {problems[0].path}" if problems[0].path else ""
    click.echo(f"error: {session.safe(f'{where}{key}: {problems[0].message}')}", err=True)
    hint(session.safe(problems[0].hint))


def hint(text: str) -> None:
    """What to do instead, on a line of its own; nothing where there is nothing to say."""
    if text:
        click.echo(f"\nhint: {text}", err=True)


def _parser(error: click.ClickException) -> int:
    """What cannot be parsed, in click's words."""
    near = list(getattr(error, "possibilities", None) or ())
    message = (
        error.message
        if isinstance(error, click.NoSuchOption | click.NoSuchCommand)
        else error.format_message()
    )
    context = getattr(error, "ctx", None)
    if context is not None:
        click.echo(context.get_usage(), err=True)
    click.echo(f"error: {plain(message)}", err=True)
    path = context.command_path if context is not None else "lockgate"
    hint(f"did you mean `{near[0]}`?" if near else f"`{path} --help` shows what there is")
    return error.exit_code


def _unexpected(session: Session, error: Exception) -> int:
    sentence = f"unexpected {type(error).__name__}: {error}"
    if session.as_json:
        session.data(
            "error",
            {
                "error": type(error).__name__,
                "exit_code": 1,
                "message": session.safe(sentence),
                "problems": [],
            },
        )
    click.echo(f"error: {session.safe(sentence)}", err=True)
    if session.verbose:
        click.echo(session.safe("".join(traceback.format_exception(error))), err=True)
    else:
        hint("run it again with --verbose for the traceback, and report it: this is a fault of lockgate")
    return 1


__all__ = ["COMMANDS", "lockgate", "main", "run"]
