"""Open the change request that covers exactly this content, and ask whether it is approved.

Found again by: the correlation id, which is the digest of what the approval covers. The intent to open
a change is written before it is opened: whoever wrote that line opens it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from gates.contract import Question, Verdict
from pipelines import ports
from pipelines.evidence import policy
from pipelines.journal.events import ChangeIntended, ChangeOpened
from pipelines.journal.state import verdicts_of
from pipelines.render import change_text, manifest_digest, render
from pipelines.spec import packs
from pipelines.steps.contract import Context, Done, NotYet, Outcome, Refused
from pipelines.steps.judging import ask, outcome, question
from pipelines.steps.serving import manifests


def run(context: Context) -> Outcome:
    """See that the change exists, and judge its approval."""
    desk = context.world.desk
    if desk is None:
        return Refused(
            reason="no_change_desk", sentence="the tier needs an approval and no change desk is wired"
        )
    if context.state.change is None:
        if unfit := _evidence_missing(context):
            return unfit
        change = _open(context, desk)
        context.record(
            ChangeOpened(correlation_id=correlation_id(context), number=change.number, url=change.url)
        )
    verdicts = ask(context, context.stage, _question(context))
    number = context.state.change.number if context.state.change else ""
    return (
        outcome(context.stage, verdicts)
        or _not_distinct(context, verdicts)
        or Done(sentence=f"{number} is approved for exactly this content")
    )


def check_again(context: Context) -> NotYet | Refused | None:
    """Ask once more, in the same breath as the commit to 100 %; None when it still holds."""
    stage = next(stage for stage in context.state.plan.stages if stage.step == "approve")
    verdicts = ask(context, stage, _question(context))
    waiting = outcome(stage, verdicts) or _not_distinct(context, verdicts)
    if waiting is None and context.world.desk is not None and context.state.change is not None:
        context.world.desk.begin(context.state.change.number)
    return waiting


def _pack(context: Context) -> packs.Pack | None:
    named = context.platform.tiers[context.release.tier].evidence
    return packs.pack(named) if named else None


def _evidence_missing(context: Context) -> Refused | None:
    """Nobody is asked to approve what could not be shown to an examiner."""
    pack = _pack(context)
    lacks = policy.missing(pack, context.release.risk, context.state, before="approve") if pack else ()
    if not pack or not lacks:
        return None
    sentence = f"no change is requested, since the evidence for {pack.name} lacks {'; '.join(lacks)}"
    return Refused(reason="evidence_missing", sentence=sentence)


def _not_distinct(context: Context, verdicts: Iterable[Verdict]) -> Refused | None:
    """Who made or challenged the model does not approve it, whoever asked for the promotion."""
    pack = _pack(context)
    if pack is None:
        return None
    tier = context.platform.tiers[context.release.tier]
    same = tier.gates.get("approval", {}).get("same_person", ())
    if not (alike := policy.alike(pack, context.release.risk, policy.approvers(verdicts), same)):
        return None
    return Refused(reason="not_distinct", sentence=f"{alike} ({pack.name})")


def covered_files(context: Context) -> dict[str, str]:
    """The manifests that the approval covers: those of 100 %."""
    return render(
        context.release, context.state.started.environment, context.environment, context.serves(100)
    )


def correlation_id(context: Context) -> str:
    """SHA-256 over candidate digest, stable digest, manifest digest and environment, 64 hex digits."""
    stable = context.stable.digest if context.stable else ""
    parts = (
        context.candidate.digest,
        stable,
        manifest_digest(covered_files(context)),
        context.state.started.environment,
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _open(context: Context, desk: ports.ChangeDesk) -> ports.Change:
    identity = correlation_id(context)
    if found := desk.find(identity):
        return found
    if context.state.change_intended is None:
        digest = manifest_digest(covered_files(context))
        context.record(ChangeIntended(correlation_id=identity, manifest_digest=digest))
    return desk.create(_request(context, identity))


def _request(context: Context, identity: str) -> ports.ChangeRequest:
    started, release = context.state.started, context.release
    tier = context.platform.tiers[release.tier]
    desk = context.platform.systems.change_desk
    assert release.change is not None and tier.approval is not None and desk is not None  # noqa: S101, PT018 - spec
    short, description = change_text(
        promotion=started.promotion,
        release=release,
        environment_name=started.environment,
        stable=context.stable,
        candidate=context.candidate,
        shares=[stage.share_percent for stage in context.state.plan.stages if stage.step == "shift"],
        gates=[stage.named(gate) for stage in context.state.plan.stages for gate in stage.gates],
        requested_by=started.requested_by,
        reason=started.reason,
        correlation_id=identity,
        manifest_digest=manifest_digest(covered_files(context)),
        commit=context.state.commit_of("approve"),
        pull_request_url=context.state.proposed.url if context.state.proposed else "",
        verdicts=_so_far(context),
    )
    return ports.ChangeRequest(
        correlation_id=identity,
        type=tier.approval.type,
        template=tier.approval.template or "",
        short_description=short,
        description=description,
        justification=release.change.justification or started.reason,
        configuration_item=release.change.configuration_item,
        assignment_group=release.change.assignment_group,
        requested_by=started.requested_by,
        start=context.now,
        end=context.now + timedelta(seconds=desk.window),
    )


def _so_far(context: Context) -> tuple[Verdict, ...]:
    """What the gates said of this candidate, the latest verdict of each at each stage, oldest stage first."""
    stages = context.state.plan.before("approve")
    return tuple(verdict for stage in stages for verdict in verdicts_of(context.state, stage.name).values())


def _question(context: Context) -> Question:
    state = context.state
    stage = next(stage for stage in state.plan.stages if stage.step == "approve")
    commit = state.commit_of(stage.name)
    candidate = context.arm("candidate")
    assert candidate is not None and state.change is not None  # noqa: S101, PT018 - run() opened it
    asked = question(
        context,
        stage,
        commit=commit,
        files=manifests(context, state.started.environment, commit),
        candidate=candidate,
        stable=context.arm("stable"),
        since=context.now,
    )
    change = context.release.change
    return replace(
        asked,
        change_number=state.change.number,
        correlation_id=correlation_id(context),
        configuration_item=change.configuration_item if change else "",
    )
