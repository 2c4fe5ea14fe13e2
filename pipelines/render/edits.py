"""The comment on a pull request that edits releases: problems, plans, manifests."""

from __future__ import annotations

from pipelines.render.engine import fill
from pipelines.spec.edits import COLUMNS, Edits

CHARACTERS = 60_000
"""A comment on GitHub holds 65,536."""
MOST_PROBLEMS = 50
_DIFF_CHARACTERS = (20_000, 5_000, 1_000, 0)
"""Room for each diff: the largest with which the whole fits."""


def edits_text(edits: Edits, commit: str = "") -> str:
    """Markdown of 60,000 characters at most; every value in it is data.

    ``commit`` is the one whose files these are; "" for a working tree. Where there is too much, diffs are
    cut first, then models are left out, and both is said.
    """
    shown = len(edits.models)
    for characters in _DIFF_CHARACTERS:
        if len(text := _fill(edits, commit, shown, characters)) <= CHARACTERS:
            return text
    while len(text) > CHARACTERS and shown:
        shown //= 2
        text = _fill(edits, commit, shown, 0)
    return text


def _fill(edits: Edits, commit: str, shown: int, diff_characters: int) -> str:
    return fill(
        "edits.md.j2",
        commit=commit,
        base=edits.base,
        problems=edits.problems[:MOST_PROBLEMS],
        problem_count=len(edits.problems),
        models=edits.models[:shown],
        hidden=len(edits.models) - shown,
        columns=COLUMNS,
        diff_characters=diff_characters,
    )
