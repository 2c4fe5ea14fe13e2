"""Run the candidate where no live request reaches it.

Found again by: the commit on main with this promotion's trailers and the stage ``preview``.
"""

from __future__ import annotations

from pipelines.journal.events import Previewed
from pipelines.render import Serves, render
from pipelines.spec.types import Environment
from pipelines.steps.contract import Context, Done, Outcome, Refused
from pipelines.steps.serving import InForce, bring, write


def run(context: Context) -> Outcome:
    """Bring the candidate up in the preview environment."""
    if context.state.previewed is not None:
        return Done(sentence=f"{context.candidate.label} runs in {context.state.previewed.environment}")
    name, environment = target(context)
    deployer = context.world.preview
    if deployer is None:
        return Refused(reason="no_preview", sentence=f"no client is wired for the preview environment {name}")
    commit = _commit(context, name, environment)
    progress = bring(context, deployer, environment, commit, uri=context.candidate.uri, share=100)
    if not isinstance(progress, InForce):
        return progress
    context.record(
        Previewed(
            environment=name,
            commit=commit,
            url=progress.deployment.url,
            revision=progress.deployment.newest_revision,
        )
    )
    return Done(sentence=f"{context.candidate.label} runs in {name}, without live traffic")


def target(context: Context) -> tuple[str, Environment]:
    """Name and facts of the preview environment; KeyError is impossible past the plan's own check."""
    name = context.environment.preview or ""
    return name, context.platform.environments[name]


def _commit(context: Context, name: str, environment: Environment) -> str:
    alone = Serves(
        stable=context.candidate, candidate=None, share_percent=100, promotion=context.state.promotion
    )
    wanted = render(context.release, name, environment, alone)
    return write(context, "preview", name, wanted, 0, subject="preview")
