"""Burn-rate alerts beside the manifests: the objectives of release.yaml, the same through every promotion.

LOCKGATE_REGENERATE=1 writes the kept file anew, never where CI is set. Whether the alerts fire as they should
is held in tests/gates/test_slo_alerts.py.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from gates.metrics import PACKS
from gates.policy import check
from pipelines.errors import RenderRefused
from pipelines.render import Serves, check_change, render
from pipelines.spec.types import Environment, Release
from tests.counters import promtool
from tests.examples import V1, V2, V3, environment, release, serves
from tests.schemas import schema_errors

FOLDER = "clusters/prod/risk/fraud-scorer"
ALERTS = f"{FOLDER}/alerts.yaml"
KEPT = Path(__file__).resolve().parents[1] / "golden" / "alerts" / "envoy.yaml"


def watched(mode: str = "Knative", pack: str = "envoy", **labels: str) -> Environment:
    metrics = {"url": "https://prometheus.example", "pack": pack, "alerts": {"labels": labels}}
    return environment(mode, metrics=metrics)


def files(wish: Serves, where: Environment | None = None, of: Release | None = None) -> dict[str, str]:
    return render(of or release(), "prod", where or watched(release="kube-prometheus"), wish)


def test_the_file_is_as_kept() -> None:
    """Exactly the bytes that were reviewed."""
    text = files(serves(10))[ALERTS]
    if os.environ.get("LOCKGATE_REGENERATE") == "1":
        assert "CI" not in os.environ, "golden files are never regenerated in CI"
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(text)
    assert KEPT.read_text() == text


def test_promtool_takes_the_kept_rules(tmp_path: Path) -> None:
    """And finds no two that could be taken for one."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(yaml.safe_load(KEPT.read_text())["spec"]))
    assert "6 rules found" in promtool("check", "rules", "--lint-fatal", "rules.yaml", folder=tmp_path)


def test_the_kept_file_fits_the_operators_schema() -> None:
    """Argo CD applies it as one object of its own."""
    assert schema_errors(yaml.safe_load(KEPT.read_text())) == []


@pytest.mark.parametrize("mode", ["Knative", "Standard"])
@pytest.mark.parametrize("pack", PACKS)
def test_policy_has_nothing_against_what_is_rendered(mode: str, pack: str) -> None:
    """For every pack, by a statement of its own."""
    assert check(files(serves(10), watched(mode, pack))) == []


def test_no_alerts_where_nobody_asked() -> None:
    """They need an operator in the cluster, so they are off unless platform.yaml says otherwise."""
    silent = environment(metrics={"url": "https://prometheus.example", "pack": "envoy"})
    assert ALERTS not in files(serves(10), silent)
    assert ALERTS not in files(serves(10), environment())


def test_nothing_of_a_promotion_is_in_the_alerts() -> None:
    """From the first version to the next one's end it is the same file."""
    wishes = [
        serves(100, None, V1),
        *(serves(share) for share in (0, 10, 25, 50, 100)),
        serves(100, V2, None),
        serves(0, V2, V3),
    ]
    assert len({files(wish)[ALERTS] for wish in wishes}) == 1


# ------------------------------------------------------------------- from one commit to the next


def objectives(**slo: Any) -> Release:
    return release(slo={**release().slo.model_dump(), **slo})


def test_new_objectives_come_with_a_promotion_and_never_during_one() -> None:
    """What people are paged for does not change while a candidate is on its way."""
    before, strict = files(serves(10)), objectives(error_budget_percent=0.1)
    after = files(serves(25), of=strict)
    assert before[ALERTS] != after[ALERTS]
    with pytest.raises(RenderRefused, match="changes during a promotion"):
        check_change(before, after)
    begins = Serves(stable=V2, candidate=V3, share_percent=0, promotion="the-next")
    check_change(files(serves(100, V2, None)), files(begins, of=strict))


def test_alerts_neither_come_nor_go_during_a_promotion() -> None:
    """A rollback takes the candidate away, and leaves people their alerts."""
    before, silent = files(serves(10)), environment()
    for rollback, share in ((False, 25), (True, 0)):
        check_change(before, files(serves(share)), rollback=rollback)
        with pytest.raises(RenderRefused, match=r"alerts\.yaml.*changes during a promotion"):
            check_change(before, files(serves(share), silent), rollback=rollback)
