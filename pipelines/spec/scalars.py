"""What a scalar of a YAML file means, and how values are shown in messages.

YAML 1.1 and 1.2 readers disagree about ``no``, ``012`` or ``12:30:45``. Such a word, written without
quotes, is refused instead of guessed; what is left means the same to every reader.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import date, datetime

Path = tuple[str | int, ...]
"""Keys and list positions from the root of a file to a value."""

SHOWN_CHARACTERS = 60
PRIVATE_KEYS = frozenset({"token", "password", "private_key"})
"""Keys whose values are never repeated in a message: somebody may have pasted the secret itself."""

UNWANTED = re.compile(
    "[^\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    "|[\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
"""Characters that are invisible, change the order in which a line is read, or end lines for some readers."""


class Surprise(ValueError):
    """A word that YAML readers understand differently; the message says what to write instead."""

    def __init__(self, message: str, hint: str) -> None:
        self.hint = hint
        super().__init__(message)


Advice = Callable[[str], str]


def _quoted(raw: str) -> str:
    return f'write "{raw}" in quotes if it is text'


def _plain_number(raw: str) -> str:
    digits = raw.replace("_", "").lstrip("+").lstrip("0") or "0"
    return f'write {digits} if it is a number, "{raw}" in quotes if it is text'


def _spelt_out(raw: str) -> str:
    return f'write the number out, such as 0.5 or 1000, or "{raw}" in quotes if it is text'


_SURPRISES: tuple[tuple[re.Pattern[str], str, Advice], ...] = tuple(
    (re.compile(pattern), message, advice)
    for pattern, message, advice in (
        (
            "(?i:yes|no|on|off|y|n)",
            "is true or false to some YAML readers and text to others",
            lambda raw: f'write true or false, or "{raw}" in quotes if it is text',
        ),
        (
            "(?i:true|false|null)",
            "is a keyword to some YAML readers and text to others",
            lambda raw: f'write {raw.lower()}, or "{raw}" in quotes if it is text',
        ),
        ("[-+]?[0-9]+(_+[0-9]*)+([.][0-9_]*)?", "is a number to some YAML readers", _plain_number),
        ("[-+]?0[0-9]+([.][0-9]*)?", "is an octal number to some YAML readers", _plain_number),
        ("[-+]?0[xXoObB][0-9a-fA-F_]+", "is a number in another base to some YAML readers", _quoted),
        (
            "[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+([.][0-9_]*)?",
            "is a number of base sixty to some YAML readers",
            _quoted,
        ),
        ("(?i:[-+]?[.]inf|[.]nan)", "is no number that can be compared", _quoted),
        (
            "[-+]?([.][0-9]+|[0-9]+[.]?[0-9]*)([eE][-+]?[0-9]+)?",
            "is a number to some YAML readers and text to others",
            _spelt_out,
        ),
        ("=", "has a meaning of its own to some YAML readers", _quoted),
    )
)
_WHOLE = re.compile("-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile("-?(0|[1-9][0-9]{0,17})[.][0-9]{1,18}")
_DATE = re.compile("[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(([Tt]|[ ]+)[0-9].*)?")


def plain(raw: str) -> object:
    """The value of a scalar written without quotes.

    Raises:
        Surprise: YAML readers do not agree on what it means.
    """
    if raw in ("", "null", "~"):
        return None
    if raw in ("true", "false"):
        return raw == "true"
    if _WHOLE.fullmatch(raw):
        return int(raw)
    if _DECIMAL.fullmatch(raw):
        return float(raw)
    if _DATE.fullmatch(raw):
        return _date(raw)
    for pattern, message, advice in _SURPRISES:
        if pattern.fullmatch(raw):
            raise Surprise(message, advice(raw[:SHOWN_CHARACTERS]))
    return raw


def _date(raw: str) -> date:
    try:
        return date.fromisoformat(raw) if len(raw) <= 10 else datetime.fromisoformat(raw)
    except ValueError:
        hint = f'write an instant such as 2026-12-24T18:00:00Z, or "{raw[:SHOWN_CHARACTERS]}" in quotes'
        raise Surprise("looks like a date but cannot be read as one", hint) from None


def unwanted(text: str) -> str:
    """The name of the first character no value may hold, such as ``U+0000 (control character)``; else ""."""
    found = UNWANTED.search(text)
    return character(found[0]) if found else ""


def character(one: str) -> str:
    """A character by its number and name."""
    return f"U+{ord(one):04X} ({unicodedata.name(one, 'control character')})"


def is_private(path: Path) -> bool:
    """Whether a value at this key path may be a secret somebody pasted."""
    return not PRIVATE_KEYS.isdisjoint(path)


def show(value: object, path: Path = ()) -> str:
    """A value on one short line for a message; private values and passwords in URLs stay hidden."""
    if is_private(path):
        return "a value that is not repeated here"
    if isinstance(value, date):
        return f"the date {value.isoformat()}"
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = UNWANTED.sub(lambda found: f"\\u{ord(found[0]):04x}", re.sub(r"//[^/\s\"]*@", "//********@", text))
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def word(raw: str, path: Path = ()) -> str:
    """A word as it was written, for a message."""
    return show(raw, path) if is_private(path) else f"`{show(raw).strip(chr(34))}`"


def path_text(path: Path) -> str:
    """A key path for people: ``tiers.regulated.shares[2]``; odd keys in quotes and brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch("[A-Za-z0-9_-]{1,60}", part):
            text += f".{part}" if text else part
        else:
            text += f"[{show(part)}]"
    return text


def near(written: object, choices: Iterable[str]) -> str:
    """A hint: the choice a mistyped word is closest to, or the choices when there are few; else ""."""
    known = sorted(choices)
    close = (
        difflib.get_close_matches(written[:SHOWN_CHARACTERS], known, 1) if isinstance(written, str) else []
    )
    if close:
        return f"did you mean `{close[0]}`?"
    return f"known are {', '.join(known)}" if 0 < len(known) <= 12 else ""
