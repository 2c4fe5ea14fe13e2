"""Pure parts of Argo CD: three-way apply, what counts as in sync, health of InferenceServices."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
TRACKING = "argocd.argoproj.io/tracking-id"
_WORST_LAST = ("Healthy", "Suspended", "Progressing", "Degraded")


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """What names one object in a cluster."""

    group: str
    kind: str
    namespace: str
    name: str

    @property
    def tracking(self) -> str:
        """The part of the tracking annotation behind the application's name."""
        return f"{self.group}/{self.kind}:{self.namespace}/{self.name}"


def identify(item: Mapping[str, Any]) -> Identity:
    """The identity of an object that has its namespace."""
    api = str(item.get("apiVersion", "v1"))
    group = api.rpartition("/")[0]
    metadata = item["metadata"]
    return Identity(group, str(item["kind"]), str(metadata.get("namespace", "")), str(metadata["name"]))


def merge(last: Any, desired: Any, live: Any) -> Any:
    """Three-way apply: desired over live, without what the last apply had and desired has no more.

    Lists are replaced whole, as a JSON merge patch does to custom resources.
    """
    if not isinstance(desired, Mapping) or not isinstance(live, Mapping):
        return copy.deepcopy(desired)
    before = last if isinstance(last, Mapping) else {}
    merged = {key: copy.deepcopy(value) for key, value in live.items() if key in desired or key not in before}
    for key, value in desired.items():
        merged[key] = merge(before.get(key), value, live.get(key))
    return {key: value for key, value in merged.items() if value is not None}


def agrees(last: Any, desired: Any, live: Any) -> bool:
    """True when applying would change nothing: all that is desired is live, nothing dropped still is.

    Fields the cluster added itself do not count, also inside lists of equal length.
    """
    if isinstance(desired, Mapping):
        if not isinstance(live, Mapping):
            return not desired and live is None
        before = last if isinstance(last, Mapping) else {}
        gone = [key for key in before if key not in desired and key in live]
        return not gone and all(
            value is None or agrees(before.get(key), value, live.get(key)) for key, value in desired.items()
        )
    if isinstance(desired, list):
        if not isinstance(live, list) or len(live) != len(desired):
            return False
        before_list = last if isinstance(last, list) and len(last) == len(desired) else [None] * len(desired)
        return all(agrees(b, d, li) for b, d, li in zip(before_list, desired, live, strict=True))
    return type(desired) is type(live) and bool(desired == live)


@dataclass(frozen=True, slots=True)
class Health:
    """Health of one object, as the resource customisation tells it."""

    status: str
    message: str = ""

    def json(self) -> Object:
        """As the API writes it."""
        return {"status": self.status, **({"message": self.message} if self.message else {})}


def service_health(item: Mapping[str, Any]) -> Health:
    """Health of an InferenceService by the script Argo CD 3.5.7 ships.

    It never says Degraded for a False condition, and it does not look at canary traffic.
    """
    status = item.get("status") or {}
    conditions = status.get("conditions")
    if not conditions:
        return Health("Progressing", "Waiting for InferenceService to report status...")
    if any(c["type"] == "Stopped" and c["status"] == "True" for c in conditions):
        return Health("Suspended", "InferenceService is Stopped")
    bad = [c for c in conditions if c["type"] != "Stopped" and c["status"] != "True"]
    transition = (status.get("modelStatus") or {}).get("transitionStatus", "")
    message = "\n".join(
        " ".join(filter(None, (c["type"], "is", c["status"], c.get("reason"), c.get("message")))) for c in bad
    )
    if transition in ("BlockedByFailedLoad", "InvalidSpec"):
        return Health("Degraded", f"transitionStatus {transition}")
    if bad or transition == "InProgress":
        return Health("Progressing", message or f"transitionStatus {transition}")
    return Health("Healthy", "InferenceService is healthy.")


def worst(healths: Iterable[str]) -> str:
    """An application's health; Missing objects do not count, as seen."""
    known = [health for health in healths if health in _WORST_LAST]
    return max(known, key=_WORST_LAST.index, default="Healthy")
