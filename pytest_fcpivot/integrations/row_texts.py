"""The parts that training rows for verl and TRL have in common: the prompt, and texts from which a reward is made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pytest_fcpivot.core.dialects import Tools
from pytest_fcpivot.core.dialects.writing import render, render_action
from pytest_fcpivot.core.errors import DialectError
from pytest_fcpivot.core.jsontext import one_line, well_formed
from pytest_fcpivot.graders import DEFAULT_GRADER
from pytest_fcpivot.options.table import DEFAULT_PASS_MARK, TRUE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_fcpivot.core.model import Pivot

# Chat messages, in which the tools and earlier calls are written out.
PROMPT = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def prompt_of(pivot: Pivot, dialect: str) -> list[dict[str, str]]:
    """Return the chat that a policy is prompted with; raises DialectError as `render` does."""
    return [{"role": message["role"], "content": well_formed(message["content"])} for message in render(pivot, dialect)]


def why_out_of_reach(pivot: Pivot, dialect: str) -> str | None:
    """Return why no text in a dialect is the expected call; None if there is one, or if a message is expected.

    A policy that answers in the dialect then may never earn the whole reward, such as where its values take their types
    from a schema that the expected arguments break.
    """
    if not pivot.expected_action.calls:  # a message in other words earns as much
        return None
    try:
        render_action(pivot.expected_action, dialect, special_tokens=False, tools=Tools(pivot.tools))
    except DialectError as error:
        return str(error)
    return None


def graded_otherwise(description: Mapping[str, Any]) -> Iterator[str]:
    """Say what of a run's grading, given its run.json, the reward functions leave out unless they are told."""
    options = description.get("options") or {}
    if str(options.get("fc_strict_schema")).lower() in TRUE:
        yield "the run was graded with --fc-strict-schema, which rewards in a training do not apply"
    if options.get("fc_empty_arguments") == "object":
        yield "the run was graded with --fc-empty-arguments=object, which rewards in a training do not apply"
    model = (description.get("judge") or {}).get("model")
    if model:
        yield (
            f"a model judged the messages of the run, {one_line(str(model), 80)}; do so in the training too, by "
            "pytest_fcpivot.integrations.judged, or messages are graded by keywords"
        )
    mark = description.get("pass_mark")
    if isinstance(mark, float | int) and mark != DEFAULT_PASS_MARK:
        yield f"the pass mark of the run is {mark:g}; name it to the reward function, as pass_mark, whose own is 1"


def grader_json(grader: Mapping[str, Any]) -> str:
    """Return a grader's name and settings as JSON, given its description in run.json; a row names no code."""
    return json.dumps({"name": grader["name"], "settings": dict(grader.get("settings") or {})})


def conversation_json(pivot: Pivot, grader: Mapping[str, Any]) -> str | None:
    """Return the conversation for a judge of messages; None where there is no message, or the grader has no judge."""
    if pivot.expected_action.calls or str(grader["name"]).partition(":")[0] == DEFAULT_GRADER:
        return None
    return pivot.input_json
