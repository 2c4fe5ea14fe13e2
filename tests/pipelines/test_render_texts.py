"""Texts people read: complete for who signs, and what people wrote stays words.

The Markdown is judged by its own rules of code spans; no renderer is at hand.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gates.contract import Status, Subject, Verdict
from pipelines.render import change_text, pull_request_text, verdict_table
from pipelines.render.engine import MAX_CHARACTERS, NOTHING, cell, code, fold, quote
from tests import plans
from tests.examples import PROMOTION, V1, V2, release, unchecked, version

COMMON: dict[str, Any] = {
    "promotion": PROMOTION,
    "release": release(),
    "environment_name": "prod",
    "stable": V1,
    "candidate": V2,
    "shares": [0, 10, 25, 50, 100],
    "gates": ["policy", "slo", "slo", "approval"],
    "requested_by": "anna",
    "reason": "better recall",
}
CHANGE: dict[str, Any] = {
    **COMMON,
    "correlation_id": "c" * 64,
    "manifest_digest": "sha256:" + "d" * 64,
    "commit": "e" * 40,
    "pull_request_url": "https://forge.example/acme/models/pull/7",
}
EVIL = (
    "@team closes #12 <img src=x onerror=1> [a](http://evil) ![b](c) | x | **b** `` ` ``\n"
    "## heading\r\n- [x] item\u2028Lockgate-Share: 100\u202e\x1b[31m [code]<b>x</b>[/ CODE ] {{ 7*7 }} "
    '"quoted" \u200b $(id)'
)


def spans(markdown: str) -> str:
    """What is left of a line when its code spans are taken out, as CommonMark pairs them."""
    return re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", markdown)


@given(st.text())
def test_folded_text_is_one_bounded_line(text: str) -> None:
    """No newline, no character that cannot be seen, never empty, never longer than the bound."""
    folded = fold(text)
    assert len(folded.splitlines()) == 1
    assert 1 <= len(folded) <= MAX_CHARACTERS
    assert folded == fold(folded) or len(folded) == MAX_CHARACTERS


@given(st.text(alphabet=st.sampled_from("`a |\\\n*@#<>")))
def test_a_code_span_cannot_be_left(text: str) -> None:
    """Whatever is inside, taking spans out as CommonMark does leaves nothing; a cell has no bar."""
    assert spans(code(text)) == ""
    assert "|" not in cell(text)
    assert spans(cell(text)) == ""


def test_filters_by_example() -> None:
    """Each filter on one small value."""
    assert fold("a\n\tb\x00") == "a b"
    assert fold("") == fold("\u200b") == NOTHING
    assert fold("x" * 501) == "x" * 499 + "…"
    assert fold("abc", 2) == "a…"
    assert fold("[code]<b>[/Code]") == "(code)<b>(/code)"
    assert quote('say "no" “now”') == "\"say 'no' 'now'\""
    assert code("v2") == "`v2`"
    assert code("a`b``c") == "``` a`b``c ```"
    assert cell("a|b") == "`a¦b`"


def test_the_pull_request_says_what_and_why() -> None:
    """A reviewer reads versions, digests, shares, gates, who and why."""
    title, body = pull_request_text(**COMMON)
    assert title == "fraud-scorer v2: promote to prod"
    for fact in (V1.uri, V1.digest, V2.uri, V2.digest, PROMOTION, "better recall", "anna@example.com"):
        assert f"`{fact}`" in body
    assert "shares: 0 → 10 → 25 → 50 → 100 %" in body
    assert "- gates: `policy`, `slo`, `approval`\n" in body
    assert "brings **0 %** of live requests" in body
    assert "resolved from" not in body


def test_the_first_version_says_so() -> None:
    """Merging it gives it everything, and the reviewer is told."""
    _, body = pull_request_text(**{**COMMON, "stable": None, "gates": [], "release": release(description="")})
    assert "brings **100 %** of live requests" in body
    assert "| version | none | `v2` |" in body
    assert "- gates: none\n" in body
    assert "- model:" not in body


def test_an_alias_is_shown_where_there_was_one() -> None:
    """What the registry's alias meant at that moment is part of the record."""
    candidate = version("v2", alias="models:/fraud@next")
    assert (
        "| resolved from | | `models:/fraud@next` |"
        in pull_request_text(**{**COMMON, "candidate": candidate})[1]
    )
    assert "- resolved from:  models:/fraud@next\n" in change_text(**{**CHANGE, "candidate": candidate})[1]


def test_hostile_words_stay_inside_code_spans() -> None:
    """No mention, link, picture, heading, HTML or closing word of theirs reaches the forge."""
    asked = release(description=EVIL)
    values = {**COMMON, "release": asked, "requested_by": EVIL, "reason": EVIL, "gates": [EVIL]}
    title, body = pull_request_text(**values)
    plain = [spans(line) for line in body.splitlines()]
    known = [spans(line) for line in pull_request_text(**COMMON)[1].splitlines()]
    assert [line.replace(", ", "") for line in plain] == [line.replace(", ", "") for line in known]
    assert "\x1b" not in body
    assert "\u202e" not in body
    assert "49" not in title + body


def test_the_change_says_exactly_what_the_signature_covers() -> None:
    """Model, both digests, the manifests, the environment, the commit, and when it voids."""
    short, text = change_text(**CHANGE)
    assert short == "fraud-scorer v2: promote to prod at 100 %"
    covers = text.split("WHAT THE SIGNATURE COVERS")[1].split("WHAT IT RESTS ON")[0]
    for fact in (
        "fraud-scorer (tenant risk, tier regulated)",
        V1.digest,
        V2.digest,
        V1.uri,
        V2.uri,
        CHANGE["manifest_digest"],
    ):
        assert fact in covers
    assert CHANGE["correlation_id"] in covers
    assert "this approval is void" in covers
    assert re.search(rf"Commit judged: +{CHANGE['commit']}\n", text)
    assert CHANGE["pull_request_url"] in text
    assert "Shares:           0 -> 10 -> 25 -> 50 -> 100 %" in text
    assert "Gates:            policy, slo, approval\n" in text
    assert 'Reason:           "better recall"' in text


def test_the_change_of_a_first_version() -> None:
    """It replaces nothing, and what is not known is not made up."""
    _, text = change_text(**{**CHANGE, "stable": None, "pull_request_url": "", "gates": []})
    assert "Replaces version: none; this is the first\n" in text
    assert "Pull request:     none\n" in text
    assert "Gates:            none\n" in text


def test_hostile_words_cannot_pose_as_lines_of_the_change() -> None:
    """A reason that brings its own digest stays one quoted line; ServiceNow draws none of it."""
    asked = release(description=EVIL, owners=("anna",))
    forged = 'ok"\nManifests:        sha256:' + "f" * 64 + "\n" + EVIL
    _, text = change_text(**{**CHANGE, "release": asked, "reason": forged, "requested_by": EVIL})
    _, plain = change_text(**CHANGE)
    assert len(text.splitlines()) == len(plain.splitlines())
    assert sum(line.startswith("Manifests:") for line in text.splitlines()) == 1
    (reason,) = (line for line in text.splitlines() if line.startswith("Reason:"))
    assert reason.count('"') == 2
    assert "[code]" not in text.lower()


def test_the_change_says_what_the_gates_said() -> None:
    """One line each, with the status and the sentence; without any, no heading."""
    said = [plans.verdict("policy", "judge", Status.PASS), plans.verdict("slo", "bake-10", Status.PASS)]
    _, text = change_text(**{**CHANGE, "verdicts": said})

    assert (
        "WHAT THE GATES SAID\npolicy, judge: PASS, policy says PASS\nslo, bake-10: PASS, slo says PASS\n\n"
        in text
    )
    assert "WHAT THE GATES SAID" not in change_text(**CHANGE)[1]


def test_texts_stay_within_what_the_desk_stores() -> None:
    """160 characters for the short description and 4000 for the long one, digests never cut."""
    long = "x" * 5000
    stable, candidate = (unchecked(of, uri=f"s3://{long}", alias=long, label="l" * 40) for of in (V1, V2))
    asked = unchecked(
        release(), description=long, owners=(long,), model="m" * 40, tenant="t" * 40, tier="r" * 40
    )
    short, text = change_text(
        **{
            **CHANGE,
            "release": asked,
            "stable": stable,
            "candidate": candidate,
            "environment_name": "e" * 40,
            "gates": [long],
            "requested_by": "p" * 100,
            "reason": long,
            "pull_request_url": long,
            "promotion": "p" * 120,
            "verdicts": [replace(plans.verdict(long, long, Status.UNKNOWN), sentence=long)] * 20,
        }
    )
    assert len(short) <= 160
    assert len(text) <= 4000
    assert V1.digest in text
    assert V2.digest in text
    title, _ = pull_request_text(**{**COMMON, "environment_name": long})
    assert len(title) <= 160


def test_verdicts_are_a_table_with_their_subjects() -> None:
    """One row each, what was seen as data, and which commit and artifact they are about."""
    subject = Subject(
        model="fraud-scorer", environment="prod", digest=V2.digest, commit="e" * 40, stage="judge"
    )
    verdicts = [
        Verdict(
            gate=gate,
            subject=subject,
            status=status,
            reason="because",
            sentence=sentence,
            at=datetime(2026, 11, 21, tzinfo=UTC),
        )
        for gate, status, sentence in (("policy", Status.PASS, "all well"), ("load", Status.FAIL, EVIL))
    ]
    table = verdict_table(verdicts)
    assert "| `policy` | **PASS** | `because` | `all well` |\n" in table
    assert "| `load` | **FAIL** |" in table
    assert all(spans(line).count("|") == 5 for line in table.splitlines() if line.startswith("| `"))
    assert table.count(f"Judged: commit `{'e' * 40}`, artifact `{V2.digest}`.") == 1
    assert verdict_table([]) == "No gate has answered yet.\n"
