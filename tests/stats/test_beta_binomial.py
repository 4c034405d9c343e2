"""The beta-binomial fit, against scipy's distribution and its optimiser, and where there is nothing to fit."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from pytest_fcpivot.stats.beta_binomial import BetaBinomial, CannotFitError, fit, largest_rate


def drawn(a: float, b: float, asked: int, pivots: int, seed: int = 1) -> Counter[tuple[int, int]]:
    """Draw how many answers of each pivot pass."""
    draw = random.Random(seed)  # noqa: S311 (no secret)
    rates = [draw.betavariate(a, b) for _ in range(pivots)]
    return Counter((sum(draw.random() < rate for _ in range(asked)), asked) for rate in rates)


def log_likelihood(counts: Counter[tuple[int, int]], a: float, b: float) -> float:
    """Return scipy's log-likelihood of counts."""
    return math.fsum(
        number * float(stats.betabinom.logpmf(passed, asked, a, b)) for (passed, asked), number in counts.items()
    )


@pytest.mark.parametrize(
    ("a", "b", "asked", "pivots"),
    [(0.5, 0.5, 8, 400), (2, 1, 8, 200), (0.1, 0.3, 16, 200), (0.02, 0.02, 8, 300), (3, 3, 4, 60)],
)
def test_the_fit_is_the_maximum_that_scipy_finds(a: float, b: float, asked: int, pivots: int) -> None:
    """Scipy's own optimiser finds no parameters with a higher likelihood, and about the same ones."""
    counts = drawn(a, b, asked, pivots)
    found = fit(counts)
    best = optimize.minimize(
        lambda logs: -log_likelihood(counts, math.exp(logs[0]), math.exp(logs[1])),
        [math.log(a), math.log(b)],
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-9},
    )
    one, other = (math.exp(each) for each in best.x)
    assert found.mean == pytest.approx(one / (one + other), abs=1e-4)
    assert found.correlation == pytest.approx(1 / (one + other + 1), abs=1e-4)
    mine = log_likelihood(counts, found.mean / found.spread, (1 - found.mean) / found.spread)
    assert mine >= -best.fun - 1e-6


def test_pivots_that_were_asked_unequally_often_count_with_their_own_numbers() -> None:
    """Of pivots with different numbers of answers, the fit is scipy's maximum as well."""
    counts = drawn(0.7, 1.2, 8, 150) + drawn(0.7, 1.2, 3, 150, seed=2) + drawn(0.7, 1.2, 1, 50, seed=3)
    found = fit(counts)
    best = optimize.minimize(
        lambda logs: -log_likelihood(counts, math.exp(logs[0]), math.exp(logs[1])), [0, 0], method="Nelder-Mead"
    )
    one, other = (math.exp(each) for each in best.x)
    assert found.mean == pytest.approx(one / (one + other), abs=1e-3)
    assert found.correlation == pytest.approx(1 / (one + other + 1), abs=1e-3)


def test_pivots_that_are_all_alike_give_a_binomial() -> None:
    """Where pass rates do not differ more than by chance, the spread is 0, and the mean is the share that passed."""
    counts = Counter({(4, 8): 50, (3, 8): 10, (5, 8): 10})
    found = fit(counts)
    assert (found.spread, found.correlation) == (0.0, 0.0)
    assert found.mean == pytest.approx(0.5)
    assert found.probability(3, 8) == pytest.approx(float(stats.binom.pmf(3, 8, 0.5)))
    assert found.passes_later(8, 2) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ({}, "fewer than two pivots have several graded answers"),
        ({(3, 8): 1}, "fewer than two pivots have several graded answers"),
        ({(1, 1): 40, (0, 1): 30}, "fewer than two pivots have several graded answers"),
        ({(0, 8): 40}, "no answer passed"),
        ({(8, 8): 40, (4, 4): 2}, "no answer failed"),
        ({(8, 8): 40, (0, 8): 9}, "no pivot has both passed and failed"),
    ],
)
def test_what_cannot_be_fitted_is_said(counts: dict[tuple[int, int], int], why: str) -> None:
    """Counts that do not determine a distribution give a reason, and no figure."""
    with pytest.raises(CannotFitError, match=why):
        fit(counts)


@given(
    st.dictionaries(
        st.integers(1, 12).flatmap(lambda asked: st.tuples(st.integers(0, asked), st.just(asked))),
        st.integers(1, 500),
        max_size=12,
    )
)
def test_any_counts_give_probabilities_or_a_reason(counts: dict[tuple[int, int], int]) -> None:
    """Whatever the counts, what is fitted is a distribution, and no other error is raised."""
    try:
        found = fit(counts)
    except CannotFitError:
        return
    assert 0 < found.mean < 1
    assert 0 <= found.correlation < 1
    assert math.fsum(found.probability(passed, 9) for passed in range(10)) == pytest.approx(1)
    assert 0 <= found.passes_later(8, 8) <= 1


def test_further_answers_pass_as_scipys_ratio_of_beta_functions_says() -> None:
    """That none of 5 more passes after 8 failures has the probability B(a, b + 13) / B(a, b + 8)."""
    a, b = 0.6, 1.7
    found = BetaBinomial(a / (a + b), 1 / (a + b))
    none = float(stats.betabinom.pmf(0, 5, a, b + 8))
    assert found.passes_later(8, 5) == pytest.approx(1 - none)
    assert found.passes_later(8, 0) == 0


def test_the_largest_rate_is_the_one_that_still_fails_each_time_in_one_of_twenty_cases() -> None:
    """After 8 failures a pass rate of 31 % is possible, which is the upper end of Clopper and Pearson's interval."""
    assert largest_rate(8) == pytest.approx(0.3123, abs=1e-4)
    for failed in (1, 4, 64):
        exact = stats.binomtest(0, failed, alternative="less").proportion_ci(0.95).high
        assert largest_rate(failed) == pytest.approx(exact)
    assert largest_rate(0) == 1.0
