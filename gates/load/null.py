"""An endpoint that answers at once: ``python -m gates.load.null PROTOCOL [stream]`` prints its port.

It serves until stdin ends. What the generator measures against it is what the generator itself adds.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from gates.load.protocols import PROTOCOLS, Protocol
from gates.load.protocols.v2_grpc import METHOD

_MOST_HEAD_BYTES = 1 << 16


def whole(body: bytes) -> bytes:
    """An answer of HTTP with this body."""
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )


class Http(asyncio.Protocol):
    """One connection."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._came = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers go to."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream socket's
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is here whole."""
        assert self._transport is not None  # noqa: S101 - made before
        self._came += data
        while (head := self._came.find(b"\r\n\r\n")) >= 0:
            length = head + 4 + _body_bytes(self._came[:head])
            if len(self._came) < length:
                return
            self._came = self._came[length:]
            self._transport.write(self._answer)
        if len(self._came) > _MOST_HEAD_BYTES:
            self._transport.close()


def _body_bytes(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def _http(protocol: Protocol, stream: bool, stack: AsyncExitStack) -> int:
    answer = whole(protocol.streamed_example if stream else protocol.example)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Http(answer), "127.0.0.1", 0, backlog=1024)
    stack.callback(server.close)
    port: int = server.sockets[0].getsockname()[1]
    return port


async def _grpc(protocol: Protocol, stack: AsyncExitStack) -> int:
    import grpc.aio

    async def infer(_: bytes, __: grpc.aio.ServicerContext) -> bytes:
        return protocol.example

    service, _, method = METHOD[1:].partition("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(infer)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port: int = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, None)
    return port


async def _run(words: Sequence[str]) -> None:
    protocol = next(one for name, one in PROTOCOLS.items() if name == words[0])
    async with AsyncExitStack() as stack:
        if words[0] == "v2_grpc":
            port = await _grpc(protocol, stack)
        else:
            port = await _http(protocol, "stream" in words[1:], stack)
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        gc.collect()
        gc.freeze()
        gc.disable()
        # When whoever started us is gone, however it went, its end of the pipe closes.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1:]))
