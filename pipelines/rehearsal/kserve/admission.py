"""What the API server and KServe's webhooks accept, refuse and rewrite when an InferenceService is sent.

Order as on a real server: strict decoding (400), defaulting webhook, schema (422), validating webhook (403).
Pure: the stored object comes back, the sent one is untouched.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from pipelines.rehearsal.kserve.fields import FRAMEWORKS, prune
from pipelines.rehearsal.kserve.quantities import canonical

MODE = "serving.kserve.io/deploymentMode"
AUTOSCALER = "serving.kserve.io/autoscalerClass"
_LEGACY = {"Serverless": "Knative", "RawDeployment": "Standard"}
_METRICS = ("cpu", "memory", "concurrency", "rps")
_WEBHOOK = 'admission webhook "inferenceservice.kserve-webhook-server.validator" denied the request: '
_DEFAULTER = 'admission webhook "inferenceservice.kserve-webhook-server.defaulter" denied the request: '
_NAME = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_KINDS = "PMML, LightGBM, Model, ONNX, Paddle, PyTorch, SKLearn, Tensorflow, Triton, XGBoost, HuggingFace"

Object = dict[str, Any]


class Denied(Exception):
    """The API server said no; ``status`` and ``reason`` are Kubernetes' own."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(message)


def admit(sent: Mapping[str, Any], live: Mapping[str, Any] | None = None, *, strict: bool = False) -> Object:
    """The object as it would be stored.

    ``live`` is the present object on an update; ``strict`` refuses unknown fields (fieldValidation Strict).

    Raises:
        Denied: refused, with the status and the text the real webhooks give.
    """
    stored = copy.deepcopy(dict(sent))
    dropped = prune(stored.setdefault("spec", {}))
    if dropped and strict:
        unknown = ", ".join(f'unknown field "{path}"' for path in dropped)
        raise Denied(400, "BadRequest", f"strict decoding error: {unknown}")
    _default(stored)
    _check_schema(stored)
    _validate(stored)
    if live is not None:
        _validate_update(stored, live)
    return stored


def mode(item: Mapping[str, Any]) -> str:
    """The mode an object asks for; the install default is Knative."""
    return str(_annotations(item).get(MODE, "Knative"))


def _annotations(item: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = item.get("metadata", {}).get("annotations") or {}
    return found


# -------------------------------------------------------------- defaulting webhook


def _default(stored: Object) -> None:
    metadata = stored.setdefault("metadata", {})
    notes = metadata["annotations"] = dict(metadata.get("annotations") or {})
    if notes.get(MODE) in _LEGACY:
        notes[MODE] = _LEGACY[notes[MODE]]
    predictor = stored["spec"].get("predictor")
    if predictor == {}:
        raise Denied(500, "InternalError", "Internal error occurred: panic: runtime error [recovered]")
    if isinstance(predictor, dict):
        _default_predictor(predictor, "spec.predictor")
        model = predictor.get("model")
        if isinstance(model, dict) and isinstance(model.get("modelFormat"), dict):
            notes["modelFormat"] = str(model["modelFormat"].get("name", ""))
    for entry in stored["spec"].get("canary") or []:
        if not isinstance(entry, dict):
            text = "json: cannot unmarshal into Go struct field InferenceServiceSpec.spec.canary"
            raise Denied(400, "BadRequest", _DEFAULTER + text)
        entry.setdefault("trafficPercent", 0)
        if isinstance(entry.get("predictor"), dict):
            _default_predictor(entry["predictor"], "spec.canary.predictor")


def _default_predictor(predictor: Object, where: str) -> None:
    for field in ("canaryTrafficPercent", "minReplicas", "maxReplicas", "scaleTarget"):
        value = predictor.get(field)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            kind = f"number {value}" if isinstance(value, float) else type(value).__name__
            text = f"json: cannot unmarshal {kind} into Go struct field {where}.{field} of type int64"
            raise Denied(400, "BadRequest", _DEFAULTER + text)
    for key in sorted(FRAMEWORKS & set(predictor)):
        legacy = predictor.pop(key) or {}
        predictor["model"] = {**legacy, **predictor.get("model", {}), "modelFormat": {"name": key}}
    model = predictor.get("model")
    if isinstance(model, dict):
        model.setdefault("name", "")
        _normalise(model.setdefault("resources", {}))


def _normalise(resources: Object) -> None:
    for amounts in resources.values():
        if isinstance(amounts, dict):
            for name, value in amounts.items():
                try:
                    amounts[name] = canonical(value)
                except ValueError as problem:
                    raise Denied(400, "BadRequest", _DEFAULTER + str(problem)) from problem


# -------------------------------------------------------------------------- schema


def _check_schema(stored: Object) -> None:
    name = stored["metadata"].get("name", "")
    for place, entry in enumerate(stored["spec"].get("canary") or []):
        where = f"spec.canary[{place}]"
        percent = entry["trafficPercent"]
        if isinstance(percent, bool) or not isinstance(percent, int):
            raise _invalid(name, f"{where}.trafficPercent", percent, "must be of type integer")
        if percent > 100:
            raise _invalid(name, f"{where}.trafficPercent", percent, "should be less than or equal to 100")
        if percent < 0:
            raise _invalid(name, f"{where}.trafficPercent", percent, "should be greater than or equal to 0")
        called = (entry.get("predictor") or {}).get("name", "")
        if called and not re.fullmatch(_NAME, called):
            raise _invalid(name, f"{where}.predictor.name", called, f"should match '^{_NAME}$'")
    metric = (stored["spec"].get("predictor") or {}).get("scaleMetric")
    if metric is not None and metric not in _METRICS:
        choices = ", ".join(f'"{choice}"' for choice in _METRICS)
        raise Denied(
            422,
            "Invalid",
            f'InferenceService.serving.kserve.io "{name}" is invalid: spec.predictor.scaleMetric: '
            f'Unsupported value: "{metric}": supported values: {choices}',
        )


def _invalid(name: str, where: str, value: object, problem: str) -> Denied:
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return Denied(
        422,
        "Invalid",
        f'InferenceService.serving.kserve.io "{name}" is invalid: {where}: Invalid value: {shown}: '
        f"{where} in body {problem}",
    )


# -------------------------------------------------------------- validating webhook


def _validate(stored: Object) -> None:
    name = stored["metadata"].get("name", "")
    if not re.fullmatch(_NAME, name):
        raise _forbidden(
            f'the InferenceService "{name}" is invalid: a InferenceService name must consist of lower case '
            "alphanumeric characters or '-', and must start with alphabetical character"
        )
    predictor = stored["spec"].get("predictor") or {}
    _check_one_implementation(predictor, "")
    if predictor.get("model", {}).get("name"):
        raise _forbidden("the 'name' field is not allowed in standard predictor")
    _check_scaling(predictor, stored)
    if mode(stored) == "Knative" and "deploymentStrategy" in predictor:
        raise _forbidden("customizing deploymentStrategy is only supported for raw deployment mode")
    if stored["spec"].get("canary"):
        _check_canaries(stored, predictor)


def _forbidden(text: str) -> Denied:
    return Denied(403, "Forbidden", _WEBHOOK + text)


def _check_one_implementation(predictor: Object, prefix: str) -> None:
    if not predictor.get("model") and not predictor.get("containers") and not predictor.get("workerSpec"):
        raise _forbidden(f"{prefix}exactly one of [{_KINDS}] must be specified in PredictorSpec")


def _check_scaling(predictor: Object, stored: Object) -> None:
    low, high = predictor.get("minReplicas"), predictor.get("maxReplicas", 0)
    if low is not None and low < 0:
        raise _forbidden("'MinReplicas' cannot be less than 0")
    if high < 0:
        raise _forbidden("'MaxReplicas' cannot be less than 0")
    if high and low is not None and low > high:
        raise _forbidden("'MinReplicas' cannot be greater than MaxReplicas")
    metric = predictor.get("scaleMetric")
    if mode(stored) == "Knative":
        if metric in ("cpu", "memory"):
            raise _forbidden(f"[{metric}] is not a supported metric")
    elif _annotations(stored).get(AUTOSCALER) == "hpa":
        if metric in ("concurrency", "rps"):
            raise _forbidden(f"[{metric}] is not a supported metric")
        if not 1 <= predictor.get("scaleTarget", 80) <= 100:
            raise _forbidden("the target utilization percentage should be a [1-100] integer")


def _check_canaries(stored: Object, stable: Object) -> None:
    if mode(stored) != "Standard":
        raise _forbidden("canary is only supported in Standard deployment mode")
    if not stable.get("model"):
        raise _forbidden("canary requires a model in the stable predictor")
    entries = stored["spec"]["canary"]
    total = sum(entry["trafficPercent"] for entry in entries)
    if total > 100:
        raise _forbidden(f"sum of canary trafficPercent values ({total}) must be <= 100")
    seen: set[str] = set()
    for place, entry in enumerate(entries):
        canary = entry.get("predictor") or {}
        name = canary.get("name", "")
        if not name:
            raise _forbidden(f"canary[{place}] predictor.name is required")
        if name == stable.get("name", ""):
            raise _forbidden(f'canary predictor.name "{name}" conflicts with stable predictor name')
        if name in seen:
            raise _forbidden(f'canary predictor.name "{name}" is duplicated')
        seen.add(name)
        _check_canary(name, canary, stable)


def _check_canary(name: str, canary: Object, stable: Object) -> None:
    for field in ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling", "workerSpec"):
        if field in canary:
            why = " (canary uses fixed replicas)" if field == "maxReplicas" else ""
            raise _forbidden(f'canary "{name}" must not set {field}{why}')
    own, limit = canary.get("minReplicas", 0), stable.get("minReplicas", 1)
    if own > limit:
        raise _forbidden(
            f'canary "{name}" minReplicas ({own}) must not exceed stable predictor minReplicas ({limit})'
        )
    _check_one_implementation(canary, f'canary "{name}" predictor: ')


def _validate_update(stored: Object, live: Mapping[str, Any]) -> None:
    settled = (live.get("status") or {}).get("deploymentMode")
    wanted = _annotations(stored).get(MODE)
    if settled and wanted in ("Knative", "Standard") and wanted != settled:
        raise _forbidden(f"update rejected: deploymentMode cannot be changed from '{settled}' to '{wanted}'")
    old, new = live["spec"].get("predictor", {}), stored["spec"].get("predictor", {})
    if old.get("name", "") != new.get("name", "") and old.get("model") == new.get("model"):
        raise _forbidden("predictor.name change requires a model change (e.g. storageUri)")
