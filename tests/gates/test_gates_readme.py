"""The README says of every gate what can be set and what it may answer."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from gates import registry
from gates.counts import Gap
from gates.policy.rules import RULES

README = (Path(__file__).parents[2] / "gates" / "README.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", README, flags=re.MULTILINE | re.DOTALL))


def reasons(documented: object) -> set[str]:
    """The reasons in the table of a docstring: words with an underscore, each in a cell of its own."""
    table = re.findall(
        r"(?:^|\s{2,})([a-z]+(?:_[a-z]+)+)(?=\s{2,}|\s*$)", inspect.getdoc(documented) or "", re.M
    )
    return set(table)


@pytest.mark.parametrize("name", registry.GATES)
def test_every_gate_has_its_section(name: str) -> None:
    """With its phase and what it reads."""
    gate, section = registry.gate_class(name), SECTIONS[name]
    assert f"phase `{gate.phase}`" in section
    assert all(need in section for need in gate.needs)


@pytest.mark.parametrize("name", registry.GATES)
def test_every_setting_is_in_the_table_with_its_default(name: str) -> None:
    """And no other."""
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", SECTIONS[name], flags=re.MULTILINE))
    settings = {field.name: field for field in fields(registry.gate_class(name).Settings)}
    for key, field in settings.items():
        if field.default is MISSING and field.default_factory is MISSING:
            assert rows[key] == "required"
        elif field.default_factory is MISSING:
            assert rows[key].strip("`").replace('"', "'") in (
                repr(field.default),
                repr(field.default).lower(),
            )


@pytest.mark.parametrize("name", registry.GATES)
def test_every_reason_is_in_the_table(name: str) -> None:
    """As the gate's own docstring, or the table of rules, lists them."""
    there = set(re.findall(r"\| `(\w+)` \|$", SECTIONS[name], flags=re.MULTILINE))
    assert (set(RULES) if name == "policy" else reasons(registry.gate_class(name))) <= there
    assert there


def test_every_gap_is_in_the_table() -> None:
    """Five ways and more in which a metric can be missing."""
    assert {"no_data", "partial_data", "stale_data", "not_a_number", "several_series"} <= reasons(Gap)
    assert all(f"`{reason}`" in SECTIONS["Counting requests"] for reason in reasons(Gap))


def test_the_entry_point_shown_is_the_one_looked_for() -> None:
    """Else nobody's gate would ever be found."""
    assert f'[project.entry-points."{registry.ENTRY_POINTS}"]' in README
