"""Replies that tell of the model's own malformed output: one body in the shape of each server's quirk."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from served import ModelServer, tool, view_of

from pytest_fcpivot import Action, FunctionCall, to_action
from pytest_fcpivot.agents.openai import ChatAgent, PromptAgent, ResponsesAgent
from pytest_fcpivot.agents.openai.quirks import HISTORY, QUIRKS, REFUSED_CALL, UNPARSED, ErrorText
from pytest_fcpivot.calls.faults import Fault, fault_of
from pytest_fcpivot.core.answer_flags import flags_of
from pytest_fcpivot.core.errors import ReplyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.agents.openai.base import OpenAIAgent
    from pytest_fcpivot.agents.openai.quirks import Quirk


def _llama(message: str, status: int = 500, kind: str = "server_error") -> tuple[int, Any]:
    return status, {"error": {"code": status, "message": message, "type": kind}}


def _ollama(message: str) -> tuple[int, Any]:
    return 500, {"error": {"message": message, "type": "api_error", "param": None, "code": None}}


def _groq(message: str, **fields: Any) -> tuple[int, Any]:
    return 400, {
        "error": {"message": message, "type": "invalid_request_error", "code": "tool_use_failed", **fields},
        "request_id": "req_1",
    }


def _vllm(status: int, kind: str, message: str) -> tuple[int, Any]:
    return status, {"error": {"message": message, "type": kind, "param": None, "code": status}}


def _openrouter(status: int, body: Any) -> tuple[int, Any]:
    metadata = {"raw": json.dumps(body), "provider_name": "Groq"}
    return status, {"error": {"message": "Provider returned error", "code": status, "metadata": metadata}}


BROKEN = "<function=add{a: 1}"
CALL = '{"name": "add", "arguments": {\n  "a": 1\n}}'
# id: server, reply, the model's text as far as the reply has it
UNPARSED_REPLIES: dict[str, tuple[str, tuple[int, Any], str]] = {
    "llama.cpp": (
        "llama.cpp",
        _llama("The model produced output that does not match the expected peg-native format"),
        "",
    ),
    "llama.cpp for Gemma": (
        "llama.cpp",
        _llama("The model produced output that does not match the expected peg-gemma4 format"),
        "",
    ),
    "llama.cpp before": (
        "llama.cpp",
        _llama("Failed to parse input at pos 12: <tool_call>\n<function=add>\n</tool_call>"),
        "<tool_call>\n<function=add>\n</tool_call>",
    ),
    "Ollama": (
        "Ollama",
        _ollama("error parsing tool call: raw='{\"a\": 'one'}', err=invalid character '\\'' looking for beginning"),
        "{\"a\": 'one'}",
    ),
    "Ollama itself": (
        "Ollama",
        (500, {"error": "error parsing tool call: raw='ls -R\n', err=invalid character 'l' looking for beginning"}),
        "ls -R\n",
    ),
    "Ollama for Qwen": (
        "Ollama",
        _ollama("XML syntax error on line 8: element <function> closed by </parameter>"),
        "",
    ),
    "Ollama for GLM": (
        "Ollama",
        _ollama("failed to parse XML: XML syntax error on line 1: element <tool_call> closed by </arg_value>"),
        "",
    ),
    "Ollama for another element": (
        "Ollama",
        _ollama("expected element type <function> but have <parameter>"),
        "",
    ),
    "Groq": (
        "Groq",
        _groq(
            "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details.",
            failed_generation=BROKEN,
        ),
        BROKEN,
    ),
    "Groq in fewer words": (
        "Groq",
        _groq("Failed to call a function. Please adjust your prompt.", failed_generation=BROKEN),
        BROKEN,
    ),
    "Groq for gpt-oss": (
        "Groq",
        _groq("Failed to parse tool call arguments as JSON", failed_generation="import csv\nprint(1)"),
        "import csv\nprint(1)",
    ),
    "vLLM": (
        "vLLM",
        _vllm(
            400,
            "BadRequestError",
            "1 validation error for list[function-wrap[__log_extra_fields__()]]\n  Invalid JSON: EOF while parsing an "
            "object at line 3 column 3 [type=json_invalid, input_value='[ {', input_type=str]",
        ),
        "",
    ),
    "vLLM for gpt-oss": (
        "vLLM",
        _vllm(500, "InternalServerError", 'unexpected tokens remaining in message header: Some("to=functions.add")'),
        "",
    ),
    "vLLM for gpt-oss in a success": (
        "vLLM",
        (200, _vllm(400, "BadRequestError", 'unexpected tokens remaining in message header: Some("to=add")')[1]),
        "",
    ),
    "a gateway before Groq": (
        "Groq",
        _openrouter(400, _groq("Failed to call a function. Please adjust your prompt.", failed_generation=BROKEN)[1]),
        BROKEN,
    ),
    "Gemini": (
        "Gemini",
        (
            200,
            {
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "function_call_filter: MALFORMED_FUNCTION_CALL",
                        "message": {"role": "assistant"},
                    }
                ],
                "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
            },
        ),
        "",
    ),
    "OpenRouter": (
        "OpenRouter",
        (
            200,
            {
                "choices": [
                    {
                        "finish_reason": "error",
                        "native_finish_reason": "MALFORMED_FUNCTION_CALL",
                        "message": {"role": "assistant", "content": ""},
                    }
                ]
            },
        ),
        "",
    ),
}
REFUSED_REPLIES: dict[str, tuple[int, Any]] = {
    "in the form of Hermes": _groq(
        "tool call validation failed: parameters for tool add did not match schema: errors: [`/a`: expected string]",
        failed_generation=f"<tool_call>\n{CALL}\n</tool_call>",
    ),
    "in the form of Kimi": _groq(
        "tool call validation failed: parameters for tool add did not match schema: errors: [missing properties: 'b']",
        failed_generation="<|tool_calls_section_begin|><|tool_call_begin|>functions.add:48"
        '<|tool_call_argument_begin|>{"a": 1}<|tool_call_end|><|tool_calls_section_end|>',
    ),
    "tool choice": _groq("Tool choice is none, but model called a tool", failed_generation=CALL),
    "schema": _groq(
        "tool call validation failed: parameters for tool add did not match schema: errors: [`/a`: expected string]",
        failed_generation=f"[{CALL}]",
    ),
    "not on offer": _groq(
        "tool call validation failed: attempted to call tool 'add' which was not in request.tools",
        failed_generation=json.dumps({"tool_calls": [{"function": {"name": "add", "arguments": '{"a": 1}'}}]}),
    ),
}


HIDDEN = {
    "nothing": None,
    "empty": "",
    "another form": "add(a=1)",
    "cut off": '{"name": "add", "arguments": {"a": ',
    "no arguments": '{"name": "add"}',
    "arguments that are no JSON": '{"name": "add", "arguments": "{a: 1}"}',
    "null": '{"name": "add", "arguments": null}',
    "no name": '{"arguments": {}}',
    "text beside it": f"I shall call it. <tool_call>{CALL}</tool_call>",
    "a broken block": '<tool_call>{"name": "add", "arguments": {</tool_call>',
    "something else beside it": f"[{CALL}, 1]",
    "an empty list": "[]",
    "a number": "7",
}
HIDDEN_REPLIES = {
    name: _groq(
        "Tool choice is none, but model called a tool", **({} if shown is None else {"failed_generation": shown})
    )
    for name, shown in HIDDEN.items()
}
_HISTORY = "Failed to parse tool call arguments as JSON: [json.exception.parse_error.101] parse error at line 1"
HISTORY_REPLIES = {
    "history": _llama(_HISTORY),
    "history, as the request's fault": _llama(_HISTORY, 400, "invalid_request_error"),
}
OTHER_REPLIES: dict[str, tuple[int, Any]] = {
    "no format": _llama("The model produced output that does not match the expected format"),
    "more words": _llama("The model produced output that does not match the expected peg-native format, sorry"),
    "another status": _llama("The model produced output that does not match the expected peg-native format", 503),
    "another type": _llama("The model produced output that does not match the expected peg-native format", kind="x"),
    "parsed messages": _llama("Failed to parse messages"),
    "an outage": _llama("Compute error."),
    "no raw text": _ollama("error parsing tool call"),
    "no line": _ollama("XML syntax error"),
    "a text": (500, {"error": "XML syntax error on line 8: element <a> closed by </b>"}),
    "another outage": _ollama("llama runner process has terminated"),
    "no call": _groq("Tool choice is required, but model did not call a tool", failed_generation="Hello."),
    "another message": _groq("Something else", failed_generation=CALL),
    "another code": (400, {"error": {"message": "Failed to call a function. Please adjust your prompt.", "code": "x"}}),
    "no code": (400, {"error": {"message": "Failed to parse tool call arguments as JSON"}}),
    "the request": _vllm(400, "BadRequestError", "1 validation error for ChatCompletionRequest\n  Invalid JSON: EOF"),
    "another end": (
        200,
        {"choices": [{"finish_reason": "error", "native_finish_reason": "OTHER", "message": {"content": ""}}]},
    ),
}
TEXT_BESIDE = {
    "choices": [
        {
            "finish_reason": "function_call_filter: MALFORMED_FUNCTION_CALL",
            "message": {"role": "assistant", "content": "Hello."},
        }
    ]
}
RENAMED = "renamed"
REPLIES: dict[str, tuple[int, Any]] = {
    **{name: reply for name, (_, reply, _) in UNPARSED_REPLIES.items()},
    **REFUSED_REPLIES,
    **HIDDEN_REPLIES,
    **HISTORY_REPLIES,
    **OTHER_REPLIES,
    "text beside": (200, TEXT_BESIDE),
    RENAMED: _groq(
        "Tool choice is none, but model called a tool", failed_generation='{"name": "my_add", "arguments": {}}'
    ),
}


@pytest.fixture(scope="module")
def running() -> Iterator[ModelServer]:
    """Run one server for all tests here, which gives each reply to whoever says its name."""
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
def answers(running: ModelServer) -> dict[str, Any]:
    """Ask for each reply once; return what the agent returned, or raised, by the reply's name."""
    return _ask_for(running, ChatAgent, list(REPLIES))


def _ask_for(server: ModelServer, kind: type[OpenAIAgent], names: list[str]) -> dict[str, Any]:
    server.configure(
        faults=[
            {"kind": "reply", "match": f"<{name}>", "status": REPLIES[name][0], "body": json.dumps(REPLIES[name][1])}
            for name in names
        ]
    )
    agent = kind(model="m", base_url=server.url, api_key="none")

    async def ask() -> list[Any]:
        views = [view_of(f"say <{name}>", tool("my.add" if name == RENAMED else "add")) for name in names]
        try:
            return list(await asyncio.gather(*map(agent, views), return_exceptions=True))
        finally:
            await agent.aclose()

    found = dict(zip(names, asyncio.run(ask()), strict=True))
    assert server.stats()["requests"] == len(names)  # each was asked once
    return found


@pytest.mark.parametrize("name", UNPARSED_REPLIES)
def test_output_that_could_not_be_parsed(answers: dict[str, Any], name: str) -> None:
    """What a server could not parse is the model's answer, with its text where the reply has it."""
    server, (status, body), text = UNPARSED_REPLIES[name]
    output = answers[name]
    action = to_action(output)
    assert action == Action(malformed=text)
    assert flags_of(output, action) == ("malformed",)
    assert output["server"] == server
    assert output["reason"]
    assert output.get("usage") == (body.get("usage") if status == 200 else None)


@pytest.mark.parametrize("kind", [ResponsesAgent, PromptAgent])
def test_every_agent_reads_the_table(running: ModelServer, kind: type[OpenAIAgent]) -> None:
    """The same reply means the same whatever the API is that it came by."""
    assert to_action(_ask_for(running, kind, ["Groq"])["Groq"]) == Action(malformed=BROKEN)


@pytest.mark.parametrize("name", REFUSED_REPLIES)
def test_a_refused_call(answers: dict[str, Any], name: str) -> None:
    """A call that a server refuses, and shows as a whole, is that call."""
    action = to_action(answers[name])
    assert [(call.name, json.loads(call.arguments)) for call in action.calls] == [("add", {"a": 1})]
    assert flags_of(answers[name], action) == ("refused_call",)


def test_a_refused_call_has_the_pivots_own_name(answers: dict[str, Any]) -> None:
    """A tool whose name was sent in another form is called by its own."""
    assert to_action(answers[RENAMED]) == Action((FunctionCall("my.add", "{}"),))


@pytest.mark.parametrize("name", HIDDEN_REPLIES)
def test_a_refused_call_that_is_not_shown(answers: dict[str, Any], name: str) -> None:
    """A call that a reply does not show as a whole is an error of its own cause: nothing is made up."""
    assert isinstance(answers[name], ReplyError)
    assert "refused the model's call" in str(answers[name])
    assert fault_of(answers[name]) == Fault("call refused")


@pytest.mark.parametrize("name", HISTORY_REPLIES)
def test_a_refused_history(answers: dict[str, Any], name: str) -> None:
    """A refusal of the conversation is the row's fault: an error of its own cause, never the model's answer."""
    assert isinstance(answers[name], ReplyError)
    assert "the row's input has arguments that are not JSON" in str(answers[name])
    assert fault_of(answers[name]) == Fault("history refused")


@pytest.mark.parametrize("name", OTHER_REPLIES)
def test_what_is_not_in_the_table(answers: dict[str, Any], name: str) -> None:
    """Words that are alike are not enough: such a reply stays an error of the service."""
    assert isinstance(answers[name], openai.APIStatusError | ReplyError)
    fault = fault_of(answers[name])
    assert fault is None or fault.transient


def test_text_beside_a_malformed_call(answers: dict[str, Any]) -> None:
    """A completion with something to read is read, however it ended."""
    assert to_action(answers["text beside"]) == Action(message="Hello.")


def test_every_quirk_has_a_body_here() -> None:
    """No row of the table about the model's output is without a reply in the shape that its server sends."""
    shown = {by for by, _, _ in UNPARSED_REPLIES.values()}
    rows = [quirk for quirk in QUIRKS if quirk.fault in (UNPARSED, REFUSED_CALL, HISTORY)]
    assert {quirk.server for quirk in rows} == shown
    bodies = [reply[1]["error"] for _, reply, _ in UNPARSED_REPLIES.values() if "error" in reply[1]]
    bodies += [reply[1]["error"] for reply in REFUSED_REPLIES.values()]
    messages = [body if isinstance(body, str) else body["message"] for body in bodies]
    for quirk in rows:
        if isinstance(quirk.shown_by, ErrorText) and quirk.fault != HISTORY:
            pattern = quirk.shown_by.message
            assert any(pattern.fullmatch(message) for message in messages), quirk


@pytest.mark.parametrize("quirk", QUIRKS, ids=[f"{place} {quirk.server}" for place, quirk in enumerate(QUIRKS)])
def test_every_quirk_has_a_remedy(quirk: Quirk) -> None:
    """Each row of the table names what is done about it, and the module that does it."""
    module = quirk.remedy.rpartition("(")[2].rstrip(")").removesuffix(".py")
    assert importlib.util.find_spec(f"pytest_fcpivot.agents.openai.{module}") is not None
