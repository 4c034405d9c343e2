"""Read a run, its data and a baseline for the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.audit.run_data import RunData
from pytest_fcpivot.core.errors import DataError, RunError
from pytest_fcpivot.core.jsontext import shorten
from pytest_fcpivot.data.rows import expected_action_from_json
from pytest_fcpivot.graders import bundled_grader
from pytest_fcpivot.report.failure import describe_action
from pytest_fcpivot.report.html.results import LINE_WIDTH, NOT_RUN, Entry, Results, read_results
from pytest_fcpivot.runs.comparing import Side
from pytest_fcpivot.runs.damage import refuse_losses
from pytest_fcpivot.runs.data_of_test import DataOfTests
from pytest_fcpivot.runs.described import read_with_origin
from pytest_fcpivot.runs.directory import RunDirectory
from pytest_fcpivot.runs.trust import Origin, find_key
from pytest_fcpivot.runs.until_mixed import unneeded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_fcpivot.data.store import PivotStore
    from pytest_fcpivot.graders import Grader


@dataclass(slots=True)
class RunRead:
    """A run with its results, and its data by name, as far as they are at hand; `no_data` says why they are not.

    `shown` is its path as a user would type it.
    """

    path: Path
    name: str
    shown: str
    description: dict[str, Any]
    results: Results
    grader: Grader | None
    made_here: bool
    stores: list[tuple[str, PivotStore]] = field(default_factory=list)
    no_data: str | None = None

    @property
    def entries(self) -> list[Entry]:
        """The tests of the run that have a result, in the order of their results."""
        return list(self.results.entries.values())

    def close(self) -> None:
        """Close the data."""
        for _, store in self.stores:
            store.close()


_MOST_LEFT = 100_000


def read_run(
    path: Path,
    name: str,
    shown: str,
    data: Sequence[str] = (),
    stores: Sequence[tuple[str, PivotStore]] | None = None,
    *,
    allow_damaged: bool = False,
    with_answers: bool = False,
) -> RunRead:
    """Read a run and what its data say of its pivots; without its data, the report shows what the results have.

    `with_answers`: it is set beside other runs, for which its results need `answers`.
    Raises RunError for a directory that is not a run, and for damaged lines unless `allow_damaged`, and what opening
    the data raises if the user names the files.
    """
    description, origin = read_with_origin(path, find_key())
    results = read_results(RunDirectory(path).results, description, with_answers=with_answers)
    if not allow_damaged:
        refuse_losses(path, results.damages)
    run = RunRead(path, name, shown, description, results, bundled_grader(description["grader"]), origin is Origin.HERE)
    try:
        run.stores = (
            list(stores) if stores is not None else RunData(path, description, made_here=run.made_here).open(data)
        )
    except (DataError, RunError) as error:
        if data:
            raise
        run.no_data = str(error)
    _count_left(run)
    if run.stores:
        _add_left(run)
        _look_up(run)
    return run


def _count_left(run: RunRead) -> None:
    """Take over how many selected tests have no result, and how many were skipped, which no line says."""
    counts, tally = run.description.get("counts"), run.results.tally
    if counts is not None:
        tally.not_run, tally.skipped = counts.get("not_run", 0), counts.get("skipped", 0)
        tally.not_run_mixed = unneeded(run.description)
    elif run.description.get("arguments") is None:  # no session came to its end: of the data's own tests alone
        selected = sum(each["selected"] for each in run.description["data"]) * run.description["repeats"]
        tally.not_run = max(0, selected - len(run.results.entries))


def _add_left(run: RunRead) -> None:
    """Add entries for tests without a result, if it is known which they are: those of the whole data."""
    selected = {each["name"]: (each["selected"], each["pivots"]) for each in run.description["data"]}
    whole = all(one == other for one, other in selected.values())
    if not whole or not 0 < run.results.tally.not_run <= _MOST_LEFT:
        return
    found: list[Entry] = []
    for name, store in run.stores:
        columns = zip(*map(store.each, ("id", "trajectory_id", "expected_type", "expected_names")), strict=True)
        for pivot_id, trajectory, kind, names in columns:
            for repeat in range(1, run.description["repeats"] + 1):
                test = f"{name}::{pivot_id}" + (f"[r{repeat}]" if repeat > 1 else "")
                if test not in run.results.entries:
                    tool = names[0] if names else None
                    found.append(Entry(test, pivot_id, name, trajectory, repeat, NOT_RUN, kind, tool))
                    if len(found) > run.results.tally.not_run:
                        return  # others are missing than those that were counted
    if len(found) == run.results.tally.not_run:
        run.results.entries.update((entry.test, entry) for entry in found)


def _look_up(run: RunRead) -> None:
    """Find the row of each entry in the data, and take from there what a row of the table shows."""
    data = DataOfTests(run.stores, {entry.pivot_id for entry in run.results.entries.values()})
    by_row: list[dict[int, list[Entry]]] = [{} for _ in run.stores]
    for entry in run.results.entries.values():
        found = data.find(entry.test, entry.pivot_id, entry.told)
        if found is not None:
            entry.data, entry.row = found
            by_row[entry.data].setdefault(entry.row, []).append(entry)
    for (_, store), entries in zip(run.stores, by_row, strict=True):
        order = sorted(entries)
        facts = zip(
            order,
            store.some("depth", order),
            store.some("n_tools", order),
            store.lengths("input", order),
            store.some("expected_action", order),
            strict=True,
        )
        for row, depth, tools, context, expected in facts:
            line = shorten(describe_action(expected_action_from_json(expected)), LINE_WIDTH)
            for entry in entries[row]:
                entry.depth, entry.tools, entry.context, entry.expected = depth, tools, context, line


# -------------------------------------------------------------------- the baseline


@dataclass(slots=True)
class BaseRead:
    """What a run is compared with; `path` and `answers` are None if its answers are not at hand.

    `answers` has the entries of the baseline by what tells a repeat of a pivot from others.
    """

    side: Side
    path: Path | None = None
    results: Results | None = None
    answers: dict[tuple[str, str, int], Entry] = field(default_factory=dict)
    by_id_alone: bool = False

    def entry_of(self, entry: Entry) -> Entry | None:
        """Return the baseline's entry for the same repeat of the same pivot; None if there is none."""
        return self.answers.get(("" if self.by_id_alone else entry.place, entry.pivot_id, entry.repeat))


def read_base(side: Side, places: frozenset[str]) -> BaseRead:
    """Read the answers of a baseline, unless it is a saved one; `places` are those of the run that is compared."""
    found = BaseRead(side, by_id_alone=len(side.rewards.places) == 1 == len(places))
    if side.is_baseline or side.path is None:
        return found
    found.path = side.path
    found.results = read_results(RunDirectory(side.path).results, side.description, with_answers=True)
    for entry in found.results.entries.values():
        found.answers["" if found.by_id_alone else entry.place, entry.pivot_id, entry.repeat] = entry
    return found


def side_of(run: RunRead) -> Side:
    """Return a run as one side of a comparison."""
    return Side(run.name, run.path, run.description, run.results.rewards)
