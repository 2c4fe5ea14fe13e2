"""Bring one share into force: commit, sync of that commit, split as asked, split as seen.

Found again by: the commit on main with this promotion's trailers, stage and share.
"""

from __future__ import annotations

from gates.share import observed_share
from pipelines.journal.events import ShareCommitted, ShareSeen, ShareServed
from pipelines.journal.state import Served
from pipelines.render import check_change, namespace, render, serves_of
from pipelines.steps import approve
from pipelines.steps.contract import Context, Done, NotYet, Outcome, Refused
from pipelines.steps.serving import InForce, bring, differing, manifests, written


def run(context: Context) -> Outcome:
    """Bring the stage's share into force."""
    share = context.stage.share_percent
    if share not in context.state.commits:
        commit = _commit(context, share)
        if not isinstance(commit, str):
            return commit
        context.record(ShareCommitted(stage=context.stage.name, share_percent=share, commit=commit))
    if share not in context.state.served:
        progress = bring(
            context,
            context.world.deployer,
            context.environment,
            context.state.commits[share],
            uri=context.candidate.uri,
            share=share,
        )
        if not isinstance(progress, InForce):
            return progress
        live = progress.deployment
        context.record(
            ShareServed(
                stage=context.stage.name,
                share_percent=share,
                candidate_revision=live.newest_revision,
                stable_revision=live.stable_revision,
                url=live.url,
            )
        )
    return see(context, context.state.served[share], seen=share in context.state.seen)


def _commit(context: Context, share: int) -> str | NotYet | Refused:
    repository, started = context.world.repository, context.state.started
    wanted = render(context.release, started.environment, context.environment, context.serves(share))
    if found := written(context, context.stage.name, started.environment, wanted):
        return found
    at_main = manifests(context, started.environment, "main")
    if at_main == wanted and context.state.merged is not None and not context.state.commits:
        return context.state.merged.commit
    if disturbed := undisturbed(context, at_main):
        return disturbed
    if share == 100 and context.state.plan.needs_approval and (obstacle := approve.check_again(context)):
        return obstacle
    check_change(at_main, wanted)
    commit = repository.commit(
        "main",
        wanted,
        subject=context.title(f"{share} % in {started.environment}"),
        body="",
        trailers=context.trailers(context.stage.name, share),
    )
    return commit.sha


def undisturbed(context: Context, at_main: dict[str, str]) -> Refused | None:
    """Main still holds what this promotion wrote last; anything else is a hand we do not overrule."""
    last = context.serves(context.state.share_percent or context.first_share)
    expected = render(context.release, context.state.started.environment, context.environment, last)
    others = differing(expected, at_main)
    if not others:
        return None
    held = serves_of(at_main)
    by = f"it holds {held.promotion or 'nothing of ours'}" if held else "it holds no record of ours"
    return Refused(reason="main_changed", sentence=f"main was changed by another hand in {others}; {by}")


def see(context: Context, served: Served, *, seen: bool) -> Outcome:
    """Find the share in the metrics, as counted since it was served."""
    share = served.share_percent
    if seen:
        return Done(sentence=f"{share} % was seen")
    metrics = context.environment.metrics
    if context.world.metrics is None or metrics is None or (share == 0 and context.state.rollback is None):
        context.record(_seen(context, share, None, f"{share} % is served; no metrics are asked"))
        return Done(sentence=f"{share} % is in force")
    observed = observed_share(
        context.world.metrics,
        pack=metrics.pack,
        namespace=namespace(context.environment, context.release.tenant),
        candidate_revision=served.candidate_revision,
        stable_revision=served.stable_revision,
        intended_percent=share,
        since=served.at,
        now=context.now,
        scrape_seconds=metrics.scrape_every,
    )
    if observed.agrees is not True:
        return NotYet(
            reason=observed.reason,
            sentence=observed.sentence,
            retry_after_seconds=min(context.stage.every_seconds, 5.0),
            unknown=observed.unknown,
        )
    context.record(_seen(context, share, observed.observed_percent, observed.sentence))
    return Done(sentence=observed.sentence)


def _seen(context: Context, share: int, observed: float | None, sentence: str) -> ShareSeen:
    return ShareSeen(
        stage=context.stage.name, share_percent=share, observed_percent=observed, sentence=sentence
    )
