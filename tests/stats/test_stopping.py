"""A gate that stops early says what the whole run says."""

from __future__ import annotations

import math
import random
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.stats.clusters import Totals, spread
from pytest_fcpivot.stats.paired import difference
from pytest_fcpivot.stats.stopping import MeanAgainstMark, WordAgainstBaseline, Zone, large_from
from pytest_fcpivot.stats.student_t import student_t_quantile
from pytest_fcpivot.stats.widths import WidthsSoFar

PROPERTY = settings(deadline=None)

Run = list[tuple[int, float]]
runs = st.lists(st.integers(1, 5).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1, max_size=6)


def seen(run: Run, mark: float, large: int = 0) -> MeanAgainstMark:
    """Return the question after all of a run, given as (size, sum of rewards) by trajectory."""
    question = MeanAgainstMark(mark, [size for size, _ in run], large)
    for _, total in run:
        question.see(total, total)
    return question


@PROPERTY
@given(runs, st.sampled_from([0.2, 0.5, 0.8]), st.data())
def test_a_contradiction_is_rare_over_all_orders(run: Run, mark: float, data: st.DataObject) -> None:
    """Of all orders of the trajectories, at most a share of alpha gives evidence of 1/alpha against the whole run."""
    large = data.draw(st.integers(0, len(run) - 1))
    first, rest = run[:large], run[large:]
    passes = sum(total for _, total in run) >= mark * sum(size for size, _ in run) - 1e-9
    for alpha in (0.1, 0.4):
        orders = list(permutations(rest))
        wrong = 0
        for order in orders:
            question = seen([*first, *order], mark, large)
            wrong += (question.failing if passes else question.passing) >= 1 / alpha
        assert wrong <= alpha * len(orders)


@PROPERTY
@given(runs, st.sampled_from([0.2, 0.5, 0.8]), st.data())
def test_certainty_is_the_truth(run: Run, mark: float, data: st.DataObject) -> None:
    """Infinite evidence holds whatever is still to come, and what lies off the mark is certain at the end."""
    question = MeanAgainstMark(mark, [size for size, _ in run], data.draw(st.integers(0, len(run))))
    n = sum(size for size, _ in run)
    left = n
    low = 0.0
    for size, total in run:
        question.see(total, total)
        low += total
        left -= size
        if question.failing == math.inf:
            assert low + left < mark * n
        if question.passing == math.inf:
            assert low > mark * n
    if abs(low - mark * n) > 1e-6:
        assert math.inf in (question.failing, question.passing)


def test_a_missing_answer_counts_against_what_is_being_proven() -> None:
    """Errors are right where FAIL is to be proven, and wrong where PASS is: with enough of them, neither is."""
    sizes = [4] * 100
    sure = MeanAgainstMark(0.5, sizes, 0)
    unsure = MeanAgainstMark(0.5, sizes, 0)
    for _ in range(60):
        sure.see(0, 0)
        unsure.see(0, 4)
    assert sure.failing > 20
    assert unsure.failing < 2
    assert unsure.passing < 2


def test_a_wrong_model_is_seen_early() -> None:
    """At 60 % in place of 80 %, and at 95 %, a part of the trajectories is enough; the bounds hold the whole."""
    draw = random.Random(5)  # noqa: S311 (no secret)
    for rate, expected in ((0.6, "failing"), (0.95, "passing")):
        run = [(3, sum(draw.random() < rate for _ in range(3))) for _ in range(500)]
        question = MeanAgainstMark(0.8, [3] * 500, 0)
        for _, total in run:
            question.see(total, total)
            if max(question.failing, question.passing) >= 20:
                break
        assert getattr(question, expected) >= 20
        assert question.seen < 200
        low, high = question.bounds(0.05)
        assert low <= sum(total for _, total in run) / 1500 <= high
        assert high < 0.8 if expected == "failing" else low >= 0.8 - 1e-4


def test_bounds_before_and_after_all() -> None:
    """With nothing seen the mean may be anything, and after all of it, it is known."""
    question = MeanAgainstMark(0.5, [2, 2, 4], 1)
    assert question.bounds(0.05) == (0, 1)
    question.see(1, 2)
    assert question.bounds(0.05) == (1 / 8, 1)
    question.see(2, 2)
    question.see(1, 1)
    assert question.bounds(0.05) == pytest.approx((0.5, 5 / 8))


def test_large_trajectories_are_few() -> None:
    """One of 300 among small ones is asked first; equal ones are not, nor are those of a common spread."""
    assert sum(size >= large_from([300] + [4] * 500) for size in [300] + [4] * 500) == 1
    assert large_from([4] * 500) == 5
    assert large_from([]) == 0
    draw = random.Random(1)  # noqa: S311 (no secret)
    sizes = [1 + int(draw.expovariate(0.2)) for _ in range(2000)]
    asked = [size for size in sizes if size >= large_from(sizes)]
    assert sum(asked) < 0.02 * sum(sizes)


Pairs = list[tuple[int, int, int]]


def pairs(draw: random.Random, count: int, lost: float, won: float) -> Pairs:
    """Draw (size, the baseline's sum, the change) of trajectories."""
    drawn = []
    for _ in range(count):
        size = draw.randint(1, 5)
        base = sum(draw.random() < 0.8 for _ in range(size))
        change = sum(draw.random() < won for _ in range(size - base)) - sum(draw.random() < lost for _ in range(base))
        drawn.append((size, base, change))
    return drawn


def word_of(run: Pairs, drop: float) -> Zone:
    """Return what the whole run says."""
    found = difference([Totals(size, change) for size, _, change in run])
    if found.high < -drop:
        return Zone.DROPPED
    return Zone.HELD if found.lowest > -drop else Zone.BETWEEN


@pytest.mark.parametrize(
    ("lost", "won", "drop", "word"),
    [
        (0.25, 0.05, 0.01, Zone.DROPPED),
        (0.02, 0.1, 0.05, Zone.HELD),
        (0.05, 0.12, 0.0151, Zone.BETWEEN),
    ],
)
def test_a_clear_word_is_seen_early(lost: float, won: float, drop: float, word: Zone) -> None:
    """Each of the three words is found before the end, is the whole run's, and its bounds hold the whole's change."""
    run = pairs(random.Random(7), 2500, lost, won)  # noqa: S311 (no secret)
    question = WordAgainstBaseline(drop, [each[0] for each in run], [each[1] for each in run], 0)
    for _, _, change in run:
        question.see(change, change)
        if question.zone:
            break
    assert question.zone is word
    assert word_of(run, drop) is word
    assert question.seen < 2450
    low, high = question.bounds(0.05)
    assert low <= sum(change for _, _, change in run) / sum(size for size, _, _ in run) <= high


@pytest.mark.parametrize(("may_miss", "word"), [(0.1, Zone.BETWEEN), (0.018, Zone.OPEN)])
def test_the_drop_that_may_be_missed_is_part_of_the_word(may_miss: float, word: Zone) -> None:
    """If an inconclusive run fails for a larger drop that is still possible, it is decided whether it is possible."""
    run = pairs(random.Random(7), 2500, 0.05, 0.12)  # noqa: S311 (no secret)
    question = WordAgainstBaseline(
        0.0151, [each[0] for each in run], [each[1] for each in run], 0, may_miss=may_miss, error=0.2
    )
    for _, _, change in run:
        question.see(change, change)
    assert question.zone is word
    allowed = difference([Totals(size, change) for size, _, change in run]).allowed_drop
    assert (allowed > may_miss) is (word is Zone.OPEN)


def test_few_trajectories_that_differ_are_no_drop() -> None:
    """Where fewer than six trajectories differ, which may be by chance, no drop is decided, as it is at the end."""
    run = [(4, 4, -4 if number in (7, 19, 33, 50, 61) else 0) for number in range(70)]
    question = WordAgainstBaseline(0.0, [each[0] for each in run], [each[1] for each in run], 0, error=0.4)
    for _, _, change in run:
        question.see(change, change)
    assert question.zone is not Zone.DROPPED
    assert word_of(run, 0.0) is Zone.BETWEEN


def test_few_trajectories_are_asked_whole() -> None:
    """Under 60 trajectories of the rest, nothing is decided early, since no variance is known; one is no different."""
    run = pairs(random.Random(3), 59, 0.9, 0.0)  # noqa: S311 (no secret)
    for part in (run, run[:1]):
        question = WordAgainstBaseline(0.01, [each[0] for each in part], [each[1] for each in part], 0)
        assert question.bounds(0.05) == (-1, 1)
        for _, _, change in part:
            question.see(change, change)
        assert question.zone is None


def test_errors_hide_a_drop_and_a_rise() -> None:
    """Where missing answers may have been right, no drop is proven, and where they may have been wrong, no PASS is."""
    question = WordAgainstBaseline(0.01, [4] * 800, [3.0] * 800, 0)
    for number in range(790):
        question.see(-3, 1) if number % 3 else question.see(0, 0)
    assert question.zone is None


@PROPERTY
@given(
    st.lists(
        st.integers(1, 6).flatmap(lambda n: st.tuples(st.just(n), st.integers(-n, n))), min_size=3, max_size=40
    ).filter(lambda each: len({size for size, _ in each}) > 1)
)
def test_widths_from_all_trajectories_are_those_of_the_whole_run(run: list[tuple[int, int]]) -> None:
    """After the last trajectory, the plain interval's width is that of the whole run; the cautious one's is close."""
    n = sum(size for size, _ in run)
    widths = WidthsSoFar(n, len(run), 1, run[0][0])
    for position, (size, change) in enumerate(run):
        widths.add(change, size, large=position == 0)
    found = widths.estimate(0.4)
    totals = [Totals(size, change) for size, change in run]
    whole = spread(totals)
    assert found.plain == pytest.approx(student_t_quantile(0.8, whole.df) * whole.error, rel=1e-6, abs=1e-9)
    mean_size = n / len(run)
    more = spread([*totals, Totals(mean_size, -mean_size), Totals(mean_size, mean_size)])
    if len(run) > 20:
        assert found.cautious == pytest.approx(student_t_quantile(0.8, more.df) * more.error, rel=0.1)
