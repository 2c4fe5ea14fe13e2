"""Containers as processes of this machine: their words, their variables, and folders for their volumes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.rehearsal.argo.cluster import Ended, Pod
from pipelines.rehearsal.processes import Child, Processes
from pipelines.workflow.running import Launch


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A container with its paths as they are on this machine."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    outputs: Mapping[str, Path]
    """Output parameter -> the file it is read from."""

    def read(self) -> dict[str, str]:
        """What stands in the files that are there."""
        found = {name: path for name, path in self.outputs.items() if path.is_file()}
        return {name: path.read_text("utf-8", errors="replace") for name, path in found.items()}


def placed(launch: Launch, folder: Path) -> Placed:
    """The container with each of its scratch volumes put into a folder below this one."""
    homes = {path: folder / path.strip("/").replace("/", "_") for path in launch.scratch}
    for home in homes.values():
        home.mkdir(parents=True, exist_ok=True)

    def moved(text: str) -> str:
        for path, home in homes.items():
            if text == path or text.startswith(f"{path}/"):
                return f"{home}{text[len(path) :]}"
        return text

    return Placed(
        command=tuple(moved(word) for word in launch.command),
        environment={name: moved(value) for name, value in launch.env},
        outputs={name: Path(moved(path)) for name, path in launch.outputs},
    )


class _Process:
    def __init__(self, child: Child, container: Placed) -> None:
        self._child = child
        self._container = container
        self._ended = False

    def poll(self) -> Ended | None:
        code = self._child.exit_code
        if code is None:
            return None
        self._child.stop()
        if self._ended:
            return Ended(exit_code=None)
        message = "" if code == 0 else self._child.last_line()
        return Ended(exit_code=code, outputs=self._container.read(), message=message)

    def end(self) -> None:
        self._ended = True
        self._child.stop()


class ProcessPods:
    """Runs each container's command as a process, never through a shell; the image is not looked at."""

    def __init__(
        self, processes: Processes, environment: Mapping[str, str], programs: Mapping[str, Sequence[str]]
    ) -> None:
        """``programs`` says what stands for the first word of a command, such as ``lockgate``."""
        self._processes = processes
        self._environment = environment
        self._programs = programs

    def start(self, launch: Launch, folder: Path) -> Pod:
        """Start one."""
        container = placed(launch, folder)
        program, *words = container.command
        command = [*self._programs.get(program, (program,)), *words]
        variables = {"PATH": os.environ.get("PATH", ""), **self._environment, **container.environment}
        return _Process(self._processes.start(launch.node, command, environment=variables), container)
