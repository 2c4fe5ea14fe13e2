"""Runs the generator's child processes, bounded in time, and ends them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from gates.load.protocols import PROTOCOLS
from gates.load.recording import Job, Payload, ProtocolName, Recording, Run, decode_recordings, encode_job

_START_SECONDS = 30.0
"""What importing locust may take on a busy machine."""


_PYTHON = (sys.executable, "-P", "-m")
"""Never looks for modules in the folder that lockgate happens to be started in."""


class GeneratorFailed(Exception):
    """The generator ended without recordings; the text is the last it said."""


class MetadataAbsent(Exception):
    """The model says nothing of itself; the text is why."""


def generate(
    runs: Sequence[Run],
    payloads: Sequence[Payload],
    *,
    processes: int = 1,
    report: Path | None = None,
    start_seconds: float = _START_SECONDS,
) -> list[Recording]:
    """One recording per run, from a process of its own that is gone when this returns.

    Args:
        runs: driven one after the other.
        payloads: each request is drawn from them.
        processes: generators that share each run's rate; a recording is of all of them together.
        report: file that locust's own HTML report of all runs goes to, for people.
        start_seconds: granted on top of what the runs take, for starting and ending; twice for several
            processes, which start after their master.

    Raises:
        GeneratorFailed: it crashed, hung, or answered something else.
    """
    job = Job(
        runs=tuple(runs), payloads=tuple(payloads), processes=processes, report=str(report) if report else ""
    )
    bound = start_seconds * min(processes, 2) + sum(
        run.warm_up_seconds + run.seconds + run.timeout_seconds for run in runs
    )
    with subprocess.Popen(
        [*_PYTHON, "gates.load.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as worker:
        try:
            answer, errors = worker.communicate(encode_job(job), timeout=bound)
        except subprocess.TimeoutExpired:
            raise GeneratorFailed(f"it did not end within {bound:g} s") from None
        finally:
            worker.kill()
    if worker.returncode != 0:
        raise GeneratorFailed(_last_line(worker.returncode, errors))
    return _decode(answer, len(runs))


def _last_line(code: int, errors: str) -> str:
    last = (errors.strip().splitlines() or ["it said nothing"])[-1]
    return f"exit code {code}: {last[:300]}"


def _decode(answer: str, runs: int) -> list[Recording]:
    try:
        recordings = decode_recordings(answer)
    except ValueError as error:
        raise GeneratorFailed(f"its answer is {error}") from None
    if len(recordings) != runs:
        raise GeneratorFailed(f"it gave {len(recordings)} recordings for {runs} runs")
    return recordings


def metadata_inputs(url: str, protocol: ProtocolName, model: str, timeout_seconds: float) -> object:
    """The inputs that a model's metadata names, as V2 writes them in JSON; None where it names none.

    Raises:
        MetadataAbsent: nobody answered, or not with metadata.
        GeneratorFailed: the process that asks crashed.
    """
    asked = {"url": url, "protocol": protocol, "model": model, "timeout_seconds": timeout_seconds}
    done = subprocess.run(
        [*_PYTHON, "gates.load.worker.describe"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=_START_SECONDS + 2 * timeout_seconds,
    )
    if done.returncode != 0:
        raise GeneratorFailed(_last_line(done.returncode, done.stderr))
    said = json.loads(done.stdout)
    if "absent" in said:
        raise MetadataAbsent(said["absent"])
    inputs: object = said["inputs"]
    return inputs


@contextmanager
def null_endpoint(protocol: ProtocolName = "v2", *, stream: bool = False) -> Iterator[str]:
    """Address of an endpoint that answers at once; it is gone afterwards, and when we are.

    Raises:
        GeneratorFailed: it did not start.
    """
    if protocol == "v2_grpc" and find_spec("grpc") is None:
        raise GeneratorFailed("gRPC is not installed here; install lockgate with the extra grpc")
    words = [protocol, *(["stream"] if stream else [])]
    with subprocess.Popen(
        [*_PYTHON, "gates.load.null", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None  # noqa: S101 - asked for above
        try:
            port = server.stdout.readline().strip()
            if not port.isdigit():
                raise GeneratorFailed("the endpoint that answers at once did not start")
            yield f"http://127.0.0.1:{port}{PROTOCOLS[protocol].path('null')}"
        finally:
            server.kill()
