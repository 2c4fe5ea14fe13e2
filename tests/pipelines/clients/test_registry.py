"""Aliases are resolved and moved in a real MLflow registry on SQLite."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from pipelines.clients.registry import MlflowRegistry
from pipelines.errors import AccessDenied, InvalidInput, Misbehaved, Unreachable
from pipelines.rehearsal.processes import free_port

mlflow = pytest.importorskip("mlflow")
pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)

MODEL = "fraud-scorer"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry with three versions of one model; the third has the second's artifact again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        url = f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db"
        client = mlflow.MlflowClient(tracking_uri=url, registry_uri=url)
        client.create_registered_model(MODEL)
        for label in ("v1", "v2", "twice", "twice"):
            client.create_model_version(MODEL, f"s3://models/{MODEL}/{label}")
    return url


@pytest.fixture
def registry(url: str) -> MlflowRegistry:
    return MlflowRegistry(url)


def test_an_alias_is_resolved_to_version_and_uri(registry: MlflowRegistry) -> None:
    """All three are given: the alias asked, the version it named, the immutable URI."""
    registry.set_alias(MODEL, "champion", f"s3://models/{MODEL}/v1")

    resolved = registry.resolve(f"models:/{MODEL}@champion")

    assert (resolved.alias, resolved.version, resolved.uri) == (
        f"models:/{MODEL}@champion",
        "1",
        f"s3://models/{MODEL}/v1",
    )


def test_an_alias_moves_and_moving_again_is_fine(registry: MlflowRegistry) -> None:
    """After a promotion the alias names the new version; a rerun changes nothing."""
    for uri in (f"s3://models/{MODEL}/v1", f"s3://models/{MODEL}/v2", f"s3://models/{MODEL}/v2/"):
        registry.set_alias(MODEL, "live", uri)

    assert registry.resolve(f"models:/{MODEL}@live").version == "2"


@pytest.mark.parametrize(
    ("uri", "message"),
    [("s3://models/other", "0 registered versions"), (f"s3://models/{MODEL}/twice", "2 registered")],
)
def test_an_alias_needs_exactly_one_version(registry: MlflowRegistry, uri: str, message: str) -> None:
    """None, or several with the same URI: which one is not ours to guess."""
    with pytest.raises(InvalidInput, match=message):
        registry.set_alias(MODEL, "champion", uri)


@pytest.mark.parametrize(
    "alias",
    [
        "fraud-scorer",
        f"models:/{MODEL}/1",
        f"models:/{MODEL}",
        "models:/@champion",
        f"models:/{MODEL}@a b",
        "s3://x@y",
    ],
)
def test_what_is_no_alias_is_refused(registry: MlflowRegistry, alias: str) -> None:
    """A version number, a name alone, a foreign address."""
    with pytest.raises(InvalidInput, match="is no registry alias"):
        registry.resolve(alias)


@pytest.mark.parametrize("alias", [f"models:/{MODEL}@nobody", "models:/nothing@champion"])
def test_an_unknown_alias_or_model_is_what_somebody_wrote_wrongly(
    registry: MlflowRegistry, alias: str
) -> None:
    """The registry answered, and it knows no such thing: exit code 3, not an outage."""
    with pytest.raises(InvalidInput, match="not found") as caught:
        registry.resolve(alias)

    assert caught.value.exit_code == 3
    assert caught.value.problems[0].file == alias


def test_a_registry_that_answers_is_found_good(registry: MlflowRegistry, url: str) -> None:
    """Doctor's line."""
    (finding,) = registry.diagnose()

    assert finding.good
    assert finding.sentence == f"{url} answers"


# ------------------------------------------------------------------- over HTTP


@pytest.fixture
def server(httpserver: HTTPServer) -> Iterator[HTTPServer]:
    yield httpserver
    httpserver.clear()


def resolving(server: HTTPServer, uri: str) -> list[str]:
    """Let the server answer all questions of a resolution; the tokens it sees are collected."""
    seen: list[str] = []
    answers = {
        "registered-models/alias": {"model_version": {"name": MODEL, "version": "7"}},
        "registered-models/get": {"registered_model": {"name": MODEL}},
        "model-versions/get-download-uri": {"artifact_uri": uri},
    }

    def answer(request: Request) -> Response:
        seen.append(request.headers.get("Authorization", ""))
        return Response(
            json.dumps(answers[request.path.split("/mlflow/")[1]]), content_type="application/json"
        )

    server.expect_request(re.compile("/api/2.0/mlflow/.*")).respond_with_handler(answer)
    return seen


def test_the_token_goes_with_the_request_and_nowhere_else(server: HTTPServer) -> None:
    """It is a bearer token on the wire, and gone from the environment afterwards."""
    seen = resolving(server, "s3://models/v7")
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "77"
    try:
        resolved = MlflowRegistry(server.url_for("").rstrip("/"), "secret").resolve(
            "models:/fraud-scorer@champion"
        )
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    finally:
        del os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]

    assert (resolved.version, resolved.uri) == ("7", "s3://models/v7")
    assert set(seen) == {"Bearer secret"}
    assert "MLFLOW_TRACKING_TOKEN" not in os.environ


def test_a_version_without_an_address_is_nonsense(server: HTTPServer) -> None:
    """An artifact URI that is none cannot be rendered."""
    resolving(server, "nowhere")

    with pytest.raises(Misbehaved, match="'nowhere', which is none"):
        MlflowRegistry(server.url_for("").rstrip("/")).resolve("models:/fraud-scorer@champion")


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "UNAUTHENTICATED"])
def test_a_refused_token_is_a_missing_right(server: HTTPServer, code: str) -> None:
    """The token is not repeated."""
    body = {"error_code": code, "message": "no right to read"}
    server.expect_request("/api/2.0/mlflow/registered-models/alias").respond_with_json(body, status=403)

    with pytest.raises(AccessDenied, match="no right to read") as caught:
        MlflowRegistry(server.url_for("").rstrip("/"), "secret").resolve("models:/fraud-scorer@champion")
    assert "secret" not in str(caught.value)


def test_a_registry_that_is_down_is_an_outage_and_found_bad(tmp_path: Path) -> None:
    """Nothing listens; doctor says what to look at."""
    registry = MlflowRegistry(f"http://127.0.0.1:{free_port()}", timeout_seconds=1.0)

    with pytest.raises(Unreachable, match="registry: models:/fraud-scorer@champion"):
        registry.resolve("models:/fraud-scorer@champion")
    (finding,) = registry.diagnose()
    assert finding.good is False
    assert "check its address" in finding.advice
