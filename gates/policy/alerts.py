"""The rules for a PrometheusRule: alerts of this model alone, at the rates and budgets that it is judged by.

Stated here anew, and not taken from what renders them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from gates.contract import Objectives
from gates.policy.fields import Object
from gates.policy.rules import Finding
from gates.policy.strict import Path

BURNS = {("1h", "5m", "page"): 14.4, ("6h", "30m", "page"): 6.0, ("3d", "6h", "ticket"): 1.0}
"""(long window, short window, severity) -> times the budget."""
_SELECTOR = re.compile(r"\{[^{}]*\}")
_KINDS = ("ErrorBudgetBurn", "LatencyBudgetBurn")


def alert_findings(alerts: Object, service: Object, folder: str) -> Iterator[Finding]:
    """Every rule about alerts that needs nothing but the model's own files."""
    if alerts.at("metadata", "namespace") != service.at("metadata", "namespace"):
        path: Path = ("metadata", "namespace")
        yield alerts.breaks("wrong_namespace", path, "is not the InferenceService's")
    for where, alert in _alerts(alerts):
        yield from _scope(alerts, where, alert, service, folder)
        yield from _rate(alerts, where, alert)


def budget_findings(alerts: Object, objectives: Objectives) -> Iterator[Finding]:
    """Whether each alert's limit is its rate times the budget of the objectives."""
    budgets = dict(
        zip(_KINDS, (objectives.error_budget_percent, objectives.latency_budget_percent), strict=True)
    )
    for where, alert in _alerts(alerts):
        limits, rate = _limits(alert["expr"]), BURNS.get(_burn(alert), math.nan)
        wanted = rate * budgets.get(alert["alert"], math.nan) / 100
        if not all(math.isclose(limit, wanted, rel_tol=1e-9) for limit in limits):
            message = f"fires above {', '.join(f'{limit:g}' for limit in limits)}, {wanted:g} is the budget's"
            yield alerts.breaks("alert_budget", (*where, "expr"), message)


def _alerts(thing: Object) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each alert that has its shape, with its place; the others have their finding."""
    groups = thing.at("spec", "groups")
    for group in range(len(groups) if isinstance(groups, list) else 0):
        rules = thing.at("spec", "groups", group, "rules")
        for place, alert in enumerate(rules if isinstance(rules, list) else ()):
            labels = alert.get("labels") if isinstance(alert, dict) else None
            texts = [alert.get("alert"), alert.get("expr")] if isinstance(alert, dict) else [None]
            if isinstance(labels, dict) and all(isinstance(text, str) for text in texts):
                yield ("spec", "groups", group, "rules", place), alert


def _scope(
    alerts: Object, where: Path, alert: dict[str, Any], service: Object, folder: str
) -> Iterator[Finding]:
    _, environment, tenant, model = folder.split("/") if folder.count("/") == 3 else ("",) * 4
    for label, wanted in (("environment", environment), ("tenant", tenant), ("model", model)):
        if (said := alert["labels"].get(label)) != wanted:
            yield alerts.breaks("alert_scope", (*where, "labels", label), f"is {said!r}, not {wanted!r}")
    namespace = str(service.at("metadata", "namespace"))
    selectors = _SELECTOR.findall(alert["expr"])
    told = [
        one
        for one in selectors
        if not (
            re.search(rf'"{re.escape(namespace)}["/]', one) and re.search(rf'["/]{re.escape(model)}-', one)
        )
    ]
    if told or not selectors:
        message = f"counts {told[0] if told else 'nothing'}, not what {model} answers in {namespace}"
        yield alerts.breaks("alert_scope", (*where, "expr"), message)


def _burn(alert: dict[str, Any]) -> tuple[str, str, str]:
    """(long window, short window, severity) as an alert has them."""
    outside = _SELECTOR.sub("", alert["expr"])
    windows = list(dict.fromkeys(re.findall(r"\[([^\]]*)\]", outside)))
    long, short = windows if len(windows) == 2 else ("", "")
    return long, short, str(alert["labels"].get("severity"))


def _limits(expression: str) -> list[float]:
    return [float(limit) for limit in re.findall(r"> ([0-9.]+(?:e-?[0-9]+)?)\)", expression)]


def _rate(alerts: Object, where: Path, alert: dict[str, Any]) -> Iterator[Finding]:
    burn, name = _burn(alert), alert["alert"]
    if name not in _KINDS:
        yield alerts.breaks("alert_rate", (*where, "alert"), f"is {name!r}, not {' or '.join(_KINDS)}")
    elif burn not in BURNS or alert["labels"].get("window") != burn[0]:
        message = f"has the windows {burn[0]!r} and {burn[1]!r} for a {burn[2]}"
        yield alerts.breaks("alert_rate", (*where, "labels"), message)
    elif len(_limits(alert["expr"])) != 2:
        yield alerts.breaks("alert_rate", (*where, "expr"), "does not hold both windows against a limit")
