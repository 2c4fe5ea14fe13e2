"""Does the candidate hold its objectives under live traffic? (Is it worse than the stable? See ``canary``.)

``shares`` judges counted requests, ``burn`` how fast a budget is spent, ``queries`` what people ask in PromQL
of their own; ``gate`` puts them together.
"""

from __future__ import annotations

from gates.slo.gate import Slo
from gates.slo.queries import UserQuery
from gates.slo.settings import SloSettings
from gates.slo.shares import Bad, Finding, judge_share

__all__ = ["Bad", "Finding", "Slo", "SloSettings", "UserQuery", "judge_share"]
