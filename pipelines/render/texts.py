"""What people read: pull requests, change requests, the comment with the verdicts.

Values that people wrote are data here too: folded to one line, bounded in length, and written where
neither Markdown nor HTML nor ServiceNow gives them another meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from gates.contract import Verdict
from gates.evaluation.card import Table, tables
from pipelines.render.engine import fill, fold
from pipelines.spec.types import Release, Version

TITLE_CHARACTERS = 160
"""The length of a short description in ServiceNow, and a bound for titles of pull requests."""

DESCRIPTION_CHARACTERS = 4000
"""The length of a description in ServiceNow."""
TABLES_CHARACTERS = 40_000
"""What the tables of a comment may take of the 65,536 that GitHub allows."""
MOST_VERDICTS = 8
"""So many verdicts, the latest, are told in a description; fewer where they do not fit."""


def pull_request_text(
    *,
    promotion: str,
    release: Release,
    environment_name: str,
    stable: Version | None,
    candidate: Version,
    shares: Sequence[int],
    gates: Iterable[str],
    requested_by: str,
    reason: str,
) -> tuple[str, str]:
    """Title and Markdown body of a promotion's pull request."""
    values = _about(promotion, release, environment_name, stable, candidate, shares, gates)
    body = fill(
        "pull_request.md.j2", **values, first=stable is None, requested_by=requested_by, reason=reason
    )
    return _title(release, environment_name, candidate), body


def change_text(
    *,
    promotion: str,
    release: Release,
    environment_name: str,
    stable: Version | None,
    candidate: Version,
    shares: Sequence[int],
    gates: Iterable[str],
    requested_by: str,
    reason: str,
    correlation_id: str,
    manifest_digest: str,
    commit: str,
    pull_request_url: str,
    verdicts: Sequence[Verdict] = (),
) -> tuple[str, str]:
    """Short description and description of a change request: exactly what its approval covers."""
    values = {
        **_about(promotion, release, environment_name, stable, candidate, shares, gates),
        "requested_by": requested_by,
        "reason": reason,
        "correlation_id": correlation_id,
        "manifest_digest": manifest_digest,
        "commit": commit,
        "pull_request_url": pull_request_url,
    }
    shown = min(MOST_VERDICTS, len(verdicts))
    while (
        len(description := _change(values, verdicts[len(verdicts) - shown :])) > DESCRIPTION_CHARACTERS
        and shown
    ):
        shown -= 1
    return f"{_title(release, environment_name, candidate)} at 100 %", description


def _change(values: dict[str, Any], verdicts: Sequence[Verdict]) -> str:
    return fill("change_request.txt.j2", **values, verdicts=verdicts)


def rollback_text(
    *,
    promotion: str,
    release: Release,
    environment_name: str,
    stable: Version | None,
    candidate: Version,
    requested_by: str,
    reason: str,
    commit: str,
    change: str,
) -> tuple[str, str]:
    """Short description and description of the emergency change that tells of a way back from 100 %."""
    title = fold(f"{release.model} {candidate.label}: taken back in {environment_name}")
    description = fill(
        "rollback_change.txt.j2",
        promotion=promotion,
        model=release.model,
        environment=environment_name,
        stable=stable,
        candidate=candidate,
        requested_by=requested_by,
        reason=reason,
        commit=commit,
        change=change,
    )
    return title[:TITLE_CHARACTERS], description


def verdict_table(verdicts: Iterable[Verdict]) -> str:
    """The verdicts on one head as a Markdown table, with the subjects they are about.

    Below it, what an evaluation measured, as far as there is room.
    """
    listed = tuple(verdicts)
    subjects = list(dict.fromkeys((verdict.subject.commit, verdict.subject.digest) for verdict in listed))
    return fill("verdicts.md.j2", verdicts=listed, subjects=subjects, tables=tuple(_measured(listed)))


def _measured(verdicts: Iterable[Verdict]) -> Iterator[tuple[str, Table, int]]:
    """(gate, table with the rows there is room for, how many rows are left out)."""
    room = TABLES_CHARACTERS
    for verdict in verdicts:
        for table in tables(verdict):
            kept: list[tuple[str, ...]] = []
            for row in table.rows:
                room -= sum(len(fold(cell)) + 5 for cell in row)
                if room < 0:
                    break
                kept.append(row)
            yield verdict.gate, replace(table, rows=tuple(kept)), len(table.rows) - len(kept)


def _title(release: Release, environment_name: str, candidate: Version) -> str:
    title = fold(f"{release.model} {candidate.label}: promote to {environment_name}")
    return title[: TITLE_CHARACTERS - len(" at 100 %")]


def _about(
    promotion: str,
    release: Release,
    environment_name: str,
    stable: Version | None,
    candidate: Version,
    shares: Sequence[int],
    gates: Iterable[str],
) -> dict[str, Any]:
    return {
        "promotion": promotion,
        "model": release.model,
        "tenant": release.tenant,
        "tier": release.tier,
        "owners": release.owners,
        "description": release.description,
        "environment": environment_name,
        "stable": stable,
        "candidate": candidate,
        "shares": tuple(shares),
        "gates": tuple(dict.fromkeys(gates)),
    }
