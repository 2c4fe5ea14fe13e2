"""The candidate is the stable version now: say so in Git, at the desk and in the registry, and clean up.

Found again by: the commit on main with the stage ``finish``; everything else is simply done again.
"""

from __future__ import annotations

from pipelines.journal.events import Ended
from pipelines.render import Serves, render
from pipelines.steps.contract import Context, Done, Outcome
from pipelines.steps.serving import synced, write
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
    return write(context, "finish", environment, wanted, 100, subject=f"stable in {environment}")
