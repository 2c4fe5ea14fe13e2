"""Ask the gates of the preview, and show each verdict on the very commit it judged.

All at once, or each by a driver of its own, side by side: then :func:`run` collects what they said.

Found again by: the verdicts in the journal; commit statuses and the comment are simply written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from gates.contract import Question, Status, Verdict
from pipelines.render import render, verdict_table
from pipelines.steps.contract import Context, Done, Outcome, Refused
from pipelines.steps.judging import ask, outcome, question
from pipelines.steps.serving import differing, look, manifests

StatusState = Literal["success", "pending", "failure", "error"]
STATES: Mapping[Status, StatusState] = {
    Status.PASS: "success",
    Status.WAIT: "pending",
    Status.UNKNOWN: "error",
    Status.FAIL: "failure",
}
MARKER = "lockgate-verdicts"


def run(context: Context) -> Outcome:
    """Judge the pull request's head."""
    asked = _question(context)
    if isinstance(asked, Refused):
        return asked
    verdicts = ask(context, context.stage, asked, again=False)
    publish(context, asked.subject.commit, verdicts)
    return outcome(context.stage, verdicts) or Done(
        sentence=f"{len(verdicts)} gates pass on {asked.subject.commit[:12]}"
    )


def run_gate(context: Context, gate: str) -> Outcome:
    """Ask one gate about the pull request's head; the others may be asked meanwhile, by others."""
    asked = _question(context)
    if isinstance(asked, Refused):
        return asked
    (verdict,) = ask(context, context.stage, asked, again=False, gates=(gate,))
    _show(context, asked.subject.commit, verdict)
    alone = outcome(context.stage, (verdict,)) if gate in context.stage.required else None
    return alone or Done(sentence=f"{gate}: {verdict.sentence}")


def _question(context: Context) -> Question | Refused:
    """What is asked about the head; refused when it does not say what was asked for."""
    proposed = context.state.proposed
    assert proposed is not None  # noqa: S101 - the plan puts propose before judge
    previewed = context.state.previewed
    candidate = (
        context.arm("candidate", previewed.revision, previewed.url) if previewed else context.arm("candidate")
    )
    assert candidate is not None  # noqa: S101 - a promotion always has a candidate
    environment = context.state.started.environment
    files = manifests(context, environment, proposed.head_sha)
    wanted = render(context.release, environment, context.environment, context.serves(context.first_share))
    if others := differing(wanted, files):
        return Refused(
            reason="head_differs", sentence=f"the pull request does not say what was asked for in {others}"
        )
    return question(
        context,
        context.stage,
        commit=proposed.head_sha,
        files=files,
        candidate=candidate,
        stable=context.arm("stable", url=_live_url(context)),
        since=context.now,
    )


def _live_url(context: Context) -> str:
    if context.stable is None:
        return ""
    return look(context, context.world.deployer, context.environment).url


def publish(context: Context, sha: str, verdicts: Iterable[Verdict]) -> None:
    """Write one commit status per gate, one for all, and the comment with the table."""
    verdicts = tuple(verdicts)
    proposed = context.state.proposed
    assert proposed is not None  # noqa: S101 - publish is called past propose
    forge = context.world.forge
    for verdict in verdicts:
        _show(context, sha, verdict)
    made = context.stage.status({verdict.gate: verdict.status for verdict in verdicts})
    passed = sum(verdict.status is Status.PASS for verdict in verdicts)
    forge.set_status(
        sha,
        name="lockgate/gates",
        state=STATES[made],
        sentence=f"{passed} of {len(verdicts)} gates pass",
        url=proposed.url,
    )
    forge.comment(proposed.pull_request, marker=MARKER, body=verdict_table(verdicts))


def _show(context: Context, sha: str, verdict: Verdict) -> None:
    """Write one gate's commit status."""
    proposed = context.state.proposed
    context.world.forge.set_status(
        sha,
        name=f"lockgate/{verdict.gate}",
        state=STATES[verdict.status],
        sentence=verdict.sentence,
        url=proposed.url if proposed else "",
    )
