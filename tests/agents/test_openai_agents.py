"""Agents for OpenAI endpoints, against a server that checks requests the way real ones do."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import openai
import pytest
from served import ModelServer, ask, ask_all, tool, view_of

from pytest_fcpivot import Action, AgentError, FunctionCall, load_pivots, to_action
from pytest_fcpivot.agents.openai import (
    OPENAI_AGENTS,
    ChatAgent,
    OpenAISettings,
    PromptAgent,
    ResponsesAgent,
)
from pytest_fcpivot.agents.openai.connection import MOST_BYTES
from pytest_fcpivot.calls.faults import Fault, fault_of
from pytest_fcpivot.core.errors import ReplyError, TransientAgentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.agents.openai.base import OpenAIAgent

ADD = tool("add", description=None)
EVERY = pytest.mark.parametrize("kind", OPENAI_AGENTS.values(), ids=OPENAI_AGENTS)
WITH_TOOLS = pytest.mark.parametrize("kind", [ResponsesAgent, ChatAgent])


@pytest.fixture(scope="module")
def running() -> Iterator[ModelServer]:
    """Run one server for all tests here."""
    with ModelServer() as server:
        yield server


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own settings of the client out of the tests."""
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def server(running: ModelServer) -> ModelServer:
    """Return the server as it is by default, keeping requests."""
    running.configure(keep_bodies=400)
    return running


def sent(server: ModelServer) -> dict[str, Any]:
    """Return the body of the latest request."""
    body: dict[str, Any] = server.stats()["bodies"][-1]
    return body


@EVERY
class TestAnswers:
    """What comes back of a call."""

    @pytest.mark.parametrize(
        ("text", "action"),
        [
            ("say hello", Action(message="hello")),
            ('call add {"a": 1}', Action((FunctionCall("add", '{"a": 1}'),))),
            ("call add {} & call add {}", Action((FunctionCall("add"), FunctionCall("add")))),
        ],
    )
    def test_action(self, kind: type[OpenAIAgent], server: ModelServer, text: str, action: Action) -> None:
        """An answer is a plain dict that reads as the model's action."""
        answer = ask(kind(model="m", base_url=server.url), view_of(text, ADD))
        assert type(answer) is dict
        assert to_action(answer) == action
        assert answer["usage"]

    def test_sample(self, kind: type[OpenAIAgent], server: ModelServer) -> None:
        """Every pivot of the bundled sample is accepted, many at a time."""
        server.configure(latency={"seconds": 0.01})
        views = [pivot.view() for pivot in load_pivots()]
        agent = kind(model="m", base_url=server.url)
        assert len(ask_all(agent, views)) == len(views) == 314
        assert server.stats()["statuses"] == {"200": 314}
        assert server.stats()["max_in_flight"] > 8

    def test_no_tools(self, kind: type[OpenAIAgent], server: ModelServer) -> None:
        """A pivot without tools sends nothing about tools."""
        agent = kind(model="m", base_url=server.url, tool_choice="required", parallel_tool_calls=True)
        ask(agent, view_of("say hi", tool_choice="auto", parallel_tool_calls=False))
        assert sent(server).keys().isdisjoint({"tools", "tool_choice", "parallel_tool_calls"})

    def test_view_unchanged(self, kind: type[OpenAIAgent], server: ModelServer) -> None:
        """A pivot can be asked again: its view is left as it was."""
        view = view_of("say hi", tool("a.b"), tool("a.b"), tool_choice={"type": "function", "name": "a.b"})
        agent = kind(model="m", base_url=server.url)
        ask(agent, view)
        first = sent(server)
        ask(agent, view)
        assert sent(server) == first
        assert view.tools == [tool("a.b"), tool("a.b")]

    def test_lone_surrogate(self, kind: type[OpenAIAgent], server: ModelServer) -> None:
        """Half of a surrogate pair in a conversation is sent as a replacement character."""
        answer = ask(kind(model="m", base_url=server.url), view_of("say \ud83d"))
        assert to_action(answer) == Action(message="\ufffd")

    def test_message_tool(self, kind: type[OpenAIAgent], server: ModelServer) -> None:
        """With the message tool a call is required, and a call of it reads as a message."""
        agent = kind(model="m", base_url=server.url, message_tool=True)
        assert to_action(ask(agent, view_of('call submit_message {"message": "hi"}', ADD))) == Action(message="hi")
        assert "submit_message" in json.dumps(sent(server))
        assert "required" in json.dumps(sent(server)) or "must call" in json.dumps(sent(server))

    def test_own_message_tool(self, kind: type[OpenAIAgent], server: ModelServer) -> None:
        """A pivot's own tool of that name is left alone, and nothing is required."""
        own = tool("submit_message", description="Its own")
        ask(kind(model="m", base_url=server.url, message_tool=True), view_of("say hi", own))
        text = json.dumps(sent(server))
        assert "Its own" in text
        assert "Send a message to the user" not in text
        assert "tool_choice" not in text
        assert "must call" not in text

    def test_two_loops(self, kind: type[OpenAIAgent], server: ModelServer) -> None:
        """An agent can be used in one event loop after the other, closed or not."""
        agent = kind(model="m", base_url=server.url)

        async def use() -> None:
            await agent(view_of("say hi"))
            await agent.aclose()
            await agent(view_of("say hi"))
            await agent.aclose()
            await agent.aclose()

        asyncio.run(use())
        asyncio.run(use())
        assert server.stats()["statuses"] == {"200": 4}


@EVERY
class TestFaults:
    """What is raised when there is no answer to grade."""

    @pytest.mark.parametrize(
        ("fault", "cause", "message"),
        [
            ("html", "invalid answer", r"http://127\S+/(responses|chat/completions) .*'<!DOCTYPE html> <html>"),
            ("invalid_json", "invalid answer", "something other than a JSON object"),
        ],
    )
    def test_not_an_answer(
        self, kind: type[OpenAIAgent], server: ModelServer, fault: str, cause: str, message: str
    ) -> None:
        """A success that is not a JSON object may be better next time; the message shows how it begins."""
        server.configure(faults=[{"kind": fault}])
        with pytest.raises(TransientAgentError, match=message) as caught:
            ask(kind(model="m", base_url=server.url), view_of("say hi"))
        assert caught.value.cause == cause

    def test_timeout(self, kind: type[OpenAIAgent], server: ModelServer) -> None:
        """The time limit of a request is the settings'."""
        server.configure(faults=[{"kind": "hang"}])
        with pytest.raises(openai.APITimeoutError):
            ask(kind(model="m", base_url=server.url, request_timeout=0.05), view_of("say hi"))

    def test_key_refused(self, kind: type[OpenAIAgent], server: ModelServer) -> None:
        """The key is sent as the server wants it, and a wrong one is the server's to refuse."""
        server.configure(key="right")
        assert ask(kind(model="m", base_url=server.url, api_key="right"), view_of("say hi"))
        with pytest.raises(openai.AuthenticationError):
            ask(kind(model="m", base_url=server.url, api_key="wrong"), view_of("say hi"))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 429, 500, 503, 529])
def test_status(server: ModelServer, status: int) -> None:
    """A status is raised as the client's own exception, after one request."""
    server.configure(faults=[{"kind": str(status), "retry_after": 7}])
    with pytest.raises(openai.APIStatusError) as caught:
        ask(ResponsesAgent(model="m", base_url=server.url), view_of("say hi"))
    assert caught.value.status_code == status
    assert caught.value.response.headers["retry-after"] == "7"
    assert server.stats()["requests"] == 1


@pytest.mark.parametrize("fault", ["reset", "reset_mid_body", "truncate"])
def test_connection(server: ModelServer, fault: str) -> None:
    """A broken connection is raised as the client's own exception, after one request."""
    server.configure(faults=[{"kind": fault}])
    with pytest.raises(openai.APIConnectionError):
        ask(ChatAgent(model="m", base_url=server.url), view_of("say hi"))
    assert server.stats()["requests"] == 1


def test_failed_response(server: ModelServer) -> None:
    """A failed Response is an outage, with the server's words."""
    server.configure(faults=[{"kind": "failed", "message": "The engine stopped."}])
    with pytest.raises(ReplyError, match=r"status failed: The engine stopped\.") as caught:
        ask(ResponsesAgent(model="m", base_url=server.url), view_of("say hi"))
    assert fault_of(caught.value) == Fault("server error", transient=True)


@pytest.mark.parametrize("kind", [ChatAgent, PromptAgent])
def test_empty_choices(server: ModelServer, kind: type[ChatAgent]) -> None:
    """A completion without choices is no answer."""
    server.configure(faults=[{"kind": "empty_choices"}])
    with pytest.raises(TransientAgentError, match="no choices") as caught:
        ask(kind(model="m", base_url=server.url), view_of("say hi"))
    assert caught.value.cause == "empty answer"


@contextmanager
def serving(
    body: str | bytes, *, repeat: int = 1, status: int = 200, told: bool = True, encoding: str = "identity"
) -> Iterator[str]:
    """Serve one fixed body, so many times over, for answers that the model server never gives.

    Without being told its length, the client knows its end by that of the connection.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            length = int(re.findall(rb"(?i)content-length: (\d+)", head)[0])
            rest = head.partition(b"\r\n\r\n")[2]
            while len(rest) < length:
                rest += connection.recv(65536)
            raw = body.encode() if isinstance(body, str) else body
            length_line = b"content-length: %d\r\n" % (len(raw) * repeat) if told else b""
            with suppress(ConnectionError):  # the client may have read enough
                head_line = b"HTTP/1.1 %d OK\r\nconnection: close\r\ncontent-encoding: %b\r\n%b\r\n"
                connection.sendall(head_line % (status, encoding.encode(), length_line))
                for _ in range(repeat):
                    connection.sendall(raw)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        thread.join()
        listener.close()


@pytest.mark.parametrize(
    ("kind", "body", "cause", "message"),
    [
        (ResponsesAgent, "{}", "empty answer", "no output"),
        (ResponsesAgent, "", "invalid answer", "''"),
        (ResponsesAgent, "[1]", "invalid answer", "something other than a JSON object"),
        (ResponsesAgent, '{"status": "cancelled", "output": []}', "server error", "status cancelled: no reason given"),
        (ResponsesAgent, '{"error": {"message": "Over quota"}}', "server error", "successful reply: Over quota"),
        (ChatAgent, '{"error": "busy"}', "server error", "successful reply: busy"),
        (ChatAgent, '{"error": {"reason": "gone"}}', "server error", "gone"),
        (ChatAgent, '{"choices": null}', "empty answer", "no choices"),
        (ChatAgent, '{"choices": null, "base_resp": {"status_msg": "login fail"}}', "empty answer", "login fail"),
        (ChatAgent, '{"success": false, "message": "busy"}', "server error", "successful reply: busy"),
        (ResponsesAgent, '{"detail": "Not authenticated"}', "server error", "Not authenticated"),
        (ChatAgent, '{"choices": [{"finish_reason": "stop"}]}', "empty answer", "no message"),
        (PromptAgent, '{"choices": [null]}', "empty answer", "no message"),
        (ChatAgent, "[" * 100_000, "invalid answer", r"\[\[\["),
    ],
)
def test_odd_bodies(kind: type[OpenAIAgent], body: str, cause: str, message: str) -> None:
    """A success without an answer may be better next time; its cause has a name."""
    with serving(body) as url, pytest.raises(TransientAgentError, match=message) as caught:
        ask(kind(model="m", base_url=url), view_of("say hi"))
    assert caught.value.cause == cause


RATE_LIMIT = Fault("rate limit", transient=True, too_much=True)
LOST = {"code": 502, "message": "provider disconnected"}
EMPTY = {"role": "assistant", "content": ""}


@pytest.mark.parametrize(
    ("kind", "body", "fault"),
    [
        (ChatAgent, {"error": {"code": 502}}, Fault("server error", transient=True)),
        (ChatAgent, {"error": {"message": "slow down", "code": 429}}, RATE_LIMIT),
        (ChatAgent, [{"error": {"message": "slow down", "status": "RESOURCE_EXHAUSTED"}}], RATE_LIMIT),
        (ChatAgent, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, RATE_LIMIT),
        (ChatAgent, {"error": {"message": "no credentials", "code": "401"}}, Fault("no access", fatal=True)),
        (ChatAgent, {"error": {"message": "no", "type": "authentication_error"}}, Fault("no access", fatal=True)),
        (ChatAgent, {"error": {"message": "pay", "code": 402}}, Fault("out of quota", fatal=True)),
        (ChatAgent, {"error": {"message": "no", "type": "insufficient_quota"}}, Fault("out of quota", fatal=True)),
        (ChatAgent, {"code": 401, "msg": "no such key"}, Fault("no access", fatal=True)),
        (ChatAgent, {"error": {"message": "bad", "type": "invalid_request_error"}}, None),
        (ChatAgent, {"object": "error", "message": "bad", "type": "BadRequestError", "code": 400}, None),
        (
            ResponsesAgent,
            {"status": "failed", "output": [], "error": {"code": "rate_limit_exceeded", "message": "slow down"}},
            RATE_LIMIT,
        ),
        (
            PromptAgent,
            {"choices": [{"finish_reason": "error", "error": LOST, "message": EMPTY}]},
            Fault("server error", transient=True),
        ),
        (
            ChatAgent,
            {"choices": [{"finish_reason": "error", "message": {"content": "half of"}}]},
            Fault("server error", transient=True),
        ),
        (
            ChatAgent,
            {"choices": [{"finish_reason": "stop", "error": {"code": 429}, "message": EMPTY}]},
            RATE_LIMIT,
        ),
    ],
)
def test_an_error_inside_a_success(kind: type[OpenAIAgent], body: Any, fault: Fault | None) -> None:
    """An error in a reply of success, or in a choice, means what it would with the status that it names."""
    with serving(json.dumps(body)) as url, pytest.raises(ReplyError, match="answered with") as caught:
        ask(kind(model="m", base_url=url), view_of("say hi"))
    assert fault_of(caught.value) == fault


@pytest.mark.parametrize("error", [None, {}, "", {"message": None, "code": None}, {"message": "", "code": 0}])
def test_an_error_with_nothing_in_it(error: Any) -> None:
    """A field for errors that has nothing in it does not make an error of an answer, nor of what a user returns."""
    message = {"role": "assistant", "content": "Hi"}
    body = {"choices": [{"finish_reason": "stop", "error": error, "message": message}], "error": error}
    with serving(json.dumps(body)) as url:
        answer = ask(ChatAgent(model="m", base_url=url), view_of("say hi"))
    assert to_action(answer) == Action(message="Hi")


def test_an_error_inside_a_success_tells_how_long_to_wait(server: ModelServer) -> None:
    """The headers of such a reply count as those of any refusal do."""
    body = json.dumps({"error": {"message": "slow down", "code": 429}})
    server.configure(faults=[{"kind": "reply", "body": body, "headers": {"retry-after": "7"}}])
    with pytest.raises(ReplyError) as caught:
        ask(ChatAgent(model="m", base_url=server.url), view_of("say hi"))
    fault = fault_of(caught.value)
    assert fault is not None
    assert fault.retry_after == 7


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-8", "utf-16"])
def test_utf_8(server: ModelServer, charset: str, mark: str) -> None:
    """JSON is UTF-8 whatever the reply's header says, with a byte order mark or without."""
    text = "Café — 席"
    body = mark + json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}, ensure_ascii=False)
    headers = {"content-type": f"application/json; charset={charset}"}
    server.configure(faults=[{"kind": "reply", "body": body, "headers": headers}])
    answer = ask(ChatAgent(model="m", base_url=server.url), view_of("say hi"))
    assert to_action(answer) == Action(message=text)


@pytest.mark.parametrize("kind", [ChatAgent, ResponsesAgent])
def test_an_event_stream(server: ModelServer, kind: type[OpenAIAgent]) -> None:
    """A server that streams although it is told not to is told so, and not asked again."""
    body = 'event: response.created\ndata: {"type": "response.created"}\n\n'
    server.configure(faults=[{"kind": "reply", "body": body, "headers": {"content-type": "text/event-stream"}}])
    with pytest.raises(ReplyError, match="a stream of events, although the request says stream: false") as caught:
        ask(kind(model="m", base_url=server.url), view_of("say hi"))
    assert fault_of(caught.value) == Fault("event stream")


@pytest.mark.parametrize(("status", "told"), [(200, True), (500, True), (200, False)])
def test_a_huge_reply(status: int, told: bool) -> None:
    """A reply that is larger than any answer is not read to its end, and the error names its size."""
    with serving(b" " * (1 << 20), repeat=100, status=status, told=told) as url, pytest.raises(ReplyError) as caught:
        ask(ChatAgent(model="m", base_url=url), view_of("say hi"))
    size = "104,857,600 bytes" if told else f"more than {MOST_BYTES:,} bytes"
    assert f"sent a reply of {size}; no more than 64 MiB are read" in str(caught.value)
    assert fault_of(caught.value) == Fault("reply too large")


def test_a_packed_reply() -> None:
    """A packed reply is read, bounded by its size unpacked, and worth another attempt if it cannot be unpacked."""
    answer = json.dumps({"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}).encode()
    with serving(gzip.compress(answer), encoding="gzip") as url:
        assert to_action(ask(ChatAgent(model="m", base_url=url), view_of("say hi"))) == Action(message="Hi")
    huge = gzip.compress(b" " * (MOST_BYTES + 1), 1)
    with serving(huge, encoding="gzip") as url, pytest.raises(ReplyError, match="more than 67,108,864 bytes") as caught:
        ask(ChatAgent(model="m", base_url=url), view_of("say hi"))
    assert fault_of(caught.value) == Fault("reply too large")
    with serving(answer, encoding="gzip") as url, pytest.raises(openai.APIConnectionError) as broken:
        ask(ChatAgent(model="m", base_url=url), view_of("say hi"))
    assert (fault_of(broken.value) or Fault("")).transient


@pytest.mark.parametrize(
    ("extra", "message"),
    [({"stream": True}, "stream must be false"), ({"n": 2}, "n must be 1, not 2"), ({"n": "1"}, "n must be 1")],
)
def test_fields_that_ask_for_another_kind_of_reply(extra: dict[str, Any], message: str) -> None:
    """What would make a reply other than one answer in one piece is refused when the agent is made."""
    with pytest.raises(AgentError, match=f"--fc-extra-body: {message}"):
        ChatAgent(model="m", base_url="http://127.0.0.1:1/v1", extra_body=extra)
    assert ChatAgent(model="m", base_url="http://127.0.0.1:1/v1", extra_body={"stream": False, "n": 1})


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ResponsesAgent, {"status": "incomplete", "output": [], "error": None}),
        (ChatAgent, {"choices": [{"finish_reason": "length", "message": {"content": ""}}], "error": None}),
        (ChatAgent, {"choices": [{"message": {"tool_calls": [None, {"function": None}], "content": None}}]}),
    ],
)
def test_cut_answers(kind: type[OpenAIAgent], body: dict[str, Any]) -> None:
    """An answer that was cut off, or is odd, is the model's and comes back as it is."""
    with serving(json.dumps(body)) as url:
        assert ask(kind(model="m", base_url=url), view_of("say hi", "a.b")) == body


def test_prompt_keeps_native_calls() -> None:
    """Calls that a server reads by itself are kept, and nothing is read from a message without text."""
    message = {"content": None, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]}
    with serving(json.dumps({"choices": [{"message": message}]})) as url:
        answer = ask(PromptAgent(model="m", base_url=url), view_of("Hi", "f"))
    assert answer["choices"][0]["message"] == {**message, "raw_content": None}


class TestRequests:
    """What settings become in each API."""

    def test_plain(self, server: ModelServer) -> None:
        """Without settings only what is needed is sent; a Response is never stored."""
        view = view_of("say hi", ADD, parallel_tool_calls=False, temperature=1, max_output_tokens=9, model="expert")
        ask(ResponsesAgent(model="m", base_url=server.url), view)
        assert sent(server) == {
            "model": "m",
            "input": [{"role": "user", "content": "say hi"}],
            "store": False,
            "stream": False,
            "tools": [{"type": "function", "strict": False, **tool("add")}],
            "parallel_tool_calls": False,
        }
        ask(ChatAgent(model="m", base_url=server.url), view)
        function = {"name": "add", "parameters": {"type": "object", "properties": {}}}
        assert sent(server) == {
            "model": "m",
            "messages": [{"role": "user", "content": "say hi"}],
            "stream": False,
            "tools": [{"type": "function", "function": function}],
            "parallel_tool_calls": False,
        }
        ask(PromptAgent(model="m", base_url=server.url), view)
        assert sent(server).keys() == {"model", "messages", "stream"}

    def test_all(self, server: ModelServer) -> None:
        """Each setting goes where its API has it."""
        settings: dict[str, Any] = {
            "model": "m",
            "base_url": f"{server.url}?api-version=2&flag=",
            "temperature": 0,
            "top_p": 0.5,
            "max_output_tokens": 7,
            "reasoning_effort": "low",
            "tool_choice": "required",
            "parallel_tool_calls": True,
            "seed": 40,
            "extra_body": {"top_k": 3, "model": "other"},
            "headers": {"X-Team": "blue"},
        }
        view = view_of("say hi", ADD, repeat=3, parallel_tool_calls=False, tool_choice="none")
        sampling = {"temperature": 0, "top_p": 0.5, "top_k": 3, "model": "other"}
        sampling["stream"] = False
        tools = {"tool_choice": "required", "parallel_tool_calls": True}
        ask(ResponsesAgent(**settings), view)
        body = {key: value for key, value in sent(server).items() if key not in ("input", "tools", "store")}
        assert body == {**sampling, **tools, "max_output_tokens": 7, "reasoning": {"effort": "low"}}
        chat = {**sampling, "max_tokens": 7, "reasoning_effort": "low", "seed": 42}
        ask(ChatAgent(**settings), view)
        assert {k: v for k, v in sent(server).items() if k not in ("messages", "tools")} == {**chat, **tools}
        ask(PromptAgent(**settings), view)
        assert {k: v for k, v in sent(server).items() if k != "messages"} == chat
        assert server.stats()["headers"][-1]["x-team"] == "blue"

    @pytest.mark.parametrize(
        ("url", "limit"),
        [
            (None, "max_completion_tokens"),
            ("https://eu.api.openai.com/v1", "max_completion_tokens"),
            ("https://mine.openai.azure.com/openai/v1?api-version=1", "max_completion_tokens"),
            ("https://api.openai.com.example.org/v1", "max_tokens"),
            ("https://notopenai.com/v1", "max_tokens"),
            ("http://localhost:8000/v1", "max_tokens"),
        ],
    )
    def test_limit(self, url: str | None, limit: str) -> None:
        """The limit of the answer has the name that the server knows."""
        agent = ChatAgent(model="m", base_url=url, api_key="k", max_output_tokens=5)
        view = view_of("Hi")
        assert agent._request(view, agent._offer(view))[limit] == 5

    def test_query(self) -> None:
        """A query of the base URL goes with every request, and the path stays in front of it."""
        agent = ChatAgent(model="m", base_url="https://gw/openai/v1?api-version=2024-10-21")

        async def connect() -> tuple[str, object]:
            client = agent._connection.client()
            await agent.aclose()
            return str(client.base_url), client.default_query

        assert asyncio.run(connect()) == ("https://gw/openai/v1/", {"api-version": "2024-10-21"})

    @pytest.mark.parametrize(
        ("settings", "params", "mode"),
        [
            ({}, {}, None),
            ({}, {"tool_choice": "auto"}, "auto"),
            ({"tool_choice": "none"}, {"tool_choice": "auto"}, "none"),
            ({"message_tool": True}, {"tool_choice": "auto"}, "required"),
            ({"message_tool": True, "tool_choice": "auto"}, {}, "auto"),
            ({}, {"tool_choice": {"type": "function"}}, None),
            ({}, {"tool_choice": {"type": "function", "name": "gone"}}, None),
            ({}, {"tool_choice": 7}, None),
        ],
    )
    @WITH_TOOLS
    def test_mode(
        self, kind: type[OpenAIAgent], settings: dict[str, Any], params: dict[str, Any], mode: str | None
    ) -> None:
        """The settings' choice of tool comes before the message tool's, and that before the pivot's."""
        agent, view = kind(model="m", base_url="http://h/v1", **settings), view_of("Hi", ADD, **params)
        assert agent._request(view, agent._offer(view)).get("tool_choice") == mode

    @pytest.mark.parametrize(
        ("settings", "params"),
        [
            ({"tool_choice": "a.b"}, {}),
            ({}, {"tool_choice": {"type": "function", "name": "a.b"}}),
            ({}, {"tool_choice": {"type": "function", "function": {"name": "a.b"}}}),
        ],
    )
    def test_forced(self, server: ModelServer, settings: dict[str, Any], params: dict[str, Any]) -> None:
        """A tool is forced in the form of each API, by the name that is sent."""
        view = view_of("say hi", "a.b", **params)
        ask(ResponsesAgent(model="m", base_url=server.url, **settings), view)
        assert sent(server)["tool_choice"] == {"type": "function", "name": "a_b"}
        ask(ChatAgent(model="m", base_url=server.url, **settings), view)
        assert sent(server)["tool_choice"] == {"type": "function", "function": {"name": "a_b"}}
        ask(PromptAgent(model="m", base_url=server.url, **settings), view)
        assert 'You must call the tool "a.b".' in sent(server)["messages"][0]["content"]

    @EVERY
    def test_forced_tool_missing(self, kind: type[OpenAIAgent]) -> None:
        """Forcing a tool that the pivot does not have names both, and what to do."""
        agent = kind(model="m", base_url="http://127.0.0.1:1/v1", tool_choice="sub")
        with pytest.raises(AgentError, match=r"has no tool 'sub' to force.*it has add\. Choose auto"):
            ask(agent, view_of("Hi", ADD))

    def test_other_choice(self, server: ModelServer) -> None:
        """A choice of a kind that only Responses has goes there as it is, and not to the other API."""
        allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "add"}]}
        view = view_of("say hi", ADD, tool_choice=allowed)
        ask(ResponsesAgent(model="m", base_url=server.url), view)
        assert sent(server)["tool_choice"] == allowed
        ask(ChatAgent(model="m", base_url=server.url), view)
        assert "tool_choice" not in sent(server)

    @WITH_TOOLS
    def test_names(self, kind: type[OpenAIAgent], server: ModelServer) -> None:
        """Names that servers refuse are mapped in tools, calls and choice, and mapped back in the answer."""
        long = "x" * 70
        history = [
            {"role": "user", "content": "call cal.add {}"},
            {"type": "function_call", "call_id": "c1", "name": "gone/tool", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "ok"},
        ]
        view = view_of(history, "cal.add", "cal.add", long, "fine")
        answer = ask(kind(model="m", base_url=server.url), view)
        assert to_action(answer) == Action((FunctionCall("cal.add"),))
        body = sent(server)
        assert [t.get("function", t)["name"] for t in body["tools"]] == ["cal_add", "x" * 64, "fine"]
        assert "gone_tool" in json.dumps(body)

    @pytest.mark.parametrize(
        "called",
        [
            {"tool_calls": {"type": "function", "function": {"name": "cal_add", "arguments": "{}"}}},
            {"tool_calls": [{"name": "cal_add", "arguments": "{}"}]},
            {"function_call": {"name": "cal_add", "arguments": "{}"}},
        ],
        ids=["one object", "flat", "old form"],
    )
    def test_names_in_other_forms(self, called: dict[str, Any]) -> None:
        """The names are mapped back in whatever form a server gives its calls."""
        message = {"role": "assistant", "content": None, **called}
        with serving(json.dumps({"choices": [{"message": message}]})) as url:
            answer = ask(ChatAgent(model="m", base_url=url), view_of("call cal.add {}", "cal.add"))
        assert to_action(answer) == Action((FunctionCall("cal.add"),))

    def test_long_call_ids(self, server: ModelServer) -> None:
        """Ids of calls that are longer than OpenAI allows are made short, and stay paired."""
        one, two = "call_" + "1" * 40, "chatcmpl-tool-" + "2" * 60
        history = [
            {"role": "user", "content": "say hi"},
            *({"type": "function_call", "call_id": i, "name": "add", "arguments": "{}"} for i in (one, two, "call_0")),
            *({"type": "function_call_output", "call_id": i, "output": i[-1]} for i in (one, two, "call_0")),
        ]
        ask(ChatAgent(model="m", base_url=server.url), view_of(history, ADD))
        messages = sent(server)["messages"]
        assert [call["id"] for call in messages[1]["tool_calls"]] == ["call_1", "call_2", "call_0"]
        assert [message["tool_call_id"] for message in messages[2:]] == ["call_1", "call_2", "call_0"]

    def test_prompt_conversation(self, server: ModelServer) -> None:
        """Tools join the system message, earlier calls and results are text, and calls are read from the answer."""
        history = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            *({"type": "function_call", "call_id": i, "name": "add.up", "arguments": '{"a": 1}'} for i in "xy"),
            *({"type": "function_call_output", "call_id": i, "output": f"result {i}"} for i in "xy"),
            {"role": "user", "content": 'text Wait. both add.up {"a": 1.0}'},
        ]
        agent = PromptAgent(model="m", base_url=server.url, parallel_tool_calls=False)
        message = ask(agent, view_of(history, tool("add.up", description="Adds.")))["choices"][0]["message"]
        system, *rest = sent(server)["messages"]
        assert system["content"].startswith("Be brief.\n\nYou can call tools.")
        assert '{"name": "add.up", "description": "Adds.", "parameters": {"type": "object"' in system["content"]
        assert "Call at most one tool" in system["content"]
        block = '<tool_call>\n{"name": "add.up", "arguments": {"a": 1}}\n</tool_call>'
        results = "<tool_response>\nresult x\n</tool_response>\n<tool_response>\nresult y\n</tool_response>"
        assert [part["content"] for part in rest[:3]] == ["Hi", f"{block}\n{block}", results]
        assert [part["role"] for part in rest] == ["user", "assistant", "user", "user"]
        assert message["tool_calls"][0]["function"] == {"name": "add.up", "arguments": '{"a": 1.0}'}
        assert "<tool_call>" in message["raw_content"]
        assert message["content"] == "Wait."


class TestMaking:
    """What is said when an agent cannot be made."""

    @pytest.mark.parametrize(("name", "kind"), OPENAI_AGENTS.items())
    def test_no_model(self, name: str, kind: type[OpenAIAgent]) -> None:
        """A model is needed."""
        with pytest.raises(AgentError, match=f"^--fc-agent={name} needs a model: pass --fc-model=NAME$"):
            kind()

    def test_no_key(self) -> None:
        """OpenAI itself needs a key, and the message says what else can be done."""
        with pytest.raises(AgentError, match=r"^OPENAI_API_KEY is not set; .*--fc-base-url"):
            ResponsesAgent(model="m")

    @pytest.mark.parametrize(
        ("settings", "environment", "url", "key"),
        [
            ({}, {"OPENAI_API_KEY": "env"}, None, "env"),
            ({"api_key": "own"}, {"OPENAI_API_KEY": "env"}, None, "own"),
            ({"base_url": "http://h/v1"}, {}, "http://h/v1", "no-key"),
            ({"base_url": "http://h/v1"}, {"OPENAI_API_KEY": "env"}, "http://h/v1", "env"),
            ({}, {"OPENAI_BASE_URL": "http://env/v1"}, "http://env/v1", "no-key"),
            ({"base_url": "http://h/v1"}, {"OPENAI_BASE_URL": "http://env/v1"}, "http://h/v1", "no-key"),
        ],
    )
    def test_endpoint(
        self,
        monkeypatch: pytest.MonkeyPatch,
        settings: dict[str, Any],
        environment: dict[str, str],
        url: str | None,
        key: str,
    ) -> None:
        """Settings come before the environment; a server of one's own needs no key."""
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        endpoint = ChatAgent(model="m", **settings)._endpoint
        assert (endpoint.url, endpoint.key) == (url, key)

    @pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://h/v1", "", "http://", "http://h:port/v1", "/v1"])
    def test_not_a_url(self, url: str) -> None:
        """A base URL that is none is named, with a right one."""
        with pytest.raises(AgentError, match=rf"^the base URL '{re.escape(url)}' is not .* http://localhost:8000/v1$"):
            ChatAgent(model="m", base_url=url)

    def test_not_a_url_in_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A wrong URL of the environment is named by its variable."""
        monkeypatch.setenv("OPENAI_BASE_URL", "gateway/v1")
        with pytest.raises(AgentError, match=r"^OPENAI_BASE_URL 'gateway/v1' is not"):
            ChatAgent(model="m")

    def test_without_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the openai package the message says what to install."""
        monkeypatch.setitem(sys.modules, "openai", None)
        with pytest.raises(AgentError, match=r"^--fc-agent=openai needs the openai package: pip install"):
            ResponsesAgent(model="m")

    def test_import_is_light(self) -> None:
        """Importing the agents imports neither openai nor an HTTP client."""
        code = "import sys, pytest_fcpivot.agents.openai; print({'openai', 'httpx', 'httpx2'} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "set()"

    def test_unknown_setting(self) -> None:
        """A misspelt keyword is refused, with the class that knows the right ones."""
        with pytest.raises(TypeError, match="temprature"):
            ChatAgent(model="m", base_url="http://h/v1", temprature=0)

    def test_secrets(self) -> None:
        """Keys and headers are in no repr."""
        agent = ChatAgent(model="m", base_url="http://h/v1", api_key="s3cret", headers={"X": "s3cret"})
        settings = OpenAISettings(model="m", api_key="s3cret", headers={"X": "s3cret"})
        assert "s3cret" not in f"{agent!r} {settings!r} {agent._endpoint!r}"
        assert repr(agent) == "ChatAgent(model='m', base_url='http://h/v1')"
