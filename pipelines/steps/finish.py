"""The candidate is the stable version now: say so in Git, at the desk and in the registry, and clean up.

Found again by: the commit on main with the stage ``finish``; everything else is simply done again.
"""

from __future__ import annotations

from pipelines.journal.events import Ended
from pipelines.render import Serves, render
from pipelines.steps.contract import Context, Done, Outcome
from pipelines.steps.serving import synced, written
from pipelines.steps.tidy import close_change, name_in_registry, remove_preview


def run(context: Context) -> Outcome:
    """Write the new stable version down and end the promotion."""
    commit = _commit(context)
    if waiting := synced(context, context.world.deployer, commit) or remove_preview(context):
        return waiting
    label, environment = context.candidate.label, context.state.started.environment
    sentence = f"{label} serves 100 % of {context.release.model} in {environment}"
    close_change(context, "successful", f"{sentence}; promotion {context.state.promotion}, commit {commit}")
    name_in_registry(context, context.candidate)
    context.world.repository.delete_branch(context.branch)
    context.record(Ended(outcome="promoted", sentence=sentence))
    return Done(sentence=sentence)


def _commit(context: Context) -> str:
    environment = context.state.started.environment
    alone = Serves(
        stable=context.candidate, candidate=None, share_percent=100, promotion=context.state.promotion
    )
    wanted = render(context.release, environment, context.environment, alone)
    if found := written(context, "finish", environment, wanted):
        return found
    commit = context.world.repository.commit(
        "main",
        wanted,
        subject=context.title(f"stable in {environment}"),
        body="",
        trailers=context.trailers("finish", 100),
    )
    return commit.sha
