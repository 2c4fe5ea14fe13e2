"""By how much counters grew: differences of raw samples, resets included."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from gates.counts.answers import without
from gates.metrics import Series


def growth(series: tuple[Series, ...], label: str) -> dict[str, int]:
    """By how much counters grew, added up by one label.

    A series that appears after its process was scraped without it began at 0: the first error ever must not
    be lost. One that is there when its process is first seen starts from that sample, since it may have
    counted long before anybody looked. One that ends keeps its last.
    """
    grown: dict[str, int] = {}
    for key, _, new in steps(series, label):
        grown[key] = grown.get(key, 0) + int(new)
    return grown


def moved_at(series: tuple[Series, ...], label: str) -> float:
    """The sample at which anything was last counted; 0 where nothing was."""
    return max((at for _, at, new in steps(series, label) if new), default=0.0)


def steps(series: tuple[Series, ...], label: str) -> Iterator[tuple[str, float, float]]:
    """Sample by sample: (value of the label, time, what was counted since the sample before)."""
    began: dict[object, float] = {}
    for one in series:
        process = _process(one, label)
        began[process] = min(began.get(process, math.inf), one.samples[0][0])
    resets = reset_times(series, label)
    for one in series:
        before = 0.0 if one.samples[0][0] > began[_process(one, label)] else one.samples[0][1]
        for at, value in one.samples:
            again = (without(one, {label}), at) in resets
            yield one.labels.get(label, ""), at, value if again else value - before
            before = value


def _process(series: Series, label: str) -> object:
    """The process a series was scraped from; as far as the labels tell."""
    if "instance" in series.labels:
        return series.labels.get("job", ""), series.labels["instance"]
    return without(series, {label})


def reset_times(series: tuple[Series, ...], label: str) -> set[tuple[object, float]]:
    """When counters began again at 0.

    Series that differ in one label alone (codes of an arm, edges of a histogram) begin again together, also
    those that have already counted past their old value: one drop speaks for all.
    """
    return {
        (without(one, {label}), at)
        for one in series
        for (_, before), (at, value) in pairwise(one.samples)
        if value < before
    }
