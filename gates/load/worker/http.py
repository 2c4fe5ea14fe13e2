"""Asking over HTTP/1.1, with as little work per request as can be: what we do late is blamed on the target.

Locust's own HTTP users build URLs, headers and cookie jars anew for each request, which on one core is the
larger part of the time at 5,000 requests a second; here a request is bytes that were made before.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import gevent.select
import gevent.socket
import gevent.ssl
from geventhttpclient.response import HTTPResponse

from gates.load.protocols import PROTOCOLS
from gates.load.recording import Payload, Run
from gates.load.worker.window import Reply

_PIECE_BYTES = 1 << 16
_IDLE_SECONDS = 0.5
"""A connection that rested longer may have been closed by the other side."""
_SAFE = "/%?&=:@!$'()*+,;~-._"


class _Reading(HTTPResponse):
    """An answer that is coming."""

    def read(self) -> bytes:
        """What came of its body so far."""
        return bytes(self._body_buffer)


class HttpClient:
    """Kept connections to one address; what was used last is used first.

    Certificates are verified, redirects are not followed, nothing is asked twice, no proxy is used.
    """

    def __init__(self, run: Run) -> None:
        protocol = PROTOCOLS[run.protocol]
        self._kind, self._is_first = protocol.kind, protocol.is_first
        parts = urlsplit(run.url)
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._target = quote(parts.path or "/", safe=_SAFE) + (f"?{parts.query}" if parts.query else "")
        self._netloc = parts.netloc.rpartition("@")[2].encode("idna").decode("ascii")
        self._context = gevent.ssl.create_default_context() if self._secure else None
        self._addresses: list[tuple[Any, ...]] = []
        self._idle: list[tuple[Any, float]] = []

    def encode(self, payloads: Sequence[Payload]) -> list[bytes]:
        """Each request whole, as it goes over the wire."""
        return [self._head(payload) + payload.body for payload in payloads]

    def _head(self, payload: Payload) -> bytes:
        fields = {
            "Host": self._netloc,
            "User-Agent": "lockgate-load",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            **dict(payload.headers),
            "Content-Length": str(len(payload.body)),
        }
        lines = [f"POST {self._target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        if any(not line.isascii() or not line.isprintable() for line in lines):
            raise ValueError("an address or a header holds what HTTP cannot carry")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    def ask(self, request: bytes) -> Reply:
        """Send bytes made by :meth:`encode` and wait for the whole answer, however long that takes.

        Raises:
            OSError: no connection, or it broke.
            HTTPParseError: what came is not HTTP.
        """
        connection = self._take()
        reusable = False
        try:
            sent = connection.send(request)
            if sent < len(request):
                connection.sendall(request[sent:])
            reading, first = self._read(connection)
            ended = time.perf_counter()
            reusable = not reading.should_close()
        finally:
            if reusable:
                self._idle.append((connection, ended))
            else:
                connection.close()
        body = reading.read()
        return Reply(self._kind(reading.status_code, body), ended, first, len(body))

    def _read(self, connection: Any) -> tuple[_Reading, float | None]:
        reading, first = _Reading("POST"), None
        while not reading.message_complete or reading.status_code < 200:
            piece = connection.recv(_PIECE_BYTES)
            reading.feed(piece)
            if not piece and not reading.message_complete:
                raise ConnectionResetError(errno.ECONNRESET, "closed before the whole answer was here")
            if first is None and self._is_first is not None and self._is_first(reading.read()):
                first = time.perf_counter()
        return reading, first

    def _take(self) -> Any:
        while self._idle:
            connection, since = self._idle.pop()
            rested = time.perf_counter() - since
            if rested < _IDLE_SECONDS or not gevent.select.select([connection], [], [], 0)[0]:
                return connection
            connection.close()
        return self._open()

    def _open(self) -> Any:
        if not self._addresses:
            self._addresses = gevent.socket.getaddrinfo(self._host, self._port, 0, gevent.socket.SOCK_STREAM)
        failure: OSError = OSError(errno.EHOSTUNREACH, f"{self._host} has no address")
        for family, kind, protocol, _, address in self._addresses:
            connection = gevent.socket.socket(family, kind, protocol)
            try:
                connection.connect(address)
                connection.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_hostname=self._host)
            except OSError as error:
                connection.close()
                failure = error
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise failure
