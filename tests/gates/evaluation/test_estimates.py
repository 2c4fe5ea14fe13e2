"""Laws of counted numbers: against published tables, reference values to six digits, and their definitions.

The values said to be of statsmodels were computed with its release 0.15.0. Covered: Tango's, Newcombe's and
Koopman's intervals, McNemar's test, Holm's order, p-values from bounds.
"""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, norm

from gates.evaluation.estimates import (
    Counted,
    Difference,
    Law,
    Normal,
    Paired,
    Ratio,
    Weighed,
    Within,
    estimate,
    holm,
    mcnemar,
    p_value,
)

ALPHA = 0.05
Z = norm.ppf(1 - ALPHA / 2)


def paired_difference(gained: int, lost: int, pairs: int, alpha: float) -> tuple[float, float]:
    return Paired(gained, lost, pairs).bounds(alpha)


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_a_fair_coin_and_knows_no_side(one: int, other: int) -> None:
    """Exact, symmetric, a probability, 1 when both sides are even."""
    p = mcnemar(one, other)
    assert p == mcnemar(other, one)
    assert 0.0 < p <= 1.0
    if one == other:
        assert p == 1.0
    else:
        assert p == pytest.approx(binomtest(one, one + other).pvalue, abs=1e-12)


def test_mcnemar_of_a_textbook_table() -> None:
    """10 against 2: twice the 79 of 4096 ways to see at most two heads in twelve."""
    assert mcnemar(10, 2) == pytest.approx(2 * 79 / 4096, abs=1e-12)


@st.composite
def discordant(draw: st.DrawFn) -> tuple[int, int, int]:
    """(gained, lost, pairs)."""
    gained, lost = draw(st.integers(0, 60)), draw(st.integers(0, 60))
    return gained, lost, gained + lost + draw(st.integers(0, 400))


@given(discordant())
def test_tango_contains_what_was_seen_and_mirrors(table: tuple[int, int, int]) -> None:
    """Exchanging the arms turns the interval round; without a flip it is not a point."""
    gained, lost, pairs = table
    assume(pairs > 0)
    low, high = paired_difference(gained, lost, pairs, ALPHA)
    assert -1.0 <= low <= (gained - lost) / pairs <= high <= 1.0
    assert high > low
    turned = paired_difference(lost, gained, pairs, ALPHA)
    assert (-turned[1], -turned[0]) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize(("gained", "lost", "pairs"), [(5, 12, 100), (1, 0, 44), (30, 3, 40), (0, 7, 400)])
def test_tango_bounds_are_where_the_score_test_stops_objecting(gained: int, lost: int, pairs: int) -> None:
    """The restricted likelihood is maximised by search here, in closed form there."""

    def score(difference: float) -> float:
        def minus_likelihood(loses: float) -> float:
            wins, same = loses + difference, 1 - 2 * loses - difference
            cells = ((gained, wins), (lost, loses), (pairs - gained - lost, same))
            return -sum(n * math.log(max(p, 1e-300)) for n, p in cells if n)

        lowest, highest = max(0.0, -difference), (1 - difference) / 2
        loses = minimize_scalar(minus_likelihood, (lowest, highest), bounds=(lowest, highest),
                                method="bounded", options={"xatol": 1e-13}).x  # fmt: skip
        variance = pairs * (2 * loses + difference - difference**2)
        return (gained - lost - pairs * difference) / math.sqrt(variance)

    low, high = paired_difference(gained, lost, pairs, ALPHA)
    assert score(low) == pytest.approx(Z, abs=1e-3)
    assert score(high) == pytest.approx(-Z, abs=1e-3)


def test_tango_without_a_flip_has_a_closed_form() -> None:
    """No discordant pair among n: plus and minus z² / (n + z²)."""
    edge = Z**2 / (150 + Z**2)
    assert paired_difference(0, 0, 150, ALPHA) == pytest.approx((-edge, edge), abs=1e-9)


def test_tango_at_the_ends() -> None:
    """All pairs discordant the same way."""
    assert paired_difference(8, 0, 8, ALPHA)[1] == 1.0
    assert paired_difference(0, 8, 8, ALPHA)[0] == -1.0


def test_tango_covers_as_it_says() -> None:
    """The exact coverage over all outcomes of 60 pairs, at three truths, is near 95 %."""
    for wins, loses in ((0.1, 0.1), (0.05, 0.15), (0.02, 0.02)):
        covered = 0.0
        for gained, lost in product(range(61), range(61)):
            same = 60 - gained - lost
            if same < 0:
                continue
            ways = math.lgamma(61) - math.lgamma(gained + 1) - math.lgamma(lost + 1) - math.lgamma(same + 1)
            chance = math.exp(
                ways + gained * math.log(wins) + lost * math.log(loses) + same * math.log(1 - wins - loses)
            )
            if chance < 1e-6:
                continue
            low, high = paired_difference(gained, lost, 60, ALPHA)
            covered += chance * (low <= wins - loses <= high)
        assert 0.93 <= covered <= 0.99


# --------------------------------------------------------------- two groups of rows


@pytest.mark.parametrize(
    ("one", "other", "bounds"),
    [
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((6, 7), (2, 7), (0.0582, 0.8062)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
        ((0, 10), (0, 20), (-0.1611, 0.2775)),
        ((10, 10), (0, 20), (0.6791, 1.0)),
    ],
)
def test_newcombe_is_his_table(
    one: tuple[int, int], other: tuple[int, int], bounds: tuple[float, float]
) -> None:
    """Table II of the paper, method 10, to its four digits."""
    law = Difference(Counted(*one), Counted(*other))
    assert law.bounds(ALPHA) == pytest.approx(bounds, abs=6e-5)
    assert law.value == pytest.approx(one[0] / one[1] - other[0] / other[1])


@pytest.mark.parametrize(
    ("one", "other", "bounds"),
    [
        ((36, 40), (16, 80), (2.939569, 7.152223)),
        ((18, 20), (5, 80), (6.388874, 33.673934)),
        ((300, 1000), (400, 1100), (0.729385, 0.932346)),
        ((0, 50), (10, 60), (0.0, 0.435912)),
        ((49, 50), (55, 60), (0.96737, 1.199688)),
    ],
)
def test_koopman_is_that_of_statsmodels(
    one: tuple[int, int], other: tuple[int, int], bounds: tuple[float, float]
) -> None:
    """confint_proportions_2indep(compare="ratio", method="score", correction=False), to six digits."""
    assert Ratio(Counted(*one), Counted(*other)).bounds(ALPHA) == pytest.approx(bounds, abs=1e-6)


def test_koopman_of_all_hits_is_wilsons_bound() -> None:
    """With nothing but hits in both, a ratio below 1 is objected to by the first group alone."""
    low, _ = Ratio(Counted(10, 10), Counted(20, 20)).bounds(ALPHA)
    assert low == pytest.approx(10 / (10 + Z**2), abs=1e-6)


counted = st.integers(1, 300).flatmap(
    lambda trials: st.integers(0, trials).map(lambda hits: Counted(hits, trials))
)


@given(counted, counted)
def test_two_groups_mirror(one: Counted, other: Counted) -> None:
    """Exchanged, a difference changes its sign and a ratio becomes its inverse; both hold what was seen."""
    difference, turned = Difference(one, other), Difference(other, one)
    low, high = difference.bounds(ALPHA)
    assert (low, high) == pytest.approx(tuple(-each for each in reversed(turned.bounds(ALPHA))), abs=1e-12)
    assert low <= (difference.value or 0.0) <= high
    low, high = Ratio(one, other).bounds(ALPHA)
    back_low, back_high = Ratio(other, one).bounds(ALPHA)
    assert low == pytest.approx(1 / back_high if back_high else 0.0, rel=1e-6)
    assert 0 <= low <= high
    ratio = Ratio(one, other).value
    assert ratio is None or low <= ratio * (1 + 1e-9)
    assert ratio is None or ratio <= high * (1 + 1e-9)
    assert back_low <= back_high


def test_no_rows_say_nothing() -> None:
    """Neither of a share, nor of a difference, nor of a ratio."""
    nobody, some = Counted(0, 0), Counted(3, 10)
    assert (nobody.value, nobody.bounds(ALPHA)) == (None, (0.0, 1.0))
    for law, bounds in (
        (Difference(nobody, some), (-1.0, 1.0)),
        (Difference(some, nobody), (-1.0, 1.0)),
        (Ratio(nobody, some), (0.0, math.inf)),
        (Ratio(some, nobody), (0.0, math.inf)),
        (Paired(0, 0, 0), (-1.0, 1.0)),
    ):
        assert (law.value, law.bounds(ALPHA)) == (None, bounds)
    assert Ratio(some, Counted(0, 10)).value is None
    assert Ratio(some, Counted(0, 10)).bounds(ALPHA)[1] == math.inf


# ------------------------------------------------------------------- sums and cuts


def test_one_part_of_a_sum_keeps_its_bounds() -> None:
    """Times its weight; and a part without weight adds nothing."""
    part = Paired(12, 5, 400)
    low, high = part.bounds(ALPHA)
    assert Weighed(((3.0, part),)).bounds(ALPHA) == pytest.approx((3 * low, 3 * high))
    assert Weighed(((3.0, part), (0.0, Counted(1, 2)))).bounds(ALPHA) == pytest.approx((3 * low, 3 * high))
    assert Weighed(((3.0, part),)).value == pytest.approx(3 * 7 / 400)


def test_parts_of_a_sum_add_up_in_squares() -> None:
    """As standard errors do, for normals exactly."""
    low, high = Weighed(((1.0, Normal(1.0, 3.0)), (2.0, Normal(-1.0, 2.0)))).bounds(ALPHA)
    assert (low, high) == pytest.approx((-1 - Z * 5, -1 + Z * 5))


def test_a_part_without_value_leaves_none() -> None:
    """What is undefined cannot be summed."""
    assert Weighed(((1.0, Counted(0, 0)), (1.0, Normal(0.0, 1.0)))).value is None


def test_bounds_are_cut_at_what_can_be() -> None:
    """No share above 1."""
    law = Within(Normal(0.99, 0.1), 0.0, 1.0)
    assert law.value == 0.99
    assert law.bounds(ALPHA) == (pytest.approx(0.99 - Z * 0.1), 1.0)
    assert estimate(law, 7, ALPHA).samples == 7


# ------------------------------------------------------------------------ p-values

laws: list[Law] = [
    Counted(37, 100),
    Paired(12, 5, 400),
    Difference(Counted(56, 70), Counted(48, 80)),
    Ratio(Counted(36, 40), Counted(16, 80)),
    Normal(0.3, 0.1),
]


@pytest.mark.parametrize("law", laws, ids=lambda law: type(law).__name__)
@given(supposed=st.floats(0.01, 3.0), alpha=st.sampled_from([0.2, 0.05, 0.01]))
def test_an_interval_holds_what_the_p_value_does_not_object_to(
    law: Law, supposed: float, alpha: float
) -> None:
    """Both come from one law, so they never disagree."""
    p = p_value(law, supposed)
    assume(abs(p - alpha) > 1e-4 * alpha)
    low, high = law.bounds(alpha)
    assert (low <= supposed <= high) == (p > alpha)


def test_p_values_of_a_normal_are_those_of_its_table() -> None:
    """Twice the tail."""
    for z in (0.5, 1.96, 4.0, 6.0):
        assert p_value(Normal(0.0, 2.0), 2 * z) == pytest.approx(2 * norm.sf(z), rel=1e-5)
    assert p_value(Normal(1.0, 2.0), 1.0) == pytest.approx(1.0)
    assert p_value(Normal(1.0, 0.0), 1.5) < 1e-11


def test_a_p_value_of_a_share_is_the_exact_tail_doubled() -> None:
    """As of Clopper and Pearson's interval."""
    tail = binomtest(37, 100, 0.5, alternative="less").pvalue
    assert p_value(Counted(37, 100), 0.5) == pytest.approx(2 * tail, rel=1e-5)


def test_holm_is_that_of_statsmodels() -> None:
    """multipletests(method="holm"), ties included; nothing to adjust stays nothing."""
    assert holm([0.01, 0.04, 0.03, 0.005, 0.2, 0.03]) == pytest.approx([0.05, 0.12, 0.12, 0.03, 0.2, 0.12])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms())
def test_holm_knows_no_order_and_never_forgives(p_values: list[float], dice: object) -> None:
    """Each stays with its test; none falls; none rises above as many times itself."""
    found = dict(zip(range(len(p_values)), holm(p_values), strict=True))
    order = list(range(len(p_values)))
    dice.shuffle(order)  # type: ignore[attr-defined]
    again = holm([p_values[place] for place in order])
    assert again == pytest.approx([found[place] for place in order])
    for place, p in enumerate(p_values):
        assert p <= found[place] <= min(1.0, max(p_values) * len(p_values)) or p == found[place]
