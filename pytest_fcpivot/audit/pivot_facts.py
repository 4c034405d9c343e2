"""Looks up what a run's data say of its pivots: their depth and their number of tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fcpivot.audit.run_data import RunData
from pytest_fcpivot.data import has_hash, resolve_data
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
    """Return a function that looks up a pivot's depth and number of tools; raises as `open_data` does.

    A user's own test is looked up in the first data set that has its pivot.
    """
    by_data: dict[str, dict[str, Facts]] = {}
    wanted = {pivot.pivot_id for pivot in side.rewards}
    stores = open_data(side, given)
    try:
        for name, store in stores:
            columns = zip(store.each("id"), store.each("depth"), store.each("n_tools"), strict=True)
            by_data[name] = {id_: (depth, tools) for id_, depth, tools in columns if id_ in wanted}
    finally:
        for _, store in stores:
            store.close()
    only = next(iter(by_data.values())) if len(by_data) == 1 else None

    def facts(pivot: PivotRewards) -> Facts | None:
        if only is not None:
            return only.get(pivot.pivot_id)
        if pivot.place in by_data:
            return by_data[pivot.place].get(pivot.pivot_id)
        return next((found[pivot.pivot_id] for found in by_data.values() if pivot.pivot_id in found), None)

    return facts
