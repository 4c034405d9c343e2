"""Looks up what a run's data say of its pivots: their depth and their number of tools."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fcpivot.audit.run_data import RunData
from pytest_fcpivot.data import has_hash, resolve_data
from pytest_fcpivot.runs.data_of_test import DataOfTests, Told
from pytest_fcpivot.runs.described import read_with_origin
from pytest_fcpivot.runs.trust import Origin, find_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_fcpivot.data.store import PivotStore
    from pytest_fcpivot.runs.comparing import Side
    from pytest_fcpivot.runs.groups import Facts
    from pytest_fcpivot.runs.rewards import PivotRewards


def open_data(side: Side, given: Sequence[str]) -> list[tuple[str, PivotStore]]:
    """Open the data of one side by name: the files that the user gives, or for a run those where it had them.

    Raises RunError if they are not the data that it used, or are not there, and DataError if they cannot be read.
    """
    description, made_here = side.description, False
    if side.path is not None and not side.is_baseline:
        description, origin = read_with_origin(side.path, find_key())
        made_here = origin is Origin.HERE
    elif side.is_baseline:  # it does not say where they are
        description = {**description, "data": [{"path": "", **data} for data in description["data"]]}
    return RunData(side.path or Path(side.name), description, made_here=made_here).open(given)


def given_for(side: Side, given: Iterable[str]) -> list[str]:
    """Return those of the user's data files that one side used, by their hash."""
    wanted = [data["sha256"] for data in side.description["data"]]
    return [text for text in given if any(has_hash(resolve_data(text), digest) for digest in wanted)]


def facts_of(side: Side, given: Sequence[str]) -> Callable[[PivotRewards], Facts | None]:
    """Return a function that looks up a pivot's depth and number of tools; raises as `open_data` does."""
    stores = open_data(side, given)
    try:
        data = DataOfTests(stores, {pivot.pivot_id for pivot in side.rewards})
        columns = [list(zip(store.each("depth"), store.each("n_tools"), strict=True)) for _, store in stores]
        places = [(pivot, data.find(pivot.test, pivot.pivot_id, partial(_told, pivot))) for pivot in side.rewards]
        known = {
            (pivot.place, pivot.pivot_id): columns[place[0]][place[1]] for pivot, place in places if place is not None
        }
    finally:
        for _, store in stores:
            store.close()

    def facts(pivot: PivotRewards) -> Facts | None:
        return known.get((pivot.place, pivot.pivot_id))

    return facts


def _told(pivot: PivotRewards) -> Told:
    return Told(pivot.trajectory_id, pivot.expected, pivot.tool)
