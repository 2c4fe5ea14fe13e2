"""Asking over gRPC. Importing this changes how grpcio waits, for the whole process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import grpc
import grpc.experimental.gevent

from gates.load.protocols import PROTOCOLS
from gates.load.protocols.v2_grpc import METHOD
from gates.load.recording import Payload, Run
from gates.load.worker.window import Reply

grpc.experimental.gevent.init_gevent()


def open_channel(url: str) -> grpc.Channel:
    """To the server of an http or https address; never by a proxy, which would be measured as well."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    if parts.port is None:
        place += ":443" if parts.scheme == "https" else ":80"
    options = [("grpc.enable_http_proxy", 0)]
    if parts.scheme == "https":
        return grpc.secure_channel(place, grpc.ssl_channel_credentials(), options)
    return grpc.insecure_channel(place, options)


class GrpcClient:
    """One channel, on which many requests are on their way; certificates are verified."""

    def __init__(self, run: Run) -> None:
        self._infer = open_channel(run.url).unary_unary(METHOD)
        self._timeout_seconds = run.timeout_seconds
        self._kind = PROTOCOLS[run.protocol].kind

    def encode(self, payloads: Sequence[Payload]) -> list[bytes]:
        """The messages as they are."""
        return [payload.body for payload in payloads]

    def ask(self, request: bytes) -> Reply:
        """One call to its end; a status of the server is an answer, too."""
        try:
            answer: bytes = self._infer(request, timeout=self._timeout_seconds)
            status = 0
        except grpc.RpcError as error:
            answer, status = b"", error.code().value[0]
        ended = time.perf_counter()
        return Reply(self._kind(status, answer), ended, length=len(answer))
