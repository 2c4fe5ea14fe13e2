"""Prometheus through prometheus-api-client: raw samples and instant values, each with its time.

The library drops what matters most (warnings, the type of the result) and knows no time-out by itself; a hook
on our own session keeps the whole answer.
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

    Only GET is used; it is tried three times when there is no answer, or one of 502, 503 and 504. TLS is
    always verified, and neither proxies nor credentials are taken from the environment.

    Args:
        url: base address; ``/api/v1/query`` follows it.
        token: bearer token, where one is needed.
        ca_file: PEM file of a certificate authority to trust instead of the usual ones.
        timeout_seconds: of one attempt; a query that takes longer is no answer.
    """

    def __init__(
        self, url: str, *, token: str | None = None, ca_file: str | None = None, timeout_seconds: float = 10.0
    ) -> None:
        self._url = url.rstrip("/")
        self._last = threading.local()
        session = requests.Session()
        session.verify = ca_file or True
        session.trust_env = False
        session.hooks["response"].append(self._keep)
        retry = Retry(
            total=2,
            backoff_factor=0.1,
            status_forcelist=(502, 503, 504),
            allowed_methods=frozenset({"GET"}),
            raise_on_status=False,
        )
        self._client = PrometheusConnect(
            self._url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            retry=retry,
            session=session,
            timeout=timeout_seconds,
        )

    def samples(self, selector: str, *, at: float, window_seconds: float) -> Answer:
        """Raw samples of ``selector[window]`` ending at ``at`` (seconds since the epoch).

        Raises:
            Unreachable, Misbehaved, AccessDenied: there is no usable answer.
        """
        window_ms = max(1, math.ceil(window_seconds * 1000))
        return self._ask(f"{selector}[{window_ms}ms]", at, "matrix")

    def value(self, query: str, *, at: float) -> Answer:
        """An instant query evaluated at ``at``; a scalar is not accepted, since it has no series.

        Raises:
            Unreachable, Misbehaved, AccessDenied: there is no usable answer.
        """
        return self._ask(query, at, "vector")

    def diagnose(self) -> tuple[Finding, ...]:
        """Whether it is reached with this token, and its version; raises nothing."""
        try:
            answer = self._ask("prometheus_build_info", None, "vector")
        except CouldNotTell as error:
            what = "rights" if isinstance(error, AccessDenied) else "reach"
            advice = "check url, ca_file and token of this environment's metrics in platform.yaml"
            return (Finding(system=SYSTEM, what=what, good=False, sentence=str(error), advice=advice),)
        reach = Finding(system=SYSTEM, what="reach", good=True, sentence=f"{self._url} answers")
        versions = sorted({series.labels.get("version", "?") for series in answer.series})
        said = (
            f"version {', '.join(versions)}" if versions else "it does not scrape itself: version not known"
        )
        return (reach, Finding(system=SYSTEM, what="version", good=bool(versions) or None, sentence=said))

    def _keep(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._last.response = response

    def _ask(self, query: str, at: float | None, kind: str) -> Answer:
        data, warnings = self._answer(query, at)
        if data.get("resultType") != kind:
            found = data.get("resultType")
            raise Misbehaved(SYSTEM, f"answered a {found} where a {kind} was asked for: {query}")
        try:
            series = tuple(_series(one) for one in data["result"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Misbehaved(SYSTEM, f"a series cannot be read ({error}): {query}") from None
        return Answer(query=query, at=at or 0.0, server=self._url, series=series, warnings=warnings)

    def _answer(self, query: str, at: float | None) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """``data`` and everything the server added to it; ``at=None`` means its own present."""
        try:
            self._client.custom_query(query, params={} if at is None else {"time": f"{at:.3f}"})
        except PrometheusApiClientException:
            raise _refusal(self._last.response, query) from None
        except (requests.JSONDecodeError, KeyError, TypeError):
            pass  # an answer came and is not what it should be: said below
        except requests.RequestException as error:
            raise Unreachable(SYSTEM, f"no answer from {self._url}: {type(error).__name__}") from None
        return _read(self._last.response, query)


def _read(response: requests.Response, query: str) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    try:
        body = response.json()
    except ValueError:
        raise Misbehaved(SYSTEM, f"answered no JSON but {response.text[:60]!r}: {query}") from None
    data = body.get("data") if isinstance(body, dict) and body.get("status") == "success" else None
    if not isinstance(data, dict):
        said = body.get("error", "no data") if isinstance(body, dict) else f"a {type(body).__name__}"
        raise Misbehaved(SYSTEM, f"answered HTTP {response.status_code} and {said}: {query}")
    return data, (*_texts(body.get("warnings")), *_texts(body.get("infos")))


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list) else ()


def _series(raw: Mapping[str, Any]) -> Series:
    if "histogram" in raw or "histograms" in raw:
        raise ValueError("native histograms have no edges to count by")
    samples = raw["values"] if "values" in raw else [raw["value"]]
    labels = {str(name): str(value) for name, value in raw["metric"].items()}
    return Series(labels=labels, samples=tuple((float(at), float(value)) for at, value in samples))


def _refusal(response: requests.Response, query: str) -> CouldNotTell:
    status = response.status_code
    try:
        said = str(response.json()["error"])[:200]
    except (ValueError, KeyError, TypeError):
        said = response.text[:60]
    if status in (401, 403):
        return AccessDenied(SYSTEM, f"HTTP {status}: the token of this environment's metrics is not accepted")
    if status in (400, 404, 422):
        return Misbehaved(SYSTEM, f"HTTP {status}: {said}: {query}")
    return Unreachable(SYSTEM, f"HTTP {status}: {said}")
