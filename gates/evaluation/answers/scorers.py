"""Who gives an answer its score: two scorers of ours, and those of installed packages.

A scorer is code, so YAML can only name one that is installed: a third party's package offers it under the
group of entry points ``lockgate.scorers``. It is called with all answers of one model at once and gives one
number for each, in order. Whatever it asks while it does so is its own affair; it must say the same again.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points

ENTRY_POINTS = "lockgate.scorers"
RECORDED = "recorded:"
"""Before the name of a score that stands with the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What a scorer sees of one answer."""

    id: str
    question: str
    """As far as the golden set has it, else ""."""
    reference: str
    """As far as the golden set has it, else ""."""
    answer: str
    words: Mapping[str, str]
    """What else the golden set says of the question."""


Scorer = Callable[[Sequence[Item]], Sequence[float]]


class UnknownScorer(LookupError):
    """No scorer has this name."""


def exact_match(items: Sequence[Item]) -> list[float]:
    """1 where the answer is the reference, letter case, punctuation, articles and spaces aside; else 0.

    (The normalisation of SQuAD: Rajpurkar, Zhang, Lopyrev and Liang, EMNLP 2016.)
    """
    return [float(_tokens(item.answer) == _tokens(item.reference)) for item in items]


def token_f1(items: Sequence[Item]) -> list[float]:
    """Harmonic mean of the shares of words that answer and reference have in common, normalised as above."""
    return [_f1(_tokens(item.answer), _tokens(item.reference)) for item in items]


def scorer(name: str) -> Scorer:
    """The scorer of that name; ours come first, so nobody can take their names.

    Raises:
        UnknownScorer: nobody installed one.
    """
    if name in OURS:
        return OURS[name]
    for point in entry_points(group=ENTRY_POINTS, name=name):
        found: Scorer = point.load()
        return found
    known = sorted({*OURS, *(point.name for point in entry_points(group=ENTRY_POINTS))})
    raise UnknownScorer(f"no scorer is called {name!r}; installed are {', '.join(known)}")


OURS: Mapping[str, Scorer] = {"exact_match": exact_match, "token_f1": token_f1}


def _tokens(text: str) -> list[str]:
    plain = text.lower().translate(_PUNCTUATION)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def _f1(answer: list[str], reference: list[str]) -> float:
    if not answer or not reference:
        return float(answer == reference)
    common = sum((Counter(answer) & Counter(reference)).values())
    return 2 * common / (len(answer) + len(reference))


_PUNCTUATION = str.maketrans("", "", string.punctuation)
