"""The answers of other SDKs, made of their own classes, are graded as the plain dict of the same action is.

The SDKs come with the extra `clients`; where one is absent its tests are skipped.
"""

from __future__ import annotations

import json
import os
import warnings
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import Action, ActionError, FunctionCall, Pivot, grade, load_pivots, to_action
from pytest_fcpivot.agents import load_agent
from pytest_fcpivot.core.answer_flags import flags_of
from pytest_fcpivot.core.usage import Usage, usage_of
from pytest_fcpivot.runs.output import output_json

if TYPE_CHECKING:
    from collections.abc import Callable

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it is fetched from the network else
pytestmark = pytest.mark.filterwarnings("ignore")  # what the SDKs warn of is theirs


def sdk(name: str) -> Any:
    """Import a module of an SDK, or skip the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"{name} is not installed: pip install -e '.[test,clients]'")


def decoded(call: FunctionCall) -> Any:
    """Return a call's arguments as the SDKs hold them."""
    return json.loads(call.arguments)


def chat_message(action: Action) -> dict[str, Any]:
    """Write an action as a chat message."""
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for n, call in enumerate(action.calls)
    ]
    return {"role": "assistant", "content": action.message, "tool_calls": calls or None}


# -------------------------------------------------------------------- an action as each SDK's answer


def openai_response(action: Action) -> Any:
    """Make a Response."""
    items: list[dict[str, Any]] = [
        {"type": "function_call", "id": f"f{n}", "call_id": f"c{n}", "name": call.name, "arguments": call.arguments}
        for n, call in enumerate(action.calls)
    ]
    if action.message is not None:
        part = {"type": "output_text", "text": action.message, "annotations": []}
        items.append({"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]})
    head = {"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed", "tools": []}
    return sdk("openai.types.responses").Response.model_validate(
        {**head, "output": items, "parallel_tool_calls": True, "tool_choice": "auto"}
    )


def openai_completion(action: Action) -> Any:
    """Make a ChatCompletion."""
    choice = {"index": 0, "finish_reason": "stop", "message": chat_message(action)}
    return sdk("openai.types.chat").ChatCompletion.model_validate(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    )


def litellm_response(action: Action) -> Any:
    """Make LiteLLM's ModelResponse."""
    litellm = sdk("litellm")
    return litellm.ModelResponse(
        choices=[litellm.Choices(finish_reason="stop", message=litellm.Message(**chat_message(action)))]
    )


def litellm_choice(action: Action) -> Any:
    """Make LiteLLM's Choices, without what is around them."""
    return litellm_response(action).choices[0]


def anthropic_message(action: Action) -> Any:
    """Make a Message of Anthropic's, with a thought and some text before its calls."""
    blocks: list[dict[str, Any]] = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]
    blocks.append({"type": "text", "text": "One moment." if action.message is None else action.message})
    blocks += [
        {"type": "tool_use", "id": f"t{n}", "name": call.name, "input": decoded(call)}
        for n, call in enumerate(action.calls)
    ]
    return sdk("anthropic.types").Message.model_validate(
        {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": blocks,
            "stop_reason": "tool_use" if action.calls else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 7, "output_tokens": 5, "cache_read_input_tokens": 3},
        }
    )


def anthropic_blocks(action: Action) -> Any:
    """Return the blocks of a Message of Anthropic's."""
    return anthropic_message(action).content


def langchain_message(action: Action) -> Any:
    """Make an AIMessage; LangChain holds the arguments that it could not decode as invalid calls."""
    calls = [{"name": call.name, "args": decoded(call), "id": f"c{n}"} for n, call in enumerate(action.calls)]
    return sdk("langchain_core.messages").AIMessage(content=action.message or "", tool_calls=calls)


def langchain_chunks(action: Action) -> Any:
    """Make an AIMessageChunk by adding up the pieces of a stream."""
    chunk = partial(sdk("langchain_core.messages").AIMessageChunk, content="")
    whole = chunk(content=action.message or "")
    for n, call in enumerate(action.calls):
        middle = len(call.arguments) // 2
        for name, piece in ((call.name, call.arguments[:middle]), (None, call.arguments[middle:])):
            part = {"name": name, "args": piece, "id": f"c{n}" if name else None, "index": n}
            whole += chunk(tool_call_chunks=[part])
    return whole


def langchain_dump(action: Action) -> Any:
    """Return an AIMessage as a dict."""
    return langchain_message(action).model_dump()


def langchain_serialized(action: Action) -> Any:
    """Return an AIMessage in LangChain's own serialized form."""
    return sdk("langchain_core.load").dumpd(langchain_message(action))


def langchain_stored(action: Action) -> Any:
    """Return an AIMessage as LangChain's histories store it."""
    return sdk("langchain_core.messages").messages_to_dict([langchain_message(action)])[0]


@cache
def graph() -> tuple[Any, list[Any]]:
    """Build a graph of one node, which answers with what stands in the list."""
    langgraph = sdk("langgraph.graph")
    answers: list[Any] = []
    builder = langgraph.StateGraph(langgraph.MessagesState)
    builder.add_node("model", lambda _: {"messages": [answers[-1]]})
    builder.add_edge(langgraph.START, "model")
    return builder.compile(), answers


def langgraph_state(action: Action) -> Any:
    """Run a graph, and return the state that it ends in."""
    compiled, answers = graph()
    answers.append(langchain_message(action))
    return compiled.invoke({"messages": [{"role": "user", "content": "Hello"}]})


def pydantic_ai_response(action: Action) -> Any:
    """Make pydantic-ai's ModelResponse."""
    messages = sdk("pydantic_ai.messages")
    parts = [messages.ThinkingPart(content="Hm.")]
    parts += [] if action.message is None else [messages.TextPart(content=action.message)]
    parts += [messages.ToolCallPart(tool_name=call.name, args=decoded(call)) for call in action.calls]
    return messages.ModelResponse(parts=parts)


def pydantic_ai_run(action: Action) -> Any:
    """Run an agent of pydantic-ai's that leaves its tools to the caller."""
    pydantic_ai, tools = sdk("pydantic_ai"), sdk("pydantic_ai.tools")
    function = sdk("pydantic_ai.models.function")
    offered = [
        tools.ToolDefinition(name=name, parameters_json_schema={"type": "object"})
        for name in dict.fromkeys(call.name for call in action.calls)
    ]
    agent = pydantic_ai.Agent(
        function.FunctionModel(lambda *_: pydantic_ai_response(action)),
        toolsets=[sdk("pydantic_ai.toolsets").ExternalToolset(offered)],
        output_type=[str, pydantic_ai.DeferredToolRequests],
    )
    return agent.run_sync("Hello")


def gemini_response(action: Action) -> Any:
    """Make google-genai's GenerateContentResponse, with a thought before the answer."""
    types = sdk("google.genai.types")
    parts = [types.Part(text="Hm.", thought=True)]
    parts += [] if action.message is None else [types.Part(text=action.message)]
    parts += [types.Part(function_call=types.FunctionCall(name=call.name, args=decoded(call))) for call in action.calls]
    candidate = types.Candidate(content=types.Content(role="model", parts=parts), finish_reason="STOP")
    return types.GenerateContentResponse(candidates=[candidate])


def gemini_json(action: Action) -> Any:
    """Return a response of Gemini's as its server writes it."""
    return gemini_response(action).model_dump(mode="json", by_alias=True, exclude_none=True)


def gemini_content(action: Action) -> Any:
    """Return the content of a response of Gemini's."""
    return gemini_response(action).candidates[0].content


def gemini_parts(action: Action) -> Any:
    """Return the parts of a response of Gemini's."""
    return gemini_content(action).parts


def ollama_response(action: Action) -> Any:
    """Make Ollama's ChatResponse."""
    ollama = sdk("ollama")
    calls = [{"function": {"name": call.name, "arguments": decoded(call)}} for call in action.calls]
    message = ollama.Message(role="assistant", content=action.message or "", tool_calls=calls or None)
    return ollama.ChatResponse(model="m", done=True, done_reason="stop", message=message)


@cache
def bedrock() -> tuple[Any, Any]:
    """Make botocore's client, with a stub that checks what it is given against the service's own description."""
    session = sdk("botocore.session").get_session()
    client = session.create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",  # noqa: S106 (nothing is sent)
    )
    return client, sdk("botocore.stub").Stubber(client)


def bedrock_converse(action: Action) -> Any:
    """Return what botocore gives for Converse."""
    blocks: list[dict[str, Any]] = [] if action.message is None else [{"text": action.message}]
    blocks += [
        {"toolUse": {"toolUseId": f"t{n}", "name": call.name, "input": decoded(call)}}
        for n, call in enumerate(action.calls)
    ]
    client, stub = bedrock()
    answer = {
        "output": {"message": {"role": "assistant", "content": blocks}},
        "stopReason": "tool_use" if action.calls else "end_turn",
        "usage": {"inputTokens": 7, "outputTokens": 5, "totalTokens": 12},
        "metrics": {"latencyMs": 1},
    }
    with stub:
        stub.add_response("converse", answer)
        return client.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "Hello"}]}])


ANSWERS: list[Callable[[Action], Any]] = [
    openai_response,
    openai_completion,
    litellm_response,
    litellm_choice,
    anthropic_message,
    anthropic_blocks,
    langchain_message,
    langchain_chunks,
    langchain_dump,
    langchain_serialized,
    langchain_stored,
    langgraph_state,
    pydantic_ai_response,
    pydantic_ai_run,
    gemini_response,
    gemini_json,
    gemini_content,
    gemini_parts,
    ollama_response,
    bedrock_converse,
]


# -------------------------------------------------------------------- graded alike


@cache
def answered() -> list[tuple[Pivot, Action]]:
    """Return the pivots of the sample with the expert's action, with a changed one, and with the baseline's."""
    baseline = load_agent("baseline", [])
    found = []
    for pivot in load_pivots("sample"):
        expected = pivot.expected_action
        wrong = Action(tuple(FunctionCall(call.name, {**decoded(call), "more": 1}) for call in expected.calls))
        found += [(pivot, expected), (pivot, wrong if expected.calls else Action(message="Something else."))]
        found.append((pivot, to_action(baseline(pivot.view()))))
    return found


def plain(action: Action) -> Any:
    """Write an action as plain data."""
    return action.message if not action.calls else [{"name": c.name, "arguments": c.arguments} for c in action.calls]


@pytest.mark.parametrize("make", ANSWERS, ids=lambda make: make.__name__)
def test_the_sample_is_graded_as_from_plain_data(make: Callable[[Action], Any]) -> None:
    """Right and wrong answers at all 314 pivots earn the same reward and category, also after they were stored."""
    right = 0
    for pivot, action in answered():
        answer = make(action)
        wanted = grade(pivot, plain(action))
        assert grade(pivot, answer) == wanted
        if action is pivot.expected_action:
            assert grade(pivot, json.loads(output_json(answer))) == wanted
            right += wanted.reward == 1.0
    assert right == len(answered()) // 3 == 314


@pytest.mark.parametrize("make", ANSWERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize(
    "action",
    [
        Action((FunctionCall("find", '{"n": 1}'), FunctionCall("find", '{"n": 2}'))),
        Action((FunctionCall("find", "{}"),)),
        Action(message="Hello\nthere"),
    ],
    ids=["two calls", "no arguments", "message"],
)
def test_an_action_comes_back(make: Callable[[Action], Any], action: Action) -> None:
    """Several calls keep their order, and an empty object stays one."""
    answer = make(action)
    read = to_action(answer)
    assert read.message == action.message
    assert [(call.name, decoded(call)) for call in read.calls] == [(c.name, decoded(c)) for c in action.calls]
    assert flags_of(answer, read) == ()


# -------------------------------------------------------------------- what each has of its own


def test_invalid_calls_of_langchain() -> None:
    """A call that LangChain could not decode is a call with its raw text, in the place that the server gave it."""
    raw = [
        {"id": "a", "type": "function", "function": {"name": "find", "arguments": "{oops"}},
        {"id": "b", "type": "function", "function": {"name": "find", "arguments": '{"n": 1}'}},
    ]
    message = sdk("langchain_core.messages").AIMessage(content="", additional_kwargs={"tool_calls": raw})
    assert len(message.invalid_tool_calls) == len(message.tool_calls) == 1
    calls = (FunctionCall("find", "{oops"), FunctionCall("find", '{"n": 1}'))
    assert to_action(message) == Action(calls)
    assert to_action(json.loads(output_json(message))) == Action(calls)


def test_a_stream_that_broke_off() -> None:
    """Arguments that LangChain completed by guessing are graded as the text that the model wrote."""
    part = {"name": "find", "args": '{"city": "Ly', "id": "a", "index": 0}
    chunk = sdk("langchain_core.messages").AIMessageChunk(content="", tool_call_chunks=[part])
    assert chunk.tool_calls[0]["args"] == {"city": "Ly"}
    assert to_action(chunk) == Action((FunctionCall("find", '{"city": "Ly'),))


def test_messages_of_others_in_langchain() -> None:
    """A message of the user or of a tool is refused, and so is a state that ends with one."""
    messages = sdk("langchain_core.messages")
    said, result = messages.HumanMessage("Hello"), messages.ToolMessage("42", tool_call_id="a")
    for output, role in ((said, "user"), (result, "tool"), ({"messages": [said]}, "user"), ([said], "user")):
        with pytest.raises(ActionError, match=f"{role} message"):
            to_action(output)


def test_a_run_of_pydantic_ai_that_went_on() -> None:
    """A run that used a tool itself is refused: its output is not the action at the pivot."""
    pydantic_ai, messages = sdk("pydantic_ai"), sdk("pydantic_ai.messages")
    answers = [messages.ToolCallPart(tool_name="find", args={}), messages.TextPart(content="Found.")]
    model = sdk("pydantic_ai.models.function").FunctionModel(
        lambda history, _: messages.ModelResponse(parts=[answers[len(history) // 2]])
    )
    run = pydantic_ai.Agent(model, tools=[pydantic_ai.Tool(lambda: "42", name="find")]).run_sync("Hello")
    assert run.output == "Found."
    with pytest.raises(ActionError, match="2 answers of the model"):
        to_action(run)


def _cut_off() -> list[Any]:
    said = Action(message="I have booked the")
    chat = openai_completion(said)
    chat.choices[0].finish_reason = "length"
    response = openai_response(said)
    response.status = "incomplete"
    anthropic = anthropic_message(said)
    anthropic.stop_reason = "max_tokens"
    langchain = langchain_message(said)
    langchain.response_metadata = {"finish_reason": "length"}
    gemini = gemini_response(said)
    gemini.candidates[0].finish_reason = sdk("google.genai.types").FinishReason.MAX_TOKENS
    ollama = ollama_response(said)
    ollama.done_reason = "length"
    pydantic_ai = pydantic_ai_response(said)
    pydantic_ai.finish_reason = "length"
    return [
        chat,
        response,
        anthropic,
        langchain,
        gemini,
        ollama,
        pydantic_ai,
        bedrock_converse(said) | {"stopReason": "max_tokens"},
    ]


@pytest.mark.parametrize("which", range(8))
def test_cut_off_answers(which: int) -> None:
    """That an answer was cut off is known by each SDK's own reason, also after it was stored."""
    answer = _cut_off()[which]
    stored = json.loads(output_json(answer))
    for output in (answer, stored):
        action = to_action(output)
        assert action == Action(message="I have booked the")
        assert flags_of(output, action) == ("cut_off",)


def _nothing() -> list[Any]:
    empty = Action()
    gemini = gemini_response(empty)
    gemini.candidates[0].content = None
    gemini.candidates[0].finish_reason = "SAFETY"
    anthropic = anthropic_message(empty)
    anthropic.content = anthropic.content[:1]
    return [
        openai_response(empty),
        openai_completion(empty),
        litellm_response(empty),
        anthropic,
        langchain_message(empty),
        pydantic_ai_response(empty),
        gemini_response(empty),
        gemini,
        ollama_response(empty),
        bedrock_converse(empty),
    ]


@pytest.mark.parametrize("which", range(10))
def test_answers_with_nothing_in_them(which: int) -> None:
    """An answer of thoughts alone, or of nothing, is no action: neither a message nor an error."""
    answer = _nothing()[which]
    assert to_action(answer) == Action()
    assert to_action(json.loads(output_json(answer))) == Action()
    assert grade({"type": "message", "content": "Hello"}, answer).category == "NO_ACTION_FOUND"


def test_tokens() -> None:
    """The tokens of an answer are counted under each SDK's own names."""
    said = Action(message="Hello")
    types = sdk("google.genai.types")
    counts = {"prompt_token_count": 7, "candidates_token_count": 5, "thoughts_token_count": 2}
    gemini = gemini_response(said)
    gemini.usage_metadata = types.GenerateContentResponseUsageMetadata(**counts)
    langchain = langchain_message(said)
    langchain.usage_metadata = {
        "input_tokens": 7,
        "output_tokens": 5,
        "total_tokens": 12,
        "input_token_details": {"cache_read": 3},
    }
    response = pydantic_ai_response(said)
    response.usage = sdk("pydantic_ai.usage").RequestUsage(input_tokens=7, output_tokens=5, cache_read_tokens=3)
    ollama = ollama_response(said)
    ollama.prompt_eval_count, ollama.eval_count = 7, 5
    wanted = [
        (anthropic_message(said), Usage(10, 3, 5)),  # whose input does not count what came from the cache
        (langchain, Usage(7, 3, 5)),
        ({"messages": [langchain]}, Usage(7, 3, 5)),
        (response, Usage(7, 3, 5)),
        (gemini, Usage(7, 0, 7, 2)),
        (ollama, Usage(7, 0, 5)),
        (bedrock_converse(said), Usage(7, 0, 5)),
    ]
    for answer, usage in wanted:
        assert usage_of(answer) == usage
        assert usage_of(json.loads(output_json(answer))) == usage


def test_a_malformed_call_of_gemini() -> None:
    """A call that Gemini's server could not parse is the model's output, with what the server tells of it."""
    gemini = gemini_response(Action())
    gemini.candidates[0].content = None
    gemini.candidates[0].finish_reason = "MALFORMED_FUNCTION_CALL"
    gemini.candidates[0].finish_message = "Malformed function call: find(n="
    for output in (gemini, json.loads(output_json(gemini))):
        action = to_action(output)
        assert action == Action(malformed="Malformed function call: find(n=")
        assert flags_of(output, action) == ("malformed",)
