"""Several generators that share a rate: locust's master here, its workers as processes of their own.

Each member sends its part by a schedule of its own; the master says when a run begins, so that their windows
lie over one another. Instants travel as ``time.perf_counter``, one clock for all processes of a machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import gevent
from gevent.event import AsyncResult

from gates.load.recording import (
    Job,
    Recording,
    decode_recordings,
    encode_job,
    encode_recordings,
    share,
    together,
)
from gates.load.worker.users import environment, write_report

_START_SECONDS = 25.0
"""What members may take to import locust and to find the master."""
_LEAD_SECONDS = 0.2
_LOOK_SECONDS = 0.1


class MemberLost(Exception):
    """A member ended before it had told what it saw, or never came."""


def lead(job: Job) -> list[Recording]:
    """Have as many members as the job wants share each run's rate.

    Raises:
        MemberLost: one of them is gone or failed.
    """
    members = job.processes
    master = environment(job.runs, job.payloads, lambda _: None).create_master_runner("127.0.0.1", 0)
    waiting: dict[int, int] = {}
    told: dict[str, list[Recording]] = {}
    done: AsyncResult[None] = AsyncResult()

    def at_run(msg: Any, **_: Any) -> None:
        number = msg.data["run"]
        waiting[number] = waiting.get(number, 0) + 1
        if waiting[number] == members:
            master.send_message("go", {"run": number, "began": time.perf_counter() + _LEAD_SECONDS})

    def ended(msg: Any, **_: Any) -> None:
        if "error" in msg.data:
            done.set_exception(MemberLost(f"a generator failed: {msg.data['error']}"))
            return
        told[msg.node_id] = decode_recordings(msg.data["recordings"])
        if len(told) == members:
            done.set(None)

    master.register_message("at_run", at_run)
    master.register_message("ended", ended)
    with _members(master.server.port, job) as processes:
        _until_ready(master, processes)
        master.start(members, spawn_rate=members)
        while not done.ready():
            _all_alive(processes)
            done.wait(_LOOK_SECONDS)
        done.get()
        master.quit()  # which brings in what the members have not told of their statistics yet
        if job.report:
            write_report(master.environment, job.report)
    return [together(parts) for parts in zip(*told.values(), strict=True)]


@contextmanager
def _members(port: int, job: Job) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that each have their part of the job; they are gone afterwards, and when we are."""
    command = [sys.executable, "-P", "-m", "gates.load.worker", "member", str(port)]
    processes: list[subprocess.Popen[str]] = []
    try:
        for number in range(job.processes):
            part = tuple(share(run, number, job.processes) for run in job.runs)
            member = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
            processes.append(member)
            assert member.stdin is not None  # noqa: S101 - asked for above
            member.stdin.write(encode_job(replace(job, runs=part, processes=1)) + "\n")
            member.stdin.flush()
        yield processes
    finally:
        for member in processes:
            member.kill()
        for member in processes:
            member.wait()
            if member.stdin is not None:
                member.stdin.close()


def _until_ready(master: Any, processes: Sequence[subprocess.Popen[str]]) -> None:
    until = time.perf_counter() + _START_SECONDS
    while len(master.clients.ready) < len(processes):
        _all_alive(processes)
        if time.perf_counter() > until:
            found = len(master.clients.ready)
            raise MemberLost(f"{found} of {len(processes)} generators came within {_START_SECONDS:g} s")
        gevent.sleep(_LOOK_SECONDS)


def _all_alive(processes: Sequence[subprocess.Popen[str]]) -> None:
    for member in processes:
        if (code := member.poll()) is not None:
            raise MemberLost(f"a generator ended with {code}")


def join(port: int, job: Job) -> None:
    """Be a member of the team whose master listens there, until it ends us or is gone itself."""
    gevent.get_hub().threadpool.spawn(_end_with_master)
    starts = [AsyncResult() for _ in job.runs]

    def start(number: int) -> float:
        worker.send_message("at_run", {"run": number})
        began: float = starts[number].get()
        return began

    def ended(how: list[Recording] | Exception) -> None:
        if isinstance(how, Exception):
            worker.send_message("ended", {"error": f"{type(how).__name__}: {how}"[:300]})
        else:
            worker.send_message("ended", {"recordings": encode_recordings(how)})

    def go(msg: Any, **_: Any) -> None:
        starts[msg.data["run"]].set(msg.data["began"])

    worker = environment(job.runs, job.payloads, ended, start).create_worker_runner("127.0.0.1", port)
    worker.register_message("go", go)
    worker.greenlet.join()


def _end_with_master() -> None:
    """Its end of the pipe closes, however it went."""
    while os.read(0, 1):
        pass
    os._exit(3)
