"""Render the manifests at share 0, push them on a branch, open the one pull request.

Found again by: the branch name, which is the promotion's id.
"""

from __future__ import annotations

from pipelines.journal.events import AbortAsked, Proposed, Rebased
from pipelines.journal.state import State
from pipelines.render import pull_request_text, render
from pipelines.spec.yaml import edit
from pipelines.steps.contract import Context, Done, NotYet, Outcome, Refused
from pipelines.steps.judging import answer, outcome, question
from pipelines.steps.recorder import Recorder
from pipelines.steps.start import open_promotions, promotions_of, stable_of
from pipelines.strategy import plan, to_data


def run(context: Context) -> Outcome:
    """Open the pull request, unless another promotion is in the way."""
    if context.state.proposed is not None:
        return Done(sentence=f"pull request {context.state.proposed.url} is open")
    if obstacle := _order(context) or _room(context):
        return obstacle
    if unsigned := _signature(context):
        return unsigned
    _rebase(context)
    if context.stable is not None and context.stable.digest == context.candidate.digest:
        sentence = (
            f"{context.stable.label} serves {context.release.model} already: another promotion brought it"
        )
        return Refused(reason="already_serves", sentence=sentence)
    repository, forge, state = context.world.repository, context.world.forge, context.state
    commit = repository.commit(
        context.branch,
        changes(context),
        subject=context.title(f"candidate at 0 % in {state.started.environment}"),
        body=state.started.reason,
        trailers=context.trailers("propose", 0),
        base=repository.head("main"),
    )
    title, body = text(context)
    pull = forge.find_pull_request(context.branch) or forge.open_pull_request(
        branch=context.branch, base="main", title=title, body=body
    )
    if pull.state == "closed":
        return Refused(reason="closed_by_hand", sentence=f"pull request {pull.url} was closed by hand")
    context.record(
        Proposed(
            branch=context.branch,
            head_sha=commit.sha,
            pull_request=pull.number,
            url=pull.url,
            author=pull.author,
        )
    )
    return Done(sentence=f"pull request {pull.url} is open")


def changes(context: Context) -> dict[str, str | None]:
    """The files of the pull request: manifests, and release.yaml where it does not name the candidate yet."""
    environment = context.state.started.environment
    wanted = render(context.release, environment, context.environment, context.serves(context.first_share))
    files: dict[str, str | None] = dict(wanted)
    path = f"models/{context.release.model}/release.yaml"
    written = context.world.repository.read(path, context.state.started.base)
    if written is not None:
        version = context.candidate
        for key, value in (("label", version.label), ("uri", version.uri), ("digest", version.digest)):
            written = edit(written, f"version.{key}", value)
        files[path] = written
    return files


def text(context: Context) -> tuple[str, str]:
    """Title and body of the pull request."""
    started = context.state.started
    return pull_request_text(
        promotion=started.promotion,
        release=context.release,
        environment_name=started.environment,
        stable=context.stable,
        candidate=context.candidate,
        shares=[stage.share_percent for stage in context.state.plan.stages if stage.step == "shift"],
        gates=[stage.named(gate) for stage in context.state.plan.stages for gate in stage.gates],
        requested_by=started.requested_by,
        reason=started.reason,
    )


def _order(context: Context) -> Outcome | None:
    """The version has to have ended at 100 % in the environment before this one."""
    before = context.environment.after
    if before is None:
        return None
    for other in promotions_of(context.world.journals, context.world.clock, context.release.model, before):
        ended = other.ended is not None and other.ended.outcome == "promoted"
        if ended and other.started.candidate["digest"] == context.candidate.digest:
            return None
    label, model = context.candidate.label, context.release.model
    sentence = (
        f"{label} has not ended at 100 % in {before}; run `lockgate promote {model} --to {before}` first"
    )
    return Refused(reason="environment_before_missing", sentence=sentence)


def _signature(context: Context) -> Outcome | None:
    """No pull request names bytes that are not vouched for; the judge asks again before anything merges."""
    judge = context.state.plan.stage("judge")
    candidate = context.arm("candidate")
    if "signature" not in judge.required or candidate is None:
        return None
    asked = question(
        context,
        context.stage,
        commit="",
        files={},
        candidate=candidate,
        stable=context.arm("stable"),
        since=context.now,
    )
    return outcome(judge, (answer(context, "signature", asked),))


def _room(context: Context) -> Outcome | None:
    """One promotion of a model in an environment at a time; the tier says what a newer one does."""
    started, world = context.state.started, context.world
    for other in open_promotions(world.journals, world.clock, started.model, started.environment):
        if other.promotion >= context.state.promotion:
            continue
        rule = context.state.plan.supersede
        if rule == "refuse":
            sentence = f"{other.promotion} is under way, and the tier lets no other begin meanwhile"
            return Refused(reason="another_promotion", sentence=sentence)
        if rule == "replace" and other.abort is None and other.rollback is None:
            _supersede(context, other)
        verb = "replaces" if rule == "replace" else "waits for"
        sentence = f"{context.candidate.label} {verb} {other.promotion}, which has not ended yet"
        return NotYet(
            reason="another_promotion", sentence=sentence, retry_after_seconds=context.stage.every_seconds
        )
    return None


def _supersede(context: Context, other: State) -> None:
    person = context.state.started.requested_by
    recorder = Recorder(context.world.journals, context.world.clock, other.promotion, f"person:{person}")
    reason = f"superseded by {context.state.promotion}"
    recorder.add(AbortAsked(person=person, reason=reason, outcome="superseded"))


def _rebase(context: Context) -> None:
    """Another promotion may have ended while this one waited: start from what serves now."""
    base = context.world.repository.head("main") or ""
    stable = stable_of(context.world.repository, context.release, context.state.started.environment, base)
    if stable == context.stable:
        return
    tier = context.platform.tiers[context.release.tier]
    planned = plan(context.release, tier, context.environment, first=stable is None)
    context.record(Rebased(stable=stable.model_dump() if stable else None, plan=to_data(planned)))
