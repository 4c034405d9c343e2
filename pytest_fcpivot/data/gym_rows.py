"""Writes pivots as rows of NeMo Gym, which `rows.pivot_from_row` reads as the same pivots."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.data.rows import EXPECTED, PARAMS, expected_action_json

if TYPE_CHECKING:
    from pytest_fcpivot.core.model import Pivot


def gym_row(pivot: Pivot) -> dict[str, Any]:
    """Return a pivot as a row of the FC-Pivot shape, with its metadata."""
    return {
        **pivot.metadata,
        "trajectory_id": pivot.trajectory_id,
        PARAMS: {"input": pivot.input, "tools": pivot.tools, **pivot.params},
        EXPECTED: json.loads(expected_action_json(pivot.expected_action)),
    }
