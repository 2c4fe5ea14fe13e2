"""Pictures of the tables: what a rule costs when nothing is wrong, against what a fault costs under it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import log10

from tests.bench.judge.book import Book
from tests.bench.judge.rules import OURS
from tests.bench.judge.tables import Cell

WIDTH, HEIGHT, LEFT, TOP = 460, 320, 56, 34
LOWEST_X, LOWEST_Y = 0.05, 0.3
"""Percent at the near ends of the axes; what is below is drawn there."""


def _x(percent: float) -> float:
    return LEFT + (WIDTH - LEFT - 20) * _place(percent, LOWEST_X)


def _y(percent: float) -> float:
    return HEIGHT - 40 - (HEIGHT - 40 - TOP) * _place(percent, LOWEST_Y)


def _place(percent: float, lowest: float) -> float:
    """0 at the lowest, 1 at 100 %, by logarithm."""
    return log10(min(max(percent, lowest), 100.0) / lowest) / log10(100.0 / lowest)


def svg(book: Book, table: str, found: Iterable[Cell]) -> str:
    """One panel per fault that the bar names; lower left is better, the shaded corner is the bar."""
    kept = [one for one in found if one.table == table]
    faults = list(
        dict.fromkeys(one.scenario for one in book.bar if one.table == table and one.figure == "exposed")
    )
    panels = [
        f'<g transform="translate({WIDTH * (n % 2)} {HEIGHT * (n // 2)})">'
        f"{_panel(book, table, fault, kept)}</g>"
        for n, fault in enumerate(faults)
    ]
    rows = (len(faults) + 1) // 2
    size = f'width="{2 * WIDTH}" height="{HEIGHT * rows}" viewBox="0 0 {2 * WIDTH} {HEIGHT * rows}"'
    style = "text{font:10px sans-serif;fill:#333}.o{fill:#0b6e4f}.f{fill:#888}.a{stroke:#bbb}.b{fill:#dff0e6}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(panels)}</svg>\n'
    )


def _panel(book: Book, table: str, fault: str, kept: Sequence[Cell]) -> str:
    clean = {one.rule: one.figures.aborted for one in kept if one.scenario == "clean"}
    served = {one.rule: one.figures.exposed for one in kept if one.scenario == fault}
    limit = next(
        one.at_most for one in book.bar if (one.table, one.scenario, one.figure) == (table, fault, "exposed")
    )
    parts = [_axes(f"{table}: {fault}"), _corner(limit or 100.0)]
    for rule in served:
        x, y, kind = _x(clean[rule]), _y(served[rule]), "o" if rule.startswith(OURS) else "f"
        end = ' text-anchor="end"' if x > WIDTH * 0.6 else ""
        shift = -6 if end else 6
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{kind}"/>')
        parts.append(f'<text x="{x + shift:.1f}" y="{y + 3:.1f}"{end}>{escape(rule)}</text>')
    return "".join(parts)


def _corner(limit: float) -> str:
    x, y = _x(1.0), _y(limit)
    return f'<rect x="{LEFT}" y="{y:.1f}" width="{x - LEFT:.1f}" height="{HEIGHT - 40 - y:.1f}" class="b"/>'


def _axes(title: str) -> str:
    parts = [f'<text x="{LEFT}" y="18" style="font-weight:bold">{escape(title)}</text>']
    for percent in (0.1, 1.0, 10.0, 100.0):
        x = _x(percent)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - 40}" class="a"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 26}" text-anchor="middle">{percent:g}</text>')
    for percent in (1.0, 10.0, 100.0):
        y = _y(percent)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" class="a"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 3:.1f}" text-anchor="end">{percent:g}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 10}">% of clean rollouts aborted</text>')
    parts.append(
        f'<text transform="translate(14 {HEIGHT - 40}) rotate(-90)">'
        "% of a rollout served by the candidate</text>"
    )
    return "".join(parts)
