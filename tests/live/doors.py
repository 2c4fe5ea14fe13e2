"""Doors for pods: TLS on an address they reach, before servers that listen on this machine's loopback."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Awaitable
from pathlib import Path
from urllib.parse import urlsplit

PATIENCE_SECONDS = 30


class Doors:
    """Takes what comes by TLS and passes it on in clear text; one certificate, which is its own authority.

    Args:
        host: an IPv4 address of this machine that pods reach.
        folder: where the certificate is written, as ``ca.pem``.
    """

    def __init__(self, host: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.host, self.ca_file = host, folder / "ca.pem"
        key = folder / "key.pem"
        words = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={host}"
        names = ["-addext", f"subjectAltName=IP:{host}", "-keyout", str(key), "-out", str(self.ca_file)]
        subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.ca_file, key)
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def open(self, url: str) -> str:
        """The ``https://`` address of a new door before a server's ``http://`` one."""
        inside = urlsplit(url)

        async def serve() -> int:
            async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await _joined(reader, writer, inside.hostname or "", inside.port or 80)

            server = await asyncio.start_server(enter, self.host, 0, ssl=self._context)
            self._servers.append(server)
            return int(server.sockets[0].getsockname()[1])

        port = asyncio.run_coroutine_threadsafe(serve(), self._loop).result(PATIENCE_SECONDS)
        return f"https://{self.host}:{port}"

    def close(self) -> None:
        """Shut them all."""
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(PATIENCE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    async def _shut(self) -> None:
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    try:
        inner_reader, inner_writer = await asyncio.open_connection(host, port)
    except OSError:
        writer.close()
        return
    ways: list[Awaitable[None]] = [_passed_on(reader, inner_writer), _passed_on(inner_reader, writer)]
    await asyncio.gather(*ways)


async def _passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # either side has gone; so does the other
    finally:
        writer.close()
