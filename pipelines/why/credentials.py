"""What stands behind a version: who wanted it, who let it through, on which verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from pipelines.journal.state import State, verdicts_of
from pipelines.why.timeline import Story
from pipelines.why.types import Approval, Behind, Possible


def behind(digest: str, possible: Sequence[Possible], stories: Sequence[Story], at: datetime) -> Behind:
    """The promotion that brought a version: the last begun by then that merged it."""
    share = next(share for one in possible for share in one.shares if share.digest == digest)
    brought = [
        story.state
        for story in stories
        if story.state.started.candidate["digest"] == digest
        and story.lines[0].at <= at
        and story.state.merged is not None
    ]
    version = Behind(label=share.label, digest=digest, uri=share.uri, promotion="")
    return _with(version, brought[-1], at) if brought else version


def _with(version: Behind, state: State, at: datetime) -> Behind:
    verdicts = sorted(
        ((stage, verdict) for (stage, _), verdict in state.verdicts.items()), key=lambda one: one[1].at
    )
    given = tuple(one for one in verdicts if one[1].at <= at)
    return replace(
        version,
        promotion=state.promotion,
        requested_by=state.started.requested_by,
        reason=state.started.reason,
        pull_request=state.proposed.url if state.proposed else "",
        merged=state.merged.commit if state.merged else "",
        merged_by=state.merged.by if state.merged else "",
        change=state.change.number if state.change else "",
        change_url=state.change.url if state.change else "",
        approvals=tuple(replace(one, after=_later(one.at, at)) for one in approvers(state)),
        verdicts=given,
        later=len(verdicts) - len(given),
    )


def _later(written: str, at: datetime) -> bool:
    return bool(written) and datetime.fromisoformat(written) > at


def approvers(state: State) -> tuple[Approval, ...]:
    """Who approved the change of a promotion: the approving rows that the approval gate read."""
    found = []
    for stage in state.plan.stages:
        if stage.step != "approve":
            continue
        for verdict in verdicts_of(state, stage.name).values():
            rows = verdict.evidence.facts.get("approvers", ())
            change = str(verdict.evidence.facts.get("change", ""))
            for row in rows if isinstance(rows, Sequence) else ():
                if row.get("state") == "approved":
                    found.append(Approval(approver=row["approver"], at=row.get("at") or "", change=change))
    return tuple(found)
