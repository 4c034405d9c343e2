"""Map the node ids of tests to pivots, also in the controller of workers, which collects no tests."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from pytest_fcpivot.runs.ending import joined_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from pytest_fcpivot.data.store import IndexEntry
    from pytest_fcpivot.session.datasets import Dataset
    from pytest_fcpivot.session.plan import Plan

# pytest's own options that may leave some of the tests out.
_FILTERS = ("keyword", "markexpr", "deselect", "lf")


def repeat_name(pivot_id: str, repeat: int) -> str:
    """Return the name of one repeat of a pivot; the first has the pivot's own name, by which pytest selects all."""
    return pivot_id if repeat == 1 else f"{pivot_id}[r{repeat}]"


class TestNames:
    """The names of a session's tests over pivots."""

    __test__ = False  # pytest would collect the class, because of its name

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def all(self, config: pytest.Config) -> list[str] | None:
        """Return the node ids of the data files' tests; None if unknown, as with a filter of pytest's or a replay."""
        plan = self._plan
        filtered = any(getattr(config.option, name, None) for name in _FILTERS)
        if filtered or plan.replays or not plan.datasets.are_run:
            return None
        return [
            f"{dataset.label}::{repeat_name(entry.id, repeat)}"
            for dataset in plan.datasets
            for entry in dataset.entries
            for repeat in range(1, plan.repeats + 1)
        ]

    def of_own_tests(self) -> Iterator[tuple[str, tuple[Dataset, IndexEntry, int]]]:
        """Yield the parameters of a user's own test: each with its name in the node id."""
        for name, (dataset, entry) in self._named_pivots.items():
            for repeat in range(1, self._plan.repeats + 1):
                yield repeat_name(name, repeat), (dataset, entry, repeat)

    @cached_property
    def _named_pivots(self) -> dict[str, tuple[Dataset, IndexEntry]]:
        """The pivots that the user's own tests run over, by a name that is unique in the session.

        If several data sets have a pivot of the same id, the later ones get an @ (which no id has) and the number of
        the data set. pytest would number such tests by itself, and the controller of workers could not map them to
        pivots.
        """
        named: dict[str, tuple[Dataset, IndexEntry]] = {}
        for number, dataset in enumerate(self._plan.datasets, 1):
            for entry in dataset.entries:
                named[f"{entry.id}@{number}" if entry.id in named else entry.id] = dataset, entry
        return named

    def find(self, nodeid: str) -> tuple[IndexEntry, int, bool] | None:
        """Return the pivot and repeat of a node id, and whether it is the pivot's own item; None for other tests."""
        label, _, name = nodeid.rpartition("::")
        own = any(dataset.label == label for dataset in self._plan.datasets)
        # a user's own test has the pivot in brackets, possibly among other parameters
        names = [name] if own else joined_parts(name.partition("[")[2].removesuffix("]"))
        for text in names:
            pivot_id, bracket, number = text.partition("[r")
            repeat = int(number.removesuffix("]")) if bracket and number.removesuffix("]").isdecimal() else 1
            if not own:
                named = self._named_pivots.get(pivot_id)
                if named is not None:
                    return named[1], repeat, own
                continue
            for dataset in self._plan.datasets:
                entry = dataset.entry(pivot_id) if dataset.label == label else None
                if entry is not None:
                    return entry, repeat, own
        return None
