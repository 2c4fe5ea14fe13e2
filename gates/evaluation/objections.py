"""What stands against a candidate, or against being able to tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gates.contract import Evidence, Question, Status, Verdict


@dataclass(frozen=True, slots=True)
class Objection:
    """One thing that stands against the candidate, or against being able to tell."""

    status: Status
    reason: str
    sentence: str


class Stopped(Exception):
    """Objections after which there is nothing more to measure."""

    def __init__(self, objections: Sequence[Objection]) -> None:
        self.objections = objections
        super().__init__()


def stop_at(objections: Iterable[Objection]) -> None:
    """Go on only if there is none.

    Raises:
        Stopped: with all of them.
    """
    if found := list(objections):
        raise Stopped(found)


def fail(reason: str, sentence: str) -> Objection:
    """The candidate, or what was committed with it, is bad."""
    return Objection(Status.FAIL, reason, sentence)


def unknown(reason: str, sentence: str) -> Objection:
    """It could not be told."""
    return Objection(Status.UNKNOWN, reason, sentence)


def verdict(
    gate: str,
    question: Question,
    objections: Sequence[Objection],
    evidence: Evidence,
    praise: tuple[str, str],
) -> Verdict:
    """The worst objection names the reason, the first among equals; ``praise`` has those of a PASS."""
    worst = max(objections, key=lambda one: one.status, default=None)
    more = len(objections) - 1
    also = f" {more} more requirement{'s do' if more > 1 else ' does'} not hold either." if more > 0 else ""
    return Verdict(
        gate=gate,
        subject=question.subject,
        status=worst.status if worst else Status.PASS,
        reason=worst.reason if worst else praise[0],
        sentence=worst.sentence + also if worst else praise[1],
        at=question.now,
        evidence=evidence,
    )
