"""What a list of scores is worth: measures with their intervals, for one arm and for two on the same rows.

All intervals are two-sided at the confidence ``1 - alpha``. A row is *flagged* when its score is at least
the decision threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gates.binomial import clopper_pearson

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One measure, or one difference of it, with the bounds of its interval."""

    value: float | None
    """None where the rows do not define it: the precision of nothing flagged."""
    low: float
    high: float
    samples: int
    """Rows it rests on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """Decisions that the candidate takes otherwise than the champion; row numbers count from 1."""

    newly_flagged: tuple[int, ...]
    no_longer_flagged: tuple[int, ...]
    newly_right: int
    newly_wrong: int
    mcnemar_p: float
    """Exact probability of so uneven a split of right and wrong flips between equally good models."""


def measure(labels: Bools, scores: Floats, threshold: float, alpha: float) -> dict[str, Estimate]:
    """Every measure of one arm; ``log_loss`` only where all scores are probabilities.

    ``labels`` need at least two rows of either kind.
    """
    flagged = scores >= threshold
    found = {
        "auc": _auc(_placements(labels, scores), alpha),
        "accuracy": _share(flagged == labels, alpha),
        "recall": _share(flagged[labels], alpha),
        "precision": _share(labels[flagged], alpha),
        "flagged": _share(flagged, alpha),
    }
    if _probabilities(scores):
        found["log_loss"] = _mean(_losses(labels, scores), alpha)
    return found


def compare(
    labels: Bools, candidate: Floats, champion: Floats, threshold: float, alpha: float
) -> dict[str, Estimate]:
    """Candidate minus champion on the same rows, for the measures that can be paired."""
    new, old = candidate >= threshold, champion >= threshold
    found = {
        "auc": _auc_difference(_placements(labels, candidate), _placements(labels, champion), alpha),
        "accuracy": _paired_share(new == labels, old == labels, alpha),
        "recall": _paired_share(new[labels], old[labels], alpha),
    }
    if _probabilities(candidate) and _probabilities(champion):
        found["log_loss"] = _mean(_losses(labels, candidate) - _losses(labels, champion), alpha)
    return found


def flips(labels: Bools, candidate: Floats, champion: Floats, threshold: float) -> Flips:
    """Which decisions differ, and whether they got better or worse."""
    new, old = candidate >= threshold, champion >= threshold
    newly_right = int(np.sum((new == labels) & (old != labels)))
    newly_wrong = int(np.sum((new != labels) & (old == labels)))
    return Flips(
        newly_flagged=_numbers(new & ~old),
        no_longer_flagged=_numbers(old & ~new),
        newly_right=newly_right,
        newly_wrong=newly_wrong,
        mcnemar_p=mcnemar(newly_right, newly_wrong),
    )


def mcnemar(one_way: int, other_way: int) -> float:
    """McNemar's exact two-sided p-value of discordant pairs (a fair coin's binomial test); 1 without any."""
    from scipy.stats import binomtest

    pairs = one_way + other_way
    return float(binomtest(one_way, pairs, 0.5).pvalue) if pairs else 1.0


def paired_difference(gained: int, lost: int, pairs: int, alpha: float) -> tuple[float, float]:
    """Bounds of the difference of two shares counted on the same rows.

    Those differences for which the score test does not object are inside, so that no discordant pair at
    all still leaves room for some. (Tango, Statistics in Medicine 17, 1998, 891-908.)

    Args:
        gained: rows that count for the first and not for the second.
        lost: rows that count for the second and not for the first.
        pairs: all rows, at least 1.
        alpha: what both sides together may err with.
    """
    from scipy.optimize import brentq

    seen, z = (gained - lost) / pairs, _normal(alpha)

    def objection(difference: float) -> float:
        return _tango(gained, lost, pairs, difference)

    low = -1.0 if seen == -1 else brentq(lambda d: objection(d) - z, -1.0, seen)
    high = 1.0 if seen == 1 else brentq(lambda d: objection(d) + z, seen, 1.0)
    return float(low), float(high)


def _tango(gained: int, lost: int, pairs: int, difference: float) -> float:
    """The score statistic for a supposed difference; falls as the difference grows."""
    excess = gained - lost - pairs * difference
    if excess == 0:
        return 0.0
    linear = (2 * pairs - gained + lost) * difference - gained - lost
    constant = -lost * difference * (1 - difference)
    likely_lost = (np.sqrt(max(linear**2 - 8 * pairs * constant, 0.0)) - linear) / (4 * pairs)
    variance = pairs * (2 * likely_lost + difference * (1 - difference))
    return float(excess / np.sqrt(max(variance, 1e-300)))


# ------------------------------------------------------------------ area under the ROC curve


def _placements(labels: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """Per positive row the share of negatives it beats, per negative the share of positives that beat it.

    Ties count half. Their means are the AUC, their variances its variance (DeLong, DeLong and
    Clarke-Pearson, Biometrics 44, 1988), found by ranks in O(n log n) (Sun and Xu, IEEE Signal Processing
    Letters 21, 2014).
    """
    from scipy.stats import rankdata

    positives, negatives = scores[labels], scores[~labels]
    ranks = rankdata(scores)
    beats = (ranks[labels] - rankdata(positives)) / len(negatives)
    beaten_by = 1.0 - (ranks[~labels] - rankdata(negatives)) / len(positives)
    return beats, beaten_by


def _auc(placements: tuple[Floats, Floats], alpha: float) -> Estimate:
    """A perfect order shows no variance; its interval is then that of all hits among the smaller class."""
    value, error = _delong(placements)
    low, high = _around(value, error, alpha)
    if error == 0.0 and value in (0.0, 1.0):
        fewest = min(len(part) for part in placements)
        low, high = clopper_pearson(round(value * fewest), fewest, 1.0 - alpha)
    samples = sum(len(part) for part in placements)
    return Estimate(value=value, low=max(low, 0.0), high=min(high, 1.0), samples=samples)


def _auc_difference(
    candidate: tuple[Floats, Floats], champion: tuple[Floats, Floats], alpha: float
) -> Estimate:
    differences = (candidate[0] - champion[0], candidate[1] - champion[1])
    value, error = _delong(differences)
    low, high = _around(value, error, alpha)
    return Estimate(value=value, low=low, high=high, samples=sum(len(part) for part in differences))


def _delong(placements: tuple[Floats, Floats]) -> tuple[float, float]:
    variance = sum(float(np.var(part, ddof=1)) / len(part) for part in placements)
    return float(np.mean(placements[0])), float(np.sqrt(variance))


# ------------------------------------------------------------------ shares and means


def _share(hits: Bools, alpha: float) -> Estimate:
    count, rows = int(np.sum(hits)), len(hits)
    low, high = clopper_pearson(count, rows, 1.0 - alpha)
    return Estimate(value=count / rows if rows else None, low=low, high=high, samples=rows)


def _paired_share(candidate: Bools, champion: Bools, alpha: float) -> Estimate:
    gained, lost = int(np.sum(candidate & ~champion)), int(np.sum(champion & ~candidate))
    low, high = paired_difference(gained, lost, len(candidate), alpha)
    return Estimate(value=(gained - lost) / len(candidate), low=low, high=high, samples=len(candidate))


def _losses(labels: Bools, scores: Floats) -> Floats:
    """Minus the logarithm of what was said of the truth, kept finite the way scikit-learn does."""
    nearly_none = np.finfo(np.float64).eps
    said = np.clip(np.where(labels, scores, 1.0 - scores), nearly_none, 1.0 - nearly_none)
    return np.asarray(-np.log(said), dtype=np.float64)


def _mean(values: Floats, alpha: float) -> Estimate:
    """A mean and its interval by the central limit theorem."""
    value = float(np.mean(values))
    low, high = _around(value, float(np.std(values, ddof=1)) / float(np.sqrt(len(values))), alpha)
    return Estimate(value=value, low=low, high=high, samples=len(values))


def _around(value: float, error: float, alpha: float) -> tuple[float, float]:
    reach = _normal(alpha) * error
    return value - reach, value + reach


def _normal(alpha: float) -> float:
    """How many standard errors leave ``alpha`` outside, both sides together."""
    from scipy.special import ndtri

    return float(ndtri(1.0 - alpha / 2))


def _probabilities(scores: Floats) -> bool:
    return bool(np.all((scores >= 0.0) & (scores <= 1.0)))


def _numbers(rows: Bools) -> tuple[int, ...]:
    return tuple(int(row) + 1 for row in np.flatnonzero(rows))
