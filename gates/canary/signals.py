"""Business signals: shares of decisions, scores and durations from metrics, and labels from a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isclose

from gates.canary import counting
from gates.canary.looks import Counted, Look
from gates.canary.settings import FALSE_POSITIVES, MISSED, Labels, Signal
from gates.contract import Question
from gates.counts import Followed, Gap, Window, follow
from gates.golden import Artifacts, GoldenRefused, Pin, open_table
from gates.metrics import Metrics, Pack, selector

ONE_SIDED_LABELS = 20
"""Labels of one arm beside none of the other: that is no chance, they are missing."""

Arms = tuple[Mapping[str, Counted], Mapping[str, Counted]]
"""Counts by name, of the candidate and of the stable arm."""


def add_signals(
    metrics: Metrics, question: Question, signals: Mapping[str, Signal], looks: Sequence[Look]
) -> tuple[list[Look], list[Gap]]:
    """The looks with the counts of every signal, and why some could not be counted.

    Nothing is asked at 100 %, where there is no other arm.
    """
    if not looks or question.stable is None or question.share_percent >= 100:
        return list(looks), []
    done, gaps = list(looks), list[Gap]()
    for name, signal in signals.items():
        followed = [
            _follow(metrics, counting.window(question, arm.revision, looks[0].began), signal)
            for arm in (question.candidate, question.stable)
        ]
        gaps += [replace(one, sentence=f"{name}: {one.sentence}") for one in followed if isinstance(one, Gap)]
        counted = [one for one in followed if isinstance(one, Followed)]
        if len(counted) == 2:
            done = [_with(look, *({name: _counted(one, signal, look)} for one in counted)) for look in done]
    return done, gaps


def _with(look: Look, candidate: Mapping[str, Counted], stable: Mapping[str, Counted]) -> Look:
    return replace(look, candidate={**look.candidate, **candidate}, stable={**look.stable, **stable})


def _follow(metrics: Metrics, window: Window, signal: Signal) -> Followed | Gap:
    labels = {signal.arm_label: window.revision, **signal.where}
    pack = Pack(requests=signal.counter, code_label=signal.label, labels=lambda *_: labels, needs="")
    return follow(metrics, window, pack, selector(signal.counter, labels), edge=signal.above)


def _counted(followed: Followed, signal: Signal, look: Look) -> Counted:
    new = [(value, count) for value, at, count in followed.steps if look.began < at <= look.ended]
    if signal.above is None:
        return Counted(sum(n for value, n in new if value in signal.bad), sum(n for _, n in new))
    timed = sum(n for value, n in new if float(value) == inf)
    within = sum(n for value, n in new if isclose(float(value), signal.above, rel_tol=1e-9))
    return Counted(max(0, timed - within), timed)


# -------------------------------------------------------------------------- labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Everything the table holds now of the requests of the split, by arm."""

    candidate: Mapping[str, Counted]
    stable: Mapping[str, Counted]


def add_labels(
    artifacts: Artifacts | None,
    question: Question,
    labels: Labels,
    earlier: Sequence[Look],
    looks: Sequence[Look],
) -> tuple[list[Look], list[Gap]]:
    """The looks, the last one with the labels that came since the look before; and why there are none.

    Labels of requests that were answered while both arms were live count, also when they arrive after that.
    """
    split = [look for look in (*earlier, *looks) if 0 < look.share_percent < 100]
    if not looks or not split or question.stable is None:
        return list(looks), []
    try:
        table = _read(artifacts, labels, question, began=split[0].began, ended=split[-1].ended)
    except GoldenRefused as refused:
        return list(looks), [Gap(reason="labels_unreadable", sentence=f"labels: {refused}")]
    except Exception as error:  # an outage of the labels does not excuse errors: it is one finding of many
        told = f"labels: {labels.place} cannot be read: {type(error).__name__}: {error}"
        return list(looks), [Gap(reason="labels_unreadable", sentence=told)]
    new = [_since(now, earlier, arm) for now, arm in ((table.candidate, 0), (table.stable, 1))]
    if any(counted.bad < 0 or counted.of < counted.bad for arm in new for counted in arm.values()):
        shrank = f"labels: {labels.place} holds fewer labels than at the look before"
        return list(looks), [Gap(reason="labels_unreadable", sentence=shrank)]
    gaps = list(_missing(table, labels))
    return [*looks[:-1], _with(looks[-1], *new)], gaps


def _read(
    artifacts: Artifacts | None, labels: Labels, question: Question, *, began: float, ended: float
) -> Labelled:
    versions = [question.candidate.version, question.stable.version if question.stable else ""]
    counts = [
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]  # by arm: flagged and all that were right, missed and all that were not
    pin = Pin(place=labels.place, sha256="", what="labels")
    table = open_table(
        pin, at="", maximum_rows=labels.maximum_rows, repository=_NoRepository(), artifacts=artifacts
    )
    with table as opened:
        batches = opened.batches(
            numbers=(labels.at, labels.flagged), words=(labels.version,), label=labels.label
        )
        for batch in batches:
            times, flagged = batch.numbers[:, 0], batch.numbers[:, 1] >= 0.5
            for arm, version in enumerate(versions):
                here = (times > began) & (times <= ended) & [word == version for word in batch.words[0]]
                right, wrong = here & ~batch.labels, here & batch.labels
                for place, which in enumerate((right & flagged, right, wrong & ~flagged, wrong)):
                    counts[arm][place] += int(which.sum())
    arms = [
        {FALSE_POSITIVES: Counted(false, right), MISSED: Counted(missed, wrong)}
        for false, right, missed, wrong in counts
    ]
    return Labelled(candidate=arms[0], stable=arms[1])


def _since(now: Mapping[str, Counted], earlier: Iterable[Look], arm: int) -> dict[str, Counted]:
    """What the table holds beyond the looks before."""
    before = {name: [0, 0] for name in now}
    for look in earlier:
        for name, counted in (look.candidate, look.stable)[arm].items():
            if name in before:
                before[name][0] += counted.bad
                before[name][1] += counted.of
    return {name: Counted(one.bad - before[name][0], one.of - before[name][1]) for name, one in now.items()}


def _missing(table: Labelled, labels: Labels) -> Iterable[Gap]:
    known = {
        name: sum(counted.of for counted in arm.values())
        for name, arm in (("candidate", table.candidate), ("stable", table.stable))
    }
    for arm, other in (("candidate", "stable"), ("stable", "candidate")):
        if known[arm] == 0 and known[other] >= ONE_SIDED_LABELS:
            sentence = f"{known[other]} requests of the {other} are labelled and none of the {arm}"
            yield Gap(reason="labels_missing", sentence=sentence)
        elif known[arm] < labels.minimum:
            sentence = f"{known[arm]} of {labels.minimum} labelled {arm} requests that are needed"
            yield Gap(reason="labels_pending", sentence=sentence, waiting=True)


class _NoRepository:
    """Labels arrive after the commit under judgement: none of its files can hold them."""

    def read_bytes(self, path: str, at: str) -> bytes | None:
        """Nothing."""
        return None
