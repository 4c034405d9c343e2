"""What a store says of itself, in the metadata of its parquet file: checked once, as the file may be anybody's."""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec

_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Audit(msgspec.Struct):
    rows: _Count
    pivot_rows: _Count
    conversations: _Count
    broken: _Count
    turns: _Count
    skipped: _Count


class _Told(msgspec.Struct):
    shapes: dict[str, _Count] = {}
    refused: dict[str, _Count] = {}
    left_out: dict[str, _Count] = {}
    doubtful: dict[str, _Count] = {}
    first: dict[str, str] = {}


class _Provenance(msgspec.Struct):
    format_version: Any = None  # what it has to be is said by whoever opens the store
    audit: _Audit | None = None
    told: _Told | None = None
    flags: dict[str, _Count] = {}
    agent_refs: dict[str, _Count] | None = None
    bad_rows: _Count = 0
    bad_row_reasons: list[str] = []
    each_repeated: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    sources: list[dict[str, Any]] | None = None


_check = msgspec.json.Decoder(_Provenance).decode


def read_provenance(text: bytes) -> dict[str, Any]:
    """Read a store's metadata; raises ValueError with the reason for what no version of ours writes."""
    try:
        _check(text)
        found: dict[str, Any] = json.loads(text.decode())
    except RecursionError:
        raise ValueError("nested too deep") from None
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    return found
