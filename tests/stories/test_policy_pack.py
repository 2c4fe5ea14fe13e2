"""A tier under a policy pack: who validated the model does not approve it, and the evidence shows everything.

Aspects: people at the real desk, the whole bundle from Git. Left out: each item that can be missing
(tests/pipelines/spec/test_packs, tests/pipelines/test_evidence_policy).
"""

from __future__ import annotations

import pytest

from pipelines.cli.book import Book
from pipelines.cli.proving import material
from pipelines.cli.session import Session
from pipelines.evidence import pack, verify
from tests.pipelines.spec.test_packs import RISK
from tests.stories.changes import ASKED, not_at_100, number
from tests.stories.telling import Story, Told
from tests.stories.town import Town

pytestmark = pytest.mark.slow


def asked(story: Story, **people: str) -> Told:
    """A promotion under sr-26-2 of a model that these people made and validated."""
    story.town.write_rules(
        preview=True,
        approval={},
        shares=[100],
        gates={"evaluation": {}},
        evidence="sr-26-2",
        release={"risk": {**RISK, **people}},
    )
    return story.promote(story.town.trained("v2"))


def approve(told: Told, town: Town) -> None:
    """The owner and the manager sign when they are asked."""
    told.when(ASKED, lambda state: town.approve(number(state)))


def test_who_validated_the_model_does_not_approve_it(story: Story) -> None:
    """The desk has nothing against it; the pack has, and the candidate goes back from 0 %."""
    told = asked(story, validator="rita")
    approve(told, story.town)
    state = not_at_100(story, told)

    assert state.rollback is not None
    assert "not_distinct" == state.rollback.code
    assert "rita is validator and rita is approver" in state.rollback.sentence


def test_the_bundle_of_a_good_promotion_satisfies_the_pack(story: Story) -> None:
    """Read from Git as `lockgate evidence` does, checked with nothing but the file."""
    told = asked(story)
    approve(told, story.town)
    state = told.drive()
    assert state.ended is not None
    assert "promoted" == state.ended.outcome
    story.holds()

    session = Session()
    session.desktop = told.desktop
    book = Book(session)
    checked = verify(pack(material(book, book.find(told.promotion))))

    assert "" == checked.broken
    assert "everything that the policy pack sr-26-2, version 1, wants is there" in checked.held
