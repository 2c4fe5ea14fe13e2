"""What the rehearsal's repository says before anything happens: platform.yaml and the first release.yaml.

Short windows come from here, not from special cases: the same code waits seconds instead of minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from pipelines.rehearsal.training import Catalogue

TENANT = "risk"
FORGE_TOKEN, DESK_PASSWORD, ARGOCD_TOKEN = (
    "LOCKGATE_FORGE_TOKEN",
    "LOCKGATE_DESK_PASSWORD",
    "LOCKGATE_ARGOCD_TOKEN",
)
GIT_TOKEN = "LOCKGATE_GIT_TOKEN"  # noqa: S105 - the name of a variable
GOLDEN = "models/fraud-scorer/golden.csv"
RISK_GROUP = "Model Risk"
PEAK_RPS = 120.0
"""What callers send to production, at all times."""
SLOW_MS = 100.0
"""Far above what a busy machine does to a good answer, and below v3's delay; an edge of Envoy's histogram."""
IN_TIME_PERCENT = 90.0
"""v3 misses it by so little that no objective shows it soon; beside v2 it shows."""


def platform(
    *, forge_api: str, git_url: str, repository: str, desk: str, argocd: str, prometheus: str
) -> str:
    """platform.yaml of the rehearsal."""
    return yaml.safe_dump(
        {
            "systems": {
                "forge": {
                    "api_url": forge_api,
                    "git_url": git_url,
                    "repository": repository,
                    "token": f"env:{FORGE_TOKEN}",
                },
                "change_desk": {
                    "url": desk,
                    "user": "lockgate",
                    "password": f"env:{DESK_PASSWORD}",
                    "window": "2h",
                },
            },
            "environments": {
                "preview": _environment(argocd, "preview", "{tenant}-preview"),
                "prod": {
                    **_environment(argocd, "prod", "{tenant}-prod"),
                    "preview": "preview",
                    "metrics": {"url": prometheus, "pack": "envoy", "scrape_every": "1s"},
                },
            },
            "tiers": {"regulated": _regulated()},
        },
        sort_keys=False,
    )


def _environment(argocd: str, name: str, namespace: str) -> dict[str, Any]:
    return {
        "mode": "Knative",
        "namespace": namespace,
        "argocd": {
            "url": argocd,
            "project": "models",
            "application": f"{{model}}-{name}",
            "token": f"env:{ARGOCD_TOKEN}",
        },
    }


def _regulated() -> dict[str, Any]:
    return {
        "strategy": "canary",
        "shares": [10, 25, 50, 100],
        "bake": {"minimum": "6s", "maximum": "90s", "look_every": "1s", "warm_up": "1s"},
        "soak": "4s",
        "gates": {
            "policy": {},
            "signature": {},
            "evaluation": {},
            "load": {
                "duration_seconds": 5.0,
                "warm_up_seconds": 0.5,
                "calibration_seconds": 1.0,
            },
            "share": {},
            "slo": {},
            # v2 has nearly twice as many trees as v1: to take a little longer is no harm.
            "canary": {"minimum_requests": 50, "tolerances": {"tail": 2.0, "body": 2.0}},
            "approval": {},
        },
        "approval": {"wait_at_most": "30m", "ask_every": "1s"},
        "preview_at_most": "1m",
        "sync_at_most": "1m",
        "hold_budget": "20s",
        "supersede": "queue",
    }


def release(catalogue: Catalogue, version: str, *, gates: Mapping[str, Any]) -> str:
    """release.yaml of the fraud scorer, naming one version."""
    return yaml.safe_dump(
        {
            "model": catalogue.model,
            "tenant": TENANT,
            "owners": ["dana"],
            "tier": "regulated",
            "description": "scores card payments for fraud",
            "version": {
                "label": version,
                "uri": catalogue.uri(version),
                "digest": catalogue.digest(version),
            },
            "serving": {
                "format": "sklearn",
                "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}},
            },
            "slo": {
                "latency": {"threshold_ms": SLOW_MS, "target_percent": IN_TIME_PERCENT},
                "error_budget_percent": 1.0,
                "peak_rps": PEAK_RPS,
            },
            "change": {"configuration_item": "fraud-scorer", "assignment_group": RISK_GROUP},
            "gates": dict(gates),
        },
        sort_keys=False,
    )
