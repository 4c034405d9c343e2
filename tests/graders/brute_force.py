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


def left_without(edges: Sequence[Sequence[int]], n_right: int) -> list[int]:
    """Return who has no partner in the pairing that the verifier's rule chooses among the largest, by trying every one.

    The rule offers partners to left nodes by the number of their edges, fewest first, and of equals to the first. So of
    two largest pairings the better one has a partner for the node that comes first of those that only one of them has.
    """
    order = sorted(range(len(edges)), key=lambda left: (len(edges[left]), left))
    padded = range(n_right + len(edges))
    best: tuple[int, list[bool]] = -1, []
    for chosen in permutations(padded, len(edges)):
        paired = [right in edges[left] for left, right in enumerate(chosen)]
        best = max(best, (sum(paired), [paired[left] for left in order]))
    return sorted(left for left, has_one in zip(order, best[1], strict=True) if not has_one)


def greatest_total(weights: Sequence[Sequence[float]]) -> float:
    """Return the greatest sum that a one-to-one pairing of rows and columns can have, by trying every one.

    No weight is negative, so that a pairing of all rows or of all columns is among the best.
    """
    columns = max(len(weights[0]) if weights else 0, len(weights))
    padded = [[*row, *[0.0] * (columns - len(row))] for row in weights]
    return max(
        sum(padded[row][column] for row, column in enumerate(chosen))
        for chosen in permutations(range(columns), len(weights))
    )
