"""Locust's part: a user that owns the schedule, its events, its statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gevent
import locust
from locust.env import Environment

from gates.load.recording import Payload, Recording, Run
from gates.load.worker.pacing import make_pacer
from gates.load.worker.window import Client, Reply, Window

Start = Callable[[int], float | None]
"""Asked before each run, by its number: when it is to begin; returns when all are ready."""
Ended = Callable[[list[Recording] | Exception], None]


def environment(
    runs: Sequence[Run], payloads: Sequence[Payload], ended: Ended, start: Start = lambda _: None
) -> Environment:
    """A locust environment whose single user drives all runs, one after the other, and tells how it ended."""

    def task(user: Any) -> None:
        try:
            ended(_drive(user.environment, runs, payloads, start))
        except Exception as error:  # locust would log it and start the task again
            ended(error)
        gevent.sleep(60)  # until the runner quits

    return Environment(user_classes=[type("Scheduler", (locust.User,), {"tasks": [task], "abstract": False})])


def _drive(
    environment: Any, runs: Sequence[Run], payloads: Sequence[Payload], start: Start
) -> list[Recording]:
    def report(run: Run, latency_ms: float, reply: Reply) -> None:
        environment.events.request.fire(
            request_type=run.protocol,
            name=run.url,
            response_time=latency_ms,
            response_length=reply.length,
            exception=None if reply.kind == "ok" else reply.kind,
            context={},
        )

    pacer = make_pacer()
    recordings = []
    for number, run in enumerate(runs):
        window = Window(run, payloads, _client(run), pacer, report)
        recordings.append(window.drive(start(number)))
    return recordings


def write_report(environment: Any, path: str) -> None:
    """Locust's own report: tables alone, since what its charts need is reckoned up amid the requests."""
    from locust import html

    render: Any = html.get_html_report
    Path(path).write_text(render(environment, show_download_link=False), encoding="utf-8")


def _client(run: Run) -> Client:
    if run.protocol == "v2_grpc":
        from gates.load.worker.grpc import GrpcClient

        return GrpcClient(run)
    from gates.load.worker.http import HttpClient

    return HttpClient(run)
