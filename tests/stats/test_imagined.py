"""Runs that are drawn for a plan have the means, spreads and correlations that they are drawn with."""

from __future__ import annotations

import random
from statistics import fmean, stdev

import pytest

from pytest_fcpivot.stats.imagined import (
    correlation_of,
    deviation_of_change,
    deviation_of_mean,
    imagine_changes,
    imagine_rewards,
)

SIZES = [1, 2, 3, 5, 9] * 6
N = sum(SIZES)


@pytest.mark.parametrize(("mean", "correlation"), [(0.8, 0.0), (0.8, 0.3), (0.5, 0.6), (1.0, 0.3)])
def test_rewards(mean: float, correlation: float) -> None:
    """The mean of many runs is the one asked for, and their spread the one that is worked out."""
    draw = random.Random(1)  # noqa: S311 (no secret)
    means = [sum(each.base for each in imagine_rewards(draw, SIZES, mean, correlation)) / N for _ in range(400)]
    expected = deviation_of_mean(SIZES, mean, correlation)
    assert fmean(means) == pytest.approx(mean, abs=4 * expected / 20 + 1e-12)
    assert stdev(means) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(
    ("flips", "change", "correlation"), [(0.1, 0.0, 0.0), (0.1, -0.05, 0.3), (0.3, 0.1, 0.6), (0.01, -0.1, 0.3)]
)
def test_changes(flips: float, change: float, correlation: float) -> None:
    """So it is with changes, which never make a sum of rewards impossible; a large change takes more flips."""
    draw = random.Random(2)  # noqa: S311 (no secret)
    means = []
    for _ in range(400):
        run = imagine_changes(draw, SIZES, 0.8, correlation, flips=flips, change=change)
        assert all(0 <= each.base <= each.size and 0 <= each.base + each.change <= each.size for each in run)
        means.append(sum(each.change for each in run) / N)
    expected = deviation_of_change(SIZES, correlation, flips=flips, change=change)
    assert fmean(means) == pytest.approx(change, abs=4 * expected / 20)
    assert stdev(means) == pytest.approx(expected, rel=0.15)


def test_correlation() -> None:
    """The correlation that runs were drawn with is found again; it cannot be known from single or equal rewards."""
    draw = random.Random(3)  # noqa: S311 (no secret)
    for correlation in (0.0, 0.3, 0.6):
        run = imagine_rewards(draw, [6] * 1500, 0.7, correlation)
        found = correlation_of([1.0] * each.base + [0.0] * (each.size - each.base) for each in run)
        assert found == pytest.approx(correlation, abs=0.05)
    assert correlation_of([[1.0], [0.0], [1.0]]) is None
    assert correlation_of([[1.0, 1.0], [1.0]]) is None
    assert correlation_of([[1.0, 1.0], [0.0, 0.0]]) == 0.9
    assert correlation_of([[1.0, 0.0], [0.0, 1.0]]) == 0.0
