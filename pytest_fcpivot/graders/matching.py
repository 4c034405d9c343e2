"""Bipartite matching of expected and actual calls: with the largest number of pairs, or the largest total weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def maximum_matching(edges: list[list[int]], n_right: int) -> list[int | None]:
    """Pair left with right nodes so that as many as possible have a partner; left node i may be paired with `edges[i]`.

    Returns each left node's partner or None. If there are several maximum matchings, left nodes are served in order of
    their number of edges, then of their index: a node gets a partner whenever all nodes served before it can keep one.
    Uses augmenting paths (Kuhn 1955), found breadth first, so that hundreds of calls need neither deep recursion nor
    more than (left nodes x edges) steps.
    """
    partner: list[int | None] = [None] * len(edges)
    owner: list[int | None] = [None] * n_right
    # A node that has a partner never loses it (it may change), so this order alone decides who is left without one.
    for start in sorted(range(len(edges)), key=lambda left: len(edges[left])):
        came_from: dict[int, int] = {}  # right node -> the left node it was reached from
        queue = [start]
        free: int | None = None
        for left in queue:
            for right in edges[left]:
                if right in came_from:
                    continue
                came_from[right] = left
                taken_by = owner[right]
                if taken_by is None:
                    free = right
                    break
                queue.append(taken_by)
            if free is not None:
                break
        while free is not None:  # follow the path back, pairing each left node with the right node it reached
            left = came_from[free]
            owner[free], partner[left], free = left, free, partner[left]
    return partner


def best_assignment(weights: Sequence[Sequence[int]]) -> list[int | None]:
    """Pair rows with columns, one to one, such that the sum of the weights of the pairs is maximal.

    Weights are integers >= 0, so that rounding cannot decide. Returns each row's column, or None: rows and columns are
    never paired with a weight of 0. Uses shortest augmenting paths with dual values (Jonker and Volgenant 1987) after a
    greedy start: at most (smaller side)² x (larger side) steps, without recursion.
    """
    n_columns = len(weights[0]) if weights else 0
    if len(weights) > n_columns:
        columns: list[int | None] = [None] * len(weights)
        for column, row_of_column in enumerate(best_assignment(list(zip(*weights, strict=True)))):
            if row_of_column is not None:
                columns[row_of_column] = column
        return columns
    rows = [row for row, row_weights in enumerate(weights) if any(row_weights)]  # the others can only have weight 0
    if not rows:
        return [None] * len(weights)
    found: list[int | None] = [None] * len(weights)
    for row, column in zip(rows, _Assignment([weights[row] for row in rows]).columns, strict=True):
        found[row] = column if weights[row][column] else None
    return found


class _Assignment:
    """Assigns a column to every row with maximal total weight; there are at least as many columns as rows.

    Invariants: row dual + column dual >= weight, with equality for assigned pairs; the dual of a free column is 0.
    """

    __slots__ = ("_column_dual", "_owner", "_row_dual", "_weights", "columns")

    def __init__(self, weights: Sequence[Sequence[int]]) -> None:
        self._weights = weights
        self._row_dual = [max(row) for row in weights]
        self._column_dual = [0] * len(weights[0])
        self._owner = [-1] * len(weights[0])
        self.columns = [-1] * len(weights)
        for row, row_weights in enumerate(weights):
            best = self._row_dual[row]
            for column, weight in enumerate(row_weights):
                if weight == best and self._owner[column] < 0:
                    self._owner[column], self.columns[row] = row, column
                    break
        for row in range(len(weights)):
            if self.columns[row] < 0:
                self._make_room(row)

    def _make_room(self, start: int) -> None:
        """Assign a column to one more row, moving others along the path of least loss to a free column (Dijkstra)."""
        weights, row_dual, column_dual, owner = self._weights, self._row_dual, self._column_dual, self._owner
        base = row_dual[start]
        loss = [base + dual - weight for dual, weight in zip(column_dual, weights[start], strict=True)]
        came_from = [start] * len(owner)
        reached: list[int] = []
        waiting = list(range(len(owner)))
        while True:
            column = min(waiting, key=loss.__getitem__)
            least = loss[column]
            row = owner[column]
            if row < 0:
                break
            reached.append(column)
            waiting.remove(column)
            row_weights, base = weights[row], least + row_dual[row]
            for other in waiting:
                through = base + column_dual[other] - row_weights[other]
                if through < loss[other]:
                    loss[other], came_from[other] = through, row
        row_dual[start] -= least
        for passed in reached:
            slack = least - loss[passed]
            row_dual[owner[passed]] -= slack
            column_dual[passed] += slack
        while True:  # follow the path back, assigning to each row the column it reached
            row = came_from[column]
            owner[column], self.columns[row], column = row, column, self.columns[row]
            if row == start:
                break
