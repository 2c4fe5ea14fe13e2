"""Answers of a metrics server: fetched, and refused where nothing sound can be counted from them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace

from gates.contract import Query
from gates.counts.values import TOO_EARLY, Gap, Window
from gates.metrics import PACKS, REPLICA_LABELS, Answer, Metrics, Pack, Series


def pack_of(window: Window) -> Pack | Gap:
    """The pack that the window names, if its arm is named too."""
    if window.pack not in PACKS:
        known = ", ".join(PACKS)
        sentence = f"there is no metrics pack {window.pack!r}; there are {known}"
        return Gap(reason="unknown_pack", sentence=sentence)
    return unnamed(window) or PACKS[window.pack]


def unnamed(window: Window) -> Gap | None:
    """Why the arm has no name yet; None when it has one."""
    if window.revision:  # an empty matcher would select every series that lacks the label
        return None
    sentence = f"the revision of one arm in {window.namespace} is not known yet"
    return Gap(reason="revision_unknown", sentence=sentence)


def known_wrong(metrics: Metrics, pack: Pack, window: Window) -> Gap | None:
    """What shows that this telemetry counts wrongly; None when nothing does."""
    for telltale, sentence in pack.lying(window.namespace, window.revision):
        answer = metrics.value(f"count({telltale})", at=window.now)
        queries = (query_of(answer, 0.0),)
        if answer.warnings:
            return gap_of("partial_data", warned(answer), answer, window, queries)
        if answer.series:
            return gap_of("known_wrong", sentence, answer, window, queries)
    return None


def explained(metrics: Metrics, pack: Pack, window: Window, gap: Gap) -> Gap:
    """Where nothing is there, what would have to be."""
    if gap.reason != "no_data":
        return gap
    if query := pack.unlabelled(window.namespace):
        answer = metrics.value(query, at=window.now)
        gap = replace(gap, queries=(*gap.queries, query_of(answer, 0.0)))
        if answer.series:
            sentence = f"no series of {window.namespace} has a label {pack.relabelled}"
            gap = replace(gap, reason="revision_unlabelled", sentence=f"{window.revision}: {sentence}")
    return replace(gap, sentence=f"{gap.sentence}; {window.pack} needs: {pack.needs}")


def warned(answer: Answer) -> str:
    """What the server added, as a sentence."""
    return f"the server warned: {'; '.join(answer.warnings)}"


def fetch(metrics: Metrics, query: str, window: Window) -> Answer:
    """The raw samples of the window, and no others."""
    answer = metrics.samples(query, at=window.now, window_seconds=window.seconds)
    inside = (
        replace(one, samples=tuple(s for s in one.samples if window.since <= s[0] <= window.now))
        for one in answer.series
    )
    return replace(answer, series=tuple(one for one in inside if one.samples))


def query_of(answer: Answer, window_seconds: float) -> Query:
    """The question, to be kept with what was counted."""
    return Query(
        text=answer.query,
        at=answer.at,
        window_seconds=window_seconds,
        server=answer.server,
        series=len(answer.series),
        samples=sum(len(series.samples) for series in answer.series),
        warnings=answer.warnings,
    )


def gap_of(
    reason: str, sentence: str, answer: Answer, window: Window, queries: tuple[Query, ...] = ()
) -> Gap:
    """A gap that names the arm and the query."""
    whole = f"{window.revision}: {sentence} ({answer.query})"
    waiting = reason == TOO_EARLY
    return Gap(reason=reason, sentence=whole, waiting=waiting, queries=queries)


def unusable(answer: Answer, window: Window, pack: Pack, label: str) -> Gap | None:
    """Why an answer cannot be counted from; None when it can."""
    values = [value for series in answer.series for _, value in series.samples]
    newest = max((at for series in answer.series for at, _ in series.samples), default=window.now)
    if answer.warnings:
        return gap_of("partial_data", warned(answer), answer, window)
    if not values:
        early = window.seconds < window.patience_seconds
        reason = TOO_EARLY if early else "no_data"
        return gap_of(reason, f"nothing was sampled in {window.seconds:.1f} s", answer, window)
    if not all(map(math.isfinite, values)):
        return gap_of("not_a_number", "a counter holds NaN or infinity", answer, window)
    if any(value < 0 or value != math.floor(value) for value in values):
        return gap_of("implausible_data", "a counter holds a negative or broken number", answer, window)
    if window.now - newest > window.patience_seconds:
        age = f"the newest sample is {window.now - newest:.0f} s old"
        return gap_of("stale_data", f"{age}, of {window.patience_seconds:.0f} s allowed", answer, window)
    if twice := _twice(answer.series, pack, label):
        return gap_of("several_series", f"requests are counted twice: {twice}", answer, window)
    return None


def _twice(series: tuple[Series, ...], pack: Pack, label: str) -> str:
    """What distinguishes two series that count the same requests; "" when none do."""
    values = sorted({one.labels.get(pack.one_value, "") for one in series}) if pack.one_value else []
    if len(values) > 1:
        return f"{pack.one_value} is one of {', '.join(values)}"
    seen: dict[object, Mapping[str, str]] = {}
    for one in series:
        same = without(one, REPLICA_LABELS)
        if pack.one_per_target:
            same = tuple((name, one.labels.get(name, "")) for name in ("job", "instance", label))
        other = seen.setdefault(same, one.labels)
        if other is not one.labels:
            names = sorted({name for name, _ in set(other.items()) ^ set(one.labels.items())})
            return f"two series differ in {', '.join(names)} alone"
    return ""


def without(series: Series, names: Collection[str]) -> tuple[tuple[str, str], ...]:
    """The labels of a series but for some."""
    return tuple(sorted((name, value) for name, value in series.labels.items() if name not in names))
