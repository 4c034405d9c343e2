"""The variance of a mean over trajectories: the jackknife by hand, and how certain it is."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.stats.clusters import Totals, spread

PROPERTY = settings(deadline=None)

trajectories = st.lists(
    st.tuples(st.integers(1, 9), st.floats(-1, 1)).map(lambda each: Totals(each[0], each[0] * each[1])),
    min_size=2,
    max_size=12,
)


@PROPERTY
@given(trajectories)
def test_variance_is_the_jackknife(each: list[Totals]) -> None:
    """The variance is that of the means that remain if one trajectory after the other is left out."""
    found = spread(each)
    n, total = sum(t.n for t in each), sum(t.total for t in each)
    without = [(total - t.total) / (n - t.n) for t in each]
    by_hand = (len(each) - 1) / len(each) * sum((mean - found.mean) ** 2 for mean in without)
    assert found.mean == pytest.approx(total / n, abs=1e-12)
    assert found.variance == pytest.approx(by_hand, rel=1e-6, abs=1e-15)


def test_equal_trajectories_are_a_regression_on_a_constant() -> None:
    """For trajectories of one size, the variance is the cluster-robust one of statsmodels, up to its factor."""
    from statsmodels.regression.linear_model import OLS  # noqa: PLC0415 (a second, where one test of all needs it)

    values = [[1, 0, 1], [1, 1, 1], [0, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1]]
    found = spread([Totals(3, sum(each)) for each in values])
    flat = [value for each in values for value in each]
    model = OLS(flat, [1.0] * len(flat))
    groups = [number for number, each in enumerate(values) for _ in each]
    fitted = model.fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    assert found.mean == pytest.approx(fitted.params[0])
    assert found.variance == pytest.approx(fitted.cov_params()[0, 0] * 6 / 5)


@pytest.mark.parametrize(
    ("totals", "df"),
    [
        ([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], 8.0),  # at most two fewer than trajectories
        ([1, *[0] * 39], 2.0540),  # one trajectory makes all of the variance
        ([1, -1, *[0] * 98], 4.0004),
        ([0.5] * 20, 18.0),
        ([1, 0], 1.0),
    ],
)
def test_certainty_of_the_variance(totals: list[float], df: float) -> None:
    """A variance that comes from few trajectories has few degrees of freedom."""
    assert spread([Totals(1, total) for total in totals]).df == pytest.approx(df, abs=1e-4)


def test_one_trajectory_has_no_variance() -> None:
    """What one trajectory alone would differ from is not known."""
    found = spread([Totals(5, 2)])
    assert (found.mean, found.variance, found.error, found.clusters) == (0.4, math.inf, math.inf, 1)


def test_one_trajectory_that_holds_nearly_everything() -> None:
    """A mean that hangs on one large trajectory is as uncertain as what the small ones say without it."""
    found = spread([Totals(1000, 900), Totals(1, 0), Totals(1, 1), Totals(2, 1)])
    assert found.error > 0.25
    assert found.df < 2
