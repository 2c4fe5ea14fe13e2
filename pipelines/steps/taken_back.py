"""What a rollback does besides where the promotion had ended at 100 %: release.yaml and the change desk.

The way back itself waits for neither. ``release`` is part of its commit; ``tell`` follows, found again by the
journal and by the change's correlation id, and may be done later by `lockgate retry`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pipelines import errors, ports
from pipelines.journal.events import EmergencyClosed, EmergencyOpened
from pipelines.render import rollback_text
from pipelines.spec.yaml import edit, load
from pipelines.steps.contract import Context


def release(context: Context) -> dict[str, str]:
    """release.yaml with the version that serves again, as path -> text; nothing where it is to be left.

    It is left where people changed it since 100 %, since they may want something else by now, and where the
    version cannot be exchanged in place. A promotion that never ended leaves it too: the version may serve
    another environment, and a person's retry is what follows.
    """
    path, stable = f"models/{context.release.model}/release.yaml", context.stable
    if not context.state.promoted or stable is None:
        return {}
    repository = context.world.repository
    text, then = repository.read(path, "main"), repository.read(path, context.state.commits.get(100, ""))
    held = _version(text or "")
    if text is None or text != then or held.get("digest") != context.candidate.digest:
        return {}
    try:
        for key in held:  # an alias that the stable has none of cannot be taken out in place
            text = edit(text, f"version.{key}", getattr(stable, key) or "", path)
        return {path: text} if _version(text) == stable.model_dump(include=set(held)) else {}
    except errors.SpecInvalid:
        return {}


def left(context: Context) -> Iterator[str]:
    """What people have to write themselves, in words."""
    path, stable = f"models/{context.release.model}/release.yaml", context.stable
    if not context.state.promoted or stable is None:
        return
    held = _version(context.world.repository.read(path, "main") or "")
    if held.get("digest") == context.candidate.digest:
        why = f"{path} still names {context.candidate.label}, since it was changed after 100 %"
        yield f"{why}: name {stable.label}, which serves, or the version you want"


def _version(text: str) -> dict[str, Any]:
    """The section ``version`` of a release.yaml, as it is written."""
    document = load(text, "release.yaml").value
    held = document.get("version") if isinstance(document, dict) else None
    return held if isinstance(held, dict) else {}


def tell(context: Context) -> None:
    """Open an emergency change that says what was done, and close it; nothing where the desk needs none.

    Raises:
        CouldNotTell: the desk did not answer.
    """
    desk = context.world.desk
    if not context.state.desk_owed or desk is None:
        return
    if context.state.emergency is None:
        change = desk.create(_request(context))
        context.record(EmergencyOpened(number=change.number, url=change.url))
    emergency, rollback = context.state.emergency, context.state.rollback
    assert emergency is not None and rollback is not None  # noqa: S101, PT018 - written above; owed after a rollback
    notes = f"{rollback.sentence}; commit {context.state.zero_commit}, promotion {context.state.promotion}"
    desk.close(emergency.number, code="successful", notes=notes)
    context.record(EmergencyClosed(number=emergency.number))


def _request(context: Context) -> ports.ChangeRequest:
    state, facts = context.state, context.release.change
    settings = context.platform.systems.change_desk
    assert facts is not None and settings is not None and state.rollback is not None  # noqa: S101, PT018 - spec; owed
    short, description = rollback_text(
        promotion=state.promotion,
        release=context.release,
        environment_name=state.started.environment,
        stable=context.stable,
        candidate=context.candidate,
        requested_by=state.started.requested_by,
        reason=state.rollback.sentence,
        commit=state.zero_commit,
        change=state.change.number if state.change else "",
    )
    return ports.ChangeRequest(
        correlation_id=hashlib.sha256(f"taken back\n{state.promotion}".encode()).hexdigest(),
        type="emergency",
        template="",
        short_description=short,
        description=description,
        justification=state.rollback.sentence,
        configuration_item=facts.configuration_item,
        assignment_group=facts.assignment_group,
        requested_by=state.started.requested_by,
        start=state.rollback.at,
        end=context.now + timedelta(seconds=settings.window),
    )
