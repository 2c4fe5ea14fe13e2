"""The two best of the published comparison, as it defines them: a group-sequential test, and an e-process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from tests.bench.judge.streams import CANDIDATE, STABLE, Floats, Ints, Minute, Service
from tests.bench.judge.trial import ABORT, PROMOTE

ALPHA = 0.05
CEILINGS = {"errors": 0.005, "budget": 0.01}


def metrics(minute: Minute, service: Service, names: Sequence[str]) -> tuple[Floats, Floats]:
    """(bad, of), each (runs, arms, metrics)."""
    every = {
        "errors": (minute.errors, minute.requests),
        "budget": (minute.over[service.budget_ms], minute.requests),
        "p99": (minute.over[service.p99_ms], minute.requests),
        "p90": (minute.over[service.p90_ms], minute.requests),
        "flagged": (minute.flagged, minute.requests),
        "labels": (minute.false, minute.labelled),
    }
    bad, of = zip(*(every[name] for name in names), strict=True)
    return np.stack(bad, axis=-1).astype(float), np.stack(of, axis=-1).astype(float)


@cache
def pocock(shares: tuple[int, ...], minutes: int, tests: int) -> float:
    """The constant that the score of a clean rollout ever exceeds with a chance of alpha over all tests."""
    looks = [share / 100 for share in shares if share < 100 for _ in range(minutes - 1)]
    steps = np.array([share * (1 - share) for share in looks])
    draws = np.random.default_rng(1).standard_normal((40_000, len(steps))) * np.sqrt(steps)
    path = draws.cumsum(axis=1) / np.sqrt(steps.cumsum())
    return float(np.quantile(path.max(axis=1), 1 - ALPHA / tests))


@dataclass(slots=True)
class GroupSequential:
    """Score test on counts, constant bound, corrected for the number of metrics; at least 20 bad requests."""

    service: Service
    names: tuple[str, ...]
    tolerated: tuple[float, ...]
    """By metric: the ratio up to which nothing is wrong."""
    dispersion: tuple[float, ...]
    shares: tuple[int, ...]
    minutes: int
    percentiles: bool = False
    _sums: Floats | None = None

    def look(self, minute: Minute, share_percent: Ints, minute_of_step: Ints) -> Ints:
        """Compares both arms but for the first minute of a step."""
        bad, of = metrics(minute, self.service, self.names)
        if self._sums is None:
            self._sums = np.zeros((3, *bad[:, 0].shape))
        seen = ((minute_of_step > 0) & (share_percent < 100))[:, None] & (of > 0).all(axis=1)
        odds = np.array(self.tolerated) * of[:, CANDIDATE] / np.maximum(of[:, STABLE], 1.0)
        null = odds / (1.0 + odds)
        total = bad.sum(axis=1)
        score = bad[:, CANDIDATE] - total * null
        variance = total * null * (1.0 - null) * np.array(self.dispersion)
        self._sums += np.where(seen, np.stack([score, variance, total]), 0.0)
        score, variance, total = self._sums
        z = score / np.sqrt(np.maximum(variance, 1e-12))
        bound = pocock(self.shares, self.minutes, len(self.names))
        return np.where(((z > bound) & (total >= 20)).any(axis=1), ABORT, PROMOTE)


GRID = np.exp(np.linspace(np.log(1.12), np.log(16.0), 12))


@dataclass(slots=True)
class EProcess:
    """Mixture over alternatives and start minutes, tempered by a dispersion; the average over metrics."""

    service: Service
    names: tuple[str, ...]
    tolerated: tuple[float, ...]
    """By metric: the ratio up to which nothing is wrong."""
    dispersion: tuple[float, ...]
    planned_minutes: int
    percentiles: bool = False
    _sums: Floats | None = None
    _alone: dict[str, tuple[Floats, int]] = field(default_factory=dict)
    _looks: int = 0
    _at: int = 0

    def look(self, minute: Minute, share_percent: Ints, minute_of_step: Ints) -> Ints:
        """Compares both arms while there are two; then errors and latency against ceilings."""
        self._at += 1
        bad, of = metrics(minute, self.service, self.names)
        if self._sums is None:
            self._sums = np.full((*bad[:, 0].shape, len(GRID)), -np.inf)
        labels = np.array([name == "labels" for name in self.names])
        split = ((minute_of_step > 0) & (share_percent < 100))[:, None] | labels
        seen = split & (of > 0).all(axis=1)
        begin, rest = self._weight(self._at)
        odds = (np.array(self.tolerated) * of[:, CANDIDATE] / np.maximum(of[:, STABLE], 1.0))[..., None]
        null, other = odds / (1.0 + odds), odds * GRID / (1.0 + odds * GRID)
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = bad[:, CANDIDATE, :, None] * np.log(other / null)
            gain += bad[:, STABLE, :, None] * np.log((1.0 - other) / (1.0 - null))
        gain = np.where(seen[..., None], gain / np.array(self.dispersion)[:, None], 0.0)
        self._sums = np.logaddexp(self._sums, np.log(begin)) + gain
        evidence = np.exp(np.minimum(self._sums, 600.0)).mean(axis=-1) + rest
        absolute = self._absolute(minute, share_percent[0] == 100 and minute_of_step[0] > 0)
        shown = evidence.mean(axis=-1) >= 1.0 / ALPHA
        if absolute.shape[-1]:
            shown |= absolute.mean(axis=-1) >= 1.0 / ALPHA
        return np.where(shown, ABORT, PROMOTE)

    def _weight(self, at: int) -> tuple[float, float]:
        """Prior weight of a start at this minute (1 is the first), and of all later ones."""
        each = 0.5 / (self.planned_minutes - 1)
        begin = 0.5 if at == 1 else each if at <= self.planned_minutes else 1e-300
        return begin, max(0.0, 0.5 - each * (at - 1))

    def _absolute(self, minute: Minute, alone: bool) -> Floats:
        """One-sample evidence at 100 % after its first minute, for metrics with a ceiling; 1 before."""
        found = []
        for name, ceiling in CEILINGS.items():
            if name not in self.names:
                continue
            sums, looks = self._alone.get(name, (np.full((len(minute.requests), len(GRID)), -np.inf), 0))
            evidence = np.ones(len(minute.requests))
            if alone:
                bad, of = metrics(minute, self.service, (name,))
                looks += 1
                begin, rest = self._weight(looks)
                other = np.minimum(ceiling * GRID, 0.9)
                gain = bad[:, CANDIDATE] * np.log(other / ceiling)
                gain = gain + (of - bad)[:, CANDIDATE] * np.log((1 - other) / (1 - ceiling))
                sums = np.logaddexp(sums, np.log(begin)) + gain
                evidence = np.exp(np.minimum(sums, 600.0)).mean(axis=-1) + rest
            self._alone[name] = (sums, looks)
            found.append(evidence)
        return np.stack(found, axis=-1) if found else np.empty((len(minute.requests), 0))
