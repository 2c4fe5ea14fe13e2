"""The public benchmark of canary judges: `python -m tests.bench.judge`, or `make bench-judge`.

Prints every table with the bar beside it, says of each cell of the bar whether it is met, and writes tables,
figures and pictures. Seeded: the same numbers every time. All tables take some minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gates.canary import CanarySettings
from tests.bench.judge import plots, tables, wire
from tests.bench.judge.book import Book, read
from tests.bench.judge.rules import OURS, calibrated, of_table
from tests.bench.judge.tables import Cell

RESULTS = Path(__file__).with_name("results")

LEGEND = """Benign scenarios: aborted in the split / by the end, percent. Harmful ones: detected (percent),
median minute, requests that the candidate served as percent of those of a whole rollout. h: percent of
the rollouts that were held at a share longer than planned. By the end includes what 100 % showed."""


SEEDS_LEGEND = """Seeds that the judge was not tuned on: other traffic, and other clean rollouts from which
its noise was calibrated. Percent; the bar is that of the tables."""


WIRE_LEGEND = """Streams of the fraud table (seventy requests a second, 15-minute steps, realistic noise) as
counters of processes that start again now and then, scraped every 15 seconds of their time, read by our
client, judged by the gate as it is asked in production; beside it the same judge on the counts as they were.
Errors and latencies alone are looked for; shares rise as planned. A look waits for one more scrape."""


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; 1 when a cell of the bar is missed."""
    book = read()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.judge", description="Canary judges compared")
    parser.add_argument("--table", action="append", choices=list(book.tables), help="only these")
    parser.add_argument("--runs", type=int, help="at most so many per cell, for a quick look")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for tables, figures and pictures")
    parser.add_argument(
        "--wire", type=int, metavar="N", help="instead: N rollouts each through a real Prometheus"
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="instead: lockgate against the bar under N other seeds"
    )
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.wire:
        return through_prometheus(book, asked.wire, asked.out)
    if asked.seeds:
        return under_other_seeds(book, asked.seeds, asked.runs, asked.out)
    found: list[Cell] = []
    text = [f"# Canary judges compared\n\n{LEGEND}\n"]
    print(LEGEND)
    for table in asked.table or book.tables:
        several = list(tables.cells(book, table, asked.runs))
        found += several
        for name in dict.fromkeys(one.table for one in several):
            written = f"\n## {title(book, name)}\n\n{tables.markdown(book, name, several)}"
            print(written, flush=True)
            text.append(written)
        if any(demand.table == table for demand in book.bar):
            (asked.out / f"{table}.svg").write_text(plots.svg(book, table, several), "utf-8")
    told = bar(book, found)
    print(told)
    (asked.out / "tables.md").write_text("".join([*text, f"\n## The bar\n\n{told}"]), "utf-8")
    lines = (json.dumps(one.to_data(), sort_keys=True) for one in found)
    (asked.out / "figures.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return 0 if all(met for _, _, met in tables.verdicts(book, found)) else 1


def under_other_seeds(book: Book, several: int, runs: int | None, out: Path) -> int:
    """How much of the bar is luck; 1 when a cell is ever missed."""
    told = []
    for shift in range(1, several + 1):
        other = book.reseeded(1000 * shift)
        places = dict.fromkeys((demand.table, demand.scenario) for demand in book.bar)
        found = [
            tables.cell(other, table, OURS, of_table(other, table)[OURS], scenario, runs)
            for table, scenario in places
        ]
        told.append(tables.verdicts(other, found))
    lines = ["| cell | lowest | highest | met |", "| --- | --- | --- | --- |"]
    for row in zip(*told, strict=True):
        values, met = [value for _, value, _ in row], sum(met for _, _, met in row)
        lines.append(f"| {row[0][0]} | {min(values):.2f} | {max(values):.2f} | {met} of {several} |")
    text = f"# Under other seeds\n\n{SEEDS_LEGEND}\n\n" + "\n".join(lines) + "\n"
    print(text)
    (out / "seeds.md").write_text(text, "utf-8")
    return 0 if all(met for row in told for _, _, met in row) else 1


WIRED = ("clean", "warm-up", "err1.0", "err0.3", "p99x1.25", "leak")
SPEED = 30.0
"""A scrape every half second is one every 15 seconds of the streams."""


def through_prometheus(book: Book, runs: int, out: Path) -> int:
    """Tier two: some of the fraud table's streams, scraped, queried and judged as in production."""
    found = calibrated(book, "fraud", book.tables["fraud"].noise)
    system = {
        name: spread for name, spread in found.noise.items() if name in ("errors", "slow", "tail", "body")
    }
    settings = CanarySettings(noise=system, memory_minutes=found.memory_minutes)
    with tempfile.TemporaryDirectory(prefix="lockgate-bench-") as folder:
        pairs = wire.compare(book, WIRED, settings, Path(folder), runs=runs, speed=SPEED)
    text = f"# Through a real Prometheus\n\n{WIRE_LEGEND}\n\n{wire.markdown(pairs)}"
    print(text)
    (out / "prometheus.md").write_text(text, "utf-8")
    return 0


def title(book: Book, name: str) -> str:
    """Of a table, with what the judge was calibrated to."""
    table = book.tables[name.removesuffix(" labels")]
    service, noise = book.services[table.service], calibrated(book, table.service, table.noise)
    measured = ", ".join(f"{metric} {spread:g}" for metric, spread in noise.noise.items())
    return (
        f"{name}: {service.rps:g} requests a second, {table.minutes}-minute steps, {table.noise} noise, "
        f"{table.runs} runs\n\nlockgate's noise, calibrated: {measured}; memory {noise.memory_minutes:g} min"
    )


def bar(book: Book, found: Sequence[Cell]) -> str:
    """Which cells of the bar lockgate's judge meets."""
    told = tables.verdicts(book, found)
    rows = [f"| {demand} | {value:.2f} | {'met' if met else '**missed**'} |" for demand, value, met in told]
    head = "| cell | lockgate | |\n| --- | --- | --- |\n"
    return head + "\n".join(rows) + f"\n\n{sum(met for _, _, met in told)} of {len(told)} cells met.\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
