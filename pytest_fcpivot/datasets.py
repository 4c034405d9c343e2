"""The data files of a session, opened and selected from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot import options
from pytest_fcpivot.data import SAMPLE, SAMPLE_PATH, open_store, resolve_data
from pytest_fcpivot.data.files import is_data_file
from pytest_fcpivot.data.told import Told
from pytest_fcpivot.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from pytest_fcpivot.data.preparing import SamePivot
    from pytest_fcpivot.data.store import IndexEntry, PivotStore
    from pytest_fcpivot.options import Options


@dataclass(slots=True)
class Dataset:
    """An opened data file with its selected pivots; `label` is how node ids and reports name it."""

    label: str
    path: Path
    store: PivotStore
    entries: list[IndexEntry]
    _by_id: dict[str, IndexEntry] | None = None

    @property
    def note(self) -> str | None:
        """What a reader of the results should know of the data; None if there is nothing."""
        return Told.of(self.store.provenance).note()

    def describe(self) -> dict[str, Any]:
        """Describe the data as run.json does."""
        note = self.note
        return {
            "name": self.label,
            "path": str(self.path.absolute()),
            "sha256": self.store.content_hash(self.path),
            "pivots": len(self.store),
            "selected": len(self.entries),
            **({} if note is None else {"note": note}),
        }

    def entry(self, pivot_id: str) -> IndexEntry | None:
        """Find a selected pivot by its id."""
        if self._by_id is None:
            self._by_id = {entry.id: entry for entry in self.entries}
        return self._by_id.get(pivot_id)


class Datasets:
    """The data files that a session may read, in the order they were named."""

    def __init__(self, config: pytest.Config, chosen: Options, same_pivot: SamePivot) -> None:
        self._config = config
        self._options = chosen
        self._same_pivot: SamePivot = same_pivot
        self._open: dict[str, Dataset] = {}
        self._named: set[str] = set()
        # Another machine may have another rootdir, and node ids have to be the same.
        self._names = [data["name"] for data in options.told(config).get("data", ())]

    def __iter__(self) -> Iterator[Dataset]:
        return iter(self._open.values())

    def __len__(self) -> int:
        return len(self._open)

    def repeats(self, asked: int | None) -> int:
        """Return how often each pivot is asked: as often as the user asked for, or as its rows come.

        Raises DataError if both do, or if data come differently often.
        """
        each = {dataset.label: int(dataset.store.provenance.get("each_repeated", 1)) for dataset in self}
        repeated = {label: number for label, number in each.items() if number > 1}
        if not repeated:
            return asked or 1
        label, number = next(iter(repeated.items()))
        if asked is not None:
            raise DataError(
                f"--fc-repeats={asked}: the rows of {label} are {number} repeats of each pivot already (their "
                "_ng_rollout_index says so); leave the option out, or give data with one row of each"
            )
        if len(set(each.values())) > 1:
            told = ", ".join(f"{label}: {number}" for label, number in each.items())
            raise DataError(f"data whose rows are differently many repeats of each pivot ({told}); run them one by one")
        return number

    @property
    def are_run(self) -> bool:
        """Whether data files are collected, and not only read for tests of the user's."""
        return bool(self._named)

    def to_collect(self, path: Path) -> Dataset | None:
        """Return the data set of a file that pytest came to, if it is to be collected."""
        return self._open[_key(path)] if _key(path) in self._named else None

    def find(self) -> None:
        """Open the data that the options and paths name; with options and no path, the run is that data alone."""
        given = [resolve_data(name, base) for name, base in self._options.data]
        odd = [str(path) for path in given if "[" in path.name or "::" in str(path)]
        if odd:
            raise DataError(f"{odd[0]}: pytest cannot name a file with [ or :: in its name; rename it")
        if self._config.args_source is not self._config.ArgsSource.ARGS and options.on_command_line(self._config):
            given = given or [SAMPLE_PATH]
            self._config.args = [str(path) for path in given]
            self._config.args_source = self._config.ArgsSource.ARGS
            self._named.update(_key(path) for path in given)
        else:
            named = self._named_data()
            self._named.update(_key(path) for path in named)
            given = given + named
        for path in given:
            self.open(path)
        self._refuse_unknown_ids()

    def _refuse_unknown_ids(self) -> None:
        wanted = self._options.selection.ids
        if wanted is None or not self._open:
            return
        unknown = set(wanted)
        for dataset in self:
            unknown.difference_update(dataset.store.each("id"))
        if unknown:
            some = ", ".join(sorted(unknown)[:5])
            raise DataError(f"--fc-ids: {len(unknown)} of {len(wanted)} ids are not in the data, such as {some}")

    def _named_data(self) -> list[Path]:
        """Return the data files among the path arguments, and let `sample` stand for the bundled one."""
        found = []
        for position, argument in enumerate(self._config.args):
            name, separator, rest = argument.partition("::")
            path = self._config.invocation_params.dir / name
            if name == SAMPLE and not path.exists():
                path = SAMPLE_PATH
                self._config.args[position] = f"{path}{separator}{rest}"
            if path.is_file() and is_data_file(path):
                found.append(path)
        return found

    def open(self, path: Path) -> Dataset:
        """Open a data file, once; raises DataError if it cannot be used."""
        key = _key(path)
        if key not in self._open:
            store = open_store(path, bad_rows=self._options.bad_rows, same_pivot=self._same_pivot)
            position = len(self._open)
            label = self._names[position] if position < len(self._names) else self._label(path)
            self._open[key] = Dataset(label, path, store, store.index(self._options.selection.rows(store)))
        return self._open[key]

    def _label(self, path: Path) -> str:
        if path == SAMPLE_PATH:
            return SAMPLE
        try:
            return os.path.relpath(path, self._config.rootpath).replace(os.sep, "/")
        except ValueError:  # another drive
            return path.as_posix()


def _key(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (no link is resolved, as pytest does)
