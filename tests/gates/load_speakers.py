"""Model servers on loopback that speak one protocol each, strictly: what is not as agreed gets a 400.

They live in threads of the test. Streams can begin late, or end before their time.
"""

from __future__ import annotations

import json
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAMES = ["user->age:int", "amount"]
INPUTS = [{"name": name, "datatype": "FP64", "shape": [-1, 1]} for name in NAMES]


def v2(body: bytes, _: Any) -> bytes:
    """JSON: one tensor for each name."""
    inputs = json.loads(body)["inputs"]
    assert [one["name"] for one in inputs] == NAMES
    assert all(one["shape"] == [1, 1] and len(one["data"]) == 1 for one in inputs)
    return json.dumps({"outputs": [{"name": "score", "shape": [1], "data": [0.5]}]}).encode()


def v2_binary(body: bytes, headers: Any) -> bytes:
    """Numbers behind the head, and an answer of the same kind."""
    length = int(headers["Inference-Header-Content-Length"])
    assert headers["Content-Type"] == "application/octet-stream"
    inputs = json.loads(body[:length])["inputs"]
    assert [one["name"] for one in inputs] == NAMES
    assert len(struct.unpack("<2d", body[length:])) == 2
    head = {"outputs": [{"name": "score", "shape": [1], "parameters": {"binary_data_size": 8}}]}
    return json.dumps(head).encode() + struct.pack("<d", 0.5)


def v1(body: bytes, _: Any) -> bytes:
    """An object for each instance."""
    (instance,) = json.loads(body)["instances"]
    assert sorted(instance) == sorted(NAMES)
    return b'{"predictions": [0.5]}'


def chat(body: bytes, _: Any) -> bytes:
    """A whole answer."""
    asked = json.loads(body)
    assert (asked["model"], asked["stream"]) == ("fraud-scorer", False)
    assert asked["messages"][0]["content"]
    return b'{"choices": [{"message": {"content": "Hello"}}]}'


def completions(body: bytes, _: Any) -> bytes:
    """A whole answer."""
    asked = json.loads(body)
    assert (asked["model"], asked["stream"]) == ("fraud-scorer", False)
    assert asked["prompt"]
    return b'{"choices": [{"text": "Hello"}]}'


SPEAKERS: dict[str, tuple[str, Callable[[bytes, Any], bytes]]] = {
    "v2": ("/v2/models/fraud-scorer/infer", v2),
    "v2_binary": ("/v2/models/fraud-scorer/infer", v2_binary),
    "v1": ("/v1/models/fraud-scorer:predict", v1),
    "chat": ("/openai/v1/chat/completions", chat),
    "completions": ("/v1/completions", completions),
}


class Speaker(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    path_wanted: str
    speak: Callable[[bytes, Any], bytes]
    metadata: object = None
    stream_seconds: tuple[float, float] | None = None
    """Until the first token, and from there to the end."""
    cut: bool = False

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        """Metadata, where there is any."""
        if self.metadata is None or self.path != "/v2/models/fraud-scorer":
            self._say(404, b"{}")
        else:
            self._say(200, json.dumps(self.metadata).encode())

    def do_POST(self) -> None:
        """An inference."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            assert self.path == self.path_wanted
            if self.stream_seconds is not None:
                assert json.loads(body)["stream"] is True
                self._stream(*self.stream_seconds)
            else:
                self._say(200, type(self).speak(body, self.headers))
        except (AssertionError, KeyError, TypeError, ValueError, struct.error):
            self._say(400, b'{"error": "not as agreed"}')

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, first_seconds: float, rest_seconds: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._event({"choices": [{"delta": {"role": "assistant"}}]})
        time.sleep(first_seconds)
        self._event({"choices": [{"delta": {"content": "Hello"}}]})
        time.sleep(rest_seconds)
        if not self.cut:
            self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, event: object) -> None:
        said = event if isinstance(event, str) else json.dumps(event)
        text = f"data: {said}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))


class Server(ThreadingHTTPServer):
    """Takes many connections at once, and ends with the test."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_: object) -> None:
        """A client that went away is none of ours."""


@contextmanager
def speaking(protocol: str, **changes: Any) -> Iterator[str]:
    """Address of a server; attributes of :class:`Speaker` can be changed."""
    path, speak = SPEAKERS[protocol]
    attributes = {"path_wanted": path, "speak": staticmethod(speak), **changes}
    server = Server(("127.0.0.1", 0), type("Changed", (Speaker,), attributes))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


@contextmanager
def speaking_grpc(*, status: str = "", seconds: float = 0.0) -> Iterator[str]:
    """Address of a gRPC server of the V2 service that answers, or gives a status of this name."""
    import grpc

    from gates.load.protocols import v2_grpc

    def infer(message: bytes, context: Any) -> bytes:
        time.sleep(seconds)
        found = list(v2_grpc.fields(message))
        names = [dict(v2_grpc.fields(tensor))[1].decode() for number, tensor in found if number == 5]
        raw = [content for number, content in found if number == 7]
        if dict(found)[1] != b"fraud-scorer" or names != NAMES or [len(one) for one in raw] != [8, 8]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not as agreed")
        if status:
            context.abort(grpc.StatusCode[status], "on purpose")
        return v2_grpc.EXAMPLE

    def metadata(_: bytes, __: Any) -> bytes:
        field = v2_grpc._field
        shape = b"\xff" * 9 + b"\x01" + b"\x01"  # -1, 1
        tensors = [field(1, one.encode()) + field(2, b"FP64") + field(3, shape) for one in NAMES]
        return b"".join(field(4, tensor) for tensor in tensors)

    handlers = {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(infer),
        "ModelMetadata": grpc.unary_unary_rpc_method_handler(metadata),
    }
    server = grpc.server(ThreadPoolExecutor(64))
    service = "inference.GRPCInferenceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait(5)
