"""Writes pivots as rows for verl, which the reward function in `verl` grades."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pytest_fcpivot.core.jsontext import well_formed
from pytest_fcpivot.data.agent_refs import agent_of
from pytest_fcpivot.data.rows import expected_action_json
from pytest_fcpivot.integrations.rewards import CONVERSATION, DIALECT, GRADER, TOOLS
from pytest_fcpivot.integrations.row_texts import PROMPT, conversation_json, grader_json, prompt_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.core.model import Pivot

_TEXT = pa.string()
SCHEMA = pa.schema(
    [
        ("data_source", _TEXT),
        ("prompt", PROMPT),
        ("ability", _TEXT),
        ("reward_model", pa.struct([("style", _TEXT), ("ground_truth", _TEXT)])),
        (
            "extra_info",
            pa.struct(
                [
                    ("index", pa.int64()),
                    *(
                        (name, _TEXT)
                        for name in ("split", "pivot_id", "trajectory_id", TOOLS, GRADER, DIALECT, CONVERSATION)
                    ),
                ]
            ),
        ),
    ]
)


def row(pivot: Pivot, *, dialect: str, grader: Mapping[str, Any], index: int, split: str | None) -> dict[str, Any]:
    """Return a pivot as a row of `SCHEMA`; `grader` is the grader's description in run.json.

    `data_source`, by which verl groups its metrics, is the agent that the pivot's row names, else `pytest-fcpivot`.
    Raises DialectError for an unknown dialect, and for earlier calls that it cannot express.
    """
    return {
        "data_source": agent_of(pivot.metadata_json.encode("utf-8", "backslashreplace")) or "pytest-fcpivot",
        "prompt": prompt_of(pivot, dialect),
        "ability": "function_call",
        "reward_model": {"style": "rule", "ground_truth": expected_action_json(pivot.expected_action)},
        "extra_info": {
            "index": index,
            "split": split,
            "pivot_id": well_formed(pivot.id),
            "trajectory_id": well_formed(pivot.trajectory_id),
            TOOLS: pivot.tools_json,
            GRADER: grader_json(grader),
            DIALECT: dialect,
            CONVERSATION: conversation_json(pivot, grader),
        },
    }
