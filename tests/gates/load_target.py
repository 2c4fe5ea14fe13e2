"""A V2 server with known behaviour, in a process of its own: ``python load_target.py '{"slow_percent": 5}'``.

It prints its port and serves until stdin ends. Every n-th request is slow, failing or odd, so that shares
are exact; times are slept on top of next to nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

GOOD = {"outputs": [{"name": "score", "datatype": "FP64", "shape": [1], "data": [0.5]}]}


class Target:
    """Counts requests and misbehaves on some of them."""

    def __init__(self, behaviour: dict[str, Any]) -> None:
        self._slow_every = behaviour.get("slow_every", 0)
        self._slow_seconds = behaviour.get("slow_ms", 0) / 1000
        self._error_every = behaviour.get("error_every", 0)
        self._status = behaviour.get("status", 500)
        self._body = behaviour.get("body", GOOD)
        self._stall_after = behaviour.get("stall_after", 0)
        self._stall_seconds = behaviour.get("stall_ms", 0) / 1000
        self._gate = asyncio.Event()
        self._gate.set()
        self._count = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.partition(b":")[2])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                )
                request = json.loads(await reader.readexactly(length))
                writer.write(await self._answer(head, request))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: bytes, request: Any) -> bytes:
        self._count += 1
        number = self._count
        tensor = request["inputs"][0]
        proper = head.startswith(b"POST /base/v2/models/fraud-scorer/infer HTTP/1.1")
        if not proper or tensor["shape"] != [1, 2] or len(tensor["data"]) != 2:
            return self._encode(400, {"error": "not the request that was agreed"})
        if self._stall_after and number == self._stall_after:
            self._gate.clear()
            asyncio.get_running_loop().call_later(self._stall_seconds, self._gate.set)
        await self._gate.wait()
        if self._slow_every and number % self._slow_every == 0:
            await asyncio.sleep(self._slow_seconds)
        if self._error_every and number % self._error_every == 0:
            return self._encode(self._status, {"error": "on purpose"})
        return self._encode(200, self._body)

    def _encode(self, status: int, body: Any) -> bytes:
        text = (body if isinstance(body, str) else json.dumps(body)).encode()
        head = (
            f"HTTP/1.1 {status} Whatever\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n"
        )
        return head.encode() + b"location: /elsewhere\r\n\r\n" + text


async def main() -> None:
    """Serve until whoever started us closes the pipe."""
    target = Target(json.loads(sys.argv[1]))
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
