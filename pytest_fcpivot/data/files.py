"""Reads data files as numbered rows, in bounded memory: lines of JSON (plain, gzip, zstd), or rows of parquet."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import struct
import zlib
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from pytest_fcpivot.core.encodings import save_as_utf8, wide_encoding
from pytest_fcpivot.core.errors import DataError, RowProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
LINE_LIMIT = 64 * 1024 * 1024  # bytes; the published rows have at most 111 KB
_PARQUET_BATCH = 64
# Arrow fills a struct's missing fields with nulls. Inside the objects under these keys, a null may also be a real one
# that matters; the values name the flag that is raised there.
_MATTERS = {
    **dict.fromkeys(("arguments", "parameters", "args", "input"), "arguments"),
    **dict.fromkeys(("tools", "functions"), "schemas"),
    "content": "results",
}
_CHUNK = 256 * 1024  # stays in the processor's cache while it is hashed and its lines are read
# Arrow returns nothing from a read that meets damaged data, so reads are small, to lose little of what precedes it.
_ZSTD_CHUNK = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = (b"\x2a\x4d\x18", range(0x50, 0x60))  # a zstd file may begin with a skippable frame (pzstd writes them)
_PARQUET_MAGIC = b"PAR1"
_MAGIC_BYTES = 4
# A run of blank lines, matched at once: 100 million of them take half a second this way, and a minute one by one.
_BLANK_LINES = re.compile(rb"(\n+)(?![\t\r\x0b\x0c ])|[\t\n\r\x0b\x0c ]*\n")
_LAST_BLANK = 0x20  # the space: no white space character has a higher code


def is_data_file(path: Path) -> bool:
    """Return whether a file's name has one of the endings of data files."""
    return path.name.endswith(SUFFIXES)


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, decoded row or RowProblem) of a source file.

    Blank lines are skipped. Raises DataError if the file itself cannot be read.
    """
    for line, row in open_rows(path):
        yield line, _decode(row, line) if isinstance(row, bytes) else row


def _decode(text: bytes, line: int) -> Any:
    try:
        return json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        return RowProblem(line, f"not JSON: {error}")


class Rows(Protocol):
    """The rows of one file, which can be iterated once: (number from 1, row or RowProblem).

    A row is the UTF-8 bytes of its line without the line end; a parquet row is a dict of JSON values. Where the file is
    damaged or cannot be read, iterating raises DataError, after yielding the rows before that place. `on_read` is
    called from time to time while the file is read, even if no rows are found.
    """

    on_read: Callable[[], None]

    @property
    def size(self) -> int | None:
        """Return the size of the stored (perhaps compressed) file in bytes; None if it is not known."""

    @property
    def bytes_read(self) -> int:
        """Return the number of stored (perhaps compressed) bytes that have been read so far."""

    @property
    def sha256(self) -> str | None:
        """Return the hash of the stored file once all of it has been read; None before."""

    def __iter__(self) -> Iterator[tuple[int, bytes | dict[str, Any] | RowProblem]]: ...


def open_rows(path: Path, label: str | None = None, *, limit: int = LINE_LIMIT) -> Rows:
    """Open a data file; messages refer to it as `label`, and a line of more than `limit` bytes is a RowProblem.

    Raises DataError if it cannot be opened.
    """
    label = label or str(path)
    if path.name.endswith(".parquet"):
        return _ParquetRows(path, label)
    try:
        stream = path.open("rb", buffering=0)
    except OSError as error:
        raise _unreadable(label, error) from error
    return LineRows(stream, label, limit=limit, name=path.name)


class LineRows:
    """The lines of a binary stream, decompressed if its first bytes are those of gzip or zstd; see Rows.

    `name` is the file's name: if its ending stands for compressed data and the bytes are something else, the file is
    reported as damaged.
    """

    def __init__(self, stream: BinaryIO | io.RawIOBase, label: str, *, limit: int = LINE_LIMIT, name: str = "") -> None:
        self._stream = _Counted(stream)
        self._label = label
        self._limit = limit
        self._name = name
        self._line = 0
        self.on_read = _do_nothing
        self.size = _size_of(stream)

    @property
    def bytes_read(self) -> int:
        """Return the number of bytes that have been read from the stream so far."""
        return self._stream.count

    @property
    def sha256(self) -> str | None:
        """Return the hash of the stream's bytes once all of them have been read; None before."""
        return self._stream.hash.hexdigest() if self._stream.ended else None

    def __iter__(self) -> Iterator[tuple[int, bytes | RowProblem]]:
        """Yield the lines that are not blank, and close the stream."""
        with self._stream:
            try:
                yield from self._lines(_decompressed(self._stream, self._name))
            except _WideTextError as wide:
                raise DataError(f"{self._label}: {wide}") from wide
            except _Damaged as damage:
                of = "" if self.size is None else f" of {self.size:,}"
                raise DataError(
                    f"{self._label}: damaged after line {self._line} ({self.bytes_read:,}{of} bytes read): {damage}; "
                    "fetch the file again"
                ) from damage
            except OSError as error:
                raise _unreadable(self._label, error) from error

    def _lines(self, chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes | RowProblem]]:
        begun = io.BytesIO()  # a line that continues in the next chunk; getvalue() of BytesIO makes no copy
        begun_size = 0
        for chunk in self._with_progress(_not_wide(chunks)):
            start = chunk.find(b"\n") + 1
            head = chunk[: start - 1] if start else chunk
            begun_size += len(head)
            if begun_size <= self._limit:
                begun.write(head)
            else:
                begun = io.BytesIO()  # overlong: discard it, and only look for its end
            if not start:
                continue
            row = self._row(begun.getvalue(), begun_size, valid=False)
            begun = io.BytesIO()
            if row is not None:
                yield self._line, row
            end = chunk.rfind(b"\n") + 1
            valid = _is_utf8(chunk, start, end)
            while start < end:  # several times as fast as split(), which compares byte by byte
                if chunk[start] <= _LAST_BLANK and (blank := _BLANK_LINES.match(chunk, start, end)):
                    after = blank.end()
                    if blank[1] or after - start <= self._limit:  # a longer one may be overlong
                        self._line += after - start if blank[1] else chunk.count(b"\n", start, after)
                        start = after
                        continue
                found = chunk.index(b"\n", start)
                row = self._row(chunk[start:found], found - start, valid=valid)
                start = found + 1
                if row is not None:
                    yield self._line, row
            begun_size = len(chunk) - end
            if begun_size <= self._limit:
                begun.write(chunk[end:])
        if begun_size and (row := self._row(begun.getvalue(), begun_size, valid=False)) is not None:
            yield self._line, row

    def _with_progress(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield chunks, and call `on_read` after each."""
        for chunk in chunks:
            yield chunk
            self.on_read()

    def _row(self, line: bytes, size: int, *, valid: bool) -> bytes | RowProblem | None:
        """Return the next line as a row or a RowProblem; None if it is blank."""
        self._line = number = self._line + 1
        if size > self._limit:
            return RowProblem(number, f"longer than {_in_words(self._limit)}")
        if number == 1 and line.startswith(_BOM):
            line = line[len(_BOM) :]
        if line.endswith(b"\r"):
            line = line[:-1]
        if not line or line.isspace():
            return None
        if not valid and (fault := _utf8_fault(line)):
            return RowProblem(number, f"not UTF-8: {fault}")
        return line


def _do_nothing() -> None:
    pass


def _utf8_fault(line: bytes) -> str | None:
    """Return why a line is not UTF-8; None if it is."""
    if _is_utf8(line, 0, len(line)):
        return None
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"{error.reason} at byte {error.start}"
    return None


def _is_utf8(data: bytes, start: int, end: int) -> bool:
    """Return whether a slice of bytes is UTF-8; Arrow checks that twice as fast as decoding it would."""
    if data.isascii():
        return True
    import pyarrow as pa  # noqa: PLC0415 (heavy; loaded already wherever rows are read)

    ends = pa.py_buffer(struct.pack("=ii", start, end))
    try:
        pa.StringArray.from_buffers(1, ends, pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _not_wide(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks of a text unchanged; raises _WideTextError if it begins like UTF-16 or UTF-32.

    In such a file every line would be broken.
    """
    rest = iter(chunks)
    head = next(rest, b"")
    encoding = wide_encoding(head)
    if encoding is not None:
        raise _WideTextError(save_as_utf8(encoding))
    yield head
    yield from rest


class _WideTextError(Exception):
    """A text is UTF-16 or UTF-32; never raised outside this module."""


class _Damaged(Exception):  # noqa: N818 (never leaves this module)
    """The data end too early or are corrupt."""


class _Counted(io.RawIOBase):
    """A stream that counts and hashes what is read from it."""

    def __init__(self, stream: BinaryIO | io.RawIOBase) -> None:
        self._stream = stream
        self._held = b""
        self.count = 0
        self.hash = hashlib.sha256(usedforsecurity=False)
        self.ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._held:
            taken = len(self._held) if size < 0 else size
            held, self._held = self._held[:taken], self._held[taken:]
            return held + self.read(size - len(held)) if len(held) < size else held
        read = self._stream.read(size) or b""
        self.count += len(read)
        self.hash.update(read)
        self.ended = self.ended or not read
        return read

    def peek(self, size: int) -> bytes:
        """Return the next bytes without consuming them; fewer than `size` only at the end."""
        held = b""
        while len(held) < size and (more := self.read(size - len(held))):
            held += more
        self._held = held
        return held

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def _decompressed(stream: _Counted, name: str) -> Iterator[bytes]:
    magic = stream.peek(_MAGIC_BYTES)
    if magic.startswith(_GZIP_MAGIC):
        return _gunzip(stream)
    if magic == _ZSTD_MAGIC or (magic[1:] == _SKIPPABLE[0] and magic[0] in _SKIPPABLE[1]):
        return _unzstd(stream)
    if name.endswith((".gz", ".zst")):
        raise _Damaged("the file is empty" if not magic else f"not {'gzip' if name.endswith('.gz') else 'zstd'} data")
    if magic == _PARQUET_MAGIC:
        raise _Damaged("the data are parquet, not lines; parquet is read only from a file whose name ends in .parquet")
    return iter(lambda: stream.read(_CHUNK), b"")


def _gunzip(stream: _Counted) -> Iterator[bytes]:
    """Yield the data of all gzip members; zlib is as fast as Arrow here, and returns all data before any damage."""
    member = None
    while data := stream.read(_ZSTD_CHUNK):
        while data:
            if member is None:
                data = data.lstrip(b"\0")  # padding between and after members is allowed
                if not data:
                    break
                member = zlib.decompressobj(wbits=31)
            try:
                out = member.decompress(data, _CHUNK)
            except zlib.error as error:
                raise _Damaged(str(error)) from error
            if out:
                yield out
            data = member.unused_data if member.eof else member.unconsumed_tail
            if member.eof:
                member = None
    if member is not None:
        if out := member.flush():
            yield out
        if not member.eof:
            raise _Damaged("the compressed data end too early")


def _unzstd(stream: _Counted) -> Iterator[bytes]:
    import pyarrow as pa  # noqa: PLC0415 (heavy, and only for this format)

    with pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd") as plain:
        while True:
            try:
                data = plain.read(_ZSTD_CHUNK)
            except OSError as error:
                if error.errno is not None:
                    raise
                reason = "the compressed data end too early" if "Truncated" in str(error) else str(error)
                raise _Damaged(reason) from error
            if not data:
                return
            yield data


def _size_of(stream: Any) -> int | None:
    """Return the size of the regular file behind a stream, if there is one."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, AttributeError):
        return None
    return status.st_size if os.path.isfile(stream.fileno()) else None  # noqa: PTH113 (of a descriptor)


def _in_words(size: int) -> str:
    return f"{size // 2**20} MB" if size % 2**20 == 0 else f"{size:,} bytes"


def _unreadable(label: str, error: OSError) -> DataError:
    hint = "; make it readable for your user" if isinstance(error, PermissionError) else ""
    return DataError(f"{label}: cannot be read: {error.strerror or error}{hint}")


class _ParquetRows:
    """The rows of a parquet file; `bytes_read` is estimated from the share of rows read."""

    def __init__(self, path: Path, label: str) -> None:
        self._path = path
        self._label = label
        self._share = 0.0
        self._sha256: str | None = None
        self.on_read = _do_nothing
        try:
            self.size = path.stat().st_size
        except OSError as error:
            raise _unreadable(label, error) from error

    @property
    def bytes_read(self) -> int:
        """Return approximately how many bytes have been read."""
        return int(self.size * self._share)

    @property
    def sha256(self) -> str | None:
        """Return the file's hash once all rows have been read (the file is read again for it); None before."""
        if self._sha256 is None and self._share == 1:
            with self._path.open("rb") as stream:
                self._sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        return self._sha256

    def __iter__(self) -> Iterator[tuple[int, ColumnRow]]:
        """Yield the rows as dicts, as if each had been a line of JSON."""
        import pyarrow as pa  # noqa: PLC0415 (heavy, and only for this format)
        import pyarrow.parquet as pq  # noqa: PLC0415

        try:
            with pq.ParquetFile(self._path) as file:
                _refuse_maps(file.schema_arrow, self._label)
                line = 0
                for batch in file.iter_batches(_PARQUET_BATCH):
                    for row in batch.to_pylist():
                        line += 1
                        yield line, _from_columns(row)
                    self._share = line / file.metadata.num_rows
                    self.on_read()
                self._share = 1.0
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(f"{self._label}: cannot be read as parquet: {error}") from error


class ColumnRow(dict[str, Any]):
    """A parquet row; `odd` holds flags for what the columns may have changed in the original JSON."""

    odd: frozenset[str] = frozenset()


def _from_columns(row: dict[str, Any]) -> ColumnRow:
    """Undo what Arrow's structs do to JSON: drop the nulls for keys that only other rows have; flag doubtful places."""
    lost: set[str] = set()
    decoded = ColumnRow((key, _plain(value, _place(key, value), lost)) for key, value in row.items())
    decoded.odd = frozenset(f"arrow-nulls-in-{place}" for place in lost)
    return decoded


def _refuse_maps(schema: Any, label: str) -> None:
    """Raise DataError for a column that is or contains a map: all its values have one type, unlike a JSON object's."""
    import pyarrow as pa  # noqa: PLC0415 (heavy, and only for this format)

    waiting = [(field.name, field.type) for field in schema]
    while waiting:
        name, kind = waiting.pop()
        if pa.types.is_map(kind):
            raise DataError(
                f"{label}: the column {name} is an Arrow map, whose values all have one type, so a JSON object that "
                "was stored in it cannot be restored; write it as JSON text or as a struct, or leave it out"
            )
        if pa.types.is_struct(kind):
            waiting += [(f"{name}.{kind.field(n).name}", kind.field(n).type) for n in range(kind.num_fields)]
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            waiting.append((name, kind.value_type))


def _place(key: str, value: Any) -> str | None:
    """Return the kind of a value in which real nulls matter, by its key; None for any other value.

    Arguments and results are of interest only if they are objects.
    """
    place = _MATTERS.get(key)
    return place if place == "schemas" or isinstance(value, dict) else None


def _plain(value: Any, place: str | None, lost: set[str]) -> Any:
    """Return a column's value as JSON data, without null fields: these are taken for fields that only other rows have.

    `place` is the kind of object that the value is part of (see `_MATTERS`); it is added to `lost` if a null was
    dropped there, since that null may have been in the original data.
    """
    if isinstance(value, dict):
        if place is not None and None in value.values():
            lost.add(place)
        return {
            key: _plain(inner, place or _place(key, inner), lost) for key, inner in value.items() if inner is not None
        }
    if isinstance(value, list | tuple):
        return [_plain(inner, place, lost) for inner in value]
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return float(value) if isinstance(value, Decimal) else str(value)
