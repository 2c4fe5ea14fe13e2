"""What people write, as frozen values: Platform (platform.yaml) and Release (release.yaml).

Field names are the keys of the YAML; the JSON Schemas for editors are generated from these models.
Durations are written like ``90s``, ``15m``, ``2h``, ``3d`` and held as seconds.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval, Len
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(value: object) -> object:
    if not isinstance(value, str) or not (match := re.fullmatch(r"(\d{1,6})([smhd])", value)):
        raise ValueError("write a duration such as 90s, 15m, 2h or 3d")
    return float(match[1]) * _UNITS[match[2]]


def _immutable(uri: str) -> str:
    if re.search(r"(?i)(^|[/:@])(latest|main|master|head|stable|prod|production)$", uri):
        raise ValueError("names something that can change; write the URI of one immutable version")
    if uri.startswith("oci://") and not re.search(r"@sha256:[0-9a-f]{64}$", uri):
        raise ValueError("an oci:// URI needs a digest: oci://registry/name@sha256:…")
    if not re.match(r"(s3|gs|oci|pvc|file|https)://[^\s/]", uri) and not re.match(r"file:///[^\s]", uri):
        raise ValueError("write an s3://, gs://, oci://, pvc://, https:// or file:// URI")
    if ".." in uri.split("/") or re.search(r"[\s\x00-\x1f{}$`\"'\\]", uri):
        raise ValueError("holds characters that no artifact URI needs")
    return uri


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema({"type": "string", "pattern": r"^\d{1,6}[smhd]$", "examples": ["90s", "15m", "2h"]}),
]
DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")]
"""A name that fits in Kubernetes names with room for suffixes: 40 characters at most."""
VersionLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,38}[a-z0-9])?$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Uri = Annotated[str, AfterValidator(_immutable)]
Share = Annotated[int, Interval(ge=0, le=100)]
Percent = Annotated[float, Interval(gt=0, le=100)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")]
Person = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$")]
Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|Mi|Gi|Ti|M|G|T)?$")]
Secret = Annotated[str, StringConstraints(pattern=r"^(env:[A-Z_][A-Z0-9_]*|file:/[^\s]+)$")]
"""Where a secret is, never the secret: ``env:NAME`` or ``file:/absolute/path``."""
GateName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Settings = dict[str, Any]
"""Settings of one gate, checked against the gate's own Settings class."""


class Frozen(BaseModel):
    """Base of all: no unknown keys, no silent conversions, no change after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


# ---------------------------------------------------------------- release.yaml


class Version(Frozen):
    """One immutable artifact of a model."""

    label: VersionLabel
    uri: Uri
    digest: Digest
    alias: str | None = None
    """Registry alias this version was resolved from, such as ``models:/fraud-scorer@candidate``."""


class Replicas(Frozen):
    """How many pods serve a version."""

    min: Annotated[int, Ge(0)] = 1
    max: Annotated[int, Ge(1)] = 1


class Resources(Frozen):
    """Kubernetes resources of the model's container, as canonical quantities."""

    requests: dict[str, Quantity] = Field(default_factory=dict)
    limits: dict[str, Quantity] = Field(default_factory=dict)


class Serving(Frozen):
    """How a model is served; nothing here may change during a promotion."""

    format: DnsLabel
    """KServe model format: sklearn, xgboost, lightgbm, onnx, triton, tensorflow, pytorch …"""
    format_version: str | None = None
    runtime: DnsLabel | None = None
    protocol: Literal["v1", "v2"] = "v2"
    replicas: Replicas = Replicas()
    resources: Resources = Resources()
    service_account: DnsLabel | None = None
    priority_class: DnsLabel | None = None
    node_selector: dict[str, str] = Field(default_factory=dict)
    env: dict[Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")], str] = Field(
        default_factory=dict
    )


class Latency(Frozen):
    """At least ``target_percent`` of requests answer within ``threshold_ms``."""

    threshold_ms: Annotated[float, Gt(0)]
    target_percent: Annotated[float, Interval(gt=0, lt=100)]


class Slo(Frozen):
    """Service level objectives."""

    latency: Latency
    error_budget_percent: Percent
    peak_rps: Annotated[float, Gt(0)]


class ChangeFacts(Frozen):
    """What a change request for this model says besides the promotion itself."""

    configuration_item: str
    assignment_group: str
    justification: str = ""


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
    git_url: Annotated[str, StringConstraints(pattern=r"^(https?|ssh|file)://[^\s]+$")]
    repository: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")]
    token: Secret | None = None
    app: GithubApp | None = None
    required_reviews: Annotated[int, Ge(0)] = 0
    """Approving reviews the promotion pull request needs before lockgate merges it."""


class ChangeDesk(Frozen):
    """Where change requests are opened and approvals read."""

    kind: Literal["servicenow"] = "servicenow"
    url: Url
    user: Person
    password: Secret | None = None
    token: Secret | None = None
    implement_states: tuple[int, ...] = Field((-2, -1), strict=False)
    """Numeric states in which an approved change may be carried out: Scheduled, Implement."""
    window: Duration = 4 * 3600.0
    """Length of the planned window requested, from the moment the change is opened."""


class Registry(Frozen):
    """A model registry whose aliases are resolved to immutable URIs."""

    kind: Literal["mlflow"] = "mlflow"
    url: Annotated[str, StringConstraints(pattern=r"^(https?|sqlite)://[^\s]+$")]
    token: Secret | None = None
    production_alias: str = "champion"


class Systems(Frozen):
    """The outside systems shared by all environments."""

    forge: Forge
    change_desk: ChangeDesk | None = None
    registry: Registry | None = None


class ArgoCd(Frozen):
    """The Argo CD application that applies one environment's manifests."""

    url: Url
    project: str
    application: str
    token: Secret
    ca_file: str | None = None


class MetricsSource(Frozen):
    """The Prometheus that sees an environment's traffic."""

    url: Url
    pack: DnsLabel
    """How to count there: ``envoy``, ``istio``, ``knative-classic`` …"""
    token: Secret | None = None
    ca_file: str | None = None


class Environment(Frozen):
    """A place a model runs."""

    mode: Literal["Knative", "Standard"]
    kserve: Annotated[str, StringConstraints(pattern=r"^0\.\d+(\.\d+)?$")] = "0.20"
    """KServe version installed there; some shares can be split only by newer ones."""
    gateway_api: bool = False
    """Standard mode: KServe routes by Gateway API, without which it splits nothing."""
    namespace: Annotated[str, StringConstraints(pattern=r"^[a-z{][-a-z0-9{}]*$")]
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
    maximum: Duration
    """When no verdict but WAIT came by then, the tier gives up and rolls back."""
    look_every: Duration
    warm_up: Duration
    """Dropped after each change of share."""


class Approval(Frozen):
    """The change request a tier needs before the last share."""

    type: Literal["normal", "standard", "emergency"] = "normal"
    template: str | None = None
    """sys_id of the standard change template, for ``type: standard``."""
    wait_at_most: Duration
    ask_every: Duration = 60.0
    """How often the desk is asked; ServiceNow counts requests per hour and user."""


class Tier(Frozen):
    """A named policy: how a promotion goes and what it must show."""

    strategy: Literal["canary", "blue_green", "pinned"]
    shares: Annotated[tuple[Share, ...], Len(1)] = Field((10, 25, 50, 100), strict=False)
    """Ascending, the last 100. blue_green and pinned know only (100,)."""
    bake: Bake
    soak: Duration = 0.0
    """How long 100 % is watched before the promotion is called finished."""
    gates: dict[GateName, Settings]
    """Gate name -> settings fixed for the whole tier."""
    approval: Approval | None = None
    preview_at_most: Duration = 3600.0
    """How long the preview may take to come up and be judged."""
    sync_at_most: Duration = 900.0
    """How long one share may take to be synced, ready and seen."""
    hold_budget: Duration
    """Seconds a promotion may hold on UNKNOWN in all before the policy below applies."""
    on_budget_spent: Literal["roll_back", "hold"] = "roll_back"
    supersede: Literal["queue", "replace", "refuse"] = "queue"
    """What a newer version arriving mid-flight does."""


class Freeze(Frozen):
    """A time in which no share goes up. Rollbacks always go through."""

    reason: Annotated[str, Len(1)]
    since: datetime = Field(alias="from", strict=False)
    until: datetime | None = Field(None, strict=False)
    """None: until somebody removes it (stop-the-line)."""
    environments: tuple[DnsLabel, ...] = Field((), strict=False)
    """Empty: all."""


class Platform(Frozen):
    """platform.yaml: where models run and by which policies. Edited by platform and risk."""

    systems: Systems
    environments: dict[DnsLabel, Environment]
    tiers: dict[DnsLabel, Tier]
    freezes: tuple[Freeze, ...] = Field((), strict=False)
