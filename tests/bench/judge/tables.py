"""Running the benchmark, and its tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tests.bench.judge import rules
from tests.bench.judge.book import Book, Demand
from tests.bench.judge.rules import OURS, Make
from tests.bench.judge.streams import Stream
from tests.bench.judge.trial import Figures, run

MESH_SCENARIOS = ("clean", "warm-up", "noisy")
"""That rule aborts everything; three columns show it."""

LABEL_SCENARIOS = ("clean", "fpr1.5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One rule in one scenario of one table."""

    table: str
    rule: str
    scenario: str
    figures: Figures

    def to_data(self) -> dict[str, Any]:
        """As JSON values, NaN as null."""
        figures = {name: None if value != value else value for name, value in asdict(self.figures).items()}
        return {"table": self.table, "rule": self.rule, "scenario": self.scenario, **figures}


def cell(book: Book, table: str, name: str, make: Make, scenario: str, runs: int | None = None) -> Cell:
    """Run one cell; ``runs`` may ask for fewer than the table does."""
    wanted, rule = book.tables[table.removesuffix(" labels")], make()
    several = min(wanted.runs, wanted.slow_rules_runs) if rule.percentiles else wanted.runs
    stream = Stream(
        book.services[wanted.service],
        book.scenarios[scenario],
        book.noise[wanted.noise],
        runs=min(several, runs or several),
        planned_minutes=wanted.minutes * len(book.shares),
        generator=np.random.default_rng(book.seed(table.removesuffix(" labels"), scenario)),
        percentiles=rule.percentiles,
    )
    figures = run(rule, stream, shares=book.shares, minutes=wanted.minutes, longest_step=book.longest_step)
    return Cell(table=table, rule=name, scenario=scenario, figures=figures)


def cells(book: Book, table: str, runs: int | None = None) -> Iterable[Cell]:
    """All of one table, rule by rule; of ``fraud`` also those of the labels."""
    for name, make in rules.of_table(book, table).items():
        for scenario in book.tables[table].scenarios or book.scenarios:
            if "mesh" not in name or scenario in MESH_SCENARIOS:
                yield cell(book, table, name, make, scenario, runs)
    if table == "fraud":
        for name, make in rules.of_labels(book, table).items():
            for scenario in LABEL_SCENARIOS:
                yield cell(book, f"{table} labels", name, make, scenario, runs)


def markdown(book: Book, table: str, found: Iterable[Cell]) -> str:
    """One table: a row per rule, a column per scenario, the bar in its first row."""
    kept = [one for one in found if one.table == table]
    scenarios = [name for name in book.scenarios if any(one.scenario == name for one in kept)]
    names = list(dict.fromkeys(one.rule for one in kept))
    by_place = {(one.rule, one.scenario): one.figures for one in kept}
    lines = ["| rule | " + " | ".join(scenarios) + " |", "| --- |" + " --- |" * len(scenarios)]
    if any(demand.table == table for demand in book.bar):
        bars = (" ".join(_limit(one) for one in _demands(book, table, scenario)) for scenario in scenarios)
        lines.append("| **the bar** | " + " | ".join(f"**{bar}**" if bar else "" for bar in bars) + " |")
    for name in names:
        shown = [_figures(by_place.get((name, one)), book.scenarios[one].harmful) for one in scenarios]
        lines.append(f"| {f'**{name}**' if name == OURS else name} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def _demands(book: Book, table: str, scenario: str) -> list[Demand]:
    return [one for one in book.bar if (one.table, one.scenario) == (table, scenario)]


def _limit(demand: Demand) -> str:
    limit = f"≤{demand.at_most:g}" if demand.at_most is not None else f"≥{demand.at_least:g}"
    return limit + (" served" if demand.figure == "exposed" else " %")


def _figures(figures: Figures | None, harmful: bool) -> str:
    """Harmful: detected, median minute, served. Benign: aborted in the split / by the end, held."""
    if figures is None:
        return ""
    held = f" h{figures.held:.0f}" if figures.held >= 0.5 else ""
    if not harmful:
        return f"{figures.aborted_in_split:.1f}/{figures.aborted:.1f}{held}"
    if figures.aborted < 0.05:
        return "0"
    return f"{figures.aborted:.1f} {figures.median_minute:.0f}m {figures.exposed:.1f}{held}"


def verdicts(book: Book, found: Iterable[Cell]) -> list[tuple[Demand, float, bool]]:
    """Each demand of the bar with lockgate's figure, and whether it is met; only of what was run."""
    ours: Mapping[tuple[str, str], Figures] = {
        (one.table, one.scenario): one.figures for one in found if one.rule == OURS
    }
    told = []
    for demand in book.bar:
        if figures := ours.get((demand.table, demand.scenario)):
            value = float(getattr(figures, demand.figure))
            told.append((demand, value, demand.met(value)))
    return told
