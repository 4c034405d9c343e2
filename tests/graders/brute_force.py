"""The best pairings of small sizes, found by trying every one: what the quick algorithms are held against."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def most_matched(edges: Sequence[Sequence[int]], n_right: int) -> int:
    """Return the size of the best pairing, by trying every one."""
    padded = range(n_right + len(edges))
    return max(
        sum(right in edges[left] for left, right in enumerate(chosen)) for chosen in permutations(padded, len(edges))
    )


def greatest_total(weights: Sequence[Sequence[float]]) -> float:
    """Return the greatest sum that a one-to-one pairing of rows and columns can have, by trying every one."""
    n_columns = len(weights[0]) if weights else 0
    padded = [[*row, *[0.0] * len(weights)] for row in weights]
    return max(
        sum(padded[row][column] for row, column in enumerate(chosen))
        for chosen in permutations(range(n_columns + len(weights)), len(weights))
    )
