"""Runs workflows of containers as Argo 4.0 would, without a cluster.

``spec`` reads a workflow, ``engine`` says what is to be launched next and what has become of every node,
``retries`` and ``scope`` are parts of it; all of that is pure: instants are passed in, and whoever calls
launches containers and says how they ended. ``runner`` is such a caller: it runs their commands as
processes of this machine.
"""

from pipelines.workflow.running.engine import Run
from pipelines.workflow.running.nodes import Launch, Node
from pipelines.workflow.running.spec import BadWorkflow, Workflow, read_workflow, unsupported

__all__ = ["BadWorkflow", "Launch", "Node", "Run", "Workflow", "read_workflow", "unsupported"]
