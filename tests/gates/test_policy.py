"""The policy gate: what we render passes, and every rule refuses a planted mistake by its own name.

The good files come from the renderer. Each planted mistake is one edit of one of them, and the rule that is
named must be among the findings, at the place of the mistake, with a fix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.contract import Arm, Gate, Objectives, Question, Status, Subject
from gates.policy import RULES, Finding, PolicyGate, PolicySettings, canonical_quantity, check, uri_problem
from gates.policy.alerts import BURNS
from gates.policy.strict import MAX_CHARACTERS, NotPlain, read
from gates.slo.burn import BURN_RULES
from pipelines.render import Serves, render
from pipelines.spec.types import Version
from tests.examples import V1, V2, V3, environment, release, serves, version

FOLDER = "clusters/prod/risk/fraud-scorer"
SERVICE = f"{FOLDER}/inferenceservice.yaml"
RECORD = f"{FOLDER}/record.yaml"
NOW = datetime(2026, 11, 21, 3, 15, tzinfo=UTC)


def good(mode: str = "Knative", wish: Serves | None = None, **serving: Any) -> dict[str, str]:
    return render(release(serving), "prod", environment(mode), wish or serves(0))


KNATIVE, STANDARD = good(), good("Standard", serves(10))
ALERTS = f"{FOLDER}/alerts.yaml"
WATCHED = render(
    release(),
    "prod",
    environment(metrics={"url": "https://prometheus.example", "pack": "envoy", "alerts": {}}),
    serves(0),
)


def planted(files: Mapping[str, str], path: str, old: str, new: str) -> dict[str, str]:
    """The files with one edit; the edit must find its place."""
    assert re.search(old, files[path]), f"{old!r} is not in {path}"
    return {**files, path: re.sub(old, new, files[path], count=1)}


# rule -> (files, file, pattern, replacement)
EDITS: list[tuple[str, dict[str, str], str, str, str]] = [
    ("yaml", KNATIVE, SERVICE, "spec:", "spec: ["),
    ("yaml", KNATIVE, SERVICE, "spec:", "spec: &anchor"),
    ("yaml", KNATIVE, SERVICE, "minReplicas: 4", "minReplicas: *nothing"),
    ("yaml", KNATIVE, SERVICE, "minReplicas: 4", "minReplicas: !!int 4"),
    ("yaml", KNATIVE, SERVICE, "minReplicas: 4", "minReplicas: 1_0"),
    ("yaml", KNATIVE, SERVICE, 'value: "0.5"', "value: no"),
    ("yaml", KNATIVE, SERVICE, '"disk"', "1"),
    ("documents", KNATIVE, SERVICE, r"\Z", "---\nkind: Secret\n"),
    ("documents", KNATIVE, RECORD, r"(?s)\A.*\Z", "# nothing\n"),
    ("duplicate_key", KNATIVE, SERVICE, "    minReplicas: 4", "    minReplicas: 4\n    minReplicas: 4"),
    ("wrong_place", KNATIVE, SERVICE, 'name: "fraud-scorer"', 'name: "other"'),
    ("wrong_place", KNATIVE, RECORD, 'name: "fraud-scorer-lockgate"', 'name: "fraud-scorer"'),
    ("wrong_kind", KNATIVE, SERVICE, "v1beta1", "v1alpha2"),
    ("wrong_kind", KNATIVE, SERVICE, "InferenceService", "LLMInferenceService"),
    ("wrong_kind", KNATIVE, RECORD, "ConfigMap", "Secret"),
    ("wrong_kind", KNATIVE, RECORD, r"(?s)\A.*\Z", "- 1"),
    ("record_broken", KNATIVE, RECORD, '"share_percent": "0"', '"share_percent": "all"'),
    ("record_broken", KNATIVE, RECORD, '"promotion"', '"promotoin"'),
    ("record_broken", KNATIVE, RECORD, '  "promotion.*\n', ""),
    ("record_broken", KNATIVE, RECORD, '  "stable.uri.*\n', ""),
    ("record_broken", KNATIVE, RECORD, '(?s)  "stable.*', ""),
    ("record_broken", KNATIVE, RECORD, '(?s)  "candidate.*', ""),
    ("record_disagrees", KNATIVE, SERVICE, "canaryTrafficPercent: 0", "canaryTrafficPercent: 10"),
    ("record_disagrees", KNATIVE, SERVICE, "fraud-scorer/v2", "fraud-scorer/v9"),
    ("record_disagrees", STANDARD, SERVICE, "trafficPercent: 10", "trafficPercent: 11"),
    ("record_disagrees", STANDARD, SERVICE, "fraud-scorer/v1", "fraud-scorer/v9"),
    ("record_disagrees", STANDARD, SERVICE, "fraud-scorer/v2", "fraud-scorer/v9"),
    ("record_disagrees", STANDARD, RECORD, '"share_percent": "10"', '"share_percent": "100"'),
    ("unknown_field", KNATIVE, SERVICE, "canaryTrafficPercent", "canaryTraficPercent"),
    ("unknown_field", KNATIVE, SERVICE, "spec:", "spec:\n  transformer: {}"),
    ("unknown_field", KNATIVE, SERVICE, "spec:", "status: {}\nspec:"),
    ("unknown_field", KNATIVE, SERVICE, "runtime:", "runTime:"),
    ("unknown_field", KNATIVE, RECORD, "\ndata:", "\nimmutable: true\ndata:"),
    ("missing_field", KNATIVE, SERVICE, "      protocolVersion.*\n", ""),
    ("missing_field", STANDARD, SERVICE, '    name: "v1"\n', ""),
    ("missing_field", STANDARD, SERVICE, '          name: ""\n', ""),
    ("wrong_type", KNATIVE, SERVICE, "minReplicas: 4", 'minReplicas: "4"'),
    ("wrong_type", KNATIVE, SERVICE, "minReplicas: 4", "minReplicas: true"),
    ("wrong_type", KNATIVE, SERVICE, 'runtime: ".*"', "runtime: null"),
    ("wrong_type", KNATIVE, SERVICE, '"cpu": "1500m"', '"cpu": 2'),
    ("wrong_type", KNATIVE, SERVICE, '"cpu": "1500m"', '"cpu": 1.5'),
    ("wrong_type", KNATIVE, SERVICE, r"(?s)\n      env:.*", "\n      env: {}\n"),
    ("wrong_type", KNATIVE, SERVICE, r"(?s)\n      env:.*", "\n      env: [[]]\n"),
    ("wrong_type", KNATIVE, SERVICE, r"(?s)\nspec:.*", "\nspec: []\n"),
    ("wrong_type", KNATIVE, SERVICE, '(?s)nodeSelector:.*"online"\n    model', "nodeSelector: x\n    model"),
    ("wrong_type", KNATIVE, RECORD, r"(?s)\ndata:.*", "\ndata: text\n"),
    ("metadata", KNATIVE, SERVICE, "metadata:", "metadata:\n  labels: {ticket: CHG1}"),
    ("metadata", KNATIVE, SERVICE, "annotations:", "annotations:\n    approved-by: anna"),
    ("name", STANDARD, SERVICE, 'name: "v2"', 'name: "2.0"'),
    ("name", KNATIVE, SERVICE, "risk-prod", "Risk"),
    ("mode_missing", KNATIVE, SERVICE, "    serving.kserve.io/deploymentMode.*\n", ""),
    ("mode_legacy", KNATIVE, SERVICE, 'Mode: "Knative"', 'Mode: "Serverless"'),
    ("mode_legacy", STANDARD, SERVICE, '"Standard"', '"RawDeployment"'),
    ("mode_unknown", KNATIVE, SERVICE, 'Mode: "Knative"', 'Mode: "ModelMesh"'),
    ("framework_key", KNATIVE, SERVICE, "    model:", "    sklearn: {}\n    model:"),
    ("model_name", KNATIVE, SERVICE, "      modelFormat:", "      name: m\n      modelFormat:"),
    ("model_name", STANDARD, SERVICE, '          name: ""', "          name: m"),
    ("share_missing", KNATIVE, SERVICE, "    canaryTrafficPercent.*\n", ""),
    ("share_missing", STANDARD, SERVICE, "trafficPercent: 10\n      predictor", "predictor"),
    ("share_not_whole", KNATIVE, SERVICE, "canaryTrafficPercent: 0", "canaryTrafficPercent: 10.5"),
    ("share_not_whole", KNATIVE, SERVICE, "canaryTrafficPercent: 0", 'canaryTrafficPercent: "0"'),
    ("share_not_whole", STANDARD, SERVICE, "trafficPercent: 10", "trafficPercent: 10.0"),
    ("share_out_of_range", KNATIVE, SERVICE, "canaryTrafficPercent: 0", "canaryTrafficPercent: 150"),
    ("share_out_of_range", KNATIVE, SERVICE, "canaryTrafficPercent: 0", "canaryTrafficPercent: -5"),
    ("share_out_of_range", STANDARD, SERVICE, "trafficPercent: 10", "trafficPercent: 100"),
    ("standard_with_percent", STANDARD, SERVICE, "    min", "    canaryTrafficPercent: 10\n    min"),
    ("knative_with_canary", KNATIVE, SERVICE, r"\Z", "  canary: []\n"),
    ("knative_with_canary", KNATIVE, SERVICE, "  predictor:", "  predictor:\n    name: v2"),
    ("several_canaries", STANDARD, SERVICE, r"(?s)\n  canary:.*", "\n  canary: []\n"),
    ("several_canaries", STANDARD, SERVICE, r"(?s)(\n  canary:\n)(.*)", r"\1\2\2"),
    ("same_name", STANDARD, SERVICE, 'name: "v2"', 'name: "v1"'),
    ("canary_differs", STANDARD, SERVICE, '              value: "0.5"', '              value: "0.6"'),
    ("canary_differs", STANDARD, SERVICE, r"(?s)(canary:.*)        model:.*", r"\1        model: 1\n"),
    ("quantity", KNATIVE, SERVICE, '"1500m"', '"1.5"'),
    ("quantity", KNATIVE, SERVICE, '"2Gi"', '"2048Mi"'),
    ("quantity", KNATIVE, SERVICE, '"1500m"', '"many"'),
    ("mutable_uri", KNATIVE, SERVICE, "fraud-scorer/v2", "fraud-scorer/latest"),
    ("mutable_uri", STANDARD, SERVICE, "s3://models/fraud-scorer/v2", "mlflow://fraud/2"),
    ("triton_path", KNATIVE, SERVICE, '"sklearn"', '"triton"'),
    ("replicas", KNATIVE, SERVICE, "minReplicas: 4", "minReplicas: 9"),
    ("replicas", KNATIVE, SERVICE, "minReplicas: 4", "minReplicas: -1"),
    ("replicas", STANDARD, SERVICE, "minReplicas: 1", "minReplicas: 0"),
    ("replicas", STANDARD, SERVICE, "minReplicas: 1", "minReplicas: 5"),
    ("duplicate_variable", KNATIVE, SERVICE, '- name: "THRESHOLD"', '- name: "GREETING"'),
    ("expanded_value", KNATIVE, SERVICE, 'value: "0.5"', 'value: "{{ .Name }}"'),
    ("expanded_value", KNATIVE, SERVICE, 'value: "0.5"', 'value: "a$(HOME)"'),
    ("expanded_value", KNATIVE, SERVICE, 'value: "0.5"', 'value: "$$$(HOME)"'),
    ("expanded_value", KNATIVE, SERVICE, 'value: "0.5"', 'value: "pa$$word"'),
    ("wrong_namespace", KNATIVE, RECORD, "risk-prod", "other-prod"),
    ("wrong_namespace", WATCHED, ALERTS, 'namespace: "risk-prod"', 'namespace: "other-prod"'),
    ("wrong_place", WATCHED, ALERTS, 'name: "fraud-scorer-lockgate"', 'name: "other"'),
    ("wrong_type", WATCHED, ALERTS, "(?s)groups:.*", "groups: {}\n"),
    ("wrong_type", WATCHED, ALERTS, "(?s)rules:.*", "rules: [1, {alert: a, expr: b, labels: 1}]\n"),
    ("unknown_field", WATCHED, ALERTS, "          labels:", "          for: text\n          labels:"),
    ("alert_scope", WATCHED, ALERTS, "risk-prod/fraud-scorer-predictor", "risk-prod/fraud-predictor"),
    ("alert_scope", WATCHED, ALERTS, "risk-prod/fraud-scorer-predictor", "risk-dev/fraud-scorer-predictor"),
    ("alert_scope", WATCHED, ALERTS, 'expr: ".*"', 'expr: "vector(1)"'),
    ("alert_scope", WATCHED, ALERTS, 'tenant: "risk"', 'tenant: "retail"'),
    ("alert_rate", WATCHED, ALERTS, "ErrorBudgetBurn", "Errors"),
    ("alert_rate", WATCHED, ALERTS, r"\[5m\]", "[10m]"),
    ("alert_rate", WATCHED, ALERTS, 'severity: "page"', 'severity: "ticket"'),
    ("alert_rate", WATCHED, ALERTS, 'window: "1h"', 'window: "6h"'),
    ("alert_rate", WATCHED, ALERTS, r" > 0\.072\) and", ") and"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "files", "path", "old", "new"), EDITS, ids=[f"{edit[0]}-{n}" for n, edit in enumerate(EDITS)]
)
def test_a_planted_mistake_is_refused_by_its_rule(
    rule: str, files: dict[str, str], path: str, old: str, new: str
) -> None:
    """The rule is named, in the file at fault, with what to do."""
    findings = check(planted(files, path, old, new))
    named = [finding for finding in findings if finding.rule == rule]
    assert named, findings
    assert all(finding.fix and finding.message for finding in named)
    assert any(FOLDER in finding.file for finding in named)


def test_every_rule_has_a_planted_mistake() -> None:
    """A rule that was never seen to refuse proves nothing."""
    elsewhere = {"manifest_missing", "record_missing", "duplicate_object"} | set(ABOUT)
    assert {edit[0] for edit in EDITS} | elsewhere == set(RULES)


@pytest.mark.parametrize(
    "files",
    [
        WATCHED,
        *(
            good(mode, wish)
            for mode in ("Knative", "Standard")
            for wish in (serves(0), serves(50), serves(100), serves(100, None, V1), serves(100, V2, None))
        ),
    ],
)
def test_what_we_render_passes(files: dict[str, str]) -> None:
    """No finding on any mode and share; of many models at once neither."""
    assert check(files) == []
    other = {
        path.replace("fraud-scorer", "b"): text.replace("fraud-scorer", "b") for path, text in files.items()
    }
    assert check({**files, **other}) == []


def test_nothing_to_check_is_nothing_wrong_for_lint() -> None:
    """A repository without machine-written files is a new one; the gate itself asks for its model's."""
    assert check({}) == []


def test_a_misspelt_field_is_told_what_it_nearly_is() -> None:
    """With its line, its path, and the field that was meant."""
    (found,) = (
        finding
        for finding in check(planted(KNATIVE, SERVICE, "canaryTrafficPercent", "canaryTraficPercent"))
        if finding.rule == "unknown_field"
    )
    line = 1 + KNATIVE[SERVICE].splitlines().index("    canaryTrafficPercent: 0")
    assert (found.line, found.where) == (line, "spec.predictor.canaryTraficPercent")
    assert found.fix == "did you mean canaryTrafficPercent?"
    assert str(found) == f"{SERVICE}:{line} spec.predictor.canaryTraficPercent is no field that we write"


def test_values_that_arrive_as_written_pass() -> None:
    """Braces and dollars alone mean nothing to anybody, and $$( is how a person writes $( on purpose."""
    for value in ("{ }", "a$b", "$$(HOME)", "$", "100 %", "}}"):
        assert check(good(env={"A": value})) == []


def test_a_file_that_is_missing_or_twice_is_found() -> None:
    """Half a model's files are no model's files, and one object is described once."""
    rules = {finding.rule for finding in check({SERVICE: KNATIVE[SERVICE]})}
    assert rules == {"record_missing"}
    assert {finding.rule for finding in check({RECORD: KNATIVE[RECORD]})} == {"manifest_missing"}
    copied = {path.replace("/risk/", "/copy/"): text for path, text in KNATIVE.items()}
    found = check({**KNATIVE, **copied})
    assert [finding.rule for finding in found] == ["duplicate_object", "duplicate_object"]
    elsewhere = {path.replace("/prod/", "/preview/"): text for path, text in KNATIVE.items()}
    assert check({**KNATIVE, **elsewhere}) == []


def test_a_stranger_in_the_folder_is_refused() -> None:
    """Argo CD would apply it."""
    for path in (f"{FOLDER}/more.yaml", "readme.yaml", f"{FOLDER}/deep/inferenceservice.yaml"):
        assert "wrong_place" in {finding.rule for finding in check({**KNATIVE, path: KNATIVE[SERVICE]})}


# ------------------------------------------------------------------- the gate


def arm(name: Any, of: Version) -> Arm:
    return Arm(name=name, version=of.label, uri=of.uri, digest=of.digest)


def question(files: Mapping[str, str], *, stable: Version | None = V1, **changes: Any) -> Question:
    subject = Subject(
        model="fraud-scorer", environment="prod", digest=V2.digest, commit="a" * 40, stage="judge"
    )
    asked = Question(
        subject=subject,
        now=NOW,
        since=NOW,
        share_percent=0,
        tenant="risk",
        namespace="risk-prod",
        service="fraud-scorer",
        protocol_model="fraud-scorer",
        candidate=arm("candidate", V2),
        stable=arm("stable", stable) if stable else None,
        objectives=Objectives(
            latency_threshold_ms=50.0,
            latency_budget_percent=1.0,
            error_budget_percent=0.5,
            peak_rps=40.0,
        ),
        files=files,
    )
    return replace(asked, **changes)


def verdict_on(asked: Question) -> tuple[Status, str, str, list[Any]]:
    verdict = PolicyGate(PolicySettings()).judge(asked)
    assert verdict.subject == asked.subject
    assert verdict.at == NOW
    problems = verdict.evidence.facts["problems"]
    assert isinstance(problems, list)
    return verdict.status, verdict.reason, verdict.sentence, problems


def test_it_is_a_gate_that_needs_nothing() -> None:
    """Its answer depends on the question alone."""
    gate = PolicyGate(PolicySettings())
    assert isinstance(gate, Gate)
    assert (gate.name, gate.phase, gate.needs) == ("policy", "preview", frozenset())
    assert gate.judge(question(KNATIVE)) == gate.judge(question(KNATIVE))


@pytest.mark.parametrize(
    "asked",
    [
        question(KNATIVE),
        question(good("Standard")),
        question(good(wish=serves(25)), share_percent=25),
        question(good(wish=serves(100, None)), stable=None),
    ],
)
def test_manifests_as_rendered_pass(asked: Question) -> None:
    """At the share of the stage; the first version at 100, since nobody else could serve."""
    status, reason, sentence, problems = verdict_on(asked)
    assert (status, reason, problems) == (Status.PASS, "as_rendered", [])
    assert sentence == f"2 files hold to all {len(RULES)} rules and name this candidate"


OTHER_MODEL = {
    path.replace("fraud-scorer", "b"): text.replace("fraud-scorer", "b") for path, text in KNATIVE.items()
}
OTHER_DIGEST = version("v2", digest="sha256:" + "f" * 64)
ABOUT: dict[str, Question] = {
    "wrong_model": question({**KNATIVE, **OTHER_MODEL}),
    "wrong_namespace": question(KNATIVE, namespace="risk-staging"),
    "wrong_digest": question(good(wish=serves(0, V1, OTHER_DIGEST))),
    "wrong_uri": question(good(wish=serves(0, V1, V3))),
    "wrong_stable": question(KNATIVE, stable=V3),
    "wrong_share": question(good(wish=serves(10))),
    "alert_budget": question(planted(WATCHED, ALERTS, r"> 0\.072\)", "> 0.072001)")),
}  # fmt: skip


@pytest.mark.parametrize("rule", ABOUT)
def test_manifests_about_something_else_fail(rule: str) -> None:
    """Good files of another promotion are bad files of this one."""
    status, _, sentence, problems = verdict_on(ABOUT[rule])
    assert status is Status.FAIL
    assert rule in {problem["rule"] for problem in problems}
    assert sentence.startswith(f"{len(problems)} of 0 allowed problems: {FOLDER.rpartition('/')[0]}")


def test_alerts_are_judged_with_the_manifests() -> None:
    """They burn the budgets of the release, by the rates of the slo gate."""
    assert verdict_on(question(WATCHED))[:2] == (Status.PASS, "as_rendered")
    assert {(rule.name, rule.short_name, rule.severity): rule.rate for rule in BURN_RULES} == BURNS


def test_a_first_version_has_no_stable_and_a_later_one_has() -> None:
    """A record that forgot the stable version, or invents one, would roll back to nowhere."""
    invented = verdict_on(question(good(wish=serves(100)), stable=None))
    forgotten = verdict_on(question(good(wish=serves(100, None)), share_percent=100))
    assert invented[1] == forgotten[1] == "wrong_stable"


def test_the_folder_of_the_subject_must_be_there() -> None:
    """No files are no good files."""
    for files in ({}, {"clusters/prod/risk/other/record.yaml": KNATIVE[RECORD]}):
        status, _, _, problems = verdict_on(question(files))
        assert status is Status.FAIL
        assert "manifest_missing" in {problem["rule"] for problem in problems}


def test_unreadable_files_fail_without_more_guesses() -> None:
    """A file that cannot be read is a FAIL, and is not compared to anything."""
    status, reason, _, problems = verdict_on(question({SERVICE: "a: [", RECORD: "b: ["}))
    assert (status, reason) == (Status.FAIL, "yaml")
    rules = [problem["rule"] for problem in problems]
    assert rules == ["yaml", "yaml", "manifest_missing", "record_missing"]


def test_the_verdict_names_the_first_and_lists_all() -> None:
    """The sentence has the first problem, its fix and the count; the evidence has every one."""
    files = planted(KNATIVE, SERVICE, '"1500m"', '"1.5"')
    files = planted(files, SERVICE, "minReplicas: 4", "minReplicas: 9")
    status, reason, sentence, problems = verdict_on(question(files))
    assert (status, reason, len(problems)) == (Status.FAIL, "quantity", 2)
    assert "is '1.5', held as '1500m'; to do: write '1500m'; and 1 more" in sentence
    assert [problem["rule"] for problem in problems] == ["quantity", "replicas"]
    evidence = PolicyGate(PolicySettings()).judge(question(files)).evidence
    assert evidence.measurements[0].value == 2
    assert evidence.facts["files"] == [SERVICE, RECORD]
    assert re.fullmatch("[0-9a-f]{64}", str(evidence.facts["files_sha256"]))


# ------------------------------------------------------------------- robustness


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    """Whatever stands in the files is a finding, never a crash, and never a PASS."""
    for path in (SERVICE, RECORD):
        findings = check({**KNATIVE, path: text})
        assert findings
        assert all(isinstance(finding, Finding) and finding.rule in RULES for finding in findings)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 200), st.just("x"), st.just([]), st.just({}), st.just([{}])
)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), mode=st.sampled_from(["Knative", "Standard"]), leaf=LEAVES)
def test_no_value_in_any_place_breaks_it(data: st.DataObject, mode: str, leaf: Any) -> None:
    """Any value put anywhere is judged, and one of another type than the field's is never let pass."""
    files = good(mode, serves(10))
    path = data.draw(st.sampled_from([SERVICE, RECORD]))
    document = yaml.safe_load(files[path])
    here: Any = document
    steps: list[Any] = []
    while isinstance(here, dict | list) and here and (not steps or data.draw(st.booleans())):
        parent, step = here, data.draw(st.sampled_from(sorted(here) if isinstance(here, dict) else [0]))
        steps.append(step)
        here = here[step]
    parent[step] = leaf
    findings = check({**files, path: yaml.safe_dump(document)})
    assert all(finding.rule in RULES for finding in findings)
    if type(leaf) is not type(here):
        assert findings, (steps, leaf)


# ------------------------------------------------------------------- quantities, URIs, YAML


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1.5", "1500m"),
        ("0.5", "500m"),
        ("2000m", "2"),
        ("2", "2"),
        ("0", "0"),
        ("0Gi", "0"),
        ("1000", "1k"),
        ("1024", "1024"),
        ("1500000", "1500k"),
        ("2048Mi", "2Gi"),
        ("0.5Gi", "512Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1024Ki", "1Mi"),
        ("1.001Gi", "1074815565824m"),
        ("100M", "100M"),
        ("1000G", "1T"),
        ("01", "1"),
    ],
)
def test_quantities_have_the_servers_form(text: str, canonical: str) -> None:
    """As Kubernetes writes them back; once canonical, always canonical."""
    assert canonical_quantity(text) == canonical
    assert canonical_quantity(canonical) == canonical


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no quantity"),
        ("two", "no quantity"),
        ("-1", "no quantity"),
        ("1e3", "no quantity"),
        ("1 Gi", "no quantity"),
        ("1g", "no quantity"),
        ("1\n", "no quantity"),
        ("0.0005", "finer than a thousandth"),
        ("0.5m", "finer than a thousandth"),
        ("100E", "more than Kubernetes can hold"),
    ],
)
def test_what_is_no_quantity_is_refused(text: str, says: str) -> None:
    """With what to write instead, where something can be."""
    with pytest.raises(ValueError, match=says):
        canonical_quantity(text)


@given(number=st.integers(0, 10**6), suffix=st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi"]))
def test_canonical_is_a_fixed_point(number: int, suffix: str) -> None:
    """Argo CD sees no difference any more."""
    once = canonical_quantity(f"{number}{suffix}")
    assert canonical_quantity(once) == once


UNITS = {
    "m": Fraction(1, 1000),
    **{letter: Fraction(1000**power) for power, letter in enumerate(("", *"kMGTPE"))},
    **{f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", 1)},
}


def amount(text: str) -> Fraction:
    """What a quantity is worth, read another way than the code under test reads it."""
    number = text.rstrip("mkKMGTPEi")
    return Fraction(number) * UNITS[text.removeprefix(number)]


@given(
    whole=st.integers(0, 10**5),
    thousandths=st.integers(0, 999),
    suffix=st.sampled_from(["", "k", "M", "Ki", "Mi", "Gi"]),
)
def test_the_canonical_form_is_worth_the_same(whole: int, thousandths: int, suffix: str) -> None:
    """Nothing is rounded; a value that would have to be is refused."""
    text = f"{whole}.{thousandths:03d}{suffix}"
    assert amount(canonical_quantity(text)) == amount(text)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("s3://models/fraud/v37", ""),
        ("gs://b/v1", ""),
        ("file:///srv/models/v1", ""),
        ("https://host/models/v1.tar", ""),
        ("pvc://claim/v1", ""),
        ("oci://registry.example/fraud@sha256:" + "a" * 64, ""),
        ("oci://registry.example/fraud:v1", "names a tag"),
        ("oci://registry.example/fraud@sha256:abc", "names a tag"),
        ("s3://models/latest/fraud", "names something that moves"),
        ("s3://models/fraud/main", "names something that moves"),
        ("s3://models/fraud/LATEST/", "names something that moves"),
        ("models:/fraud@champion", "is of no kind"),
        ("mlflow://fraud", "is of no kind"),
        ("s3:///v1", "is of no kind"),
        ("s3://b/../v1", "holds spaces"),
        ("s3://b/v 1", "holds spaces"),
        ("s3://b/{{v}}", "holds spaces"),
        ("https://user:word@host/v1", "holds a user or password"),
    ],
)
def test_a_uri_names_one_immutable_artifact(uri: str, says: str) -> None:
    """As far as its text can tell."""
    assert uri_problem(uri).startswith(says)
    assert bool(uri_problem(uri)) == bool(says)


def test_strict_yaml_reads_plain_data_with_lines() -> None:
    """Maps, lists, text, numbers, booleans, nothing; and where each part begins."""
    document = read('a: [1, -2.5, true, null, "no"]\nb:\n  c: word-1.x/y\n  d:\n')
    assert document.data == {"a": [1, -2.5, True, None, "no"], "b": {"c": "word-1.x/y", "d": None}}
    assert [document.lines[path] for path in ((), ("a", 1), ("b",), ("b", "c"))] == [1, 1, 2, 3]


SURPRISES = (
    *("no", "YES", "on", "y", "N", "Null", "True", "0x1f", "010", "1_0"),
    *("12:30", "1e3", ".5", "2026-11-21", "=", "é"),
)


@pytest.mark.parametrize(
    ("text", "rule", "says"),
    [
        ("x" * (MAX_CHARACTERS + 1), "yaml", "are more than"),
        ("[" * 30 + "]" * 30, "yaml", "nested deeper than 24"),
        ("[" * 100_000, "yaml", "nested deeper than 24"),
        ("[" * 20, "yaml", "is not YAML"),
        ("a: \ud800", "yaml", "is not YAML"),
        ("a: &x 1\nb: *x", "yaml", "anchor or alias, 'x'"),
        ("a: !!str 1", "yaml", "uses a tag"),
        ("<<: {a: 1}", "yaml", "'<<' without quotes"),
        ("1: a", "yaml", "a key that is not text, 1"),
        ("? [a]\n: b", "yaml", "a key that is not text"),
        ("", "documents", "holds 0 documents"),
        ("a\n---\nb", "documents", "holds 2 documents"),
        ('a: 1\n"a": 2', "duplicate_key", "has the key 'a' twice"),
        *((f"a: {word}", "yaml", f"{word!r} without quotes") for word in SURPRISES),
    ],
)
def test_strict_yaml_refuses_what_readers_take_differently(text: str, rule: str, says: str) -> None:
    """By its rule and the word at fault."""
    with pytest.raises(NotPlain, match=re.escape(says)) as refused:
        read(text)
    assert refused.value.rule == rule
