"""The model card: everything that was said is in it, in both forms, and nothing said becomes more than words.

Covered: the tables, long and hostile text, an undocumented model. Left out: the evaluation's own tables
(tests/gates/evaluation).
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from gates.contract import Status
from pipelines.evidence import card
from pipelines.journal.state import State, fold
from pipelines.spec.types import Release, Risk
from tests import examples, promotions
from tests.pipelines.spec.test_packs import RISK


def release(**risk: Any) -> Release:
    """The fraud scorer's release with everything said, but for changes."""
    return examples.release(risk=Risk.model_validate({**RISK, **risk}))


def good() -> State:
    """A promotion that ended well."""
    state = fold(promotions.good().lines)
    assert state is not None
    return state


def rows(title: str, *, of: Release | None = None) -> list[tuple[str, ...]]:
    """The rows of one table."""
    (table,) = [one for one in card.card(of or release(), good()) if one.title == title]
    return list(table.rows)


class Text(HTMLParser):
    """The words of a page, its tags apart."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


def test_it_names_the_version_by_its_digest_and_how_it_ended() -> None:
    """What the card is about cannot be mistaken."""
    said = dict(rows("Model"))

    assert good().started.candidate["digest"] == said["digest"]
    assert "promoted" == said["outcome"]
    assert good().promotion == said["promotion"]


def test_it_says_who_made_validated_and_approved() -> None:
    """From the release and from the desk."""
    said = dict(rows("People"))

    assert ("dana.scientist", "vera.validator") == (said["developer"], said["validator"])
    assert said["approved by"] not in ("", "–")


def test_use_data_limits_and_controls_are_there() -> None:
    """Everything that a policy pack asks for."""
    assert ("materiality", "high") in rows("Use")
    assert [("payments 2025", "sha256:" + "a" * 64)] == rows("Data")
    assert ("limitations", "Cards issued abroad are rare in the data") in rows("Limits and controls")


def test_every_verdict_that_counts_is_in_it() -> None:
    """Stage, gate, verdict, and what was seen."""
    listed = rows("Gates")

    assert {status for _, _, status, _ in listed if status} <= {
        f"{Status.PASS.name} ({verdict.reason})" for verdict in good().verdicts.values()
    }
    assert {"evaluation", "slo", "approval"} <= {gate for _, gate, _, _ in listed}


@pytest.mark.parametrize("form", [card.markdown, card.html])
def test_long_text_is_whole(form: Any) -> None:
    """It goes on in the next row instead of being cut."""
    words = " ".join(f"word{n}" for n in range(400))

    written = form(release(intended_use=words), good())
    assert all(f"word{n}" in written for n in range(400))


def test_an_undocumented_model_has_a_card_of_dashes() -> None:
    """What nobody said is seen to be missing."""
    found = card.markdown(examples.release(), good())

    assert "| `intended use` | `–` |" in found
    assert "## Data" not in found


HOSTILE = "<script>alert(1)</script> | ](http://x) `` {{ 7*7 }} \"' \u202e"


def test_hostile_words_stay_words() -> None:
    """No tag, no cell, no link, no template; letters that turn the line round are not passed on."""
    hostile = release(intended_use=HOSTILE, limitations=(HOSTILE,))
    page, text = card.html(hostile, good()), card.markdown(hostile, good())

    seen = Text(page)
    assert "script" not in seen.tags
    assert any("<script>alert(1)</script>" in words for words in seen.words)
    assert "\u202e" not in page + text
    for line in text.splitlines():
        if line.startswith("| `") or line.startswith("| ``"):
            assert "| ](" not in line
            assert "49" not in line or "{{ 7*7 }}" in line or "script" not in line


def test_every_row_of_the_markdown_has_as_many_cells_as_its_head() -> None:
    """GitHub draws no table otherwise."""
    text = card.markdown(release(), good())
    cells = 0
    for line in text.splitlines():
        if not line.startswith("|"):
            cells = 0
            continue
        cells = cells or line.count("|")
        assert cells == line.count("|"), line
