"""scenarios.yaml as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from tests.bench.judge.streams import Noise, Scenario, Service

PLACE = Path(__file__).with_name("scenarios.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One service at one length of step."""

    service: str
    minutes: int
    noise: str
    runs: int
    seed: int
    slow_rules_runs: int = 2000
    """At most so many for rules that need exact percentiles."""
    scenarios: tuple[str, ...] = ()
    """Only these; all when empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One cell of the bar."""

    table: str
    scenario: str
    figure: Literal["aborted", "aborted_in_split", "exposed"]
    at_most: float | None = None
    at_least: float | None = None

    def met(self, value: float) -> bool:
        """Whether a figure, in percent, is good enough."""
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        words = {"aborted": "aborted", "aborted_in_split": "aborted in split", "exposed": "served"}
        limit = f"at most {self.at_most:g}" if self.at_most is not None else f"at least {self.at_least:g}"
        return f"{self.table} {self.scenario}: {words[self.figure]}, {limit} %"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Book:
    """Everything that is made up."""

    shares: tuple[int, ...]
    longest_step: int
    services: Mapping[str, Service]
    budgets: Mapping[str, float]
    noise: Mapping[str, Noise]
    scenarios: Mapping[str, Scenario]
    tables: Mapping[str, Table]
    calibration_rollouts: int
    calibration_seed: int
    bar: tuple[Demand, ...]

    def reseeded(self, by: int) -> Book:
        """The same with other dice, for calibration too."""
        tables = {name: replace(table, seed=table.seed + by) for name, table in self.tables.items()}
        return replace(self, tables=tables, calibration_seed=self.calibration_seed + by)

    def seed(self, table: str, scenario: str) -> tuple[int, int]:
        """Of one cell; all rules meet the same one."""
        return self.tables[table].seed, list(self.scenarios).index(scenario)


def read(place: Path = PLACE) -> Book:
    """Read the file; TypeError for a key that means nothing."""
    data: dict[str, Any] = yaml.safe_load(place.read_text("utf-8"))
    services = {
        name: Service(**{**one, "edges_besides_ms": tuple(map(float, one["edges_besides_ms"]))})
        for name, one in data["services"].items()
    }
    return Book(
        shares=tuple(data["shares"]),
        longest_step=data["longest_step"],
        services=services,
        budgets=data["budgets"],
        noise={name: Noise(**one) for name, one in data["noise"].items()},
        scenarios={name: Scenario(**one) for name, one in data["scenarios"].items()},
        tables={
            name: Table(**{**one, "scenarios": tuple(one.get("scenarios", ()))})
            for name, one in data["tables"].items()
        },
        calibration_rollouts=data["calibration"]["rollouts"],
        calibration_seed=data["calibration"]["seed"],
        bar=tuple(Demand(**one) for one in data["bar"]),
    )
