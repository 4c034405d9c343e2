"""Reads the call of a tool as an action, and grades it as everywhere else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.actions import SUBMIT_MESSAGE, to_action
from pytest_fcpivot.core.jsontext import shown
from pytest_fcpivot.core.model import Action, FunctionCall
from pytest_fcpivot.serve.problems import CallProblem
from pytest_fcpivot.serve.tools import ARGUMENTS, CALL_FUNCTION, MESSAGE, NAME, Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.core.model import Grade
    from pytest_fcpivot.serve.grading import Graded
    from pytest_fcpivot.serve.pivots import Task

_BAD_INPUT, _NO_TOOL = "input_validation", "not_found"


def action_of(mode: Mode, task: Task, name: str, given: Mapping[str, Any]) -> Action:
    """Return the action that a call of a tool stands for.

    A function that the task does not offer is called all the same: that is what the model did, and it is graded. Raises
    CallProblem for shared tools that are called with other arguments than theirs, which says nothing about the task.
    """
    if mode == "per-task":
        if name == SUBMIT_MESSAGE and name not in task.tool_names:
            return Action(message=_message(given))
        return Action((FunctionCall(name, json.dumps(given)),))
    if name == SUBMIT_MESSAGE:
        return Action(message=_message(given))
    if name != CALL_FUNCTION:
        raise CallProblem(_NO_TOOL, f"{shown(name)} is not a valid tool: call {CALL_FUNCTION} or {SUBMIT_MESSAGE}")
    # As in pytest: a call of `submit_message` by its name is a message too, unless the pivot has such a tool.
    return to_action(Action((_function(given),)), task.tool_names)


def reply_of(graded: Graded) -> dict[str, Any]:
    """Return the result of a submission. Nothing in it tells what was expected."""
    grade = graded.grade
    metadata = {"category": grade.category, "path": grade.path, "schema": graded.schema, "judge": graded.judge}
    block = {"text": summary_of(grade), "detail": None, "type": "text"}
    output = {"blocks": [block], "metadata": metadata, "reward": grade.reward, "finished": True}
    return {"ok": True, "output": output}


def summary_of(grade: Grade) -> str:
    """Return a grade in a few words."""
    return f"reward {grade.reward:g} ({grade.category})"


def _message(given: Mapping[str, Any]) -> str:
    if given.keys() != {MESSAGE} or not isinstance(given[MESSAGE], str):
        raise CallProblem(
            _BAD_INPUT, f"Tool input validation error: {SUBMIT_MESSAGE} needs {MESSAGE!r}, a string, and nothing else"
        )
    text: str = given[MESSAGE]
    return text


def _function(given: Mapping[str, Any]) -> FunctionCall:
    name, arguments = given.get(NAME), given.get(ARGUMENTS)
    if given.keys() != {NAME, ARGUMENTS} or not isinstance(name, str) or not isinstance(arguments, dict | str):
        raise CallProblem(
            _BAD_INPUT,
            f"Tool input validation error: {CALL_FUNCTION} needs {NAME!r}, a string, and {ARGUMENTS!r}, an object or "
            "its text, and nothing else",
        )
    return FunctionCall(name, arguments)
