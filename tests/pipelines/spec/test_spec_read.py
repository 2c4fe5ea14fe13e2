"""Reading platform.yaml and release.yaml: what is accepted, every refusal by its reason, all at once.

The sample in gitops-repo is the good input; each bad one is the sample with one planted fault.
Left out: refusals of YAML itself, which test_spec_yaml.py says.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import Problem, SpecInvalid
from pipelines.spec.read import gate_settings, read_all, read_platform, read_release
from pipelines.spec.shapes import duration, seconds
from pipelines.spec.types import Platform, Release

SAMPLE = Path(__file__).parents[3] / "gitops-repo"
RELEASE_FILE = "models/fraud-scorer/release.yaml"
PLATFORM = (SAMPLE / "platform.yaml").read_text("utf-8")
RELEASE = (SAMPLE / RELEASE_FILE).read_text("utf-8")
GATES = RELEASE[RELEASE.index("gates:\n") :]


def planted(text: str, *faults: tuple[str, str]) -> str:
    """The sample with each first occurrence replaced."""
    for old, new in faults:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def problems(platform: str = PLATFORM, release: str = RELEASE) -> list[Problem]:
    """Every problem of the two files; none when they are good."""
    try:
        read_all({"platform.yaml": platform, RELEASE_FILE: release})
    except SpecInvalid as refused:
        return list(refused.problems)
    return []


def the_only(found: list[Problem], path: str) -> Problem:
    """The one problem there is, which must stand at this key path."""
    assert [problem.path for problem in found] == [path], [str(problem) for problem in found]
    return found[0]


def test_the_sample_is_good() -> None:
    """What `lockgate init` copies reads without a problem, and durations are seconds."""
    platform, releases = read_all({"platform.yaml": PLATFORM, RELEASE_FILE: RELEASE})

    assert set(platform.environments) == {"preview", "staging", "prod"}
    assert set(platform.tiers) == {"regulated", "standard", "language", "dev"}
    assert platform.tiers["regulated"].bake.minimum == 1800.0
    assert platform.tiers["dev"].shares == (100,)
    assert platform.freezes[0].since.isoformat() == "2026-12-24T18:00:00+00:00"
    assert releases["fraud-scorer"].version.label == "v37"
    assert releases["fraud-scorer"].tenant == "risk"


def test_the_samples_pins_hold() -> None:
    """The golden set that the sample names is there, with the sha256 that is written beside it."""
    golden = (SAMPLE / "models/fraud-scorer/golden.csv").read_bytes()

    pins = re.findall("    sha256: ([0-9a-f]{64})", RELEASE)
    assert pins == [hashlib.sha256(golden).hexdigest()] * 2


def test_files_can_be_read_one_by_one() -> None:
    """The same values come out of the two single readers."""
    platform, releases = read_all({"platform.yaml": PLATFORM, RELEASE_FILE: RELEASE})

    assert read_platform(PLATFORM) == platform
    assert read_release(RELEASE, RELEASE_FILE, platform) == releases["fraud-scorer"]


def test_single_readers_raise_too() -> None:
    """A bad file raises from the single readers as it does from the common one."""
    with pytest.raises(SpecInvalid, match=r"platform\.yaml: is empty"):
        read_platform("")
    with pytest.raises(SpecInvalid, match=r"release\.yaml: is empty"):
        read_release("", "models/m/release.yaml", read_platform(PLATFORM))


DIGEST = "4d967a30111bf29f0eba01c448b375c1629b2fed01cdfcc3aed91f1b57d5dd5e"


@pytest.mark.parametrize(
    ("old", "new", "path", "message", "hint"),
    [
        ("tenant: risk", "tenant: Risk", "tenant", "write a name of lower-case letters", ""),
        (
            "model: fraud-scorer",
            "model: fraud",
            "model",
            'is "fraud", but the file stands in',
            "the same name",
        ),
        ("tenant: risk\n", "", "tenant", "is missing", ""),
        ("tenant: risk", "tenant:", "tenant", "is empty", "write a value, or remove the key"),
        ("tenant: risk", "tenannt: x\ntenant: risk", "tenannt", "unknown key", "did you mean `tenant`?"),
        (
            "tier: regulated",
            "tier: regulatd",
            "tier",
            'there is no tier "regulatd"',
            "did you mean `regulated`?",
        ),
        ("tier: regulated", "tier: 7", "tier", "must be text; got 7", 'write it in quotes: "7"'),
        ("[dana.scientist, sam.platform]", "[]", "owners", "must have at least this many entries: 1", ""),
        ("[dana.scientist, sam.platform]", "dana", "owners", "must be a list", '["dana"]'),
        ("[dana.scientist, sam.platform]", "{a: b}", "owners", "must be a list", ""),
        ("dana.scientist", "a b", "owners[0]", "write a login or mail address", ""),
        ("label: v37", "label: 1.0", "version.label", "must be text; got 1.0", 'in quotes: "1.0"'),
        ("label: v37", "label: 2026-11-21", "version.label", "got the date 2026-11-21", '"2026-11-21"'),
        ("label: v37", "label: latest", "version.label", "write the label of one version", ""),
        ("label: v37", "label: v37\n  alias: fraud", "version.alias", "write models:/name@alias", ""),
        ("  uri: s3", "  digst: a\n  uri: s3", "version.digst", "unknown key", "did you mean `digest`?"),
        (f"sha256:{DIGEST}", "sha256:12", "version.digest", "write sha256: and 64 hexadecimal digits", ""),
        (
            "format: sklearn",
            "format: sklearn\n  format_version: 1.5",
            "serving.format_version",
            "must be text",
            '"1.5"',
        ),
        (
            "protocol: v2",
            "protocol: v3",
            "serving.protocol",
            "must be 'v1' or 'v2'; got \"v3\"",
            "known are v1, v2",
        ),
        ("min: 2", 'min: "2"', "serving.replicas.min", "must be a whole number", "without quotes: 2"),
        ("min: 2", "min: 2.5", "serving.replicas.min", "must be a whole number; got 2.5", ""),
        ("min: 2", "min: true", "serving.replicas.min", "must be a whole number; got true", ""),
        ("min: 2", "min: -1", "serving.replicas.min", "must be at least 0; got -1", ""),
        ("min: 2", "min: 20", "serving.replicas.max", "must be at least min, which is 20; got 8", ""),
        ('cpu: "500m"', "cpu: 1", "serving.resources.requests.cpu", "must be text; got 1", '"1"'),
        ('cpu: "500m"', 'cpu: "lots"', "serving.resources.requests.cpu", "write a quantity such as", ""),
        (
            'cpu: "500m"',
            '"c p u": "1"',
            'serving.resources.requests["c p u"]',
            "write a resource such as cpu",
            "",
        ),
        (
            "threshold_ms: 120",
            "threshold_ms: 0",
            "slo.latency.threshold_ms",
            "must be more than 0; got 0",
            "",
        ),
        (
            "target_percent: 99",
            "target_percent: 100",
            "slo.latency.target_percent",
            "must be less than 100",
            "",
        ),
        (
            "error_budget_percent: 0.1",
            "error_budget_percent: 101",
            "slo.error_budget_percent",
            "at most 100",
            "",
        ),
        ("peak_rps: 150", "peak_rps: fast", "slo.peak_rps", 'must be a number; got "fast"', ""),
        (
            "  latency:",
            "  latencey: {}\n  latency:",
            "slo.latencey",
            "unknown key",
            "did you mean `latency`?",
        ),
        ("service_account: fraud-scorer", "env: []", "serving.env", "must be keys and values; got []", ""),
        ("service_account: fraud-scorer", "env:", "serving.env", "is empty", "write {} for none"),
        ("service_account: fraud-scorer", "env: {A: 1}", "serving.env.A", "must be text", 'in quotes: "1"'),
        ("service_account: fraud-scorer", "env: {a-b: x}", "serving.env.a-b", 'in capitals; got "a-b"', ""),
        ("Fraud Scoring Service", '"a^ORb"', "change.configuration_item", 'without ^; got "a^ORb"', ""),
        (
            "gates:\n",
            "gates:\n  signatur: {}\n",
            "gates.signatur",
            "unknown gate",
            "did you mean `signature`?",
        ),
        (GATES, "gates: []", "gates", "must be keys and values; got []", ""),
        ("gates:\n", "gates:\n  approval: 3\n", "gates.approval", "must be keys and values; got 3", ""),
        ("gates:\n", "gates:\n  approval: no\n", "gates.approval", "`no` is true or false", ""),
        (
            "    golden_set: models/fraud-scorer/golden.csv\n",
            "",
            "gates.evaluation.golden_set",
            "is missing",
            "",
        ),
        ("threshold: 0.8", "threshold: 8", "gates.evaluation", "threshold must lie between", ""),
        (
            "floors: {auc: 0.9}",
            "floors: {auc: 9}",
            "gates.evaluation.floors.auc",
            "must be at most 1; got 9",
            "",
        ),
        ("floors: {auc: 0.9}", "floors: {acu: 1}", "gates.evaluation.floors.acu", "must be 'auc'", "`auc`"),
        (
            "label: fraud\n",
            "lable: x\n    label: fraud\n",
            "gates.evaluation.lable",
            "unknown key",
            "`label`",
        ),
    ],
)
def test_release_faults(old: str, new: str, path: str, message: str, hint: str) -> None:
    """One fault in a release is one problem: at its place, for its reason, with what to write instead."""
    problem = the_only(problems(release=planted(RELEASE, (old, new))), path)

    assert message in problem.message
    assert hint in problem.hint
    assert problem.file == RELEASE_FILE
    assert problem.line > 0


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://b/latest", "names something that can change"),
        ("s3://b/fraud/Latest/model", "names something that can change"),
        ("s3://b/fraud/production/", "names something that can change"),
        ("oci://r/m:main", "names something that can change"),
        ("oci://r/m:v1", "an oci:// URI needs a digest"),
        ("models:/fraud@champion", "write an s3://"),
        ("s3:///x", "write an s3://"),
        ("file://host/x", "write an s3://"),
        ("s3://b/../x", "without spaces, quotes, braces"),
        ("s3://b/$(id)", "without spaces, quotes, braces"),
        ("s3://b/{{ x }}", "without spaces, quotes, braces"),
        ("s3://b/é", "without spaces, quotes, braces"),
        ("https://me:pw@host/v1", "write a URI without user and password"),
        ("https://[/v1", "Invalid IPv6 URL"),
    ],
)
def test_mutable_or_strange_uris(uri: str, message: str) -> None:
    """A URI names one immutable artifact and nothing else."""
    text = planted(RELEASE, ("s3://risk-models/fraud-scorer/v37", f"'{uri}'"))

    problem = the_only(problems(release=text), "version.uri")

    assert message in problem.message
    assert "me:pw" not in problem.message


@pytest.mark.parametrize(
    "uri",
    [
        f"oci://r/m@sha256:{DIGEST}",
        "gs://b/v1",
        "pvc://claim/v1",
        "https://host/prod/v1.tar.gz",
        "file:///var/v1",
        "s3://production/v1",
    ],
)
def test_immutable_uris(uri: str) -> None:
    """Every source of versions has a form that is accepted."""
    assert problems(release=planted(RELEASE, ("s3://risk-models/fraud-scorer/v37", uri))) == []


PROD = "  prod:\n    mode: Knative\n"
SYSTEM_TOKEN = "    token: env:MLFLOW_TOKEN"


@pytest.mark.parametrize(
    ("old", "new", "path", "message", "hint"),
    [
        ("systems:", "sistems: 1\nsystems:", "sistems", "unknown key", "did you mean `systems`?"),
        (
            "    app:",
            "    token: env:T\n    app:",
            "systems.forge",
            "exactly one of token and app, but has both",
            "",
        ),
        ("password: env:SERVICENOW_PASSWORD", "", "systems.change_desk", "token, but has neither", ""),
        ("example-bank/models\n", "models\n", "systems.forge.repository", "write owner/repository", ""),
        ("example-bank/models\n", "a/..\n", "systems.forge.repository", "write owner/repository", ""),
        (
            "https://api.github.com",
            "https://u:pw@h/",
            "systems.forge.api_url",
            "without user and password",
            "",
        ),
        ("https://api.github.com", "http://h/", "systems.forge.api_url", 'plain HTTP to "h"', "https://"),
        (
            "https://github.com/example-bank/models.git",
            "http://h/x",
            "systems.forge.git_url",
            "plain HTTP",
            "",
        ),
        ("https://example.service-now.com", "http://h", "systems.change_desk.url", "plain HTTP", ""),
        ("https://mlflow.example.com", "http://h", "systems.registry.url", "plain HTTP", ""),
        ("https://argo-workflows.example.com", "http://h", "systems.workflows.url", "plain HTTP", ""),
        ("namespace: lockgate", "namespace: Lockgate", "systems.workflows.namespace", "lower-case", ""),
        (
            "https://mlflow.example.com",
            "ftp://h",
            "systems.registry.url",
            "write an https:// or sqlite:///",
            "",
        ),
        (
            "https://prometheus.prod.example.com",
            "http://h",
            "environments.prod.metrics.url",
            "plain HTTP",
            "",
        ),
        (
            "https://prometheus.prod.example.com",
            "http://[",
            "environments.prod.metrics.url",
            "plain HTTP to",
            "",
        ),
        ("token: env:MLFLOW_TOKEN", "token: s3cr3t", "systems.registry.token", "never the secret", ""),
        (
            "token: env:MLFLOW_TOKEN",
            "token: 12345",
            "systems.registry.token",
            "must be text; got a value that",
            "",
        ),
        ("window: 4h", "window: 4 hours", "systems.change_desk.window", "write a duration such as 90s", ""),
        ("window: 4h", "window: 0s", "systems.change_desk.window", "must be longer than 0s", ""),
        (
            "mode: Knative",
            "mode: knative",
            "environments.preview.mode",
            "must be 'Knative' or 'Standard'",
            "`Knative`",
        ),
        ('kserve: "0.20"', "kserve: 0.20", "environments.preview.kserve", "must be text; got 0.2", '"0.20"'),
        (
            '"{tenant}-preview"',
            '"{model}-x"',
            "environments.preview.namespace",
            "write a namespace, or a rule",
            "",
        ),
        (
            '"{tenant}-preview"',
            f'"{"{tenant}" * 20}"',
            "tenant",
            "80 characters long; at most 63 fit",
            "shorter",
        ),
        (
            "preview: preview",
            "preview: preveiw",
            "environments.staging.preview",
            'no environment "preveiw"',
            "`preview`",
        ),
        (
            "preview: preview",
            "preview: staging",
            "environments.staging.preview",
            "names the environment itself",
            "",
        ),
        (
            "after: staging",
            "after: stagin",
            "environments.prod.after",
            'no environment "stagin"',
            "`staging`",
        ),
        ("after: staging", "after: prod", "environments.prod.after", "names the environment itself", ""),
        ("after: staging", "after: preview", "environments.prod.after", "where nothing ends at 100 %", ""),
        (
            "preview: preview",
            "after: prod",
            "environments.prod.after",
            "staging after prod after staging",
            "",
        ),
        (
            'application: "{model}-prod"',
            'application: "{model}-staging"',
            "environments.prod.argocd.application",
            "is the application of staging too",
            "",
        ),
        (
            'application: "{model}-prod"',
            "application: ../x",
            "environments.prod.argocd.application",
            "one application for each model",
            "",
        ),
        ("shares: [10, 25, 50, 100]", "shares: [25, 10, 100]", "tiers.regulated.shares", "must climb", ""),
        ("shares: [10, 25, 50, 100]", "shares: [10, 10, 100]", "tiers.regulated.shares", "must climb", ""),
        (
            "shares: [10, 25, 50, 100]",
            "shares: [10, 50]",
            "tiers.regulated.shares",
            "must end in 100; got [10, 50]",
            "",
        ),
        (
            "shares: [10, 25, 50, 100]",
            "shares: [0, 100]",
            "tiers.regulated.shares[0]",
            "must be at least 1; got 0",
            "",
        ),
        (
            "shares: [10, 25, 50, 100]",
            "shares: [10.0, 100]",
            "tiers.regulated.shares[0]",
            "must be a whole number",
            "",
        ),
        (
            "shares: [10, 25, 50, 100]",
            "shares: 100",
            "tiers.regulated.shares",
            "must be a list; got 100",
            "[100]",
        ),
        (
            "strategy: pinned",
            "strategy: pinned\n    shares: [10, 100]",
            "tiers.dev.shares",
            "pinned has no shares between",
            "",
        ),
        (
            "strategy: pinned",
            "strategy: canery",
            "tiers.dev.strategy",
            "must be 'canary'",
            "did you mean `canary`?",
        ),
        (
            "strategy: pinned",
            "strategy: canary",
            "tiers.dev.gates",
            "a canary needs a gate that watches",
            "share and slo",
        ),
        (
            "maximum: 6h",
            "maximum: 6m",
            "tiers.regulated.bake.maximum",
            "must be at least minimum, which is 30m",
            "",
        ),
        (
            "look_every: 60s",
            "look_every: 7h",
            "tiers.regulated.bake.look_every",
            "at most maximum, which is 6h",
            "",
        ),
        (
            "warm_up: 2m",
            "warm_up: 30m",
            "tiers.regulated.bake.warm_up",
            "shorter than minimum, which is 30m",
            "",
        ),
        ("type: normal", "type: standard\n      wait_at_most: 5d\n      template: x", "", "", ""),
        ("supersede: queue", "supersede: quue", "tiers.regulated.supersede", "must be 'queue'", "`queue`"),
        ("policy: {}", "polcy: {}", "tiers.regulated.gates.polcy", "unknown gate", "did you mean `policy`?"),
        ("policy: {}", "policy:", "tiers.regulated.gates.policy", "is empty", "write {} for none"),
        ("policy: {}", "policy: {strict: 1}", "tiers.regulated.gates.policy.strict", "unknown key", ""),
        (
            "service_account: svc.lockgate",
            "service_acount: x",
            "tiers.regulated.gates.approval.service_acount",
            "unknown key",
            "`service_account`",
        ),
        (
            "service_account: svc.lockgate",
            "service_account: 3",
            "tiers.regulated.gates.approval.service_account",
            "must be text; got 3",
            '"3"',
        ),
        (
            "service_account: svc.lockgate",
            "implement_states: [a]",
            "tiers.regulated.gates.approval.implement_states[0]",
            "must be a whole number",
            "",
        ),
        (
            "service_account: svc.lockgate",
            "same_person: [[a, 2026-01-01]]",
            "tiers.regulated.gates.approval.same_person[0][1]",
            "is a date to some",
            '"2026-01-01"',
        ),
        (
            "service_account: svc.lockgate",
            "types: [emergency]",
            "tiers.regulated.gates.approval.types",
            "does not accept normal",
            "add normal",
        ),
        (
            "      approval:\n        service_account: svc.lockgate\n",
            "",
            "tiers.regulated.approval",
            "needs the gate approval",
            "approval: {}",
        ),
        (
            "from: 2026-12-24T18:00:00Z",
            "from: 2026-12-24T18:00:00",
            "freezes[0].from",
            "an instant with its time zone",
            "",
        ),
        (
            "from: 2026-12-24T18:00:00Z",
            "from: 2026-12-24",
            "freezes[0].from",
            "an instant with its time zone",
            "",
        ),
        (
            "from: 2026-12-24T18:00:00Z",
            "from: soon",
            "freezes[0].from",
            'such as 2026-12-24T18:00:00Z; got "soon"',
            "",
        ),
        (
            "from: 2026-12-24T18:00:00Z",
            "from: 1798135200",
            "freezes[0].from",
            "an instant with its time zone",
            "",
        ),
        (
            "until: 2027-01-04T06:00:00Z",
            "until: 2026-12-24T18:00:00Z",
            "freezes[0].until",
            "must be later than from",
            "",
        ),
        (
            "environments: [prod]",
            "environments: [prd]",
            "freezes[0].environments[0]",
            'no environment "prd"',
            "`prod`",
        ),
    ],
)
def test_platform_faults(old: str, new: str, path: str, message: str, hint: str) -> None:
    """One fault in the platform is one problem: at its place, for its reason, with what to write instead."""
    faults = [(old, new)]
    if not path:
        faults.append(("      wait_at_most: 5d\n      # ServiceNow", "      # ServiceNow"))
        path, message, hint = (
            "tiers.regulated.approval.template",
            "write a sys_id of 32 hexadecimal digits",
            "",
        )

    problem = the_only(problems(platform=planted(PLATFORM, *faults)), path)

    assert message in problem.message
    assert hint in problem.hint
    assert problem.line > 0
    assert not re.search("s3cr3t|u:pw|12345", str(problem))


NO_APPROVAL = (
    PLATFORM[PLATFORM.index("    approval:\n      type") : PLATFORM.index("    # How long in all")],
    "",
)


def test_template_belongs_to_standard_changes() -> None:
    """A standard change is made from a template, the other types from none."""
    standard = planted(PLATFORM, ("type: normal", "type: standard"), ("env:SERVICENOW", "env:NOW"))
    normal = planted(PLATFORM, ("type: normal", f"type: normal\n      template: {'a' * 32}"))

    assert "needs the sys_id of its template" in problems(platform=standard)[0].message
    assert "made from no template" in the_only(problems(normal), "tiers.regulated.approval.template").message


def test_approval_gate_without_approval() -> None:
    """The gate reads the answer to a question that the tier must ask."""
    found = problems(platform=planted(PLATFORM, NO_APPROVAL))

    assert "asks for no approval" in the_only(found, "tiers.regulated.gates.approval").message


def test_approval_without_desk() -> None:
    """A tier cannot ask where there is no desk."""
    desk = PLATFORM[PLATFORM.index("  change_desk:") : PLATFORM.index("  registry:")]

    found = problems(platform=planted(PLATFORM, (desk, "")))

    assert "needs a change desk" in the_only(found, "tiers.regulated.approval").message


def test_a_platform_may_have_no_desk_and_no_registry() -> None:
    """Where no tier asks for a change and no alias is moved, neither system is needed."""
    systems = PLATFORM[PLATFORM.index("  change_desk:") : PLATFORM.index("environments:")]
    gate = "      approval:\n        service_account: svc.lockgate\n"

    assert problems(platform=planted(PLATFORM, (systems, ""), NO_APPROVAL, (gate, ""))) == []


def test_change_facts_are_needed_for_an_approval() -> None:
    """A release of a tier that asks for a change says what the change is about."""
    change = RELEASE[RELEASE.index("change:") : RELEASE.index("# Settings of gates")]

    missing = the_only(problems(release=planted(RELEASE, (change, ""))), "change")
    assert "the tier regulated asks for a change request" in missing.message
    assert problems(release=planted(RELEASE, (change, ""), ("regulated", "dev"), (GATES, ""))) == []


def test_standard_mode_splits_only_with_gateway_api_and_new_kserve() -> None:
    """Where nothing would be split, no canary is allowed; without a canary, and for previews, all is well."""
    standard = planted(PLATFORM, (PROD, PROD.replace("Knative", "Standard")))
    preview = planted(PLATFORM, ("mode: Knative", "mode: Standard"))
    right = planted(
        standard, ('namespace: "{tenant}-prod"', 'namespace: "{tenant}-prod"\n    gateway_api: true')
    )
    right = right[: right.index("  prod:")] + right[right.index("  prod:") :].replace("0.20", "0.21")

    assert {problem.path for problem in problems(platform=standard)} == {
        "environments.prod.gateway_api",
        "environments.prod.kserve",
    }
    assert problems(platform=preview) == []
    assert problems(platform=right) == []


def test_preview_environments_have_nothing_before_them() -> None:
    """A preview runs candidates alone: it waits for no environment and has no preview of its own."""
    text = planted(
        PLATFORM, ('namespace: "{tenant}-preview"', 'namespace: "{tenant}-preview"\n    after: staging')
    )

    found = problems(platform=text)

    assert {problem.path for problem in found} == {"environments.preview.after"}
    assert "and can have none" in found[0].message


def test_a_key_has_one_owner() -> None:
    """What the tier sets, no model sets; what the tier leaves out, the model may set, and is checked."""
    gates = "{service_account: me, conflict_fresh_seconds: 60, allow_early_start: 3}"

    found = problems(release=planted(RELEASE, ("gates:\n", f"gates:\n  approval: {gates}\n")))

    assert [problem.path for problem in found] == [
        "gates.approval.allow_early_start",
        "gates.approval.service_account",
    ]
    assert "must be true or false; got 3" in found[0].message
    assert 'the tier regulated sets this key to "svc.lockgate"' in found[1].message


def test_what_only_both_together_can_say_is_judged_where_they_meet() -> None:
    """A tier may leave out what a model writes; where the model leaves it out too, that is a mistake."""
    payloads = "    payloads: models/fraud-scorer/golden.csv\n"
    *before, after = RELEASE.rpartition(payloads)

    found = problems(release=before[0] + after)

    assert [(problem.file, problem.path) for problem in found] == [
        ("models/fraud-scorer/release.yaml", "gates.load")
    ]
    assert "payloads: name the file to send" in found[0].message


def test_a_gate_the_tier_does_not_ask() -> None:
    """A model cannot add gates; a known one is told apart from a mistyped one."""
    text = planted(RELEASE, ("tier: regulated", "tier: dev"), (GATES, "gates: {approval: {}, signature: {}}"))

    assert "the tier dev does not ask this gate" in the_only(problems(release=text), "gates.approval").message


def test_a_date_in_a_models_settings() -> None:
    """Settings hold nothing that JSON does not."""
    text = planted(RELEASE, ("gates:\n", "gates:\n  approval: {same_person: [[2026-01-01]]}\n"))

    assert (
        "is a date to some YAML readers"
        in the_only(problems(release=text), "gates.approval.same_person[0][0]").message
    )


def test_settings_are_merged_for_the_gate() -> None:
    """The gate gets one instance of its Settings: the tier's keys, the model's keys, else defaults."""
    release = planted(RELEASE, ("gates:\n", "gates:\n  approval: {conflict_fresh_seconds: 60}\n"))
    platform, releases = read_all({"platform.yaml": PLATFORM, RELEASE_FILE: release})

    settings = gate_settings(platform.tiers["regulated"], releases["fraud-scorer"], "approval")

    assert settings.service_account == "svc.lockgate"
    assert settings.conflict_fresh_seconds == 60.0
    assert settings.types == ("normal",)


def test_settings_that_were_never_read_are_checked() -> None:
    """Values made by a program meet the same check when the gate is made."""
    platform, releases = read_all({"platform.yaml": PLATFORM, RELEASE_FILE: RELEASE})
    release = releases["fraud-scorer"].model_copy(update={"gates": {"approval": {"types": 3}}})

    with pytest.raises(
        SpecInvalid, match=r"models/fraud-scorer/release.yaml: gates.approval.types: must be a list"
    ):
        gate_settings(platform.tiers["regulated"], release, "approval")


def test_everything_wrong_is_said_at_once() -> None:
    """Faults in many sections of two files, of every kind, come in one error, sorted by file and line."""
    platform = planted(
        PLATFORM,
        ("token: env:MLFLOW_TOKEN", "token: abc"),
        ("mode: Knative", "mode: knative"),
        ("after: staging", "after: stagin"),
        ("shares: [10, 25, 50, 100]", "shares: [10, 5]"),
        ("policy: {}", "polcy: {}"),
        ("supersede: replace", "superseed: no"),
        ("environments: [prod]", "environments: [prd]"),
    )
    release = planted(
        RELEASE,
        ("model: fraud-scorer", "model: fraud"),
        ("label: v37", "label: 1_0"),
        ("protocol: v2", "protocol: v2\n  protocol: v1"),
        ("peak_rps: 150", "peak_rps: -1"),
        ("gates:\n", "gates:\n  aproval: {}\n"),
    )

    found = problems(platform, release)

    assert [problem.path for problem in found if problem.file == "platform.yaml"] == [
        "systems.registry.token",
        "environments.preview.mode",
        "environments.prod.after",
        "tiers.regulated.shares",
        "tiers.regulated.gates.polcy",
        "tiers.standard.superseed",
        "tiers.standard.superseed",
        "freezes[0].environments[0]",
    ]
    assert [problem.path for problem in found if problem.file == RELEASE_FILE] == [
        "model",
        "version.label",
        "serving.protocol",
        "slo.peak_rps",
        "gates.aproval",
    ]
    assert found == sorted(found, key=lambda problem: (problem.file, problem.line))
    assert SpecInvalid(found).exit_code == 3


def test_a_broken_platform_does_not_hide_the_releases() -> None:
    """Each file is read as far as it can be."""
    release = planted(RELEASE, ("label: v37", "label: V37"))

    for platform in ("a: [", "[]", "environments: 3\ntiers: []\nfreezes: 4\n"):
        found = problems(platform, release)
        assert any(problem.file == "platform.yaml" for problem in found)
        assert any(problem.path == "version.label" for problem in found)
    with pytest.raises(SpecInvalid, match=r"platform\.yaml: is missing"):
        read_all({RELEASE_FILE: RELEASE})


def test_other_files_are_refused() -> None:
    """A file in the wrong place is not silently left out."""
    with pytest.raises(SpecInvalid, match="is no file that lockgate reads"):
        read_all({"platform.yaml": PLATFORM, "models/fraud-scorer/release.yml": RELEASE})


HOSTILE = [
    "a\nkind: Evil",
    "{{ 7*7 }}",
    "$(id)",
    "../../etc",
    "a\"b'c",
    "a\x00b",
    "a\u202eb",
    "<script>",
    "*/ --",
    "`id`",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(
    "key", ["model", "tenant", "tier", "version.label", "version.uri", "version.digest", "serving.format"]
)
def test_hostile_values_of_names_are_refused(key: str, value: str) -> None:
    """No name, URI or digest can carry anything but a name, URI or digest."""
    found = problems(release=hostile(key, value))

    assert found
    assert all(problem.path in (key, "") for problem in found)
    assert all("\n" not in str(problem) and "\u202e" not in str(problem) for problem in found)


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_free_text_is_data(value: str) -> None:
    """A description is text, or refused for a character no text needs; it never becomes structure."""
    found = problems(release=hostile("description", value))
    if found:
        assert re.search(r"holds the character U\+(0000|202E)", str(found[0]))
    else:
        _, releases = read_all({"platform.yaml": PLATFORM, RELEASE_FILE: hostile("description", value)})
        assert releases["fraud-scorer"].description == value


def hostile(key: str, value: str) -> str:
    """The sample release with one value written in double quotes, as an attacker would."""
    name = key.split(".")[-1]
    quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\x00", "\\0")
    return re.sub(rf"(?m)^(\s*{name}:) .*$", lambda line: f'{line[1]} "{quoted}"', RELEASE, count=1)


@given(st.text(max_size=300))
def test_any_text_is_refused_by_name(text: str) -> None:
    """Whatever stands in either file, nothing but SpecInvalid comes out."""
    assert problems(platform=text)
    assert problems(release=text)


SCALARS = st.sampled_from(
    ["x", "3", "no", "null", "[]", "{}", "[{a: 1}]", "{a: {b: [c]}}", "2026-01-01", "0.5", '""', "-1"]
)


@given(line=st.integers(0, 400), value=SCALARS, which=st.sampled_from(["platform", "release"]))
def test_any_value_anywhere_is_read_or_refused(line: int, value: str, which: str) -> None:
    """Put a strange value at any key: it is read, or refused, and what is refused has a line."""
    text = PLATFORM if which == "platform" else RELEASE
    lines = text.splitlines()
    spot = line % len(lines)
    lines[spot] = re.sub(r":.*$", f": {value}", lines[spot])
    changed = "\n".join(lines) + "\n"

    found = problems(platform=changed) if which == "platform" else problems(release=changed)

    assert all(problem.line > 0 for problem in found)


@given(st.integers(0, 999_999))
def test_durations_are_read_as_written(whole: int) -> None:
    """Writing seconds as a duration and reading it gives the same seconds."""
    assert seconds(duration(float(whole))) == float(whole)


@pytest.mark.parametrize(
    ("whole", "text"), [(0, "0s"), (59, "59s"), (60, "1m"), (5400, "90m"), (7200, "2h"), (259200, "3d")]
)
def test_durations_are_written_shortly(whole: int, text: str) -> None:
    """The largest unit that divides is used."""
    assert duration(whole) == text


def test_values_cannot_be_changed() -> None:
    """What was read stays as it was read."""
    platform = read_platform(PLATFORM)

    assert isinstance(platform, Platform)
    with pytest.raises(ValueError, match="frozen"):
        platform.tiers["dev"].soak = 1.0  # type: ignore[misc]
    assert Release.model_config["extra"] == "forbid"
