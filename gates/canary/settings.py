"""What the canary gate looks for, and what it can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from annotated_types import Ge, Gt, Interval, Lt


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """One way to be worse: a share of requests that is counted at both arms."""

    name: str
    words: str
    """What is counted, in the plural: ``errors``."""
    lowest: float
    highest: float
    """Multiples of the tolerated ratio that are looked for first; larger ones show themselves anyway."""
    weight: float
    """In the average of the evidence: more weight shows this harm sooner and the others later."""
    spread: float
    """How far the arms' ratio wanders by itself where nobody measured it: standard deviation of its
    logarithm, on the side of caution."""
    budget: str
    """Harms of one budget are excused together when both arms break it."""
    delayed: bool = False
    """It is known late, so that it is compared also after the split has ended."""


ERRORS: Final = Harm(
    name="errors", words="errors", lowest=1.5, highest=6.0, weight=0.42, spread=0.2, budget="errors"
)
SLOW: Final = Harm(
    name="slow", words="slow answers", lowest=1.5, highest=9.0, weight=0.16, spread=0.45, budget="slow"
)
TAIL: Final = Harm(
    name="tail", words="answers slower than the stable's slowest 1 %", lowest=1.2, highest=6.0,
    weight=0.08, spread=0.35, budget="slow",
)  # fmt: skip
BODY: Final = Harm(
    name="body", words="answers slower than the stable's slowest 10 %", lowest=1.1, highest=2.7,
    weight=0.08, spread=0.25, budget="slow",
)  # fmt: skip
BUSINESS_WEIGHT = 0.26
"""Shared by all business signals."""


def business(name: str, words: str, weight: float, *, delayed: bool = False) -> Harm:
    """A signal of what the model decides; small changes of it matter."""
    return Harm(
        name=name,
        words=words,
        lowest=1.2,
        highest=1.8,
        weight=weight,
        spread=0.1,
        budget=name,
        delayed=delayed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CanarySettings:
    """How both arms are compared."""

    alpha: Annotated[float, Gt(0), Lt(1)] = 0.05
    """Chance that a candidate no worse than tolerated ever fails, over all looks, metrics and shares of a
    promotion together."""
    tolerance: Annotated[float, Ge(1)] = 1.05
    """Ratio of the candidate's share of bad requests to the stable's up to which nothing is wrong."""
    tolerances: Mapping[str, Annotated[float, Ge(1)]] = field(default_factory=dict)
    """Metric -> a tolerance of its own: ``errors``, ``slow``, ``tail``, ``body`` or a signal's name."""
    noise: Mapping[str, Annotated[float, Ge(0)]] = field(default_factory=dict)
    """Metric -> how far the ratio of two equal arms wanders: standard deviation of its logarithm, as
    ``lockgate judge calibrate`` prints it. What is left out has a cautious value."""
    memory_minutes: Annotated[float, Gt(0)] = 10.0
    """In which that wandering forgets where it was."""
    doubt: Annotated[float, Ge(1)] = 2.0
    """With evidence of harm from here up to 1/alpha the share is held: it goes up or goes back."""
    rule_out: Annotated[float, Ge(0)] = 0.0
    """Nothing passes before errors and slow answers so many times as frequent as the stable's are ruled out;
    0 accepts what is not ruled out, and the evidence says how much that is."""
    minimum_requests: Annotated[int, Ge(1)] = 100
    """Of each arm at the present share, before anything can pass."""
    share_alpha: Annotated[float, Interval(ge=0, lt=1)] = 0.001
    """Chance that a split as intended is taken for another one at one share; 0 does not look at the split."""
    alone_ratio: Annotated[float, Ge(1)] = 3.0
    """At 100 % there is no other arm: the candidate is held against so many times the stable's share of bad
    requests during the split, or against its budget if that is less."""

    def tolerated(self, harm: Harm) -> float:
        """The ratio up to which nothing is wrong."""
        return self.tolerances.get(harm.name, self.tolerance)

    def spread(self, harm: Harm) -> float:
        """How far the ratio wanders by itself."""
        return self.noise.get(harm.name, harm.spread)


def settings_from_data(data: Mapping[str, Any]) -> CanarySettings:
    """The settings that a verdict's facts hold; TypeError when a key is unknown."""
    return CanarySettings(**data)
