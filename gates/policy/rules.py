"""The table of rules: what each refuses and how to put it right. A finding is one place that breaks one."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the statement of what we render."""

    id: str
    refuses: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place that breaks one rule."""

    rule: str
    file: str
    line: int
    """1-based; 0 for the whole file."""
    where: str
    """Key path such as ``spec.predictor.model``; "" for the whole file."""
    message: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f" {self.where}" if self.where else ""
        return f"{place}{key} {self.message}"

    def facts(self) -> dict[str, object]:
        """This finding as JSON values."""
        return asdict(self)


_AGAIN = "render the files again with lockgate; people edit models/<model>/release.yaml"

_ALL = (
    # the text
    Rule("yaml", "text that is not the strict, plain YAML we write", _AGAIN),
    Rule("documents", "a file with no document or several", "one object in one file"),
    Rule("duplicate_key", "a key that stands twice: readers disagree which counts", "keep one of them"),
    # the files
    Rule("wrong_place", "a file we do not write, or an object not where its name belongs", _AGAIN),
    Rule("wrong_kind", "a kind or apiVersion that we do not render", _AGAIN),
    Rule("duplicate_object", "one object in two files: Argo CD applies either", "remove one of the files"),
    Rule("manifest_missing", "a model's folder without its InferenceService", _AGAIN),
    Rule("record_missing", "an InferenceService without the record of who is stable", _AGAIN),
    Rule("record_broken", "a record that cannot be read", _AGAIN),
    Rule("record_disagrees", "a record that says something else than the InferenceService", _AGAIN),
    # the fields
    Rule(
        "unknown_field", "a field that we do not write; the API server drops it without a word", "remove it"
    ),
    Rule("missing_field", "a field that we always write", _AGAIN),
    Rule(
        "wrong_type", "a value of another type than the field's", "write the type named, in the field's place"
    ),
    Rule(
        "metadata",
        "labels or annotations of our own: on an InferenceService they make a new revision",
        "remove it; what is to be remembered about a promotion stands in the record",
    ),
    Rule(
        "name",
        "a name that Kubernetes or KServe refuses",
        "lower-case letters, digits and dashes, a letter first",
    ),
    # KServe's modes
    Rule(
        "mode_missing",
        "no deployment mode: what the field means then depends on the cluster",
        "write serving.kserve.io/deploymentMode: Knative or Standard",
    ),
    Rule(
        "mode_legacy",
        "a mode's old name, which KServe rewrites: Argo CD never gets in sync",
        "write Knative for Serverless and Standard for RawDeployment",
    ),
    Rule(
        "mode_unknown", "a mode that we do not render; KServe accepts any word", "write Knative or Standard"
    ),
    Rule(
        "framework_key",
        "predictor.<framework>, which KServe rewrites",
        "write predictor.model with modelFormat",
    ),
    Rule(
        "model_name", "a name of the model, which KServe refuses", 'leave it out; in a canary write name: ""'
    ),
    # shares
    Rule(
        "share_missing",
        "a share that is not written: leaving it out is a full rollout",
        "write it always: 100 with one version, 0 to abort",
    ),
    Rule("share_not_whole", "a share that is no whole number", "write a whole number without quotes"),
    Rule(
        "share_out_of_range",
        "a share below 0 or above 100: KServe accepts it and then applies nothing",
        "write 0 to 100; a canary entry has 0 to 99, since at 100 it takes the stable's place",
    ),
    Rule(
        "standard_with_percent",
        "canaryTrafficPercent in Standard mode: ignored, a full rollout",
        "write spec.canary[].trafficPercent",
    ),
    Rule(
        "knative_with_canary",
        "spec.canary or predictor.name in Knative mode",
        "write predictor.canaryTrafficPercent",
    ),
    Rule(
        "several_canaries",
        "more than one candidate, or none where spec.canary is written",
        "one promotion at a time",
    ),
    Rule("same_name", "stable and candidate under one predictor name", "give each version its own label"),
    Rule(
        "canary_differs",
        "a candidate that differs from the stable in more than its artifact",
        "change serving settings outside of a promotion",
    ),
    # values
    Rule(
        "quantity",
        "a quantity not in the API server's own form: Argo CD never gets in sync",
        "write it as named",
    ),
    Rule(
        "mutable_uri",
        "an artifact that can change under its name, or cannot be served",
        "write s3://…/v37, gs://…, or oci://…@sha256:…",
    ),
    Rule(
        "triton_path",
        "a Triton URI whose last part changes: it is the name in every inference call",
        "end both URIs in the same word",
    ),
    Rule(
        "replicas",
        "numbers of replicas that KServe refuses",
        "write 0 ≤ minReplicas ≤ maxReplicas, in a canary 1 to the stable's",
    ),
    Rule("duplicate_variable", "one environment variable twice", "keep one of them"),
    Rule(
        "expanded_value",
        "a variable that does not arrive as written: KServe runs {{ }}, Kubernetes expands $( ) and $$",
        "leave out {{ and $$; write $$( for $(",
    ),
    # alerts
    Rule(
        "alert_scope",
        "an alert about other requests than the model's here, or labelled as another's",
        _AGAIN,
    ),
    Rule(
        "alert_rate",
        "an alert with other windows, rates or severities than the burn rates that the slo gate uses",
        _AGAIN,
    ),
    Rule("alert_budget", "an alert on another budget than the objectives of the release", _AGAIN),
    # what the question is about
    Rule("wrong_model", "manifests of another model, tenant or environment than the promotion's", _AGAIN),
    Rule("wrong_namespace", "an object in another namespace than the environment's", _AGAIN),
    Rule("wrong_digest", "a record with another digest than the one judged", _AGAIN),
    Rule("wrong_uri", "another artifact than the candidate's", _AGAIN),
    Rule("wrong_stable", "a record with another stable version than the one that serves", _AGAIN),
    Rule("wrong_share", "another share than this stage's: the merge itself would move traffic", _AGAIN),
)

RULES = {rule.id: rule for rule in _ALL}
"""Every rule by its id; the id of the first finding is the verdict's reason."""
