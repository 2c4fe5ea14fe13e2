"""The command that shows a plan on its pull request: comment. It runs in a job of GitHub Actions."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import click

from pipelines.cli.session import Session, command, mistake

MARKER = "lockgate plan"


@dataclass(frozen=True, slots=True)
class Checked:
    """The head of a pull request as GitHub names it in the event of the run that checked it."""

    owner: str
    branch: str
    sha: str


@command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def comment(session: Session, file: Path) -> None:
    """Post a plan on its pull request, from a job of GitHub Actions.

    FILE is what `lockgate plan --changed COMMIT --json` printed in the run that a workflow_run event tells
    of. It may say anything, so every word of it is shown as data; the pull request is the one whose head
    GitHub says was checked. Reads GITHUB_EVENT_PATH, GITHUB_REPOSITORY, GITHUB_API_URL and GITHUB_TOKEN.
    """
    from pipelines import wiring
    from pipelines.render import edits_text
    from pipelines.spec.edits import read_edits

    checked = _checked(Path(os.environ.get("GITHUB_EVENT_PATH", "")))
    edits = read_edits(_bytes(file), str(file))
    forge = wiring.actions_forge(session.secrets, os.environ)
    number = forge.number_of(owner=checked.owner, branch=checked.branch, base="main", head_sha=checked.sha)
    if number is not None:
        text = edits_text(edits, commit=checked.sha)
        forge.comment(number, marker=MARKER, body=text, begin=bool(edits.models or edits.problems))
    if session.as_json:
        session.data("comment", {"pull_request": number, "commit": checked.sha})
    if number is None:
        session.say(f"no open pull request into main has {checked.sha[:12]} as its head: nothing to write")
    else:
        session.say(f"#{number} at {checked.sha[:12]}: {len(edits.models)} edited models")


def _checked(event_file: Path) -> Checked:
    """The run that the event tells of, if it was one of a pull request.

    Raises:
        InvalidInput: it is another event.
    """
    try:
        event = json.loads(event_file.read_bytes())
    except (OSError, ValueError):
        event = None
    match event:
        case {
            "workflow_run": {
                "event": "pull_request",
                "head_sha": str(sha),
                "head_branch": str(branch),
                "head_repository": {"owner": {"login": str(owner)}},
            }
        } if re.fullmatch("[0-9a-f]{40}", sha):
            return Checked(owner, branch, sha)
    advice = "run it on workflow_run, after a workflow that ran on pull_request"
    raise mistake("GITHUB_EVENT_PATH", "names no event of a run for a pull request", advice)


def _bytes(file: Path) -> bytes:
    from pipelines.spec.edits import MAXIMUM_BYTES

    try:
        with file.open("rb") as stream:
            return stream.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        raise mistake(str(file), f"cannot be read: {error.strerror}") from None
