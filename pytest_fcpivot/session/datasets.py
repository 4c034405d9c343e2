"""The data files of a session, opened, with their selected pivots."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import DataError
from pytest_fcpivot.core.jsontext import shown, shows_as_it_is
from pytest_fcpivot.data import SAMPLE, SAMPLE_PATH, open_store, refuse_no_file, resolve_data
from pytest_fcpivot.data.files import is_data_file
from pytest_fcpivot.data.progress import Progress, no_progress
from pytest_fcpivot.data.remarks import Remarks
from pytest_fcpivot.session import options
from pytest_fcpivot.session.worker_plan import received_plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from pytest_fcpivot.data.preparing import SamePivot
    from pytest_fcpivot.data.progress import Reached
    from pytest_fcpivot.data.store import IndexEntry, PivotStore
    from pytest_fcpivot.options.values import Options


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
        """A remark on the data for readers of the results; None if there is none."""
        return Remarks.of(self.store.provenance).note()

    @property
    def rows(self) -> list[int]:
        """The rows of the selected pivots."""
        return [entry.row for entry in self.entries]

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
        self.named = False  # whether the user named any
        # Another machine may have another rootdir, and node ids have to be the same.
        self._received = received_plan(config)
        self._names = [] if self._received is None else [data["name"] for data in self._received.data]

    def __iter__(self) -> Iterator[Dataset]:
        return iter(self._open.values())

    def __len__(self) -> int:
        return len(self._open)

    def repeats(self, asked: int | None) -> int:
        """Return how many times each pivot is asked: as the user asked for, or as often as its row is in the data.

        Raises DataError if the user asks for repeats of rows that are repeats already, or if data files differ.
        """
        each = {dataset.label: int(dataset.store.provenance.get("each_repeated", 1)) for dataset in self}
        repeated = {label: number for label, number in each.items() if number > 1}
        if not repeated:
            return asked or 1
        label, number = next(iter(repeated.items()))
        if asked is not None:
            raise DataError(
                f"--fc-repeats={asked}: the rows of {label} are {number} repeats of each pivot already (as their "
                "_ng_rollout_index shows); leave the option out, or give data with one row for each pivot"
            )
        if len(set(each.values())) > 1:
            counts = ", ".join(f"{label}: {number}" for label, number in each.items())
            raise DataError(
                f"the rows of these data files repeat each pivot a different number of times ({counts}); run them one "
                "at a time"
            )
        return number

    @property
    def are_run(self) -> bool:
        """Whether data files are collected as tests; otherwise they are only read for the user's own tests."""
        return bool(self._named)

    def to_collect(self, path: Path) -> Dataset | None:
        """Return the data set of a file that pytest has found, or None if the file is not to be collected."""
        return self._open[_key(path)] if _key(path) in self._named else None

    def find(self, *, of_run: bool = False) -> None:
        """Open the data that the options and paths name; with options and no path, the run is that data alone.

        `of_run`: the session's paths come from a stored run, and not from the command line. Raises DataError.
        """
        config = self._config
        given = [resolve_data(name, base) for name, base in self._options.data]
        for path in given:
            _refuse_odd_name(str(path), path.name)
        if config.args_source is not config.ArgsSource.ARGS and options.on_command_line(config):
            alone = given or [SAMPLE_PATH]
            config.args = [self._argument(path) for path in alone]
            config.args_source = config.ArgsSource.ARGS
            self._named.update(_key(path) for path in alone)
            for path in alone:
                self.open(path)
        else:
            paths = self._paths(of_run=of_run)
            self._named.update(_key(path) for path in paths)
            given += paths
        self.named = bool(given)
        for path in given:
            self.open(path)
        self._refuse_unknown_ids()
        if not self._open:
            self.open(SAMPLE_PATH)  # the default data of the user's own tests

    def _argument(self, path: Path) -> str:
        """Write a data file as an argument for pytest: relative, if a directory above it has a [ in its name."""
        whole = str(path)
        if "[" not in whole:
            return whole
        shown = os.path.relpath(path, self._config.invocation_params.dir)
        _refuse_odd_name(whole, shown)
        return shown

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

    def _paths(self, *, of_run: bool) -> list[Path]:
        """Return the data files among the path arguments, and let `sample` stand for the bundled one.

        Data in `testpaths` are left out, and data in `addopts` are refused: only a path that is typed runs its data.
        """
        config = self._config
        if config.args_source is config.ArgsSource.TESTPATHS:
            config.args = [name for name in config.args if not is_data_file(config.invocation_params.dir / name)]
            return []
        typed = config.args if of_run or self._received is not None else options.command_line(config)
        found = []
        for position, argument in enumerate(config.args):
            name, separator, rest = argument.partition("::")
            path = config.invocation_params.dir / name
            stands_for_sample = name == SAMPLE and not path.exists()
            if stands_for_sample:
                path = SAMPLE_PATH
            elif not (is_data_file(path) and path.exists()) or path.is_dir():
                continue
            else:
                refuse_no_file(path, name)
            if argument not in typed:
                raise DataError(
                    f"addopts names the data {argument}, but data in addopts are never run: remove the name from "
                    f"addopts, and run the data with: pytest {argument}"
                )
            if stands_for_sample:
                config.args[position] = f"{path}{separator}{rest}"
            else:
                _refuse_odd_name(name, name)
            found.append(path)
        return found

    def open(self, path: Path) -> Dataset:
        """Open a data file, once; raises DataError if it cannot be used."""
        key = _key(path)
        if key not in self._open:
            position = len(self._open)
            label = self._names[position] if position < len(self._names) else self._label(path)
            _refuse_unseen(label)
            with self._progress(path) as progress:
                store = open_store(
                    path, bad_rows=self._options.bad_rows, same_pivot=self._same_pivot, progress=progress
                )
            self._open[key] = Dataset(label, path, store, store.index(self._options.selection.rows(store)))
        return self._open[key]

    @contextmanager
    def _progress(self, path: Path) -> Iterator[Reached]:
        """Show the progress of preparing a large file, past pytest's capturing, which has begun by now."""
        capture = self._config.pluginmanager.getplugin("capturemanager")
        if self._received is not None:  # a worker, for which the controller prepared it
            yield no_progress
            return
        uncaptured = nullcontext() if capture is None else capture.global_and_fixture_disabled()
        with uncaptured, Progress.of_file(path) as progress:
            yield progress

    def why_nothing(self) -> str:
        """Explain which filters left no pivot; returns "" if there are pivots to run, or no data."""
        if any(dataset.entries for dataset in self):
            return ""
        selection = self._options.selection
        return "; ".join(f"{dataset.label}: {selection.why_nothing(dataset.store)}" for dataset in self)

    def _label(self, path: Path) -> str:
        if path == SAMPLE_PATH:
            return SAMPLE
        try:
            return os.path.relpath(path, self._config.rootpath).replace(os.sep, "/")
        except ValueError:  # another drive
            return path.as_posix()


def _refuse_odd_name(shown: str, name: str) -> None:
    """Refuse a file whose name contains a separator of pytest's node ids; `name` is the part of its path used there."""
    if "[" in name or "::" in name:
        raise DataError(f"{shown}: pytest cannot name a file with [ or :: in its name; rename it")


def _refuse_unseen(label: str) -> None:
    """Refuse a file with an invisible character in its name: pytest prints the name unescaped, in each node id."""
    if not shows_as_it_is(label):
        raise DataError(f"{shown(label)}: its name has a character that cannot be seen; rename it")


def _key(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (no link is resolved, as pytest does)
