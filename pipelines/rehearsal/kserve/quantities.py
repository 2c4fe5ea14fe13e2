"""Kubernetes quantities as the API server stores them: ``1.5`` becomes ``1500m``, ``2048Mi`` ``2Gi``."""

from __future__ import annotations

import math
import re
from fractions import Fraction

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {"n": -3, "u": -2, "m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_SHAPE = re.compile(r"([+-]?)(\d+(?:\.\d*)?|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]?|[eE][+-]?\d+)")


def canonical(value: object) -> str:
    """The stored form of a quantity written as text or number.

    The largest suffix that needs no fraction; binary suffixes stay binary unless the value is below 1024
    or fractional. Finer than a nano is rounded up, as Kubernetes does.

    Raises:
        ValueError: not a quantity.
    """
    match = _SHAPE.fullmatch(str(value))
    if not match or isinstance(value, bool):
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*)$'")
    sign, digits, suffix = match.groups()
    number = Fraction(digits if not digits.endswith(".") else digits[:-1])
    if suffix in _BINARY[1:]:
        text = _binary(number * 1024 ** _BINARY.index(suffix))
    elif suffix[:1] in ("e", "E") and suffix[1:]:
        text = _decimal(number * Fraction(10) ** int(suffix[1:]))
    else:
        text = _decimal(number * Fraction(1000) ** _DECIMAL[suffix])
    return f"-{text}" if sign == "-" and text != "0" else text


def _binary(number: Fraction) -> str:
    if number.denominator != 1 or number < 1024:
        return _decimal(number)
    whole, power = int(number), 0
    while whole % 1024 == 0 and power < len(_BINARY) - 1:
        whole, power = whole // 1024, power + 1
    return f"{whole}{_BINARY[power]}"


def _decimal(number: Fraction) -> str:
    if number == 0:
        return "0"
    whole, power = math.ceil(number * 10**9), -3
    while whole % 1000 == 0 and power < 6:
        whole, power = whole // 1000, power + 1
    suffix = next(name for name, value in _DECIMAL.items() if value == power)
    return f"{whole}{suffix}"
