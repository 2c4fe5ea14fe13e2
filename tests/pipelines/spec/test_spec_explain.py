"""Sentences made of what pydantic finds: for shapes that gates of third parties may have."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from gates import registry
from pipelines.errors import SpecInvalid
from pipelines.spec.explain import explain, keys
from pipelines.spec.read import read_platform
from pipelines.spec.yaml import load

PLATFORM = (Path(__file__).parents[3] / "gitops-repo" / "platform.yaml").read_text("utf-8")


@dataclass(frozen=True)
class Slice:
    """One part of the golden set."""

    column: str
    floor_percent: float = 90.0


@dataclass(frozen=True)
class Settings:
    """Settings with everything a dataclass may hold."""

    path: str
    slices: tuple[Slice, ...] = ()
    floors: dict[str, Slice] = field(default_factory=dict)
    extra: Slice | None = None
    since: datetime | None = None
    few: Annotated[tuple[int, ...], Field(max_length=1)] = ()


def told(text: str) -> list[str]:
    """What is said of settings at the root of a file."""
    document = load(text, "f.yaml")
    try:
        TypeAdapter(Settings).validate_python(document.value, extra="forbid")
    except ValidationError as error:
        return [str(problem) for problem in explain(error, Settings, document)]
    return []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path: p", []),
        ("pth: p", ["f.yaml:1: path: is missing", "f.yaml:1: pth: unknown key (hint: did you mean `path`?)"]),
        (
            "path: p\nslices:\n  - column: a\n    flor_percent: 1",
            ["f.yaml:4: slices[0].flor_percent: unknown key (hint: did you mean `floor_percent`?)"],
        ),
        (
            "path: p\nfloors: {a: {colum: x, column: y}}",
            ["f.yaml:2: floors.a.colum: unknown key (hint: did you mean `column`?)"],
        ),
        (
            "path: p\nextra: {column: a, colunm: b}",
            ["f.yaml:2: extra.colunm: unknown key (hint: did you mean `column`?)"],
        ),
        ("path: p\nextra: 3", ['f.yaml:2: extra: must be keys and values; got 3']),
        ("path: p\nfew: [1, 2]", ["f.yaml:2: few: must have at most this many entries: 1; got [1, 2]"]),
    ],
)  # fmt: skip
def test_any_shape_is_explained(text: str, said: list[str]) -> None:
    """Missing, unknown and mistyped keys are named in nested dataclasses too, with the nearest key."""
    assert told(text) == said


def test_what_has_no_sentence_of_ours_keeps_pydantics() -> None:
    """A rule we did not foresee still says what was wrong, and with which value."""
    (said,) = told("path: p\nsince: soon")

    assert said.startswith("f.yaml:2: since: input should be a valid datetime")
    assert said.endswith('; got "soon"')


def test_free_maps_know_no_keys() -> None:
    """Where any key may stand, and below values, nothing is suggested."""
    assert keys(Settings, ("floors",)) == set()
    assert keys(Settings, ("path", "x")) == set()
    assert keys(Settings, ("slices", 0)) == {"column", "floor_percent"}


def test_a_gate_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken package behind a gate is a problem of every tier that asks for it, not a crash."""
    monkeypatch.setitem(sys.modules, "gates.signature", None)
    registry.gate_class.cache_clear()
    try:
        with pytest.raises(SpecInvalid) as refused:
            read_platform(PLATFORM)
    finally:
        registry.gate_class.cache_clear()

    said = [problem for problem in refused.value.problems if problem.path.endswith("gates.signature")]
    assert len(said) == 4
    assert "this gate cannot be used here: import of gates.signature halted" in said[0].message
