"""Watch a share: every look asks the gates of the stage on exact counts since the share was seen.

Nothing to find again: a look leaves nothing but its verdicts.
"""

from __future__ import annotations

from datetime import timedelta

from pipelines.steps.contract import Context, Done, NotYet, Outcome
from pipelines.steps.judging import ask, outcome, question
from pipelines.steps.serving import manifests


def run(context: Context) -> Outcome:
    """Look once."""
    stage, state = context.stage, context.state
    share = stage.share_percent
    since = state.seen[share] + timedelta(seconds=stage.warm_up_seconds)
    if context.now <= since:
        wait = (since - context.now).total_seconds()
        return NotYet(
            reason="warming_up",
            sentence=f"the first {stage.warm_up_seconds:.0f} s after {share} % was seen are left out",
            retry_after_seconds=max(wait, 0.1),
        )
    served = state.served[share]
    candidate = context.arm("candidate", served.candidate_revision)
    assert candidate is not None  # noqa: S101 - a promotion always has a candidate
    commit = state.commits[share]
    asked = question(
        context,
        stage,
        commit=commit,
        files=manifests(context, state.started.environment, commit),
        candidate=candidate,
        stable=context.arm("stable", served.stable_revision),
        since=since,
    )
    verdicts = ask(context, stage, asked)
    if waiting := outcome(stage, verdicts):
        return waiting
    remaining = stage.minimum_seconds - (context.now - state.seen[share]).total_seconds()
    if remaining > 0:
        return NotYet(
            reason="soaking" if share == 100 else "baking",
            sentence=f"all gates pass; {share} % is watched for {remaining:.0f} s more",
            retry_after_seconds=min(remaining, stage.every_seconds),
        )
    return Done(sentence=f"{share} % held its objectives")
