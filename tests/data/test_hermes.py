"""Conversations with calls and tools as text: converted whole, or the row is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.data.rowreader import RowReader
from pytest_fcpivot.data.rows import StoredPivot

if TYPE_CHECKING:
    from pytest_fcpivot import Pivot

Json = dict[str, Any]

TOOL: Json = {
    "type": "function",
    "function": {"name": "find", "description": "Find.", "parameters": {"type": "object", "properties": {}}},
}
FLAT = {"type": "function", **TOOL["function"]}
HERMES = (
    "You are a function calling AI model. You are provided with function signatures within "
    "<tools></tools> XML tags. You may call one or more functions to assist with the user query. Don't "
    "make assumptions about what values to plug into functions. Here are the available tools: <tools> "
    "{tools} </tools> Use the following pydantic model json schema for each tool call you will make: "
    '{{"properties": {{"arguments": {{"title": "Arguments", "type": "object"}}, "name": {{"title": '
    '"Name", "type": "string"}}}}, "required": ["arguments", "name"], "title": "FunctionCall", "type": '
    '"object"}} For each function call return a json object with function name and arguments within '
    '<tool_call></tool_call> XML tags as follows:\n<tool_call>\n{{"arguments": <args-dict>, "name": '
    "<function-name>}}\n</tool_call>"
)
QWEN = (
    "Speak like a captain.\n\n# Tools\n\nYou may call one or more functions to assist with the user "
    "query.\n\nYou are provided with function signatures within <tools></tools> XML "
    "tags:\n<tools>\n{tools}\n</tools>\n\nFor each function call, return a json object with function name and "
    'arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{{"name": <function-name>, '
    '"arguments": <args-json-object>}}\n</tool_call>'
)
OLDER = (
    "Mind the gap.\nYou are a function calling AI model. You are provided with function signatures within "
    "<tools> </tools> XML tags. You may call one or more functions to assist with the user query. Don't "
    "make assumptions about what values to plug into functions.\n<tools>\n{tools}\n</tools>\nFor each "
    "function call return a JSON object, with the following pydantic model json schema:\n{{'title': "
    "'FunctionCall', 'type': 'object', 'properties': {{'name': {{'title': 'Name', 'type': 'string'}}, "
    "'arguments': {{'title': 'Arguments', 'type': 'object'}}}}, 'required': ['arguments', 'name']}}\nEach "
    "function call should be enclosed within <tool_call> </tool_call> XML tags. You must use "
    "<scratch_pad> </scratch_pad> XML tags to record your reasoning and planning before you call the "
    "functions as follows.\nExample:\n<scratch_pad>\nplan\n</scratch_pad>\n<tool_call>\n{{'arguments': "
    "<args-dict>, 'name': <function-name>}}\n</tool_call>"
)
ASKED: Json = {"role": "user", "content": "Find it."}
SAID: Json = {"role": "assistant", "content": "Found."}


def calling(*texts: str, beside: str = "") -> Json:
    """Return a turn with these calls as text."""
    return {"role": "assistant", "content": beside + "\n".join(f"<tool_call>\n{text}\n</tool_call>" for text in texts)}


def answer(text: str, role: str = "tool") -> Json:
    """Return a result as text."""
    return {"role": role, "content": f"<tool_response>\n{text}\n</tool_response>"}


def read(*messages: Json, **members: Any) -> list[Pivot]:
    """Return the pivots of a conversation whose calls are text."""
    row = {"id": "h", "messages": list(messages), **members}
    found = RowReader(calls_in_text="hermes").read(json.dumps(row).encode(), 1)
    assert not isinstance(found, StoredPivot)
    return [turn.pivot() for turn in found.turns() if isinstance(turn, StoredPivot)]


@pytest.mark.parametrize(
    ("template", "left"), [(HERMES, None), (QWEN, "Speak like a captain."), (OLDER, "Mind the gap.")]
)
@pytest.mark.parametrize(
    "tools", [json.dumps([TOOL]), json.dumps(TOOL), f"{json.dumps(TOOL)}\n{json.dumps(TOOL)}", str([TOOL])]
)
def test_all_of_it_is_converted(template: str, left: str | None, tools: str) -> None:
    """Tools, calls and results become what they are, and of the system text there stays what is not about the tags."""
    system = {"role": "system", "content": template.format(tools=tools)}
    call = '{"name": "find", "arguments": {"n": 1.10}}'
    first, second = read(system, ASKED, calling(call, beside="Let me see.\n"), answer("gold"), SAID)
    assert [(each.name, each.arguments) for each in first.expected_action.calls] == [("find", '{"n": 1.10}')]
    assert first.tools == [FLAT] * len(first.tools)
    assert first.input == ([] if left is None else [{"role": "system", "content": left}]) + [ASKED]
    assert [item.get("content") or item.get("arguments") or item["output"] for item in second.input][-3:] == [
        "Let me see.",
        '{"n": 1.10}',
        "gold",
    ]
    assert second.expected_action.message == "Found."
    assert not any(tag in second.input_json for tag in ("tool_call>", "tool_response>", "<tools>", "FunctionCall"))


def test_several_calls_and_results() -> None:
    """Calls of one message are a batch; results in one message, also a user's, belong to them in order."""
    calls = calling('{"name": "find", "arguments": {"a": 1}}', "{'name': 'find', 'arguments': {'b': True, 'c': None}}")
    results = {
        "role": "user",
        "content": answer("1")["content"] + answer('{"name": "find", "content": {"x": 2}}')["content"],
    }
    first, second = read(ASKED, calls, results, SAID, tools=[TOOL])
    assert [json.loads(each.arguments) for each in first.expected_action.calls] == [{"a": 1}, {"b": True, "c": None}]
    assert [item["output"] for item in second.input if item.get("type") == "function_call_output"] == ["1", '{"x": 2}']
    assert "flags" not in second.metadata


def test_sharegpt() -> None:
    """Rows of ShareGPT are converted in the same way, and rows that have nothing to convert stay what they are."""
    talk = [
        {"from": "system", "value": QWEN.format(tools=json.dumps(TOOL))},
        {"from": "human", "value": "Find it."},
        {"from": "gpt", "value": calling('{"name": "find", "arguments": {}}')["content"]},
        {"from": "tool", "value": answer("gold")["content"]},
        {"from": "gpt", "value": "Found."},
    ]
    reader = RowReader(calls_in_text="hermes")
    found = reader.read(json.dumps({"id": "s", "conversations": talk}).encode(), 1)
    assert not isinstance(found, StoredPivot)
    assert (reader.found, found.n_turns) == ("hermes", 2)
    reader.read(json.dumps({"messages": [ASKED, SAID]}).encode(), 2)
    assert reader.found == "chat"


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (
            [ASKED, calling("{find}")],
            r"messages\[1\]: a <tool_call> that does not parse: neither JSON nor a Python literal",
        ),
        ([ASKED, calling('["find"]')], "must hold an object with name and arguments"),
        ([ASKED, calling('{"arguments": {}}')], "must hold an object with name"),
        ([ASKED, calling('{"name": "f", "arguments": {}, "parameters": {}}')], "both arguments and parameters"),
        ([ASKED, {"role": "assistant", "content": '<tool_call>{"name": "f", "arguments": {}}'}], "not as <tool_call>"),
        ([ASKED, {"role": "assistant", "content": "<function=find>{}</function>"}], "not as <tool_call>"),
        (
            [ASKED, calling('{"name": "f", "arguments": {}}'), {"role": "tool", "content": "<tool_response>x"}, SAID],
            "without its opening or closing tag",
        ),
        (
            [{"role": "system", "content": "<tools>[{]</tools>"}, ASKED, SAID],
            r"messages\[0\]: <tools> that do not parse",
        ),
        (
            [{"role": "system", "content": f"<tools>{json.dumps(TOOL)}"}, ASKED, SAID],
            "<tools> in a system text.*unclosed",
        ),
        (
            [
                {"role": "system", "content": f"Wrap it in <tool_call>, dear. <tools>{json.dumps(TOOL)}</tools>"},
                ASKED,
                SAID,
            ],
            r"<tool_call> in a system text is unclosed, or .* words of no known .*Wrap it in <tool_call>, dear",
        ),
    ],
)
def test_one_tag_that_does_not_parse(messages: list[Json], reason: str) -> None:
    """It refuses the row, with the place."""
    with pytest.raises(RowProblem, match=reason):
        read(*messages, tools=[])


def test_tools_beside_the_text() -> None:
    """The row's own tools must be those of the text."""
    system = {"role": "system", "content": QWEN.format(tools=json.dumps(TOOL))}
    assert read(system, ASKED, SAID, tools=[TOOL])[0].tools == [FLAT]
    with pytest.raises(RowProblem, match="<tools> differ from the row's tools"):
        read(system, ASKED, SAID, tools=[{"name": "other"}])


def test_a_call_without_arguments_is_left_out() -> None:
    """A call as text without arguments is no pivot, as anywhere."""
    assert [pivot.id for pivot in read(ASKED, calling('{"name": "find"}'), answer("x"), SAID, tools=[TOOL])] == ["h-d1"]
