"""How values are written for people: one line, nothing that acts on a terminal, units always shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from gates.contract import Measurement, Scalar
from pipelines.render.engine import NOTHING, fold

MAX_CHARACTERS = 2000
"""Longest value shown; the rest is cut and marked with an ellipsis."""

_ANSI = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?")


def clean(value: object, at_most: int = MAX_CHARACTERS) -> str:
    """One line of visible text: terminal sequences and control characters dropped, white space folded."""
    return fold(_ANSI.sub("", str(value)), at_most)


def address(value: str) -> str:
    """The value when it is an http(s) address without white space; else "": nothing else becomes a link."""
    return value if re.fullmatch(r"https?://[^\s\x00-\x20\x7f-\x9f\"'<>\\]+", value) else ""


def short(sha: str) -> str:
    """The first 12 characters of a commit or digest, as people compare them."""
    return clean(sha)[:12]


def stamp(at: datetime) -> str:
    """An instant to the second, in UTC and saying so."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock(at: datetime) -> str:
    """Time of day to the second, in UTC and saying so."""
    return f"{at.astimezone(UTC):%H:%M:%S} UTC"


def span(seconds: float) -> str:
    """A duration in the two units that matter: ``45 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    for size, unit, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {small}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def number(value: Scalar, unit: str = "") -> str:
    """A measured value with its unit: percent with two decimals, other fractions with four digits."""
    sign = {"percent": " %", "": ""}.get(unit, f" {clean(unit)}")
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}{sign}"
    if isinstance(value, float):
        return f"{value:.2f}{sign}" if unit == "percent" else f"{value:.4g}{sign}"
    return clean(value)


def count(n: int, what: str) -> str:
    """``1 look``, ``1,200 looks``."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One measurement, each part as it is written; "" where there is none."""

    name: str
    arm: str
    value: str
    interval: str
    threshold: str
    samples: str

    @property
    def long(self) -> bool:
        """Its value needs a line break somewhere: a digest, a list of words."""
        return max(len(self.value), len(self.interval) - 8) > 28

    @property
    def line(self) -> str:
        """All of it on one line, such as ``slow share, candidate: 0.40 % (…), against 1.00 %, n 900``."""
        arm = f", {self.arm}" if self.arm else ""
        interval = f" ({self.interval})" if self.interval else ""
        against = f", against {self.threshold}" if self.threshold else ""
        samples = f", n {self.samples}" if self.samples else ""
        return f"{self.name}{arm}: {self.value}{interval}{against}{samples}"


def measured(one: Measurement) -> Measured:
    """A measurement as it is written."""
    low, high = number(one.low, one.unit), number(one.high, one.unit)
    return Measured(
        name=clean(one.name.replace("_", " ")),
        arm=one.arm,
        value=number(one.value, one.unit),
        interval="" if one.low is None and one.high is None else f"{low} to {high}",
        threshold="" if one.threshold is None else number(one.threshold, one.unit),
        samples="" if one.samples is None else f"{one.samples:,}",
    )


def who(by: str) -> str:
    """Who wrote a journal line: a person's name, or lockgate with the host and process it ran in."""
    kind, _, rest = by.partition(":")
    if kind == "person":
        return clean(rest)
    if kind == "engine":
        host, _, process = rest.rpartition(":")
        return f"lockgate ({clean(host)}:{clean(process)})"
    return clean(by)
