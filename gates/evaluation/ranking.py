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

    order: NDArray[np.int32]
    hits: Bools
    """Labels in that order."""
    ends: NDArray[np.int32]
    """Last place of every distinct score."""

    @classmethod
    def of(cls, labels: Bools, scores: Floats) -> PrecisionRecall:
        """Sort once."""
        order = np.argsort(-scores, kind="stable").astype(np.int32)
        ordered = scores[order]
        ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(scores) - 1)
        return cls(order, labels[order], ends.astype(np.int32))

    def area(self, weights: Floats) -> float:
        """Average precision, each threshold's precision times the recall it adds; as scikit-learn has it.

        Args:
            weights: of the rows in their original order; where no positive row has any, the area is 0.
        """
        ordered = weights[self.order]
        flagged = np.cumsum(ordered)[self.ends]
        found = np.cumsum(np.where(self.hits, ordered, 0.0))[self.ends]
        precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
        precision *= np.diff(found, prepend=0.0)
        # No product of vectors here: starting the threads of its library costs more than all the rest.
        return float(precision.sum() / found[-1]) if found[-1] else 0.0

    def influence(self) -> tuple[float, Floats]:
        """The area with equal weights, and how it grows with each row's weight, in the original order.

        The sum of the squares is the variance of the area in the bootstrap's linear limit (the infinitesimal
        jackknife; Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982, chapter 6). Works in
        place where it can: there may be ten million rows.
        """
        found = np.cumsum(self.hits)[self.ends].astype(np.float64)
        positives = float(found[-1])
        precision = found / (self.ends + 1.0)
        per_hit = np.diff(found, prepend=0.0)  # what each threshold finds, for a start
        area = float(per_hit @ precision / positives)
        per_hit /= self.ends + 1.0
        per_flag = np.multiply(per_hit, precision, out=found)
        for steps in (per_hit, per_flag):  # a row counts at its own threshold and at all below
            np.cumsum(steps[::-1], out=steps[::-1])
        per_hit += precision
        per_hit -= area
        rows = np.diff(self.ends, prepend=-1)
        grows = np.repeat(per_hit, rows)
        grows *= self.hits
        grows -= np.repeat(per_flag, rows)
        grows /= positives
        influence = np.empty(len(grows))
        influence[self.order] = grows
        return area, influence
