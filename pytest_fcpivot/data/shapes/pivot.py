"""Rows that are pivots: `responses_create_params`, and `expected_action`, which alone decides what is expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.data.jsonparts import fields, is_object
from pytest_fcpivot.data.messages import read_tools
from pytest_fcpivot.data.rows import EXPECTED, PARAMS, StoredPivot, read_row
from pytest_fcpivot.data.shapes.turns import NULL, is_object_text, json_member

if TYPE_CHECKING:
    from pytest_fcpivot.data.jsonparts import Fields
    from pytest_fcpivot.data.shapes.how import How

_TEXTS = (PARAMS, EXPECTED)
_TEXTS_OR_WORDS = ("info", "meta_info")  # other datasets may hold anything under these names
_TOOL_KEYS = ("tools", "functions")


def read_pivot(row: Fields, line: int, how: How) -> StoredPivot:
    """Read a row, whose members may be JSON in a string; raises RowProblem if it is broken, or would lose its tools."""
    how.saw("fc-pivot")
    row = {
        key: json_member(value, key, line)
        if key in _TEXTS or (key in _TEXTS_OR_WORDS and is_object_text(value))
        else value
        for key, value in row.items()
    }
    params = row.get(PARAMS, NULL)
    offered = (fields(params) or {}).get("tools", NULL) if is_object(params) else NULL
    if offered in (NULL, b"[]", b'"[]"'):
        for key in _TOOL_KEYS:
            if read_tools(json_member(row.get(key, NULL), key, line), line, set())[1]:
                raise RowProblem(
                    line, f"{key} beside {PARAMS}, which has none: they would not be on offer; move them into it"
                )
    return read_row(row, line)
