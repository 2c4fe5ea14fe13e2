"""How fast a budget is spent: the rules that the gate and the alerts share.

A rule fires while bad requests come at a multiple of what the budget allows, over a long window so that it
matters and over a short one so that it still goes on (The Site Reliability Workbook, chapter 5: of a budget
for 30 days, 14.4 times over an hour spends 2 %).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gates.contract import Measurement, Status
from gates.metrics import Answer, Metrics
from gates.slo.shares import Bad, Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnRule:
    """One pair of windows."""

    rate: float
    """Times the budget's share of bad requests."""
    long_seconds: int
    short_seconds: int
    severity: Literal["page", "ticket"]
    """``page`` rolls a candidate back; ``ticket`` is for alerts alone."""

    @property
    def name(self) -> str:
        """Its long window, such as ``1h``."""
        return _written(self.long_seconds)

    @property
    def short_name(self) -> str:
        """Its short window, such as ``5m``."""
        return _written(self.short_seconds)


def _written(seconds: int) -> str:
    """A window as PromQL writes it, in the largest unit of which there are several."""
    minutes, hours = seconds // 60, seconds // 3600
    return f"{minutes}m" if not hours else f"{hours}h" if hours < 72 else f"{hours // 24}d"


BURN_RULES = (
    BurnRule(rate=14.4, long_seconds=3600, short_seconds=300, severity="page"),
    BurnRule(rate=6.0, long_seconds=21_600, short_seconds=1800, severity="page"),
    BurnRule(rate=1.0, long_seconds=259_200, short_seconds=21_600, severity="ticket"),
)
"""Fastest first."""


def rules_for(age_seconds: float) -> tuple[BurnRule, ...]:
    """The rules a gate may use when a share is so old.

    What is older is not the candidate's. While a long window would reach before the share, the objective over
    all requests since is the stricter rule, so nothing is missed.
    """
    return tuple(rule for rule in BURN_RULES if rule.severity == "page" and age_seconds > rule.long_seconds)


class Remembered:
    """Answers of one instant, asked for once: a window within one already fetched needs no query.

    Satisfies :class:`gates.metrics.Metrics`; whoever counts leaves out samples before its own window.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._samples: dict[tuple[str, float], tuple[float, Answer]] = {}
        self._values: dict[tuple[str, float], Answer] = {}

    def samples(self, selector: str, *, at: float, window_seconds: float) -> Answer:
        """Raw samples of at least this window."""
        known = self._samples.get((selector, at))
        if known is None or known[0] < window_seconds:
            answer = self._metrics.samples(selector, at=at, window_seconds=window_seconds)
            known = self._samples[selector, at] = (window_seconds, answer)
        return known[1]

    def value(self, query: str, *, at: float) -> Answer:
        """As it was answered the first time."""
        if (query, at) not in self._values:
            self._values[query, at] = self._metrics.value(query, at=at)
        return self._values[query, at]


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """Bad requests of one kind at one arm, over both windows of a rule."""

    rule: BurnRule
    long: Bad
    short: Bad

    @property
    def burning(self) -> bool:
        """Whether the rule fires, and the long window shows more than chance."""
        fast = self.rule.rate * self.long.budget
        return self.long.share > fast and self.short.share > fast and self.long.over

    def measurement(self) -> Measurement:
        """The long window's rate as evidence."""
        return Measurement(
            name=f"{self.long.kind}_burn_rate_{self.rule.name}",
            value=self.long.share / self.long.budget if self.long.budget else None,
            arm=self.long.arm,
            samples=self.long.total,
            threshold=self.rule.rate,
        )

    def __str__(self) -> str:
        minutes = self.rule.short_seconds // 60
        return (
            f"more than {self.rule.rate:g} times the budget is spent over {self.rule.name} and "
            f"{minutes} min: {self.long}; in the last {minutes} min {self.short.bad} of {self.short.total}"
        )


def judge_burn(candidate: Burn, stable: Burn | None) -> Finding | None:
    """None while the budget is not spent too fast; ``stable`` is None where there is no other arm."""
    if not candidate.burning:
        return None
    if stable and stable.burning:
        both = "both arms spend it, so it is not the candidate's"
        return Finding(Status.UNKNOWN, "both_arms_bad", f"{both}: {candidate}")
    return Finding(Status.FAIL, "burning", str(candidate))
