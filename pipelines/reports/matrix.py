"""Every gate at every stage in one table: where it was asked, how it ended, how it went on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gates.contract import Status, Verdict
from pipelines.journal.state import State
from pipelines.reports.series import Seen
from pipelines.reports.story import symbol
from pipelines.reports.words import clean, count
from pipelines.strategy import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One gate at one stage; without a status it has said nothing there."""

    stage: str
    status: str
    symbol: str
    looks: str
    note: str
    """That it only informs, what it said before its last word, or that it was never asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One gate."""

    gate: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Stages with gates in the plan's order, and a row for each gate."""

    stages: tuple[str, ...]
    rows: tuple[Row, ...]


def matrix(seen: Seen, state: State) -> Matrix:
    """The last verdict of each gate at each stage, about this promotion's candidate."""
    asked: dict[tuple[str, str], list[Verdict]] = {}
    for stage, verdict in seen:
        asked.setdefault((stage, verdict.gate), []).append(verdict)
    stages = [one for one in state.plan.stages if one.gates or any(at == one.name for at, _ in asked)]
    gates = dict.fromkeys((*(gate for stage in stages for gate in stage.gates), *(g for _, g in asked)))
    return Matrix(
        stages=tuple(clean(stage.name) for stage in stages),
        rows=tuple(
            Row(
                gate=clean(gate),
                cells=tuple(_cell(stage, gate, asked.get((stage.name, gate), ())) for stage in stages),
            )
            for gate in gates
        ),
    )


def _cell(stage: Stage, gate: str, verdicts: Sequence[Verdict]) -> Cell:
    name, planned = clean(stage.name), gate in stage.gates
    if not verdicts:
        return Cell(stage=name, status="", symbol="", looks="", note="not asked" if planned else "")
    last, worst = verdicts[-1].status, Status.worst(one.status for one in verdicts)
    role = "informative" if gate in stage.informative else ""
    on_the_way = f"{worst.name} on the way" if worst > last else ""
    return Cell(
        stage=name,
        status=last.name,
        symbol=symbol(last),
        looks=count(len(verdicts), "look") if len(verdicts) > 1 else "",
        note=", ".join(filter(None, (role, on_the_way))),
    )
