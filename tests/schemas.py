"""Holds manifests against strict JSON schemas of their kinds, where a folder of such schemas is at hand.

The folder is LOCKGATE_SCHEMAS, else ``../shared/schemas`` beside the checkout. Where there is none, a test
that asks is skipped and says which folder it looked for. A kind without a schema is an error.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

FOLDER = Path(
    os.environ.get("LOCKGATE_SCHEMAS") or Path(__file__).resolve().parents[2] / "shared" / "schemas"
)


@functools.cache
def _validator(path: Path) -> Draft202012Validator:
    return Draft202012Validator(json.loads(path.read_text()))


def schema_errors(manifest: Mapping[str, Any]) -> list[str]:
    """Every way in which a manifest does not fit the schema of its kind; skips where there are no schemas."""
    if not FOLDER.is_dir():
        pytest.skip(f"no schemas in {FOLDER}; name their folder in LOCKGATE_SCHEMAS")
    group, _, version = str(manifest["apiVersion"]).rpartition("/")
    path = FOLDER / f"{group or 'core'}_{str(manifest['kind']).lower()}_{version}.json"
    if not path.is_file():
        return [f"there is no schema {path.name}"]
    return [f"{error.json_path}: {error.message}" for error in _validator(path).iter_errors(manifest)]
