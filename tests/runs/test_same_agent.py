"""One agent's noise: how much two of its runs differ, and how often that alone turns a verdict."""

from __future__ import annotations

import math
import random
from statistics import fmean, pstdev

import pytest
from scipy.special import stdtr
from sides import side, single

from pytest_fcpivot.runs.comparing import compare
from pytest_fcpivot.runs.gate import FAIL, INCONCLUSIVE, PASS, REGRESSION, word_of
from pytest_fcpivot.runs.same_agent import SameAgent, same_agent
from pytest_fcpivot.stats.clusters import Totals
from pytest_fcpivot.stats.paired import difference


def measured(first: list[float], second: list[float], **asked: float) -> SameAgent:
    """Measure two runs."""
    found = same_agent(compare(side(single(*first)), side(single(*second))), **asked)
    assert found is not None
    return found


def test_an_agent_that_never_changes() -> None:
    """Without a flip there is no noise, and no rerun turns a verdict; the flip rate has an interval all the same."""
    found = measured([1.0] * 90 + [0.0] * 10, [1.0] * 90 + [0.0] * 10, fail_under=0.9, max_drop=0.5)
    assert (found.flip_rate.mean, found.noise) == (0, 0)
    assert 0 < found.flip_rate.high < 0.1
    assert [(turns.word, turns.turned) for turns in found.turns] == [(PASS, 0), (PASS, 0)]


def test_noise_is_that_of_many_runs() -> None:
    """The noise from two runs is near the standard deviation of the means of many; reruns turn as often as they do."""
    draw = random.Random(3)  # noqa: S311 (no secret)
    rates = [draw.choice((0.02, 0.5, 0.98)) for _ in range(600)]
    many = [[float(draw.random() < rate) for rate in rates] for _ in range(300)]
    means = [fmean(run) for run in many]
    found = [measured(many[n], many[n + 1], fail_under=fmean(rates) + 0.01) for n in range(0, 60, 2)]
    assert fmean(each.noise for each in found) == pytest.approx(pstdev(means), rel=0.1)
    passes = fmean(mean >= fmean(rates) + 0.01 for mean in means)
    assert fmean(each.turns[0].turned for each in found) / 4 == pytest.approx(min(passes, 1 - passes), abs=0.1)


def test_how_often_a_verdict_turns() -> None:
    """A rerun is distributed around the mean of both runs, with one and a half times the variance of a run."""
    draw = random.Random(5)  # noqa: S311 (no secret)
    first, second = ([float(draw.random() < 0.5) for _ in range(200)] for _ in range(2))
    found = compare(side(single(*first)), side(single(*second)))
    assert found.difference is not None
    error = math.sqrt(sum((a - b) ** 2 for a, b in zip(first, second, strict=True))) / 200
    both = (fmean(first) + fmean(second)) / 2
    for mark in (both - 0.03, both + 0.05):
        (turns,) = measured(first, second, fail_under=mark).turns
        less = stdtr(198, (mark - both) / (error * math.sqrt(0.75)))
        assert turns.turned == pytest.approx(4 * min(less, 1 - less), rel=0.05)
        assert turns.rule == f"mean reward of at least {mark:g}"
    (turns,) = measured(first, second, max_drop=0.05).turns
    half = found.difference.change - found.difference.lowest
    passes = stdtr(198, (0.05 - half + found.difference.change / 2) / (error * math.sqrt(0.75)))
    assert turns.word == INCONCLUSIVE
    assert turns.turned == pytest.approx(4 * passes, rel=0.05, abs=0.01)
    assert turns.rule == "drop of at most 0.05"


def test_flips_are_counted_by_trajectory() -> None:
    """The flip rate is that of the pivots that flipped; flips in one trajectory make its interval wider."""
    together = {f"t{n // 5}-d{n % 5}": [float(n >= 10)] for n in range(60)}
    apart = {f"t{n % 12}-d{n // 12}": [float(n >= 10)] for n in range(60)}
    rates = []
    for table in (together, apart):
        found = same_agent(compare(side({name: [1.0] for name in table}), side(table)))
        assert found is not None
        rates.append(found.flip_rate)
    assert [rate.mean for rate in rates] == pytest.approx([1 / 6, 1 / 6])
    assert rates[0].high > rates[1].high


def test_a_verdict_on_the_edge() -> None:
    """With the mean of both runs at the mark, half of the reruns turn; the words of both runs are told."""
    flips = [1.0, 0.0] * 20
    (turns,) = measured([*flips, 1.0, 0.0], [*reversed(flips), 0.0, 0.0], fail_under=0.5 - 0.5 / 42).turns
    assert turns.turned == pytest.approx(2)
    (turns,) = measured([1.0] * 30 + [0.0] * 10, [1.0] * 20 + [0.0] * 20, fail_under=0.7).turns
    assert (turns.word, turns.first, turns.second) == (FAIL, PASS, FAIL)


def test_a_drop_that_reruns_would_show() -> None:
    """A rerun has the agent's own mean, so that of two runs with a chance drop the likelier word is none of a drop."""
    first, second = [1.0] * 100, [1.0] * 92 + [0.0] * 8
    (turns,) = measured(first, second, max_drop=0.0).turns
    assert (turns.first, turns.second, turns.word) == (None, REGRESSION, INCONCLUSIVE)
    assert 0 < turns.turned < 4


@pytest.mark.parametrize(
    ("changes", "max_drop", "word"),
    [
        ([0.0] * 1000, 0.01, PASS),
        ([0.0] * 1000, 0.001, INCONCLUSIVE),
        ([0.0] * 1000, 0.0, INCONCLUSIVE),
        ([-1.0] * 20 + [0.0] * 80, 0.05, REGRESSION),
        ([-1.0] * 20 + [0.0] * 80, 0.2, INCONCLUSIVE),
        ([-1.0] * 20 + [0.0] * 80, 0.5, PASS),
        ([1.0] * 5, 0.5, INCONCLUSIVE),
        ([-1.0] * 5, 0.5, INCONCLUSIVE),
    ],
)
def test_words(changes: list[float], max_drop: float, word: str) -> None:
    """PASS rules a larger drop out, REGRESSION shows it, and under six trajectories neither is said."""
    assert word_of(difference([Totals(1, change) for change in changes]), max_drop) == word


def test_one_trajectory() -> None:
    """From one trajectory nothing is known: a rerun turns any verdict half of the time."""
    table = {f"t1-d{n}": [1.0] for n in range(40)}
    found = same_agent(compare(side(table), side(table)), fail_under=0.5)
    assert found is not None
    assert math.isinf(found.noise)
    assert found.turns[0].turned == 2


def test_nothing_in_common() -> None:
    """Without a pivot that both runs have graded there is nothing to measure."""
    assert same_agent(compare(side(single(None)), side(single(1.0)))) is None
