"""Reads and checks the provenance in the metadata of a prepared file.

Anybody can write such a file, so the metadata are untrusted: they are used only as text and counts, and never as a
path, a module or an address.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from pytest_fcpivot.core.errors import DataError
from pytest_fcpivot.core.jsontext import one_line

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
_MOST_REPEATS = 100_000  # a limit, because a run makes this many tests of each pivot and the number could be forged


class _Remarks(msgspec.Struct):
    shapes: dict[str, _Count] | None = None
    refused: dict[str, _Count] | None = None
    left_out: dict[str, _Count] | None = None
    doubtful: dict[str, _Count] | None = None
    first: dict[str, str] | None = None


class _Audit(msgspec.Struct):
    rows: _Count = 0
    pivot_rows: _Count = 0
    conversations: _Count = 0
    broken: _Count = 0
    turns: _Count = 0
    skipped: _Count = 0


class _Provenance(msgspec.Struct):
    """The members that are used; earlier versions wrote only some of them. Other members are only displayed."""

    format_version: int
    source: str | None = None
    source_sha256: str | None = None
    bad_rows: _Count = 0
    bad_row_reasons: list[str] = []
    sources: list[dict[str, str | int | float | bool | None]] | None = None
    audit: _Audit | None = None
    flags: dict[str, _Count] | None = None
    told: _Remarks | None = None
    agent_refs: dict[str, _Count] | None = None
    each_repeated: Annotated[int, msgspec.Meta(ge=1, le=_MOST_REPEATS)] = 1


def read_provenance(path: Path, text: bytes, formats: Container[object]) -> dict[str, Any]:
    """Read the metadata of a prepared file; raises DataError if they are not what `fcpivot prepare` writes.

    Metadata whose format version is not in `formats` are returned unchecked: the caller must refuse them.
    """
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError("not an object")  # noqa: TRY301 (reported like the others)
        if found.get("format_version") in formats:
            msgspec.convert(found, _Provenance)
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError) as error:
        raise DataError(
            f"{path}: its metadata (key fcpivot) are not as fcpivot prepare writes them: {one_line(str(error), 200)}; "
            "prepare the data again"
        ) from None
    return found
