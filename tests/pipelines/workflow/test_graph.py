"""The graph of a tier: its order is the plan's, and nothing in it can wait for what never comes.

Covered: the sample's ladder, a first version's way, every kind of tier by properties, names that third
parties' gates may take. Left out: what Argo makes of it (test_templates).
"""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from pipelines.spec.types import Tier
from pipelines.strategy import stages
from pipelines.workflow import depends
from pipelines.workflow.graph import Task, gate_task, tasks, template_of
from tests.pipelines.workflow.tiers import tier, tiers


def named(found: tuple[Task, ...]) -> dict[str, Task]:
    """By name."""
    return {task.name: task for task in found}


def needs(task: Task) -> set[str]:
    """The tasks its ``depends`` names."""
    return {ref.task for ref in depends.refs(depends.parse(task.depends))} if task.depends else set()


def reads(task: Task) -> set[str]:
    """The tasks whose outputs its ``when`` reads."""
    return set(re.findall(r"tasks\.([a-z0-9-]+)\.", task.when))


def surely_succeeded(task: Task, graph: dict[str, Task]) -> set[str]:
    """The tasks without whose success it is never looked at."""
    return _surely(depends.parse(task.depends), graph) if task.depends else set()


def _surely(condition: depends.Depends, graph: dict[str, Task]) -> set[str]:
    match condition:
        case depends.Both(every, parts):
            sides = [_surely(part, graph) for part in parts]
            return set.union(*sides) if every else set.intersection(*sides)
        case depends.Ref(task, "Succeeded"):
            return {task} | surely_succeeded(graph[task], graph)
        case depends.Ref(task, "Failed" | "Errored" | "Skipped"):  # looked at, at least
            return surely_succeeded(graph[task], graph)
    return set()


# ----------------------------------------------------------------------------- spelled out


def test_a_canary_climbs_as_its_plan_does_and_waits_without_a_pod() -> None:
    """Reviews, bakes and the approval are waits; the shares between them are pods that may write on main."""
    found = tasks(tier())

    assert [
        "start", "propose", "preview", "policy", "signature", "judge", "review",
        "merge", "shift-0", "shift-10", "bake-10", "shift-25", "bake-25", "shift-50", "bake-50",
        "approve", "approval", "shift-100",
        "first-approve", "first-approval", "first-merge", "first-shift-100",
        "bake-100", "finish", "roll-back", "outcome",
    ] == [task.name for task in found]  # fmt: skip
    assert {"review", "bake-10", "bake-25", "bake-50", "approval", "first-approval", "bake-100"} == {
        task.name for task in found if task.kind == "wait"
    }
    assert {"merge", "shift-0", "shift-10", "shift-25", "shift-50", "shift-100", "finish"} == {
        task.stage for task in found if task.kind == "main"
    }


def test_gates_are_asked_side_by_side_and_collected_whatever_they_say() -> None:
    """A gate that fails is shown on the pull request too, by what collects."""
    graph = named(tasks(tier()))

    assert graph["policy"].depends == graph["signature"].depends == "preview.Succeeded"
    assert "(policy.Succeeded || policy.Failed || policy.Errored)" in graph["judge"].depends
    assert "judge.Succeeded" == graph["review"].depends


def test_a_first_version_is_approved_before_it_is_merged_and_goes_to_100_at_once() -> None:
    """Which way is taken, propose says: until then another promotion may have ended."""
    graph = named(tasks(tier()))

    assert "'{{tasks.propose.outputs.parameters.first}}' == 'true'" in graph["first-approve"].when
    assert "'{{tasks.propose.outputs.parameters.first}}' == 'false'" in graph["merge"].when
    assert "first-approval.Succeeded" == graph["first-merge"].depends
    assert "shift-100.Succeeded || first-shift-100.Succeeded" == graph["bake-100"].depends


def test_a_pinned_version_waits_for_a_persons_word() -> None:
    """Before 100 %, also where it is the first."""
    found = tasks(tier("pinned", gates={"policy": {}}, approval=None, soak="0s"))

    assert ["cutover", "first-cutover"] == [task.name for task in found if task.stage == "shift-100"][::2]
    assert "cutover.Succeeded" == named(found)["shift-100"].depends


def test_whatever_goes_wrong_ends_in_roll_back_and_outcome() -> None:
    """Unless nothing was begun: then there is nothing to go back."""
    graph = named(tasks(tier()))

    for how in ("Failed", "Errored", "Skipped", "Omitted"):
        assert f"finish.{how}" in graph["roll-back"].depends
    for task in (graph["roll-back"], graph["outcome"]):
        assert task.depends.startswith("start.Succeeded && (")


def test_a_gate_of_a_third_party_takes_no_other_tasks_name() -> None:
    """Nor does an underscore, which Argo's names have not."""
    assert ["policy", "gate-review", "gate-shift-x", "drift-check"] == [
        gate_task(name) for name in ("policy", "review", "shift_x", "drift_check")
    ]
    assert "promote-regulated" == template_of("regulated")


# ------------------------------------------------------------------------------- any tier


@given(tiers(), st.booleans())
def test_the_order_is_the_plans(policy: Tier, preview: bool) -> None:
    """On either way: the stages of the tasks, in order, are those of the plan."""
    found = tasks(policy, preview=preview)
    runs = [task for task in found if task.kind in ("step", "main", "ask") or task.stage.startswith("bake-")]
    climbing = [task.stage for task in runs if not task.name.startswith("first-")]
    assert climbing == [stage.name for stage in stages(policy, first=False, preview=preview)]

    ends = runs.index(named(found)["merge"])
    straight = [task.stage for task in runs[:ends]]
    straight += [task.stage for task in runs[ends:] if task.name.startswith("first-")]
    behind = climbing[climbing.index("shift-100") + 1 :]
    assert straight + behind == [stage.name for stage in stages(policy, first=True, preview=preview)]


@given(tiers(), st.booleans())
def test_nothing_refers_to_what_is_not_there_or_may_be_left_out(policy: Tier, preview: bool) -> None:
    """Names are unique, ``depends`` looks back alone, and ``when`` reads nothing but what has succeeded."""
    found = tasks(policy, preview=preview)
    graph = named(found)
    assert len(graph) == len(found)
    for n, task in enumerate(found):
        before = {other.name for other in found[:n]}
        assert needs(task) <= before
        for read in reads(task):
            assert read in surely_succeeded(task, graph), f"{task.name} waits for ever without {read}"


@given(tiers())
def test_behind_every_wait_is_a_task_that_asks_for_its_answer(policy: Tier) -> None:
    """And whatever it depends on, only the word go lets it start."""
    found = tasks(policy)
    for wait in (task for task in found if task.kind == "wait"):
        behind = [task for task in found if wait.name in needs(task)]
        assert behind
        for task in behind:
            assert f"'{{{{tasks.{wait.name}.outputs.parameters.answer}}}}' == 'go'" in task.when
