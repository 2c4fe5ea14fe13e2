"""What people write, as frozen values: Platform (platform.yaml) and Release (release.yaml).

Field names are the keys of the YAML; the JSON Schemas for editors are generated from these models.
Durations are written like ``90s``, ``15m``, ``2h``, ``3d`` and held as seconds. A rule about one section
stands here, beside its fields; a rule across sections or files stands in ``checks``.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Annotated, Literal, TypeVar

from annotated_types import Ge, Gt, Interval, Len
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from gates.contract import Objectives
from pipelines.spec.shapes import (
    AbsolutePath,
    ApplicationRule,
    Digest,
    DnsLabel,
    Duration,
    EnvironmentVariable,
    GateName,
    GitUrl,
    Instant,
    LabelKey,
    LabelValue,
    Line,
    ObjectName,
    Percent,
    Person,
    Quantity,
    RegistryUrl,
    ResourceName,
    Secret,
    Settings,
    Shape,
    Share,
    SomeTime,
    Uri,
    Url,
    VersionLabel,
    duration,
    wrong,
)


class Frozen(BaseModel):
    """Base of all: no unknown keys, no silent conversions, no change after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


_Section = TypeVar("_Section", bound=Frozen)


def _exactly_one(section: _Section, first: str, second: str) -> _Section:
    written = [key for key in (first, second) if getattr(section, key) is not None]
    if len(written) != 1:
        what = "has both" if written else "has neither"
        raise ValueError(f"needs exactly one of {first} and {second}, but {what}")
    return section


# ---------------------------------------------------------------- release.yaml


class Version(Frozen):
    """One immutable artifact of a model."""

    label: VersionLabel
    uri: Uri
    digest: Digest
    alias: Annotated[str, Shape(r"models:/[^\s/@^]+@[^\s/@^]+", "write models:/name@alias")] | None = None
    """Registry alias this version was resolved from, such as ``models:/fraud-scorer@candidate``."""


class Replicas(Frozen):
    """How many pods serve a version."""

    min: Annotated[int, Ge(0)] = 1
    max: Annotated[int, Ge(1)] = Field(default_factory=lambda data: max(1, data.get("min", 1)))
    """Unless written: as many as ``min``, but at least one."""

    @field_validator("max")
    @classmethod
    def _not_below_min(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("min", 0):
            raise wrong(f"must be at least min, which is {info.data['min']}")
        return value


class Resources(Frozen):
    """Kubernetes resources of the model's container, as canonical quantities."""

    requests: dict[ResourceName, Quantity] = Field(default_factory=dict)
    limits: dict[ResourceName, Quantity] = Field(default_factory=dict)


class Serving(Frozen):
    """How a model is served; nothing here may change during a promotion."""

    format: DnsLabel
    """KServe model format: sklearn, xgboost, lightgbm, onnx, triton, tensorflow, pytorch …"""
    format_version: Annotated[str, Shape("[0-9A-Za-z][0-9A-Za-z.+-]{0,30}", "write a version")] | None = None
    runtime: DnsLabel | None = None
    protocol: Literal["v1", "v2"] = "v2"
    replicas: Replicas = Replicas()
    resources: Resources = Resources()
    service_account: DnsLabel | None = None
    priority_class: DnsLabel | None = None
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    env: dict[EnvironmentVariable, str] = Field(default_factory=dict)
    """Not for secrets: what stands here is readable by everybody who reads the repository."""


class Latency(Frozen):
    """At least ``target_percent`` of requests answer within ``threshold_ms``."""

    threshold_ms: Annotated[float, Gt(0)]
    target_percent: Annotated[float, Interval(gt=0, lt=100)]


class Slo(Frozen):
    """Service level objectives."""

    latency: Latency
    error_budget_percent: Percent
    peak_rps: Annotated[float, Gt(0)]

    def objectives(self) -> Objectives:
        """The same in the words of the gates."""
        return Objectives(
            latency_threshold_ms=self.latency.threshold_ms,
            latency_budget_percent=round(100.0 - self.latency.target_percent, 9),
            error_budget_percent=self.error_budget_percent,
            peak_rps=self.peak_rps,
        )


class ChangeFacts(Frozen):
    """What a change request for this model says besides the promotion itself."""

    configuration_item: Line
    assignment_group: Line
    justification: str = ""


class Risk(Frozen):
    """What model-risk management wants to know; a tier's policy pack says which of it must be said."""

    materiality: Literal["high", "medium", "low"] | None = None
    intended_use: str = ""
    """What it decides, for whom, and what it must not be used for."""
    methodology: str = ""
    """Why the approach is sound for that use."""
    data: dict[Line, Digest] = Field(default_factory=dict)
    """Name of a data set that it was made from -> its digest."""
    limitations: tuple[str, ...] = Field((), strict=False)
    compensating_controls: tuple[str, ...] = Field((), strict=False)
    monitoring: tuple[str, ...] = Field((), strict=False)
    """Signals, each with the value at which somebody acts."""
    rollback_plan: str = ""
    developer: Person | None = None
    validator: Person | None = None
    """Who challenged it; never the developer where a pack wants them apart."""


class Release(Frozen):
    """models/<model>/release.yaml: what people want. The only file people edit for a model."""

    model: DnsLabel
    tenant: DnsLabel
    owners: Annotated[tuple[Person, ...], Len(1)] = Field(strict=False)
    tier: DnsLabel
    description: str = ""
    version: Version
    serving: Serving
    slo: Slo
    change: ChangeFacts | None = None
    risk: Risk | None = None
    gates: dict[GateName, Settings] = Field(default_factory=dict)
    """Settings the tier leaves to the model; a key the tier sets cannot be set here."""


# --------------------------------------------------------------- platform.yaml


class GithubApp(Frozen):
    """Credentials of a GitHub App installation."""

    app_id: int
    installation_id: int
    private_key: Secret


class Forge(Frozen):
    """Where pull requests are opened and commit statuses written."""

    kind: Literal["github"] = "github"
    api_url: Url = "https://api.github.com"
    """GitHub Enterprise Server: ``https://host/api/v3``."""
    git_url: GitUrl
    repository: Annotated[
        str, Shape(r"[A-Za-z0-9][A-Za-z0-9-]*/(?!\.\.?$)[A-Za-z0-9_.-]+", "write owner/repository")
    ]
    token: Secret | None = None
    app: GithubApp | None = None
    required_reviews: Annotated[int, Ge(0)] = 0
    """Approving reviews the promotion pull request needs before lockgate merges it."""

    @model_validator(mode="after")
    def _one_credential(self) -> Forge:
        return _exactly_one(self, "token", "app")


class ChangeDesk(Frozen):
    """Where change requests are opened and approvals read."""

    kind: Literal["servicenow"] = "servicenow"
    url: Url
    user: Person
    password: Secret | None = None
    token: Secret | None = None
    implement_states: tuple[int, ...] = Field((-2, -1), strict=False)
    """Numeric states in which an approved change may be carried out: Scheduled, Implement."""
    window: SomeTime = 4 * 3600.0
    """Length of the planned window requested, from the moment the change is opened."""

    @model_validator(mode="after")
    def _one_credential(self) -> ChangeDesk:
        return _exactly_one(self, "password", "token")


class Registry(Frozen):
    """A model registry whose aliases are resolved to immutable URIs."""

    kind: Literal["mlflow"] = "mlflow"
    url: RegistryUrl
    token: Secret | None = None
    production_alias: Annotated[str, Shape("[A-Za-z0-9][A-Za-z0-9_-]{0,99}", "write an alias")] = "champion"


class Workflows(Frozen):
    """The Argo Workflows server that promotions may run on."""

    kind: Literal["argo"] = "argo"
    url: Url
    namespace: DnsLabel
    token: Secret
    """With or without a leading ``Bearer``, as `argo auth token` prints it."""
    ui_url: Url | None = None
    """Where people look at workflows; None: ``url``."""
    ca_file: AbsolutePath | None = None
    """Certificate authority of the server; None: those the machine trusts."""


class Systems(Frozen):
    """The outside systems shared by all environments."""

    forge: Forge
    change_desk: ChangeDesk | None = None
    registry: Registry | None = None
    workflows: Workflows | None = None


class ArgoCd(Frozen):
    """The Argo CD applications that apply one environment's manifests, one for each model."""

    url: Url
    project: ObjectName
    application: ApplicationRule
    """Name of the model's application; ``{model}`` and ``{tenant}`` stand for its own."""
    token: Secret
    ca_file: AbsolutePath | None = None
    """Certificate authority of the server; None: those the machine trusts."""


class Alerts(Frozen):
    """Burn-rate alerts of every model, written beside its manifests as a PrometheusRule."""

    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Those by which the Prometheus Operator there selects rules, such as ``release: kube-prometheus``."""


class MetricsSource(Frozen):
    """The Prometheus that sees an environment's traffic."""

    url: Url
    pack: DnsLabel
    """How to count there: ``envoy``, ``istio``, ``knative-classic`` …"""
    scrape_every: SomeTime = 15.0
    token: Secret | None = None
    ca_file: AbsolutePath | None = None
    alerts: Alerts | None = None
    """None: no alerts are written. They need the Prometheus Operator, and Argo CD's leave to apply them."""


class Environment(Frozen):
    """A place a model runs."""

    mode: Literal["Knative", "Standard"]
    kserve: Annotated[
        str, Shape(r"0\.[0-9]{1,3}(\.[0-9]{1,3})?", 'write a version such as "0.20", quoted')
    ] = "0.20"
    """KServe version installed there; some shares can be split only by newer ones."""
    gateway_api: bool = False
    """Standard mode: KServe routes by Gateway API, without which it splits nothing."""
    namespace: Annotated[
        str,
        Shape(
            r"([a-z]|\{tenant\})([-a-z0-9]|\{tenant\})*(?<!-)",
            'write a namespace, or a rule for it such as "{tenant}-prod"',
        ),
    ]
    """Namespace rule; ``{tenant}`` stands for the tenant."""
    argocd: ArgoCd
    metrics: MetricsSource | None = None
    after: DnsLabel | None = None
    """The environment in which the same version must have ended at 100 % first."""
    preview: DnsLabel | None = None
    """The environment that runs the candidate without live traffic before the merge."""


class Bake(Frozen):
    """How long a share is watched before the next."""

    minimum: Duration
    maximum: SomeTime
    """When no verdict but WAIT came by then, the tier gives up and rolls back."""
    look_every: SomeTime
    warm_up: Duration
    """Dropped after each change of share."""

    @field_validator("maximum", "look_every", "warm_up")
    @classmethod
    def _in_order(cls, value: float, info: ValidationInfo) -> float:
        minimum, maximum = info.data.get("minimum"), info.data.get("maximum")
        if info.field_name == "maximum" and minimum is not None and value < minimum:
            raise wrong(f"must be at least minimum, which is {duration(minimum)}")
        if info.field_name == "look_every" and maximum is not None and value > maximum:
            raise wrong(f"must be at most maximum, which is {duration(maximum)}: nobody would ever look")
        if info.field_name == "warm_up" and minimum is not None and value >= minimum:
            raise wrong(f"must be shorter than minimum, which is {duration(minimum)}: no data would be left")
        return value


class Approval(Frozen):
    """The change request a tier needs before the last share."""

    type: Literal["normal", "standard", "emergency"] = "normal"
    template: Annotated[str, Shape("[0-9a-f]{32}", "write a sys_id of 32 hexadecimal digits")] | None = Field(
        None, validate_default=True
    )
    """sys_id of the standard change template, for ``type: standard``."""
    wait_at_most: SomeTime
    ask_every: SomeTime = 60.0
    """How often the desk is asked; ServiceNow counts requests per hour and user."""

    @field_validator("template")
    @classmethod
    def _for_standard_changes(cls, value: str | None, info: ValidationInfo) -> str | None:
        kind = info.data.get("type")
        if kind == "standard" and value is None:
            raise wrong("a standard change needs the sys_id of its template")
        if kind in ("normal", "emergency") and value is not None:
            raise wrong(f"a change of type {kind} is made from no template")
        return value


class Score(Frozen):
    """Gates that need not all pass: together they must bring a part of their weights."""

    weights: Annotated[dict[GateName, Annotated[int, Interval(ge=1, le=100)]], Len(2)]
    """Gate -> what it brings when it passes; WAIT, UNKNOWN and FAIL bring nothing."""
    at_least_percent: Annotated[int, Interval(ge=1, le=100)]
    """Of the weights asked at one stage, that must be brought there."""


class Tier(Frozen):
    """A named policy: how a promotion goes and what it must show."""

    strategy: Literal["canary", "blue_green", "pinned"]
    shares: Annotated[tuple[Share, ...], Len(1)] = Field(
        default_factory=lambda data: (10, 25, 50, 100) if data.get("strategy") == "canary" else (100,),
        strict=False,
    )
    """Ascending, the last 100. blue_green and pinned know only [100]; a canary has [10, 25, 50, 100]."""
    bake: Bake
    soak: Duration = 0.0
    """How long 100 % is watched before the promotion is called finished."""
    gates: dict[GateName, Settings]
    """Gate name -> settings fixed for the whole tier. Each must pass, but for those named below."""
    informative: tuple[GateName, ...] = Field((), strict=False)
    """Gates that are asked, recorded and shown, and decide nothing."""
    score: Score | None = None
    """Gates that count by their weights together instead of each by itself."""
    evidence: DnsLabel | None = None
    """Policy pack that says what the evidence must hold: ``sr-26-2``, ``sr-11-7-legacy``."""
    approval: Approval | None = None
    preview_at_most: SomeTime = 3600.0
    """How long the preview may take to come up and be judged."""
    sync_at_most: SomeTime = 900.0
    """How long one share may take to be synced, ready and seen."""
    hold_budget: Duration
    """Seconds a promotion may hold on UNKNOWN in all before the policy below applies."""
    on_budget_spent: Literal["roll_back", "hold"] = "roll_back"
    supersede: Literal["queue", "replace", "refuse"] = "queue"
    """What a newer version arriving mid-flight does."""

    @field_validator("shares")
    @classmethod
    def _climb_to_100(cls, shares: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        strategy = info.data.get("strategy")
        if any(upper <= lower for lower, upper in pairwise(shares)):
            raise wrong("must climb: each share higher than the one before")
        if shares[-1] != 100:
            raise wrong("must end in 100")
        if strategy in ("blue_green", "pinned") and shares != (100,):
            raise wrong(f"must be [100], since {strategy} has no shares between")
        return shares


class Freeze(Frozen):
    """A time in which no share goes up. Rollbacks always go through."""

    reason: Line
    since: Instant = Field(alias="from")
    until: Instant | None = None
    """None: until somebody removes it (stop-the-line)."""
    environments: tuple[DnsLabel, ...] = Field((), strict=False)
    """Empty: all."""

    @field_validator("until")
    @classmethod
    def _after_from(cls, until: datetime | None, info: ValidationInfo) -> datetime | None:
        since = info.data.get("since")
        if until is not None and since is not None and until <= since:
            raise wrong(f"must be later than from, which is {since.isoformat()}")
        return until


class Evidence(Frozen):
    """How the evidence of promotions is vouched for."""

    signing_key: Secret
    """Private key that signs the statements of verdicts: PEM of an Ed25519, ECDSA or RSA key, no password."""


class Platform(Frozen):
    """platform.yaml: where models run and by which policies. Edited by platform and risk."""

    systems: Systems
    environments: Annotated[dict[DnsLabel, Environment], Len(1)]
    tiers: Annotated[dict[DnsLabel, Tier], Len(1)]
    freezes: tuple[Freeze, ...] = Field((), strict=False)
    evidence: Evidence | None = None
