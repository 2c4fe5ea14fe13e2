"""Child processes that never outlive us, however we end.

A folder holds a list of the children (``processes.json``) and their logs. Beside us runs one small watcher
that reads a pipe of ours: when the pipe closes, because we stopped, were killed with SIGKILL or lost our
terminal, it ends whatever the list still names. A later start in the same folder does the same first, should
the watcher have been killed too. (Linux's parent-death signal is no use here: it fires when the *thread* that
started the child ends, and children are started from the threads of loopback servers.)

A process is ended only while its start time and its command line are those written down: process ids
are used again, and nothing is ended that we did not start.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import psutil  # type: ignore[import-untyped,unused-ignore]

from pipelines.errors import InvalidInput, Problem, Unreachable

T = TypeVar("T")

_LIST = "processes.json"
_GRACE_SECONDS = 3.0
"""Between asking a process to end and killing it."""


def free_port() -> int:
    """A port of 127.0.0.1 that is free now; somebody else may take it before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(what: str, look: Callable[[], T | None], *, seconds: float, every_seconds: float = 0.02) -> T:
    """The first answer of ``look`` that is neither None nor false.

    Raises:
        Unreachable: there was none in this many seconds; ``what`` names what was waited for.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() >= deadline:
            raise Unreachable("rehearsal", f"{what}: not within {seconds:g} s")
        time.sleep(every_seconds)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one process from a later one with the same id."""

    pid: int
    started: float
    """Seconds since the epoch, as the system reports it."""
    command: tuple[str, ...]

    @classmethod
    def of(cls, pid: int) -> Identity:
        """The identity of a running process; one that has ended already gets one that fits nothing.

        A process that was started this instant has no command line yet: it is waited for, a second at most.
        """
        deadline = time.monotonic() + 1.0
        try:
            process = psutil.Process(pid)
            while not (command := process.cmdline()) and time.monotonic() < deadline:
                if process.status() == psutil.STATUS_ZOMBIE:
                    break
                time.sleep(0.001)
            return cls(pid, process.create_time(), tuple(command))
        except psutil.Error:
            return cls(pid, 0.0, ())

    def find(self) -> psutil.Process | None:
        """The process, if it still runs and is this one."""
        try:
            process = psutil.Process(self.pid)
            same = (
                abs(process.create_time() - self.started) < 1.0 and tuple(process.cmdline()) == self.command
            )
        except psutil.Error:
            return None
        return process if same and self.command else None


@dataclass(frozen=True, slots=True)
class _Listed:
    owner: Identity
    children: dict[str, Identity]

    @classmethod
    def read(cls, folder: Path) -> _Listed | None:
        """What the list says; None where there is none, or none that can be read."""
        try:
            stored = json.loads((folder / _LIST).read_text(encoding="utf-8"))
            children = {name: _identity(entry) for name, entry in stored["children"].items()}
            return cls(_identity(stored["owner"]), children)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        children = {name: asdict(entry) for name, entry in self.children.items()}
        write_whole(folder / _LIST, json.dumps({"owner": asdict(self.owner), "children": children}))


def _identity(entry: Mapping[str, object]) -> Identity:
    pid, started, command = entry["pid"], entry["started"], entry["command"]
    if not isinstance(pid, int) or not isinstance(started, int | float) or not isinstance(command, list):
        raise TypeError("not an identity")
    return Identity(pid, float(started), tuple(str(word) for word in command))


def _end(identities: Sequence[Identity]) -> list[int]:
    """End these processes, by force after a grace; returns the ids of those that still ran."""
    found = [process for identity in identities if (process := identity.find())]
    for process in found:
        _ignoring_gone(process.terminate)
    _, stubborn = psutil.wait_procs(found, timeout=_GRACE_SECONDS)
    for process in stubborn:
        _ignoring_gone(process.kill)
    psutil.wait_procs(stubborn, timeout=_GRACE_SECONDS)
    return [process.pid for process in found]


def _ignoring_gone(act: Callable[[], object]) -> None:
    try:
        act()
    except psutil.NoSuchProcess:
        return


def end_leftovers(folder: Path) -> list[int]:
    """End what a crashed owner of this folder left running; returns the process ids ended.

    Raises:
        InvalidInput: the owner is alive: two worlds cannot share a folder.
    """
    listed = _Listed.read(folder)
    if listed is None:
        return []
    if listed.owner.pid != os.getpid() and listed.owner.find():
        raise InvalidInput(
            [Problem(str(folder), 0, "", f"process {listed.owner.pid} uses this folder now", "stop it first")]
        )
    return _end(list(listed.children.values()))


class Child:
    """One child process and its log."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], log: Path, forget: Callable[[str], None]
    ) -> None:
        self.name = name
        self.pid = process.pid
        self.log = log
        self._process = process
        self._forget = forget
        self._lock = threading.Lock()

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        with self._lock:
            return self._process.poll()

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.exit_code is None

    @property
    def memory_mib(self) -> float:
        """Resident memory now, in MiB; 0 once it has ended."""
        try:
            return float(psutil.Process(self.pid).memory_info().rss) / 2**20
        except psutil.Error:
            return 0.0

    def last_line(self) -> str:
        """The last line it wrote, "" when it wrote nothing."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def stop(self) -> None:
        """Ask it to end, kill it after three seconds; already ended is fine."""
        with self._lock:
            if self._process.poll() is None:
                self._process.terminate()
                try:
                    self._process.wait(_GRACE_SECONDS)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait(_GRACE_SECONDS)
        self._forget(self.name)


class Processes:
    """The children of one world, listed in ``folder``; a context manager that ends them all.

    Starting ends first what a crashed world left in the folder.

    Raises:
        InvalidInput: another living process uses the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ended_leftovers = end_leftovers(self.folder)
        self._children: dict[str, Child] = {}
        self._listed = _Listed(Identity.of(os.getpid()), {})
        self._listed.write(self.folder)
        self._lock = threading.RLock()
        self._watcher = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=_ROOT,
            start_new_session=True,
        )

    def start(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> Child:
        """Start a child; its output goes to ``logs/<name>.log``, appended.

        It gets our environment with ``environment`` laid over it, and does not see the terminal's Ctrl-C.
        A child that bears the name already is ended first.
        """
        with self._lock:
            former = self._children.get(name)
            if former:
                former.stop()
            log = self.folder / "logs" / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}.log"
            log.parent.mkdir(exist_ok=True)
            with log.open("ab") as output:
                process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=_ROOT,
                    env={**os.environ, **(environment or {})},
                    start_new_session=True,
                )
            self._listed.children[name] = Identity.of(process.pid)
            self._listed.write(self.folder)
            child = self._children[name] = Child(name, process, log, self._drop)
            return child

    def _drop(self, name: str) -> None:
        with self._lock:
            self._children.pop(name, None)
            if self._listed.children.pop(name, None):
                self._listed.write(self.folder)

    def stop(self) -> None:
        """End all children, the newest first, and the watcher. Twice is fine."""
        with self._lock:
            children = list(self._children.values())
        for child in reversed(children):
            child.stop()
        if self._watcher.stdin:
            self._watcher.stdin.close()
        self._watcher.wait(_GRACE_SECONDS * 3)

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


_ROOT = Path(__file__).parents[2]
"""Where ``python -m pipelines.…`` finds this package, whatever folder we were started from."""


def _watch(folder: Path) -> None:
    """Wait for our parent to end, then end the children its list still names."""
    listed = _Listed.read(folder)
    sys.stdin.buffer.read()
    left = _Listed.read(folder)
    if listed and left and left.owner == listed.owner:  # else a newer world has the folder already
        _end(list(left.children.values()))


if __name__ == "__main__":
    _watch(Path(sys.argv[1]))
