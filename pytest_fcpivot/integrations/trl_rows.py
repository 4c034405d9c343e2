"""Writes pivots as rows for TRL, which the reward function in `trl` grades."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pytest_fcpivot.core.jsontext import well_formed
from pytest_fcpivot.data.rows import expected_action_json
from pytest_fcpivot.integrations.rewards import CONVERSATION, DIALECT, GRADER, TOOLS
from pytest_fcpivot.integrations.row_texts import PROMPT, conversation_json, grader_json, prompt_of
from pytest_fcpivot.integrations.trl import EXPECTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.core.model import Pivot

# The tools are not called `tools`, and are text: TRL passes a column of that name to the chat template, and Arrow would
# give every tool the parameters of all others.
SCHEMA = pa.schema(
    [
        ("prompt", PROMPT),
        *(
            (name, pa.string())
            for name in (EXPECTED, TOOLS, GRADER, DIALECT, CONVERSATION, "pivot_id", "trajectory_id", "split")
        ),
    ]
)


def row(pivot: Pivot, *, dialect: str, grader: Mapping[str, Any], index: int, split: str | None) -> dict[str, Any]:  # noqa: ARG001 (as for verl)
    """Return a pivot as a row of `SCHEMA`; `grader` is the grader's description in run.json.

    Raises DialectError for an unknown dialect, and for earlier calls that it cannot express.
    """
    return {
        "prompt": prompt_of(pivot, dialect),
        EXPECTED: expected_action_json(pivot.expected_action),
        TOOLS: pivot.tools_json,
        GRADER: grader_json(grader),
        DIALECT: dialect,
        CONVERSATION: conversation_json(pivot, grader),
        "pivot_id": well_formed(pivot.id),
        "trajectory_id": well_formed(pivot.trajectory_id),
        "split": split,
    }
