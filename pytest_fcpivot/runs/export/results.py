"""The rows of an exported run: the last result of each test, and the tests that have none, where they are known."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import OptionError, RunError
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.data.selection import Condition, Selection, parse_condition, parse_shard
from pytest_fcpivot.options.table import TRUE
from pytest_fcpivot.runs.damage import Damages, refuse_losses
from pytest_fcpivot.runs.data_of_test import DataOfTests, Told
from pytest_fcpivot.runs.directory import RunDirectory
from pytest_fcpivot.runs.export.columns import FACTS, Row, row_of, row_without_result
from pytest_fcpivot.runs.export.pivots import Chosen, Pivots
from pytest_fcpivot.runs.reader import (
    Damage,
    DamagedLineError,
    line_at,
    open_regular,
    result_line,
    results_in,
)
from pytest_fcpivot.runs.rewards import place_of
from pytest_fcpivot.runs.unfinished import only_data, tests_without_result, why_unfinished

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_fcpivot.data.store import PivotStore
    from pytest_fcpivot.runs.reader import ResultLine

Stores = list[tuple[str, "PivotStore"]]


class RunTable:
    """A run's rows, in the order of `results.jsonl`; tests without a result come last.

    `stores` are the run's data by name, if they are at hand. `damages` are lines that are left out. `results` is the
    number of tests with a result. Of the lines, only where the last one of each test begins is kept in memory.
    """

    def __init__(self, path: Path, description: Mapping[str, Any], stores: Stores, *, allow_damaged: bool) -> None:
        self._path = path
        self._description = description
        self._results = RunDirectory(path).results
        self.damages = Damages()
        self._places: dict[str, int] = {}
        self._stores = stores
        self._read_places(allow_damaged=allow_damaged)
        self.results = len(self._places)
        self._data = DataOfTests(stores)
        self.chosen = [Chosen(name, store, range(len(store))) for name, store in stores]
        self._facts = [list(zip(*(store.each(name) for name in FACTS), strict=True)) for _, store in stores]
        self._missing, self.missing_unknown = self._find_missing()

    @property
    def not_run(self) -> int:
        """How many rows are of tests without a result."""
        return sum(len(tests) for _, _, tests in self._missing)

    def why_unfinished(self) -> str | None:
        """Explain why the run is not complete; None if it is."""
        return why_unfinished(self._description, self.results)

    def pivots(self) -> Pivots:
        """Return the pivots that have a result, in the order of the data."""
        rows: dict[int, set[int]] = {}
        for _, line in self._last_lines():
            place = self._place(line)
            if place is not None:
                rows.setdefault(place[0], set()).add(place[1])
        return Pivots([each._replace(rows=sorted(rows.get(number, ()))) for number, each in enumerate(self.chosen)])

    def in_order(self, left_out: Counter[str]) -> Iterator[tuple[int, int, ResultLine]]:
        """Yield the graded results in the order of the data, each with the number of its data set and the row in it.

        Of several tests about one repeat of a pivot, that of the data comes first. `left_out` counts the other results
        by reason. Raises RunError if the results have changed since they were first read.
        """
        found = []
        for offset, line in self._last_lines():
            if line.is_error:
                left_out["an error, which has no grade"] += 1
                continue
            place = self._place(line)
            if place is None:
                left_out["a result whose pivot is not in the data"] += 1
                continue
            found.append((*place, line.repeat, self._data.own_data(line.test) is None, offset))
        if not found:
            return
        with open_regular(self._results) as stream:
            for number, row, _, _, offset in sorted(found):
                try:
                    yield number, row, result_line(line_at(stream, offset))
                except DamagedLineError as error:
                    raise RunError(f"{self._results}: changed while it was read: {error}; export it again") from error

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows; raises RunError if the results have changed since they were first read."""
        for _, line in self._last_lines():
            row = row_of(line)
            self._put_facts(row)
            yield row
        for name, store, tests in self._missing:
            entries = {entry.row: entry for entry in store.index(sorted({row for row, _ in tests}))}
            for number, repeat in tests:
                entry = entries[number]
                row = row_without_result(name, f"{name}::{_named(entry.id, repeat)}", entry, repeat)
                self._put_facts(row)
                yield row

    # ---------------------------------------------------------------- which lines count

    def _lines(self) -> Iterator[tuple[int, Any]]:
        return results_in(self._results) if self._results.exists() else iter(())  # killed at its start: it has none

    def _read_places(self, *, allow_damaged: bool) -> None:
        for offset, line in self.damages.watch(self._lines()):
            if line.test is None:
                continue
            if isinstance(line, Damage):  # written in the place of an earlier result, which does not count again
                self._places.pop(line.test, None)
            else:
                self._places[line.test] = offset
        if not allow_damaged:
            refuse_losses(self._path, self.damages)

    def _last_lines(self) -> Iterator[tuple[int, ResultLine]]:
        for offset, line in self._lines():
            if line.test is None or self._places.get(line.test) != offset:
                continue
            if isinstance(line, Damage):
                raise RunError(f"{line}: the file was changed while it was read; export the run again")
            yield offset, line

    # ---------------------------------------------------------------- what the data say

    def _place(self, line: ResultLine) -> tuple[int, int] | None:
        """Return the number of the data set and the row in it that a result is about; None if it is in none."""
        return self._data.find(line.test, line.pivot_id, partial(Told, line.trajectory_id, line.expected, line.tool))

    def _put_facts(self, row: Row) -> None:
        """Put what the data say into a row."""
        told = partial(Told, row["trajectory_id"], row["expected"], row["tool"])
        found = self._data.find(row["test"], row["pivot_id"], told)
        if found is not None:
            number, place = found
            row.update(zip(FACTS, self._facts[number][place], strict=True))

    # ---------------------------------------------------------------- tests without a result

    def _find_missing(self) -> tuple[list[tuple[str, PivotStore, list[tuple[int, int]]]], str | None]:
        """Return the rows and repeats of the tests without a result, by data set; or why they are not known.

        They are worked out again from the data and the options of the run, and count only if there are as many as the
        run recorded, since pytest's own options and skips may have left others out.
        """
        left = tests_without_result(self._description, self.results)
        if left == 0:
            return [], None
        number = "tests" if left is None else count_of(left, "test")
        unknown = f"{number} without a result cannot be listed, since it is not known which they are"
        if left is None:
            unknown = "there may be tests without a result; which they are is not known"
        if not self._stores:
            return [], f"{unknown}: the data are needed"
        had: dict[str, set[tuple[str, int]]] = {name: set() for name, _ in self._stores}
        for _, line in self._last_lines():
            pivots = had.get(place_of(line.test, line.pivot_id))
            if pivots is None:
                return [], unknown  # a test of the user's own, of which there may be others
            pivots.add((line.pivot_id, line.repeat))
        if not only_data(self._description):
            return [], unknown
        repeats = range(1, self._description["repeats"] + 1)
        found = []
        for data in self._description["data"]:
            store = next(store for name, store in self._stores if name == data["name"])
            rows = selected_rows(self._description, data, store)
            if rows is None:
                return [], unknown
            ids, have = list(store.each("id")), had[data["name"]]
            tests = [(row, repeat) for row in rows for repeat in repeats if (ids[row], repeat) not in have]
            if len(rows) * len(repeats) - len(tests) != len(have):
                return [], unknown
            found.append((data["name"], store, tests))
        return (found, None) if sum(len(tests) for _, _, tests in found) == left else ([], unknown)


def selected_rows(description: Mapping[str, Any], data: Mapping[str, Any], store: PivotStore) -> Sequence[int] | None:
    """Return which rows of a data set a run selected, by its recorded options; None if they do not tell.

    `data` is the entry of the data set in the run's description.
    """
    if data["selected"] == len(store):
        return range(len(store))
    options: Mapping[str, Any] = description.get("options") or {}
    if options.get("fc_ids") is not None or description.get("selected_by_shard"):
        return None  # a file that may have changed since; or each shard selected from its own pivots
    try:
        rows = _selection(options).rows(store)
    except (OptionError, ValueError, TypeError):
        return None
    return rows if len(rows) == data["selected"] else None


def _selection(options: Mapping[str, Any]) -> Selection:
    conditions = options.get("fc_where") or []
    if isinstance(conditions, str):
        conditions = shlex.split(conditions)  # as they are written in an environment variable
    split, shard = options.get("fc_split"), options.get("fc_shard")
    return Selection(
        shard=None if shard is None else parse_shard(str(shard)),
        sample=_number(options.get("fc_sample")),
        seed=_number(options.get("fc_seed")) or 0,
        limit=_number(options.get("fc_limit")),
        stratified=str(options.get("fc_stratify")).lower() in TRUE,
        conditions=(
            *(parse_condition(str(text)) for text in conditions),
            *([] if split is None else [Condition("split", (), "=", str(split))]),
        ),
    )


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def _named(pivot_id: str, repeat: int) -> str:
    return pivot_id if repeat == 1 else f"{pivot_id}[r{repeat}]"
