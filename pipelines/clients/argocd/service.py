"""A live InferenceService as a Deployment; pure.

In Knative mode the traffic entries are added up by revision: while a candidate is not ready, and on a first
deploy, both entries name the same revision. In Standard mode ``canaryStatuses[].trafficPercent`` only
repeats the wish. ``observedGeneration`` is another object's and never read; ``lastFailureInfo`` outlives
recovery and is read only beside a blocked transition.
"""

from __future__ import annotations

from typing import Any, Literal

from pipelines.ports import Deployment

Object = dict[str, Any]


def read(live: Object, mode: Literal["Knative", "Standard"]) -> Deployment:
    """What the object says of itself.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: it is not shaped like an InferenceService.
    """
    return _Knative(live).deployment() if mode == "Knative" else _Standard(live).deployment()


class _Live:
    """What both modes read alike."""

    def __init__(self, live: Object) -> None:
        self.service = str(live["metadata"]["name"])
        self.predictor: Object = live["spec"]["predictor"]
        self.canaries: list[Object] = live["spec"].get("canary") or []
        self.status: Object = live.get("status") or {}
        self.transition = text(self.status, "modelStatus", "transitionStatus")
        self.conditions: dict[str, Object] = {c["type"]: c for c in self.status.get("conditions") or []}
        self.url = str(self.status.get("url") or "")
        self.is_ready = self.conditions.get("Ready", {}).get("status") == "True"

    def failure(self) -> str:
        """Why it cannot become ready; "" while it may. A write conflict passes by itself and is no reason."""
        if self.transition in ("BlockedByFailedLoad", "InvalidSpec"):
            info = part(self.status, "modelStatus", "lastFailureInfo")
            return f"{self.transition}: {info.get('reason', 'no reason')}: {info.get('message', '')}".strip()
        for kind in ("PredictorReady", "Ready"):
            condition = self.conditions.get(kind, {})
            message = str(condition.get("message", ""))
            refused = condition.get("status") == "False" and condition.get("reason") == "ReconcileFailed"
            if refused and "object has been modified" not in message:
                return f"ReconcileFailed: {message}"
        return ""

    def waits_for(self) -> str:
        """The first reason in words why the service as a whole is not ready; "" when it is."""
        if not self.conditions:
            return "the controllers have not reported a status yet"
        if self.transition not in ("UpToDate", ""):
            return f"the newest model is {self.transition}"
        if not self.is_ready:
            bad = sorted(kind for kind, c in self.conditions.items() if _is_bad(kind, c))
            return f"conditions not True: {', '.join(bad)}"
        return ""


class _Knative(_Live):
    def __init__(self, live: Object) -> None:
        super().__init__(live)
        component = part(self.status, "components", "predictor")
        self.created = str(component.get("latestCreatedRevision") or "")
        self.ready = str(component.get("latestReadyRevision") or "")
        percent = self.predictor.get("canaryTrafficPercent")
        self.wanted = 100 if percent is None else int(percent)
        self.traffic: dict[str, int] = {}
        self.latest_percent = 0
        for entry in component.get("traffic") or []:
            share = int(entry.get("percent") or 0)
            name = str(entry["revisionName"])
            self.traffic[name] = self.traffic.get(name, 0) + share
            self.latest_percent += share if entry.get("latestRevision") else 0

    def deployment(self) -> Deployment:
        """Ready: newest revision ready, conditions true, and the shares added up by revision as asked."""
        waits = self.waits_for() or self._revisions() or self._shares()
        failed = self.failure()
        others = [name for name, share in self.traffic.items() if name != self.created and share > 0]
        return Deployment(
            exists=True,
            ready=not waits and not failed,
            failed=failed,
            sentence=failed or waits or f"{self.created} is ready with {self.wanted} %",
            uri=str(part(self.predictor, "model").get("storageUri", "")),
            traffic=self.traffic,
            newest_revision=self.created,
            stable_revision=others[0] if others else "",
            url=self.url,
        )

    def _revisions(self) -> str:
        if not self.created or self.created != self.ready:
            return f"revision {self.created or '?'} is not ready; {self.ready or 'none'} is the newest ready"
        return ""

    def _shares(self) -> str:
        if self.traffic.get(self.created, 0) == self.wanted and sum(self.traffic.values()) == 100:
            return ""
        if self.wanted < 100 and self.latest_percent == self.wanted and len(self.traffic) == 1:
            return (
                f"{self.created} has 100 % though {self.wanted} % is asked: no other revision was ever "
                "rolled out here, as after re-creating the service in mid-canary"
            )
        shown = ", ".join(f"{name} {share} %" for name, share in self.traffic.items())
        return f"asked are {self.wanted} % for the newest revision; the status says {shown or 'nothing'}"


class _Standard(_Live):
    def __init__(self, live: Object) -> None:
        super().__init__(live)
        self.stable = self._deployment_name(self.predictor)
        self.statuses = {entry["name"]: entry for entry in self.status.get("canaryStatuses") or []}

    def deployment(self) -> Deployment:
        """Ready: the stable, and every canary entry by its status; the percent there is the wish."""
        failed = self.failure()
        waits = self.waits_for() or self._entries()
        newest = self.canaries[-1]["predictor"] if self.canaries else self.predictor
        model = {**part(self.predictor, "model"), **part(newest, "model")}
        return Deployment(
            exists=True,
            ready=not waits and not failed,
            failed=failed,
            sentence=failed or waits or f"{self._deployment_name(newest)} is ready",
            uri=str(model.get("storageUri", "")),
            traffic=self._traffic(),
            newest_revision=self._deployment_name(newest),
            stable_revision=self.stable if self.canaries else "",
            url=self.url,
        )

    def _deployment_name(self, predictor: Object) -> str:
        name = predictor.get("name")
        return f"{self.service}-{name}-predictor" if name else f"{self.service}-predictor"

    def _traffic(self) -> dict[str, int]:
        shares = {self._deployment_name(c["predictor"]): int(c["trafficPercent"]) for c in self.canaries}
        return {self.stable: 100 - sum(shares.values()), **shares}

    def _entries(self) -> str:
        wanted = {str(c["predictor"]["name"]): int(c["trafficPercent"]) for c in self.canaries}
        if left := sorted(set(self.statuses) - set(wanted)):
            return f"the status still names {', '.join(left)}"
        for name, percent in wanted.items():
            entry = self.statuses.get(name)
            if entry is None or int(entry.get("trafficPercent") or 0) != percent:
                return f"the controllers have not come to entry {name} at {percent} % yet"
            if entry.get("ready") is not True:
                return f"entry {name} is not ready"
        return ""


def _is_bad(kind: str, condition: Object) -> bool:
    return bool(kind != "Stopped" and condition.get("status") != "True")


def absent(sentence: str) -> Deployment:
    """A service that is not there."""
    return Deployment(
        exists=False,
        ready=False,
        failed="",
        sentence=sentence,
        uri="",
        traffic={},
        newest_revision="",
        stable_revision="",
        url="",
    )


def part(value: Object, *keys: str) -> Object:
    """The object at a path; {} when any part is missing or of another kind."""
    for key in keys:
        found = value.get(key)
        if not isinstance(found, dict):
            return {}
        value = found
    return value


def text(value: Object, *keys: str) -> str:
    """The text at a path; "" when any part is missing or of another kind."""
    found = part(value, *keys[:-1]).get(keys[-1])
    return found if isinstance(found, str) else ""
