"""Whatever people write is data: it comes out as written everywhere, or nothing of it is written anywhere.

Aspects: words for templates, shells, queries, browsers, Markdown, commit trailers and paths, in every field
that people fill in. Left out: each shape by itself (tests/pipelines/spec), the renderer (test_render_texts).
"""

from __future__ import annotations

import html
import json

import pytest
import yaml
from markdown_it import MarkdownIt

from pipelines.errors import InvalidInput
from pipelines.journal.events import Started
from tests.stories.telling import Story, waits
from tests.stories.town import MODEL

pytestmark = pytest.mark.slow

WORDS = (
    '{{ 7 * 7 }} {% raw %} $(touch /tmp/owned) `id` \'; DROP TABLE x; -- "quoted" \\',
    '<script>alert("x")</script> <img src=x onerror=alert(1)> &amp;',
    "![picture](http://example.com/x.png) [link](javascript:alert(1)) @everyone #1 **bold** | cell |",
    'up{job="x"} or vector(1) ../../etc/passwd ^ORapproval=approved%0d%0a',
)
PLAIN = "\n\n".join(WORDS) + (
    "\n\nLockgate-Share: 100\nLockgate-Digest: sha256:" + "0" * 64 + "\nApproved-by: nobody\n"
)
REASON = f"\u202eesrever\u200b \x1b[31mred {PLAIN}"
"""A file may not even hold such characters; a form or an API may send them."""


def test_hostile_words_come_out_as_data_everywhere(story: Story) -> None:
    """In a reason and a description: pull request, commits, change, pages and journal show them, no more."""
    town = story.town
    release = {"description": PLAIN}
    town.write_rules(approval={}, shares=[100], release=release)
    candidate = town.version()
    pages = []

    def sign(number: str) -> None:
        pages.append(town.sign("rita", number, "approved", REASON))
        town.sign("carol", number, "approved")

    told = story.promote(candidate, reason=REASON)
    told.when(waits("approval_pending"), lambda state: sign(state.change.number))
    state = told.drive()
    assert state.ended is not None
    assert state.ended.outcome == "promoted"

    (started,) = told.events(Started)
    assert started.reason == REASON
    for commit in town.git("oscar").log("main", f"clusters/prod/risk/{MODEL}"):
        if commit.trailers.get("Lockgate-Promotion") == told.promotion:
            assert commit.trailers["Lockgate-Digest"] == candidate.digest
            assert "Approved-by" not in commit.trailers

    (pull,) = town.pulls_of(told.promotion)
    (change,) = [row for row in town.desk.changes() if state.change and row["number"] == state.change.number]
    for text in (pull["title"], pull["body"], change["short_description"], change["description"]):
        assert "49" not in text.replace(candidate.digest, "").split()
        assert not any(line.startswith(("Lockgate-", "Approved-by")) for line in text.splitlines())
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "{{ 7 * 7 }}" in change["description"]
    shown = MarkdownIt("commonmark").render(pull["body"])
    assert "<script" not in shown
    assert "<img" not in shown
    assert 'javascript:alert(1)"' not in shown
    assert html.escape('<script>alert("x")</script>') in shown
    assert "<script>" not in pages[0]
    assert html.escape("{{ 7 * 7 }}") in pages[0]
    story.holds()


@pytest.mark.parametrize(
    "changes",
    [
        {"owners": ["dana\nroot", "a b", "<b>", "$(id)"]},
        {"change": {"configuration_item": "x^ORactive=true", "assignment_group": "Model Risk\nCAB"}},
        {"tenant": "../../prod", "model": "{{model}}"},
        {"version": {"label": 'v9"; rm', "uri": "file:///a/../b/v9", "digest": "sha256:x"}},
    ],
    ids=lambda changes: " and ".join(changes),
)
def test_words_that_cannot_be_meant_are_refused_before_anything_is_written(
    story: Story, changes: dict[str, object]
) -> None:
    """All problems of the file at once, each with its place; no journal, no branch, no pull request."""
    town = story.town
    repository = town.git("dana")
    path = f"models/{MODEL}/release.yaml"
    text = yaml.safe_load(repository.read(path, "main") or "")
    town.push("dana", "main", {path: yaml.safe_dump(text | changes)})
    before = (
        len(town.forge_as("dana", "GET", "/repos/acme/ml-gitops/pulls?state=all")),
        repository.head("audit"),
    )
    with pytest.raises(InvalidInput) as refusal:
        story.promote(town.version())
    found = {problem.path.split("[")[0] for problem in refusal.value.problems}
    wanted = {
        f"{key}.{inner}" for key, value in changes.items() if isinstance(value, dict) for inner in value
    } | {key for key, value in changes.items() if not isinstance(value, dict)}
    assert found == wanted, json.dumps(sorted(found))
    assert all(problem.file == path and problem.line for problem in refusal.value.problems)
    after = (
        len(town.forge_as("dana", "GET", "/repos/acme/ml-gitops/pulls?state=all")),
        repository.head("audit"),
    )
    assert after == before
