"""NeMo Gym's rules for a row, compared with a model of its request that is made of OpenAI's own types."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import pytest
from openai.types.responses import FunctionToolParam, ResponseTextConfigParam  # noqa: TC002 (pydantic reads the annotations)
from openai.types.responses.response_create_params import ToolChoice  # noqa: TC002 (pydantic reads the annotations)
from openai.types.responses.response_input_message_content_list_param import (
    ResponseInputMessageContentListParam,  # noqa: TC002 (pydantic reads the annotations)
)
from openai.types.shared_params import Metadata, Reasoning  # noqa: TC002 (pydantic reads the annotations)
from pydantic import BaseModel, ConfigDict, ValidationError

from pytest_fcpivot import Pivot
from pytest_fcpivot.data import SAMPLE_PATH, open_store
from pytest_fcpivot.data.gym_rows import gym_row
from pytest_fcpivot.data.gym_rules import (
    AGENT_REF_FORM,
    CALL_WITHOUT_RESULT,
    EMPTY_NAME,
    INPUT_ITEM,
    RESULT_WITHOUT_CALL,
    RULES,
    SETTING_TYPE,
    TOOL_CHOICE,
    TOOL_FORM,
    UNKNOWN_SETTING,
    UNKNOWN_TOOL,
    broken_rules,
)


class Easy(BaseModel):
    """A message with plain content."""

    content: str | ResponseInputMessageContentListParam
    role: Literal["user", "assistant", "system", "developer"]
    type: Literal["message"] = "message"


class Text(BaseModel):
    """A part of an assistant's message."""

    annotations: list[Any]
    text: str
    type: Literal["output_text"] = "output_text"


class Refusal(BaseModel):
    """A refusal in an assistant's message."""

    refusal: str
    type: Literal["refusal"] = "refusal"


class Said(BaseModel):
    """An assistant's message as an earlier response had it."""

    id: str
    content: list[Text | Refusal]
    role: Literal["assistant"] = "assistant"
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    type: Literal["message"] = "message"


class Result(BaseModel):
    """A function's result."""

    call_id: str
    output: str | list[Any]
    type: Literal["function_call_output"] = "function_call_output"


class Called(BaseModel):
    """A function call."""

    arguments: str
    call_id: str
    name: str
    type: Literal["function_call"] = "function_call"


class Thought(BaseModel):
    """Reasoning."""

    id: str
    summary: list[Any]
    type: Literal["reasoning"] = "reasoning"


class Request(BaseModel):
    """What NeMo Gym takes as `responses_create_params`, as far as the rows here go."""

    model_config = ConfigDict(extra="forbid")
    input: list[Easy | Said | Called | Result | Thought]
    tools: list[FunctionToolParam]
    parallel_tool_calls: bool = True
    tool_choice: ToolChoice = "auto"
    metadata: Metadata | None = None
    reasoning: Reasoning | None = None
    text: ResponseTextConfigParam | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    stream: Literal[False] | None = None
    store: bool | None = None


def accepts(row: dict[str, Any]) -> bool:
    """Return whether the model accepts a row's request."""
    try:
        Request.model_validate(row["responses_create_params"], strict=False)
    except ValidationError:
        return False
    return True


OF_MODEL = {UNKNOWN_SETTING, SETTING_TYPE, TOOL_FORM, INPUT_ITEM}
TOOL = {"type": "function", "name": "find", "description": None, "parameters": {"type": "object"}, "strict": True}
CALL = {"type": "function_call", "call_id": "c", "name": "find", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "found"}
ROW: dict[str, Any] = {
    "responses_create_params": {
        "input": [{"role": "user", "content": "go"}, CALL, RESULT],
        "tools": [TOOL],
        "parallel_tool_calls": False,
    },
    "expected_action": {"type": "function_call", "name": "find", "arguments": "{}"},
    "agent_ref": {"type": "responses_api_agents", "name": "agent"},
}


def changed(place: str, value: Any) -> dict[str, Any]:
    """Return the row with another value at a place, as in `responses_create_params.tools.0.name`."""
    row = deepcopy(ROW)
    *steps, last = [int(step) if step.isdigit() else step for step in place.split(".")]
    inside: Any = row
    for step in steps:
        inside = inside[step]
    if value is None:
        del inside[last]
    else:
        inside[last] = value
    return row


PARAMS = "responses_create_params"
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "a setting of Chat Completions": (changed(f"{PARAMS}.seed", 1), UNKNOWN_SETTING),
    "a text for a truth": (changed(f"{PARAMS}.parallel_tool_calls", ["no"]), SETTING_TYPE),
    "a text for a number": (changed(f"{PARAMS}.temperature", "warm"), SETTING_TYPE),
    "a stream": (changed(f"{PARAMS}.stream", "yes"), SETTING_TYPE),
    "a required call": (changed(f"{PARAMS}.tool_choice", "required"), TOOL_CHOICE),
    "a tool without a name": (changed(f"{PARAMS}.tools.0.name", None), TOOL_FORM),
    "a tool without strict": (changed(f"{PARAMS}.tools.0.strict", None), TOOL_FORM),
    "a tool without parameters": (changed(f"{PARAMS}.tools.0.parameters", None), TOOL_FORM),
    "parameters that are text": (changed(f"{PARAMS}.tools.0.parameters", "{}"), TOOL_FORM),
    "a nested tool": (changed(f"{PARAMS}.tools.0", {"type": "function", "function": TOOL}), TOOL_FORM),
    "a role that is none": (changed(f"{PARAMS}.input.0.role", "tool"), INPUT_ITEM),
    "content that is a number": (changed(f"{PARAMS}.input.0.content", 1), INPUT_ITEM),
    "a call without an id": (changed(f"{PARAMS}.input.1.call_id", None), INPUT_ITEM),
    "arguments that are an object": (changed(f"{PARAMS}.input.1.arguments", {"a": 1}), INPUT_ITEM),
    "a result that is an object": (changed(f"{PARAMS}.input.2.output", {"a": 1}), INPUT_ITEM),
    "reasoning without an id": (changed(f"{PARAMS}.input.0", {"type": "reasoning", "summary": []}), INPUT_ITEM),
    "a text of an assistant without an id": (
        changed(f"{PARAMS}.input.0", {"role": "assistant", "content": [{"type": "output_text", "text": "a"}]}),
        INPUT_ITEM,
    ),
    "a result of no call": (changed(f"{PARAMS}.input.2.call_id", "other"), RESULT_WITHOUT_CALL),
    "a call without a result": (changed(f"{PARAMS}.input.2", {"role": "user", "content": "so"}), CALL_WITHOUT_RESULT),
    "a tool that is not on offer": (changed("expected_action.name", "look"), UNKNOWN_TOOL),
    "a call without a name": (changed("expected_action.name", ""), EMPTY_NAME),
    "an agent of another type": (changed("agent_ref.type", "agents"), AGENT_REF_FORM),
    "an agent without a name": (changed("agent_ref.name", None), AGENT_REF_FORM),
    "an agent that is text": (changed("agent_ref", "agent"), AGENT_REF_FORM),
}


@pytest.mark.parametrize("case", CASES)
def test_a_broken_rule(case: str) -> None:
    """A row that breaks a rule is told by the rule's name; the model refuses it if the rule is one of the model."""
    row, rule = CASES[case]
    assert rule in {name for name, _ in broken_rules(row)}
    assert accepts(row) == (rule not in OF_MODEL)


def test_the_page() -> None:
    """The page on exports explains each rule by its name."""
    text = (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8")
    assert [rule for rule in RULES if f"`{rule}`" not in text] == []


def test_a_good_row() -> None:
    """A row that the model accepts breaks no rule."""
    assert accepts(ROW)
    assert not list(broken_rules(ROW))
    assert not list(broken_rules(changed("agent_ref", None)))


def test_the_sample() -> None:
    """Of the sample's pivots, the rules of the model are broken by those alone that the model refuses."""
    store = open_store(SAMPLE_PATH)
    rows = [gym_row(store.read(number)) for number in range(len(store))]
    store.close()
    refused = [not accepts(row) for row in rows]
    assert refused == [not OF_MODEL.isdisjoint(name for name, _ in broken_rules(row)) for row in rows]
    assert 0 < sum(refused) < len(rows)


def test_tools_without_strict() -> None:
    """Tools without the member that the model requires get it in the row, and lose it when the row is read."""
    row = changed(f"{PARAMS}.tools.0.strict", None)
    pivot = Pivot.from_row(row)
    written = gym_row(pivot)
    assert accepts(written)
    assert written[PARAMS]["tools"] == [{**row[PARAMS]["tools"][0], "strict": None}]
    assert Pivot.from_row(json.loads(json.dumps(written))).tools == pivot.tools
