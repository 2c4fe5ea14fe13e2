"""Which versions could have answered a request then, at which shares, and who approved them.

Pure: the journals and main's history in, an answer out. A share is possible from the moment its commit
was on main, and certain from the moment the serving layer was seen to split that way; in between the share
before it is possible too, and both are said. What the record does not hold is said as well: nothing before
its first line is guessed, and a commit by another hand is named.

``timeline`` finds the splits, ``credentials`` who stands behind a version, ``words`` writes the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from pipelines.journal.lines import Line
from pipelines.journal.state import fold
from pipelines.ports import Commit
from pipelines.reports.words import stamp
from pipelines.why.credentials import approvers, behind
from pipelines.why.timeline import Story, gaps, points_of, possible_at, strangers
from pipelines.why.types import Answer, Approval, Behind, Possible, Share
from pipelines.why.words import sentences, to_data

__all__ = ["Answer", "Approval", "Behind", "Possible", "Share", "answer", "approvers", "sentences", "to_data"]


def answer(
    journals: Sequence[Sequence[Line]], log: Sequence[Commit], at: datetime, *, model: str, environment: str
) -> Answer:
    """Answer for one instant.

    Args:
        journals: the lines of every promotion of this model into this environment, in any order.
        log: commits on main that touched the model's manifests there.
        at: the instant, with its zone.
        model: the model's name.
        environment: the environment's name.
    """
    stories = sorted(_stories(journals), key=lambda story: story.lines[0].at)
    first = stories[0].lines[0].at if stories else None
    if first is None or at < first:
        return Answer(
            model=model,
            environment=environment,
            at=at,
            first_record=first,
            possible=(),
            behind=(),
            doubts=(_before(first),),
        )
    points = points_of(stories, {commit.sha: commit for commit in log})
    possible = tuple(possible_at(points, at))
    digests = dict.fromkeys(share.digest for one in possible for share in one.shares)
    return Answer(
        model=model,
        environment=environment,
        at=at,
        first_record=first,
        possible=possible,
        behind=tuple(behind(digest, possible, stories, at) for digest in digests),
        remarks=(*_frozen(journals, at), *_untold(stories, at)),
        doubts=(*gaps(stories), *strangers(stories, points, log, at)),
    )


def _stories(journals: Sequence[Sequence[Line]]) -> Iterator[Story]:
    for lines in journals:
        state = fold(lines)
        if state is not None:
            yield Story(lines, state)


def _frozen(journals: Sequence[Sequence[Line]], at: datetime) -> Iterator[str]:
    """What no share could rise for, then."""
    for lines in journals:
        state = fold(line for line in lines if line.at <= at)
        freeze = state.freeze if state is not None else None
        if state is not None and freeze is not None:
            since = f"since {stamp(freeze.at)}"
            yield f"{state.promotion} was kept from {freeze.stage} {since}: {freeze.sentence}"


def _untold(stories: Sequence[Story], at: datetime) -> Iterator[str]:
    """Ways back from 100 % before that instant that the change desk does not know of to this day."""
    for story in stories:
        rollback = story.state.rollback
        if rollback is not None and rollback.at <= at and story.state.ended and story.state.desk_owed:
            told = f"was taken back since {stamp(rollback.at)}, and the change desk was not told"
            yield f"{story.state.promotion} {told}; `lockgate retry` tells it"


def _before(first: datetime | None) -> str:
    if first is None:
        return "the record holds no promotion of this model there, so it cannot tell what served"
    return f"the record begins at {stamp(first)}; it does not tell what served before"
