"""Kubernetes quantities in the one form in which the API server stores them.

Anything else in Git differs from the live object for ever. The rule is that of Kubernetes: no fraction,
the largest suffix that needs none, and no binary suffix below 1024.
"""

from __future__ import annotations

import re
from fractions import Fraction

_DECIMAL = {
    "m": Fraction(1, 1000),
    "": Fraction(1),
    **{s: Fraction(1000**n) for n, s in enumerate("kMGTPE", 1)},
}
_BINARY = {f"{s}i": Fraction(1024**n) for n, s in enumerate("KMGTPE", 1)}
_LIMIT = 2**63 - 1


def canonical_quantity(text: str) -> str:
    """The canonical form of a quantity: ``1.5`` is ``1500m``, ``2048Mi`` is ``2Gi``.

    Raises:
        ValueError: it is no quantity, finer than a thousandth, or larger than Kubernetes can hold.
    """
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(m|[kMGTPE]|[KMGTPE]i)?", text)
    if match is None:
        raise ValueError(f"{text!r} is no quantity; write one such as 500m, 2 or 4Gi")
    number, suffix = match[1], match[2] or ""
    value = Fraction(number) * (_BINARY[suffix] if suffix in _BINARY else _DECIMAL[suffix])
    if (value * 1000).denominator != 1:
        raise ValueError(f"{text!r} is finer than a thousandth; round it")
    if value > _LIMIT:
        raise ValueError(f"{text!r} is more than Kubernetes can hold")
    binary = suffix in _BINARY and value >= 1024
    return _shortest(value, {"": Fraction(1), **_BINARY} if binary else _DECIMAL)


def _shortest(value: Fraction, units: dict[str, Fraction]) -> str:
    if value == 0:
        return "0"
    fitting = [(size, suffix) for suffix, size in units.items() if (value / size).denominator == 1]
    if not fitting:  # a binary quantity with a fraction of a byte is held in thousandths
        return _shortest(value, _DECIMAL)
    size, suffix = max(fitting)
    return f"{value / size}{suffix}"
