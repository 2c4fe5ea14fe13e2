"""Rules that hold the candidate against constants, as Argo Rollouts, Flagger and burn-rate alerts do.

A p99 is above a latency exactly when more requests are above it than the rank allows, so that these rules
get exact percentiles out of counts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from tests.bench.judge.streams import CANDIDATE, Floats, Ints, Minute, Service
from tests.bench.judge.trial import ABORT, PROMOTE

ERROR_LIMIT = 0.01


@dataclass(slots=True)
class Window:
    """The candidate's counts of the latest minutes, added up."""

    minutes: int
    edge_ms: float
    _kept: deque[tuple[Ints, Ints, Ints]] = field(default_factory=deque)

    def add(self, minute: Minute) -> None:
        """One more minute; the oldest goes."""
        counted = (minute.requests, minute.errors, minute.over[self.edge_ms])
        self._kept.append((counted[0][:, CANDIDATE], counted[1][:, CANDIDATE], counted[2][:, CANDIDATE]))
        if len(self._kept) > self.minutes:
            self._kept.popleft()

    @property
    def counts(self) -> tuple[Ints, Ints, Ints]:
        """(requests, errors, above the edge)."""
        requests, errors, over = (sum(column[1:], column[0]) for column in zip(*self._kept, strict=True))
        return requests, errors, over


def p99_above(requests: Ints, over: Ints) -> Ints:
    """Whether the exact p99 lies above the edge that ``over`` counts; never of no requests."""
    return np.asarray(over > requests - np.ceil(0.99 * requests)).astype(np.int64)


@dataclass(slots=True)
class Argo:
    """Argo Rollouts: a metric fails the run when more than ``failure_limit`` of its measurements failed.

    Failures are never forgotten; NaN (no request) is one where only a success condition is set.
    """

    service: Service
    failure_limit: int
    minutes: int = 1
    error_limit: float = ERROR_LIMIT
    percentiles: bool = False
    _window: Window | None = None
    _failed: Ints | None = None

    def look(self, minute: Minute, share_percent: Ints, minute_of_step: Ints) -> Ints:
        """One measurement of each metric a minute."""
        if self._window is None or self._failed is None:
            self._window = Window(self.minutes, self.service.budget_ms)
            self._failed = np.zeros((2, len(share_percent)), dtype=np.int64)
        self._window.add(minute)
        requests, errors, over = self._window.counts
        nothing = requests == 0
        self._failed[0] += nothing | (errors > self.error_limit * requests)
        self._failed[1] += nothing | (p99_above(requests, over) > 0)
        return np.where((self._failed > self.failure_limit).any(axis=0), ABORT, PROMOTE)


@dataclass(slots=True)
class ArgoOnMeshBuckets:
    """The same on a p99 that ``histogram_quantile`` interpolates between the mesh's edges at 5 and 10 ms."""

    service: Service
    failure_limit: int = 3
    percentiles: bool = False
    _failed: Ints | None = None

    def look(self, minute: Minute, share_percent: Ints, minute_of_step: Ints) -> Ints:
        """One measurement a minute; above 10 ms the quantile is above the budget anyhow."""
        if self._failed is None:
            self._failed = np.zeros(len(share_percent), dtype=np.int64)
        requests = minute.requests[:, CANDIDATE]
        self._failed += (requests == 0) | (mesh_p99(minute) > self.service.budget_ms)
        return np.where(self._failed > self.failure_limit, ABORT, PROMOTE)


def mesh_p99(minute: Minute) -> Floats:
    """As ``histogram_quantile`` reads it between 5 and 10 ms."""
    requests = minute.requests[:, CANDIDATE].astype(float)
    above_5, above_10 = minute.over[5.0][:, CANDIDATE], minute.over[10.0][:, CANDIDATE]
    inside = np.maximum(above_5 - above_10, 1)
    rank = 0.99 * requests - (requests - above_5)
    return np.asarray(
        np.where(rank > above_5 - above_10, 10.0 + 1e-9, 5.0 + 5.0 * np.maximum(rank, 0) / inside)
    )


@dataclass(slots=True)
class Flagger:
    """Flagger: rolls back at the tick after its failed checks reach ``threshold``; never looks at 100 %.

    The duration is cast to whole milliseconds, so that 8.9 ms is 8 ms and within a limit of 8.
    """

    service: Service
    threshold: int = 5
    percentiles: bool = False
    _failed: Ints | None = None

    def look(self, minute: Minute, share_percent: Ints, minute_of_step: Ints) -> Ints:
        """One check a minute; a minute fails once, whatever fails in it."""
        if self._failed is None:
            self._failed = np.zeros(len(share_percent), dtype=np.int64)
        reached = self._failed >= self.threshold
        requests, errors = minute.requests[:, CANDIDATE], minute.errors[:, CANDIDATE]
        over = minute.over[self.service.budget_ms + 1.0][:, CANDIDATE]
        failed = (requests == 0) | (errors > ERROR_LIMIT * requests) | (p99_above(requests, over) > 0)
        self._failed += failed & (share_percent < 100)
        return np.where(reached & (share_percent < 100), ABORT, PROMOTE)


@dataclass(slots=True)
class StepEnd:
    """One check at the end of each step, over the whole of it."""

    service: Service
    minutes: int
    percentiles: bool = False
    _sums: Ints | None = None

    def look(self, minute: Minute, share_percent: Ints, minute_of_step: Ints) -> Ints:
        """Says nothing before the step's last minute."""
        if self._sums is None:
            self._sums = np.zeros((3, len(share_percent)), dtype=np.int64)
        self._sums[:, minute_of_step == 0] = 0
        over = minute.over[self.service.budget_ms]
        self._sums += np.stack([counted[:, CANDIDATE] for counted in (minute.requests, minute.errors, over)])
        requests, errors, over = self._sums
        bad = (errors > ERROR_LIMIT * requests) | (p99_above(requests, over) > 0)
        return np.where((minute_of_step == self.minutes - 1) & bad, ABORT, PROMOTE)


@dataclass(slots=True)
class BurnRate:
    """The SRE workbook's pages: 14.4 times the budget over 5 m and 1 m, or 6 times over 30 m and 5 m.

    99.9 % of requests without an error, 99 % within the latency budget.
    """

    service: Service
    percentiles: bool = False
    _windows: dict[int, Window] = field(default_factory=dict)

    def look(self, minute: Minute, share_percent: Ints, minute_of_step: Ints) -> Ints:
        """One evaluation a minute."""
        shares: dict[int, tuple[Floats, Floats]] = {}
        for minutes in (1, 5, 30):
            window = self._windows.setdefault(minutes, Window(minutes, self.service.budget_ms))
            window.add(minute)
            requests, errors, over = window.counts
            several = np.maximum(requests, 1)
            shares[minutes] = (errors / several, over / several)
        pages = np.zeros(len(share_percent), dtype=bool)
        for kind, budget in ((0, 0.001), (1, 0.01)):
            fast = np.minimum(shares[5][kind], shares[1][kind]) > 14.4 * budget
            slow = np.minimum(shares[30][kind], shares[5][kind]) > 6.0 * budget
            pages |= fast | slow
        return np.where(pages, ABORT, PROMOTE)


@dataclass(slots=True)
class ArgoOnLabels:
    """Argo on labels: at most 1.4 % false positives among the labels of 15 minutes, if at least 50."""

    failure_limit: int = 3
    percentiles: bool = False
    _kept: deque[tuple[Ints, Ints]] = field(default_factory=lambda: deque(maxlen=15))
    _failed: Ints | None = None

    def look(self, minute: Minute, share_percent: Ints, minute_of_step: Ints) -> Ints:
        """One measurement a minute; too few labels are none."""
        if self._failed is None:
            self._failed = np.zeros(len(share_percent), dtype=np.int64)
        self._kept.append((minute.false[:, CANDIDATE], minute.labelled[:, CANDIDATE]))
        false, labelled = (sum(column) for column in zip(*self._kept, strict=True))
        self._failed += (labelled >= 50) & (false > 0.014 * labelled)
        return np.where(self._failed > self.failure_limit, ABORT, PROMOTE)
