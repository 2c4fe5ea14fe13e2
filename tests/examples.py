"""A model, its versions and the environments that the tests of rendering and policy share."""

from __future__ import annotations

from typing import Any

from pipelines.render import Serves
from pipelines.spec.types import Environment, Release, Serving, Version

PROMOTION = "fraud-scorer-prod-20261121T031500Z-7f3a"


def version(label: str, **changes: Any) -> Version:
    """A version whose URI and digest follow from its label."""
    digit = label[-1] if label[-1].isdigit() else "0"
    facts = {"label": label, "uri": f"s3://models/fraud-scorer/{label}", "digest": "sha256:" + digit * 64}
    return Version(**{**facts, **changes})


V1, V2, V3 = (version(label) for label in ("v1", "v2", "v3"))

SERVING: dict[str, Any] = {
    "format": "sklearn",
    "format_version": "1",
    "runtime": "kserve-sklearnserver",
    "replicas": {"min": 4, "max": 8},
    "resources": {"requests": {"memory": "2048Mi", "cpu": "1.5"}, "limits": {"memory": "4Gi"}},
    "service_account": "models",
    "priority_class": "online",
    "node_selector": {"pool": "online", "disk": "ssd"},
    "env": {"THRESHOLD": "0.5", "GREETING": 'a "quoted"\nline'},
}


def release(serving: dict[str, Any] | None = None, **changes: Any) -> Release:
    """The fraud scorer's release; ``serving`` replaces single keys of that section."""
    return Release.model_validate(
        {
            "model": "fraud-scorer",
            "tenant": "risk",
            "owners": ("anna@example.com",),
            "tier": "regulated",
            "description": "Scores card payments",
            "version": V2,
            "serving": Serving.model_validate({**SERVING, **(serving or {})}),
            "slo": {
                "latency": {"threshold_ms": 50.0, "target_percent": 99.0},
                "error_budget_percent": 0.5,
                "peak_rps": 40.0,
            },
            **changes,
        }
    )


def unchecked(of: Any, **changes: Any) -> Any:
    """A value with parts that what people write could never have: nothing is validated."""
    return of.model_copy(update=changes)


def environment(mode: str = "Knative", **changes: Any) -> Environment:
    """An environment that can split traffic in this mode."""
    argocd = {
        "url": "https://argocd.example",
        "project": "risk",
        "application": "{model}-prod",
        "token": "env:ARGOCD_TOKEN",
    }
    able = {"kserve": "0.21", "gateway_api": True}
    return Environment.model_validate(
        {"mode": mode, "namespace": "{tenant}-prod", "argocd": argocd, **able, **changes}
    )


def serves(share_percent: int, stable: Version | None = V1, candidate: Version | None = V2) -> Serves:
    """The fraud scorer with this share for its candidate."""
    return Serves(stable=stable, candidate=candidate, share_percent=share_percent, promotion=PROMOTION)
