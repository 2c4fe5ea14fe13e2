"""What a person means where they leave something out: the environment, the version, the promotion's model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.cli.session import Session, mistake
from pipelines.errors import InvalidInput
from pipelines.spec.read import read_version
from pipelines.spec.scalars import near
from pipelines.spec.types import Platform, Release, Version

if TYPE_CHECKING:
    from pipelines import ports


@dataclass(frozen=True, slots=True)
class Asked:
    """A version as the command line names it."""

    label: str | None
    uri: str | None
    digest: str | None


def final_environments(platform: Platform) -> list[str]:
    """Environments that run no previews and that none comes after."""
    environments = platform.environments
    roles = {one.preview for one in environments.values()} | {one.after for one in environments.values()}
    return [name for name in environments if name not in roles]


def environment(platform: Platform, named: str | None, option: str = "--to") -> str:
    """The environment named, or the only one that is the last of its order.

    Raises:
        InvalidInput: there is no such environment, or several could be meant.
    """
    known = platform.environments
    if named is not None:
        if named not in known:
            raise mistake(option, f"there is no environment {named}", near(named, known))
        return named
    final = final_environments(platform)
    if len(final) != 1:
        raise mistake(option, "several environments could be meant", f"name one: {', '.join(final or known)}")
    return final[0]


def unknown_model(model: str, models: Iterable[str]) -> InvalidInput:
    """The mistake of a model that has no release.yaml; to be raised."""
    advice = near(model, models) or "models/<model>/release.yaml is what makes one"
    return mistake(model, "there is no model of this name", advice)


def version(
    asked: Asked, release: Release, registry: Callable[[], ports.Registry | None], session: Session
) -> Version:
    """The version asked for: release.yaml's own, one spelled out, or what a registry alias stands for.

    Raises:
        InvalidInput: it cannot be told which artifact is meant.
    """
    if asked.label and asked.label.startswith("models:/"):
        return _resolved(asked, registry(), session)
    if asked.uri is not None or asked.digest is not None:
        if asked.uri is None or asked.digest is None or asked.label is None:
            raise mistake("VERSION", "a version spelled out needs all three of label, --uri and --digest")
        return _checked(asked.label, asked.uri, asked.digest)
    if asked.label not in (None, release.version.label):
        advice = "give --uri and --digest too, or write it in release.yaml"
        raise mistake("VERSION", f"release.yaml names {release.version.label}, not {asked.label}", advice)
    return release.version


def _resolved(asked: Asked, registry: ports.Registry | None, session: Session) -> Version:
    """What an alias stands for now, with the digest computed where none was given."""
    from gates.signature import artifact_digest
    from pipelines import wiring

    alias = asked.label or ""
    if registry is None:
        advice = "name the version itself, or add systems.registry to platform.yaml"
        raise mistake("VERSION", f"{alias} is an alias, and the platform has no model registry", advice)
    if asked.uri is not None:
        raise mistake("--uri", f"the alias {alias} brings its own address", "leave one of both out")
    found = registry.resolve(alias)
    store = wiring.artifacts()
    digest = asked.digest or artifact_digest(store.fetch(found.uri))
    session.say(f"{alias} stands for version {found.version}: {found.uri}, {digest}")
    return _checked(f"v{found.version}", found.uri, digest, alias)


def _checked(label: str, uri: str, digest: str, alias: str | None = None) -> Version:
    try:
        return read_version({"label": label, "uri": uri, "digest": digest, "alias": alias}, "VERSION")
    except InvalidInput as error:
        first = error.problems[0]
        option = {"uri": "--uri", "digest": "--digest"}.get(first.path, "VERSION")
        raise mistake(option, first.message) from None
