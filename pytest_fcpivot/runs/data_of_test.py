"""Find the row of a run's data that a recorded result is about."""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pytest_fcpivot.data.store import PivotStore


class Told(NamedTuple):
    """What a result tells of its pivot: the trajectory, the kind of the expected action, and the first function."""

    trajectory_id: str
    expected: str
    tool: str | None


class DataOfTests:
    """The rows of a run's data by the ids of their pivots; `wanted` are the ids that are asked for, all by default.

    The names of the data files are in the node ids of their own tests. A user's own test runs over all of them, and its
    node id has the pivot's id, followed by `@2` if the pivot is that of the second data set and an earlier one has a
    pivot of the same id.
    """

    def __init__(self, stores: Sequence[tuple[str, PivotStore]], wanted: Collection[str] | None = None) -> None:
        self._stores = [store for _, store in stores]
        self._numbers = {f"{name}::": number for number, (name, _) in enumerate(stores)}
        self._rows = [
            {id_: row for row, id_ in enumerate(store.each("id")) if wanted is None or id_ in wanted}
            for store in self._stores
        ]

    def own_data(self, test: str) -> int | None:
        """Return the number of the data set whose own test this is; None for a test of the user's own."""
        return next((number for start, number in self._numbers.items() if test.startswith(start)), None)

    def find(self, test: str, pivot_id: str, told: Callable[[], Told]) -> tuple[int, int] | None:
        """Return the number of the data set and the row in it; None if it is in none, or not known which one it is.

        `told` is asked only if several data sets have a pivot of that id, and the node id does not say which it is.
        """
        own = self.own_data(test)
        among = [number for number, rows in enumerate(self._rows) if pivot_id in rows]
        if own is not None:
            among = [own] if own in among else []
        elif len(among) > 1:
            named = re.search(rf"[\[-]{re.escape(pivot_id)}@(\d{{1,4}})(?:\[r\d+\])?(?:-|\]$)", test)
            if named is not None:
                among = [number for number in among if number == int(named[1]) - 1]
            else:  # an earlier data set may have it too, but not have been selected
                result = told()
                among = [number for number in among if self._shared[number][self._rows[number][pivot_id]] == result]
        return (among[0], self._rows[among[0]][pivot_id]) if among else None

    @cached_property
    def _shared(self) -> list[dict[int, Told]]:
        """What results of those pivots tell whose id several data sets have, by data set and row."""
        times = Counter(chain.from_iterable(self._rows))
        found = []
        for store, rows in zip(self._stores, self._rows, strict=True):
            entries = store.index(sorted(row for id_, row in rows.items() if times[id_] > 1))
            found.append(
                {
                    each.row: Told(each.trajectory_id, each.expected_type, next(iter(each.expected_names), None))
                    for each in entries
                }
            )
        return found
