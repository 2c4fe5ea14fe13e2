"""The webhooks admit, refuse and rewrite what the real ones did: status, text, stored value.

Covered: every row of the observed table, quantities by property. Left out: logger, storage and worker rules.
"""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.rehearsal.kserve import wishes
from pipelines.rehearsal.kserve.admission import AUTOSCALER, MODE, Denied, admit
from pipelines.rehearsal.kserve.quantities import canonical
from tests.clusters import knative, standard

Object = dict[str, Any]
WEBHOOK = 'admission webhook "inferenceservice.kserve-webhook-server.validator" denied the request: '


def at(item: Object, path: str) -> Any:
    """Value at a path such as ``spec.canary.0.trafficPercent``; slashes keep dots together."""
    for key in path.split("."):
        item = item[int(key)] if isinstance(item, list) else item.get(key)
    return item


def put(item: Object, path: str, value: Any) -> Object:
    """A copy with one value replaced; None removes it."""
    made = copy.deepcopy(item)
    *parents, last = path.split(".")
    inner: Any = made
    for key in parents:
        inner = inner[int(key)] if isinstance(inner, list) else inner.setdefault(key, {})
    if value is None:
        del inner[last]
    else:
        inner[int(last) if isinstance(inner, list) else last] = value
    return made


def mode(item: Object, value: str | None) -> Object:
    made = copy.deepcopy(item)
    made["metadata"]["annotations"].pop(MODE)
    if value is not None:
        made["metadata"]["annotations"][MODE] = value
    return made


def note(item: Object, key: str, value: str) -> Object:
    made = copy.deepcopy(item)
    made["metadata"]["annotations"][key] = value
    return made


K, S = knative("v1", 10), standard("v1", ("v2", 10), replicas=1)
CPU = "spec.predictor.model.resources.limits.cpu"
MEMORY = "spec.predictor.model.resources.limits.memory"
PERCENT = "spec.predictor.canaryTrafficPercent"

REFUSED: list[tuple[str, Object, int, str]] = [
    ("percent 10.5", put(K, PERCENT, 10.5), 400, "json: cannot unmarshal number 10.5 into Go struct field"),
    (
        "sum 120",
        standard("v1", ("v2", 60), ("v3", 60)),
        403,
        "sum of canary trafficPercent values (120) must be <= 100",
    ),
    (
        "trafficPercent 110",
        standard("v1", ("v2", 110)),
        422,
        "spec.canary[0].trafficPercent in body should be less than or equal to 100",
    ),
    ("trafficPercent -1", standard("v1", ("v2", -1)), 422, "should be greater than or equal to 0"),
    ("trafficPercent text", put(S, "spec.canary.0.trafficPercent", "10"), 422, "must be of type integer"),
    (
        "model.name m",
        put(K, "spec.predictor.model.name", "m"),
        403,
        "the 'name' field is not allowed in standard predictor",
    ),
    (
        "canary without name",
        put(S, "spec.canary.0.predictor.name", None),
        403,
        "canary[0] predictor.name is required",
    ),
    (
        "canary named as stable",
        put(S, "spec.canary.0.predictor.name", "v1"),
        403,
        'canary predictor.name "v1" conflicts with stable predictor name',
    ),
    (
        "duplicate canary",
        standard("v1", ("v2", 1), ("v2", 2)),
        403,
        'canary predictor.name "v2" is duplicated',
    ),
    (
        "canary V2",
        put(S, "spec.canary.0.predictor.name", "V2"),
        422,
        "should match '^[a-z]([-a-z0-9]*[a-z0-9])?$'",
    ),
    (
        "canary in Knative",
        mode(S, "Knative"),
        403,
        "canary is only supported in Standard deployment mode",
    ),
    ("canary without mode", mode(S, None), 403, "canary is only supported in Standard deployment mode"),
    (
        "canary maxReplicas",
        put(S, "spec.canary.0.predictor.maxReplicas", 2),
        403,
        'canary "v2" must not set maxReplicas (canary uses fixed replicas)',
    ),
    (
        "canary minReplicas 3",
        put(S, "spec.canary.0.predictor.minReplicas", 3),
        403,
        'canary "v2" minReplicas (3) must not exceed stable predictor minReplicas (1)',
    ),
    (
        "canary without a model",
        put(S, "spec.canary.0.predictor.model", None),
        403,
        'canary "v2" predictor: exactly one of [',
    ),
    (
        "stable without a model",
        put(put(S, "spec.predictor.model", None), "spec.predictor.containers", [{"image": "x"}]),
        403,
        "canary requires a model in the stable predictor",
    ),
    (
        "min above max",
        put(put(K, "spec.predictor.minReplicas", 3), "spec.predictor.maxReplicas", 2),
        403,
        "'MinReplicas' cannot be greater than MaxReplicas",
    ),
    ("min -1", put(K, "spec.predictor.minReplicas", -1), 403, "'MinReplicas' cannot be less than 0"),
    ("max -1", put(K, "spec.predictor.maxReplicas", -1), 403, "'MaxReplicas' cannot be less than 0"),
    (
        "scaleMetric qps",
        put(K, "spec.predictor.scaleMetric", "qps"),
        422,
        'supported values: "cpu", "memory", "concurrency", "rps"',
    ),
    (
        "scaleMetric cpu",
        put(K, "spec.predictor.scaleMetric", "cpu"),
        403,
        "[cpu] is not a supported metric",
    ),
    (
        "scaleTarget 150 with hpa",
        note(put(S, "spec.predictor.scaleTarget", 150), AUTOSCALER, "hpa"),
        403,
        "the target utilization percentage should be a [1-100] integer",
    ),
    (
        "concurrency with hpa",
        note(put(S, "spec.predictor.scaleMetric", "concurrency"), AUTOSCALER, "hpa"),
        403,
        "[concurrency] is not a supported metric",
    ),
    (
        "deploymentStrategy",
        put(K, "spec.predictor.deploymentStrategy", {"type": "Recreate"}),
        403,
        "customizing deploymentStrategy is only supported for raw deployment mode",
    ),
    ("name w.x", put(K, "metadata.name", "w.x"), 403, "must consist of lower case alphanumeric"),
    ("name 1w", put(K, "metadata.name", "1w"), 403, "must start with alphabetical character"),
    ("empty predictor", put(K, "spec.predictor", {}), 500, "panic"),
    ("no predictor", put(K, "spec.predictor", None), 403, "exactly one of ["),
    ("a canary entry of words", put(S, "spec.canary.0", "v2"), 400, "json: cannot unmarshal into Go struct"),
    ("canary predictor of words", put(S, "spec.canary.0.predictor", None), 403, "predictor.name is required"),
    ("a quantity of words", put(K, CPU, "a lot"), 400, "quantities must match"),
]


@pytest.mark.parametrize(
    ("item", "status", "words"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_what_is_refused(item: Object, status: int, words: str) -> None:
    """HTTP status and text; webhook texts begin with the webhook's name."""
    with pytest.raises(Denied) as refusal:
        admit(item)
    assert refusal.value.status == status
    assert words in str(refusal.value)
    assert str(refusal.value).startswith(WEBHOOK) == (status == 403)


STORED: list[tuple[str, Object, str, Any]] = [
    ("percent 150", put(K, PERCENT, 150), PERCENT, 150),
    ("percent -5", put(K, PERCENT, -5), PERCENT, -5),
    ("no mode annotation", mode(K, None), PERCENT, 10),
    ("percent in Standard", put(standard("v1"), PERCENT, 10), PERCENT, 10),
    ("percent with canary", put(S, PERCENT, 10), PERCENT, 10),
    (
        "sum 100",
        standard("v1", ("v2", 50), ("v3", 50)),
        "spec.canary.1.trafficPercent",
        50,
    ),
    (
        "trafficPercent missing",
        put(S, "spec.canary.0.trafficPercent", None),
        "spec.canary.0.trafficPercent",
        0,
    ),
    ("canary model.name missing", S, "spec.canary.0.predictor.model.name", ""),
    (
        "canary model.name m",
        put(S, "spec.canary.0.predictor.model.name", "m"),
        "spec.canary.0.predictor.model.name",
        "m",
    ),
    (
        "stable without a name",
        put(S, "spec.predictor.name", None),
        "spec.canary.0.predictor.name",
        "v2",
    ),
    (
        "scaleTarget 150, class not written",
        put(S, "spec.predictor.scaleTarget", 150),
        "spec.predictor.scaleTarget",
        150,
    ),
    (
        "concurrency in Standard, class not written",
        put(S, "spec.predictor.scaleMetric", "concurrency"),
        "spec.predictor.scaleMetric",
        "concurrency",
    ),
    ("cpu 1.5", put(K, CPU, 1.5), CPU, "1500m"),
    ("cpu '1.5'", put(K, CPU, "1.5"), CPU, "1500m"),
    ("cpu 2000m", put(K, CPU, "2000m"), CPU, "2"),
    ("memory 2048Mi", put(K, MEMORY, "2048Mi"), MEMORY, "2Gi"),
    ("memory 0.5Gi", put(K, MEMORY, "0.5Gi"), MEMORY, "512Mi"),
    ("cpu 1", put(K, CPU, 1), CPU, "1"),
    ("storageUri mlflow", put(K, "spec.predictor.model.storageUri", "mlflow://x"), PERCENT, 10),
    (
        "a misspelt field",
        put(K, "spec.predictor.canaryTraficPercent", 5),
        "spec.predictor.canaryTraficPercent",
        None,
    ),
    (
        "a misspelt model field",
        put(K, "spec.predictor.model.storageURI", "x"),
        "spec.predictor.model.storageURI",
        None,
    ),
    ("resources added", knative("v1"), "spec.predictor.model.resources", {}),
    ("name added", knative("v1"), "spec.predictor.model.name", ""),
    ("modelFormat noted", knative("v1"), "metadata.annotations.modelFormat", "sklearn"),
]


@pytest.mark.parametrize(
    ("item", "path", "value"), [row[1:] for row in STORED], ids=[row[0] for row in STORED]
)
def test_what_is_stored(item: Object, path: str, value: Any) -> None:
    """Admitted, with the value as the server keeps it; the sent object is untouched."""
    sent = copy.deepcopy(item)
    assert at(admit(item), path) == value
    assert item == sent


@pytest.mark.parametrize(
    ("sent", "stored"),
    [("RawDeployment", "Standard"), ("Serverless", "Knative"), ("Foo", "Foo"), ("Standard", "Standard")],
)
def test_legacy_modes_are_rewritten_and_unknown_ones_kept(sent: str, stored: str) -> None:
    """spec.canary with RawDeployment is Standard as well."""
    item = standard("v1", ("v2", 10)) if stored == "Standard" else knative("v1")
    assert admit(mode(item, sent))["metadata"]["annotations"][MODE] == stored


def test_a_container_of_ones_own_needs_no_model_and_is_served() -> None:
    """No modelFormat is noted; odd resources are left as they are."""
    containers = {"containers": [{"image": "registry.example/fraud@sha256:0"}]}
    item = admit(put(K, "spec.predictor", containers))
    assert "modelFormat" not in item["metadata"]["annotations"]
    assert wishes.of_knative(item).unservable == ""
    odd = put(K, "spec.predictor.model.resources", {"claims": []})
    assert at(admit(odd), "spec.predictor.model.resources") == {"claims": []}
    good = note(put(S, "spec.predictor.scaleTarget", 70), AUTOSCALER, "hpa")
    assert at(admit(good), "spec.predictor.scaleTarget") == 70


def test_an_old_framework_key_becomes_a_model() -> None:
    """Also beside a model, whose format it silently overwrites."""
    item = put(put(K, "spec.predictor.model", None), "spec.predictor.sklearn", {"storageUri": "s3://a/b"})
    stored = admit(item)["spec"]["predictor"]
    assert "sklearn" not in stored
    assert (stored["model"]["modelFormat"], stored["model"]["storageUri"]) == (
        {"name": "sklearn"},
        "s3://a/b",
    )
    both = admit(put(K, "spec.predictor.xgboost", {}))["spec"]["predictor"]["model"]
    assert both["modelFormat"] == {"name": "xgboost"}


def test_an_unknown_field_is_refused_only_when_strictness_is_asked_for() -> None:
    """With fieldValidation Strict: 400 and the path."""
    item = put(S, "spec.canary.0.predictor.model.modelFromat", {})
    with pytest.raises(Denied) as refusal:
        admit(item, strict=True)
    assert refusal.value.status == 400
    assert 'unknown field "spec.canary[0].predictor.model.modelFromat"' in str(refusal.value)


def _settled(item: Object, deployment_mode: str) -> Object:
    return {**admit(item), "status": {"deploymentMode": deployment_mode}}


UPDATES: list[tuple[str, Object, Object, str]] = [
    (
        "mode changed",
        _settled(knative("v1"), "Knative"),
        mode(knative("v1"), "Standard"),
        "update rejected: deploymentMode cannot be changed from 'Knative' to 'Standard'",
    ),
    ("mode to its old name", _settled(knative("v1"), "Knative"), mode(knative("v1"), "Serverless"), ""),
    ("mode removed", _settled(knative("v1"), "Knative"), mode(knative("v1"), None), ""),
    ("mode before the first status", admit(knative("v1")), mode(knative("v1"), "Standard"), ""),
    (
        "name changed, same model",
        _settled(standard("v1"), "Standard"),
        put(standard("v1"), "spec.predictor.name", "v2"),
        "predictor.name change requires a model change (e.g. storageUri)",
    ),
    (
        "name removed, same model",
        _settled(standard("v1"), "Standard"),
        put(standard("v1"), "spec.predictor.name", None),
        "predictor.name change requires a model change (e.g. storageUri)",
    ),
    ("name and model changed", _settled(standard("v1"), "Standard"), standard("v2"), ""),
    ("percent -5", _settled(knative("v1"), "Knative"), knative("v1", -5), ""),
]


@pytest.mark.parametrize(
    ("live", "sent", "words"), [row[1:] for row in UPDATES], ids=[row[0] for row in UPDATES]
)
def test_updates(live: Object, sent: Object, words: str) -> None:
    """Some changes of a live object are refused; "" marks those that are not."""
    if not words:
        admit(sent, live)
        return
    with pytest.raises(Denied) as refusal:
        admit(sent, live)
    assert str(refusal.value) == WEBHOOK + words


def test_admitting_twice_changes_nothing() -> None:
    """What is stored is admitted as it is, for every row that is stored at all."""
    for _, item, _, _ in STORED:
        once = admit(item)
        assert admit(once, once) == once


QUANTITIES: list[tuple[Any, str]] = [
    ("0", "0"),
    ("0.1", "100m"),
    ("100m", "100m"),
    ("1e3", "1k"),
    ("1000", "1k"),
    ("1024", "1024"),
    ("1Ki", "1Ki"),
    ("0.5Ki", "512"),
    ("1.5Gi", "1536Mi"),
    ("0.3Ki", "307200m"),
    ("1500", "1500"),
    ("-2000m", "-2"),
    ("5.", "5"),
    ("1n", "1n"),
    ("0.1n", "1n"),
    ("1E", "1E"),
]


@pytest.mark.parametrize(("written", "stored"), QUANTITIES)
def test_quantities(written: Any, stored: str) -> None:
    """The largest suffix that needs no fraction; binary stays binary while it can."""
    assert canonical(written) == stored


_SUFFIXES = {"m": Fraction(1, 1000), "": 1, "k": 1000, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}


def _value(quantity: str) -> Fraction:
    suffixes = {**_SUFFIXES, "n": Fraction(1, 10**9), "u": Fraction(1, 10**6)}
    suffixes |= {"M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18, "Ti": 1024**4, "Pi": 1024**5}
    digits = quantity.rstrip("numkKMGTPEi")
    return Fraction(digits) * suffixes[quantity[len(digits) :]]


@given(st.integers(0, 10**6), st.integers(0, 999), st.sampled_from(sorted(_SUFFIXES)))
def test_the_stored_quantity_is_worth_what_was_written(whole: int, thousandths: int, suffix: str) -> None:
    """Never a different amount, and storing twice is storing once."""
    written = f"{whole}.{thousandths:03d}{suffix}"
    stored = canonical(written)
    assert _value(stored) == _value(written)
    assert canonical(stored) == stored


@pytest.mark.parametrize("written", ["", "1.2.3", "1 Gi", "Gi", "1gi", True, None])
def test_what_is_no_quantity_is_refused(written: Any) -> None:
    """Never guessed."""
    with pytest.raises(ValueError, match="quantities must match"):
        canonical(written)
