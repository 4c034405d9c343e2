"""Rows of the query/answers form: a user's question, the tools, and the calls that answer it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.data.conversations import expected_calls, own_id
from pytest_fcpivot.data.jsonparts import as_string, is_array, is_object, is_string, joined, objects
from pytest_fcpivot.data.messages import EMPTY, read_tools
from pytest_fcpivot.data.rows import EXPECTED, PARAMS, StoredPivot, read_row, stem_of
from pytest_fcpivot.data.shapes.chat import SETTINGS, SYSTEM_KEYS, TOOL_KEYS, tools_beside
from pytest_fcpivot.data.shapes.turns import NULL, json_member, read_call

if TYPE_CHECKING:
    from pytest_fcpivot.data.jsonparts import Fields
    from pytest_fcpivot.data.shapes.how import How

KEYS = ("query", "answers")
_USED = frozenset((*KEYS, *TOOL_KEYS, "id", "uuid", "trajectory_id", *SYSTEM_KEYS, *SETTINGS))


def read_answers(row: Fields, line: int, how: How) -> StoredPivot:
    """Read a row; its tools keep their form. Raises RowProblem if it cannot be read completely."""
    how.saw("query-answers")
    query = row["query"]
    if not is_string(query) or query == EMPTY:
        raise RowProblem(line, "query: a text is expected")
    tools, _ = read_tools(tools_beside(row, line), line, how.flags)
    params = {"input": b'[{"role":"user","content":%s}]' % query, "tools": tools}
    params |= {name: row[name] for name in SETTINGS if row.get(name, NULL) != NULL}
    system = next((row[key] for key in SYSTEM_KEYS if is_string(row.get(key))), None)
    if system is not None:
        params["instructions"] = system
    identity = own_id(row)
    pivot = {} if identity is None else {"id": as_string(stem_of(identity, "q"))}
    rest = {key: value for key, value in row.items() if key not in _USED}
    return read_row({**rest, **pivot, PARAMS: joined(params), EXPECTED: _expected(row["answers"], line)}, line)


def _expected(given: bytes, line: int) -> bytes:
    listed = json_member(given, "answers", line)
    if is_object(listed):
        listed = b"[%s]" % listed
    found = objects(listed) if is_array(listed) else None
    if not found:
        raise RowProblem(
            line, "answers: a list of calls that is not empty is expected; no answer is known to be right without"
        )
    written = []
    for number, each in enumerate(found):
        call = read_call(each, f"answers[{number}]", line)
        if (fault := call.fault()) is not None:
            raise RowProblem(line, f"answers[{number}]: {fault}")
        written.append(call.written())
    return expected_calls(written)[1]
