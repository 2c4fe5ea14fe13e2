"""A model registry by MLflow's client (extra ``mlflow``): aliases are resolved, and moved at the very end."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pipelines.errors import AccessDenied, InvalidInput, Misbehaved, Problem, Unreachable
from pipelines.ports import Finding, Resolved

T = TypeVar("T")

_ALIAS = re.compile(r"models:/(?P<model>[^/@]+)@(?P<alias>[A-Za-z0-9_-]+)")
_MISSING = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
_DENIED = {"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"}
_PAGE = 1000


class MlflowRegistry:
    """Satisfies :class:`pipelines.ports.Registry`.

    Args:
        url: of the tracking server, ``https://…``; ``sqlite:///…`` for one file.
        token: bearer token, "" for none. MLflow reads it from the environment alone, so it is laid there for
            as long as a call takes.
        timeout_seconds: per request; a request is tried twice.
    """

    def __init__(self, url: str, token: str = "", *, timeout_seconds: float = 10.0) -> None:
        self._url = url
        self._settings = {
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(max(1, round(timeout_seconds))),
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            **({"MLFLOW_TRACKING_TOKEN": token} if token else {}),
        }

    def resolve(self, alias: str) -> Resolved:
        """Turn ``models:/name@alias`` into the version and the immutable URI it stands for now.

        Raises:
            InvalidInput: not of that form, or no such model or alias.
            AccessDenied: the registry refused the token.
            Unreachable: no usable answer.
        """
        match = _ALIAS.fullmatch(alias)
        if not match:
            raise InvalidInput(
                [Problem(alias, 0, "", "is no registry alias", "write models:/<name>@<alias>")]
            )
        model, name = match["model"], match["alias"]

        def ask(client: Any) -> Resolved:
            found = client.get_model_version_by_alias(model, name)
            uri = client.get_model_version_download_uri(model, found.version)
            return Resolved(alias=alias, version=str(found.version), uri=_address(alias, uri))

        return self._call(alias, ask)

    def set_alias(self, model: str, alias: str, uri: str) -> None:
        """Let an alias name the registered version that has this URI; it does already: fine.

        Raises:
            InvalidInput: no version of the model has this URI, or several have.
        """

        def move(client: Any) -> None:
            versions = [
                str(found.version)
                for found in _versions(client, model)
                if _same(client.get_model_version_download_uri(model, found.version), uri)
            ]
            if len(versions) != 1:
                message = f"{len(versions)} registered versions of {model} have this URI, expected one"
                raise InvalidInput([Problem(uri, 0, "", message, "register the version once")])
            client.set_registered_model_alias(model, alias, versions[0])

        self._call(f"models:/{model}@{alias}", move)

    def diagnose(self) -> tuple[Finding, ...]:
        """Whether the registry can be reached and read with this token."""
        try:
            self._call(self._url, lambda client: client.search_registered_models(max_results=1))
        except (AccessDenied, InvalidInput, Unreachable) as error:
            advice = "check its address, the token, and that the extra mlflow is installed"
            return (Finding(system="registry", what="reach", good=False, sentence=str(error), advice=advice),)
        return (Finding(system="registry", what="reach", good=True, sentence=f"{self._url} answers"),)

    def _call(self, subject: str, act: Callable[[Any], T]) -> T:
        """Run ``act`` with a client, and give MLflow's errors our names."""
        try:
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            hint = "pip install 'lockgate[mlflow]'"
            raise InvalidInput([Problem(subject, 0, "", f"needs MLflow's client ({error})", hint)]) from error
        try:
            with _environment(self._settings):
                return act(MlflowClient(tracking_uri=self._url, registry_uri=self._url))
        except MlflowException as error:
            message = str(error).splitlines()[0]
            if error.error_code in _DENIED:
                raise AccessDenied("registry", f"{subject}: {message}") from error
            if error.error_code in _MISSING:
                raise InvalidInput([Problem(subject, 0, "", message)]) from error
            raise Unreachable("registry", f"{subject}: {message}") from error


def _address(alias: str, uri: str | None) -> str:
    if not uri or "://" not in uri:
        raise Misbehaved("registry", f"{alias} has the artifact address {uri!r}, which is none")
    return uri


def _same(registered: str | None, uri: str) -> bool:
    return (registered or "").rstrip("/") == uri.rstrip("/")


def _versions(client: Any, model: str) -> Iterator[Any]:
    """All registered versions of a model, page by page."""
    quoted = model.replace("'", "''")
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name='{quoted}'", max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
