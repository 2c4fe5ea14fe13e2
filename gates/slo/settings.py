"""What can be set of the gate slo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Lt

from gates.slo.queries import UserQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class SloSettings:
    """How the objectives are tested."""

    alpha: Annotated[float, Gt(0), Lt(1)] = 0.01
    """Chance that a good candidate ever fails by chance at one share, over all looks and objectives."""
    minimum_requests: Annotated[int, Ge(1)] = 100
    """Of each arm, before anything can pass."""
    queries: tuple[UserQuery, ...] = ()
    """Questions of your own in PromQL, about the candidate."""
