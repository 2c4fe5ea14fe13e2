"""Take the candidate to 0 %. Depends on Git and Argo CD alone; everything else is tidied up afterwards.

Found again by: the commit on main with this promotion's trailers and the stage ``roll_back``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from pipelines import errors
from pipelines.journal.events import Ended, Merged, ShareCommitted, ShareServed
from pipelines.journal.events import Outcome as Ending
from pipelines.journal.state import TELL_THE_DESK
from pipelines.render import render
from pipelines.steps import taken_back
from pipelines.steps.contract import Context, Done, NotYet, Outcome, Refused
from pipelines.steps.serving import look, manifests, write
from pipelines.steps.shift import see
from pipelines.steps.tidy import close_change, name_in_registry, remove_preview

TIDY_AT_MOST_SECONDS = 900.0
"""This long after the candidate is at 0, what still cannot be tidied up is left to people, and named."""


def run(context: Context) -> Outcome:
    """Bring the candidate to 0, see it there, tidy up, end."""
    rollback = context.state.rollback
    assert rollback is not None  # noqa: S101 - the engine writes it down before it runs this step
    at_zero = rollback.at
    if _reached_main(context):
        if waiting := _to_zero(context):
            return waiting
        served = context.state.zero_served
        at_zero = served.at if served else at_zero
    left = _tidy(context, at_zero)
    if isinstance(left, NotYet):
        return left
    if not context.state.zero_commit and _reached_main(context):
        return _again(context, "merged_meanwhile", "the pull request was merged before it could be closed")
    sentence = f"{context.candidate.label} is at 0 %: {rollback.sentence}"
    left = (*left, *taken_back.left(context))
    context.record(Ended(outcome=_outcome(context), sentence=sentence, left_undone=left))
    return Done(sentence=sentence)


def _outcome(context: Context) -> Ending:
    if context.state.abort is not None:
        return context.state.abort.outcome
    return "rolled_back" if context.state.zero_commit else "refused"


def _reached_main(context: Context) -> bool:
    """Whether main holds this promotion's manifests: merged by us, or by somebody while we did not look.

    Its id tells, and not the candidate's digest: another promotion may have brought the same version.
    """
    if context.state.merged is not None or context.state.commits or context.state.zero_commit:
        return True
    held = manifests(context, context.state.started.environment, "main")
    if not any(context.state.promotion in text for text in held.values()):
        return False
    _name_who_merged(context)
    return True


def _name_who_merged(context: Context) -> None:
    """Written down where the forge can say; the way back to 0 does not wait for it."""
    proposed = context.state.proposed
    if proposed is None:
        return
    with suppress(errors.CouldNotTell):
        pull = context.world.forge.pull_request(proposed.pull_request)
        if pull.state == "merged":
            context.record(Merged(commit=pull.merge_sha, by=pull.merged_by or "somebody"))


def _to_zero(context: Context) -> Outcome | None:
    """None once Argo CD applied the commit to 0 and the serving layer gives the candidate nothing."""
    if not context.state.zero_commit:
        context.record(ShareCommitted(stage="roll_back", share_percent=0, commit=_commit(context)))
    if context.state.zero_served is not None:
        return None
    _insist(context, context.state.zero_commit)
    live = look(context, context.world.deployer, context.environment)
    share = live.traffic.get(live.newest_revision, 0) if live.uri == context.candidate.uri else 0
    if live.exists and share:
        return _again(context, "not_at_zero", f"the serving layer still gives the candidate {share} %")
    context.record(
        ShareServed(
            stage="roll_back",
            share_percent=0,
            candidate_revision=live.newest_revision,
            stable_revision=live.stable_revision,
            url=live.url,
        )
    )
    return None


def _commit(context: Context) -> str:
    environment, rollback = context.state.started.environment, context.state.rollback
    wanted: dict[str, str] = {}
    if not context.state.plan.first:
        wanted = render(context.release, environment, context.environment, context.serves(0))
    why = rollback.sentence if rollback else ""
    subject, also = f"back to 0 % in {environment}", taken_back.release(context)
    return write(context, "roll_back", environment, wanted, 0, subject=subject, body=why, also=also)


def _insist(context: Context, commit: str) -> None:
    """Ask for the commit until it is applied. Where auto-sync is on, Argo CD applies it by itself."""
    deployer = context.world.deployer
    if deployer.synced(commit).outcome in ("not_started", "failed"):
        try:
            deployer.sync(commit)
        except errors.Refused:
            return


def _tidy(context: Context, at_zero: datetime) -> tuple[str, ...] | NotYet:
    """Everything a rollback does not depend on; what fails is tried again for a while, then named."""
    pieces: tuple[tuple[str, Callable[[Context], NotYet | Refused | None]], ...] = (
        ("see 0 % in the metrics", _see_zero),
        ("close the pull request", _close_pull_request),
        ("remove the preview", remove_preview),
        ("close the change request", _close_change),
        ("move the registry's alias back", _alias_back),
        (TELL_THE_DESK, taken_back.tell),
    )
    left = []
    for name, piece in pieces:
        try:
            problem = piece(context)
        except errors.JournalMoved:
            raise
        except errors.LockgateError as error:
            left.append(f"{name}: {error}")
            continue
        if problem is not None:
            left.append(f"{name}: {problem.sentence}")
    if left and (context.now - at_zero).total_seconds() < TIDY_AT_MOST_SECONDS:
        return _again(context, "tidying", f"at 0 %; still to do: {'; '.join(left)}")
    return tuple(left)


def _see_zero(context: Context) -> NotYet | Refused | None:
    served = context.state.zero_served
    if served is None or context.state.zero_seen is not None or not served.stable_revision:
        return None
    answer = see(context, served, seen=False)
    return None if isinstance(answer, Done) else answer


def _close_pull_request(context: Context) -> None:
    proposed = context.state.proposed
    if proposed is None:
        return
    if context.state.merged is None:
        context.world.forge.close(proposed.pull_request)
    context.world.repository.delete_branch(context.branch)


def _close_change(context: Context) -> None:
    rollback = context.state.rollback
    assert rollback is not None  # noqa: S101 - the engine writes it down before it runs this step
    close_change(context, "unsuccessful", f"{rollback.sentence}; promotion {context.state.promotion}")


def _alias_back(context: Context) -> None:
    if context.state.promoted and context.stable is not None:
        name_in_registry(context, context.stable)


def _again(context: Context, reason: str, sentence: str) -> NotYet:
    seconds = min(context.stage.every_seconds, 2.0)
    return NotYet(reason=reason, sentence=sentence, retry_after_seconds=seconds)
