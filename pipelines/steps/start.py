"""Beginning a promotion: read what main wants, plan it, write the first line of its journal."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pipelines import ports
from pipelines.errors import InvalidInput, JournalMoved, Problem
from pipelines.journal.events import Started
from pipelines.journal.lines import encode
from pipelines.journal.state import State
from pipelines.render import serves_of
from pipelines.spec.read import read_platform, read_release
from pipelines.spec.types import Platform, Release, Version
from pipelines.steps.recorder import Recorder
from pipelines.strategy import plan, to_data

TRIES = 5
"""Each but the last meets somebody who began another promotion of the model at the same instant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody asks for."""

    model: str
    environment: str
    version: Version | None
    """None: what main's release.yaml names."""
    requested_by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyServes:
    """There is nothing to do."""

    sentence: str


def wanted(repository: ports.Repository, model: str, at: str) -> tuple[Platform, Release]:
    """platform.yaml and a model's release.yaml at a commit.

    Raises:
        InvalidInput: either is absent or says something lockgate cannot do.
    """
    platform_text = repository.read("platform.yaml", at)
    path = f"models/{model}/release.yaml"
    release_text = repository.read(path, at)
    missing = [
        name for name, text in (("platform.yaml", platform_text), (path, release_text)) if text is None
    ]
    if platform_text is None or release_text is None:
        raise InvalidInput([Problem(name, 0, "", f"is not there at {at[:12]}") for name in missing])
    platform = read_platform(platform_text, "platform.yaml")
    return platform, read_release(release_text, path, platform)


def start(
    wish: Wish, repository: ports.Repository, journals: ports.JournalBook, clock: ports.Clock
) -> str | AlreadyServes:
    """Begin a promotion, or find the one under way for the same version; its id.

    Of those who ask for one version at the same instant, one begins it, and the others find that one.

    Raises:
        InvalidInput: platform.yaml, release.yaml or the wish cannot be used.
        JournalMoved: others began promotions of the model all the time; ask again.
    """
    for _ in range(TRIES - 1):
        try:
            return _start(wish, repository, journals, clock)
        except JournalMoved:  # somebody began one of this model there: it may be the very same
            continue
    return _start(wish, repository, journals, clock)


def _start(
    wish: Wish, repository: ports.Repository, journals: ports.JournalBook, clock: ports.Clock
) -> str | AlreadyServes:
    # The journals first: what one that is over by now has brought to main is seen there.
    beside = journals.promotions()
    states = _states(beside, journals, clock, wish.model, wish.environment)
    base = repository.head("main") or ""
    platform, release = wanted(repository, wish.model, base)
    if wish.environment not in platform.environments:
        known = ", ".join(platform.environments)
        raise InvalidInput([Problem("--to", 0, "", f"there is no environment {wish.environment}", known)])
    version = wish.version or release.version
    release = release.model_copy(update={"version": version})
    for state in states:
        if state.ended is None and state.started.candidate["digest"] == version.digest:
            return state.promotion
    stable = stable_of(repository, release, wish.environment, base)
    if stable is not None and stable.digest == version.digest:
        return AlreadyServes(sentence=f"{stable.label} serves {wish.model} in {wish.environment} already")
    environment = platform.environments[wish.environment]
    planned = plan(release, platform.tiers[release.tier], environment, first=stable is None)
    now = clock.now()
    promotion = identity(wish.model, wish.environment, now)
    begun = Started(
        promotion=promotion,
        model=wish.model,
        tenant=release.tenant,
        environment=wish.environment,
        requested_by=wish.requested_by,
        reason=wish.reason,
        base=base,
        candidate=version.model_dump(),
        stable=stable.model_dump() if stable else None,
        plan=to_data(planned),
    )
    lines = encode(promotion, (), [begun], at=now, by=f"person:{wish.requested_by}")
    journals.begin(promotion, lines, beside=beside)
    return promotion


def identity(model: str, environment: str, now: datetime) -> str:
    """An id that sorts by time: ``fraud-scorer-prod-20261121T031500Z-7f3a``."""
    return f"{model}-{environment}-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def stable_of(repository: ports.Repository, release: Release, environment: str, at: str) -> Version | None:
    """The version that main says serves now; None before the first."""
    folder = f"clusters/{environment}/{release.tenant}/{release.model}"
    files = repository.files(folder, at)
    serves = serves_of({path: text for path, text in files.items() if path.endswith(".yaml")})
    return serves.stable if serves else None


def open_promotions(
    journals: ports.JournalStore, clock: ports.Clock, model: str, environment: str
) -> tuple[State, ...]:
    """Promotions of a model in an environment that have not ended, oldest first."""
    return tuple(state for state in promotions_of(journals, clock, model, environment) if state.ended is None)


def promotions_of(
    journals: ports.JournalStore, clock: ports.Clock, model: str, environment: str
) -> tuple[State, ...]:
    """Every promotion of a model in an environment, oldest first."""
    return _states(journals.promotions(), journals, clock, model, environment)


def _states(
    promotions: Iterable[str],
    journals: ports.JournalStore,
    clock: ports.Clock,
    model: str,
    environment: str,
) -> tuple[State, ...]:
    found = []
    for promotion in promotions:
        if promotion.startswith(f"{model}-{environment}-"):
            state = Recorder(journals, clock, promotion, "reader").read()
            if state and (state.started.model, state.started.environment) == (model, environment):
                found.append(state)
    return tuple(found)
