"""The same burn rates as alerts: PromQL over all versions of a model, whichever of them answered.

An alert knows nothing of a promotion, so none changes it. The gate asks besides that the long window shows
more than chance, and judges each arm by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from gates.contract import Objectives
from gates.metrics import Pack, selector
from gates.slo.burn import BURN_RULES, BurnRule

_REVISION = "\0"
"""Stands for the revision in a pack's labels; nothing that is named has it."""


class _Kind(NamedTuple):
    """One kind of bad request; PromQL with its window left open."""

    alert: str
    budget: float
    """Share of all requests (0..1)."""
    bad: str
    asked: str
    """All requests that could have been bad."""
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One rule for one kind of bad request."""

    name: str
    """``ErrorBudgetBurn`` or ``LatencyBudgetBurn``."""
    rule: BurnRule
    expression: str
    """PromQL: over both windows the share of bad requests is above so many times the budget."""
    summary: str


def alerts(
    pack: Pack, *, namespace: str, model: str, mode: Literal["Knative", "Standard"], objectives: Objectives
) -> tuple[Alert, ...]:
    """The alerts of one model in one environment, fastest first.

    A rule is left out where not even losing every request would break it, and latency where the pack has no
    histogram.
    """
    arms = _Arms(pack, namespace, revisions(model, mode))
    return tuple(
        Alert(name=kind.alert, rule=rule, expression=_expression(kind, rule), summary=_summary(kind, rule))
        for rule in BURN_RULES
        for kind in _kinds(arms, objectives)
        if rule.rate * kind.budget < 1
    )


def revisions(model: str, mode: Literal["Knative", "Standard"]) -> str:
    """A regular expression of a model's revisions, as KServe names them: in Standard mode its Deployments."""
    name = _literal(model)
    return f"{name}-predictor-[0-9]+" if mode == "Knative" else f"{name}-.+-predictor"


def _literal(text: str) -> str:
    return re.escape(text).replace(r"\-", "-")


class _Arms:
    """Selects all revisions of a model as its pack selects one."""

    def __init__(self, pack: Pack, namespace: str, pattern: str) -> None:
        self.pack = pack
        labels = pack.labels(namespace, _REVISION)
        self._exact = {name: value for name, value in labels.items() if _REVISION not in value}
        self._matching = {
            name: pattern.join(map(_literal, value.split(_REVISION)))
            for name, value in labels.items()
            if _REVISION in value
        }

    def select(self, metric: str, matching: Mapping[str, str], **exact: str) -> str:
        """A selector of one metric's series."""
        return selector(metric, {**self._exact, **exact}, matching={**self._matching, **matching})


def _kinds(arms: _Arms, objectives: Objectives) -> Iterator[_Kind]:
    pack = arms.pack
    whole = arms.select(pack.requests, pack.only)
    if pack.failures:
        failed = arms.select(pack.failures, pack.only)
        errors, asked = _rates(failed), f"({_rates(whole)} + ({_rates(failed)} or vector(0)))"
    else:
        errors, asked = (
            _rates(arms.select(pack.requests, {**pack.only, pack.code_label: "5.*"})),
            _rates(whole),
        )
    yield _Kind("ErrorBudgetBurn", objectives.error_budget_percent / 100, errors, asked, "fail")
    if not pack.bucket:
        return
    edge = f"{objectives.latency_threshold_ms * pack.edges_per_ms:.12g}"
    within = arms.select(pack.bucket, {**pack.only_timed, "le": _edge(edge)})
    timed = _rates(arms.select(pack.bucket, pack.only_timed, le="+Inf"))
    slow = f"take longer than {objectives.latency_threshold_ms:g} ms"
    budget = objectives.latency_budget_percent / 100
    yield _Kind("LatencyBudgetBurn", budget, f"({timed} - {_rates(within)})", timed, slow)


def _edge(text: str) -> str:
    """Prometheus 3 writes whole edges as 120.0, older ones as the process does."""
    return _literal(text) if "." in text or "e" in text else rf"{text}(\.0)?"


def _rates(of: str) -> str:
    """A rate with its window left open."""
    return f"sum(rate({of}[WINDOW]))"


def _expression(kind: _Kind, rule: BurnRule) -> str:
    limit = f"{rule.rate * kind.budget:.12g}"
    return " and ".join(
        f"({kind.bad} / {kind.asked} > {limit})".replace("[WINDOW]", f"[{window}]")
        for window in (rule.name, rule.short_name)
    )


def _summary(kind: _Kind, rule: BurnRule) -> str:
    windows = f"over {rule.name} and over {rule.short_name}"
    allowed = f"the {100 * kind.budget:g} % that its objective allows"
    return f"more than {rule.rate:g} x {allowed} of all requests {kind.words}, {windows}"
