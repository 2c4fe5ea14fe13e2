"""What main wants and nobody has begun: what a merge, an event, a schedule or a person may wake. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.journal.state import State
from pipelines.spec.types import Environment, Platform, Release

_TOLD_NO = ("refused", "rolled_back", "aborted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A version is to be begun in an environment."""

    model: str
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A version is wanted in an environment, and is left for a person or for later."""

    model: str
    environment: str
    sentence: str


def due(
    platform: Platform, release: Release, serving: Mapping[str, str], states: Sequence[State]
) -> Iterator[Due | Left]:
    """Where the version that a release names is to be begun now.

    An environment that comes after another waits until the version ended there at 100 % and serves. What is
    under way already is not named.

    Args:
        platform: platform.yaml on main.
        release: the model's release.yaml on main.
        serving: environment -> digest of the version that serves there; "" before the first.
        states: every promotion there was, oldest first.
    """
    digest, tier = release.version.digest, platform.tiers[release.tier]
    mine = [state for state in states if state.started.model == release.model]
    previews = {one.preview for one in platform.environments.values()}
    for name, environment in platform.environments.items():
        if name in previews or serving[name] == digest or not _may_follow(environment, serving, digest, mine):
            continue
        here = [state for state in mine if state.started.environment == name]
        same = [state for state in here if state.started.candidate["digest"] == digest]
        under_way = [state for state in here if state.ended is None]
        if any(state.ended is None for state in same):
            continue
        if same and (ended := same[-1].ended) is not None and ended.outcome in _TOLD_NO:
            said = f"{same[-1].promotion} was {ended.outcome.replace('_', ' ')}: {ended.sentence}"
            sentence = f"{said}; `lockgate retry {same[-1].promotion}` tries it again"
            yield Left(model=release.model, environment=name, sentence=sentence)
        elif under_way and tier.supersede == "refuse":
            sentence = f"{under_way[0].promotion} is under way, and the tier lets no other begin meanwhile"
            yield Left(model=release.model, environment=name, sentence=sentence)
        else:
            yield Due(model=release.model, environment=name)


def _may_follow(
    environment: Environment, serving: Mapping[str, str], digest: str, mine: Sequence[State]
) -> bool:
    if environment.after is None:
        return True
    return serving[environment.after] == digest and any(
        state.started.environment == environment.after
        and state.started.candidate["digest"] == digest
        and state.ended is not None
        and state.ended.outcome == "promoted"
        for state in mine
    )
