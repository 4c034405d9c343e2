"""The parquet store: one row a pivot, read on demand, so that a run holds ids in memory and no payload."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pytest_fcpivot.data.rows import expected_action_from_json, expected_action_json
from pytest_fcpivot.errors import DataError
from pytest_fcpivot.jsontext import well_formed
from pytest_fcpivot.model import Pivot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FORMAT_VERSION = 1
METADATA_KEY = b"fcpivot"
# Rows a group: one group is decoded to read one pivot at random, and costs one seek when reading in order.
ROWS_PER_GROUP = 128

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("trajectory_id", pa.string(), nullable=False),
        pa.field("turn", pa.int32()),
        pa.field("step", pa.int32()),
        pa.field("depth", pa.int32()),
        pa.field("expected_type", pa.string(), nullable=False),
        pa.field("expected_names", pa.list_(pa.string()), nullable=False),
        pa.field("n_tools", pa.int32(), nullable=False),
        pa.field("expected_action", pa.string(), nullable=False),
        pa.field("input", pa.string(), nullable=False),
        pa.field("tools", pa.string(), nullable=False),
        pa.field("params", pa.string(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
        pa.field("source_line", pa.int64()),
    ]
)
_INDEX_BATCH = 8192
_INDEX_COLUMNS = ["id", "trajectory_id", "expected_type", "expected_names"]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """What is known of a pivot before it is read: enough to select it and to name its test."""

    row: int
    id: str
    trajectory_id: str
    expected_type: str
    expected_names: tuple[str, ...]


def write_store(path: Path, pivots: Iterable[Pivot], provenance: dict[str, Any]) -> int:
    """Write pivots as a store, atomically; return their number.

    `provenance` goes into the file's metadata, and is read when all pivots have passed by, so it may still be filled
    while they do. Raises OSError if the file cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    count = 0
    try:
        with pq.ParquetWriter(part, SCHEMA, compression="zstd", compression_level=3) as writer:
            stream = iter(pivots)
            while group := list(islice(stream, ROWS_PER_GROUP)):
                writer.write_table(pa.Table.from_pylist([_columns(pivot) for pivot in group], SCHEMA))
                count += len(group)
            details = {"format_version": FORMAT_VERSION, "rows": count, **provenance}
            writer.add_key_value_metadata({METADATA_KEY: json.dumps(details).encode()})
        os.replace(part, path)  # noqa: PTH105 (a rename is what makes it atomic)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    return count


def _columns(pivot: Pivot) -> dict[str, Any]:
    expected = pivot.expected_action
    return {
        "id": pivot.id,
        "trajectory_id": pivot.trajectory_id,
        "turn": pivot.turn,
        "step": pivot.step,
        "depth": pivot.depth,
        "expected_type": expected.kind,
        "expected_names": [well_formed(call.name) for call in expected.calls],
        "n_tools": len(pivot.tools),
        "expected_action": expected_action_json(expected),
        "input": pivot.input_json,
        "tools": pivot.tools_json,
        "params": pivot.params_json,
        "metadata": pivot.metadata_json,
        "source_line": pivot.source_line,
    }


def is_store(path: Path) -> bool:
    """Tell whether a parquet file is a store of ours, by its metadata; raises DataError if it is not parquet."""
    try:
        return METADATA_KEY in (pq.read_metadata(path).metadata or {})
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as parquet: {error}") from error


class PivotStore:
    """A store opened for reading; a row group is kept at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: cannot be read as parquet: {error}") from error
        details = json.loads((self._file.metadata.metadata or {}).get(METADATA_KEY, b"{}"))
        version = details.get("format_version")
        if version != FORMAT_VERSION:
            raise DataError(
                f"{path}: store format {version!r}, this version reads {FORMAT_VERSION}; "
                "prepare the data again, or install the pytest-fcpivot that wrote it"
            )
        self.provenance: dict[str, Any] = details
        self._starts = [0]
        for group in range(self._file.num_row_groups):
            self._starts.append(self._starts[-1] + self._file.metadata.row_group(group).num_rows)
        self._group = -1
        self._rows: list[tuple[Any, ...]] = []

    def __len__(self) -> int:
        return self._starts[-1]

    def index(self) -> Iterator[IndexEntry]:
        """Yield what is known of every pivot without its payload, in file order; raises DataError as `read` does."""
        row = 0
        try:
            for batch in self._file.iter_batches(_INDEX_BATCH, columns=_INDEX_COLUMNS, use_threads=False):
                columns = (batch.column(name).to_pylist() for name in _INDEX_COLUMNS)
                for id_, trajectory, kind, names in zip(*columns, strict=True):
                    yield IndexEntry(row, id_, trajectory, sys.intern(kind), tuple(map(sys.intern, names)))
                    row += 1
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path}: cannot read row {row}: {error}") from error

    def read(self, row: int) -> Pivot:
        """Read one pivot; the rows beside it are then cheap. Raises DataError if the file is damaged there."""
        group = bisect_right(self._starts, row) - 1
        if group != self._group:
            try:
                table = self._file.read_row_group(group, columns=_PAYLOAD, use_threads=False)
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{self.path}: cannot read row {row}: {error}") from error
            self._rows = list(zip(*(table.column(name).to_pylist() for name in _PAYLOAD), strict=True))
            self._group = group
            del table
            # Kept for the next group, Arrow's memory would be a fifth of what a session takes.
            pa.default_memory_pool().release_unused()
        id_, trajectory, turn, step, depth, expected, input_, tools, params, metadata, line = self._rows[
            row - self._starts[group]
        ]
        return Pivot(
            id=id_,
            trajectory_id=trajectory,
            expected_action=expected_action_from_json(expected),
            input_json=input_,
            tools_json=tools,
            params_json=params,
            metadata_json=metadata,
            turn=turn,
            step=step,
            depth=depth,
            source_line=line,
        )

    def content_hash(self, source: Path) -> str:
        """Return the sha256 that stands for the pivots of `source`, which this store was opened for.

        It is that of the source file; of a store itself, that of its footer, which holds the place, size and statistics
        of every column of every row group, and is read in no time however large the store is.
        """
        if source != self.path:
            return str(self.provenance["source_sha256"])
        with self.path.open("rb") as stream:
            stream.seek(-8, os.SEEK_END)
            length = int.from_bytes(stream.read(4), "little")
            stream.seek(-8 - length, os.SEEK_END)
            return hashlib.sha256(stream.read(length)).hexdigest()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


_PAYLOAD = [name for name in SCHEMA.names if name not in {"expected_type", "expected_names", "n_tools"}]
