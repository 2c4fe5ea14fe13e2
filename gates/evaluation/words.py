"""How numbers are said in a verdict's sentence."""

from __future__ import annotations

from gates.evaluation.estimates import Estimate


def said(name: str, one: Estimate, limit: str = "") -> str:
    """``auc 0.9573 (0.9412 to 0.9733, 4000 rows)``, and what it was held against."""
    value = "undefined" if one.value is None else f"{one.value:.4g}"
    held = f", {limit}" if limit else ""
    return f"{name} {value} ({one.low:.4g} to {one.high:.4g}, {one.samples} rows{held})"
