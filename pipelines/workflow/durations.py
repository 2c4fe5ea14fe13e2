"""Durations as Argo reads them: whole seconds, or Go's numbers with units such as ``1h30m``."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_MOST_SECONDS = 2**63 / 1e9
"""Go holds a duration in 64 bits of nanoseconds, about 292 years."""


def go_duration(text: str) -> timedelta:
    """A duration with units, as Go's parser takes it.

    Raises:
        ValueError: it is none, or longer than Go can hold.
    """
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return timedelta()
    parts = _PART.findall(rest)
    if not parts or "".join(number + unit for number, unit in parts) != rest:
        raise ValueError(f"{text!r} is no duration; write one such as 90s, 5m or 1h30m")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds > _MOST_SECONDS:
        raise ValueError(f"{text!r} is longer than Argo can hold")
    return timedelta(seconds=sign * seconds)


def duration(text: str) -> timedelta:
    """A duration where Argo also takes a bare number, as seconds.

    Raises:
        ValueError: it is none.
    """
    if re.fullmatch("[-+]?[0-9]{1,10}", text):
        return timedelta(seconds=int(text))
    return go_duration(text)
