"""What the end of a promotion cleans up, whichever way it ended. Each piece may run again."""

from __future__ import annotations

from typing import Literal

from pipelines.journal.events import ChangeClosed
from pipelines.spec.types import Version
from pipelines.steps.contract import Context, NotYet, Refused
from pipelines.steps.preview import target
from pipelines.steps.serving import synced, write


def remove_preview(context: Context) -> NotYet | Refused | None:
    """Take the candidate out of the preview environment; None when it is gone."""
    deployer = context.world.preview
    if deployer is None or context.world.repository.find("main", context.trailers_of("preview")) is None:
        return None
    name, _ = target(context)
    removed = write(context, "preview-removed", name, {}, 0, subject="preview removed")
    return synced(context, deployer, removed)


def close_change(context: Context, code: Literal["successful", "unsuccessful"], notes: str) -> None:
    """Close the change request with its outcome, where one was opened."""
    change, desk = context.state.change, context.world.desk
    if change is None or desk is None or context.state.change_closed is not None:
        return
    desk.close(change.number, code=code, notes=notes)
    context.record(ChangeClosed(number=change.number, code=code))


def name_in_registry(context: Context, version: Version) -> None:
    """Let the registry's production alias name the version that serves, where there is a registry."""
    registry, settings = context.world.registry, context.platform.systems.registry
    if registry is not None and settings is not None:
        registry.set_alias(context.release.model, settings.production_alias, version.uri)
