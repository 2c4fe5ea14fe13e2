"""What a list of scores is worth: measures with their intervals, for one arm and for two on the same rows.

All intervals are two-sided at the confidence ``1 - alpha``. A row is *flagged* when its score is at least
the decision threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gates.evaluation.estimates import (
    Counted,
    Estimate,
    Law,
    Normal,
    Paired,
    Weighed,
    Within,
    estimate,
    holm,
    mcnemar,
    p_value,
)
from gates.evaluation.ranking import PrecisionRecall, delong, placements
from gates.evaluation.resampling import Resampled, is_drawn, linear, resampled

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

Areas = Literal["left_out", "limit", "drawn"]
"""Whether the area under the precision-recall curve is measured, and whether its rows are really drawn again,
which costs more than all else, or its interval is that of the bootstrap's linear limit."""
Method = Literal["mcnemar", "delong", "bootstrap", "linear", "normal", "score"]

SMALLER_IS_BETTER = frozenset({"log_loss", "brier", "cost"})
_NEARLY_NONE = float(np.finfo(np.float64).eps)
LISTED = 20
"""How many rows with another decision are named, of either kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How scores become decisions, and what wrong ones cost."""

    threshold: float
    alpha: float
    """What an interval's two sides together may err with."""
    false_positive_cost: float = 0.0
    """Of a row flagged and labelled 0; with both costs 0 nothing is said about cost."""
    false_negative_cost: float = 0.0
    """Of a row not flagged and labelled 1."""

    @property
    def priced(self) -> bool:
        """Whether any mistake costs anything."""
        return self.false_positive_cost > 0 or self.false_negative_cost > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """Decisions that the candidate takes otherwise than the champion; row numbers count from 1."""

    newly_flagged: int
    newly_flagged_rows: tuple[int, ...]
    """The first of them, :data:`LISTED` at most."""
    no_longer_flagged: int
    no_longer_flagged_rows: tuple[int, ...]
    newly_right: int
    newly_wrong: int
    mcnemar_p: float
    """Exact probability of so uneven a split of right and wrong flips between equally good models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """One paired test of no difference at all."""

    measure: str
    method: Method
    p: float
    holm_p: float
    """Adjusted for the number of tests."""
    shown: Literal["better", "worse", "neither"]
    """What the candidate is shown to be, over all tests together, at the confidence of the intervals."""


_METHODS: dict[str, Method] = {
    "auc": "delong",
    "pr_auc": "linear",
    "accuracy": "mcnemar",
    "recall": "mcnemar",
    "log_loss": "normal",
    "brier": "normal",
    "cost": "score",
}


def measure(labels: Bools, scores: Floats, rule: Rule, *, pr_auc: Areas = "limit") -> dict[str, Estimate]:
    """Every measure of one arm; ``log_loss`` and ``brier`` only where all scores are probabilities.

    ``labels`` need at least two rows of either kind.
    """
    rows = len(labels)
    flagged = scores >= rule.threshold
    laws: dict[str, tuple[Law, int]] = {
        "auc": (_auc(placements(labels, scores)), rows),
        "accuracy": _share(flagged == labels),
        "recall": _share(flagged[labels]),
        "precision": _share(labels[flagged]),
        "flagged": _share(flagged),
    }
    if _probabilities(scores):
        laws["log_loss"] = (_mean(_log_losses(labels, scores)), rows)
        laws["brier"] = (_mean(np.square(scores - labels)), rows)
    if pr_auc != "left_out":
        laws["pr_auc"] = (_area(labels, scores, pr_auc), rows)
    if rule.priced:
        laws["cost"] = (_cost(labels, flagged, rule), rows)
    return {name: estimate(law, samples, rule.alpha) for name, (law, samples) in laws.items()}


def compare(
    labels: Bools, candidate: Floats, champion: Floats, rule: Rule, *, pr_auc: Areas = "limit"
) -> dict[str, Estimate]:
    """Candidate minus champion on the same rows, for the measures that can be paired."""
    rows = len(labels)
    new, old = candidate >= rule.threshold, champion >= rule.threshold
    laws: dict[str, tuple[Law, int]] = {
        "auc": (_auc_difference(labels, candidate, champion), rows),
        "accuracy": _paired_share(new == labels, old == labels),
        "recall": _paired_share(new[labels], old[labels]),
        "flagged": _paired_share(new, old),
    }
    if _probabilities(candidate) and _probabilities(champion):
        losses = _log_losses(labels, candidate)
        losses -= _log_losses(labels, champion)
        laws["log_loss"] = (_mean(losses), rows)
        laws["brier"] = (_mean(np.square(candidate - labels) - np.square(champion - labels)), rows)
    if pr_auc != "left_out":
        laws["pr_auc"] = (_area_difference(labels, candidate, champion, pr_auc), rows)
    if rule.priced:
        laws["cost"] = (_cost_difference(labels, new, old, rule), rows)
    return {name: estimate(law, samples, rule.alpha) for name, (law, samples) in laws.items()}


def flips(labels: Bools, candidate: Floats, champion: Floats, threshold: float) -> Flips:
    """Which decisions differ, and whether they got better or worse."""
    new, old = candidate >= threshold, champion >= threshold
    newly_right = int(np.sum((new == labels) & (old != labels)))
    newly_wrong = int(np.sum((new != labels) & (old == labels)))
    return Flips(
        newly_flagged=int(np.sum(new & ~old)),
        newly_flagged_rows=_first(new & ~old),
        no_longer_flagged=int(np.sum(old & ~new)),
        no_longer_flagged_rows=_first(old & ~new),
        newly_right=newly_right,
        newly_wrong=newly_wrong,
        mcnemar_p=mcnemar(newly_right, newly_wrong),
    )


def paired_tests(differences: dict[str, Estimate], alpha: float) -> tuple[PairedTest, ...]:
    """A test of each difference, all of them held to ``alpha`` together by Holm's order."""
    found = [(name, one) for name, one in differences.items() if name in _METHODS]
    p_values = [p_of_nothing(one) for _, one in found]
    return tuple(
        PairedTest(
            measure=name,
            method="bootstrap" if isinstance(one.law, Resampled) else _METHODS[name],
            p=p,
            holm_p=adjusted,
            shown=_shown(name, one, adjusted < alpha),
        )
        for (name, one), p, adjusted in zip(found, p_values, holm(p_values), strict=True)
    )


def p_of_nothing(difference: Estimate) -> float:
    """The p-value of no difference: McNemar's exact one for pairs of decisions."""
    if isinstance(difference.law, Paired):
        return mcnemar(difference.law.gained, difference.law.lost)
    return p_value(difference.law, 0.0)


def _shown(name: str, difference: Estimate, shown: bool) -> Literal["better", "worse", "neither"]:
    if not shown or not difference.value:
        return "neither"
    return "better" if (difference.value > 0) != (name in SMALLER_IS_BETTER) else "worse"


# ------------------------------------------------------------------------- areas


@dataclass(frozen=True, slots=True)
class _Perfect:
    """A perfect order, right or wrong way round, shows no variance: as all hits among the smaller class."""

    value: float
    fewest: int

    def bounds(self, alpha: float) -> tuple[float, float]:
        return Counted(round(self.value * self.fewest), self.fewest).bounds(alpha)


def _auc(parts: tuple[Floats, Floats]) -> Law:
    value, error = delong(parts)
    if error == 0.0 and value in (0.0, 1.0):
        return _Perfect(value, min(len(part) for part in parts))
    return Within(Normal(value, error), 0.0, 1.0)


def _auc_difference(labels: Bools, candidate: Floats, champion: Floats) -> Law:
    parts, old = placements(labels, candidate), placements(labels, champion)
    for part, other in zip(parts, old, strict=True):
        part -= other
    return Normal(*delong(parts))


# Where rows are drawn, they are put in an order of their own first, so that the file's does not matter.


def _area(labels: Bools, scores: Floats, how: Areas) -> Law:
    if how == "drawn" and is_drawn(len(labels)):
        order = np.lexsort((scores, labels))
        labels, scores = labels[order], scores[order]
    ranked = PrecisionRecall.of(labels, scores)
    value, influence = ranked.influence()
    if value >= 1.0 - 1e-12:
        return _Perfect(1.0, int(min(labels.sum(), (~labels).sum())))
    law = resampled(value, influence, ranked.area) if how == "drawn" else linear(value, influence)
    return Within(law, 0.0, 1.0)


def _area_difference(labels: Bools, candidate: Floats, champion: Floats, how: Areas) -> Law:
    if how == "drawn" and is_drawn(len(labels)):
        order = np.lexsort((candidate - champion, candidate + champion, labels))
        labels, candidate, champion = labels[order], candidate[order], champion[order]
    old = PrecisionRecall.of(labels, champion)
    before, influence = old.influence()
    np.negative(influence, out=influence)
    new = PrecisionRecall.of(labels, candidate)
    value, grows = new.influence()
    influence += grows
    if how == "limit":
        return linear(value - before, influence)
    return resampled(value - before, influence, lambda weights: new.area(weights) - old.area(weights))


# -------------------------------------------------------------------- shares and means


def _share(hits: Bools) -> tuple[Law, int]:
    return Counted(int(np.sum(hits)), len(hits)), len(hits)


def _paired_share(candidate: Bools, champion: Bools) -> tuple[Law, int]:
    gained, lost = int(np.sum(candidate & ~champion)), int(np.sum(champion & ~candidate))
    return Paired(gained, lost, len(candidate)), len(candidate)


def _cost(labels: Bools, flagged: Bools, rule: Rule) -> Law:
    """The mean cost of a row, from the shares of either mistake."""
    rows = len(labels)
    false_positives, false_negatives = int(np.sum(flagged & ~labels)), int(np.sum(labels & ~flagged))
    return Weighed(
        (
            (rule.false_positive_cost, Counted(false_positives, rows)),
            (rule.false_negative_cost, Counted(false_negatives, rows)),
        )
    )


def _cost_difference(labels: Bools, new: Bools, old: Bools, rule: Rule) -> Law:
    rows = len(labels)
    (more, fewer), (missed, caught) = (
        (int(np.sum(new & ~old & ~labels)), int(np.sum(old & ~new & ~labels))),
        (int(np.sum(old & ~new & labels)), int(np.sum(new & ~old & labels))),
    )
    return Weighed(
        (
            (rule.false_positive_cost, Paired(more, fewer, rows)),
            (rule.false_negative_cost, Paired(missed, caught, rows)),
        )
    )


def _log_losses(labels: Bools, scores: Floats) -> Floats:
    """Minus the logarithm of what was said of the truth, kept finite the way scikit-learn does."""
    said = np.where(labels, scores, 1.0 - scores)
    np.clip(said, _NEARLY_NONE, 1.0 - _NEARLY_NONE, out=said)
    np.log(said, out=said)
    return np.negative(said, out=said)


def _mean(values: Floats) -> Law:
    """A mean, by the central limit theorem."""
    return Normal(float(np.mean(values)), float(np.std(values, ddof=1)) / float(np.sqrt(len(values))))


def _probabilities(scores: Floats) -> bool:
    return bool(scores.min() >= 0.0 and scores.max() <= 1.0)


def _first(rows: Bools) -> tuple[int, ...]:
    return tuple(int(row) + 1 for row in np.flatnonzero(rows)[:LISTED])
