"""A real Prometheus that scrapes every second, for as long as the rehearsal lasts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import requests

from pipelines.errors import InvalidInput, Problem, Unreachable
from pipelines.rehearsal.processes import Processes, free_port, wait_until, write_whole

_START_SECONDS = 30.0
_INSTALL_SECONDS = 600
_ATTEMPTS = 3
_HOW = (
    "install Prometheus so that `prometheus` is on PATH (https://prometheus.io/download), then run this again"
)


def ensure_prometheus() -> str:
    """Where the binary is: beside this Python, on PATH, from Debian's archive, or from Homebrew.

    From Debian's or Ubuntu's archive (as root, inside a virtual environment) apt fetches the package, and its
    binaries are laid into the environment's ``bin``: the system stays as it is, and no service starts.

    Raises:
        InvalidInput: it is nowhere and cannot be got; says how to get it (exit code 3).
    """
    found = find("prometheus")
    if not found and shutil.which("apt-get") and os.geteuid() == 0 and sys.prefix != sys.base_prefix:
        _unpack_from_apt(Path(sys.prefix) / "bin")
        found = find("prometheus")
    elif not found and shutil.which("brew"):
        _run(["brew", "install", "prometheus"], Path.cwd())
        found = find("prometheus")
    if not found:
        raise InvalidInput(
            [Problem("prometheus", 0, "", "is not on PATH and cannot be installed here", _HOW)]
        )
    return found


def find(name: str) -> str | None:
    """Where ``prometheus`` or ``promtool`` is: beside this Python or on PATH; None when it is in neither."""
    return shutil.which(name, path=str(Path(sys.prefix) / "bin")) or shutil.which(name)


def _unpack_from_apt(target: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _run(["apt-get", "update", "-qq"], folder)
        _run(["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", "prometheus"], folder)
        package = next(folder.glob("prometheus_*.deb"))
        _run(["dpkg-deb", "--extract", str(package), "unpacked"], folder)
        for binary in ("promtool", "prometheus"):
            shutil.copy2(folder / "unpacked" / "usr" / "bin" / binary, target / binary)


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InvalidInput([Problem("prometheus", 0, "", f"{' '.join(command)}: {error}", _HOW)]) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        message = f"`{' '.join(command)}` ended with exit code {done.returncode}: {' '.join(said)}"
        raise InvalidInput([Problem("prometheus", 0, "", message, _HOW)])


class PrometheusServer:
    """One Prometheus on a free port of 127.0.0.1; ready when the constructor returns.

    Without ``processes`` it keeps its own below ``folder``; call :meth:`close` at the end.

    Args:
        targets: job name -> URL to scrape, path included.
        scrape_seconds: how often.

    Raises:
        InvalidInput: there is no Prometheus.
        Unreachable: it did not come up.
    """

    def __init__(
        self, folder: Path, targets: Mapping[str, str], processes: Processes | None = None, *,
        scrape_seconds: float = 1.0,
    ) -> None:  # fmt: skip
        self._folder = folder.resolve() / "prometheus"
        self._own = processes is None
        self._processes = processes or Processes(folder)
        self._binary = ensure_prometheus()
        self._config = self._folder / "prometheus.yaml"
        write_whole(self._config, json.dumps(_configuration(targets, scrape_seconds)))
        for attempt in range(_ATTEMPTS):
            self._port = free_port()
            try:
                self.start_again()
                return
            except Unreachable:  # somebody may have taken the port between looking and listening
                if attempt == _ATTEMPTS - 1:
                    raise

    @property
    def url(self) -> str:
        """Base address, without a trailing slash."""
        return f"http://127.0.0.1:{self._port}"

    def start_again(self) -> None:
        """Come back after :meth:`stop`, at the same address and with the same data."""
        address = f"127.0.0.1:{self._port}"
        command = [self._binary, f"--config.file={self._config}", f"--web.listen-address={address}"]
        command += [f"--storage.tsdb.path={self._folder / 'data'}", "--storage.tsdb.retention.time=1d"]
        self._child = self._processes.start(
            "prometheus", [*command, "--log.level=warn"], environment={"GOMAXPROCS": "1"}
        )
        wait_until("Prometheus is ready", self._ready, seconds=_START_SECONDS)

    def _ready(self) -> bool:
        if not self._child.running:
            raise Unreachable("prometheus", f"did not start: {self._child.last_line()}")
        session = requests.Session()
        session.trust_env = False
        with session:
            try:
                return session.get(f"{self.url}/-/ready", timeout=2).status_code == 200
            except requests.RequestException:
                return False

    @property
    def memory_mib(self) -> float:
        """Resident memory now, in MiB."""
        return self._child.memory_mib

    def stop(self) -> None:
        """End it, as an outage does; its data stay."""
        self._child.stop()

    def close(self) -> None:
        """End it and what it kept for itself."""
        self._child.stop()
        if self._own:
            self._processes.stop()


def _configuration(targets: Mapping[str, str], scrape_seconds: float) -> dict[str, object]:
    milliseconds = f"{round(scrape_seconds * 1000)}ms"
    jobs = []
    for job, url in sorted(targets.items()):
        parts = urlsplit(url)
        jobs.append(
            {
                "job_name": job,
                "scheme": parts.scheme,
                "metrics_path": parts.path or "/metrics",
                "static_configs": [{"targets": [parts.netloc]}],
            }
        )
    timing = {"scrape_interval": milliseconds, "scrape_timeout": milliseconds}
    return {"global": timing, "scrape_configs": jobs}


if __name__ == "__main__":  # what `make test` runs first
    try:
        ensure_prometheus()
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
