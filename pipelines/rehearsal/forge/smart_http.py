"""git over HTTP on ``/<owner>/<repository>.git``, answered by ``git http-backend``.

Bodies go through temporary files, so a push may be chunked and large. The whole effect has happened
before the answer starts: a fault that loses the answer loses nothing else.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from flask import Response, request

from pipelines.rehearsal.forge.content import DEFAULT_BRANCH, environment
from pipelines.rehearsal.forge.identity import Actor


def serve(
    repository: Path, service: str, actor: Actor, *, app_account: str, protected: Iterable[str]
) -> Response:
    """Answer one request for ``info/refs``, ``git-upload-pack`` or ``git-receive-pack``."""
    variables = _cgi(repository, service, actor) | {
        "FORGE_BYPASS": "yes" if actor.login == app_account else "no",
        "FORGE_PROTECTED_REFS": " ".join(f"refs/heads/{branch}" for branch in protected),
        "FORGE_GUARDED_REFS": " ".join(f"refs/heads/{branch}" for branch in {DEFAULT_BRANCH, *protected}),
    }
    with tempfile.TemporaryFile() as body, tempfile.TemporaryFile() as answer:
        shutil.copyfileobj(request.stream, body)
        body.seek(0)
        subprocess.run(
            ["git", "http-backend"], env=variables, stdin=body, stdout=answer, stderr=subprocess.DEVNULL,
            timeout=60, check=False,
        )  # fmt: skip
        answer.seek(0)
        return _response(answer)


def _cgi(repository: Path, service: str, actor: Actor) -> dict[str, str]:
    variables = environment() | {
        "GIT_PROJECT_ROOT": str(repository.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{repository.name}/{service}",
        "REMOTE_USER": actor.login,
        "REMOTE_ADDR": "127.0.0.1",
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.query_string.decode(),
        "CONTENT_TYPE": request.content_type or "",
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
    }
    if request.content_length is not None:
        variables["CONTENT_LENGTH"] = str(request.content_length)
    return variables


def _response(answer: IO[bytes]) -> Response:
    status, headers = 200, {}
    while line := answer.readline().decode().strip():
        name, _, value = line.partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers[name] = value.strip()
    return Response(answer.read(), status, headers)
