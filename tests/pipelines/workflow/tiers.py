"""Tiers of every kind, for tests of what a workflow makes of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pipelines.spec.types import Tier

GATES = ("policy", "signature", "evaluation", "load")


def tier(strategy: str = "canary", **changes: Any) -> Tier:
    """A tier; unless told otherwise a canary of 10, 25, 50, 100 with an approval."""
    facts: dict[str, Any] = {
        "strategy": strategy,
        "bake": {"minimum": "15m", "maximum": "1h", "look_every": "1m", "warm_up": "1m"},
        "gates": {"policy": {}, "signature": {}, "share": {}, "slo": {}, "approval": {}},
        "approval": {"wait_at_most": "3d"},
        "soak": "30m",
        "hold_budget": "10m",
    }
    return Tier.model_validate({**facts, **changes})


@st.composite
def tiers(draw: st.DrawFn) -> Tier:
    """Any strategy, any ladder, with and without an approval, gates, bakes and a soak."""
    strategy = draw(st.sampled_from(["canary", "blue_green", "pinned"]))
    changes: dict[str, Any] = {}
    if strategy == "canary":
        below = draw(st.sets(st.integers(1, 99), max_size=5))
        changes["shares"] = [*sorted(below), 100]
    preview = draw(st.lists(st.sampled_from(GATES), unique=True))
    watched = strategy == "canary" or draw(st.booleans())
    approval = draw(st.booleans())
    gates = [*preview, *(("share", "slo") if watched else ()), *(("approval",) if approval else ())]
    changes["gates"] = {name: {} for name in gates}
    changes["approval"] = {"wait_at_most": "3d"} if approval else None
    changes["soak"] = draw(st.sampled_from(["0s", "30m"]))
    return tier(strategy, **changes)
