"""Burn-rate alerts: what the gate rolls back for pages people too, in a real promtool; and nothing else does.

Covered: every pack and both modes parse; page and ticket at their rates and silent below; which requests
count. What lies beside the manifests is held in tests/pipelines/test_render_alerts.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from gates.contract import Objectives
from gates.metrics import PACKS
from gates.slo.alerts import Alert, alerts, revisions
from gates.slo.burn import BURN_RULES
from tests.counters import promtool

OBJECTIVES = Objectives(
    latency_threshold_ms=50.0, latency_budget_percent=1.0, error_budget_percent=0.5, peak_rps=40.0
)
CLUSTER = "risk-prod/fraud-scorer-predictor-00002"
HOURS = 80
"""Longer than the longest window."""


def made(
    pack: str = "envoy", mode: Literal["Knative", "Standard"] = "Knative", objectives: Objectives = OBJECTIVES
) -> tuple[Alert, ...]:
    return alerts(PACKS[pack], namespace="risk-prod", model="fraud-scorer", mode=mode, objectives=objectives)


def write_rules(folder: Path, of: tuple[Alert, ...]) -> None:
    rules = [{"alert": one.name, "expr": one.expression, "labels": {"window": one.rule.name}} for one in of]
    (folder / "rules.json").write_text(json.dumps({"groups": [{"name": "burn", "rules": rules}]}))


@pytest.mark.parametrize("mode", ["Knative", "Standard"])
def test_every_pack_has_alerts_that_prometheus_takes(
    mode: Literal["Knative", "Standard"], tmp_path: Path
) -> None:
    """One per burn rate and kind of bad request; a pack without a histogram has none for latency."""
    for name, pack in PACKS.items():
        found = made(name, mode)
        kinds = {one.name for one in found}
        assert len(found) == len(BURN_RULES) * len(kinds)
        assert kinds == {"ErrorBudgetBurn", *(["LatencyBudgetBurn"] if pack.bucket else [])}
        write_rules(tmp_path, found)
        assert f"{len(found)} rules found" in promtool("check", "rules", "rules.json", folder=tmp_path)


# ------------------------------------------------------------------- fired by a real evaluation


def counter(name: str, labels: str, per_minute: list[tuple[int, float]]) -> dict[str, str]:
    """A counter in promtool's notation: for so many minutes it grows by so much each."""
    value, parts = 0.0, []
    for minutes, grows in per_minute:
        parts.append(f"{value:g}+{grows:g}x{minutes}")
        value += grows * (minutes + 1)
    return {"series": f"{name}{{{labels}}}", "values": " ".join(parts)}


def traffic(per_minute: list[tuple[int, float]], *, cluster: str = CLUSTER) -> list[dict[str, str]]:
    """A thousand requests a minute, of which ``per_minute`` fail and as many, twice, are slow."""
    arm = f'envoy_cluster_name="{cluster}"'
    slow = [(minutes, 1000 - 2 * bad) for minutes, bad in per_minute]
    every = [(minutes, 1000.0) for minutes, _ in per_minute]
    requests, buckets = "envoy_cluster_upstream_rq_xx", "envoy_cluster_upstream_rq_time_bucket"
    good = [(minutes, 1000 - bad) for minutes, bad in per_minute]
    return [
        counter(requests, f'{arm},envoy_response_code_class="2"', good),
        counter(requests, f'{arm},envoy_response_code_class="5"', per_minute),
        counter(buckets, f'{arm},le="50.0"', slow),
        counter(buckets, f'{arm},le="+Inf"', every),
    ]


def fired(folder: Path, series: list[dict[str, str]], expected: set[str]) -> None:
    """At the end exactly these windows fire, for both kinds."""
    write_rules(folder, made())
    wanted = [
        {
            "eval_time": f"{HOURS}h",
            "alertname": name,
            "exp_alerts": [{"exp_labels": {"window": window}} for window in sorted(expected)],
        }
        for name in ("ErrorBudgetBurn", "LatencyBudgetBurn")
    ]
    tests: dict[str, Any] = {
        "rule_files": ["rules.json"],
        "evaluation_interval": f"{HOURS}h",
        "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": wanted}],
    }
    (folder / "tests.json").write_text(json.dumps(tests))
    assert "SUCCESS" in promtool("test", "rules", "tests.json", folder=folder)


def times(budget: float) -> float:
    """Of a thousand requests, those that fail at so many times the budget of 0.5 %."""
    return 5.0 * budget


ALL = HOURS * 60
LATE = [
    ("silent below the budget", [(ALL, times(0.9))], set()),
    ("a ticket above it", [(ALL, times(1.2))], {"3d"}),
    ("a ticket just below the slow page", [(ALL, times(5.8))], {"3d"}),
    ("a page at six times, with the ticket", [(ALL, times(6.3))], {"6h", "3d"}),
    ("no fast page just below 14.4 times", [(ALL, times(14.2))], {"6h", "3d"}),
    ("all of them at fifteen times", [(ALL, times(15.0))], {"1h", "6h", "3d"}),
    ("a fast page for an hour of it alone", [(ALL - 62, 0.0), (62, times(16.0))], {"1h"}),
    ("silent a while after it ended", [(ALL - 92, 0.0), (60, times(16.0)), (32, 0.0)], set()),
]


@pytest.mark.parametrize(("minutes", "expected"), [case[1:] for case in LATE], ids=[case[0] for case in LATE])
def test_page_and_ticket_fire_at_their_rates(
    minutes: list[tuple[int, float]], expected: set[str], tmp_path: Path
) -> None:
    """Promtool runs the rules over three days of counters."""
    fired(tmp_path, traffic(minutes), expected)


def test_requests_count_whichever_version_answered(tmp_path: Path) -> None:
    """A candidate that loses everything with one request of ten is an outage of ten percent."""
    stable = traffic([(ALL, 0.0)])
    candidate = traffic([(ALL, 200.0)], cluster="risk-prod/fraud-scorer-predictor-00003")
    fired(tmp_path, [*stable, *candidate], {"1h", "6h", "3d"})


@pytest.mark.parametrize(
    "cluster",
    [
        "risk-prod/fraud-predictor-00002",
        "risk-prod/my-fraud-scorer-predictor-00002",
        "risk-dev/fraud-scorer-predictor-00002",
    ],
)
def test_other_models_and_namespaces_do_not_count(cluster: str, tmp_path: Path) -> None:
    """A neighbour whose name is nearly the same pages its own owners."""
    fired(tmp_path, traffic([(ALL, 500.0)], cluster=cluster), set())


def test_without_requests_nothing_fires(tmp_path: Path) -> None:
    """No requests are no bad requests; and that nothing is measured is somebody else's alert."""
    fired(tmp_path, [], set())
    still = [{**one, "values": f"7+0x{ALL}"} for one in traffic([(ALL, 0.0)])]
    fired(tmp_path, still, set())


# ------------------------------------------------------------------- which there are


def test_a_rule_that_no_outage_could_break_is_left_out() -> None:
    """With a budget of 10 % not even losing all requests burns it 14.4 times as fast."""
    wide = Objectives(
        latency_threshold_ms=50.0, latency_budget_percent=10.0, error_budget_percent=0.5, peak_rps=40.0
    )
    slow = [one.rule.rate for one in made(objectives=wide) if one.name == "LatencyBudgetBurn"]
    assert slow == [6.0, 1.0]


def test_rates_windows_and_severities_are_the_gates_own() -> None:
    """There is one table, and an alert has its row."""
    found = [one.rule for one in made() if one.name == "ErrorBudgetBurn"]
    assert tuple(found) == BURN_RULES
    for one in made():
        assert f"[{one.rule.name}]" in one.expression
        assert f"[{one.rule.short_name}]" in one.expression


def test_a_histogram_in_seconds_is_asked_for_seconds() -> None:
    """And whole edges are found however they are written."""
    (slow, *_) = [one for one in made("mlserver") if one.name == "LatencyBudgetBurn"]
    assert r'le=~"0\\.05"' in slow.expression
    (slow, *_) = [one for one in made("envoy") if one.name == "LatencyBudgetBurn"]
    assert r'le=~"50(\\.0)?"' in slow.expression


def test_revisions_are_those_that_kserve_names() -> None:
    """In Standard mode versions have names of their own."""
    assert revisions("fraud", "Knative") == "fraud-predictor-[0-9]+"
    assert revisions("fraud", "Standard") == "fraud-.+-predictor"
