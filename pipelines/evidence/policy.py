"""A promotion against the policy pack of its tier: what is missing, and whose roles fall together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from gates.contract import Status, Verdict
from pipelines.journal.state import State, verdicts_of
from pipelines.reports.story import approver_rows
from pipelines.spec.packs import Pack, RequiredVerdict
from pipelines.spec.types import Risk


def missing(pack: Pack, risk: Risk | None, state: State, *, before: str = "") -> tuple[str, ...]:
    """Every item of the pack that the evidence does not hold, in words.

    Args:
        pack: what the tier asks for.
        risk: what release.yaml says.
        state: the fold of the journal.
        before: only gates that are asked before this stage count as missing; "" for all.
    """
    return (*pack.unsaid(risk), *_verdicts_missing(pack, state, before))


def _verdicts_missing(pack: Pack, state: State, before: str) -> Iterator[str]:
    stages = state.plan.before(before) if before else state.plan.stages
    later = {gate for stage in state.plan.stages if stage not in stages for gate in stage.gates}
    for wanted in pack.verdicts:
        asked = [stage.name for stage in stages if wanted.gate in stage.required]
        if not asked and wanted.gate in later:
            continue  # a first version meets live requests only after it was approved
        said = [verdicts_of(state, name).get(wanted.gate) for name in asked]
        if not any(verdict is not None and _holds(wanted, verdict) for verdict in said):
            yield f"a PASS of the gate {wanted.gate}{_with(wanted)} ({wanted.why})"


def _holds(wanted: RequiredVerdict, verdict: Verdict) -> bool:
    bounded = any(one.low is not None or one.high is not None for one in verdict.evidence.measurements)
    facts = all(verdict.evidence.facts.get(name) for name in wanted.facts)
    return verdict.status is Status.PASS and facts and (bounded or not wanted.intervals)


def _with(wanted: RequiredVerdict) -> str:
    parts = [*wanted.facts, *(["bounds of a number"] if wanted.intervals else [])]
    return f" with {' and '.join(parts)}" if parts else ""


def alike(
    pack: Pack, risk: Risk | None, approvers: Iterable[str], same_person: Sequence[Sequence[str]] = ()
) -> str:
    """Which two roles one person has although the pack wants them apart; "" when none.

    Args:
        pack: what the tier asks for.
        risk: what release.yaml says.
        approvers: accounts that approved the change.
        same_person: accounts that belong to one person, as the approval gate is told.
    """
    held = {
        "developer": {risk.developer} if risk and risk.developer else set(),
        "validator": {risk.validator} if risk and risk.validator else set(),
        "approver": set(approvers),
    }
    for first, second in combinations(pack.distinct, 2):
        for one in sorted(held[first]):
            for other in sorted(held[second]):
                if _person(one, same_person) & _person(other, same_person):
                    return f"{one} is {first} and {other} is {second}: one person, who must be two"
    return ""


def _person(account: str, same_person: Sequence[Sequence[str]]) -> set[str]:
    groups = [{one.casefold() for one in group} for group in same_person]
    return {account.casefold()}.union(*(group for group in groups if account.casefold() in group))


def approvers(verdicts: Iterable[Verdict]) -> tuple[str, ...]:
    """The accounts that approved, as the approval gate recorded them."""
    rows = (row for verdict in verdicts for row in approver_rows(verdict.evidence.facts))
    approved = (row for row in rows if str(row.get("state")).strip().lower() == "approved")
    return tuple(dict.fromkeys(str(row.get("approver", "")) for row in approved))
