"""The files Argo CD applies: one InferenceService, the record beside it, and alerts where they are wanted."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gates.metrics import PACKS
from gates.policy import canonical_quantity, last_part, uri_problem
from gates.slo.alerts import alerts
from pipelines.errors import Problem, RenderRefused
from pipelines.render.engine import fill
from pipelines.render.record import FILE, Serves, facts
from pipelines.spec.types import Environment, Release, Version

ALERTS = "alerts.yaml"
_LABEL = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?")
_NAME_CHARACTERS = 63
_SPLITS_SINCE = (0, 21)


def namespace(environment: Environment, tenant: str) -> str:
    """The namespace of a tenant's models in an environment."""
    return environment.namespace.replace("{tenant}", tenant)


def manifest_digest(files: Mapping[str, str]) -> str:
    """``sha256:`` digest of files: that of the JSON list of [path, text], sorted by path, in ASCII."""
    canonical = json.dumps(sorted(files.items()), separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def predictor_name(label: str, model: str) -> str:
    """The name of a version's predictor in Standard mode, unlike that of any other label.

    The label itself where it can be; else what is left of it and eight digits of its hash. KServe names
    Services ``<model>-<name>-predictor``, at most 63 characters, and wants a letter first.
    """
    room = _NAME_CHARACTERS - len(f"{model}--predictor")
    if _LABEL.fullmatch(label) and len(label) <= room:
        return label
    digits = hashlib.sha256(label.encode()).hexdigest()[:8]
    head = re.sub("[^a-z0-9]+", "-", f"v-{label}")[: room - len(digits) - 1].rstrip("-")
    return f"{head}-{digits}"


def render(
    release: Release, environment_name: str, environment: Environment, serves: Serves
) -> dict[str, str]:
    """Render what an environment should serve of a model: path -> text.

    Raises:
        RenderRefused: no correct manifest can be made of the values; names every problem.
    """
    problems = list(_problems(release, environment_name, environment, serves))
    if problems:
        raise RenderRefused(problems)
    folder = f"clusters/{environment_name}/{release.tenant}/{release.model}"
    where = {"namespace": namespace(environment, release.tenant)}
    manifest = {"model": release.model, "mode": environment.mode, **where}
    named = {"name": f"{release.model}-lockgate", **where}
    try:
        return {
            f"{folder}/inferenceservice.yaml": fill(
                "inferenceservice.yaml.j2",
                **manifest,
                **_serving(release),
                **_versions(release, environment, serves),
            ),
            f"{folder}/{FILE}": fill("record.yaml.j2", **named, facts=facts(serves)),
            **_alerts(release, environment_name, environment, folder, named),
        }
    except UnicodeEncodeError as error:
        message = f"holds half of a surrogate pair: {error.object!r}"
        raise RenderRefused([_in_release(release, "", message, "write whole characters")]) from error


def _alerts(
    release: Release, environment_name: str, environment: Environment, folder: str, named: dict[str, str]
) -> dict[str, str]:
    """The alerts' file, where the environment wants one: nothing of a promotion is in it."""
    metrics = environment.metrics
    if metrics is None or metrics.alerts is None:
        return {}
    found = alerts(
        PACKS[metrics.pack],
        namespace=named["namespace"],
        model=release.model,
        mode=environment.mode,
        objectives=release.slo.objectives(),
    )
    labels = sorted(metrics.alerts.labels.items())
    about = {"model": release.model, "environment": environment_name, "tenant": release.tenant}
    return {f"{folder}/{ALERTS}": fill("alerts.yaml.j2", **named, **about, labels=labels, alerts=found)}


def _serving(release: Release) -> dict[str, Any]:
    """The parts of the manifest that stay the same through a promotion."""
    serving = release.serving
    kinds = (("requests", serving.resources.requests), ("limits", serving.resources.limits))
    resources = [
        (kind, [(name, canonical_quantity(quantity)) for name, quantity in sorted(quantities.items())])
        for kind, quantities in kinds
        if quantities
    ]
    return {
        "format": serving.format,
        "format_version": serving.format_version,
        "protocol": serving.protocol,
        "runtime": serving.runtime,
        "min_replicas": serving.replicas.min,
        "max_replicas": serving.replicas.max,
        "service_account": serving.service_account,
        "priority_class": serving.priority_class,
        "node_selector": sorted(serving.node_selector.items()),
        "resources": resources,
        "env": sorted(serving.env.items()),
    }


def _versions(release: Release, environment: Environment, serves: Serves) -> dict[str, Any]:
    """The parts that a promotion changes: whose artifact, at which share."""
    split = environment.mode == "Standard" and _shared(serves)
    newest = serves.stable if split else serves.candidate or serves.stable
    canary = serves.candidate if split else None
    least = math.ceil(release.serving.replicas.min * serves.share_percent / 100)
    return {
        "share_percent": serves.share_percent,
        "predictor": _arm(release, newest),
        "canary": {**_arm(release, canary), "min_replicas": max(1, least)} if canary else None,
    }


def _arm(release: Release, version: Version | None) -> dict[str, Any]:
    assert version is not None  # noqa: S101 - _problems refuses to serve nothing
    return {"name": predictor_name(version.label, release.model), "uri": version.uri}


def _shared(serves: Serves) -> bool:
    """Whether two versions stand beside each other; at 100 the candidate has taken the stable's place."""
    return serves.candidate is not None and serves.stable is not None and serves.share_percent != 100


# ------------------------------------------------------------------- what cannot be


def _problems(
    release: Release, environment_name: str, environment: Environment, serves: Serves
) -> Iterator[Problem]:
    for key, name, longest in (
        ("environment", environment_name, 40),
        ("tenant", release.tenant, 40),
        ("model", release.model, 40),
        ("namespace", namespace(environment, release.tenant), _NAME_CHARACTERS),
    ):
        if not _LABEL.fullmatch(name) or len(name) > longest:
            hint = f"write lower-case letters, digits and dashes, {longest} at most"
            yield _in_release(release, key, f"{name!r} cannot be part of a Kubernetes name", hint)
    yield from _share_problems(release, serves)
    yield from _version_problems(release, serves)
    yield from _serving_problems(release)
    if environment.mode == "Standard":
        yield from _standard_problems(release, environment_name, environment, serves)


def _share_problems(release: Release, serves: Serves) -> Iterator[Problem]:
    share = serves.share_percent
    if type(share) is not int or not 0 <= share <= 100:
        yield _in_release(release, "", f"a share of {share!r} %", "use a whole number from 0 to 100")
    elif serves.stable is None and serves.candidate is None:
        yield _in_release(release, "version", "neither a stable nor a candidate version is to be served")
    elif serves.stable is None and share != 100:
        message = f"the first version ever at {share} %: alone, KServe gives it 100 % whatever the field says"
        yield _in_release(release, "version", message, "render the first version at 100")
    elif serves.candidate is None and share != 100:
        message = f"a share of {share} % without a candidate to have it"
        yield _in_release(
            release, "version", message, "render the one version at 100; abort is the candidate at 0"
        )


def _version_problems(release: Release, serves: Serves) -> Iterator[Problem]:
    versions = [version for version in (serves.stable, serves.candidate) if version is not None]
    for version in versions:
        if why := uri_problem(version.uri):
            hint = "write the URI of one immutable version"
            yield _in_release(release, "version.uri", f"{version.uri!r} {why}", hint)
    if len(versions) < 2:
        return
    stable, candidate = versions
    if stable.uri == candidate.uri or stable.label == candidate.label:
        same = "artifact" if stable.uri == candidate.uri else "label"
        message = f"candidate {candidate.label} has the same {same} as the stable version"
        hint = "a share without a new artifact would send live requests to an older version"
        yield _in_release(release, "version", message, hint)
    if release.serving.format == "triton" and last_part(stable.uri) != last_part(candidate.uri):
        ends = [last_part(version.uri) for version in versions]
        message = f"the last part of Triton's URI goes from {ends[0]!r} to {ends[1]!r}"
        hint = "keep it: it is the model's name in every inference call"
        yield _in_release(release, "version.uri", message, hint)


def _serving_problems(release: Release) -> Iterator[Problem]:
    serving = release.serving
    for kind in ("requests", "limits"):
        for resource, quantity in getattr(serving.resources, kind).items():
            try:
                canonical_quantity(quantity)
            except ValueError as error:
                yield _in_release(release, f"serving.resources.{kind}.{resource}", str(error))
    if serving.replicas.min > serving.replicas.max:
        message = f"min {serving.replicas.min} is above max {serving.replicas.max}"
        yield _in_release(release, "serving.replicas", message, "KServe refuses it; raise max")


def _standard_problems(
    release: Release, environment_name: str, environment: Environment, serves: Serves
) -> Iterator[Problem]:
    version = tuple(int(part) for part in environment.kserve.split("."))
    if _shared(serves) and (version < _SPLITS_SINCE or not environment.gateway_api):
        gateway = "with" if environment.gateway_api else "without"
        message = f"Standard mode on KServe {environment.kserve} {gateway} Gateway API splits no traffic"
        hint = "a canary there needs kserve 0.21 or newer and gateway_api: true; or use mode Knative"
        yield Problem("platform.yaml", 0, f"environments.{environment_name}", message, hint)
    if release.serving.replicas.min == 0:
        message = "Standard mode does not scale to zero"
        yield _in_release(release, "serving.replicas.min", message, "write at least 1, or use mode Knative")


def _in_release(release: Release, path: str, message: str, hint: str = "") -> Problem:
    return Problem(f"models/{release.model}/release.yaml", 0, path, message, hint)
