"""Intervals of the mean reward: known quantiles, closed forms, and what an interval must never do."""

from __future__ import annotations

import math
from itertools import combinations, pairwise
from statistics import NormalDist

import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.stats.interval import Interval, mean_interval, pass_at_k

PROPERTY = settings(deadline=None)


def singles(successes: int, n: int) -> dict[str, list[float]]:
    """Return n trajectories of one pivot each, so many of them right."""
    return {f"t{i}": [float(i < successes)] for i in range(n)}


def interval(rewards: dict[str, list[float]]) -> Interval:
    """Return the interval, which there is."""
    found = mean_interval(rewards)
    assert found is not None
    return found


def width(found: Interval) -> float:
    """Return the interval's length."""
    return found.high - found.low


def wilson(p: float, n: float, z: float) -> tuple[float, float]:
    """Return Wilson's score interval as textbooks print it."""
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (p + z * z / (2 * n) - half) / (1 + z * z / n), (p + z * z / (2 * n) + half) / (1 + z * z / n)


def test_nothing_has_no_interval() -> None:
    """Without rewards there is no mean."""
    assert mean_interval({}) is None
    assert mean_interval({"t1": []}) is None


@pytest.mark.parametrize(("successes", "n"), [(40, 400), (200, 400), (370, 400), (700, 1000), (40, 600)])
def test_independent_pivots_give_the_textbook_interval(successes: int, n: int) -> None:
    """One pivot a trajectory: the interval is Wilson's, to within what the variance's degrees of freedom make of it."""
    found = interval(singles(successes, n))
    low, high = wilson(successes / n, n, NormalDist().inv_cdf(0.975))
    assert (found.mean, found.n, found.clusters) == (successes / n, n, n)
    assert found.low == pytest.approx(low, abs=0.003)
    assert found.high == pytest.approx(high, abs=0.003)


@pytest.mark.parametrize(
    ("successes", "n", "df"), [(3, 10, 8), (1, 5, 2.8444), (20, 31, 29), (1, 2, 1), (2, 40, 4.4592)]
)
def test_independent_pivots_in_closed_form(successes: int, n: int, df: float) -> None:
    """One pivot a trajectory: Wilson's interval at n - 1 samples, with Student's t at the variance's own certainty."""
    found = interval(singles(successes, n))
    t = scipy.special.stdtrit(df, 0.975)
    assert (found.low, found.high) == pytest.approx(wilson(successes / n, n - 1, t), abs=1e-4)


def test_equal_trajectories_count_once() -> None:
    """Trajectories of five equal pivots are worth as much as single pivots, not five times as much."""
    alone = interval(singles(12, 40))
    alike = interval({name: values * 5 for name, values in singles(12, 40).items()})
    assert alike.mean == pytest.approx(alone.mean)
    assert alike.n == 200
    assert (alike.low, alike.high) == pytest.approx((alone.low, alone.high))


def test_clusters_that_are_alike_widen_the_interval() -> None:
    """The same 200 rewards are less certain if trajectories are right or wrong as a whole."""
    independent = interval(singles(60, 200))
    clustered = interval({f"t{i}": [float(i < 12)] * 5 for i in range(40)})
    assert clustered.mean == pytest.approx(independent.mean)
    assert width(clustered) > 1.5 * width(independent)


def test_clusters_that_balance_do_not_narrow_the_interval() -> None:
    """Trajectories that all have the same mix promise no more than independent pivots would."""
    independent = interval(singles(100, 200))
    for odd in ([], [[1.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [0.0, 0.0]] * 10):
        balanced = interval({f"t{i}": values for i, values in enumerate([[1.0, 0.0]] * (100 - len(odd)) + odd)})
        assert balanced.n == independent.n
        assert width(balanced) >= width(independent) * 0.99


@pytest.mark.parametrize(("clusters", "df"), [(2, 1), (3, 1), (6, 4)])
def test_clusters_that_balance_in_closed_form(clusters: int, df: int) -> None:
    """If all trajectories have the same mix, only their number counts."""
    found = interval({f"t{i}": [1.0, 0.0] for i in range(clusters)})
    assert (found.low, found.high) == pytest.approx(wilson(0.5, clusters, scipy.special.stdtrit(df, 0.975)), abs=1e-4)


def test_few_trajectories_with_all_the_failures() -> None:
    """Two of 49 trajectories that fail as a whole leave the rate less certain than as many scattered failures."""
    scattered = interval({f"t{i}": [float(i >= 12), *[1.0] * 5] for i in range(49)})
    in_two = interval({f"t{i}": [float(i >= 2)] * 6 for i in range(49)})
    assert scattered.mean == pytest.approx(in_two.mean)
    assert in_two.low < scattered.low - 0.1


@pytest.mark.parametrize("n", range(2, 60))
def test_no_rounding_leads_out_of_the_range(n: int) -> None:
    """If all rewards are 1 or all are 0, the interval ends there exactly."""
    assert interval(singles(n, n)).high == 1.0
    assert interval(singles(0, n)).low == 0.0


def test_more_data_narrow_the_interval() -> None:
    """Ten times the trajectories give an interval of about a third of the width."""
    ratio = width(interval(singles(300, 1000))) / width(interval(singles(30, 100)))
    assert ratio == pytest.approx(1 / math.sqrt(10), rel=0.05)


@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_all_alike_is_not_certainty(reward: float) -> None:
    """Only right or only wrong answers still leave room on the other side, less with more trajectories."""
    few = interval({f"t{i}": [reward] * 3 for i in range(10)})
    many = interval({f"t{i}": [reward] * 3 for i in range(100)})
    assert (few.low if reward == 0.0 else few.high) == reward
    assert width(few) > 0.2
    assert 0.0 < width(many) < 0.1


@pytest.mark.parametrize("values", [[1.0], [0.0], [1.0, 0.0, 1.0], [0.5] * 50])
def test_one_trajectory_says_nothing(values: list[float]) -> None:
    """One cluster alone gives the whole range."""
    found = interval({"t1": values})
    assert (found.low, found.high, found.clusters, found.n) == (0.0, 1.0, 1, len(values))
    assert found.mean == pytest.approx(sum(values) / len(values))


@pytest.mark.parametrize(
    "rewards",
    [
        {"a": [1e-320], "b": [0.0]},
        {"a": [5e-324, 0.0], "b": [5e-324]},
        {"a": [1.0], "b": [1.0 - 2**-53]},
        {"a": [1e-200], "b": [1e-200], "c": [0.0]},
        {"a": [0.1] * 3, "b": [0.1] * 7},
    ],
)
def test_tiny_differences(rewards: dict[str, list[float]]) -> None:
    """Rewards at the edge of what floats can hold give an interval like any other."""
    found = interval(rewards)
    assert 0.0 <= found.low <= found.mean <= found.high <= 1.0


reward_lists = st.lists(st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0)), min_size=1, max_size=6)
clusters_of_rewards = st.dictionaries(st.text(max_size=4), reward_lists, min_size=1, max_size=12)


@PROPERTY
@given(clusters_of_rewards)
def test_an_interval_holds_its_mean(rewards: dict[str, list[float]]) -> None:
    """The interval lies inside [0, 1] and holds the mean, whatever the rewards."""
    found = interval(rewards)
    assert 0.0 <= found.low <= found.mean <= found.high <= 1.0
    values = [value for cluster in rewards.values() for value in cluster]
    assert found.mean == pytest.approx(sum(values) / len(values))
    assert (found.n, found.clusters) == (len(values), len(rewards))


@PROPERTY
@given(clusters_of_rewards, st.randoms(use_true_random=False))
def test_order_and_names_do_not_matter(rewards: dict[str, list[float]], random: object) -> None:
    """The same rewards in another order, under other trajectory names, give the same interval."""
    lists = [sorted(values) for values in rewards.values()]
    getattr(random, "shuffle")(lists)  # noqa: B009 (hypothesis hides the type)
    first = interval(rewards)
    second = interval({f"other {i}": values for i, values in enumerate(lists)})
    assert (second.mean, second.low, second.high) == pytest.approx((first.mean, first.low, first.high), abs=1e-9)


@PROPERTY
@given(st.dictionaries(st.integers(), st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=5), min_size=2))
def test_failures_mirror_successes(rewards: dict[int, list[float]]) -> None:
    """Counting failures instead of successes turns the interval around."""
    right = interval({str(name): values for name, values in rewards.items()})
    wrong = interval({str(name): [1.0 - value for value in values] for name, values in rewards.items()})
    assert (wrong.low, wrong.high) == pytest.approx((1 - right.high, 1 - right.low), abs=1e-9)


def enumerated(samples: int, passed: int, k: int) -> tuple[float, float]:
    """Return the share of all choices of k samples in which any, and in which all, pass."""
    choices = list(combinations([True] * passed + [False] * (samples - passed), k))
    return sum(any(c) for c in choices) / len(choices), sum(all(c) for c in choices) / len(choices)


sample_counts = st.integers(0, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@PROPERTY
@given(st.lists(sample_counts, max_size=6), st.integers(1, 5))
def test_pass_at_k_is_what_enumeration_gives(counts: list[tuple[int, int]], k: int) -> None:
    """pass@k and pass^k are the means, over pivots sampled k times, of what all choices of k samples give."""
    shares = [enumerated(samples, passed, k) for samples, passed in counts if samples >= k]
    found = pass_at_k(counts, k)
    if not shares:
        assert found is None
        return
    assert found is not None
    assert found[2] == len(shares)
    assert found[0] == pytest.approx(sum(share[0] for share in shares) / len(shares), abs=1e-12)
    assert found[1] == pytest.approx(sum(share[1] for share in shares) / len(shares), abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "k", "any_passes", "all_pass"),
    [
        ([(3, 2)], 1, 2 / 3, 2 / 3),
        ([(3, 2)], 2, 1.0, 1 / 3),
        ([(4, 1)], 2, 1 / 2, 0.0),
        ([(5, 3)], 2, 9 / 10, 3 / 10),
        ([(2, 2), (2, 0)], 2, 1 / 2, 1 / 2),
        ([(1000, 1)], 1000, 1.0, 0.0),
        ([(1, 0), (2, 1), (1, 1), (3, 2)], 2, 1.0, 1 / 6),
    ],
)
def test_pass_at_k_by_hand(counts: list[tuple[int, int]], k: int, any_passes: float, all_pass: float) -> None:
    """Small tables have the figures that a pencil gives; pivots with fewer samples are left out."""
    enough = sum(samples >= k for samples, _ in counts)
    assert pass_at_k(counts, k) == pytest.approx((any_passes, all_pass, enough))


@pytest.mark.parametrize("counts", [[], [(2, 2)]])
def test_too_few_samples_have_no_pass_at_k(counts: list[tuple[int, int]]) -> None:
    """Without a pivot that was sampled k times there is no figure."""
    assert pass_at_k(counts, 3) is None


@PROPERTY
@given(st.lists(st.integers(0, 9).map(lambda passed: (9, passed)), min_size=1, max_size=6))
def test_pass_at_k_grows_and_pass_to_the_k_falls(counts: list[tuple[int, int]]) -> None:
    """More samples never make one success less likely, nor all successes more; with one sample they are the same."""
    rates = [pass_at_k(counts, k) for k in range(1, 10)]
    known = [rate for rate in rates if rate is not None]
    assert len(known) == 9
    assert known[0][0] == pytest.approx(known[0][1])
    for less, more in pairwise(known):
        assert more[0] >= less[0] - 1e-12
        assert more[1] <= less[1] + 1e-12
