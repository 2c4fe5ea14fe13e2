"""Does the job on stdin; with the word ``member`` and a port, a part of one that a team shares."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import gevent

from gates.load.recording import Job, Recording, decode_job, encode_recordings
from gates.load.worker import team
from gates.load.worker.users import environment, write_report


def drive(job: Job) -> list[Recording]:
    """All runs, by this process alone."""
    ends: list[list[Recording] | Exception] = []

    def ended(how: list[Recording] | Exception) -> None:
        ends.append(how)
        gevent.spawn(runner.quit)

    runner = environment(job.runs, job.payloads, ended).create_local_runner()
    runner.start(1, spawn_rate=1)
    runner.greenlet.join()
    (how,) = ends
    if isinstance(how, Exception):
        raise how
    if job.report:
        write_report(runner.environment, job.report)
    return how


def main(words: Sequence[str]) -> None:
    """Anything that goes wrong is a traceback on stderr and exit code 1."""
    answer = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no recording
    job = decode_job(sys.stdin.readline())
    if words[:1] == ["member"]:
        team.join(int(words[1]), job)
        return
    recordings = drive(job) if job.processes == 1 else team.lead(job)
    with os.fdopen(answer, "w", encoding="utf-8") as stdout:
        stdout.write(encode_recordings(recordings))


if __name__ == "__main__":
    main(sys.argv[1:])
