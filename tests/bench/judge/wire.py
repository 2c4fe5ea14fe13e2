"""The same streams through a real Prometheus: scraped as counters, read by its client, judged by the gate.

Rollouts are exposed side by side, each in a namespace of its own, as Envoy would show them: classes of
answers and a histogram, in processes that start again now and then. Time runs faster than it does, so scrapes
come as late and as unevenly as a busy machine lets them, times that speed. Shares rise as planned: what was
exposed cannot be held.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from gates.canary import Canary, CanarySettings
from gates.canary.judging import judge
from gates.canary.looks import Counted, Look
from gates.canary.settings import SYSTEM
from gates.contract import Arm, Objectives, Question, Status, Subject
from gates.metrics import Answer, Metrics
from pipelines.clients.prometheus import PrometheusMetrics
from pipelines.rehearsal.prometheus import PrometheusServer
from tests.bench.judge.book import Book
from tests.bench.judge.streams import CANDIDATE, STABLE, Floats, Minute, Service, Stream

ARMS = ("candidate", "stable")
SCRAPE_SECONDS = 15.0
"""Between two scrapes, in the time of the streams."""
RESTARTS_PER_HOUR = 1.0
"""Of each arm's process: its counters begin again at 0."""
LEAD_SECONDS = 10.0
"""Real ones, in which Prometheus comes up and scrapes counters that stand still."""
LATE_SECONDS = 60.0
"""After the last minute, so that its last requests are scraped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """One rollout: cumulative counts at the end of every minute, 0 at the start."""

    namespace: str
    service: Service
    counts: Floats
    """(minutes + 1, arms, series): errors, the others, then within each edge and in all."""
    restarts: Floats
    """(arms,): seconds after the start at which the arm's process starts again."""

    def at(self, seconds: float) -> Floats:
        """Counters as they stand then; (arms, series). Requests of a minute are spread evenly."""
        now = self._counted(seconds)
        for arm in (CANDIDATE, STABLE):
            if seconds >= self.restarts[arm]:
                now[arm] -= self._counted(float(self.restarts[arm]))[arm]
        return now

    def _counted(self, seconds: float) -> Floats:
        minute = min(seconds / 60.0, len(self.counts) - 1.0)
        whole = int(minute)
        if whole == len(self.counts) - 1:
            return np.array(self.counts[-1])
        part = self.counts[whole] + (minute - whole) * (self.counts[whole + 1] - self.counts[whole])
        return np.asarray(np.floor(part))


def expose(book: Book, scenario: str, *, runs: int, seed: int) -> tuple[list[Exposed], list[list[Look]]]:
    """Rollouts of the fraud service on schedule, and the looks that a perfect observer would have of them."""
    table = book.tables["fraud"]
    service = book.services[table.service]
    generator = np.random.default_rng([seed, *book.seed("fraud", scenario)])
    stream = Stream(
        service,
        book.scenarios[scenario],
        book.noise[table.noise],
        runs=runs,
        planned_minutes=table.minutes * len(book.shares),
        generator=generator,
    )
    shares = [share for share in book.shares if share < 100 for _ in range(table.minutes)]
    minutes = [
        stream.minute(np.full(runs, share), np.full(runs, n % table.minutes))
        for n, share in enumerate(shares)
    ]
    counts = np.array([[_series(one, run, service) for run in range(runs)] for one in minutes])
    summed = np.concatenate([np.zeros((1, *counts.shape[1:])), counts.cumsum(axis=0)])
    ends = 60.0 * len(minutes)
    restarts = generator.exponential(3600.0 / RESTARTS_PER_HOUR, size=(runs, 2))
    exposed = [
        Exposed(
            namespace=f"{scenario}-{run}".replace(".", "-"),
            service=service,
            counts=summed[:, run],
            restarts=np.where(restarts[run] < ends, restarts[run], np.inf),
        )
        for run in range(runs)
    ]
    seen = [
        [_look(one, run, service, n, shares[n]) for n, one in enumerate(minutes) if n % table.minutes]
        for run in range(runs)
    ]
    return exposed, seen


def _series(minute: Minute, run: int, service: Service) -> list[list[float]]:
    """New counts of both arms in the order of :class:`Exposed`."""
    found = []
    for arm in (CANDIDATE, STABLE):
        requests, errors = int(minute.requests[run, arm]), int(minute.errors[run, arm])
        within = [requests - int(minute.over[edge][run, arm]) for edge in service.edges_ms]
        found.append([float(one) for one in (errors, requests - errors, *within, requests)])
    return found


def _look(minute: Minute, run: int, service: Service, number: int, share: int) -> Look:
    edges = {"slow": service.budget_ms, "tail": service.p99_ms, "body": service.p90_ms}
    counts = []
    for arm in (CANDIDATE, STABLE):
        requests = int(minute.requests[run, arm])
        over = {name: Counted(int(minute.over[edge][run, arm]), requests) for name, edge in edges.items()}
        counts.append({"errors": Counted(int(minute.errors[run, arm]), requests), **over})
    began = 60.0 * number
    return Look(began=began, ended=began + 60, share_percent=share, candidate=counts[0], stable=counts[1])


# ---------------------------------------------------------------------- on the wire


def exposition(rollouts: Sequence[Exposed], seconds: float) -> str:
    """All counters as Prometheus reads them."""
    lines = []
    for one in rollouts:
        for arm, values in zip(ARMS, one.at(seconds), strict=True):
            cluster = f'envoy_cluster_name="{one.namespace}/{arm}"'
            lines.append(
                f'envoy_cluster_upstream_rq_xx{{{cluster},envoy_response_code_class="5"}} {values[0]:.0f}'
            )
            lines.append(
                f'envoy_cluster_upstream_rq_xx{{{cluster},envoy_response_code_class="2"}} {values[1]:.0f}'
            )
            for edge, value in zip([*map(repr, one.service.edges_ms), "+Inf"], values[2:], strict=True):
                lines.append(f'envoy_cluster_upstream_rq_time_bucket{{{cluster},le="{edge}"}} {value:.0f}')
    return "\n".join(lines) + "\n"


@contextmanager
def served(rollouts: Sequence[Exposed], speed: float, lead_seconds: float) -> Iterator[tuple[str, float]]:
    """(address, its start in real seconds since the epoch) of a process whose counters run at that speed."""
    start = time.time() + lead_seconds

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exposition(rollouts, max(0.0, time.time() - start) * speed).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics", start
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True, slots=True)
class Sped:
    """A metrics server asked in the time of the streams, of which 0 is ``start`` in real time."""

    inner: Metrics
    start: float
    speed: float

    def samples(self, selector: str, *, at: float, window_seconds: float) -> Answer:
        """Raw samples, their times put back."""
        answer = self.inner.samples(
            selector, at=self.start + at / self.speed, window_seconds=window_seconds / self.speed
        )
        back = [
            replace(one, samples=tuple(((t - self.start) * self.speed, value) for t, value in one.samples))
            for one in answer.series
        ]
        return replace(answer, series=tuple(back))

    def value(self, query: str, *, at: float) -> Answer:
        """As it is."""
        return self.inner.value(query, at=self.start + at / self.speed)


# ------------------------------------------------------------------------ comparing


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """When one rollout was aborted, in minutes; None: never."""

    perfect: int | None
    """By the judge, on the counts as they were."""
    wired: int | None
    """By the gate, on what Prometheus held."""
    refused: int
    """Looks that could not tell."""


def perfect(looks: Sequence[Look], settings: CanarySettings, budgets: dict[str, float]) -> int | None:
    """The minute in which the judge says FAIL."""
    for end in range(1, len(looks) + 1):
        share = looks[end - 1].share_percent
        found = judge(looks[:end], SYSTEM, settings, budgets=budgets, share_percent=share)
        if found.worst.status is Status.FAIL:
            return round(looks[end - 1].ended / 60)
    return None


def wired(
    metrics: Metrics,
    one: Exposed,
    settings: CanarySettings,
    budgets: dict[str, float],
    shares: Sequence[int],
    minutes: int,
) -> tuple[int | None, int]:
    """The minute in which the gate says FAIL, asked every minute; and how often it could not tell."""
    gate, earlier, refused = Canary(settings, metrics=metrics), list[Any](), 0
    for stage, share in enumerate(shares):
        for minute in range(2, minutes + 2):
            now = 60.0 * (stage * minutes + minute) + 1.5 * SCRAPE_SECONDS
            verdict = gate.judge(_asked(one, share, 60.0 * (stage * minutes + 1), now, budgets, earlier))
            earlier += verdict.evidence.facts.get("looks", ())  # type: ignore[arg-type]
            refused += verdict.status is Status.UNKNOWN
            if verdict.status is Status.FAIL:
                return stage * minutes + minute, refused
            if minute == minutes:
                break
    return None, refused


def _asked(
    one: Exposed, share: int, since: float, now: float, budgets: dict[str, float], earlier: Sequence[Any]
) -> Question:
    def arm(name: Any) -> Arm:
        return Arm(name=name, version=name, uri="", digest="", revision=name)

    return Question(
        subject=Subject(model="", environment="", digest="", commit="", stage=""),
        now=datetime.fromtimestamp(now, UTC),
        since=datetime.fromtimestamp(since, UTC),
        share_percent=share,
        tenant="",
        namespace=one.namespace,
        service="",
        protocol_model="",
        candidate=arm("candidate"),
        stable=arm("stable"),
        objectives=Objectives(
            latency_threshold_ms=one.service.budget_ms,
            latency_budget_percent=100 * budgets["slow"],
            error_budget_percent=100 * budgets["errors"],
            peak_rps=one.service.rps,
        ),
        metrics_pack="envoy",
        scrape_seconds=SCRAPE_SECONDS,
        files={},
        earlier_looks=tuple(earlier),
    )


def compare(
    book: Book,
    scenarios: Sequence[str],
    settings: CanarySettings,
    folder: Path,
    *,
    runs: int,
    speed: float,
    seed: int = 1,
) -> dict[str, list[Pair]]:
    """Every rollout judged twice: as it was, and as Prometheus saw it."""
    made = {name: expose(book, name, runs=runs, seed=seed) for name in scenarios}
    rollouts = [one for exposed, _ in made.values() for one in exposed]
    minutes, shares = book.tables["fraud"].minutes, [share for share in book.shares if share < 100]
    budgets = dict(book.budgets)
    with served(rollouts, speed, LEAD_SECONDS) as (address, start):
        server = PrometheusServer(folder, {"streams": address}, scrape_seconds=SCRAPE_SECONDS / speed)
        try:
            whole = (60.0 * minutes * len(shares) + LATE_SECONDS) / speed
            time.sleep(max(0.0, start + whole - time.time()))
            metrics = Sped(PrometheusMetrics(server.url), start, speed)
            return {
                name: [
                    _pair(metrics, one, looks, settings, budgets, shares, minutes)
                    for one, looks in zip(exposed, seen, strict=True)
                ]
                for name, (exposed, seen) in made.items()
            }
        finally:
            server.close()


def _pair(
    metrics: Metrics,
    one: Exposed,
    looks: Sequence[Look],
    settings: CanarySettings,
    budgets: dict[str, float],
    shares: Sequence[int],
    minutes: int,
) -> Pair:
    found, refused = wired(metrics, one, settings, budgets, shares, minutes)
    return Pair(perfect=perfect(looks, settings, budgets), wired=found, refused=refused)


def markdown(found: dict[str, list[Pair]]) -> str:
    """One row per scenario."""
    lines = [
        "| scenario | rollouts | aborted, counts as they were | aborted, through Prometheus | median minute "
        "| later through Prometheus, minutes (median, worst) | looks that could not tell |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, pairs in found.items():
        one, two = (
            [pair for pair in pairs if getattr(pair, how) is not None] for how in ("perfect", "wired")
        )
        later = [pair.wired - pair.perfect for pair in pairs if pair.wired and pair.perfect]
        medians = [
            np.median([getattr(pair, how) for pair in kept]) if kept else np.nan
            for how, kept in (("perfect", one), ("wired", two))
        ]
        lag = f"{np.median(later):.0f}, {max(later)}" if later else ""
        middle = "" if np.isnan(medians).all() else f"{medians[0]:.0f} / {medians[1]:.0f}"
        refused = sum(pair.refused for pair in pairs)
        lines.append(f"| {name} | {len(pairs)} | {len(one)} | {len(two)} | {middle} | {lag} | {refused} |")
    return "\n".join(lines) + "\n"
