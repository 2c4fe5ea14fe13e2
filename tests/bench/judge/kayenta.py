"""Kayenta's judge: Mann-Whitney on one value a minute, the interval of its shift held against a tolerance."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtri

from tests.bench.judge.streams import CANDIDATE, STABLE, Floats, Ints, Minute
from tests.bench.judge.trial import ABORT, PROMOTE

CONFIDENCE = 0.98
TOLERANCE = 0.25


def is_high(candidate: Floats, stable: Floats) -> Ints:
    """Whether the lower end of the shift's interval is above the tolerance times the shift's estimate.

    Args:
        candidate: (runs, minutes), without NaN.
        stable: likewise; the number of minutes may differ.

    Normal approximation with the order statistics of all differences; without correction for ties.
    """
    several, others = candidate.shape[1], stable.shape[1]
    pairs = several * others
    spread = np.sqrt(pairs * (several + others + 1) / 12.0)
    rank = int(np.floor(pairs / 2.0 - ndtri((1 + CONFIDENCE) / 2) * spread + 0.5))
    if rank < 1:
        return np.zeros(len(candidate), dtype=np.int64)
    differences = (candidate[:, :, None] - stable[:, None, :]).reshape(len(candidate), pairs)
    middle = pairs // 2
    ordered = np.partition(differences, sorted({rank - 1, (pairs - 1) // 2, middle}), axis=1)
    estimate = (ordered[:, (pairs - 1) // 2] + ordered[:, middle]) / 2.0
    return np.asarray(ordered[:, rank - 1] > TOLERANCE * np.abs(estimate)).astype(np.int64)


@dataclass(slots=True)
class Kayenta:
    """Any metric that is High aborts; the window grows from the start of the rollout.

    ``first`` is the minute of the first verdict, ``every`` the minutes between two. Minutes without requests
    are removed for all runs alike (``nanStrategy: remove``), which only very little traffic ever has.
    """

    first: int
    every: int
    labels: bool = False
    """Only the labelled false-positive rate, else errors, p99 and mean."""
    percentiles: bool = True
    _values: list[Floats] = field(default_factory=list)
    _minute: int = 0

    def look(self, minute: Minute, share_percent: Ints, minute_of_step: Ints) -> Ints:
        """A verdict at its minutes, as long as there are two arms."""
        self._minute += 1
        answers = np.full(len(share_percent), PROMOTE)
        if share_percent[0] == 100:
            return answers
        self._values.append(self._measure(minute))
        due = self._minute >= self.first and (self._minute - self.first) % self.every == 0
        if not due:
            return answers
        values = np.stack(self._values, axis=-1)  # (metrics, runs, arms, minutes)
        for metric in values:
            whole = ~np.isnan(metric).any(axis=(0, 1))
            if whole.sum() > 1:
                high = is_high(metric[:, CANDIDATE][:, whole], metric[:, STABLE][:, whole])
                answers = np.where(high > 0, ABORT, answers)
        return answers

    def _measure(self, minute: Minute) -> Floats:
        if self.labels:
            return (minute.false / np.where(minute.labelled, minute.labelled, np.nan))[None]
        errors = minute.errors / np.where(minute.requests, minute.requests, np.nan)
        return np.stack([errors, minute.p99_ms, minute.mean_ms])
