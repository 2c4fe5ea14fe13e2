"""Containers as processes of this machine, for a cluster: what they run and write is as in `workflow run`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipelines.rehearsal.argo.cluster import Ended, Pod
from pipelines.workflow.running import Launch
from pipelines.workflow.running.processes import Machine, Process


class ProcessPods:
    """Runs each container's command as a process, never through a shell; the image is not looked at."""

    def __init__(self, environment: Mapping[str, str], programs: Mapping[str, str]) -> None:
        """``programs`` says which program stands for the first word of a command, such as ``lockgate``."""
        self._environment = environment
        self._programs = programs

    def start(self, launch: Launch, folder: Path) -> Pod:
        """Start one."""
        folder.mkdir(parents=True, exist_ok=True)
        machine = Machine(folder=folder, environment=self._environment, programs=self._programs)
        return _Started(Process(launch, machine))


class _Started:
    def __init__(self, process: Process) -> None:
        self._process = process
        self._deleted = False

    def poll(self) -> Ended | None:
        code = self._process.exit_code()
        if code is None:
            return None
        if self._deleted:
            return Ended(exit_code=None)
        said = self._process.output()
        message = said[-1] if code != 0 and said else ""
        return Ended(exit_code=code, outputs=self._process.outputs(), message=message)

    def end(self) -> None:
        self._deleted = True
        self._process.end()
