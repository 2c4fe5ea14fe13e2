"""A promotion as JSON values, for programs: keys are added, never renamed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pipelines.journal.lines import verdict_to_data
from pipelines.journal.state import Fault, Served, State, Wait, Word
from pipelines.reports.view import GateView, gates_of, mark_of
from pipelines.strategy import Stage

SCHEMA = "lockgate.status/1"


def summary(state: State) -> dict[str, Any]:
    """Everything known of a promotion; instants are ISO 8601 in UTC, durations seconds, shares percent."""
    started = state.started
    return {
        "schema": SCHEMA,
        "promotion": started.promotion,
        "model": started.model,
        "tenant": started.tenant,
        "environment": started.environment,
        "tier": state.plan.tier,
        "strategy": state.plan.strategy,
        "requested_by": started.requested_by,
        "reason": started.reason,
        "base": started.base,
        "candidate": dict(started.candidate),
        "stable": dict(started.stable) if started.stable else None,
        "started_at": _at(state.started_at),
        "updated_at": _at(state.last_at),
        "events": state.events,
        "share_percent": state.share_percent,
        "outcome": state.ended.outcome if state.ended else None,
        "ended_at": _at(state.ended.at if state.ended else None),
        "sentence": state.ended.sentence if state.ended else "",
        "left_undone": list(state.ended.left_undone) if state.ended else [],
        "pull_request": _pull_request(state),
        "change": _change(state),
        "hold": _word(state.held),
        "abort": _word(state.abort),
        "refused": _fault(state.refused),
        "rollback": _rollback(state),
        "hold_budget_seconds": state.plan.hold_budget_seconds,
        "unknown_spent_seconds": state.unknown_spent_seconds,
        "stages": [_stage(state, stage) for stage in state.plan.stages],
    }


def _at(at: datetime | None) -> str | None:
    return at.isoformat(timespec="microseconds") if at else None


def _pull_request(state: State) -> dict[str, Any] | None:
    if state.proposed is None:
        return None
    merged = state.merged
    return {
        "number": state.proposed.pull_request,
        "url": state.proposed.url,
        "author": state.proposed.author,
        "branch": state.proposed.branch,
        "head_sha": state.proposed.head_sha,
        "merge_commit": merged.commit if merged else None,
        "merged_by": merged.by if merged else None,
    }


def _change(state: State) -> dict[str, Any] | None:
    if state.change is None:
        return None
    intended = state.change_intended
    return {
        "number": state.change.number,
        "url": state.change.url,
        "correlation_id": state.change.correlation_id,
        "manifest_digest": intended.manifest_digest if intended else None,
        "closed": state.change_closed.code if state.change_closed else None,
    }


def _word(word: Word | None) -> dict[str, Any] | None:
    return {"person": word.person, "reason": word.reason, "at": _at(word.at)} if word else None


def _fault(fault: Fault | None) -> dict[str, Any] | None:
    return {**asdict(fault), "at": _at(fault.at)} if fault else None


def _rollback(state: State) -> dict[str, Any] | None:
    if state.rollback is None:
        return None
    return {
        "code": state.rollback.code,
        "sentence": state.rollback.sentence,
        "at": _at(state.rollback.at),
        "commit": state.zero_commit or None,
        "served_at": _at(state.zero_served.at if state.zero_served else None),
        "seen_at": _at(state.zero_seen),
    }


def _stage(state: State, stage: Stage) -> dict[str, Any]:
    share = stage.share_percent
    shifts = stage.step == "shift"
    return {
        "name": stage.name,
        "step": stage.step,
        "share_percent": share,
        "mark": mark_of(state, stage).replace(" ", "_"),
        "began_at": _at(state.began.get(stage.name)),
        "done_at": _at(state.done.get(stage.name)),
        "commit": state.commits.get(share) if shifts else None,
        "served": _served(state.served.get(share)) if shifts else None,
        "seen_at": _at(state.seen.get(share)) if shifts else None,
        "wait": _wait(state.waits.get(stage.name)),
        "gates": [_gate(gate) for gate in gates_of(state, stage)],
    }


def _served(served: Served | None) -> dict[str, Any] | None:
    return {**asdict(served), "at": _at(served.at)} if served else None


def _wait(wait: Wait | None) -> dict[str, Any] | None:
    return {**asdict(wait), "at": _at(wait.at), "again_at": _at(wait.again_at)} if wait else None


def _gate(gate: GateView) -> dict[str, Any]:
    data: Mapping[str, Any] = verdict_to_data(gate.verdict) if gate.verdict else {}
    evidence = data.get("evidence", {})
    return {
        "gate": gate.name,
        "counts": gate.counts,
        "status": data.get("status"),
        "reason": data.get("reason"),
        "sentence": data.get("sentence"),
        "at": data.get("at"),
        "subject": data.get("subject"),
        "measurements": evidence.get("measurements", []),
    }
