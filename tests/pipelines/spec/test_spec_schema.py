"""The JSON Schemas for editors: they take what the reader takes, refuse plain mistakes, and never waver."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipelines.spec.schema import schemas
from pipelines.spec.yaml import load

SAMPLE = Path(__file__).parents[3] / "gitops-repo"
FILES = {
    "platform": SAMPLE / "platform.yaml",
    "release": SAMPLE / "models/fraud-scorer/release.yaml",
    "clients": SAMPLE / "models/fraud-scorer/clients.yaml",
}


def sample(name: str) -> dict[str, Any]:
    """A sample file as JSON values."""
    value = load(FILES[name].read_text("utf-8"), name).value
    return json.loads(json.dumps(value, default=lambda instant: instant.isoformat()))


@pytest.mark.parametrize("name", FILES)
def test_takes_the_sample(name: str) -> None:
    """The sample is valid, and the schema itself is a valid schema."""
    schema = schemas(("approval", "signature"))[name]

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(sample(name), schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("release", ["tenannt"], "x"),
        ("release", ["version", "digest"], "sha256:12"),
        ("release", ["serving", "protocol"], "v3"),
        ("release", ["slo", "peak_rps"], "fast"),
        ("release", ["gates", "approval"], {"unknown": 1}),
        ("platform", ["tiers", "dev", "strategy"], "canery"),
        ("platform", ["tiers", "dev", "shares"], [0, 100]),
        ("platform", ["tiers", "dev", "hold_budget"], "ten minutes"),
        ("platform", ["systems", "registry", "token"], "s3cr3t"),
        ("platform", ["tiers", "dev", "gates", "approval"], {"types": "normal"}),
    ],
)
def test_refuses_plain_mistakes(name: str, path: list[str], value: object) -> None:
    """What an editor can see at once is refused there."""
    broken = copy.deepcopy(sample(name))
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schemas(("approval",))[name], cls=jsonschema.Draft202012Validator)


def test_is_the_same_every_time() -> None:
    """Two processes with different hash seeds write the same bytes."""
    program = (
        "import json; from pipelines.spec.schema import schemas; print(json.dumps(schemas(('approval',))))"
    )
    written = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }

    assert len(written) == 1
    assert schemas() == schemas()


def test_speaks_to_people() -> None:
    """Fields carry their docstrings, durations their written form, gates their own keys when asked for."""
    defs = schemas(("approval",))["platform"]["$defs"]

    assert "How long 100 % is watched" in defs["Tier"]["properties"]["soak"]["description"]
    assert defs["Tier"]["properties"]["soak"]["default"] == "0s"
    assert defs["ChangeDesk"]["properties"]["window"]["default"] == "4h"
    assert "service_account" in defs["Tier"]["properties"]["gates"]["properties"]["approval"]["properties"]
    assert schemas()["platform"]["$defs"]["Tier"]["properties"]["gates"]["properties"] == {}
