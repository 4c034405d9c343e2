"""Pivots of the sample as rows for trainers, and their answers in the form that a policy generates them."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from pytest_fcpivot import load_pivots
from pytest_fcpivot.integrations import trl_rows, verl_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot import Action, Pivot

NEMO_GYM = {"name": "nemo-gym:any-order", "settings": {"word_count_similarity_threshold": 0.1}}
AGENTIC: dict[str, Any] = {"name": "agentic", "settings": {}}


@cache
def pivots() -> tuple[Pivot, ...]:
    """Return the pivots of the sample."""
    return tuple(load_pivots())


def pivot_with(kind: str) -> Pivot:
    """Return the sample's first pivot that expects this kind of action."""
    return next(pivot for pivot in pivots() if pivot.expected_action.kind == kind)


def verl_row(pivot: Pivot, grader: Mapping[str, Any] = NEMO_GYM) -> dict[str, Any]:
    """Return a pivot as verl's reward function gets it: the arguments, without the answer."""
    row = verl_rows.row(pivot, dialect="hermes", grader=grader, index=0, split="train")
    return {
        "data_source": row["data_source"],
        "ground_truth": row["reward_model"]["ground_truth"],
        "extra_info": row["extra_info"],
    }


def trl_columns(*chosen: Pivot, grader: Mapping[str, Any] = NEMO_GYM) -> dict[str, Any]:
    """Return the columns of pivots as TRL's reward functions get them."""
    rows = [trl_rows.row(pivot, dialect="hermes", grader=grader, index=0, split="train") for pivot in chosen]
    return {name: [row[name] for row in rows] for name in rows[0] if name != "prompt"}


def as_text(action: Action) -> str:
    """Write an action as Hermes models do."""
    if not action.calls:
        return action.message or ""
    return "\n".join(
        f'<tool_call>\n{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}\n</tool_call>'
        for call in action.calls
    )


def as_message(action: Action) -> dict[str, Any]:
    """Write an action as the message that TRL makes of an answer when the chat template can parse it."""
    message: dict[str, Any] = {"role": "assistant", "content": action.message or ""}
    if action.calls:
        message["tool_calls"] = [
            {"type": "function", "function": {"name": call.name, "arguments": json.loads(call.arguments)}}
            for call in action.calls
        ]
    return message
