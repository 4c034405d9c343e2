"""The tests of a session by their node ids, and the pivots that they mean, without any test being collected."""

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
    """Name one repeat of a pivot; the first has the pivot's own name, which selects the others too."""
    return pivot_id if repeat == 1 else f"{pivot_id}[r{repeat}]"


class TestNames:
    """The names that the tests of a session have."""

    __test__ = False  # pytest would take the class for one of tests

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def all(self, config: pytest.Config) -> list[str] | None:
        """Return the tests of the data files that are run; None if a filter of pytest's may leave some out."""
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
        """Yield the name and the case of everything that a user's own test runs over."""
        for name, (dataset, entry) in self._named_pivots.items():
            for repeat in range(1, self._plan.repeats + 1):
                yield repeat_name(name, repeat), (dataset, entry, repeat)

    @cached_property
    def _named_pivots(self) -> dict[str, tuple[Dataset, IndexEntry]]:
        """The pivots that tests of the user's run over, by a name of their own in the session.

        A pivot whose id is in several data sets is told apart by the number of its data set, after a sign no id has.
        pytest would number such tests itself, and a controller of workers would not know which pivot was meant.
        """
        named: dict[str, tuple[Dataset, IndexEntry]] = {}
        for number, dataset in enumerate(self._plan.datasets, 1):
            for entry in dataset.entries:
                named[f"{entry.id}@{number}" if entry.id in named else entry.id] = dataset, entry
        return named

    def find(self, nodeid: str) -> tuple[IndexEntry, int, bool] | None:
        """Return the pivot and repeat that a node id means, and whether it is the pivot's own item; None if none."""
        label, _, name = nodeid.rpartition("::")
        own = any(dataset.label == label for dataset in self._plan.datasets)
        # a test of the user's has the pivot in brackets, maybe among other parameters
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
