"""Starts engines that can be killed: one process loads everything once, each life is a fork of it.

Spoken to by lines: ``start`` forks a life, answered by ``started <pid>`` and later ``ended <pid> <code>``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def life(settings: dict[str, str]) -> None:
    """Drive the promotion to its end, in this process."""
    from pipelines.config import Secrets
    from pipelines.engine import Engine
    from pipelines.wiring import Desktop, SystemClock, assignment

    desktop = Desktop(
        git_url=settings["LOCKGATE_REPO"],
        git_token=settings["LOCKGATE_GIT_TOKEN"],
        folder=Path(settings["folder"]),
        secrets=Secrets(settings),
        clock=SystemClock(),
    )
    Engine(assignment(desktop, settings["promotion"]), wake_seconds=0.2).run()


def load() -> None:
    """Import what a life needs, so that a fork has it."""
    import scipy.stats  # noqa: F401

    from gates import registry

    for name in registry.GATES:
        registry.gate_class(name)


def main() -> None:
    """Read commands until standard input ends."""
    settings = json.loads(sys.stdin.readline())
    load()
    for line in sys.stdin:
        if line.strip() != "start":
            continue
        child = os.fork()
        if child == 0:
            code = 1
            try:
                life(settings)
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        print("started", child, flush=True)
        _, status = os.waitpid(child, 0)
        print("ended", child, os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
