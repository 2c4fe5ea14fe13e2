"""One model server: one process, one artifact, the Open Inference Protocol (V2) over HTTP/1.1.

``python -m pipelines.rehearsal.model_server --uri file:///…/v2 --model fraud-scorer --port 0``

It answers a single row in about a millisecond and keeps connections open for as long as the caller does:
a proxy that finds its idle connection just closed would answer 503 in our stead. The faults that an artifact
names in its ``metadata.json`` are committed here, at shares drawn from a fixed seed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from pipelines.rehearsal.processes import write_whole

VERSION_HEADER = "x-model-version"
"""Response header of every answer: the version that gave it."""
_MAXIMUM_BODY_BYTES = 32 * 2**20
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

Floats = NDArray[np.float64]


class BadRequest(Exception):
    """What the caller sent cannot be scored."""


class Trees:
    """A gradient boosting classifier as arrays; gives the scores scikit-learn's ``predict_proba`` gives."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        trees, width = arrays["feature"].shape
        offset = np.arange(trees, dtype=np.int32) * np.int32(width)
        self._roots = offset
        self._feature = arrays["feature"].ravel()
        self._threshold = arrays["threshold"].ravel()
        self._left = (arrays["left"] + offset[:, None]).ravel()
        self._right = (arrays["right"] + offset[:, None]).ravel()
        self._value = arrays["value"].ravel()
        self._base = float(arrays["base"])
        self._depth = int(arrays["depth"])

    @classmethod
    def load(cls, path: Path) -> Trees:
        """Read ``model.npz``; nothing in it is executed."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(dict(arrays))

    def score(self, rows: Floats) -> Floats:
        """Probability of fraud per row."""
        table = rows.astype(np.float32)  # as scikit-learn does before it compares
        line = np.arange(len(rows))[:, None]
        node = np.broadcast_to(self._roots, (len(rows), len(self._roots)))
        for _ in range(self._depth):
            goes_left = table[line, self._feature[node]] <= self._threshold[node]
            node = np.where(goes_left, self._left[node], self._right[node])
        log_odds = self._base + self._value[node].sum(axis=1)
        return np.asarray(1.0 / (1.0 + np.exp(-log_odds)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A loaded artifact."""

    version: str
    features: tuple[str, ...]
    faults: Mapping[str, Any]
    model: Trees

    @classmethod
    def load(cls, uri: str) -> Artifact:
        """Read an artifact folder from its ``file://`` address."""
        parts = urlsplit(uri)
        if parts.scheme != "file":
            raise ValueError(f"{uri}: the rehearsal serves file:// artifacts alone")
        folder = Path(unquote(parts.path))
        metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
        model = Trees.load(folder / "model.npz")
        return cls(metadata["version"], tuple(metadata["features"]), metadata.get("faults", {}), model)


def read_rows(request: Any, features: tuple[str, ...]) -> Floats:
    """The one tensor of a V2 inference request as ``[n, features]``.

    Raises:
        BadRequest: it is not one FP64 or FP32 tensor of finite numbers of that shape, or its columns
            are named and are not ours in our order.
    """
    if not isinstance(request, dict):
        raise BadRequest("the request is not a JSON object")
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadRequest("expected exactly one input tensor")
    parameters = request.get("parameters") or {}
    columns = parameters.get("columns") if isinstance(parameters, dict) else None
    if columns is not None and columns != ",".join(features):
        raise BadRequest(f"columns are {columns}, expected {','.join(features)}")
    tensor = inputs[0]
    if tensor.get("datatype") not in {"FP64", "FP32"}:
        raise BadRequest(f"datatype is {tensor.get('datatype')}, expected FP64 or FP32")
    shape = tensor.get("shape")
    if not isinstance(shape, list) or len(shape) != 2 or shape[1] != len(features) or shape[0] == 0:
        raise BadRequest(f"shape is {shape}, expected [n, {len(features)}]")
    try:
        rows = np.asarray(tensor.get("data"), dtype=np.float64).reshape(shape)
    except (TypeError, ValueError) as error:
        raise BadRequest(f"data do not fill the shape {shape} with numbers") from error
    if not np.isfinite(rows).all():
        raise BadRequest("data hold a value that is not a finite number")
    return rows


class Server:
    """Answers for one artifact under one model name."""

    def __init__(self, artifact: Artifact, model: str) -> None:
        self.artifact = artifact
        self.model = model
        self._infers = 0
        faults = artifact.faults
        self._dice = random.Random(artifact.version)  # noqa: S311  # repeatable on purpose
        self._slow = float(faults.get("slow_percent", 0)) / 100
        self._late_seconds = float(faults.get("slow_ms", 0)) / 1000
        slow_feature = faults.get("slow_feature", "")
        self._slow_column = artifact.features.index(slow_feature) if slow_feature else None
        self._slow_above = float(faults.get("slow_above", 0))
        self._errors = float(faults.get("error_percent", 0)) / 100
        self._ready = not faults.get("never_ready", False)
        self._crash_after = int(faults.get("crash_after", 0))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests, in order, until the caller closes it."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                status, answer = await self._handle(head, reader)
                writer.write(self._encode(status, answer))
                await writer.drain()
                if status in {411, 413}:  # the body was not read: the next request cannot be found
                    break
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            writer.close()

    def _encode(self, status: int, answer: object) -> bytes:
        body = json.dumps(answer, separators=(",", ":")).encode()
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: application/json\r\n"
            f"{VERSION_HEADER}: {self.artifact.version}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode("latin-1") + body

    async def _handle(self, head: bytes, reader: asyncio.StreamReader) -> tuple[int, object]:
        line, *headers = head.decode("latin-1").split("\r\n")
        method, _, rest = line.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        length = 0
        for header in headers:
            name, _, value = header.partition(":")
            if name.lower() == "content-length" and value.strip().isdigit():
                length = int(value)
            elif name.lower() == "transfer-encoding":
                return 411, {"error": "send a content-length"}
        if length > _MAXIMUM_BODY_BYTES:
            return 413, {"error": f"body has {length} bytes, at most {_MAXIMUM_BODY_BYTES} are read"}
        body = await reader.readexactly(length) if length else b""
        if path == f"/v2/models/{self.model}/infer":
            return await self._infer(body) if method == "POST" else (405, {"error": "use POST"})
        return self._describe(path) if method == "GET" else (405, {"error": "use GET"})

    def _describe(self, path: str) -> tuple[int, object]:
        ready = 200 if self._ready else 503
        answers: dict[str, tuple[int, object]] = {
            "/v2": (200, {"name": "rehearsal", "version": self.artifact.version, "extensions": []}),
            "/v2/health/live": (200, {"live": True}),
            "/v2/health/ready": (ready, {"ready": self._ready}),
            f"/v2/models/{self.model}/ready": (ready, {"name": self.model, "ready": self._ready}),
            f"/v2/models/{self.model}": (200, self._metadata()),
        }
        return answers.get(path, (404, {"error": f"nothing at {path}; the model here is {self.model}"}))

    def _metadata(self) -> dict[str, object]:
        width = len(self.artifact.features)
        return {
            "name": self.model,
            "versions": [self.artifact.version],
            "platform": "numpy_trees",
            "inputs": [{"name": "input-0", "datatype": "FP64", "shape": [-1, width]}],
            "outputs": [{"name": "score", "datatype": "FP64", "shape": [-1]}],
        }

    async def _infer(self, body: bytes) -> tuple[int, object]:
        if not self._ready:
            return 503, {"error": f"{self.model} is not ready"}
        self._infers += 1
        if self._crash_after and self._infers >= self._crash_after:
            print(f"fatal: out of memory at request {self._infers}", flush=True)  # noqa: T201
            os._exit(137)
        if self._slow and self._dice.random() < self._slow:
            await asyncio.sleep(self._late_seconds)
        if self._errors and self._dice.random() < self._errors:
            return 500, {"error": "internal error while scoring"}
        try:
            request = json.loads(body)
            rows = read_rows(request, self.artifact.features)
        except (ValueError, BadRequest) as error:
            return 400, {"error": str(error)}
        if self._slow_column is not None and (rows[:, self._slow_column] > self._slow_above).any():
            await asyncio.sleep(self._late_seconds)
        scores = self.artifact.model.score(rows).tolist()
        output = {"name": "score", "datatype": "FP64", "shape": [len(scores)], "data": scores}
        answer = {"model_name": self.model, "model_version": self.artifact.version, "outputs": [output]}
        return 200, {**answer, "id": request["id"]} if "id" in request else answer


async def _run(server: Server, port: int, address_file: Path | None) -> None:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", port, backlog=256)
    address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    print(f"{server.model} {server.artifact.version} listens on {address}", flush=True)  # noqa: T201
    if address_file:
        write_whole(address_file, address)
    async with listener:
        await listener.serve_forever()


def main() -> None:
    """Load the artifact, then serve it until ended; an artifact that does not load is exit code 1."""
    parser = argparse.ArgumentParser(description="Serve one artifact over the V2 protocol on 127.0.0.1.")
    parser.add_argument("--uri", required=True, help="artifact folder, file://…")
    parser.add_argument("--model", required=True, help="name in /v2/models/<name>")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--address-file", type=Path, help="written once it listens: 127.0.0.1:<port>")
    options = parser.parse_args()
    try:
        artifact = Artifact.load(options.uri)
    except Exception as error:
        sys.exit(f"cannot load {options.uri}: {type(error).__name__}: {error}")
    server = Server(artifact, options.model)
    artifact.model.score(np.zeros((1, len(artifact.features))))  # the first call is ten times slower
    gc.collect()
    gc.freeze()  # what is loaded stays: no need to walk it again between requests
    asyncio.run(_run(server, options.port, options.address_file))


if __name__ == "__main__":
    main()
