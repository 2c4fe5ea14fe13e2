"""The very judge over what was counted before: a journal's verdicts, or a stretch of recorded metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count

from gates.canary import counting
from gates.canary.gate import Canary, Spoken, speak
from gates.canary.looks import Look, from_data
from gates.canary.settings import settings_from_data
from gates.contract import Question, Verdict
from gates.counts import Gap, Trace, trace
from gates.metrics import Answer, Metrics, Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A verdict as it was written down, and as the same looks are judged now."""

    recorded: Verdict
    now: Spoken
    share_percent: int

    @property
    def same(self) -> bool:
        """Bit for bit: status, reason, sentence and every number of the evidence."""
        then = self.recorded
        said = then.sentence == self.now.sentence or then.sentence.endswith(f": {self.now.sentence}")
        return (
            said
            and (then.status, then.reason) == (self.now.status, self.now.reason)
            and then.evidence.measurements == self.now.measurements
        )


def again(verdicts: Iterable[Verdict]) -> Iterator[Again]:
    """Judge once more what the verdicts of one promotion's canary gate rest on, oldest first.

    Nothing but the verdicts is needed. Those that judged no counts, as at a share of 0, are left out.

    Raises:
        ValueError: a verdict's facts are not those that this gate writes.
    """
    looks: list[Look] = []
    for verdict in verdicts:
        facts = verdict.evidence.facts
        judged_by = facts.get("judged_by")
        if judged_by is None:
            continue
        try:
            looks += [from_data(look) for look in facts["looks"]]  # type: ignore[attr-defined]
            gaps = [Gap(**gap) for gap in facts["gaps"]]  # type: ignore[attr-defined]
            settings = settings_from_data(judged_by["settings"])  # type: ignore[index]
            budgets, share = dict(judged_by["budgets"]), int(judged_by["share_percent"])  # type: ignore[index]
        except (KeyError, TypeError) as error:
            raise ValueError(f"no verdict of this gate: {type(error).__name__}: {error}") from None
        spoken = speak(looks, settings, budgets=budgets, share_percent=share, gaps=gaps)
        yield Again(recorded=verdict, now=spoken, share_percent=share)


def over(gate: Canary, question: Question, *, until: datetime, every_seconds: float) -> Iterator[Verdict]:
    """Put one question again and again, as time goes by, to a gate that reads recorded metrics.

    Args:
        question: as of its ``since``; ``now`` is moved on from there.
        until: the last instant at which is looked.
    """
    earlier: tuple[object, ...] = question.earlier_looks
    for n in count(1):
        now = question.since + timedelta(seconds=n * every_seconds)
        if now > until:
            return
        verdict = gate.judge(replace(question, now=now, earlier_looks=earlier))  # type: ignore[arg-type]
        earlier = (*earlier, *verdict.evidence.facts.get("looks", ()))  # type: ignore[misc]
        yield verdict


class Halves:
    """One arm's processes dealt out to two: what they count differently is noise alone."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._dealt: dict[str, int] = {}

    def of(self, half: int) -> Metrics:
        """The metrics of one of them, 0 or 1."""
        return _Half(self._metrics, self._dealt, half)


@dataclass(frozen=True, slots=True)
class _Half:
    metrics: Metrics
    dealt: dict[str, int]
    half: int

    def samples(self, selector: str, *, at: float, window_seconds: float) -> Answer:
        """Only of its processes."""
        answer = self.metrics.samples(selector, at=at, window_seconds=window_seconds)
        for process in sorted({_process(one) for one in answer.series}):
            self.dealt.setdefault(process, len(self.dealt) % 2)
        kept = tuple(one for one in answer.series if self.dealt[_process(one)] == self.half)
        return replace(answer, series=kept)

    def value(self, query: str, *, at: float) -> Answer:
        """As it is: asked for what is wrong with both alike."""
        return self.metrics.value(query, at=at)


def _process(series: Series) -> str:
    return series.labels.get("instance") or series.labels.get("pod", "")


def split(metrics: Metrics, question: Question, *, rollout_minutes: float = 60.0) -> list[list[Look]] | Gap:
    """Looks at the two halves of the stable arm's processes between ``since`` and ``now``, cut into rollouts.

    Returns a Gap when there is only one process, or none can be counted.
    """
    assert question.stable is not None  # noqa: S101 - whoever splits names the arm
    halves, revision = Halves(metrics), question.stable.revision
    window = counting.window(question, revision, question.since.timestamp())
    threshold_ms = question.objectives.latency_threshold_ms
    traces: list[Trace] = []
    for half in (0, 1):
        found = trace(halves.of(half), window, threshold_ms=threshold_ms)
        if isinstance(found, Gap):
            return found
        traces.append(found)
    stretches = counting.pieces(question, [])
    edges_ms = counting.choose_edges(traces[1], stretches, threshold_ms)
    looks = counting.looks(
        stretches, traces[0], traces[1], share_percent=50, threshold_ms=threshold_ms, edges_ms=edges_ms
    )
    return _cut(looks, rollout_minutes)


def _cut(looks: Sequence[Look], minutes: float) -> list[list[Look]]:
    per_rollout = max(1, round(minutes / looks[0].minutes)) if looks else 1
    return [list(looks[first : first + per_rollout]) for first in range(0, len(looks), per_rollout)]
