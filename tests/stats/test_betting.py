"""Tests of a finite sum by betting: exact on small sets, and bounds that agree with the decisions."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.stats.betting import SumTest, lower_bound

PROPERTY = settings(deadline=None)
populations = st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=6)


def wealth_after(numbers: list[float], draws: int, bound: float) -> float:
    """Return what a test's wealth is after some draws, in place of the highest so far."""
    test = SumTest(len(numbers), min(numbers), bound)
    for number in numbers[:draws]:
        test.see(number)
    return test._a + test._b + test._c + test._d + test._e


@PROPERTY
@given(populations)
def test_the_wealth_does_not_grow_by_expectation_under_the_hypothesis(numbers: list[float]) -> None:
    """Over all orders, the mean wealth after each draw is 1 if the sum is the bound, and at most 1 if it is less."""
    orders = [list(order) for order in permutations(numbers)]
    for draws in range(1, len(numbers)):
        at_the_bound = [wealth_after(order, draws, sum(numbers)) for order in orders]
        assert math.fsum(at_the_bound) / len(orders) == pytest.approx(1)
        over_the_sum = [wealth_after(order, draws, sum(numbers) + 0.7) for order in orders]
        assert math.fsum(over_the_sum) / len(orders) <= 1 + 1e-9


@PROPERTY
@given(populations, st.floats(0, 3), st.sampled_from([0.05, 0.2, 0.5]))
def test_a_true_hypothesis_is_rejected_in_few_orders(numbers: list[float], over: float, alpha: float) -> None:
    """The share of all orders in which a true bound is ever rejected is at most alpha, however often one looks."""
    orders = list(permutations(numbers))
    rejected = 0
    for order in orders:
        test = SumTest(len(numbers), min(numbers), sum(numbers) + over)
        test.see_all(order)
        rejected += test.evidence >= 1 / alpha
    assert rejected <= alpha * len(orders)


@PROPERTY
@given(populations, st.floats(-4, 4), st.floats(0, 3), st.data())
def test_a_higher_bound_is_never_easier_to_reject(
    numbers: list[float], bound: float, higher: float, data: st.DataObject
) -> None:
    """The evidence against a bound is at least that against any higher one, after any number of draws."""
    draws = data.draw(st.integers(0, len(numbers)))
    tests = [SumTest(len(numbers), min(numbers), each) for each in (bound, bound + higher)]
    for test in tests:
        test.see_all(numbers[:draws])
    assert tests[0].evidence >= tests[1].evidence * (1 - 1e-9)


@PROPERTY
@given(populations, st.floats(0.01, 5))
def test_a_whole_set_leaves_no_doubt(numbers: list[float], under: float) -> None:
    """After all draws, a bound under the sum is rejected with certainty, and the sum itself is not."""
    test = SumTest(len(numbers), min(numbers), sum(numbers) - under)
    test.see_all(numbers)
    assert test.evidence == math.inf
    test = SumTest(len(numbers), min(numbers), sum(numbers))
    test.see_all(numbers)
    assert test.evidence < math.inf


def test_what_cannot_be_any_more_is_certain() -> None:
    """Evidence is infinite as soon as the numbers to come cannot bring the sum down to the bound."""
    test = SumTest(4, 0.0, 1.5)
    test.see(1.0)
    assert test.evidence < math.inf
    test.see(1.0)
    assert test.evidence == math.inf


@PROPERTY
@given(populations, st.sampled_from([0.05, 0.3]), st.data())
def test_the_bound_is_where_the_test_turns(numbers: list[float], alpha: float, data: st.DataObject) -> None:
    """A sum clearly under the printed bound is rejected, and one clearly over it is not."""
    draws = data.draw(st.integers(0, len(numbers)))
    floor, ceiling = min(numbers), max(numbers)
    low = lower_bound(numbers[:draws], len(numbers), floor, ceiling, alpha)
    least, most = (sum(numbers[:draws]) + end * (len(numbers) - draws) for end in (floor, ceiling))
    assert least - 1e-9 <= low <= most + 1e-9
    for bound, rejected in ((low - 0.01, True), (low + 0.01, False)):
        if bound < most:  # a sum that is not possible any more is no bound, whether it is rejected or not
            test = SumTest(len(numbers), floor, bound)
            test.see_all(numbers[:draws])
            assert (test.evidence >= 1 / alpha) is rejected
