"""Writes an exported run as Parquet, CSV or JSON Lines: in batches, so that the memory does not grow with the rows."""

from __future__ import annotations

import errno
import json
import os
import secrets
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.version import __version__
from pytest_fcpivot.data.parts import remove_abandoned
from pytest_fcpivot.runs.export.columns import COLUMNS, FORMAT, values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from pytest_fcpivot.runs.export.columns import Row

METADATA_KEY = b"fcpivot_export"
_TYPES = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
SCHEMA = pa.schema(
    [pa.field(name, _TYPES[kind]) for name, kind in COLUMNS.items()],
    {METADATA_KEY: json.dumps({"format": FORMAT, "written_by": __version__}).encode()},
)
_ROWS_AT_ONCE = 8192
_CHARACTERS_AT_ONCE = 16 << 20
# Columns with few different texts, in which a dictionary saves most of the room.
_REPEATED = ["run", "agent", "model", "grader", "place", "split", "expected", "tool", "answered", "called_tool"]
_REPEATED += ["outcome", "category", "signature", "path", "schema", "flags", "judge_by", "retried", "cause"]
# With these, a program for spreadsheets takes a cell for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BOM = "\ufeff".encode()


class Table(Protocol):
    """Writes batches of rows, each a list of values in the order of the columns."""

    def write(self, batch: list[list[Any]]) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class _Parquet:
    def __init__(self, stream: IO[bytes]) -> None:
        self._writer = pq.ParquetWriter(stream, SCHEMA, compression="zstd", use_dictionary=_REPEATED)

    def write(self, batch: list[list[Any]]) -> None:
        self._writer.write_batch(_arrow(batch))

    def close(self) -> None:
        self._writer.close()


class _CSV:
    """Texts are in quotes, and null is an empty cell without quotes, so that an empty text is not null."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._writer = pc.CSVWriter(stream, SCHEMA)

    def write(self, batch: list[list[Any]]) -> None:
        self._writer.write_batch(_arrow(batch))

    def close(self) -> None:
        self._writer.close()


class _ForSpreadsheets(_CSV):
    """Each text that would be taken for a formula has an apostrophe before it; a mark tells that it is UTF-8."""

    def __init__(self, stream: IO[bytes]) -> None:
        stream.write(_BOM)
        super().__init__(stream)

    def write(self, batch: list[list[Any]]) -> None:
        super().write([[_no_formula(value) for value in row] for row in batch])


class _JSONLines:
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, batch: list[list[Any]]) -> None:
        lines = (json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in batch)
        self._stream.write("".join(f"{line}\n" for line in lines).encode("ascii"))

    def close(self) -> None:
        self._stream.flush()


FORMATS: dict[str, Callable[[IO[bytes]], Table]] = {"parquet": _Parquet, "csv": _CSV, "jsonl": _JSONLines}


def write_rows(rows: Iterable[Row], about: Row, target: Path, to: str, *, spreadsheets: bool = False) -> int:
    """Write rows, each completed by `about`, as a file that appears whole or not at all; returns their number.

    `to` is one of FORMATS. A file that is there is replaced. Raises RunError if it cannot be written.
    """
    make: Callable[[IO[bytes]], Table] = _ForSpreadsheets if spreadsheets else FORMATS[to]
    with in_one_step(target) as stream:
        return _write(rows, about, make(stream))


def write_stream(rows: Iterable[Row], about: Row, stream: IO[bytes], to: str, *, spreadsheets: bool = False) -> int:
    """Write rows to an open stream, as `write_rows` does into a file."""
    make: Callable[[IO[bytes]], Table] = _ForSpreadsheets if spreadsheets else FORMATS[to]
    return _write(rows, about, make(stream))


def _write(rows: Iterable[Row], about: Row, table: Table) -> int:
    batch: list[list[Any]] = []
    count = size = 0
    try:
        for row in rows:
            batch.append(values(about | row))
            size += sum(len(value) for value in batch[-1] if type(value) is str)
            if len(batch) == _ROWS_AT_ONCE or size > _CHARACTERS_AT_ONCE:
                table.write(batch)
                count, size, batch = count + len(batch), 0, []
        if batch or not count:
            table.write(batch)
    finally:
        table.close()
    return count + len(batch)


def _arrow(batch: list[list[Any]]) -> pa.RecordBatch:
    columns = zip(*batch, strict=True) if batch else [()] * len(COLUMNS)
    return pa.RecordBatch.from_arrays(
        [pa.array(column, type=field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


def _no_formula(value: Any) -> Any:
    return f"'{value}" if type(value) is str and value.startswith(_FORMULA) else value


@contextmanager
def in_one_step(target: Path) -> Iterator[IO[bytes]]:
    """Yield a stream to a hidden file beside the target, which takes its place at the end, or is removed."""
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
