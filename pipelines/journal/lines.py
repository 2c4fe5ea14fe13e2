"""Events as lines of JSON, each carrying the hash of the one before.

A line is an object with the keys ``n`` (1-based), ``at``, ``by``, ``kind``, ``data``, ``prev`` and ``hash``.
``hash`` is the SHA-256 of the line's canonical JSON without ``hash`` itself; ``prev`` is the ``hash`` of the
line before, or the SHA-256 of the promotion's id for the first. Change one byte anywhere and
:func:`decode` names the first line that no longer holds.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from gates.contract import Evidence, Measurement, Query, Status, Subject, Verdict
from pipelines.errors import JournalBroken
from pipelines.journal.events import KINDS, Ended, Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One event with when it happened and who wrote it."""

    n: int
    at: datetime
    by: str
    """``engine:<host>:<pid>`` for a driver, ``person:<name>`` for a person."""
    event: Event
    hash: str


def encode(promotion: str, before: Sequence[Line], events: Sequence[Event], *, at: datetime, by: str) -> str:
    """The lines that add events to a journal, ending in a newline each."""
    previous = before[-1].hash if before else _first(promotion)
    text = []
    for n, event in enumerate(events, start=len(before) + 1):
        body = {
            "n": n,
            "at": at.isoformat(timespec="microseconds"),
            "by": by,
            "kind": event.kind,
            "data": asdict(event),
            "prev": previous,
        }
        previous = _hash(body)
        text.append(_canonical({**body, "hash": previous}) + "\n")
    return "".join(text)


def decode(promotion: str, text: str) -> tuple[Line, ...]:
    """Read a journal.

    Raises:
        JournalBroken: a line is not what was written; names the first.
    """
    lines: list[Line] = []
    previous = _first(promotion)
    if text and not text.endswith("\n"):
        raise JournalBroken(promotion, text.count("\n") + 1, "the last line is cut off")
    for n, raw in enumerate(text.split("\n")[:-1], start=1):
        try:
            line = _line(raw, n, previous)
        except (ValueError, KeyError, TypeError) as error:
            raise JournalBroken(
                promotion, n, f"{error}; the journal was changed after it was written"
            ) from None
        lines.append(line)
        previous = line.hash
    return tuple(lines)


def _line(raw: str, n: int, previous: str) -> Line:
    body = json.loads(raw)
    stated = body.pop("hash")
    if raw != _canonical({**body, "hash": stated}):
        raise ValueError("the line is not in the form it was written in")
    if stated != _hash(body):
        raise ValueError("the line does not have the hash it states")
    if body["prev"] != previous or body["n"] != n:
        raise ValueError("the line does not follow the one before it")
    kind = KINDS[body["kind"]]
    data = dict(body["data"])
    if kind is Ended:
        data["left_undone"] = tuple(data["left_undone"])
    return Line(n=n, at=datetime.fromisoformat(body["at"]), by=body["by"], event=kind(**data), hash=stated)


def _first(promotion: str) -> str:
    return hashlib.sha256(promotion.encode()).hexdigest()


def _canonical(body: Mapping[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(body).encode()).hexdigest()


def _plain(value: object) -> Any:
    """JSON knows no NaN and no infinity: such a number is written as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)


def verdict_to_data(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON values."""
    return {
        "gate": verdict.gate,
        "subject": asdict(verdict.subject),
        "status": verdict.status.name,
        "reason": verdict.reason,
        "sentence": verdict.sentence,
        "at": verdict.at.isoformat(timespec="microseconds"),
        "retry_after_seconds": verdict.retry_after_seconds,
        "evidence": {
            "measurements": [_plain(asdict(m)) for m in verdict.evidence.measurements],
            "queries": [_plain(asdict(q)) for q in verdict.evidence.queries],
            "facts": _plain(verdict.evidence.facts),
        },
    }


def verdict_from_data(data: Mapping[str, Any]) -> Verdict:
    """The verdict that :func:`verdict_to_data` wrote."""
    evidence = data["evidence"]
    return Verdict(
        gate=data["gate"],
        subject=Subject(**data["subject"]),
        status=Status[data["status"]],
        reason=data["reason"],
        sentence=data["sentence"],
        at=datetime.fromisoformat(data["at"]),
        retry_after_seconds=data["retry_after_seconds"],
        evidence=Evidence(
            measurements=tuple(Measurement(**m) for m in evidence["measurements"]),
            queries=tuple(Query(**{**q, "warnings": tuple(q["warnings"])}) for q in evidence["queries"]),
            facts=evidence["facts"],
        ),
    )
