"""A run as lines of text: a tree of nodes, each with how it went."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.workflow.running.engine import Run
from pipelines.workflow.running.nodes import Node, Phase

MARKS: dict[Phase, str] = {
    "Pending": "·",
    "Running": "→",
    "Succeeded": "✔",
    "Skipped": "○",
    "Omitted": "○",
    "Failed": "✖",
    "Error": "⚠",
}


def tree(run: Run) -> Iterator[str]:
    """The nodes, those inside a DAG or steps below it, the tries of a node below that node."""
    inside: dict[str, list[Node]] = {}
    for node in run.nodes.values():
        inside.setdefault(_parent(node, run), []).append(node)
    for top in inside.get("", []):
        yield line(top)
        yield from _below(top, inside, "")


def _parent(node: Node, run: Run) -> str:
    """Id of the node that one is drawn below."""
    name = node.name
    if node.retried:
        name = name[: name.rindex("(")]
    elif node.kind != "StepGroup" and node.boundary:
        group = next((one for one in run.nodes.values() if node.id in one.children), None)
        if group is not None and group.kind in ("StepGroup", "TaskGroup"):
            return group.id
        return node.boundary
    return node.boundary if name == node.name else run.nodes[name].id


def _below(node: Node, inside: dict[str, list[Node]], indent: str) -> Iterator[str]:
    below = inside.get(node.id, [])
    if len(below) == 1 and below[0].retried:
        below = inside.get(below[0].id, [])  # one try says no more than its node
    for at, one in enumerate(below):
        last = at == len(below) - 1
        yield f"{indent}{'└─' if last else '├─'} {line(one)}"
        yield from _below(one, inside, indent + ("   " if last else "│  "))


def line(node: Node) -> str:
    """One node: a mark, its name, its phase in words, its outputs and its message."""
    told = [f"{one.name}={one.value}" for one in node.outputs if one.value is not None]
    seconds = (node.finished_at - node.started_at).total_seconds() if node.finished_at else 0.0
    taken = f"{seconds:.1f} s" if node.kind in ("Pod", "Retry") and node.finished_at else ""
    more = ", ".join(part for part in (taken, *told, node.message) if part)
    return f"{MARKS[node.phase]} {node.display_name} {node.phase}{f': {more}' if more else ''}"
