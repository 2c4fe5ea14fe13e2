"""Commands on the canary judge: judge replay, judge calibrate; and what `lockgate plan` tells of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.session import Session, common, mistake, passing

if TYPE_CHECKING:
    from gates.canary import CanarySettings
    from gates.canary.planning import Sight
    from gates.canary.settings import Harm
    from gates.contract import Measurement, Question, Verdict
    from pipelines.spec.types import Release, Tier
    from pipelines.strategy import Plan

REFUSED = 4
TIMES = (2.0, 3.0, 10.0)
"""Harms that `lockgate plan` tells of: so many times what is usual."""
USUAL_PART_OF_BUDGET = 0.5
"""What a stable version uses of its budgets, where only the budgets are known."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@common
def judge() -> None:
    """Judge canaries again from what was recorded, and measure the noise."""


def _recorded(function: Any) -> Any:
    """Options that name a stretch of recorded metrics."""
    options = (
        click.option("--prometheus", "url", metavar="URL", help="Recorded metrics instead of journals."),
        click.option("--from", "begin", type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]), help="UTC."),
        click.option("--to", "end", type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]), help="UTC."),
        click.option("--pack", default="envoy", show_default=True, help="How requests are counted there."),
        click.option("--namespace", default="", help="Of the InferenceService."),
        click.option("--stable", default="", metavar="REVISION", help="The stable arm's revision."),
        click.option("--scrape", "scrape_seconds", default=15.0, show_default=True, help="Seconds."),
        click.option("--threshold-ms", default=0.0, help="Latency above which an answer is slow."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@judge.command()
@click.argument("journal", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_recorded
@click.option("--candidate", default="", metavar="REVISION", help="The candidate's revision.")
@click.option("--share", "share_percent", type=click.IntRange(1, 100), help="Percent the candidate had.")
@click.option("--error-budget", default=1.0, show_default=True, help="Percent of requests.")
@click.option("--latency-budget", default=1.0, show_default=True, help="Percent of requests.")
@common
@passing
def replay(session: Session, journal: Path | None, url: str | None, **told: Any) -> int:
    """Judge again what a journal or a metrics server recorded.

    JOURNAL is a promotion's file of JSON lines. Every verdict of its canary gate is judged once more from
    the counts in the journal alone and must come out the same, bit for bit; exit code 4 when one does not.
    With --prometheus the judge goes through recorded metrics instead, as it would have gone through a bake
    between --from and --to, and every verdict is told.
    """
    if (journal is None) == (url is None):
        raise mistake("JOURNAL", "either a journal or --prometheus is judged again", "name one of them")
    if journal is not None:
        return _replay_journal(session, journal)
    return _replay_metrics(session, url or "", told)


def _replay_journal(session: Session, journal: Path) -> int:
    from gates.canary.replay import again

    try:
        judged = list(again(_verdicts(journal)))
    except ValueError as error:
        raise mistake(str(journal), str(error), "it was written by another release") from None
    rows = [
        (
            f"{one.recorded.at:%Y-%m-%d %H:%M:%S}",
            f"{one.share_percent} %",
            one.recorded.status.name,
            one.recorded.reason,
            _evidence(one.now.measurements),
            "the same" if one.same else f"now {one.now.status.name} {one.now.reason}: {one.now.sentence}",
        )
        for one in judged
    ]
    differ = sum(not one.same for one in judged)
    told = f"{len(judged)} verdicts judged again, {differ or 'none'} of them otherwise"
    return _tell(
        session, ("at", "share", "verdict", "reason", "evidence of harm", "again"), rows, told, differ
    )


def _replay_metrics(session: Session, url: str, told: dict[str, Any]) -> int:
    from gates.canary import Canary, CanarySettings
    from gates.canary.counting import LOOK_SCRAPES
    from gates.canary.replay import over
    from pipelines import wiring

    if not told["candidate"] or not told["share_percent"]:
        raise mistake("--candidate", "a replay of metrics needs --candidate and --share", "name both")
    asked = _question(told)
    gate = Canary(CanarySettings(), metrics=wiring.metrics_at(url))
    step = LOOK_SCRAPES * told["scrape_seconds"]
    rows = [
        (
            f"{one.at:%Y-%m-%d %H:%M:%S}",
            f"{asked.share_percent} %",
            one.status.name,
            one.reason,
            _evidence(one.evidence.measurements),
            one.sentence,
        )
        for one in over(gate, asked, until=asked.now, every_seconds=step)
    ]
    head = ("at", "share", "verdict", "reason", "evidence of harm", "sentence")
    return _tell(session, head, rows, f"{len(rows)} looks judged", 0)


def _evidence(measurements: Sequence[Measurement]) -> str:
    values = [one.value for one in measurements if one.name == "evidence_of_harm"]
    return f"{values[0]:.3g}" if values else "-"


def _tell(
    session: Session, head: tuple[str, ...], rows: Sequence[tuple[object, ...]], told: str, differ: int
) -> int:
    if session.as_json:
        session.data("judge.replay", {"verdicts": [dict(zip(head, row, strict=True)) for row in rows]})
    else:
        session.table(head, rows)
    session.say(told)
    return REFUSED if differ else 0


def _verdicts(journal: Path) -> list[Verdict]:
    """Every verdict of the canary gate, oldest first; the journal's hash chain is checked.

    Raises:
        JournalBroken: the journal was changed after it was written.
        InvalidInput: the file is no journal.
    """
    from gates.canary import Canary
    from pipelines.journal.events import Judged
    from pipelines.journal.lines import decode, verdict_from_data

    text = journal.read_text("utf-8")
    try:
        promotion = str(json.loads(text.partition("\n")[0])["data"]["promotion"])
    except (ValueError, KeyError, TypeError):
        raise mistake(str(journal), "is no journal", "name a promotion's file of JSON lines") from None
    events = (line.event for line in decode(promotion, text))
    verdicts = (verdict_from_data(event.verdict) for event in events if isinstance(event, Judged))
    return [verdict for verdict in verdicts if verdict.gate == Canary.name]


def _question(told: dict[str, Any]) -> Question:
    """What the gate would have been asked at the end of the stretch.

    Raises:
        InvalidInput: something that names the stretch is missing.
    """
    from datetime import UTC

    from gates.contract import Arm, Objectives, Question, Subject

    missing = [name for name in ("begin", "end", "namespace", "stable", "threshold_ms") if not told[name]]
    if missing:
        names = {"begin": "from", "end": "to"}
        words = ", ".join(f"--{names.get(name, name).replace('_', '-')}" for name in missing)
        raise mistake("--prometheus", f"recorded metrics are not found without {words}", "name them all")
    begin, end = (told[name].replace(tzinfo=UTC) for name in ("begin", "end"))

    def arm(name: Any, revision: str) -> Arm:
        return Arm(name=name, version=revision, uri="", digest="", revision=revision)

    return Question(
        subject=Subject(model="", environment="", digest="", commit="", stage=""),
        now=end,
        since=begin,
        share_percent=told.get("share_percent") or 50,
        tenant="",
        namespace=told["namespace"],
        service="",
        protocol_model="",
        candidate=arm("candidate", told.get("candidate", "")),
        stable=arm("stable", told["stable"]),
        objectives=Objectives(
            latency_threshold_ms=told["threshold_ms"],
            latency_budget_percent=told.get("latency_budget", 1.0),
            error_budget_percent=told.get("error_budget", 1.0),
            peak_rps=1.0,
        ),
        metrics_pack=told["pack"],
        scrape_seconds=told["scrape_seconds"],
        files={},
    )


@judge.command()
@click.argument("journals", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_recorded
@common
@passing
def calibrate(session: Session, journals: tuple[Path, ...], url: str | None, **told: Any) -> int:
    """Measure how far two equal arms wander apart by themselves.

    JOURNALS are of promotions in which nothing was wrong. With --prometheus the processes of the stable
    arm are dealt out to two halves instead, between --from and --to. What is printed goes into the settings
    of the canary gate.
    """
    from gates.canary.noise import FEWEST_ROLLOUTS, calibrate
    from gates.canary.settings import SYSTEM

    verdicts = [_verdicts(journal) for journal in journals]
    rollouts = [_split_looks(several) for several in verdicts]
    if url is not None:
        rollouts += _halves(url, told)
    found = calibrate([looks for looks in rollouts if looks], _harms(verdicts) or SYSTEM)
    if found is None:
        fewest = f"at least {FEWEST_ROLLOUTS} rollouts (or hours of --prometheus) are needed"
        raise mistake("JOURNALS", f"{len(rollouts)} rollouts tell too little: {fewest}", "add more")
    if session.as_json:
        body = {"noise": found.noise, "memory_minutes": found.memory_minutes, "rollouts": found.rollouts}
        session.data("judge.calibrate", body)
    session.out(
        f"# the noise of {found.rollouts} rollouts; for the gate canary in platform.yaml or release.yaml"
    )
    session.out(f"noise: {json.dumps(found.noise)}\nmemory_minutes: {found.memory_minutes:g}")
    return 0


def _harms(journals: Sequence[Sequence[Verdict]]) -> tuple[Harm, ...]:
    """Everything that was looked for in the newest of the journals' verdicts."""
    from gates.canary.settings import settings_from_data

    facts: list[Any] = [one.evidence.facts.get("judged_by") for several in journals for one in several]
    newest = next((fact for fact in reversed(facts) if fact), None)
    return (
        tuple(harm for harm in settings_from_data(newest["settings"]).harms if not harm.fewer)
        if newest
        else ()
    )


def _split_looks(verdicts: Sequence[Verdict]) -> list[Any]:
    from gates.canary.looks import from_data
    from pipelines.journal.state import looks_of

    found = [from_data(look) for one in verdicts for look in looks_of(one)]
    return [look for look in found if 0 < look.share_percent < 100]


def _halves(url: str, told: dict[str, Any]) -> list[list[Any]]:
    from gates.canary.replay import split
    from gates.counts import Gap
    from pipelines import wiring

    found = split(wiring.metrics_at(url), _question(told))
    if isinstance(found, Gap):
        raise mistake("--prometheus", f"the arm cannot be split: {found.sentence}", "")
    return found


# ------------------------------------------------------------------- lockgate plan


def foresight(made: Plan, release: Release, tier: Tier) -> list[str]:
    """What the canary gate would see by when, in the lines below a plan; none where it is not asked."""
    from gates.canary import Canary
    from pipelines.spec.settings import gate_settings

    bakes = [stage for stage in made.stages if Canary.name in stage.gates and 0 < stage.share_percent < 100]
    if not bakes:
        return []
    from gates.canary.planning import Watch, theatre

    settings: CanarySettings = gate_settings(tier, release, Canary.name)
    watches = [
        Watch(
            stage=stage.name,
            share_percent=stage.share_percent,
            minutes=max(stage.minimum_seconds - stage.warm_up_seconds, 60.0) / 60.0,
        )
        for stage in bakes
    ]
    sights = _sights(watches, release, settings)
    lines = [
        "",
        f"What the canary gate would see, at {release.slo.peak_rps:g} requests a second and half the budgets "
        "used by the stable version:",
    ]
    lines += [_line(watch.stage, [one for one in sights if one.stage == watch.stage]) for watch in watches]
    return [*lines, *(f"Warning: {warning}." for warning in theatre(sights))]


def _sights(watches: Sequence[Any], release: Release, settings: CanarySettings) -> list[Sight]:
    from gates.canary.gate import budgets
    from gates.canary.planning import foresee

    allowed = budgets(release.slo.objectives())
    return foresee(
        watches,
        rps=release.slo.peak_rps,
        usual={name: USUAL_PART_OF_BUDGET * share for name, share in allowed.items()},
        times=TIMES,
        harms=settings.harms,
        settings=settings,
    )


def _line(stage: str, sights: Sequence[Sight]) -> str:
    told = "; ".join(
        f"{one.times:g} times the {one.harm.words} {100 * one.seen_by_end:.0f} %{_needed(one)}"
        for one in sights
    )
    return f"  {stage}: {told}"


def _needed(sight: Sight) -> str:
    """How long it takes, where the stage is too short for it."""
    from gates.canary.planning import POWER

    if sight.seen_by_end >= POWER:
        return ""
    if sight.minutes_needed is None:
        return " (more than thirty days)"
    return f" ({sight.minutes_needed:.0f} min)"
