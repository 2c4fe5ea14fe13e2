"""Values by themselves: schedules, time zones, names of objects."""

from __future__ import annotations

import calendar
import functools
import re
import zoneinfo

_LABEL = re.compile("[a-z0-9]([-a-z0-9]*[a-z0-9])?")
TEMPLATE_NAME = re.compile("[a-zA-Z0-9][-a-zA-Z0-9]*")
PARAMETER_NAME = re.compile("[-a-zA-Z0-9_]+")
_MONTHS = {name.lower(): at for at, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name.lower(): (at + 1) % 7 for at, name in enumerate(calendar.day_abbr)}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("weekday", 0, 6, _DAYS),
)
_SHORT = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}


def object_name_problem(name: str, most: int, *, begins: bool = False) -> str:
    """Why a name is none for an object of Kubernetes; "" when it is one.

    Args:
        name: the name.
        most: how long it may be.
        begins: whether only its beginning is given, which may end in a dash.
    """
    whole = name.rstrip("-.") if begins else name
    if len(name) > most:
        return f"has {len(name)} characters; at most {most} fit"
    if not whole or not all(_LABEL.fullmatch(part) for part in whole.split(".")):
        return f"{name!r} is no name of an object: lower-case letters, digits and dashes"
    return ""


def schedule_problem(text: str) -> str:
    """Why a cron schedule cannot be read; "" when it can."""
    zone = re.match(r"(?:CRON_)?TZ=(\S*)\s+", text)
    if zone:
        if not is_timezone(zone[1]):
            return f"names the time zone {zone[1]!r}, which nobody knows"
        text = text[zone.end() :]
    text = text.strip()
    if text.startswith("@every "):
        return (
            "" if re.fullmatch(r"@every ([0-9.]+(ns|us|µs|ms|s|m|h))+", text) else f"{text!r} has no duration"
        )
    if text.startswith("@"):
        return "" if text in _SHORT else f"{text!r} is none of {', '.join(sorted(_SHORT))}, @every"
    parts = text.split()
    if len(parts) != len(_FIELDS):
        return f"has {len(parts)} fields; minute, hour, day, month and weekday are {len(_FIELDS)}"
    told = (_field_problem(part, *field) for part, field in zip(parts, _FIELDS, strict=True))
    return next((one for one in told if one), "")


def _field_problem(text: str, name: str, low: int, high: int, words: dict[str, int]) -> str:
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if slash and not (step.isdigit() and int(step) > 0):
            return f"{name} {text!r} has no step behind /"
        if span in ("*", "?"):
            continue
        ends = [_number(end, words) for end in span.split("-")]
        if len(ends) > 2 or None in ends:
            return f"{name} {text!r} cannot be read"
        numbers = [end for end in ends if end is not None]
        if not all(low <= number <= high for number in numbers):
            return f"{name} {text!r} is not between {low} and {high}"
        if numbers != sorted(numbers):
            return f"{name} {text!r} ends before it begins"
    return ""


def _number(text: str, words: dict[str, int]) -> int | None:
    return int(text) if text.isdigit() else words.get(text.lower())


def is_timezone(name: str) -> bool:
    """Whether a time zone is known; every one is where this machine has no list of them."""
    known = _timezones()
    return name in ("", "Local", "UTC") or not known or name in known


@functools.cache
def _timezones() -> set[str]:
    return zoneinfo.available_timezones()
