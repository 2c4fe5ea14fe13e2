"""Many rollouts under one rule: who is aborted, when, and how many requests the candidate served by then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tests.bench.judge.streams import CANDIDATE, Ints, Minute, Stream

PROMOTE, HOLD, ABORT = 0, 1, 2
"""A rule's answers. HOLD keeps the share beyond its planned minutes, PROMOTE lets it go up at their end."""


class Rule(Protocol):
    """A judge of rollouts side by side, asked after every minute.

    A new one is made for every trial: it may keep what it saw.
    """

    percentiles: bool
    """Whether it reads exact percentiles, which take long to make."""

    def look(self, minute: Minute, share_percent: Ints, minute_of_step: Ints) -> Ints:
        """An answer per run."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of all runs of a cell. Shares in percent."""

    aborted: float
    aborted_in_split: float
    """Before 100 %."""
    median_minute: float
    """Of the aborted runs; NaN where there are none."""
    exposed: float
    """Requests that the candidate served, of those of a whole rollout on schedule: the mean of the runs."""
    held: float
    """Runs that stayed at a share longer than planned, aborted later or not."""
    held_minutes: float
    """Mean of all runs."""
    out_of_time: float
    """Runs that went back because they had been held too long; among the aborted."""
    runs: int


@dataclass(slots=True)
class _Fleet:
    """Where every run is."""

    shares: Ints
    minutes: int
    longest: int
    place: Ints
    of_step: Ints
    ended: NDArray[np.bool_]
    aborted_at: Ints
    aborted_share: Ints
    served: NDArray[np.float64]
    held_minutes: Ints
    out_of_time: NDArray[np.bool_]

    @property
    def share(self) -> Ints:
        return np.asarray(self.shares[self.place])

    def abort(self, which: NDArray[np.bool_], at: int) -> None:
        self.aborted_at[which], self.aborted_share[which] = at, self.share[which]
        self.ended |= which

    def go_on(self, answers: Ints, at: int) -> None:
        running = ~self.ended
        self.abort(running & (answers == ABORT), at)
        running &= ~self.ended
        self.of_step += 1
        over = running & (self.of_step >= self.minutes)
        held = over & (answers == HOLD)
        self.held_minutes += held
        late = held & (self.of_step >= self.longest)
        self.out_of_time |= late
        self.abort(late, at)
        rising = over & ~held
        last = self.place == len(self.shares) - 1
        self.ended |= rising & last
        rising &= ~last
        self.place[rising] += 1
        self.of_step[rising] = 0


def run(rule: Rule, stream: Stream, *, shares: tuple[int, ...], minutes: int, longest_step: int) -> Figures:
    """Put all runs of a stream through one rule.

    Args:
        minutes: planned of each step.
        longest_step: times as long it may last while the rule holds it.
    """
    runs = stream.runs
    fleet = _Fleet(
        shares=np.array(shares),
        minutes=minutes,
        longest=longest_step * minutes,
        place=np.zeros(runs, dtype=np.int64),
        of_step=np.zeros(runs, dtype=np.int64),
        ended=np.zeros(runs, dtype=bool),
        aborted_at=np.zeros(runs, dtype=np.int64),
        aborted_share=np.zeros(runs, dtype=np.int64),
        served=np.zeros(runs),
        held_minutes=np.zeros(runs, dtype=np.int64),
        out_of_time=np.zeros(runs, dtype=bool),
    )
    at = 0
    while not fleet.ended.all():
        at += 1
        share, of_step = fleet.share, fleet.of_step.copy()
        minute = stream.minute(share, of_step)
        fleet.served += np.where(fleet.ended, 0, minute.requests[:, CANDIDATE])
        fleet.go_on(rule.look(minute, share, of_step), at)
    whole = stream.service.rps * 60.0 * minutes * sum(shares) / 100.0
    return _figures(fleet, whole)


def _figures(fleet: _Fleet, whole: float) -> Figures:
    aborted = fleet.aborted_at > 0
    percent: Any = lambda which: float(100.0 * which.mean())  # noqa: E731
    return Figures(
        aborted=percent(aborted),
        aborted_in_split=percent(aborted & (fleet.aborted_share < 100)),
        median_minute=float(np.median(fleet.aborted_at[aborted])) if aborted.any() else float("nan"),
        exposed=percent(fleet.served / whole),
        held=percent(fleet.held_minutes > 0),
        held_minutes=float(fleet.held_minutes.mean()),
        out_of_time=percent(fleet.out_of_time),
        runs=len(aborted),
    )
