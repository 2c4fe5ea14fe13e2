"""The command that looks after promotions that run as Argo workflows: sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipelines.cli import argo
from pipelines.cli.session import Session, command
from pipelines.errors import CouldNotTell

if TYPE_CHECKING:
    from pipelines.sweeping.sweeper import Report, Sweeper

COULD_NOT_TELL = 5
EVERY_SECONDS = 10.0
"""With --for: a pass begins so long after the one before it began, or as soon as that is over. None begins
that would not be over in time if it took as long as that."""


@command()
@click.option(
    "--for",
    "for_seconds",
    type=float,
    default=0.0,
    metavar="SECONDS",
    help="Go on for so long; 0 is one pass.",
)
def sweep(session: Session, for_seconds: float) -> int:
    """Look after every promotion that Argo drives.

    What waits in a workflow goes on when its wait is over, stops when it goes back, and shows why it waits.
    A promotion whose workflow was ended, deleted or lost gets another one. Any number may run at once. Exit
    code 0, or 5 when something could not be told; the others were looked after all the same.
    """
    made = argo.sweeper(session)
    clock = session.desktop.clock
    end, good = clock.now().timestamp() + for_seconds, True
    while True:
        began = clock.now().timestamp()
        good = _once(session, made) and good
        took_seconds = clock.now().timestamp() - began
        rest_seconds = max(0.0, EVERY_SECONDS - took_seconds)
        if began + took_seconds + rest_seconds + took_seconds >= end:
            return 0 if good else COULD_NOT_TELL
        clock.sleep(rest_seconds)


def _once(session: Session, made: Sweeper) -> bool:
    """One pass, told; whether all went well."""
    try:
        report = made.sweep()
    except CouldNotTell as error:  # Git itself is away: nothing can be done, nothing is lost
        click.echo(f"error: {session.safe(str(error))}", err=True)
        return False
    _tell(session, report)
    return report.good


def _tell(session: Session, report: Report) -> None:
    figures = {"seen": report.seen, "acted_on": sum(deed.promotion != "" for deed in report.deeds)}
    if session.as_json:
        deeds = [
            {"promotion": deed.promotion, "sentence": session.safe(deed.sentence), "good": deed.good}
            for deed in report.deeds
        ]
        more = {"requests": report.calls, "seconds": round(report.seconds, 3)}
        session.data("sweep", {**figures, **more, "deeds": deeds})
    for deed in report.deeds:
        session.say(": ".join(part for part in (deed.promotion, deed.sentence) if part))
    counted = f"{figures['seen']} promotions seen, {figures['acted_on']} acted on"
    session.say(f"{counted}, {report.calls} requests to Argo, {report.seconds:.1f} s")
