"""strategy: what a tier makes of a release.

Covered: the ladder of each strategy, what stops a plan, and that a plan survives its journal.
"""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.errors import InvalidInput
from pipelines.spec.types import Environment, Tier
from pipelines.strategy import Plan, Stage, from_data, plan, to_data
from tests import examples

METRICS = {"url": "https://prometheus.example", "pack": "envoy"}
PREVIEW_GATES: dict[str, Any] = {"policy": {}, "signature": {}}
BAKE_GATES: dict[str, Any] = {"share": {}, "slo": {}}


def tier(strategy: str = "canary", **changes: Any) -> Tier:
    """A regulated tier, unless told otherwise."""
    facts: dict[str, Any] = {
        "strategy": strategy,
        "bake": {"minimum": "15m", "maximum": "1h", "look_every": "1m", "warm_up": "60s"},
        "gates": {**PREVIEW_GATES, **BAKE_GATES, "approval": {}},
        "approval": {"wait_at_most": "3d"},
        "soak": "30m",
        "hold_budget": "10m",
    }
    return Tier.model_validate({**facts, **changes})


def place(**changes: Any) -> Environment:
    """An environment with a preview and metrics."""
    return examples.environment(**{"preview": "preview", "metrics": METRICS, **changes})


def made(strategy: str = "canary", *, first: bool = False, **changes: Any) -> Plan:
    """The plan of such a tier."""
    return plan(examples.release(), tier(strategy, **changes), place(), first=first)


def names(found: Plan) -> list[str]:
    """The stages in order."""
    return [stage.name for stage in found.stages]


def test_a_canary_climbs_its_shares_and_asks_people_before_the_last() -> None:
    """Every share is watched, and the approval stands before 100."""
    found = made()

    assert [
        *("propose", "preview", "judge", "merge", "shift-0"),
        *("shift-10", "bake-10", "shift-25", "bake-25", "shift-50", "bake-50"),
        *("approve", "shift-100", "bake-100", "finish"),
    ] == names(found)
    assert ("policy", "signature") == found.stage("judge").gates
    assert ("share", "slo") == found.stage("bake-25").gates
    assert ("approval",) == found.stage("approve").gates
    assert 50 == found.stage("approve").share_percent
    assert found.needs_approval


def test_times_come_from_the_tier() -> None:
    """Minimum, maximum, looks and warm-up of a bake; the soak at 100."""
    found = made()

    bake = found.stage("bake-10")
    assert (900.0, 3600.0, 60.0, 60.0) == (
        bake.minimum_seconds,
        bake.maximum_seconds,
        bake.every_seconds,
        bake.warm_up_seconds,
    )
    assert 1800.0 == found.stage("bake-100").minimum_seconds
    assert 3 * 86400.0 == found.stage("approve").maximum_seconds
    assert 60.0 == found.stage("approve").every_seconds


def test_only_what_merges_or_raises_can_be_stopped() -> None:
    """A freeze or a hold stops these stages and no others."""
    rising = [stage.name for stage in made().stages if stage.raises]

    assert ["merge", "shift-10", "shift-25", "shift-50", "shift-100"] == rising


def test_blue_green_goes_from_0_to_100() -> None:
    """The candidate is up at 0 before everything moves at once."""
    found = made("blue_green")

    assert ["shift-0", "approve", "shift-100", "bake-100", "finish"] == names(found)[4:]
    assert 0 == found.stage("approve").share_percent


def test_a_pinned_version_is_cut_over_by_hand() -> None:
    """The last share waits for a person's word."""
    found = made("pinned", gates={"policy": {}}, approval=None, soak="0s")

    assert ["propose", "preview", "judge", "merge", "shift-0", "shift-100", "finish"] == names(found)
    assert found.stage("shift-100").manual
    assert not found.stage("shift-0").manual
    assert not found.needs_approval


def test_the_first_version_ever_is_approved_before_it_is_merged() -> None:
    """There is nothing to split with, so its first share is 100."""
    found = made(first=True)

    assert ["propose", "preview", "judge", "approve", "merge", "shift-100", "bake-100", "finish"] == names(
        found
    )


def test_without_a_preview_environment_there_is_no_preview() -> None:
    """Gates that need none still judge the pull request."""
    found = plan(examples.release(), tier(), place(preview=None), first=False)

    assert ["propose", "judge"] == names(found)[:2]


def test_a_share_nobody_watches_is_not_baked() -> None:
    """Without gates and without a soak there is nothing to wait for."""
    found = made("blue_green", gates={"policy": {}}, approval=None, soak="0s")

    assert "bake-100" not in names(found)
    assert found.bake_of(100) is None


def test_what_the_environment_cannot_give_stops_the_plan() -> None:
    """Gates that read metrics need a source of them."""
    with pytest.raises(InvalidInput, match=r"tiers\.regulated: gates share, slo need metrics"):
        plan(examples.release(), tier(), place(metrics=None), first=False)


def test_a_plan_survives_its_journal() -> None:
    """Written as data and read back it is the same plan."""
    found = made()

    assert found == from_data(to_data(found))


def test_stages_are_found_by_name() -> None:
    """And those before one, in order."""
    found = made()

    assert isinstance(found.stage("merge"), Stage)
    assert ["propose", "preview", "judge"] == [stage.name for stage in found.before("merge")]
    bake = found.bake_of(10)
    assert bake is not None
    assert "bake-10" == bake.name
    with pytest.raises(KeyError):
        found.stage("shift-33")
