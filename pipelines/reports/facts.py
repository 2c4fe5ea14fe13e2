"""What a report says in words and tables: outcome, versions, people, verdicts, approval, how to verify."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gates.contract import Status, Verdict
from gates.evaluation.card import Table, tables
from pipelines.journal.events import ChangeOpened
from pipelines.journal.lines import Line
from pipelines.journal.state import State, verdicts_of
from pipelines.render.engine import NOTHING
from pipelines.reports.evaluation_charts import Forest, Reliability, forest, reliability
from pipelines.reports.latency_chart import LatencyChart, latency_chart
from pipelines.reports.series import Seen, candidate_requests
from pipelines.reports.story import approver_rows, instant, symbol
from pipelines.reports.view import SYMBOLS, elapsed_seconds, gates_of, mark_of
from pipelines.reports.words import Measured, address, clean, count, measured, span, stamp
from pipelines.strategy import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of the page's head."""

    value: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One row of a table of facts."""

    label: str
    text: str
    href: str = ""
    """An http(s) address; "" for plain text."""
    code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRow:
    """One gate's latest verdict at one stage."""

    gate: str
    status: str
    symbol: str
    reason: str
    sentence: str
    looks: str
    note: str
    measurements: tuple[Measured, ...]
    forests: tuple[Forest, ...]
    """Pictures of an evaluation, one or none of each kind."""
    reliabilities: tuple[Reliability, ...]
    latencies: tuple[LatencyChart, ...]
    """The picture of a load test, or none."""
    tables: tuple[Table, ...]
    """What an evaluation measured beside its measurements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One stage with its gates."""

    name: str
    mark: str
    symbol: str
    elapsed: str
    gates: tuple[GateRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What a change request covered and who answered it."""

    sentence: str
    facts: tuple[Fact, ...]
    approvers: tuple[tuple[str, str, str], ...]
    """Name, answer, when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """How anyone finds out whether this page tells the truth."""

    lines: str
    hash: str
    file: str
    commands: tuple[tuple[str, str], ...]
    """What a command shows, and the command."""


# --------------------------------------------------------------------- the head

_OUTCOMES = {
    "promoted": "Promoted",
    "rolled_back": "Rolled back",
    "refused": "Refused before live traffic",
    "aborted": "Ended by a person",
    "superseded": "Superseded",
}


def _candidate(state: State) -> str:
    return clean(state.started.candidate["label"])


def _stable(state: State) -> str:
    return clean(state.started.stable["label"]) if state.started.stable else ""


def highest_share(state: State) -> int:
    """The highest share ever written on main, percent; a first version's merge alone, by anybody, is 100."""
    merged = state.merged is not None or bool(state.zero_commit)
    return max((*state.commits, 100 if state.plan.first and merged else 0))


def outcome(state: State) -> str:
    """The outcome in a word or two."""
    if state.ended is not None:
        return _OUTCOMES[state.ended.outcome]
    return "Going back to 0 %" if state.rollback is not None else "Under way"


def headline(state: State) -> str:
    """One sentence for who owns the risk."""
    candidate, stable = _candidate(state), _stable(state)
    place = f"{clean(state.started.model)} in {clean(state.started.environment)}"
    serves = f"{stable} serves every live request to {place}" if stable else f"nothing serves {place}"
    ended = state.ended.outcome if state.ended is not None else ""
    if ended == "promoted":
        return f"{candidate} serves every live request to {place}."
    if not ended and state.rollback is None:
        return f"{candidate} is on its way: it has {state.share_percent} % of live requests to {place}."
    if not ended:
        return f"{candidate} is being taken back to 0 % of {place}."
    if highest_share(state) == 0:
        return f"{candidate} was stopped before any live request reached it; {serves}."
    return f"{candidate} was taken back to 0 %; {serves}."


def lead(state: State) -> str:
    """The sentences under the headline."""
    return " ".join(_lead(state))


def _lead(state: State) -> Iterator[str]:
    started = state.started
    yield (
        f"{clean(started.requested_by)} asked for it on {stamp(state.started_at)}: “{clean(started.reason)}”."
    )
    if state.ended is not None and state.ended.outcome == "promoted":
        yield f"Before it, {_stable(state)} served." if _stable(state) else "It is the first version there."
    if approvers := _approved_by(state):
        number = clean(state.change.number) if state.change else "the change"
        yield f"{' and '.join(approvers)} approved {number}."
    elif state.plan.needs_approval and state.ended is not None and state.ended.outcome != "promoted":
        yield "It never came to 100 %, for which an approved change is needed."
    if state.rollback is not None:
        yield f"Why it went back: {clean(state.rollback.sentence).rstrip('.')}."
    if state.rollback is not None and state.zero_served is not None:
        seconds = (state.zero_served.at - state.rollback.at).total_seconds()
        yield f"From that decision to 0 % in force it took {span(seconds)}."


def _approve_stage(state: State) -> Stage | None:
    return next((stage for stage in state.plan.stages if stage.step == "approve"), None)


def _approval_verdict(state: State) -> Verdict | None:
    """The latest verdict that carries approvers, at the stage that asks for approval."""
    stage = _approve_stage(state)
    found = (view.verdict for view in gates_of(state, stage) if view.verdict) if stage else ()
    return next((verdict for verdict in found if "approvers" in verdict.evidence.facts), None)


def _approved_by(state: State) -> tuple[str, ...]:
    stage, verdict = _approve_stage(state), _approval_verdict(state)
    if stage is None or verdict is None or verdict.status is not Status.PASS:
        return ()
    if verdict.gate not in verdicts_of(state, stage.name):
        return ()
    rows = approver_rows(verdict.evidence.facts)
    return tuple(clean(row.get("approver")) for row in rows if row.get("state") == "approved")


def figures(lines: Sequence[Line], seen: Seen, state: State) -> tuple[Figure, ...]:
    """The figures a reader asks for first."""
    requests = candidate_requests(seen)
    found = [
        Figure(value=f"{highest_share(state)} %", label="highest share of live requests"),
        Figure(
            value=span((lines[-1].at - lines[0].at).total_seconds()),
            label="from the request to the last event",
        ),
        Figure(
            value=NOTHING if requests is None else f"{requests:,}",
            label="live requests to the candidate counted by the gates",
        ),
    ]
    if state.rollback is not None and state.zero_served is not None:
        seconds = (state.zero_served.at - state.rollback.at).total_seconds()
        found.append(Figure(value=span(seconds), label="from the decision to 0 % in force"))
    else:
        found.append(Figure(value=_approval_in_a_word(state), label="approval of the change"))
    return tuple(found)


def _approval_in_a_word(state: State) -> str:
    if approvers := _approved_by(state):
        return ", ".join(approvers)
    if state.change is not None:
        return "not given"
    return "never asked for" if state.plan.needs_approval else "not needed"


# -------------------------------------------------------------------- the tables


def facts(state: State) -> tuple[Fact, ...]:
    """Who, what, where, and the addresses to look it up at."""
    started, plan = state.started, state.plan
    return (
        Fact(label="promotion", text=clean(started.promotion), code=True),
        Fact(label="model", text=clean(started.model)),
        Fact(label="tenant", text=clean(started.tenant)),
        Fact(label="environment", text=clean(started.environment)),
        Fact(label="policy", text=f"tier {clean(plan.tier)}, {plan.strategy.replace('_', '/')}"),
        Fact(label="asked for by", text=clean(started.requested_by)),
        Fact(label="reason given", text=clean(started.reason)),
        Fact(label="read from commit", text=clean(started.base), code=True),
        *_forge_facts(state),
        *_change_facts(state),
    )


def _forge_facts(state: State) -> Iterator[Fact]:
    if state.proposed is not None:
        url = state.proposed.url
        name = f"{state.proposed.pull_request}, by {clean(state.proposed.author)}"
        yield Fact(label="pull request", text=name, href=address(url))
        yield Fact(label="judged head", text=clean(state.proposed.head_sha), code=True)
    if state.merged is not None:
        yield Fact(label="merged by", text=clean(state.merged.by))


def _change_facts(state: State) -> Iterator[Fact]:
    if state.change is not None:
        closed = f", closed as {clean(state.change_closed.code)}" if state.change_closed else ""
        text = f"{clean(state.change.number)}{closed}"
        yield Fact(label="change", text=text, href=address(state.change.url))
        yield Fact(label="approved by", text=", ".join(_approved_by(state)) or "nobody")


def version_facts(state: State) -> tuple[tuple[str, str, str], ...]:
    """Rows of the table of versions: what, candidate, stable."""
    started = state.started

    def row(what: str, key: str) -> tuple[str, str, str]:
        return what, _told(started.candidate, key), _told(started.stable, key)

    rows = (row("version", "label"), row("artifact", "uri"), row("digest", "digest"))
    return (*rows, row("resolved from", "alias")) if started.candidate.get("alias") else rows


def _told(version: Mapping[str, Any] | None, key: str) -> str:
    value = version.get(key) if version else None
    return NOTHING if value is None else clean(value)


def share_facts(state: State) -> tuple[tuple[str, ...], ...]:
    """Rows of the table of shares: share, commit, in force at, seen in the metrics at."""
    rows = [
        (f"{share} %", clean(commit), _when(served.at if served else None), _when(state.seen.get(share)))
        for share, commit in state.commits.items()
        for served in (state.served.get(share),)
    ]
    if state.merged is not None:
        rows.insert(0, ("merge", clean(state.merged.commit), "", ""))
    if state.zero_commit:
        served_at = state.zero_served.at if state.zero_served else None
        rows.append(
            ("back to 0 %", clean(state.zero_commit), _when(served_at), _when(state.zero_seen)),
        )
    return tuple(rows)


def _when(at: datetime | None) -> str:
    return stamp(at) if at else NOTHING


def stage_rows(seen: Seen, state: State) -> tuple[StageRow, ...]:
    """Every stage in the plan's order, with the latest verdict of each of its gates."""
    looks = Counter((stage, verdict.gate, verdict.status) for stage, verdict in seen)
    rows = []
    for place, stage in enumerate(state.plan.stages):
        mark = mark_of(state, stage)
        seconds = elapsed_seconds(state, stage, mark, state.last_at)
        gates = tuple(
            _gate_row(stage.name, view.verdict, place=place, counts=view.counts, looks=looks)
            for view in gates_of(state, stage)
            if view.verdict is not None
        )
        rows.append(
            StageRow(
                name=clean(stage.name),
                mark=mark,
                symbol=SYMBOLS[mark],
                elapsed="" if seconds is None else span(seconds),
                gates=gates,
            )
        )
    return tuple(rows)


def _gate_row(
    stage: str, verdict: Verdict, *, place: int, counts: bool, looks: Mapping[tuple[str, str, Status], int]
) -> GateRow:
    by_status = [(status.name, looks.get((stage, verdict.gate, status), 0)) for status in Status]
    said = ", ".join(f"{n:,} {name}" for name, n in by_status if n)
    total = sum(n for _, n in by_status)
    return GateRow(
        gate=clean(verdict.gate),
        status=verdict.status.name,
        symbol=symbol(verdict.status),
        reason=clean(verdict.reason),
        sentence=clean(verdict.sentence),
        looks=f"{count(total, 'look')}: {said}" if total > 1 else "",
        note="" if counts else "This verdict is about other content than was promoted: it did not count.",
        measurements=tuple(measured(one) for one in verdict.evidence.measurements),
        forests=tuple(filter(None, [forest(verdict, f"forest-{place}-{verdict.gate}")])),
        reliabilities=tuple(filter(None, [reliability(verdict, f"reliability-{place}-{verdict.gate}")])),
        latencies=tuple(filter(None, [latency_chart(verdict, f"latency-{place}-{verdict.gate}")])),
        tables=tuple(_cleaned(table) for table in tables(verdict)[1:]),  # the first are the measurements
    )


def _cleaned(table: Table) -> Table:
    return replace(
        table, rows=tuple(tuple(clean(cell) if cell else "" for cell in row) for row in table.rows)
    )


# ------------------------------------------------------------------ the approval


def approval(state: State) -> Approval | None:
    """What the approval covered; None where no change was opened."""
    if state.change is None:
        return None
    verdict = _approval_verdict(state)
    found = verdict.evidence.facts if verdict else {}
    return Approval(
        sentence=clean(verdict.sentence) if verdict else "The change was opened and never judged.",
        facts=(*_covered(state, state.change), *_desk_facts(found)),
        approvers=tuple(
            (clean(row.get("approver")), clean(row.get("state")), _said_at(row.get("at")))
            for row in approver_rows(found)
        ),
    )


def _covered(state: State, change: ChangeOpened) -> Iterator[Fact]:
    started = state.started
    yield Fact(label="change", text=clean(change.number), href=address(change.url))
    yield Fact(label="correlation id", text=clean(change.correlation_id), code=True)
    if state.change_intended is not None:
        digest = clean(state.change_intended.manifest_digest)
        yield Fact(label="digest of the manifests at 100 %", text=digest, code=True)
    yield Fact(label="digest of the candidate", text=_told(started.candidate, "digest"), code=True)
    yield Fact(label="digest of the stable version", text=_told(started.stable, "digest"), code=True)
    yield Fact(label="environment", text=clean(started.environment))


def _desk_facts(found: Mapping[str, object]) -> Iterator[Fact]:
    for key, label in (("type", "type of change"), ("requested_by", "requested by"), ("state", "state")):
        if found.get(key):
            yield Fact(label=label, text=clean(found[key]))
    if found.get("start") or found.get("end"):
        window = f"{_said_at(found.get('start'))} to {_said_at(found.get('end'))}"
        yield Fact(label="planned window", text=window)


def _said_at(value: object) -> str:
    at = instant(value)
    return stamp(at) if at else NOTHING


# ------------------------------------------------------------------ how to verify


def verify(lines: Sequence[Line], state: State) -> Verify:
    """The journal's last hash, and commands that show whether it is still that."""
    file = f"{state.started.model}/{state.started.promotion}.jsonl"
    promotion = shlex.quote(clean(state.started.promotion))
    at_audit = shlex.quote(f"FETCH_HEAD:{clean(file)}")
    return Verify(
        lines=count(len(lines), "line"),
        hash=lines[-1].hash,
        file=clean(file),
        commands=(
            ("write this promotion's evidence to one file", f"lockgate evidence {promotion}"),
            ("check such a file, also without a network", "lockgate evidence verify FILE"),
            (
                "read the journal as it is kept",
                f"git fetch origin audit && git show {at_audit} | sed -n {len(lines)}p",
            ),
        ),
    )
