"""The parts that training rows for verl and TRL have in common: the prompt, and texts from which a reward is made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pytest_fcpivot.core.dialects.writing import render
from pytest_fcpivot.core.jsontext import well_formed
from pytest_fcpivot.graders import DEFAULT_GRADER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.core.model import Pivot

# Chat messages, in which the tools and earlier calls are written out.
PROMPT = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def prompt_of(pivot: Pivot, dialect: str) -> list[dict[str, str]]:
    """Return the chat that a policy is prompted with; raises DialectError as `render` does."""
    return [{"role": message["role"], "content": well_formed(message["content"])} for message in render(pivot, dialect)]


def grader_json(grader: Mapping[str, Any]) -> str:
    """Return a grader's name and settings as JSON, given its description in run.json; a row names no code."""
    return json.dumps({"name": grader["name"], "settings": dict(grader.get("settings") or {})})


def conversation_json(pivot: Pivot, grader: Mapping[str, Any]) -> str | None:
    """Return the conversation for a judge of messages; None where there is no message, or the grader has no judge."""
    if pivot.expected_action.calls or str(grader["name"]).partition(":")[0] == DEFAULT_GRADER:
        return None
    return pivot.input_json
