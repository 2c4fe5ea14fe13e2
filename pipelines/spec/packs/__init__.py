"""Policy packs: what must be in the evidence of a promotion, as versioned YAML beside this file.

A tier names one by ``evidence: sr-26-2``. What a pack wants changes only together with its version.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Annotated, Literal

from annotated_types import Ge, Len
from pydantic import Field

from pipelines.spec.types import Frozen, Risk, Tier
from pipelines.spec.yaml import load

RiskKey = Literal[
    "materiality",
    "intended_use",
    "methodology",
    "data",
    "limitations",
    "compensating_controls",
    "monitoring",
    "rollback_plan",
    "developer",
    "validator",
]
Role = Literal["developer", "validator", "approver"]


class RequiredVerdict(Frozen):
    """A gate that must have said PASS, and what its evidence must hold."""

    gate: str
    why: str
    facts: tuple[str, ...] = Field((), strict=False)
    intervals: bool = False
    """Whether one of its numbers must have bounds."""


class Pack(Frozen):
    """What must be in the evidence."""

    name: str
    version: Annotated[int, Ge(1)]
    title: str
    release: dict[RiskKey, str]
    """Key of ``risk`` in release.yaml -> what is to be said there."""
    verdicts: Annotated[tuple[RequiredVerdict, ...], Len(1)] = Field(strict=False)
    distinct: tuple[Role, ...] = Field(strict=False)
    """People of whom no two may be the same."""

    def unsaid(self, risk: Risk | None) -> tuple[str, ...]:
        """Each key of ``risk`` that says nothing, with what is to be said there."""
        return tuple(
            f"risk.{key} ({why})" for key, why in self.release.items() if not getattr(risk, key, None)
        )

    def unasked(self, tier: Tier) -> tuple[str, ...]:
        """The gates whose verdicts it wants and that decide nothing in a tier."""
        weighted = tier.score.weights if tier.score else {}
        return tuple(
            one.gate
            for one in self.verdicts
            if one.gate not in tier.gates or one.gate in tier.informative or one.gate in weighted
        )


def names() -> tuple[str, ...]:
    """The packs there are."""
    files = (file.name for file in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


@cache
def text_of(name: str) -> str:
    """A pack as it is written; KeyError when there is none."""
    if name not in names():
        raise KeyError(name)
    return (resources.files(__name__) / f"{name}.yaml").read_text("utf-8")


def read_pack(text: str) -> Pack:
    """A pack from its YAML.

    Raises:
        SpecInvalid: it is no strict YAML.
        pydantic.ValidationError: it is no pack.
    """
    return Pack.model_validate(load(text, "pack.yaml").value)


def pack(name: str) -> Pack:
    """The pack of a name; KeyError when there is none."""
    return read_pack(text_of(name))
