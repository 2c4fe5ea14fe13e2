"""Runs lockgate's tasks as pods would, each a fork of one process that has loaded everything already.

Spoken to by lines of JSON: ``{"id", "words", "environment", "log"}`` starts one, ``{"end": id}`` ends one;
each end is answered by ``id code``.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any


def life(wanted: dict[str, Any]) -> int:
    """Run one command, in this process."""
    from pipelines.cli import run

    os.setsid()
    os.environ.update(wanted["environment"])
    log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        return run(wanted["words"][1:])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def load() -> None:
    """Import what a task needs, so that a fork has it."""
    import importlib

    import scipy.stats  # noqa: F401

    from gates import registry

    for name in registry.GATES:
        registry.gate_class(name)
    for module in ("cli.stepping", "cli.book", "engine", "wiring", "clients.github", "clients.git"):
        importlib.import_module(f"pipelines.{module}")


def main() -> None:
    """Start, end and report, until standard input ends."""
    load()
    lives: dict[int, str] = {}
    text = b""
    while True:
        ready, _, _ = select.select([0], [], [], 0.02)
        if ready:
            more = os.read(0, 65536)
            if not more:
                break
            *lines, text = (text + more).split(b"\n")
            for line in lines:
                _obey(json.loads(line), lives)
        while lives:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            print(lives.pop(pid), os.waitstatus_to_exitcode(status), flush=True)
    for pid in lives:
        os.killpg(pid, signal.SIGKILL)


def _obey(wanted: dict[str, Any], lives: dict[int, str]) -> None:
    if "end" in wanted:
        for pid, name in lives.items():
            if name == wanted["end"]:
                os.kill(pid, signal.SIGKILL)
        return
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = life(wanted)
        finally:
            os._exit(code)
    lives[child] = wanted["id"]


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
