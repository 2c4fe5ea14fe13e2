"""Which keys the InferenceService schema knows; others are dropped, or refused when asked to be strict.

Only the parts a misspelling would hurt are listed: spec, the predictors, their model. Deeper values are
taken as sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

FRAMEWORKS = frozenset(
    [
        "huggingface",
        "lightgbm",
        "onnx",
        "paddle",
        "pmml",
        "pytorch",
        "sklearn",
        "tensorflow",
        "triton",
        "xgboost",
    ]
)
"""Predictor keys of old; the webhook turns each into ``model``."""

_SPEC = frozenset(["canary", "explainer", "predictor", "transformer"])
_CANARY = frozenset(["predictor", "trafficPercent"])
_PREDICTOR = FRAMEWORKS | frozenset(
    [
        "activeDeadlineSeconds",
        "affinity",
        "annotations",
        "autoScaling",
        "automountServiceAccountToken",
        "batcher",
        "canaryTrafficPercent",
        "containerConcurrency",
        "containers",
        "deploymentStrategy",
        "dnsConfig",
        "dnsPolicy",
        "enableServiceLinks",
        "hostAliases",
        "hostIPC",
        "hostNetwork",
        "hostPID",
        "hostUsers",
        "hostname",
        "hostnameOverride",
        "imagePullSecrets",
        "initContainers",
        "labels",
        "logger",
        "maxReplicas",
        "minReplicas",
        "model",
        "name",
        "nodeName",
        "nodeSelector",
        "os",
        "overhead",
        "preemptionPolicy",
        "priority",
        "priorityClassName",
        "readinessGates",
        "resourceClaims",
        "resources",
        "restartPolicy",
        "runtimeClassName",
        "scaleMetric",
        "scaleMetricType",
        "scaleTarget",
        "schedulerName",
        "schedulingGates",
        "securityContext",
        "serviceAccount",
        "serviceAccountName",
        "setHostnameAsFQDN",
        "shareProcessNamespace",
        "storageContainerName",
        "storageUris",
        "subdomain",
        "terminationGracePeriodSeconds",
        "timeout",
        "tolerations",
        "topologySpreadConstraints",
        "volumes",
        "workerSpec",
    ]
)
_MODEL = frozenset(
    [
        "args",
        "command",
        "confidential",
        "env",
        "envFrom",
        "image",
        "imagePullPolicy",
        "lifecycle",
        "livenessProbe",
        "modelFormat",
        "name",
        "ports",
        "protocolVersion",
        "readinessProbe",
        "resizePolicy",
        "resources",
        "restartPolicy",
        "restartPolicyRules",
        "runtime",
        "runtimeVersion",
        "securityContext",
        "startupProbe",
        "stdin",
        "stdinOnce",
        "storage",
        "storageUri",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "tty",
        "volumeDevices",
        "volumeMounts",
        "workingDir",
    ]
)


def prune(spec: dict[str, Any]) -> list[str]:
    """Drop what the schema does not know, in place; the dotted paths of what was dropped."""
    dropped = list(_drop(spec, _SPEC, "spec"))
    dropped += _prune_predictor(spec.get("predictor"), "spec.predictor")
    canaries = spec.get("canary")
    for place, entry in enumerate(canaries if isinstance(canaries, list) else []):
        if isinstance(entry, dict):
            where = f"spec.canary[{place}]"
            dropped += _drop(entry, _CANARY, where)
            dropped += _prune_predictor(entry.get("predictor"), f"{where}.predictor")
    return dropped


def _prune_predictor(predictor: object, where: str) -> list[str]:
    if not isinstance(predictor, dict):
        return []
    dropped = list(_drop(predictor, _PREDICTOR, where))
    model = predictor.get("model")
    if isinstance(model, dict):
        dropped += _drop(model, _MODEL, f"{where}.model")
    return dropped


def _drop(value: dict[str, Any], known: frozenset[str], where: str) -> Iterator[str]:
    for key in sorted(set(value) - known):
        del value[key]
        yield f"{where}.{key}"
