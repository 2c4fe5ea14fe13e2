"""Who is compared: the rules of the field, each by its own definition, and lockgate's judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from gates.canary.looks import Counted, Look
from gates.canary.noise import Calibrated, calibrate
from gates.canary.settings import CanarySettings
from tests.bench.judge.book import Book, Table
from tests.bench.judge.kayenta import Kayenta
from tests.bench.judge.ours import EVERYTHING, FALSE, FLAGGED, Lockgate, counts
from tests.bench.judge.sequential import EProcess, GroupSequential
from tests.bench.judge.streams import Scenario, Stream
from tests.bench.judge.thresholds import Argo, ArgoOnLabels, ArgoOnMeshBuckets, BurnRate, Flagger, StepEnd
from tests.bench.judge.trial import Rule

OURS = "lockgate"
SYSTEM = ("errors", "budget", "p99", "p90")
DISPERSION: Mapping[str, tuple[float, ...]] = {
    "fraud": (1.2, 2.0, 5.5, 18.3),
    "credit": (1.0, 1.0, 1.15, 1.6),
    "llm": (1.0, 1.0, 1.0, 1.0),
}
"""Of :data:`SYSTEM`, as published with the comparison."""

Make = Callable[[], Rule]


def of_table(book: Book, name: str) -> dict[str, Make]:
    """The rules of one table by name; each call makes a fresh one."""
    table = book.tables[name]
    service, minutes, shares = book.services[table.service], table.minutes, book.shares
    planned, phi, ones = minutes * len(shares), DISPERSION[table.service], (1.0,) * len(SYSTEM)
    sparse = 20 if minutes >= 60 else 5
    rules: dict[str, Make] = {
        "naive": lambda: Argo(service, 0),
        "Argo, failureLimit 3": lambda: Argo(service, 3),
        "Argo tuned: 5 m, errors 0.3 %": lambda: Argo(service, 3, 5, 0.003),
        "Flagger, threshold 5": lambda: Flagger(service),
        "one check at step end": lambda: StepEnd(service, minutes),
        "burn rate": lambda: BurnRate(service),
        "Kayenta every 5 m": lambda: Kayenta(max(10, sparse), sparse),
        "Kayenta every 1 m": lambda: Kayenta(5, 1 if minutes < 60 else 5),
        "GST r0=1.25": lambda: GroupSequential(service, SYSTEM, (1.25,) * 4, ones, shares, minutes),
        "GST r0=1.1 phi": lambda: GroupSequential(service, SYSTEM, (1.1,) * 4, phi, shares, minutes),
        "SEQ r0=1, no margin": lambda: EProcess(service, SYSTEM, ones, ones, planned),
        "SEQ r0=1.1 phi": lambda: EProcess(service, SYSTEM, (1.1,) * 4, phi, planned),
    }
    if {5.0, 10.0} <= set(service.edges_ms):
        rules["Argo, failureLimit 3, mesh buckets"] = lambda: ArgoOnMeshBuckets(service)
    ours = _ours(book, table)
    return {**rules, **{name: make for name, make in ours.items() if "alone" not in name}}


def _ours(book: Book, table: Table) -> dict[str, Make]:
    service = book.services[table.service]

    def told() -> CanarySettings:
        found = calibrated(book, table.service, table.noise)
        return CanarySettings(noise=found.noise, memory_minutes=found.memory_minutes)

    return {
        "lockgate, noise not calibrated": lambda: Lockgate(service, CanarySettings(), book.budgets),
        "lockgate, tolerance 1.1": lambda: Lockgate(service, replace(told(), tolerance=1.1), book.budgets),
        "lockgate, never holding": lambda: Lockgate(service, told(), book.budgets, holds=False),
        "lockgate, labels and flagged alone": lambda: Lockgate(
            service, told(), book.budgets, harms=(FLAGGED, FALSE)
        ),
        OURS: lambda: Lockgate(service, told(), book.budgets),
    }


def of_labels(book: Book, name: str) -> dict[str, Make]:
    """The rules that judge what the model decides."""
    table = book.tables[name]
    service, shares, planned = book.services[table.service], book.shares, table.minutes * len(book.shares)
    five, six = (*SYSTEM, "labels"), (*SYSTEM, "labels", "flagged")
    tolerated, ones = (1.25,) * 4 + (1.1,) * 2, (1.0,) * 6
    ours = _ours(book, table)
    return {
        "Argo, labelled, failureLimit 3": ArgoOnLabels,
        "Kayenta, labelled": lambda: Kayenta(10, 5, labels=True),
        "GST r0=1.25 + labels": lambda: GroupSequential(
            service, five, tolerated[:5], ones[:5], shares, table.minutes
        ),
        "GST r0=1.25 + labels, flagged": lambda: GroupSequential(
            service, six, tolerated, ones, shares, table.minutes
        ),
        "SEQ r0=1.25 + labels, flagged": lambda: EProcess(service, six, tolerated, ones, planned),
        **{name: ours[name] for name in ("lockgate, labels and flagged alone", OURS)},
    }


@cache
def calibrated(book: Book, service: str, noise: str) -> Calibrated:
    """The judge's noise, from clean rollouts of 15-minute steps under a seed of their own."""
    found = calibrate(clean_rollouts(book, service, noise, minutes=15), EVERYTHING)
    assert found is not None
    return found


def clean_rollouts(book: Book, service: str, noise: str, *, minutes: int) -> list[list[Look]]:
    """Looks of clean rollouts without the first minute of each share."""
    rollouts, made = book.calibration_rollouts, book.services[service]
    stream = Stream(
        made,
        Scenario(),
        book.noise[noise],
        runs=rollouts,
        planned_minutes=minutes * len(book.shares),
        generator=np.random.default_rng(book.calibration_seed),
    )
    looks: list[list[Look]] = [[] for _ in range(rollouts)]
    for share in book.shares[:-1]:
        for minute in range(minutes):
            counted = stream.minute(np.full(rollouts, share), np.full(rollouts, minute))
            if minute == 0:
                continue
            columns = counts(counted, made, EVERYTHING)
            for run, kept in enumerate(looks):
                arms = [
                    {
                        harm.name: Counted(int(bad[run, place]), int(of[run, place]))
                        for place, harm in enumerate(EVERYTHING)
                    }
                    for bad, of in (columns[:2], columns[2:])
                ]
                began = 60.0 * len(kept)
                look = Look(
                    began=began, ended=began + 60.0, share_percent=share, candidate=arms[0], stable=arms[1]
                )
                kept.append(look)
    return looks
