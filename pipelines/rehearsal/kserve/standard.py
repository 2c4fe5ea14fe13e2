"""Standard mode, pure: Deployments of the stable and of each ``spec.canary`` entry, and what splits.

KServe 0.20 starts canaries but splits nothing; 0.21 gives ready canaries their weight. Either way
``canaryStatuses[].trafficPercent`` only repeats the wish. A Deployment's server is replaced when its pod
template changes, the old one serving until the new one is ready. Removed canaries leave their
HorizontalPodAutoscaler behind, as seen on 0.20.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipelines.rehearsal.kserve.knative import STARTING, Condition
from pipelines.rehearsal.parts import Backend

KServeVersion = Literal["0.20", "0.21"]
_GOOD: Condition = ("True", "", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One wished Deployment: the stable, or a canary."""

    deployment: str
    """Deployment, Service and HorizontalPodAutoscaler share this name."""
    entry: str
    """predictor.name; "" for an unnamed stable."""
    template: str
    uri: str
    replicas: int
    percent: int = 0
    """The canary's wish; unused for the stable."""

    @property
    def server(self) -> str:
        """Name of the server of this pod template, as a ReplicaSet is named."""
        return f"{self.deployment}-{hashlib.sha256(self.template.encode()).hexdigest()[:10]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the newest spec asks for."""

    stable: Workload
    canaries: tuple[Workload, ...] = ()
    autoscaled: bool = True
    """False with ``autoscalerClass: none``: no autoscaler, and a canary at 0 has no pod."""
    unservable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One backendRef of the HTTPRoute."""

    deployment: str
    server: str
    uri: str
    percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the cluster holds for one InferenceService."""

    wish: Wish | None = None
    """The wish last acted on."""
    running: tuple[tuple[str, str, str], ...] = ()
    """(deployment, server, uri) that last was ready, by deployment."""
    served: tuple[Weight, ...] = ()
    ready: tuple[str, ...] = ()
    """Deployments whose newest server is ready."""
    orphans: tuple[str, ...] = ()
    """HorizontalPodAutoscalers nobody owns any more."""
    generation: int = 0
    active: str = ""
    target: str = ""
    transition: str = ""
    failure: tuple[tuple[str, str], ...] = ()


def step(state: State, wish: Wish, servers: Mapping[str, Backend], version: KServeVersion) -> State:
    """One round of the controller; a fixed point after one call with the same arguments."""
    if wish.unservable:
        failure = (("reason", "NoSupportingRuntime"), ("message", wish.unservable))
        return replace(state, wish=wish, transition="InvalidSpec", failure=failure)
    state = replace(_adopt(state, wish), wish=wish)
    wanted = (wish.stable, *wish.canaries)
    ready = tuple(w.deployment for w in wanted if w.replicas and _up(w, servers))
    held = {deployment: (server, uri) for deployment, server, uri in state.running}
    held |= {w.deployment: (w.server, w.uri) for w in wanted if w.deployment in ready}
    names = {w.deployment for w in wanted}
    running = tuple((name, *held[name]) for name in sorted(held) if name in names)
    served = _weights(wish, held, ready, version) or state.served
    return _model_status(
        replace(state, ready=ready, running=running, served=served),
        servers.get(wish.stable.server, STARTING),
    )


def _adopt(state: State, wish: Wish) -> State:
    """Note the autoscalers that lose their canary, and a change of the stable's pod template."""
    if state.wish is None:
        return replace(state, generation=1)
    if state.wish == wish:
        return state
    now = {w.deployment for w in wish.canaries}
    left = [w.deployment for w in state.wish.canaries if w.deployment not in now] if wish.autoscaled else []
    orphans = tuple(sorted({*state.orphans, *left} - now))
    changed = state.wish.stable.server != wish.stable.server
    return replace(state, orphans=orphans, generation=state.generation + (1 if changed else 0))


def _up(workload: Workload, servers: Mapping[str, Backend]) -> bool:
    return servers.get(workload.server, STARTING).state == "ready"


def _weights(
    wish: Wish, held: Mapping[str, tuple[str, str]], ready: tuple[str, ...], version: KServeVersion
) -> tuple[Weight, ...]:
    stable = wish.stable.deployment
    if stable not in held:
        return ()
    split = [w for w in wish.canaries if w.deployment in ready] if version != "0.20" else []
    rest = 100 - sum(w.percent for w in split)
    weights = [Weight(deployment=stable, server=held[stable][0], uri=held[stable][1], percent=rest)]
    weights += [Weight(deployment=w.deployment, server=w.server, uri=w.uri, percent=w.percent) for w in split]
    return tuple(weights)


def _model_status(state: State, server: Backend) -> State:
    if server.state == "failed":
        failure = (("reason", "ModelLoadFailed"), ("message", server.reason), ("exitCode", "1"))
        return replace(state, target="FailedToLoad", transition="BlockedByFailedLoad", failure=failure)
    if server.state == "ready":
        return replace(state, active="Loaded", target="Loaded", transition="UpToDate")
    return replace(state, target="Pending", transition="InProgress")


def needed(state: State) -> dict[str, str]:
    """Servers that must run (name -> uri): every wished pod template, and whatever still serves."""
    wanted: dict[str, str] = {}
    if state.wish is not None:
        workloads = (state.wish.stable, *state.wish.canaries)
        wanted = {w.server: w.uri for w in workloads if w.replicas}
    return {**{w.server: w.uri for w in state.served}, **wanted}


def conditions(state: State) -> dict[str, Condition]:
    """The InferenceService's conditions by type; Ready never depends on a canary."""
    wish = state.wish
    predictor: Condition = ("Unknown", "", "")
    if wish is None:
        return {"Ready": predictor}
    if wish.unservable:
        predictor = ("False", "ReconcileFailed", wish.unservable)
    elif wish.stable.deployment in state.ready:
        predictor = _GOOD
    elif state.transition == "BlockedByFailedLoad":
        predictor = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    told = {
        "IngressReady": _GOOD if state.served else ("Unknown", "", ""),
        "PredictorReady": predictor,
        "Ready": predictor,
        "Stopped": ("False", "", ""),
    }
    if wish.canaries:
        good = all(w.deployment in state.ready for w in wish.canaries)
        told["CanaryPredictorReady"] = (
            ("True", "AllCanariesReady", "") if good else ("False", "CanariesNotReady", "")
        )
    return told


def status(state: State, url: str) -> dict[str, Any]:
    """The status without its conditions."""
    model: dict[str, Any] = {
        "transitionStatus": state.transition,
        "states": {"activeModelState": state.active, "targetModelState": state.target},
    }
    if state.failure:
        model["lastFailureInfo"] = dict(state.failure)
    told: dict[str, Any] = {
        "components": {"predictor": {"url": url} if state.served else {}},
        "deploymentMode": "Standard",
        "modelStatus": model,
        "observedGeneration": state.generation,
    }
    if state.served:
        told |= {"url": url, "address": {"url": url}}
    if state.wish is not None and state.wish.canaries:
        told["canaryStatuses"] = [
            {
                "name": w.entry,
                "ready": w.deployment in state.ready,
                "trafficPercent": w.percent,
                "modelStatus": {"transitionStatus": ""},
            }
            for w in state.wish.canaries
        ]
    return told
