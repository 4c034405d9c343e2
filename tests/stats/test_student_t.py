"""Student's t distribution: printed tables, scipy's figures, and its algebra."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.stats.student_t import incomplete_beta, student_t_cdf, student_t_quantile

PROPERTY = settings(deadline=None)


@pytest.mark.parametrize(
    ("p", "df", "table"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 3, 3.182),
        (0.975, 4, 2.776),
        (0.975, 5, 2.571),
        (0.975, 9, 2.262),
        (0.975, 10, 2.228),
        (0.975, 30, 2.042),
        (0.975, 60, 2.000),
        (0.975, 120, 1.980),
        (0.95, 1, 6.314),
        (0.95, 2, 2.920),
        (0.95, 5, 2.015),
        (0.95, 15, 1.753),
        (0.9, 3, 1.638),
        (0.995, 1, 63.657),
        (0.995, 2, 9.925),
        (0.995, 3, 5.841),
        (0.995, 10, 3.169),
        (0.9995, 3, 12.924),
        (0.9995, 4, 8.610),
        (0.75, 7, 0.711),
    ],
)
def test_quantiles_of_students_t(p: float, df: int, table: float) -> None:
    """Quantiles agree with the printed tables of Student's t to the last digit."""
    assert student_t_quantile(p, df) == pytest.approx(table, abs=6e-4)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 50, 3799])
def test_the_median_is_zero(df: int) -> None:
    """Half of the distribution lies below zero."""
    assert student_t_quantile(0.5, df) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("p", [0.6, 0.9, 0.975, 0.995])
@pytest.mark.parametrize("df", [3, 4, 6, 11, 40])
def test_quantiles_invert_the_distribution(p: float, df: int) -> None:
    """The density, integrated by Simpson's rule up to the quantile, gives the probability back."""
    t = student_t_quantile(p, df)
    scale = math.gamma((df + 1) / 2) / math.gamma(df / 2) / math.sqrt(df * math.pi)
    steps = 2000
    heights = [scale * (1 + (t * i / steps) ** 2 / df) ** (-(df + 1) / 2) for i in range(steps + 1)]
    area = t / steps / 3 * (heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2]))
    assert 0.5 + area == pytest.approx(p, abs=1e-9)


def test_many_degrees_of_freedom_are_the_normal_distribution() -> None:
    """With thousands of trajectories, t is the normal quantile to three digits."""
    assert student_t_quantile(0.975, 3799) == pytest.approx(NormalDist().inv_cdf(0.975), abs=1e-3)


def test_quantiles_fall_with_the_degrees_of_freedom() -> None:
    """More trajectories never widen the interval's t, across the switch of methods too."""
    quantiles = [student_t_quantile(0.975, df) for df in range(1, 200)]
    assert quantiles == sorted(quantiles, reverse=True)


@PROPERTY
@given(st.sampled_from([0.6, 0.9, 0.975, 0.995, 0.9999]), st.floats(1, 1e5))
def test_quantiles_are_those_of_scipy(p: float, df: float) -> None:
    """Quantiles at any number of degrees of freedom, whole or not, are scipy's."""
    assert student_t_quantile(p, df) == pytest.approx(scipy.special.stdtrit(df, p), rel=1e-8)


@PROPERTY
@given(st.floats(-50, 50), st.floats(1, 1e5))
def test_probabilities_are_those_of_scipy(t: float, df: float) -> None:
    """Probabilities are scipy's, on both sides of zero."""
    assert student_t_cdf(t, df) == pytest.approx(scipy.special.stdtr(df, t), abs=1e-9)


@pytest.mark.parametrize(("t", "probability"), [(math.inf, 1.0), (-math.inf, 0.0), (0.0, 0.5)])
def test_ends_of_the_distribution(t: float, probability: float) -> None:
    """Everything lies below infinity, and half below zero."""
    assert student_t_cdf(t, 5) == probability


@PROPERTY
@given(st.floats(0.1, 1e3), st.floats(0.1, 1e3), st.floats(0, 1))
def test_incomplete_beta_is_that_of_scipy(a: float, b: float, x: float) -> None:
    """The regularized incomplete beta function is scipy's."""
    assert incomplete_beta(a, b, x) == pytest.approx(scipy.special.betainc(a, b, x), abs=1e-10)
