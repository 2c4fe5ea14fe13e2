"""The numbers a gate reads: what it asks of a metrics server, and what it gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series of an answer: its labels and its raw samples, oldest first."""

    labels: Mapping[str, str]
    samples: tuple[tuple[float, float], ...]
    """(seconds since the epoch, value)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a metrics server answered, with the question."""

    query: str
    at: float
    server: str
    series: tuple[Series, ...]
    warnings: tuple[str, ...]
    """Anything the server added: a partial answer is not a whole one."""


class Metrics(Protocol):
    """The two questions gates ask of a metrics server.

    Both raise an error of the caller's choice when there is no usable answer; gates let it pass, and
    whoever runs the gate records UNKNOWN.
    """

    def samples(self, selector: str, *, at: float, window_seconds: float) -> Answer:
        """Raw samples of ``selector[window]`` ending at ``at``: what exact counts are made of."""
        ...

    def value(self, query: str, *, at: float) -> Answer:
        """An instant query evaluated at ``at``; each series has one sample."""
        ...
