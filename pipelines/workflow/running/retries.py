"""Whether a container that failed is tried again, and when: Argo's ``retryStrategy``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.workflow.durations import duration
from pipelines.workflow.evaluating import is_true
from pipelines.workflow.running.nodes import Node, Phase
from pipelines.workflow.running.spec import Tree, text


@dataclass(frozen=True, slots=True)
class Over:
    """No further try: the Retry node ends so."""

    phase: Phase
    message: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The next try is not due yet."""

    until: datetime
    message: str


@dataclass(frozen=True, slots=True)
class Again:
    """The next try is due."""

    deadline: datetime | None = None
    """When all tries have to have ended: ``backoff.maxDuration``."""


def policy(strategy: Tree) -> str:
    """The policy that holds: with an expression and no policy of its own it is ``Always``."""
    written = strategy.get("retryPolicy")
    return str(written or ("Always" if strategy.get("expression") else "OnFailure"))


def after(strategy: Tree, tries: Sequence[Node], now: datetime) -> Over | Wait | Again:
    """What follows a try that Failed or is in Error.

    Args:
        strategy: the ``retryStrategy``, its placeholders replaced.
        tries: the tries so far, in their order; the last one did not succeed.
        now: the present instant.

    Raises:
        ValueError: the strategy makes no sense (a bad duration, number, policy or expression).
    """
    last = tries[-1]
    deadline = None
    if strategy.get("backoff"):
        found = _backoff(strategy, tries, now)
        if not isinstance(found, Again):
            return found
        deadline = found.deadline
    retried = {"Always": ("Failed", "Error"), "OnFailure": ("Failed",), "OnError": ("Error",)}
    retried["OnTransientError"] = ()  # what Argo's own network trouble would be; there is none here
    if policy(strategy) not in retried:
        raise ValueError(f"{policy(strategy)} is not a valid RetryPolicy")
    if last.phase not in retried[policy(strategy)]:
        return Over(last.phase, last.message)
    limit = _limit(strategy)
    if limit is not None and len(tries) > limit:
        return Over(last.phase, "No more retries left")
    expression = strategy.get("expression")
    if expression and not is_true(str(expression), last_retry(tries)):
        return Over(last.phase, "retryStrategy.expression evaluated to false")
    return Again(deadline)


def last_retry(tries: Sequence[Node]) -> dict[str, str]:
    """What an expression may ask of the tries so far; all are texts, as in Argo."""
    last = tries[-1]
    return {
        "retries": str(len(tries) - 1),
        "lastRetry.exitCode": "-1" if last.exit_code is None else str(last.exit_code),
        "lastRetry.status": last.phase,
        "lastRetry.duration": _seconds(last),
        "lastRetry.message": last.message,
    }


def _seconds(node: Node) -> str:
    taken = (node.finished_at or node.started_at) - node.started_at
    return f"{taken.total_seconds():g}"


def _limit(strategy: Tree) -> int | None:
    written = text(strategy.get("limit"))
    return None if written is None else int(written)


def _backoff(strategy: Tree, tries: Sequence[Node], now: datetime) -> Over | Wait | Again:
    backoff: Tree = strategy["backoff"]
    last, deadline = tries[-1], None
    if most := str(backoff.get("maxDuration") or ""):
        deadline = tries[0].started_at + duration(most)
        if now > deadline:
            return Over(last.phase, "Max duration limit exceeded")
    due = (last.finished_at or now) + _pause(backoff, len(tries))
    if deadline is not None and due > deadline:
        return Over(last.phase, "Backoff would exceed max duration limit")
    limit = _limit(strategy)
    if now < due and limit is not None and len(tries) <= limit:
        return Wait(due, f"Backoff for {_words(due - (last.finished_at or now))}")
    return Again(deadline)


def _pause(backoff: Tree, tried: int) -> timedelta:
    written = str(backoff.get("duration") or "")
    if not written:
        raise ValueError("no base duration specified for retryStrategy")
    pause, factor = duration(written), int(text(backoff.get("factor")) or 0)
    if factor > 0:
        pause = min(pause.total_seconds() * factor ** min(tried - 1, 64), 10**9) * timedelta(seconds=1)
    if cap := str(backoff.get("cap") or ""):
        pause = min(pause, duration(cap))
    return pause


def _words(span: timedelta) -> str:
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    return f"{minutes} minutes {seconds} seconds" if minutes else f"{seconds} seconds"
