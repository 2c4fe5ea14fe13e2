"""Drives a run on this machine: starts what is ready, waits, asks people, until it has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from pipelines.workflow.running.engine import Run
from pipelines.workflow.running.nodes import Launch, Node
from pipelines.workflow.running.processes import Machine, Process

POLL_SECONDS = 0.05


class Clock(Protocol):
    """The time, and how to let it pass."""

    def now(self) -> datetime:
        """The present instant, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class NoAnswer(Exception):
    """A suspended node waits for somebody, and nobody can be asked."""

    def __init__(self, node: Node) -> None:
        self.node = node
        super().__init__(f"{node.display_name} waits for an answer")


Asked = Callable[[Node], Mapping[str, str] | None]
"""Asked about a suspended node: its outputs (empty for its defaults), or None when nobody answers yet."""
Told = Callable[[Node, list[str]], None]
"""Told of every node whose phase or message changed, with what its container wrote when it ended."""


class Runner:
    """One run on this machine."""

    def __init__(self, run: Run, machine: Machine, clock: Clock, ask: Asked, told: Told) -> None:
        self.run = run
        self._machine, self._clock = machine, clock
        self._ask, self._told = ask, told
        self._processes: dict[str, Process] = {}
        self._seen: dict[str, tuple[str, str]] = {}

    def go(self) -> None:
        """Run it to its end; every process has ended afterwards, however this is left.

        Raises:
            NoAnswer: nothing can go on until somebody answers, and nobody can be asked.
        """
        try:
            while self._step():
                self._tell()
                self._clock.sleep(POLL_SECONDS)
        finally:
            for process in self._processes.values():
                process.end()
        self._tell()

    def _step(self) -> bool:
        """Do what can be done now; whether to go on."""
        for launch in self.run.ready(self._clock.now()):
            self._start(launch)
        self._reap()
        if self.run.finished_at is None:
            self._answer()
        return self.run.finished_at is None and not self.run.is_stuck

    def _start(self, launch: Launch) -> None:
        try:
            self._processes[launch.node] = Process(launch, self._machine)
        except OSError as error:
            self.run.finished(launch.node, self._clock.now(), exit_code=None, message=str(error))

    def _reap(self) -> None:
        over = self.run.given_up()
        for node, process in list(self._processes.items()):
            code = process.exit_code()
            if code is None and node in over:
                process.end()
            elif code is None:
                continue
            del self._processes[node]
            outputs, message = process.outputs(), process.message()
            self.run.finished(node, self._clock.now(), exit_code=code, outputs=outputs, message=message)
            self._tell({node: process.output()})

    def _answer(self) -> None:
        for node in [node for node in self.run.nodes.values() if node.is_suspended]:
            values = self._ask(node)
            if values is None:
                if not self._processes and self.run.wakes_at is None:
                    raise NoAnswer(node)
                continue
            selector = {"id": node.id}
            defaults = {one.name: one.default for one in node.outputs if one.default is not None}
            given = {**defaults, **values}
            if given:
                self.run.set_output(selector, given, self._clock.now())
            self.run.resume(selector, self._clock.now())

    def _tell(self, written: Mapping[str, list[str]] | None = None) -> None:
        for node in list(self.run.nodes.values()):
            phase, message = self._seen.get(node.id, ("", ""))
            lines = (written or {}).get(node.id, [])
            self._seen[node.id] = (node.phase, node.message)
            if node.phase != phase or node.message not in ("", message) or lines:
                self._told(node, lines)
