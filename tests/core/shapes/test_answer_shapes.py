"""The shapes of other SDKs as plain data, what a recognised answer with nothing in it is, and what is refused."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import MagicMock

import pytest

from pytest_fcpivot import Action, ActionError, FunctionCall, grade, to_action
from pytest_fcpivot.core.answer_flags import flags_of
from pytest_fcpivot.core.shapes import ai_sdk, anthropic, langchain, openai
from pytest_fcpivot.core.usage import usage_of
from pytest_fcpivot.runs.output import output_json

CALL = FunctionCall("find", '{"n": 1}')
ONE, TWO, HELLO, NOTHING = Action((CALL,)), Action((CALL, CALL)), Action(message="Hello"), Action()
NESTED = {"id": "c", "type": "function", "function": {"name": "find", "arguments": '{"n": 1}'}}
TOOL_USE = {"type": "tool_use", "id": "t", "name": "find", "input": {"n": 1}}
GEMINI_CALL = {"functionCall": {"name": "find", "args": {"n": 1}}}
BEDROCK_CALL = {"toolUse": {"toolUseId": "t", "name": "find", "input": {"n": 1}}}
LANGCHAIN_CALL = {"name": "find", "args": {"n": 1}, "id": "c", "type": "tool_call"}
AI_SDK_CALL = {"type": "tool-call", "toolCallId": "t", "toolName": "find", "input": {"n": 1}}
PYDANTIC_CALL = {"part_kind": "tool-call", "tool_name": "find", "args": {"n": 1}, "tool_call_id": "t"}


def assistant(content: Any, **fields: Any) -> dict[str, Any]:
    """Return a message of the assistant."""
    return {"role": "assistant", "content": content, **fields}


def chat(*messages: dict[str, Any], **choice: Any) -> dict[str, Any]:
    """Return a chat completion, one choice a message."""
    choices = [
        {"index": n, "finish_reason": "stop", "message": message, **choice} for n, message in enumerate(messages)
    ]
    return {"id": "c", "object": "chat.completion", "choices": choices}


SHAPES = [
    # OpenAI's chat messages in the forms that servers have
    (assistant(None, function_call={"name": "find", "arguments": '{"n": 1}'}), ONE, "the old form"),
    (chat(assistant(None, function_call={"name": "find", "arguments": '{"n": 1}'})), ONE, "the old form, whole"),
    (assistant("", tool_calls=NESTED), ONE, "tool_calls as one object"),
    (assistant("", tool_calls=[{"name": "find", "arguments": {"n": 1}}]), ONE, "flat tool_calls"),
    (assistant("", tool_calls={"type": "function", "name": "find", "arguments": {"n": 1}}), ONE, "one flat object"),
    (assistant("", tool_calls=[LANGCHAIN_CALL]), ONE, "tool_calls as LangChain has them"),
    ({"tool_calls": [NESTED, NESTED]}, TWO, "tool_calls alone"),
    ({"function_call": {"name": "find", "arguments": '{"n": 1}'}}, ONE, "function_call alone"),
    (chat(assistant(None, tool_calls=[NESTED]))["choices"][0], ONE, "a choice"),
    (chat(assistant("Hello"), assistant(None, tool_calls=[NESTED])), ONE, "text, and another choice with the call"),
    ({"role": "assistant"}, NOTHING, "a message whose nulls were left out"),
    ({"role": "assistant", "refusal": "I can't."}, NOTHING, "a refusal"),
    (assistant(None, reasoning_content="Hm."), NOTHING, "only reasoning"),
    (assistant(""), Action(message=""), "an empty text"),
    # Anthropic
    (TOOL_USE, ONE, "a tool_use block"),
    ({"type": "text", "text": "Hello"}, HELLO, "a text block"),
    ([{"type": "text", "text": "Let me look."}, TOOL_USE], ONE, "blocks"),
    ([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}], HELLO, "a text in two blocks"),
    ({"type": "message", **assistant([{"type": "text", "text": "Hm"}, TOOL_USE, TOOL_USE])}, TWO, "a Message"),
    ({"type": "message", **assistant([{"type": "thinking", "thinking": "Hm"}])}, NOTHING, "only thinking"),
    ({"type": "message", **assistant([])}, NOTHING, "a Message of no blocks"),
    (
        assistant([{"type": "server_tool_use", "name": "web_search", "input": {}}, TOOL_USE]),
        ONE,
        "a tool of the server",
    ),
    # LangChain and LangGraph
    ({"type": "ai", "content": "", "tool_calls": [LANGCHAIN_CALL]}, ONE, "an AIMessage"),
    ({"type": "ai", "content": "Hello", "tool_calls": []}, HELLO, "an AIMessage of text"),
    ({"type": "ai", "content": "", "tool_calls": []}, NOTHING, "an AIMessage of nothing"),
    ({"type": "ai", "content": [{"type": "text", "text": "Hm"}, TOOL_USE]}, ONE, "an AIMessage with a call as a block"),
    (
        {"type": "ai", "content": [{"type": "text", "text": "Hm"}, TOOL_USE], "tool_calls": [LANGCHAIN_CALL]},
        ONE,
        "an AIMessage with the same call twice",
    ),
    (
        {"type": "ai", "content": "", "invalid_tool_calls": [{"name": "find", "args": '{"n": 1', "error": "e"}]},
        Action((FunctionCall("find", '{"n": 1'),)),
        "an invalid call",
    ),
    (
        {
            "type": "ai",
            "content": "",
            "additional_kwargs": {"function_call": {"name": "find", "arguments": '{"n": 1}'}},
        },
        ONE,
        "an AIMessage in the old form",
    ),
    ([LANGCHAIN_CALL, LANGCHAIN_CALL], TWO, "a list of LangChain's calls"),
    ({"messages": [{"role": "user", "content": "Hi"}, assistant("Hello")]}, HELLO, "a state with chat messages"),
    ({"messages": [{"type": "human", "content": "Hi"}, {"type": "ai", "content": "Hello"}]}, HELLO, "a state"),
    # pydantic-ai
    (
        {"kind": "response", "parts": [{"part_kind": "thinking", "content": "Hm"}, PYDANTIC_CALL]},
        ONE,
        "a ModelResponse",
    ),
    ({"kind": "response", "parts": [{"part_kind": "text", "content": "Hello"}]}, HELLO, "a response of text"),
    ({"kind": "response", "parts": []}, NOTHING, "a response of no parts"),
    ({"calls": [PYDANTIC_CALL], "approvals": []}, ONE, "deferred calls"),
    # Gemini
    ({"role": "model", "parts": [GEMINI_CALL]}, ONE, "a content"),
    (
        {"candidates": [{"content": {"parts": [{"text": "Hm"}, GEMINI_CALL]}, "finishReason": "STOP"}]},
        ONE,
        "a response",
    ),
    (GEMINI_CALL, ONE, "a part"),
    ({"parts": [{"text": "Hm", "thought": True}, {"text": "Hello", "thoughtSignature": "s"}]}, HELLO, "a thought"),
    ({"parts": [{"text": "Hm", "thought": True}]}, NOTHING, "only a thought"),
    ({"candidates": [{"finishReason": "SAFETY"}]}, NOTHING, "a candidate that was refused"),
    ({"promptFeedback": {"blockReason": "SAFETY"}}, NOTHING, "a request that was refused"),
    # Bedrock
    (assistant([{"text": "Hm"}, BEDROCK_CALL]), ONE, "a message of Converse"),
    ({"output": {"message": assistant([BEDROCK_CALL])}, "stopReason": "tool_use"}, ONE, "an answer of Converse"),
    ([{"text": "Hm"}, BEDROCK_CALL], ONE, "blocks of Converse"),
    (assistant([{"reasoningContent": {"reasoningText": {"text": "Hm"}}}]), NOTHING, "only reasoning of Converse"),
    (assistant([{"citationsContent": {"content": [{"text": "Hel"}, {"text": "lo"}]}}]), HELLO, "cited text"),
    # Ollama
    (
        {"message": assistant("", tool_calls=[{"function": {"name": "find", "arguments": {"n": 1}}}]), "done": True},
        ONE,
        "Ollama's response",
    ),
    ({"message": assistant("", thinking="Hm"), "done": True}, NOTHING, "Ollama's response of a thought"),
    # the AI SDK
    (AI_SDK_CALL, ONE, "a tool-call part"),
    (assistant([{"type": "text", "text": "Hm"}, AI_SDK_CALL]), ONE, "a message of the AI SDK"),
    ({"text": "Hm", "toolCalls": [AI_SDK_CALL], "finishReason": "tool-calls"}, ONE, "a result"),
    (
        {"text": "", "toolCalls": [{"toolName": "find", "args": {"n": 1}}], "finishReason": "tool-calls"},
        ONE,
        "an old one",
    ),
    ({"text": "Hello", "toolCalls": [], "finishReason": "stop", "steps": [{}]}, HELLO, "a result of text"),
    ({"text": "", "toolCalls": [], "finishReason": "stop"}, NOTHING, "a result of nothing"),
    # Responses items that are no action
    (
        [
            {"type": "web_search_call", "id": "w"},
            {"type": "mcp_list_tools"},
            {"type": "mcp_call", "name": "x", "arguments": "{}"},
        ],
        NOTHING,
        "tools of the server",
    ),
    ({"role": "model", "parts": ["Hel", "lo"]}, HELLO, "Gemini's parts that are strings"),
    (chat(assistant("", refusal="I cannot.")), NOTHING, "a refusal beside a content that cannot be left out"),
]


@pytest.mark.parametrize(("output", "action"), [pytest.param(*shape[:2], id=shape[2]) for shape in SHAPES])
def test_shapes_as_plain_data(output: Any, action: Action) -> None:
    """Each shape is read as what it is, is not changed by reading, and is the same after it was stored."""
    before = repr(output)
    assert to_action(output) == action
    assert repr(output) == before
    assert to_action(json.loads(output_json(output))) == action


REFUSED = [
    # somebody else's messages
    ({"role": "user", "content": "Hi"}, ["'user'", "the model's own message"]),
    ({"role": "tool", "content": "42", "tool_call_id": "c"}, ["'tool'"]),
    ({"role": "system", "content": "Be kind."}, ["'system'"]),
    ({"role": "human", "content": "Hi"}, ["'human'", "user message"]),
    ({"role": "narrator", "content": "Hi"}, ["unknown role", "narrator", "'assistant'"]),
    ([{"role": "user", "content": "Hi"}, assistant("Hello")], ["item 1 of 2", "'user'"]),
    (
        {"messages": [assistant(None, tool_calls=[NESTED]), {"role": "tool", "content": "42"}]},
        ["last message", "'tool'"],
    ),
    ({"messages": []}, ["no messages"]),
    ({"type": "human", "content": "Hi"}, ["user message"]),
    ({"role": "user", "parts": [{"text": "Hi"}]}, ["'user'"]),
    ({"kind": "request", "parts": []}, ["request", "ModelResponse"]),
    ({"part_kind": "tool-return", "content": "42"}, ["tool message"]),
    # what is no call of a function
    ([{"type": "custom_tool_call", "name": "find", "input": "1"}], ["custom_tool_call", "{'name', 'arguments'}"]),
    ([{"type": "computer_call", "call_id": "c"}], ["computer_call"]),
    ([{"type": "function_call_output", "call_id": "c", "output": "42"}], ["function_call_output", "tool's result"]),
    ([{"type": "invented_call", "name": "find", "arguments": "{}"}], ["invented_call", "without a type"]),
    (assistant([{"type": "hologram"}]), ["hologram"]),
    (assistant(None, tool_calls=[{"type": "custom", "custom": {"name": "find", "input": "1"}}]), ["'custom'"]),
    ({"type": "tool_result", "tool_use_id": "t", "content": "42"}, ["tool_result"]),
    ({"type": "function", "name": "find", "parameters": {}}, ["'function'"]),
    ({"name": "find", "description": "Finds.", "parameters": {}}, ["a tool's definition"]),
    # what might be a call, or a text, of no known form
    ({"name": "find", "args": {"n": 1}}, ["'args'", "looks like a call", "'arguments'"]),
    ({"tool": "find", "input": {"n": 1}}, ["looks like a call"]),
    (assistant(None, toolUses=[{"name": "find"}]), ["'toolUses'", "tool_calls"]),
    (assistant("One moment.", function_calls=[{"name": "find"}]), ["'function_calls'"]),
    ({"role": "assistant", "text": "Hello"}, ["'text'", "content"]),
    (assistant({"text": "Hello"}), ["content", "dict"]),
    (assistant(None, tool_calls="find(n=1)"), ["tool_calls", "str"]),
    (assistant(None, tool_calls=[{"function": {"name": "find", "parameters": {"n": 1}}}]), ["'parameters'"]),
    ({"content": "Hello"}, ["looks like a message"]),
    ([{"type": "text", "text": "Hello"}, {"type": "message", **assistant("Hello")}], ["one message"]),
    # errors, and pieces
    ({"error": {"message": "slow down", "code": 429}}, ["error", "raise"]),
    (chat(assistant(""), error={"code": 502, "message": "provider disconnected"}), ["provider disconnected", "raise"]),
    (chat(assistant(""), finish_reason="error"), ["'error'", "raise"]),
    ({"type": "error", "error": {"type": "overloaded_error"}}, ["error of the service"]),
    ({"choices": [{"index": 0, "delta": {"content": "Hel"}}]}, ["chunk of a stream"]),
    ({"message": assistant("Hel"), "done": False}, ["chunk of a stream"]),
    ({"type": "tool_call_chunk", "name": "find", "args": '{"n'}, ["piece of a stream"]),
    ({"output": [], "status": "in_progress"}, ["in_progress"]),
    ({"output": [], "status": "completed", "error": {"message": "upstream lost"}}, ["upstream lost"]),
    ({"candidates": []}, ["no candidates"]),
    # several answers
    (chat(assistant("Hello"), assistant("Good day")), ["2 choices", '"Hello"', '"Good day"']),
    (
        chat(assistant(None, tool_calls=[NESTED]), assistant(None, tool_calls=[NESTED])),
        ["several of them with calls", "find"],
    ),
    ({"text": "Hi", "toolCalls": [], "finishReason": "stop", "steps": [{}, {}]}, ["2 steps", "execute"]),
    ({"calls": [PYDANTIC_CALL], "approvals": [PYDANTIC_CALL]}, ["order"]),
    # the answer stands elsewhere than where the shape that fits has it
    ({"output": [], "tool_calls": [NESTED]}, ["'output'", "'tool_calls'"]),
    ({"output": [], "output_text": "Hello"}, ["'output_text'"]),
    ({"output": [], "messages": [assistant("Hello")]}, ["'messages'"]),
    ({"text": "", "finishReason": "stop", "tool_calls": [NESTED]}, ["'tool_calls'"]),
    ({"toolCalls": [], "content": "Hello"}, ["'content'"]),
    (assistant(None, text="Hello"), ["'text'"]),
    ({"content": None, "tool_calls": [], "text": "Hello"}, ["'text'"]),
    ({"role": "model", "content": "Hello"}, ["'role', 'content'"]),
    ({"role": "model", "parts": [None]}, ["NoneType"]),
    ({"candidates": ["Hello"]}, ["'candidates'"]),
    ({"candidates": [{"content": "Hello"}]}, ["str"]),
    ({"candidates": [{"output": "Hello"}]}, ["'output'"]),
]


@pytest.mark.parametrize(("output", "parts"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused(output: Any, parts: list[str]) -> None:
    """What is not understood, or is no answer, is an error that names it and says what to do."""
    with pytest.raises(ActionError) as raised:
        to_action(output)
    for part in parts:
        assert part in str(raised.value)
    assert len(str(raised.value)) < 500


class Broken:
    """An answer that does not give one of its fields."""

    @property
    def content(self) -> str:
        """Fail as an SDK's answer does that has nothing there."""
        raise ValueError("no valid candidate")


class Slotted:
    """A function with slots for fields."""

    __slots__ = ("name", "params")

    def __init__(self) -> None:
        self.name, self.params = "find", {"n": 1}


def test_objects_that_mislead() -> None:
    """A mock, a field that fails, arguments in slots and endless nesting are errors, and are stored by their names."""
    nested: dict[str, Any] = {"messages": []}
    for _ in range(3000):
        nested = {"messages": [nested]}
    for answer, told in (
        (MagicMock(), "unknown role"),
        (MagicMock(role="assistant"), "MagicMock"),
        (Broken(), "'content' of a Broken cannot be read: ValueError: no valid candidate"),
        (assistant(None, tool_calls=[{"function": Slotted()}]), "'params'"),
        (nested, "nested too deep"),
    ):
        with pytest.raises(ActionError, match=told):
            to_action(answer)
        assert usage_of(answer) is None
        assert len(output_json(answer)) < 500


def test_streams_and_coroutines_are_named() -> None:
    """What an agent forgot to await or to collect is refused with that advice."""

    async def answer() -> str:
        return "Hello"

    coroutine = answer()
    with pytest.raises(ActionError, match="await"):
        to_action(coroutine)
    coroutine.close()
    with pytest.raises(ActionError, match="stream"):
        to_action(iter(["Hel", "lo"]))


@pytest.mark.parametrize("arguments", [{}, {"arguments": None}, {"arguments": ""}], ids=["missing", "null", "empty"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda call: {"type": "function_call", "call_id": "c", **call},
        lambda call: chat(assistant(None, tool_calls=[{"id": "c", "type": "function", "function": call}])),
        lambda call: assistant(None, tool_calls=[call]),
        lambda call: assistant(None, function_call=call),
        lambda call: [{"id": "c", "type": "function", "function": call}],
    ],
    ids=["Responses", "chat", "flat", "old form", "list"],
)
def test_a_server_that_sent_no_arguments(wrap: Any, arguments: dict[str, Any]) -> None:
    """Null, missing and empty arguments of a server's call are the same: text that does not decode, counted."""
    output = wrap({"name": "find", **arguments})
    action = to_action(output)
    assert action == Action((FunctionCall("find", ""),))
    assert flags_of(output, action) == ("no_arguments",)
    expected = {"type": "function_call", "name": "find", "arguments": "{}"}
    verdict = grade(expected, output)
    assert (verdict.reward, verdict.category) == (0.0, "ARGUMENTS_DECODE_ERROR")
    assert "the server sent no arguments" in verdict.explanation
    as_object = to_action(output, empty_arguments="object")
    assert as_object == Action((FunctionCall("find", "{}"),))
    assert flags_of(output, as_object) == ("no_arguments",)
    assert grade(expected, output, empty_arguments="object").reward == 1.0


def test_null_arguments_of_ones_own_are_null() -> None:
    """What an agent of the user's says outright is not read as another thing, whatever the option says."""
    for output in (FunctionCall("find", None), {"name": "find", "arguments": None}):
        for empty in ("text", "object"):
            action = to_action(output, empty_arguments=empty)
            assert action == Action((FunctionCall("find", "null"),))
            assert flags_of(output, action) == ()


def test_one_choice_with_calls_is_counted() -> None:
    """That an answer was chosen among several stands beside it, also after it was stored."""
    output = chat(assistant("One moment."), assistant(None, tool_calls=[NESTED]))
    assert flags_of(output, to_action(output)) == ("one_of_several_choices",)
    stored = json.loads(output_json(output))
    assert flags_of(stored, to_action(stored)) == ("one_of_several_choices",)


def test_no_type_has_two_readers() -> None:
    """No two families claim the same type, so that none is read by the order of the table."""
    families = [family.TYPES for family in (openai, anthropic, langchain, ai_sdk)]
    assert sum(map(len, families)) == len({name for types in families for name in types})


def test_a_reply_of_a_hundred_megabytes() -> None:
    """A huge answer is read, graded and refused without a copy of it in any message."""
    huge = "x" * 100_000_000
    verdict = grade({"type": "function_call", "name": "find", "arguments": "{}"}, [{"name": "find", "arguments": huge}])
    assert verdict.category == "ARGUMENTS_DECODE_ERROR"
    assert len(verdict.explanation) < 300
    for output in ({huge: 1}, {"type": huge}, {"role": huge}, {"error": huge}, chat(assistant(huge), assistant(huge))):
        with pytest.raises(ActionError) as raised:
            to_action(output)
        assert len(str(raised.value)) < 600
