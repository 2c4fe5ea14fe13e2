"""The model servers behind the rehearsal's KServe: one process per revision."""

from __future__ import annotations

import http.client
import re
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from pipelines.rehearsal.parts import Backend
from pipelines.rehearsal.processes import Child, Processes

_LEAN = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""One row needs no thread pool; each would cost memory in every server."""
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Running:
    child: Child
    address_file: Path


class ProcessBackends:
    """Model servers as processes of this machine, ended with the world.

    Satisfies :class:`pipelines.rehearsal.parts.Backends`. Without ``processes`` it keeps its own below
    ``folder``; call :meth:`close` at the end.
    """

    def __init__(self, folder: Path, processes: Processes | None = None) -> None:
        self._folder = folder.resolve()
        self._own = processes is None
        self._processes = processes or Processes(folder)
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()

    def start(self, key: str, *, model: str, uri: str) -> None:
        """Start the server of a revision; one that was started already is left as it is."""
        with self._lock:
            if key in self._running:
                return
            address_file = self._folder / "addresses" / re.sub(r"[^A-Za-z0-9_.-]", "_", key)
            address_file.unlink(missing_ok=True)
            command = [sys.executable, "-m", "pipelines.rehearsal.model_server", "--uri", uri]
            command += ["--model", model, "--address-file", str(address_file)]
            child = self._processes.start(key, command, environment=_LEAN)
            self._running[key] = _Running(child, address_file)

    def look(self, key: str) -> Backend:
        """How that server is now: asks its readiness endpoint, for a second at most."""
        running = self._running.get(key)
        if running is None:
            return Backend(state="failed", port=0, reason=f"{key} was never started")
        if not running.child.running:
            code, said = running.child.exit_code, running.child.last_line()
            return Backend(state="failed", port=0, reason=f"model server ended with exit code {code}: {said}")
        try:
            port = int(running.address_file.read_text(encoding="utf-8").rpartition(":")[2])
        except FileNotFoundError:
            return Backend(state="starting", port=0)
        return Backend(state="ready" if _ready(port) else "starting", port=port)

    def stop(self, key: str) -> None:
        """End a server; already ended, or never started, is fine."""
        with self._lock:
            running = self._running.pop(key, None)
        if running:
            running.child.stop()

    def memory_mib(self) -> dict[str, float]:
        """Resident memory of each running server, in MiB."""
        return {key: running.child.memory_mib for key, running in self._running.items()}

    def close(self) -> None:
        """End all of them."""
        for key in list(self._running):
            self.stop(key)
        if self._own:
            self._processes.stop()


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LOOK_SECONDS)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
