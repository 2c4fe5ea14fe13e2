"""The part of an Argo Workflows server that promotions need, on loopback, without a cluster.

``cluster`` keeps templates and workflows and moves them as Argo 4.0.2 was seen to, ``pods`` runs containers
as processes, ``routes`` is the HTTP API with Argo's own refusals.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipelines.rehearsal.argo.cluster import Cluster, Pods
from pipelines.rehearsal.argo.routes import Routes
from pipelines.rehearsal.server import LoopbackServer

__all__ = ["ArgoServer", "Cluster", "Pods"]


class ArgoServer(LoopbackServer):
    """One namespace of Argo Workflows on 127.0.0.1."""

    def __init__(
        self,
        folder: Path,
        *,
        pods: Pods,
        tokens: Mapping[str, str],
        namespace: str = "lockgate",
        path: str = "",
    ) -> None:
        """Serve.

        Args:
            folder: where the scratch folders of pods are kept.
            pods: what runs a container.
            tokens: account -> bearer token; ``reader`` may look, any other may do everything. One with an @
                is a person's who logged in, any other a service account.
            namespace: the only one there is.
            path: what the server is reached under, such as ``/argo``, where it shares a host name.
        """
        self.cluster = Cluster(folder, pods)
        self.path = path
        self.namespace = namespace
        super().__init__(Routes(self.cluster, tokens, namespace, path).flask())

    @property
    def address(self) -> str:
        """What platform.yaml's ``systems.workflows.url`` says."""
        return self.url + self.path

    def start(self) -> None:
        """Serve, and move workflows."""
        self.cluster.start()
        super().start()

    def stop(self) -> None:
        """Stop both; containers that still run are ended."""
        super().stop()
        self.cluster.stop()
