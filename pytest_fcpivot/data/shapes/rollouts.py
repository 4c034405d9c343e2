"""Rows of NeMo Gym rollouts without an expected action: each turn that the model took becomes a pivot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.data.jsonparts import fields, is_array, is_object, objects
from pytest_fcpivot.data.rows import PARAMS, StoredPivot
from pytest_fcpivot.data.shapes.logs import look_at_status, pivots_of_items
from pytest_fcpivot.data.shapes.turns import NULL, json_member

if TYPE_CHECKING:
    from pytest_fcpivot.data.jsonparts import Fields
    from pytest_fcpivot.data.shapes.how import How
    from pytest_fcpivot.data.shapes.items import Rollout


def read_rollout(row: Fields, line: int, how: How) -> StoredPivot | Rollout:
    """Read a row; raises RowProblem if it cannot be read completely."""
    how.saw("rollout")
    params, response = (json_member(row[key], key, line) for key in (PARAMS, "response"))
    request = fields(params) if is_object(params) else None
    answer = fields(response) if is_object(response) else None
    if request is None or answer is None:
        raise RowProblem(line, f"a rollout without expected_action needs {PARAMS} and response, both objects")
    look_at_status(answer, line, how)
    output = json_member(answer.get("output", NULL), "response.output", line)
    items = objects(output) if is_array(output) else None
    if not items:
        raise RowProblem(line, "response.output: a list of items that is not empty is expected")
    if request.get("previous_response_id", NULL) != NULL:
        raise RowProblem(line, "previous_response_id: what was said before is not in the row")
    rest = {key: value for key, value in row.items() if key not in (PARAMS, "response")}
    settings = {key: value for key, value in request.items() if value != NULL}
    return pivots_of_items(rest, settings, items, line)
