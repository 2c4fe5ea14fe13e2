"""A plan, events and a clock for tests of the pure core, spelled out so that they can be read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from gates.contract import Evidence, Measurement, Query, Status, Subject, Verdict
from pipelines.journal import events as e
from pipelines.journal.lines import Line, decode, encode, verdict_to_data
from pipelines.journal.state import State, fold
from pipelines.strategy import Plan, Stage, to_data

T0 = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
DIGEST = "sha256:" + "c" * 64
OTHER_DIGEST = "sha256:" + "d" * 64
HEAD = "a" * 40
MERGE = "b" * 40
PROMOTION = "fraud-scorer-prod-20260314T090000Z-7f3a"


def commit(share: int) -> str:
    """The commit that brings a share."""
    return f"{share:040d}"


def _bake(share: int) -> Stage:
    return Stage(
        name=f"bake-{share}",
        step="bake",
        share_percent=share,
        gates=("share", "slo"),
        minimum_seconds=60.0,
        maximum_seconds=600.0,
        every_seconds=30.0,
        warm_up_seconds=10.0,
    )


def _shift(share: int) -> Stage:
    return Stage(
        name=f"shift-{share}",
        step="shift",
        share_percent=share,
        raises=share > 0,
        maximum_seconds=300.0,
        every_seconds=5.0,
    )


def _stage(name: Any, *, share: int = 0, gates: tuple[str, ...] = (), raises: bool = False) -> Stage:
    return Stage(
        name=name,
        step=name,
        share_percent=share,
        gates=gates,
        raises=raises,
        maximum_seconds=3600.0,
        every_seconds=15.0,
    )


def canary(budget_seconds: float = 120.0, **changes: Any) -> Plan:
    """propose, preview, judge, merge, 0, 10, 50, approve, 100, finish."""
    stages = (
        _stage("propose"),
        _stage("preview"),
        _stage("judge", gates=("policy", "evaluation")),
        _stage("merge", raises=True),
        _shift(0),
        _shift(10),
        _bake(10),
        _shift(50),
        _bake(50),
        _stage("approve", share=50, gates=("approval",)),
        _shift(100),
        _bake(100),
        _stage("finish", share=100),
    )
    facts: dict[str, Any] = {
        "strategy": "canary",
        "tier": "regulated",
        "stages": stages,
        "hold_budget_seconds": budget_seconds,
        "on_budget_spent": "roll_back",
        "supersede": "queue",
        "first": False,
    }
    return Plan(**{**facts, **changes})


def started(plan: Plan) -> e.Started:
    """The first event of a promotion with this plan."""
    return e.Started(
        promotion=PROMOTION,
        model="fraud-scorer",
        tenant="risk",
        environment="prod",
        requested_by="dana",
        reason="better recall",
        base="9" * 40,
        candidate={"label": "v38", "uri": "s3://m/fraud-scorer/v38", "digest": DIGEST, "alias": None},
        stable={"label": "v37", "uri": "s3://m/fraud-scorer/v37", "digest": OTHER_DIGEST, "alias": None},
        plan=to_data(plan),
    )


def verdict(
    gate: str,
    stage: str,
    status: Status,
    *,
    at: datetime = T0,
    commit: str = HEAD,
    digest: str = DIGEST,
    environment: str = "prod",
) -> Verdict:
    """A verdict of a gate about this promotion, unless told otherwise."""
    return Verdict(
        gate=gate,
        subject=Subject(
            model="fraud-scorer", environment=environment, digest=digest, commit=commit, stage=stage
        ),
        status=status,
        reason=status.name.lower(),
        sentence=f"{gate} says {status.name}",
        at=at,
        evidence=Evidence(
            measurements=(
                Measurement(name="error_share", value=0.2, unit="percent", arm="candidate", samples=900),
            ),
            queries=(
                Query(
                    text="up", at=1.0, window_seconds=60.0, server="p", series=1, samples=60, warnings=("w",)
                ),
            ),
            facts={"slices": [1, 2]},
        ),
    )


def judged(
    gate: str,
    stage: str,
    status: Status,
    *,
    at: datetime = T0,
    commit: str = HEAD,
    digest: str = DIGEST,
    environment: str = "prod",
) -> e.Judged:
    """The event of such a verdict."""
    given = verdict(gate, stage, status, at=at, commit=commit, digest=digest, environment=environment)
    return e.Judged(stage=stage, verdict=verdict_to_data(given))


PROPOSED = e.Proposed(
    branch=f"lockgate/{PROMOTION}", head_sha=HEAD, pull_request=7, url="http://f/7", author="bot"
)


def done(stage: str) -> e.StageDone:
    """A stage is done."""
    return e.StageDone(stage=stage, sentence="")


def share_events(share: int) -> tuple[e.Event, ...]:
    """A share written, served and seen."""
    stage = f"shift-{share}"
    return (
        e.ShareCommitted(stage=stage, share_percent=share, commit=commit(share)),
        e.ShareServed(
            stage=stage, share_percent=share, candidate_revision="r2", stable_revision="r1", url="http://s"
        ),
        e.ShareSeen(stage=stage, share_percent=share, observed_percent=float(share), sentence=""),
        done(stage),
    )


def up_to_merge() -> tuple[e.Event, ...]:
    """Everything until the merge, all gates passing at :data:`T0`."""
    return (
        PROPOSED,
        done("propose"),
        e.Previewed(environment="preview", commit=commit(1), url="http://p", revision="r1"),
        done("preview"),
        judged("policy", "judge", Status.PASS),
        judged("evaluation", "judge", Status.PASS),
        done("judge"),
        e.Merged(commit=MERGE, by="lockgate"),
        done("merge"),
    )


def baked(share: int, at: datetime) -> tuple[e.Event, ...]:
    """A share that held."""
    stage = f"bake-{share}"
    return (
        judged("share", stage, Status.PASS, at=at, commit=commit(share)),
        judged("slo", stage, Status.PASS, at=at, commit=commit(share)),
        done(stage),
    )


def lines(
    events: Iterable[e.Event], *, plan: Plan | None = None, step_seconds: float = 1.0
) -> tuple[Line, ...]:
    """A journal of these events behind a started one, a second apart from :data:`T0`."""
    text = encode(PROMOTION, (), [started(plan or canary())], at=T0, by="person:dana")
    for n, event in enumerate(events, start=1):
        at = T0 + timedelta(seconds=n * step_seconds)
        text += encode(PROMOTION, decode(PROMOTION, text), [event], at=at, by="engine:here:1")
    return decode(PROMOTION, text)


def state_after(*events: e.Event, plan: Plan | None = None) -> State:
    """The state after these events."""
    state = fold(lines(events, plan=plan))
    assert state is not None
    return state
