"""Gates are found by name: ours in one table, those of others by entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import get_args

import pytest

from gates import registry
from gates.contract import Gate, Phase
from gates.registry import GATES, UnfitGate, UnknownGate
from tests.questions import question

THIRD_PARTY = '''
from dataclasses import dataclass

from gates.contract import Status, Verdict


@dataclass(frozen=True)
class TicketSettings:
    prefix: str = "RISK-"


class Ticket:
    """Whether the promotion was asked for under a ticket."""

    name = "ticket"
    phase = "preview"
    needs = frozenset({"tracker"})
    Settings = TicketSettings

    def __init__(self, settings, *, tracker):
        self._settings = settings
        self._tracker = tracker

    def judge(self, question):
        found = [one for one in self._tracker if one.startswith(self._settings.prefix)]
        return Verdict(
            gate=self.name, subject=question.subject, at=question.now,
            status=Status.PASS if found else Status.FAIL,
            reason="ticket_found" if found else "ticket_missing", sentence=f"found {found}",
        )


class Thawed:
    name = "thawed"
    phase = "some day"
    needs = ["tracker"]
    Settings = dict
'''

ENTRY_POINTS = """[lockgate.gates]
ticket = acme_gates:Ticket
thawed = acme_gates:Thawed
slo = acme_gates:Ticket
"""


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[None]:
    """Another company's package is installed."""
    (tmp_path / "acme_gates.py").write_text(THIRD_PARTY)
    metadata = tmp_path / "acme_gates-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-gates\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    _forget()
    sys.path.insert(0, str(tmp_path))
    yield
    sys.path.remove(str(tmp_path))
    sys.modules.pop("acme_gates", None)
    _forget()


def _forget() -> None:
    registry._foreign.cache_clear()
    registry.gate_class.cache_clear()


@pytest.mark.parametrize("name", GATES)
def test_every_gate_of_the_table_is_one(name: str) -> None:
    """It bears its name and says when it is asked, what it reads and how it is set."""
    found = registry.gate_class(name)
    assert found.name == name
    assert found.phase in get_args(Phase)
    assert is_dataclass(found.Settings)


@pytest.mark.parametrize("name", GATES)
def test_every_gate_is_built_from_its_sources_alone(name: str) -> None:
    """Sources it does not need are not passed on."""
    found = registry.gate_class(name)
    sources = {need: object() for need in found.needs} | {"unneeded": object()}
    assert isinstance(registry.build(name, object(), sources), Gate)


def test_an_unknown_name_gets_the_nearest_as_a_hint() -> None:
    """A slip of the pen is the usual reason."""
    with pytest.raises(UnknownGate, match="there is no gate 'signatur'; did you mean signature\\?") as caught:
        registry.gate_class("signatur")
    assert caught.value.hint == "signature"
    with pytest.raises(UnknownGate, match=r"no gate 'xyz'$"):
        registry.build("xyz", None, {})


def test_a_missing_source_is_named() -> None:
    """As of an environment without metrics."""
    with pytest.raises(UnfitGate, match="gate slo needs metrics, and nothing of that name is configured"):
        registry.build("slo", registry.gate_class("slo").Settings(), {})


@pytest.mark.usefixtures("acme")
def test_a_third_partys_gate_is_found_built_and_asked() -> None:
    """An entry point is all it takes."""
    assert registry.names() == (*GATES, "thawed", "ticket")
    settings = registry.gate_class("ticket").Settings(prefix="OPS-")
    gate = registry.build("ticket", settings, {"tracker": ["OPS-7"], "metrics": None})
    assert gate.judge(question()).reason == "ticket_found"


@pytest.mark.usefixtures("acme")
def test_a_third_party_cannot_take_the_name_of_one_of_ours() -> None:
    """What is called slo is ours, whoever else claims to be."""
    assert registry.gate_class("slo").__module__ == "gates.slo.gate"
    assert registry.names().count("slo") == 1


@pytest.mark.usefixtures("acme")
def test_what_is_no_gate_is_refused_with_all_it_lacks() -> None:
    """Found when it is loaded, not when it is first asked."""
    with pytest.raises(UnfitGate) as caught:
        registry.gate_class("thawed")
    for lack in (
        "phase, one of preview, bake, approve",
        "needs, a froz",
        "Settings, a frozen",
        "judge(question)",
    ):
        assert lack in str(caught.value)
    assert "name = " not in str(caught.value)


@dataclass
class Melted:
    """Settings that can change under a gate."""


class Renamed:
    """Nearly a gate."""

    name = "other"
    phase = "bake"
    needs: frozenset[str] = frozenset()
    Settings = Melted

    def judge(self, question: object) -> None:
        """Say nothing."""


def test_settings_that_can_change_and_a_name_of_its_own_are_refused() -> None:
    """A verdict must rest on what was configured."""
    with pytest.raises(UnfitGate, match=r"lacks name = 'renamed'; Settings, a frozen dataclass$"):
        registry._check("renamed", "here:Renamed", Renamed)
