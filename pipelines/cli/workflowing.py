"""Commands on Argo workflows: workflow render, lint, run. No cluster is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from pipelines.cli.rendering import render
from pipelines.cli.session import Session, command, common, mistake

INVALID = 3


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@common
def workflow() -> None:
    """Write, check and run Argo workflows without a cluster."""


@command(name="lint")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
def lint(session: Session, paths: tuple[Path, ...]) -> int:
    """Check Argo workflows: fields, names, references, parameters, order.

    Reads every .yaml and .yml file of the folders and files named, by default the folder workflows of the
    repository. Workflows, their templates, cron workflows and event bindings are checked, other kinds named
    and passed over. A template that stands in none of these files is not checked, and said so. Exit code 3
    when there is a problem.
    """
    from pipelines.workflow.lint import lint as all_of

    linted = all_of(_texts(paths or (session.folder / "workflows",)))
    if not linted.checked and not linted.findings:
        raise mistake("PATH", "holds no manifest of Argo Workflows", "name a file or folder that does")
    if session.as_json:
        problems = [{"rule": one.rule, **session.problem(one.problem)} for one in linted.findings]
        body = {"checked": linted.checked, "skipped": linted.skipped, "not_checked": linted.notes}
        session.data("workflow.lint", {**body, "problems": problems})
    for finding in linted.findings:
        session.out(str(finding))
    if linted.skipped:
        session.say(f"passed over, no manifests of Argo Workflows: {_counted(linted.skipped)}")
    for note in linted.notes:
        session.say(note)
    found = len(linted.findings)
    told = f"{found} problem{'s' if found != 1 else ''}" if found else "no problem"
    session.say(f"{len(linted.checked)} manifests: {told}")
    return INVALID if found else 0


def _counted(skipped: Sequence[str]) -> str:
    """The kinds of documents, each with how many there are."""
    kinds = Counter(one.split(": ", 1)[1].split()[0] for one in skipped)
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))


def _texts(paths: Sequence[Path]) -> dict[str, str]:
    """The files that are meant, by their path as it was written.

    Raises:
        InvalidInput: a path is not there, or a file cannot be read as text.
    """
    found: dict[str, str] = {}
    for path in paths:
        if not path.exists():
            raise mistake(str(path), "is not there", "name a file or a folder")
        inside = sorted(one for one in path.rglob("*") if one.suffix in (".yaml", ".yml") and one.is_file())
        for file in inside if path.is_dir() else [path]:
            try:
                found[str(file)] = file.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise mistake(str(file), f"cannot be read: {error}", "save it as UTF-8") from None
    return found


@command(name="run")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-p", "parameters", multiple=True, metavar="NAME=VALUE", help="The value of a parameter.")
@click.option("--entrypoint", default="", metavar="NAME", help="The template to begin with.")
@click.option("--dry-run", is_flag=True, help="Print what would be started; start nothing.")
@click.option(
    "--answer", "answers", multiple=True, metavar="NODE=VALUE",
    help="What a suspended node gets; in a dry run also NODE.OUTPUT=VALUE, what a container writes.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Give suspended nodes their defaults instead of asking.")
@click.option(
    "--exec-map", "programs", multiple=True, metavar="WORD=PROGRAM", help="Run PROGRAM for the command WORD."
)
def run(
    session: Session,
    file: Path,
    parameters: tuple[str, ...],
    entrypoint: str,
    dry_run: bool,
    answers: tuple[str, ...],
    yes: bool,
    programs: tuple[str, ...],
) -> int:
    """Run a workflow of containers on this machine, without a cluster.

    Commands run as they are, without their images, in the order, with the parameters, retries and conditions
    that Argo would give them; templates it refers to are looked for in the folder of FILE. A suspended node
    asks here. Exit code 0 when the workflow succeeded, 4 when it did not, 3 when it cannot be run here.
    """
    from pipelines.cli.running import Asked, pairs
    from pipelines.cli.running import run as run_it
    from pipelines.wiring import SystemClock

    asked = Asked(
        file=file,
        parameters=pairs("-p", parameters),
        entrypoint=entrypoint,
        answers=pairs("--answer", answers),
        takes_defaults=yes,
        programs=pairs("--exec-map", programs),
    )
    return run_it(session, asked, SystemClock(), dry=dry_run)


workflow.add_command(lint)
workflow.add_command(run)
workflow.add_command(render)
