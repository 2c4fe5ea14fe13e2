"""The Argo Workflows server, as those need it who drive promotions there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowNode:
    """One node of a workflow's graph, as its status shows it."""

    id: str
    task: str
    """The task's name in the graph, such as ``bake-10``; "" for the workflow itself."""
    stage: str
    """Its input ``stage``: the stage of the plan that it runs or waits in; "" where it has none."""
    kind: str
    """``Suspend``, ``Pod``, ``Retry``, ``DAG`` …"""
    phase: str
    """``Pending``, ``Running``, ``Succeeded``, ``Failed``, ``Error``, ``Skipped``, ``Omitted``; "" before."""
    message: str
    answer: str | None
    """What its output ``answer`` was given; None where it has none, or none was given."""
    unanswered: bool
    """It has such an output, and nothing was given."""

    @property
    def waits(self) -> bool:
        """It waits for an answer, without a pod."""
        return self.kind == "Suspend" and self.phase == "Running"

    @property
    def stuck(self) -> bool:
        """Somebody resumed it without an answer: what stands behind it never starts."""
        return self.kind == "Suspend" and self.phase == "Succeeded" and self.unanswered


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One workflow that moves a promotion, copied whole."""

    name: str
    template: str
    phase: str
    """``Running``, ``Succeeded``, ``Failed``, ``Error``; "" or ``Pending`` before it runs."""
    message: str
    created_at: datetime
    promotion: str
    """Id of the promotion it moves; "" before its first step said which."""
    url: str
    """Where people look at it."""
    nodes: tuple[WorkflowNode, ...] = ()

    @property
    def alive(self) -> bool:
        """It has not ended."""
        return self.phase in ("", "Pending", "Running")

    @property
    def rests(self) -> bool:
        """A task of it is asked again later, and until then no pod of it is there."""
        asked_again = any(node.kind == "Retry" and node.phase == "Running" for node in self.nodes)
        return asked_again and not any(
            node.kind == "Pod" and node.phase in ("", "Pending", "Running") for node in self.nodes
        )


def inert(text: str) -> str:
    """A text in which Argo finds nothing to fill in or evaluate, wherever it stands: no two braces open."""
    return re.sub(r"\{(?=\{)", "{ ", text)


class Workflows(Protocol):
    """The Argo Workflows server that promotions run on."""

    @property
    def calls(self) -> int:
        """Requests sent so far."""
        ...

    def alive(self) -> tuple[Workflow, ...]:
        """Every workflow that moves a promotion and has not ended, in one request; oldest first."""
        ...

    def look(self, name: str) -> Workflow | None:
        """One workflow; None when there is none of that name."""
        ...

    def submit(
        self, template: str, parameters: Mapping[str, str], *, name: str = "", prefix: str = ""
    ) -> Workflow | None:
        """Start one from a template, by this name or a new one that begins with ``prefix``.

        None: there is one of this name already, and nothing was started.

        Raises:
            Refused: the server does not take it, such as for a template that is not there.
        """
        ...

    def answer(self, workflow: str, node: str, answer: Literal["go", "stop"], message: str) -> bool:
        """Give a waiting node its answer, and let it go on; False when it waits no more.

        An answer that was given before stands: a node takes one.
        """
        ...

    def tell(self, workflow: str, node: str, message: str) -> bool:
        """Show a sentence at a waiting node; False when it waits no more."""
        ...

    def terminate(self, workflow: str) -> None:
        """End a workflow at once; already ended or gone is fine."""
        ...

    def delete(self, workflow: str) -> None:
        """Remove a workflow; already gone is fine."""
        ...
