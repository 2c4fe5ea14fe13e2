"""From a stored InferenceService to what its controller wants; pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from pipelines.rehearsal.kserve import knative, standard
from pipelines.rehearsal.kserve.admission import AUTOSCALER

Object = Mapping[str, Any]

_NO_TEMPLATE_ANNOTATIONS = frozenset(
    {
        "autoscaling.knative.dev/min-scale",
        "autoscaling.knative.dev/max-scale",
        "internal.serving.kserve.io/storage-initializer-sourceuri",
        "kubectl.kubernetes.io/last-applied-configuration",
        "modelFormat",
        "serving.knative.dev/rollout-duration",
    }
)
_NO_TEMPLATE_LABELS = frozenset({"networking.knative.dev/visibility"})
_REPLICA_FIELDS = frozenset(
    {"minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling"}
)
_BOTH = frozenset({"v1", "v2"})
_PROTOCOLS: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        ("sklearn", "xgboost", "lightgbm", "pmml", "paddle", "huggingface", "autogluon", "pytorch"), _BOTH
    ),
    "vLLM": frozenset({"v1", "v2"}),
    "tensorflow": frozenset({"v1", "grpc-v1"}),
    **dict.fromkeys(("triton", "onnx", "tensorrt"), frozenset({"v2", "grpc-v2"})),
    "mlflow": frozenset({"v2"}),
}
"""Model formats the shipped runtimes serve, and how."""


def of_knative(item: Object) -> knative.Wish:
    """What Knative mode makes of an object."""
    predictor = dict(item["spec"].get("predictor") or {})
    percent = predictor.pop("canaryTrafficPercent", None)
    notes = item["metadata"].get("annotations") or {}
    return knative.Wish(
        template=_template(predictor, item),
        uri=_uri(predictor),
        percent=percent,
        tag_routing=notes.get("serving.kserve.io/enable-tag-routing") == "true",
        unservable=unservable(predictor),
    )


def of_standard(item: Object) -> standard.Wish:
    """What Standard mode makes of an object; canaryTrafficPercent is ignored, as it really is."""
    service = item["metadata"]["name"]
    stable = dict(item["spec"].get("predictor") or {})
    stable.pop("canaryTrafficPercent", None)
    autoscaled = (item["metadata"].get("annotations") or {}).get(AUTOSCALER) != "none"
    floor = int(stable.get("minReplicas", 1))
    canaries, taken = [], 0
    for entry in item["spec"].get("canary") or []:
        share = int(entry["trafficPercent"])
        own = int(entry["predictor"].get("minReplicas", math.ceil(floor * share / 100)))
        taken += own
        merged = _merge(stable, entry["predictor"])
        pods = max(own, 1) if autoscaled else own
        canaries.append(_workload(service, merged, item, pods, share))
    return standard.Wish(
        stable=_workload(service, stable, item, max(1, floor - taken), 0),
        canaries=tuple(canaries),
        autoscaled=autoscaled,
        unservable=unservable(stable),
    )


def _workload(
    service: str, predictor: dict[str, Any], item: Object, replicas: int, percent: int
) -> standard.Workload:
    name = str(predictor.get("name", ""))
    template = {key: value for key, value in predictor.items() if key not in _REPLICA_FIELDS | {"name"}}
    return standard.Workload(
        deployment=f"{service}-{name}-predictor" if name else f"{service}-predictor",
        entry=name,
        template=_template(template, item),
        uri=_uri(predictor),
        replicas=replicas,
        percent=percent,
    )


def _template(predictor: dict[str, Any], item: Object) -> str:
    metadata = item["metadata"]
    notes, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    content = {
        "predictor": predictor,
        "annotations": {k: v for k, v in notes.items() if k not in _NO_TEMPLATE_ANNOTATIONS},
        "labels": {k: v for k, v in labels.items() if k not in _NO_TEMPLATE_LABELS},
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _uri(predictor: Object) -> str:
    return str((predictor.get("model") or {}).get("storageUri", ""))


def _merge(below: Object, above: Object) -> dict[str, Any]:
    """The canary predictor over the stable one; an empty value does not override."""
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, Mapping):
            merged[key] = _merge(merged.get(key) or {}, value)
        elif value not in (None, "", []):
            merged[key] = value
    return merged


def unservable(predictor: Object) -> str:
    """Why no shipped runtime serves the model; "" when one does, or when it names its own container.

    A model without protocolVersion asks for v1, save for triton and vLLM, which mean v2.
    """
    model = predictor.get("model")
    if not isinstance(model, Mapping):
        return ""
    name = str((model.get("modelFormat") or {}).get("name", ""))
    asked = str(model.get("protocolVersion") or ("v2" if name in ("triton", "vLLM") else "v1"))
    if asked in _PROTOCOLS.get(name, frozenset()):
        return ""
    return f"No runtime found to support specified framework/version: {name} with protocol {asked}"
