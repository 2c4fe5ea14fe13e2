"""Commands on Argo workflows: workflow lint, workflow run. No cluster is asked."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.session import Session, command, common


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@common
def workflow() -> None:
    """Check and run Argo workflows without a cluster."""


@command(name="lint")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
def lint(session: Session, paths: tuple[Path, ...]) -> int:
    """Check Argo workflows: fields, names, references, parameters, cycles."""
    raise NotImplementedError


workflow.add_command(lint)
