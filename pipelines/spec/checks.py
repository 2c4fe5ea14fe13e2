"""Rules across the sections of platform.yaml, and between a release and its platform.

Each rule yields its problems where they stand in the file. They run on what is valid, so that one wrong
line does not hide what is wrong elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from gates.metrics import PACKS
from pipelines.errors import Problem
from pipelines.spec import packs, settings
from pipelines.spec.scalars import Path, near, show
from pipelines.spec.types import Environment, Freeze, Risk, Systems, Tier
from pipelines.spec.yaml import Document

_LOOPBACK = re.compile(r"localhost|127(\.[0-9]+){3}|::1")
_FIRST_SPLITTING_STANDARD = (0, 21)
"""Older KServe splits nothing in Standard mode, and says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The valid sections of a platform.yaml, and the names of all it has."""

    systems: Systems | None = None
    environments: Mapping[str, Environment] = field(default_factory=dict)
    tiers: Mapping[str, Tier] = field(default_factory=dict)
    gates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Tier -> its gates, also of tiers that are wrong elsewhere."""
    freezes: tuple[Freeze, ...] = ()
    environment_names: frozenset[str] = frozenset()
    tier_names: frozenset[str] = frozenset()


def platform_problems(parts: Parts, document: Document) -> Iterator[Problem]:
    """What is wrong across the sections of a platform.yaml."""
    for name, environment in parts.environments.items():
        yield from _references(name, environment, parts, document)
        yield from _splits(name, environment, parts, document)
        yield from _metrics_pack(name, environment, document)
    yield from _cycles(parts, document)
    yield from _shared_applications(parts, document)
    yield from _previews(parts, document)
    for name, gates in parts.gates.items():
        yield from settings.tier_problems(document, name, gates)
    for name, tier in parts.tiers.items():
        yield from _approval(name, tier, parts, document)
        yield from _approval_type(name, tier, document)
        yield from _judged(name, tier, document)
        yield from _roles(name, tier, document)
        yield from _pack(name, tier, document)
    for position, freeze in enumerate(parts.freezes):
        for place, name in enumerate(freeze.environments):
            path = ("freezes", position, "environments", place)
            yield from _exists(name, "environment", parts.environment_names, path, document)
    yield from _clear_text(parts, document)


def _exists(name: str, what: str, known: frozenset[str], path: Path, document: Document) -> Iterator[Problem]:
    if known and name not in known:
        yield document.problem(path, f"there is no {what} {show(name)}", near(name, known))


def _references(name: str, environment: Environment, parts: Parts, document: Document) -> Iterator[Problem]:
    for key, other in (("after", environment.after), ("preview", environment.preview)):
        path = ("environments", name, key)
        if other == name:
            yield document.problem(path, "names the environment itself")
        elif other is not None:
            yield from _exists(other, "environment", parts.environment_names, path, document)


def _splits(name: str, environment: Environment, parts: Parts, document: Document) -> Iterator[Problem]:
    """Standard mode splits traffic only by Gateway API and from KServe 0.21 on."""
    previews = {other.preview for other in parts.environments.values()}
    canaries = sorted(tier for tier, held in parts.tiers.items() if held.strategy == "canary")
    if environment.mode == "Knative" or name in previews or not canaries:
        return
    why = f"the tier {canaries[0]} splits traffic, which mode Standard does only"
    version = tuple(int(part) for part in environment.kserve.split(".")[:2])
    if version < _FIRST_SPLITTING_STANDARD:
        message = f"{why} from KServe 0.21 on; got {show(environment.kserve)}"
        yield document.problem(("environments", name, "kserve"), message, "use mode Knative")
    if not environment.gateway_api:
        message = f"{why} with the Gateway API"
        yield document.problem(("environments", name, "gateway_api"), message, "write gateway_api: true")


def _metrics_pack(name: str, environment: Environment, document: Document) -> Iterator[Problem]:
    """Unknown, nothing could be counted there, and every promotion would hold until its budget is spent."""
    metrics = environment.metrics
    if metrics is not None and metrics.pack not in PACKS:
        path: Path = ("environments", name, "metrics", "pack")
        yield document.problem(
            path, f"there is no metrics pack {show(metrics.pack)}", near(metrics.pack, PACKS)
        )


def _cycles(parts: Parts, document: Document) -> Iterator[Problem]:
    """Environments that wait for one another for ever, one problem per circle."""
    told: set[str] = set()
    for start in parts.environments:
        chain: list[str] = []
        name = start
        while name in parts.environments and name not in told and name not in chain:
            chain.append(name)
            name = parts.environments[name].after or ""
        if name in chain[:-1]:
            circle = " after ".join([*chain[chain.index(name) :], name])
            path = ("environments", chain[-1], "after")
            yield document.problem(path, f"makes environments wait for one another: {circle}")
        told.update(chain)


def _shared_applications(parts: Parts, document: Document) -> Iterator[Problem]:
    seen: dict[tuple[str, str], str] = {}
    for name, environment in parts.environments.items():
        target = (environment.argocd.url, environment.argocd.application)
        if target in seen:
            message = f"is the application of {seen[target]} too; one application applies one environment"
            yield document.problem(("environments", name, "argocd", "application"), message)
        seen.setdefault(target, name)


def _previews(parts: Parts, document: Document) -> Iterator[Problem]:
    """A preview environment runs candidates and nothing else: no promotion goes there."""
    for name, environment in parts.environments.items():
        preview = parts.environments.get(environment.preview or "")
        if preview is None or environment.preview == name:
            continue
        for key in ("after", "preview"):
            if getattr(preview, key) is not None:
                path = ("environments", str(environment.preview), key)
                yield document.problem(
                    path, f"is the preview environment of {name} and can have none", "remove it"
                )
    previews = {held.preview for name, held in parts.environments.items() if held.preview != name}
    for name, environment in parts.environments.items():
        if environment.after in previews - {None, name}:
            message = f"{environment.after} is a preview environment, where nothing ends at 100 %"
            yield document.problem(("environments", name, "after"), message)


def _approval(name: str, tier: Tier, parts: Parts, document: Document) -> Iterator[Problem]:
    base: Path = ("tiers", name)
    if tier.approval is not None and parts.systems is not None and parts.systems.change_desk is None:
        hint = "add systems.change_desk, or remove approval"
        yield document.problem((*base, "approval"), "needs a change desk, and the platform has none", hint)
    if tier.approval is not None and "approval" not in tier.gates:
        message = "needs the gate approval, which reads the answer"
        yield document.problem((*base, "approval"), message, "add `approval: {}` to gates")
    if tier.approval is None and "approval" in tier.gates:
        message = "has nothing to read: the tier asks for no approval"
        yield document.problem(
            (*base, "gates", "approval"), message, "add approval to the tier, or remove it"
        )


def _approval_type(name: str, tier: Tier, document: Document) -> Iterator[Problem]:
    """The gate must accept the kind of change the tier asks for, or it would wait for nothing."""
    if tier.approval is None or "approval" not in tier.gates:
        return
    kind, accepted = tier.approval.type, tier.gates["approval"].get("types", ["normal"])
    if isinstance(accepted, list) and kind not in accepted:
        message = f"does not accept {kind}, the type of change this tier asks for; got {show(accepted)}"
        yield document.problem(("tiers", name, "gates", "approval", "types"), message, f"add {kind}")


def _judged(name: str, tier: Tier, document: Document) -> Iterator[Problem]:
    found = [settings.find_gate(gate) for gate in tier.gates if gate not in tier.informative]
    # A gate that cannot be found has its own problem, and may be the one that watches.
    watched = any(isinstance(gate, str) or gate.phase == "bake" for gate in found)
    if tier.strategy == "canary" and not watched:
        message = "a canary needs a gate that watches its shares; without one nothing could stop it"
        yield document.problem(("tiers", name, "gates"), message, "add the gates share and slo")


def _roles(name: str, tier: Tier, document: Document) -> Iterator[Problem]:
    """A gate has one role, and what an approval or the manifests say is never outvoted."""
    weights = tier.score.weights if tier.score else {}
    listed = [(("informative", place), gate) for place, gate in enumerate(tier.informative)]
    weighted = [(("score", "weights", gate), gate) for gate in weights]
    for key, gate in (*listed, *weighted):
        path: Path = ("tiers", name, *key)
        found = settings.find_gate(gate)
        if gate not in tier.gates:
            yield document.problem(path, "the tier does not ask this gate", near(gate, tier.gates))
        elif gate == "policy" or (not isinstance(found, str) and found.phase == "approve"):
            yield document.problem(path, "this gate must pass in every tier", "remove it here")
        elif key[0] == "score" and gate in tier.informative:
            yield document.problem(
                path, "is informative, so it cannot have a weight", "remove it here or there"
            )


def _pack(name: str, tier: Tier, document: Document) -> Iterator[Problem]:
    """A tier that names a policy pack asks the gates whose verdicts the pack wants."""
    path: Path = ("tiers", name, "evidence")
    if tier.evidence is None:
        return
    if tier.evidence not in packs.names():
        hint = near(tier.evidence, packs.names())
        yield document.problem(path, f"there is no policy pack {show(tier.evidence)}", hint)
    elif unasked := packs.pack(tier.evidence).unasked(tier):
        message = f"wants verdicts of {', '.join(unasked)}, which the tier does not ask as required gates"
        yield document.problem(path, message, "add them to gates")


def _unsaid(raw: Mapping[str, Any], tier: Tier, document: Document) -> Iterator[Problem]:
    """What the tier's policy pack wants to read about the model."""
    if tier.evidence not in packs.names() or document.is_spoiled(("risk",)):
        return
    pack = packs.pack(str(tier.evidence))
    try:
        risk = Risk.model_validate(raw.get("risk") or {})
    except ValidationError:
        return  # complained about where it stands
    if unsaid := pack.unsaid(risk):
        message = f"the policy pack {pack.name} misses {', '.join(unsaid)}"
        yield document.problem(("risk",), message, "fill them in; the change is requested with them")
    if (
        risk.developer
        and risk.developer == risk.validator
        and {"developer", "validator"} <= set(pack.distinct)
    ):
        message = f"is {risk.validator}, the developer too; the policy pack {pack.name} wants two people"
        yield document.problem(("risk", "validator"), message, "name who challenged the model")


def _clear_text(parts: Parts, document: Document) -> Iterator[Problem]:
    """Sections that would send a secret over plain HTTP beyond this machine."""
    for path, url in _urls_with_secrets(parts):
        if url.startswith("http://") and not _LOOPBACK.fullmatch(host := _host(url)):
            message = f"would send a secret over plain HTTP to {show(host)}"
            yield document.problem(path, message, "write an https:// address")


def _urls_with_secrets(parts: Parts) -> Iterator[tuple[Path, str]]:
    if (systems := parts.systems) is not None:
        yield ("systems", "forge", "api_url"), systems.forge.api_url
        yield ("systems", "forge", "git_url"), systems.forge.git_url
        if systems.change_desk is not None:
            yield ("systems", "change_desk", "url"), systems.change_desk.url
        if systems.registry is not None and systems.registry.token is not None:
            yield ("systems", "registry", "url"), systems.registry.url
        if systems.workflows is not None:
            yield ("systems", "workflows", "url"), systems.workflows.url
    for name, environment in parts.environments.items():
        yield ("environments", name, "argocd", "url"), environment.argocd.url
        if environment.metrics is not None and environment.metrics.token is not None:
            yield ("environments", name, "metrics", "url"), environment.metrics.url


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def release_problems(raw: Mapping[str, Any], parts: Parts, document: Document) -> Iterator[Problem]:
    """What is wrong with a release, given its folder and platform; ``raw`` is the file as it was read."""
    model, tier_name, tenant = (raw.get(key) for key in ("model", "tier", "tenant"))
    folder = PurePosixPath(document.file).parent.name
    if isinstance(model, str) and folder and model != folder:
        message = f"is {show(model)}, but the file stands in the folder {show(folder)}"
        yield document.problem(("model",), message, "give both the same name")
    if isinstance(tenant, str):
        yield from _namespaces(tenant, parts, document)
    if not isinstance(tier_name, str) or not parts.tier_names:
        return
    yield from _exists(tier_name, "tier", parts.tier_names, ("tier",), document)
    tier = parts.tiers.get(tier_name)
    unsaid = raw.get("change") is None and not document.is_spoiled(("change",))
    if tier is not None and tier.approval is not None and unsaid:
        message = f"is missing; the tier {tier_name} asks for a change request"
        yield document.problem(("change",), message, "add configuration_item and assignment_group")
    if tier is not None:
        yield from _unsaid(raw, tier, document)
    gates = raw.get("gates", {})
    if tier_name in parts.gates and isinstance(gates, dict):
        yield from settings.release_problems(document, tier_name, parts.gates[tier_name], gates)


def _namespaces(tenant: str, parts: Parts, document: Document) -> Iterator[Problem]:
    for name, environment in parts.environments.items():
        namespace = environment.namespace.replace("{tenant}", tenant)
        if len(namespace) > 63:
            message = f"makes the namespace of {name} {len(namespace)} characters long; at most 63 fit"
            yield document.problem(("tenant",), message, "use a shorter name")
