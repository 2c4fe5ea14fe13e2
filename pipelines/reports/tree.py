"""One promotion on one screen: promotion, environment, stages, gates, samples, and why it waits."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from rich.console import Console, RenderableType
from rich.style import Style
from rich.text import Text
from rich.tree import Tree

from gates.contract import Measurement, Status, Verdict
from pipelines.decide import Move, unknown_seconds
from pipelines.journal.state import State
from pipelines.reports.summary import summary
from pipelines.reports.view import SYMBOLS, GateView, Mark, elapsed_seconds, gates_of, mark_of
from pipelines.reports.words import address, clean, clock, measured, short, span, stamp
from pipelines.strategy import Stage

__all__ = ["render", "summary", "text"]

SAMPLES_SHOWN = 6
"""Measurements listed under one gate; those held against a threshold come first."""
TEXT_COLUMNS = 120
_BAR_CELLS = 20
_COLOURS: dict[Mark, str] = {
    "done": "green",
    "now": "bold cyan",
    "waiting": "yellow",
    "unknown": "magenta",
    "failed": "bold red",
    "to come": "dim",
    "cut short": "yellow",
    "not reached": "dim",
}
_STATUS_COLOURS = {
    Status.PASS: "green",
    Status.WAIT: "yellow",
    Status.UNKNOWN: "magenta",
    Status.FAIL: "bold red",
}


def render(
    state: State, move: Move, now: datetime, *, links: Mapping[str, str] | None = None
) -> RenderableType:
    """The screen of ``lockgate status``.

    Args:
        state: the fold of the promotion's journal.
        move: what :func:`pipelines.decide.decide` says is next.
        now: this instant, UTC.
        links: further addresses to show, name -> http(s) address, beside the pull request's and the change's.
    """
    started = state.started
    tree = Tree(Text(clean(started.promotion), style="bold"), guide_style="dim")
    tree.add(_why(state, move, now))
    place = tree.add(_environment(state))
    for stage in state.plan.stages:
        _add_stage(place, state, stage, move, now)
    _add_rollback(place, state, move)
    for line in _links(state, links or {}):
        tree.add(line)
    return tree


def text(state: State, move: Move, now: datetime) -> str:
    """The same screen without colour, as lines for a log."""
    console = Console(
        file=io.StringIO(),
        width=TEXT_COLUMNS,
        color_system=None,
        force_terminal=False,
        legacy_windows=False,
        _environ={},
    )
    with console.capture() as capture:
        console.print(render(state, move, now))
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def _why(state: State, move: Move, now: datetime) -> Text:
    """What happens next, or why nothing does, and until when."""
    word, style = {
        "advance": ("now", "bold cyan"),
        "hold": ("waits", "yellow"),
        "roll_back": ("goes back to 0 %", "bold red"),
        "stop": (move.reason.replace("_", " "), "bold"),
    }[move.kind]
    line = Text.assemble((f"{word}: ", style), clean(move.sentence))
    if move.reason == "frozen" and state.freeze is not None:
        line.append(f"; since {stamp(state.freeze.at)}")
    if move.kind == "hold":
        line.append(_until(move.until, now))
    spent = unknown_seconds(state, now)
    if spent and move.kind != "stop":
        budget = state.plan.hold_budget_seconds
        line.append(f"\ncould not tell for {span(spent)} in all; the budget is {span(budget)}", "magenta")
    return line


def _until(until: datetime | None, now: datetime) -> str:
    if until is None:
        return "; until something from outside changes it"
    left = (until - now).total_seconds()
    return f"; asked again at {clock(until)}, in {span(left)}" if left > 0 else "; asked again now"


def _environment(state: State) -> Text:
    started, plan = state.started, state.plan
    stable = clean(started.stable["label"]) if started.stable else "nothing"
    filled = round(state.share_percent * _BAR_CELLS / 100)
    filled = max(filled, 1) if state.share_percent else 0
    candidate = clean(started.candidate["label"])
    return Text.assemble(
        (clean(started.environment), "bold"),
        f" · {clean(started.model)} {stable} → {candidate} · tier {clean(plan.tier)}, ",
        f"{plan.strategy.replace('_', '/')}\n",
        f"asked for by {clean(started.requested_by)}: {clean(started.reason)}\n",
        f"share {'█' * filled}{'░' * (_BAR_CELLS - filled)} {state.share_percent} % {candidate}",
    )


def _add_stage(place: Tree, state: State, stage: Stage, move: Move, now: datetime) -> None:
    mark = mark_of(state, stage, move)
    seconds = elapsed_seconds(state, stage, mark, now)
    gates = gates_of(state, stage)
    line = Text.assemble(
        (f"{SYMBOLS[mark]} {stage.name:<10} {mark:<11}", _COLOURS[mark]),
        f" {'' if seconds is None else span(seconds):>12}",
    )
    if mark == "waiting" and stage.name in state.began:
        gives_up = state.began[stage.name] + timedelta(seconds=stage.maximum_seconds)
        line.append(f"  until {stamp(gives_up)} at the latest")
    if mark in ("done", "to come", "not reached") or not gates:
        if summed := ", ".join(_in_a_word(gate, mark) for gate in gates) or _trace(state, stage):
            line.append(f"  {summed}")
        node = place.add(_trimmed(line))
    else:
        node = place.add(_trimmed(line))
        for gate in gates:
            _add_gate(node, gate)
    wait = state.waits.get(stage.name)
    if wait is not None and wait.sentence != move.sentence and mark in ("waiting", "unknown"):
        node.add(Text(f"{clean(wait.sentence)} (since {clock(wait.at)})"))


def _trimmed(line: Text) -> Text:
    line.rstrip()
    return line


def _in_a_word(gate: GateView, mark: Mark) -> str:
    if gate.verdict is None:
        return clean(gate.name)
    said = gate.verdict.status.name if gate.counts else "about other content"
    return f"{clean(gate.name)} {said}"


def _trace(state: State, stage: Stage) -> str:
    """What a stage without gates left: a pull request, a merge, the commit of a share."""
    if stage.step == "propose" and state.proposed is not None:
        return f"pull request {state.proposed.pull_request}"
    if stage.step == "merge" and state.merged is not None:
        return f"{short(state.merged.commit)} by {clean(state.merged.by)}"
    if stage.step == "shift" and stage.share_percent in state.commits:
        return f"commit {short(state.commits[stage.share_percent])}"
    return ""


def _add_gate(node: Tree, gate: GateView) -> None:
    if gate.verdict is None:
        node.add(Text(f"{clean(gate.name)}: not asked yet", style="dim"))
        return
    verdict = gate.verdict
    line = Text.assemble(
        (f"{verdict.status.name:<7} ", _STATUS_COLOURS[verdict.status]),
        (clean(gate.name), "bold"),
        f" {clean(verdict.reason)}: {clean(verdict.sentence)}",
    )
    if not gate.counts:
        line.append(" (about other content: it does not count)", "dim")
    samples = node.add(line)
    for sample in _samples(verdict):
        samples.add(Text(sample))


def _samples(verdict: Verdict) -> Iterator[str]:
    def held_against_nothing(one: Measurement) -> bool:
        return one.threshold is None

    listed = sorted(verdict.evidence.measurements, key=held_against_nothing)
    for one in listed[:SAMPLES_SHOWN]:
        yield measured(one).line
    if len(listed) > SAMPLES_SHOWN:
        yield f"{len(listed) - SAMPLES_SHOWN} more are in the report"


def _add_rollback(place: Tree, state: State, move: Move) -> None:
    if state.rollback is None and move.kind != "roll_back":
        return
    live = state.merged is not None or bool(state.commits) or bool(state.zero_commit)
    mark: Mark = "done" if state.ended else "now"
    node = place.add(Text(f"{SYMBOLS[mark]} {'roll back':<10} {mark}", style=_COLOURS[mark]))
    if not live:
        node.add(Text("no live request could reach the candidate"))
        return
    steps = (
        ("0 % written on main", f"commit {short(state.zero_commit)}" if state.zero_commit else ""),
        ("0 % in force", clock(state.zero_served.at) if state.zero_served else ""),
        ("0 % seen in the metrics", clock(state.zero_seen) if state.zero_seen else ""),
    )
    for what, trace in steps:
        node.add(Text(f"{SYMBOLS['done' if trace else 'to come']} {what}{f': {trace}' if trace else ''}"))
    if state.ended is not None and state.desk_owed:
        retry = f"`lockgate retry {clean(state.promotion)}` tells it"
        node.add(Text(f"the change desk was not told of it: {retry}", style="yellow"))


def _links(state: State, links: Mapping[str, str]) -> Iterator[Text]:
    named = dict(links)
    if state.proposed is not None:
        named = {f"pull request {state.proposed.pull_request}": state.proposed.url, **named}
    if state.change is not None:
        named = {**named, f"change {state.change.number}": state.change.url}
    if state.emergency is not None:
        named = {**named, f"emergency change {state.emergency.number}": state.emergency.url}
    for name, url in named.items():
        style = Style(link=address(url)) if address(url) else Style()
        yield Text.assemble(f"{clean(name)}: ", (clean(url), style))
