"""Pictures of the tables: what a rule costs when nothing is wrong, against what a fault costs under it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import cos, hypot, log10, pi, sin
from typing import NamedTuple

from tests.bench.judge.book import Book
from tests.bench.judge.rules import OURS
from tests.bench.judge.tables import Cell

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 460, 320, 56, 34, 20, 44
LOWEST_X, LOWEST_Y = 0.05, 0.3
"""Percent at the near ends of the axes; what is below is drawn there."""
CLEAR = 9.0
"""Pixels between the middle of a number and any other or any point."""
STYLE = (
    "text{font:10px sans-serif;fill:#333}.o{fill:#0b6e4f}.v{fill:#fff;stroke:#0b6e4f;stroke-width:1.5}"
    ".f{fill:#888}.a{stroke:#ccc}.l{stroke:#999;stroke-width:.6}.b{fill:#dff0e6}.t{font-weight:bold}"
    ".n,.k{text-anchor:middle}"
)


class Point(NamedTuple):
    """In pixels of a panel."""

    x: float
    y: float

    def near(self, others: Iterable[Point]) -> bool:
        """Whether a number here would touch one of them."""
        return any(hypot(self.x - one.x, self.y - one.y) < CLEAR for one in others)


def _x(percent: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * _place(percent, LOWEST_X)


def _y(percent: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * _place(percent, LOWEST_Y)


def _place(percent: float, lowest: float) -> float:
    """0 at the lowest, 1 at 100 %, by logarithm."""
    return log10(min(max(percent, lowest), 100.0) / lowest) / log10(100.0 / lowest)


def svg(book: Book, table: str, found: Iterable[Cell]) -> str:
    """One panel per fault whose cost the bar limits, then the key; lower left is better."""
    kept = [one for one in found if one.table == table]
    limits = {
        one.scenario: one.at_most or 100.0
        for one in book.bar
        if one.table == table and one.figure == "exposed"
    }
    rules = [rule for rule in dict.fromkeys(one.rule for one in kept) if "mesh" not in rule]
    numbers = {rule: number for number, rule in enumerate(rules, 1)}
    parts = [_panel(f"{table}: {fault}", limit, fault, kept, numbers) for fault, limit in limits.items()]
    parts.append(_key(numbers))
    placed = [
        f'<g transform="translate({WIDTH * (n % 2)} {HEIGHT * (n // 2)})">{part}</g>'
        for n, part in enumerate(parts)
    ]
    rows = (len(parts) + 1) // 2
    size = f'width="{2 * WIDTH}" height="{HEIGHT * rows}" viewBox="0 0 {2 * WIDTH} {HEIGHT * rows}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(placed)}</svg>\n'
    )


def _panel(title: str, limit: float, fault: str, kept: Sequence[Cell], numbers: Mapping[str, int]) -> str:
    clean = {one.rule: one.figures.aborted for one in kept if one.scenario == "clean"}
    served = {one.rule: one.figures.exposed for one in kept if one.scenario == fault}
    points = {rule: Point(_x(clean[rule]), _y(served[rule])) for rule in numbers}
    parts, taken = [_corner(limit), _axes(title)], list[Point]()
    for rule, point in points.items():
        at = _beside(point, [*points.values(), *taken])
        taken.append(at)
        parts.append(
            f'<line x1="{point.x:.1f}" y1="{point.y:.1f}" x2="{at.x:.1f}" y2="{at.y:.1f}" class="l"/>'
        )
        parts.append(_number(at, numbers[rule], rule))
    parts += [_dot(point, rule) for rule, point in points.items()]
    return "".join(parts)


def _beside(point: Point, others: Sequence[Point]) -> Point:
    """Where the number of a point can be read: as near to it as there is room."""
    for distance in range(11, 120, 5):
        for turn in range(16):
            angle = turn * pi / 8
            at = Point(point.x + distance * cos(angle), point.y - distance * sin(angle))
            inside = LEFT + 6 < at.x < WIDTH - 4 and TOP - 8 < at.y < HEIGHT - BOTTOM - 6
            if inside and not at.near(others):
                return at
    return point


def _number(at: Point, number: int, rule: str) -> str:
    bold = " t" if rule == OURS else ""
    back = f'<circle cx="{at.x:.1f}" cy="{at.y:.1f}" r="6.5" fill="white" fill-opacity=".8"/>'
    return f'{back}<text x="{at.x:.1f}" y="{at.y + 3.5:.1f}" class="k{bold}">{number}</text>'


def _dot(point: Point, rule: str) -> str:
    kind = "o" if rule == OURS else "v" if rule.startswith(OURS) else "f"
    return f'<circle cx="{point.x:.1f}" cy="{point.y:.1f}" r="4" class="{kind}"/>'


def _key(numbers: Mapping[str, int]) -> str:
    parts = []
    for row, (rule, number) in enumerate(numbers.items()):
        y, bold = TOP + 8 + 15.0 * row, ' class="t"' if rule == OURS else ""
        parts.append(_dot(Point(LEFT, y), rule))
        parts.append(f'<text x="{LEFT + 24}" y="{y + 3.5}" text-anchor="end"{bold}>{number}</text>')
        parts.append(f'<text x="{LEFT + 32}" y="{y + 3.5}"{bold}>{escape(rule)}</text>')
    y = TOP + 16 + 15.0 * len(numbers)
    parts.append(f'<rect x="{LEFT - 6}" y="{y - 4}" width="12" height="10" class="b"/>')
    parts.append(f'<text x="{LEFT + 32}" y="{y + 4}">the bar; lower and further left is better</text>')
    return "".join(parts)


def _corner(limit: float) -> str:
    x, y = _x(1.0), _y(limit)
    return (
        f'<rect x="{LEFT}" y="{y:.1f}" width="{x - LEFT:.1f}" height="{HEIGHT - BOTTOM - y:.1f}" class="b"/>'
    )


def _axes(title: str) -> str:
    parts = [f'<text x="{LEFT}" y="18" class="t">{escape(title)}</text>']
    low = HEIGHT - BOTTOM
    for percent, name in (
        (LOWEST_X, f"≤{LOWEST_X:g}"),
        (0.1, "0.1"),
        (1.0, "1"),
        (10.0, "10"),
        (100.0, "100"),
    ):
        x = _x(percent)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{low}" class="a"/>')
        parts.append(f'<text x="{x:.1f}" y="{low + 14}" class="n">{name}</text>')
    for percent, name in ((LOWEST_Y, f"≤{LOWEST_Y:g}"), (1.0, "1"), (10.0, "10"), (100.0, "100")):
        y = _y(percent)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="a"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 3:.1f}" text-anchor="end">{name}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 14}">% of clean rollouts aborted (logarithmic)</text>')
    upright = "% of a rollout served by the candidate (logarithmic)"
    parts.append(f'<text transform="translate(14 {low}) rotate(-90)">{upright}</text>')
    return "".join(parts)
