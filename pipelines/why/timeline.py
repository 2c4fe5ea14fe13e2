"""The splits there were, in the order in which they became possible, and what the record cannot explain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pipelines.journal import events as e
from pipelines.journal.lines import Line
from pipelines.journal.state import State, fold
from pipelines.ports import Commit
from pipelines.reports.words import short, stamp
from pipelines.why.types import Possible, Share

_EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A split that began."""

    possible: datetime | None
    """When at the earliest; None: before the first record."""
    certain: datetime | None
    """When the serving layer was seen to follow; None: never."""
    stable: Mapping[str, Any] | None
    candidate: Mapping[str, Any] | None
    share: int
    """Percent that the candidate gets."""
    promotion: str

    def covers(self, at: datetime) -> bool:
        """Whether it may have begun by then."""
        return self.possible is None or self.possible <= at


@dataclass(frozen=True, slots=True)
class Story:
    """One promotion, read."""

    lines: Sequence[Line]
    state: State


def points_of(stories: Sequence[Story], commits: Mapping[str, Commit]) -> list[Point]:
    """Every split there was, in the order in which they became possible."""
    begun = stories[0]
    stable = _first_stable(begun)
    points = [
        Point(
            possible=None,
            certain=begun.lines[0].at,
            stable=stable,
            candidate=None,
            share=0,
            promotion="",
        )
    ]
    for story in stories:
        points += _splits(story, commits)
    for story in _unexplained(stories):
        points.append(
            Point(
                possible=_last_before(stories, story),
                certain=story.lines[0].at,
                stable=_first_stable(story),
                candidate=None,
                share=0,
                promotion="",
            )
        )
    return sorted(points, key=lambda point: point.possible or _EARLIEST)


def _first_stable(story: Story) -> Mapping[str, Any] | None:
    """What served when a promotion was asked for."""
    event = story.lines[0].event
    assert isinstance(event, e.Started)  # noqa: S101 - fold() has seen to it
    return event.stable


def _splits(story: Story, commits: Mapping[str, Commit]) -> Iterator[Point]:
    """The shares of one promotion, each with when it was possible and when it was seen."""
    stable, candidate = _first_stable(story), story.state.started.candidate
    merged: Line | None = None
    for n, line in enumerate(story.lines):
        event = line.event
        if isinstance(event, e.Rebased):
            stable = event.stable
        elif isinstance(event, e.Merged):
            merged = line
        elif isinstance(event, e.ShareCommitted):
            yield Point(
                possible=_on_main(line, event.commit, merged, commits),
                certain=_served(story.lines[n:], event.share_percent),
                stable=stable,
                candidate=candidate,
                share=event.share_percent,
                promotion=story.state.promotion,
            )


def _on_main(line: Line, sha: str, merged: Line | None, commits: Mapping[str, Commit]) -> datetime:
    """When a commit was on main at the earliest: the journal's line may have come later, after a crash."""
    times = [line.at]
    if sha in commits:
        times.append(commits[sha].at)
    if merged is not None and isinstance(merged.event, e.Merged) and merged.event.commit == sha:
        times.append(merged.at)
    return min(times)


def _served(lines: Sequence[Line], share: int) -> datetime | None:
    """When the share committed in the first of these lines was seen served, before another was committed."""
    for line in lines[1:]:
        if isinstance(line.event, e.ShareCommitted):
            return None
        if isinstance(line.event, e.ShareServed) and line.event.share_percent == share:
            return line.at
    return None


def possible_at(points: Sequence[Point], at: datetime) -> list[Possible]:
    """The splits that the record cannot rule out at an instant, oldest first."""
    found: list[Possible] = []
    for n, point in enumerate(points):
        later = points[n + 1 :]
        if not point.covers(at) or any(one.certain is not None and one.certain <= at for one in later):
            continue
        one = _possible(point, later, at)
        if found and found[-1].shares == one.shares:  # the same split, written a second time
            one = replace(one, since=found[-1].since, seen=found[-1].seen or one.seen)
            found.pop()
        found.append(one)
    return found


def _possible(point: Point, later: Sequence[Point], at: datetime) -> Possible:
    shares = tuple(_shares(point))
    others = (one.certain for one in later if one.certain is not None and tuple(_shares(one)) != shares)
    return Possible(
        shares=shares,
        since=point.possible,
        seen=point.certain if point.certain is not None and point.certain <= at else None,
        until=min(others, default=None),
        promotion=point.promotion,
    )


def _shares(point: Point) -> Iterator[Share]:
    for version, percent in ((point.stable, 100 - point.share), (point.candidate, point.share)):
        if version is not None and percent > 0:
            yield Share(label=version["label"], digest=version["digest"], uri=version["uri"], percent=percent)


def _unexplained(stories: Sequence[Story]) -> Iterator[Story]:
    """Promotions that found another stable version than the ones before had left."""
    for n, story in enumerate(stories):
        if n and _digest(_first_stable(story)) not in _left(stories[:n], story.lines[0].at):
            yield story


def _left(stories: Sequence[Story], at: datetime) -> set[str]:
    """Digests that may have been stable at an instant, as these promotions had left things by then."""
    left = {_digest(_first_stable(stories[0]))}
    for story in stories:
        state = fold(line for line in story.lines if line.at <= at)
        if state is None or (state.merged is None and state.ended is not None):
            continue
        stable, candidate = _digest(state.started.stable), state.started.candidate["digest"]
        if state.ended is None:
            left |= {stable, candidate}
        else:
            left = {candidate if state.ended.outcome == "promoted" else stable}
    return left


def _digest(version: Mapping[str, Any] | None) -> str:
    return version["digest"] if version else ""


def _last_before(stories: Sequence[Story], story: Story) -> datetime:
    """The latest moment of which the promotions before this one know anything."""
    start = story.lines[0].at
    return max(line.at for one in stories for line in one.lines if line.at < start)


def gaps(stories: Sequence[Story]) -> Iterator[str]:
    """Versions that served although no promotion of the record brought them."""
    for story in _unexplained(stories):
        stable = _first_stable(story)
        label = stable["label"] if stable else "nothing"
        yield (
            f"{story.state.promotion} found {label} serving at {stamp(story.lines[0].at)}, "
            "and no promotion in the record had brought it"
        )


def strangers(
    stories: Sequence[Story], points: Sequence[Point], log: Sequence[Commit], at: datetime
) -> Iterator[str]:
    """Commits by another hand since the serving layer was last seen to follow the record."""
    known = {story.state.promotion for story in stories}
    ours = {sha for story in stories for sha in _commits(story.state)}
    settled = max(point.certain for point in points if point.certain is not None and point.certain <= at)
    for commit in sorted(log, key=lambda one: one.at):
        mine = commit.sha in ours or commit.trailers.get("Lockgate-Promotion") in known
        if not mine and settled < commit.at <= at:
            yield (
                f"{commit.author} changed the manifests by another way at {stamp(commit.at)} "
                f"({short(commit.sha)}: {commit.subject}); the record does not tell what served after it"
            )


def _commits(state: State) -> Iterator[str]:
    yield from state.commits.values()
    yield state.zero_commit
    if state.merged is not None:
        yield state.merged.commit
