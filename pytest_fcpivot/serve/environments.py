"""One environment of a server: a data file, its splits, and its tasks, which are known by their places alone."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pytest_fcpivot.core.jsontext import shown
from pytest_fcpivot.data.selection import stable_hash
from pytest_fcpivot.serve.problems import RequestProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_fcpivot.data.store import PivotStore
    from pytest_fcpivot.graders import Grader

SplitKind = Literal["train", "validation", "test"]
NO_SPLIT = "train"  # the name of the split of rows that name none
_KINDS: Mapping[str, SplitKind] = {
    "train": "train",
    "validation": "validation",
    "test": "test",
    # the two files of the published conversations, which are made for training
    "tool_calling": "train",
    "interactive_agent": "train",
}
_OTHER_KIND: SplitKind = "validation"  # as other servers of the standard have it
_TASKS_AT_ONCE = 4096
_NAMES_AT_ONCE, _BLOCKS_KEPT = 256, 64
_SPEC, _INDEX = "bad_task_spec", "bad_index"


@dataclass(frozen=True, slots=True)
class Split:
    """A part of an environment's tasks: `rows` are their rows in the data, in ascending order."""

    name: str
    rows: Sequence[int]

    @property
    def kind(self) -> SplitKind:
        """The type that the standard asks for."""
        return _KINDS.get(self.name, _OTHER_KIND)


class Environment:
    """The pivots of one data file as tasks; only one thread may use it, except for what `Pivots` reads.

    A task is named by its split and its index there, or by its pivot's id. What is public of it is its id and that of
    its trajectory. `left_out` is the number of selected pivots that the grader cannot judge by one call.
    """

    def __init__(
        self, name: str, store: PivotStore, grader: Grader, splits: Sequence[Split], *, left_out: int = 0
    ) -> None:
        self.name = name
        self.store = store
        self.grader = grader
        self.left_out = left_out
        self.splits = {split.name: split for split in splits}
        self.scores_messages = hasattr(grader, "grade_message")
        self._kept_names: dict[int, list[tuple[str, str]]] = {}

    def __len__(self) -> int:
        return sum(len(split.rows) for split in self.splits.values())

    def split(self, name: Any) -> Split:
        """Return a split by its name; raises RequestProblem if there is none."""
        found = self.splits.get(name) if isinstance(name, str) else None
        if found is None:
            known = ", ".join(self.splits)
            raise RequestProblem(400, "bad_split", f"Invalid split: {shown(name)}; {self.name} has {known}")
        return found

    def row(self, split: Split, index: Any) -> int:
        """Return the row of a task; raises RequestProblem for an index that the split does not have."""
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(split.rows):
            raise RequestProblem(
                400, _INDEX, f"Invalid index: {shown(index)}; {split.name} has tasks 0 to {len(split.rows) - 1}"
            )
        return split.rows[index]

    def spec(self, split: Split, index: Any) -> dict[str, Any]:
        """Return what is public of a task, without reading its pivot; raises RequestProblem as `row` does."""
        own, trajectory = self._names(self.row(split, index))
        return {"id": own, "trajectory_id": trajectory, "split": split.name, "index": index}

    def specs(self, split: Split, places: range) -> Iterator[bytes]:
        """Yield the specs of tasks as a list in JSON, in pieces; may be used in a thread of its own."""
        store = self.store.again()
        try:
            yield b"["
            name = json.dumps(split.name)
            for start in range(places.start, places.stop, _TASKS_AT_ONCE):
                some = range(start, min(start + _TASKS_AT_ONCE, places.stop))
                rows = split.rows[some.start : some.stop]
                ids, trajectories = store.some("id", rows), store.some("trajectory_id", rows)
                text = ",".join(
                    f'{{"id":{json.dumps(own)},"trajectory_id":{json.dumps(trajectory)},"split":{name},"index":{index}}}'
                    for index, own, trajectory in zip(some, ids, trajectories, strict=True)
                )
                yield (text if start == places.start else f",{text}").encode()
            yield b"]"
        finally:
            store.close()

    def row_of(self, spec: Any) -> int:
        """Return the row of the task that a client's spec names; raises RequestProblem if it names none of ours.

        A spec may come from anywhere: only `id` counts, and `split` and `index` must fit it where they are given.
        """
        if not isinstance(spec, dict) or not isinstance(spec.get("id"), str):
            raise RequestProblem(400, _SPEC, "task_spec must be an object with the id of a task, as tasks are listed")
        own = spec["id"]
        if spec.get("split") is not None and spec.get("index") is not None:
            named = self.row(self.split(spec["split"]), spec["index"])
            there, _ = self._names(named)
            if there != own:
                raise RequestProblem(
                    400,
                    _SPEC,
                    f"task_spec names {shown(own)}, but task {spec['index']} of {spec['split']} is {shown(there)}; the "
                    "list of tasks may be that of other data",
                )
            return named
        row = self._row_with(own)
        if row is None:
            raise RequestProblem(400, _SPEC, f"task_spec: {self.name} has no task with the id {shown(own)}")
        return row

    def _row_with(self, own: str) -> int | None:
        wanted = stable_hash("sample", own)
        hashes, order = self._by_hash
        place = bisect_left(order, wanted, key=hashes.__getitem__)
        while place < len(order) and hashes[order[place]] == wanted:
            row = order[place]
            if self._names(row)[0] == own and self._has(row):
                return row
            place += 1
        return None

    def _names(self, row: int) -> tuple[str, str]:
        """Return the ids of the pivot at a row and of its trajectory; those of its neighbours are kept for a while."""
        block, place = divmod(row, _NAMES_AT_ONCE)
        found = self._kept_names.get(block)
        if found is None:
            first = block * _NAMES_AT_ONCE
            rows = range(first, min(first + _NAMES_AT_ONCE, len(self.store)))
            found = list(zip(self.store.some("id", rows), self.store.some("trajectory_id", rows), strict=True))
            if len(self._kept_names) == _BLOCKS_KEPT:
                del self._kept_names[next(iter(self._kept_names))]
            self._kept_names[block] = found
        return found[place]

    def _has(self, row: int) -> bool:
        for split in self.splits.values():
            place = bisect_left(split.rows, row)
            if place < len(split.rows) and split.rows[place] == row:
                return True
        return False

    @cached_property
    def _by_hash(self) -> tuple[Sequence[int], Sequence[int]]:
        """The hash of each row's id, and the rows in the order of these hashes."""
        hashes = self.store.id_hashes()
        order = pc.sort_indices(pa.Array.from_buffers(pa.uint64(), len(hashes), [None, pa.py_buffer(hashes)]))
        return hashes, array("Q", order.buffers()[1].to_pybytes()[: 8 * len(hashes)])


def splits_of(names: Iterator[str | None], rows: Sequence[int]) -> list[Split]:
    """Group selected rows, in ascending order, by the split that each row of the data names."""
    chosen = iter(rows)
    wanted = next(chosen, None)
    found: dict[str, array[int]] = {}
    for row, name in enumerate(names):
        if row == wanted:
            found.setdefault(name or NO_SPLIT, array("I")).append(row)
            wanted = next(chosen, None)
    return [Split(name, found[name]) for name in found]


def places_of(split: Split, start: Any, stop: Any) -> range:
    """Return the tasks of a range, by Python's rules for slices: its ends may be missing, or count from the end.

    Raises RequestProblem for an end that is not a whole number.
    """
    for bound in (start, stop):
        if bound is not None and (not isinstance(bound, int) or isinstance(bound, bool)):
            raise RequestProblem(400, _INDEX, f"Invalid index range: {shown(bound)} is not a whole number")
    first, end, _ = slice(start, stop).indices(len(split.rows))
    return range(first, max(first, end))
