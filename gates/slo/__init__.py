"""Does the candidate hold its objectives under live traffic, and is it no worse than the stable version?

``shares`` judges counted requests, ``burn`` how fast a budget is spent, ``queries`` what people ask in PromQL
of their own; ``gate`` puts them together.
"""

from __future__ import annotations

from gates.slo.gate import Slo
from gates.slo.queries import UserQuery
from gates.slo.settings import SloSettings
from gates.slo.shares import Bad, Finding, judge_share

__all__ = ["Bad", "Finding", "Slo", "SloSettings", "UserQuery", "judge_share"]
