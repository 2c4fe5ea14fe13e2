"""Containers as processes of this machine: their words as they are, folders of their own, no image, no shell.

A path that a pod would have to itself (an emptyDir, a file an output is read from) lies in a scratch folder
here; where such a path stands in a command or a variable, it is replaced by its place in that folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.workflow.running.launching import mounts_of
from pipelines.workflow.running.nodes import Launch
from pipelines.workflow.running.spec import Template, Workflow, reached

END_SECONDS = 10.0
"""How long a process that is to end may take, before it is killed."""
MESSAGE_CHARACTERS, LOG_CHARACTERS, LOG_LINES = 4096, 2048, 80
"""What Kubernetes keeps of a container's last words, and of its output in their place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where containers run."""

    folder: Path
    """Scratch; a folder for each container is made in it."""
    environment: Mapping[str, str]
    """What every process inherits; a template's own variables go over it."""
    programs: Mapping[str, str]
    """Words that stand for another program: ``lockgate`` for the one of a virtual environment."""

    def program(self, word: str) -> str | None:
        """The program for the first word of a command; None when this machine has none."""
        return shutil.which(self.programs.get(word, word), path=self.environment.get("PATH"))


class Process:
    """One container as a process."""

    def __init__(self, launch: Launch, machine: Machine) -> None:
        """Start it.

        Raises:
            OSError: it cannot be started.
        """
        self.launch = launch
        self.root = machine.folder / f"{len(list(machine.folder.iterdir())):03}-{_safe(launch.display_name)}"
        self.root.mkdir(parents=True)
        files = [launch.message_path, *(path for _, path in launch.outputs)]
        own = [*launch.scratch, *files]
        for path in launch.scratch:
            self._place(path).mkdir(parents=True, exist_ok=True)
        for path in files:
            self._place(path).parent.mkdir(parents=True, exist_ok=True)
        words = [moved(word, own, self.root) for word in launch.command]
        words[0] = machine.program(launch.command[0]) or words[0]
        variables = {name: moved(value, own, self.root) for name, value in launch.env}
        where = self._place(launch.working_dir) if launch.working_dir else self.root
        where.mkdir(parents=True, exist_ok=True)
        self.log = self.root / "output.txt"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                words, cwd=where, env={**machine.environment, **variables}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def _place(self, path: str) -> Path:
        """Where a path of the pod lies here."""
        return self.root / path.lstrip("/")

    def exit_code(self) -> int | None:
        """Its exit code, as a container gives it; None while it runs."""
        code = self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def outputs(self) -> dict[str, str]:
        """The output parameters that were written, by name."""
        found: dict[str, str] = {}
        for name, path in self.launch.outputs:
            place = self._place(path)
            if place.is_file():
                found[name] = place.read_text("utf-8", errors="replace")
        return found

    def message(self) -> str:
        """Its last words, cut as Kubernetes cuts them; for one that failed, else the end of its output."""
        place = self._place(self.launch.message_path)
        if place.is_file() and (
            said := place.read_text("utf-8", errors="replace")[:MESSAGE_CHARACTERS].strip()
        ):
            return said
        if not self.launch.message_from_logs or self.exit_code() == 0:
            return ""
        return "\n".join(self.output()[-LOG_LINES:])[-LOG_CHARACTERS:].strip()

    def output(self) -> list[str]:
        """The lines it wrote."""
        return self.log.read_text("utf-8", errors="replace").splitlines()

    def end(self) -> None:
        """End it and all it started: asked first, killed if that does not help."""
        for number in (signal.SIGTERM, signal.SIGKILL):  # the second also for what outlived the first
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)


def _safe(name: str) -> str:
    return re.sub("[^A-Za-z0-9.-]+", "_", name)[:60]


def moved(text: str, paths: Sequence[str], root: Path) -> str:
    """A text in which every path of the pod, and what lies below it, stands below a root."""
    known = sorted({path for path in paths if path.strip("/")}, key=len, reverse=True)
    if not known:
        return text
    pattern = "|".join(re.escape(path) for path in known)
    return re.sub(rf"(?<![\w./-])({pattern})(?![\w.-])", lambda found: f"{root}{found[1]}", text)


def lacking(workflow: Workflow, machine: Machine) -> list[str]:
    """What containers of a workflow need and this machine does not have: programs, files, variables."""
    found = {what for template in reached(workflow) for what in _lacking(workflow, template, machine)}
    return sorted(found)


def _lacking(workflow: Workflow, template: Template, machine: Machine) -> Iterator[str]:
    if template.kind != "container":
        return
    container = template.body["container"]
    word = str((container.get("command") or [""])[0])
    if word and "{{" not in word and machine.program(word) is None:
        yield f"the program {word}, for {template.name}"
    for path, kind in mounts_of(container, template.body, workflow):
        if kind != "emptyDir" and not Path(path).exists():
            yield f"files at {path}, from a {kind}, for {template.name}"
    for one in container.get("env") or ():
        source = one.get("valueFrom")
        optional = source and any(isinstance(of, Mapping) and of.get("optional") for of in source.values())
        if source and not optional and one["name"] not in machine.environment:
            yield f"the variable {one['name']}, for {template.name}"
