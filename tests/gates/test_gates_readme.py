"""The README says of every gate what it asks, when, and what it reads; its tables: tests/test_docs.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gates import registry

README = (Path(__file__).parents[2] / "gates" / "README.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", README, flags=re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("name", registry.GATES)
def test_every_gate_has_its_section(name: str) -> None:
    """With its phase, what it reads, and what it keeps as evidence."""
    gate, section = registry.gate_class(name), SECTIONS[name]
    assert f"phase `{gate.phase}`" in section
    assert all(need in section for need in gate.needs)
    assert "| evidence | what it is |" in section


def test_the_entry_point_shown_is_the_one_looked_for() -> None:
    """Else nobody's gate would ever be found."""
    assert f'[project.entry-points."{registry.ENTRY_POINTS}"]' in README
