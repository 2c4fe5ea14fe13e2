"""What an environment should serve, as files: values stay data, KServe's traps are refused by name.

Covered: hostile values, the record read back, digests, names, every refusal, the templates' table.
Left to the golden files: how each manifest looks.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import meta

from gates.policy import check
from pipelines.errors import RenderRefused
from pipelines.render import Serves, manifest_digest, namespace, predictor_name, render, serves_of
from pipelines.render.engine import environment as jinja_environment
from pipelines.render.engine import templates_folder, to_json
from pipelines.spec.types import Release
from tests.examples import PROMOTION, SERVING, V1, V2, environment, release, serves, unchecked, version

FOLDER = "clusters/prod/risk/fraud-scorer"
MODES = ("Knative", "Standard")


def service(files: dict[str, str]) -> Any:
    return yaml.safe_load(files[f"{FOLDER}/inferenceservice.yaml"])


def refusal(*given_: Any) -> str:
    """The problems that render names, in one text."""
    with pytest.raises(RenderRefused) as refused:
        render(*given_)
    return str(refused.value)


# ------------------------------------------------------------------- values are data

HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "{{ 7 * 7 }}",
            "{% raw %}",
            "{# gone #}",
            "a\nb: c",
            "'\"`\\",
            "$(id) ${HOME}",
            "!!python/object:os.system",
            "&a *a",
            "<<: *x",
            "---\nkind: Secret",
            "no",
            "1_0",
            "~",
            "\u2028\u0085\ufeff\x7f\x00",
            "😀é",
            "../../etc",
            "# comment",
            "- x",
            "",
        ]
    ),
)


@given(value=HOSTILE)
def test_any_text_is_one_scalar_in_ascii(value: str) -> None:
    """What the filter writes reads back as the same text, wherever it stands."""
    written = to_json(value)
    assert written.isascii()
    assert "\n" not in written
    assert yaml.safe_load(f"a: {written}\nb: 1\n") == {"a": value, "b": 1}


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    env=st.dictionaries(HOSTILE, HOSTILE, max_size=3),
    selector=st.dictionaries(HOSTILE, HOSTILE, max_size=3),
    words=st.fixed_dictionaries(
        dict.fromkeys(("format", "runtime", "service_account", "priority_class"), HOSTILE)
    ),
    label=HOSTILE,
    description=HOSTILE,
)
def test_hostile_values_come_out_as_the_same_data(
    mode: str,
    env: dict[str, str],
    selector: dict[str, str],
    words: dict[str, str],
    label: str,
    description: str,
) -> None:
    """Values that no check ever saw still cannot become structure, and render twice to the same bytes."""
    hostile = unchecked(release().serving, env=env, node_selector=selector, **words)
    asked = unchecked(release(), serving=hostile, description=description, owners=(description,))
    candidate = unchecked(V2, label=f"x{label}", digest=description)
    wish = (asked, "prod", environment(mode), serves(10, candidate=candidate))
    files = render(*wish)
    assert render(*wish) == files
    predictor = service(files)["spec"]["predictor"]
    assert predictor.get("nodeSelector", {}) == selector
    assert predictor["model"]["modelFormat"]["name"] == words["format"]
    for field, key in (("serviceAccountName", "service_account"), ("priorityClassName", "priority_class")):
        assert predictor.get(field, "") == words[key]
    assert {entry["name"]: entry["value"] for entry in predictor["model"].get("env", [])} == env
    data = yaml.safe_load(files[f"{FOLDER}/record.yaml"])["data"]
    assert (data["candidate.label"], data["candidate.digest"]) == (f"x{label}", description)


def test_order_in_the_release_does_not_matter() -> None:
    """Two releases that are equal give equal bytes."""
    turned = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value
        for key, value in SERVING.items()
    }
    assert release(turned) == release()
    assert render(release(turned), "prod", environment(), serves(10)) == render(
        release(), "prod", environment(), serves(10)
    )


def test_half_a_surrogate_pair_is_refused() -> None:
    """No file can carry it, so nothing is written."""
    broken = unchecked(release(), serving=unchecked(release().serving, env={"A": "\ud800"}))
    assert "half of a surrogate pair: '\\ud800'" in refusal(broken, "prod", environment(), serves(10))


# ------------------------------------------------------------------- the record

LABELS = st.from_regex("v[0-9]{1,6}", fullmatch=True)
VERSIONS = st.builds(
    lambda label, digest, alias: version(label, digest=digest, alias=alias),
    LABELS,
    st.from_regex("sha256:[0-9a-f]{64}", fullmatch=True),
    st.none() | st.just("models:/fraud-scorer@challenger"),
)


@st.composite
def wishes(draw: st.DrawFn) -> Serves:
    stable = draw(st.none() | VERSIONS)
    candidate = draw(VERSIONS if stable is None else st.none() | VERSIONS)
    if stable is not None and candidate is not None and stable.label == candidate.label:
        candidate = version(candidate.label + "0")
    share = draw(st.integers(0, 100)) if stable is not None and candidate is not None else 100
    return Serves(stable, candidate, share, draw(st.text(max_size=30)))


@settings(max_examples=60, deadline=None)
@given(wish=wishes(), mode=st.sampled_from(MODES))
def test_what_was_rendered_reads_back(wish: Serves, mode: str) -> None:
    """Reading the record gives what was asked for, and policy has no objection to any such files."""
    files = render(release(), "prod", environment(mode), wish)
    assert serves_of(files) == wish
    assert check(files) == []


def test_no_record_is_nobody_serving() -> None:
    """A folder without a record says nothing, and invents nothing."""
    assert serves_of({}) is None
    assert serves_of({f"{FOLDER}/inferenceservice.yaml": "a: b"}) is None


GOOD = render(release(), "prod", environment(), serves(10))[f"{FOLDER}/record.yaml"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "is not YAML"),
        ("- 1", "holds no data"),
        ("data: 1", "holds no data"),
        (GOOD.replace('"share_percent": "10"', '"share_percent": "ten"'), "share_percent is 'ten'"),
        (GOOD.replace('"share_percent": "10"', '"share_percent": "101"'), "share_percent is '101'"),
        (GOOD.replace('"share_percent": "10"', '"share_percent": "010"'), "share_percent is '010'"),
        (
            GOOD.replace('"share_percent": "10"', '"share_percent": 10'),
            "'share_percent' is no key of a record",
        ),
        (GOOD.replace('  "share_percent": "10"\n', ""), "share_percent is ''"),
        (GOOD.replace("promotion", "promotoin"), "'promotoin' is no key of a record"),
        (re.sub('.*"promotion".*\n', "", GOOD), "promotion is missing"),
        (re.sub('.*"candidate.uri".*\n', "", GOOD), "candidate.uri is missing"),
        (re.sub('.*"(stable|candidate).*\n', "", GOOD), "names neither a stable nor a candidate"),
        (re.sub('.*"candidate.*\n', "", GOOD), "says 10 %, and has no two versions"),
        (GOOD.replace("s3://models/fraud-scorer/v2", "s3://models/latest"), "uri: "),
        (GOOD.replace("sha256:1", "sha512:1"), "digest: "),
        (GOOD + "data: {}\n", "has the key 'data' twice"),
        (GOOD + "---\n" + GOOD, "holds 2 documents"),
    ],
)
def test_a_broken_record_is_refused_by_name(text: str, says: str) -> None:
    """A record that a hand or an accident changed is never half believed."""
    with pytest.raises(RenderRefused) as refused:
        serves_of({f"{FOLDER}/record.yaml": text})
    assert says in str(refused.value)
    assert f"{FOLDER}/record.yaml" in str(refused.value)


def test_two_records_are_refused() -> None:
    """Files of two models are not one model's files."""
    with pytest.raises(RenderRefused, match="is a second record beside"):
        serves_of({"a/record.yaml": GOOD, "b/record.yaml": GOOD})


# ------------------------------------------------------------------- digests and names


def test_digest_is_that_of_the_sorted_files() -> None:
    """Anybody can compute it again from the files; order does not matter, bytes and paths do."""
    files = {"b": "2", "a": "1é"}
    assert manifest_digest(files) == manifest_digest(dict(reversed(files.items())))
    assert len({manifest_digest(other) for other in (files, {"b": "2"}, {"b2": "", "a": "1é"}, {})}) == 4
    assert re.fullmatch("sha256:[0-9a-f]{64}", manifest_digest(files))


def test_namespace_puts_the_tenant_in() -> None:
    """The rule's {tenant} is the tenant; braces elsewhere are impossible by the rule's own shape."""
    assert namespace(environment(), "risk") == "risk-prod"
    assert namespace(environment(namespace="models"), "risk") == "models"


@given(
    labels=st.lists(
        st.from_regex("[a-z0-9]([-a-z0-9.]{0,38}[a-z0-9])?", fullmatch=True), min_size=2, max_size=6
    )
)
def test_predictor_names_are_valid_and_distinct(labels: list[str]) -> None:
    """Whatever the label, KServe accepts the name, its Services fit, and no two labels share one."""
    for model in ("m", "m" * 40):
        names = {label: predictor_name(label, model) for label in labels}
        assert len(set(names.values())) == len(set(labels))
        for name in names.values():
            assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name)
            assert len(f"{model}-{name}-predictor") <= 63


def test_a_label_that_can_be_a_name_is_the_name() -> None:
    """People find v38 under v38; labels that differ in what a name cannot hold stay apart."""
    assert predictor_name("v38", "fraud-scorer") == "v38"
    assert re.fullmatch("v-1-0-[0-9a-f]{8}", predictor_name("1.0", "fraud-scorer"))
    assert predictor_name("1.0", "fraud-scorer") != predictor_name("1-0", "fraud-scorer")


# ------------------------------------------------------------------- KServe's rules


@pytest.mark.parametrize("mode", MODES)
def test_the_share_is_always_written(mode: str) -> None:
    """Leaving it out is a full rollout; in Standard mode one version alone has no entry for it."""
    for share in (0, 1, 99, 100):
        spec = service(render(release(), "prod", environment(mode), serves(share)))["spec"]
        if mode == "Knative":
            assert spec["predictor"]["canaryTrafficPercent"] == share
            assert "canary" not in spec
        else:
            assert "canaryTrafficPercent" not in spec["predictor"]
            assert [entry["trafficPercent"] for entry in spec.get("canary", [])] == [share] * (share < 100)


@pytest.mark.parametrize(
    ("share", "least", "pods"), [(0, 4, 1), (10, 4, 1), (25, 4, 1), (26, 4, 2), (50, 5, 3), (99, 1, 1)]
)
def test_a_standard_canary_has_pods_for_its_share(share: int, least: int, pods: int) -> None:
    """One pod at 0 so that it can get ready; then its part of the stable's least number, rounded up."""
    wish = release({"replicas": {"min": least, "max": 8}})
    spec = service(render(wish, "prod", environment("Standard"), serves(share)))["spec"]
    assert spec["canary"][0]["predictor"]["minReplicas"] == pods


def test_only_the_artifact_and_the_share_move_during_a_promotion() -> None:
    """From 0 to 100, Knative's template stays the same but for the share."""
    seen = []
    for share in (0, 10, 100):
        document = service(render(release(), "prod", environment(), serves(share)))
        assert document["spec"]["predictor"].pop("canaryTrafficPercent") == share
        seen.append(json.dumps(document))
    assert len(set(seen)) == 1


@pytest.mark.parametrize("mode", MODES)
def test_nothing_about_the_promotion_is_on_the_inference_service(mode: str) -> None:
    """Metadata there makes a new revision, so the promotion's id stands in the record alone."""
    files = render(release(), "prod", environment(mode), serves(10))
    metadata = service(files)["metadata"]
    assert set(metadata) == {"name", "namespace", "annotations"}
    assert PROMOTION not in files[f"{FOLDER}/inferenceservice.yaml"]
    assert PROMOTION in files[f"{FOLDER}/record.yaml"]


def bad(**changes: Any) -> Release:
    changed: Release = unchecked(release(), **changes)
    return changed


def bad_serving(**changes: Any) -> Release:
    return bad(serving=unchecked(release().serving, **changes))


TRITON = bad_serving(format="triton")
REFUSED: dict[str, tuple[Any, Any, str]] = {
    "nothing": (release(), serves(100, None, None), "neither a stable nor a candidate version"),
    "first below 100": (
        release(),
        serves(10, None),
        "the first version ever at 10 %: alone, KServe gives it 100 %",
    ),
    "share of nobody": (release(), serves(0, V1, None), "a share of 0 % without a candidate to have it"),
    "share 101": (release(), serves(101), "a share of 101 %"),
    "share -1": (release(), serves(-1), "a share of -1 %"),
    "share 10.0": (release(), serves(10.0), "a share of 10.0 %"),  # type: ignore[arg-type]
    "share True": (release(), serves(True), "a share of True %"),
    "same artifact": (
        release(),
        serves(10, V1, version("v2", uri=V1.uri)),
        "has the same artifact as the stable",
    ),
    "same label": (release(), serves(10, V1, version("v1", uri=V2.uri)), "has the same label as the stable"),
    "moving": (
        release(),
        serves(10, V1, unchecked(V2, uri="s3://m/latest")),
        "'s3://m/latest' names something that moves",
    ),
    "triton": (TRITON, serves(10), "the last part of Triton's URI goes from 'v1' to 'v2'"),
    "quantity": (
        bad_serving(resources=unchecked(release().serving.resources, limits={"cpu": "two"})),
        serves(10),
        "resources.limits.cpu: 'two' is no quantity",
    ),
    "replicas": (
        bad_serving(replicas=unchecked(release().serving.replicas, min=9)),
        serves(10),
        "min 9 is above max 8",
    ),
    "model": (bad(model="../x"), serves(10), "'../x' cannot be part of a Kubernetes name"),
    "long model": (bad(model="m" * 41), serves(10), "40 at most"),
    "tenant": (bad(tenant="Risk"), serves(10), "'Risk' cannot be part of a Kubernetes name"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("mode", MODES)
def test_what_cannot_be_served_is_refused_by_name(case: str, mode: str) -> None:
    """No correct manifest can be made of these, so none is made."""
    wished, wish, says = REFUSED[case]
    assert says in refusal(wished, "prod", environment(mode), wish)


@pytest.mark.parametrize(
    ("able", "says"),
    [
        ({"kserve": "0.20"}, "KServe 0.20 with Gateway API splits no traffic"),
        ({"kserve": "0.20.9"}, "KServe 0.20.9 with"),
        ({"gateway_api": False}, "KServe 0.21 without Gateway API splits no traffic"),
        ({"kserve": "0.9", "gateway_api": False}, "KServe 0.9 without Gateway API"),
    ],
)
def test_standard_mode_needs_a_kserve_that_splits(able: dict[str, Any], says: str) -> None:
    """An older one ignores the share without a word; one version alone it serves well."""
    unable = environment("Standard", **able)
    told = refusal(release(), "prod", unable, serves(10))
    assert says in told
    assert "kserve 0.21 or newer and gateway_api: true" in told
    assert render(release(), "prod", unable, serves(100, V2, None))
    assert render(release(), "prod", environment("Standard", kserve="0.21.1"), serves(10))
    assert render(release(), "prod", environment("Knative", **able), serves(10))


def test_standard_mode_does_not_scale_to_zero() -> None:
    """Knative does."""
    idle = release({"replicas": {"min": 0, "max": 2}})
    assert "does not scale to zero" in refusal(idle, "prod", environment("Standard"), serves(100, V2, None))
    assert service(render(idle, "prod", environment(), serves(10)))["spec"]["predictor"]["minReplicas"] == 0


def test_a_triton_model_keeps_its_name() -> None:
    """The last part of the URI stays the same through versions, and then all is well."""
    stable, candidate = (version(label, uri=f"s3://models/{label}/fraud") for label in ("v1", "v2"))
    assert render(TRITON, "prod", environment(), serves(10, stable, candidate))


def test_all_problems_come_at_once() -> None:
    """Nobody mends one thing to be told of the next."""
    told = refusal(
        bad(model="A", tenant="B"), "PROD", environment("Standard", kserve="0.20"), serves(10, V1, V1)
    )
    assert told.count("cannot be part of a Kubernetes name") == 4
    assert "has the same artifact" in told
    assert "splits no traffic" in told


# ------------------------------------------------------------------- the templates


def variables(name: str) -> set[str]:
    jinja = jinja_environment(templates_folder())
    source, _, _ = jinja.loader.get_source(jinja, name)  # type: ignore[union-attr]
    return meta.find_undeclared_variables(jinja.parse(source))


def test_the_readme_names_every_variable_of_every_template() -> None:
    """A variable without a row, or a row without its variable, is a mistake."""
    text = (templates_folder() / "README.md").read_text()
    rows = re.findall(r"^\| `([^`]+\.j2)` \| `([^`]+)` \| .+ \|$", text, re.MULTILINE)
    names = [path.name for path in sorted(templates_folder().glob("*.j2"))]
    assert sorted(rows) == sorted((name, variable) for name in names for variable in variables(name))


def test_templates_hold_loops_ifs_and_pieces_written_once() -> None:
    """What can be computed is computed in Python; and every value passes a filter of ours."""
    for path in templates_folder().glob("*.j2"):
        words = set(re.findall(r"\{%[-+]?\s*(\w+)", path.read_text()))
        assert words <= {"for", "endfor", "if", "elif", "else", "endif", "macro", "endmacro"}, path.name
        if path.name.endswith(".yaml.j2"):
            inside = re.findall(r"\{\{(.*?)\}\}", path.read_text())
            assert all(value.strip().endswith("| json") for value in inside), path.name


def test_a_missing_value_is_an_error_and_the_sandbox_holds(tmp_path: Path) -> None:
    """A template cannot print nothing for something, nor reach behind a value."""
    (tmp_path / "missing.j2").write_text("{{ nobody }}")
    (tmp_path / "reaching.j2").write_text("{{ ''.__class__.__mro__ }}")
    jinja = jinja_environment(tmp_path)
    for name in ("missing.j2", "reaching.j2"):
        with pytest.raises((jinja2.UndefinedError, jinja2.exceptions.SecurityError)):
            jinja.get_template(name).render()


def test_templates_of_an_installed_wheel_come_first(tmp_path: Path) -> None:
    """The wheel carries its templates inside the package; a checkout has them at its top."""
    assert templates_folder(tmp_path) == templates_folder()
    (tmp_path / "data" / "templates").mkdir(parents=True)
    assert templates_folder(tmp_path) == tmp_path / "data" / "templates"
