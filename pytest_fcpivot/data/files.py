"""Data files as decoded rows with line numbers: `.jsonl`, `.jsonl.gz`, and parquet in the source's own columns."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from pytest_fcpivot.errors import DataError, RowProblem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
_PARQUET_BATCH = 64
_JSON_COLUMNS = frozenset({"responses_create_params", "expected_action", "info"})
_LINE_LIMIT = 64 * 1024 * 1024  # characters; the published rows have at most 111 KB


def is_data_file(path: Path) -> bool:
    """Tell by its name whether a file can hold pivots."""
    return path.name.endswith(SUFFIXES)


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, decoded row or RowProblem) of a source file.

    Blank lines are passed over. Raises DataError if the file itself cannot be read.
    """
    if path.name.endswith(".parquet"):
        return _read_parquet(path)
    return _read_lines(path)


def _read_lines(path: Path) -> Iterator[tuple[int, Any]]:
    line = 0
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as raw:
            stream = cast("BinaryIO", raw)
            for line, text in enumerate(_lines(stream), start=1):
                if text.strip():
                    yield line, _decode(text, line)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged after line {line}: {error}; fetch the file again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    while text := stream.readline(_LINE_LIMIT):
        if len(text) == _LINE_LIMIT and not text.endswith(b"\n"):
            while rest := stream.readline(_LINE_LIMIT):  # pass over the rest of an overlong line
                if rest.endswith(b"\n"):
                    break
        yield text


def _decode(text: bytes, line: int) -> Any:
    if len(text) >= _LINE_LIMIT:
        return RowProblem(line, f"longer than {_LINE_LIMIT // 2**20} MB")
    try:
        return json.loads(text.decode("utf-8-sig" if line == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        return RowProblem(line, f"not UTF-8: {error.reason} at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return RowProblem(line, f"not JSON: {error}")


def _read_parquet(path: Path) -> Iterator[tuple[int, Any]]:
    import pyarrow as pa  # noqa: PLC0415 (heavy, and only for this format)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as file:
            line = 0
            for batch in file.iter_batches(_PARQUET_BATCH):
                for row in batch.to_pylist():
                    line += 1
                    yield line, _from_columns(row, line)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as parquet: {error}") from error


def _from_columns(row: dict[str, Any], line: int) -> dict[str, Any] | RowProblem:
    """Undo what columns do to JSON: text columns are decoded, keys that only other rows have are dropped."""
    decoded: dict[str, Any] = {}
    for key, value in row.items():
        if key in _JSON_COLUMNS and isinstance(value, str):
            try:
                decoded[key] = json.loads(value)
            except (ValueError, RecursionError) as error:
                return RowProblem(line, f"{key}: not JSON: {error}")
        else:
            decoded[key] = _without_nulls(value)
    return decoded


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value
