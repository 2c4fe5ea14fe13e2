"""Is the candidate worse than the stable version? Counts of both arms, looked at as often as one likes."""

from __future__ import annotations

from gates.canary.gate import Canary
from gates.canary.settings import CanarySettings

__all__ = ["Canary", "CanarySettings"]
