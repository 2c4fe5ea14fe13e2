"""An evaluation's verdict as tables of words, for the pull request and the report.

Needs the standard library alone and reads nothing but the verdict, so that a journal is enough to tell it.
Names of slices and ids come from data: whoever writes these tables escapes every cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gates.contract import Measurement, Scalar, Verdict

GATES = frozenset({"evaluation", "answers"})
"""Gates whose evidence is of this form."""
_DIFFERENCE = "_difference"
NOTHING = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table, every cell as it is read."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(verdict: Verdict) -> tuple[Table, ...]:
    """All tables that have a row; none of another gate's verdict."""
    if verdict.gate not in GATES:
        return ()
    facts = verdict.evidence.facts
    found = (
        Table(
            title="Candidate and champion on the same rows",
            head=("measure", "candidate", "champion", "difference", "asked", "rows"),
            rows=tuple(_arms(verdict.evidence.measurements)),
        ),
        Table(
            title="Tests of no difference",
            head=("measure", "test", "p", "p after Holm", "candidate is shown to be"),
            rows=tuple(_tests(facts)),
        ),
        Table(
            title="Slices",
            head=("slice", "rows", "state", "required", "asked", "measured"),
            rows=tuple(_slices(facts)),
        ),
        Table(
            title="Groups that must be treated alike",
            head=(
                "group",
                "rows",
                "state",
                "favourable",
                "impact ratio",
                "opportunity gap",
                "champion's ratio",
            ),
            rows=tuple(_groups(facts)),
        ),
        Table(
            title="Drift of the golden set from the reference",
            head=("feature", "stability index", "largest gap"),
            rows=tuple(_drift(facts)),
        ),
        Table(
            title="Decisions that changed",
            head=("change", "how many", "first rows"),
            rows=tuple(_flips(facts)),
        ),
    )
    return tuple(table for table in found if table.rows)


def maps(facts: Mapping[str, object], key: str) -> tuple[Mapping[str, object], ...]:
    """The objects in a list among the facts; what is none is left out."""
    found = facts.get(key)
    if not isinstance(found, Sequence):
        return ()
    return tuple(one for one in found if isinstance(one, Mapping))


def number(value: object) -> float | None:
    """The number that this is, if it is one."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _arms(found: Sequence[Measurement]) -> Iterator[tuple[str, ...]]:
    names = dict.fromkeys(one.name.removesuffix(_DIFFERENCE) for one in found)
    by = {(one.name, one.arm): one for one in found}
    for name in names:
        candidate, stable = by.get((name, "candidate")), by.get((name, "stable"))
        difference, alone = by.get((f"{name}{_DIFFERENCE}", "")), by.get((name, ""))
        first = candidate or alone or difference
        limits = {"limit": candidate or alone, "margin": difference}
        asked = [
            f"{what} {_say(abs(one.threshold))}"
            for what, one in limits.items()
            if one is not None and one.threshold is not None
        ]
        yield (
            name.replace("_", " "),
            _measured(candidate),
            _measured(stable),
            _measured(difference or alone),
            ", ".join(asked),
            "" if first is None or first.samples is None else f"{first.samples:,}",
        )


def _tests(facts: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    for one in maps(facts, "tests"):
        yield tuple(_say(one.get(key)) for key in ("measure", "method", "p", "holm_p", "shown"))


def _slices(facts: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    for one in maps(facts, "slices"):
        asked, measured = [], []
        for need in maps(one, "needs"):
            name = _say(need.get("measure"))
            kind = "candidate" if need.get("kind") == "floor" else "differences"
            at_least = "at least" if kind == "candidate" else "margin"
            asked.append(f"{name} {at_least} {_say(need.get('limit'))}: {_words(need.get('state'))}")
            found = one.get(kind)
            measured.append(f"{name} {_interval(found.get(name) if isinstance(found, Mapping) else None)}")
        yield (
            _say(one.get("slice")),
            _say(one.get("rows")),
            _words(one.get("state")),
            "yes" if one.get("required") else "",
            ", ".join(asked),
            ", ".join(measured),
        )


def _groups(facts: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    for one in maps(facts, "fairness"):
        itself = one.get("group") == one.get("reference")
        yield (
            _say(one.get("group")),
            _say(one.get("rows")),
            "reference" if itself else _say(one.get("state")),
            _say(one.get("favourable")),
            _interval(one.get("impact_ratio")),
            _interval(one.get("opportunity_gap")),
            _say(one.get("champion_impact_ratio")),
        )


def _drift(facts: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    for one in maps(facts, "input_drift"):
        yield _say(one.get("feature")), _interval(one.get("input_psi")), _interval(one.get("input_ks"))


def _flips(facts: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    found = facts.get("flips")
    if not isinstance(found, Mapping):
        return
    for key in ("newly_flagged", "no_longer_flagged"):
        rows = found.get(f"{key}_rows")
        listed = ", ".join(map(_say, rows)) if isinstance(rows, Sequence) else ""
        yield _words(key), _say(found.get(key)), listed
    yield (
        "newly right, newly wrong",
        f"{_say(found.get('newly_right'))}, {_say(found.get('newly_wrong'))}",
        "",
    )


def _measured(one: Measurement | None) -> str:
    if one is None:
        return ""
    return _interval({"value": one.value, "low": one.low, "high": one.high})


def _interval(found: object) -> str:
    """``0.957 (0.941 to 0.973)``; a dash for nothing."""
    if not isinstance(found, Mapping):
        return NOTHING
    value, low, high = (found.get(key) for key in ("value", "low", "high"))
    return f"{_say(value)} ({_say(low)} to {_say(high)})"


def _words(code: object) -> str:
    return _say(code).replace("_", " ")


def _say(value: Scalar | object) -> str:
    if value is None:
        return NOTHING
    return f"{value:.4g}" if isinstance(value, float) else str(value)
