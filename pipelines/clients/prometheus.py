"""Prometheus through prometheus-api-client: raw samples and instant values, each with its time.

The library drops what matters most (warnings, the result type) and sets no time-out; a response hook on
our own session keeps the one, an adapter the other.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from pipelines.errors import AccessDenied, CouldNotTell, Misbehaved, Unreachable
from pipelines.ports import Answer, Finding, Series

SYSTEM = "Prometheus"


class PrometheusMetrics:
    """Satisfies :class:`pipelines.ports.Metrics`.

    Args:
        url: base address; ``/api/v1/query`` follows it.
        token: bearer token, where one is needed.
        ca_file: certificate authority to trust instead of the system's.
        timeout_seconds: of one request; a query that takes longer is no answer.
    """

    def __init__(
        self, url: str, *, token: str | None = None, ca_file: str | None = None, timeout_seconds: float = 10.0
    ) -> None:
        self._url = url.rstrip("/")
        self._kept = threading.local()
        session = requests.Session()
        session.verify = ca_file or True
        session.hooks["response"].append(self._keep)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        retry = Retry(total=2, backoff_factor=0.1, status_forcelist=(), allowed_methods={"GET"})
        self._client = PrometheusConnect(
            self._url, headers=headers, retry=retry, session=session, timeout=timeout_seconds
        )

    def samples(self, selector: str, *, at: float, window_seconds: float) -> Answer:
        """Raw samples of ``selector[window]`` ending at ``at`` (seconds since the epoch).

        Raises:
            Unreachable, Misbehaved, AccessDenied: there is no usable answer.
        """
        window_ms = max(1, math.ceil(window_seconds * 1000))
        return self._ask(f"{selector}[{window_ms}ms]", at, "matrix", "values")

    def value(self, query: str, *, at: float) -> Answer:
        """An instant query evaluated at ``at``; a scalar is not accepted, since it has no series.

        Raises:
            Unreachable, Misbehaved, AccessDenied: there is no usable answer.
        """
        return self._ask(query, at, "vector", "value")

    def diagnose(self) -> tuple[Finding, ...]:
        """Whether it is reached and answers."""
        try:
            answer = self.value("prometheus_build_info", at=_now_by(self._client))
        except CouldNotTell as error:
            advice = "check the address, the network and the token of this environment's metrics"
            return (Finding(system=SYSTEM, what="reach", good=False, sentence=str(error), advice=advice),)
        versions = sorted({series.labels.get("version", "?") for series in answer.series})
        said = (
            f"version {', '.join(versions)}"
            if versions
            else "it does not scrape itself, so its version is not known"
        )
        return (
            Finding(system=SYSTEM, what="reach", good=True, sentence=f"{self._url} answers"),
            Finding(system=SYSTEM, what="version", good=True if versions else None, sentence=said),
        )

    def _keep(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._kept.response = response

    def _ask(self, query: str, at: float, kind: str, key: str) -> Answer:
        try:
            self._client.custom_query(query, params={"time": repr(at)})
        except PrometheusApiClientException:
            raise _refusal(self._kept.response, query) from None
        except (ValueError, KeyError, TypeError):  # HTML for JSON, or JSON of another shape: judged below
            pass
        except requests.RequestException as error:
            raise Unreachable(SYSTEM, f"no answer from {self._url}: {type(error).__name__}") from None
        body = _body(self._kept.response, query)
        data = body.get("data")
        if not isinstance(data, Mapping) or data.get("resultType") != kind:
            found = data.get("resultType") if isinstance(data, Mapping) else type(data).__name__
            raise Misbehaved(SYSTEM, f"answered a {found} where a {kind} was asked for: {query}")
        warnings = (*_texts(body.get("warnings")), *_texts(body.get("infos")))
        try:
            series = tuple(_series(one, key) for one in data["result"])
        except (KeyError, TypeError, ValueError) as error:
            raise Misbehaved(SYSTEM, f"a series cannot be read ({error}): {query}") from None
        return Answer(query=query, at=at, server=self._url, series=series, warnings=warnings)


def _now_by(client: PrometheusConnect) -> float:
    """The server's own time: a diagnosis must not depend on our clock."""
    try:
        result = client.custom_query("time()")
        return float(result[0])
    except Exception:  # the query that follows says what is wrong
        return 0.0


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list) else ()


def _series(raw: Mapping[str, Any], key: str) -> Series:
    if "histogram" in raw or "histograms" in raw:
        raise ValueError("native histograms cannot be counted by edges")
    samples = raw[key] if key == "values" else [raw[key]]
    return Series(
        labels=dict(raw["metric"]),
        samples=tuple((float(at), float(value)) for at, value in samples),
    )


def _body(response: requests.Response, query: str) -> Mapping[str, Any]:
    try:
        body = response.json()
    except ValueError:
        raise Misbehaved(SYSTEM, f"answered no JSON but {response.text[:60]!r}: {query}") from None
    if not isinstance(body, Mapping) or body.get("status") != "success":
        said = body.get("error", "no reason given") if isinstance(body, Mapping) else "a list"
        raise Misbehaved(SYSTEM, f"answered an error: {said}: {query}")
    return body


def _refusal(response: requests.Response, query: str) -> CouldNotTell:
    status = response.status_code
    try:
        said = str(response.json().get("error", ""))[:200]
    except (ValueError, AttributeError):
        said = response.text[:60]
    if status in (401, 403):
        return AccessDenied(SYSTEM, f"HTTP {status}: the token of this environment's metrics is not accepted")
    if status in (400, 404, 422):
        return Misbehaved(SYSTEM, f"HTTP {status}: {said}: {query}")
    return Unreachable(SYSTEM, f"HTTP {status}: {said}")
