"""Asking the gates of a stage: one question, one verdict each, recorded before anything follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from gates.contract import Arm, Question, Status, Subject, Verdict
from pipelines.errors import CouldNotTell
from pipelines.journal.events import Judged
from pipelines.journal.lines import verdict_to_data
from pipelines.journal.state import verdicts_of
from pipelines.render import namespace
from pipelines.steps.contract import Context, NotYet, Refused
from pipelines.strategy import PREVIEW_VERDICT_VALID_SECONDS, Stage

log = structlog.get_logger()


def question(
    context: Context,
    stage: Stage,
    *,
    commit: str,
    files: Mapping[str, str],
    candidate: Arm,
    stable: Arm | None,
    since: datetime,
) -> Question:
    """What the gates of a stage are asked."""
    state = context.state
    release = context.release
    metrics = context.environment.metrics
    return Question(
        subject=Subject(
            model=release.model,
            environment=state.started.environment,
            digest=context.candidate.digest,
            commit=commit,
            stage=stage.name,
        ),
        now=context.now,
        since=since,
        share_percent=stage.share_percent,
        tenant=release.tenant,
        namespace=namespace(context.environment, release.tenant),
        service=release.model,
        protocol_model=release.model,
        candidate=candidate,
        stable=stable,
        objectives=context.objectives(),
        files=files,
        metrics_pack=metrics.pack if metrics else "",
        scrape_seconds=metrics.scrape_every if metrics else 15.0,
        requested_by=state.started.requested_by,
        pull_request_author=state.proposed.author if state.proposed else "",
    )


def ask(
    context: Context, stage: Stage, asked: Question, *, again: bool = True, gates: Iterable[str] | None = None
) -> tuple[Verdict, ...]:
    """Put the question to every gate of the stage; what they say is written down, a bake's with its outcome.

    ``again=False`` leaves out gates whose verdict on this very subject is PASS or FAIL already: neither
    changes by asking again, until it is too old to count. ``gates`` names those that are asked, where not all
    of the stage's are.
    """
    known = {
        gate: verdict
        for gate, verdict in verdicts_of(context.state, stage.name).items()
        if context.now - verdict.at <= timedelta(seconds=PREVIEW_VERDICT_VALID_SECONDS)
    }
    verdicts, news = [], []
    for name in stage.gates if gates is None else gates:
        if not again and name in known and known[name].status in (Status.PASS, Status.FAIL):
            verdicts.append(known[name])
            continue
        earlier = context.state.looks.get(name, ())
        verdict = answer(context, name, replace(asked, now=context.now, earlier_looks=earlier))
        if (role := stage.named(name)) != name:
            verdict = replace(verdict, sentence=f"{role}: {verdict.sentence}")
        if stage.step == "bake" or _news(known.get(name), verdict):
            news.append(Judged(stage=stage.name, verdict=verdict_to_data(verdict)))
        verdicts.append(verdict)
    if stage.step == "bake":
        context.looked.extend(news)
    elif news:
        context.record(*news)
    return tuple(verdicts)


def answer(context: Context, name: str, asked: Question) -> Verdict:
    """What one gate says; UNKNOWN when it raises. Nothing is written down."""
    try:
        return context.world.gate(name, context.release).judge(asked)
    except CouldNotTell as error:
        reason, sentence = "source_unreachable", str(error)
    except Exception as error:  # a gate of a third party may raise anything; it is no verdict
        log.exception("gate raised", gate=name)
        reason, sentence = "gate_error", f"{type(error).__name__}: {error}"
    return Verdict(
        gate=name,
        subject=asked.subject,
        status=Status.UNKNOWN,
        reason=reason,
        sentence=sentence,
        at=asked.now,
    )


def _news(before: Verdict | None, now: Verdict) -> bool:
    """A poll that says the same again is not written down again."""
    if before is None or before.subject != now.subject:
        return True
    return (before.status, before.reason, before.sentence) != (now.status, now.reason, now.sentence)


def outcome(stage: Stage, verdicts: Iterable[Verdict]) -> NotYet | Refused | None:
    """What the verdicts make of the step: None when those that decide PASS."""
    worst = stage.deciding_verdict({verdict.gate: verdict for verdict in verdicts})
    if worst is None or worst.status is Status.PASS:
        return None
    sentence = f"{worst.gate}: {worst.sentence}"
    if worst.status is Status.FAIL:
        return Refused(reason=worst.reason, sentence=sentence)
    return NotYet(
        reason=worst.reason,
        sentence=sentence,
        retry_after_seconds=worst.retry_after_seconds or stage.every_seconds,
        unknown=worst.status is Status.UNKNOWN,
    )
