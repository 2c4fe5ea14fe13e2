"""Knative mode, pure: how revisions and traffic follow a spec, and what the status says of them.

One :func:`step` is one round of the two controllers. KServe writes template and traffic targets into a
Knative Service; Knative makes revisions and moves the route; KServe copies the outcome and keeps books on
which revision was last rolled out. :func:`settle` repeats it until nothing changes, as the real pair does
within seconds. Readiness of the servers is an input. Only the predictor is modelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipelines.rehearsal.parts import Backend

Condition = tuple[Literal["True", "False", "Unknown"], str, str]
"""Status, reason, message."""

STARTING = Backend(state="starting", port=0)
_GOOD: Condition = ("True", "", "")
_ROUNDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the newest spec asks for."""

    template: str
    """Everything that makes a new revision, as canonical text."""
    uri: str
    percent: int | None
    """spec.predictor.canaryTrafficPercent; None when absent. Not checked: neither does KServe."""
    tag_routing: bool = False
    unservable: str = ""
    """Why no runtime serves it; "" when one does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One immutable copy of the template."""

    name: str
    template: str
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One traffic entry; ``revision`` is "" where a wish says "the latest ready one"."""

    revision: str
    percent: int
    latest: bool = False
    tag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the Knative Service and the InferenceService's status remember."""

    service: str
    """Name of the Knative Service: ``<name>-predictor``."""
    revisions: tuple[Revision, ...] = ()
    targets: tuple[Target, ...] = ()
    """The Knative Service's spec.traffic."""
    generation: int = 0
    """The Knative Service's; what status.observedGeneration copies."""
    latest_ready: str = ""
    served: tuple[Target, ...] = ()
    """Where requests really go."""
    created: str = ""
    """From here on: what the InferenceService's status says."""
    ready: str = ""
    rolled_out: str = ""
    previous: str = ""
    traffic: tuple[Target, ...] = ()
    error: str = ""
    unservable: str = ""
    active: str = ""
    target: str = ""
    transition: str = ""
    failure: tuple[tuple[str, str], ...] = ()
    """lastFailureInfo: stays after recovery, as seen."""

    @property
    def newest(self) -> str:
        """The newest revision's name; "" before the first."""
        return self.revisions[-1].name if self.revisions else ""


def settle(state: State, wish: Wish, servers: Mapping[str, Backend]) -> State:
    """Let both controllers work until nothing changes."""
    for _ in range(_ROUNDS):
        after = step(state, wish, servers)
        if after == state:
            break
        state = after
    return state


def step(state: State, wish: Wish, servers: Mapping[str, Backend]) -> State:
    """One round: write the Knative Service, let Knative converge, copy its status back."""
    if wish.unservable:
        failure = _failure("NoSupportingRuntime", wish.unservable, "")
        return _converge(
            replace(state, unservable=wish.unservable, transition="InvalidSpec", failure=failure), servers
        )
    targets = _targets(state, wish)
    error = traffic_error(targets)
    if error:
        return replace(_converge(state, servers), error=error, unservable="")
    state = _write(replace(state, error="", unservable=""), wish, targets)
    return _propagate(_converge(state, servers), servers)


def _targets(state: State, wish: Wish) -> tuple[Target, ...]:
    """spec.traffic as KServe builds it: split only with a percent and a rolled-out revision."""
    if wish.percent is None or not state.rolled_out:
        return (Target(revision="", percent=100, latest=True),)
    tag = "latest" if wish.tag_routing else ""
    first = Target(revision="", percent=wish.percent, latest=True, tag=tag)
    if wish.percent >= 100:
        return (first,)
    return (first, Target(revision=state.rolled_out, percent=100 - wish.percent, tag="prev"))


def traffic_error(targets: tuple[Target, ...]) -> str:
    """What Knative's webhook says of impossible percentages; "" when they are fine."""
    total = sum(target.percent for target in targets)
    problems = [f"Traffic targets sum to {total}, want 100: spec.traffic"] if total != 100 else []
    problems += [
        f"expected 0 <= {target.percent} <= 100: spec.traffic[{place}].percent"
        for place, target in enumerate(targets)
        if not 0 <= target.percent <= 100
    ]
    return " ".join(problems)


def _write(state: State, wish: Wish, targets: tuple[Target, ...]) -> State:
    revisions = state.revisions
    if not revisions or revisions[-1].template != wish.template:
        name = f"{state.service}-{len(revisions) + 1:05d}"
        revisions = (*revisions, Revision(name=name, template=wish.template, uri=wish.uri))
    if (revisions, targets) == (state.revisions, state.targets):
        return state
    return replace(state, revisions=revisions, targets=targets, generation=state.generation + 1)


def _converge(state: State, servers: Mapping[str, Backend]) -> State:
    """Knative: the newest ready revision becomes latestReady (never an older one); the route follows."""
    names = [revision.name for revision in state.revisions]
    floor = names.index(state.latest_ready) if state.latest_ready else 0
    ready = [name for name in names[floor:] if _is_ready(name, servers)]
    latest_ready = ready[-1] if ready else state.latest_ready
    if not latest_ready:
        return state
    served = tuple(replace(t, revision=latest_ready) if t.latest else t for t in state.targets)
    if not all(_is_ready(target.revision, servers) for target in served if target.percent > 0):
        served = state.served
    return replace(state, latest_ready=latest_ready, served=served)


def _is_ready(name: str, servers: Mapping[str, Backend]) -> bool:
    return servers.get(name, STARTING).state == "ready"


def _propagate(state: State, servers: Mapping[str, Backend]) -> State:
    """KServe: copy revisions and traffic, then keep the books of what was rolled out."""
    rolled_out, previous = _books(state)
    state = replace(
        state,
        created=state.newest,
        ready=state.latest_ready,
        traffic=state.served,
        rolled_out=rolled_out,
        previous=previous,
    )
    return _model_status(state, servers.get(state.created, STARTING))


def _books(state: State) -> tuple[str, str]:
    latest = next((t for t in state.served if t.latest and t.revision == state.latest_ready), None)
    if latest is None:
        return state.rolled_out, state.previous
    if state.rolled_out != state.latest_ready:
        if latest.percent == 100:
            return state.latest_ready, state.rolled_out
        return state.rolled_out, state.previous
    split_over_itself = shares(state.served).get(latest.revision) == 100
    going_back = state.latest_ready == state.newest and latest.percent < 100 and split_over_itself
    if going_back and state.previous:
        return state.previous, state.previous
    return state.rolled_out, state.previous


def shares(targets: tuple[Target, ...]) -> dict[str, int]:
    """Percent by revision, added up: one revision may be named twice."""
    total: dict[str, int] = {}
    for target in targets:
        total[target.revision] = total.get(target.revision, 0) + target.percent
    return total


def _model_status(state: State, server: Backend) -> State:
    if server.state == "failed":
        failure = _failure("ModelLoadFailed", server.reason, state.created)
        return replace(state, target="FailedToLoad", transition="BlockedByFailedLoad", failure=failure)
    if server.state == "ready" and state.created == state.ready:
        return replace(state, active="Loaded", target="Loaded", transition="UpToDate")
    return replace(state, target="Pending", transition="InProgress")


def _failure(reason: str, message: str, revision: str) -> tuple[tuple[str, str], ...]:
    facts = {"reason": reason, "message": message, "modelRevisionName": revision, "exitCode": "1"}
    if not revision:
        facts = {"reason": reason, "message": message}
    return tuple(facts.items())


def needed(state: State) -> tuple[Revision, ...]:
    """Revisions whose server must run: in the wished or present traffic, or newest; others may end.

    A revision at 0 percent keeps its server, which is what makes a rollback instant.
    """
    names = {t.revision for t in (*state.targets, *state.served) if t.revision}
    names |= {state.newest, state.latest_ready}
    return tuple(revision for revision in state.revisions if revision.name in names)


def conditions(state: State, servers: Mapping[str, Backend]) -> dict[str, Condition]:
    """The InferenceService's conditions by type, without transition times."""
    if state.error or state.unservable:
        return _refused(state)
    configuration = _configuration(state, servers.get(state.newest, STARTING))
    route = _route(state)
    parts = (configuration, route)
    predictor = next((part for part in parts if part[0] == "False"), None) or next(
        (part for part in parts if part[0] == "Unknown"), _GOOD
    )
    latest: Condition = _GOOD
    if configuration[0] != "True":
        latest = (configuration[0], "PredictorConfigurationReady not ready", configuration[2])
    return {
        "IngressReady": _GOOD if state.served else ("Unknown", "", ""),
        "LatestDeploymentReady": latest,
        "PredictorConfigurationReady": configuration,
        "PredictorReady": predictor,
        "PredictorRouteReady": route,
        "Ready": predictor,
        "RoutesReady": route,
        "Stopped": ("False", "", ""),
    }


def _refused(state: State) -> dict[str, Condition]:
    """The Knative Service could not be written; all but Predictor and Ready stays as it was."""
    told: Condition = ("False", "ReconcileFailed", state.error or state.unservable)
    if state.error:
        told = (
            "False",
            "ReconcileFailed",
            f'fails to reconcile predictor: admission webhook "validation.webhook.serving.knative.dev" '
            f"denied the request: validation failed: {state.error}",
        )
    rest: Condition = _GOOD if state.served else ("Unknown", "", "")
    names = ("IngressReady", "LatestDeploymentReady", "PredictorConfigurationReady", "PredictorRouteReady")
    return {
        **dict.fromkeys((*names, "RoutesReady"), rest),
        "PredictorReady": told,
        "Ready": told,
        "Stopped": ("False", "", ""),
    }


def _configuration(state: State, server: Backend) -> Condition:
    if server.state == "failed":
        message = f'Revision "{state.newest}" failed with message: {server.reason}.'
        return ("False", "RevisionFailed", message)
    if server.state != "ready" or state.newest != state.ready:
        return ("Unknown", "", "")
    return _GOOD


def _route(state: State) -> Condition:
    """True while the route carries what was asked; a cold revision that has to come up first is not."""
    wished = tuple(replace(t, revision=state.latest_ready) if t.latest else t for t in state.targets)
    return _GOOD if state.served and wished == state.served else ("Unknown", "", "")


def status(state: State, url: str, addresses: Mapping[str, str]) -> dict[str, Any]:
    """The status without its conditions; ``addresses`` gives a tagged revision its own url."""
    component: dict[str, Any] = {
        "latestCreatedRevision": state.created,
        "latestReadyRevision": state.ready,
        "latestRolledoutRevision": state.rolled_out,
        "previousRolledoutRevision": state.previous,
        "traffic": [_entry(target, addresses) for target in state.traffic],
        "url": url if state.traffic else "",
    }
    model: dict[str, Any] = {
        "transitionStatus": state.transition,
        "states": {"activeModelState": state.active, "targetModelState": state.target},
    }
    if state.failure:
        model["lastFailureInfo"] = dict(state.failure)
    told: dict[str, Any] = {
        "components": {"predictor": {key: value for key, value in component.items() if value}},
        "deploymentMode": "Knative",
        "modelStatus": model,
        "observedGeneration": state.generation,
    }
    if state.traffic:
        told |= {"url": url, "address": {"url": url}}
    return told


def _entry(target: Target, addresses: Mapping[str, str]) -> dict[str, Any]:
    told: dict[str, Any] = {"revisionName": target.revision, "percent": target.percent}
    told["latestRevision"] = target.latest
    if target.tag:
        told["tag"] = target.tag
        if url := addresses.get(target.revision):
            told["url"] = url
    return told
