"""What was counted, look by look: all the judge ever sees, and what a journal keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple


class Counted(NamedTuple):
    """Bad requests out of all that were counted."""

    bad: int
    of: int

    @property
    def share(self) -> float:
        """0 of nothing is 0."""
        return self.bad / self.of if self.of else 0.0


_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What both arms did between two instants at one share."""

    began: float
    ended: float
    """Seconds since the epoch."""
    share_percent: int
    candidate: Mapping[str, Counted] = field(default_factory=lambda: _NONE)
    stable: Mapping[str, Counted] = field(default_factory=lambda: _NONE)
    """Metric -> counts; a metric that could not be counted is absent. Nothing at 100 %."""
    edges_ms: Mapping[str, float] = field(default_factory=lambda: _NONE)
    """``tail`` and ``body`` -> the latency above which their requests were counted."""

    @property
    def minutes(self) -> float:
        """How long it was."""
        return (self.ended - self.began) / 60.0

    def to_data(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "began": self.began,
            "ended": self.ended,
            "share_percent": self.share_percent,
            "candidate": {name: list(counted) for name, counted in self.candidate.items()},
            "stable": {name: list(counted) for name, counted in self.stable.items()},
            "edges_ms": dict(self.edges_ms),
        }


def from_data(data: Mapping[str, Any]) -> Look:
    """The look that :meth:`Look.to_data` wrote.

    Raises:
        ValueError: it is none, naming what is wrong.
    """
    try:
        look = Look(
            began=float(data["began"]),
            ended=float(data["ended"]),
            share_percent=int(data["share_percent"]),
            candidate=_counts(data["candidate"]),
            stable=_counts(data["stable"]),
            edges_ms={str(name): float(edge) for name, edge in data["edges_ms"].items()},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a look: {type(error).__name__}: {error}") from None
    if not (look.began < look.ended < float("inf") and 0 <= look.share_percent <= 100):
        raise ValueError("not a look: it ends before it began, or its share is none")
    return look


def _counts(data: Mapping[str, Any]) -> dict[str, Counted]:
    counts = {str(name): Counted(int(bad), int(of)) for name, (bad, of) in data.items()}
    if wrong := [name for name, one in counts.items() if not 0 <= one.bad <= one.of]:
        raise ValueError(f"not a look: {wrong[0]} are no counts")
    return counts
