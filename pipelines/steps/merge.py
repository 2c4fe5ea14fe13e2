"""Merge exactly the commit that was judged.

Found again by: the pull request itself, which says whether, when and by whom it was merged.
"""

from __future__ import annotations

from pipelines import ports
from pipelines.journal.events import Merged
from pipelines.steps import approve
from pipelines.steps.contract import Context, Done, NotYet, Outcome, Refused


def run(context: Context) -> Outcome:
    """Merge the pull request at its judged head."""
    if context.state.merged is not None:
        return Done(sentence=f"merged as {context.state.merged.commit[:12]}")
    proposed = context.state.proposed
    assert proposed is not None  # noqa: S101 - the plan puts propose before merge
    pull = context.world.forge.pull_request(proposed.pull_request)
    if pull.head_sha != proposed.head_sha:
        return Refused(
            reason="head_moved",
            sentence=f"the pull request's head is {pull.head_sha[:12]}, judged was {proposed.head_sha[:12]}",
        )
    if pull.state == "closed":
        return Refused(reason="closed_by_hand", sentence=f"pull request {pull.url} was closed by hand")
    if pull.state == "merged":
        return _adopt(context, pull.merge_sha, pull.merged_by or "somebody")
    if missing := _missing_reviews(context, pull):
        return missing
    if (
        context.state.plan.first
        and context.state.plan.needs_approval
        and (no := approve.check_again(context))
    ):
        return no
    return _merge(context, pull)


def look(context: Context) -> NotYet | None:
    """Which reviews are missing; None when none are, or when the merge itself has something to say."""
    proposed = context.state.proposed
    assert proposed is not None  # noqa: S101 - the plan puts propose before merge
    pull = context.world.forge.pull_request(proposed.pull_request)
    if pull.state != "open" or pull.head_sha != proposed.head_sha:
        return None
    return _missing_reviews(context, pull)


def _missing_reviews(context: Context, pull: ports.PullRequest) -> NotYet | None:
    needed = context.platform.systems.forge.required_reviews
    reviewers = [
        name for name in pull.approvals if name not in (pull.author, context.state.started.requested_by)
    ]
    if len(reviewers) >= needed:
        return None
    sentence = f"{len(reviewers)} of {needed} approving reviews by others than the requester on {pull.url}"
    return NotYet(reason="review_pending", sentence=sentence, retry_after_seconds=context.stage.every_seconds)


def _merge(context: Context, pull: ports.PullRequest) -> Outcome:
    merge = context.world.forge.merge(
        pull.number,
        head_sha=pull.head_sha,
        title=context.title(f"candidate at 0 % (#{pull.number})"),
        body="\n".join(f"{key}: {value}" for key, value in context.trailers("merge", 0).items()),
    )
    match merge.outcome:
        case "merged":
            return _adopt(context, merge.sha, "lockgate")
        case "not_ready":
            return NotYet(
                reason="not_mergeable_yet",
                sentence=merge.sentence,
                retry_after_seconds=context.stage.every_seconds,
            )
        case "head_moved" | "refused":
            return Refused(reason=merge.outcome, sentence=merge.sentence)


def _adopt(context: Context, commit: str, by: str) -> Done:
    context.record(Merged(commit=commit, by=by))
    return Done(sentence=f"merged as {commit[:12]} by {by}")
