"""The model card: what a version is for, made of, good and bad at, and who vouches for it. Pure.

It says what release.yaml and the journal say, as tables, in Markdown and in HTML. What nobody said is a dash.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace

from gates.contract import Verdict
from gates.evaluation.card import Table, tables
from pipelines.evidence.policy import approvers
from pipelines.journal.state import State, verdicts_of
from pipelines.render.engine import fill
from pipelines.reports.html import page
from pipelines.reports.words import clean
from pipelines.spec.types import Release, Risk

_CELL = 480
"""Longer text goes on in the next row, since a cell that is too long would be cut."""


def markdown(release: Release, state: State) -> str:
    """The card for a repository or a wiki."""
    return fill("model_card.md.j2", title=_title(state), tables=card(release, state))


def html(release: Release, state: State) -> str:
    """The card as one page that fetches and runs nothing."""
    seen = [
        replace(table, rows=tuple(tuple(map(clean, row)) for row in table.rows))
        for table in card(release, state)
    ]
    return page("model_card.html.j2", title=clean(_title(state)), tables=seen)


def _title(state: State) -> str:
    return f"Model card: {state.started.model} {state.started.candidate['label']}"


def card(release: Release, state: State) -> tuple[Table, ...]:
    """The card's tables, each with at least one row.

    Args:
        release: as it was read when the promotion started.
        state: the fold of the journal.
    """
    risk = release.risk or Risk()
    verdicts = [
        (stage.name, verdict)
        for stage in state.plan.stages
        for verdict in verdicts_of(state, stage.name).values()
    ]
    found = (
        _said("Model", _model(release, state)),
        _said("Use", _use(release, risk)),
        _said("Data", ((name, digest) for name, digest in risk.data.items())),
        _said("Limits and controls", _limits(risk)),
        _said("People", _people(release, risk, state, [verdict for _, verdict in verdicts])),
        *(table for _, verdict in verdicts for table in tables(verdict)),
        Table(
            title="Gates", head=("stage", "gate", "verdict", "what was seen"), rows=tuple(_gates(verdicts))
        ),
    )
    return tuple(table for table in found if table.rows)


def _said(title: str, facts: Iterable[tuple[str, object]]) -> Table:
    """A table of what is said, long words over several rows."""
    rows = [
        (name if n == 0 else "", part)
        for name, value in facts
        for n, part in enumerate(textwrap.wrap(str(value or ""), _CELL) or ["–"])
    ]
    return Table(title=title, head=("what", "said"), rows=tuple(rows))


def _model(release: Release, state: State) -> Iterator[tuple[str, object]]:
    started = state.started
    yield "model", started.model
    for key in ("label", "uri", "digest", "alias"):
        yield key, started.candidate.get(key)
    yield "format", release.serving.format
    yield "tenant", started.tenant
    yield "tier", state.plan.tier
    yield "environment", started.environment
    yield "promotion", started.promotion
    yield "outcome", state.ended.outcome if state.ended else "under way"
    yield "takes the place of", started.stable["label"] if started.stable else "nothing: the first version"


def _use(release: Release, risk: Risk) -> Iterator[tuple[str, object]]:
    yield "description", release.description
    yield "materiality", risk.materiality
    yield "intended use", risk.intended_use
    yield "methodology", risk.methodology


def _limits(risk: Risk) -> Iterator[tuple[str, object]]:
    for name in ("limitations", "compensating_controls", "monitoring"):
        for said in getattr(risk, name) or ("",):
            yield name.replace("_", " "), said
    yield "rollback plan", risk.rollback_plan


def _people(
    release: Release, risk: Risk, state: State, verdicts: list[Verdict]
) -> Iterator[tuple[str, object]]:
    yield "owners", ", ".join(release.owners)
    yield "developer", risk.developer
    yield "validator", risk.validator
    yield "asked for by", state.started.requested_by
    yield "approved by", ", ".join(approvers(verdicts))
    yield "change", state.change.number if state.change else ""


def _gates(verdicts: Iterable[tuple[str, Verdict]]) -> Iterator[tuple[str, ...]]:
    for stage, verdict in verdicts:
        parts = textwrap.wrap(verdict.sentence, _CELL) or ["–"]
        yield stage, verdict.gate, f"{verdict.status.name} ({verdict.reason})", parts[0]
        yield from (("", "", "", part) for part in parts[1:])
