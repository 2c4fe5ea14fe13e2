"""Locust's part: one user that owns the schedule, its events, its statistics."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import gevent
import locust
from locust.env import Environment

from gates.load.recording import Payload, Recording, Run, decode_job, encode_recordings
from gates.load.worker.pacing import make_pacer
from gates.load.worker.window import Client, Reply, Window


def drive(runs: list[Run], payloads: list[Payload]) -> list[Recording]:
    """All runs, one after the other, by a single locust user that owns the schedule."""
    recordings: list[Recording] = []
    failures: list[Exception] = []

    def all_runs(user: Any) -> None:
        def report(run: Run, latency_ms: float, reply: Reply) -> None:
            user.environment.events.request.fire(
                request_type=run.protocol,
                name=run.url,
                response_time=latency_ms,
                response_length=reply.length,
                exception=None if reply.kind == "ok" else reply.kind,
                context={},
            )

        pacer = make_pacer()
        try:
            for run in runs:
                recordings.append(Window(run, payloads, _client(run), pacer, report).drive())
        except Exception as error:  # locust would log it and start the task again
            failures.append(error)
        gevent.spawn(user.environment.runner.quit)
        gevent.sleep(60)

    environment = Environment(user_classes=[_scheduler(all_runs)])
    runner = environment.create_local_runner()
    runner.start(1, spawn_rate=1)
    runner.greenlet.join()
    if failures:
        raise failures[0]
    return recordings


def _scheduler(task: Callable[[Any], None]) -> type[Any]:
    return type("Scheduler", (locust.User,), {"tasks": [task], "abstract": False})


def _client(run: Run) -> Client:
    if run.protocol == "v2_grpc":
        from gates.load.worker.grpc import GrpcClient

        return GrpcClient(run)
    from gates.load.worker.http import HttpClient

    return HttpClient(run)


def main() -> None:
    """Do the job on stdin; anything that goes wrong is a traceback on stderr and exit code 1."""
    answer = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no recording
    runs, payloads = decode_job(sys.stdin.read())
    text = encode_recordings(drive(runs, payloads))
    with os.fdopen(answer, "w", encoding="utf-8") as stdout:
        stdout.write(text)


if __name__ == "__main__":
    main()
