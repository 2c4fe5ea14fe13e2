"""Measures of an order: the areas under the ROC curve and under the precision-recall curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def placements(labels: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """Per positive row the share of negatives it beats, per negative the share of positives that beat it.

    Ties count half. Their means are the AUC, their variances its variance (DeLong, DeLong and
    Clarke-Pearson, Biometrics 44, 1988), found by sorting in O(n log n) (Sun and Xu, IEEE Signal Processing
    Letters 21, 2014).
    """
    positives, negatives = scores[labels], scores[~labels]
    return _beaten(positives, negatives), 1.0 - _beaten(negatives, positives)


def _beaten(scores: Floats, others: Floats) -> Floats:
    """Per score the share of the others below it, ties half."""
    ordered = np.sort(others)
    order = np.argsort(scores)  # looked up in order, so that memory is read from one end to the other
    sought = scores[order]
    below = np.searchsorted(ordered, sought, side="left")
    below += np.searchsorted(ordered, sought, side="right")
    found = np.empty(len(scores))
    found[order] = below / (2.0 * len(others))
    return found


def delong(parts: tuple[Floats, Floats]) -> tuple[float, float]:
    """The AUC of placements, or the difference of two from theirs, and its standard error."""
    variance = sum(float(np.var(part, ddof=1)) / len(part) for part in parts)
    return float(np.mean(parts[0])), float(np.sqrt(variance))


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecall:
    """Rows in falling order of their scores, ready to be weighed again and again."""

    order: NDArray[np.intp]
    hits: Bools
    """Labels in that order."""
    ends: NDArray[np.intp]
    """Last place of every distinct score."""

    @classmethod
    def of(cls, labels: Bools, scores: Floats) -> PrecisionRecall:
        """Sort once."""
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(scores) - 1)
        return cls(order, labels[order], ends)

    def area(self, weights: Floats) -> float:
        """Average precision, each threshold's precision times the recall it adds; as scikit-learn has it.

        Args:
            weights: of the rows in their original order; where no positive row has any, the area is 0.
        """
        flagged, found, added, _ = self._steps(weights)
        precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
        return float(added @ precision / found[-1]) if found[-1] else 0.0

    def influence(self) -> tuple[float, Floats]:
        """The area with equal weights, and how it grows with each row's weight, in the original order.

        The sum of the squares is the variance of the area in the bootstrap's linear limit (the infinitesimal
        jackknife; Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982, chapter 6).
        """
        flagged, found, added, steps = self._steps(np.ones(len(self.hits)))
        precision, positives = found / flagged, found[-1]
        area = float(added @ precision / positives)
        per_hit = np.cumsum((added / flagged)[::-1])[::-1]
        per_flag = np.cumsum((added * precision / flagged)[::-1])[::-1]
        grows = np.where(self.hits, precision[steps] + per_hit[steps] - area, 0.0) - per_flag[steps]
        influence = np.empty(len(grows))
        influence[self.order] = grows / positives
        return area, influence

    def _steps(self, weights: Floats) -> tuple[Floats, Floats, Floats, NDArray[np.intp]]:
        """Per distinct score: weight flagged, weight found, what that added; and per row its step."""
        ordered = weights[self.order]
        flagged = np.cumsum(ordered)[self.ends]
        found = np.cumsum(np.where(self.hits, ordered, 0.0))[self.ends]
        added = np.diff(found, prepend=0.0)
        steps = np.repeat(np.arange(len(self.ends)), np.diff(self.ends, prepend=-1))
        return flagged, found, added, steps
