"""Pairing: against brute force on small sizes, and in time on large ones."""

from __future__ import annotations

import random
import time
from itertools import product

import pytest
from brute_force import greatest_total, left_without, most_matched
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.graders.matching import best_assignment, maximum_matching

PROPERTY = settings(deadline=None)
N = 120
GENERATOR = random.Random(5)  # noqa: S311 (no secret)


SUBSETS = [[], [0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("n_left", [1, 2, 3])
def test_maximum_matching(n_left: int, *, backwards: bool) -> None:
    """The matching uses only given edges, no partner twice, and is the largest: tried with all edges of up to 3 x 3."""
    for chosen in product(SUBSETS, repeat=n_left):
        edges = [each[::-1] if backwards else each for each in chosen]
        partner = maximum_matching(edges, 3)
        used = [right for right in partner if right is not None]
        assert len(partner) == n_left
        assert len(set(used)) == len(used) == most_matched(edges, 3), edges
        assert all(right is None or right in edges[left] for left, right in enumerate(partner)), edges
        assert [left for left, right in enumerate(partner) if right is None] == left_without(edges, 3), edges


def test_a_partner_moves_twice() -> None:
    """Room is made for the last one by moving two others, also where a candidate was seen before."""
    assert maximum_matching([[0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1]], 4) == [0, 2, 3, 1]
    edges = [[0, 1], [1, 2], [2, 3], [0, 0, 1]]
    assert None not in maximum_matching(edges, 4)


@pytest.mark.parametrize(
    ("edges", "without"),
    [
        ([[0], [0]], [1]),  # of equals the first is served
        ([[0, 1], [0, 1], [0]], [1]),  # who has one candidate comes before those with two
        ([[0, 1], [0], [1]], [0]),
        ([[], [0], [0, 1], [0, 1]], [0, 3]),
        ([[0, 1, 2], [0, 1, 2], [0, 1, 2], [1], [1]], [2, 4]),
    ],
)
def test_who_is_left_without(edges: list[list[int]], without: list[int]) -> None:
    """Where not all can be paired, those with the fewest candidates are, and of equals the first."""
    partner = maximum_matching(edges, 3)
    assert [left for left, right in enumerate(partner) if right is None] == without == left_without(edges, 3)


@st.composite
def matrices(draw: st.DrawFn, most: int = 4) -> list[list[int]]:
    """Rectangular weights with many ties and zeros, or hardly any."""
    n_rows, n_columns = draw(st.integers(0, most)), draw(st.integers(0, most))
    weight = st.integers(0, draw(st.sampled_from([1, 3, 10**13])))
    return draw(
        st.lists(
            st.lists(weight, min_size=n_columns, max_size=n_columns),
            min_size=n_rows,
            max_size=n_rows,
        )
    )


def total(weights: list[list[int]], columns: list[int | None]) -> int:
    """Check that it is a pairing, and add up its weights."""
    used = [column for column in columns if column is not None]
    assert len(columns) == len(weights)
    assert len(set(used)) == len(used)
    return sum(weights[row][column] for row, column in enumerate(columns) if column is not None)


def check_best(weights: list[list[int]]) -> None:
    """Check that the pairing's sum is the greatest there is, and that nobody is paired for a weight of 0."""
    columns = best_assignment(weights)
    assert total(weights, columns) == greatest_total(weights), weights
    assert all(column is None or weights[row][column] > 0 for row, column in enumerate(columns)), weights


@pytest.mark.parametrize(("n_rows", "n_columns"), [(1, 3), (2, 2), (2, 3), (3, 2), (3, 1), (3, 3)])
def test_all_small_assignments(n_rows: int, n_columns: int) -> None:
    """The pairing is the best one for every matrix of up to 3 x 3 with weights from 0 to 2."""
    rows = list(map(list, product(range(3), repeat=n_columns)))
    for weights in product(rows, repeat=n_rows):
        check_best(list(weights))


@pytest.mark.parametrize("most", [1, 3, 10, 10**13])
@pytest.mark.parametrize(("n_rows", "n_columns"), [(5, 5), (4, 5), (6, 4)])
def test_best_assignment(n_rows: int, n_columns: int, most: int) -> None:
    """The pairing is the best one for larger matrices with many ties and zeros, or hardly any."""
    numbers = random.Random(most)  # noqa: S311 (no secret)
    for _ in range(40):
        check_best([[numbers.randint(0, most) for _ in range(n_columns)] for _ in range(n_rows)])


@PROPERTY
@given(matrices(most=12), st.randoms(use_true_random=False))
def test_best_assignment_is_no_worse_than_greed(weights: list[list[int]], order: random.Random) -> None:
    """Taking pairs one by one, the heaviest first or in any order, never earns more."""
    pairs = [(row, column) for row, row_weights in enumerate(weights) for column in range(len(row_weights))]
    found = total(weights, best_assignment(weights))
    order.shuffle(pairs)
    for listed in (pairs, sorted(pairs, key=lambda pair: -weights[pair[0]][pair[1]])):
        rows, columns, earned = set(), set(), 0
        for row, column in listed:
            if row not in rows and column not in columns:
                rows.add(row)
                columns.add(column)
                earned += weights[row][column]
        assert found >= earned


@PROPERTY
@given(matrices(most=12))
def test_best_assignment_is_the_same_from_both_sides(weights: list[list[int]]) -> None:
    """Rows to columns and columns to rows have the same sum."""
    turned = [list(column) for column in zip(*weights, strict=True)]
    assert total(weights, best_assignment(weights)) == total(turned, best_assignment(turned))


@pytest.mark.parametrize(
    ("weights", "columns"),
    [
        ([], []),
        ([[]], [None]),
        ([[], []], [None, None]),
        ([[0]], [None]),
        ([[3]], [0]),
        ([[2, 3]], [1]),
        ([[2], [3]], [None, 0]),
        ([[10, 9], [9, 0]], [1, 0]),  # the heaviest pair is not in the best pairing
        ([[0, 0], [0, 5], [0, 7]], [None, None, 1]),
        ([[5, 5, 5], [5, 5, 5]], [0, 1]),
    ],
)
def test_small_assignments(weights: list[list[int]], columns: list[int | None]) -> None:
    """Empty, rectangular and tied weights; nobody is paired for nothing, and the first of equals is taken."""
    assert best_assignment(weights) == columns


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param([[7] * N for _ in range(N)], id="all the same"),
        pytest.param([[GENERATOR.randrange(10**13) for _ in range(N)] for _ in range(N)], id="all different"),
        pytest.param([[(row + 1) * (column + 1) for column in range(N)] for row in range(N)], id="product"),
        pytest.param([[N - row if column < 3 else row for column in range(N)] for row in range(N)], id="contested"),
        pytest.param([[GENERATOR.choice([0, 0, 6, 10, 12]) for _ in range(N)] for _ in range(N)], id="ties and zeros"),
        pytest.param([[GENERATOR.randrange(50) for _ in range(3)] for _ in range(20 * N)], id="3 columns"),
    ],
)
def test_large_assignments(weights: list[list[int]]) -> None:
    """A hundred on both sides, and thousands on one, are paired within seconds, as well as from the other side."""
    start = time.process_time()
    found = total(weights, best_assignment(weights))
    assert time.process_time() - start < 10
    turned = [list(column) for column in zip(*weights, strict=True)]
    assert found == total(turned, best_assignment(turned))
