"""The record beside an InferenceService: who is stable, who is candidate, and at which share.

KServe in Knative mode keeps the stable version in its status alone, and promotion data on the
InferenceService would make a new revision: so both are written into a ConfigMap of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_FACTS = ("label", "uri", "digest")
_ARMS = ("stable", "candidate")
KEYS = ("promotion", "share_percent", *(f"{arm}.{fact}" for arm in _ARMS for fact in (*_FACTS, "alias")))
"""Every key a record may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a record says. An arm is its ``label``, ``uri``, ``digest`` and, where it had one, ``alias``."""

    promotion: str
    share_percent: int
    stable: Mapping[str, str] | None
    candidate: Mapping[str, str] | None

    @property
    def serving(self) -> Mapping[str, str]:
        """The newest artifact that the InferenceService names."""
        newest = self.candidate or self.stable
        assert newest is not None  # noqa: S101 - read_record refuses a record without any
        return newest


def read_record(data: Mapping[str, Any]) -> Recorded:
    """Read the data of a record's ConfigMap.

    Raises:
        ValueError: with one sentence on what is wrong.
    """
    strange = [key for key, value in data.items() if key not in KEYS or not isinstance(value, str)]
    if strange:
        raise ValueError(f"{strange[0]!r} is no key of a record, or no text")
    share = data.get("share_percent", "")
    if not re.fullmatch("0|[1-9][0-9]?|100", share):
        raise ValueError(f"share_percent is {share!r}, not a whole number from 0 to 100")
    if "promotion" not in data:
        raise ValueError("promotion is missing")
    stable, candidate = (_arm(data, arm) for arm in _ARMS)
    if stable is None and candidate is None:
        raise ValueError("names neither a stable nor a candidate version")
    if share != "100" and (stable is None or candidate is None):
        raise ValueError(f"says {share} %, and has no two versions to share among")
    return Recorded(promotion=data["promotion"], share_percent=int(share), stable=stable, candidate=candidate)


def _arm(data: Mapping[str, Any], arm: str) -> dict[str, str] | None:
    prefix = f"{arm}."
    found = {key.removeprefix(prefix): value for key, value in data.items() if key.startswith(prefix)}
    missing = [fact for fact in _FACTS if fact not in found]
    if found and missing:
        raise ValueError(f"{prefix}{missing[0]} is missing")
    return found or None
