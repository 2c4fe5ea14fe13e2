"""A promotion as one HTML file: nothing to fetch, nothing to run, every value escaped."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields

from jinja2 import FileSystemLoader, StrictUndefined, Template
from jinja2.sandbox import SandboxedEnvironment

from pipelines.journal.lines import Line
from pipelines.journal.state import State, fold
from pipelines.render.engine import templates_folder
from pipelines.reports import series
from pipelines.reports.evidence_chart import EvidenceChart, evidence_chart, strengths
from pipelines.reports.facts import (
    Approval,
    Fact,
    Figure,
    StageRow,
    Verify,
    approval,
    facts,
    figures,
    headline,
    lead,
    outcome,
    share_facts,
    stage_rows,
    verify,
    version_facts,
)
from pipelines.reports.matrix import Matrix, matrix
from pipelines.reports.rate_charts import RateChart, rate_chart
from pipelines.reports.share_chart import ShareChart, ShareData, share_chart
from pipelines.reports.story import Entry, timeline
from pipelines.reports.words import clean, stamp

WIDE, NARROW = 900.0, 380.0
"""Widths of pictures over time: on a screen or paper, and on a phone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The template's variables."""

    title: str
    outcome: str
    headline: str
    lead: str
    undone: tuple[str, ...]
    figures: tuple[Figure, ...]
    facts: tuple[Fact, ...]
    versions: tuple[tuple[str, str, str], ...]
    shares: tuple[tuple[str, ...], ...]
    share_charts: tuple[ShareChart, ...]
    holds: tuple[str, ...]
    moments: tuple[tuple[int, str, str], ...]
    rate_charts: tuple[RateChart, ...]
    evidence_charts: tuple[EvidenceChart, ...]
    matrix: Matrix
    stages: tuple[StageRow, ...]
    approval: Approval | None
    timeline: tuple[Entry, ...]
    verify: Verify
    as_of: str


def report(lines: Sequence[Line]) -> str:
    """The report of one promotion, from its whole journal.

    Raises:
        ValueError: the journal is empty.
    """
    state = fold(lines)
    if state is None:
        raise ValueError("an empty journal has no report")
    found = _page(tuple(lines), state)
    return page("report.html.j2", **{one.name: getattr(found, one.name) for one in fields(found)})


def page(template: str, **values: object) -> str:
    """Fill one of the HTML templates; every value is escaped."""
    return _template(template).render(values)


@functools.cache
def _template(name: str) -> Template:
    jinja = SandboxedEnvironment(
        loader=FileSystemLoader(templates_folder()),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    jinja.globals.clear()  # a forgotten value is an error, never Jinja's function of that name
    return jinja.get_template(name)


def _page(lines: tuple[Line, ...], state: State) -> Page:
    started = state.started
    seen = series.verdicts(lines, state)
    held = series.holds(lines)
    moments = series.moments(lines, seen, state)
    data = ShareData(
        steps=series.shares(lines),
        end=lines[-1].at,
        planned=[stage.share_percent for stage in state.plan.stages if stage.step == "shift"],
        looks=series.observed(seen),
        holds=held,
        moments=moments,
        statuses=series.statuses(seen),
    )
    label = clean(started.candidate["label"])
    return Page(
        title=f"{clean(started.model)} {label} in {clean(started.environment)}",
        outcome=outcome(state),
        headline=headline(state),
        lead=lead(state),
        undone=tuple(clean(left) for left in state.ended.left_undone) if state.ended else (),
        figures=figures(lines, seen, state),
        facts=facts(state),
        versions=version_facts(state),
        shares=share_facts(state),
        share_charts=(
            share_chart(data, key="wide", width=WIDE),
            share_chart(data, key="narrow", width=NARROW),
        ),
        holds=tuple(f"{period.label}, {stamp(period.since)} to {stamp(period.until)}" for period in held),
        moments=tuple((n, stamp(moment.at), moment.label) for n, moment in enumerate(moments, start=1)),
        rate_charts=_rate_charts(seen, state),
        evidence_charts=_evidence_charts(seen, state),
        matrix=matrix(seen, state),
        stages=stage_rows(seen, state),
        approval=approval(state),
        timeline=timeline(lines),
        verify=verify(lines, state),
        as_of=stamp(lines[-1].at),
    )


def _evidence_charts(seen: series.Seen, state: State) -> tuple[EvidenceChart, ...]:
    found = strengths(seen, state)
    widths = (("wide", WIDE), ("narrow", NARROW)) if found else ()
    return tuple(evidence_chart(found, key=f"evidence-{key}", width=width) for key, width in widths)


def _rate_charts(seen: series.Seen, state: State) -> tuple[RateChart, ...]:
    wanted = (
        ("errors", "Failed requests", "Share of live requests that the server answered with an error."),
        ("slow", "Slow requests", "Share of live requests that took longer than the latency objective."),
    )
    found = ((key, title, why, series.rates(seen, state, f"{key}_share")) for key, title, why in wanted)
    return tuple(
        rate_chart(rates, key=key, title=title, explanation=why) for key, title, why, rates in found if rates
    )
