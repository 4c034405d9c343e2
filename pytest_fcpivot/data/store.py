"""The parquet store: one row per pivot, read on demand, so that a run keeps only the ids in memory."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shlex
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from time import monotonic
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pytest_fcpivot.core.errors import DataError
from pytest_fcpivot.core.jsontext import shown
from pytest_fcpivot.core.model import Pivot
from pytest_fcpivot.data.agent_refs import agent_of, counted_in
from pytest_fcpivot.data.jsonparts import is_json
from pytest_fcpivot.data.parts import remove_abandoned
from pytest_fcpivot.data.provenance import read_provenance
from pytest_fcpivot.data.rows import LONGEST_ID, StoredPivot, expected_action_from_json, is_usable_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

FORMAT_VERSION = 3
_EARLIER = 2
# Datasets of conversations that versions with format 2 are known to have read correctly.
_READ_RIGHTLY = frozenset({"nvidia/Nemotron-Agentic-v1"})
METADATA_KEY = b"fcpivot"
# The exceptions that reading a damaged file may raise: Arrow's own, and those from decoding wrong values that it read.
DAMAGED = (pa.ArrowException, OSError, ValueError, TypeError, KeyError)
AGAIN = "prepare the data again, or fetch the file again"
# To read one pivot, its whole row group is decoded; smaller groups would enlarge the footer, which every process keeps
# in memory. With 256 rows, conversations are written in two thirds of the time of 96, and a group is read in 1.5 ms.
ROWS_PER_GROUP = 256
_GROUP_BYTES = 3200 << 10  # of input and tools; the rows of pivot datasets are three times as long as conversations'
_GIVE_BACK_AFTER = 0.05  # seconds
# Rows are decoded several at once: one at a time, the calls of Arrow for each value took most of the time. A group that
# something else wrote may be large, so the length of the rows limits their number.
_ROWS_AT_ONCE = 128
_BYTES_AT_ONCE = 4 << 20

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("trajectory_id", pa.string(), nullable=False),
        # Stable hashes of the two ids, so that a shard or a sample of a million rows needs no hashing; see selection.
        pa.field("id_hash", pa.uint64(), nullable=False),
        pa.field("trajectory_hash", pa.uint64(), nullable=False),
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
_GROUPS_A_READ = 64
_ROWS_A_READ = 8192
# Ids made by `prepare` consist of these characters only.
_USUAL_IDS = re.compile("[A-Za-z0-9_.-]+")
_INDEX_COLUMNS = ["id", "trajectory_id", "expected_type", "expected_names"]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """What the index knows about a pivot without reading it: enough to select it and to name its test."""

    row: int
    id: str
    trajectory_id: str
    expected_type: str
    expected_names: tuple[str, ...]


def write_store(path: Path, rows: Iterable[StoredPivot], provenance: dict[str, Any]) -> int:
    """Write rows as a store, atomically; returns their number.

    `provenance` goes into the file's metadata. It is read after the last row, so the producer of the rows may still
    fill it. Raises DataError if the file cannot be written.
    """
    remove_abandoned(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    count = 0
    try:
        with pq.ParquetWriter(part, SCHEMA, **_HOW) as writer:
            for group in _groups(rows):
                columns = [
                    _texts(values) if field.name in _TEXTS else pa.array(values, type=field.type)
                    for values, field in zip(zip(*group, strict=True), SCHEMA, strict=True)
                ]
                writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
                count += len(group)
            details = {"format_version": FORMAT_VERSION, "rows": count, **provenance}
            writer.add_key_value_metadata({METADATA_KEY: json.dumps(details).encode()})
        os.replace(part, path)  # noqa: PTH105 (a rename is what makes it atomic)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        if isinstance(error, OSError):
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise DataError(f"{path}: cannot be written: {reason}; {_advice(error)}") from error
        raise
    return count


def _advice(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return "make room on that disk, or write elsewhere" if full else "choose another place"


def _groups(rows: Iterable[StoredPivot]) -> Iterator[list[StoredPivot]]:
    """Yield rows in groups; a group of long rows has fewer of them, which limits the memory."""
    group: list[StoredPivot] = []
    size = 0
    for row in rows:
        group.append(row)
        size += len(row.input) + len(row.tools)
        if len(group) == ROWS_PER_GROUP or size > _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _texts(values: Sequence[bytes | str]) -> pa.Array:
    """Return texts as an Arrow array with a single copy, because they make up nearly all of the data."""
    encoded: Any = values
    try:
        joined = b"".join(encoded)
    except TypeError:  # not all are bytes
        encoded = [value if isinstance(value, bytes) else value.encode() for value in values]
        joined = b"".join(encoded)
    ends = array("i", accumulate(map(len, encoded), initial=0))
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(joined))


_TEXTS = frozenset({"expected_action", "input", "tools", "params", "metadata"})

# The pivots of a trajectory repeat its tools and the beginning of each other's input, so a page must hold several of
# them to compress well. Statistics of texts, which are never searched, would only enlarge the footer.
# Small columns stay uncompressed: setting up a compressor would cost more than it saves.
_COMPRESSED = frozenset({"id", "trajectory_id", "expected_action", "input", "tools", "metadata"})
_HOW: dict[str, Any] = {
    "compression": {
        path: "zstd" if path in _COMPRESSED else "none"
        for path in ("expected_names.list.element" if name == "expected_names" else name for name in SCHEMA.names)
    },
    "use_dictionary": ["split", "trajectory_id", "expected_type", "expected_names", "tools", "params", "metadata"],
    "write_statistics": ["split"],  # no other column is sorted so that statistics let a reader skip row groups
    # Small numbers that grow in small steps: this encoding needs a quarter of the space, at no cost.
    "column_encoding": dict.fromkeys(("turn", "step", "depth", "n_tools", "source_line"), "DELTA_BINARY_PACKED"),
    "data_page_size": 8 << 20,
    "dictionary_pagesize_limit": 16 << 20,
}


def _refuse_misread(path: Path, details: Mapping[str, Any], file: pq.ParquetFile) -> None:
    """Raise DataError for a store of format 2, unless its rows had shapes that its version read correctly.

    These are the published conversations, and rows that are pivots, except those with positions in `meta_info` or as
    text, tools outside the request, an input that is JSON text, or repeats. The layout of formats 2 and 3 is the same.
    """
    sources = [source for source in details.get("sources") or () if isinstance(source, dict)]
    conversations = (details.get("audit") or {}).get("conversations", 1)
    published = bool(sources) and all(source.get("repo") in _READ_RIGHTLY for source in sources)
    if published or (conversations == 0 and not _has_what_was_unread(details, file)):
        return
    names = [str(source.get("source")) for source in sources] or [str(details.get("source") or "SOURCE")]
    again = f"fcpivot prepare {shlex.join(names)} -o {shlex.quote(str(path))}"
    raise DataError(
        f"{path}: prepared by version {details.get('prepared_by', 'unknown')} (format 2), which read some shapes of "
        f"rows wrongly and did not record the shapes it had read; prepare it again:  {again}"
    )


# Traces in the metadata of what those versions did not read: positions and tools, and repeats dropped as broken rows.
_UNREAD = re.compile(r'"meta_info":|"info": ?"|"(?:tools|functions)": ?(?:\[\s*[{"]|\{|"\s*[\[{])')
_LEFT_OUT = '"_ng_rollout_index"'
# How such a version stored an input that is the JSON text of a list: as a user's message, after the instructions.
_INPUT_AS_WORDS = re.compile(
    r'\[(?:\{"role":"system","content":"(?:[^"\\]|\\.)*"\},)?\{"role":"user","content":"\s*\[\s*\{\s*\\"(?:role|type)\\"'
)
_ROWS_A_LOOK = 512  # rows per batch, which include the long inputs


def _has_what_was_unread(details: Mapping[str, Any], file: pq.ParquetFile) -> bool:
    """Return whether any row, of a store of pivot rows, has something that versions with format 2 did not read."""
    try:
        names = ["depth", "n_tools", "metadata", "input"]
        for batch in file.iter_batches(_ROWS_A_LOOK, columns=names, use_threads=False):
            for depth, n_tools, metadata, given in zip(
                *(batch.column(name).to_pylist() for name in names), strict=True
            ):
                unread = (depth is None if "info" in key else not n_tools for key in _UNREAD.findall(metadata))
                repeats = details.get("bad_rows") and _LEFT_OUT in metadata
                if any(unread) or repeats or _INPUT_AS_WORDS.match(given):
                    return True
    except DAMAGED:
        return True
    return False


def is_store(path: Path) -> bool:
    """Return whether the metadata of a parquet file mark it as a store; raises DataError if it is not parquet."""
    try:
        return METADATA_KEY in (pq.read_metadata(path).metadata or {})
    except DAMAGED as error:
        raise DataError(f"{path}: cannot be read as parquet: {error}") from error


def footer_hash(path: Path) -> str:
    """Return the sha256 of a parquet file's footer; raises OSError if the file is too short for one."""
    with path.open("rb") as stream:
        stream.seek(-8, os.SEEK_END)
        length = int.from_bytes(stream.read(4), "little")
        stream.seek(-8 - length, os.SEEK_END)
        return hashlib.sha256(stream.read(length)).hexdigest()


class PivotStore:
    """A store opened for reading; keeps one decoded row group in memory.

    Only one thread may use it at a time. For a second one, `again` makes another, which shares the file's footer.
    """

    def __init__(self, path: Path, *, footer: Any = None) -> None:
        self.path = path
        try:
            self._identity = _identity(path)
            self._file = pq.ParquetFile(path, read_dictionary=_SHARED, metadata=footer)
            missing = set(SCHEMA.names) - set(self._file.schema_arrow.names)
        except DAMAGED as error:
            raise DataError(f"{path}: cannot be read as parquet: {error}") from error
        text = (self._file.metadata.metadata or {}).get(METADATA_KEY, b"{}")
        details = read_provenance(path, text, (FORMAT_VERSION, _EARLIER))
        version = details.get("format_version")
        if version == _EARLIER:
            _refuse_misread(path, details, self._file)
        elif version != FORMAT_VERSION:
            raise DataError(
                f"{path}: store format {version!r}, this version reads {FORMAT_VERSION}; "
                "prepare the data again, or install the pytest-fcpivot that wrote it"
            )
        if missing:
            raise DataError(f"{path}: damaged: it has no column {min(missing)}; {AGAIN}")
        self.provenance: dict[str, Any] = details
        self._starts = [0]
        for group in range(self._file.num_row_groups):
            self._starts.append(self._starts[-1] + self._file.metadata.row_group(group).num_rows)
        self._group = -1
        self._columns: list[Any] = []
        self._at_once = 1
        self._first = 0  # the place in the group of the first of `_rows`
        self._rows: list[tuple[Any, ...]] = []
        self._are_json: set[str] = set()  # those of the shared texts in `_rows` that were checked
        self._gave_back = 0.0

    def __len__(self) -> int:
        return self._starts[-1]

    def again(self) -> PivotStore:
        """Open the same file once more, without reading its footer again.

        Raises DataError if it cannot be opened, and if it has been written anew: the footer would not fit it.
        """
        store = PivotStore(self.path, footer=self._file.metadata)
        if store._identity != self._identity:
            store.close()
            raise DataError(f"{self.path}: it was written anew while it was in use; start again, to use the new data")
        return store

    def each(self, column: str) -> Iterator[Any]:
        """Yield every row's value of one column; `tool` stands for the names of the expected calls."""
        name = "expected_names" if column == "tool" else column
        try:
            for batch in self._file.iter_batches(_ROWS_A_READ, columns=[name], use_threads=False):
                yield from batch.column(0).to_pylist()
        except DAMAGED as error:
            raise DataError(f"{self.path}: cannot read column {name}: {error}") from error

    def some(self, column: str, rows: Sequence[int]) -> Iterator[Any]:
        """Yield the values of one column for the given rows, which must be in ascending order.

        Only row groups that hold one of the rows are read. Raises DataError as `read` does.
        """
        for values in self._some(column, rows):
            yield from values.to_pylist()

    def lengths(self, column: str, rows: Sequence[int]) -> Iterator[int]:
        """Yield the number of characters of a column's texts for the given rows, as `some` does, without decoding."""
        import pyarrow.compute as pc  # noqa: PLC0415 (takes 25 ms, in every session)

        for values in self._some(column, rows):
            yield from pc.utf8_length(values).to_pylist()

    def _some(self, column: str, rows: Sequence[int]) -> Iterator[pa.Array]:
        place = 0
        try:
            while place < len(rows):
                group = bisect_right(self._starts, rows[place]) - 1
                start, stop = self._starts[group], self._starts[group + 1]
                end = bisect_left(rows, stop, lo=place)
                values = self._file.read_row_group(group, columns=[column], use_threads=False).column(0)
                values = values.cast(pa.string()) if pa.types.is_dictionary(values.type) else values
                chosen = _in_one(values)
                if end - place < stop - start:
                    chosen = chosen.take(pa.array([row - start for row in rows[place:end]], pa.int64()))
                yield chosen
                place = end
        except DAMAGED as error:
            raise DataError(f"{self.path}: cannot read column {column}: {error}") from error

    def trajectory_hashes(self) -> Sequence[int]:
        """Return the stable hash of every row's trajectory."""
        return self._hashes("trajectory_hash")

    def id_hashes(self) -> Sequence[int]:
        """Return the stable hash of every row's id."""
        return self._hashes("id_hash")

    def _hashes(self, column: str) -> Sequence[int]:
        try:
            numbers = self._file.read(columns=[column], use_threads=False).column(0).combine_chunks()
        except DAMAGED as error:
            raise DataError(f"{self.path}: cannot read column {column}: {error}") from error
        view: Sequence[int] = memoryview(numbers.buffers()[1] or b"").cast("Q")  # a list takes five times the memory
        return view[numbers.offset : numbers.offset + len(numbers)]

    def index(self, rows: Sequence[int] | None = None) -> list[IndexEntry]:
        """Return the index entries of all pivots, or of the given rows, which must be in ascending order.

        Only row groups that hold one of the rows are read. Raises DataError as `read` does.
        """
        rows = range(len(self)) if rows is None else rows
        groups = sorted({bisect_right(self._starts, row) - 1 for row in rows}) if len(rows) < len(self) else None
        if groups is None:
            groups = list(range(len(self._starts) - 1))
        found: list[IndexEntry] = []
        wanted = iter(rows)
        row = next(wanted, None)
        try:
            for start in range(0, len(groups), _GROUPS_A_READ):
                some = groups[start : start + _GROUPS_A_READ]
                table = self._file.read_row_groups(some, columns=_INDEX_COLUMNS, use_threads=False)
                columns = [table.column(name).to_pylist() for name in _INDEX_COLUMNS]
                self._refuse_odd_ids(columns[0], some)
                offset = 0
                for group in some:
                    first, end = self._starts[group], self._starts[group + 1]
                    while row is not None and row < end:
                        id_, trajectory, kind, names = (column[offset + row - first] for column in columns)
                        called = tuple(map(sys.intern, names))
                        found.append(IndexEntry(row, id_, trajectory, sys.intern(kind), called))
                        row = next(wanted, None)
                    offset += end - first
        except DAMAGED as error:
            raise DataError(f"{self.path}: cannot read row {row}: {error}") from error
        return found

    def _refuse_odd_ids(self, ids: list[str], groups: Sequence[int]) -> None:
        """Raise DataError for the first id that cannot name a test; `prepare` never writes such an id."""
        if _USUAL_IDS.fullmatch("".join(ids)) and 0 < min(map(len, ids)) <= max(map(len, ids)) <= LONGEST_ID:
            return  # nearly always, after one cheap test for the whole batch
        rows = (row for group in groups for row in range(self._starts[group], self._starts[group + 1]))
        for row, own in zip(rows, ids, strict=True):
            if not is_usable_id(own):
                raise DataError(
                    f"{self.path}: row {row + 1}: the id {shown(own)} cannot be a test's name (it is empty, has more "
                    f"than {LONGEST_ID} characters, or contains [, :: or an invisible character); prepare the "
                    "data again from their source"
                )

    def agent_refs(self, rows: Sequence[int] | None = None) -> Counter[str | None]:
        """Count pivots by the agent that they name (None: no agent), for all rows or for the given ones, in order.

        The counts for all rows are recorded when data are prepared. For older stores, and for some of the rows, the
        metadata are read. Raises DataError as `read` does.
        """
        counted = counted_in(self.provenance, len(self)) if rows is None else None
        if counted is not None:
            return counted
        found: Counter[str | None] = Counter()
        try:
            for column in self._metadata(rows):
                found.update(agent_of(text.encode()) for text in column.to_pylist())
        except DAMAGED as error:
            raise DataError(f"{self.path}: cannot read column metadata: {error}") from error
        return found

    def _metadata(self, rows: Sequence[int] | None) -> Iterator[Any]:
        """Yield the metadata of all rows, or of the given rows, in order, one Arrow array per batch."""
        if rows is None:
            for batch in self._file.iter_batches(_ROWS_A_READ, columns=["metadata"], use_threads=False):
                yield batch.column(0)
            return
        place = 0
        while place < len(rows):
            group = bisect_right(self._starts, rows[place]) - 1
            end = bisect_left(rows, self._starts[group + 1], lo=place)
            column = self._file.read_row_group(group, columns=["metadata"], use_threads=False).column(0)
            yield column.take(pa.array([row - self._starts[group] for row in rows[place:end]], pa.int64()))
            place = end

    def read(self, row: int, *, alone: bool = False) -> Pivot:
        """Read one pivot, which makes reading its neighbours cheap; raises DataError if the file is damaged there.

        `alone`: the next one is probably not a neighbour, so that only this one is decoded.
        """
        group = bisect_right(self._starts, row) - 1
        if group != self._group:
            try:
                table = self._file.read_row_group(group, columns=_PAYLOAD, use_threads=False)
                self._columns = [_in_one(table.column(name)) for name in _PAYLOAD]
            except DAMAGED as error:
                raise DataError(f"{self.path}: cannot read row {row}: {error}") from error
            self._group, self._rows = group, []
            self._at_once = max(1, min(_ROWS_AT_ONCE, _BYTES_AT_ONCE * table.num_rows // max(1, table.nbytes)))
            del table
            self._give_back_memory()
        place = row - self._starts[group]
        try:
            if not 0 <= place - self._first < len(self._rows):
                self._decode(place, 1 if alone else self._at_once)
            return self._pivot(self._rows[place - self._first])
        except DAMAGED as error:
            raise DataError(f"{self.path}: cannot read row {row}: {error}; {AGAIN}") from error

    def _decode(self, place: int, count: int) -> None:
        """Decode the rows from a place of the group on; only this one if any of them cannot be decoded."""
        self._first, self._rows, self._are_json = place, [], set()
        try:
            self._rows = _rows_of(self._columns, place, count)
        except DAMAGED:
            self._rows = _rows_of(self._columns, place, 1)

    def _pivot(self, values: tuple[Any, ...]) -> Pivot:
        """Make a pivot from a row's values; raises ValueError for texts that are not JSON, as in a damaged file."""
        id_, split, trajectory, turn, step, depth, n_tools, expected, input_, tools, params, metadata, line = values
        for text in (input_, metadata):
            if not (isinstance(text, str) and is_json(text)):
                raise ValueError(_NOT_JSON)
        for text in (tools, params):
            if text not in self._are_json:
                if not (isinstance(text, str) and is_json(text)):
                    raise ValueError(_NOT_JSON)
                self._are_json.add(text)
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
            split=split,
            n_tools=n_tools,
        )

    def _give_back_memory(self) -> None:
        """Return the memory that Arrow keeps for the next group to the system: a fifth of a session's memory.

        Allocating it again takes longer than reading a group, so this is not done after each group of a quick series.
        """
        now = monotonic()
        if now - self._gave_back >= _GIVE_BACK_AFTER:
            pa.default_memory_pool().release_unused()
            self._gave_back = now

    def content_hash(self, source: Path) -> str:
        """Return the sha256 that identifies the pivots of `source`, the file for which this store was opened.

        For a source file, it is the hash of the file. For a store, it is the hash of its footer, which contains the
        hash of the source and the position and size of every column chunk, and is quick to read whatever the size of
        the store.
        """
        if source != self.path:
            return str(self.provenance["source_sha256"])
        return footer_hash(self.path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _identity(path: Path) -> tuple[int, int, int, int]:
    """Return what changes if a file is replaced, or written to."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _rows_of(columns: Sequence[Any], first: int, count: int) -> list[tuple[Any, ...]]:
    """Return some rows of a group; raises one of DAMAGED if a value cannot be decoded."""
    return list(zip(*(_values(column.slice(first, count)) for column in columns), strict=True))


def _values(column: pa.Array) -> list[Any]:
    """Return the values of a column; rows with the same text share it, if the column was read as such."""
    if not pa.types.is_dictionary(column.type):
        values: list[Any] = column.to_pylist()
        return values
    places = column.indices.to_pylist()
    texts = {place: None if place is None else column.dictionary[place].as_py() for place in set(places)}
    return [texts[place] for place in places]


def _in_one(column: pa.ChunkedArray) -> pa.Array:
    """Return a column's values as one array, without copying them if they are in a single chunk, as nearly always."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


_NOT_PAYLOAD = {"id_hash", "trajectory_hash", "expected_type", "expected_names"}
_PAYLOAD = [name for name in SCHEMA.names if name not in _NOT_PAYLOAD]
_SHARED = ["tools", "params"]  # the pivots of a trajectory have the same ones, so these are decoded and checked once
_NOT_JSON = "a part of it is not JSON"
