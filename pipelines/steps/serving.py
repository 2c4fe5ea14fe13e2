"""Bringing one commit into force: synced, ready, split as asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines import ports
from pipelines.render import namespace
from pipelines.spec.types import Environment
from pipelines.steps.contract import Context, NotYet, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """A commit that is applied and served as it says."""

    deployment: ports.Deployment


def bring(
    context: Context,
    deployer: ports.Deployer,
    environment: Environment,
    commit: str,
    *,
    uri: str,
    share: int,
) -> InForce | NotYet | Refused:
    """Ask for a commit and find out how far it is.

    Args:
        uri: the storageUri the newest spec must name.
        share: percent the newest revision must have, added up by revision.
    """
    progress = synced(context, deployer, commit)
    if progress is not None:
        return progress
    deployment = look(context, deployer, environment)
    if deployment.failed:
        return Refused(
            reason="candidate_failed", sentence=f"the candidate cannot be served: {deployment.failed}"
        )
    if deployment.uri != uri:
        return _wait(context, "not_applied", f"the live object still names {deployment.uri or 'no artifact'}")
    if not deployment.ready:
        return _wait(context, "not_ready", deployment.sentence)
    got = deployment.traffic.get(deployment.newest_revision, 0)
    if got != share:
        return _wait(context, "not_split", f"{deployment.newest_revision} gets {got} %, {share} % is asked")
    return InForce(deployment=deployment)


def synced(context: Context, deployer: ports.Deployer, commit: str) -> NotYet | Refused | None:
    """None once exactly this commit is applied; asks for it where nobody has."""
    sync = deployer.synced(commit)
    if sync.outcome == "not_started":
        deployer.sync(commit)
        sync = deployer.synced(commit)
    if sync.outcome == "failed":
        return Refused(reason="sync_failed", sentence=f"{commit[:12]} could not be applied: {sync.sentence}")
    if sync.outcome != "done":
        return _wait(context, "syncing", sync.sentence)
    return None


def look(context: Context, deployer: ports.Deployer, environment: Environment) -> ports.Deployment:
    """Read the model's live InferenceService in an environment."""
    return deployer.deployment(
        namespace=namespace(environment, context.release.tenant),
        service=context.release.model,
        mode=environment.mode,
    )


def _wait(context: Context, reason: str, sentence: str) -> NotYet:
    seconds = min(context.stage.every_seconds, 5.0)
    return NotYet(reason=reason, sentence=sentence, retry_after_seconds=seconds)


def manifests(context: Context, environment: str, at: str) -> dict[str, str]:
    """The model's manifests of an environment at a commit: what Argo CD applies, nothing else."""
    found = context.world.repository.files(folder(context, environment), at)
    return {path: text for path, text in found.items() if path.endswith(".yaml")}


def written(context: Context, stage: str, environment: str, wanted: Mapping[str, str]) -> str | None:
    """The commit an earlier run of a stage left on main, if it says what this run would write.

    Trailers alone prove nothing: anybody who may push to main may write them.
    """
    found = context.world.repository.find("main", context.trailers_of(stage))
    if found is None or manifests(context, environment, found.sha) != wanted:
        return None
    return found.sha


def write(
    context: Context,
    stage: str,
    environment: str,
    wanted: Mapping[str, str],
    share: int,
    *,
    subject: str,
    body: str = "",
    also: Mapping[str, str] | None = None,
) -> str:
    """Have main hold these manifests of the model, by one commit of the stage, found or made; its SHA.

    ``also`` are files of people's that the same commit changes.
    """
    if found := written(context, stage, environment, wanted):
        return found
    changes = {**(wanted or emptied(context, environment)), **(also or {})}
    commit = context.world.repository.commit(
        "main", changes, subject=context.title(subject), body=body, trailers=context.trailers(stage, share)
    )
    return commit.sha


def differing(expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    """The files that are not as expected, in words; "" when all are."""
    paths = expected.keys() | found.keys()
    return ", ".join(sorted(path for path in paths if expected.get(path) != found.get(path)))


def emptied(context: Context, environment: str) -> dict[str, str | None]:
    """Changes that remove the model's manifests; a note stays: from a missing path Argo CD prunes nothing."""
    note = {f"{folder(context, environment)}/README.md": "Nothing of this model is served here.\n"}
    return {**dict.fromkeys(manifests(context, environment, "main")), **note}


def folder(context: Context, environment: str) -> str:
    """Where a model's manifests of an environment are in the repository."""
    return f"clusters/{environment}/{context.release.tenant}/{context.release.model}"
