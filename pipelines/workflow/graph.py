"""The tasks that move one promotion of a tier, in their order and with what they depend on. Pure; no YAML.

One graph serves every promotion of a tier: of a first version, which is approved before the merge and goes
to 100 % at once, and of the versions after it, which climb the ladder. Which of both a promotion is, its
``propose`` says; the tasks of the other are left out. Each task is named after the stage of the plan that it
runs or waits in, with ``first-`` before it on a first version's way.

Two rules keep Argo from getting stuck, since a task that refers to the output of one that never ran waits
for ever: ``depends`` always says ``.Succeeded`` (a task that was left out is no go-ahead), and ``when``
reads outputs of such tasks alone as ``depends`` says have succeeded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from pipelines.spec.types import Tier
from pipelines.strategy import Stage, stages

Kind = Literal["start", "step", "main", "gate", "ask", "wait", "roll_back", "outcome"]
"""start, step, gate, ask (for the change): a pod. main: a pod whose step may write on main. wait: no pod, an
answer is supplied. roll_back, outcome: the pods at the end."""

MAIN = ("merge", "shift", "finish")
"""Steps that may write to the environment on main."""
BEGUN = "start.Succeeded"
_TAKEN = {"start", "propose", "preview", "judge", "review", "merge", "cutover", "approve", "approval"} | {
    "finish",
    "roll-back",
    "outcome",
}
GO, STOP = "go", "stop"
"""The answers of a task that waits; all but the first are a no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One node of the graph."""

    name: str
    kind: Kind
    stage: str = ""
    """The stage of the plan that it runs, or in which it waits; for a gate the stage that asks it."""
    gate: str = ""
    """The gate it asks."""
    depends: str = ""
    """In Argo's words: ``a.Succeeded && (b.Failed || b.Omitted)``."""
    when: str = ""
    """In Argo's words: else it is skipped."""


def template_of(tier: str) -> str:
    """The name of a tier's WorkflowTemplate."""
    return f"promote-{tier}"


def tasks(tier: Tier, *, preview: bool = True) -> tuple[Task, ...]:
    """The graph of a tier.

    Args:
        tier: the policy.
        preview: some environment has another that runs candidates without live traffic.
    """
    climb = list(stages(tier, first=False, preview=preview))
    merge = next(n for n, stage in enumerate(climb) if stage.step == "merge")
    before = _Way(behind=BEGUN)
    found = [Task(name="start", kind="start"), *before.run(climb[:merge])]
    found.append(Task(name="review", kind="wait", stage="merge", depends=before.behind))
    last = next(n for n, stage in enumerate(climb) if stage.name == "shift-100")
    ladder = _Way(behind="review.Succeeded", when=f"{_answered('review')} && {_first('false')}")
    found += ladder.run(climb[merge : last + 1])
    straight = _Way(behind="review.Succeeded", when=f"{_answered('review')} && {_first('true')}", first=True)
    found += straight.run(_first_version(tier))
    end = _Way(behind=f"{ladder.behind} || {straight.behind}")
    found += end.run(climb[last + 1 :])
    return (*found, *_ending())


def gate_task(gate: str) -> str:
    """The task of a gate: its name, unless a third party's has that of another task."""
    name = gate.replace("_", "-")
    taken = name in _TAKEN or name.startswith(("shift-", "bake-", "first-"))
    return f"gate-{name}" if taken else name


def _first_version(tier: Tier) -> Iterator[Stage]:
    """What a first version does instead of climbing: its approval, its merge, 100 %."""
    own = [stage for stage in stages(tier, first=True) if stage.step in ("approve", "merge", "shift")]
    yield from own


def _answered(task: str) -> str:
    return f"'{{{{tasks.{task}.outputs.parameters.answer}}}}' == '{GO}'"


def _first(value: str) -> str:
    return f"'{{{{tasks.propose.outputs.parameters.first}}}}' == '{value}'"


@dataclass(slots=True, kw_only=True)
class _Way:
    """Tasks one after the other; remembers what the next one depends on."""

    behind: str
    when: str = ""
    first: bool = False

    def run(self, planned: list[Stage] | Iterator[Stage]) -> Iterator[Task]:
        """The tasks of these stages."""
        for stage in planned:
            yield from self._stage(stage)

    def _stage(self, stage: Stage) -> Iterator[Task]:
        match stage.step:
            case "judge":
                yield from self._judge(stage)
            case "bake":
                yield self._wait(stage.name, stage)
            case "approve":
                yield self._next(Task(name=stage.name, kind="ask", stage=stage.name))
                yield self._wait("approval", stage)
            case _:
                if stage.manual:
                    yield self._wait("cutover", stage)
                kind: Kind = "main" if stage.step in MAIN else "step"
                yield self._next(Task(name=stage.name, kind=kind, stage=stage.name))

    def _judge(self, stage: Stage) -> Iterator[Task]:
        """Its gates side by side, then what collects their verdicts, whatever they are."""
        for gate in stage.gates:
            name = gate_task(gate)
            yield Task(name=name, kind="gate", stage=stage.name, gate=gate, depends=self.behind)
        names = (gate_task(gate) for gate in stage.gates)
        ended = (f"({name}.Succeeded || {name}.Failed || {name}.Errored)" for name in names)
        self.behind = " && ".join(ended) or self.behind
        yield self._next(Task(name=stage.name, kind="step", stage=stage.name))

    def _wait(self, name: str, stage: Stage) -> Task:
        task = self._next(Task(name=name, kind="wait", stage=stage.name))
        self.when = _answered(task.name)
        return task

    def _next(self, task: Task) -> Task:
        name = f"first-{task.name}" if self.first else task.name
        task = replace(task, name=name, depends=self.behind, when=self.when)
        self.behind, self.when = f"{name}.Succeeded", ""
        return task


def _ending() -> Iterator[Task]:
    """Whatever went wrong above ends in the first of these; how it ended, the second says."""
    went_wrong = " || ".join(f"finish.{how}" for how in ("Failed", "Errored", "Skipped", "Omitted"))
    yield Task(name="roll-back", kind="roll_back", depends=f"{BEGUN} && ({went_wrong})")
    ended = " || ".join(
        ("finish.Succeeded", *(f"roll-back.{how}" for how in ("Succeeded", "Failed", "Errored")))
    )
    yield Task(name="outcome", kind="outcome", depends=f"{BEGUN} && ({ended})")
