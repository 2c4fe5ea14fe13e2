"""What an Argo Workflows server answers to what lockgate asks of it, as lines: of a real one, and of ours.

``tests/golden/argo/observed.txt`` holds the lines of a real Argo 4.0.2; ``tests/live`` asks one again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines.clients.argo_workflows import ArgoWorkflows
from pipelines.errors import CouldNotTell, LockgateError
from pipelines.ports import Workflow, WorkflowNode
from tests.argos import PROMOTION

OBSERVED = Path(__file__).parent / "golden" / "argo" / "observed.txt"
VALUES = {"model": "fraud-scorer", "environment": "no-such", "requested-by": "dana", "reason": "a=b, {{c}} '"}
ByHand = Callable[..., int]
"""(method, path, **body) -> HTTP status: what a person's curl asks for."""


def lines(argo: ArgoWorkflows, stranger: ArgoWorkflows, by_hand: ByHand, namespace: str) -> Iterator[str]:
    """Everything that was asked, and what came of it; leaves no workflow behind.

    Args:
        argo: a client that may do everything in the namespace.
        stranger: one whose token is none.
        by_hand: sends a request of a person's own.
        namespace: where the graph of ``tests.argos`` is applied.
    """
    at = f"workflows/{namespace}"
    yield f"start: {_started(argo, 'one')}"
    yield f"start under a name that is taken: {_started(argo, 'one')}"
    yield f"start from no template: {_error(lambda: argo.submit('promote-none', VALUES, prefix='x-'))}"
    yield f"list without a token: {_error(stranger.alive)}"
    one = _waits(argo, "one")
    yield f"it waits: {_shown(one)}, promotion {'said' if one.promotion == PROMOTION else 'not said'}"
    yield f"listed: {[found.name for found in argo.alive()]}"
    yield f"tell: {argo.tell('one', _node(one).id, '20 s more')}, {_shown(_look(argo, 'one'))}"
    yield f"answer go: {argo.answer('one', _node(one).id, 'go', 'on it goes')}"
    yield f"then: {_ended(argo, 'one')}"
    yield f"answer again: {argo.answer('one', _node(one).id, 'stop', 'late')}"
    yield f"tell again: {argo.tell('one', _node(one).id, 'late')}"
    yield f"terminate what has ended: {argo.terminate('one')}"

    two = _begun(argo, "two")
    set_by_hand = {"nodeFieldSelector": f"id={_node(two).id}", "outputParameters": '{"answer": "stop"}'}
    yield f"set by hand: {by_hand('PUT', f'{at}/two/set', **set_by_hand)}, {_shown(_look(argo, 'two'))}"
    yield f"set by hand again: {by_hand('PUT', f'{at}/two/set', **set_by_hand)}"
    yield f"answer go to what was set: {argo.answer('two', _node(two).id, 'go', 'on it goes')}"
    yield f"then: {_ended(argo, 'two')}"

    _begun(argo, "three")
    resumed = by_hand("PUT", f"{at}/three/resume", nodeFieldSelector="displayName=bake-10")
    time.sleep(2.0)
    three = _look(argo, "three")
    yield f"resume by its name: {resumed}, {_shown(three)}, stuck {_node(three).stuck}, {three.phase}"
    _begun(argo, "four")
    yield f"resume all: {by_hand('PUT', f'{at}/four/resume')}"
    yield f"then: {_ended(argo, 'four')}"
    _begun(argo, "five")
    yield f"terminate twice: {argo.terminate('five')}, {argo.terminate('five')}"
    yield f"then: {_ended(argo, 'five').partition(', {')[0]}"
    names = ("one", "two", "three", "four", "five")
    yield f"delete twice: {[argo.delete(name) for name in (*names, *names)]}"
    yield f"look for what is gone: {argo.look('one')}"
    yield f"an event that nothing is bound to: {by_hand('POST', f'events/{namespace}/nothing')}"


def _started(argo: ArgoWorkflows, name: str) -> str:
    found = argo.submit("promote-regulated", VALUES, name=name)
    return "nothing" if found is None else f"{found.name}, phase {found.phase!r}, alive {found.alive}"


def _error(act: Callable[[], object]) -> str:
    try:
        act()
    except LockgateError as error:
        about = str(error) if not isinstance(error, CouldNotTell) else ""
        return f"{type(error).__name__} {about.rpartition(': ')[2]}".strip()
    return "no error"


def _look(argo: ArgoWorkflows, name: str) -> Workflow:
    found = argo.look(name)
    assert found is not None
    return found


def _until(argo: ArgoWorkflows, name: str, so: Callable[[Workflow], bool]) -> Workflow:
    for _ in range(600):
        found = _look(argo, name)
        if so(found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"{name} is not as asked within a minute: {found}")


def _waits(argo: ArgoWorkflows, name: str) -> Workflow:
    return _until(argo, name, lambda found: any(node.waits for node in found.nodes))


def _begun(argo: ArgoWorkflows, name: str) -> Workflow:
    assert argo.submit("promote-regulated", VALUES, name=name) is not None
    return _waits(argo, name)


def _node(workflow: Workflow) -> WorkflowNode:
    return next(node for node in workflow.nodes if node.task == "bake-10")


def _shown(workflow: Workflow) -> str:
    node = _node(workflow)
    message = "resumed by somebody" if node.message.startswith("Resumed by: ") else node.message
    return f"{node.kind} {node.stage} {node.phase} {node.answer} ({message})"


def _ended(argo: ArgoWorkflows, name: str) -> str:
    found = _until(argo, name, lambda workflow: not workflow.alive)
    rest = {
        node.task: node.phase for node in found.nodes if node.task in ("shift-100", "finish", "roll-back")
    }
    return f"{found.phase} ({found.message}), {_shown(found)}, {dict(sorted(rest.items()))}"
