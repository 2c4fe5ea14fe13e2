"""PromQL that people write: filled in as data, answered by one series, held against bounds as a point.

Such an answer is one number without its counts: nobody can say how far chance moves it. It is worth what its
query is worth, and the sentence says that it has no interval.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from annotated_types import MinLen

from gates.contract import Measurement, Query, Question, Status
from gates.counts import STALE_SCRAPES
from gates.counts.answers import query_of, warned
from gates.metrics import Answer, Metrics, quoted

Meaning = Literal["share", "percent", "milliseconds", "seconds", "count", "number"]


class Scale(NamedTuple):
    """What the values of one meaning are, and can be."""

    unit: str
    low: float = 0.0
    high: float = math.inf


MEANINGS: Mapping[Meaning, Scale] = {
    "share": Scale("", high=1.0),
    "percent": Scale("percent", high=100.0),
    "milliseconds": Scale("ms"),
    "seconds": Scale("seconds"),
    "count": Scale(""),
    "number": Scale("", low=-math.inf),
}

_TOKEN = re.compile(
    r"""
    "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | `[^`]*` | \#[^\n]*   # strings and comments stay as they are
    | (?P<before>=~|!~|!=|=|\[)?\s*\$(?P<name>\w*)                   # what is filled in
    | (?P<open>["'`])                                                # a string that never ends
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserQuery:
    """One question of your own about the candidate."""

    name: Annotated[str, MinLen(1)]
    """Of the number in the evidence, in snake_case."""
    query: Annotated[str, MinLen(1)]
    """PromQL that gives one series. ``$namespace`` and ``$revision`` stand for quoted label values, as in
    ``{revision=$revision}``; ``$window`` for the time since the share was seen, as in ``[$window]``."""
    rests_on: Annotated[str, MinLen(1)]
    """A selector of raw series behind the query, with ``$revision``: by its newest sample the answer is stale
    or not, which the answer itself cannot tell."""
    meaning: Meaning
    """``share`` is 0 to 1, ``percent`` 0 to 100, all others but ``number`` are at least 0: a value out of
    range is implausible."""
    at_most: float | None = None
    """More is a failure."""
    at_least: float | None = None
    """Less is a failure."""

    def __post_init__(self) -> None:
        """Refuse what could never be asked or judged."""
        if not re.fullmatch("[a-z][a-z0-9_]*", self.name):
            raise ValueError(f"the name {self.name!r} is not in snake_case")
        low, high = self.bounds
        if self.at_most is None and self.at_least is None:
            raise ValueError(f"{self.name} has no bound: set at_most or at_least")
        if not low <= high:
            raise ValueError(f"{self.name} can never hold: at_least is above at_most")
        for text in (self.query, self.rests_on):
            if "revision" not in set(_placeholders(self.name, text)):
                raise ValueError(f"{self.name} does not name $revision, so it would not judge the candidate")

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the most that hold."""
        return (
            -math.inf if self.at_least is None else self.at_least,
            math.inf if self.at_most is None else self.at_most,
        )


def _placeholders(name: str, text: str) -> Iterator[str]:
    """Names of what is filled in.

    Raises:
        ValueError: something stands where a value could be more than a value.
    """
    if "{{" in text or "}}" in text:
        raise ValueError(f"{name} has {{{{ or }}}}, which templates fill in elsewhere; here they are not")
    for match in _TOKEN.finditer(text):
        if match["open"]:
            raise ValueError(f"{name} has a quote that is never closed")
        if (place := match["name"]) is None:
            continue
        wanted = {"namespace": ("=", "!="), "revision": ("=", "!="), "window": ("[",)}
        if place not in wanted:
            raise ValueError(f"{name} has ${place}; there are $namespace, $revision and $window")
        if match["before"] not in wanted[place]:
            raise ValueError(f"{name}: ${place} must follow {' or '.join(wanted[place])}")
        yield place


def fill(text: str, question: Question) -> str:
    """The text with the candidate's values: label values as quoted strings, which they cannot end."""
    seconds = max(1, int((question.now - question.since).total_seconds()))
    values = {
        "namespace": quoted(question.namespace),
        "revision": quoted(question.candidate.revision),
        "window": f"{seconds}s",
    }

    def filled(match: re.Match[str]) -> str:
        return f"{match['before']}{values[match['name']]}" if match["name"] else match[0]

    return _TOKEN.sub(filled, text)


class Reply(NamedTuple):
    """What one query says, and the number it rests on."""

    status: Status
    reason: str
    sentence: str
    queries: tuple[Query, ...]
    measurement: Measurement | None = None


def ask(metrics: Metrics, query: UserQuery, question: Question) -> Reply:
    """Whether the answer is there, fresh, one, plausible, and within its bounds; in this order.

    The candidate's revision must be known: an empty value would select every series that lacks the label.

    Raises:
        Exception: whatever the metrics source raises when it has no answer.
    """
    at, window = question.now.timestamp(), (question.now - question.since).total_seconds()
    raw = metrics.samples(fill(query.rests_on, question), at=at, window_seconds=window)
    answer = metrics.value(fill(query.query, question), at=at)
    queries = (query_of(raw, window), query_of(answer, 0.0))
    if told := _not_fresh(raw, question, window) or _no_number(answer, query):
        status, reason, sentence = told
        return Reply(status, reason, f"{query.name}: {sentence} ({answer.query})", queries)
    return _judged(query, answer.series[0].samples[-1][1], queries)


def _judged(query: UserQuery, value: float, queries: tuple[Query, ...]) -> Reply:
    low, high = query.bounds
    unit = MEANINGS[query.meaning].unit
    bounds = [f"at least {low:g}"] * math.isfinite(low) + [f"at most {high:g}"] * math.isfinite(high)
    shown = f"{query.name} is {value:g}{f' {unit}' if unit else ''}, {' and '.join(bounds)} is allowed"
    good = low <= value <= high
    return Reply(
        Status.PASS if good else Status.FAIL,
        "query_within" if good else "query_missed",
        f"{shown}; a point without an interval, as the query gives it",
        queries,
        Measurement(
            name=query.name,
            value=value,
            unit=unit,
            arm="candidate",
            threshold=high if math.isfinite(high) and (good or value > high) else low,
        ),
    )


Told = tuple[Status, str, str]


def _not_fresh(raw: Answer, question: Question, window: float) -> Told | None:
    newest = max((at for one in raw.series for at, _ in one.samples), default=None)
    patience = STALE_SCRAPES * question.scrape_seconds
    if raw.warnings:
        return Status.UNKNOWN, "partial_data", warned(raw)
    if newest is None:
        early = window < patience
        status, reason = (Status.WAIT, "too_early") if early else (Status.UNKNOWN, "no_data")
        return status, reason, f"nothing it rests on was sampled in {window:.1f} s"
    if (age := question.now.timestamp() - newest) > patience:
        return (
            Status.UNKNOWN,
            "stale_data",
            f"what it rests on is {age:.0f} s old, {patience:.0f} s are allowed",
        )
    return None


def _no_number(answer: Answer, query: UserQuery) -> Told | None:
    if answer.warnings:
        return Status.UNKNOWN, "partial_data", warned(answer)
    if not answer.series:
        return Status.UNKNOWN, "no_data", "the answer is empty"
    if len(answer.series) > 1:
        return Status.UNKNOWN, "several_series", f"{len(answer.series)} series answer, one was declared"
    value = answer.series[0].samples[-1][1]
    if not math.isfinite(value):
        return Status.UNKNOWN, "not_a_number", f"the answer is {value}"
    scale = MEANINGS[query.meaning]
    if not scale.low <= value <= scale.high:
        return Status.UNKNOWN, "implausible_data", f"{value:g} cannot be of the meaning {query.meaning}"
    return None
