"""Bad requests of an arm as shares with bounds, and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from gates.binomial import anytime_bounds
from gates.contract import ArmName, Measurement, Status

Kind = Literal["errors", "slow"]


class Finding(NamedTuple):
    """What one rule says."""

    status: Status
    reason: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """Bad requests of one kind at one arm, with their budget as a share (0..1)."""

    kind: Kind
    arm: ArmName
    bad: int
    total: int
    budget: float
    alpha: float
    """Chance that the true share is ever outside the bounds."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Of the true share; they hold at every look."""
        return anytime_bounds(self.bad, self.total, self.alpha)

    @property
    def share(self) -> float:
        """As counted; 0 of nothing is 0."""
        return self.bad / self.total if self.total else 0.0

    @property
    def over(self) -> bool:
        """Shown to be over its budget."""
        return self.bounds[0] > self.budget

    def measurement(self) -> Measurement:
        """As evidence, in percent."""
        low, high = self.bounds
        return Measurement(
            name=f"{self.kind}_share",
            value=100 * self.share if self.total else None,
            unit="percent",
            arm=self.arm,
            samples=self.total,
            low=100 * low,
            high=100 * high,
            threshold=100 * self.budget,
        )

    def __str__(self) -> str:
        low, high = self.bounds
        what = "failed" if self.kind == "errors" else "were slow"
        return (
            f"{self.bad} of {self.total} {self.arm} requests {what}: {100 * self.share:.2f} % "
            f"({100 * low:.2f} to {100 * high:.2f}), {100 * self.budget:g} % is the budget"
        )


def judge_share(candidate: Bad, stable: Bad | None) -> Finding:
    """What the bad requests of one kind say; ``stable`` is None where there is no other arm."""
    if candidate.over and not (stable and stable.over):
        return Finding(Status.FAIL, "objective_missed", str(candidate))
    if stable and candidate.over:
        both = "both arms miss it, so it is not the candidate's"
        return Finding(Status.UNKNOWN, "both_arms_bad", f"{both}: {candidate}; {stable}")
    if candidate.share > candidate.budget:
        return Finding(Status.WAIT, "not_shown", f"over budget so far, but not shown to be: {candidate}")
    return Finding(Status.PASS, "within_objectives", str(candidate))
