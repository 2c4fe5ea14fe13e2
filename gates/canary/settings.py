"""What the canary gate looks for, and what it can be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Literal

from annotated_types import Ge, Gt, Interval, Lt, MinLen

_NAME = re.compile("[a-zA-Z_:][a-zA-Z0-9_:]*")
_ADDRESS = re.compile("(s3|gs|file)://.+", re.DOTALL)


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
    fewer: bool = False
    """It is worse to have fewer: the arms are compared the other way round."""
    counts: str = ""
    """Name of the counts in a look; "" when it is the harm's own."""

    @property
    def reads(self) -> str:
        """Under which name its counts stand in a look."""
        return self.counts or self.name


ERRORS: Final = Harm(
    name="errors", words="errors", lowest=1.5, highest=6.0, weight=0.42, spread=0.17, budget="errors"
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
SYSTEM: Final = (ERRORS, SLOW, TAIL, BODY)
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
class Signal:
    """A business signal that both arms count in the metrics of the environment."""

    counter: Annotated[str, MinLen(1)]
    """Name of the counter, or of the buckets of a histogram: ``decisions_total``."""
    label: Annotated[str, MinLen(1)] = "le"
    """Its label that tells what was decided; ``le`` for a histogram."""
    bad: tuple[str, ...] = ()
    """Values of the label that count: ``[flagged, declined]``."""
    above: float | None = None
    """Histogram: what lies above this edge counts, in the unit of its edges."""
    arm_label: Annotated[str, MinLen(1)] = "revision"
    """Its label that has the arm's revision."""
    where: Mapping[str, str] = field(default_factory=dict)
    """Further labels that its series must have."""
    worse: Literal["more", "fewer", "either"] = "more"
    """What is a harm: that the candidate's share is larger, smaller, or either."""

    def __post_init__(self) -> None:
        """Refuse what counts nothing, or two things at once.

        Raises:
            ValueError: saying which.
        """
        names = (self.counter, self.label, self.arm_label, *self.where)
        if wrong := [name for name in names if not _NAME.fullmatch(name)]:
            raise ValueError(f"{wrong[0]!r} is no name of a metric or label")
        if (self.label == "le") != (self.above is not None) or bool(self.bad) == (self.above is not None):
            raise ValueError("say either label and bad, or above for a histogram, whose label is le")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """A table of requests whose truth became known: one row each, added as it does."""

    place: Annotated[str, MinLen(1)]
    """Address of a CSV or Parquet file that is written anew as labels arrive."""
    version: str = "version"
    """Column with the version that answered: ``v38``."""
    at: str = "at"
    """Column with the time of the request, seconds since the epoch."""
    flagged: str = "flagged"
    """Column that is 1 where the model flagged or declined the request, else 0."""
    label: str = "label"
    """Column that is 1 where that would have been right, else 0."""
    minimum: Annotated[int, Ge(0)] = 0
    """Labels that each arm needs before anything passes."""
    maximum_rows: Annotated[int, Interval(ge=1, le=10_000_000)] = 1_000_000
    """A larger table is not read."""

    def __post_init__(self) -> None:
        """Refuse a place that no labels can arrive at.

        Raises:
            ValueError: saying what it must be.
        """
        if not _ADDRESS.fullmatch(self.place):
            raise ValueError("labels.place must be an s3://, gs:// or file:// address: it is written anew")


FALSE_POSITIVES, MISSED = "false_positives", "missed"
"""Flagged among those that were right, and not flagged among those that were not."""


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

    signals: Mapping[str, Signal] = field(default_factory=dict)
    """Name -> a share of decisions, scores or durations that both arms count; in the same test."""
    labels: Labels | None = None
    """Labels that arrive later: false positives and missed ones, compared also after the split has ended."""

    def __post_init__(self) -> None:
        """Refuse a signal under a name that is taken.

        Raises:
            ValueError: naming it.
        """
        taken = {harm.name for harm in (*SYSTEM, *_of_labels(1.0))}
        if wrong := sorted(taken & set(self.signals)):
            raise ValueError(f"signals cannot be called {', '.join(wrong)}: that is counted already")

    @property
    def harms(self) -> tuple[Harm, ...]:
        """Everything that is looked for."""
        several = len(self.signals) + 2 * (self.labels is not None)
        each = BUSINESS_WEIGHT / several if several else 0.0
        signals = [harm for name, signal in self.signals.items() for harm in _of_signal(name, signal, each)]
        return (*SYSTEM, *signals, *(_of_labels(each) if self.labels else ()))

    def tolerated(self, harm: Harm) -> float:
        """The ratio up to which nothing is wrong."""
        return self.tolerances.get(harm.name, self.tolerance)

    def spread(self, harm: Harm) -> float:
        """How far the ratio wanders by itself."""
        return self.noise.get(harm.reads, harm.spread)


def _of_signal(name: str, signal: Signal, weight: float) -> list[Harm]:
    words = f"{name} ({' or '.join(signal.bad) or f'above {signal.above:g}'})"
    more, fewer = signal.worse != "fewer", signal.worse != "more"
    half = weight / 2 if more and fewer else weight
    found = [business(name, words, half)] if more else []
    if fewer:
        found.append(replace(business(f"{name}_fewer", words, half), fewer=True, counts=name))
    return found


def _of_labels(weight: float) -> tuple[Harm, Harm]:
    return (
        business(FALSE_POSITIVES, "false positives", weight, delayed=True),
        business(MISSED, "missed positives", weight, delayed=True),
    )


def settings_from_data(data: Mapping[str, Any]) -> CanarySettings:
    """The settings that a verdict's facts hold; TypeError when a key is unknown."""
    signals = {name: Signal(**{**one, "bad": tuple(one["bad"])}) for name, one in data["signals"].items()}
    labels = Labels(**data["labels"]) if data["labels"] else None
    return CanarySettings(**{**data, "signals": signals, "labels": labels})
