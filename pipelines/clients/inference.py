"""Scores from any server of the Open Inference Protocol (V2), by requests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import requests

from pipelines.errors import AccessDenied, Misbehaved, Unreachable

_EXCERPT = 200
"""Characters of an error body that are worth repeating."""


class V2Inference:
    """Sends rows in batches and gives back one score per row, or raises.

    Args:
        timeout_seconds: for connecting, and again between two bytes of an answer.
        batch_rows: rows per request, at least 1.
        headers: added to every request, such as a bearer token.
    """

    def __init__(
        self, timeout_seconds: float = 10.0, *, batch_rows: int = 500, headers: dict[str, str] | None = None
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._batch_rows = batch_rows
        self._session = requests.Session()
        self._session.headers.update(headers or {})

    def infer(
        self, url: str, model: str, rows: Sequence[Sequence[float]], *, columns: Sequence[str]
    ) -> list[float]:
        """One finite score per row, in the rows' order; nothing is retried.

        The columns' names are sent along as the request parameter ``columns``, joined by commas, so that a
        server that knows its features can refuse another order.

        Raises:
            Unreachable: no answer in time, or a 5xx.
            AccessDenied: 401 or 403.
            Misbehaved: any other refusal, or an answer without one finite number per row.
        """
        address = f"{url.rstrip('/')}/v2/models/{quote(model, safe='')}/infer"
        scores: list[float] = []
        for start in range(0, len(rows), self._batch_rows):
            batch = rows[start : start + self._batch_rows]
            scores += _scores(self._ask(address, batch, columns), len(batch), address)
        return scores

    def metadata(self, url: str, model: str) -> Any:
        """What a server says of a model (``GET /v2/models/<model>``), as JSON values.

        Raises: as :meth:`infer` does.
        """
        address = f"{url.rstrip('/')}/v2/models/{quote(model, safe='')}"
        return self._answer("GET", address, None)

    def _ask(self, address: str, rows: Sequence[Sequence[float]], columns: Sequence[str]) -> Any:
        tensor = {
            "name": "input-0",
            "datatype": "FP64",
            "shape": [len(rows), len(columns)],
            "data": [float(value) for row in rows for value in row],
        }
        body = {"parameters": {"columns": ",".join(columns)}, "inputs": [tensor]}
        return self._answer("POST", address, body)

    def _answer(self, method: str, address: str, body: Any) -> Any:
        try:
            answer = self._session.request(
                method, address, json=body, timeout=self._timeout_seconds, allow_redirects=False
            )
        except requests.RequestException as error:
            raise Unreachable("inference", f"{address}: {error}") from error
        if answer.status_code >= 500:
            raise Unreachable("inference", _refusal(address, answer))
        if answer.status_code in {401, 403}:
            raise AccessDenied("inference", _refusal(address, answer))
        if answer.status_code != 200:
            raise Misbehaved("inference", _refusal(address, answer))
        try:
            return answer.json()
        except ValueError as error:
            raise Misbehaved("inference", f"{address} answered 200 with something not JSON") from error


def _refusal(address: str, answer: requests.Response) -> str:
    return f"{address} answered HTTP {answer.status_code}: {answer.text[:_EXCERPT].strip()}"


def _scores(answer: Any, rows: int, address: str) -> list[float]:
    """The numbers of the only output, or of the one called ``score``."""
    outputs = answer.get("outputs") if isinstance(answer, dict) else None
    tensors = [output for output in outputs if isinstance(output, dict)] if isinstance(outputs, list) else []
    if len(tensors) != 1:
        tensors = [tensor for tensor in tensors if tensor.get("name") == "score"]
    if len(tensors) != 1:
        raise Misbehaved("inference", f"{address} gave no output tensor, or several and none called score")
    shape, data = tensors[0].get("shape"), tensors[0].get("data")
    if shape not in ([rows], [rows, 1]):
        raise Misbehaved("inference", f"{address} gave scores of shape {shape} for {rows} rows")
    if not isinstance(data, list) or len(data) != rows:
        raise Misbehaved("inference", f"{address} gave data that are not {rows} scores")
    values = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in data]
    bad = [number for number, value in enumerate(values) if not _finite(value)]
    if bad:
        raise Misbehaved(
            "inference", f"{address}: row {bad[0]} has the score {values[bad[0]]!r}, no finite number"
        )
    return [float(value) for value in values]


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
