"""Data files as numbered rows: lines (plain, gzip, zstd) as bytes in bounded memory, parquet in its own columns."""

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
# Objects where a null of a struct may be one in truth, and not a key that only other rows have; by their key.
_MATTERS = {
    **dict.fromkeys(("arguments", "parameters", "args", "input"), "arguments"),
    **dict.fromkeys(("tools", "functions"), "schemas"),
    "content": "results",
}
_CHUNK = 256 * 1024  # stays in the processor's cache while it is hashed and its lines are read
# Arrow gives nothing of a read that meets the damage, so its reads are small: at most this much before it is lost.
_ZSTD_CHUNK = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = (b"\x2a\x4d\x18", range(0x50, 0x60))  # a zstd file may begin with a skippable frame (pzstd writes them)
_PARQUET_MAGIC = b"PAR1"
_MAGIC_BYTES = 4
# Lines that are blank, together: 100 million of them take half a second so, and a minute one by one.
_BLANK_LINES = re.compile(rb"(\n+)(?![\t\r\x0b\x0c ])|[\t\n\r\x0b\x0c ]*\n")
_LAST_BLANK = 0x20  # the space, after all that is white space


def is_data_file(path: Path) -> bool:
    """Tell by its name whether a file can hold pivots."""
    return path.name.endswith(SUFFIXES)


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, decoded row or RowProblem) of a source file.

    Blank lines are passed over. Raises DataError if the file itself cannot be read.
    """
    for line, row in open_rows(path):
        yield line, _decode(row, line) if isinstance(row, bytes) else row


def _decode(text: bytes, line: int) -> Any:
    try:
        return json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        return RowProblem(line, f"not JSON: {error}")


class Rows(Protocol):
    """The rows of one file, to be iterated once: (number from 1, row or RowProblem).

    A row is the bytes of its line, which are UTF-8, without the line end; a parquet row is a dict that JSON can hold.
    Iterating raises DataError where the file is damaged or cannot be read, after the rows before that place. `on_read`
    is called now and then while more is read, also where no row comes of it.
    """

    on_read: Callable[[], None]

    @property
    def size(self) -> int | None:
        """Return the size of the file as it is stored, if that is known."""

    @property
    def bytes_read(self) -> int:
        """Return how many bytes of the file, as it is stored, have been read so far."""

    @property
    def sha256(self) -> str | None:
        """Return the hash of the file as it is stored, once all of it has been read."""

    def __iter__(self) -> Iterator[tuple[int, bytes | dict[str, Any] | RowProblem]]: ...


def open_rows(path: Path, label: str | None = None, *, limit: int = LINE_LIMIT) -> Rows:
    """Open a data file, which messages call `label`; a line of more than `limit` bytes is a RowProblem.

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
    """The lines of a binary stream, decompressed if its first bytes say gzip or zstd; see Rows.

    `name` is a file's name: if it promises compression and the bytes are something else, the file is damaged.
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
        """Return how many bytes of the stream have been read so far."""
        return self._stream.count

    @property
    def sha256(self) -> str | None:
        """Return the hash of the stream's bytes, once all of them have been read."""
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
        begun = io.BytesIO()  # a line that goes on in the next chunk; BytesIO hands over its buffer without a copy
        begun_size = 0
        for chunk in self._telling(_not_wide(chunks)):
            start = chunk.find(b"\n") + 1
            head = chunk[: start - 1] if start else chunk
            begun_size += len(head)
            if begun_size <= self._limit:
                begun.write(head)
            else:
                begun = io.BytesIO()  # overlong: nothing of it is kept, only its end is looked for
            if not start:
                continue
            row = self._row(begun.getvalue(), begun_size, valid=False)
            begun = io.BytesIO()
            if row is not None:
                yield self._line, row
            end = chunk.rfind(b"\n") + 1
            valid = _is_utf8(chunk, start, end)
            while start < end:  # several times faster than split(), which looks at one byte after the other
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

    def _telling(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield chunks, and call `on_read` after each."""
        for chunk in chunks:
            yield chunk
            self.on_read()

    def _row(self, line: bytes, size: int, *, valid: bool) -> bytes | RowProblem | None:
        """Return what the next line holds; None if it is blank."""
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
    """Say why a line is not UTF-8, if it is not."""
    if _is_utf8(line, 0, len(line)):
        return None
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"{error.reason} at byte {error.start}"
    return None


def _is_utf8(data: bytes, start: int, end: int) -> bool:
    """Tell whether a part of some bytes is UTF-8; Arrow looks at it twice as fast as decoding it would take."""
    if data.isascii():
        return True
    import pyarrow as pa  # noqa: PLC0415 (heavy; whoever reads rows has it already)

    ends = pa.py_buffer(struct.pack("=ii", start, end))
    try:
        pa.StringArray.from_buffers(1, ends, pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _not_wide(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks of a text, unless its beginning says that it is UTF-16 or UTF-32: all of its lines are broken.

    Raises _WideTextError for such a text.
    """
    rest = iter(chunks)
    head = next(rest, b"")
    encoding = wide_encoding(head)
    if encoding is not None:
        raise _WideTextError(save_as_utf8(encoding))
    yield head
    yield from rest


class _WideTextError(Exception):
    """A text is in an encoding with two or four bytes a character; it never leaves this module."""


class _Damaged(Exception):  # noqa: N818 (never leaves this module)
    """Compressed data end or go wrong here."""


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
        """Return the next bytes, fewer only at the end, and leave them to be read."""
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
        raise _Damaged("these are not lines but parquet, which is read from a file whose name ends in .parquet")
    return iter(lambda: stream.read(_CHUNK), b"")


def _gunzip(stream: _Counted) -> Iterator[bytes]:
    """Yield the data of all members; zlib itself is as fast as Arrow here, and gives all that precedes damage."""
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
    hint = "; give yourself the right to read it" if isinstance(error, PermissionError) else ""
    return DataError(f"{label}: cannot be read: {error.strerror or error}{hint}")


class _ParquetRows:
    """The rows of a parquet file; `bytes_read` is in proportion to the rows read."""

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
        """Return about how many bytes have been read."""
        return int(self.size * self._share)

    @property
    def sha256(self) -> str | None:
        """Return the file's hash, which takes another reading of it, once all its rows have been read."""
        if self._sha256 is None and self._share == 1:
            with self._path.open("rb") as stream:
                self._sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        return self._sha256

    def __iter__(self) -> Iterator[tuple[int, ColumnRow]]:
        """Yield the rows, decoded as lines of JSON would be."""
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
    """A row of columns; `odd` names what they may have changed in it."""

    odd: frozenset[str] = frozenset()


def _from_columns(row: dict[str, Any]) -> ColumnRow:
    """Undo what columns do to JSON: keys that only other rows have are dropped; noted is where that may be wrong."""
    lost: set[str] = set()
    decoded = ColumnRow((key, _plain(value, _place(key, value), lost)) for key, value in row.items())
    decoded.odd = frozenset(f"arrow-nulls-in-{place}" for place in lost)
    return decoded


def _refuse_maps(schema: Any, label: str) -> None:
    """Refuse a column that is a map, or holds one: its values have one type, and are no JSON object's any more."""
    import pyarrow as pa  # noqa: PLC0415 (heavy, and only for this format)

    waiting = [(field.name, field.type) for field in schema]
    while waiting:
        name, kind = waiting.pop()
        if pa.types.is_map(kind):
            raise DataError(
                f"{label}: the column {name} is an Arrow map, whose values all have one type, so that an object "
                "of JSON does not come out of it as it went in; write it as JSON text or as a struct, or leave it out"
            )
        if pa.types.is_struct(kind):
            waiting += [(f"{name}.{kind.field(n).name}", kind.field(n).type) for n in range(kind.num_fields)]
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            waiting.append((name, kind.value_type))


def _place(key: str, value: Any) -> str | None:
    """Say what a value is that an object has under this key; a call's arguments and its result are objects there."""
    place = _MATTERS.get(key)
    return place if place == "schemas" or isinstance(value, dict) else None


def _plain(value: Any, place: str | None, lost: set[str]) -> Any:
    """Return a column's value as JSON could have held it; fields that are null are those of other rows.

    `place` says what the value is part of, and is noted in `lost` if such a field may have been null in truth.
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
