"""What main wants and nobody has begun: every rule with a planted case, and what holds over all histories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.journal import events as e
from pipelines.journal.state import State
from pipelines.spec.types import Platform, Tier
from pipelines.steps.due import Due, Left, due
from tests import examples, plans
from tests.plans import DIGEST, OTHER_DIGEST

MODEL = "fraud-scorer"
Outcome = e.Outcome | None


def platform(supersede: str = "queue") -> Platform:
    """preview, staging, prod after staging."""
    staging = examples.environment().model_copy(update={"preview": "preview"})
    return Platform.model_construct(
        environments={
            "preview": examples.environment(),
            "staging": staging,
            "prod": staging.model_copy(update={"after": "staging"}),
        },
        tiers={examples.release().tier: Tier.model_construct(supersede=supersede)},
    )


def state(environment: str, outcome: Outcome, *, digest: str = DIGEST, model: str = MODEL) -> State:
    """A promotion that ended so, or is under way."""
    begun = plans.started(plans.canary())
    begun = replace(
        begun,
        environment=environment,
        model=model,
        promotion=f"{model}-{environment}-1",
        candidate={**begun.candidate, "digest": digest},
    )
    made = replace(plans.state_after(), started=begun)
    return replace(made, ended=None if outcome is None else _end(made, outcome))


def _end(made: State, outcome: e.Outcome) -> object:
    ended = plans.state_after(e.Ended(outcome=outcome, sentence="so it ended")).ended
    assert ended is not None
    return ended


def found(
    *states: State, staging: str = OTHER_DIGEST, prod: str = OTHER_DIGEST, supersede: str = "queue"
) -> list[Due | Left]:
    """What is due for a release that names the version with DIGEST."""
    version = examples.release().version.model_copy(update={"digest": DIGEST})
    release = examples.release().model_copy(update={"version": version, "model": MODEL})
    serving = {"preview": "", "staging": staging, "prod": prod}
    return list(due(platform(supersede), release, serving, states))


def test_the_first_environment_comes_first() -> None:
    """And nothing is ever promoted into the one that runs previews."""
    assert found() == [Due(model=MODEL, environment="staging")]


def test_the_next_environment_follows_where_the_version_ended_at_100_and_serves() -> None:
    """Serving without a promotion, or a promotion that was taken back, is not enough."""
    assert found(state("staging", "promoted"), staging=DIGEST) == [Due(model=MODEL, environment="prod")]
    assert found(staging=DIGEST) == []
    assert found(state("staging", "promoted"), state("staging", "rolled_back")) == [
        Left(
            model=MODEL,
            environment="staging",
            sentence="fraud-scorer-staging-1 was rolled back: so it ended; "
            "`lockgate retry fraud-scorer-staging-1` tries it again",
        )
    ]


def test_what_serves_everywhere_or_is_under_way_is_not_named() -> None:
    """There is nothing to begin."""
    assert found(state("staging", "promoted"), staging=DIGEST, prod=DIGEST) == []
    assert found(state("staging", None)) == []


@pytest.mark.parametrize("outcome", ["refused", "rolled_back", "aborted"])
def test_a_version_that_was_told_no_is_left_for_a_person(outcome: e.Outcome) -> None:
    """Whoever told it so."""
    (left,) = found(state("staging", outcome))
    assert isinstance(left, Left)
    assert "`lockgate retry" in left.sentence


def test_a_version_that_gave_way_to_another_may_come_back() -> None:
    """Nobody said anything against it."""
    assert found(state("staging", "superseded")) == [Due(model=MODEL, environment="staging")]


def test_another_version_under_way_matters_where_the_tier_refuses_a_second_one() -> None:
    """Where it queues or replaces, the promotion itself does that."""
    other = state("staging", None, digest=OTHER_DIGEST)
    assert found(other) == found(other, supersede="replace") == [Due(model=MODEL, environment="staging")]
    (left,) = found(other, supersede="refuse")
    assert isinstance(left, Left)
    assert "is under way, and the tier lets no other begin" in left.sentence


def test_other_models_do_not_matter() -> None:
    """Each has its own promotions."""
    assert found(state("staging", None, model="other")) == [Due(model=MODEL, environment="staging")]


@st.composite
def histories(draw: st.DrawFn) -> list[State]:
    """Promotions of this model and another, in any order, ended in any way."""
    outcomes: Sequence[Outcome] = (None, "promoted", "refused", "rolled_back", "aborted", "superseded")
    one = st.builds(
        state,
        st.sampled_from(("staging", "prod")),
        st.sampled_from(outcomes),
        digest=st.sampled_from((DIGEST, OTHER_DIGEST)),
        model=st.sampled_from((MODEL, "other")),
    )
    return draw(st.lists(one, max_size=5))


@given(
    states=histories(),
    staging=st.sampled_from((DIGEST, OTHER_DIGEST, "")),
    prod=st.sampled_from((DIGEST, OTHER_DIGEST, "")),
)
def test_nothing_is_begun_twice_skipped_or_begun_where_it_serves(
    states: list[State], staging: str, prod: str
) -> None:
    """Whatever was before."""
    begun = {one.environment for one in found(*states, staging=staging, prod=prod) if isinstance(one, Due)}

    for environment, serves in (("staging", staging), ("prod", prod)):
        mine = [one for one in states if (one.started.model, one.started.environment) == (MODEL, environment)]
        same = [one for one in mine if one.started.candidate["digest"] == DIGEST]
        if environment in begun:
            assert serves != DIGEST
            assert all(one.ended is not None for one in same)
            assert not same or same[-1].ended.outcome in ("promoted", "superseded")  # type: ignore[union-attr]
    assert "preview" not in begun
    assert not ("prod" in begun and staging != DIGEST)
