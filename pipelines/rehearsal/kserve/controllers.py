"""One controller per InferenceService: the pure machine of its mode, and the objects it makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pipelines.rehearsal.kserve import knative, standard, wishes
from pipelines.rehearsal.kserve.knative import Condition
from pipelines.rehearsal.kserve.standard import KServeVersion
from pipelines.rehearsal.parts import Backend

SOURCE_URI = "internal.serving.kserve.io/storage-initializer-sourceuri"
TRACKING = "argocd.argoproj.io/tracking-id"
Object = dict[str, Any]


class Controller(Protocol):
    """What both modes offer the reconcile loop; server names are without their namespace."""

    def advance(self, item: Mapping[str, Any], servers: Mapping[str, Backend]) -> None:
        """Let the controllers act on the newest spec and on how the servers are."""
        ...

    def needed(self) -> dict[str, str]:
        """Servers that must run: name -> artifact URI."""
        ...

    def split(self) -> dict[str, tuple[str, int]]:
        """Where requests go: name in the metrics -> (server, percent)."""
        ...

    def conditions(self, servers: Mapping[str, Backend]) -> dict[str, Condition]:
        """Conditions by type."""
        ...

    def status(self, url: str, addresses: Mapping[str, str]) -> Object:
        """The status without conditions."""
        ...

    def children(self, owner: Object) -> list[Object]:
        """Objects made for the InferenceService, as Argo CD's resource tree shows them."""
        ...


class Knative:
    """Knative mode."""

    def __init__(self, service: str) -> None:
        self.state = knative.State(service=f"{service}-predictor")
        self._tag_routing = False

    def advance(self, item: Mapping[str, Any], servers: Mapping[str, Backend]) -> None:
        """See :class:`Controller`."""
        wish = wishes.of_knative(item)
        self._tag_routing = wish.tag_routing
        self.state = knative.settle(self.state, wish, servers)

    def needed(self) -> dict[str, str]:
        """See :class:`Controller`."""
        return {revision.name: revision.uri for revision in knative.needed(self.state)}

    def split(self) -> dict[str, tuple[str, int]]:
        """See :class:`Controller`."""
        return {name: (name, percent) for name, percent in knative.shares(self.state.served).items()}

    def conditions(self, servers: Mapping[str, Backend]) -> dict[str, Condition]:
        """See :class:`Controller`."""
        return knative.conditions(self.state, servers)

    def status(self, url: str, addresses: Mapping[str, str]) -> Object:
        """See :class:`Controller`; a tagged entry's url goes straight to its revision."""
        return knative.status(self.state, url, addresses if self._tag_routing else {})

    def children(self, owner: Object) -> list[Object]:
        """See :class:`Controller`."""
        service = _child(owner, "serving.knative.dev/v1", "Service", self.state.service)
        service["metadata"]["generation"] = self.state.generation
        return [service, *(_revision(owner, revision) for revision in self.state.revisions)]


class Standard:
    """Standard mode."""

    def __init__(self, version: KServeVersion) -> None:
        self.state = standard.State()
        self._version = version

    def advance(self, item: Mapping[str, Any], servers: Mapping[str, Backend]) -> None:
        """See :class:`Controller`."""
        self.state = standard.step(self.state, wishes.of_standard(item), servers, self._version)

    def needed(self) -> dict[str, str]:
        """See :class:`Controller`."""
        return standard.needed(self.state)

    def split(self) -> dict[str, tuple[str, int]]:
        """See :class:`Controller`."""
        return {weight.deployment: (weight.server, weight.percent) for weight in self.state.served}

    def conditions(self, servers: Mapping[str, Backend]) -> dict[str, Condition]:
        """See :class:`Controller`."""
        return standard.conditions(self.state)

    def status(self, url: str, addresses: Mapping[str, str]) -> Object:
        """See :class:`Controller`; addresses are Knative's alone."""
        return standard.status(self.state, url)

    def children(self, owner: Object) -> list[Object]:
        """See :class:`Controller`."""
        wish = self.state.wish
        if wish is None:
            return []
        made: list[Object] = []
        for workload in (wish.stable, *wish.canaries):
            made.append(_deployment(owner, workload, workload.deployment in self.state.ready))
            made.append(_child(owner, "v1", "Service", workload.deployment))
            if wish.autoscaled:
                made.append(autoscaler(owner, workload.deployment))
        made += [orphan(owner, name) for name in self.state.orphans]
        return [*made, self._route(owner)]

    def _route(self, owner: Object) -> Object:
        route = _child(owner, "gateway.networking.k8s.io/v1", "HTTPRoute", owner["metadata"]["name"])
        weights = self.state.served
        alone = len(weights) == 1
        refs = [{"name": w.deployment, "port": 80, "weight": 1 if alone else w.percent} for w in weights]
        route["spec"] = {"rules": [{"backendRefs": refs}]}
        return route


def _child(owner: Object, api_version: str, kind: str, name: str) -> Object:
    metadata = owner["metadata"]
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    child = {"name": name, "namespace": metadata["namespace"], "ownerReferences": [reference]}
    return {"apiVersion": api_version, "kind": kind, "metadata": child}


def _revision(owner: Object, revision: knative.Revision) -> Object:
    made = _child(owner, "serving.knative.dev/v1", "Revision", revision.name)
    made["metadata"]["annotations"] = {SOURCE_URI: revision.uri}
    return made


def _deployment(owner: Object, workload: standard.Workload, ready: bool) -> Object:
    made = _child(owner, "apps/v1", "Deployment", workload.deployment)
    template = {"metadata": {"annotations": {SOURCE_URI: workload.uri}}}
    made["spec"] = {"replicas": workload.replicas, "template": template}
    made["status"] = {"replicas": workload.replicas, "readyReplicas": workload.replicas if ready else 0}
    return made


def autoscaler(owner: Object, name: str) -> Object:
    """A HorizontalPodAutoscaler, with the tracking annotation copied from its owner."""
    made = _child(owner, "autoscaling/v2", "HorizontalPodAutoscaler", name)
    tracking = owner["metadata"].get("annotations", {}).get(TRACKING)
    made["metadata"]["annotations"] = {TRACKING: tracking} if tracking else {}
    return made


def orphan(owner: Object, name: str) -> Object:
    """An autoscaler whose canary is gone: no owner, yet still tracked."""
    made = autoscaler(owner, name)
    del made["metadata"]["ownerReferences"]
    return made
