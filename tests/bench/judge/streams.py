"""Counts of two arms, minute by minute, of services and faults that are made up and seeded.

One stream is many runs of one rollout at once: every array has a row per run and a column per arm, the
candidate first. What a minute brings depends on the share of that minute, so that a rule may hold a share
longer than was planned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CANDIDATE, STABLE = 0, 1
FOR_GOOD = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A model's traffic; latencies are lognormal."""

    rps: float
    p50_ms: float
    p99_ms: float
    budget_ms: float
    error_share: float = 0.001
    flagged_falsely: float = 0.01
    """Share of the legitimate requests."""
    fraudulent: float = 0.001
    caught: float = 0.8
    """Of the fraudulent ones."""
    labelled: float = 0.3
    label_delay_minutes: float = 30.0
    edges_besides_ms: tuple[float, ...] = ()
    """Other latencies above which requests are counted, for rules that read them off a histogram."""

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm of a latency."""
        return log(self.p99_ms / self.p50_ms) / float(ndtri(0.99))

    @property
    def p90_ms(self) -> float:
        """Of the stable arm."""
        return float(self.p50_ms * np.exp(ndtri(0.9) * self.sigma))

    @property
    def edges_ms(self) -> tuple[float, ...]:
        """All latencies above which requests are counted, ascending."""
        return tuple(sorted({self.p90_ms, self.p99_ms, self.budget_ms, *self.edges_besides_ms}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is wrong, with whom, and when. Factors are of the candidate unless it says both."""

    harmful: bool = False
    latency_factor: float = 1.0
    error_factor: float = 1.0
    false_flag_factor: float = 1.0
    p99_factor: float = 1.0
    """Reached by a slow mode of 3 % of the requests; the other 97 % stay as they are."""
    warm_up_latency_factor: float = 1.0
    warm_up_error_factor: float = 1.0
    """In the first minute of each step."""
    both_latency_factor: float = 1.0
    both_error_factor: float = 1.0
    """In both arms, for ten minutes at a random time."""
    leak_from_minute: int = FOR_GOOD
    leak_latency_per_minute: float = 0.0
    leak_errors_per_minute: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Fluctuation of rates: standard deviations of logarithms, stationary, autocorrelated by minute."""

    latency_common: float = 0.0
    latency_arm: float = 0.0
    errors_common: float = 0.0
    errors_arm: float = 0.0
    correlation: float = 0.0


SLOW_MODE = 0.03
NOISY_MINUTES, NOISY_FROM, NOISY_BEFORE_END = 10, 5, 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """What was counted in one minute; all of shape (runs, 2)."""

    requests: Ints
    errors: Ints
    over: dict[float, Ints]
    """Edge in ms -> requests above it."""
    flagged: Ints
    labelled: Ints
    """Labels that arrived: requests known to be legitimate."""
    false: Ints
    """Those of them that had been flagged."""
    p99_ms: Floats
    """Exact, of that minute's requests; NaN where there were none, empty where nobody asked."""
    mean_ms: Floats


@dataclass(slots=True)
class _Wander:
    """A stationary autoregressive process per run (and arm)."""

    spread: float
    correlation: float
    generator: np.random.Generator
    shape: tuple[int, ...]
    _now: Floats | None = field(default=None, init=False)

    def step(self) -> Floats:
        """The next minute's values of the logarithm."""
        fresh = self.generator.standard_normal(self.shape) * self.spread
        if self._now is None:
            self._now = fresh
        else:
            self._now = self.correlation * self._now + np.sqrt(1 - self.correlation**2) * fresh
        return self._now


class Stream:
    """One scenario of one service, many runs of it."""

    def __init__(
        self,
        service: Service,
        scenario: Scenario,
        noise: Noise,
        *,
        runs: int,
        planned_minutes: int,
        generator: np.random.Generator,
        percentiles: bool = False,
    ) -> None:
        self.service, self.scenario, self.runs = service, scenario, runs
        self._generator = generator
        self._percentiles = percentiles
        self._slow = slow_scale(service, scenario.p99_factor)
        self._wanders = [
            _Wander(spread, noise.correlation, generator, shape)
            for spread, shape in (
                (noise.latency_common, (runs, 1)),
                (noise.latency_arm, (runs, 2)),
                (noise.errors_common, (runs, 1)),
                (noise.errors_arm, (runs, 2)),
            )
        ]
        last = max(NOISY_FROM, planned_minutes - NOISY_BEFORE_END)
        self._noisy_from = generator.integers(NOISY_FROM, last, size=runs, endpoint=True)
        self._pending = np.zeros((2, runs, 2), dtype=np.int64)
        self._at = 0

    def minute(self, share_percent: Ints, minute_of_step: Ints) -> Minute:
        """The next minute, with each run's own share and place in its step (0 is the first)."""
        scale, error_share = self._rates(minute_of_step)
        self._at += 1
        draw, service = self._generator, self.service
        total = draw.poisson(service.rps * 60.0, size=self.runs)
        candidates = draw.binomial(total, share_percent / 100)
        requests = np.stack([candidates, total - candidates], axis=1)
        over = self._over(requests, scale)
        p99_ms, mean_ms = self._latencies(requests, over, scale) if self._percentiles else _NO_LATENCIES
        return Minute(
            requests=requests,
            errors=draw.binomial(requests, error_share),
            over=over,
            **self._business(requests),
            p99_ms=p99_ms,
            mean_ms=mean_ms,
        )

    def _rates(self, minute_of_step: Ints) -> tuple[Floats, Floats]:
        """Latency scale and error share, of shape (runs, 2)."""
        scenario, now = self.scenario, self._at
        common, arm, error_common, error_arm = (wander.step() for wander in self._wanders)
        scale = np.exp(common + arm)
        errors = self.service.error_share * np.exp(error_common + error_arm)
        warming = minute_of_step == 0
        leaked = max(0.0, now + 0.5 - scenario.leak_from_minute)  # as in the middle of the minute
        scale[:, CANDIDATE] *= scenario.latency_factor * np.where(
            warming, scenario.warm_up_latency_factor, 1.0
        )
        scale[:, CANDIDATE] *= 1 + scenario.leak_latency_per_minute * leaked
        errors[:, CANDIDATE] *= scenario.error_factor * np.where(warming, scenario.warm_up_error_factor, 1.0)
        errors[:, CANDIDATE] += scenario.leak_errors_per_minute * leaked
        noisy = (now >= self._noisy_from) & (now < self._noisy_from + NOISY_MINUTES)
        scale *= np.where(noisy, scenario.both_latency_factor, 1.0)[:, None]
        errors *= np.where(noisy, scenario.both_error_factor, 1.0)[:, None]
        return scale, np.minimum(errors, 1.0)

    def _beyond(self, edge_ms: float | Floats, scale: Floats) -> Floats:
        """Share of an arm's requests above an edge, of shape (runs, 2)."""
        service = self.service
        z = (np.log(edge_ms) - np.log(service.p50_ms) - np.log(scale)) / service.sigma
        beyond = _sf(z)
        if self._slow > 1.0:
            slow = _sf(z[:, CANDIDATE] - np.log(self._slow) / service.sigma)
            beyond[:, CANDIDATE] = (1 - SLOW_MODE) * beyond[:, CANDIDATE] + SLOW_MODE * slow
        return np.asarray(beyond)

    def _over(self, requests: Ints, scale: Floats) -> dict[float, Ints]:
        """Requests above each edge; those above a higher one are among those above a lower one."""
        over: dict[float, Ints] = {}
        left, before = requests, np.ones_like(scale)
        for edge in self.service.edges_ms:
            beyond = self._beyond(edge, scale)
            left = self._generator.binomial(left, np.minimum(beyond / np.maximum(before, 1e-300), 1.0))
            over[edge], before = left, beyond
        return over

    def _business(self, requests: Ints) -> dict[str, Ints]:
        draw, service = self._generator, self.service
        fraud = draw.binomial(requests, service.fraudulent)
        legitimate = requests - fraud
        falsely = np.array(
            [service.flagged_falsely * self.scenario.false_flag_factor, service.flagged_falsely]
        )
        false = draw.binomial(legitimate, falsely)
        labelled_false = draw.binomial(false, service.labelled)
        labelled_true = draw.binomial(legitimate - false, service.labelled)
        self._pending += np.stack([labelled_false, labelled_true])
        arrived = draw.binomial(self._pending, 1 - np.exp(-1 / service.label_delay_minutes))
        self._pending -= arrived
        return {
            "flagged": false + draw.binomial(fraud, service.caught),
            "labelled": arrived.sum(axis=0),
            "false": arrived[0],
        }

    def _latencies(self, requests: Ints, over: dict[float, Ints], scale: Floats) -> tuple[Floats, Floats]:
        """The exact p99 of a minute, by its order statistic and agreeing with the counts; and the mean."""
        above = requests - np.ceil(0.99 * requests).astype(np.int64)
        tail = np.full(scale.shape, np.nan)
        upper_count, upper_share = np.zeros_like(requests), np.zeros_like(scale)
        for edge in [*reversed(self.service.edges_ms), None]:
            count = requests if edge is None else over[edge]
            share = np.ones_like(scale) if edge is None else self._beyond(edge, scale)
            here = (upper_count <= above) & (above < count)
            rank, inside = above - upper_count + 1, count - upper_count
            place = self._generator.beta(np.where(here, rank, 1), np.where(here, inside - rank + 1, 1))
            tail = np.where(here, upper_share + place * (share - upper_share), tail)
            upper_count, upper_share = count, share
        return self._latency_at(tail, scale), self._means(requests, scale)

    def _latency_at(self, tail: Floats, scale: Floats) -> Floats:
        """The latency with this share of requests above it."""
        service = self.service
        grid = np.linspace(-9.0, 16.0, 4001)  # in standard deviations of the logarithm
        found = np.empty_like(tail)
        for arm in (CANDIDATE, STABLE):
            beyond = _sf(grid)
            if arm == CANDIDATE and self._slow > 1.0:
                shifted = _sf(grid - np.log(self._slow) / service.sigma)
                beyond = (1 - SLOW_MODE) * beyond + SLOW_MODE * shifted
            z = np.interp(np.log(tail[:, arm]), np.log(beyond[::-1]), grid[::-1])
            found[:, arm] = service.p50_ms * scale[:, arm] * np.exp(service.sigma * z)
        return found

    def _means(self, requests: Ints, scale: Floats) -> Floats:
        """Means of that many latencies: gamma distributed with their mean and variance."""
        service = self.service
        first = service.p50_ms * np.exp(service.sigma**2 / 2) * np.ones(2)
        second = service.p50_ms**2 * np.exp(2 * service.sigma**2) * np.ones(2)
        first[CANDIDATE] *= 1 - SLOW_MODE + SLOW_MODE * self._slow
        second[CANDIDATE] *= 1 - SLOW_MODE + SLOW_MODE * self._slow**2
        shape = np.maximum(requests, 1) * first**2 / (second - first**2)
        return np.asarray(np.where(requests, scale * self._generator.gamma(shape, first / shape), np.nan))


_NO_LATENCIES = (np.empty(0), np.empty(0))


def slow_scale(service: Service, p99_factor: float) -> float:
    """By how much the slow mode is slower, so that the p99 is so many times the stable's; 1 for none."""
    if p99_factor == 1.0:
        return 1.0
    z = ndtri(0.99) + log(p99_factor) / service.sigma

    def excess(slow: float) -> float:
        beyond = (1 - SLOW_MODE) * _sf(z) + SLOW_MODE * _sf(z - log(slow) / service.sigma)
        return float(beyond - 0.01)

    return float(brentq(excess, 1.0, 1000.0))


def _sf(z: Floats | float) -> Floats:
    """Share of a normal distribution above z."""
    return np.asarray(ndtr(-np.asarray(z)))
