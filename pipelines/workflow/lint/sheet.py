"""One document under the lint: what it says, where, and what was found wrong so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipelines.spec.scalars import Path
from pipelines.spec.yaml import Document
from pipelines.workflow.lint.rules import RULES, Finding

Tree = dict[str, Any]
"""A map of a manifest; after the fields were checked, only what has its place and type."""


@dataclass(slots=True)
class Sheet:
    """A document and its findings."""

    document: Document
    tree: Tree = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be checked, in sentences."""
    _told: set[tuple[str, Path]] = field(default_factory=set)

    @property
    def kind(self) -> str:
        """The kind of object."""
        return str(self.tree.get("kind", ""))

    @property
    def name(self) -> str:
        """The object's name, or what its name begins with."""
        metadata = self.tree.get("metadata") or {}
        return str(metadata.get("name") or metadata.get("generateName") or "")

    def breaks(self, rule: str, path: Path, message: str, fix: str = "") -> None:
        """Note a finding, unless its place was complained about already."""
        if (rule, path) not in self._told and not self._covered(path):
            self._told.add((rule, path))
            problem = self.document.problem(path, message, fix or RULES[rule].fix)
            self.findings.append(Finding(rule, problem))

    def spoil(self, rule: str, path: Path, message: str, fix: str = "") -> None:
        """Note a finding, and be silent about what follows from it."""
        self.breaks(rule, path, message, fix)
        self.document.spoiled.add(path)

    def _covered(self, path: Path) -> bool:
        return any(path[:length] in self.document.spoiled for length in range(1, len(path) + 1))

    def has_spoiled(self, path: Path) -> bool:
        """Whether something directly in a section was complained about."""
        return any(one[:-1] == path for one in self.document.spoiled if one)
