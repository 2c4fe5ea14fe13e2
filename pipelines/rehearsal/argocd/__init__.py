"""Argo CD's API subset on loopback: applies one commit's manifests to the rehearsal's KServe.

Calls, refusals and traps are those a real 3.2.11 showed. Three roles: ``admin``, ``promoter`` (get and
sync) and ``viewer`` (get).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipelines.rehearsal.argocd.application import Application, Window
from pipelines.rehearsal.argocd.facade import Facade
from pipelines.rehearsal.argocd.routes import Routes
from pipelines.rehearsal.argocd.source import Source
from pipelines.rehearsal.kserve import KServe
from pipelines.rehearsal.server import LoopbackServer

__all__ = ["ArgoCd", "Window"]


class ArgoCd(LoopbackServer):
    """One Argo CD over one repository and one cluster."""

    def __init__(
        self,
        kserve: KServe,
        *,
        git_url: str,
        git_token: str,
        tokens: Mapping[str, str],
        folder: Path,
        port: int = 0,
        delay_seconds: float = 0.03,
        orphan_seconds: float = 15.0,
    ) -> None:
        """``tokens`` maps role to bearer token; ``folder`` holds the git cache and what was applied.

        A world started again on the same folder applies it again. As on a real rebuilt cluster, a split
        that was under way then starts from nothing: the newest version gets everything.

        Raises:
            ValueError: a role that is none of admin, promoter, viewer.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.facade = Facade(
            kserve,
            Source(git_url, git_token, folder),
            folder,
            delay_seconds=delay_seconds,
            orphan_seconds=orphan_seconds,
        )
        self._git_url = git_url
        super().__init__(Routes(self.facade, tokens).flask(), port=port)

    def add_application(self, name: str, project: str, path: str, namespace_default: str) -> None:
        """Watch a folder of the repository's main branch, recursively, with auto-sync off."""
        self.facade.add(
            Application(
                name=name, project=project, path=path, namespace=namespace_default, repo_url=self._git_url
            )
        )

    def set_windows(self, name: str, *windows: Window) -> None:
        """Replace an application's sync windows; none lifts them."""
        self.facade.configure(name, windows=windows)

    def set_auto_sync(self, name: str, on: bool) -> None:
        """Switch automated sync."""
        self.facade.configure(name, auto_sync=on)

    def stop(self) -> None:
        """Stop serving, after letting a running operation end."""
        super().stop()
        self.facade.wait()
