"""The pivots that are exported: some rows of one or more data files, read one by one, and their table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_fcpivot.core.jsontext import compact
from pytest_fcpivot.data.rows import StoredPivot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_fcpivot.core.model import Pivot
    from pytest_fcpivot.data.store import PivotStore

FORMAT = 1
# The names are those of a prepared file; its lists are JSON text here, and what only a selection needs is left out.
COLUMNS = {
    "format": "integer",
    "data": "string",
    "id": "string",
    "trajectory_id": "string",
    "split": "string",
    "turn": "integer",
    "step": "integer",
    "depth": "integer",
    "expected_type": "string",
    "expected_names": "string",
    "n_tools": "integer",
    "expected_action": "string",
    "input": "string",
    "tools": "string",
    "params": "string",
    "metadata": "string",
    "source_line": "integer",
}
REPEATED = ("data", "trajectory_id", "split", "expected_type", "expected_names", "tools", "params", "metadata")


class Chosen(NamedTuple):
    """Some rows of a data file, in ascending order; `label` is how messages and tables name it."""

    label: str
    store: PivotStore
    rows: Sequence[int]


class Pivots:
    """The chosen pivots of several data files, with the number of their file; each is read when it is asked for."""

    def __init__(self, chosen: Sequence[Chosen]) -> None:
        self.chosen = chosen

    def __len__(self) -> int:
        return sum(len(each.rows) for each in self.chosen)

    def __iter__(self) -> Iterator[tuple[Chosen, Pivot]]:
        for each in self.chosen:
            for row in each.rows:
                yield each, each.store.read(row)

    def several(self) -> int:
        """Count the ids that more than one of the data files have, and which one file of them all cannot tell apart."""
        if len(self.chosen) == 1:
            return 0
        seen: set[str] = set()
        twice: set[str] = set()
        for each in self.chosen:
            ids = set(each.store.some("id", each.rows))
            twice |= seen & ids
            seen |= ids
        return len(twice)


def pivot_rows(pivots: Pivots) -> Iterator[dict[str, Any]]:
    """Yield a row of the table for each pivot."""
    for chosen, pivot in pivots:
        stored = StoredPivot.of(pivot)
        row = {name: getattr(stored, name) for name in COLUMNS if hasattr(stored, name)}
        names = compact(stored.expected_names)
        yield {**row, "format": FORMAT, "data": chosen.label, "expected_names": names}
