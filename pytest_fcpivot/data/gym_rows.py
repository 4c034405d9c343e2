"""Writes pivots as rows of NeMo Gym, which `rows.read_row` reads as the same pivots.

The parts of a pivot are copied as JSON text, so that numbers and texts stay as they are. What a reader could not derive
from the row (the id of a conversation's turn, for example) is in a member of our own, `_fcpivot`. Each row is read back
before it is written: one that would be another pivot is refused.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import DataError, RowProblem
from pytest_fcpivot.core.jsontext import compact, quoted, shown
from pytest_fcpivot.data.jsonparts import Fields, as_string, decoded, fields, joined, objects
from pytest_fcpivot.data.rows import (
    EXPECTED,
    NO_STRICT,
    OWN,
    PARAMS,
    POSITIONS,
    SPLIT,
    TRAJECTORY,
    StoredPivot,
    expected_action_json,
    positions_of,
    read_row,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fcpivot.core.model import Pivot

_SAME = ("id", "trajectory_id", SPLIT, *POSITIONS)
_LARGEST_NUMBER = 1 << 53


def gym_row(pivot: Pivot) -> dict[str, Any]:
    """Return a pivot as a row of NeMo Gym, with its metadata; raises DataError as `gym_members` does."""
    return {key: decoded(value) for key, value in gym_members(pivot).items()}


def gym_members(pivot: Pivot) -> Fields:
    """Return the members of a pivot's row as JSON texts without line ends.

    Raises DataError for a pivot that would be read back as another one.
    """
    metadata, params = _object(pivot.metadata_json), _object(pivot.params_json)
    tools = _line(pivot.tools_json)
    completed = _with_strict(tools)
    request = {"input": _line(pivot.input_json), "tools": completed or tools, **params}
    row = dict(metadata)
    if pivot.trajectory_id != pivot.id:
        row[TRAJECTORY] = _trajectory(pivot.trajectory_id)
    row[EXPECTED] = expected_action_json(pivot.expected_action).encode()
    own: dict[str, Any] = {} if completed is None else {NO_STRICT: True}
    if pivot.split is not None and SPLIT in metadata:
        own[SPLIT] = pivot.split
    elif pivot.split is not None:
        row[SPLIT] = as_string(pivot.split)
    told = zip(POSITIONS, _positions(metadata, pivot), strict=True)
    own |= {name: getattr(pivot, name) for name, value in told if getattr(pivot, name) != value}
    found = _read(row, request, own, pivot)
    if found.id != pivot.id:
        own["id"] = pivot.id
        found = _read(row, request, own, pivot)
    _refuse_other(found, pivot, {"input": request["input"], "tools": tools}, {"params": params, "metadata": metadata})
    members = {PARAMS: joined(request), **row}
    if own:
        members[OWN] = compact(own).encode()
    return members


def _positions(metadata: Fields, pivot: Pivot) -> Sequence[int | None]:
    try:
        return positions_of(metadata, 1)
    except RowProblem as problem:
        raise _refusal(pivot, problem.reason) from problem


def _read(row: Fields, request: Fields, own: dict[str, Any], pivot: Pivot) -> StoredPivot:
    try:
        return read_row({**row, OWN: compact(own).encode()} if own else row, 1, request)
    except RowProblem as problem:
        raise _refusal(pivot, problem.reason) from problem


@lru_cache(maxsize=64)  # the pivots of a trajectory have the same tools
def _with_strict(tools: bytes) -> bytes | None:
    """Return tools that lack `strict` with null in its place; None if no function does, or if some have null already.

    NeMo Gym's model of a request requires the member. Reading takes the nulls out again.
    """
    found = objects(tools)
    if not found or any(tool.get("strict") == b"null" for tool in found):
        return None
    lacking = [tool for tool in found if "strict" not in tool and tool.get("type") == b'"function"' and "name" in tool]
    for tool in lacking:
        tool["strict"] = b"null"
    return b"[%s]" % b",".join(map(joined, found)) if lacking else None


def _refuse_other(found: StoredPivot, pivot: Pivot, texts: Fields, objects_: dict[str, Fields]) -> None:
    """Raise DataError if what was read is not the pivot that was to be written."""
    other = [name for name in _SAME if getattr(found, name) != getattr(pivot, name)]
    for name, wanted in (texts | {name: joined(members) for name, members in objects_.items()}).items():
        text = getattr(found, name)
        if text != wanted and decoded(text) != decoded(wanted):
            other.append(name)
    if other:
        raise _refusal(pivot, f"its row would be read as a pivot with another {other[0]}")


def _refusal(pivot: Pivot, reason: str) -> DataError:
    return DataError(
        f"{pivot.id}: this pivot cannot be a row of NeMo Gym that is read back as the same pivot: {reason}. Its "
        "metadata may have members that such a row has for something else; rename them in the source, or leave the "
        "pivot out"
    )


def _object(text: str) -> Fields:
    found = fields(text.encode())
    if found is None:
        raise DataError(f"metadata or params are no JSON object: {shown(text)}")
    return {key: _line(value.decode()) for key, value in found.items()}


def _line(text: str) -> bytes:
    """Return JSON text without line ends, which can only stand between its parts."""
    if "\n" in text or "\r" in text:
        text = text.replace("\n", " ").replace("\r", " ")
    return text.encode()


def _trajectory(identity: str) -> bytes:
    """Write a trajectory's id: as a number if it reads as one, as in the published data, which have numbers."""
    if identity.isascii() and identity.isdigit() and str(int(identity[:20])) == identity:
        return identity.encode() if int(identity) <= _LARGEST_NUMBER else quoted(identity).encode()
    return as_string(identity)
