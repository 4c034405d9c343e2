"""Writes what is exported as Parquet, CSV or JSON Lines: in batches, so that the memory does not grow with the rows."""

from __future__ import annotations

import errno
import json
import os
import secrets
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.jsontext import well_formed
from pytest_fcpivot.core.version import __version__
from pytest_fcpivot.data.parts import remove_abandoned
from pytest_fcpivot.runs.export import columns, pivots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

METADATA_KEY = b"fcpivot_export"
_TYPES = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
_ROWS_AT_ONCE = 8192
_CHARACTERS_AT_ONCE = 16 << 20
# With these, a program for spreadsheets takes a cell for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BOM = "\ufeff".encode()


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table, and those with few different texts, in which a dictionary saves most of the room."""

    schema: pa.Schema
    repeated: tuple[str, ...] = ()


def _layout(kinds: Mapping[str, str], number: int, repeated: Iterable[str]) -> Layout:
    about = {METADATA_KEY: json.dumps({"format": number, "written_by": __version__}).encode()}
    return Layout(pa.schema([pa.field(name, _TYPES[kind]) for name, kind in kinds.items()], about), tuple(repeated))


RESULTS = _layout(columns.COLUMNS, columns.FORMAT, columns.REPEATED)
PIVOTS = _layout(pivots.COLUMNS, pivots.FORMAT, pivots.REPEATED)


class Table(Protocol):
    """Writes batches of rows."""

    def write(self, batch: list[dict[str, Any]]) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class _Parquet:
    def __init__(self, stream: IO[bytes], layout: Layout) -> None:
        self._schema = layout.schema
        dictionary: Any = list(layout.repeated) or False
        self._writer = pq.ParquetWriter(stream, self._schema, compression="zstd", use_dictionary=dictionary)

    def write(self, batch: list[dict[str, Any]]) -> None:
        self._writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


class _CSV:
    """Texts are in quotes, and null is an empty cell without quotes, so that an empty text is not null."""

    def __init__(self, stream: IO[bytes], layout: Layout) -> None:
        self._schema = layout.schema
        self._writer = pc.CSVWriter(stream, self._schema)

    def write(self, batch: list[dict[str, Any]]) -> None:
        self._writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


class _ForSpreadsheets(_CSV):
    """Each text that would be taken for a formula has an apostrophe before it; a mark tells that it is UTF-8."""

    def __init__(self, stream: IO[bytes], layout: Layout) -> None:
        stream.write(_BOM)
        super().__init__(stream, layout)

    def write(self, batch: list[dict[str, Any]]) -> None:
        super().write([{name: _no_formula(value) for name, value in row.items()} for row in batch])


class _JSONLines:
    def __init__(self, stream: IO[bytes], layout: Layout) -> None:
        self._stream = stream
        self._names = layout.schema.names

    def write(self, batch: list[dict[str, Any]]) -> None:
        lines = (json.dumps({name: row.get(name) for name in self._names}) for row in batch)
        self._stream.write("".join(f"{line}\n" for line in lines).encode("ascii"))

    def close(self) -> None:
        self._stream.flush()


FORMATS: dict[str, Callable[[IO[bytes], Layout], Table]] = {"parquet": _Parquet, "csv": _CSV, "jsonl": _JSONLines}


def write_rows(
    rows: Iterable[dict[str, Any]], layout: Layout, target: Path | None, to: str, *, spreadsheets: bool = False
) -> int:
    """Write rows as a table that appears whole or not at all; returns their number.

    `target` is None for standard output; a file that is there is replaced. `to` is one of FORMATS. Raises RunError if
    the file cannot be written.
    """
    make: Callable[[IO[bytes], Layout], Table] = _ForSpreadsheets if spreadsheets else FORMATS[to]
    with _opened(target) as stream:
        return _write(rows, make(stream, layout))


def write_lines(lines: Iterable[bytes], target: Path | None) -> int:
    """Write lines of JSON, as `write_rows` writes rows; returns their number."""
    count = 0
    with _opened(target) as stream:
        for line in lines:
            stream.write(line + b"\n")
            count += 1
        stream.flush()
    return count


def _write(rows: Iterable[dict[str, Any]], table: Table) -> int:
    batch: list[dict[str, Any]] = []
    count = size = 0
    try:
        for row in rows:
            batch.append({name: _writable(value) for name, value in row.items()})
            size += sum(map(_length, row.values()))
            if len(batch) == _ROWS_AT_ONCE or size > _CHARACTERS_AT_ONCE:
                table.write(batch)
                count, size, batch = count + len(batch), 0, []
        if batch or not count:
            table.write(batch)
    finally:
        table.close()
    return count + len(batch)


def _writable(value: Any) -> Any:
    """Return a value with texts that UTF-8 can hold."""
    if type(value) is str:
        return value if value.isascii() else well_formed(value)
    if type(value) is list:
        return [_writable(each) for each in value]
    if type(value) is dict:
        return {name: _writable(each) for name, each in value.items()}
    return value


def _length(value: Any) -> int:
    if type(value) is str:
        return len(value)
    parts = value if type(value) is list else value.values() if type(value) is dict else ()
    return sum(map(_length, parts))


def _no_formula(value: Any) -> Any:
    return f"'{value}" if type(value) is str and value.startswith(_FORMULA) else value


@contextmanager
def _opened(target: Path | None) -> Iterator[IO[bytes]]:
    """Yield standard output, or a hidden file beside the target, which takes its place at the end, or is removed."""
    if target is None:
        yield sys.stdout.buffer
        return
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target)
        with part.open("xb") as stream:
            yield stream
        os.replace(part, target)  # noqa: PTH105 (a rename is what makes it atomic)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "make room on that disk, or write elsewhere" if full else "choose another place"
        raise RunError(f"{target}: cannot be written: {reason}; {advice}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
